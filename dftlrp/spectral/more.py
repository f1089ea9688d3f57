"""More domains: cosine transform, orthogonal wavelets, resampling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from math import gcd
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral import checks
from dftlrp.spectral.domains import coefficient_rest, share, signal_rest

ORTHOGONAL = 1e-9  # how far a wavelet's tabulated filter may be from orthonormal


class RealDomain:
    """What domains with real coefficients on one axis share; see `Domain`."""

    n: int

    @property
    def bins(self) -> int:
        """Number of coefficients K; one for each sample unless a domain says otherwise."""
        return self.n

    @property
    def shape(self) -> tuple[int, ...]:
        """(K,)."""
        return (self.bins,)

    @property
    def is_complex(self) -> bool:
        """No: there is no phase."""
        return False

    def analysis(self, signal: ArrayLike) -> Real:
        """T x, (..., n) to (..., K)."""
        raise NotImplementedError

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S y, (..., K) to (..., n)."""
        raise NotImplementedError

    def synthesis_adjoint(self, signal: ArrayLike) -> Real:
        """S^T m, (..., n) to (..., K): T m where S = T^T."""
        return self.analysis(signal)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g, (..., K) to (..., n): S g where S = T^T."""
        return self.synthesis(coefficients)

    def share(self, signal: Real, multiplier: Real) -> tuple[AnyArray, AnyArray]:
        """T x, and its product with S^T m."""
        return share(self, signal, multiplier)

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """<x - S T x, m>: round-off, or what a lossy domain leaves out."""
        return signal_rest(self, signal, multiplier)

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """<y - T S y, g>."""
        return coefficient_rest(self, coefficients, multiplier)

    def _signal(self, signal: ArrayLike) -> Real:
        x = checks.real(signal, "signal")
        checks.length(x, -1, self.n, "signal")
        return x

    def _coefficients(self, coefficients: ArrayLike) -> Real:
        y = checks.real(coefficients, "coefficients")
        checks.length(y, -1, self.bins, "coefficients")
        return y


@dataclass(frozen=True)
class Dct(RealDomain):
    """The orthonormal discrete cosine transform (DCT-II) of signals of any length.

    y_k = s_k sum_n x_n cos(pi k (2 n + 1) / (2 N)), s_0 = N^(-1/2), else (2 / N)^(1/2).
    Coefficient k is k / (2 N) cycles per sample.

    Parameters
    ----------
    n : int
        Length N of the signal, in samples, at least 1; there are N coefficients.

    Raises
    ------
    InputError
        If `n` is not a whole number of at least 1; each method, if its last axis does not fit.
    """

    n: int

    def __post_init__(self) -> None:
        checks.whole(self.n, "n")

    def analysis(self, signal: ArrayLike) -> Real:
        """y = T x, (..., N) to (..., N)."""
        from scipy import fft

        return np.asarray(fft.dct(self._signal(signal), norm="ortho"))

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S y = T^T y, (..., N) to (..., N)."""
        from scipy import fft

        return np.asarray(fft.idct(self._coefficients(coefficients), norm="ortho"))


