"""Conversion and checks of arguments.

``as_...`` returns an argument in the form that is computed with, ``check_...`` returns nothing.
Both raise `InputError` with one line that says what is wrong, where, and what to do.
"""

from __future__ import annotations

import cmath
from numbers import Real as Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Complex, InputError, Real

WHOLE = (int, np.integer)  # np.bool_ is neither


def as_array(values: ArrayLike, name: str) -> AnyArray:
    """Return the values as an array; raise if they are lists of unequal lengths."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} is a ragged list; its rows must have equal lengths") from None


def as_real(values: ArrayLike, name: str) -> Real:
    """Return the values as float32 if they are float32, else as float64.

    Raises
    ------
    InputError
        If the values are complex, not numeric, without an axis or empty.
    """
    values = as_array(values, name)
    dtype = values.dtype
    if dtype.kind == "c":
        raise InputError(f"{name} is complex ({dtype}), but must be real; pass its real part")
    _check_numeric(values, name, "iuf")
    return values if dtype.char in "df" and dtype.isnative else values.astype(np.float64)


def as_complex(values: ArrayLike, name: str) -> Complex:
    """Return the values as complex64 if they have single precision, else as complex128."""
    values = as_array(values, name)
    _check_numeric(values, name, "iufc")
    single = values.dtype in (np.float32, np.complex64)
    return values.astype(np.complex64 if single else np.complex128, copy=False)


def as_signal(values: ArrayLike, n: int) -> Real:
    """Return real signals of n samples, (..., n)."""
    x = as_real(values, "signal")
    check_length(x, -1, n, "signal")
    return x


def as_coefficients(values: ArrayLike, shape: tuple[int, ...], is_complex: bool) -> AnyArray:
    """Return the coefficients of a domain, (..., *shape)."""
    convert = as_complex if is_complex else as_real
    y: AnyArray = convert(values, "coefficients")
    check_shape(y, shape, "coefficients")
    return y


def as_axis(value: Any, array: AnyArray, name: str) -> int:
    """Return the value as an int; raise if the array has no such axis."""
    if isinstance(value, bool) or not isinstance(value, WHOLE):
        raise InputError(f"axis is {value!r}, but must be a whole number")
    if not -array.ndim <= value < array.ndim:
        raise InputError(f"axis {value} does not exist in a {name} of shape {array.shape}")
    return int(value)


def as_whole(value: Any, name: str, least: int = 1) -> int:
    """Return the value as an int; raise if it is not whole or less than `least`."""
    if isinstance(value, bool) or not isinstance(value, WHOLE):
        raise InputError(f"{name} is {value!r}, but must be a whole number")
    if value < least:
        raise InputError(f"{name} is {value}, but must be at least {least}")
    return int(value)


def check_finite(array: AnyArray, name: str, start: int = 0) -> None:
    """Raise if a value is NaN or infinite, and name the first such position.

    `start` is the index of the first sample where `array` is a part of a longer signal.
    """
    good = np.isfinite(array)
    if not good.all():
        first = tuple(int(i) for i in np.unravel_index(int(np.argmin(good)), array.shape))
        place = (*first[:-1], first[-1] + start) if array.ndim > 1 else first[0] + start
        raise InputError(f"{name} is {array[first]} at index {place}; remove NaN and Inf first")


def check_same_shape(array: AnyArray, other: AnyArray, name: str, other_name: str) -> None:
    """Raise if two arrays differ in shape."""
    if array.shape != other.shape:
        raise InputError(
            f"{name} has shape {array.shape}, but {other_name} has {other.shape}; they must agree"
        )


def check_shape(array: AnyArray, expected: tuple[int, ...], name: str) -> None:
    """Raise if the last axes have other lengths than expected."""
    if array.shape[-len(expected) :] != expected:
        axes = ", ".join(map(str, expected))
        raise InputError(
            f"{name} has shape {array.shape}, but must be (..., {axes}); check the lengths of its "
            "last axes"
        )


def check_length(array: AnyArray, axis: int, expected: int, name: str) -> None:
    """Raise if an axis, counted from the end, has another length than expected."""
    if array.ndim < -axis or array.shape[axis] != expected:
        raise InputError(
            f"{name} has shape {array.shape}, but axis {axis} must have length {expected}"
        )


def check_rate(rate: Any) -> None:
    """Raise if a sampling rate is not a positive number."""
    good = isinstance(rate, Number) and not isinstance(rate, bool)
    if not (good and 0 < float(rate) < float("inf")):
        raise InputError(f"rate is {rate!r}, but must be a positive number of hertz")


def check_overflow(array: AnyArray, rest: Real | float, name: str) -> None:
    """Raise if relevance overflowed; call it within ``np.errstate``.

    The sum is tested first because it is cheap.  It may overflow where no element does.
    """
    total = np.add.reduce(array, None) + (np.add.reduce(rest, None) if np.ndim(rest) else rest)
    if cmath.isfinite(total):
        return
    if not (np.isfinite(array).all() and np.isfinite(rest).all()):
        raise InputError(
            f"the relevance overflows {array.real.dtype}: the signal or its {name} is too large; "
            "scale it down"
        )


def _check_numeric(array: AnyArray, name: str, kinds: str) -> None:
    if array.dtype.kind not in kinds:
        raise InputError(f"{name} has dtype {array.dtype}, but must be numbers")
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}, but needs at least one sample")
