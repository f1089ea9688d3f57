"""Layers with weights: Conv, ConvTranspose, Gemm, MatMul, BatchNormalization, and plain sums.

Each is ``y = A(w) x + b`` in the inputs that carry relevance; the others are its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.backend import Window, window_size
from dftlrp.core.maps import Affine, Array, Arrays, Map, activation, diagonal
from dftlrp.ops.norm import trains
from dftlrp.ops.registry import At, affine
from dftlrp.ops.window import refuse_bad, window


def _channels(v: Array, rank: int) -> Array:
    """A vector over channels (axis 1), broadcastable to a tensor of that rank."""
    return v.reshape(1, -1, *(1,) * (rank - 2))


@affine("Conv")
def conv(at: At) -> Affine:
    """y = conv(x, W) + b."""
    x, w, b = at.x, at.args[1], at.arg(2)
    assert w is not None
    g = window(at, w.shape[2:], x.shape[2:])
    size = x.shape[2:]
    out = at.grant([x.shape[0], w.shape[0], *window_size(size, g)])
    at.grant([x.shape[0], x.shape[1], math.prod(w.shape[2:]), math.prod(out[2:])])  # its columns
    at.work(*out, *w.shape[1:])
    return Affine(
        lambda ws, xs: at.bk.conv(xs[0], ws[0], g),
        lambda ws, r: (at.bk.conv_T(r, ws[0], g, size),),
        (w,),
        None if b is None else _channels(b, x.ndim),
    )


def _transposed_window(
    at: At, kernel: tuple[int, ...], size: tuple[int, ...]
) -> tuple[Window, Any]:
    """Geometry of the convolution whose adjoint a ConvTranspose is, and the output's size."""
    rank = len(kernel)
    extra = at.attr("output_padding", [0] * rank)
    strides = tuple(at.attr("strides", [1] * rank))
    dilations = tuple(at.attr("dilations", [1] * rank))
    refuse_bad(at, kernel, strides, dilations)
    full = [
        s * (n - 1) + e + d * (k - 1) + 1
        for n, s, e, d, k in zip(size, strides, extra, dilations, kernel, strict=True)
    ]
    auto = at.attr("auto_pad", "NOTSET")
    wanted = at.attr("output_shape") or (
        [n * s for n, s in zip(size, strides, strict=True)] if auto.startswith("SAME") else None
    )
    if wanted:
        # an output longer than the windows reach ends in zeros
        total = [max(f - n, 0) for f, n in zip(full, wanted, strict=True)]
        small = [t // 2 for t in total]
        large = [t - h for t, h in zip(total, small, strict=True)]
        begin, end = (small, large) if auto == "SAME_UPPER" else (large, small)
    else:
        pads = at.attr("pads", [0] * 2 * rank)
        begin, end = pads[:rank], pads[rank:]
    pairs = tuple(zip(begin, end, strict=True))
    out = tuple(wanted or [f - b - e for f, (b, e) in zip(full, pairs, strict=True)])
    return Window(kernel, strides, dilations, pairs, at.attr("group", 1)), out


@affine("ConvTranspose")
def conv_transpose(at: At) -> Affine:
    """The adjoint of a convolution, plus b."""
    x, w, b = at.x, at.args[1], at.arg(2)
    assert w is not None
    g, out = _transposed_window(at, w.shape[2:], x.shape[2:])
    channels = w.shape[1] * g.groups
    at.grant([x.shape[0], channels, *(n + sum(p) for n, p in zip(out, g.pads, strict=True))])
    at.grant([x.shape[0], channels * math.prod(w.shape[2:]), math.prod(x.shape[2:])])
    at.work(*x.shape, *w.shape[1:])
    return Affine(
        lambda ws, xs: at.bk.conv_T(xs[0], ws[0], g, out),
        lambda ws, r: (at.bk.conv(r, ws[0], g),),
        (w,),
        None if b is None else _channels(b, x.ndim),
    )


@affine("Gemm")
def gemm(at: At) -> Affine:
    """y = alpha A' B' + beta C, in A."""
    a, b, c = at.x, at.args[1], at.arg(2)
    assert b is not None
    w, alpha = b.T if at.attr("transB", 0) else b, at.attr("alpha", 1.0)
    w = w if alpha == 1 else alpha * w  # a large matrix is not copied for nothing
    flip = bool(at.attr("transA", 0))
    at.work(*at.grant([a.shape[flip], w.shape[1]]), w.shape[0])
    bk = at.bk

    def turn(v: Array) -> Array:
        return bk.transpose(v, (1, 0)) if flip else v

    return Affine(
        lambda ws, xs: bk.matmul(turn(xs[0]), ws[0]),
        lambda ws, r: (turn(bk.matmul(r, bk.transpose(ws[0], (1, 0)))),),
        (w,),
        None if c is None else at.attr("beta", 1.0) * c,
    )


def shared(at: At, part: Callable[[At], Affine]) -> Affine:
    """A product of two signals as a map of both: each as if the other were its weight, by half.

    ``y = A(b) a = A'(a) b``, so ``(A(b) a + A'(a) b) / 2`` is y again: the uniform rule (AttnLRP,
    arXiv 2402.05602, eq. 13).  The true tangent is the whole sum, less y.
    """
    sides = [part(replace(at, live=(i,))) for i in at.live]

    def combined(factor: float, bias: Array | None, slope: Any = None) -> Affine:
        def split(ws: Arrays) -> tuple[Arrays, Arrays]:
            return ws[:count], ws[count:]

        def linear(ws: Arrays, xs: Arrays) -> Array:
            left, right = split(ws)
            return sides[0].linear(left, xs[:1]) + sides[1].linear(right, xs[1:])

        def transpose(ws: Arrays, r: Array) -> Arrays:
            left, right = split(ws)
            return sides[0].transpose(left, r) + sides[1].transpose(right, r)

        count = len(sides[0].weights)
        weights = tuple(factor * w for side in sides for w in side.weights)
        return Affine(linear, transpose, weights, bias, slope)

    return combined(0.5, None, lambda: combined(1.0, -at.y))


def _matmul(at: At) -> Array:
    """Also with a bias, which a MatMul has where it was merged with the Add behind it."""
    return matmul(replace(at, live=(0,))).forward(at.x)


@affine("MatMul", carries=(0, 1), together=True, evaluate=_matmul, product=True)
def matmul(at: At) -> Affine:
    """y = x W (+ b), or y = W x, whichever carries relevance; broadcast over leading axes."""
    if len(at.live) == 2:
        return shared(at, matmul)
    bk, (a, b) = at.bk, at.args[:2]
    assert a is not None
    assert b is not None
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = at.grant([*lead, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ())])
    at.work(*out, *a.shape[-1:])
    first = at.live == (0,)
    x, w = (a, b) if first else (b, a)
    row, column = a.ndim == 1, b.ndim == 1  # a vector counts as a row or a column

    def matrices(p: Array, q: Array) -> tuple[Array, Array]:
        return (p[None, :] if row else p), (q[:, None] if column else q)

    def flat(y: Array) -> Array:
        y = y[..., 0, :] if row else y
        return y[..., 0] if column else y

    def linear(ws: Arrays, xs: Arrays) -> Array:
        return flat(bk.matmul(*matrices(*((xs[0], ws[0]) if first else (ws[0], xs[0])))))

    def transpose(ws: Arrays, r: Array) -> Arrays:
        r = r[..., None] if column else r
        r = r[..., None, :] if row else r
        p, q = matrices(*((x, ws[0]) if first else (ws[0], x)))
        like = p if first else q
        back = bk.matmul(r, _swap(bk, q)) if first else bk.matmul(_swap(bk, p), r)
        return (bk.reshape(bk.sum_to(back, like), x.shape),)

    return Affine(linear, transpose, (w,), at.arg(2))


