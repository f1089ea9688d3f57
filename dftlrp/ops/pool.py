"""Pools: means and norms are `Affine`, maxima are `Route` to the winner."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dftlrp.core.backend import Window, window_size
from dftlrp.core.maps import Affine, Array, Route, move
from dftlrp.ops.common import take_chord
from dftlrp.ops.reduce import sum_weighted
from dftlrp.ops.registry import At, register_affine, register_between, register_route
from dftlrp.ops.window import find_window, grow_to_ceil

SOURCE = "Bach et al. 2015"


def find_pool_window(at: At) -> Window:
    """Return the window of a pool, with what ceil_mode adds to its pads."""
    size = at.x.shape[2:]
    g = find_window(at, tuple(at.get_attr("kernel_shape")), size)
    g = grow_to_ceil(g, size) if at.get_attr("ceil_mode", 0) else g
    at.grant([*at.x.shape[:2], *(n + sum(p) for n, p in zip(size, g.pads, strict=True))])
    at.count_work(*at.x.shape[:2], *g.kernel, *window_size(size, g))
    return g


def _grant_columns(at: At, g: Window) -> None:
    """Ask for the columns that a pool takes where it is a convolution."""
    at.grant([*at.x.shape[:2], math.prod(g.kernel), math.prod(window_size(at.x.shape[2:], g))])


@register_affine("AveragePool")
def average_pool(at: At) -> Affine:
    """The sum over each window divided by the number of samples in it."""
    x, bk = at.x, at.bk
    channels, size = x.shape[1], x.shape[2:]
    g = find_pool_window(at)._replace(groups=channels)
    _grant_columns(at, g)
    taps = np.ones((channels, 1, *g.kernel), x.dtype)
    return Affine(
        lambda ws, xs: ws[0] * bk.conv(xs[0], taps, g),
        lambda ws, r: (bk.conv_T(ws[0] * r, taps, g, size),),
        (1 / _count_samples(at, g, taps[:1]),),
    )


def _count_samples(at: At, g: Window, taps: Array) -> Array:
    """Return how many samples of the input lie in each window.

    Declared pads count if the node says so; what ceil_mode adds never does.
    """
    size, pads = at.x.shape[2:], g.pads
    if at.get_attr("count_include_pad", 0):
        declared = find_window(at, g.kernel, size).pads
        size = tuple(n + sum(p) for n, p in zip(size, declared, strict=True))
        pads = tuple((0, e - d) for (_, e), (_, d) in zip(pads, declared, strict=True))
    inside = np.ones((1, 1, *size), at.x.dtype)
    return at.bk.conv(inside, taps, g._replace(groups=1, pads=pads))


def _index_samples(at: At) -> Array:
    """Return the index of each sample in the flattened input, as the second output counts."""
    x = at.x
    inner = np.arange(math.prod(x.shape[2:]))
    if at.get_attr("storage_order", 0):
        inner = inner.reshape(x.shape[2:][::-1]).T.ravel()
    lead = np.arange(x.shape[0] * x.shape[1])[:, None] * inner.size
    return (lead + inner).reshape(x.shape)


def _evaluate_max_pool(at: At) -> Array:
    if at.node.index:
        return at.bk.maxpool(_index_samples(at), at.x, find_pool_window(at))
    compared = at.x if at.x.dtype.kind == "f" else at.x.astype(np.float64)
    return at.bk.maxpool(at.x, compared, find_pool_window(at))


@register_route("MaxPool", evaluate=_evaluate_max_pool, outputs=2, silent=(1,))
def max_pool(at: At) -> Route:
    """The first of the largest in each window takes all."""
    return _route_to_winners(at, find_pool_window(at))


def _route_to_winners(at: At, g: Window) -> Route:
    x, bk = at.x, at.bk
    return move(lambda v: bk.maxpool(v, x, g), lambda r: (bk.maxpool_T(r, x, g),), fixed=False)


def _make_global_window(at: At) -> Window:
    size = at.x.shape[2:]
    ones = (1,) * len(size)
    return Window(size, ones, ones, ((0, 0),) * len(size))


@register_route(
    "GlobalMaxPool", evaluate=lambda at: at.bk.maxpool(at.x, at.x, _make_global_window(at))
)
def global_max_pool(at: At) -> Route:
    """The first of the largest of each channel takes all."""
    return _route_to_winners(at, _make_global_window(at))


@register_between("MaxPool", "GlobalMaxPool")
def _take_max_pool_between(here: At, there: At) -> Route:
    """The way to the largest of both ends together, so that x and r change places by a sign.

    What the end with the larger maximum takes is the most that any one sample changes, so that a
    sample that takes something changes itself.
    """
    g = find_pool_window(here) if here.node.op == "MaxPool" else _make_global_window(here)
    both = replace(here, args=(np.maximum(here.x, there.x),))
    return replace(_route_to_winners(both, g), narrow=True)


@register_affine("GlobalAveragePool")
def global_average_pool(at: At) -> Affine:
    """The mean over all spatial axes."""
    axes = tuple(range(2, at.x.ndim))
    return sum_weighted(at, axes, True, 1 / math.prod(at.x.shape[2:]))


def _pool_norm(at: At, g: Window) -> Affine:
    """Return ``(sum |x|^p)^(1/p)`` over windows as ``sum x w``, ``w = sgn(x) |x|^(p-1) y^(1-p)``.

    The norm is homogeneous of degree one, so with w frozen it is its own tangent.
    """
    x, bk, p = at.x, at.bk, at.get_attr("p", 2)
    own = np.sign(x) * abs(x) ** (p - 1)
    total = _sum_windows(at, g, own).apply(x) ** (1 / p)
    return _sum_windows(at, g, own, (total + (1 - bk.step(total, strict=True))) ** (1 - p))


def _sum_windows(at: At, g: Window, own: Array, scale: Array = 1.0) -> Affine:
    """Return ``scale (sum w x)`` over windows."""
    bk, channels, size = at.bk, at.x.shape[1], at.x.shape[2:]
    g = g._replace(groups=channels)
    _grant_columns(at, g)
    taps = np.ones((channels, 1, *g.kernel), at.x.dtype)
    return Affine(
        lambda ws, xs: scale * bk.conv(ws[0] * xs[0], taps, g),
        lambda ws, r: (ws[0] * bk.conv_T(scale * r, taps, g, size),),
        (own,),
    )


@register_affine("LpPool")
def lp_pool(at: At) -> Affine:
    """The p-norm of each window."""
    return _pool_norm(at, find_pool_window(at))


@register_affine("GlobalLpPool")
def global_lp_pool(at: At) -> Affine:
    """The p-norm of each channel."""
    return _pool_norm(at, _make_global_window(at))


@register_between("LpPool", "GlobalLpPool")
def _take_norm_pool_between(here: At, there: At) -> Affine:
    """``Dy = D(sum |x|^p) D(y) / D(y^p)``: two chords; exact for any p."""
    bk, p, (x, r) = here.bk, here.get_attr("p", 2), (here.x, there.x)
    g = find_pool_window(here) if here.node.op == "LpPool" else _make_global_window(here)
    own = take_chord(bk, abs(x) ** p - abs(r) ** p, x - r, p * np.sign(x) * abs(x) ** (p - 1))
    u, v = here.y, there.y
    return _sum_windows(here, g, own, take_chord(bk, u - v, u**p - v**p, 0 * u))
