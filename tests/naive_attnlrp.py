"""AttnLRP (Achtibat et al. 2024, arXiv 2402.05602) as LXT states it, one formula a function.

Each takes the inputs and the relevance R of the output and gives the relevance of each input.
``stab`` is what a denominator becomes; unstabilised if not given.  ``softmax``, ``matmul`` and
``mul`` are propositions 3.1 to 3.3, the norms proposition 3.4; CP-LRP (Ali et al. 2022) freezes
the attention weights instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from graphs import Real

Stab = Callable[[Real], Real]


def bare(z: Real) -> Real:
    return z


def turned(a: Real) -> Real:
    return np.swapaxes(a, -1, -2)


def softmaxed(x: Real, axis: int = -1) -> Real:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax(x: Real, R: Real, axis: int = -1) -> Real:
    """R_i = x_i (R_i - p_i sum_j R_j); masked logits (-inf) get none."""
    p = softmaxed(x, axis)
    return np.where(np.isneginf(x), 0, x) * (R - p * R.sum(axis=axis, keepdims=True))


def matmul(a: Real, b: Real, R: Real, stab: Stab = bare) -> tuple[Real, Real]:
    """The epsilon rule on each side with half of R: R_A = A * ((R / stab(2 y)) B^T), R_B alike."""
    s = R / stab(2 * (a @ b))
    return a * (s @ turned(b)), b * (turned(a) @ s)


def matmul_frozen(a: Real, b: Real, R: Real, stab: Stab = bare) -> Real:
    """CP-LRP: a is a weight, b takes all: R_B = B * (A^T (R / stab(y)))."""
    return b * (turned(a) @ (R / stab(a @ b)))


def mul(_a: Real, _b: Real, R: Real) -> tuple[Real, Real]:
    """Half to each factor."""
    return R / 2, R / 2


def add(a: Real, b: Real, R: Real, stab: Stab = bare) -> tuple[Real, Real]:
    """By value."""
    s = R / stab(a + b)
    return a * s, b * s


def linear(x: Real, w: Real, R: Real, b: Real | float = 0.0, stab: Stab = bare) -> Real:
    """y = x w + b under the epsilon rule; the bias absorbs."""
    return x * ((R / stab(x @ w + b)) @ turned(w))


def layer_norm(x: Real, w: Real, b: Real, R: Real, eps: float = 1e-5, stab: Stab = bare) -> Real:
    """The epsilon rule on y = w (x - mean x) / std + b, std frozen."""
    n = x.shape[-1]
    A = (np.eye(n) - 1 / n) * (w / np.sqrt(x.var(axis=-1, keepdims=True) + eps))[..., None, :]
    y = (x[..., None, :] @ A)[..., 0, :] + b
    return x * (A @ (R / stab(y))[..., None])[..., 0]


def rms_norm(_x: Real, _w: Real, R: Real) -> Real:
    """The identity: 1 / rms and the weight are frozen, one input for each output."""
    return R


def activation(_x: Real, R: Real) -> Real:
    """SiLU, GELU and other functions of one number: the identity."""
    return R


def attention(
    x: Real, wq: Real, wk: Real, wv: Real, R: Real, frozen: bool = False
) -> dict[str, Real]:
    """softmax(q k^T / sqrt d) v with q, k, v linear in x, from the output back to x."""
    q, k, v = x @ wq, x @ wk, x @ wv
    logits = q @ turned(k) / math.sqrt(q.shape[-1])
    p = softmaxed(logits)
    if frozen:
        Rv = matmul_frozen(p, v, R)
        return {"v": Rv, "x": linear(x, wv, Rv)}
    Rp, Rv = matmul(p, v, R)
    Rl = softmax(logits, Rp)
    Rq, Rk = matmul(q, turned(k), Rl)
    Rk = turned(Rk)
    parts: list[tuple[Any, Real]] = [(wq, Rq), (wk, Rk), (wv, Rv)]
    total = sum(linear(x, w, r) for w, r in parts)
    return {"p": Rp, "v": Rv, "q": Rq, "k": Rk, "x": total}
