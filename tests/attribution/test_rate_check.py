"""A model that does not say its rate: the assumption, and what other rates would give."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from models import model, saved
from onnx import helper

import dftlrp
from dftlrp.cli import main
from dftlrp.results.report.sentences import list_warnings

SECONDS = 0.5
TONE = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)  # 1 s at 16 kHz


def tone_model(folder, length="n", **metadata):
    """A model that hears 1 kHz as "tone", if it is given what it was made for: 16 kHz."""
    wave = np.exp(-2j * np.pi * 1000 * np.arange(160) / 16000) / 160
    kernels = np.stack([wave.real, wave.imag])[:, None].astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], strides=[160]),
        helper.make_node("Mul", ["c", "c"], ["q"]),
        helper.make_node("ReduceSum", ["q", "one"], ["p"], keepdims=0),
        helper.make_node("ReduceMean", ["p"], ["m"], axes=[1], keepdims=1),
        helper.make_node("MatMul", ["m", "w"], ["s"]),
        helper.make_node("Add", ["s", "b"], ["y"]),
    ]
    weights = {
        "k": kernels, "one": np.array([1]), "w": np.array([[0.0, 1.0]], np.float32),
        "b": np.array([0.01, 0.0], np.float32),
    }  # fmt: skip
    made = {"labels": '["other", "tone"]', **metadata}
    proto = model(nodes, {"x": [1, 1, length]}, {"y": [1, 2]}, weights, metadata=made)
    return saved(proto, folder)


def explain(path, clip=TONE, **how):
    how = {"rate": 16000, "domains": ["time"], "target": "tone", **how}
    return dftlrp.explain(path, clip, **how)


@pytest.mark.parametrize("length", ["n", 8000])
def test_a_model_without_a_rate_is_warned_of_with_what_other_rates_give(tmp_path, length):
    soundfile.write(tmp_path / "a.wav", TONE, 16000)
    e = explain(tone_model(tmp_path, length), tmp_path / "a.wav", rate=None)
    assumed, depends = list_warnings(e)
    assert assumed == "Assuming 16000 Hz, the file's rate; set --rate if that is wrong"
    assert "at 16000 Hz “tone”" in depends
    for rate in (8000, 22050, 44100, 48000):
        assert f"{rate} Hz “other” (0.01)" in depends
    # an array says nothing of the model either
    assert "at 16000 Hz “tone”" in "".join(explain(tone_model(tmp_path, length)).notes)


def test_a_rate_that_is_known_is_not_doubted(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, 16000)
    given = explain(tone_model(tmp_path), tmp_path / "a.wav", rate=16000)
    stated = explain(tone_model(tmp_path, sample_rate="16000"), tmp_path / "a.wav", rate=None)
    assert list_warnings(given) == list_warnings(stated) == []


def test_slow_signals_and_answers_that_are_alike_are_not_warned_of(tmp_path):
    path = tone_model(tmp_path)
    assert "answer" not in "".join(explain(path, rate=360).notes)
    noise = np.random.default_rng(0).normal(size=16000) * 1e-3
    assert "answer" not in "".join(explain(path, noise, target="other").notes)


def test_the_command_prints_the_warning(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", TONE, 16000)
    path = tone_model(tmp_path)
    out = ["--out", str(tmp_path / "out"), "--domains", "time"]
    assert main(["explain", str(path), str(tmp_path / "a.wav"), *out]) == 0
    assert "its answer depends on it: at 16000 Hz “tone”" in capsys.readouterr().out
