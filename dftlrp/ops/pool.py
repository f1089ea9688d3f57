"""Pools: means and norms are `Affine`, maxima are `Route` to the winner."""

from __future__ import annotations

import math

import numpy as np

from dftlrp.core.backend import Window, window_size
from dftlrp.core.maps import Affine, Array, Route, move
from dftlrp.ops.reduce import weighted_sum
from dftlrp.ops.registry import At, affine, route
from dftlrp.ops.window import ceiled, window


def _window(at: At) -> Window:
    size = at.x.shape[2:]
    g = window(at, tuple(at.attr("kernel_shape")), size)
    g = ceiled(g, size) if at.attr("ceil_mode", 0) else g
    at.grant([*at.x.shape[:2], *(n + sum(p) for n, p in zip(size, g.pads, strict=True))])
    at.work(*at.x.shape[:2], *g.kernel, *window_size(size, g))
    return g


def _columns(at: At, g: Window) -> None:
    """Pools that are convolutions have columns like these."""
    at.grant([*at.x.shape[:2], math.prod(g.kernel), math.prod(window_size(at.x.shape[2:], g))])


@affine("AveragePool")
def average_pool(at: At) -> Affine:
    """Sum over each window divided by the number of samples in it."""
    x, bk = at.x, at.bk
    channels, size = x.shape[1], x.shape[2:]
    g = _window(at)._replace(groups=channels)
    _columns(at, g)
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


def _places(at: At) -> Array:
    """The index of each sample in the flattened input, as the second output counts."""
    x = at.x
    inner = np.arange(int(np.prod(x.shape[2:])))
    if at.attr("storage_order", 0):
        inner = inner.reshape(x.shape[2:][::-1]).T.ravel()
    lead = np.arange(x.shape[0] * x.shape[1])[:, None] * inner.size
    return (lead + inner).reshape(x.shape)


def _maxpool(at: At) -> Array:
    if at.node.index:
        return at.bk.maxpool(_places(at), at.x, _window(at))
    compared = at.x if at.x.dtype.kind == "f" else at.x.astype(np.float64)
    return at.bk.maxpool(at.x, compared, _window(at))


@route("MaxPool", evaluate=_maxpool, outputs=2, silent=(1,))
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


@affine("GlobalAveragePool")
def global_average_pool(at: At) -> Affine:
    """Mean over all spatial axes."""
    axes = tuple(range(2, at.x.ndim))
    return weighted_sum(at, axes, True, 1 / int(np.prod(at.x.shape[2:])))


def _norm_pool(at: At, g: Window) -> Affine:
    """``(sum |x|^p)^(1/p)`` over windows: ``sum x w`` with ``w = sgn(x) |x|^(p-1) y^(1-p)``.

    It is homogeneous of degree one, so with w frozen it is its own tangent.
    """
    x, bk, p = at.x, at.bk, at.attr("p", 2)
    channels, size = x.shape[1], x.shape[2:]
    g = g._replace(groups=channels)
    _columns(at, g)
    taps = np.ones((channels, 1, *g.kernel), x.dtype)
    own = np.sign(x) * abs(x) ** (p - 1)
    total = bk.conv(own * x, taps, g) ** (1 / p)
    scale = (total + (1 - bk.step(total, strict=True))) ** (1 - p)
    return Affine(
        lambda ws, xs: scale * bk.conv(ws[0] * xs[0], taps, g),
        lambda ws, r: (ws[0] * bk.conv_T(scale * r, taps, g, size),),
        (own,),
    )


@affine("LpPool")
def lp_pool(at: At) -> Affine:
    """p-norm of each window."""
    return _norm_pool(at, _window(at))


@affine("GlobalLpPool")
def global_lp_pool(at: At) -> Affine:
    """p-norm of each channel."""
    return _norm_pool(at, _global(at))
