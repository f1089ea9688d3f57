"""What is explained is the user's function: its output is compared with the original file's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import listener, model, normal, saved, value
from onnx import TensorProto, helper

import dftlrp
from dftlrp.core.types import InputError, ModelError
from dftlrp.ops import OPS
from dftlrp.tracing import original
from dftlrp.tracing.export import export
from dftlrp.tracing.finder import Sessions

X = normal(2, 1, 400, seed=9)


@pytest.fixture
def wrong_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An op whose evaluation is another function than ONNX's."""
    relu = OPS["Relu"]
    monkeypatch.setitem(OPS, "Relu", replace(relu, evaluate=lambda at: relu.evaluate(at) * 1.01))


@pytest.mark.usefixtures("wrong_relu")
def test_another_function_is_refused_and_the_first_node_that_differs_is_named(tmp_path):
    net = dftlrp.load(saved(listener(), tmp_path))
    with pytest.raises(ModelError, match=r"not the model.*'h1'"):
        dftlrp.attribute(net, X, backend="numpy")
    with pytest.raises(ModelError, match="not the model"):
        dftlrp.predict(net, X, backend="numpy")


def load_wide(folder: Path) -> dftlrp.Model:
    """Load a dense network whose weight W is of more than a megabyte."""
    weights = {"W": normal(400, 700).astype("f4"), "V": normal(700, 3).astype("f4")}
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "W"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "V"], ["y"]),
    ]
    x = value("x", [None, 1, 400], TensorProto.FLOAT)
    return dftlrp.load(saved(model(nodes, [x], [value("y", [None, 3])], weights), folder))


def test_of_large_weights_neither_session_nor_comparison_has_a_copy(tmp_path):
    net = load_wide(tmp_path)
    notes = dftlrp.attribute(net, X, backend="onnx").notes
    assert not [n for n in notes if "not compared" in n or "off the file" in n]
    (session,) = net.cache.part(Sessions).graphs
    assert any(a is net.graph.constants["W"] for a in session.traced.weights.values())
    proto, aside = original._set_weights_aside(original.read_original(net))
    assert set(aside) == {"W"}
    assert len(proto.SerializeToString()) < aside["W"].nbytes / 50


def test_a_large_weight_that_is_not_the_files_own_is_found(tmp_path, monkeypatch):
    net = load_wide(tmp_path)
    monkeypatch.setitem(net.graph.constants, "W", net.graph.constants["W"] + 1)
    with pytest.raises(ModelError, match=r"not the model.*'h'"):
        dftlrp.attribute(net, X, backend="numpy")


def test_a_traced_graph_that_is_another_function_is_refused(tmp_path, monkeypatch):
    from dftlrp.tracing import emit

    monkeypatch.setitem(emit.WRITTEN, "Relu", lambda tape, at, _: abs(at.x))
    net = dftlrp.load(saved(listener(), tmp_path))
    with pytest.raises(ModelError, match="not the model"):
        dftlrp.attribute(net, X, backend="onnx")
    with pytest.raises(ModelError, match="not the model"):
        export(net, tmp_path / "explained.onnx", shapes={"x": (1, 1, 400)})
    assert not (tmp_path / "explained.onnx").exists()


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_it_is_compared_once_for_inputs_of_a_shape(tmp_path, monkeypatch, backend):
    ran = list[Any]()
    run = original._run
    monkeypatch.setattr(original, "_run", lambda *args: ran.append(1) or run(*args))
    net = dftlrp.load(saved(listener(), tmp_path))
    for x in (X, 2 * X, X, X[:1], X[:1]):
        dftlrp.attribute(net, x, backend=backend)
    assert len(ran) == 2


def test_a_file_that_is_gone_or_another_one_is_not_compared_and_that_is_said(tmp_path):
    path = saved(listener(), tmp_path)
    net, other, third = (dftlrp.load(path) for _ in range(3))
    saved(listener(classes=4), tmp_path)
    assert any("another file" in n for n in dftlrp.attribute(net, X).notes)
    path.write_bytes(b"notes of mine")
    assert any("no model any more" in n for n in dftlrp.attribute(third, X).notes)
    Path(path).unlink()
    assert any("not there" in n for n in dftlrp.attribute(other, X).notes)


