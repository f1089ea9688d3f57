"""Keras models as models: what they compute, their names, and errors that say what to do."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from keras_models import MODELS, L, keras, made, tf
from traced import error

import dftlrp
from dftlrp.engine.composites import PRESETS

import dftlrp_tensorflow  # isort: skip


@cache
def loaded(name: str) -> dftlrp.Model:
    return dftlrp.load(made(name)[0])


NAMES = {
    "conv1d": {"c1", "norm", "c2", "out"},
    "conv2d": {"c1", "c2", "out"},
    "separable": {"c1", "c2", "out"},
    "lstm": {"c1", "c2", "out"},
    "bidirectional": {"both/forward_c1", "both/backward_c1", "out"},
    "attention": {"c1", "heads/value", "heads/attention_output", "norm", "out"},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_computes_what_keras_does(name: str) -> None:
    native, x = made(name)
    want = native(x, training=False).numpy()
    np.testing.assert_allclose(dftlrp.predict(loaded(name), x).output, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", MODELS)
def test_relevance_is_conserved_and_of_every_backend(name: str, preset: str) -> None:
    model, x = loaded(name), made(name)[1]
    how = {"target": 1, "composite": preset}
    want = dftlrp.attribute(model, x, backend="numpy", **how)
    ours = dftlrp.attribute(model, x, backend="tensorflow", dtype="float64", **how)
    assert np.isfinite(want.relevance).all()
    assert np.abs(want.relevance).sum() > 0
    assert max(want.ledger.gap, ours.ledger.gap) < 1e-10
    assert error(ours.relevance, want.relevance) < 1e-10
    single = dftlrp.attribute(model, x, backend="tensorflow", dtype="float32", **how)
    assert error(single.relevance, want.relevance) < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_layers_carry_kerass_names(name: str) -> None:
    native, x = made(name)
    table = loaded(name).table("Epsilon")
    assert {n for layer in table.layers for n in layer.names} >= NAMES[name]
    chosen = dftlrp.attribute(native, x, composite="Epsilon", overrides={"out": "gamma"}).table
    assert [la.key for la in chosen.layers if la.rule_name.startswith("gamma")] == ["out/MatMul:0"]


def test_explain_and_attribute_take_the_model_itself() -> None:
    native, x = made("conv1d")
    loaded = dftlrp.attribute(dftlrp_tensorflow.load(native), x, target=1)
    np.testing.assert_array_equal(dftlrp.attribute(native, x, target=1).relevance, loaded.relevance)
    waves = keras.Sequential([L.Input((256, 1)), L.Conv1D(4, 8, 4), L.Flatten(), L.Dense(3)])
    explained = dftlrp.explain(waves, 0.1 * np.sin(np.arange(256.0)), rate=8000, target=1)
    assert np.isfinite(explained.relevance["time"]).all()


def test_outputs_bear_the_models_own_names() -> None:
    x = keras.Input((4,), name="x")
    two = {"b": L.Dense(2)(x), "a": L.Dense(3)(x)}
    assert list(dftlrp.load(keras.Model(x, two)).graph.outputs) == ["a", "b"]
    assert list(dftlrp.load(keras.Model(x, list(two.values()))).graph.outputs) == [
        "output.0", "output.1",
    ]  # fmt: skip
    assert list(dftlrp.load(keras.Model(x, two["a"])).graph.outputs) == ["output"]


def test_several_inputs_are_told_apart() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    model = dftlrp.load(keras.Model({"b": b, "a": a}, L.Dense(2)(L.Concatenate()([a, b]))))
    given = {"a": np.ones((1, 4)), "b": np.ones((1, 2))}
    assert dftlrp.attribute(model, given).relevance["b"].shape == (1, 2)


def test_layers_are_as_they_were_before() -> None:
    native, x = made("lstm")
    before = native(x).numpy()
    dftlrp.load(native)
    assert not any("call" in vars(layer) for layer in native.layers)
    np.testing.assert_array_equal(native(x).numpy(), before)


def test_a_model_is_loaded_as_it_infers() -> None:
    noisy = keras.Sequential([L.Input((4,)), L.Dense(3), L.Dropout(0.9), L.Dense(2)])
    x = np.ones((2, 4), np.float32)
    want = noisy(x, training=False).numpy()
    got = dftlrp.predict(dftlrp.load(noisy), x).output
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


class Subclass(keras.Model):  # type: ignore[misc]
    def __init__(self, step: Any) -> None:
        super().__init__(name="mine")
        self.dense, self.step = L.Dense(3, name="dense"), step

    def call(self, x: Any) -> Any:
        return self.step(self.dense(x))


def test_a_subclass_is_loaded_by_an_example() -> None:
    native, x = Subclass(tf.nn.relu), np.ones((2, 4), np.float32)
    want = native(x).numpy()
    model = dftlrp.load(native, example=x)
    np.testing.assert_allclose(dftlrp.predict(model, x[:1]).output, want[:1], rtol=1e-5)
    assert any("dense" in layer.names for layer in model.table().layers)


def test_what_cannot_be_loaded_is_refused_by_name() -> None:
    x = np.ones((2, 4), np.float32)
    with pytest.raises(dftlrp.InputError, match=r"^mine does not say what it reads: give an exam"):
        dftlrp.load(Subclass(tf.nn.relu))
    with pytest.raises(
        dftlrp.ModelError, match=r"^mine cannot be exported: tf2onnx: the control flow"
    ):
        dftlrp.load(Subclass(lambda y: y if tf.reduce_sum(y) > 0 else -y), example=x)
    with pytest.raises(
        dftlrp.ModelError, match=r"^mine cannot be exported: .*no operators for Lgamma"
    ):
        dftlrp.load(Subclass(tf.math.lgamma), example=x)
    native = Subclass(tf.nn.relu)
    native(x)
    with pytest.raises(dftlrp.InputError, match=r"^mine does not run on input \(2, 5\): ValueE"):
        dftlrp.load(native, example=np.ones((2, 5)))


def test_another_keras_backend_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(dftlrp.InputError, match=r"^Keras computes by jax: set KERAS_BACKEND=tens"):
        dftlrp.load(keras.Sequential([L.Input((4,)), L.Dense(3)]))


def test_nothing_is_written_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    native, opened = made("conv1d")[0], []

    def hook(event: str, args: Any) -> None:
        if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            opened.append(args[0])

    sys.addaudithook(hook)
    dftlrp.load(native)
    assert opened == []
