"""Laws of rewriting: functions are inlined within a budget, old opsets raised."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import reference
from graphs import normal
from models import model, saved
from onnx import helper

import dftlrp
from dftlrp.core.types import ModelError

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function("own", name, ["a"], ["b"], list(nodes), OPSETS)


def calls(name: str, *functions: onnx.FunctionProto) -> onnx.ModelProto:
    node = helper.make_node(name, ["x"], ["y"], domain="own")
    proto = model([node], {"x": [1, 4]}, {"y": [1, 4]})
    proto.opset_import.add(domain="own", version=1)
    proto.functions.extend(functions)
    return proto


def chain(levels: int) -> list[onnx.FunctionProto]:
    """f0 calls f1 twice, f1 calls f2 twice, ...: 2^levels nodes."""
    found = [function(f"f{levels}", helper.make_node("Relu", ["a"], ["b"]))]
    for i in range(levels):
        twice = [
            helper.make_node(f"f{i + 1}", [given], [made], domain="own")
            for given, made in (("a", "c"), ("c", "b"))
        ]
        found.append(function(f"f{i}", *twice))
    return found


def test_a_function_is_what_its_nodes_are(tmp_path):
    proto = calls("f", function("f", helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.5)))
    y = reference.predict(dftlrp.load(saved(proto, tmp_path)), np.array([[-2.0, 1, 3, -4]]))
    np.testing.assert_array_equal(y, [[-1, 1, 3, -2]])


def test_functions_that_grow_without_bound_are_refused_before_they_do(tmp_path):
    with pytest.raises(ModelError, match="1073741824 nodes"):
        dftlrp.load(saved(calls("f0", *chain(30)), tmp_path))
    small = dftlrp.load(saved(calls("f0", *chain(3)), tmp_path))
    assert len(small.graph.nodes) >= 8


def test_functions_that_call_each_other_are_refused(tmp_path):
    loop = [
        function(name, helper.make_node(other, ["a"], ["b"], domain="own"))
        for name, other in (("f", "g"), ("g", "f"))
    ]
    with pytest.raises(ModelError, match=r"circle|recurs|own"):
        dftlrp.load(saved(calls("f", *loop), tmp_path))


def test_an_old_opset_is_raised(tmp_path):
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    weights = {n: np.abs(normal(3)).astype(np.float32) for n in "sbmv"}
    x = normal(2, 3, 5).astype(np.float32)
    ys = []
    for opset in (7, 17):
        proto = model(nodes, {"x": [2, 3, 5]}, {"y": [2, 3, 5]}, weights, opset=opset)
        ys.append(reference.predict(dftlrp.load(saved(proto, tmp_path)), x))
    np.testing.assert_array_equal(*ys)
