"""Normalisation layers: linear in x with the size they divide by frozen.

All are ``y = g c(x) / n(x) + b``: c subtracts a mean or nothing, n measures a size.  Relevance
uses the map with n frozen (DFT-LRP's and AttnLRP's choice); its slope is the true tangent

    v -> g (c(v) / n - c(x) / n^2 dn(v)),        dn the derivative of n at x,

and between two points it is the same with means in place of 1 / n and c, see `_divide_change`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dftlrp.core.maps import Affine, Array, diagonal
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.common import lay_along
from dftlrp.ops.registry import At, register_affine, register_between

HALF = 0.5  # of the variance that a norm gives to a signal
SOURCE = "Ali et al. 2022 (scale frozen)"
Axes = tuple[int, ...]


def _average(at: At, v: Array, axes: Axes) -> Array:
    count = math.prod(v.shape[a] for a in axes)
    return at.bk.sum(v, axes, True) / count


def _make_centring(at: At, axes: Axes) -> Callable[[Array], Array]:
    """Return the function ``v - mean(v)`` over axes, which is its own transpose."""
    return lambda v: v - _average(at, v, axes)


class Norm(NamedTuple):
    """What a normalisation ``g c(x) / n(x) + b`` is made of at a point x.

    Attributes
    ----------
    centre : callable or None
        c, which is its own transpose; None: the identity, and the map is a diagonal with weights.
    size : array
        n, broadcastable to x.
    direction, scale : array
        d and s with ``dn(v) = sum (d / s) v`` over the group; between two points
        ``Dn = sum (d(x) + d(r)) / (s(x) + s(r)) Dx``, as n is a root of a sum of squares.
    gain, bias : array or None
    """

    centre: Callable[[Array], Array] | None
    size: Array
    direction: Array
    scale: Array
    gain: Array | None = None
    bias: Array | None = None

    def subtract_mean(self, v: Array) -> Array:
        """Return c(v)."""
        return v if self.centre is None else self.centre(v)

    def amplify(self, v: Array) -> Array:
        """Return g v."""
        return v if self.gain is None else self.gain * v


def normalise(at: At, norm: Norm) -> Affine:
    """Return the map ``g c(x) / n + b`` with n frozen.

    Raises
    ------
    ValueError
        Gain, bias or size have axes that x has not.
    """
    at.refuse_growth(norm.gain, norm.bias, norm.size)
    weight = 1 / norm.size if norm.gain is None else norm.gain / norm.size
    c, bias = norm.subtract_mean, norm.bias

    def slope() -> Affine:
        tangent = _divide_change(at, norm, at.x, norm, at.x)
        y = weight * c(at.x) if bias is None else weight * c(at.x) + bias
        return replace(tangent, bias=y - tangent.apply(at.x))

    if norm.centre is None:
        return Affine(
            lambda ws, xs: ws[0] * xs[0], lambda ws, r: (ws[0] * r,), (weight,), bias, slope
        )
    # a rule that modifies weights would need those of the mean, too: so there are none
    return Affine(lambda _, xs: weight * c(xs[0]), lambda _, r: (c(weight * r),), (), bias, slope)


def _divide_change(here: At, a: Norm, x: Array, b: Norm, r: Array) -> Affine:
    """Return the map between two points; at one point twice, it is the tangent.

    With m = 1 / n it is a product: ``D(c m) = mean(m) c(Dx) + mean(c) Dm``, and
    ``Dm = -Dn / (n(x) n(r))``.
    """
    bk, c, size = here.bk, a.subtract_mean, a.size
    inverse = a.amplify(1 / a.size + 1 / b.size) / 2
    middle = a.amplify(c(x) + c(r)) / (2 * a.size * b.size)
    grow = (a.direction + b.direction) / (a.scale + b.scale)

    def linear(v: Array) -> Array:
        return inverse * c(v) - middle * bk.sum_to(grow * v, size)

    def transpose(v: Array) -> Array:
        return c(inverse * v) - grow * bk.sum_to(middle * v, size)

    return Affine(lambda _, xs: linear(xs[0]), lambda _, v: (transpose(v),))


def _measure_spread(at: At, norm: Norm, x: Array) -> float:
    """Return the mean square of ``c(x) / n(x)``; of an lp norm, times the size of the group."""
    found = np.asarray(at.bk.read(norm.subtract_mean(x) / norm.size), np.float64)
    group = found.size // max(norm.size.size, 1) if at.node.op == "LpNormalization" else 1
    return float(np.mean(found**2)) * group


def _standardise(at: At, axes: Axes, gain: Array | None, bias: Array | None) -> Norm:
    """Return what ``g (x - mean) / sqrt(var + eps) + b`` is made of."""
    c = _make_centring(at, axes)
    std = _measure_deviation(at, axes, at.get_attr("epsilon", 1e-5))
    return Norm(c, std, c(at.x), std * (at.x.size // max(std.size, 1)), gain, bias)


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
    return normalise(at, _read_layer_norm(at))


def _read_layer_norm(at: At) -> Norm:
    return _standardise(at, _find_last_axes(at), at.args[1], at.get_arg(2))


@register_affine("InstanceNormalization", weighted=False)
def instance_normalization(at: At) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b`` over the samples of each channel."""
    return normalise(at, _read_instance_norm(at))


