"""Normalisation layers: linear in x with the size they divide by frozen.

All are ``y = g c(x) / n(x) + b``: c subtracts a mean or nothing, n measures a size.  Relevance
uses the map with n frozen (DFT-LRP's and AttnLRP's choice); its slope is the true tangent

    v -> g (c(v) / n - c(x) / n^2 dn(v)),        dn the derivative of n at x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.common import lay_along
from dftlrp.ops.registry import At, register_affine

SOURCE = "Ali et al. 2022 (scale frozen)"
Axes = tuple[int, ...]


def _average(at: At, v: Array, axes: Axes) -> Array:
    count = math.prod(v.shape[a] for a in axes)
    return at.bk.sum(v, axes, True) / count


def _make_centring(at: At, axes: Axes) -> Callable[[Array], Array]:
    """Return the function ``v - mean(v)`` over axes, which is its own transpose."""
    return lambda v: v - _average(at, v, axes)


def _make_size_gradient(at: At, g: Array, size: Array) -> Affine:
    """Return the derivative of a size per group: ``dn(v) = sum g v`` over the group."""
    bk = at.bk
    return Affine(lambda _, xs: bk.sum_to(g * xs[0], size), lambda _, r: (g * r,))


def normalise(
    at: At,
    centre: Callable[[Array], Array] | None,
    size: Array,
    derivative: Callable[[], Affine],
    gain: Array | None = None,
    bias: Array | None = None,
) -> Affine:
    """Return the map ``g c(x) / n + b`` with n frozen.

    Parameters
    ----------
    centre : callable or None
        c, which is its own transpose; None: the identity, and the map is a diagonal with weights.
    size : array
        n, broadcastable to x.
    derivative : callable ``() -> Affine``
        dn: from x's shape to n's.

    Raises
    ------
    ValueError
        Gain, bias or size have axes that x has not.
    """
    x, bk = at.x, at.bk
    at.refuse_growth(gain, bias, size)
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


def _standardise(at: At, axes: Axes, gain: Array | None, bias: Array | None) -> Affine:
    """Return the map ``g (x - mean) / sqrt(var + eps) + b``."""
    c = _make_centring(at, axes)
    std = _measure_deviation(at, axes, at.get_attr("epsilon", 1e-5))
    count = at.x.size // max(std.size, 1)
    return normalise(
        at, c, std, lambda: _make_size_gradient(at, c(at.x) / (std * count), std), gain, bias
    )


def _measure_deviation(at: At, axes: Axes, epsilon: float) -> Array:
    d = _make_centring(at, axes)(at.x)
    return at.bk.sqrt(_average(at, d * d, axes) + epsilon)


def _find_last_axes(at: At) -> Axes:
    return tuple(range(at.read_axis("axis", -1), at.x.ndim))


def _evaluate_layer_normalization(at: At) -> Array:
    if at.node.index == 0:
        return layer_normalization(at).forward(at.x)
    axes = _find_last_axes(at)
    if at.node.index == 1:
        return _average(at, at.x, axes)
    return 1 / _measure_deviation(at, axes, at.get_attr("epsilon", 1e-5))


@register_affine(
    "LayerNormalization", evaluate=_evaluate_layer_normalization, weighted=False, outputs=3
)
def layer_normalization(at: At) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b`` over the axes from ``axis`` on."""
    return _standardise(at, _find_last_axes(at), at.args[1], at.get_arg(2))


@register_affine("InstanceNormalization", weighted=False)
def instance_normalization(at: At) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b`` over the samples of each channel."""
    gain, bias = (lay_along(v, 1, at.x.ndim) for v in at.args[1:3])
    return _standardise(at, tuple(range(2, at.x.ndim)), gain, bias)


@register_affine("GroupNormalization", weighted=False)
def group_normalization(at: At) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b`` over groups of channels.

    Gain and bias have one number per group in opset 18, and one per channel since.
    """
    x, bk, groups = at.x, at.bk, at.get_attr("num_groups")
    split = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])

    def lay_per_channel(v: Array) -> Array:
        return v.reshape(1, groups, -1, *(1,) * (x.ndim - 2))

    inner = replace(at, args=(bk.reshape(x, split),), live=(0,))
    gain, bias = map(lay_per_channel, at.args[1:3])
    return _reshape_map(at, _standardise(inner, tuple(range(2, len(split))), gain, bias), split)


