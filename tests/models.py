"""Small ONNX models, built by hand, and written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Dims = Sequence[int | str | None]
LABELS = ("low", "middle", "high")


def value(name: str, dims: Dims | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def model(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Dims] | Sequence[onnx.ValueInfoProto],
    outputs: dict[str, Dims] | Sequence[onnx.ValueInfoProto],
    weights: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
) -> ModelProto:
    """A model; inputs and outputs given as dims are float32."""
    tensors = [numpy_helper.from_array(np.asarray(w), n) for n, w in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "g", _values(inputs), _values(outputs), tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8  # any since 4, where initialisers need not be inputs
    helper.set_model_props(made, metadata or {})
    return made


def _values(infos: dict[str, Dims] | Sequence[onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    return [value(*item) for item in infos.items()] if isinstance(infos, dict) else list(infos)


def saved(proto: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def chain(count: int) -> ModelProto:
    """A chain of ``count`` ReLUs."""
    names = ["x", *(f"r{i}" for i in range(count))]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
    return model(nodes, {"x": [1, 4]}, {names[-1]: [1, 4]})


def listener(
    dims: Dims = (None, 1, 400),
    *,
    rate: float | None = 8000,
    labels: Sequence[str] | None = LABELS,
    end: str = "",
    classes: int = 3,
    opset: int = 17,
) -> ModelProto:
    """A classifier of a waveform: two convolutions, pooled over time, one dense layer.

    ``dims``: what it reads, any layout of one channel; ``end``: a final Softmax or the like.
    """
    nodes = [
        helper.make_node("Reshape", ["x", "nct"], ["wave"]),
        helper.make_node("Conv", ["wave", "w1", "b1"], ["c1"], name="conv1", strides=[4]),
        helper.make_node("Relu", ["c1"], ["h1"]),
        helper.make_node("Conv", ["h1", "w2", "b2"], ["c2"], name="conv2", strides=[2]),
        helper.make_node("Relu", ["c2"], ["h2"]),
        helper.make_node("GlobalAveragePool", ["h2"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], name="dense"),
    ]
    if end:
        nodes.append(helper.make_node(end, ["logits"], ["scores"]))
    weights = {
        "w1": normal(4, 1, 16, seed=1),
        "b1": 0.1 * normal(4, seed=2),
        "w2": normal(6, 4, 5, seed=3),
        "b2": 0.1 * normal(6, seed=4),
        "w3": normal(6, classes, seed=5),
        "b3": 0.1 * normal(classes, seed=6),
    }
    sizes = [d if isinstance(d, int) else None for d in dims]
    length = max((d for d in sizes[1:] if d and d > 1), default=None)
    free = [-1, 1, length] if length and not sizes[0] else [sizes[0] or 1, 1, -1]
    weights["nct"] = np.array([1, 1, -1] if len(dims) == 1 else free, np.int64)
    metadata = {} if rate is None else {"sample_rate": f"{rate:g}"}
    if labels is not None:
        metadata["labels"] = str(list(labels)).replace("'", '"')
    outputs: dict[str, Dims] = {"scores" if end else "logits": [None, classes]}
    return model(nodes, {"x": dims}, outputs, weights, opset=opset, metadata=metadata)
