"""Targets and seeds: which entry of the output, and what relevance starts there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Real, normal

from dftlrp.core.types import InputError
from dftlrp.engine.seeds import find_class, find_targets, make_coefficients, make_seed

LABELS = ("low", "middle", "high")
Z = normal(2, 3)
MAPS = normal(2, 4, 3)  # an output of higher rank


@pytest.mark.parametrize(
    ("target", "indices"),
    [
        (1, [(1,), (1,)]),
        (np.int64(1), [(1,), (1,)]),
        (np.array(1), [(1,), (1,)]),
        ([0, 2], [(0,), (2,)]),
        (np.array([0, 2]), [(0,), (2,)]),
        ((2,), [(2,), (2,)]),
        ("middle", [(1,), (1,)]),
        ("2", [(2,), (2,)]),
        ("argmax", [(int(Z[0].argmax()),), (int(Z[1].argmax()),)]),
    ],
)
def test_a_target_is_one_class_for_all_one_for_each_a_label_or_the_largest(
    target: Any, indices: list[tuple[int, ...]]
) -> None:
    assert find_targets(target, Z, LABELS) == indices


def test_an_output_of_higher_rank_takes_a_tuple() -> None:
    assert find_targets((3, 1), MAPS) == [(3, 1)] * 2
    assert find_targets([(0, 1), (3, 2)], MAPS) == [(0, 1), (3, 2)]
    largest = [np.unravel_index(m.argmax(), m.shape) for m in MAPS]
    assert find_targets("argmax", MAPS) == [tuple(map(int, i)) for i in largest]


def test_axes_of_length_one_need_no_index() -> None:
    assert find_targets(2, Z.reshape(2, 1, 3, 1)) == [(0, 2, 0)] * 2
    assert find_targets(0, Z[:, :1, None]) == [(0, 0)] * 2


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "out of range for an output of shape"),
        (-1, "out of range"),
        ([0, 1, 2], "3 targets for 2 samples"),
        (np.array([1]), "1 targets for 2 samples"),
        ("loud", "unknown target 'loud': use an index from 0 to 2; labels: low, middle, high"),
        ("7", "unknown target '7'"),
        ((0, 1), r"the output has shape \(3,\) per sample: give a tuple"),
        (1.7, "target 1.7 is not an index, a label or 'argmax'"),
        (None, "target None is not an index"),
        ([0.0, 1.0], "target 0.0 is not an index"),
        (np.array([0.0, 1.0]), "is not an index"),
        ((0.5,), "is not an index"),
    ],
)
def test_a_target_that_is_none_is_refused(target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_targets(target, Z, LABELS)


def test_one_number_is_no_target_in_an_output_of_higher_rank() -> None:
    with pytest.raises(InputError, match=r"has shape \(4, 3\) per sample: give a tuple"):
        find_targets(1, MAPS)


def test_a_label_of_digits_is_the_label_not_the_index() -> None:
    assert find_class("0", ("2", "1", "0"), 3) == 2
    assert find_class("1", (), 3) == 1


def test_without_labels_the_message_says_how_to_give_them() -> None:
    with pytest.raises(InputError, match="no labels"):
        find_class("loud", (), 3)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("logit", [0, 1, 0]),
        ("one", [0, 1, 0]),
        ("contrast", [-0.5, 1, -0.5]),
        ("contrast:0", [-1, 1, 0]),
        ("contrast:high", [0, 1, -1]),
    ],
)
def test_the_seeds_coefficients(kind: str, row: list[float]) -> None:
    c = make_coefficients(kind, [(1,), (1,)], Z, LABELS)
    np.testing.assert_array_equal(c, [row, row])


def test_a_contrast_is_among_the_classes_of_one_place() -> None:
    c = make_coefficients("contrast", [(3, 1), (0, 2)], MAPS)
    want = np.zeros_like(MAPS)
    want[0, 3], want[1, 0] = [-0.5, 1, -0.5], [-0.5, -0.5, 1]
    np.testing.assert_array_equal(c, want)


@pytest.mark.parametrize("kind", ["logit", "contrast", "contrast:low", "one"])
def test_relevance_is_the_output_times_the_multiplier(kind: str) -> None:
    flow = make_seed([(1,), (2,)], kind, Z, LABELS)
    np.testing.assert_allclose(flow.relevance, Z * flow.multiplier, rtol=1e-15)


def test_one_starts_with_one_also_where_the_output_is_zero() -> None:
    flow = make_seed([(0,), (1,)], "one", np.zeros((2, 2)))
    np.testing.assert_array_equal(flow.relevance, np.eye(2))
    np.testing.assert_array_equal(flow.multiplier, np.zeros((2, 2)))


def test_a_function_gives_the_relevance_itself() -> None:
    flow = make_seed(np.abs, "logit", Z)
    np.testing.assert_array_equal(flow.relevance, np.abs(Z))
    np.testing.assert_array_equal(flow.multiplier, np.sign(Z))


def test_a_function_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"array has shape \(2,\), the output \(2, 3\)"):
        make_seed(lambda z: z[:, 0], "logit", Z)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "logits",
            "unknown seed 'logits': did you mean 'logit'. choose one of logit, contrast, one",
        ),
        ("", "unknown seed ''"),
        ("logit:1", "unknown seed 'logit:1'"),
        ("contrast:loud", "unknown target 'loud'"),
        ("contrast:3", "unknown target '3'"),
    ],
)
def test_a_seed_that_is_none_is_refused(kind: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_seed([(1,), (1,)], kind, Z, LABELS)


@pytest.mark.parametrize("z", [Z[:, :1], Z[:, 0]])
def test_a_contrast_needs_two_classes(z: Real) -> None:
    indices = [(0,) * (z.ndim - 1)] * 2
    with pytest.raises(InputError, match="at least two classes"):
        make_seed(indices, "contrast", z)
