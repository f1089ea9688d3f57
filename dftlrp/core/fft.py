"""Orthonormal Fourier transforms of real signals along the last axis.

In float64 they are NumPy's, to the last digit what SciPy gives, whose import takes a quarter of a
second; in float32, which not every NumPy keeps, SciPy's.
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.types import Complex, Real


def rfft(x: Real) -> Complex:
    """Return N^(-1/2) sum_n x_n exp(-2 pi i k n / N), (..., N) to (..., N // 2 + 1)."""
    if x.dtype != np.float64:
        from scipy import fft

        return np.asarray(fft.rfft(x, norm="ortho"))
    y = np.ascontiguousarray(np.fft.rfft(x))  # as a view needs it; where it is so, no copy
    parts = y.view(np.float64)  # a product with a complex number would lose the sign of a zero
    parts *= _find_factor(x.shape[-1])
    return y


def ihfft(x: Real) -> Complex:
    """Return the conjugate of `rfft`."""
    y = rfft(x)
    np.conjugate(y, out=y)
    y.imag[..., 0] = 0.0  # and not -0
    if x.shape[-1] % 2 == 0:
        y.imag[..., -1] = 0.0
    return y


def irfft(y: Complex, n: int) -> Real:
    """Return what `rfft` was made of, (..., n // 2 + 1) to (..., n)."""
    if y.dtype != np.complex128:
        from scipy import fft

        return np.asarray(fft.irfft(y, n, norm="ortho"))
    x = np.fft.irfft(y, n, norm="forward")
    x *= _find_factor(n)
    return x


def _find_factor(n: int) -> float:
    """Return n^(-1/2), rounded once."""
    return float(1 / np.sqrt(np.longdouble(n)))
