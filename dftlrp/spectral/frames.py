"""Frames of a signal and their Fourier transforms: what every STFT has, with an inverse or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from dftlrp.core.types import Complex, InputError, Real
from dftlrp.spectral import checks
from dftlrp.spectral.domains import bin_weights
from dftlrp.spectral.windows import Window, overlap_add, window_array

Boundary = Literal["zeros", "center"] | None

# Frames are windowed and transformed in blocks that stay in the cache, this many samples each.
BLOCK = 2**16


class Frames:
    """Analysis T of an STFT and its adjoint: Y_tk = L^(-1/2) sum_n a_n x_(n + start_t) e^(...).

    See `dftlrp.spectral.Stft` for the arguments.
    """

    n: int
    window: Window
    n_fft: int
    hop: int
    boundary: Boundary

    def _check_numbers(self, advice: str = "") -> None:
        for name in ("n", "n_fft", "hop"):
            checks.whole(getattr(self, name), name)
        if self.boundary is None and self.n < self.n_fft:
            raise InputError(
                f"the signal has {self.n} samples, fewer than one frame of {self.n_fft}{advice}"
            )

    @cached_property
    def analysis_window(self) -> Real:
        """Samples of a, (n_fft,) float64."""
        return window_array(self.window, self.n_fft, "window")[0]

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self._frames_at(self.hop)

    @property
    def bins(self) -> int:
        """Number of frequencies K."""
        return self._size // 2 + 1

    @property
    def weights(self) -> Real:
        """w_k, (K,): how many bins of the two-sided DFT each one-sided bin stands for."""
        return bin_weights(self._size)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, T)."""
        return self.bins, self.frames

    @property
    def is_complex(self) -> bool:
        """Yes."""
        return True

    def analysis(self, signal: ArrayLike) -> Complex:
        """T x, real (..., n) to complex (..., K, T)."""
        return self._transform(self._signal(signal), self.analysis_window).swapaxes(-1, -2)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g, sum over frames of a irfft(g_t / w); complex (..., K, T) to real (..., n)."""
        g = self._coefficients(coefficients)
        return self._overlap_add(g / self.weights.astype(g.real.dtype), self.analysis_window)

    def calls(self, signals: int = 1) -> list[tuple[int, int]]:
        """First and last (exclusive) frame of each FFT call, for a batch of so many signals.

        Streaming makes the very same calls, so that its results are equal to the last bit.
        """
        step = max(1, BLOCK // (signals * self.n_fft))
        head = -(-self._left // self.hop)  # frames that begin before the signal
        body = max(head, 1 + (self.n - self.n_fft + self._left) // self.hop)
        edges = [min(t, self.frames) for t in (0, head, body, self.frames)]
        return [(t, min(t + step, b)) for a, b in pairwise(edges) for t in range(a, b, step)]

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """Start and stop of the samples that frames first to last (exclusive) read."""
        start, stop = self._place(first, last)
        return max(start, 0), min(max(stop, 0), self.n)

    def _frames_at(self, hop: int) -> int:
        if self.boundary == "zeros":
            return (self.n - 1 + self.n_fft) // hop
        padded = self.n + (2 * (self.n_fft // 2) if self.boundary == "center" else 0)
        return 1 + (padded - self.n_fft) // hop

    @property
    def _size(self) -> int:
        """Length of the DFT."""
        return self.n_fft

    @property
    def _left(self) -> int:
        """Zeros before the first sample."""
        return {"zeros": self.n_fft - self.hop, "center": self.n_fft // 2, None: 0}[self.boundary]

    def _place(self, first: int, last: int) -> tuple[int, int]:
        """Where frames first to last (exclusive) begin and end, as if the signal were endless."""
        start = first * self.hop - self._left
        return start, start + (last - 1 - first) * self.hop + self.n_fft

    def _windowed(self, x: Real, window: Real, first: int, last: int) -> Real:
        """Multiply frames by the window, (..., t, n_fft); zeros are put around x where needed."""
        start, stop = self._place(first, last)
        if start < 0 or stop > self.n:
            sides = [(0, 0)] * (x.ndim - 1) + [(max(-start, 0), max(stop - self.n, 0))]
            x = np.pad(x, sides)
        frames = sliding_window_view(x, self.n_fft, axis=-1)[..., :: self.hop, :]
        return frames * window.astype(x.dtype, copy=False)

    def _cut(self, padded: Real) -> Real:
        """Take the signal out of what the frames cover: (..., (T - 1) hop + n_fft) to (..., n)."""
        x = np.zeros((*padded.shape[:-1], self.n), padded.dtype)
        inside = padded[..., self._left : self._left + self.n]
        x[..., : inside.shape[-1]] = inside
        return x

    def _empty(self, x: Real) -> Complex:
        """Room for the coefficients of x, (..., T, K)."""
        shape = (*x.shape[:-1], self.frames, self.bins)
        return np.empty(shape, np.result_type(x.dtype, np.complex64))

    def _transform(self, x: Real, window: Real) -> Complex:
        """Orthonormal rfft(window x) of each frame, (..., n) to (..., T, K)."""
        from scipy import fft

        Y = self._empty(x)
        for first, last in self.calls(x.size // self.n):
            some = x[..., slice(*self.reach(first, last))]
            frames = self._windowed(some, window, first, last)
            Y[..., first:last, :] = fft.rfft(frames, norm="ortho")
        return Y

    def _overlap_add(self, Y: Complex, window: Real) -> Real:
        """Adjoint of `_transform` but for w: sum_t window irfft(Y_t), (..., T, K) to (..., n)."""
        from scipy import fft

        frames = np.asarray(fft.irfft(Y, self.n_fft, norm="ortho"))
        frames *= window.astype(frames.dtype, copy=False)
        return self._cut(overlap_add(frames, self.hop))

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


@dataclass(frozen=True, eq=False)
class Analysis(Frames):
    """An STFT without an inverse, for a model that reads it: any hop and any window will do.

    Only T and T^T carry relevance from the coefficients to the signal, so frames may leave gaps
    and windows sum to zero.

    Parameters
    ----------
    n, window, n_fft, hop
        As in `dftlrp.spectral.Stft` with boundary None; the hop may be longer than the window.

    Raises
    ------
    InputError
        If an argument is out of range.
    """

    n: int
    window: Window = "hann"
    n_fft: int = 400
    hop: int = 160
    boundary: Boundary = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._check_numbers()
        _ = self.analysis_window
