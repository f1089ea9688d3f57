"""Every real model, explained for its main output on a real recording (see benchmarks/)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dftlrp
from dftlrp.attribution.attribute import predict
from dftlrp.engine.composites import PRESETS

pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import real_models
from real_inputs import Shared
from real_recipes import RECIPES
from real_words import WHY

SLOW = {"basic_pitch_nmp", "gtcrn", "plcmos_v2", "brainmaze_seizure_a"}  # seconds each
QUICK = {"families/M5_ts", "families/TransformerEnc_relu__ts", "mlperf_streaming_wakeword"}
NOTHING = {  # a layer whose weights are all negative; no derivative by a whole number
    ("swift_f0", "EpsilonPlus"),
    ("swift_f0", "EpsilonPlusFlat"),
    ("magika", "Gradient"),
}
MODELS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in RECIPES]
WITH_PRESETS = [
    pytest.param(name, preset, marks=() if name in QUICK else pytest.mark.slow)
    for name in RECIPES
    for preset in PRESETS
]


@pytest.fixture(scope="module")
def folders(shared: Path) -> Shared:
    return Shared(shared / "models", shared / "data")


def test_every_real_model_has_a_recipe(folders):
    there = {p.relative_to(folders.models).with_suffix("") for p in folders.models.rglob("*.onnx")}
    assert {p.as_posix() for p in there} == set(RECIPES)


@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_is_explained_on_a_real_recording(folders, name):
    recipe, model = RECIPES[name], dftlrp.load(folders.models / f"{name}.onnx")
    arrays = recipe.arrays(folders)
    result, row = real_models.explain_model(recipe, model, arrays, "auto")
    assert result.ledger.gap < 1e-8
    assert row["closure"] < 1e-8
    assert sum(row["ends"].values()) == pytest.approx(1)
    assert real_models.measure_lost(row) <= real_models.LIMIT or name in WHY
    assert all(np.any(r) for r in result.relevance.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_output_of_a_real_model_agrees_with_onnxruntime(folders, name):
    model = dftlrp.load(folders.models / f"{name}.onnx")
    signals, bound = RECIPES[name].arrays(folders)
    for output, expected in folders.run(name, signals | bound).items():
        y = predict(model, signals, bind=bound, output=output, backend="numpy").output
        assert y.shape == expected.shape
        assert np.abs(y - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "preset"), WITH_PRESETS)
def test_no_relevance_of_a_real_model_is_lost_under_any_preset(folders, name, preset):
    recipe, model = RECIPES[name], dftlrp.load(folders.models / f"{name}.onnx")
    result, row = real_models.explain_model(recipe, model, recipe.arrays(folders), preset)
    assert row["gap"] < 1e-8
    assert row["closure"] < 1e-8
    reached = any(np.any(r) for r in result.relevance.values())
    assert reached == ((name, preset) not in NOTHING)


# -- the command's own arithmetic


def test_the_walk_follows_relevance_to_its_ends_in_proportion_to_absolute_amounts():
    def node(output: str, *inputs: str) -> Any:
        return real_models.Step(output, output, "Add", inputs)

    walk = real_models.Walk("z", ("x",))
    walk.note(node("z", "a", "b"), [3.0, 1.0], {"bias": 4.0, "stabiliser": 0.0, "stopped": 0.0})
    walk.note(node("b", "x"), [0.0], {"bias": 0.0, "stabiliser": 5.0, "stopped": 5.0})
    walk.note(node("a", "x"), [100.0], {"bias": 0.0, "stabiliser": 0.0, "stopped": 0.0})
    ends, lost = walk.ends()
    want = {"input": 3 / 8, "bias": 1 / 2, "stabiliser": 1 / 16, "stopped": 1 / 16}
    assert ends == want | {"reference": 0.0}
    assert lost["b", "Add"] == 1 / 8