def _swap(bk: Any, m: Array) -> Array:
    axes = tuple(range(m.ndim))
    return bk.transpose(m, (*axes[:-2], axes[-1], axes[-2]))


@affine("BatchNormalization")
def batch_normalization(at: At) -> Affine:
    """y = g (x - mean) / sqrt(var + eps) + b, per channel."""
    trains(at)
    scale, shift, mean, var = (_channels(a, max(at.x.ndim, 2)) for a in at.args[1:5])
    at.fits(scale, shift, mean, var)
    w = scale / np.sqrt(var + at.attr("epsilon", 1e-5))
    return diagonal(w, shift - w * mean)


def _combination(at: At, coefficients: list[float], bias: Array | None) -> Affine:
    """Weighted sum of the inputs that carry relevance, with broadcasting, plus a constant."""
    xs, bk = at.inputs, at.bk

    def linear(ws: Arrays, inputs: Arrays) -> Array:
        total = sum(w * x for w, x in zip(ws, inputs, strict=True))
        return total if bias is None else bk.expand(total, shape)

    shape = np.broadcast_shapes(*(a.shape for a in at.args if a is not None))
    weights = tuple(np.asarray(c, xs[0].dtype) for c in coefficients)
    return Affine(
        linear,
        lambda ws, r: tuple(bk.sum_to(w * r, x) for w, x in zip(ws, xs, strict=True)),
        weights,
        bias,
    )


