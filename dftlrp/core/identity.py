"""Whether two computations of one function agree, and what to say of the first that does not.

An explanation is of the user's own function only if what relevance goes back through computes the
same numbers.  Two engines never agree to the last bit, so a deviation counts as an error only
where round-off does not explain it.  What round-off explains is a share of the largest number
that depends on the dtype; where a network is badly conditioned it is a multiple of its *noise*,
the deviation between the same graph in float64 and in the dtype that is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray

# Shares of the largest number.  A float32 network of a hundred layers loses 1e-6 to 1e-5.
ROUND_OFF = {"float64": 1e-7, "float32": 2e-5, "bfloat16": 5e-2, "float16": 1e-2}
NOISE_FACTOR, MOST_NOISE = 8.0, 1e-2
LANES = 8  # in which an engine that does not sum by pairs adds numbers at least


class Difference(NamedTuple):
    """A value for which two computations disagree; ``str`` words it.

    Attributes
    ----------
    name : str
        The layer or value.
    deviation : float
        Largest difference, relative to the largest number; infinite where the shapes differ or
        only one of the two is finite.
    allowed : float
        What round-off explains.
    """

    name: str
    deviation: float
    allowed: float

    def __str__(self) -> str:
        if np.isinf(self.deviation):
            return f"another shape, or numbers that are not finite, at {self.name!r}"
        return (
            f"off by {self.deviation:.1e} of the largest number at {self.name!r} "
            f"(round-off explains {self.allowed:.0e})"
        )


def measure_deviation(ours: AnyArray, want: AnyArray) -> float:
    """Return the largest difference of two arrays, relative to the largest number of ``want``.

    The result is infinite where the shapes differ, or where a NaN or an infinity of one array is
    not in the other.  Where all numbers of ``want`` are zero, the difference itself is returned.
    """
    if ours.shape != want.shape:
        return float("inf")
    a, b = ours.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    off = np.abs(a[finite] - b[finite]).max(initial=0)
    scale = np.abs(b[finite]).max(initial=0)
    return float(off / (scale or 1.0)) if np.isfinite(off) else float("inf")


def allow_deviation(dtype: str, noise: float = 0.0, terms: int = 0) -> float:
    """Return the deviation that round-off explains.

    Parameters
    ----------
    dtype : str
        The coarsest that either side computed in.
    noise : float
        Deviation between the same graph in float64 and in ``dtype``, where it was measured.  A
        noise above `MOST_NOISE` tells nothing, and is taken as that.
    terms : int
        Length of the longest sum.  NumPy adds by pairs, so that its noise does not grow with it;
        an engine that adds one number after the other may be off by a unit for each [1]_.

    References
    ----------
    .. [1] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, section 4.2, 2002.
    """
    steps = terms / LANES * float(np.finfo(np.float32).eps) if dtype == "float32" else 0.0
    return max(ROUND_OFF[dtype], NOISE_FACTOR * min(noise, MOST_NOISE), min(steps, MOST_NOISE))


def find_difference(
    ours: Mapping[str, AnyArray], want: Mapping[str, AnyArray], allowed: float
) -> Difference | None:
    """Return the first value, in the order of ``want``, that deviates by more than is allowed.

    A value that ``ours`` does not have is not compared.
    """
    for name in want:
        if name in ours:
            off = measure_deviation(ours[name], want[name])
            if not off <= allowed:
                return Difference(name, off, allowed)
    return None
