"""The DFT by two small matrix products, for backends whose arrays no FFT takes.

With N = N1 N2, n = N2 n1 + n2 and k = k1 + N1 k2 (Cooley and Tukey):

    Y_k = sum_n2 e^(-2 pi i n2 k2 / N2) e^(-2 pi i n2 k1 / N) sum_n1 e^(-2 pi i n1 k1 / N1) x_n
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Array
from dftlrp.core.types import AnyArray, UnsupportedModelError

MOST = 4096  # side of a matrix, at most


class Pair(NamedTuple):
    """Real and imaginary part; None where that is zero."""

    real: Array
    imag: Array = None

    def map(self, f: Callable[[Array], Array]) -> Pair:
        """Return the pair with f applied to each part."""
        return Pair(f(self.real), None if self.imag is None else f(self.imag))


def split_size(n: int) -> tuple[int, int]:
    """Return N1 and N2 with N1 N2 = n, as near to each other as there are."""
    small = max(k for k in range(1, math.isqrt(n) + 1) if n % k == 0)
    return small, n // small


def _multiply_complex(f: Callable[[Array, Array], Array], x: Pair, w: AnyArray) -> Pair:
    """Return the product of x with complex constants, by a product f of reals."""
    re, im = f(x.real, w.real), f(x.real, w.imag)
    if x.imag is None:
        return Pair(re, im)
    return Pair(re - f(x.imag, w.imag), im + f(x.imag, w.real))


def _make_waves(n: int, sign: int) -> AnyArray:
    waves: AnyArray = np.exp(sign * 2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    return waves


def apply_dft(bk: Backend, x: Pair, sign: int = -1) -> Pair:
    """Return the DFT of the last axis, not normalised; with sign 1 its conjugate transpose.

    Raises
    ------
    UnsupportedModelError
        The number of samples has no two factors that are small enough.
    """
    n, lead = x.real.shape[-1], x.real.shape[:-1]
    n1, n2 = split_size(n)
    if n2 > MOST:
        raise UnsupportedModelError(
            f"a DFT of {n} samples has no factors near {math.isqrt(n)} (the best are {n1} and {n2})"
            ": take another length, or backend='numpy'"
        )
    square = x.map(lambda p: bk.reshape(p, (*lead, n1, n2)))
    y = _multiply_complex(lambda a, w: bk.matmul(w, a), square, _make_waves(n1, sign))
    turn = np.exp(sign * 2j * np.pi * np.outer(np.arange(n1), np.arange(n2)) / n)
    y = _multiply_complex(lambda a, w: a * w, y, turn)
    y = _multiply_complex(bk.matmul, y, _make_waves(n2, sign))
    axes = (*range(len(lead)), len(lead) + 1, len(lead))
    return y.map(lambda p: bk.reshape(bk.transpose(p, axes), (*lead, n)))
