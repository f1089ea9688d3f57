"""The specification of the rules: each formula on a dense matrix.

A map is seen only as its matrix A and bias b, built by applying the map to basis vectors; the
formulas are written with comparisons and clipping on matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from graphs import Real

from dftlrp.linear import Affine, Arrays
from dftlrp.rules import Call


class Dense(NamedTuple):
    """A map as a matrix on all its inputs, batch included, flattened one after the other."""

    A: Real
    b: Real
    x: Real
    R: Real
    m: Real  # multiplier of the output


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


def stabilised(z: Real, eps: float) -> Real:
    return z + np.where(z >= 0, eps, -eps)


def shared(terms: list[tuple[Real, Real]], b: Real, R: Real, eps: float) -> Told:
    """z = sum A x + b, s = R / stab(z), R_i = sum x A^T s."""
    z = sum(A @ x for A, x in terms) + b
    s = R / stabilised(z, eps)
    relevance = sum(x * (A.T @ s) for A, x in terms)
    return Told(relevance, float(b @ s), float((stabilised(z, eps) - z) @ s))


def plus(a: Real) -> Real:
    return np.where(a > 0, a, 0)


def minus(a: Real) -> Real:
    return np.where(a < 0, a, 0)


def together(a: Told, b: Told) -> Told:
    return Told(*(p + q for p, q in zip(a, b, strict=True)))


def naive_epsilon(d: Dense, epsilon: float = 1e-6) -> Told:
    return shared([(d.A, d.x)], d.b, d.R, epsilon)


def naive_zplus(d: Dense, epsilon: float = 1e-6) -> Told:
    return shared([(plus(d.A), plus(d.x)), (minus(d.A), minus(d.x))], plus(d.b), d.R, epsilon)


def naive_alpha_beta(d: Dense, alpha: float = 2, beta: float = 1, epsilon: float = 1e-6) -> Told:
    up = naive_zplus(d._replace(R=alpha * d.R), epsilon)
    terms = [(minus(d.A), plus(d.x)), (plus(d.A), minus(d.x))]
    return together(up, shared(terms, minus(d.b), -beta * d.R, epsilon))


def naive_gamma(d: Dense, gamma: float = 0.25, epsilon: float = 1e-6) -> Told:
    y = d.A @ d.x + d.b
    up, down = d.A + gamma * plus(d.A), d.A + gamma * minus(d.A)
    above = shared(
        [(up, plus(d.x)), (down, minus(d.x))],
        d.b + gamma * plus(d.b),
        np.where(y > 0, d.R, 0),
        epsilon,
    )
    below = shared(
        [(down, plus(d.x)), (up, minus(d.x))],
        d.b + gamma * minus(d.b),
        np.where(y < 0, d.R, 0),
        epsilon,
    )
    dropped = Told(0 * d.x, 0.0, float(d.R[y == 0].sum()))
    return together(together(above, below), dropped)


def naive_flat(d: Dense, epsilon: float = 1e-6) -> Told:
    wired = np.where(d.A != 0, 1.0, 0.0)
    return shared([(wired, np.ones_like(d.x))], 0 * d.b, d.R, epsilon)


def naive_wsquare(d: Dense, epsilon: float = 1e-6) -> Told:
    return shared([(d.A**2, np.ones_like(d.x))], d.b**2, d.R, epsilon)


def naive_zbox(d: Dense, low: float = -1, high: float = 1, epsilon: float = 1e-6) -> Told:
    at = np.ones_like(d.x)
    terms = [(d.A, d.x), (-plus(d.A), low * at), (-minus(d.A), high * at)]
    return shared(terms, 0 * d.b, d.R, epsilon)


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
        np.ravel(call.relevance if call.multiplier is None else call.multiplier),
    )
