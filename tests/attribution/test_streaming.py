"""Laws of streams: what the file says at a moment of a recording is explained."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from graphs import normal
from models import saved
from ops.oracle import session
from streaming_models import (
    CHUNK,
    CONTEXT,
    limited,
    on_frames,
    remembering,
    run_by_hand,
    summing,
)

import dftlrp
from dftlrp.cli import main
from dftlrp.core.types import InputError
from dftlrp.tracing.recognition import Rates, recognise_inputs

RATE = 100.0
X = normal(20 * CHUNK)
STEP = CHUNK / RATE


@pytest.fixture
def load(tmp_path):
    return lambda proto: dftlrp.load(saved(proto, tmp_path), rate=RATE)


@pytest.fixture
def model(load):
    return load(remembering("state", "stateN", end="Softmax")).streaming(context=CONTEXT)


def explain(model, **asked):
    return dftlrp.explain(model, X, domains=["time"], **asked)


def sum_all(e):
    kept = e.relevance["time"].sum() + e.rest["time"]
    terms = ("bias", "stabiliser", "stopped", "reference")
    return kept + sum(float(e.ledger.absorbed(term).sum()) for term in terms)


def run(model):
    proto = remembering("state", "stateN", end="Softmax")
    return run_by_hand(proto, X[None], {"state": "stateN"})[0][0]


@pytest.mark.parametrize("target", [0, 1, "argmax"])
def test_the_moment_is_the_one_where_the_target_is_strongest(model, target):
    ys = run(model)
    e = explain(model, target=target)
    first, last = e.provenance["stream"]["explained"]
    scores = ys.max(axis=-1) if target == "argmax" else ys[:, target]
    assert last == scores.argmax()
    np.testing.assert_allclose(e.output, ys[last], rtol=1e-9)
    assert "the final Softmax is left out" in " ".join(e.notes)
    assert first == 0


@pytest.mark.parametrize("reference", ["silence", "none"])
@pytest.mark.parametrize("window", [4 * STEP, 9.0])
def test_a_time_and_a_window_say_which_chunks_are_explained(model, reference, window):
    at = 12.5 * STEP
    e = explain(model, at=at, window=window, reference=reference, target=0)
    ys = run(model)
    first, last = e.provenance["stream"]["explained"]
    assert last == 12
    assert first == max(0, 12 + 1 - round(window / STEP))
    np.testing.assert_allclose(e.output, ys[12], rtol=1e-9)
    begin = round(e.start * RATE)
    R = np.zeros(X.size)
    R[begin : begin + e.relevance["time"].size] = e.relevance["time"]
    assert R[first * CHUNK : 13 * CHUNK].any()
    assert not R[: max(0, first * CHUNK - CONTEXT)].any()
    assert not R[13 * CHUNK :].any()
    seed = e.ledger.rows[0].relevance.sum()
    np.testing.assert_allclose(sum_all(e), seed, rtol=1e-9)
    assert any("which stays as it is" in note for note in e.notes) == (first > 0)
    if reference == "silence":  # after the same past: what it remembers has no part in it
        quiet = run_silence(first)
        logits = np.log(ys[12] / quiet)
        np.testing.assert_allclose(seed, logits[0] - logits[1], rtol=1e-6)


def run_silence(first):
    """What it says at chunk 12 if from the chunk ``first`` on there is silence."""
    proto = remembering("state", "stateN", end="Softmax")
    start = max(0, first * CHUNK - CONTEXT) if first else 0
    x = np.where(np.arange(X.size) < start, X, 0)
    _, before = run_by_hand(proto, X[None], {"state": "stateN"})
    model, states = session(proto), before[first]
    padded = np.pad(x, (CONTEXT, 0))
    for k in range(first, 13):
        part = padded[None, k * CHUNK : (k + 1) * CHUNK + CONTEXT]
        y, after = model.run(["y", "stateN"], {"x": part, **states})
        states = {"state": after}
    return y[0]


def test_a_timeline_has_what_is_said_of_every_chunk(model):
    ys = run(model)
    found = dftlrp.explain_recording(model, X, target=1, top=3, window=4 * STEP, domains=["time"])
    np.testing.assert_allclose(found.outputs, ys, rtol=1e-6)
    np.testing.assert_allclose(found.scores, ys[:, 1], rtol=1e-9)
    np.testing.assert_allclose(found.starts, np.arange(20) * STEP)
    chunks = [e.provenance["stream"]["explained"][1] for e in found]
    assert chunks[0] == ys[:, 1].argmax()
    assert all(abs(a - b) >= 4 for i, a in enumerate(chunks) for b in chunks[:i])
    assert f"{chunks[1] * STEP:.2f} s  1: {ys[chunks[1], 1]:.4g}" in str(found)
    later = dftlrp.explain_recording(model, X, start=0.5, stop=0.8, top=1, domains=["time"])
    assert later.starts[0] >= 0.5 - STEP / 2
    assert later[0].provenance["stream"]["explained"][1] in range(8, 14)
    with pytest.raises(InputError, match="hop"):
        dftlrp.explain_recording(model, X, hop=0.1)


def test_everything_that_was_taken_is_said(model):
    notes = "\n".join(explain(model, at=0.3).notes)
    assert "state 'state' (its next value is 'stateN', by name and shape; tried: the" in notes
    assert f"signal 'x': {CHUNK} samples and {CONTEXT} before them in each run" in notes
    assert "explained at 0.330 s (chunk 6 of 20), as asked for" in notes


def test_what_reads_a_recording_at_once_is_explained_as_a_whole(load):
    e = explain(load(summing()), target=50, reference="none", composite="Epsilon")
    np.testing.assert_allclose(
        e.relevance["time"], np.where(np.arange(X.size) <= 50, X, 0), rtol=1e-6
    )
    assert any("state 'h'" in note for note in e.notes)
    with pytest.raises(InputError, match="the model reads any length"):
        explain(load(summing()), at=0.1)


def test_settings_are_bound_and_said(load):
    e = dftlrp.explain(load(limited()), X[:8], domains=["time"])
    assert {"setting 'fmin' is 50", "setting 'fmax' is 400", "setting 'sr' is 100"} == {
        note.partition(",")[0] for note in e.notes if note.startswith("setting")
    }
    other = dftlrp.explain(load(limited()), X[:8], domains=["time"], bind={"fmin": 300})
    assert np.count_nonzero(other.output) == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"at": 1.3}, "the recording ends at 1.200 s"),
        ({"at": -1.0}, "at -1 s"),
        ({"at": 0.1, "window": 0.0}, "window 0.0"),
    ],
)
def test_a_time_that_is_not_there_is_refused(model, asked, words):
    with pytest.raises(InputError, match=words):
        explain(model, **asked)


def test_the_command_line_explains_a_stream_or_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dftlrp.results.saving.render", lambda *_: "")
    saved(remembering("state", "stateN"), tmp_path, "m.onnx")
    saved(remembering("state", "stateN", chunk=None), tmp_path, "open.onnx")
    soundfile.write("a.wav", 0.1 * X, 8000)
    assert main(["explain", "open.onnx", "a.wav"]) == 2
    said = capsys.readouterr()
    command = "dftlrp explain open.onnx RECORDING --state state=stateN --chunk 512"
    assert command in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "dftlrp-out").exists()
    options = command.split()[4:-1]
    assert main(["explain", "open.onnx", "a.wav", *options, "6", "--at", "0.01"]) == 0
    assert "explained at 0.010 s (chunk 14 of 20), as asked for" in capsys.readouterr().out
    asked = ["--context", "2", "--target", "0", "--versus", "1"]
    assert main(["explain", "m.onnx", "a.wav", *asked]) == 0
    first, second = (
        dftlrp.Explanation.load(f"dftlrp-out/{name}").provenance["stream"]
        for name in ("explanation.npz", "versus-explanation.npz")
    )
    assert first == second


FRAMES = {"rate": RATE, "n_fft": 16, "hop": 4, "layout": ("batch", "time", "frequency")}
FRONT_ENDS = [
    {}, {"center": False}, {"pad_mode": "reflect", "drop_last": True}, {"normalise": "utterance"},
    {"frame": "window", "win_length": 10, "pad_mode": "symmetric"},
    {"stack": 3, "stack_hop": 2, "n_mels": 3, "fmax": 50.0, "preemphasis": 0.5},
]  # fmt: skip


@pytest.mark.parametrize("declared", FRONT_ENDS)
def test_a_stretch_behind_a_front_end_is_that_of_the_whole_recording(load, monkeypatch, declared):
    fe = dftlrp.FrontEnd(**{**FRAMES, **declared})
    model = load(on_frames(fe.features))
    stream = recognise_inputs(model, {}, Rates(RATE), None, fe).stream
    every = dftlrp.predict(stream.chain(), X[None], backend="numpy").output[0]
    monkeypatch.setattr("dftlrp.attribution.stretches.BLOCK", 3 * stream.step)
    monkeypatch.setattr("dftlrp.tracing.following.MOST_MARKS", 4)
    for k in (0, len(every) // 2, len(every) - 1):
        at = (k + 0.5) * stream.step / RATE + stream.lead / RATE
        e = dftlrp.explain(model, X, frontend=fe, at=max(at, 0), window=2 * stream.step / RATE)
        np.testing.assert_allclose(e.output, every[k].reshape(-1), rtol=1e-9)
        assert e.provenance["stream"]["explained"] == [max(0, k - 1), k]
        assert e.ledger.gap < 1e-12


def test_one_array_for_a_model_with_a_state_is_a_recording(model):
    a = dftlrp.attribute(model, X[None], target=(7, 1), backend="numpy", composite="Epsilon")
    np.testing.assert_allclose(a.output[0], run(model), rtol=1e-12)
    assert a.relevance[0, : 8 * CHUNK].any()
    assert not a.relevance[0, 8 * CHUNK :].any()
    assert "state 'state' (its next value is 'stateN'" in a.notes[0]
    y = dftlrp.predict(model, X[None], backend="numpy").output
    np.testing.assert_array_equal(y, a.output)
    named = {"x": X[None, : CHUNK + CONTEXT], "state": np.zeros((1, 4))}
    assert set(dftlrp.attribute(model, named).relevance) == {"x", "state"}