def test_a_quantised_model_is_explained_with_the_size_of_the_deviation(tmp_path, monkeypatch):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "W"], ["y"]),
    ]
    weights = {"s": np.float32(0.1), "z": np.uint8(128), "W": normal(4, 3)}
    proto = model(nodes, [value("x", [1, 4], TensorProto.FLOAT)], [value("y", [1, 3])], weights)
    net = dftlrp.load(saved(proto, tmp_path))
    quantise = OPS["QuantizeLinear"]
    monkeypatch.setitem(
        OPS, "QuantizeLinear", replace(quantise, evaluate=lambda at: quantise.evaluate(at) + 1)
    )
    notes = dftlrp.attribute(net, normal(1, 4), composite="Epsilon", backend="numpy").notes
    assert any(n.startswith("warning: the output is") and "quantised" in n for n in notes)


@pytest.mark.parametrize("name", ["waveform", "spectrum", "stft", "mel"])
def test_nothing_is_to_be_said_of_the_embedded_models(name):
    e = dftlrp.explain(dftlrp.embedded(name), dftlrp.embedded("clip"))
    assert not [n for n in e.notes if "not compared" in n or "off the file" in n]


# -- what would end the process is refused before onnxruntime sees it


def divide(op: str, dtype: int, divisor: Any) -> Any:
    """Return x times the quotient (or the remainder) of x and a divisor, as integers."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=dtype),
        helper.make_node(op, ["i", "b"], ["d"]),
        helper.make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    return model(nodes, {"x": [None, 4]}, {"y": None}, {"b": divisor})


@pytest.mark.parametrize("backend", ["numpy", "onnx", None])
@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize(
    ("dtype", "divisor", "x", "said"),
    [
        (TensorProto.INT32, np.int32(0), 1.0, "divided by zero"),
        (TensorProto.INT64, np.int64([1, 1, 0, 1]), 1.0, "divided by zero"),
        (TensorProto.UINT8, np.uint8(0), 1.0, "divided by zero"),
        (TensorProto.INT32, np.int32(-1), -(2.0**31), "the least integer"),
        (TensorProto.INT64, np.int64(-1), -(2.0**63), "the least integer"),
    ],
)
def test_integers_that_no_processor_divides_are_refused(
    tmp_path, backend, op, dtype, divisor, x, said
):
    net = dftlrp.load(saved(divide(op, dtype, divisor), tmp_path))
    with pytest.raises(InputError, match=rf"'d' \({op}\).*{said}"):
        dftlrp.attribute(net, np.full((1, 4), x, np.float32), backend=backend)


def test_a_divisor_that_becomes_zero_after_the_first_call_is_refused_too(tmp_path):
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Div", ["c", "i"], ["d"]),
        helper.make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    weights = {"c": np.int32([8] * 4)}
    net = dftlrp.load(saved(model(nodes, {"x": [None, 4]}, {"y": None}, weights), tmp_path))
    dftlrp.attribute(net, np.full((1, 4), 2, np.float32))
    with pytest.raises(InputError, match=r"'d' .*divided by zero"):
        dftlrp.attribute(net, np.zeros((1, 4), np.float32))


def test_nodes_that_the_output_does_not_need_never_run(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("ConstantOfShape", ["huge"], ["dead"]),
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Div", ["i", "zero"], ["trap"]),
    ]
    weights = {"huge": np.array([2**33]), "zero": np.array(0)}
    outputs = [value("y", None), value("dead", None), value("trap", None, TensorProto.INT64)]
    proto = model(nodes, [value("x", [None, 4])], outputs, weights)
    found = dftlrp.attribute(saved(proto, tmp_path), np.ones((1, 4), np.float32), backend="numpy")
    assert found.output.tolist() == [[1, 1, 1, 1]]
