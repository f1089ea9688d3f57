"""Laws of what merges: in any number of parts, in any order, it is the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dftlrp.concepts.moments import Moments, Top, compute_moments, find_top


@st.composite
def split(draw):
    """Values of recordings of several classes, and where they are cut."""
    n = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    offset = draw(st.sampled_from([0.0, 1e6]))
    values = offset + rng.integers(-3, 4, (n, 2, 3)) * draw(st.sampled_from([1.0, 0.1]))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    return values, rng.integers(0, 4, n), np.split(np.arange(n), cuts)


@given(split())
@settings(deadline=None, max_examples=60)
def test_moments_of_parts_are_those_of_the_whole(case):
    values, classes, parts = case
    total = sum(
        (compute_moments(values[p], classes[p], 4) for p in parts[1:]),
        compute_moments(values[parts[0]], classes[parts[0]], 4),
    )
    for c in range(4):
        own = values[classes == c]
        assert total.count[c] == len(own)
        if len(own):
            np.testing.assert_allclose(total.mean[c], own.mean(0), rtol=1e-13, atol=1e-13)
            size = np.abs(own).max()  # squares of round-off in the mean
            np.testing.assert_allclose(total.spread[c], own.std(0), rtol=1e-9, atol=1e-13 * size)


@given(split(), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_the_top_of_parts_is_that_of_all_sorted(case, k):
    values, _, parts = case
    rows, n = values[:, 0].T, len(values)
    places = np.arange(rows.size).reshape(rows.shape)
    made = [find_top(rows[:, p], p, places[:, p], k) for p in parts]
    found = sum(made[1:], made[0])
    for i, row in enumerate(rows):
        order = sorted(range(n), key=lambda j: (-row[j], j))[:k]
        missing = k - len(order)
        assert found.recording[i].tolist() == order + [-1] * missing
        assert found.value[i].tolist() == [*row[order], *[-np.inf] * missing]
        assert found.place[i][: len(order)].tolist() == places[i, order].tolist()


def test_what_is_stored_is_read_back():
    values, classes = np.random.default_rng(0).standard_normal((9, 2)), np.arange(9) % 3 + 1
    made = compute_moments(values, classes, 5)
    arrays = made.to_arrays("a")
    assert arrays["a/mean"].shape == (3, 2)  # of the classes that there are
    back = Moments.from_arrays(arrays, "a")
    for name in ("count", "mean", "m2"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    first = find_top(values.T, np.arange(9), np.zeros((2, 9), int), 4)
    again = Top.from_arrays(first.to_arrays("t"), "t")
    np.testing.assert_array_equal(again.value, first.value)


def test_a_class_without_recordings_has_no_spread():
    assert compute_moments(np.ones((2, 3)), np.zeros(2, int), 2).spread == pytest.approx(0)
