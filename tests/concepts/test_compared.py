"""Neurons of a data set whose recordings are compared with silence or with other recordings."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import soundfile
from dataset import folder, tone
from models import LABELS

import dftlrp
from dftlrp.cli import main
from dftlrp.concepts import masks_through, prototypes, survey
from dftlrp.concepts.neuron_analysis import neurons
from dftlrp.concepts.neuron_sound import Survival, describe_survival
from dftlrp.concepts.recordings import find_recordings
from dftlrp.concepts.study import Study, name_references, read_sample
from dftlrp.concepts.survey import settle_study
from dftlrp.concepts.trials import ablations
from dftlrp.core.types import InputError
from dftlrp.results.masking import keep_relevant

EXACT = {"backend": "numpy", "composite": "EpsilonGamma"}
ASKED = {
    "silence": ("silence",), "one": ("a.wav",), "two": ("a.wav", "b.wav"),
    "mean": ("mean", "a.wav", "b.wav"),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set, its model, and two recordings beside it."""
    where = tmp_path_factory.mktemp("compared")
    folder(where)
    soundfile.write(where / "a.wav", tone(700, 1), 8000)
    soundfile.write(where / "b.wav", tone(90, 2, 300), 8000)  # silence is put behind it
    return where


@pytest.fixture(scope="module", params=ASKED)
def found(request, place):
    asked = [n if n in {"silence", "mean"} else str(place / n) for n in ASKED[request.param]]
    study = Study(
        str(place / "m.onnx"), "conv2", 8000.0, 3, reference=name_references(asked), **EXACT
    )
    recordings = find_recordings(place / "data", 3, LABELS, rate=8000.0)
    return survey(study, recordings, place / f"store-{request.param}")


def by_hand(found, place, item):
    """Relevance of the layer (concept, position), at the input, and the change of the score."""
    read = {n: soundfile.read(place / n)[0] for n in ("a.wav", "b.wav")}
    a, b = (np.pad(x, (0, 400 - len(x)))[None, None] for x in read.values())
    names = tuple(n if n in {"silence", "mean"} else n[-5:] for n in found.study.reference)
    points = {
        ASKED["silence"]: [0 * a], ASKED["one"]: [a], ASKED["two"]: [a, b],
        ASKED["mean"]: [(a + b) / 2],
    }[names]  # fmt: skip
    model = found.study.loaded()
    x, c = soundfile.read(item.path)[0][None, None], item.index
    each = [
        dftlrp.attribute(model, x, target=c, keep=["conv2"], reference=r, **EXACT) for r in points
    ]
    score = [float(dftlrp.predict(model, r, backend="numpy").explained[0, c]) for r in points]
    return (
        np.mean([e.kept["conv2"][1][0] for e in each], axis=0),
        np.mean([e.relevance for e in each], axis=0),
        float(each[0].explained[0, c]) - np.mean(score),
    )


def test_statistics_are_those_of_the_differences(found, place):
    rows = [by_hand(found, place, item) for item in found.recordings.items]
    classes = np.array([item.index for item in found.recordings.items])
    mean = {m: found.statistics.measure(m)[0] for m in ("relevance", "absolute", "peak")}
    share = [R.sum() / np.abs(R).sum() for _, R, _ in rows]
    for c in range(3):
        own = [rows[i] for i in np.flatnonzero(classes == c)]
        at_layer = np.array([R for R, _, _ in own])
        np.testing.assert_allclose(mean["relevance"][c], at_layer.sum(2).mean(0), atol=1e-12)
        np.testing.assert_allclose(mean["absolute"][c], abs(at_layer).sum(2).mean(0), atol=1e-12)
        np.testing.assert_allclose(mean["peak"][c], at_layer.max(2).mean(0), atol=1e-12)
        change = np.mean([d for _, _, d in own])
        assert mean["relevance"][c].sum() == pytest.approx(change, rel=1e-4)
        wanted = np.mean([share[i] for i in np.flatnonzero(classes == c)])
        assert found.statistics.spectrum.mean[c, 0].sum() == pytest.approx(wanted, abs=1e-10)
        assert found.statistics.map.mean[c].sum() == pytest.approx(wanted, abs=1e-10)


def test_a_prototype_is_explained_as_a_difference_of_which_nothing_is_lost(found, place):
    some = prototypes(found, 2, count=2)
    assert some
    for p in some:
        item = next(i for i in found.recordings.items if i.name == p.name)
        R = by_hand(found, place, item)[0][2].sum()
        assert p.value == pytest.approx(R, abs=1e-12)
        assert p.through == pytest.approx(R, abs=1e-12)
        assert p.dissipation == pytest.approx(1, abs=1e-3)
        assert p.explanation.relevance["time-frequency"].sum() == pytest.approx(R, rel=1e-3)


def test_relevance_beside_the_effect_is_that_of_the_difference(found, place, tmp_path):
    checks, failures = ablations(found, [1], tmp_path)
    assert not failures
    own = [i for i in found.recordings.items if i.index == 1]
    R = np.mean([by_hand(found, place, i)[0].sum(1) for i in own], axis=0)
    np.testing.assert_allclose(checks[1].relevance, R[checks[1].concepts], atol=1e-12)


