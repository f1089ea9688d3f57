"""Localisation and complexity: laws, and agreement with Quantus."""

from __future__ import annotations

import numpy as np
import pytest

from dftlrp import metrics
from dftlrp.core.types import InputError

LOCAL = (
    metrics.relevance_rank_accuracy,
    metrics.relevance_mass_accuracy,
    metrics.pointing_game,
)
SPREAD = (metrics.cancellation, metrics.complexity, metrics.sparseness)


def drawn(seed=0, shape=(6, 5)):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.random(shape) < 0.4


@pytest.mark.parametrize("measure", LOCAL)
def test_a_mask_that_is_the_truth_is_located_perfectly(measure):
    _, truth = drawn()
    assert measure(truth.astype(float), truth) == 1.0
    assert measure((~truth).astype(float), truth) == 0.0


@pytest.mark.parametrize("measure", LOCAL)
def test_equal_relevance_has_the_share_of_the_truth(measure):
    _, truth = drawn()
    assert measure(np.ones(truth.shape), truth) == pytest.approx(truth.mean())


@pytest.mark.parametrize("measure", LOCAL)
@pytest.mark.parametrize("kind", ["absolute", "positive", "signed"])
def test_localisation_does_not_depend_on_the_scale_of_relevance(measure, kind):
    R, truth = drawn()
    assert measure(R, truth, kind) == pytest.approx(measure(1e-6 * R, truth, kind))


def test_the_kinds_of_relevance_count_what_they_say():
    R, truth = np.array([3.0, -4.0, 1.0]), np.array([True, False, False])
    assert metrics.relevance_mass_accuracy(R, truth) == 3 / 8
    assert metrics.relevance_mass_accuracy(R, truth, "positive") == 3 / 4
    assert metrics.pointing_game(R, truth) == 0
    assert metrics.pointing_game(R, truth, "signed") == 1


@pytest.mark.parametrize("measure", SPREAD)
def test_complexity_does_not_depend_on_the_scale_of_relevance(measure):
    R, _ = drawn()
    assert measure(-1e-9 * R) == pytest.approx(measure(R))


def test_one_cell_and_equal_cells_are_the_ends_of_entropy_and_gini():
    one, equal = np.eye(8)[3], np.full(8, 0.7)
    assert metrics.complexity(one) == 0
    assert metrics.complexity(equal) == pytest.approx(np.log(8))
    assert metrics.sparseness(one) == pytest.approx(1 - 1 / 8)
    assert metrics.sparseness(equal) == pytest.approx(0, abs=1e-12)


def test_cancellation_is_one_without_opposite_signs_and_infinite_where_all_cancels():
    assert metrics.cancellation(np.array([1.0, 2.0])) == 1
    assert metrics.cancellation(np.array([3.0, -1.0])) == 2
    assert metrics.cancellation(np.array([1.0, -1.0])) == np.inf
    assert np.isnan(metrics.cancellation(np.zeros(3)))


def test_gini_is_the_mean_difference_of_all_pairs():
    R = np.abs(drawn()[0]).reshape(-1)
    pairs = np.abs(R[:, None] - R).sum() / (2 * len(R) * R.sum())
    assert metrics.sparseness(R) == pytest.approx(pairs)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: metrics.pointing_game(np.ones(3), np.ones(4)), "truth has shape (4,)"),
        (lambda: metrics.pointing_game(np.ones(3), np.zeros(3)), "the truth is empty"),
        (lambda: metrics.pointing_game(np.ones(3), np.ones(3), "odd"), "'odd': choose one of"),
        (lambda: metrics.pointing_game(np.full(3, np.inf), np.ones(3)), "not finite"),
        (lambda: metrics.complexity(np.array([np.nan])), "not finite"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert said in str(caught.value)
