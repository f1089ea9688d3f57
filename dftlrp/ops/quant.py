"""Quantisation: relevance passes a change of scale unchanged.

What a signal is quantised to are whole numbers in the dtype that is computed in, not integers:
an integer that depends on the signal (an index, a shape) carries no relevance.

Rounding has slope 0 almost everywhere, which would end every gradient; so the tangent here is the
*straight-through* one: the slope of the scale, and 0 where the value saturates.  It is the only
tangent in the table that is not the true derivative.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.maps import Affine, Array, Route, diagonal
from dftlrp.ops.cast import DType, floating, narrowed
from dftlrp.ops.linear import conv, matmul
from dftlrp.ops.registry import At, final, route

BYTE = np.dtype(np.uint8)


def _limits(dtype: DType) -> tuple[float, float]:
    import ml_dtypes

    info: Any = ml_dtypes.finfo if floating(dtype) else ml_dtypes.iinfo
    return float(info(dtype).min), float(info(dtype).max)


def _spread(v: Array, at: At) -> Array:
    """A scale or zero point, per tensor, per axis or per block, broadcastable to x."""
    x = at.x
    if v.size == 1 and not at.attr("block_size", 0):
        return v.reshape(())
    at.grant(x.shape)
    (axis,) = at.axes(at.attr("axis", 1))
    if block := at.attr("block_size", 0):
        at.grant([v.size, block])
        v = np.repeat(v, block, axis).take(range(x.shape[axis]), axis)
    else:
        v = v.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    at.fits(v)
    return v


def _offset(at: At) -> Array:
    """The zero point in floats; 0 where there is none."""
    zero = at.arg(2)
    return np.zeros(()) if zero is None else _spread(zero.astype(np.float64), at)


def _quantised_dtype(at: At) -> DType:
    import onnx

    zero, code = at.arg(2), at.attr("output_dtype", 0)
    if code:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    return BYTE if zero is None else np.dtype(zero.dtype)


def rounded(y: Array, dtype: DType) -> Array:
    """To the nearest, ties to even, and saturated, but kept in the dtype of y."""
    return narrowed(y, dtype) if floating(dtype) else np.clip(np.rint(y), *_limits(dtype))


def _quantise(at: At) -> Array:
    return rounded(_scaled(at), _quantised_dtype(at))


def _scaled(at: At) -> Array:
    """What is rounded; integers are whole before the zero point is added."""
    dtype, y = _quantised_dtype(at), at.x / _spread(at.args[1], at)
    return (y if floating(dtype) else np.rint(y)) + _offset(at)


def _carried(slope: Array, at: At, y: Array) -> Route:
    """R unchanged; the tangent is a diagonal through y."""

    def tangent() -> Affine:
        full = slope * at.bk.ones_like(at.x)
        return diagonal(full, y - full * at.x)

    return Route(lambda r: (r,), tangent, homogeneous=False)


@route("QuantizeLinear", evaluate=_quantise)
def quantize_linear(at: At) -> Route:
    """``round(x / scale) + zero``."""
    low, high = _limits(_quantised_dtype(at))
    y = _scaled(at)
    inside = at.bk.step(y - low, strict=False) * at.bk.step(high - y, strict=False)
    return _carried(inside / _spread(at.args[1], at), at, at.y)


def _dequantise(at: At) -> Array:
    return (at.x.astype(np.float64) - _offset(at)) * _spread(at.args[1], at)


@route("DequantizeLinear", evaluate=_dequantise)
def dequantize_linear(at: At) -> Route:
    """``(x - zero) scale``: not an Affine, whose bias -zero scale would absorb relevance."""
    return _carried(_spread(at.args[1], at), at, at.y)


def _range(x: Array) -> tuple[Array, Array]:
    """Scale and zero point of a dynamic quantisation to 8 bits; 0 is always in the range."""
    width = np.max(x, initial=0) - np.min(x, initial=0)
    scale = np.where(width > 0, width / 255, 1)
    return scale, rounded(-np.min(x, initial=0) / scale, BYTE).astype(BYTE)


def _dynamic(at: At) -> Array:
    scale, zero = _range(at.bk.read(at.x))
    if at.node.index:
        return (scale, zero)[at.node.index - 1]
    return rounded(np.rint(at.x / scale) + zero, BYTE)


@route("DynamicQuantizeLinear", evaluate=_dynamic, outputs=3, silent=(1, 2))
def dynamic_quantize_linear(at: At) -> Route:
    """As QuantizeLinear; its scale and zero point, which follow the signal's range, are frozen."""
    return _carried(1 / _range(at.bk.read(at.x))[0], at, at.y)


# -- layers on integers: evaluated, and refused where they would carry relevance


def _parameter(at: At, position: int | None, rank: int, axis: int) -> Array:
    """A scale or zero point in floats, along one axis if it is a vector; None where left out."""
    given = None if position is None else at.arg(position)
    if given is None:
        return None
    v = np.asarray(given).astype(np.float64)
    long = v.ndim == 1 and v.size > 1
    return v.reshape([-1 if i == axis % rank else 1 for i in range(rank)] if long else v.shape)


def _real(at: At, x: int, scale: int | None, zero: int, axis: int) -> Array:
    """An integer input in floats, less its zero point, times its scale."""
    v = np.asarray(at.args[x]).astype(np.float64)
    factor, offset = (_parameter(at, i, v.ndim, axis) for i in (scale, zero))
    v = v if offset is None else v - offset
    return v if factor is None else v * factor


def _inner(at: At, *args: Array) -> At:
    return replace(at, args=args, live=(0,), y=None)


def _requantised(at: At, y: Array, scale: int) -> Array:
    zero = np.asarray(at.args[scale + 1])
    whole = rounded(np.rint(y / at.args[scale]) + zero.astype(np.float64), np.dtype(zero.dtype))
    return whole.astype(zero.dtype)


def _qlinear_conv(at: At) -> Array:
    x, w = _real(at, 0, 1, 2, axis=1), _real(at, 3, 4, 5, axis=0)
    y = conv(_inner(at, x, w)).forward(x)
    if (b := at.arg(8)) is not None:
        unit = np.ravel(at.args[1]) * np.ravel(at.args[4])
        y = y + (np.asarray(b) * unit).reshape(1, -1, *(1,) * (y.ndim - 2))
    return _requantised(at, y, 6)


def _qlinear_matmul(at: At) -> Array:
    a, b = _real(at, 0, 1, 2, axis=-2), _real(at, 3, 4, 5, axis=-1)
    return _requantised(at, matmul(_inner(at, a, b)).forward(a), 6)


def _conv_integer(at: At) -> Array:
    x, w = _real(at, 0, None, 2, axis=1), _real(at, 1, None, 3, axis=0)
    return conv(_inner(at, x, w)).forward(x).astype(np.int32)


def _matmul_integer(at: At) -> Array:
    a, b = _real(at, 0, None, 2, axis=-2), _real(at, 1, None, 3, axis=-1)
    return matmul(_inner(at, a, b)).forward(a).astype(np.int32)


final("QLinearConv", evaluate=_qlinear_conv)
final("QLinearMatMul", evaluate=_qlinear_matmul)
final("ConvInteger", evaluate=_conv_integer)
final("MatMulInteger", evaluate=_matmul_integer)
