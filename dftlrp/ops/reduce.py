"""Reductions: sums are `Affine`, extrema and logarithms of sums are `Route`.

A norm y is a sum, too: of ``x (x / y)`` with x / y frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.backend import Window
from dftlrp.core.maps import Affine, Array, Route, move
from dftlrp.ops.common import narrow_shape
from dftlrp.ops.registry import (
    At,
    register_affine,
    register_between,
    register_evaluated,
    register_route,
)
from dftlrp.ops.softmax import average_logarithmically, compute_softmax

SOURCE = "Bach et al. 2015"
Axes = tuple[int, ...]


def sum_weighted(
    at: At, axes: Axes, keep: bool, weight: Array, bias: Array | None = None
) -> Affine:
    """Return ``sum w x`` over axes, plus a bias; w is a scalar or in the shape of x."""
    x, bk = at.x, at.bk
    narrow = narrow_shape(x.shape, axes)

    def spread(r: Array) -> Array:
        return bk.expand(bk.reshape(r, narrow), x.shape)

    return Affine(
        lambda ws, xs: bk.sum(ws[0] * xs[0], axes, keep),
        lambda ws, r: (ws[0] * spread(r),),
        (bk.asarray(weight, x.dtype),),
        bias,
    )


def read_reduced_axes(at: At) -> Axes:
    """Return the axes that a reduction goes over."""
    axes = at.get_setting(1, "axes")
    if axes is None or axes == []:
        return () if at.get_attr("noop_with_empty_axes", 0) else at.read_axes(None)
    return at.read_axes(axes)


def _keeps_dims(at: At) -> bool:
    return bool(at.get_attr("keepdims", 1))


def _sum_reduced(at: At, weight: Array, bias: Array | None = None) -> Affine:
    return sum_weighted(at, read_reduced_axes(at), _keeps_dims(at), weight, bias)


def _make_reduction(f: Callable[..., Array]) -> Callable[[At], Array]:
    """Return the evaluation of a reduction by a function with NumPy's signature."""

    def evaluate(at: At) -> Array:
        at.grant(at.x.shape)
        y = f(at.x, axis=read_reduced_axes(at), keepdims=_keeps_dims(at))
        return at.bk.asarray(y, at.x.dtype)

    return evaluate


def _average_as_onnx(x: Array, axis: Axes, keepdims: bool) -> Array:
    """Return the mean; integers are divided as integers."""
    total = np.sum(x, axis=axis, keepdims=keepdims)
    count = math.prod(x.shape[a] for a in axis)
    return total / count if x.dtype.kind == "f" else np.trunc(total / max(count, 1))


def _spread_reduced(at: At, y: Array) -> Array:
    """Return a reduced array so that it broadcasts to x again."""
    return at.bk.reshape(y, narrow_shape(at.x.shape, read_reduced_axes(at)))


# -- sums


@register_affine("ReduceSum", evaluate=_make_reduction(np.sum))
def reduce_sum(at: At) -> Affine:
    """The sum over axes."""
    return _sum_reduced(at, 1.0)


@register_affine("ReduceMean", evaluate=_make_reduction(_average_as_onnx))
def reduce_mean(at: At) -> Affine:
    """The mean over axes."""
    return _sum_reduced(at, 1 / math.prod(at.x.shape[a] for a in read_reduced_axes(at)))


