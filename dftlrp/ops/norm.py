"""Normalisation layers: linear in x with the size they divide by frozen.

All are ``y = g c(x) / n(x) + b``: c subtracts a mean or nothing, n measures a size.  Relevance
uses the map with n frozen (DFT-LRP's and AttnLRP's choice); its slope is the true tangent

    v -> g (c(v) / n - c(x) / n^2 dn(v)),        dn the derivative of n at x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.registry import At, affine

Axes = tuple[int, ...]


def _mean(at: At, v: Array, axes: Axes) -> Array:
    count = int(np.prod([v.shape[a] for a in axes]))
    return at.bk.sum(v, axes, True) / count


def centred(at: At, axes: Axes) -> Callable[[Array], Array]:
    """``v - mean(v)`` over axes: its own transpose."""
    return lambda v: v - _mean(at, v, axes)


def _gradient(at: At, g: Array, size: Array) -> Affine:
    """The derivative of a size per group: ``dn(v) = sum g v`` over the group."""
    bk = at.bk
    return Affine(lambda _, xs: bk.sum_to(g * xs[0], size), lambda _, r: (g * r,))


def normaliser(
    at: At,
    centre: Callable[[Array], Array] | None,
    size: Array,
    derivative: Callable[[], Affine],
    gain: Array | None = None,
    bias: Array | None = None,
) -> Affine:
    """``g c(x) / n + b`` with n frozen.

    Parameters
    ----------
    centre : callable or None
        c, which is its own transpose; None: the identity, and the map is a diagonal with weights.
    size : array
        n, broadcastable to x.
    derivative : callable ``() -> Affine``
        dn: from x's shape to n's.
    """
    x, bk = at.x, at.bk
    at.fits(gain, bias, size)
    c = centre or (lambda v: v)
    weight = 1 / size if gain is None else gain / size

    def slope() -> Affine:
        dn, direction = derivative(), weight * c(x) / size
        tangent = Affine(
            lambda _, xs: weight * c(xs[0]) - direction * dn.apply(xs[0]),
            lambda _, r: (c(weight * r) - dn.adjoint(bk.sum_to(direction * r, size))[0],),
        )
        y = weight * c(x) if bias is None else weight * c(x) + bias
        return replace(tangent, bias=y - tangent.apply(x))

    if centre is None:
        return Affine(
            lambda ws, xs: ws[0] * xs[0], lambda ws, r: (ws[0] * r,), (weight,), bias, slope
        )
    # a rule that modifies weights would need those of the mean, too: so there are none
    return Affine(lambda _, xs: weight * c(xs[0]), lambda _, r: (c(weight * r),), (), bias, slope)


def _standardised(at: At, axes: Axes, gain: Array | None, bias: Array | None) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b``."""
    c = centred(at, axes)
    std = _deviation(at, axes, at.attr("epsilon", 1e-5))
    count = at.x.size // max(std.size, 1)
    return normaliser(at, c, std, lambda: _gradient(at, c(at.x) / (std * count), std), gain, bias)


def _deviation(at: At, axes: Axes, epsilon: float) -> Array:
    d = centred(at, axes)(at.x)
    return at.bk.sqrt(_mean(at, d * d, axes) + epsilon)


def _channels(v: Array, rank: int) -> Array:
    return v.reshape(1, -1, *(1,) * (rank - 2))


def _last(at: At) -> Axes:
    return tuple(range(at.axes(at.attr("axis", -1))[0], at.x.ndim))


def _layer_normalization(at: At) -> Array:
    if at.node.index == 0:
        return layer_normalization(at).forward(at.x)
    axes = _last(at)
    if at.node.index == 1:
        return _mean(at, at.x, axes)
    return 1 / _deviation(at, axes, at.attr("epsilon", 1e-5))


@affine("LayerNormalization", evaluate=_layer_normalization, weighted=False, outputs=3)
def layer_normalization(at: At) -> Affine:
    """Over the last axes, from ``axis`` on."""
    return _standardised(at, _last(at), at.args[1], at.arg(2))


@affine("InstanceNormalization", weighted=False)
def instance_normalization(at: At) -> Affine:
    """Over each channel's samples."""
    gain, bias = (_channels(v, at.x.ndim) for v in at.args[1:3])
    return _standardised(at, tuple(range(2, at.x.ndim)), gain, bias)


