"""The discrete Fourier transform as a domain, and the weights of one-sided bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core import fft
from dftlrp.core.types import AnyArray, Complex, Real
from dftlrp.spectral.checks import as_coefficients, as_signal, as_whole
from dftlrp.spectral.domain import DomainDefaults, inner

A = TypeVar("A", bound=AnyArray)


@dataclass(frozen=True)
class Dft(DomainDefaults):
    """The orthonormal discrete Fourier transform of real signals of any length.

    Y_k = N^(-1/2) sum_n x_n exp(-2 pi i k n / N).  The one-sided transform has K = N // 2 + 1 of
    the N bins.  Each of them but DC and (N even) Nyquist also stands for its mirror image, which
    the weight w_k = 2 counts; w_k = 1 at DC and Nyquist.

    Parameters
    ----------
    n : int
        Length N of the signal, in samples, at least 1.
    onesided : bool
        False: all N bins, and w = 1.

    Raises
    ------
    InputError
        If `n` is not a whole number of at least 1.  Each method raises it if its last axis does
        not fit.

    See Also
    --------
    dftlrp.dft_lrp : Carries relevance to it.
    Stft : In frames.

    Examples
    --------
    >>> pair = dftlrp.spectral.Dft(8)
    >>> pair.shape, pair.weights
    ((5,), array([1., 2., 2., 2., 1.]))
    >>> np.allclose(pair.synthesis(pair.analysis(np.arange(8.0))), np.arange(8.0))
    True
    """

    n: int
    onesided: bool = True

    def __post_init__(self) -> None:
        as_whole(self.n, "n")

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
        """True."""
        return True

    @property
    def weights(self) -> Real:
        """w_k, (K,) float64: how many of the N bins coefficient k stands for."""
        return make_bin_weights(self.n) if self.onesided else np.ones(self.n)

    def analysis(self, signal: ArrayLike) -> Complex:
        """Return Y = T x, the orthonormal rfft; real (..., N) to complex (..., K)."""
        x = as_signal(signal, self.n)
        if self.onesided:
            return fft.rfft(x)
        from scipy import fft as both_sides

        return np.asarray(both_sides.fft(x, norm="ortho"))

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S Y, complex (..., K) to real (..., N); Im Y at DC and Nyquist is ignored."""
        Y = self._coefficients(coefficients)
        if self.onesided:
            return fft.irfft(Y, self.n)
        from scipy import fft as both_sides

        return np.asarray(both_sides.ifft(Y, norm="ortho")).real

    def synthesis_adjoint(self, signal: ArrayLike) -> Complex:
        """Return S^T m = w T m, since x_n = N^(-1/2) Re sum_k w_k Y_k exp(2 pi i k n / N)."""
        c = self.analysis(signal)
        return weigh_bins(c, self.n) if self.onesided else c

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g = S (g / w), complex (..., K) to real (..., N)."""
        g = self._coefficients(coefficients)
        return self.synthesis(g / self.weights.astype(g.real.dtype))

    def share(self, signal: Real, multiplier: Real) -> tuple[Complex, Complex]:
        """Return T x and the products conj(T x) S^T m, both (..., K)."""
        if not self.onesided:
            return super().share(signal, multiplier)
        y, c = fft.rfft(signal), fft.ihfft(multiplier)
        return y, weigh_bins(multiply_conjugate(y, c), self.n)

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """Return zeros: the DFT shows every signal completely."""
        return np.zeros(signal.shape[:-1], signal.dtype)

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """Return the sum of Im Y Im g over DC and Nyquist, where the DFT of a signal is real."""
        if not self.onesided:
            return super().coefficient_rest(coefficients, multiplier)
        unpaired = find_unpaired_bins(self.n)
        return inner(coefficients[..., unpaired].imag, multiplier[..., unpaired].imag)

    def _coefficients(self, coefficients: ArrayLike) -> Complex:
        return as_coefficients(coefficients, self.shape, self.is_complex)


def find_unpaired_bins(n: int) -> slice:
    """Return the bins of a one-sided DFT without a mirror image: DC and (n even) Nyquist."""
    return slice(0, None, n // 2) if n % 2 == 0 else slice(0, 1)


def make_bin_weights(n: int) -> Real:
    """Return w_k of a one-sided DFT of length n, (n // 2 + 1,): 1 at DC and Nyquist, else 2."""
    return weigh_bins(np.ones(n // 2 + 1), n)


def weigh_bins(c: A, n: int) -> A:
    """Multiply c, (..., n // 2 + 1), by w in place and return it.

    All bins are doubled and the unpaired ones halved again, which is four times faster than to
    double a slice.
    """
    np.add(c, c, out=c)
    return halve_unpaired(c, n)


def halve_unpaired(c: A, n: int) -> A:
    """Halve DC and (n even) Nyquist in place and return the array."""
    unpaired = c[..., find_unpaired_bins(n)]
    unpaired *= 0.5
    return c


def multiply_conjugate(y: Complex, c: Complex) -> Complex:
    """Return conj(y) conj(c) in the memory of c.

    `fft.ihfft` gives the conjugate of a spectrum, so the conjugate of c y is the
    product conj(y) C for the spectrum C = conj(c).
    """
    c *= y
    return np.conjugate(c, out=c)
