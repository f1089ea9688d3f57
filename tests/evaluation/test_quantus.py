"""Measures that Quantus has, too, have its values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from needed import absent, needed

from dftlrp import metrics

needed("quantus")
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import quantus
except (ImportError, RuntimeError) as error:  # its own peers may not fit
    absent("quantus", f"quantus cannot be imported ({error})")

pytestmark = pytest.mark.filterwarnings("ignore")

PLAIN: dict[str, Any] = {"disable_warnings": True, "normalise": False, "display_progressbar": False}


def drawn(seed: int, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Relevance and truth, (1, size, size)."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((1, size, size)), rng.random((1, size, size)) < 0.3


def theirs(measure: Any, R: np.ndarray, truth: np.ndarray) -> float:
    """What Quantus says of one sample."""
    found = measure(
        model=None, x_batch=np.zeros_like(R)[None], y_batch=np.array([0]), a_batch=R[None],
        s_batch=truth[None], device="cpu",
    )  # fmt: skip
    return float(np.asarray(found).reshape(-1)[0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (metrics.relevance_rank_accuracy, "RelevanceRankAccuracy"),
        (metrics.relevance_mass_accuracy, "RelevanceMassAccuracy"),
        (metrics.pointing_game, "PointingGame"),
    ],
)
def test_localisation_agrees(ours, name, seed):
    R, truth = drawn(seed)
    measure = getattr(quantus, name)(abs=True, **PLAIN)
    assert ours(R, truth) == pytest.approx(theirs(measure, R, truth), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("ours", "name"), [(metrics.complexity, "Complexity"), (metrics.sparseness, "Sparseness")]
)
def test_complexity_agrees(ours, name, seed):
    R, truth = drawn(seed)
    measure = getattr(quantus, name)(abs=True, **PLAIN)
    assert ours(R) == pytest.approx(theirs(measure, R, truth), abs=1e-5)