@pytest.mark.slow
def test_the_command_compares_and_says_so(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    asked = ["neurons", "m.onnx", "data", "--layer", "conv2", "--top", "1", "--prototypes", "1"]
    asked += ["--composite", "EpsilonGamma", "--class", "low", "--out", "out"]
    assert main([*asked, "--reference", "silence", "a.wav"]) == 0
    page = (place / "out/report.html").read_text()
    assert "silence, a.wav" in page
    soundfile.write("a.wav", tone(701, 1), 8000)
    capsys.readouterr()
    assert main([*asked, "--reference", "silence", "a.wav"]) == 2
    assert "reference has changed" in capsys.readouterr().err
    soundfile.write("a.wav", tone(700, 1), 8000)


def test_arrays_and_files_that_are_not_there_are_refused(place, tmp_path):
    asked = {"layer": "conv2", "folder": tmp_path / "out"}
    with pytest.raises(InputError, match="sound files, not arrays"):
        neurons(place / "m.onnx", place / "data", reference=np.zeros(400), **asked)
    with pytest.raises(InputError, match="'noise' differs from recording to recording"):
        neurons(place / "m.onnx", place / "data", reference="noise", **asked)
    with pytest.raises(InputError, match=r"nowhere\.wav: no such file"):
        neurons(place / "m.onnx", place / "data", reference="nowhere.wav", **asked)


def test_what_equals_its_reference_is_skipped(place, tmp_path):
    first = place / "data/low/0.wav"
    study = Study(
        str(place / "m.onnx"), "conv2", 8000.0, 3, reference=name_references(first), **EXACT
    )
    items = find_recordings(place / "data", 3, LABELS, rate=8000.0)
    found = survey(study, items, tmp_path / "store")
    ((name, why),) = found.skipped
    assert name == "low/0.wav"
    assert "the recording itself" in why
    with pytest.raises(InputError, match="the recording itself"):
        read_sample(study.loaded(), study, str(first))


def test_masks_are_of_the_layers_that_a_difference_has(place):
    model, clip = dftlrp.load(place / "m.onnx"), place / "data/low/0.wav"
    (mask,) = masks_through(model, clip, {"conv2": [1]}, reference="silence").values()
    assert mask is not None
    assert mask.sum() == 1


def test_what_is_left_of_a_neuron_is_what_the_model_makes_of_its_sound(found, place):
    model, concepts = found.study.loaded(), found.layers.concepts("conv2")
    for p in prototypes(found, 2, count=2):
        e, x = p.explanation, p.explanation.signal["time"]
        kept = keep_relevant(e, x)
        parts = [v * np.sqrt((x**2).sum() / (v**2).sum()) for v in (x, kept, x - kept)]
        answers = [
            dftlrp.attribute(model, v[None, None], target=0, keep=["conv2"], **EXACT) for v in parts
        ]
        active = [
            float(np.maximum(concepts.per_concept(a.kept["conv2"][0])[0, 2], 0).sum())
            for a in answers
        ]
        best = [int(a.explained[0].argmax()) for a in answers]
        assert p.survival.active_in == pytest.approx(active[1] / active[0], rel=1e-5)
        assert p.survival.active_out == pytest.approx(active[2] / active[0], rel=1e-5)
        assert p.survival[:2] == (best[1] == best[0], best[2] == best[0])


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (
            (1.0, 0.0, 0.9, 0.1),
            "same answer for this sound, and no longer for the rest. The neuron",
        ),
        (
            (1.0, 1.0, 0.9, 0.1),
            "but for the rest as well. The neuron is 90 % as active in it as in",
        ),
        ((0.0, 0.0, np.nan, np.nan), "neither for this sound nor for the rest."),
        ((0.0, 1.0, 0.0, 1.0), "another answer for this sound, and the same for the rest."),
        (
            (np.nan, np.nan, 0.5, 0.25),
            "The neuron is 50 % as active in it as in the recording, and 25 %",
        ),
        ((np.nan,) * 4, ""),
    ],
)
def test_what_is_left_is_said(left, says):
    said = describe_survival(Survival(*left))
    assert says in said
    assert said or np.isnan(left).all()
    assert "nan" not in said


def test_what_is_left_open_is_settled_by_a_recording_that_is_not_silent(place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    soundfile.write(tmp_path / "data/high/-first.wav", np.zeros(400), 8000)
    items = find_recordings(tmp_path / "data", 3, LABELS, rate=8000.0).items
    assert items[0].name == "high/-first.wav"
    study, layers = settle_study(Study(str(place / "m.onnx"), "conv2", 8000.0, 3), items)
    assert (study.composite, study.reference) == ("EpsilonGamma", ("silence",))
    assert layers.concepts("conv2").count == 6
    named = Study(str(place / "m.onnx"), "conv2", 8000.0, 3, composite="EpsilonPlus")
    assert settle_study(named, items)[0].reference == ("none",)


def test_to_predict_towards_what_is_left_open_is_refused(place):
    with pytest.raises(InputError, match="reference 'auto': give an array"):
        dftlrp.predict(place / "m.onnx", np.zeros((1, 1, 400)), reference="auto")
