"""Domains: pairs of analysis and synthesis, each with its adjoint.

The contract first, then the discrete Fourier transform.  Anything else (cosine transform,
wavelets, resampling, mel pooling, a user's own operator) is one more class with these methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Complex, Real
from dftlrp.spectral import checks

A = TypeVar("A", bound=AnyArray)


class Domain(Protocol):
    """A representation of signals of length n: analysis T and synthesis S, with S T x = x.

    All four maps are linear over the reals, act on the last axes and leave batch axes alone.
    Adjoints belong to <y, z> = Re sum y conj(z), so <T x, y> = <x, T^T y> and
    <S y, x> = <y, S^T x>.  All four are needed: unless T is orthogonal, S^T is not T, and
    relevance carried by T instead of S^T does not conserve.
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
        """T x, signal to coefficients."""
        ...

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S y, coefficients to signal."""
        ...

    def synthesis_adjoint(self, signal: ArrayLike) -> AnyArray:
        """S^T m, multiplier of the signal to multiplier of the coefficients."""
        ...

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g, multiplier of the coefficients to multiplier of the signal."""
        ...

    def share(self, signal: Real, multiplier: Real) -> tuple[AnyArray, AnyArray]:
        """T x and conj(T x) S^T m: its real part is the relevance, its imaginary part the phase.

        The function `share` does it for any domain; one that works in blocks can do it faster.
        """
        ...

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """<x - S T x, m> over the signal's axis: relevance that the coefficients cannot show."""
        ...

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """<y - T S y, g>: relevance of what in y is no transform of a signal."""
        ...


def inner(y: AnyArray, z: AnyArray, axes: int = 1) -> Real:
    """<y, z> = Re sum y conj(z) over the last `axes` axes, one number per batch element."""
    products = y.real * z.real
    if np.iscomplexobj(y) and np.iscomplexobj(z):
        products = products + y.imag * z.imag
    return np.asarray(products.sum(axis=tuple(range(-axes, 0))))


def share(domain: Domain, signal: Real, multiplier: Real) -> tuple[AnyArray, AnyArray]:
    """T x and conj(T x) S^T m, of any domain."""
    y = domain.analysis(signal)
    return y, np.conj(y) * domain.synthesis_adjoint(multiplier)


def signal_rest(domain: Domain, signal: Real, multiplier: Real) -> Real:
    """<x - S T x, m>, of any domain."""
    return inner(signal - domain.synthesis(domain.analysis(signal)), multiplier)


def coefficient_rest(domain: Domain, coefficients: AnyArray, multiplier: AnyArray) -> Real:
    """<y - T S y, g>, of any domain."""
    foreign = coefficients - domain.analysis(domain.synthesis(coefficients))
    return inner(foreign, multiplier, len(domain.shape))


@dataclass(frozen=True)
class Dft:
    """The orthonormal discrete Fourier transform of real signals of any length.

    Y_k = N^(-1/2) sum_n x_n exp(-2 pi i k n / N).  One-sided, K = N // 2 + 1 bins stand for N, and
    every bin but DC and (N even) Nyquist speaks for its mirror image: w_k = 2, else 1.

    Parameters
    ----------
    n : int
        Length N of the signal, in samples, at least 1.
    onesided : bool
        False: all N bins, and w = 1.

    Raises
    ------
    InputError
        If `n` is not a whole number of at least 1; each method, if its last axis does not fit.
    """

    n: int
    onesided: bool = True

    def __post_init__(self) -> None:
        checks.whole(self.n, "n")

    @property
    def bins(self) -> int:
        """Number of coefficients K."""
        return self.n // 2 + 1 if self.onesided else self.n

    @property
    def shape(self) -> tuple[int, ...]:
        """(K,)."""
        return (self.bins,)

    @property
    def is_complex(self) -> bool:
        """Yes."""
        return True

    @property
    def weights(self) -> Real:
        """w_k, (K,) float64: how many of the N bins coefficient k stands for."""
        return bin_weights(self.n) if self.onesided else np.ones(self.n)

    def analysis(self, signal: ArrayLike) -> Complex:
        """Y = T x, the orthonormal rfft; real (..., N) to complex (..., K)."""
        from scipy import fft

        x = self._signal(signal)
        return np.asarray((fft.rfft if self.onesided else fft.fft)(x, norm="ortho"))

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S Y, complex (..., K) to real (..., N); imaginary DC and Nyquist drop out."""
        from scipy import fft

        Y = self._coefficients(coefficients)
        if self.onesided:
            return np.asarray(fft.irfft(Y, self.n, norm="ortho"))
        return np.asarray(fft.ifft(Y, norm="ortho")).real

    def synthesis_adjoint(self, signal: ArrayLike) -> Complex:
        """S^T m = w T m, because x_n is N^(-1/2) Re sum_k w_k Y_k exp(2 pi i k n / N)."""
        c = self.analysis(signal)
        return weigh(c, self.n) if self.onesided else c

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g = S (g / w), complex (..., K) to real (..., N)."""
        g = self._coefficients(coefficients)
        return self.synthesis(g / self.weights.astype(g.real.dtype))

    def share(self, signal: Real, multiplier: Real) -> tuple[Complex, Complex]:
        """T x and conj(T x) S^T m, both (..., K)."""
        from scipy import fft

        if not self.onesided:
            return share(self, signal, multiplier)
        y, c = fft.rfft(signal, norm="ortho"), fft.ihfft(multiplier, norm="ortho")
        return y, weigh(times_conjugate(y, c), self.n)

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """Zeros: the DFT shows every signal whole."""
        return np.zeros(signal.shape[:-1], signal.dtype)

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """Sum over DC and Nyquist of Im Y Im g, the one thing that no real signal has."""
        if not self.onesided:
            return coefficient_rest(self, coefficients, multiplier)
        alone = alone_bins(self.n)
        return inner(coefficients[..., alone].imag, multiplier[..., alone].imag)

    def _signal(self, signal: ArrayLike) -> Real:
        x = checks.real(signal, "signal")
        checks.length(x, -1, self.n, "signal")
        return x

    def _coefficients(self, coefficients: ArrayLike) -> Complex:
        Y = checks.complexes(coefficients, "coefficients")
        checks.length(Y, -1, self.bins, "coefficients")
        return Y


def alone_bins(n: int) -> slice:
    """Bins of a one-sided DFT that stand for themselves only: DC and (n even) Nyquist."""
    return slice(0, None, n // 2) if n % 2 == 0 else slice(0, 1)


def bin_weights(n: int) -> Real:
    """w_k of a one-sided DFT of length n, (n // 2 + 1,): 1 at DC and (n even) Nyquist, else 2."""
    return weigh(np.ones(n // 2 + 1), n)


def weigh(c: A, n: int) -> A:
    """Multiply c by w, in place; (..., n // 2 + 1).

    All are doubled and the ends put right: that is four times faster than to double a slice.
    """
    np.add(c, c, out=c)
    return halve_alone(c, n)


def halve_alone(c: A, n: int) -> A:
    """Halve DC and (n even) Nyquist, in place."""
    alone = c[..., alone_bins(n)]
    alone *= 0.5
    return c


def times_conjugate(y: Complex, c: Complex) -> Complex:
    """conj(y) c, given conj(c), and in its memory.

    An FFT gives conj(c) for nothing (`ihfft`), and one conjugation in place is all that is left.
    """
    c *= y
    return np.conjugate(c, out=c)
