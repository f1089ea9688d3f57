"""An LSTM and its relevance, one step and one layer at a time (Arras et al. 2017, 2019).

Weights in ONNX's layout, gates in the order i, o, f, c; sigmoid gates, tanh for cell and output:

    i, o, f = sigmoid(W x_t + R h_{t-1} + b),  g = tanh(...),  c_t = f c_{t-1} + i g,
    h_t = o tanh(c_t)

Relevance: gates are frozen and products go to the signal (o tanh(c) to c, i g to g); every sum,
the one inside the cell included, is shared by

    R_{k<-j} = (z_kj + delta (b_j + eps sgn(z_j)) / N) / (z_j + eps sgn(z_j)) R_j

with N the number of summands and sgn(0) = +1.  delta is Arras' bias_factor: 0 is the epsilon rule,
1 hands what bias and stabiliser took to the summands in equal parts, so that all is conserved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from graphs import Real, normal

EPSILON = 0.001


class Lstm(NamedTuple):
    """Of one direction: W (4H, I), R (4H, H), b (4H,), the two biases of ONNX's B added."""

    W: Real
    R: Real
    b: Real


class Step(NamedTuple):
    x: Real
    h: Real  # that came in
    c: Real
    i: Real
    o: Real
    f: Real
    g: Real
    pre: Real  # of g, before tanh
    c_out: Real
    h_out: Real


class Told(NamedTuple):
    """Relevance of the inputs and of the initial states, and what was not passed on."""

    x: Real  # (T, I)
    h0: Real
    c0: Real
    bias: float
    stabiliser: float


def random_lstm(inputs: int, hidden: int, bias: bool = True, seed: int = 0) -> Lstm:
    W, R = normal(4 * hidden, inputs, seed=seed), normal(4 * hidden, hidden, seed=seed + 1)
    return Lstm(W, 0.5 * R, normal(4 * hidden, seed=seed + 2) * bias)


def sigmoid(z: Real) -> Real:
    return 1 / (1 + np.exp(-z))


def step(net: Lstm, x: Real, h: Real, c: Real) -> Step:
    i, o, f, g = np.split(net.W @ x + net.R @ h + net.b, 4)
    i, o, f, pre, g = sigmoid(i), sigmoid(o), sigmoid(f), g, np.tanh(g)
    c_out = f * c + i * g
    return Step(x, h, c, i, o, f, g, pre, c_out, o * np.tanh(c_out))


def forward(net: Lstm, x: Real, h: Real | None = None, c: Real | None = None) -> list[Step]:
    """Every step of a signal x (T, I); initial states are zero if not given."""
    hidden = net.R.shape[1]
    h, c = (np.zeros(hidden) if s is None else s for s in (h, c))
    steps = []
    for now in x:
        steps.append(step(net, now, h, c))
        h, c = steps[-1].h_out, steps[-1].c_out
    return steps


def outputs(net: Lstm, x: Real) -> Real:
    """h_t of every step, (T, H)."""
    return np.array([s.h_out for s in forward(net, x)])


def linear(
    z: Real, bias: Real, out: Real, R: Real, eps: float = EPSILON, bias_factor: float = 0
) -> tuple[Real, float, float]:
    """Relevance of the summands z (N, M) of out = z.sum(0) + bias; what bias, stabiliser keep."""
    sign = np.where(out >= 0, 1.0, -1.0)
    s = R / (out + eps * sign)
    spread = bias_factor * (bias + eps * sign) / len(z)
    keep = 1 - bias_factor
    return (z + spread) * s, keep * float(bias @ s), keep * float(eps * sign @ s)


def relevance(
    net: Lstm, steps: list[Step], R: Real, eps: float = EPSILON, bias_factor: float = 0
) -> Told:
    """From relevance R (T, H) of the outputs h_t back to the inputs and the initial states."""
    hidden, size = net.R.shape[1], net.W.shape[1]
    Wg, Rg, bg = net.W[3 * hidden :], net.R[3 * hidden :], net.b[3 * hidden :]
    Rh, Rc = np.zeros(hidden), np.zeros(hidden)
    Rx, kept, guard = [], 0.0, 0.0
    for s, arrived in zip(steps[::-1], R[::-1], strict=True):
        Rc = Rc + Rh + arrived  # h = o tanh(c): all to c
        cell, none = np.stack([s.f * s.c, s.i * s.g]), np.zeros(hidden)
        (Rc, Rpre), _, taken = linear(cell, none, s.c_out, Rc, eps, bias_factor)
        z = np.concatenate([Wg * s.x, Rg * s.h], axis=1).T  # one summand a row
        down, absorbed, more = linear(z, bg, s.pre, Rpre, eps, bias_factor)
        Rx.append(down[:size].sum(axis=1))
        Rh = down[size:].sum(axis=1)
        kept, guard = kept + absorbed, guard + taken + more
    return Told(np.array(Rx[::-1]), Rh, Rc, kept, guard)
