"""A Keras model is explained as the function that it is, or refused by its layer's name."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from keras_models import L, keras, tf
from needed import needed

import dftlrp

needed("tf2onnx")
needed("dftlrp_tensorflow")
from dftlrp_tensorflow import conversion, keras_calls, loading  # noqa: E402

ops = keras.ops
RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(20, 20))


def compute_in(dtype: str) -> None:
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    compute_in("float64")
    yield
    compute_in("float32")


class Step(L.Layer):  # type: ignore[misc]
    """A function as a layer."""

    def __init__(self, f: Any, name: str = "step") -> None:
        super().__init__(name=name)
        self.f = f

    def call(self, x: Any) -> Any:
        return self.f(x)


def net(layer: Any, *shape: int) -> Any:
    """Return a model of the layer with a dense layer behind it."""
    keras.utils.set_random_seed(0)
    x = keras.Input(shape)
    y = layer(x)
    return keras.Model(x, L.Dense(3, name="out")(L.Flatten()(y) if len(y.shape) > 2 else y))


def check_against_tape(model: Any, allowed: float = 1e-6) -> dftlrp.Model:
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:]))
    wide = tf.Variable(x, dtype=model.inputs[0].dtype)
    with tf.GradientTape() as tape:
        z = model(wide, training=False)
        one = tf.reduce_sum(z[:, 1])
    want = (tape.gradient(one, wide) * wide).numpy()
    loaded = dftlrp.load(model)
    ours = dftlrp.attribute(loaded, wide.numpy(), target=1, composite="Gradient", backend="numpy")
    np.testing.assert_allclose(ours.output, z, atol=allowed * np.abs(z).max())
    np.testing.assert_allclose(ours.relevance, want, atol=allowed * np.abs(want).max())
    return loaded


def refused(model: Any, example: Any = None) -> str:
    with pytest.raises(dftlrp.DftlrpError) as error:
        dftlrp.load(model, example=example)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    return str(error.value)


def adapted(features: int = 6) -> Any:
    layer = L.Normalization()
    layer.adapt(3 * RNG.normal(size=(50, features)) + 1)
    return layer


LAYERS = {
    "Normalization": (adapted, (5, 6)),
    "Normalization of many features": (lambda: adapted(200), (200,)),
    "Rescaling": (lambda: L.Rescaling(2.0, 0.5), (5, 6)),
    "Resizing": (lambda: L.Resizing(7, 9), (20, 6, 2)),
    "Resizing to the nearest": (lambda: L.Resizing(7, 9, interpolation="nearest"), (20, 6, 2)),
    "exact GELU": (lambda: Step(lambda x: keras.activations.gelu(x, approximate=False)), (5, 6)),
    "GELU": (lambda: Step(keras.activations.gelu), (5, 6)),
    "CELU": (lambda: L.Activation("celu"), (5, 6)),
    "STFTSpectrogram": (
        lambda: L.STFTSpectrogram("log", frame_length=16, frame_step=8, fft_length=16), (64, 1),
    ),
    "rfft": (lambda: Step(lambda x: ops.concatenate(ops.rfft(x), -1)), (16,)),
    "fft": (lambda: Step(lambda x: ops.concatenate(ops.fft((x, x * x)), -1)), (16,)),
    "TensorFlow's STFT": (lambda: Step(lambda x: tf.abs(tf.signal.stft(x, 8, 4))), (16,)),
    "a constant": (lambda: Step(lambda x: x @ tf.constant(MATRIX)), (20,)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_right(name: str) -> None:
    make, shape = LAYERS[name]
    check_against_tape(net(make(), *shape))


def test_a_mel_spectrogram_is_right() -> None:
    compute_in("float32")  # Keras' own does not run in float64
    layer = L.MelSpectrogram(
        fft_length=64, sequence_stride=32, sampling_rate=8000, num_mel_bins=8, max_freq=4000.0
    )
    check_against_tape(net(layer, 200), allowed=1e-5)


@pytest.mark.slow  # tf2onnx takes seconds for a loop
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN"])
def test_what_is_masked_is_right(cell: str) -> None:
    masked = keras.Sequential([L.Masking(), getattr(L, cell)(4)])
    model = check_against_tape(net(masked, 5, 3))
    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    x[:, 3:] = 0
    relevance = dftlrp.attribute(model, x, target=1, composite="Epsilon").relevance
    assert np.abs(relevance[:, :3]).sum() > 0
    assert np.abs(relevance[:, 3:]).sum() == 0


REFUSED = {
    "an op": (lambda: Step(tf.math.lgamma), "no operators for Lgamma (layer 'step')"),
    "a table of weights": (
        lambda: L.Resizing(7, 9, interpolation="bicubic", name="sized"), "at 'sized'",
    ),
    "an angle": (lambda: Step(lambda x: tf.math.angle(tf.signal.rfft(x))), "no operators for RFFT"),
    "random numbers": (
        lambda: Step(lambda x: x + tf.random.normal(tf.shape(x), dtype=x.dtype), "noisy"),
        "gives something else at each call in its layer 'noisy'",
    ),
    "complex numbers": (lambda: Step(tf.signal.rfft), "complex: give its magnitude"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_right_is_refused_by_its_layer(name: str) -> None:
    make, told = REFUSED[name]
    x = keras.Input((20, 6, 2))
    y = make()(x)
    model = keras.Model(x, y if name == "complex numbers" else L.Dense(3)(L.Flatten()(y)))
    assert told in refused(model)


def test_a_graph_that_is_another_function_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = conversion._write_onnx

    def wrong(*given: Any) -> Any:
        proto = whole(*given)
        bias = next(w for w in proto.graph.initializer if "out/" in w.name and len(w.dims) == 1)
        bias.raw_data = (np.frombuffer(bias.raw_data) + 0.01).tobytes()
        return proto

    monkeypatch.setattr(conversion, "_write_onnx", wrong)
    model = net(L.Dense(4), 6)
    for v in model.trainable_variables:
        v.assign(v + 0.1)
    told = refused(model)
    assert "cannot be exported: tf2onnx: at the example its graph is off by " in told
    assert "at 'out'" in told
    assert "Advice: " in told


def test_only_another_input_tells_that_a_graph_is_wrong() -> None:
    class Frozen(keras.Model):  # type: ignore[misc]
        """What it computes in a graph is what it computed last outside of one."""

        last = 1.0

        def call(self, x: Any) -> Any:
            if tf.executing_eagerly():
                self.last = float(x[0, 0])
            return x * self.last

    told = refused(Frozen(name="mine"), example=RNG.normal(size=(2, 3)))
    assert told.startswith("mine cannot be exported: ")


def test_a_model_that_works_on_one_batch_size_has_that() -> None:
    class Fixed(keras.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return ops.reshape(x, (2, 6)) + 1

    model = dftlrp.load(Fixed(name="mine"), example=np.ones((2, 3, 2)))
    assert next(iter(model.graph.inputs.values())).dims == (2, 3, 2)


def test_a_model_is_left_as_it_was_and_refused_where_it_remembers() -> None:
    x = keras.Input(batch_shape=(2, 4, 3))
    model = keras.Model(x, L.GRU(2, stateful=True, name="cell")(x))
    model(np.ones((2, 4, 3)))
    before = [v.numpy() for v in model.variables]
    told = refused(model)
    assert "keeps 'cell/" in told
    assert "from call to call" in told
    for v, a in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), a)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_what_has_no_numbers_on_noise_asks_for_an_example() -> None:
    model = net(Step(lambda x: ops.log(x - 100.0), "far"), 4)
    assert "numbers that are not finite: give an example, batch first" in refused(model)
    dftlrp.load(model, example=np.full((1, 4), 101.0))


def test_open_axes_get_a_length_on_which_the_model_runs() -> None:
    x = keras.Input((None, 2))
    y = L.GlobalAveragePooling1D()(L.Conv1D(3, 20)(x))  # not on 16 samples
    model = dftlrp.load(keras.Model(x, L.Dense(2)(y)))
    assert next(iter(model.graph.inputs.values())).dims == (None, None, 2)


def test_the_coarsest_layer_tells_how_exact_a_model_is() -> None:
    x = keras.Input((4,))
    y = L.Dense(3, dtype="mixed_float16")(L.Dense(3)(x))
    assert keras_calls.find_coarsest(keras.Model(x, y)) == "float16"
    assert keras_calls.find_coarsest(keras.Model(x, L.Dense(3)(x))) == "float64"


def test_nothing_that_tf2onnx_says_reaches_the_terminal(capfd: Any) -> None:
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    right, wrong = net(L.Dense(2), 4), net(Step(tf.math.lgamma), 4)
    capfd.readouterr()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            dftlrp.load(right)
            refused(wrong)
    finally:
        logging.getLogger().removeHandler(handler)
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in said] == []
    assert loading.ADVICE in refused(wrong)
