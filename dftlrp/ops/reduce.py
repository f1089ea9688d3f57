"""Reductions: sums are `Affine`, extrema and logarithms of sums are `Route`.

A norm is a sum, too: of x * (x / y) with x / y frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dftlrp.core.backend import Window
from dftlrp.core.maps import Affine, Array, Route, move
from dftlrp.ops.registry import At, affine, final, route
from dftlrp.ops.softmax import softmax_of

Axes = tuple[int, ...]


def weighted_sum(
    at: At, axes: Axes, keep: bool, weight: Array, bias: Array | None = None
) -> Affine:
    """``sum w x`` over axes, plus a bias; w is a scalar or in the shape of x."""
    x, bk = at.x, at.bk
    narrow = tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def back(r: Array) -> Array:
        return bk.expand(bk.reshape(r, narrow), x.shape)

    return Affine(
        lambda ws, xs: bk.sum(ws[0] * xs[0], axes, keep),
        lambda ws, r: (ws[0] * back(r),),
        (bk.asarray(weight, x.dtype),),
        bias,
    )


def reduced_axes(at: At) -> Axes:
    """Axes that a reduction goes over."""
    axes = at.setting(1, "axes")
    if axes is None or axes == []:
        return () if at.attr("noop_with_empty_axes", 0) else at.axes(None)
    return at.axes(axes)


def _keep(at: At) -> bool:
    return bool(at.attr("keepdims", 1))


def _sum(at: At, weight: Array, bias: Array | None = None) -> Affine:
    return weighted_sum(at, reduced_axes(at), _keep(at), weight, bias)


def _numpy(f: Callable[..., Array]) -> Callable[[At], Array]:
    def evaluate(at: At) -> Array:
        at.grant(at.x.shape)
        y = f(at.x, axis=reduced_axes(at), keepdims=_keep(at))
        return at.bk.asarray(y, at.x.dtype)

    return evaluate


def _mean(x: Array, axis: Axes, keepdims: bool) -> Array:
    """Mean; integers are divided as integers."""
    total = np.sum(x, axis=axis, keepdims=keepdims)
    count = int(np.prod([x.shape[a] for a in axis]))
    return total / count if x.dtype.kind == "f" else np.trunc(total / max(count, 1))


def _spread(at: At, y: Array) -> Array:
    """A reduced array, broadcastable to x again."""
    narrow = tuple(1 if i in reduced_axes(at) else n for i, n in enumerate(at.x.shape))
    return at.bk.reshape(y, narrow)


# -- sums


@affine("ReduceSum", evaluate=_numpy(np.sum))
def reduce_sum(at: At) -> Affine:
    """Sum over axes."""
    return _sum(at, 1.0)


@affine("ReduceMean", evaluate=_numpy(_mean))
def reduce_mean(at: At) -> Affine:
    """Mean over axes."""
    return _sum(at, 1 / int(np.prod([at.x.shape[a] for a in reduced_axes(at)])))


def _l1(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.sum(abs(x), axis=axis, keepdims=keepdims)


def _square(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.sum(x * x, axis=axis, keepdims=keepdims)


def _l2(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.sqrt(_square(x, axis, keepdims))


@affine("ReduceL1", evaluate=_numpy(_l1))
def reduce_l1(at: At) -> Affine:
    """``sum x sgn(x)``: its own tangent."""
    return _sum(at, np.sign(at.x))


@affine("ReduceL2", evaluate=_numpy(_l2))
def reduce_l2(at: At) -> Affine:
    """``sum x (x / y)``: its own tangent, too."""
    y = _spread(at, at.bk.sqrt(_sum(at, at.x).apply(at.x)))
    return _sum(at, at.x / (y + (1 - at.bk.step(y, strict=True))))


@affine("ReduceSumSquare", evaluate=_numpy(_square))
def reduce_sum_square(at: At) -> Affine:
    """``sum x x`` with one factor frozen; the tangent is twice that, less y."""
    frozen = _sum(at, at.x)

    def slope() -> Affine:
        return _sum(at, 2 * at.x, -frozen.apply(at.x))

    return Affine(frozen.linear, frozen.transpose, frozen.weights, slope=slope)


# -- logarithms of sums: each term gets its share of the sum


def _log_sum(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.log(np.sum(x, axis=axis, keepdims=keepdims))


def _log_sum_exp(x: Array, axis: Axes, keepdims: bool) -> Array:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axis])


def _shared(at: At, share: Array, slope: Callable[[], Array]) -> Route:
    """Relevance in these shares, which sum to one; the tangent has other weights."""
    carry = _sum(at, share).adjoint

    def tangent() -> Affine:
        w = slope()
        return _sum(at, w, at.y - _sum(at, w).apply(at.x))

    return Route(carry, tangent, homogeneous=False)


@route("ReduceLogSum", evaluate=_numpy(_log_sum))
def reduce_log_sum(at: At) -> Route:
    """Shares x / sum x: a sum, then a logarithm that relevance passes."""
    total = _spread(at, _sum(at, 1.0).apply(at.x))
    return _shared(at, at.x / total, lambda: at.bk.expand(1 / total, at.x.shape))


@route("ReduceLogSumExp", evaluate=_numpy(_log_sum_exp))
def reduce_log_sum_exp(at: At) -> Route:
    """Shares exp(x) / sum exp(x), the softmax, which is the tangent's weight, too."""
    p = softmax_of(at.x, reduced_axes(at))[0]
    return _shared(at, p, lambda: p)


