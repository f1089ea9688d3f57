"""Softmax and its kin: `Affine` by their tangent at x.

On ``y ~ y0 + J (x - x0)`` LRP-0 gives AttnLRP's rule ``R_x = x (R - p sum R)`` (arXiv 2402.05602,
proposition 3.1).  At the end of a classifier they are left out before relevance starts.
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.ops.registry import At, register_affine, register_stop

SOURCE = "AttnLRP, Achtibat et al. 2024"


def _find_softmax_axes(at: At) -> tuple[int, ...]:
    """Return the axes that sum to one: all from ``axis`` on before opset 13, one since."""
    old = at.node.opset < 13
    axis = at.get_attr("axis", 1 if old else -1)
    if old and axis in {at.x.ndim, 0}:
        return tuple(range(axis, at.x.ndim))
    (first,) = at.read_axes(axis)
    return tuple(range(first, at.x.ndim)) if old else (first,)


def compute_softmax(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the softmax over axes and its logarithm, without overflow."""
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    shifted = x - np.where(np.isfinite(top), top, 0)
    total = np.exp(shifted).sum(axis=axes, keepdims=True)
    return np.exp(shifted) / total, shifted - np.log(total)


def _zero_masks(x: Array) -> Array:
    """Return x with 0 for -inf, which masks write and which has weight 0."""
    return np.where(np.isneginf(x), 0, x)


@register_affine(
    "Softmax", evaluate=lambda at: compute_softmax(at.x, _find_softmax_axes(at))[0], weighted=False
)
def softmax(at: At) -> Affine:
    """The tangent at x, ``J = diag(p) - p p^T``, which is symmetric."""
    axes, bk = _find_softmax_axes(at), at.bk
    p = compute_softmax(at.x, axes)[0] if at.y is None else at.y

    def apply_tangent(v: Array) -> Array:
        return p * (v - bk.sum(p * v, axes, True))

    return Affine(
        lambda _, xs: apply_tangent(_zero_masks(xs[0])),
        lambda _, r: (apply_tangent(r),),
        bias=p - apply_tangent(_zero_masks(at.x)),
    )


@register_affine(
    "LogSoftmax",
    evaluate=lambda at: compute_softmax(at.x, _find_softmax_axes(at))[1],
    weighted=False,
)
def log_softmax(at: At) -> Affine:
    """The tangent at x, ``J = 1 - 1 p^T``."""
    axes, bk = _find_softmax_axes(at), at.bk
    y = compute_softmax(at.x, axes)[1] if at.y is None else at.y
    p = bk.exp(y)

    def apply_tangent(v: Array) -> Array:
        return v - bk.sum(p * v, axes, True)

    return Affine(
        lambda _, xs: apply_tangent(_zero_masks(xs[0])),
        lambda _, r: (r - p * bk.sum(r, axes, True),),
        bias=y - apply_tangent(_zero_masks(at.x)),
    )


def _evaluate_hardmax(at: At) -> Array:
    """Return 1 at the first of the largest, else 0."""
    x, axes = at.x, _find_softmax_axes(at)
    shape = x.shape if len(axes) == 1 else (*x.shape[: axes[0]], -1)
    flat, axis = x.reshape(shape), axes[0]
    best = np.expand_dims(np.argmax(flat, axis=axis), axis)
    y = np.zeros_like(flat)
    np.put_along_axis(y, best, 1, axis)
    return y.reshape(x.shape)


register_stop("Hardmax", evaluate=_evaluate_hardmax)