def _sum(at: At, coefficients: list[float]) -> Affine:
    """``sum_i c_i x_i``: what carries no relevance is the bias."""
    fixed = [i for i in range(len(at.args)) if i not in at.live]
    bias = sum(coefficients[i] * at.args[i] for i in fixed) if fixed else None
    return _combination(at, [coefficients[i] for i in at.live], bias)


def _numpy(f: Any) -> Any:
    def evaluate(at: At) -> Array:
        at.broadcast()
        return f(*at.args)

    return evaluate


def _divide(a: Array, b: Array) -> Array:
    """ONNX's Div: integers truncate towards zero."""
    if a.dtype.kind in "iu":
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


@affine("Add", carries=None, together=True, evaluate=_numpy(np.add))
def add(at: At) -> Affine:
    """Inputs are shared by value; a constant is the bias."""
    return _sum(at, [1.0, 1.0])


@affine("Sub", carries=None, together=True, evaluate=_numpy(np.subtract))
def sub(at: At) -> Affine:
    """As Add, with weight -1 on the second."""
    return _sum(at, [1.0, -1.0])


def _total(at: At) -> Array:
    at.broadcast()
    return sum(at.args[1:], start=at.x)


@affine("Sum", carries=None, together=True, evaluate=_total)
def sum_(at: At) -> Affine:
    """Sum of any number of inputs."""
    return _sum(at, [1.0] * len(at.args))


@affine("Mean", carries=None, together=True, evaluate=lambda at: _total(at) / len(at.args))
def mean(at: At) -> Affine:
    """Mean of any number of inputs."""
    return _sum(at, [1 / len(at.args)] * len(at.args))


def _scaled(at: At, factor: Array) -> Affine:
    """``factor * x``, factor broadcast against x or x against factor."""
    x, bk = at.inputs[0], at.bk
    return Affine(lambda ws, xs: ws[0] * xs[0], lambda ws, r: (bk.sum_to(ws[0] * r, x),), (factor,))


@affine("Mul", carries=(0, 1), together=True, evaluate=_numpy(np.multiply), product=True)
def mul(at: At) -> Affine:
    """X times what carries none, which is its weight."""
    if len(at.live) == 2:
        return shared(at, mul)
    other = at.args[1 - at.live[0]]
    return _scaled(at, other)


@affine("Div", carries=(0, 1), together=True, evaluate=_numpy(_divide), frozen=(1,))
def div(at: At) -> Map:
    """X divided by what is frozen; c / x is an activation.

    With both live: the true tangent, ``dx / d - (y / d) dd``.
    """
    d, bk, y = at.args[1], at.bk, at.y
    if at.live == (0,):
        some = bk.step(d, strict=True) + bk.step(-d, strict=True)  # 0 / 0 = 0
        return _scaled(at, some / (d + (1 - some)))
    if at.live == (1,) and d.shape == y.shape:
        return activation(d, y, lambda: -y / d)
    if at.live == (1,):
        raise ValueError(f"a constant of shape {at.x.shape} is divided by a signal of {d.shape}")
    weights = (bk.ones_like(d) / d, -y / d)

    def linear(ws: Arrays, xs: Arrays) -> Array:
        return bk.expand(sum(w * v for w, v in zip(ws, xs, strict=True)), y.shape)

    def transpose(ws: Arrays, r: Array) -> Arrays:
        return tuple(bk.sum_to(w * r, v) for w, v in zip(ws, at.inputs, strict=True))

    return Affine(linear, transpose, weights, y)


@affine("Neg", evaluate=_numpy(np.negative))
def neg(at: At) -> Affine:
    """-x."""
    return _scaled(at, np.asarray(-1.0, at.x.dtype))
