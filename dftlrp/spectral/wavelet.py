"""Orthogonal wavelets as a domain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import InputError, Real
from dftlrp.spectral.checks import as_whole
from dftlrp.spectral.domain import RealDomain

TOLERANCE = 1e-9  # largest error of a tabulated filter that still counts as orthonormal


@dataclass(frozen=True)
class Wavelet(RealDomain):
    """A real orthogonal discrete wavelet transform with periodic boundaries.

    The signal is padded with zeros to a multiple of 2^level.  The padding E and the transform W
    keep the norm, so that T = W E, S = T^T = E^T W^T and S T x = x at any length.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    wavelet : str
        Name of an orthogonal wavelet of PyWavelets: haar, dbN, symN or coifN.
    level : int, optional
        Number of times that the low half is split, at most ceil(log2 n).  The default is the
        largest number for which the filter is not longer than what it splits.

    Raises
    ------
    InputError
        If PyWavelets is not installed, the wavelet is unknown or not orthogonal, or the level is
        too high.  Each method raises it if its last axis does not fit.

    See Also
    --------
    relevance_in : Carries relevance to it.

    Examples
    --------
    >>> pair = dftlrp.spectral.Wavelet(64, "haar", level=3)
    >>> pair.levels, pair.bins, list(pair.bands)
    (3, 64, ['a3', 'd3', 'd2', 'd1'])
    >>> np.allclose(pair.synthesis(pair.analysis(np.arange(64.0))), np.arange(64.0))
    True
    """

    n: int
    wavelet: str = "db4"
    level: int | None = None

    def __post_init__(self) -> None:
        as_whole(self.n, "n")
        most = (self.n - 1).bit_length()
        if self.level is not None and as_whole(self.level, "level", 0) > most:
            raise InputError(f"level is {self.level}, but {self.n} samples have at most {most}")
        error = _measure_orthonormality(np.asarray(self._filters.dec_lo))
        if not (self._filters.orthogonal and error < TOLERANCE):
            raise InputError(
                f"wavelet {self.wavelet!r} is not orthogonal (off by {error:.1g}); use haar, db1 "
                "to db38, sym2 to sym20 or coif1 to coif17"
            )

    @property
    def levels(self) -> int:
        """Number of times that the low half is split."""
        if self.level is not None:
            return self.level
        return int(_import_pywt().dwt_max_level(self.n, self._filters.dec_len))

    @property
    def bins(self) -> int:
        """Number of coefficients: n, rounded up to a multiple of 2^levels."""
        return -(-self.n >> self.levels << self.levels)

    @property
    def bands(self) -> dict[str, slice]:
        """Place of each band among the coefficients: ``"a3"``, ``"d3"``, ``"d2"``, ``"d1"``.

        The detail d_j spans 2^(-j-1) to 2^-j cycles per sample, the approximation all below.
        """
        L = self.levels
        edges = [0, *(self.bins >> j for j in range(L, -1, -1))]
        names = [f"a{L}", *(f"d{j}" for j in range(L, 0, -1))]
        return {name: slice(*edges[i : i + 2]) for i, name in enumerate(names)}

    def analysis(self, signal: ArrayLike) -> Real:
        """Return y = W E x, (..., n) to (..., K), with the bands from low to high."""
        x = self._signal(signal)
        low = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, self.bins - self.n)])
        details: list[Real] = []
        for _ in range(self.levels):
            low, high = _import_pywt().dwt(low, self._filters, "periodization")
            details.append(high)
        return np.concatenate([low, *reversed(details)], axis=-1)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S y = E^T W^T y, (..., K) to (..., n)."""
        y = self._coefficients(coefficients)
        low, *details = (y[..., band] for band in self.bands.values())
        for high in details:
            low = _import_pywt().idwt(low, high, self._filters, "periodization")
        return np.asarray(low[..., : self.n])

    @cached_property
    def _filters(self) -> Any:
        make = _import_pywt().Wavelet
        try:
            return make(self.wavelet)
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"wavelet {self.wavelet!r} is not one of PyWavelets'") from None


def _import_pywt() -> ModuleType:
    try:
        return import_module("pywt")
    except ImportError:
        raise InputError("wavelets need PyWavelets; pip install 'dftlrp[wavelets]'") from None


def _measure_orthonormality(low: Real) -> float:
    """Return the largest error of sum_k h_k h_(k + 2 j) = (1 if j = 0 else 0)."""
    shifts = range(0, len(low), 2)
    return max(abs(float(low[j:] @ low[: len(low) - j]) - (j == 0)) for j in shifts)
