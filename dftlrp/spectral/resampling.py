"""The signal at another sampling rate as a domain."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import Real
from dftlrp.spectral.checks import as_whole
from dftlrp.spectral.domain import RealDomain


@dataclass(frozen=True)
class Resample(RealDomain):
    """Sampling at another rate, by the linear-phase polyphase filter of SciPy; lossy.

    T is `scipy.signal.resample_poly` by up / down, and S the one by down / up, cut to n samples.
    The filter is symmetric, so T^T = (up / down) S and S^T = (down / up) T.  The relevance of what
    S T x misses of x, such as the band above half the lower rate, is the rest.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    up, down : int
        The new rate is up / down times the old one; there are K = ceil(n up / down) coefficients.

    Raises
    ------
    InputError
        If a number is not whole or less than 1.  Each method raises it if its last axis does not
        fit.

    See Also
    --------
    relevance_in : Carries relevance to the other rate.

    Examples
    --------
    >>> pair = dftlrp.spectral.Resample(1000, up=1, down=2)
    >>> pair.bins
    500
    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> found = dftlrp.spectral.relevance_in(pair, x, multiplier=x)
    >>> bool(np.isclose(found.relevance.sum() + found.rest, (x * x).sum()))
    True
    """

    n: int
    up: int
    down: int

    def __post_init__(self) -> None:
        for name in ("n", "up", "down"):
            as_whole(getattr(self, name), name)

    @property
    def bins(self) -> int:
        """Number of samples K at the new rate."""
        return -(-self.n * self._up // self._down)

    def analysis(self, signal: ArrayLike) -> Real:
        """Return T x, (..., n) to (..., K)."""
        return _resample_poly(self._signal(signal), self._up, self._down, self.bins)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S y, (..., K) to (..., n)."""
        return _resample_poly(self._coefficients(coefficients), self._down, self._up, self.n)

    def synthesis_adjoint(self, signal: ArrayLike) -> Real:
        """Return S^T m = (down / up) T m."""
        return self.analysis(signal) * (self._down / self._up)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g = (up / down) S g."""
        return self.synthesis(coefficients) * (self._up / self._down)

    @property
    def _up(self) -> int:
        return self.up // gcd(self.up, self.down)

    @property
    def _down(self) -> int:
        return self.down // gcd(self.up, self.down)


def _resample_poly(x: Real, up: int, down: int, size: int) -> Real:
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(x, up, down, axis=-1))[..., :size]