def _read_instance_norm(at: At) -> Norm:
    gain, bias = (lay_along(v, 1, at.x.ndim) for v in at.args[1:3])
    return _standardise(at, tuple(range(2, at.x.ndim)), gain, bias)


@register_affine("GroupNormalization", weighted=False)
def group_normalization(at: At) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b`` over groups of channels.

    Gain and bias have one number per group in opset 18, and one per channel since.
    """
    inner, norm = _split_groups(at)
    return _reshape_map(at, normalise(inner, norm), inner.x.shape)


def _split_groups(at: At) -> tuple[At, Norm]:
    """Return the node with an axis of groups, and its parts."""
    x, groups = at.x, at.get_attr("num_groups")
    split = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])

    def lay_per_channel(v: Array) -> Array:
        return v.reshape(1, groups, -1, *(1,) * (x.ndim - 2))

    inner = replace(at, args=(at.bk.reshape(x, split),), live=(0,))
    gain, bias = map(lay_per_channel, at.args[1:3])
    return inner, _standardise(inner, tuple(range(2, len(split))), gain, bias)


def _has_nothing_in_groups(at: At) -> bool:
    """Return the same of groups of channels."""
    inner, norm = _split_groups(at)
    return _measure_spread(inner, norm, inner.x) < HALF


@register_between("GroupNormalization", vanishes=_has_nothing_in_groups)
def _take_group_norm_between(here: At, there: At) -> Affine:
    (a, norm), (b, other) = map(_split_groups, (here, there))
    return _reshape_map(here, _divide_change(a, norm, a.x, other, b.x), a.x.shape)


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
    return normalise(at, _read_rms_norm(at))


def _read_rms_norm(at: At) -> Norm:
    axes = _find_last_axes(at)
    rms = at.bk.sqrt(_average(at, at.x * at.x, axes) + at.get_attr("epsilon", 1e-5))
    return Norm(None, rms, at.x, rms * (at.x.size // max(rms.size, 1)), at.args[1])


@register_affine("MeanVarianceNormalization", weighted=False)
def mean_variance_normalization(at: At) -> Affine:
    """``(x - mean) / (std + 1e-9)``: here the epsilon stands beside the root."""
    return normalise(at, _read_mean_variance_norm(at))


def _read_mean_variance_norm(at: At) -> Norm:
    axes = at.read_axes(at.get_attr("axes", [0, 2, 3]))
    c, std = _make_centring(at, axes), _measure_deviation(at, axes, 0.0)
    count = at.x.size // max(std.size, 1)
    return Norm(c, std + 1e-9, c(at.x), _replace_zeros(at, std) * count)


def _replace_zeros(at: At, size: Array) -> Array:
    """Return the size, with 1 where it is 0."""
    return size + (1 - at.bk.step(size, strict=True))


@register_affine("LpNormalization")
def lp_normalization(at: At) -> Affine:
    """``x / (sum |x|^p)^(1/p)`` along an axis, p 1 or 2; zeros stay zeros."""
    return normalise(at, _read_lp_norm(at))


def _read_lp_norm(at: At) -> Norm:
    x, bk, axes = at.x, at.bk, (at.read_axis("axis", -1),)
    if at.get_attr("p", 2) == 1:
        return Norm(
            None, _replace_zeros(at, bk.sum(abs(x), axes, True)), x, _replace_zeros(at, abs(x))
        )
    size = _replace_zeros(at, bk.sqrt(bk.sum(x * x, axes, True)))
    return Norm(None, size, x, size)


PARTS: dict[str, Callable[[At], Norm]] = {
    "LayerNormalization": _read_layer_norm,
    "InstanceNormalization": _read_instance_norm,
    "RMSNormalization": _read_rms_norm,
    "MeanVarianceNormalization": _read_mean_variance_norm,
    "LpNormalization": _read_lp_norm,
}


def _has_nothing_to_norm(at: At) -> bool:
    """Return whether ``c(x) / n(x)``, whose mean square is one by design, has less than a half."""
    return _measure_spread(at, PARTS[at.node.op](at), at.x) < HALF


@register_between(*PARTS, vanishes=_has_nothing_to_norm)
def _take_norm_between(here: At, there: At) -> Affine:
    a, b = (PARTS[at.node.op](at) for at in (here, there))
    return _divide_change(here, a, here.x, b, there.x)


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
    size = bk.power(base, beta)
    frozen = diagonal(1 / size)

    def slope() -> Affine:
        direction = x / (size * size)
        tangent = Affine(
            lambda _, xs: xs[0] / size - direction * rate * sum_near(near, x * xs[0]),
            lambda _, r: (r / size - x * sum_near(near.T, rate * direction * r),),
        )
        return replace(tangent, bias=x / size - tangent.apply(x))

    return replace(frozen, slope=slope)


def refuse_training(at: At) -> None:
    """Raise UnsupportedModelError for a layer in training mode, which normalises by the batch."""
    if at.get_attr("training_mode", 0):
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({at.node.op}): training_mode=1: export the model in eval mode"
        )
