"""`attribute`: what goes in, what comes out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, Nodes, Real, loaded, signals
from onnx import ModelProto
from reference import attribute

from dftlrp import Model
from dftlrp.core.types import InputError, NonFiniteError
from dftlrp.engine.composites import PRESETS

PROTO = NETWORKS["conv_stack"]()
MODEL = loaded(PROTO)
X = signals(PROTO)["x"]
TWO = loaded(NETWORKS["two_inputs"]())


def dense(end: str = "", dims: tuple[Any, ...] = ("B", 4), **kwargs: Any) -> ModelProto:
    n = Nodes(11)
    n.gemm("x", "logits", 4, 3)
    n.add(end or "Identity", "logits", "z")
    return n.model({"x": dims}, {"z": [dims[0], 3]}, **kwargs)


def test_an_array_gives_arrays_a_dict_gives_dicts() -> None:
    plain, named = (attribute(MODEL, given, target=0) for given in (X, {"x": X}))
    assert plain.relevance.shape == plain.multiplier.shape == X.shape
    np.testing.assert_array_equal(plain.relevance, named.relevance["x"])
    np.testing.assert_array_equal(plain.multiplier, named.multiplier["x"])


def test_the_output_is_the_models_own_and_the_seed_stands_at_what_is_explained() -> None:
    result = attribute(MODEL, X, target=2, reference="none")
    assert result.output.shape == (2, 3)
    np.testing.assert_array_equal(result.output, result.explained)
    np.testing.assert_array_equal(result.seed, result.output * [0, 0, 1])
    assert (result.target, result.seed_kind) == (((2,), (2,)), "logit")


def test_rules_without_a_multiplier_give_none() -> None:
    assert attribute(MODEL, X, target=0, composite="EpsilonPlusFlat").multiplier is None
    assert attribute(MODEL, {"x": X}, target=0, composite="EpsilonGammaBox").multiplier == {
        "x": None
    }


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_a_final_squashing_is_left_out_and_said_so(end: str) -> None:
    x = np.arange(8.0).reshape(2, 4)
    plain = attribute(loaded(dense()), x, target=1, composite="Epsilon")
    result = attribute(loaded(dense(end)), x, target=1, composite="Epsilon")
    np.testing.assert_array_equal(result.explained, plain.output)
    np.testing.assert_array_equal(result.relevance, plain.relevance)
    assert not np.allclose(result.output, plain.output)
    assert f"the final {end} is left out: what it reads is explained" in result.notes
    assert not any("left out" in note for note in plain.notes)


def test_the_default_target_is_each_samples_largest() -> None:
    result = attribute(MODEL, X)
    assert result.target == tuple((int(k),) for k in result.output.argmax(axis=1))


def test_labels_in_the_file_are_targets() -> None:
    model = loaded(dense(metadata={"labels": '["low", "middle", "high"]'}))
    x = np.ones((1, 4))
    by_label = attribute(model, x, target="high", seed="contrast:low")
    by_index = attribute(model, x, target=2, seed="contrast:0")
    np.testing.assert_array_equal(by_label.relevance, by_index.relevance)
    assert by_label.target == ((2,),)


def test_a_function_is_a_target() -> None:
    result = attribute(MODEL, X, target=lambda z: z * [1, 0, 0], composite="EpsilonPlus")
    same = attribute(MODEL, X, target=0, composite="EpsilonPlus")
    np.testing.assert_allclose(result.relevance, same.relevance, rtol=1e-13)
    assert result.target is None


def test_a_function_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(NonFiniteError, match="target"):
        attribute(MODEL, X, target=lambda z: z / 0)


@pytest.mark.parametrize(
    ("target", "chosen"), [(lambda z: np.eye(3)[1] * z, 1), (1, 1), ("argmax", 2)]
)
def test_a_model_of_one_vector_has_no_batch(target: Any, chosen: int) -> None:
    n = Nodes(12)
    n.add("MatMul", f"x {n.weight('w', 4, 3)}", "z")
    w = n.weights["w"] = np.arange(12.0).reshape(4, 3)
    model = loaded(n.model({"x": [4]}, {"z": [3]}))
    result = attribute(model, np.ones(4), target=target, composite="Epsilon")
    np.testing.assert_allclose(result.relevance, w[:, chosen], rtol=1e-6)
    np.testing.assert_array_equal(result.seed, np.eye(3)[chosen] * result.output)


@pytest.mark.parametrize("composite", PRESETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_stays_float32(name: str, composite: str) -> None:
    proto = NETWORKS[name]()
    model, inputs = loaded(proto), signals(proto)
    single = attribute(model, inputs, target=1, composite=composite, dtype="float32")
    double = attribute(model, inputs, target=1, composite=composite)
    arrays = [*single.relevance.values(), single.output, single.explained, single.seed]
    arrays += [m for m in single.multiplier.values() if m is not None]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
    for key, r in double.relevance.items():
        np.testing.assert_allclose(single.relevance[key], r, rtol=0, atol=2e-3 * np.abs(r).max())


def test_whole_numbers_are_signals_too() -> None:
    ints = np.arange(8).reshape(2, 4)
    a, b = (attribute(loaded(dense()), x, target=0) for x in (ints, ints.astype(float)))
    np.testing.assert_array_equal(a.relevance, b.relevance)


def test_the_signal_given_is_not_changed() -> None:
    x = X.copy()
    result = attribute(MODEL, x, target=0)
    np.testing.assert_array_equal(x, X)
    assert not np.shares_memory(result.relevance, x)


@pytest.mark.parametrize("x", [X, np.abs(X), 2 * X])
def test_the_default_is_the_difference_to_silence_whatever_the_input_is_and_is_said(
    x: Real,
) -> None:
    result = attribute(MODEL, x, target=0)
    assert (result.table.composite, result.facts["reference"]) == ("EpsilonGamma", "silence")
    assert result.notes[0].startswith("composite EpsilonGamma, the default for most models (when ")
    assert "compared with silence, the default for most models" in result.notes[2]
    silence = attribute(MODEL, 0 * x, target=0, reference="none").explained
    want = (result.explained - silence)[:, 0]
    np.testing.assert_allclose(result.relevance.reshape(len(x), -1).sum(axis=1), want, rtol=1e-3)


@pytest.mark.parametrize("given", [{"composite": "EpsilonPlus"}, {"reference": "none"}])
def test_a_preset_by_name_and_no_reference_by_name_are_plain_relevance(given: Any) -> None:
    result = attribute(MODEL, X, target=0, **given)
    assert result.facts["reference"] == "none"
    assert result.table.composite == given.get("composite", "EpsilonGamma")
    np.testing.assert_array_equal(result.seed, result.output * [1, 0, 0])


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize(("x", "given", "told"), [
    (0 * X, {}, "silent"), (X, {"reference": X[:1] + 0 * X}, ""),
    (X, {"reference": X}, "the reference itself"),
])  # fmt: skip
def test_an_input_that_is_what_it_is_compared_with_has_nothing_to_explain(
    backend: str, x: Real, given: Any, told: str
) -> None:
    result = attribute(MODEL, x, target=0, backend=backend, **given)
    warned = [n for n in result.notes if n.startswith("warning")]
    assert warned == [f"warning: the input is {told}: there is no relevance to share"] * bool(told)


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (MODEL, X[0], r"input 'x' has shape \(2, 40\), the model reads \(any, 2, 40\)"),
        (MODEL, X[..., :39], r"input 'x' has shape \(2, 2, 39\)"),
        (MODEL, X[:0], "input 'x' is empty"),
        (MODEL, X.astype(complex), "input 'x' is of type complex128: real numbers are needed"),
        (MODEL, X.astype(str), "real numbers are needed"),
        (MODEL, {"y": X}, r"inputs \['y'\] given, but the model reads \['x'\]"),
        (MODEL, {}, r"the model reads \['x'\]"),
        (TWO, np.ones((1, 5)), r"the model reads \['a', 'b'\]: give a dict by input name"),
        (TWO, {"a": np.ones((1, 5))}, r"inputs \['a'\] given"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(model: Model, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        attribute(model, inputs, target=0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"target": 3}, "target 3 is out of range"),
        ({"seed": "logits"}, "unknown seed"),
        ({"composite": "LRP"}, "unknown composite"),
        ({"backend": "mlx"}, r"unknown backend 'mlx': installed are \["),
        ({"output": "nought"}, "unknown output 'nought'"),
        ({"overrides": {"nought": "flat"}}, "override 'nought'"),
        ({"dtype": "int32"}, "dtype 'int32'"),
        ({"dtype": "no"}, "dtype 'no'"),
    ],
)
def test_arguments_that_are_none_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attribute(MODEL, X, **{"target": 0, **kwargs})
