"""Layers with weights: Conv, ConvTranspose, Gemm, MatMul, BatchNormalization; and plain sums.

Each is ``y = A(w) x + b`` in the inputs that carry relevance; the others are its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend, Window, window_size
from dftlrp.core.maps import Affine, Array, Arrays, Map, activation, add_up, diagonal
from dftlrp.ops.common import check_divisor, lay_along, make_elementwise, weigh_inputs
from dftlrp.ops.norm import refuse_training
from dftlrp.ops.registry import (
    ANY,
    At,
    Inputs,
    register_affine,
    register_between,
)
from dftlrp.ops.window import find_window, read_geometry, split_pads

SOURCE = "Bach et al. 2015"

NOTHING, LITTLE = 1e-9, 1e-2  # round-off of a mean that is subtracted; an epsilon in a divisor


@register_affine("Conv")
def conv(at: At) -> Affine:
    """``conv(x, W) + b``."""
    x, w, b = at.x, at.args[1], at.get_arg(2)
    assert w is not None
    g = find_window(at, w.shape[2:], x.shape[2:])
    size = x.shape[2:]
    out = at.grant([x.shape[0], w.shape[0], *window_size(size, g)])
    at.grant([x.shape[0], x.shape[1], math.prod(w.shape[2:]), math.prod(out[2:])])  # its columns
    at.count_work(*out, *w.shape[1:])
    return Affine(
        lambda ws, xs: at.bk.conv(xs[0], ws[0], g),
        lambda ws, r: (at.bk.conv_T(r, ws[0], g, size),),
        (w,),
        None if b is None else lay_along(b, 1, x.ndim),
    )


def _find_transposed_window(
    at: At, kernel: tuple[int, ...], size: tuple[int, ...]
) -> tuple[Window, tuple[int, ...]]:
    """Return the geometry of the convolution that a ConvTranspose is the adjoint of, and its size.

    The size is that of the ConvTranspose's output.
    """
    rank, auto = len(kernel), at.get_attr("auto_pad", "NOTSET")
    strides, dilations = read_geometry(at, kernel)
    extra = at.get_attr("output_padding", [0] * rank)
    full = [
        s * (n - 1) + e + d * (k - 1) + 1
        for n, s, e, d, k in zip(size, strides, extra, dilations, kernel, strict=True)
    ]
    same = [n * s for n, s in zip(size, strides, strict=True)]
    wanted = at.get_attr("output_shape") or (same if auto.startswith("SAME") else None)
    if wanted:  # an output longer than the windows reach ends in zeros
        total = [max(f - n, 0) for f, n in zip(full, wanted, strict=True)]
        pads = split_pads(total, more_at_end=auto == "SAME_UPPER")
        return Window(kernel, strides, dilations, pads, at.get_attr("group", 1)), tuple(wanted)
    flat = at.get_attr("pads", [0] * 2 * rank)
    pads = tuple(zip(flat[:rank], flat[rank:], strict=True))
    out = tuple(f - b - e for f, (b, e) in zip(full, pads, strict=True))
    return Window(kernel, strides, dilations, pads, at.get_attr("group", 1)), out


@register_affine("ConvTranspose")
def conv_transpose(at: At) -> Affine:
    """The adjoint of a convolution, plus b."""
    x, w, b = at.x, at.args[1], at.get_arg(2)
    assert w is not None
    g, out = _find_transposed_window(at, w.shape[2:], x.shape[2:])
    channels = w.shape[1] * g.groups
    at.grant([x.shape[0], channels, *(n + sum(p) for n, p in zip(out, g.pads, strict=True))])
    at.grant([x.shape[0], channels * math.prod(w.shape[2:]), math.prod(x.shape[2:])])
    at.count_work(*x.shape, *w.shape[1:])
    return Affine(
        lambda ws, xs: at.bk.conv_T(xs[0], ws[0], g, out),
        lambda ws, r: (at.bk.conv(r, ws[0], g),),
        (w,),
        None if b is None else lay_along(b, 1, x.ndim),
    )


@register_affine("Gemm")
def gemm(at: At) -> Affine:
    """``alpha A' B' + beta C``, linear in A."""
    a, b, c = at.x, at.args[1], at.get_arg(2)
    assert b is not None
    w, alpha = b.T if at.get_attr("transB", 0) else b, at.get_attr("alpha", 1.0)
    w = w if alpha == 1 else alpha * w  # a large matrix is not copied for nothing
    flip = bool(at.get_attr("transA", 0))
    at.count_work(*at.grant([a.shape[flip], w.shape[1]]), w.shape[0])
    bk = at.bk

    def turn(v: Array) -> Array:
        return bk.transpose(v, (1, 0)) if flip else v

    return Affine(
        lambda ws, xs: bk.matmul(turn(xs[0]), ws[0]),
        lambda ws, r: (turn(bk.matmul(r, bk.transpose(ws[0], (1, 0)))),),
        (w,),
        None if c is None else at.get_attr("beta", 1.0) * c,
    )


def share_product(at: At, build: Callable[[At], Affine]) -> Affine:
    """Return the map of a product of two signals: half of each one's map, the other its weight.

    With ``y = A(b) a = A'(a) b``, ``(A(b) a + A'(a) b) / 2`` is y again: the uniform rule (AttnLRP,
    arXiv 2402.05602, eq. 13).  The true tangent is the whole sum, less y.
    """
    left, right = (build(replace(at, live=(i,))) for i in at.live)
    count = len(left.weights)

    def linear(ws: Arrays, xs: Arrays) -> Array:
        return left.linear(ws[:count], xs[:1]) + right.linear(ws[count:], xs[1:])

    def transpose(ws: Arrays, r: Array) -> Arrays:
        return left.transpose(ws[:count], r) + right.transpose(ws[count:], r)

    def combine(factor: float, bias: Array | None, slope: Any = None) -> Affine:
        weights = tuple(factor * w for w in (*left.weights, *right.weights))
        return Affine(linear, transpose, weights, bias, slope)

    return combine(0.5, None, lambda: combine(1.0, -at.y))


def _evaluate_matmul(at: At) -> Array:
    """Return the product, plus the bias of a MatMul that was merged with the Add behind it."""
    return matmul(replace(at, live=(0,))).forward(at.x)


@register_affine(
    "MatMul", evaluate=_evaluate_matmul, inputs=Inputs((0, 1), together=True, product=True)
)
def matmul(at: At) -> Affine:
    """``x W + b`` or ``W x``, whichever input carries relevance; broadcast over leading axes."""
    if len(at.live) == 2:
        return share_product(at, matmul)
    bk, (a, b) = at.bk, at.args[:2]
    assert a is not None
    assert b is not None
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    rows, columns = a.shape[-2:-1], b.shape[-1:] if b.ndim > 1 else ()
    out = at.grant([*lead, *rows, *columns])
    whole = (*lead, *(rows or (1,)), *(columns or (1,)))  # a vector is a row or a column
    at.count_work(*out, *a.shape[-1:])
    first = at.live == (0,)
    x, w = (a, b) if first else (b, a)

    def make_matrices(v: Array, w: Array) -> tuple[Array, Array]:
        p, q = (v, w) if first else (w, v)
        return (p if rows else p[None, :]), (q if columns else q[:, None])

    def linear(ws: Arrays, xs: Arrays) -> Array:
        return bk.reshape(bk.matmul(*make_matrices(xs[0], ws[0])), out)

    def transpose(ws: Arrays, r: Array) -> Arrays:
        r, (p, q) = bk.reshape(r, whole), make_matrices(x, ws[0])
        if first:
            back = bk.sum_to(bk.matmul(r, _swap_last_axes(bk, q)), p)
        else:
            back = bk.sum_to(bk.matmul(_swap_last_axes(bk, p), r), q)
        return (bk.reshape(back, x.shape),)

    return Affine(linear, transpose, (w,), at.get_arg(2))


def _swap_last_axes(bk: Backend, m: Array) -> Array:
    axes = tuple(range(m.ndim))
    return bk.transpose(m, (*axes[:-2], axes[-1], axes[-2]))


@register_affine("BatchNormalization")
def batch_normalization(at: At) -> Affine:
    """``g (x - mean) / sqrt(var + eps) + b``, per channel."""
    refuse_training(at)
    scale, shift, mean, var = (lay_along(a, 1, max(at.x.ndim, 2)) for a in at.args[1:5])
    at.refuse_growth(scale, shift, mean, var)
    w = scale / np.sqrt(var + at.get_attr("epsilon", 1e-5))
    return diagonal(w, shift - w * mean)


def _combine_inputs(at: At, coefficients: list[float]) -> Affine:
    """Return ``sum_i c_i x_i``; what carries no relevance is the bias."""
    fixed = [i for i in range(len(at.args)) if i not in at.live]
    bias = add_up(coefficients[i] * at.args[i] for i in fixed) if fixed else None
    dtype = at.inputs[0].dtype
    return weigh_inputs(at, tuple(np.asarray(coefficients[i], dtype) for i in at.live), bias)


@register_affine("Add", inputs=ANY, evaluate=make_elementwise(np.add))
def add(at: At) -> Affine:
    """A sum is shared by value; a constant is the bias."""
    return _combine_inputs(at, [1.0, 1.0])


@register_affine("Sub", inputs=ANY, evaluate=make_elementwise(np.subtract))
def sub(at: At) -> Affine:
    """A sum in which the second input has the weight -1."""
    return _combine_inputs(at, [1.0, -1.0])


def _add_all(at: At) -> Array:
    at.grant_broadcast()
    return add_up(at.args)


@register_affine("Sum", inputs=ANY, evaluate=_add_all)
def sum_(at: At) -> Affine:
    """The sum of any number of inputs."""
    return _combine_inputs(at, [1.0] * len(at.args))


@register_affine("Mean", inputs=ANY, evaluate=lambda at: _add_all(at) / len(at.args))
def mean(at: At) -> Affine:
    """The mean of any number of inputs."""
    return _combine_inputs(at, [1 / len(at.args)] * len(at.args))


@register_affine(
    "Mul",
    evaluate=make_elementwise(np.multiply),
    inputs=Inputs((0, 1), together=True, product=True),
)
def mul(at: At) -> Affine:
    """X times its weight, which is the input that carries no relevance."""
    if len(at.live) == 2:
        return share_product(at, mul)
    return weigh_inputs(at, (at.args[1 - at.live[0]],))


def _divide_truncated(a: Array, b: Array) -> Array:
    """Return ONNX's quotient, which truncates integers towards zero."""
    if a.dtype.kind in "iu":
        check_divisor(a, b)
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


