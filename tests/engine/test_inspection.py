"""Laws of `inspect`: the layers as users know them, and refusals with their reasons."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import reference
from graphs import Nodes, loaded, normal
from models import model, saved
from onnx import helper

import dftlrp
from dftlrp.cli import main
from dftlrp.core.types import InputError


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def named(found):
    return {layer.name: layer for layer in found.layers}


def test_the_layers_of_an_embedded_model():
    found = dftlrp.inspect(dftlrp.embedded("waveform"))
    layers = named(found)
    assert next(iter(layers)) == "conv1"
    assert list(layers)[-1] == "logits"
    conv = layers["conv2"]
    assert (conv.op, conv.shape, conv.parameters, conv.receptive_field) == (
        "Conv", (1, 64, 500), 12800, 125,
    )  # fmt: skip
    assert conv.rule == "gamma(gamma=0.1)"
    assert layers["logits"].receptive_field is None
    assert sum(la.parameters for la in found.layers) == 285352
    assert found.refused == ()


def test_the_rules_are_those_that_explain_would_use():
    model = dftlrp.load(dftlrp.embedded("waveform"))
    how = {"composite": "EpsilonPlus", "overrides": {"first": "flat"}}
    a = reference.attribute(model, normal(1, 1, 8000), **how)
    found = dftlrp.inspect(model, **how)
    assert [(la.name, la.rule) for la in found.layers] == [
        (la.key, la.rule_name) for la in a.table.layers
    ]


def test_merged_nodes_are_one_layer_with_all_their_names():
    n = Nodes()
    n.add("Conv", "x w", "c")
    n.add("Add", "c b", "y")
    n.weights |= {"w": normal(4, 2, 3), "b": normal(4, 1)}
    found = dftlrp.inspect(loaded(n.model({"x": [1, 2, 9]}, {"y": None})))
    (layer,) = found.layers
    assert (layer.name, layer.op, layer.parameters) == ("c", "Conv", 28)
    assert {"y", "n_c", "n_y"} <= set(layer.names)


def test_what_is_refused_is_told_with_its_reason(tmp_path, capsys):
    n = Nodes()
    n.add("Relu", "x", "a")
    n.add("Bernoulli", "a", "y")
    path = saved(n.model({"x": [1, 4]}, {"y": [1, 4]}), tmp_path)
    assert main(["inspect", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["refused"] == [{"name": "y", "op": "Bernoulli", "reason": "the op is not known"}]
    assert found["layers"] == []
    assert main(["inspect", str(path)]) == 0
    assert "y (Bernoulli): the op is not known" in capsys.readouterr().out


def test_json_and_text_tell_the_same(capsys):
    assert main(["inspect", "stft", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["inspect", "stft"]) == 0
    text = capsys.readouterr().out
    for layer in found["layers"]:
        assert layer["name"] in text
        assert set(layer) >= {"name", "op", "shape", "rule", "parameters", "receptive_field"}
    assert found["bound"] == {}


def test_an_open_shape_is_given_or_guessed():
    n = Nodes()
    n.add("Conv", "x w", "y")
    n.weights["w"] = normal(2, 1, 300)
    model = loaded(n.model({"x": ["B", 1, "T"]}, {"y": None}))
    assert dftlrp.inspect(model).probe == {"x": (1, 1, 1024)}
    assert dftlrp.inspect(model, shapes={"x": (3, 1, 400)}).layers[0].shape == (3, 2, 101)
    with pytest.raises(InputError, match="--shape"):
        dftlrp.inspect(model, shapes={"z": (1,)})


@pytest.mark.parametrize("shape", ["x=", "x=1,a", "x=0", "x"])
def test_a_bad_shape_is_one_line(shape, capsys):
    assert main(["inspect", "waveform", "--shape", shape]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_float_weights_are_counted_once():
    n = Nodes()
    n.add("MatMul", "x w", "h")
    n.add("Relu", "h", "r")
    n.add("MatMul", "r w", "y")
    n.weights["w"] = np.eye(4)
    found = dftlrp.inspect(loaded(n.model({"x": [1, 4]}, {"y": None})))
    assert [la.parameters for la in found.layers] == [16, 0, 16]


@pytest.mark.parametrize("dims", [(1, 2**28), (2**40,), (2**31, 2**31, 2**31), (70_000, 1000, 1)])
def test_a_declared_shape_is_not_made_unless_it_is_asked_for(tmp_path, dims):
    x = node("Relu", "x", "y")
    path = saved(model([x], {"x": dims}, {"y": None}), tmp_path)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"made on request only\): give --shape"):
        dftlrp.inspect(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_two_open_axes_are_probed_as_long_as_the_probe_is_small(tmp_path):
    path = saved(model([node("Relu", "x", "y")], {"x": [None, None, None]}, {"y": None}), tmp_path)
    assert dftlrp.inspect(path).probe == {"x": (1, 64, 64)}


def test_what_the_probe_would_need_is_bounded_unless_its_shape_is_given(tmp_path):
    nodes = [node("Mul", "x w", "y"), node("ReduceSum", "y a", "z", keepdims=0)]
    weights = {"w": np.ones((48, 1), np.float32), "a": np.array([1])}
    path = saved(model(nodes, {"x": [1, 1, 2**21]}, {"z": None}, weights), tmp_path)
    with pytest.raises(InputError, match=r"too large.*give --shape"):
        dftlrp.inspect(path)
    assert dftlrp.inspect(path, shapes={"x": (1, 1, 2**21)}).layers
