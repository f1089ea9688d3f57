"""Laws of products of two signals: what is a gate is frozen, in whatever spelling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import reference
from graphs import Nodes, loaded, normal
from onnx import ModelProto

import dftlrp

X, G = normal(2, 4, 8), normal(2, 4, 8, seed=1)


def gated(write: Callable[[Nodes], str]) -> ModelProto:
    """conv(x) times a gate of conv(g): two inputs, so that relevance tells who got it."""
    n = Nodes()
    n.weights |= {"w": normal(4, 4, 1), "v": normal(4, 4, 1, seed=3), "half": np.array(0.5)}
    n.weights |= {"one": np.array(1.0), "three": np.array(3.0), "six": np.array(6.0)}
    n.weights |= {"zero": np.array(0.0)}
    n.add("Conv", "x w", "s")
    n.add("Conv", "g v", "h")
    n.add("Mul", f"s {write(n)}", "y")
    return n.model({"x": ["B", 4, 8], "g": ["B", 4, 8]}, {"y": None}, opset=18)


def sigmoid(n: Nodes) -> str:
    return n.add("Sigmoid", "h", "gate")


def pooled(n: Nodes) -> str:
    sigmoid(n)
    return n.add("AveragePool", "gate", "p", kernel_shape=[3], pads=[1, 1])


def squared(n: Nodes) -> str:
    sigmoid(n)
    return n.add("Mul", "gate gate", "q")


def mean_of_two(n: Nodes) -> str:
    sigmoid(n)
    n.add("Tanh", "h", "t")
    n.add("Add", "gate t", "both")
    return n.add("Mul", "both half", "m")


def hard(n: Nodes) -> str:
    n.add("Add", "h three", "a")
    n.add("Clip", "a zero six", "c")
    return n.add("Div", "c six", "d")


def root(n: Nodes) -> str:
    sigmoid(n)
    return n.add("Sqrt", "gate", "r")


def minimum(n: Nodes) -> str:
    sigmoid(n)
    return n.add("Min", "gate half", "m")


def by_erf(n: Nodes) -> str:
    n.add("Erf", "h", "e")
    n.add("Add", "e one", "f")
    return n.add("Mul", "f half", "k")


def rest_of_one(n: Nodes) -> str:
    sigmoid(n)
    return n.add("Sub", "one gate", "o")


GATES = [sigmoid, pooled, squared, mean_of_two, hard, root, minimum, by_erf, rest_of_one]


@pytest.mark.parametrize("write", GATES, ids=lambda f: f.__name__)
def test_a_gate_gets_no_relevance_in_whatever_spelling(write):
    a = reference.attribute(
        loaded(gated(write)), {"x": X, "g": G}, composite="EpsilonPlus", target=lambda z: z
    )
    assert not a.relevance["g"].any()
    assert a.relevance["x"].any()


def einsum_attention() -> ModelProto:
    n = Nodes()
    n.weights |= {"q": normal(8, 8), "k": normal(8, 8, seed=1), "v": normal(8, 8, seed=2)}
    for name in "qkv":
        n.add("MatMul", f"x {name}", f"x{name}")
    n.add("Einsum", "xq xk", "scores", equation="bid,bjd->bij")
    n.add("Softmax", "scores", "p", axis=-1)
    n.add("Einsum", "p xv", "y", equation="bij,bjd->bid")
    return n.model({"x": ["B", 4, 8]}, {"y": None})


def matmul_attention() -> ModelProto:
    n = Nodes()
    n.weights |= {"q": normal(8, 8), "k": normal(8, 8, seed=1), "v": normal(8, 8, seed=2)}
    for name in "qkv":
        n.add("MatMul", f"x {name}", f"x{name}")
    n.add("Transpose", "xk", "t", perm=[0, 2, 1])
    n.add("MatMul", "xq t", "scores")
    n.add("Softmax", "scores", "p", axis=-1)
    n.add("MatMul", "p xv", "y")
    return n.model({"x": ["B", 4, 8]}, {"y": None})


@pytest.mark.parametrize("preset", ["Epsilon", "CPLRP", "AttnLRP", "Gradient"])
def test_attention_by_einsum_is_attention_by_matmul(preset):
    one, two = (
        reference.attribute(loaded(proto), X, composite=preset, target=lambda z: z).relevance
        for proto in (matmul_attention(), einsum_attention())
    )
    np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-9 * np.abs(one).max())


@pytest.mark.parametrize("preset", ["Epsilon", "AttnLRP", "Gradient"])
def test_a_mask_of_minus_infinity_leaves_finite_accounts(preset):
    n = Nodes()
    n.weights["mask"] = np.triu(np.full((8, 8), -np.inf), 1)
    n.weights["v"] = normal(8, 3)
    n.add("Transpose", "x", "t", perm=[0, 2, 1])
    n.add("MatMul", "t x", "scores")
    n.add("Add", "scores mask", "masked")
    n.add("Softmax", "masked", "p", axis=-1)
    n.add("MatMul", "p v", "y")
    model = loaded(n.model({"x": ["B", 4, 8]}, {"y": None}))
    a = reference.attribute(model, X, composite=preset, target=lambda z: z)
    absorbed = sum(a.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(a.relevance.sum() + absorbed, a.seed.sum(), rtol=1e-9)
    assert a.ledger.gap < 1e-10


def test_nothing_over_nothing_may_be_taken_out_again():
    """The phase of silence, 0 / 0, is finite again behind a Where; at an output it is refused."""
    n = Nodes()
    n.weights |= {"zero": np.array(0.0), "w": normal(4, 4, 1)}
    n.add("Abs", "x", "size")
    n.add("Div", "x size", "sign")
    n.add("Equal", "size zero", "silent")
    n.add("Where", "silent zero sign", "phase")
    n.add("Conv", "phase w", "y")
    x = X.copy()
    x[:, :, 3:] = 0
    a = reference.attribute(
        loaded(n.model({"x": ["B", 4, 8]}, {"y": None})), x, composite="Epsilon",
        target=lambda z: z,
    )  # fmt: skip
    assert np.isfinite(a.relevance).all()
    assert a.ledger.gap < 1e-10
    bad = Nodes()
    bad.add("Abs", "x", "size")
    bad.add("Div", "x size", "sign")
    bad.add("Neg", "sign", "y")
    with pytest.raises(dftlrp.NonFiniteError, match="'sign'"):
        reference.predict(loaded(bad.model({"x": ["B", 4, 8]}, {"y": None})), x)
