"""Softmax and its kin: `Affine` by their tangent at x.

On ``y ~ y0 + J (x - x0)`` LRP-0 gives AttnLRP's rule ``R_x = x (R - p sum R)`` (arXiv 2402.05602,
proposition 3.1).  At the end of a classifier they are left out before relevance starts.

Between two points the same J holds exactly, with the logarithmic mean L of the two p in place of p:
with u = log p, ``Dp = L Du`` defines L, ``Du = Dx - D(log sum exp x)``, and since the p sum to one
twice, ``0 = sum Dp``, so that ``D(log sum exp x) = sum L Dx / sum L``.
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array
from dftlrp.ops.registry import At, register_affine, register_between, register_stop

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


NEAR, TINY = 0.1, 1e-37  # below which a series is better than a quotient; of float32


def average_logarithmically(bk: Backend, a: Array, b: Array, t: Array | None = None) -> Array:
    """Return the logarithmic mean ``(a - b) / (log a - log b)`` of positive numbers; a where a = b.

    For a and b close to each other it is ``sqrt(a b) sinh(t / 2) / (t / 2)`` with t = log a / b,
    which may be given where a or b is so small that its logarithm is lost.
    """
    t = bk.log(a + TINY) - bk.log(b + TINY) if t is None else t
    far = bk.step(t * t - NEAR * NEAR, strict=True)
    near = bk.sqrt(a * b) * (1 + t * t / 24 * (1 + t * t / 80))
    return far * (a - b) / (t + (1 - far)) + (1 - far) * near


def _measure_logarithms(at: At, axes: tuple[int, ...]) -> Array:
    """Return ``log p = x - log sum exp x``, also where p has no digits left.

    The second is ``sum p (x - log p)``, each term of which is it, times p.
    """
    bk, p, x = at.bk, at.y, _zero_masks(at.x)
    return x - bk.sum(p * (x - bk.log(p + TINY)), axes, True)


@register_between("Softmax")
def _take_softmax_between(here: At, there: At) -> Affine:
    bk, axes = here.bk, _find_softmax_axes(here)
    apart = _measure_logarithms(here, axes) - _measure_logarithms(there, axes)
    mean = average_logarithmically(bk, here.y, there.y, apart)
    total = bk.sum(mean, axes, True)

    def apply(v: Array) -> Array:
        return mean * (v - bk.sum(mean * v, axes, True) / total)

    return Affine(lambda _, xs: apply(xs[0]), lambda _, r: (apply(r),))


@register_between("LogSoftmax")
def _take_log_softmax_between(here: At, there: At) -> Affine:
    bk, axes = here.bk, _find_softmax_axes(here)
    mean = average_logarithmically(bk, bk.exp(here.y), bk.exp(there.y))
    share = mean / bk.sum(mean, axes, True)
    return Affine(
        lambda _, xs: xs[0] - bk.sum(share * xs[0], axes, True),
        lambda _, r: (r - share * bk.sum(r, axes, True),),
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