# -- extrema


def _extremum(at: At, sign: int) -> Route:
    """To the first of the largest (sign 1) or smallest (sign -1) over the axes."""
    x, bk, axes = at.x, at.bk, reduced_axes(at)
    order = (*(i for i in range(x.ndim) if i not in axes), *axes)
    back = tuple(int(i) for i in np.argsort(order))
    moved = tuple(x.shape[i] for i in order)
    count = math.prod(x.shape[a] for a in axes)
    g = Window((count,), (1,), (1,), ((0, 0),))

    def rows(v: Array) -> Array:
        return bk.reshape(bk.transpose(v, order), (1, x.size // count, count))

    def pick(v: Array) -> Array:
        return bk.reshape(bk.maxpool(rows(v), compared, g), at.y.shape)

    def put(r: Array) -> Array:
        spread = bk.maxpool_T(bk.reshape(r, (1, x.size // count, 1)), compared, g)
        return bk.transpose(bk.reshape(spread, moved), back)

    compared = rows(sign * x)
    return move(pick, lambda r: (put(r),))


def _bounded(f: Callable[..., Array], sign: int) -> Callable[[At], Array]:
    """A maximum or minimum, whose value over nothing is the dtype's own end."""

    def end(dtype: Any) -> Any:
        if dtype.kind in "fb":
            return np.asarray(-sign * np.inf if dtype.kind == "f" else sign < 0, dtype)
        return np.iinfo(dtype).min if sign > 0 else np.iinfo(dtype).max

    return _numpy(
        lambda x, axis, keepdims: f(x, axis=axis, keepdims=keepdims, initial=end(x.dtype))
    )


@route("ReduceMax", evaluate=_bounded(np.max, 1))
def reduce_max(at: At) -> Route:
    """Winner over the axes."""
    return _extremum(at, 1)


@route("ReduceMin", evaluate=_bounded(np.min, -1))
def reduce_min(at: At) -> Route:
    """Smallest over the axes."""
    return _extremum(at, -1)


final("ReduceProd", evaluate=_numpy(np.prod))

# -- running sums


def _running(at: At, f: Callable[..., Array], v: Array, first: float, reverse: bool) -> Array:
    """A running sum or product along an axis; exclusive starts with ``first``."""
    axis = at.axes(at.setting(1, "axis"))[0]
    v = np.flip(v, axis) if reverse else v
    if at.attr("exclusive", 0):
        v = np.concatenate([np.full_like(v.take([0], axis), first), v], axis)
        v = v.take(range(v.shape[axis] - 1), axis)
    y = f(v, axis=axis, dtype=v.dtype)
    return np.flip(y, axis) if reverse else y


def _cumsum(at: At, v: Array, transposed: bool = False) -> Array:
    return _running(at, np.cumsum, v, 0, bool(at.attr("reverse", 0)) != transposed)


@affine("CumSum", evaluate=lambda at: _cumsum(at, at.x))
def cumsum(at: At) -> Affine:
    """Running sum: its transpose runs the other way."""
    return Affine(
        lambda ws, xs: ws[0] * _cumsum(at, xs[0]),
        lambda ws, r: (_cumsum(at, ws[0] * r, transposed=True),),
        (np.asarray(1.0, at.x.dtype),),
    )


final(
    "CumProd",
    evaluate=lambda at: _running(at, np.cumprod, at.x, 1, bool(at.attr("reverse", 0))),
)
