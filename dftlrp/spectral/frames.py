"""Frames of a signal and their Fourier transforms, for an STFT with or without an inverse."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from dftlrp.core import fft
from dftlrp.core.types import Complex, InputError, Real
from dftlrp.spectral.checks import as_coefficients, as_signal, as_whole
from dftlrp.spectral.dft import make_bin_weights
from dftlrp.spectral.windows import Window, make_window, overlap_add

Boundary = Literal["zeros", "center"] | None

# Frames are windowed and transformed in blocks of this many samples, which fit into the cache.
BLOCK = 2**16


class Frames:
    """The analysis T of an STFT and its adjoint.

    Y_tk = L^(-1/2) sum_n a_n x_(n + start_t) exp(-2 pi i k n / L); see `dftlrp.spectral.Stft` for
    the arguments.
    """

    n: int
    window: Window
    n_fft: int
    hop: int
    boundary: Boundary

    def _check_numbers(self, advice: str = "") -> None:
        for name in ("n", "n_fft", "hop"):
            as_whole(getattr(self, name), name)
        if self.boundary is None and self.n < self.n_fft:
            raise InputError(
                f"the signal has {self.n} samples, fewer than one frame of {self.n_fft}{advice}"
            )

    @cached_property
    def analysis_window(self) -> Real:
        """Samples of a, (n_fft,) float64."""
        return make_window(self.window, self.n_fft, "window")[0]

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self._count_frames(self.hop)

    @property
    def bins(self) -> int:
        """Number of frequencies K."""
        return self._dft_length // 2 + 1

    @property
    def weights(self) -> Real:
        """w_k, (K,): how many bins of the two-sided DFT each one-sided bin stands for."""
        return make_bin_weights(self._dft_length)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, T)."""
        return self.bins, self.frames

    @property
    def is_complex(self) -> bool:
        """True."""
        return True

    def analysis(self, signal: ArrayLike) -> Complex:
        """Return T x, real (..., n) to complex (..., K, T)."""
        return self._transform(as_signal(signal, self.n), self.analysis_window).swapaxes(-1, -2)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g = sum over frames of a irfft(g_t / w), complex (..., K, T) to (..., n)."""
        g = self._coefficients(coefficients)
        return self._overlap_add(g / self.weights.astype(g.real.dtype), self.analysis_window)

    def split_frames(self, signals: int = 1) -> list[tuple[int, int]]:
        """Return the first and last (exclusive) frame of each FFT call for a batch of signals.

        The computation in memory and that from file to file make the same calls, so that their
        results are equal bit for bit.
        """
        step = max(1, BLOCK // (signals * self.n_fft))
        head = -(-self._padding // self.hop)  # frames that begin before the signal
        body = max(head, 1 + (self.n - self.n_fft + self._padding) // self.hop)
        edges = [min(t, self.frames) for t in (0, head, body, self.frames)]
        return [(t, min(t + step, b)) for a, b in pairwise(edges) for t in range(a, b, step)]

    def find_samples(self, first: int, last: int) -> tuple[int, int]:
        """Return start and stop of the samples that frames first to last (exclusive) read."""
        start, stop = self._locate(first, last)
        return max(start, 0), min(max(stop, 0), self.n)

    def _count_frames(self, hop: int) -> int:
        if self.boundary == "zeros":
            return (self.n - 1 + self.n_fft) // hop
        padded = self.n + (2 * (self.n_fft // 2) if self.boundary == "center" else 0)
        return 1 + (padded - self.n_fft) // hop

    @property
    def _dft_length(self) -> int:
        return self.n_fft

    @property
    def _padding(self) -> int:
        """Number of zeros before the first sample."""
        return {"zeros": self.n_fft - self.hop, "center": self.n_fft // 2, None: 0}[self.boundary]

    def _locate(self, first: int, last: int) -> tuple[int, int]:
        """Return where frames first to last begin and end, also before and after the signal."""
        start = first * self.hop - self._padding
        return start, start + (last - 1 - first) * self.hop + self.n_fft

    def _cut_frames(self, x: Real, window: Real, first: int, last: int) -> Real:
        """Return frames of x times the window, (..., t, n_fft), with zeros around the signal."""
        start, stop = self._locate(first, last)
        if start < 0 or stop > self.n:
            sides = [(0, 0)] * (x.ndim - 1) + [(max(-start, 0), max(stop - self.n, 0))]
            x = np.pad(x, sides)
        frames = sliding_window_view(x, self.n_fft, axis=-1)[..., :: self.hop, :]
        return frames * window.astype(x.dtype, copy=False)

    def _allocate(self, x: Real) -> Complex:
        """Return an empty array for the coefficients of x, (..., T, K)."""
        shape = (*x.shape[:-1], self.frames, self.bins)
        return np.empty(shape, np.result_type(x.dtype, np.complex64))

    def _transform(self, x: Real, window: Real) -> Complex:
        """Return the orthonormal rfft(window x) of each frame, (..., n) to (..., T, K)."""
        Y = self._allocate(x)
        for first, last in self.split_frames(x.size // self.n):
            some = x[..., slice(*self.find_samples(first, last))]
            frames = self._cut_frames(some, window, first, last)
            Y[..., first:last, :] = fft.rfft(frames)
        return Y

    def _overlap_add(self, Y: Complex, window: Real) -> Real:
        """Return sum_t window irfft(Y_t), (..., T, K) to (..., n): `_transform`'s adjoint but w."""
        frames = fft.irfft(Y, self.n_fft)
        frames *= window.astype(frames.dtype, copy=False)
        padded = overlap_add(frames, self.hop)
        x = np.zeros((*padded.shape[:-1], self.n), padded.dtype)
        inside = padded[..., self._padding : self._padding + self.n]
        x[..., : inside.shape[-1]] = inside
        return x

    def _coefficients(self, coefficients: ArrayLike) -> Complex:
        """Return the coefficients with frames before frequency, (..., T, K)."""
        return as_coefficients(coefficients, self.shape, self.is_complex).swapaxes(-1, -2)


@dataclass(frozen=True, eq=False)
class Analysis(Frames):
    """An STFT without an inverse, for a model that reads it, with any hop and any window.

    Relevance is carried from the coefficients to the signal by T and T^T alone, so frames may leave
    gaps and windows may sum to zero.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    window, n_fft, hop
        As in `dftlrp.spectral.Stft` with boundary None; the hop may be longer than the window.

    Raises
    ------
    InputError
        If an argument is out of range.

    See Also
    --------
    Stft : With an inverse.

    Examples
    --------
    >>> frames = dftlrp.spectral.Analysis(1000, n_fft=64, hop=100)
    >>> frames.shape, frames.analysis(np.ones(1000)).shape
    ((33, 10), (33, 10))
    >>> frames.analysis_adjoint(np.ones((33, 10), complex)).shape
    (1000,)
    """

    n: int
    window: Window = "hann"
    n_fft: int = 400
    hop: int = 160
    boundary: Boundary = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._check_numbers()
        _ = self.analysis_window
