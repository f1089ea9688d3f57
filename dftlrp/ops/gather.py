"""Movement by indices: gathering, sorting, reversing, masking; and the ops that make indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dftlrp.core.maps import Affine, Array, Route, move
from dftlrp.core.types import AnyArray
from dftlrp.ops.common import make_axis_key
from dftlrp.ops.move import apply_movement, register_movement, route_by_index
from dftlrp.ops.registry import At, register_affine, register_route, register_stop

Key = tuple[AnyArray, ...]
Filling = Callable[[AnyArray, At, float], AnyArray]


def make_index_key(index: AnyArray, axis: int) -> Key:
    """Return the key that reads ``index`` along one axis, and each place's own on the others."""
    grid: list[AnyArray] = list(np.indices(index.shape, sparse=True))
    grid[axis] = index
    return tuple(grid)


def _gather_elements(x: AnyArray, at: At) -> AnyArray:
    axis, index = at.read_axis("axis", 0), at.args[1]
    if index.ndim != x.ndim:
        raise ValueError(f"an index of rank {index.ndim} into a tensor of rank {x.ndim}")
    near = x[tuple(slice(None if i == axis else n) for i, n in enumerate(index.shape))]
    if any(n != near.shape[i] for i, n in enumerate(index.shape) if i != axis):
        raise ValueError(f"an index of shape {index.shape} into a tensor of shape {x.shape}")
    return np.take_along_axis(near, index, axis)


def _gather_nd(x: AnyArray, at: At) -> AnyArray:
    index, lead = np.asarray(at.args[1]), at.get_attr("batch_dims", 0)
    last = index.shape[-1]
    if lead + last > x.ndim:
        raise ValueError(f"an index of {last} numbers into a tensor of rank {x.ndim}")
    batches = math.prod(x.shape[:lead])
    flat, keys = x.reshape(batches, *x.shape[lead:]), index.reshape(batches, -1, last)
    at.grant([*index.shape[:-1], *x.shape[lead + last :]])
    picked = flat[(np.arange(batches)[:, None], *np.moveaxis(keys, -1, 0))]
    return np.reshape(picked, (*index.shape[:-1], *x.shape[lead + last :]))


def _reverse_sequence(x: AnyArray, at: At) -> AnyArray:
    time, batch = at.get_attr("time_axis", 0), at.get_attr("batch_axis", 1)
    steps = np.arange(x.shape[time])
    if np.shape(at.args[1]) != (x.shape[batch],):
        raise ValueError(f"lengths of shape {np.shape(at.args[1])} for {x.shape[batch]} sequences")
    lengths = np.asarray(at.args[1])[:, None]
    order = np.where(steps < lengths, lengths - 1 - steps, steps)  # (batch, time)
    moved = np.moveaxis(x, (batch, time), (0, 1))
    turned = moved[np.arange(len(moved))[:, None], order]
    return np.moveaxis(turned, (0, 1), (batch, time))


def _compress(x: AnyArray, at: At) -> AnyArray:
    axis = at.get_attr("axis")
    return np.compress(np.asarray(at.args[1]), x, None if axis is None else at.read_axes(axis)[0])


register_movement("GatherElements", _gather_elements)
register_movement("GatherND", _gather_nd)


@register_route(
    "ReverseSequence", evaluate=lambda at: apply_movement(at, lambda x: _reverse_sequence(x, at))
)
def reverse_sequence(at: At) -> Route:
    """Steps in the opposite order: a slice, where all sequences are of the same full length."""
    bk, time = at.bk, at.get_attr("time_axis", 0)
    if (np.asarray(at.args[1]) != at.x.shape[time]).any():
        return route_by_index(at, lambda index: _reverse_sequence(index, at))
    key = make_axis_key(time, slice(None, None, -1))
    return move(lambda v: bk.slice(v, key), lambda r: (bk.slice(r, key),))


register_movement("Compress", _compress)

# -- movements that write a constant where no element goes


def _register_filling(op: str, f: Filling) -> None:
    """Register a movement that writes a constant: zero into values, -1 into indices."""

    def build(at: At) -> Route:
        """Elements are moved, and relevance at constants is stopped."""
        return route_by_index(at, lambda index: f(index, at, -1))

    def evaluate(at: At) -> Array:
        return f(at.x, at, 0) if at.bk.numbers else build(at).tangent().apply(at.x)

    register_route(op, evaluate=evaluate)(build)


def _cut_triangle(x: AnyArray, at: At, fill: float) -> AnyArray:
    offset = np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None]
    k = int(np.ravel(at.get_setting(1, "k", 0))[0])
    kept = offset >= k if at.get_attr("upper", 1) else offset <= k
    return np.where(kept, x, np.asarray(fill, x.dtype))


