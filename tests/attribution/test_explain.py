"""One recording, one target, every domain: what `explain` promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import reference
import soundfile
from graphs import network
from models import LABELS, listener, model, normal, saved, value
from onnx import TensorProto, helper

import dftlrp
from dftlrp.core.types import DftlrpError, InputError, ModelError
from dftlrp.engine.composites import PRESETS
from dftlrp.graph.frontend import FrontEnd
from dftlrp.results.views import DEFAULT as DOMAINS

RATE = 8000


@pytest.fixture
def small(tmp_path):
    return dftlrp.load(saved(listener(end="Softmax"), tmp_path))


@pytest.fixture
def sound() -> np.ndarray:
    return 0.1 * normal(400, seed=3).astype(np.float64)


def made(tmp_path: Any, *args: Any, **kwargs: Any) -> dftlrp.Model:
    return dftlrp.load(saved(listener(*args, **kwargs), tmp_path))


def notes(e: dftlrp.Explanation) -> str:
    return "; ".join(e.notes)


# -- what comes out


def test_every_domain_has_signal_relevance_and_axes_of_one_shape(small, sound):
    e = reference.explain(small, sound, rate=RATE)
    assert e.domains == DOMAINS
    assert e.signal["time"].shape == e.relevance["time"].shape == e.axes["time"].shape == (400,)
    assert e.relevance["frequency"].shape == e.axes["frequency"].shape == (201,)
    hertz, seconds = e.axes["time-frequency"]
    assert e.relevance["time-frequency"].shape == (len(hertz), len(seconds))
    for d in DOMAINS:
        assert e.signal[d].shape == e.relevance[d].shape
        assert e.relevance[d].dtype == np.float64


def test_axes_are_in_seconds_and_hertz(small):
    n = np.arange(400)
    e = reference.explain(small, np.sin(2 * np.pi * 1000 * n / RATE), rate=RATE)
    np.testing.assert_allclose(e.axes["time"], n / RATE, rtol=1e-12)
    assert e.axes["frequency"][np.argmax(np.abs(e.signal["frequency"]))] == 1000
    hertz, seconds = e.axes["time-frequency"]
    assert hertz[-1] == RATE / 2
    assert abs(hertz[np.abs(e.signal["time-frequency"]).sum(1).argmax()] - 1000) < RATE / 250
    half = e.stft["n_fft"] / 2 / RATE  # frames reach over both ends
    assert -half < seconds[0] <= 0
    assert 400 / RATE <= seconds[-1] < 400 / RATE + half
    np.testing.assert_allclose(np.diff(seconds), e.stft["hop"] / RATE, rtol=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("count", [400, 401])
def test_a_change_of_domain_keeps_the_sum_of_relevance(tmp_path, preset, count):
    of, x = made(tmp_path, (None, 1, None)), normal(count, seed=4).astype(np.float64)
    e = reference.explain(of, x, rate=RATE, composite=preset)
    m = reference.attribute(of, x[None, None], composite=preset, seed="contrast").multiplier
    if m is None:  # flat: no multiplier, so R / x, whose size depends on the smallest sample
        m = e.relevance["time"] / x
    bound = 1e-12 * np.linalg.norm(x) * np.linalg.norm(m)
    total = e.relevance["time"].sum()
    for d in DOMAINS:
        assert abs(e.relevance[d].sum() + e.rest[d] - total) <= bound


def test_time_relevance_is_that_of_attribute(small, sound):
    e = reference.explain(small, sound, rate=RATE, target=1, seed="logit", composite="EpsilonPlus")
    a = reference.attribute(small, sound[None, None], target=1, composite="EpsilonPlus")
    np.testing.assert_array_equal(e.relevance["time"], a.relevance[0, 0])
    np.testing.assert_array_equal(e.output, a.output[0])
    assert e.ledger.gap <= 1e-9
    assert [row.node for row in e.ledger.rows] == [row.node for row in a.ledger.rows]


@pytest.mark.parametrize("preset", ["Epsilon", "Gradient", "EpsilonAlpha2Beta1", "EpsilonPlus"])
def test_other_domains_are_those_of_the_models_multiplier_exactly(small, sound, preset):
    x = np.where(np.arange(len(sound)) % 7 < 2, 0, sound)  # zeros and quiet samples within
    x[100:140] *= 1e-6
    e = reference.explain(small, x, rate=RATE, composite=preset, seed="contrast")
    x = e.signal["time"]
    m = reference.attribute(
        small, x[None, None], composite=preset, seed="contrast"
    ).multiplier.reshape(-1)
    want = dftlrp.dft_lrp(x, multiplier=m)
    np.testing.assert_array_equal(e.relevance["frequency"], want.relevance)
    tiles = dftlrp.stft_lrp(x, multiplier=m, **e.stft)
    np.testing.assert_array_equal(e.relevance["time-frequency"], tiles.relevance)


@pytest.mark.parametrize(
    "domains",
    [
        ("time",),
        ("frequency",),
        ("time-frequency",),
        ("frequency", "time"),
        "time",
        ["time", "time"],
    ],
)
def test_only_the_domains_asked_for_come_in_their_order(small, sound, domains):
    e = reference.explain(small, sound, rate=RATE, domains=domains)
    asked = (domains,) if isinstance(domains, str) else tuple(dict.fromkeys(domains))
    for group in (e.signal, e.relevance, e.axes, e.rest):
        assert tuple(group) == e.domains == asked
    full = reference.explain(small, sound, rate=RATE)
    for d in asked:
        np.testing.assert_array_equal(e.relevance[d], full.relevance[d])


def test_the_result_says_what_was_explained_and_how(small, sound):
    e = reference.explain(small, sound, rate=RATE, overrides={"first": "flat"})
    known = e.provenance
    assert known["model sha256"] == small.graph.sha256
    assert known["recording"] == "array"
    assert known["seed"] == "contrast"
    assert (known["composite"], known["reference"]) == ("EpsilonGamma", "silence")
    assert known["rules"]["c1"] == "flat"
    assert known["overrides"] == {"first": "flat"}
    assert known["dtype"] == "float64"
    assert known["versions"]["dftlrp"] == dftlrp.__version__
    assert "Softmax is left out" in notes(e)


def test_an_explanation_can_be_saved_and_loaded(small, sound, tmp_path, monkeypatch):
    monkeypatch.setattr("dftlrp.results.report.render", lambda *_: "")
    e = reference.explain(small, sound, rate=RATE)
    e.save(tmp_path / "out")
    read = dftlrp.Explanation.load(tmp_path / "out")
    assert (read.target, read.label, read.provenance) == (e.target, e.label, e.provenance)
    np.testing.assert_array_equal(read.relevance["frequency"], e.relevance["frequency"])


def test_a_path_and_a_loaded_model_give_the_same(small, sound):
    by_path = reference.explain(str(small.path), sound, rate=RATE)
    loaded = reference.explain(small, sound, rate=RATE)
    np.testing.assert_array_equal(by_path.relevance["time"], loaded.relevance["time"])


# -- targets, seeds, labels


def test_the_target_is_the_largest_output_unless_given(small, sound):
    best = reference.explain(small, sound, rate=RATE)
    assert best.target == int(best.output.argmax())
    assert best.label == LABELS[best.target]


@pytest.mark.parametrize("target", ["high", "2", 2, np.int64(2)])
def test_a_target_by_label_or_index_is_the_same(small, sound, target):
    e = reference.explain(small, sound, rate=RATE, target=target)
    assert (e.target, e.label) == (2, "high")


@pytest.mark.parametrize(
    "target", ["hgh", "3", "-1", "", 3, -1, 10**30, 1.5, (0, 1), None, "2.0", "²"]
)
def test_an_unknown_target_is_refused_in_one_line(small, sound, target):
    with pytest.raises(InputError) as caught:
        reference.explain(small, sound, rate=RATE, target=target)
    assert "\n" not in str(caught.value)


def test_an_unknown_label_is_refused_and_the_known_ones_are_named(small, sound):
    with pytest.raises(InputError, match=r"'hgh'.*low, middle, high"):
        reference.explain(small, sound, rate=RATE, target="hgh")


def test_given_labels_beat_the_models(small, sound):
    e = reference.explain(small, sound, rate=RATE, labels=["a", "b", "c"], target="c")
    assert (e.target, e.label, e.labels) == (2, "c", ("a", "b", "c"))


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b", "c", "d"]])
def test_a_wrong_number_of_labels_is_refused(small, sound, labels):
    with pytest.raises(InputError, match=f"{len(labels)} labels for 3 classes"):
        reference.explain(small, sound, rate=RATE, labels=labels)


def test_a_function_may_be_the_target(small, sound):
    e = reference.explain(small, sound, rate=RATE, target=lambda z: z * 0 + 1)
    assert "function" in e.label


def test_contrast_with_one_class_by_label_and_by_index_is_the_same(small, sound):
    R = [
        reference.explain(small, sound, rate=RATE, target=0, seed=f"contrast:{c}").relevance["time"]
        for c in ("high", "2")
    ]
    np.testing.assert_array_equal(*R)
    logits = [
        reference.explain(small, sound, rate=RATE, target=t, seed="logit").explained for t in (0, 2)
    ]
    assert logits[0][0] - logits[1][2] == pytest.approx(logits[0][0] - logits[0][2])


@pytest.mark.parametrize("seed", ["logits", "", "contrast:nobody", "contrast:9"])
def test_an_unknown_seed_is_refused(small, sound, seed):
    with pytest.raises(InputError, match=r"seed|target"):
        reference.explain(small, sound, rate=RATE, seed=seed)


# -- what "auto" takes


@pytest.mark.parametrize(
    ("end", "classes", "seed"),
    [("Softmax", 3, "contrast"), ("LogSoftmax", 3, "contrast"), ("", 3, "logit"),
     ("Sigmoid", 3, "logit"), ("Sigmoid", 1, "logit"), ("", 1, "logit")],
)  # fmt: skip
def test_auto_seed_is_the_contrast_for_a_classifier_and_the_logit_otherwise(
    tmp_path, sound, end, classes, seed
):
    of = made(tmp_path, end=end, classes=classes, labels=None)
    e = reference.explain(of, sound, rate=RATE)
    assert e.provenance["seed"] == seed
    assert f"seed {seed}" in notes(e)


def test_labels_say_that_bare_scores_compete(tmp_path, sound):
    of = made(tmp_path, end="", classes=3, labels=None)
    plain = reference.explain(of, sound, rate=RATE)
    assert "neither a Softmax nor labels say that the outputs compete" in notes(plain)
    for backend in ("numpy", "onnx"):
        e = dftlrp.explain(of, sound, rate=RATE, labels=["a", "b", "c"], backend=backend)
        assert "seed contrast, the default for a classifier, since its outputs have lab" in notes(e)
        assert dftlrp.explain(of, sound, rate=RATE, backend=backend).provenance["seed"] == "logit"


@pytest.mark.parametrize("unipolar", [False, True])
def test_a_waveform_has_one_auto_composite_whatever_this_recording_is(small, sound, unipolar):
    e = reference.explain(small, np.abs(sound) if unipolar else sound, rate=RATE)
    assert e.provenance["composite"] == "EpsilonGamma"
    assert "composite EpsilonGamma" in notes(e)


def test_a_composite_that_is_given_is_taken(small, sound):
    e = reference.explain(small, sound, rate=RATE, composite="EpsilonPlus")
    assert e.provenance["composite"] == "EpsilonPlus"
    assert "chosen" not in notes(e)


# -- rates and lengths


def write(path: Any, x: np.ndarray, rate: int) -> Any:
    soundfile.write(path, x, rate, "DOUBLE")
    return path


def test_a_file_is_resampled_to_what_the_model_reads_with_a_note(small, tmp_path):
    x = 0.1 * normal(800, seed=5).astype(np.float64)
    e = reference.explain(small, write(tmp_path / "a.wav", x, 16000))
    assert e.rate == 8000
    assert "resampled from 16000 Hz to 8000 Hz" in notes(e)
    assert e.provenance["recording"] == "a.wav"


def test_an_array_at_another_rate_is_resampled_too(small):
    x = 0.1 * normal(800, seed=5).astype(np.float64)
    e = reference.explain(small, x, rate=16000)
    assert "resampled from 16000 Hz to 8000 Hz" in notes(e)
    assert len(e.signal["time"]) == 400


def test_at_the_models_own_rate_nothing_is_changed_or_noted(small, sound, tmp_path):
    for e in (
        reference.explain(small, sound, rate=8000),
        reference.explain(small, write(tmp_path / "a.wav", sound, 8000)),
    ):
        np.testing.assert_array_equal(e.signal["time"], sound)
        assert "Hz" not in notes(e)


def test_an_array_without_a_rate_is_taken_to_be_at_the_models_with_a_note(small, sound):
    e = reference.explain(small, sound)
    assert e.rate == 8000
    assert "assuming that the signal is at 8000 Hz" in notes(e)


def test_a_model_without_a_rate_reads_the_given_one_or_the_files_with_a_note(tmp_path, sound):
    of, path = made(tmp_path, rate=None), write(tmp_path / "a.wav", sound, 16000)
    e = reference.explain(of, path)
    assert e.rate == 16000
    assert "assuming 16000 Hz, the file's rate; set --rate if that is wrong" in notes(e)
    e = reference.explain(of, path, rate=8000)
    assert e.rate == 8000
    assert "resampled from 16000 Hz to 8000 Hz" in notes(e)
    assert "padded" in notes(e)


def test_a_given_rate_that_the_models_own_overrules_is_told(small, tmp_path, sound):
    e = reference.explain(small, write(tmp_path / "a.wav", sound, 8000), rate=16000)
    assert e.rate == 8000
    assert "rate given is not used" in notes(e)


def test_where_no_rate_is_known_seconds_are_samples_and_a_note_says_so(tmp_path, sound):
    e = reference.explain(made(tmp_path, rate=None), sound)
    assert e.rate == 1
    np.testing.assert_array_equal(e.axes["time"], np.arange(400))
    assert "1 Hz" in notes(e)


@pytest.mark.parametrize("rate", [0, -8000, float("nan"), float("inf"), "fast", 1e-9])
def test_a_rate_that_is_none_is_refused(small, sound, rate):
    with pytest.raises(InputError, match=r"rate|Hz"):
        reference.explain(small, sound, rate=rate)


@pytest.mark.parametrize(
    ("count", "word"), [(1, "padded"), (399, "padded"), (401, "of 0.05"), (9999, "of 1.25 s are")]
)
def test_any_length_is_padded_or_cut_with_a_note(small, count, word):
    e = reference.explain(small, 0.1 * normal(count).astype(np.float64), rate=RATE)
    assert len(e.signal["time"]) == 400
    assert word in notes(e)


def test_a_model_of_any_length_reads_the_whole_recording(tmp_path):
    e = reference.explain(made(tmp_path, (1, 1, None)), normal(777).astype(np.float64), rate=RATE)
    assert len(e.signal["time"]) == 777
    assert "padded" not in notes(e)
    assert "cropped" not in notes(e)


def test_one_that_is_too_short_for_a_model_of_any_length_is_refused(tmp_path):
    with pytest.raises(InputError, match="too short"):
        reference.explain(made(tmp_path, (1, 1, None)), np.ones(3), rate=RATE)


def test_stereo_is_mixed_with_a_note(small, sound):
    e = reference.explain(small, np.stack([sound, 0 * sound]), rate=RATE)
    np.testing.assert_allclose(e.signal["time"], sound / 2)
    assert "2 channels mixed" in notes(e)


@pytest.mark.parametrize("preset", PRESETS)
def test_silence_is_explained_with_a_warning(small, preset):
    e = reference.explain(small, np.zeros(400), rate=RATE, composite=preset)
    assert "warning: the recording is silent" in notes(e)
    for d in DOMAINS:
        assert np.isfinite(e.relevance[d]).all()


# -- layouts


@pytest.mark.parametrize(
    "dims",
    [(None, 400), (1, 400), (None, 1, 400), (1, 1, 400), (None, 400, 1), (400,), (None,), (1, None),
     (1, 1, None), (1, None, 1), (None, None), (None, 1, None), ("batch", 1, "time")],
)  # fmt: skip
def test_every_layout_of_one_channel_is_the_same_network(tmp_path, sound, small, dims):
    e = reference.explain(made(tmp_path, dims, end="Softmax"), sound, rate=RATE)
    expected = reference.explain(small, sound, rate=RATE)
    np.testing.assert_allclose(e.output.ravel(), expected.output, rtol=1e-12)
    np.testing.assert_allclose(e.relevance["time"], expected.relevance["time"], rtol=0, atol=1e-12)
    assert e.label == expected.label


def mixer(dims: tuple[int, ...], channel: int) -> dftlrp.Model:
    """y_j = sum over channels c of (c + 1)^j / count times the sum over time."""
    count = dims[channel]
    w = (1.0 + np.arange(count))[:, None] ** [0, 1, 2] / count
    axes = [i for i in range(1, len(dims)) if i != channel]
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sums"], keepdims=0),
        helper.make_node("MatMul", ["sums", "w"], ["y"]),
    ]
    return network(nodes, {"x": dims}, {"y": [1, 3]}, {"w": w, "axes": np.array(axes)})


@pytest.mark.parametrize(
    ("dims", "channel", "count", "n"),
    [
        ((1, 1, 22, 500), 2, 22, 500),
        ((1, 12, 1, 100), 1, 12, 100),
        ((1, 1, 100, 12), 3, 12, 100),
        ((1, 100, 1, 12), 3, 12, 100),
        ((1, 64, 63), 1, 64, 63),  # the smaller one is time: the signal has 64 channels
        ((1, 1, 64, 63), 2, 64, 63),
        ((1, 64, 63), 2, 63, 64),
    ],
)
def test_channels_and_time_are_found_among_axes_of_one(dims, channel, count, n):
    x = normal(count, n, seed=2).astype(np.float64)
    model = mixer(dims, channel)
    e = reference.explain(model, x, rate=100, target=1, seed="logit", composite="Epsilon")
    wanted = (1.0 + np.arange(count)) / count * x.sum(axis=1)
    np.testing.assert_allclose(e.output[1], wanted.sum(), rtol=1e-5)
    for domain, axes in (("time", 1), ("frequency", 1), ("time-frequency", (1, 2))):
        np.testing.assert_allclose(e.relevance[domain].sum(axis=axes), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("dims", "shape"), [((1, 22, 500), (500, 22)), ((1, 2, 16000), (16000, 2))]
)
def test_a_signal_on_its_side_is_refused_with_the_shape_that_is_wanted(dims, shape):
    with pytest.raises(InputError, match=rf"give \({dims[1]}, samples\)"):
        reference.explain(mixer(dims, 1), normal(*shape).astype(np.float64), rate=100)


@pytest.mark.parametrize(
    "dims",
    [
        (None, 2, 400),
        (1, 64, 64),
        (1, 2, 201, 26),
        (1, 1, 64, 64),
        (None, None, 80),
        (1, 1, 1),
        (3, 400),
        (),
    ],
)
def test_what_is_no_waveform_of_one_channel_is_refused_and_says_what_to_use(tmp_path, sound, dims):
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    path = saved(model(nodes, {"x": dims}, {"y": []}), tmp_path)
    with pytest.raises(DftlrpError) as caught:
        reference.explain(path, sound, rate=RATE)
    assert "\n" not in str(caught.value)


def test_several_signals_are_refused_with_the_advice_to_use_attribute(tmp_path, sound):
    nodes = [helper.make_node("Add", ["x", "z"], ["y"])]
    of = dftlrp.load(saved(model(nodes, {"x": [1, 400], "z": [1, 400]}, {"y": [1, 400]}), tmp_path))
    with pytest.raises(InputError, match=r"'x', 'z'.*attribute"):
        reference.explain(of, sound, rate=RATE)
    e = reference.explain(of, sound, rate=RATE, bind={"z": np.zeros((1, 400))}, target=3)
    assert e.target == 3


def test_settings_are_bound_and_outputs_chosen(tmp_path, sound):
    nodes = [
        helper.make_node("Cast", ["gain"], ["g"], to=1),
        helper.make_node("Mul", ["x", "g"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    inputs = [value("x", [1, None]), value("gain", [], TensorProto.INT64)]
    of = dftlrp.load(
        saved(model(nodes, inputs, [value("y", [1, None]), value("z", [1, None])]), tmp_path)
    )
    with pytest.raises(InputError, match=r"'gain'.*bind"):
        reference.explain(of, sound, rate=RATE)
    asked = {"bind": {"gain": 3}, "output": "z", "target": 5, "seed": "logit"}
    e = reference.explain(of, sound, rate=RATE, **asked)
    np.testing.assert_allclose(e.output, -3 * sound)
    assert np.flatnonzero(e.relevance["time"]).tolist() == [5]


# -- what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [({"domains": ["tme"]}, r"'tme'.*time-frequency"), ({"domains": []}, "no domain"),
     ({"domains": "cepstrum"}, "'cepstrum'"),
     ({"composite": "Epsilon+"}, r"'Epsilon\+'.*EpsilonPlus"),
     ({"overrides": {"firts": "flat"}}, "'firts'"), ({"overrides": {"first": "flt"}}, "'flt'"),
     ({"overrides": {"first": "gamma(x)"}}, "gamma"), ({"output": "logit"}, "'logit'"),
     ({"bind": {"y": 1}}, "'y'"), ({"backend": "abacus"}, "'abacus'"),
     ({"composite": "Gradient", "overrides": {"first": "flat"}}, "Gradient")],
)  # fmt: skip
def test_an_unknown_name_is_refused_and_the_known_ones_are_shown(small, sound, change, words):
    with pytest.raises(InputError, match=words) as caught:
        reference.explain(small, sound, rate=RATE, **change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("signal", [np.zeros(0), np.full(400, np.nan), np.zeros((1, 1, 400)), None,
                                    np.arange(400), "nothing.wav", b"bytes"])  # fmt: skip
def test_a_signal_that_is_none_is_refused(small, signal):
    with pytest.raises(InputError):
        reference.explain(small, signal, rate=RATE)


def test_a_model_that_is_none_is_refused(sound, tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        reference.explain(tmp_path / "nothing.onnx", sound)


def test_unknown_shipped_files_are_refused():
    with pytest.raises(InputError, match=r"'voice'.*waveform, spectrum, stft, mel, clip"):
        dftlrp.embedded("voice")


def test_behind_a_log_mel_front_end_the_input_shows_what_silence_keeps_from_the_waveform():
    """The sums agree once what the front end absorbs is counted; half of the clip is silent."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    reader = network(
        nodes, {"x": [None, 20, 26]}, {"y": [None, 3]}, {"w": rng.normal(size=(520, 3))}
    )
    fe = FrontEnd(16000, n_mels=20, log="ln", samples=4000)
    x = np.concatenate([rng.normal(size=2000) * 0.1, np.zeros(2000)])
    e = reference.explain(reader, x, rate=16000, frontend=fe, domains=["time", "input", "mel"],
                          reference="none")  # fmt: skip
    assert e.relevance["input"].shape == (20, 26)
    assert e.rest["input"] != 0
    whole = float(np.abs(e.relevance["input"]).sum())
    for domain in e.domains:
        total = e.relevance[domain].sum() + e.rest[domain]
        np.testing.assert_allclose(total, e.relevance["time"].sum(), atol=1e-9 * whole)


