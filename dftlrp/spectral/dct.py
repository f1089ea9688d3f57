"""The discrete cosine transform as a domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import Real
from dftlrp.spectral.checks import as_whole
from dftlrp.spectral.domain import RealDomain


@dataclass(frozen=True)
class Dct(RealDomain):
    """The orthonormal discrete cosine transform (DCT-II) of signals of any length.

    y_k = s_k sum_n x_n cos(pi k (2 n + 1) / (2 N)) with s_0 = N^(-1/2), else s_k = (2 / N)^(1/2).
    Coefficient k has the frequency k / (2 N) cycles per sample.

    Parameters
    ----------
    n : int
        Length N of the signal, in samples, at least 1; there are N coefficients.

    Raises
    ------
    InputError
        If `n` is not a whole number of at least 1.  Each method raises it if its last axis does
        not fit.

    See Also
    --------
    Dft : Complex coefficients, which have a phase.
    relevance_in : Carries relevance to it.

    Examples
    --------
    >>> pair = dftlrp.spectral.Dct(8)
    >>> np.allclose(pair.synthesis(pair.analysis(np.arange(8.0))), np.arange(8.0))
    True
    """

    n: int

    def __post_init__(self) -> None:
        as_whole(self.n, "n")

    def analysis(self, signal: ArrayLike) -> Real:
        """Return y = T x, (..., N) to (..., N)."""
        from scipy import fft

        return np.asarray(fft.dct(self._signal(signal), norm="ortho"))

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S y = T^T y, (..., N) to (..., N)."""
        from scipy import fft

        return np.asarray(fft.idct(self._coefficients(coefficients), norm="ortho"))
