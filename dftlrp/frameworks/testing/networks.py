"""The networks of the conformance suite, with inputs for them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from dftlrp.core.types import Real
from dftlrp.engine.model import Model, load
from dftlrp.frameworks.testing.laws import draw


def make_convolutions() -> tuple[Model, Real]:
    """Return convolutions, both kinds of pool, BatchNorm, a residual sum and a dense layer."""
    nodes = [
        ("Conv", "x w1 b1", "c1", {"pads": [1, 1]}),
        ("BatchNormalization", "c1 g s m v", "n1", {}),
        ("Relu", "n1", "r1", {}),
        ("MaxPool", "r1", "p1", {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
        ("Conv", "p1 w2", "c2", {"pads": [1, 1]}),
        ("Tanh", "c2", "t2", {}),
        ("Add", "t2 p1", "a", {}),
        ("AveragePool", "a", "p2", {"kernel_shape": [2], "strides": [2]}),
        ("Flatten", "p2", "f", {}),
        ("Gemm", "f w3 b3", "z", {}),
    ]
    weights = {
        "w1": draw(4, 2, 3), "b1": draw(4), "g": draw(4), "s": draw(4, seed=2),
        "m": draw(4, seed=3), "v": np.abs(draw(4)) + 0.5, "w2": draw(4, 4, 3) / 3,
        "w3": draw(20, 3) / 4, "b3": draw(3),
    }  # fmt: skip
    return _build_network(nodes, weights, (2, 20))


def make_attention() -> tuple[Model, Real]:
    """Return attention between dense layers, with LayerNorm and a gate."""
    nodes = [
        ("MatMul", "x w1", "h", {}),
        ("LayerNormalization", "h g s", "n", {}),
        ("Transpose", "n", "k", {"perm": [0, 2, 1]}),
        ("MatMul", "n k", "qk", {}),
        ("Softmax", "qk", "p", {"axis": -1}),
        ("MatMul", "p n", "o", {}),
        ("Sigmoid", "h", "gate", {}),
        ("Mul", "o gate", "u", {}),
        ("ReduceMean", "u", "mean", {"axes": [1], "keepdims": 0}),
        ("MatMul", "mean w2", "z", {}),
    ]
    weights = {
        "w1": draw(3, 4),
        "g": draw(4),
        "s": draw(4, seed=2),
        "w2": draw(4, 3),
    }
    return _build_network(nodes, weights, (5, 3))


def _build_network(
    nodes: list[Any], weights: dict[str, Real], shape: tuple[int, ...]
) -> tuple[Model, Real]:
    made = [helper.make_node(op, x.split(), [y], **attrs) for op, x, y, attrs in nodes]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["B", *dims])]
        for name, dims in (("x", shape), ("z", (3,)))
    )
    tensors = [numpy_helper.from_array(w, name) for name, w in weights.items()]
    model = helper.make_model(
        helper.make_graph(made, "net", inputs, outputs, tensors),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return load(path), draw(2, *shape, seed=4)