@register_affine(
    "Div",
    evaluate=make_elementwise(_divide_truncated),
    inputs=Inputs((0, 1), together=True, frozen=(1,)),
)
def div(at: At) -> Map:
    """X divided by what is frozen; a constant divided by x is an activation.

    Where both inputs carry relevance, the map is the true tangent, ``dx / d - (y / d) dd``.
    """
    d, bk, y = at.args[1], at.bk, at.y
    if at.live == (0,):
        some = bk.step(d, strict=True) + bk.step(-d, strict=True)  # 0 / 0 = 0
        return weigh_inputs(at, (some / (d + (1 - some)),))
    if at.live == (1,) and d.shape == y.shape:
        return activation(d, y, lambda: -y / d)
    if at.live == (1,):
        raise ValueError(f"a constant of shape {at.x.shape} is divided by a signal of {d.shape}")
    return weigh_inputs(at, (bk.ones_like(d) / d, -y / d), y)


def _has_nothing_to_divide(at: At) -> bool:
    """Return whether all numerators are 0 and all divisors small: a norm that is spelled out.

    Divisors of 0 are none, as the map between does without them.
    """
    a, d = (np.abs(at.bk.read(v)) for v in at.args[:2])
    small = a.max(initial=0) <= NOTHING and 0 < d.max(initial=0) <= LITTLE
    return at.live == (0, 1) and bool(small)


@register_between("Div", vanishes=_has_nothing_to_divide)
def _take_quotient_between(here: At, there: At) -> Map:
    """``D(a / d) = mean(1 / d) Da - mean(a) Dd / (d(x) d(r))``.

    Where d is 0 at one end, where the quotient means nothing, 1 / d is that of the other end and d
    is frozen: with a(r) = d(r) = 0, as of a maximum that silence is divided by, that is exact.
    """
    if here.live != (0, 1):
        return div(here)
    bk, (a, d), (b, e) = here.bk, here.args[:2], there.args[:2]
    known, other = (bk.step(v, strict=True) + bk.step(-v, strict=True) for v in (d, e))
    d, e, both = d + (1 - known), e + (1 - other), known * other
    count = known + other
    inverse = (known / d + other / e) / (count + (1 - bk.step(count, strict=True)))
    return weigh_inputs(here, (inverse, -both * (a + b) / (2 * d * e)))


@register_affine("Neg", evaluate=make_elementwise(np.negative))
def neg(at: At) -> Affine:
    """X times -1."""
    return weigh_inputs(at, (np.asarray(-1.0, at.x.dtype),))
