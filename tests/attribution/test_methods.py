"""Methods beside the rules of LRP: what each promises, in every domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from graphs import network
from models import listener, normal, saved, value
from models import model as made
from onnx import TensorProto, helper

import dftlrp
from dftlrp.attribution.methods import METHODS
from dftlrp.core.types import InputError
from dftlrp.results.saving import write_arrays
from dftlrp.results.units import make_units
from dftlrp.results.views import DEFAULT
from dftlrp.results.words import describe_account
from dftlrp.spectral import Stft

RATE = 8000
FEW = {"integrated-gradients": "integrated-gradients(2)", "smoothgrad": "smoothgrad(2)",
       "shapley": "shapley(2, count=5)", "rise": "rise(20)"}  # fmt: skip
REPLACED = ("occlusion", "shapley(orders=4)", "rise(masks=40)")
MULTIPLIED = ("gradient", "integrated-gradients(steps=6)", "smoothgrad(samples=4)", "lrp(path=3)")


def load(tmp_path: Any, *args: Any, **kwargs: Any) -> dftlrp.Model:
    return dftlrp.load(saved(listener(*args, **kwargs), tmp_path))


@pytest.fixture
def small(tmp_path) -> dftlrp.Model:
    return load(tmp_path, end="Softmax")


@pytest.fixture
def sound() -> np.ndarray:
    return 0.1 * normal(400, seed=3).astype(np.float64)


def score(model: dftlrp.Model, x: np.ndarray, target: int) -> float:
    """The contrast of a class with the mean of the others."""
    z = dftlrp.predict(model, x.reshape(1, 1, -1), backend="numpy").explained[0]
    return float(z[target] - np.delete(z, target).mean())


# -- gradients and their means


def test_gradient_is_the_input_times_central_differences(small, sound):
    e = reference.explain(small, sound, rate=RATE, target=1, seed="contrast", method="gradient")
    step = 1e-6
    for n in (3, 57, 399):
        up, down = (score(small, sound + s * np.eye(400)[n], 1) for s in (step, -step))
        want = sound[n] * (up - down) / (2 * step)
        assert abs(e.relevance["time"][n] - want) <= 1e-6 * np.abs(e.relevance["time"]).max()


def test_gradient_is_the_gradient_preset_with_its_accounts(small, sound):
    a = reference.explain(small, sound, rate=RATE, method="gradient")
    b = reference.explain(small, sound, rate=RATE, composite="Gradient")
    for d in DEFAULT:
        np.testing.assert_array_equal(a.relevance[d], b.relevance[d])
    assert len(a.ledger.rows) == len(b.ledger.rows) > 1
    assert a.provenance["method"] == "gradient"
    assert "composite" not in a.provenance


def test_integrated_gradients_add_up_to_the_change_of_the_score(small, sound):
    want = score(small, sound, 2) - score(small, 0 * sound, 2)
    gaps = []
    for steps in (4, 32, 256):
        e = reference.explain(small, sound, rate=RATE, target=2, seed="contrast",
                              method=f"integrated-gradients(steps={steps})")  # fmt: skip
        assert abs(e.ledger.rows[0].relevance.item() - want) <= 1e-9 * abs(want)
        gaps.append(abs(e.relevance["time"].sum() - want) / abs(want))
        assert gaps[-1] <= 1 / steps
    assert gaps[2] < gaps[0]


def test_smoothgrad_is_the_mean_over_the_copies_that_it_draws(small, sound):
    e = reference.explain(small, sound, rate=RATE, target=1, seed="logit",
                          method="smoothgrad(samples=4, sigma=0.5)")  # fmt: skip
    noise = [np.random.default_rng([0, k]).standard_normal((1, 1, 400)) for k in (0, 1)]
    size = 0.5 * np.sqrt(np.mean(sound**2))
    copies = [sound + sign * size * n for n in noise for sign in (1, -1)]
    means = np.mean([reference.attribute(small, x, target=1, composite="Gradient").multiplier[0, 0]
                     for x in copies], axis=0)  # fmt: skip
    np.testing.assert_allclose(e.relevance["time"], sound * means, rtol=1e-9, atol=1e-15)


def test_smoothgrad_without_much_noise_is_gradient_times_input(small, sound):
    a = reference.explain(small, sound, rate=RATE, method="smoothgrad(samples=2, sigma=1e-9)")
    b = reference.explain(small, sound, rate=RATE, method="gradient")
    np.testing.assert_allclose(a.relevance["time"], b.relevance["time"], rtol=1e-6, atol=1e-12)


def test_lrp_on_the_way_is_the_weighted_mean_of_its_multipliers(small, sound):
    e = reference.explain(small, sound, rate=RATE, target=1, seed="logit", composite="Epsilon",
                          method="lrp(path=3)")  # fmt: skip
    edges, middles = (np.arange(4) / 3) ** 3, ((np.arange(3) + 0.5) / 3) ** 3
    m = sum(
        (edges[k + 1] - edges[k])
        * reference.attribute(small, middles[k] * sound[None, None], target=1,
                              composite="Epsilon").multiplier[0, 0]
        for k in range(3)
    )  # fmt: skip
    np.testing.assert_allclose(e.relevance["time"], sound * m, rtol=1e-9, atol=1e-15)
    assert e.provenance["composite"] == "Epsilon"


def test_a_rule_without_a_multiplier_cannot_be_averaged(small, sound):
    with pytest.raises(InputError, match="without a multiplier"):
        reference.explain(
            small, sound, rate=RATE, method="lrp(path=2)", overrides={"first": "flat"}
        )


@pytest.mark.parametrize("method", MULTIPLIED)
def test_a_mean_of_multipliers_has_one_sum_in_every_domain(small, sound, method):
    e = reference.explain(small, sound, rate=RATE, method=method, domains=(*DEFAULT, "mel"))
    total = e.relevance["time"].sum()
    for d in e.domains:
        assert e.relevance[d].shape == e.signal[d].shape
        assert abs(e.relevance[d].sum() + e.rest[d] - total) <= 1e-11 * np.abs(e.relevance[d]).sum()
    assert abs(e.ledger.rows[-1].to_inputs.sum() - total) <= 1e-9 * abs(total)


@pytest.mark.parametrize("method", MULTIPLIED)
@pytest.mark.parametrize("dims", [(1, 1, 400), (400,), (None, 400), (None, 1, None)])
def test_the_batch_of_a_model_changes_nothing(tmp_path, sound, dims, method):
    """Fixed to one, absent, open, or declared open and not meant so."""
    want = dftlrp.explain(load(tmp_path, (None, 1, 400)), sound, rate=RATE, method=method)
    e = dftlrp.explain(load(tmp_path, dims), sound, rate=RATE, method=method)
    size = np.abs(want.relevance["time"]).max()
    np.testing.assert_allclose(e.relevance["time"], want.relevance["time"], atol=1e-5 * size)


@pytest.mark.parametrize("method", MULTIPLIED)
def test_targets_that_are_functions_sums_or_one_unit(small, sound, method):
    plain = reference.explain(
        small, sound, rate=RATE, target=1, seed="logit", method=method, reference="none"
    )
    R = plain.relevance["time"]
    free = reference.explain(small, sound, rate=RATE, target=lambda z: z * np.eye(3)[1],
                             method=method, reference="none")  # fmt: skip
    np.testing.assert_allclose(free.relevance["time"], R, rtol=1e-9, atol=1e-12)
    one = reference.explain(
        small, sound, rate=RATE, target=1, seed="one", method=method, reference="none"
    )
    np.testing.assert_allclose(one.relevance["time"] * plain.explained[1], R, rtol=1e-9, atol=1e-9)
    sums = reference.explain(
        small, sound, rate=RATE, target=":2", seed="logit", method=method, reference="none"
    )
    other = reference.explain(
        small, sound, rate=RATE, target=0, seed="logit", method=method, reference="none"
    )
    if not method.startswith("lrp"):
        want = R + other.relevance["time"]
        np.testing.assert_allclose(sums.relevance["time"], want, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("method", MULTIPLIED)
def test_what_the_model_reads_behind_a_front_end_has_relevance_too(method):
    e = dftlrp.explain(dftlrp.embedded("stft"), dftlrp.embedded("clip"), method=method,
                       domains=("time", "input"))  # fmt: skip
    assert e.signal["input"].shape == e.relevance["input"].shape
    total = e.relevance["time"].sum()
    assert abs(e.relevance["input"].sum() + e.rest["input"] - total) <= 1e-5 * abs(total)
    assert abs(e.rest["input"]) <= 1e-4 * abs(total)  # a model without biases


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_stored_and_read_again(tmp_path, small, sound, name):
    e = dftlrp.explain(small, sound, rate=RATE, method=FEW.get(name, name))
    write_arrays(e, tmp_path / "explanation.npz")
    again = dftlrp.Explanation.load(tmp_path)
    assert again.provenance["method"] == e.provenance["method"]
    np.testing.assert_array_equal(again.relevance["time"], e.relevance["time"])
    layered = name in {"lrp", "gradient"}
    assert again.ledger.has_layers == layered
    assert ("there are no layers to check" in describe_account(again)) == (not layered)


def test_the_page_says_of_a_method_without_layers_what_its_parts_add_up_to(tmp_path, small, sound):
    e = dftlrp.explain(small, sound, rate=RATE, method="integrated-gradients", domains=["time"])
    page = e.save(tmp_path)[0].read_text("utf-8")
    assert "there are no layers to check" in page
    assert "biases absorbed" not in page
    assert "method integrated-gradients(steps=32)" in page


# -- arrays of any shape


@pytest.mark.parametrize("method", MULTIPLIED)
def test_arrays_are_attributed_as_recordings_are_sample_by_sample(tmp_path, sound, method):
    model = load(tmp_path, (None, 1, 400))
    x = np.stack([sound, -0.5 * sound[::-1]])[:, None]
    a = reference.attribute(model, x, target=[1, 2], method=method)
    for row, target in ((0, 1), (1, 2)):
        e = reference.explain(model, x[row, 0], target=target, seed="logit", method=method,
                              domains="time")  # fmt: skip
        if "smooth" not in method:  # its noise differs from sample to sample
            np.testing.assert_allclose(a.relevance[row, 0], e.relevance["time"], rtol=1e-9)
    np.testing.assert_allclose(a.relevance, x * a.multiplier, rtol=1e-9)
    assert a.method == method or a.method == "smoothgrad(samples=4, sigma=0.3)"


def test_the_way_is_followed_in_every_layer_that_is_kept(small, sound):
    """Conductance: at each layer the changes add up to that of the score."""
    x = sound[None, None]
    a = reference.attribute(small, x, target=0, keep=("conv1", "conv2"),
                            method="integrated-gradients(steps=200)")  # fmt: skip
    want = a.ledger.rows[0].relevance.item()
    for at_layer, relevance in (a.kept["conv1"], a.kept["conv2"]):
        assert at_layer.shape == relevance.shape
        assert relevance.sum() == pytest.approx(want, rel=0.02)
    assert a.relevance.sum() == pytest.approx(want, rel=0.02)


def test_several_inputs_go_the_way_together():
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["p"]),
        helper.make_node("ReduceSum", ["p", "axes"], ["y"], keepdims=1),
    ]
    model = network(nodes, {"a": [None, 3], "b": [None, 3]}, {"y": [None, 1]},
                    {"axes": np.array([1])})  # fmt: skip
    x = {"a": np.array([[1.0, 2.0, -3.0]]), "b": np.array([[0.5, 1.0, 4.0]])}
    found = reference.attribute(model, x, target=0, method="integrated-gradients(steps=300)")
    for name in x:  # of a product each factor gets half
        np.testing.assert_allclose(found.relevance[name], x["a"] * x["b"] / 2, rtol=1e-4)


def test_whole_numbers_have_no_points_between_them(tmp_path):
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["e"]),
        helper.make_node("ReduceSum", ["e", "axes"], ["y"], keepdims=0),
    ]
    weights = {"axes": np.array([1]), "table": normal(9, 2)}
    proto = made(nodes, [value("tokens", [1, 4], TensorProto.INT64)], [value("y", [1, 2])], weights)
    model = dftlrp.load(saved(proto, tmp_path))
    with pytest.raises(InputError, match="'tokens' holds whole numbers"):
        reference.attribute(model, np.array([[1, 2, 3, 4]]), method="smoothgrad")


def test_a_method_that_replaces_parts_needs_a_recording(small, sound):
    with pytest.raises(InputError, match=r"use dftlrp\.explain"):
        dftlrp.attribute(small, sound[None, None], method="occlusion")


# -- parts of the recording replaced


def test_occlusion_in_time_is_the_naive_loop(small, sound):
    e = reference.explain(small, sound, target=1, seed="contrast", domains=["time"],
                          method="occlusion(count=5)")  # fmt: skip
    want = np.zeros(400)
    for start in range(0, 400, 80):
        without = sound.copy()
        without[start : start + 80] = 0
        want[start : start + 80] = (score(small, sound, 1) - score(small, without, 1)) / 80
    np.testing.assert_allclose(e.relevance["time"], want, rtol=1e-9, atol=1e-13)


def test_occlusion_in_frequency_is_the_naive_loop(small, sound):
    e = reference.explain(small, sound, target=1, seed="contrast", domains=["frequency"],
                          method="occlusion(count=4)")  # fmt: skip
    spectrum, bands = np.fft.rfft(sound), make_units("frequency", (201,), RATE, 4).index
    want = np.zeros(201)
    for band in range(4):
        without = np.fft.irfft(np.where(bands == band, 0, spectrum), 400)
        drop = score(small, sound, 1) - score(small, without, 1)
        want[bands == band] = drop / (bands == band).sum()
    np.testing.assert_allclose(e.relevance["frequency"], want, rtol=1e-9, atol=1e-13)


def test_occlusion_of_tiles_is_the_naive_loop_and_mel_pools_them(small, sound):
    e = reference.explain(small, sound, target=1, seed="contrast",
                          domains=["mel", "time-frequency"], method="occlusion(6)")  # fmt: skip
    stft = Stft(400, **e.stft)
    cells, R = stft.analysis(sound), e.relevance["time-frequency"]
    tiles = make_units("time-frequency", cells.shape, RATE, 6)
    for tile in range(tiles.count):
        inside = tiles.index == tile
        drop = score(small, sound, 1) - score(small, stft.synthesis(np.where(inside, 0, cells)), 1)
        np.testing.assert_allclose(R[inside], drop / inside.sum(), rtol=1e-8, atol=1e-13)
    assert e.domains == ("mel", "time-frequency")
    total = e.relevance["mel"].sum() + e.rest["mel"]
    assert total == pytest.approx(R.sum(), rel=1e-9)


@pytest.mark.parametrize("domain", [*DEFAULT, "mel"])
def test_shapley_values_divide_the_change_of_the_score_in_every_domain(small, sound, domain):
    e = reference.explain(small, sound, target=2, seed="contrast", domains=[domain],
                          method="shapley(orders=2)")  # fmt: skip
    want = score(small, sound, 2) - score(small, 0 * sound, 2)
    assert e.relevance[domain].shape == e.signal[domain].shape
    assert abs(e.relevance[domain].sum() + e.rest[domain] - want) <= 1e-9 * abs(want)
    assert abs(e.ledger.rows[0].relevance.item() - want) <= 1e-9 * abs(want)


@pytest.mark.parametrize("method", REPLACED)
@pytest.mark.parametrize("dims", [(1, 1, 400), (400,), (None, 1, None)])
def test_the_batch_of_a_model_changes_nothing_of_what_units_are_worth(
    tmp_path, sound, dims, method
):
    want = dftlrp.explain(load(tmp_path, (None, 1, 400)), sound, domains="time", method=method)
    e = dftlrp.explain(load(tmp_path, dims), sound, domains="time", method=method)
    size = np.abs(want.relevance["time"]).max()
    np.testing.assert_allclose(e.relevance["time"], want.relevance["time"], atol=1e-4 * size)


def test_shapley_values_at_what_the_model_reads_divide_the_same(tmp_path):
    """Behind a front end, silence there is what it makes of silence."""
    e = dftlrp.explain(dftlrp.embedded("stft"), dftlrp.embedded("clip"),
                       domains=("time", "input"), method="shapley(orders=2, count=4)")  # fmt: skip
    assert e.relevance["input"].shape == e.signal["input"].shape
    total = e.relevance["time"].sum()
    assert abs(e.relevance["input"].sum() + e.rest["input"] - total) <= 1e-4 * abs(total)


def test_channels_are_units_of_their_own(tmp_path):
    """Of three channels the model reads the second alone."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], strides=[4]),
        helper.make_node("Relu", ["y"], ["h"]),
        helper.make_node("ReduceMean", ["h"], ["m"], axes=[2], keepdims=0),
    ]
    weights = np.zeros((2, 3, 8), np.float32)
    weights[:, 1] = normal(2, 8, seed=8)
    model = network(nodes, {"x": [None, 3, 400]}, {"m": [None, 2]}, {"w": weights})
    x = normal(3, 400, seed=5).astype(float)
    for method in ("occlusion(count=4)", "shapley(orders=2, count=4)"):
        e = dftlrp.explain(model, x, rate=100, method=method)
        for d in DEFAULT:
            assert e.relevance[d].shape == e.signal[d].shape
            assert np.abs(e.relevance[d][1]).max() > 0
            assert np.abs(e.relevance[d][[0, 2]]).max() <= 1e-5 * np.abs(e.relevance[d][1]).max()


