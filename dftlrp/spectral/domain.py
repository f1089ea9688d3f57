"""The contract of a domain, and base classes that fill in what most domains share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Real
from dftlrp.spectral.checks import as_coefficients, as_signal


class Domain(Protocol):
    """A representation of signals of length n: an analysis T and a synthesis S with S T x = x.

    All four maps are linear over the reals, act on the last axes and leave batch axes alone.
    Adjoints belong to the inner product <y, z> = Re sum y conj(z), that is <T x, y> = <x, T^T y>
    and <S y, x> = <y, S^T x>.  All four maps are needed: unless T is orthogonal, S^T differs from
    T, and relevance carried by T instead of S^T is not conserved.

    See Also
    --------
    Custom : Makes one of functions or matrices, and checks its laws.
    relevance_in, relevance_from : Take one.

    Examples
    --------
    >>> pair = dftlrp.spectral.Dct(8)
    >>> x = np.arange(8.0)
    >>> pair.n, pair.shape, pair.is_complex
    (8, (8,), False)
    >>> np.allclose(pair.synthesis(pair.analysis(x)), x)
    True
    >>> y, products = pair.share(x, np.ones(8))  # T x, and its products with the multiplier
    >>> np.allclose(products, y * pair.synthesis_adjoint(np.ones(8)))
    True
    >>> np.allclose(pair.analysis_adjoint(y), x)
    True
    >>> float(abs(pair.signal_rest(x, np.ones(8)).round(9)))
    0.0
    >>> float(abs(pair.coefficient_rest(y, y).round(9)))
    0.0
    """

    @property
    def n(self) -> int:
        """Length of the signal, in samples."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the coefficients of one signal."""
        ...

    @property
    def is_complex(self) -> bool:
        """Whether the coefficients are complex."""
        ...

    def analysis(self, signal: ArrayLike) -> AnyArray:
        """Return the coefficients T x of a signal x.

        Parameters
        ----------
        signal : array (..., n)
            Real.

        Returns
        -------
        array (..., *shape)
            Real or complex, see `is_complex`.
        """
        ...

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return the signal S y of coefficients y.

        Parameters
        ----------
        coefficients : array (..., *shape)
            Any, also such that no signal has.

        Returns
        -------
        array (..., n)
            Real.
        """
        ...

    def synthesis_adjoint(self, signal: ArrayLike) -> AnyArray:
        """Return S^T m, the multiplier of the coefficients, from m, that of the signal.

        Parameters
        ----------
        signal : array (..., n)
            The multiplier m.

        Returns
        -------
        array (..., *shape)
            Real or complex, as the coefficients.
        """
        ...

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g, the multiplier of the signal, from g, that of the coefficients.

        Parameters
        ----------
        coefficients : array (..., *shape)
            The multiplier g.

        Returns
        -------
        array (..., n)
            Real.
        """
        ...

    def share(self, signal: Real, multiplier: Real) -> tuple[AnyArray, AnyArray]:
        """Return T x and the products conj(T x) S^T m.

        The real part of the products is the relevance, the imaginary part the phase sensitivity.

        Parameters
        ----------
        signal, multiplier : array (..., n)
            x and m, real.

        Returns
        -------
        tuple of two arrays (..., *shape)
            Coefficients and products.
        """
        ...

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """Return <x - S T x, m>: relevance that the coefficients cannot show.

        Parameters
        ----------
        signal, multiplier : array (..., n)
            x and m, real.

        Returns
        -------
        array (...)
            One number for each signal.
        """
        ...

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """Return <y - T S y, g>: relevance of the part of y that no signal has.

        Parameters
        ----------
        coefficients, multiplier : array (..., *shape)
            y and g.

        Returns
        -------
        array (...)
            One number for each signal.
        """
        ...


def inner(y: AnyArray, z: AnyArray, axes: int = 1) -> Real:
    """Return <y, z> = Re sum y conj(z) over the last axes, one number per batch element.

    Parameters
    ----------
    y, z : array, same shape
        Real or complex.
    axes : int
        Number of axes that are summed over.

    Returns
    -------
    array
        Real, in the shape of the axes in front.

    See Also
    --------
    Domain : Its adjoints belong to this product.

    Examples
    --------
    >>> float(dftlrp.spectral.inner(np.array([1j, 2]), np.array([1j, 3])))
    7.0
    """
    products = y.real * z.real
    if np.iscomplexobj(y) and np.iscomplexobj(z):
        products = products + y.imag * z.imag
    return np.asarray(products.sum(axis=tuple(range(-axes, 0))))


class DomainDefaults:
    """The methods of a `Domain` that follow from its four maps; a domain may have faster ones."""

    def share(self: Domain, signal: Real, multiplier: Real) -> tuple[AnyArray, AnyArray]:
        """Return T x and the products conj(T x) S^T m."""
        y = self.analysis(signal)
        return y, np.conj(y) * self.synthesis_adjoint(multiplier)

    def signal_rest(self: Domain, signal: Real, multiplier: Real) -> Real:
        """Return <x - S T x, m>: round-off, or the relevance of what a lossy domain leaves out."""
        return inner(signal - self.synthesis(self.analysis(signal)), multiplier)

    def coefficient_rest(self: Domain, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """Return <y - T S y, g>."""
        foreign = coefficients - self.analysis(self.synthesis(coefficients))
        return inner(foreign, multiplier, len(self.shape))


class RealDomain(DomainDefaults):
    """Base class of domains whose coefficients are real and lie on one axis.

    The adjoints given here are those of an orthogonal pair, S = T^T.
    """

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
        """False: real coefficients have no phase."""
        return False

    def analysis(self, signal: ArrayLike) -> Real:
        """Return T x, (..., n) to (..., K)."""
        raise NotImplementedError

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S y, (..., K) to (..., n)."""
        raise NotImplementedError

    def synthesis_adjoint(self, signal: ArrayLike) -> Real:
        """Return S^T m = T m, (..., n) to (..., K)."""
        return self.analysis(signal)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g = S g, (..., K) to (..., n)."""
        return self.synthesis(coefficients)

    def _signal(self, signal: ArrayLike) -> Real:
        return as_signal(signal, self.n)

    def _coefficients(self, coefficients: ArrayLike) -> Real:
        return as_coefficients(coefficients, self.shape, self.is_complex)
