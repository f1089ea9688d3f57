"""Which setting of a front end is off: named, on a real recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from features import compute
from models import model, saved, value
from onnx import helper

import dftlrp
from dftlrp.assets import embedded
from dftlrp.attribution import frontend_check
from dftlrp.attribution.frontend_check import check_features
from dftlrp.attribution.recording import fit, from_array
from dftlrp.cli import main
from dftlrp.core.types import InputError
from dftlrp.graph.frontend import FrontEnd

WHOLE, RATE = soundfile.read(embedded("clip"))
CLIP = WHOLE[1400:4600]  # whose ends are no silence
FE = FrontEnd(
    RATE, n_fft=256, win_length=200, hop=80, n_mels=32, log="db", floor=1e-8, mean=-40.0, std=20.0,
    layout=("batch", 1, "frequency", "time"),
)  # fmt: skip
BARE = replace(FE, mean=None, std=None)
SINGLE = {  # what was declared wrongly: the setting that is named, what computed the features
    "hop": ("hop", {"hop": 64}),
    "mel scale": ("mel_scale", {"mel_scale": "htk"}),
    "norm": ("mel_norm", {"mel_norm": None}),
    "log kind": ("log", {"log": "ln"}),
    "floor": ("floor", {"floor": 3e-5}),
    "amplitude": ("amplitude", {"amplitude": "int16"}),
    "window": ("window", {"window": "hamming"}),
    "padding": ("center", {"pad_mode": "reflect"}),
    "centre": ("center", {"center": False}),
    "power": ("power", {"power": 1.0}),
    "normalised": ("normalise", {"normalise": "feature"}),
    "pre-emphasis": ("preemphasis", {"preemphasis": 0.97}),
}
TWO = {
    ("mel_scale", "mel_norm"): {"mel_scale": "htk", "mel_norm": None},
    ("hop", "log"): {"hop": 64, "log": "ln"},
    ("amplitude", "log"): {"amplitude": "int16", "log": "log10"},
    ("floor", "window"): {"floor": 3e-5, "window": "hamming"},
    ("floor", "mean and std"): {"floor": 3e-5, "mean": -30.0, "std": 15.0},
    ("hop", "mean and std"): {"hop": 64, "mean": np.arange(32.0) - 50, "std": 1 + np.arange(32.0)},
}


@pytest.fixture(scope="module")
def mel_model(tmp_path_factory):
    """A model of one dense layer on 32 mel bands, of any number of frames."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2, 3], keepdims=0)
    proto = model([node], [value("x", ["n", 1, 32, "t"])], [value("y", ["n"])])
    return saved(proto, tmp_path_factory.mktemp("mel"))


def made(fe, samples=CLIP):
    """Features as another program makes them, in float32."""
    return compute(fe, samples).astype(np.float32)


def check(path, declared, features, clip=CLIP):
    return dftlrp.check_frontend(path, clip, features, frontend=declared, rate=RATE)


def test_a_right_declaration_agrees(mel_model):
    found = check(mel_model, FE, made(FE))
    assert found.ok
    assert found.error < 1e-6
    assert str(found) == f"the front end computes these features: they agree to {found.error:.1g}"


@pytest.mark.parametrize("case", SINGLE)
def test_one_wrong_setting_is_named_with_its_right_value(mel_model, case):
    setting, how = SINGLE[case]
    true = replace(BARE, **how)
    found = check(mel_model, BARE, made(true))
    assert found.settings == (setting,)
    assert found.found_error < 1e-5
    assert found.found == true
    for key, right in how.items():
        shown = str(right).lower() if isinstance(right, bool) else right
        assert f"{key} is " in str(found)
        assert str("none" if right is None else shown) in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("settings", TWO, ids=" and ".join)
def test_two_wrong_settings_are_named(mel_model, settings):
    true = replace(BARE, **TWO[settings])
    found = check(mel_model, BARE, made(true))
    assert sorted(found.settings) == sorted(settings)
    np.testing.assert_allclose(compute(found.found, CLIP), compute(true, CLIP), atol=1e-3)


def test_mean_and_deviation_that_were_not_declared_are_found_and_those_that_are_too_many():
    for declared, true in ((BARE, FE), (FE, BARE)):
        found = check_features(declared, from_array(CLIP, RATE), made(true)[0])
        assert found.settings == ("mean and std",)
        assert (found.found.mean, found.found.std) == (true.mean, true.std)


