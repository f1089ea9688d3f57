"""Quantised networks: relevance passes, the tangent is straight through, integers stay whole."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Nodes, Real, at_node, linearised, loaded, normal
from reference import attribute

SCALE, ZERO = np.array(0.25), np.array(3, np.int8)


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"])
def test_a_change_of_scale_passes_relevance(op: str) -> None:
    args = [normal(2, 3)] if op.startswith("Dyn") else [normal(2, 3), SCALE, ZERO]
    R = normal(2, 3, seed=1)
    np.testing.assert_array_equal(linearised(at_node(op, args)).carry(R)[0], R)


def test_the_tangent_is_straight_through_and_ends_where_the_value_saturates() -> None:
    at = at_node("QuantizeLinear", [np.array([0.3, -1.0, 100.0, -100.0]), SCALE, ZERO])
    np.testing.assert_array_equal(at.y, [4, -1, 127, -128])
    tangent = linearised(at).tangent()
    np.testing.assert_array_equal(tangent.apply(np.ones(4)), [4, 4, 0, 0])
    np.testing.assert_array_equal(tangent.forward(at.x), at.y)


def test_quantising_and_back_is_off_by_half_a_step_at_most() -> None:
    x = normal(50)
    q = at_node("QuantizeLinear", [x, SCALE, ZERO])
    back = at_node("DequantizeLinear", [q.y, SCALE, ZERO])
    assert np.abs(back.y - x).max() <= SCALE / 2


def network(quantised: bool) -> tuple[Nodes, str]:
    n = Nodes(1)
    n.weights |= {"s": np.array(2.0**-20), "z": np.array(0, np.int32)}
    n.conv("x", "c", (4, 2, 3))
    n.add("Relu", "c", "r")
    if quantised:
        n.add("QuantizeLinear", "r s z", "q", output_dtype=6)
        n.add("DequantizeLinear", "q s z", "d")
    n.add("Flatten", "d" if quantised else "r", "f")
    return n, n.gemm("f", "y", 40, 3)


@pytest.mark.parametrize("composite", ["EpsilonPlus", "Epsilon", "Gradient"])
def test_a_finely_quantised_network_is_explained_as_the_one_that_is_not(composite: str) -> None:
    x = normal(2, 2, 12)

    def relevance(quantised: bool) -> Real:
        n, y = network(quantised)
        model = loaded(n.model({"x": ["B", 2, 12]}, {y: ["B", 3]}, opset=23))
        return attribute(model, x, target=1, composite=composite).relevance

    np.testing.assert_allclose(relevance(True), relevance(False), atol=1e-4)
