"""The specification of the LSTM: its forward pass is ONNX's, and its relevance is conserved."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from graphs import Nodes, Real, loaded, normal
from models import model
from naive_lstm import Lstm, Told, forward, outputs, random_lstm, relevance
from onnx import helper
from reference import attribute

LENGTH, INPUTS, HIDDEN = 7, 3, 4
X = normal(LENGTH, INPUTS, seed=5)


def seeds(everywhere: bool = True) -> Real:
    """Relevance of the outputs: of every step, or of the last alone."""
    R = normal(LENGTH, HIDDEN, seed=6)
    return R if everywhere else R * (np.arange(LENGTH) == LENGTH - 1)[:, None]


def told(net: Lstm, R: Real, **numbers: Any) -> Told:
    return relevance(net, forward(net, X), R, **numbers)


def passed_on(t: Told) -> float:
    return float(t.x.sum() + t.h0.sum() + t.c0.sum())


def test_the_forward_pass_is_onnxruntimes() -> None:
    net = random_lstm(INPUTS, HIDDEN)
    weights = {"W": net.W[None], "R": net.R[None]}
    weights["B"] = np.concatenate([0.25 * net.b, 0.75 * net.b])[None]
    weights = {k: w.astype(np.float32) for k, w in weights.items()}
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["y"], hidden_size=HIDDEN)
    proto = model([node], {"x": [LENGTH, 1, INPUTS]}, {"y": [LENGTH, 1, 1, HIDDEN]}, weights)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (y,) = session.run(None, {"x": X[:, None].astype(np.float32)})
    np.testing.assert_allclose(outputs(net, X), y[:, 0, 0], atol=1e-6)


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [0.001, 0.1])
def test_with_bias_factor_1_relevance_is_conserved_exactly(
    eps: float, bias: bool, everywhere: bool
) -> None:
    R = seeds(everywhere)
    got = told(random_lstm(INPUTS, HIDDEN, bias), R, eps=eps, bias_factor=1)
    assert got.bias == got.stabiliser == 0
    size = np.abs(got.x).sum() + np.abs(got.h0).sum() + np.abs(got.c0).sum()
    assert abs(passed_on(got) - R.sum()) <= 1e-13 * size


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [0.001, 0.1])
def test_with_bias_factor_0_what_is_missing_is_what_bias_and_stabiliser_absorb(
    eps: float, bias: bool, everywhere: bool
) -> None:
    R = seeds(everywhere)
    got = told(random_lstm(INPUTS, HIDDEN, bias), R, eps=eps)
    size = np.abs(got.x).sum() + abs(got.bias) + abs(got.stabiliser)
    assert abs(passed_on(got) + got.bias + got.stabiliser - R.sum()) <= 1e-13 * size
    assert got.stabiliser != 0
    assert (got.bias != 0) == bias
    assert not got.h0.any()  # states that are zero are no evidence
    assert not got.c0.any()


def test_without_bias_and_stabiliser_the_bias_factor_changes_nothing() -> None:
    net = random_lstm(INPUTS, HIDDEN, bias=False)
    a, b = (told(net, seeds(), eps=0.0, bias_factor=d) for d in (0, 1))
    np.testing.assert_allclose(a.x, b.x, rtol=1e-12)
    assert a.x.sum() == pytest.approx(seeds().sum(), rel=1e-9)


def test_relevance_is_linear_in_what_arrives_and_causal() -> None:
    net = random_lstm(INPUTS, HIDDEN)
    last, every = told(net, seeds(everywhere=False)).x, told(net, seeds()).x
    rest = told(net, seeds() - seeds(everywhere=False)).x
    np.testing.assert_allclose(last + rest, every, atol=1e-11 * np.abs(every).max())
    assert not rest[-1].any()


def test_one_step_by_hand() -> None:
    """Half of the cell is carried on, half is new: c = f c0 + i g."""
    net = Lstm(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4))
    net.W[3] = 2.0
    x, c0 = np.array([[0.5]]), np.array([np.tanh(1.0)])
    got = relevance(net, forward(net, x, c=c0), np.array([[6.0]]), eps=0.0)
    np.testing.assert_allclose([got.x[0, 0], got.c0[0]], [3.0, 3.0], rtol=1e-15)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [0.0, 0.001])
def test_the_engines_lstm_is_the_specifications(eps: float, bias: bool) -> None:
    net, n, R = random_lstm(INPUTS, HIDDEN, bias), Nodes(), seeds()
    n.weights |= {"W": net.W[None], "R": net.R[None]}
    n.weights["B"] = np.concatenate([0.25 * net.b, 0.75 * net.b])[None]
    n.add("LSTM", "x W R B", "y", hidden_size=HIDDEN)
    n.add("Squeeze", f"y {n.ints('axis', 1)}", "z")
    proto = n.model({"x": [LENGTH, 1, INPUTS]}, {"z": [LENGTH, 1, HIDDEN]})
    got = attribute(
        loaded(proto),
        X[:, None],
        target=lambda z: R[:, None],
        composite="CPLRP",
        overrides={"LSTM": f"epsilon({eps})"},
    )
    want = told(net, R, eps=eps)
    scale = np.abs(want.x).max()
    np.testing.assert_allclose(got.relevance[:, 0], want.x, rtol=0, atol=1e-10 * scale)
    assert sum(row.bias.sum() for row in got.ledger.rows) == pytest.approx(want.bias, abs=1e-9)