def _sum_absolute(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.sum(abs(x), axis=axis, keepdims=keepdims)


def _sum_squares(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.sum(x * x, axis=axis, keepdims=keepdims)


def _take_norm(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.sqrt(_sum_squares(x, axis, keepdims))


@register_affine("ReduceL1", evaluate=_make_reduction(_sum_absolute))
def reduce_l1(at: At) -> Affine:
    """``sum x sgn(x)``, which is its own tangent."""
    return _sum_reduced(at, np.sign(at.x))


@register_affine("ReduceL2", evaluate=_make_reduction(_take_norm))
def reduce_l2(at: At) -> Affine:
    """``sum x (x / y)``, which is its own tangent."""
    y = _spread_reduced(at, at.bk.sqrt(_sum_reduced(at, at.x).apply(at.x)))
    return _sum_reduced(at, at.x / (y + (1 - at.bk.step(y, strict=True))))


@register_affine("ReduceSumSquare", evaluate=_make_reduction(_sum_squares))
def reduce_sum_square(at: At) -> Affine:
    """``sum x x`` with one factor frozen; the tangent is twice that, less y."""
    frozen = _sum_reduced(at, at.x)

    def slope() -> Affine:
        return _sum_reduced(at, 2 * at.x, -frozen.apply(at.x))

    return Affine(frozen.linear, frozen.transpose, frozen.weights, slope=slope)


@register_between("ReduceL1")
def _take_l1_between(here: At, there: At) -> Affine:
    """``D|x| = (x + r) / (|x| + |r|) Dx``."""
    x, r = here.x, there.x
    size = abs(x) + abs(r)
    return _sum_reduced(here, (x + r) / (size + (1 - here.bk.step(size, strict=True))))


@register_between("ReduceL2")
def _take_l2_between(here: At, there: At) -> Affine:
    """``Dy = sum (x + r) Dx / (y(x) + y(r))``."""
    size = _spread_reduced(here, here.y + there.y)
    return _sum_reduced(here, (here.x + there.x) / (size + (1 - here.bk.step(size, strict=True))))


# -- logarithms of sums: each term gets its share of the sum


def _take_log_sum(x: Array, axis: Axes, keepdims: bool) -> Array:
    return np.log(np.sum(x, axis=axis, keepdims=keepdims))


def _take_log_sum_exp(x: Array, axis: Axes, keepdims: bool) -> Array:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axis])


def _route_shares(at: At, share: Array, slope: Callable[[], Array]) -> Route:
    """Return the route of relevance in these shares, which sum to one.

    ``slope`` returns the weights of the tangent, which are others.
    """
    carry = _sum_reduced(at, share).adjoint

    def tangent() -> Affine:
        w = slope()
        return _sum_reduced(at, w, at.y - _sum_reduced(at, w).apply(at.x))

    return Route(carry, tangent, homogeneous=False)


@register_route("ReduceLogSum", evaluate=_make_reduction(_take_log_sum))
def reduce_log_sum(at: At) -> Route:
    """Relevance in shares ``x / sum x``: it passes the logarithm, and the sum shares by value."""
    total = _spread_reduced(at, _sum_reduced(at, 1.0).apply(at.x))
    return _route_shares(at, at.x / total, lambda: at.bk.expand(1 / total, at.x.shape))


@register_route("ReduceLogSumExp", evaluate=_make_reduction(_take_log_sum_exp))
def reduce_log_sum_exp(at: At) -> Route:
    """Relevance in shares ``exp(x) / sum exp(x)``, which are the weights of the tangent, too."""
    p = compute_softmax(at.x, read_reduced_axes(at))[0]
    return _route_shares(at, p, lambda: p)


def _route_changes(here: At, change: Array) -> Route:
    """Return the route of relevance in shares of the change that each term makes."""
    bk = here.bk
    total = _spread_reduced(here, _sum_reduced(here, 1.0).apply(change))
    zero = 1 - bk.step(total, strict=True) - bk.step(-total, strict=True)
    return _route_shares(here, change / (total + zero), lambda: 0 * here.x)


@register_between("ReduceLogSum")
def _take_log_sum_between(here: At, there: At) -> Route:
    return _route_changes(here, here.x - there.x)


@register_between("ReduceLogSumExp")
def _take_log_sum_exp_between(here: At, there: At) -> Route:
    """The changes of a softmax's logarithms, see `dftlrp.ops.softmax`."""
    bk = here.bk
    p, q = (bk.exp(at.x - _spread_reduced(at, at.y)) for at in (here, there))
    return _route_changes(here, average_logarithmically(bk, p, q) * (here.x - there.x))


# -- extrema


def _route_to_extremum(at: At, sign: int) -> Route:
    """Return the route to the first of the largest (sign 1) or smallest (sign -1) elements."""
    x, bk, axes = at.x, at.bk, read_reduced_axes(at)
    order = (*(i for i in range(x.ndim) if i not in axes), *axes)
    back = tuple(int(i) for i in np.argsort(order))
    moved = tuple(x.shape[i] for i in order)
    count = math.prod(x.shape[a] for a in axes)
    g = Window((count,), (1,), (1,), ((0, 0),))

    def flatten(v: Array) -> Array:
        return bk.reshape(bk.transpose(v, order), (1, x.size // count, count))

    def pick(v: Array) -> Array:
        return bk.reshape(bk.maxpool(flatten(v), compared, g), at.y.shape)

    def put(r: Array) -> Array:
        spread = bk.maxpool_T(bk.reshape(r, (1, x.size // count, 1)), compared, g)
        return bk.transpose(bk.reshape(spread, moved), back)

    compared = flatten(sign * x)
    return move(pick, lambda r: (put(r),), fixed=False)


def _make_extremum(f: Callable[..., Array], sign: int) -> Callable[[At], Array]:
    """Return the evaluation of a maximum or minimum, which over nothing is the dtype's end."""

    def find_end(dtype: Any) -> Any:
        if dtype.kind in "fb":
            return np.asarray(-sign * np.inf if dtype.kind == "f" else sign < 0, dtype)
        return np.iinfo(dtype).min if sign > 0 else np.iinfo(dtype).max

    return _make_reduction(
        lambda x, axis, keepdims: f(x, axis=axis, keepdims=keepdims, initial=find_end(x.dtype))
    )


@register_route("ReduceMax", evaluate=_make_extremum(np.max, 1))
def reduce_max(at: At) -> Route:
    """The first of the largest over the axes takes all."""
    return _route_to_extremum(at, 1)


@register_route("ReduceMin", evaluate=_make_extremum(np.min, -1))
def reduce_min(at: At) -> Route:
    """The first of the smallest over the axes takes all."""
    return _route_to_extremum(at, -1)


@register_between("ReduceMax", "ReduceMin")
def _take_extremum_between(here: At, there: At) -> Route:
    """The way to the extremum of both ends together, so that x and r change places by a sign."""
    largest = here.node.op == "ReduceMax"
    sign, choose = (1, np.maximum) if largest else (-1, np.minimum)
    both = choose(here.x, there.x)
    route = _route_to_extremum(replace(here, args=(both, *here.args[1:])), sign)
    return replace(route, narrow=True)


register_evaluated("ReduceProd", evaluate=_make_reduction(np.prod))

# -- running sums


def _accumulate(at: At, f: Callable[..., Array], v: Array, first: float, reverse: bool) -> Array:
    """Return a running sum or product along an axis; an exclusive one starts with ``first``."""
    axis = at.read_axes(at.get_setting(1, "axis"))[0]
    v = np.flip(v, axis) if reverse else v
    if at.get_attr("exclusive", 0):
        v = np.concatenate([np.full_like(v.take([0], axis), first), v], axis)
        v = v.take(range(v.shape[axis] - 1), axis)
    y = f(v, axis=axis, dtype=v.dtype)
    return np.flip(y, axis) if reverse else y


def _accumulate_sum(at: At, v: Array, transposed: bool = False) -> Array:
    return _accumulate(at, np.cumsum, v, 0, bool(at.get_attr("reverse", 0)) != transposed)


@register_affine("CumSum", evaluate=lambda at: _accumulate_sum(at, at.x))
def cumsum(at: At) -> Affine:
    """A running sum, whose transpose runs the other way."""
    return Affine(
        lambda ws, xs: ws[0] * _accumulate_sum(at, xs[0]),
        lambda ws, r: (_accumulate_sum(at, ws[0] * r, transposed=True),),
        (np.asarray(1.0, at.x.dtype),),
    )


register_evaluated(
    "CumProd",
    evaluate=lambda at: _accumulate(at, np.cumprod, at.x, 1, bool(at.get_attr("reverse", 0))),
)