def _crop_center(x: AnyArray, at: At, fill: float) -> AnyArray:
    """Return x cut or padded about its centre; of an odd number the end gets one more."""
    wanted = list(x.shape)
    for axis, size in zip(
        at.read_axes(at.get_attr("axes")), at.get_setting(1, "shape"), strict=True
    ):
        wanted[axis] = int(size)
    out = np.full(at.grant(wanted), fill, x.dtype)
    short = [min(n, m) for n, m in zip(x.shape, wanted, strict=True)]
    source, place = (
        tuple(slice((n - k) // 2, (n - k) // 2 + k) for n, k in zip(shape, short, strict=True))
        for shape in (x.shape, wanted)
    )
    out[place] = x[source]
    return out


def _find_unpooled_size(at: At) -> tuple[int, ...]:
    """Return the spatial size that MaxPool's input had."""
    rank = at.x.ndim - 2
    strides, pads = at.get_attr("strides", [1] * rank), at.get_attr("pads", [0] * 2 * rank)
    kernel = at.get_attr("kernel_shape")
    sizes = zip(at.x.shape[2:], strides, kernel, pads, pads[rank:], strict=False)
    return tuple((n - 1) * s + k - b - e for n, s, k, b, e in sizes)


def _unpool(x: AnyArray, at: At, fill: float) -> AnyArray:
    """Return each element at its index in the pool's own input, in a larger one if asked for."""
    own = (*x.shape[:2], *_find_unpooled_size(at))
    shape = at.get_setting(2, "output_shape", own)
    out = np.full(at.grant(shape), fill, x.dtype)
    out[np.unravel_index(np.asarray(at.args[1]), own)] = x
    return out


_register_filling("Trilu", _cut_triangle)
_register_filling("CenterCropPad", _crop_center)
_register_filling("MaxUnpool", _unpool)

# -- the largest


def _rank_elements(at: At) -> tuple[AnyArray, int]:
    """Return the places of the k largest (or smallest) along an axis, and the axis.

    The first of equals comes first.
    """
    x, axis = at.x, at.read_axis("axis", -1)
    k = int(np.ravel(at.get_setting(1, "k"))[0])
    # stable from the far end, so that the first of equals wins in both directions
    if at.get_attr("largest", 1):
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    return order.take(range(min(k, x.shape[axis])), axis), axis


def _evaluate_top_k(at: At) -> Array:
    order, axis = _rank_elements(at)
    if at.node.index:
        return order.astype(np.int64)
    return apply_movement(at, lambda x: np.take_along_axis(x, order, axis))


@register_route("TopK", evaluate=_evaluate_top_k, outputs=2, silent=(1,))
def top_k(at: At) -> Route:
    """The largest elements are moved; their indices carry no relevance."""
    order, axis = _rank_elements(at)
    return route_by_index(at, lambda index: np.take_along_axis(index, order, axis))


# -- columns to an image: windows that overlap add up


def _place_columns(at: At) -> tuple[AnyArray, tuple[int, ...]]:
    """Return where each element of x goes in the flattened output, and the output's shape.

    An element that lands on padding has the place -1.
    """
    size, block = at.get_setting(1, "image_shape"), at.get_setting(2, "block_shape")
    rank = len(size)
    dilations, strides = at.get_attr("dilations", [1] * rank), at.get_attr("strides", [1] * rank)
    pads = at.get_attr("pads", [0] * 2 * rank)
    at.grant([*block, *(-(-(n + sum(pads)) // s) for n, s in zip(size, strides, strict=True))])
    places = np.zeros([1] * 2 * rank, np.int64)
    inside = places == 0
    for axis in range(rank):
        span = size[axis] + pads[axis] + pads[rank + axis] - dilations[axis] * (block[axis] - 1)
        starts = np.arange(0, span, strides[axis]) - pads[axis]
        at_axis = np.arange(block[axis])[:, None] * dilations[axis] + starts
        shape = [1] * 2 * rank
        shape[axis], shape[rank + axis] = at_axis.shape
        at_axis = at_axis.reshape(shape)
        places = places * size[axis] + at_axis
        inside = inside & (at_axis >= 0) & (at_axis < size[axis])
    batch, channels = at.x.shape[0], at.x.shape[1] // math.prod(block)
    lead = np.arange(batch * channels).reshape(-1, 1) * math.prod(size)
    index = np.where(inside.ravel(), lead + places.ravel(), -1)
    return index.reshape(at.x.shape), at.grant((batch, channels, *size))


@register_affine("Col2Im")
def col2im(at: At) -> Affine:
    """Each column's samples are added at their places in the image."""
    bk, (index, shape) = at.bk, _place_columns(at)
    like = np.empty(shape, at.x.dtype)
    return Affine(
        lambda ws, xs: bk.pick_T(ws[0] * xs[0], index, like),
        lambda ws, r: (ws[0] * bk.pick(r, index),),
        (np.asarray(1.0, at.x.dtype),),
    )


# -- ops that make indices or masks


def _evaluate_unique(at: At) -> AnyArray:
    axis, x = at.get_attr("axis"), at.x
    along = 0 if axis is None else at.read_axes(axis)[0]
    found = np.unique(x.ravel() if axis is None else x, True, True, True, axis=along)
    values, first, inverse, counts = (np.asarray(a) for a in found)
    inverse = inverse.ravel()
    if not at.get_attr("sorted", 1):  # in the order of their first appearance
        order = np.argsort(first)
        values = values.take(order, along)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return (values, first, inverse, counts)[at.node.index]


def _evaluate_eye_like(at: At) -> Array:
    import onnx

    code = at.get_attr("dtype")
    dtype: Any = at.x.dtype if code is None else onnx.helper.tensor_dtype_to_np_dtype(code)
    rows, columns = at.grant(at.x.shape)
    return np.eye(rows, columns, at.get_attr("k", 0), dtype)


def _evaluate_non_zero(at: At) -> Array:
    at.grant([max(at.x.ndim, 1), at.x.size])
    return np.stack(np.nonzero(np.atleast_1d(at.x))).astype(np.int64)


register_stop("NonZero", evaluate=_evaluate_non_zero)
register_stop("Unique", evaluate=_evaluate_unique, outputs=4)
register_stop("EyeLike", evaluate=_evaluate_eye_like)