@dataclass(frozen=True)
class Wavelet(RealDomain):
    """A real orthogonal discrete wavelet transform, periodised.

    The signal is padded with zeros to a multiple of 2^level; the padding E and the transform W are
    isometries, so T = W E, S = T^T = E^T W^T and S T = 1 at any length.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    wavelet : str
        Name of an orthogonal wavelet of PyWavelets: haar, dbN, symN, coifN.
    level : int, optional
        How often the low half is split again; None: as often as the filter fits in.  At most
        ceil(log2 n).

    Raises
    ------
    InputError
        PyWavelets is not installed; the wavelet is unknown or not orthogonal; the level is too
        high; each method, if its last axis does not fit.
    """

    n: int
    wavelet: str = "db4"
    level: int | None = None

    def __post_init__(self) -> None:
        checks.whole(self.n, "n")
        most = (self.n - 1).bit_length()
        if self.level is not None and checks.whole(self.level, "level", 0) > most:
            raise InputError(f"level is {self.level}, but {self.n} samples have at most {most}")
        off = _off_orthonormal(np.asarray(self._filters.dec_lo))
        if not (self._filters.orthogonal and off < ORTHOGONAL):
            raise InputError(
                f"wavelet {self.wavelet!r} is not orthogonal (off by {off:.1g}); use haar, db1 to "
                "db38, sym2 to sym20 or coif1 to coif17"
            )

    @property
    def levels(self) -> int:
        """How often the low half is split again."""
        if self.level is not None:
            return self.level
        return int(_pywt().dwt_max_level(self.n, self._filters.dec_len))

    @property
    def bins(self) -> int:
        """Number of coefficients: n, rounded up to a multiple of 2^levels."""
        return -(-self.n >> self.levels << self.levels)

    @property
    def bands(self) -> dict[str, slice]:
        """Where each band lies among the coefficients, low to high: ``"a3"``, ``"d3"`` to ``"d1"``.

        Detail j spans 2^(-j-1) to 2^-j cycles per sample, the approximation what is below.
        """
        L = self.levels
        edges = [0, *(self.bins >> j for j in range(L, -1, -1))]
        names = [f"a{L}", *(f"d{j}" for j in range(L, 0, -1))]
        return {name: slice(*edges[i : i + 2]) for i, name in enumerate(names)}

    def analysis(self, signal: ArrayLike) -> Real:
        """y = W E x, (..., n) to (..., K), bands from low to high."""
        x = self._signal(signal)
        low = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, self.bins - self.n)])
        details: list[Real] = []
        for _ in range(self.levels):
            low, high = _pywt().dwt(low, self._filters, "periodization")
            details.append(high)
        return np.concatenate([low, *reversed(details)], axis=-1)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S y = E^T W^T y, (..., K) to (..., n)."""
        y = self._coefficients(coefficients)
        low, *details = (y[..., band] for band in self.bands.values())
        for high in details:
            low = _pywt().idwt(low, high, self._filters, "periodization")
        return np.asarray(low[..., : self.n])

    @cached_property
    def _filters(self) -> Any:
        make = _pywt().Wavelet
        try:
            return make(self.wavelet)
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"wavelet {self.wavelet!r} is not one of PyWavelets'") from None


def _pywt() -> ModuleType:
    try:
        return import_module("pywt")
    except ImportError:
        raise InputError("wavelets need PyWavelets; pip install 'dftlrp[wavelets]'") from None


def _off_orthonormal(low: Real) -> float:
    """Largest error of sum_k h_k h_(k + 2 j) = 1 if j = 0 else 0."""
    shifts = range(0, len(low), 2)
    return max(abs(float(low[j:] @ low[: len(low) - j]) - (j == 0)) for j in shifts)


@dataclass(frozen=True)
class Resample(RealDomain):
    """Sampling at another rate, by scipy's polyphase FIR filter with linear phase; lossy.

    T is `scipy.signal.resample_poly` by up / down and S the one by down / up, cut to n samples.
    The filter is symmetric, so T^T = (up / down) S and S^T = (down / up) T.  What S T x misses of
    x, such as the band above half the lower rate, is the rest.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    up, down : int
        The new rate is up / down of the old one; K = ceil(n up / down) coefficients.

    Raises
    ------
    InputError
        If a number is not whole or less than 1; each method, if its last axis does not fit.
    """

    n: int
    up: int
    down: int

    def __post_init__(self) -> None:
        for name in ("n", "up", "down"):
            checks.whole(getattr(self, name), name)

    @property
    def bins(self) -> int:
        """Number of samples at the new rate."""
        return -(-self.n * self._up // self._down)

    def analysis(self, signal: ArrayLike) -> Real:
        """T x, (..., n) to (..., K)."""
        return _resampled(self._signal(signal), self._up, self._down, self.bins)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S y, (..., K) to (..., n)."""
        return _resampled(self._coefficients(coefficients), self._down, self._up, self.n)

    def synthesis_adjoint(self, signal: ArrayLike) -> Real:
        """S^T m = (down / up) T m."""
        return self.analysis(signal) * (self._down / self._up)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g = (up / down) S g."""
        return self.synthesis(coefficients) * (self._up / self._down)

    @property
    def _up(self) -> int:
        return self.up // gcd(self.up, self.down)

    @property
    def _down(self) -> int:
        return self.down // gcd(self.up, self.down)


def _resampled(x: Real, up: int, down: int, size: int) -> Real:
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(x, up, down, axis=-1))[..., :size]
