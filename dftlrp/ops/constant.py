"""Ops that carry no relevance: constants, shapes, comparisons, logic, whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.registry import At, final, stop

# -- what carries none: shapes and indices


def _constant(at: At) -> AnyArray:
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in at.node.attrs:
            return np.asarray(at.node.attrs[key])
    raise UnsupportedModelError(f"node {at.node.key!r} (Constant): only numbers are supported")


def _constant_of_shape(at: At) -> AnyArray:
    value = np.asarray(at.attr("value", np.zeros(1, np.float32)))
    return np.full(at.grant(at.numbers(at.x)), value.ravel()[0])


def _range(at: At) -> AnyArray:
    start, limit, delta = (np.asarray(a).item() for a in at.args)
    at.grant([max(0, int(np.ceil((limit - start) / delta)))])
    return np.arange(start, limit, delta, dtype=np.asarray(at.x).dtype)


def _shape(at: At) -> AnyArray:
    part = slice(at.attr("start", 0), at.attr("end"))
    return np.asarray(at.x.shape, np.int64)[part]


def _argmax(f: Callable[..., AnyArray]) -> Callable[[At], AnyArray]:
    def evaluate(at: At) -> AnyArray:
        axis, keep = at.axes(at.attr("axis", 0))[0], bool(at.attr("keepdims", 1))
        if not at.attr("select_last_index", 0):
            return f(at.x, axis=axis, keepdims=keep)
        last = at.x.shape[axis] - 1
        return np.asarray(last - f(np.flip(at.x, axis), axis=axis, keepdims=keep))

    return evaluate


def _each(f: Callable[..., Any]) -> Callable[[At], AnyArray]:
    def evaluate(at: At) -> AnyArray:
        at.broadcast()
        return np.asarray(f(*at.args))

    return evaluate


stop("Constant", evaluate=_constant)
stop("ConstantOfShape", evaluate=_constant_of_shape)
stop("Range", evaluate=_range)
stop("Shape", evaluate=_shape)
stop("Size", evaluate=lambda at: np.asarray(at.x.size, np.int64))
stop("ArgMax", evaluate=_argmax(np.argmax))
stop("ArgMin", evaluate=_argmax(np.argmin))
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Not": np.logical_not,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.round,
    "Sign": np.sign,
    "IsNaN": np.isnan,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "BitwiseNot": np.bitwise_not,
}
for _name, _f in _ELEMENTWISE.items():
    stop(_name, evaluate=_each(_f))


def _bit_shift(at: At) -> AnyArray:
    return _each(np.left_shift if at.attr("direction") == "LEFT" else np.right_shift)(at)


def _is_inf(at: At) -> AnyArray:
    below, above = at.attr("detect_negative", 1), at.attr("detect_positive", 1)
    x: AnyArray = at.x
    at.grant(x.shape)
    return np.isinf(x) & (((x < 0) & bool(below)) | ((x > 0) & bool(above)))


stop("BitShift", evaluate=_bit_shift)
stop("IsInf", evaluate=_is_inf)

# -- evaluated, but with a slope that is not zero: relevance may not end here silently


def _mod(at: At) -> AnyArray:
    return _each(np.fmod if at.attr("fmod", 0) else np.mod)(at)


final("Mod", evaluate=_mod)
