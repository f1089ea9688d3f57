"""Softmax and its kin: `Affine` by their tangent at x.

On ``y ~ y0 + J (x - x0)`` LRP-0 gives AttnLRP's rule R_x = x (R - p sum R) (arXiv 2402.05602,
proposition 3.1).  At the end of a classifier they are stripped before relevance starts.
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.ops.registry import At, affine, stop


def _rows(at: At) -> tuple[int, ...]:
    """Axes that sum to one: all from ``axis`` on before opset 13, one since."""
    old = at.node.opset < 13
    axis = at.attr("axis", 1 if old else -1)
    if old and axis in {at.x.ndim, 0}:
        return tuple(range(axis, at.x.ndim))
    (first,) = at.axes(axis)
    return tuple(range(first, at.x.ndim)) if old else (first,)


def softmax_of(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Softmax over axes and its logarithm, without overflow."""
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    shifted = x - np.where(np.isfinite(top), top, 0)
    total = np.exp(shifted).sum(axis=axes, keepdims=True)
    return np.exp(shifted) / total, shifted - np.log(total)


def _seen(x: Array) -> Array:
    """-inf, which masks write, as 0: it has weight 0."""
    return np.where(np.isneginf(x), 0, x)


@affine("Softmax", evaluate=lambda at: softmax_of(at.x, _rows(at))[0], weighted=False)
def softmax(at: At) -> Affine:
    """J = diag(p) - p p^T, which is symmetric."""
    axes, bk = _rows(at), at.bk
    p = softmax_of(at.x, axes)[0] if at.y is None else at.y

    def tangent(v: Array) -> Array:
        return p * (v - bk.sum(p * v, axes, True))

    return Affine(
        lambda _, xs: tangent(_seen(xs[0])),
        lambda _, r: (tangent(r),),
        bias=p - tangent(_seen(at.x)),
    )


@affine("LogSoftmax", evaluate=lambda at: softmax_of(at.x, _rows(at))[1], weighted=False)
def log_softmax(at: At) -> Affine:
    """J = 1 - 1 p^T."""
    axes, bk = _rows(at), at.bk
    y = softmax_of(at.x, axes)[1] if at.y is None else at.y
    p = bk.exp(y)

    def tangent(v: Array) -> Array:
        return v - bk.sum(p * v, axes, True)

    return Affine(
        lambda _, xs: tangent(_seen(xs[0])),
        lambda _, r: (r - p * bk.sum(r, axes, True),),
        bias=y - tangent(_seen(at.x)),
    )


def _hardmax(at: At) -> Array:
    """1 at the first of the largest, else 0."""
    x, axes = at.x, _rows(at)
    shape = x.shape if len(axes) == 1 else (*x.shape[: axes[0]], -1)
    flat, axis = x.reshape(shape), axes[0]
    best = np.expand_dims(np.argmax(flat, axis=axis), axis)
    y = np.zeros_like(flat)
    np.put_along_axis(y, best, 1, axis)
    return y.reshape(x.shape)


stop("Hardmax", evaluate=_hardmax)