def reader(*dims: int | None) -> dftlrp.Model:
    """One dense layer on features."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    w = np.random.default_rng(0).normal(size=(math.prod(d for d in dims if d), 3))
    return network(nodes, {"x": dims}, {"y": [None, 3]}, {"w": w})


def warned(e: dftlrp.Explanation, words: str) -> list[str]:
    return [note for note in e.notes if words in note]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_share_on_silent_frames_is_of_absolute_relevance(target):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=2000) * 0.1, np.zeros(2000)])
    fe = FrontEnd(16000, n_mels=20, log="ln")
    e = reference.explain(
        reader(None, 20, 26), x, rate=16000, frontend=fe, domains=["input"], target=target,
        reference="none",
    )  # fmt: skip
    size = np.abs(e.relevance["input"])
    (note,) = warned(e, "silent frames")
    assert f"{100 * size[:, 14:].sum() / size.sum():.0f} %" in note  # frames of zeros only


def test_empty_mel_filters_are_no_silence():
    x = np.random.default_rng(0).normal(size=4000) * 0.1
    fe = FrontEnd(16000, n_mels=128, mel_scale="htk", log="ln")
    e = reference.explain(reader(None, 128, 26), x, rate=16000, frontend=fe)
    assert warned(e, "mel filters hold no bin")
    assert e.provenance["front end"] == "mel"  # so that bands are those of mel
    assert not warned(e, "silent frames")


def test_kaldis_frames_joined_give_the_same_relevance_by_the_traced_graph():
    x = np.random.default_rng(0).normal(size=4000) * 0.1
    fe = FrontEnd(
        16000, amplitude="int16", n_fft=512, win_length=400, frame="window", window="povey",
        pad_mode="symmetric", remove_dc=True, preemphasis=0.97, n_mels=20, triangles="mel",
        mel_norm=None, mel_scale="htk", log="ln", floor=1e-7, stack=3, stack_hop=2,
        layout=("batch", "time", "frequency"),
    )  # fmt: skip
    model = reader(None, 13, 60)
    for how in ("none", "silence"):
        a, b = (
            dftlrp.explain(model, x, rate=16000, frontend=fe, backend=backend, reference=how)
            for backend in ("numpy", "onnx")
        )
        assert a.ledger.gap < 1e-9
        R = a.relevance["time"]
        np.testing.assert_allclose(b.relevance["time"], R, atol=1e-3 * np.abs(R).max())


@pytest.mark.parametrize("fe", [3, {"rate": 16000}, 0])
def test_a_front_end_that_is_none_is_refused(small, sound, fe):
    with pytest.raises(InputError, match="must be a FrontEnd or the path"):
        reference.explain(small, sound, frontend=fe)


@pytest.mark.parametrize("domains", [None, 3, [3], []])
def test_domains_that_are_none_are_refused(small, sound, domains):
    with pytest.raises(InputError, match="domain"):
        reference.explain(small, sound, domains=domains)


def test_layers_on_the_way_can_be_kept_and_others_are_refused():
    model, x = dftlrp.load(dftlrp.embedded("waveform")), np.ones((2, 1, 8000))
    a = reference.attribute(model, x, composite="Epsilon", keep=["relu3"])
    value, relevance = a.kept["relu3"]
    assert value.shape == relevance.shape == (2, 96, 250)
    row = next(row for row in a.ledger.rows if row.node == "relu3")
    np.testing.assert_allclose(relevance.sum(axis=(1, 2)), row.relevance)
    with pytest.raises(InputError, match="'relu99'"):
        reference.attribute(model, x, keep=["relu99"])


def test_a_metadata_entry_of_the_same_name_that_is_not_ours_is_left_alone(sound, tmp_path):
    proto = listener()
    proto.metadata_props.add(key="frontend", value="matrix-product STFT (float32)")
    e = reference.explain(dftlrp.load(saved(proto, tmp_path)), sound, rate=RATE)
    assert e.signal["time"].shape == (400,)


# -- two classes


def test_versus_explains_another_class_of_the_same_part(small, sound):
    both = dftlrp.explain(small, sound, rate=RATE, target="low", versus="HIGH")
    assert isinstance(both, dftlrp.Comparison)
    assert both.labels == ("low", "high")
    for e in both:
        alone = dftlrp.explain(small, sound, rate=RATE, target=e.label)
        np.testing.assert_array_equal(e.relevance["time"], alone.relevance["time"])
    for same in ("low", "LOW", 0):
        with pytest.raises(InputError, match="is the same class as the target 'low'"):
            dftlrp.explain(small, sound, rate=RATE, target="low", versus=same)


def test_versus_asks_about_the_moment_where_the_target_is_strongest(tmp_path):
    model = made(tmp_path, (None, 1, 400))
    long = 0.1 * normal(2000, seed=5).astype(np.float64)
    first, second = dftlrp.explain(model, long, rate=RATE, target="low", versus="high")
    assert first.start == second.start
    np.testing.assert_array_equal(first.signal["time"], second.signal["time"])


def test_readers_of_types_know_every_argument():
    import inspect

    from dftlrp.attribution.explain import Options

    known = inspect.signature(dftlrp.explain).parameters
    assert [*Options.__annotations__, "versus"] == list(known)[2:]
