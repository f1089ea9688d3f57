"""Ops that carry no relevance: constants, shapes, comparisons, logic, whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dftlrp.core.maps import Array
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.common import check_divisor, make_elementwise
from dftlrp.ops.registry import At, register_evaluated, register_stop

# -- constants, shapes and indices


def _evaluate_constant(at: At) -> AnyArray:
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in at.node.attrs:
            return np.asarray(at.node.attrs[key])
    raise UnsupportedModelError(f"node {at.node.key!r} (Constant): only numbers are supported")


def _evaluate_constant_of_shape(at: At) -> AnyArray:
    value = np.asarray(at.get_attr("value", np.zeros(1, np.float32)))
    return np.full(at.grant(at.read_numbers(at.x)), value.ravel()[0])


def _evaluate_range(at: At) -> AnyArray:
    start, limit, delta = (np.asarray(a).item() for a in at.args)
    at.grant([max(0, int(np.ceil((limit - start) / delta)))])
    return np.arange(start, limit, delta, dtype=np.asarray(at.x).dtype)


def _evaluate_shape(at: At) -> AnyArray:
    part = slice(at.get_attr("start", 0), at.get_attr("end"))
    return np.asarray(at.x.shape, np.int64)[part]


def _make_arg_extreme(f: Callable[..., AnyArray]) -> Callable[[At], AnyArray]:
    """Return the evaluation of ArgMax or ArgMin by NumPy's function."""

    def evaluate(at: At) -> AnyArray:
        axis, keep = at.read_axis("axis", 0), bool(at.get_attr("keepdims", 1))
        if not at.get_attr("select_last_index", 0):
            return f(at.x, axis=axis, keepdims=keep)
        last = at.x.shape[axis] - 1
        return np.asarray(last - f(np.flip(at.x, axis), axis=axis, keepdims=keep))

    return evaluate


register_stop("Constant", evaluate=_evaluate_constant)
register_stop("ConstantOfShape", evaluate=_evaluate_constant_of_shape)
register_stop("Range", evaluate=_evaluate_range)
register_stop("Shape", evaluate=_evaluate_shape)
register_stop("Size", evaluate=lambda at: np.asarray(at.x.size, np.int64))
register_stop("ArgMax", evaluate=_make_arg_extreme(np.argmax))
register_stop("ArgMin", evaluate=_make_arg_extreme(np.argmin))

# -- comparisons, logic and rounding

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
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
    register_stop(_name, evaluate=make_elementwise(_f))


def _evaluate_bit_shift(at: At) -> Array:
    left = at.get_attr("direction") == "LEFT"
    return make_elementwise(np.left_shift if left else np.right_shift)(at)


def _evaluate_is_inf(at: At) -> AnyArray:
    below, above = at.get_attr("detect_negative", 1), at.get_attr("detect_positive", 1)
    x: AnyArray = at.x
    at.grant(x.shape)
    return np.isinf(x) & (((x < 0) & bool(below)) | ((x > 0) & bool(above)))


register_stop("BitShift", evaluate=_evaluate_bit_shift)
register_stop("IsInf", evaluate=_evaluate_is_inf)

# -- evaluated only: the slope is not zero, so relevance must not end here silently


def _evaluate_mod(at: At) -> Array:
    if at.x.dtype.kind in "iu":
        check_divisor(*at.args)
    return make_elementwise(np.fmod if at.get_attr("fmod", 0) else np.mod)(at)


register_evaluated("Mod", evaluate=_evaluate_mod)
