"""The short-time Fourier transform as a domain: frames of one window length, or the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Complex, InputError, Real
from dftlrp.spectral.cover import Cover
from dftlrp.spectral.domains import (
    coefficient_rest,
    halve_alone,
    inner,
    share,
    times_conjugate,
    weigh,
)
from dftlrp.spectral.frames import Boundary, Frames
from dftlrp.spectral.windows import Window, folded, nearest_hop, reconstructs, window_array

Layout = Literal["frames", "full"]


@dataclass(frozen=True, eq=False)
class Stft(Frames):
    """The short-time Fourier transform of real signals, and weighted overlap-add back.

    With analysis window a, synthesis window s and W_n = sum over frames of a s, frame t holds

        Y_tk = L^(-1/2) sum_n a_n x_(n + start_t) exp(-2 pi i k n / L),

    and x = S Y = (1 / W) sum_t s irfft(Y_t).  Coefficients have shape (..., K, T): frequency
    before frames.  (They are views of frame-contiguous arrays, so the swap costs nothing.)

    A redundant transform has many exact syntheses, and each distributes relevance differently:
    s = a (weighted overlap-add, the default, as an inverse STFT for sound does it) and s = 1 both
    conserve.  The paper's layout is ``"full"``.

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
        ``"full"``: every windowed frame is zero-padded to the whole signal, transformed at its
        place with one DFT of length n, and synthesis is not restricted to the frame (the paper's;
        K = n // 2 + 1 and T n numbers in memory).
    boundary : {"zeros", "center", None}
        ``"zeros"``: zeros on both sides so that every sample lies in as many frames as any other;
        ``"center"``: n_fft // 2 zeros on both sides, frame t is centred on sample t hop, as in
        librosa and torch (with their pad_mode "constant"); None: none, and the samples that no
        window covers are the rest.

    Raises
    ------
    InputError
        If an argument is out of range, or W is (almost) zero inside the signal.
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
        _, support = window_array(self.window, self.n_fft, "window")
        if reason := self._gap(self.hop, support):
            near = nearest_hop(self.hop, support, lambda hop: not self._gap(hop, support))
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

    def _gap(self, hop: int, support: int) -> str:
        """Why frames at this hop and windows so long cannot reconstruct, or nothing."""
        if hop > support:
            return f"it is more than the window's {support} samples, so that signal is skipped"
        if self.boundary == "zeros":
            good = reconstructs(self._pair, hop)
            return "" if good else "the windows sum to zero between frames"
        hole = Cover(self.n, self._frames_at(hop), self._left, self._pair, hop).hole
        return "" if hole is None else f"the windows sum to zero at sample {hole}"

    @cached_property
    def synthesis_window_array(self) -> Real:
        """Samples of s, (n_fft,) float64."""
        if self.layout == "full":
            return np.ones(self.n_fft)
        if self.synthesis_window is None:
            return self.analysis_window
        return window_array(self.synthesis_window, self.n_fft, "synthesis_window")[0]

    @property
    def times(self) -> Real:
        """Centres of the frames, (T,), in samples of the signal; the outer ones may lie outside."""
        return np.arange(self.frames) * self.hop - self._left + self.n_fft / 2

    @property
    def overlap(self) -> Real:
        """W_n = sum over frames of a s, (n,) float64."""
        return self.cover.overlap(0, self.n)

    @cached_property
    def cover(self) -> Cover:
        """W and 1 / W, at any stretch of the signal."""
        return Cover(self.n, self.frames, self._left, self._pair, self.hop)

    def analysis(self, signal: ArrayLike) -> Complex:
        """T x, real (..., n) to complex (..., K, T)."""
        if self.layout == "frames":
            return super().analysis(signal)
        x = self._signal(signal)
        return self._transform_full(x, self.analysis_window).swapaxes(-1, -2)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S Y, complex (..., K, T) to real (..., n); 0 where no window lies."""
        from scipy import fft

        Y = self._coefficients(coefficients)
        if self.layout == "full":
            x = np.asarray(fft.irfft(Y.sum(axis=-2), self.n, norm="ortho"))
        else:
            x = self._overlap_add(Y, self.synthesis_window_array)
        x *= self._inverse_overlap.astype(x.dtype, copy=False)
        return x

    def synthesis_adjoint(self, signal: ArrayLike) -> Complex:
        """S^T m, w rfft(s m / W) on frame t; real (..., n) to complex (..., K, T)."""
        m = self._signal(signal)
        if self.layout == "full":
            return self._synthesis_adjoint_full(m)
        c = self._transform(self.divided(m), self._dual_window)
        return halve_alone(c, self.n_fft).swapaxes(-1, -2)

    def share(self, signal: Real, multiplier: Real) -> tuple[Complex, Complex]:
        """T x and conj(T x) S^T m, both (..., K, T), made FFT call by FFT call in the cache."""
        if self.layout == "full":
            return share(self, signal, multiplier)
        y, products = self._empty(signal), self._empty(signal)
        for first, last in self.calls(signal.size // self.n):
            start, stop = self.reach(first, last)
            m = self.divided(multiplier[..., start:stop], start)
            some = self.share_of_frames(signal[..., start:stop], m, first, last)
            y[..., first:last, :], products[..., first:last, :] = some
        return y.swapaxes(-1, -2), products.swapaxes(-1, -2)

    def divided(self, m: Real, start: int = 0) -> Real:
        """Make m / W, of the samples from start on; m itself where `_dual_window` divides."""
        if self.boundary == "zeros":
            return m
        inverse = self.cover.inverse(start, start + m.shape[-1])
        return m * inverse.astype(m.dtype, copy=False)

    def share_of_frames(self, x: Real, m: Real, first: int, last: int) -> tuple[Complex, Complex]:
        """Make `share` for some frames, (..., t, K), from the samples that they `reach`.

        The multiplier comes as `divided` gives it.
        """
        from scipy import fft

        y = np.asarray(fft.rfft(self._windowed(x, self.analysis_window, first, last), norm="ortho"))
        c = np.asarray(fft.ihfft(self._windowed(m, self._dual_window, first, last), norm="ortho"))
        return y, times_conjugate(y, halve_alone(c, self.n_fft))

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g, sum over frames of a irfft(g_t / w); complex (..., K, T) to real (..., n)."""
        if self.layout == "frames":
            return super().analysis_adjoint(coefficients)
        g = self._coefficients(coefficients)
        return self._analysis_adjoint_full(g / self.weights.astype(g.real.dtype))

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """Sum of x m over the samples that no window covers, one number per batch element."""
        first, last = self.cover.ends
        x, m = (
            np.concatenate([part[..., :first], part[..., last:]], axis=-1)
            for part in (signal, multiplier)
        )
        return inner(x, m)

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """<Y - T S Y, g>; round-off if Y is the STFT of a signal that is covered everywhere."""
        return coefficient_rest(self, coefficients, multiplier)

    @property
    def _size(self) -> int:
        return self.n_fft if self.layout == "frames" else self.n

    @property
    def _inverse_overlap(self) -> Real:
        """1 / W, and 0 where W is too small to divide by, (n,) float64."""
        return self.cover.inverse(0, self.n)

    @property
    def _pair(self) -> Real:
        """The product a s, (n_fft,) float64."""
        return self.analysis_window * self.synthesis_window_array

    @cached_property
    def _dual_window(self) -> Real:
        """Window that, times `divided`, gives 2 s m / W; the weight 2 of most bins rides along.

        With zeros around, W is the same in every frame, and the window holds it.
        """
        window = 2 * self.synthesis_window_array
        if self.boundary != "zeros":
            return window
        return window / np.resize(folded(self._pair, self.hop), self.n_fft)

    def _places(self) -> list[tuple[slice, slice]]:
        """For each frame: where it lies in the signal, and which part of the window lies there."""
        starts = [t * self.hop - self._left for t in range(self.frames)]
        reach = [self.reach(t, t + 1) for t in range(self.frames)]
        return [(slice(i, j), slice(i - b, j - b)) for b, (i, j) in zip(starts, reach, strict=True)]

    def _transform_full(self, x: Real, window: Real) -> Complex:
        """Orthonormal rfft of window x, zero-padded to the signal, (..., n) to (..., T, K)."""
        from scipy import fft

        window = window.astype(x.dtype, copy=False)
        Y, alone = self._empty(x), np.zeros_like(x)
        for t, (where, part) in enumerate(self._places()):
            alone[..., where] = x[..., where] * window[part]
            Y[..., t, :] = fft.rfft(alone, norm="ortho")
            alone[..., where] = 0
        return Y

    def _synthesis_adjoint_full(self, m: Real) -> Complex:
        """C = w rfft(m / W), the same for every frame: a read-only view (..., K, T)."""
        from scipy import fft

        m = m * self._inverse_overlap.astype(m.dtype, copy=False)
        C = weigh(np.asarray(fft.rfft(m, norm="ortho")), self.n)
        return np.broadcast_to(C[..., None], (*C.shape, self.frames))

    def _analysis_adjoint_full(self, g: Complex) -> Real:
        from scipy import fft

        window = self.analysis_window.astype(g.real.dtype, copy=False)
        m = np.zeros((*g.shape[:-2], self.n), g.real.dtype)
        for t, (where, part) in enumerate(self._places()):
            whole = np.asarray(fft.irfft(g[..., t, :], self.n, norm="ortho"))
            m[..., where] += window[part] * whole[..., where]
        return m
