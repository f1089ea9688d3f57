"""The JAX backend: differentiable relevance, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from graphs import Nodes, loaded
from needed import needed

import dftlrp
from dftlrp import attribute
from dftlrp.core.backend import get_backend

needed("jax")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import dftlrp_jax  # isort: skip # noqa: E402

X = np.random.default_rng(5).standard_normal((2, 2, 12))


def net() -> dftlrp.Model:
    n = Nodes(3)
    n.conv("x", "c", (3, 2, 3), pads=[1, 1])
    n.add("Tanh", "c", "t")
    n.add("MaxPool", "t", "p", kernel_shape=[2], strides=[2])
    n.conv("p", "d", (4, 3, 3), strides=[2])
    n.add("Softplus", "d", "s")
    n.add("Flatten", "s", "f")
    n.gemm("f", "z", 8, 3)
    return loaded(n.model({"x": ["B", 2, 12]}, {"z": ["B", 3]}))


@pytest.mark.parametrize("preset", ["EpsilonPlus", "Gradient"])
def test_relevance_is_that_of_attribute_and_differentiable(preset: str) -> None:
    model, weight = net(), net().graph.constants["c_w"]
    toward = np.random.default_rng(6).standard_normal(X.shape)

    def f(x: Any, w: Any) -> Any:
        R = dftlrp_jax.relevance(model, x, 1, preset, parameters={"c_w": w})
        return (R * toward).sum(), R

    with jax.enable_x64(True):
        x, w = jnp.asarray(X), jnp.asarray(weight)
        (_, R), slopes = jax.value_and_grad(f, (0, 1), has_aux=True)(x, w)
        for at, slope in enumerate(slopes):
            way = jnp.asarray(np.random.default_rng(7).standard_normal(slope.shape))
            ends = [[x, w], [x, w]]
            for end, h in zip(ends, (1e-6, -1e-6), strict=True):
                end[at] = end[at] + h * way
            want = float(f(*ends[0])[0] - f(*ends[1])[0]) / 2e-6
            assert float((slope * way).sum()) == pytest.approx(want, rel=1e-5)
    want = attribute(model, X, target=1, composite=preset, backend="numpy").relevance
    np.testing.assert_allclose(R, want, rtol=1e-9, atol=1e-12)


def test_float64_is_there_and_the_users_own_setting_stays() -> None:
    model = net()
    ours = attribute(model, X, target=1, backend="jax", dtype="float64").relevance
    np.testing.assert_allclose(ours, attribute(model, X, target=1, backend="numpy").relevance)
    assert not jax.config.jax_enable_x64
    assert jnp.asarray(X.astype("f4")).dtype == "float32"


def test_a_graph_is_checked_against_its_ops_run_by_jax() -> None:
    assert dftlrp.check(net(), "jax", inputs={"x": X}).ok


def test_errors_say_what_to_do() -> None:
    model = net()
    with pytest.raises(dftlrp.InputError, match=r"no float16 on a CPU: use dtype='float32'"):
        attribute(model, X, backend="jax", dtype="float16")
    with pytest.raises(dftlrp.InputError, match=r"no device 'tpu:7': there are cpu:0"):
        attribute(model, X, backend="jax:tpu:7")
    with pytest.raises(dftlrp.InputError, match=r"call it outside of jax\.jit"):
        jax.jit(lambda x: dftlrp_jax.relevance(model, x))(jnp.asarray(X, "float32"))
    x, bias = jnp.asarray(X, "float32"), jnp.zeros(3, "int32")
    with pytest.raises(dftlrp.InputError, match="several kinds: cpu:0 float32, cpu:0 int32"):
        dftlrp_jax.relevance(model, x, parameters={"c_b": bias})


def test_numbers_of_a_signal_do_not_leave_jax_silently() -> None:
    x = get_backend("jax").signal(np.ones(3))
    with pytest.raises(TypeError, match="would leave jax"):
        np.asarray(x)
    with pytest.raises(TypeError, match="no function for 'sort' of a signal"):
        np.sort(x)
    assert isinstance(np.sqrt(x).tensor, jax.Array)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "import sys; sys.modules['jax'] = None\n"
            "from dftlrp.core.backend import get_backend\n"
            "try: get_backend('jax').signal([1.0])\n"
            "except Exception as error: print(error)",
            "backend 'jax' needs JAX: pip install 'dftlrp[jax]'",
        ),
        (
            "import sys; from dftlrp.core.backend import get_backend; import dftlrp_jax\n"
            "get_backend('jax'), get_backend('jax:gpu:1'); print('jax' in sys.modules)",
            "False",
        ),
    ],
)
def test_jax_is_imported_when_it_is_used_and_its_absence_is_told(script: str, said: str) -> None:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
