"""The short-time Fourier transform as a domain: frames of one window length, or the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from dftlrp.spectral import checks
from dftlrp.spectral.domains import alone_bins, bin_weights, inner, share
from dftlrp.spectral.windows import (
    THRESHOLD,
    Window,
    folded,
    overlap_add,
    reconstructs,
    refuse_hop,
    window_array,
)
from dftlrp.types import AnyArray, Complex, InputError, Real

Layout = Literal["frames", "full"]
Boundary = Literal["zeros", "center"] | None

# Frames are windowed and transformed in blocks that stay in the cache, this many samples each.
BLOCK = 2**16


def stft_for(rate: float) -> dict[str, Any]:
    """Window, ``n_fft`` and ``hop`` to look at and to listen to a signal of this rate.

    Parameters
    ----------
    rate : float
        Sampling rate in hertz.

    Returns
    -------
    dict
        Keyword arguments of `Stft` and `stft_lrp`: a Hann window of about 32 ms (4 to 7 times a
        power of two, at least 16 samples: 256 at 8 kHz, 512 at 16 kHz) and a quarter of it as
        hop, so that the squared windows sum to a constant.
    """
    if not (np.isfinite(rate) and rate > 0):
        raise InputError(f"rate is {rate}, but must be a positive number of hertz")
    samples = max(16.0, 0.032 * rate)
    unit = 2 ** (int(np.floor(np.log2(samples))) - 2)
    n_fft = unit * round(samples / unit)
    return {"window": "hann", "n_fft": n_fft, "hop": n_fft // 4}


@dataclass(frozen=True, eq=False)
class Stft:
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
        Samples from one frame to the next; at most the window's length.
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
        for name in ("n", "n_fft", "hop"):
            checks.whole(getattr(self, name), name)
        self._check_choices()
        _, support = window_array(self.window, self.n_fft, "window")
        if self.hop > support:
            raise InputError(
                f"hop is {self.hop}, more than the window's {support} samples: signal would be "
                f"skipped; use at most {support}"
            )
        if self.boundary is None and self.n < self.n_fft:
            raise InputError(
                f"the signal has {self.n} samples, fewer than n_fft = {self.n_fft}, and "
                "boundary=None pads nothing; use boundary='zeros' or a smaller n_fft"
            )
        self._check_coverage()

    def _check_choices(self) -> None:
        choices: dict[str, tuple[str | None, ...]]
        choices = {"layout": ("frames", "full"), "boundary": ("zeros", "center", None)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, but must be one of {allowed}")
        if self.layout == "full" and self.synthesis_window is not None:
            raise InputError("layout 'full' has no synthesis window (s = 1); leave it at None")

    def _check_coverage(self) -> None:
        pair = self._pair
        if self.boundary == "zeros":
            if not reconstructs(pair, self.hop):
                raise refuse_hop(pair, self.hop, "the windows sum to zero between frames")
            return
        covered = self._inverse_overlap != 0
        first, last = np.argmax(covered), self.n - np.argmax(covered[::-1])
        if not covered[first:last].all():
            inside = int(first + np.argmin(covered[first:last]))
            raise refuse_hop(pair, self.hop, f"the windows sum to zero at sample {inside}")

    @cached_property
    def analysis_window(self) -> Real:
        """Samples of a, (n_fft,) float64."""
        return window_array(self.window, self.n_fft, "window")[0]

    @cached_property
    def synthesis_window_array(self) -> Real:
        """Samples of s, (n_fft,) float64."""
        if self.layout == "full":
            return np.ones(self.n_fft)
        if self.synthesis_window is None:
            return self.analysis_window
        return window_array(self.synthesis_window, self.n_fft, "synthesis_window")[0]

    @property
    def frames(self) -> int:
        """Number of frames T."""
        if self.boundary == "zeros":
            return (self.n - 1 + self.n_fft) // self.hop
        padded = self.n + (2 * (self.n_fft // 2) if self.boundary == "center" else 0)
        return 1 + (padded - self.n_fft) // self.hop

    @property
    def bins(self) -> int:
        """Number of frequencies K."""
        return self._size // 2 + 1

    @property
    def weights(self) -> Real:
        """w_k, (K,): how many bins of the two-sided DFT each one-sided bin stands for."""
        return bin_weights(self._size)

    @property
    def times(self) -> Real:
        """Centres of the frames, (T,), in samples of the signal; the outer ones may lie outside."""
        return np.arange(self.frames) * self.hop - self._left + self.n_fft / 2

    @property
    def overlap(self) -> Real:
        """W_n = sum over frames of a s, (n,) float64."""
        pair = self._pair
        if self.boundary == "zeros":
            return self._repeated(folded(pair, self.hop))
        return self._cut(overlap_add(np.broadcast_to(pair, (self.frames, self.n_fft)), self.hop))

    def analysis(self, signal: ArrayLike) -> Complex:
        """T x, real (..., n) to complex (..., K, T)."""
        x = self._signal(signal)
        transform = self._transform if self.layout == "frames" else self._transform_full
        return transform(x, self.analysis_window).swapaxes(-1, -2)

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
        c = self._transform(*self._dual(m))
        c *= (self.weights / 2).astype(m.dtype)
        return c.swapaxes(-1, -2)

    def share(self, signal: Real, multiplier: Real) -> tuple[Complex, Complex]:
        """T x and conj(T x) S^T m, both (..., K, T), made block by block in the cache."""
        if self.layout == "full":
            return share(self, signal, multiplier)
        y, products = (self._empty(signal), self._empty(signal))
        blocks = self._blocks(signal, self.analysis_window)
        for (t, some), (_, c) in zip(blocks, self._blocks(*self._dual(multiplier)), strict=True):
            y[..., t, :] = some
            c[..., alone_bins(self.n_fft)] *= 0.5
            np.multiply(np.conjugate(some, out=some), c, out=products[..., t, :])
        return y.swapaxes(-1, -2), products.swapaxes(-1, -2)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g, sum over frames of a irfft(g_t / w); complex (..., K, T) to real (..., n)."""
        g = self._coefficients(coefficients)
        g = g / self.weights.astype(g.real.dtype)
        if self.layout == "frames":
            return self._overlap_add(g, self.analysis_window)
        return self._analysis_adjoint_full(g)

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """Sum of x m over the samples that no window covers, one number per batch element."""
        if self.boundary == "zeros":
            return np.zeros(signal.shape[:-1], np.result_type(signal, multiplier))
        gaps = np.flatnonzero(self._inverse_overlap == 0)
        return inner(signal[..., gaps], multiplier[..., gaps])

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """<Y - T S Y, g>; round-off if Y is the STFT of a signal that is covered everywhere."""
        foreign = coefficients - self.analysis(self.synthesis(coefficients))
        return inner(foreign, multiplier, axes=2)

    @property
    def _size(self) -> int:
        return self.n_fft if self.layout == "frames" else self.n

    @property
    def _left(self) -> int:
        """Zeros before the first sample."""
        return {"zeros": self.n_fft - self.hop, "center": self.n_fft // 2, None: 0}[self.boundary]

    @cached_property
    def _inverse_overlap(self) -> Real:
        """1 / W, and 0 where W is too small to divide by, (n,) float64."""
        if self.boundary == "zeros":
            return self._repeated(1 / folded(self._pair, self.hop))
        W = self.overlap
        size = np.abs(W)
        covered = size > THRESHOLD * size.max()
        return np.divide(1, W, out=np.zeros_like(W), where=covered)

    @property
    def _pair(self) -> Real:
        """The product a s, (n_fft,) float64."""
        return self.analysis_window * self.synthesis_window_array

    def _repeated(self, period: Real) -> Real:
        """Repeat one period of endless frames over the signal: (hop,) to (n,)."""
        return np.resize(np.roll(period, -(self._left % self.hop)), self.n)

    def _frames(self, x: Real, first: int, count: int) -> Real:
        """View (..., count, n_fft) of some frames; zeros are put around x only where needed."""
        if count == 0:
            return np.empty((*x.shape[:-1], 0, self.n_fft), x.dtype)
        start = first * self.hop - self._left
        stop = start + (count - 1) * self.hop + self.n_fft
        stretch = x[..., max(start, 0) : max(stop, 0)]
        if start < 0 or stop > self.n:
            sides = [(0, 0)] * (x.ndim - 1) + [(max(-start, 0), max(stop - self.n, 0))]
            stretch = np.pad(stretch, sides)
        return sliding_window_view(stretch, self.n_fft, axis=-1)[..., :: self.hop, :]

    def _cut(self, padded: Real) -> Real:
        """Take the signal out of what the frames cover: (..., (T - 1) hop + n_fft) to (..., n)."""
        x = np.zeros((*padded.shape[:-1], self.n), padded.dtype)
        inside = padded[..., self._left : self._left + self.n]
        x[..., : inside.shape[-1]] = inside
        return x

    def _dual(self, m: Real) -> tuple[Real, Real]:
        """Signal and window whose product is 2 s m / W; the weight 2 of most bins rides along."""
        window = 2 * self.synthesis_window_array
        if self.boundary == "zeros":
            # W is the same in every frame, so s / W is one window and m stays uncopied.
            return m, window / np.resize(folded(self._pair, self.hop), self.n_fft)
        return m * self._inverse_overlap.astype(m.dtype, copy=False), window

    def _empty(self, x: Real) -> Complex:
        """Room for the coefficients of x, (..., T, K)."""
        shape = (*x.shape[:-1], self.frames, self.bins)
        return np.empty(shape, np.result_type(x.dtype, np.complex64))

    def _transform(self, x: Real, window: Real) -> Complex:
        """Orthonormal rfft(window x) of each frame, (..., n) to (..., T, K)."""
        Y = self._empty(x)
        for t, some in self._blocks(x, window):
            Y[..., t, :] = some
        return Y

    def _blocks(self, x: Real, window: Real) -> Iterator[tuple[slice, Complex]]:
        """Do the same for some frames at a time: which ones, and their coefficients."""
        from scipy import fft

        window = window.astype(x.dtype, copy=False)
        step = max(1, BLOCK * self.n // (x.size * self.n_fft))
        head = -(-self._left // self.hop)  # frames that begin before the signal
        body = max(head, 1 + (self.n - self.n_fft + self._left) // self.hop)
        edges = [min(t, self.frames) for t in (0, head, body, self.frames)]
        for first, last in pairwise(edges):
            frames = self._frames(x, first, last - first)
            for t in range(0, last - first, step):
                some = frames[..., t : t + step, :] * window
                block = slice(first + t, first + t + some.shape[-2])
                yield block, np.asarray(fft.rfft(some, norm="ortho", overwrite_x=True))

    def _overlap_add(self, Y: Complex, window: Real) -> Real:
        """Adjoint of `_transform` but for w: sum_t window irfft(Y_t), (..., T, K) to (..., n)."""
        from scipy import fft

        frames = np.asarray(fft.irfft(Y, self.n_fft, norm="ortho"))
        frames *= window.astype(frames.dtype, copy=False)
        return self._cut(overlap_add(frames, self.hop))

    def _places(self) -> list[tuple[slice, slice]]:
        """For each frame: where it lies in the signal, and which part of the window lies there."""
        starts = [t * self.hop - self._left for t in range(self.frames)]
        ends = [(max(b, 0), min(b + self.n_fft, self.n)) for b in starts]
        return [(slice(i, j), slice(i - b, j - b)) for b, (i, j) in zip(starts, ends, strict=True)]

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

        inverse = self._inverse_overlap.astype(m.dtype, copy=False)
        C = np.asarray(fft.rfft(m * inverse, norm="ortho"))
        C *= self.weights.astype(m.dtype)
        return np.broadcast_to(C[..., None], (*C.shape, self.frames))

    def _analysis_adjoint_full(self, g: Complex) -> Real:
        from scipy import fft

        window = self.analysis_window.astype(g.real.dtype, copy=False)
        m = np.zeros((*g.shape[:-2], self.n), g.real.dtype)
        for t, (where, part) in enumerate(self._places()):
            whole = np.asarray(fft.irfft(g[..., t, :], self.n, norm="ortho"))
            m[..., where] += window[part] * whole[..., where]
        return m

    def _signal(self, signal: ArrayLike) -> Real:
        x = checks.real(signal, "signal")
        checks.length(x, -1, self.n, "signal")
        return x

    def _coefficients(self, coefficients: ArrayLike) -> Complex:
        """Check, and put frames before frequency: (..., T, K)."""
        Y = checks.complexes(coefficients, "coefficients")
        checks.length(Y, -2, self.bins, "coefficients")
        checks.length(Y, -1, self.frames, "coefficients")
        return Y.swapaxes(-1, -2)
