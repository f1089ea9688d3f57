"""The benchmark behind the defaults, on tiny networks (benchmarks/rightness.py)."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from dataset import tone
from models import listener, saved

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import rightness
import rightness_page
from rightness_cases import CASES, WAVE, Case, Trial, make_quake

from dftlrp.evaluation.experiment import AMPLITUDE
from dftlrp.evaluation.summary import Cell, Figure

TINY = "tiny"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The arguments of a run with one tiny model, which the benchmark does not know otherwise."""
    model = saved(listener(), tmp_path, "m.onnx")

    def make(*_):
        items = [(tone(700, take), -1) for take in range(2)]
        return Trial(model, items, common={"rate": 8000.0}, domains=("time",), noise=False)

    for table in (rightness.CASES, rightness_page.CASES):
        monkeypatch.setitem(table, TINY, Case(WAVE, "two tones", make))
    return Namespace(state=tmp_path, models=tmp_path, data=tmp_path, quick=True)


def test_a_model_is_measured_once_and_stands_on_the_page(asked):
    assert rightness.run_case(TINY, asked).startswith("tiny: 2 recordings")
    assert rightness.run_case(TINY, asked) == "tiny: known already"
    page = rightness_page.write_page(asked)
    assert "| CNN on a waveform | " in page
    assert "### tiny" in page
    for name in ("default", "Epsilon, silence", "integrated gradients", AMPLITUDE, "random"):
        assert f"\n| {name} | " in page


def test_what_was_measured_of_other_recordings_does_not_count(asked):
    rightness.run_case(TINY, asked)
    path = asked.state / "tiny.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"identity": "another"}))
    assert rightness.run_case(TINY, asked).startswith("tiny: 2 recordings")


def test_the_identity_hangs_on_model_recordings_and_candidates(asked):
    trial = CASES[TINY].make()
    experiment = rightness.make_experiment(trial, quick=True)
    own = rightness.identify(trial, experiment)
    other = Trial(trial.model, [(x + 1e-9, t) for x, t in trial.items], domains=("time",))
    assert rightness.identify(trial, experiment) == own
    assert rightness.identify(other, experiment) != own
    assert rightness.identify(trial, rightness.make_experiment(other)) != own


@pytest.mark.parametrize(("gain", "error", "verdict"), [
    (-0.5, 0.1, "wins"), (0.5, 0.1, "losses"), (0.1, 0.1, "ties"), (-0.1, 0.1, "ties"),
])  # fmt: skip
def test_two_standard_errors_decide(gain, error, verdict):
    against = {"default": {AMPLITUDE: Figure(gain, error, 9)}}
    cell = Cell("time", "zero", Figure(1, 0.1, 9), 1.0, {}, {}, {}, {}, against)
    assert rightness_page.judge(cell, AMPLITUDE) == verdict


def test_a_made_arrival_is_where_it_says():
    x, p = make_quake(3)
    assert x.shape == (3, 3000)
    assert np.abs(x[2, p + 5 : p + 60]).max() > 4 * np.abs(x[2, :p]).max()


def test_a_pattern_names_models():
    assert rightness.choose_cases("embedded*") == [n for n in CASES if n.startswith("embedded")]
    with pytest.raises(SystemExit, match="choose among"):
        rightness.choose_cases("nothing")
