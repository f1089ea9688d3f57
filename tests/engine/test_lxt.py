"""The naive formulas of AttnLRP against LXT's own functions (torch only), in float64."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import naive_attnlrp as naive
import numpy as np
import pytest
from graphs import Real, normal
from needed import needed
from peers import quiet, torch

needed("lxt")
lxt = quiet(lambda: importlib.import_module("lxt.explicit.functional"))
SHAPE = (2, 3, 4)
R = normal(*SHAPE, seed=9)
W, B = normal(4, seed=7), normal(4, seed=8)


def back(f: Callable[..., Any], *inputs: Real) -> list[Real]:
    """LXT's relevance of each input: its backward pass carries relevance, not gradients."""
    tensors = [torch.from_numpy(x).requires_grad_() for x in inputs]
    grads = torch.autograd.grad(f(*tensors), tensors, torch.from_numpy(R.copy()))
    return [g.numpy() for g in grads]


def unsigned(eps: float) -> naive.Stab:
    """LXT's stabiliser, whatever the sign of z."""
    return lambda z: z + eps


def agree(ours: Real, want: Real) -> None:
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-10 * np.abs(want).max())


def test_softmax() -> None:
    x = normal(*SHAPE)
    agree(naive.softmax(x, R), back(lambda t: lxt.softmax(t, -1), x)[0])


def test_masked_softmax() -> None:
    x = np.where(np.tri(3, 4) > 0, normal(*SHAPE), -np.inf)
    agree(naive.softmax(x, R), back(lambda t: lxt.softmax(t, -1), x)[0])


@pytest.mark.parametrize("eps", [0.0, 1e-8, 1e-3])
def test_matmul(eps: float) -> None:
    a, b = normal(2, 3, 5), normal(2, 5, 4, seed=1)
    theirs = back(lambda s, t: lxt.matmul(s, t, epsilon=eps), a, b)
    for ours, want in zip(naive.matmul(a, b, R, unsigned(eps)), theirs, strict=True):
        agree(ours, want)


def test_products_and_sums_of_two_signals() -> None:
    a, b = normal(*SHAPE), normal(*SHAPE, seed=1)
    both = [(naive.mul(a, b, R), back(lxt.mul2, a, b))]
    both.append((naive.add(a, b, R, unsigned(1e-8)), back(lxt.add2, a, b)))
    for ours, theirs in both:
        for mine, want in zip(ours, theirs, strict=True):
            agree(mine, want)


def test_dense_layer() -> None:
    x, w = normal(2, 3, 5), normal(4, 5, seed=1)
    weight, bias = torch.from_numpy(w), torch.from_numpy(B)
    theirs = back(lambda t: lxt.linear_epsilon(t, weight, bias), x)[0]
    agree(naive.linear(x, w.T, R, B, unsigned(1e-6)), theirs)


def test_layer_norm() -> None:
    x, weight, bias = normal(*SHAPE), torch.from_numpy(W), torch.from_numpy(B)
    theirs = back(lambda t: lxt.layer_norm(t, weight, bias, 1e-5), x)[0]
    agree(naive.layer_norm(x, W, B, R, 1e-5, unsigned(1e-6)), theirs)


def test_rms_norm_is_the_identity() -> None:
    x, weight = normal(*SHAPE), torch.from_numpy(W)
    agree(naive.rms_norm(x, W, R), back(lambda t: lxt.rms_norm_identity(t, weight, 1e-6), x)[0])
