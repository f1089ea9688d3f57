"""Pools and reductions: winners, and what the divisor of a mean counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import at_node, linearised, normal

from dftlrp.core.backend import Window
from dftlrp.core.numpy_backend import BACKEND


@pytest.mark.parametrize(
    ("x", "winners"),
    [
        ([0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0]),
        ([1, 1, 0, 1, -1, -1], [1, 0, 0, 1, 1, 0]),
        ([-2, -1, -3, -3, 0, 0], [0, 1, 1, 0, 1, 0]),
    ],
)
def test_a_tie_goes_to_the_first(x: list[float], winners: list[float]) -> None:
    at = at_node("MaxPool", [np.array([[x]], float)], kernel_shape=[2], strides=[2])
    (R,) = linearised(at).carry(np.ones((1, 1, 3)))
    np.testing.assert_array_equal(R[0, 0], winners)


def test_a_tie_goes_to_the_first_in_row_major_order() -> None:
    x = np.array([[[[0.0, 1, 1], [1, 0, 0], [1, 0, 1]]]])
    (R,) = linearised(at_node("MaxPool", [x], kernel_shape=[3, 3])).carry(np.ones((1, 1, 1, 1)))
    assert np.argwhere(R[0, 0]).tolist() == [[0, 1]]


def test_padding_never_wins_not_even_over_negative_numbers() -> None:
    x = -1 - np.abs(normal(1, 1, 5))
    at = at_node("MaxPool", [x], kernel_shape=[3], pads=[2, 2])
    assert at.y.max() < 0
    (R,) = linearised(at).carry(np.ones_like(at.y))
    assert R.sum() == at.y.size


@pytest.mark.parametrize("op", ["GlobalMaxPool", "ReduceMax", "ReduceMin"])
def test_a_reduction_to_an_extremum_goes_to_the_first_of_ties(op: str) -> None:
    x = np.array([[[3.0, 1, 3, 1], [0, 0, 0, 0]]])
    attrs = {} if op == "GlobalMaxPool" else {"axes": [2]}
    (R,) = linearised(at_node(op, [x], **attrs)).carry(np.ones((1, 2, 1)))
    first = 1 if op == "ReduceMin" else 0
    np.testing.assert_array_equal(R[0], [np.eye(4)[first], np.eye(4)[0]])


def test_overlapping_windows_add_up_at_their_winner() -> None:
    at = at_node("MaxPool", [np.array([[[0.0, 0, 9, 0, 0]]])], kernel_shape=[3])
    (R,) = linearised(at).carry(np.array([[[1.0, 2, 4]]]))
    np.testing.assert_array_equal(R, [[[0, 0, 7, 0, 0]]])


@pytest.mark.parametrize(
    ("attrs", "divisors"),
    [
        ({}, [2, 3, 2]),
        ({"count_include_pad": 1}, [3, 3, 3]),
        ({"ceil_mode": 1, "pads": [0, 0], "strides": [2], "kernel_shape": [2]}, [2, 2, 1]),
        (
            {
                "ceil_mode": 1,
                "count_include_pad": 1,
                "pads": [1, 1],
                "strides": [2],
                "kernel_shape": [4],
            },
            [4, 4, 3],
        ),
    ],
)
def test_a_mean_counts_samples_and_declared_padding_if_asked(
    attrs: dict[str, Any], divisors: list[int]
) -> None:
    given = {"kernel_shape": [3], "strides": [2], "pads": [1, 1], **attrs}
    at = at_node("AveragePool", [np.ones((1, 1, 5))], **given)
    np.testing.assert_allclose(1 / linearised(at).weights[0].ravel(), divisors)


GEOMETRIES = [
    Window((3,), (1,), (1,), ((0, 0),)),
    Window((3,), (2,), (2,), ((2, 1),)),
    Window((2, 3), (3, 1), (1, 2), ((1, 0), (2, 2)), 2),
]


@pytest.mark.parametrize("g", GEOMETRIES)
def test_the_backends_convolution_and_pool_are_sums_and_maxima_over_windows(g: Window) -> None:
    size = (9, 8)[: len(g.kernel)]
    x, w = normal(2, 4, *size), normal(6, 4 // g.groups, *g.kernel)
    zeros, lows = (np.pad(x, ((0, 0), (0, 0), *g.pads), constant_values=v) for v in (0.0, -np.inf))
    y, m = BACKEND.conv(x, w, g), BACKEND.maxpool(x, x, g._replace(groups=1))
    for place in np.ndindex(*y.shape[2:]):
        cut = tuple(
            slice(p * s, p * s + d * (k - 1) + 1, d)
            for p, s, d, k in zip(place, g.strides, g.dilations, g.kernel, strict=True)
        )
        for o in range(6):
            group = o // (6 // g.groups)
            channels = slice(group * 4 // g.groups, (group + 1) * 4 // g.groups)
            patch = zeros[(slice(None), channels, *cut)].reshape(2, -1)
            np.testing.assert_allclose(
                y[(slice(None), o, *place)], patch @ w[o].ravel(), atol=1e-13
            )
        np.testing.assert_array_equal(
            m[(..., *place)], lows[(..., *cut)].reshape(2, 4, -1).max(axis=2)
        )
