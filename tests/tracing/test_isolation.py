"""Sessions in a process of their own: the same numbers, and its end is an error."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from models import listener, model, normal, saved
from onnx import TensorProto, helper

import dftlrp
from dftlrp.cli import main
from dftlrp.core.types import InputError, ModelError
from dftlrp.tracing import isolation
from dftlrp.tracing.session import load_runtime

X = normal(2, 1, 400, seed=9)


@pytest.fixture
def isolated(monkeypatch):
    monkeypatch.setenv("DFTLRP_ISOLATE", "1")


def trap() -> Any:
    """A valid model that ends a process: the least integer is divided by -1."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Neg", ["h"], ["n"]),
        helper.make_node("Cast", ["n"], ["i"], to=TensorProto.INT64),
        helper.make_node("Div", ["i", "b"], ["d"]),
        helper.make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    return model(nodes, {"x": [None, 4]}, {"y": None}, {"b": np.array(-1)})


@pytest.fixture
def unguarded(monkeypatch):
    """As if it were not known which integers trap."""
    monkeypatch.setattr("dftlrp.ops.linear.check_divisor", lambda a, b: None)


@pytest.mark.parametrize("backend", ["numpy", "onnx", None])
def test_the_numbers_are_the_same(tmp_path, monkeypatch, backend):
    found = []
    for switch in ("0", "1"):
        monkeypatch.setenv("DFTLRP_ISOLATE", switch)
        net = dftlrp.load(saved(listener(end="Softmax"), tmp_path))
        found.append(dftlrp.attribute(net, X, target=1, backend=backend))
    here, there = found
    np.testing.assert_array_equal(there.relevance, here.relevance)
    np.testing.assert_array_equal(there.output, here.output)
    assert there.ledger.gap == here.ledger.gap


def test_a_child_knows_little_so_that_it_is_ready_soon():
    code = "import dftlrp.tracing.child, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = set(done.stdout.split())
    assert not known & {"onnx", "scipy", "dftlrp.engine.model", "dftlrp.tracing.session"}


@pytest.mark.usefixtures("isolated")
def test_a_child_that_was_started_early_is_the_one_that_is_asked(monkeypatch):
    isolation._close_children()
    isolation.prepare_child()
    (early,) = isolation._CHILDREN
    assert load_runtime(listener().SerializeToString()).child is early
    isolation._close_children()
    monkeypatch.setenv("DFTLRP_ISOLATE", "0")
    isolation.prepare_child()
    assert all(child.process.poll() is not None for child in isolation._CHILDREN)


@pytest.mark.usefixtures("isolated", "unguarded")
@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_the_end_of_the_child_names_model_and_node_and_the_next_call_works(tmp_path, backend):
    path = saved(trap(), tmp_path)
    big = np.full((1, 4), 2.0**63, np.float32)
    with pytest.raises(ModelError, match=r"model.onnx: .*\(SIGFPE\) at node 'd' \(Div\)"):
        dftlrp.attribute(path, big, backend=backend)
    net = dftlrp.load(saved(listener(), tmp_path, "other.onnx"))
    assert np.isfinite(dftlrp.attribute(net, X, backend=backend).relevance).all()


@pytest.mark.usefixtures("isolated")
def test_a_child_that_is_killed_is_an_error_and_replaced(tmp_path):
    net = dftlrp.load(saved(listener(), tmp_path))
    dftlrp.attribute(net, X, target=1)
    (child,) = isolation._CHILDREN
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    with pytest.raises(ModelError, match="SIGKILL"):
        dftlrp.attribute(net, X, target=1)
    again = dftlrp.load(saved(listener(), tmp_path))
    assert dftlrp.attribute(again, X, target=1).relevance.any()


@pytest.mark.usefixtures("isolated")
def test_a_child_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "SECONDS", 0.5)
    net = dftlrp.load(saved(listener(), tmp_path))
    (child,) = isolation._CHILDREN[:1] or [isolation._find_child()]
    os.kill(child.process.pid, signal.SIGSTOP)
    with pytest.raises(ModelError, match=r"more than 0.5 s"):
        dftlrp.attribute(net, X, target=1, backend="onnx")


@pytest.mark.usefixtures("isolated")
def test_what_onnxruntime_refuses_is_refused_as_here():
    with pytest.raises(InputError, match="onnxruntime cannot load"):
        load_runtime(b"no model")
    with pytest.raises(InputError, match="execution provider"):
        load_runtime(listener().SerializeToString(), "Nowhere")


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize(
    "array", [np.zeros((0, 3), np.float32), np.array(3, np.int64), np.array([True]),
              np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)],
)  # fmt: skip
def test_arrays_of_every_kind_come_back_as_they_were_sent(array):
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    given = helper.make_tensor_value_info("x", kind, [None] * array.ndim)
    made = helper.make_tensor_value_info("y", kind, None)
    proto = model([helper.make_node("Identity", ["x"], ["y"])], [given], [made])
    (y,) = load_runtime(proto.SerializeToString()).run(None, {"x": array})
    assert y.dtype == array.dtype
    np.testing.assert_array_equal(y, array)


@pytest.mark.usefixtures("isolated")
def test_sessions_that_nobody_holds_are_dropped():
    runtime = load_runtime(listener().SerializeToString())
    child, key = runtime.child, runtime.key
    del runtime
    gc.collect()
    assert key in child.dropped


def test_the_command_line_isolates_unless_told_otherwise(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DFTLRP_ISOLATE", raising=False)
    asked = list[str | None]()
    here = isolation.is_isolated
    monkeypatch.setattr(
        "dftlrp.tracing.session.is_isolated", lambda: asked.append(here()) or here()
    )
    path = str(saved(listener(), tmp_path))
    for option, wanted in (([], True), (["--no-isolate"], False), (["--isolate"], True)):
        asked.clear()
        assert main(["check", path, *option]) == 0
        assert set(asked) == {wanted}
    monkeypatch.setenv("DFTLRP_ISOLATE", "0")
    asked.clear()
    assert main(["check", path]) == 0
    assert set(asked) == {False}
    assert os.environ["DFTLRP_ISOLATE"] == "0"