def _reshape_map(at: At, inner: Affine, split: tuple[int, ...]) -> Affine:
    """Return a map on x in another shape as one on x in its own."""
    bk, shape = at.bk, at.x.shape
    bias = inner.bias
    full = None if bias is None else bk.reshape(bk.expand(bias, split), shape)
    return Affine(
        lambda ws, xs: bk.reshape(inner.linear(ws, (bk.reshape(xs[0], split),)), shape),
        lambda ws, r: (bk.reshape(inner.transpose(ws, bk.reshape(r, split))[0], shape),),
        inner.weights,
        full,
        None if inner.slope is None else lambda: _reshape_map(at, inner.tangent(), split),
    )


@register_affine("RMSNormalization")
def rms_normalization(at: At) -> Affine:
    """``g x / sqrt(mean(x^2) + eps)`` over the axes from ``axis`` on."""
    axes = _find_last_axes(at)
    rms = at.bk.sqrt(_average(at, at.x * at.x, axes) + at.get_attr("epsilon", 1e-5))
    count = at.x.size // max(rms.size, 1)
    return normalise(
        at, None, rms, lambda: _make_size_gradient(at, at.x / (rms * count), rms), at.args[1]
    )


@register_affine("MeanVarianceNormalization", weighted=False)
def mean_variance_normalization(at: At) -> Affine:
    """``(x - mean) / (std + 1e-9)``: here the epsilon stands beside the root."""
    axes = at.read_axes(at.get_attr("axes", [0, 2, 3]))
    c, std = _make_centring(at, axes), _measure_deviation(at, axes, 0.0)
    count = at.x.size // max(std.size, 1)
    return normalise(
        at,
        c,
        std + 1e-9,
        lambda: _make_size_gradient(at, c(at.x) / (_replace_zeros(at, std) * count), std),
    )


def _replace_zeros(at: At, size: Array) -> Array:
    """Return the size, with 1 where it is 0."""
    return size + (1 - at.bk.step(size, strict=True))


@register_affine("LpNormalization")
def lp_normalization(at: At) -> Affine:
    """``x / (sum |x|^p)^(1/p)`` along an axis, p 1 or 2; zeros stay zeros."""
    x, bk, axes = at.x, at.bk, (at.read_axis("axis", -1),)
    if at.get_attr("p", 2) == 1:
        size = _replace_zeros(at, bk.sum(abs(x), axes, True))
        return normalise(at, None, size, lambda: _make_size_gradient(at, np.sign(x), size))
    size = _replace_zeros(at, bk.sqrt(bk.sum(x * x, axes, True)))
    return normalise(at, None, size, lambda: _make_size_gradient(at, x / size, size))


@register_affine("LRN")
def lrn(at: At) -> Affine:
    """``x / (bias + alpha / size * (sum of x^2 over near channels))^beta``."""
    x, bk, n = at.x, at.bk, at.get_attr("size")
    alpha, beta, shift = (
        at.get_attr(k, default) for k, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    at.count_work(*x.shape, *at.grant([x.shape[1], x.shape[1]])[:1])
    lag = np.arange(x.shape[1]) - np.arange(x.shape[1])[:, None]
    near = ((lag >= -((n - 1) // 2)) & (lag <= n // 2)).astype(x.dtype)
    flat = (*x.shape[:2], -1)

    def sum_near(m: Array, v: Array) -> Array:
        return bk.reshape(bk.matmul(m, bk.reshape(v, flat)), x.shape)

    base = shift + alpha / n * sum_near(near, x * x)
    rate = 2 * alpha / n * beta * bk.power(base, beta - 1)
    derivative = Affine(
        lambda _, xs: rate * sum_near(near, x * xs[0]),
        lambda _, r: (x * sum_near(near.T, rate * r),),
    )
    return normalise(at, None, bk.power(base, beta), lambda: derivative)


def refuse_training(at: At) -> None:
    """Raise UnsupportedModelError for a layer in training mode, which normalises by the batch."""
    if at.get_attr("training_mode", 0):
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({at.node.op}): training_mode=1: export the model in eval mode"
        )
