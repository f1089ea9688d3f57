"""Pools and reductions: means and sums are `Affine`, maxima are `Route` to the winner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.backend import Window
from dftlrp.linear import Affine, Array, Route, move
from dftlrp.ops.registry import At, affine, final, route
from dftlrp.ops.window import ceiled, window


def _window(at: At) -> Window:
    size = at.x.shape[2:]
    g = window(at, tuple(at.attr("kernel_shape")), size)
    return ceiled(g, size) if at.attr("ceil_mode", 0) else g


@affine("AveragePool")
def average_pool(at: At) -> Affine:
    """Sum over each window divided by the number of samples in it."""
    x, bk = at.x, at.bk
    channels, size = x.shape[1], x.shape[2:]
    g = _window(at)._replace(groups=channels)
    taps = np.ones((channels, 1, *g.kernel), x.dtype)
    if at.attr("count_include_pad", 0):  # the declared pads count, what ceil_mode adds does not
        declared = window(at, g.kernel, size).pads
        inside = np.ones(
            (1, 1, *(n + sum(p) for n, p in zip(size, declared, strict=True))), x.dtype
        )
        grown = tuple((0, e - d) for (_, e), (_, d) in zip(g.pads, declared, strict=True))
        count = bk.conv(inside, taps[:1], g._replace(groups=1, pads=grown))
    else:
        count = bk.conv(np.ones((1, 1, *size), x.dtype), taps[:1], g._replace(groups=1))
    return Affine(
        lambda ws, xs: ws[0] * bk.conv(xs[0], taps, g),
        lambda ws, r: (bk.conv_T(ws[0] * r, taps, g, size),),
        (1 / count,),
    )


def _maxpool(at: At) -> Array:
    return at.bk.maxpool(at.x, at.x, _window(at))


@route("MaxPool", evaluate=_maxpool)
def max_pool(at: At) -> Route:
    """Winner takes all, the first on ties."""
    return _winners(at, _window(at))


def _winners(at: At, g: Window) -> Route:
    x, bk = at.x, at.bk
    return move(lambda v: bk.maxpool(v, x, g), lambda r: (bk.maxpool_T(r, x, g),))


def _global(at: At) -> Window:
    size = at.x.shape[2:]
    ones = (1,) * len(size)
    return Window(size, ones, ones, ((0, 0),) * len(size))


@route("GlobalMaxPool", evaluate=lambda at: at.bk.maxpool(at.x, at.x, _global(at)))
def global_max_pool(at: At) -> Route:
    """Winner of all positions, per channel."""
    return _winners(at, _global(at))


def _reduction(at: At, axes: tuple[int, ...], keep: bool, weight: float) -> Affine:
    x, bk = at.x, at.bk
    narrow = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return Affine(
        lambda ws, xs: ws[0] * bk.sum(xs[0], axes, keep),
        lambda ws, r: (bk.expand(bk.reshape(ws[0] * r, narrow), x.shape),),
        (np.asarray(weight, x.dtype),),
    )


def reduced_axes(at: At) -> tuple[int, ...]:
    """Axes that a reduction goes over."""
    axes = at.setting(1, "axes")
    if axes is None or axes == []:
        return () if at.attr("noop_with_empty_axes", 0) else at.axes(None)
    return at.axes(axes)


def _numpy(f: Callable[..., Array]) -> Callable[[At], Array]:
    def evaluate(at: At) -> Array:
        return np.asarray(f(at.x, axis=reduced_axes(at), keepdims=bool(at.attr("keepdims", 1))))

    return evaluate


@affine("ReduceSum", evaluate=_numpy(np.sum))
def reduce_sum(at: At) -> Affine:
    """Sum over axes."""
    return _reduction(at, reduced_axes(at), bool(at.attr("keepdims", 1)), 1.0)


@affine("ReduceMean", evaluate=_numpy(np.mean))
def reduce_mean(at: At) -> Affine:
    """Mean over axes."""
    axes = reduced_axes(at)
    count = int(np.prod([at.x.shape[a] for a in axes]))
    return _reduction(at, axes, bool(at.attr("keepdims", 1)), 1 / count)


@affine("GlobalAveragePool")
def global_average_pool(at: At) -> Affine:
    """Mean over all spatial axes."""
    axes = tuple(range(2, at.x.ndim))
    return _reduction(at, axes, True, 1 / int(np.prod(at.x.shape[2:])))


def _extremum(at: At, sign: int) -> Route:
    """To the first of the largest (sign 1) or smallest (sign -1) over the axes."""
    x, bk, axes = at.x, at.bk, reduced_axes(at)
    keep = bool(at.attr("keepdims", 1))
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    order = np.arange(x.size).reshape(x.shape).transpose(*kept, *axes)
    order = order.reshape(*(x.shape[i] for i in kept), -1)
    best = np.argmax(sign * x.ravel()[order], axis=-1, keepdims=True)
    index = np.take_along_axis(order, best, -1)[..., 0]
    if keep:
        index = np.expand_dims(index, axes)
    return move(lambda v: bk.take(v, index), lambda r: (bk.take_T(r, index, x),))


@route("ReduceMax", evaluate=_numpy(np.max))
def reduce_max(at: At) -> Route:
    """Winner over the axes."""
    return _extremum(at, 1)


@route("ReduceMin", evaluate=_numpy(np.min))
def reduce_min(at: At) -> Route:
    """Smallest over the axes."""
    return _extremum(at, -1)


final("ReduceProd", evaluate=_numpy(np.prod))
