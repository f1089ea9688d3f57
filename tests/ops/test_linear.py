"""Layers with weights: which inputs may carry relevance, and identities between the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import at_node, linearised, normal

from dftlrp.ops import OPS


def test_a_convtranspose_is_the_adjoint_of_the_convolution() -> None:
    x, r, w = normal(2, 3, 11), normal(2, 4, 5), normal(4, 3, 3)
    geometry = {"strides": [2], "pads": [1, 0]}
    y = at_node("Conv", [x, w], **geometry)
    (back,) = linearised(y).adjoint(r)
    up = at_node("ConvTranspose", [r, w], output_padding=[1], **geometry)
    np.testing.assert_allclose(up.y, back, atol=1e-13)


def test_a_convolution_of_width_one_is_a_matrix_product() -> None:
    x, w, b = normal(2, 3, 7), normal(4, 3, 1), normal(4)
    conv = at_node("Conv", [x, w, b]).y
    gemm = at_node("Gemm", [x.transpose(0, 2, 1).reshape(-1, 3), w[..., 0], b], transB=1).y
    np.testing.assert_allclose(conv, gemm.reshape(2, 7, 4).transpose(0, 2, 1), atol=1e-13)


def test_batch_normalization_is_a_scale_and_a_shift() -> None:
    x, g, b, m = normal(2, 3, 5), *normal(3, 3)
    v = np.array([0.5, 1.0, 2.0])
    layer = linearised(at_node("BatchNormalization", [x, g, b, m, v], epsilon=0.5))
    scale = g / np.sqrt(v + 0.5)
    np.testing.assert_allclose(layer.weights[0].ravel(), scale)
    np.testing.assert_allclose(layer.bias.ravel(), b - scale * m)


@pytest.mark.parametrize(
    ("op", "args", "live", "bias"),
    [
        ("Add", [normal(2, 3), np.ones(3)], (0,), [1, 1, 1]),
        ("Sub", [normal(2, 3), np.ones(3)], (0,), [-1, -1, -1]),
        ("Sub", [np.ones(3), normal(2, 3)], (1,), [1, 1, 1]),
        ("Sum", [normal(2, 3), np.ones(3), np.ones(3)], (0,), [2, 2, 2]),
        ("Mean", [normal(2, 3), np.ones(3), np.ones(3), np.ones(3)], (0,), [0.75] * 3),
    ],
)
def test_what_carries_no_relevance_is_the_bias_of_a_sum(
    op: str, args: list[Any], live: Any, bias: list[float]
) -> None:
    layer = linearised(at_node(op, args, live=live))
    np.testing.assert_allclose(layer.bias, bias)


def test_both_signals_of_a_sum_get_their_share_also_when_they_are_one() -> None:
    x = normal(2, 3)
    layer = linearised(at_node("Add", [x, x], live=(0, 1)))
    a, b = layer.adjoint(np.ones((2, 3)))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("op", "live", "reason"),
    [
        ("Conv", (1,), "input 1 depends on the signal"),
        ("Gemm", (2,), "input 2 depends on the signal"),
        ("BatchNormalization", (0, 1), "input 1 depends on the signal"),
        ("Pow", (1,), "input 1 depends on the signal"),
    ],
)
def test_relevance_may_not_go_to_weights(op: str, live: tuple[int, ...], reason: str) -> None:
    assert reason in (OPS[op].find_refusal(live) or "")


@pytest.mark.parametrize("op", ["Add", "Sub", "Sum", "Mean", "Concat", "Max", "Min"])
def test_relevance_may_go_to_several_inputs_of_a_sum_a_join_or_an_extremum(op: str) -> None:
    assert OPS[op].find_refusal((0, 1)) is None


@pytest.mark.parametrize("op", ["Conv", "AveragePool", "MaxPool"])
def test_a_window_wider_than_the_signal_is_named(op: str) -> None:
    args = [normal(1, 1, 3)] + ([normal(1, 1, 5)] if op == "Conv" else [])
    with pytest.raises(ValueError, match=rf"node 'y' \({op}\)"):
        at_node(op, args, kernel_shape=[5])
