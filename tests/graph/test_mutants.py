"""What the fuzzer of models found, each as the smallest model that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from models import chain, model, saved, value
from onnx import ModelProto, TensorProto, helper

import dftlrp
from dftlrp.cli import main
from dftlrp.core.types import DftlrpError


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


def _endless_loop() -> ModelProto:
    inner = [node("Identity", "c", "d"), node("Relu", "v", "w")]
    body = helper.make_graph(
        inner, "b",
        [value("i", [], TensorProto.INT64), value("c", [], TensorProto.BOOL), value("v", None)],
        [value("d", [], TensorProto.BOOL), value("w", None)],
    )  # fmt: skip
    nodes = [node("Loop", " go x", "l", body=body), node("ReduceSum", "l", "y")]
    return model(nodes, {"x": [1, None]}, {"y": None}, {"go": np.bool_(True)})


def _softmax_of_integers() -> ModelProto:
    nodes = [node("Cast", "x", "i", to=TensorProto.INT64), node("Exp", "i", "e"),
             node("ReduceSum", "e a", "s"), node("Div", "e s", "d"),
             node("Cast", "d", "f", to=TensorProto.FLOAT), node("Mul", "x f", "y")]  # fmt: skip
    return model(nodes, {"x": [1, 4]}, {"y": None}, {"a": np.array([-1])})


def _complex_axis() -> ModelProto:
    nodes = [node("Unsqueeze", "x a", "u"), node("Relu", "u", "y")]
    return model(nodes, {"x": [1, 4]}, {"y": None}, {"a": np.array([1], np.complex64)})


def _complex_input() -> ModelProto:
    proto = chain(1)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX64
    return proto


def _type_attribute() -> ModelProto:
    proto = chain(1)
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    proto.graph.node[0].attribute.append(helper.make_attribute("type", kind))
    return proto


def _names_with_line_breaks() -> ModelProto:
    proto = model([node("Resize", "x  s", "y")], {"x": [1, 4], "s": [2]}, {"y": None})
    proto.graph.node[0].name = "a\nb"
    return proto


def _wide_pool() -> ModelProto:
    nodes = [node("Unsqueeze", "x a", "u"),
             node("MaxPool", "u", "p", kernel_shape=[20_000], auto_pad="SAME_LOWER"),
             node("ReduceSum", "p", "y")]  # fmt: skip
    return model(nodes, {"x": [1, 4]}, {"y": None}, {"a": np.array([1])})


FOUND: dict[str, Callable[[], ModelProto]] = {
    "a loop without an end": _endless_loop,
    "a softmax of integers": _softmax_of_integers,
    "an axis that is complex": _complex_axis,
    "an input that is complex": _complex_input,
    "an attribute that is a type": _type_attribute,
    "names with line breaks": _names_with_line_breaks,
    "a pool far wider than its input": _wide_pool,
}


@pytest.mark.parametrize("name", FOUND)
def test_each_is_refused_in_one_line_or_explained_soon(tmp_path, capsys, name):
    path = saved(FOUND[name](), tmp_path)
    start, refusals = time.process_time(), []
    assert main(["inspect", str(path)]) in {0, 2}
    assert capsys.readouterr().err.count("\n") <= 1
    for backend in ("numpy", "onnx"):
        try:
            found = dftlrp.attribute(path, np.ones((1, 4), np.float32), backend=backend)
            assert np.isfinite(found.relevance).all()
        except DftlrpError as error:
            refusals.append(str(error))
    assert all("\n" not in text for text in refusals)
    assert time.process_time() - start < 15


def test_metadata_that_are_not_utf_8_are_read_escaped(tmp_path):
    proto = chain(1)
    proto.metadata_props.add(key="labels", value="zzzz")
    data = proto.SerializeToString().replace(b"zzzz", b'["\xff]')
    (tmp_path / "m.onnx").write_bytes(data)
    net = dftlrp.load(tmp_path / "m.onnx")
    assert net.labels == ()
    assert net.graph.metadata == {"labels": '["\\xff]'}
