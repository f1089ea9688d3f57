"""The short-time Fourier transform as a domain: frames of one window length, or the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core import fft
from dftlrp.core.types import Complex, InputError, Real
from dftlrp.spectral.checks import as_signal
from dftlrp.spectral.cover import Cover
from dftlrp.spectral.dft import halve_unpaired, multiply_conjugate, weigh_bins
from dftlrp.spectral.domain import DomainDefaults, inner
from dftlrp.spectral.frames import Boundary, Frames
from dftlrp.spectral.windows import Window, can_reconstruct, find_nearest_hop, fold, make_window

Layout = Literal["frames", "full"]


@dataclass(frozen=True, eq=False)
class Stft(Frames, DomainDefaults):
    """The short-time Fourier transform of real signals, and its inverse by weighted overlap-add.

    With analysis window a, synthesis window s and W_n = sum over frames of a s, frame t holds

        Y_tk = L^(-1/2) sum_n a_n x_(n + start_t) exp(-2 pi i k n / L),

    and x = S Y = (1 / W) sum_t s irfft(Y_t).  Coefficients have shape (..., K, T), frequency
    before frames.  They are views of arrays that are contiguous in each frame.

    A redundant transform has many exact syntheses, and each distributes relevance differently:
    s = a (weighted overlap-add, the default, as an inverse STFT for sound does it) and s = 1 both
    conserve relevance.  The layout of arXiv 2303.06365 is ``"full"``.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    window : str, tuple or array
        Analysis window a: a name for `scipy.signal.get_window` (periodic, `n_fft` long), or
        samples (at most `n_fft`; fewer are zero-padded on both sides, as librosa does).
    n_fft : int
        Length L of a frame and, for layout ``"frames"``, of its DFT, in samples.
    hop : int
        Samples from one frame to the next; at most the window's length.  (`Analysis` has no limit.)
    synthesis_window : str, tuple, array or None
        Synthesis window s; None: s = a.  Layout ``"full"`` has s = 1 and takes none.
    layout : {"frames", "full"}
        ``"full"``: every windowed frame is zero-padded to the whole signal and transformed at its
        place with one DFT of length n, and the synthesis is not restricted to the frame.  It has
        K = n // 2 + 1 bins and takes T n numbers of memory.
    boundary : {"zeros", "center", None}
        ``"zeros"``: zeros on both sides so that every sample lies in as many frames as any other;
        ``"center"``: n_fft // 2 zeros on both sides, so that frame t is centred on sample t hop as
        in librosa and torch with their pad_mode "constant"; None: no zeros, and the samples that
        no window covers are the rest.

    Raises
    ------
    InputError
        If an argument is out of range, or W is (almost) zero inside the signal.

    See Also
    --------
    dftlrp.stft_lrp : Carries relevance to it.
    stft_for : Window, n_fft and hop for a sampling rate.
    Analysis : Without an inverse, for a model that reads it.

    Examples
    --------
    >>> pair = dftlrp.spectral.Stft(8000, n_fft=256, hop=64)
    >>> pair.shape, pair.times[:2]
    ((129, 128), array([-64.,   0.]))
    >>> x = np.random.default_rng(0).normal(size=8000)
    >>> np.allclose(pair.synthesis(pair.analysis(x)), x)
    True
    """

    n: int
    window: Window = "hann"
    n_fft: int = 400
    hop: int = 160
    synthesis_window: Window | None = None
    layout: Layout = "frames"
    boundary: Boundary = "zeros"

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers("; use boundary='zeros' or a smaller n_fft")
        _, support = make_window(self.window, self.n_fft, "window")
        if reason := self._find_gap(self.hop, support):
            near = find_nearest_hop(self.hop, support, lambda hop: not self._find_gap(hop, support))
            advice = (
                f"the nearest hop that works is {near}"
                if near
                else "no hop works with these windows"
            )
            raise InputError(f"hop {self.hop} cannot reconstruct: {reason}; {advice}")

    def _check_choices(self) -> None:
        choices: dict[str, tuple[str | None, ...]]
        choices = {"layout": ("frames", "full"), "boundary": ("zeros", "center", None)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, but must be one of {allowed}")
        if self.layout == "full" and self.synthesis_window is not None:
            raise InputError("layout 'full' has no synthesis window (s = 1); leave it at None")

    def _find_gap(self, hop: int, support: int) -> str:
        """Return why frames at this hop and windows this long cannot reconstruct, or ``""``."""
        if hop > support:
            return f"it is more than the window's {support} samples, so that signal is skipped"
        if self.boundary == "zeros":
            good = can_reconstruct(self._pair, hop)
            return "" if good else "the windows sum to zero between frames"
        hole = Cover(self.n, self._count_frames(hop), self._padding, self._pair, hop).hole
        return "" if hole is None else f"the windows sum to zero at sample {hole}"

    @cached_property
    def synthesis_window_array(self) -> Real:
        """Samples of s, (n_fft,) float64."""
        if self.layout == "full":
            return np.ones(self.n_fft)
        if self.synthesis_window is None:
            return self.analysis_window
        return make_window(self.synthesis_window, self.n_fft, "synthesis_window")[0]

    @property
    def times(self) -> Real:
        """Centres of the frames, (T,), in samples of the signal; the outer ones may lie outside."""
        return np.arange(self.frames) * self.hop - self._padding + self.n_fft / 2

    @property
    def overlap(self) -> Real:
        """W_n = sum over frames of a s, (n,) float64."""
        return self.cover.read_overlap(0, self.n)

    @cached_property
    def cover(self) -> Cover:
        """W and 1 / W, at any part of the signal."""
        return Cover(self.n, self.frames, self._padding, self._pair, self.hop)

    def analysis(self, signal: ArrayLike) -> Complex:
        """Return T x, real (..., n) to complex (..., K, T)."""
        if self.layout == "frames":
            return super().analysis(signal)
        x = as_signal(signal, self.n)
        return self._transform_full(x, self.analysis_window).swapaxes(-1, -2)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S Y, complex (..., K, T) to real (..., n); 0 where no window lies."""
        Y = self._coefficients(coefficients)
        if self.layout == "full":
            x = fft.irfft(Y.sum(axis=-2), self.n)
        else:
            x = self._overlap_add(Y, self.synthesis_window_array)
        x *= self._inverse_overlap.astype(x.dtype, copy=False)
        return x

    def synthesis_adjoint(self, signal: ArrayLike) -> Complex:
        """Return S^T m = w rfft(s m / W) on frame t, real (..., n) to complex (..., K, T)."""
        m = as_signal(signal, self.n)
        if self.layout == "full":
            return self._synthesis_adjoint_full(m)
        c = self._transform(self.divide_by_overlap(m), self._dual_window)
        return halve_unpaired(c, self.n_fft).swapaxes(-1, -2)

    def share(self, signal: Real, multiplier: Real) -> tuple[Complex, Complex]:
        """Return T x and conj(T x) S^T m, both (..., K, T), computed block by block of frames."""
        if self.layout == "full":
            return super().share(signal, multiplier)
        y, products = self._allocate(signal), self._allocate(signal)
        for first, last in self.split_frames(signal.size // self.n):
            start, stop = self.find_samples(first, last)
            m = self.divide_by_overlap(multiplier[..., start:stop], start)
            some = self.share_frames(signal[..., start:stop], m, first, last)
            y[..., first:last, :], products[..., first:last, :] = some
        return y.swapaxes(-1, -2), products.swapaxes(-1, -2)

    def divide_by_overlap(self, m: Real, start: int = 0) -> Real:
        """Return m / W for samples from `start` on, or m itself where `_dual_window` divides."""
        if self.boundary == "zeros":
            return m
        inverse = self.cover.read_inverse(start, start + m.shape[-1])
        return m * inverse.astype(m.dtype, copy=False)

    def share_frames(self, x: Real, m: Real, first: int, last: int) -> tuple[Complex, Complex]:
        """Return `share` of frames first to last, (..., t, K), from the samples that they read.

        The multiplier m must come from `divide_by_overlap`.
        """
        cut = self._cut_frames
        y = fft.rfft(cut(x, self.analysis_window, first, last))
        c = fft.ihfft(cut(m, self._dual_window, first, last))
        return y, multiply_conjugate(y, halve_unpaired(c, self.n_fft))

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g = sum over frames of a irfft(g_t / w), complex (..., K, T) to (..., n)."""
        if self.layout == "frames":
            return super().analysis_adjoint(coefficients)
        g = self._coefficients(coefficients)
        return self._analysis_adjoint_full(g / self.weights.astype(g.real.dtype))

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """Return the sum of x m over the samples that no window covers, (...)."""
        first, last = self.cover.ends
        x, m = (
            np.concatenate([part[..., :first], part[..., last:]], axis=-1)
            for part in (signal, multiplier)
        )
        return inner(x, m)

    @property
    def _dft_length(self) -> int:
        return self.n_fft if self.layout == "frames" else self.n

    @property
    def _inverse_overlap(self) -> Real:
        """1 / W, and 0 where W is too small to divide by, (n,) float64."""
        return self.cover.read_inverse(0, self.n)

    @property
    def _pair(self) -> Real:
        """The product a s, (n_fft,) float64."""
        return self.analysis_window * self.synthesis_window_array

    @cached_property
    def _dual_window(self) -> Real:
        """Window that gives 2 s m / W when multiplied by `divide_by_overlap`.

        The factor 2 is the weight of most bins.  With boundary ``"zeros"`` W is the same in every
        frame, and the window contains it.
        """
        window = 2 * self.synthesis_window_array
        if self.boundary != "zeros":
            return window
        return window / np.resize(fold(self._pair, self.hop), self.n_fft)

    def _place_frames(self) -> list[tuple[slice, slice]]:
        """Return, for each frame, its samples of the signal and their part of the window."""
        starts = [t * self.hop - self._padding for t in range(self.frames)]
        spans = [self.find_samples(t, t + 1) for t in range(self.frames)]
        return [(slice(i, j), slice(i - b, j - b)) for b, (i, j) in zip(starts, spans, strict=True)]

    def _transform_full(self, x: Real, window: Real) -> Complex:
        """Return the rfft of window x, zero-padded to the whole signal, (..., n) to (..., T, K)."""
        window = window.astype(x.dtype, copy=False)
        Y, alone = self._allocate(x), np.zeros_like(x)
        for t, (place, part) in enumerate(self._place_frames()):
            alone[..., place] = x[..., place] * window[part]
            Y[..., t, :] = fft.rfft(alone)
            alone[..., place] = 0
        return Y

    def _synthesis_adjoint_full(self, m: Real) -> Complex:
        """Return C = w rfft(m / W), the same for every frame: a read-only view (..., K, T)."""
        m = m * self._inverse_overlap.astype(m.dtype, copy=False)
        C = weigh_bins(np.asarray(fft.rfft(m)), self.n)
        return np.broadcast_to(C[..., None], (*C.shape, self.frames))

    def _analysis_adjoint_full(self, g: Complex) -> Real:
        window = self.analysis_window.astype(g.real.dtype, copy=False)
        m = np.zeros((*g.shape[:-2], self.n), g.real.dtype)
        for t, (place, part) in enumerate(self._place_frames()):
            whole = fft.irfft(g[..., t, :], self.n)
            m[..., place] += window[part] * whole[..., place]
        return m
