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
from dftlrp.core.types import ModelError
from dftlrp.ops import OPS
from dftlrp.tracing import original
from dftlrp.tracing.export import export

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
    net, other = dftlrp.load(path), dftlrp.load(path)
    saved(listener(classes=4), tmp_path)
    assert any("another file" in n for n in dftlrp.attribute(net, X).notes)
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
    assert not [n for n in e.notes if "compared" in n or "off the file" in n]