def test_a_wrong_rate_is_told_from_filters_for_another_rate(mel_model):
    """A recording that was resampled, and one whose samples were taken for those of a rate."""
    other = replace(FE, rate=16000.0)
    resampled = fit(from_array(CLIP, RATE), 16000).samples
    found = check(mel_model, FE, made(other, resampled))
    assert (found.settings, found.found.rate) == (("rate",), 16000)
    assert "rate is 16000.0, not 8000.0" in str(found)
    found = check(mel_model, FE, made(other))
    assert found.settings == ("rate",)
    assert "samples at 8000 Hz were taken for samples at 16000 Hz" in str(found)
    found = check(mel_model, other, made(other))  # declared, but not resampled to it
    assert found.settings == ("rate",)
    assert "samples at 8000 Hz were taken for samples at 16000 Hz" in str(found)


def test_transposed_features_are_a_wrong_layout(mel_model):
    found = check(mel_model, FE, made(FE).swapaxes(1, 2))
    assert found.settings == ("layout",)
    assert "another order than layout says" in str(found)


def test_features_of_a_part_of_the_clip_are_compared_where_both_are(mel_model):
    whole = made(FE)[0]
    found = check(mel_model, FE, whole[:, 7:40])
    assert found.ok
    assert f"33 frames, the clip has {whole.shape[1]}, and begin 7 frames later" in str(found)


@pytest.mark.parametrize("frames", [21, 61])
def test_features_as_long_as_the_model_reads_are_those_of_the_start_of_the_clip(tmp_path, frames):
    """Cut, or with silence behind it, as many pipelines prepare a clip."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2, 3], keepdims=0)
    path = saved(model([node], {"x": ["n", 1, 32, frames]}, {"y": ["n"]}), tmp_path)
    count = FE.length(frames)
    samples = np.pad(CLIP, (0, max(0, count - len(CLIP))))[:count]
    found = check(path, replace(FE, log="ln"), made(FE, samples))
    assert found.settings == ("log",)
    assert found.found_error < 1e-6
    assert f"the first {count} samples were taken" in str(found)


def test_what_is_no_front_end_is_said_to_be_none(mel_model):
    noise = np.random.default_rng(0).normal(size=made(FE).shape)
    small = replace(BARE, n_mels=32)
    search = frontend_check._Search(small, from_array(CLIP, RATE), noise[0])
    search._list_stages = lambda singles: [[search.measure((c,)) for c in singles]]  # quicker
    found = search.find()
    assert not found.ok
    assert found.found is None
    assert "no usual value of one setting or of two makes them agree" in str(found)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.zeros((32, 72)), "all the same number"),
        (np.full((32, 72), np.nan), "hold nan"),
        (np.array(["a"]), "give numbers"),
        (np.ones((2, 32, 72)) * np.arange(72), "2 axes are needed"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(mel_model, features, words):
    with pytest.raises(InputError, match=words):
        check(mel_model, FE, features)


def test_the_command_says_what_is_off_and_ends_with_1(mel_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", made(replace(FE, hop=64)))
    (tmp_path / "x.toml").write_text(FE.to_text())
    soundfile.write("clip.wav", CLIP, RATE, subtype="DOUBLE")
    command = ["frontend", "check", str(mel_model), "clip.wav", "--frontend", "x.toml"]
    assert main([*command, "--features", "mine.npy"]) == 1
    assert "hop is 64, not 80: with it the features agree to" in capsys.readouterr().out
    assert main([*command, "--features", "mine.npy", "-o", "x.toml"]) == 2
    assert main([*command, "--features", "mine.npy", "-o", "right.toml"]) == 1
    assert FrontEnd.from_toml("right.toml") == replace(FE, hop=64)
    assert "x.toml: is there already" in capsys.readouterr().err
    np.save("mine.npy", made(FE))
    assert main([*command, "--features", "mine.npy"]) == 0
    (tmp_path / "text.npy").write_text("1 2 3")
    assert main([*command, "--features", "text.npy"]) == 2
    assert "text.npy: not a NumPy file (.npy)" in capsys.readouterr().err
    assert main([*command[:4], "--features", "mine.npy"]) == 2
    assert "has no front end to check: give one (--frontend)" in capsys.readouterr().err


def test_a_declaration_to_start_from_lies_beside_the_model_and_replaces_nothing(
    mel_model, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "kws.onnx"
    path.write_bytes(mel_model.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["frontend", "init", "kws.onnx", "--like", "librosa"]) == 0
    assert FrontEnd.from_toml("kws.toml").n_mels == 32
    assert main(["frontend", "init", "kws.onnx", "--like", "kaldi"]) == 2
    assert "kws.toml: is there already; --force replaces it" in capsys.readouterr().err
    assert main(["frontend", "init", "kws.onnx", "--like", "kaldi", "--force"]) == 0
    assert FrontEnd.from_toml("kws.toml").window == "povey"
    assert main(["explain", "kws.onnx", str(embedded("clip")), "--domains", "time"]) == 0
