"""The specification of the rules: each formula on a dense matrix.

A map is seen only as its matrix A and bias b, built by applying the map to basis vectors; the
formulas are written with comparisons and clipping on matrices.  At the end, the rules of
iNNvestigate 2.1.2 restated on their own: it cannot be installed beside NumPy 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from graphs import Real

from dftlrp.core.maps import Affine, Arrays
from dftlrp.core.sharing import Call


class Dense(NamedTuple):
    """A map as a matrix on all its inputs, batch included, flattened one after the other."""

    A: Real
    b: Real
    x: Real
    R: Real
    m: Real  # multiplier of the output
    sample: Any  # the sample that each element of the output belongs to


class Told(NamedTuple):
    relevance: Real
    bias: float
    stabiliser: float


def joined(arrays: Arrays) -> Real:
    return np.concatenate([np.ravel(a) for a in arrays])


def matrix(op: Affine, inputs: Arrays) -> Real:
    """Column j is the map, without bias, at the j-th basis vector."""
    columns = []
    for j in range(sum(x.size for x in inputs)):
        basis = np.zeros(sum(x.size for x in inputs))
        basis[j] = 1.0
        cuts = np.cumsum([x.size for x in inputs])[:-1]
        parts = np.split(basis, cuts)
        columns.append(op.apply(*(p.reshape(x.shape) for p, x in zip(parts, inputs, strict=True))))
    return np.stack([np.ravel(c) for c in columns], axis=1)


def size_of_samples(z: Real, sample: Any) -> Real:
    """The mean of |z| over the sample of each element; 1 where all are zero."""
    means = np.array([np.abs(z[sample == s]).mean() for s in sample])
    return np.where(means == 0, 1.0, means)


def stabilised(z: Real, eps: Any, at_zero: float = 0) -> Real:
    if at_zero:
        return np.where(z == 0, eps, z)
    return z + np.where(z >= 0, eps, -eps)


class Guard(NamedTuple):
    """What stands for the stabiliser."""

    eps: float
    at_zero: float
    relative: float


def shared(d: Dense, terms: list[tuple[Real, Real]], b: Real, R: Real, guard: Guard) -> Told:
    """z = sum A x + b, s = R / stab(z), R_i = sum x A^T s."""
    z = sum(A @ x for A, x in terms) + b
    size = size_of_samples(z, d.sample) if guard.relative else 1.0
    safe = stabilised(z, guard.eps * size, guard.at_zero)
    s = R / safe
    relevance = sum(x * (A.T @ s) for A, x in terms)
    return Told(relevance, float(b @ s), float((safe - z) @ s))


def plus(a: Real) -> Real:
    return np.where(a > 0, a, 0)


def minus(a: Real) -> Real:
    return np.where(a < 0, a, 0)


def together(a: Told, b: Told) -> Told:
    return Told(*(p + q for p, q in zip(a, b, strict=True)))


def bias_of(d: Dense, modified: Real, bias: float) -> Real:
    """1: modified as the weights are, 0: none, 2: as it is."""
    return {0: 0 * d.b, 1: modified, 2: d.b}[int(bias)]


def naive_epsilon(
    d: Dense, epsilon: float = 1e-6, bias: float = 1, at_zero: float = 0, relative: float = 0
) -> Told:
    return shared(d, [(d.A, d.x)], bias_of(d, d.b, bias), d.R, Guard(epsilon, at_zero, relative))


def naive_zplus(
    d: Dense,
    epsilon: float = 1e-6,
    bias: float = 1,
    split: float = 1,
    at_zero: float = 0,
    relative: float = 0,
) -> Told:
    terms = [(plus(d.A), plus(d.x)), (minus(d.A), minus(d.x))]
    terms = terms if split else [(plus(d.A), d.x)]
    return shared(d, terms, bias_of(d, plus(d.b), bias), d.R, Guard(epsilon, at_zero, relative))


def naive_alpha_beta(
    d: Dense,
    alpha: float = 2,
    beta: float = 1,
    epsilon: float = 1e-6,
    bias: float = 1,
    split: float = 1,
    at_zero: float = 0,
    relative: float = 0,
) -> Told:
    up = naive_zplus(d._replace(R=alpha * d.R), epsilon, bias, split, at_zero, relative)
    terms = [(minus(d.A), plus(d.x)), (plus(d.A), minus(d.x))]
    terms = terms if split else [(minus(d.A), d.x)]
    down = shared(
        d, terms, bias_of(d, minus(d.b), bias), -beta * d.R, Guard(epsilon, at_zero, relative)
    )
    return together(up, down)


def naive_gamma(
    d: Dense,
    gamma: float = 0.25,
    epsilon: float = 1e-6,
    bias: float = 1,
    split: float = 1,
    at_zero: float = 0,
    relative: float = 0,
) -> Told:
    y = d.A @ d.x + d.b
    up, down = d.A + gamma * plus(d.A), d.A + gamma * minus(d.A)
    for_y = bias_of(d, d.b + gamma * plus(d.b), bias)
    against = bias_of(d, d.b + gamma * minus(d.b), bias)
    if not split:
        return shared(d, [(up, d.x)], for_y, d.R, Guard(epsilon, at_zero, relative))
    terms = [(up, plus(d.x)), (down, minus(d.x))]
    above = shared(d, terms, for_y, np.where(y > 0, d.R, 0), Guard(epsilon, at_zero, relative))
    terms = [(down, plus(d.x)), (up, minus(d.x))]
    below = shared(d, terms, against, np.where(y < 0, d.R, 0), Guard(epsilon, at_zero, relative))
    dropped = Told(0 * d.x, 0.0, float(d.R[y == 0].sum()))
    return together(together(above, below), dropped)


def naive_flat(d: Dense, epsilon: float = 1e-6, at_zero: float = 0, relative: float = 0) -> Told:
    wired = np.where(d.A != 0, 1.0, 0.0)
    return shared(d, [(wired, np.ones_like(d.x))], 0 * d.b, d.R, Guard(epsilon, at_zero, relative))


def naive_wsquare(
    d: Dense, epsilon: float = 1e-6, bias: float = 1, at_zero: float = 0, relative: float = 0
) -> Told:
    b = bias_of(d, d.b**2, bias)
    return shared(d, [(d.A**2, np.ones_like(d.x))], b, d.R, Guard(epsilon, at_zero, relative))


def naive_zbox(
    d: Dense,
    low: float = -1,
    high: float = 1,
    epsilon: float = 1e-6,
    at_zero: float = 0,
    relative: float = 0,
) -> Told:
    at = np.ones_like(d.x)
    terms = [(d.A, d.x), (-plus(d.A), low * at), (-minus(d.A), high * at)]
    return shared(d, terms, 0 * d.b, d.R, Guard(epsilon, at_zero, relative))


def naive_gradient(d: Dense) -> Told:
    return Told(d.x * (d.A.T @ d.m), float(d.b @ d.m), 0.0)


NAIVE: dict[str, Callable[..., Told]] = {
    name.removeprefix("naive_"): f
    for name, f in list(globals().items())
    if name.startswith("naive_")
}


def dense(call: Call) -> Dense:
    b = 0.0 if call.op.bias is None else call.op.bias
    return Dense(
        matrix(call.op, call.inputs),
        np.broadcast_to(b, call.y.shape).ravel(),
        joined(call.inputs),
        np.ravel(call.relevance),
        np.ravel(call.relevance if call.multiplier is None else call.multiplier()),
        np.repeat(np.arange(len(call.y)), call.y[0].size)
        if call.y.ndim > 1
        else np.zeros(call.y.size),
    )


# -- iNNvestigate 2.1.2 by its own names: what `dftlrp.core.conventions` claims to reproduce


def safe_divide(R: Real, z: Real) -> Real:
    """Its SafeDivide: 1e-7 is added only where z is exactly 0."""
    return R / (z + (z == 0) * 1e-7)


def inn_z(d: Dense, bias: bool = True) -> Real:
    return d.x * (d.A.T @ safe_divide(d.R, d.A @ d.x + bias * d.b))


def inn_epsilon(d: Dense, bias: bool = True, epsilon: float = 1e-7) -> Real:
    z = d.A @ d.x + bias * d.b
    return d.x * (d.A.T @ (d.R / (z + ((z >= 0) * 2 - 1) * epsilon)))


def inn_wsquare(d: Dense) -> Real:
    return (d.A**2).T @ safe_divide(d.R, (d.A**2).sum(axis=1))


def inn_flat(d: Dense) -> Real:
    wired = (d.A != 0) * 1.0
    return wired.T @ safe_divide(d.R, wired.sum(axis=1))


def inn_alpha_beta(d: Dense, alpha: float = 2, beta: float = 1, bias: bool = True) -> Real:
    """Each of the two products inside a denominator carries its own part of the bias: b in all."""
    W, V = d.A * (d.A > 0), d.A * (d.A < 0)
    b, c = bias * d.b * (d.b > 0), bias * d.b * (d.b < 0)
    p, n = d.x * (d.x > 0), d.x * (d.x < 0)
    s = safe_divide(d.R, (W @ p + b) + (V @ n + c))
    t = safe_divide(d.R, (V @ p + c) + (W @ n + b))
    activator = p * (W.T @ s) + n * (V.T @ s)
    inhibitor = p * (V.T @ t) + n * (W.T @ t)
    return alpha * activator - beta * inhibitor


def inn_zplus_fast(d: Dense) -> Real:
    W = d.A * (d.A > 0)
    return d.x * (W.T @ safe_divide(d.R, W @ d.x))


def inn_bounded(d: Dense, low: float = -1, high: float = 1) -> Real:
    W, V = d.A * (d.A > 0), d.A * (d.A < 0)
    lows, highs = 0 * d.x + low, 0 * d.x + high
    s = safe_divide(d.R, d.A @ d.x - (W @ lows + V @ highs))
    return d.x * (d.A.T @ s) - (lows * (W.T @ s) + highs * (V.T @ s))


def inn_batch_norm(x: Real, y: Real, mean: Real, beta: Real, R: Real) -> Real:
    """x (y - beta) R / stab((x - mean) y): the stabiliser stands at a product of two numbers."""
    below = (x - mean) * y
    return safe_divide(x * (y - beta) * R, below + ((below >= 0) * 2 - 1) * 1e-7)


INNVESTIGATE: dict[str, Callable[[Dense], Real]] = {
    "Z": inn_z,
    "ZIgnoreBias": lambda d: inn_z(d, bias=False),
    "Epsilon": inn_epsilon,
    "Epsilon(0.1)": lambda d: inn_epsilon(d, epsilon=0.1),
    "EpsilonIgnoreBias": lambda d: inn_epsilon(d, bias=False),
    "WSquare": inn_wsquare,
    "Flat": inn_flat,
    "AlphaBeta": inn_alpha_beta,
    "AlphaBeta(3, 2)": lambda d: inn_alpha_beta(d, 3, 2),
    "AlphaBetaIgnoreBias": lambda d: inn_alpha_beta(d, bias=False),
    "Alpha2Beta1": inn_alpha_beta,
    "Alpha2Beta1IgnoreBias": lambda d: inn_alpha_beta(d, bias=False),
    "Alpha1Beta0": lambda d: inn_alpha_beta(d, 1, 0),
    "Alpha1Beta0IgnoreBias": lambda d: inn_alpha_beta(d, 1, 0, bias=False),
    "ZPlus": lambda d: inn_alpha_beta(d, 1, 0, bias=False),
    "ZPlusFast": inn_zplus_fast,
    "Bounded": inn_bounded,
    "Bounded(-3, 4)": lambda d: inn_bounded(d, -3, 4),
}
