"""Experiments on what a model reads, where there is no recording behind it."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Nodes
from models import saved

import dftlrp
from dftlrp.attribution.array_explanation import explain_array
from dftlrp.core.types import InputError
from dftlrp.engine.settings import Question, Settings
from dftlrp.evaluation.experiment import AMPLITUDE, GRADIENT, OCCLUSION, Experiment, make_array_work

SHAPE = (6, 5)
MEAN = np.linspace(-1, 1, 30).reshape(SHAPE)


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """Two scores, each a weighted sum of 30 features and a bias."""
    n = Nodes(3)
    n.add("Flatten", "x", "flat")
    n.gemm("flat", "z", 30, 2)
    model = n.model({"x": ["B", *SHAPE]}, {"z": ["B", 2]})
    return saved(model, tmp_path_factory.mktemp("linear"), "linear.onnx")


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def test_the_score_of_an_array_is_what_was_explained_of_it(linear):
    x, model = draw(0), dftlrp.load(linear)
    e = explain_array(model, x, Settings(reference={"x": MEAN}), Question(1, "contrast"))
    asked = e.find_asked("input")
    change = asked.score(np.stack([x, MEAN]))
    assert e.relevance["input"].sum() == pytest.approx(change[0] - change[1], rel=1e-4)
    assert (e.target, e.domains, e.explained.shape) == (1, ("input",), (2,))


def test_a_method_that_replaces_parts_needs_a_recording(linear):
    with pytest.raises(InputError, match="occlusion"):
        explain_array(dftlrp.load(linear), draw(0), Settings(), Question(), "occlusion")


def test_of_a_linear_model_the_difference_to_a_mean_is_the_best_order_where_that_replaces(linear):
    variants = {
        "against the mean": {"composite": "Epsilon", "reference": MEAN, "seed": "logit"},
        "plain": {"composite": "Epsilon", "reference": "none", "seed": "logit"},
    }
    asked = Experiment(str(linear), variants, {}, ("input",), ("zero", "the mean"),
                       ("faithfulness", "complexity"), arrays={"the mean": MEAN})  # fmt: skip
    found = make_array_work(asked).compare([(i, draw(i), -1) for i in range(3)])
    assert found["skipped"] == {}
    for one in found["recordings"].values():
        cells = one["faithfulness"]["input"]
        by_mean, by_zero = cells["the mean"], cells["zero"]
        best = by_mean[OCCLUSION]["area"]
        assert by_mean["against the mean"]["area"] == pytest.approx(best, rel=1e-3)
        assert by_mean["plain"]["area"] < 0.99 * best
        assert by_mean[AMPLITUDE]["area"] < 0.99 * best
        assert by_zero[GRADIENT]["area"] == pytest.approx(by_zero[OCCLUSION]["area"], rel=1e-3)


def test_what_arrives_at_the_input_is_what_the_bias_leaves(linear):
    variants = {"difference": {"composite": "Epsilon", "reference": MEAN},
                "plain": {"composite": "Epsilon", "reference": "none"}}  # fmt: skip
    asked = Experiment(str(linear), variants, {}, ("input",), ("zero",), ("complexity",))
    found = make_array_work(asked).compare([(0, draw(0), 0)])["recordings"][0]["reached"]
    assert found["difference"] == pytest.approx(1, abs=1e-4)
    assert found["plain"] != pytest.approx(1, abs=1e-2)
