"""Quantisation: relevance passes a change of scale unchanged.

What a signal is quantised to are whole numbers in the dtype that is computed in, not integers:
an integer that depends on the signal (an index, a shape) carries no relevance.

Rounding has slope 0 almost everywhere, which would end every gradient; so the tangent here is the
*straight-through* one: the slope of the scale, and 0 where the value saturates.  It is the only
tangent in the table that is not the true derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.core.maps import Affine, Array, Route, diagonal
from dftlrp.ops.cast import DType, is_floating, round_to_narrow
from dftlrp.ops.common import lay_along
from dftlrp.ops.registry import At, register_route

BYTE = np.dtype(np.uint8)


def _find_limits(dtype: DType) -> tuple[float, float]:
    import ml_dtypes

    info: Any = ml_dtypes.finfo if is_floating(dtype) else ml_dtypes.iinfo
    return float(info(dtype).min), float(info(dtype).max)


def _spread_parameter(v: Array, at: At) -> Array:
    """Return a scale or zero point, per tensor, axis or block, so that it broadcasts to x."""
    x = at.x
    if v.size == 1 and not at.get_attr("block_size", 0):
        return v.reshape(())
    at.grant(x.shape)
    axis = at.read_axis("axis", 1)
    if block := at.get_attr("block_size", 0):
        at.grant([v.size, block])
        v = np.repeat(v, block, axis).take(range(x.shape[axis]), axis)
    else:
        v = lay_along(v, axis, x.ndim)
    at.refuse_growth(v)
    return v


def _read_zero_point(at: At) -> Array:
    """Return the zero point in floats, or 0 if there is none."""
    zero = at.get_arg(2)
    return np.zeros(()) if zero is None else _spread_parameter(zero.astype(np.float64), at)


def _find_quantised_dtype(at: At) -> DType:
    import onnx

    zero, code = at.get_arg(2), at.get_attr("output_dtype", 0)
    if code:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    return BYTE if zero is None else np.dtype(zero.dtype)


def round_and_saturate(y: Array, dtype: DType) -> Array:
    """Return y rounded, ties to even, and cut to a dtype's range, in the dtype it had."""
    if is_floating(dtype):
        return round_to_narrow(y, dtype)
    return np.clip(np.rint(y), *_find_limits(dtype))


def _scale_signal(at: At) -> Array:
    """Return what is rounded; integers are whole before the zero point is added."""
    dtype, y = _find_quantised_dtype(at), at.x / _spread_parameter(at.args[1], at)
    return (y if is_floating(dtype) else np.rint(y)) + _read_zero_point(at)


def _pass_through(slope: Array, at: At) -> Route:
    """Return the route that passes relevance unchanged; its tangent is a diagonal through y."""

    def tangent() -> Affine:
        full = slope * at.bk.ones_like(at.x)
        return diagonal(full, at.y - full * at.x)

    return Route(lambda r: (r,), tangent, homogeneous=False)


@register_route(
    "QuantizeLinear",
    evaluate=lambda at: round_and_saturate(_scale_signal(at), _find_quantised_dtype(at)),
)
def quantize_linear(at: At) -> Route:
    """``round(x / scale) + zero``: relevance passes unchanged."""
    low, high = _find_limits(_find_quantised_dtype(at))
    y = _scale_signal(at)
    inside = at.bk.step(y - low, strict=False) * at.bk.step(high - y, strict=False)
    return _pass_through(inside / _spread_parameter(at.args[1], at), at)


def _evaluate_dequantize(at: At) -> Array:
    return (at.x.astype(np.float64) - _read_zero_point(at)) * _spread_parameter(at.args[1], at)


@register_route("DequantizeLinear", evaluate=_evaluate_dequantize)
def dequantize_linear(at: At) -> Route:
    """``(x - zero) scale``: relevance passes unchanged; the bias of an Affine would absorb some."""
    return _pass_through(_spread_parameter(at.args[1], at), at)


def _find_dynamic_range(x: Array) -> tuple[Array, Array]:
    """Return scale and zero point of a dynamic quantisation to 8 bits; its range holds 0."""
    width = np.max(x, initial=0) - np.min(x, initial=0)
    scale = np.where(width > 0, width / 255, 1)
    return scale, round_and_saturate(-np.min(x, initial=0) / scale, BYTE).astype(BYTE)


def _evaluate_dynamic_quantize(at: At) -> Array:
    scale, zero = _find_dynamic_range(at.bk.read(at.x))
    if at.node.index:
        return (scale, zero)[at.node.index - 1]
    return round_and_saturate(np.rint(at.x / scale) + zero, BYTE)


@register_route(
    "DynamicQuantizeLinear", evaluate=_evaluate_dynamic_quantize, outputs=3, silent=(1, 2)
)
def dynamic_quantize_linear(at: At) -> Route:
    """As QuantizeLinear; its scale and zero point, which follow the signal's range, are frozen."""
    return _pass_through(1 / _find_dynamic_range(at.bk.read(at.x))[0], at)
