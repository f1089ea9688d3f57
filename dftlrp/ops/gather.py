"""Movement by indices: gathering, sorting, reversing, masking; and what gives indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dftlrp.core.maps import Affine, Array, Route
from dftlrp.core.types import AnyArray
from dftlrp.ops.move import by_index, indexed, moved
from dftlrp.ops.registry import At, affine, route, stop

Key = tuple[AnyArray, ...]
Filling = Callable[[AnyArray, At, float], AnyArray]


def along(index: AnyArray, axis: int) -> Key:
    """The key that writes ``index`` along one axis, and each place's own on others."""
    grid: list[AnyArray] = list(np.indices(index.shape, sparse=True))
    grid[axis] = index
    return tuple(grid)


def _gather_elements(x: AnyArray, at: At) -> AnyArray:
    axis, index = at.axes(at.attr("axis", 0))[0], at.args[1]
    if index.ndim != x.ndim:
        raise ValueError(f"an index of rank {index.ndim} into a tensor of rank {x.ndim}")
    near = x[tuple(slice(None if i == axis else n) for i, n in enumerate(index.shape))]
    if any(n != near.shape[i] for i, n in enumerate(index.shape) if i != axis):
        raise ValueError(f"an index of shape {index.shape} into a tensor of shape {x.shape}")
    return np.take_along_axis(near, index, axis)


def _gather_nd(x: AnyArray, at: At) -> AnyArray:
    index, lead = np.asarray(at.args[1]), at.attr("batch_dims", 0)
    last = index.shape[-1]
    if lead + last > x.ndim:
        raise ValueError(f"an index of {last} numbers into a tensor of rank {x.ndim}")
    batches = int(np.prod(x.shape[:lead]))
    flat, keys = x.reshape(batches, *x.shape[lead:]), index.reshape(batches, -1, last)
    at.grant([*index.shape[:-1], *x.shape[lead + last :]])
    picked = flat[(np.arange(batches)[:, None], *np.moveaxis(keys, -1, 0))]
    return np.reshape(picked, (*index.shape[:-1], *x.shape[lead + last :]))


def _reverse_sequence(x: AnyArray, at: At) -> AnyArray:
    time, batch = at.attr("time_axis", 0), at.attr("batch_axis", 1)
    steps = np.arange(x.shape[time])
    if np.shape(at.args[1]) != (x.shape[batch],):
        raise ValueError(f"lengths of shape {np.shape(at.args[1])} for {x.shape[batch]} sequences")
    lengths = np.asarray(at.args[1])[:, None]
    order = np.where(steps < lengths, lengths - 1 - steps, steps)  # (batch, time)
    moved = np.moveaxis(x, (batch, time), (0, 1))
    turned = moved[np.arange(len(moved))[:, None], order]
    return np.moveaxis(turned, (0, 1), (batch, time))


def _compress(x: AnyArray, at: At) -> AnyArray:
    axis = at.attr("axis")
    return np.compress(np.asarray(at.args[1]), x, None if axis is None else at.axes(axis)[0])


indexed("GatherElements", _gather_elements)
indexed("GatherND", _gather_nd)
indexed("ReverseSequence", _reverse_sequence)
indexed("Compress", _compress)

# -- with constants where no element goes


def _filling(op: str, f: Filling) -> None:
    """Register a movement that writes a constant: zero into values, -1 into indices."""

    def movement(at: At) -> Route:
        return by_index(at, lambda index: f(index, at, -1))

    def evaluate(at: At) -> Array:
        return f(at.x, at, 0) if at.bk.numbers else movement(at).tangent().apply(at.x)

    route(op, evaluate=evaluate)(movement)


def _trilu(x: AnyArray, at: At, fill: float) -> AnyArray:
    offset = np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None]
    k = int(np.ravel(at.setting(1, "k", 0))[0])
    kept = offset >= k if at.attr("upper", 1) else offset <= k
    return np.where(kept, x, np.asarray(fill, x.dtype))