@affine("GroupNormalization", weighted=False)
def group_normalization(at: At) -> Affine:
    """Over groups of channels; gain and bias are per group in opset 18, per channel since."""
    x, bk, groups = at.x, at.bk, at.attr("num_groups")
    split = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])

    def per_channel(v: Array) -> Array:
        v = v.reshape(groups, -1)
        return v.reshape(1, groups, v.shape[1], *(1,) * (x.ndim - 2))

    inner = replace(at, args=(bk.reshape(x, split),), live=(0,))
    gain, bias = per_channel(at.args[1]), per_channel(at.args[2])
    return _reshaped(at, _standardised(inner, tuple(range(2, len(split))), gain, bias), split)


def _reshaped(at: At, inner: Affine, split: tuple[int, ...]) -> Affine:
    """The map on x in another shape."""
    bk, shape = at.bk, at.x.shape
    bias = inner.bias
    full = None if bias is None else bk.reshape(bk.expand(bias, split), shape)
    return Affine(
        lambda ws, xs: bk.reshape(inner.linear(ws, (bk.reshape(xs[0], split),)), shape),
        lambda ws, r: (bk.reshape(inner.transpose(ws, bk.reshape(r, split))[0], shape),),
        inner.weights,
        full,
        None if inner.slope is None else lambda: _reshaped(at, inner.tangent(), split),
    )


@affine("RMSNormalization")
def rms_normalization(at: At) -> Affine:
    """``g x / sqrt(mean(x^2) + eps)`` over the last axes."""
    axes = _last(at)
    rms = at.bk.sqrt(_mean(at, at.x * at.x, axes) + at.attr("epsilon", 1e-5))
    count = at.x.size // max(rms.size, 1)
    return normaliser(at, None, rms, lambda: _gradient(at, at.x / (rms * count), rms), at.args[1])


@affine("MeanVarianceNormalization", weighted=False)
def mean_variance_normalization(at: At) -> Affine:
    """``(x - mean) / (std + 1e-9)``: here the epsilon stands beside the root."""
    axes, c = at.axes(at.attr("axes", [0, 2, 3])), centred(at, at.axes(at.attr("axes", [0, 2, 3])))
    std = _deviation(at, axes, 0.0)
    count = at.x.size // max(std.size, 1)
    return normaliser(
        at, c, std + 1e-9, lambda: _gradient(at, c(at.x) / (_nonzero(at, std) * count), std)
    )


def _nonzero(at: At, size: Array) -> Array:
    """1 where a size is zero."""
    return size + (1 - at.bk.step(size, strict=True))


@affine("LpNormalization")
def lp_normalization(at: At) -> Affine:
    """``x / (sum |x|^p)^(1/p)`` along an axis, p 1 or 2; zeros stay zeros."""
    x, bk, axes = at.x, at.bk, at.axes(at.attr("axis", -1))
    if at.attr("p", 2) == 1:
        size = _nonzero(at, bk.sum(abs(x), axes, True))
        return normaliser(at, None, size, lambda: _gradient(at, np.sign(x), size))
    size = _nonzero(at, bk.sqrt(bk.sum(x * x, axes, True)))
    return normaliser(at, None, size, lambda: _gradient(at, x / size, size))


@affine("LRN")
def lrn(at: At) -> Affine:
    """``x / (bias + alpha / size * (sum of x^2 over near channels))^beta``."""
    x, bk, n = at.x, at.bk, at.attr("size")
    alpha, beta, shift = at.attr("alpha", 1e-4), at.attr("beta", 0.75), at.attr("bias", 1.0)
    at.work(*x.shape, *at.grant([x.shape[1], x.shape[1]])[:1])
    lag = np.arange(x.shape[1]) - np.arange(x.shape[1])[:, None]
    near = ((lag >= -((n - 1) // 2)) & (lag <= n // 2)).astype(x.dtype)
    flat = (*x.shape[:2], -1)

    def over(m: Array, v: Array) -> Array:
        return bk.reshape(bk.matmul(m, bk.reshape(v, flat)), x.shape)

    base = shift + alpha / n * over(near, x * x)
    rate = 2 * alpha / n * beta * bk.power(base, beta - 1)
    return normaliser(
        at,
        None,
        bk.power(base, beta),
        lambda: Affine(
            lambda _, xs: rate * over(near, x * xs[0]), lambda _, r: (x * over(near.T, rate * r),)
        ),
    )


def trains(at: At) -> None:
    """Refuse a layer that was exported in training mode: it would normalise by the batch."""
    if at.attr("training_mode", 0):
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({at.node.op}): training_mode=1: export the model in eval mode"
        )
