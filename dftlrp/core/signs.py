"""The algebra of signs: what is known of the sign of an array, and of a function's result.

A rule that splits its inputs by sign needs one half only where the sign is known.  Arrays whose
numbers cannot be looked at (symbols of a graph under construction, tensors that carry a gradient)
therefore carry a `Sign`, and `find_sign` derives that of a function's result from its arguments.
It is always right to know nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np


class Sign(NamedTuple):
    """What is known of all elements of an array.

    Attributes
    ----------
    nonneg : bool
        Whether every element is known to be >= 0.
    nonpos : bool
        Whether every element is known to be <= 0.
    """

    nonneg: bool
    nonpos: bool


UNKNOWN, NONNEG, NONPOS, ZERO = (
    Sign(False, False),
    Sign(True, False),
    Sign(False, True),
    Sign(True, True),
)


def sign_of(x: Any) -> Sign:
    """Return the sign of an array or number: the one that it carries, else that of its numbers."""
    if isinstance(carried := getattr(x, "sign", None), Sign):
        return carried
    a = np.asarray(x)
    if a.dtype.kind == "b":
        return NONNEG
    return Sign(bool(np.min(a, initial=0) >= 0), bool(np.max(a, initial=0) <= 0))


# -- signs of signs


def flip(a: Sign) -> Sign:
    """Return the sign of -a."""
    return Sign(a.nonpos, a.nonneg)


def join(a: Sign, b: Sign) -> Sign:
    """Return the sign of a + b, which is also that of a and b side by side."""
    return Sign(a.nonneg and b.nonneg, a.nonpos and b.nonpos)


def multiply(a: Sign, b: Sign) -> Sign:
    """Return the sign of a b."""
    return Sign(
        (a.nonneg and b.nonneg) or (a.nonpos and b.nonpos),
        (a.nonneg and b.nonpos) or (a.nonpos and b.nonneg),
    )


def maximum(a: Sign, b: Sign) -> Sign:
    """Return the sign of max(a, b)."""
    return Sign(a.nonneg or b.nonneg, a.nonpos and b.nonpos)


def minimum(a: Sign, b: Sign) -> Sign:
    """Return the sign of min(a, b)."""
    return Sign(a.nonneg and b.nonneg, a.nonpos or b.nonpos)


# -- signs of a function's result, from its arguments


def find_sign(name: str, *args: Any, **kwargs: Any) -> Sign:
    """Return the sign of what a function gives for these arguments.

    Parameters
    ----------
    name : str
        A primitive of the backend contract or a function of NumPy, by its name.
    *args, **kwargs
        As the function takes them: arrays, numbers, or tuples of these.
    """
    return RULES[name](*args, **kwargs) if name in RULES else UNKNOWN


def _keep(x: Any, *_: Any, **__: Any) -> Sign:
    return sign_of(x)


def _nonneg(*_: Any, **__: Any) -> Sign:
    return NONNEG


def _product(a: Any, b: Any, *_: Any, **__: Any) -> Sign:
    known = sign_of(a)  # where it is unknown, many numbers of b need not be looked at
    return UNKNOWN if known == UNKNOWN else multiply(known, sign_of(b))


def _add(a: Any, b: Any) -> Sign:
    known = sign_of(a)
    return UNKNOWN if known == UNKNOWN else join(known, sign_of(b))


def _subtract(a: Any, b: Any) -> Sign:
    known = sign_of(a)
    return UNKNOWN if known == UNKNOWN else join(known, flip(sign_of(b)))


def _multiply(a: Any, b: Any) -> Sign:
    return NONNEG if a is b else _product(a, b)


def _einsum(_: str, *xs: Any, **__: Any) -> Sign:
    return reduce(multiply, map(sign_of, xs))


def _join(xs: Sequence[Any], *_: Any, **__: Any) -> Sign:
    return reduce(join, map(sign_of, xs))


def _power(a: Any, exponent: Any) -> Sign:
    even = not hasattr(exponent, "sign") and not np.any(np.mod(exponent, 2))
    return NONNEG if even or sign_of(a).nonneg else UNKNOWN


def _clip(x: Any, low: Any = None, high: Any = None) -> Sign:
    sign = sign_of(x)
    sign = sign if low is None else maximum(sign, sign_of(low))
    return sign if high is None else minimum(sign, sign_of(high))


def _largest(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Sign:
    return sign_of(x) if initial is None else maximum(sign_of(x), sign_of(initial))


def _smallest(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Sign:
    return sign_of(x) if initial is None else minimum(sign_of(x), sign_of(initial))


def _fill(x: Any, _: Any, fill: Any = 0.0, constant_values: Any = 0.0) -> Sign:
    return join(sign_of(x), join(sign_of(fill), sign_of(constant_values)))


RULES: dict[str, Callable[..., Sign]] = {
    **dict.fromkeys(
        ("reshape", "transpose", "moveaxis", "expand_dims", "broadcast_to", "getitem",
         "slice_T", "take", "take_along_axis", "pick_T", "flip", "repeat", "tile",
         "sum", "sum_to", "cumsum", "maxpool", "maxpool_T", "sign", "trunc", "floor", "ceil",
         "rint", "round", "tanh", "erf", "sinh", "arcsin", "arctan", "arcsinh", "arctanh"), _keep
    ),
    **dict.fromkeys(
        ("step", "exp", "sqrt", "sigmoid", "absolute", "cosh", "arccos", "ones_like", "argmax",
         "argmin", "argsort", "equal", "not_equal", "greater", "greater_equal", "less",
         "less_equal", "isfinite", "isinf", "isneginf", "isnan"), _nonneg
    ),
    **dict.fromkeys(("divide", "matmul", "conv", "conv_T"), _product),
    **dict.fromkeys(("concatenate", "stack"), _join),
    "max": _largest,
    "min": _smallest,
    **dict.fromkeys(("pad", "pick"), _fill),
    "multiply": _multiply,
    "einsum": _einsum,
    "power": _power,
    "clip": _clip,
    "pos": lambda x: maximum(sign_of(x), ZERO),
    "neg": lambda x: minimum(sign_of(x), ZERO),
    "negative": lambda x: flip(sign_of(x)),
    "add": _add,
    "subtract": _subtract,
    "maximum": lambda a, b: maximum(sign_of(a), sign_of(b)),
    "minimum": lambda a, b: minimum(sign_of(a), sign_of(b)),
    "where": lambda _, a, b: join(sign_of(a), sign_of(b)),
    "astype": lambda x, dtype: NONNEG if np.dtype(dtype).kind in "bu" else sign_of(x),
    "zeros_like": lambda x, dtype=None: ZERO,
    "full_like": lambda x, value: sign_of(value),
}  # fmt: skip
