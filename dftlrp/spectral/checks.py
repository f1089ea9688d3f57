"""What the spectral functions refuse, in one line that says what, where and what to do."""

from __future__ import annotations

import cmath
from numbers import Real as Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Complex, InputError, Real

WHOLE = (int, np.integer)  # np.bool_ is neither


def array(values: ArrayLike, name: str) -> AnyArray:
    """`values` as an array; refuses lists of unequal lengths."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} is a ragged list; its rows must have equal lengths") from None


def real(values: ArrayLike, name: str) -> Real:
    """`values` as float32 if they are float32, else as float64 (integers too).

    Raises
    ------
    InputError
        Complex, not numeric, without an axis or empty.
    """
    values = array(values, name)
    dtype = values.dtype
    if dtype.kind == "c":
        raise InputError(f"{name} is complex ({dtype}), but must be real; pass its real part")
    _numeric(values, name, "iuf")
    return values if dtype.char in "df" and dtype.isnative else values.astype(np.float64)


def complexes(values: ArrayLike, name: str) -> Complex:
    """`values` as complex64 if they have single precision, else as complex128."""
    values = array(values, name)
    _numeric(values, name, "iufc")
    single = values.dtype in (np.float32, np.complex64)
    return values.astype(np.complex64 if single else np.complex128, copy=False)


def _numeric(array: AnyArray, name: str, kinds: str) -> None:
    if array.dtype.kind not in kinds:
        raise InputError(f"{name} has dtype {array.dtype}, but must be numbers")
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}, but needs at least one sample")


def finite(array: AnyArray, name: str, start: int = 0) -> None:
    """Refuse NaN and Inf, naming the first position; `start` is that of the last axis."""
    good = np.isfinite(array)
    if not good.all():
        first = tuple(int(i) for i in np.unravel_index(int(np.argmin(good)), array.shape))
        where = (*first[:-1], first[-1] + start) if array.ndim > 1 else first[0] + start
        raise InputError(f"{name} is {array[first]} at index {where}; remove NaN and Inf first")


def same_shape(array: AnyArray, other: AnyArray, name: str, other_name: str) -> None:
    """Refuse two shapes that differ."""
    if array.shape != other.shape:
        raise InputError(
            f"{name} has shape {array.shape}, but {other_name} has {other.shape}; they must agree"
        )


def shape(array: AnyArray, expected: tuple[int, ...], name: str) -> None:
    """Refuse last axes of other lengths than the domain has."""
    if array.shape[-len(expected) :] != expected:
        axes = ", ".join(map(str, expected))
        raise InputError(f"{name} has shape {array.shape}, but must be (..., {axes})")


def length(array: AnyArray, axis: int, expected: int, name: str) -> None:
    """Refuse an axis of another length than the domain was made for."""
    if array.ndim < -axis or array.shape[axis] != expected:
        raise InputError(
            f"{name} has shape {array.shape}, but axis {axis} must have length {expected}"
        )


def exactly_one(relevance: Any, multiplier: Any) -> None:
    """Refuse both and neither."""
    if (relevance is None) == (multiplier is None):
        how_many = "neither" if relevance is None else "both"
        raise InputError(f"pass exactly one of relevance and multiplier; got {how_many}")


def axis(value: Any, array: AnyArray, name: str) -> int:
    """`value` as the number of an axis of `array`."""
    if isinstance(value, bool) or not isinstance(value, WHOLE):
        raise InputError(f"axis is {value!r}, but must be a whole number")
    if not -array.ndim <= value < array.ndim:
        raise InputError(f"axis {value} does not exist in a {name} of shape {array.shape}")
    return int(value)


def hertz(rate: Any) -> None:
    """Refuse what is no positive number."""
    good = isinstance(rate, Number) and not isinstance(rate, bool)
    if not (good and 0 < float(rate) < float("inf")):
        raise InputError(f"rate is {rate!r}, but must be a positive number of hertz")


def products(array: AnyArray, rest: Real | float, name: str) -> None:
    """Refuse a result that overflowed, within `np.errstate`; the sum says so, but may alone."""
    total = np.add.reduce(array, None) + (np.add.reduce(rest, None) if np.ndim(rest) else rest)
    if cmath.isfinite(total):
        return
    if not (np.isfinite(array).all() and np.isfinite(rest).all()):
        raise InputError(
            f"the relevance overflows {array.real.dtype}: the signal or its {name} is too large; "
            "scale it down"
        )


def whole(value: Any, name: str, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, WHOLE):
        raise InputError(f"{name} is {value!r}, but must be a whole number")
    if value < least:
        raise InputError(f"{name} is {value}, but must be at least {least}")
    return int(value)
