"""Whether two computations agree: what counts as round-off, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from dftlrp.core.identity import (
    MOST_NOISE,
    Difference,
    allow_deviation,
    find_difference,
    measure_deviation,
)

X = np.array([1.0, -4.0, 0.5])


def test_a_deviation_is_relative_to_the_largest_number():
    assert measure_deviation(np.array([1.0, -4.0, 0.54]), X) == pytest.approx(0.01)
    assert measure_deviation(X, X) == 0
    assert measure_deviation(np.full(2, 0.5), np.zeros(2)) == 0.5
    assert measure_deviation(np.array([], np.float32), np.array([], np.float32)) == 0


@pytest.mark.parametrize("other", [X[:2], X[None], [1.0, np.nan, 0.5], [np.inf, -4.0, 0.5]])
def test_another_shape_or_a_number_that_is_not_finite_deviates_infinitely(other):
    assert measure_deviation(np.asarray(other), X) == np.inf
    assert measure_deviation(X, np.asarray(other)) == np.inf


def test_the_same_infinities_and_nans_agree():
    x = np.array([np.nan, -np.inf, np.inf, 1.0])
    assert measure_deviation(x.copy(), x) == 0
    assert measure_deviation(x * [1, -1, 1, 1], x) == np.inf


def test_integers_and_booleans_are_compared_as_numbers():
    assert measure_deviation(np.array([250], np.uint8), np.array([1], np.uint8)) == 249
    assert measure_deviation(np.array([True]), np.array([False])) == 1


def test_noise_allows_more_but_not_everything():
    assert allow_deviation("float64") < allow_deviation("float32") < allow_deviation("float16")
    assert allow_deviation("float32", 1e-3) == pytest.approx(8e-3)
    assert allow_deviation("float32", 0.5) == allow_deviation("float32", MOST_NOISE) < 0.1


def test_the_first_difference_in_order_is_found_and_worded():
    want = {"a": X, "b": X, "c": X}
    ours = {"c": X + 1, "b": X + 0.4, "a": X}
    found = find_difference(ours, want, 1e-5)
    assert found == Difference("b", pytest.approx(0.1), 1e-5)
    assert str(found) == "off by 1.0e-01 of the largest number at 'b' (round-off explains 1e-05)"
    assert find_difference({"a": X}, want, 1e-5) is None
    assert "another shape" in str(Difference("c", np.inf, 1e-5))