def test_what_was_run_and_drawn_is_said(small, sound):
    e = dftlrp.explain(small, sound, domains="time", method="occlusion(count=5)")
    said = e.provenance
    assert said["method"] == "occlusion(count=5)"
    assert said["reference"] == "silence"
    assert said["inputs that the model was run on"] == 1 + 2 + 5  # for the seed; it, silence, units
    assert "rules" not in said


# -- refusals


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("gradeint", "did you mean 'gradient'"),
        ("nonsense!", "choose one of lrp, gradient"),
        ("integrated-gradients(steps=0)", "whole number from 1"),
        ("integrated-gradients(steps=2.5)", "whole number from 1"),
        ("smoothgrad(sigma=0)", "sigma must be > 0"),
        ("smoothgrad(samples=x)", "bad parameter"),
        ("gradient(3)", "takes no numbers"),
        ("lrp(way=3)", "has no 'way': it takes path"),
        ("occlusion(count=-1)", "whole number from 1"),
        ("shapley(orders=0)", "whole number from 1"),
    ],
)
def test_a_method_that_does_not_exist_is_refused_in_one_line(small, sound, method, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(")) as error:
        dftlrp.explain(small, sound, rate=RATE, method=method)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"composite": "EpsilonPlus"}, {"overrides": {"first": "flat"}}])
def test_rules_are_refused_by_a_method_that_has_none(small, sound, given):
    with pytest.raises(InputError, match="belongs to method 'lrp'"):
        dftlrp.explain(small, sound, rate=RATE, method="integrated-gradients", **given)


@pytest.mark.parametrize("method", REPLACED)
def test_a_method_without_layers_refuses_conditions_and_rules(small, sound, method):
    with pytest.raises(InputError, match="knows no layers"):
        dftlrp.explain(small, sound, method=method, masks={"conv1": np.ones((1, 4, 1))})
    with pytest.raises(InputError, match="belongs to method 'lrp'"):
        dftlrp.explain(small, sound, method=method, composite="EpsilonPlus")


def test_more_units_than_there_are_are_refused(small, sound):
    with pytest.raises(InputError, match="500 segments along an axis of 400"):
        dftlrp.explain(small, sound, domains="time", method="occlusion(count=500)")
