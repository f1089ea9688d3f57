"""The TensorFlow backend: differentiable relevance, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, Nodes, loaded, signals
from keras_models import tf

import dftlrp
from dftlrp import attribute
from dftlrp.core.backend import get_backend

import dftlrp_tensorflow  # isort: skip

SMOOTH = ("Epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGammaBox", "AttnLRP", "Gradient")


def smooth_net() -> dftlrp.Model:
    n = Nodes(3)
    n.conv("x", "c", (3, 2, 3), pads=[1, 1])
    n.add("Tanh", "c", "t")
    n.add("AveragePool", "t", "p", kernel_shape=[2], strides=[2])
    n.conv("p", "d", (4, 3, 3), strides=[2])
    n.add("Softplus", "d", "s")
    n.add("Flatten", "s", "f")
    n.gemm("f", "z", 8, 3)
    return loaded(n.model({"x": ["B", 2, 12]}, {"z": ["B", 3]}))


@pytest.mark.parametrize("preset", SMOOTH)
def test_relevance_is_differentiable_in_input_and_weights(preset: str) -> None:
    model, rng = smooth_net(), np.random.default_rng(5)
    x = tf.constant(rng.standard_normal((2, 2, 12)))
    own = {k: tf.constant(w) for k, w in model.graph.constants.items() if w.dtype.kind == "f"}
    toward = tf.constant(rng.standard_normal((2, 2, 12)))
    ways = [tf.constant(rng.standard_normal(a.shape)) for a in (x, *own.values())]

    def f(step: float) -> Any:
        x_, *weights = (a + step * way for a, way in zip((x, *own.values()), ways, strict=True))
        given = dict(zip(own, weights, strict=True))
        R = dftlrp_tensorflow.relevance(model, x_, 1, preset, parameters=given)
        return tf.reduce_sum(toward * R)

    step = tf.Variable(0.0, dtype="float64")
    with tf.GradientTape() as tape:
        y = f(step)
    slope, h = float(tape.gradient(y, step)), 1e-6
    want = float(f(h) - f(-h)) / (2 * h)
    assert abs(want) > 1e-3
    assert slope == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_relevance_of_tensors_is_that_of_attribute(network: str) -> None:
    proto = NETWORKS[network]()
    model, given = loaded(proto), signals(proto)
    tensors = {k: tf.Variable(x) for k, x in given.items()}
    with tf.GradientTape() as tape:
        ours = dftlrp_tensorflow.relevance(model, tensors, "argmax", "EpsilonPlus")
        loss = tf.add_n([tf.reduce_sum(R**2) for R in ours.values()])
    want = attribute(model, given, composite="EpsilonPlus", backend="numpy").relevance
    for key, R in ours.items():
        np.testing.assert_allclose(R.numpy(), want[key], rtol=1e-9, atol=1e-12)
    assert all(float(tf.reduce_sum(abs(g))) > 0 for g in tape.gradient(loss, tensors).values())


def test_numbers_of_a_signal_do_not_leave_tensorflow_silently() -> None:
    bk = get_backend("tensorflow")
    x = bk.signal(np.ones(3))
    with pytest.raises(TypeError, match="would leave tensorflow"):
        np.asarray(x)
    with pytest.raises(TypeError, match="no function for 'sort' of a signal"):
        np.sort(x)
    assert np.sort(bk.asarray(np.ones(3))).tolist() == [1, 1, 1]
    assert tf.is_tensor(np.sqrt(x).tensor)


def test_a_device_is_named_as_tensorflow_does() -> None:
    names = {get_backend(f"tensorflow:{name}").device for name in ("/CPU:0", "cpu:0", "CPU:0")}
    assert names == {"CPU:0"}
    model, x = smooth_net(), np.ones((1, 2, 12))
    here = attribute(model, x, backend="tensorflow:/CPU:0").relevance
    np.testing.assert_array_equal(here, attribute(model, x, backend="tensorflow").relevance)


def test_errors_say_what_to_do() -> None:
    model, x = smooth_net(), np.ones((1, 2, 12))
    with pytest.raises(dftlrp.InputError, match=r"no float16 on a CPU: use dtype='float32'"):
        attribute(model, x, backend="tensorflow", dtype="float16")
    with pytest.raises(dftlrp.InputError, match="no device 'TPU:7': there are CPU:0"):
        attribute(model, x, backend="tensorflow:/TPU:7")
    x = tf.constant(x)
    with pytest.raises(dftlrp.InputError, match=r"parameter '9.weight': the file has"):
        dftlrp_tensorflow.relevance(model, x, parameters={"9.weight": x})
    with pytest.raises(dftlrp.InputError, match=r"parameter 'c_b' has shape \(1, 2, 12\)"):
        dftlrp_tensorflow.relevance(model, x, parameters={"c_b": x})
    with pytest.raises(dftlrp.InputError, match="several kinds: CPU:0 float32, CPU:0 float64"):
        dftlrp_tensorflow.relevance(model, x, parameters={"c_b": tf.zeros(3)})
    with pytest.raises(dftlrp.InputError, match="type int64: floats are needed"):
        dftlrp_tensorflow.relevance(model, tf.cast(x, tf.int64))
    with pytest.raises(dftlrp.InputError, match=r"call it outside of tensorflow\.function"):
        tf.function(lambda: dftlrp_tensorflow.relevance(model, x), autograph=False)()


def printed(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_without_tensorflow_the_error_names_the_extra() -> None:
    said = printed(
        "import sys; sys.modules['tensorflow'] = None\n"
        "from dftlrp.core.backend import get_backend\n"
        "try: get_backend('tensorflow').signal([1.0])\n"
        "except Exception as error: print(error)"
    )
    assert said == "backend 'tensorflow' needs TensorFlow: pip install 'dftlrp[tensorflow]'"


def test_the_backend_is_found_without_importing_tensorflow() -> None:
    said = printed(
        "import sys; from dftlrp.core.backend import get_backend; import dftlrp_tensorflow\n"
        "get_backend('tensorflow'), get_backend('tensorflow:/GPU:0')\n"
        "print({'tensorflow', 'keras', 'tf2onnx'} & set(sys.modules))"
    )
    assert said == "set()"