def _center(x: AnyArray, at: At, fill: float) -> AnyArray:
    """CenterCropPad; where a side gets one more, it is the end."""
    wanted = list(x.shape)
    for axis, size in zip(at.axes(at.attr("axes")), at.setting(1, "shape"), strict=True):
        wanted[axis] = int(size)
    out = np.full(at.grant(wanted), fill, x.dtype)
    short = [min(n, m) for n, m in zip(x.shape, wanted, strict=True)]
    source, place = (
        tuple(slice((n - k) // 2, (n - k) // 2 + k) for n, k in zip(shape, short, strict=True))
        for shape in (x.shape, wanted)
    )
    out[place] = x[source]
    return out


def _unpooled(at: At) -> tuple[int, ...]:
    """The size of a MaxUnpool's output, as MaxPool's input had it."""
    rank = at.x.ndim - 2
    strides, pads = at.attr("strides", [1] * rank), at.attr("pads", [0] * 2 * rank)
    sizes = zip(at.x.shape[2:], strides, at.attr("kernel_shape"), pads, pads[rank:], strict=False)
    return tuple((n - 1) * s + k - b - e for n, s, k, b, e in sizes)


def _max_unpool(x: AnyArray, at: At, fill: float) -> AnyArray:
    """Each element back to its index in the pool's own input, in the larger one if asked."""
    own = (*x.shape[:2], *_unpooled(at))
    shape = at.setting(2, "output_shape", own)
    out = np.full(at.grant(shape), fill, x.dtype)
    out[np.unravel_index(np.asarray(at.args[1]), own)] = x
    return out


_filling("Trilu", _trilu)
_filling("CenterCropPad", _center)
_filling("MaxUnpool", _max_unpool)

# -- the largest


def _order(at: At) -> tuple[AnyArray, int]:
    """Positions of the k largest (or smallest) along an axis, the first of equals first."""
    x, axis = at.x, at.axes(at.attr("axis", -1))[0]
    k = int(np.ravel(at.setting(1, "k"))[0])
    # stable from the far end, so that the first of equals wins in both directions
    if at.attr("largest", 1):
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    return order.take(range(min(k, x.shape[axis])), axis), axis


def _top_k(at: At) -> Array:
    order, axis = _order(at)
    if at.node.index:
        return order.astype(np.int64)
    return moved(at, lambda x: np.take_along_axis(x, order, axis))


@route("TopK", evaluate=_top_k, outputs=2, silent=(1,))
def top_k(at: At) -> Route:
    """Values are moved; their indices carry nothing."""
    order, axis = _order(at)
    return by_index(at, lambda index: np.take_along_axis(index, order, axis))


# -- columns to an image: windows that overlap add up


def _image(at: At) -> tuple[AnyArray, tuple[int, ...]]:
    """Where each element of x goes in the flattened output (-1: padding), and its shape."""
    size, block = at.setting(1, "image_shape"), at.setting(2, "block_shape")
    rank = len(size)
    dilations, strides = at.attr("dilations", [1] * rank), at.attr("strides", [1] * rank)
    pads = at.attr("pads", [0] * 2 * rank)
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
    batch, channels = at.x.shape[0], at.x.shape[1] // int(np.prod(block))
    lead = np.arange(batch * channels).reshape(-1, 1) * int(np.prod(size))
    index = np.where(inside.ravel(), lead + places.ravel(), -1)
    return index.reshape(at.x.shape), at.grant((batch, channels, *size))


@affine("Col2Im")
def col2im(at: At) -> Affine:
    """Every column's samples to their places, summed."""
    bk, (index, shape) = at.bk, _image(at)
    like = np.empty(shape, at.x.dtype)
    return Affine(
        lambda ws, xs: bk.take_T(ws[0] * xs[0], index, like),
        lambda ws, r: (ws[0] * bk.take(r, index),),
        (np.asarray(1.0, at.x.dtype),),
    )


# -- indices, and what is made of them


def _one_hot(at: At) -> Array:
    index, depth, (off, on) = np.asarray(at.x), int(np.ravel(at.args[1])[0]), np.asarray(at.args[2])
    axis = at.axes(at.attr("axis", -1), index.ndim + 1)[0]
    at.grant([*index.shape, depth])
    place = np.expand_dims(np.where(index < 0, index + depth, index), axis)
    steps = np.arange(depth).reshape([-1 if i == axis else 1 for i in range(index.ndim + 1)])
    return np.where(place == steps, on, off)


def _unique(at: At) -> AnyArray:
    axis, x = at.attr("axis"), at.x
    flat = x.ravel() if axis is None else x
    found = np.unique(flat, True, True, True, axis=0 if axis is None else at.axes(axis)[0])
    values, first, inverse, counts = (np.asarray(a) for a in found)
    inverse = inverse.ravel()
    if not at.attr("sorted", 1):  # in the order of their first appearance
        order = np.argsort(first)
        values = values.take(order, 0 if axis is None else at.axes(axis)[0])
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return (values, first, inverse, counts)[at.node.index]


def _eye_like(at: At) -> Array:
    import onnx

    code = at.attr("dtype")
    dtype: Any = at.x.dtype if code is None else onnx.helper.tensor_dtype_to_np_dtype(code)
    rows, columns = at.grant(at.x.shape)
    return np.eye(rows, columns, at.attr("k", 0), dtype)


def _non_zero(at: At) -> Array:
    at.grant([max(at.x.ndim, 1), at.x.size])
    return np.stack(np.nonzero(np.atleast_1d(at.x))).astype(np.int64)


stop("OneHot", evaluate=_one_hot)
stop("NonZero", evaluate=_non_zero)
stop("Unique", evaluate=_unique, outputs=4)
stop("EyeLike", evaluate=_eye_like)
