"""Operators of ``ai.onnx.ml``, as exporters of scikit-learn pipelines write them.

Each stands for plain nodes: a scaler is a subtraction and a product, a linear model one Gemm and
what turns its scores into probabilities.  Labels (of a classifier, of ``LabelEncoder``) are no
numbers that relevance could start from; a model that ends in them is explained at its scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.types import UnsupportedModelError
from dftlrp.graph.structure import Node
from dftlrp.ops.registry import Known, register_expansion

DOMAIN = "ai.onnx.ml"
FLOAT = 1  # TensorProto.FLOAT
ENDS = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}


class _Parts:
    """The nodes that one node stands for; all of them are one layer."""

    def __init__(self, node: Node) -> None:
        self.node, self.nodes = node, list[Node]()

    def add(self, name: str, op: str, *inputs: str, **attrs: Any) -> str:
        """Add a node and return the name of its value; ``""`` names the node's own output."""
        output = f"{self.node.output}/{name}" if name else self.node.output
        self.nodes.append(
            replace(
                Node(output, op, inputs, attrs, alias=self.node.alias),
                layer_key=self.node.output,
                layer_op=self.node.op,
            )
        )
        return output

    def add_constant(self, name: str, value: Any) -> str:
        """Add float numbers."""
        return self.add(name, "Constant", value=np.asarray(value, np.float32))


def _find_end_op(node: Node) -> str:
    """Return the op that makes a linear model's scores probabilities."""
    end = str(node.attrs.get("post_transform", "NONE"))
    if end not in ENDS:
        raise UnsupportedModelError(
            f"node {node.key!r} ({node.op}): post_transform {end!r} carries no relevance: "
            f"known are {', '.join(ENDS)}"
        )
    return ENDS[end]


def _add_scores(parts: _Parts, coefficients: Any, rows: int) -> str:
    """Add ``x W^T + b`` and return its name; W has so many rows."""
    node = parts.node
    W = np.asarray(coefficients, np.float32).reshape(rows, -1)
    b = np.zeros(rows) if "intercepts" not in node.attrs else node.attrs["intercepts"]
    x = parts.add("float", "Cast", node.inputs[0], to=FLOAT)
    return parts.add(
        "scores", "Gemm", x, parts.add_constant("W", W), parts.add_constant("b", b), transB=1
    )


def _finish_parts(parts: _Parts, scores: str) -> Iterator[Node]:
    """Yield all nodes, the last of which is what the post transform makes of the scores."""
    end = _find_end_op(parts.node)
    parts.add("", end, scores, **({"axis": -1} if end == "Softmax" else {}))
    yield from parts.nodes


@register_expansion(f"{DOMAIN}.LinearRegressor")
def linear_regressor(node: Node, values: Known, room: int) -> Iterator[Node]:
    """``x W^T + b``, one row of W for each target."""
    parts = _Parts(node)
    yield from _finish_parts(
        parts, _add_scores(parts, node.attrs["coefficients"], node.attrs.get("targets", 1))
    )


@register_expansion(f"{DOMAIN}.LinearClassifier")
def linear_classifier(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The scores ``x W^T + b``; of two classes with one row s, onnxruntime's two scores.

    These are (1 - s, s), or (-s, s) in front of a Sigmoid or a Softmax.
    """
    if node.index == 0:
        raise UnsupportedModelError(
            f"node {node.key!r} ({node.op}): a label carries no relevance: choose the scores "
            "with output="
        )
    parts, W = _Parts(node), node.attrs["coefficients"]
    width = values[node.inputs[0]].shape[-1]
    rows = max(len(W) // max(width, 1), 1)
    scores = _add_scores(parts, W, rows)
    labels = node.attrs.get("classlabels_ints") or node.attrs.get("classlabels_strings") or ()
    if rows == 1 and len(labels) == 2:
        plain = _find_end_op(node) == "Identity"
        other = parts.add("negative", "Neg", scores)
        if plain:
            other = parts.add("other", "Add", other, parts.add_constant("one", 1.0))
        scores = parts.add("both", "Concat", other, scores, axis=-1)
    yield from _finish_parts(parts, scores)


@register_expansion(f"{DOMAIN}.Scaler")
def scaler(node: Node, values: Known, room: int) -> Iterator[Node]:
    """``(x - offset) * scale``, for each feature or for all."""
    parts = _Parts(node)
    x = parts.add("float", "Cast", node.inputs[0], to=FLOAT)
    centred = parts.add("centred", "Sub", x, parts.add_constant("offset", node.attrs["offset"]))
    parts.add("", "Mul", centred, parts.add_constant("scale", node.attrs["scale"]))
    yield from parts.nodes


@register_expansion(f"{DOMAIN}.Normalizer")
def normalizer(node: Node, values: Known, room: int) -> Iterator[Node]:
    """Each row is divided by its largest element, by sum |x|, or by the root of sum x^2."""
    parts, norm = _Parts(node), str(node.attrs.get("norm", "MAX"))
    x = parts.add("float", "Cast", node.inputs[0], to=FLOAT)
    if norm == "MAX":
        size = parts.add("size", "ReduceMax", x, axes=[-1], keepdims=1)
        parts.add("", "Div", x, size)
    else:
        parts.add("", "LpNormalization", x, axis=-1, p={"L1": 1, "L2": 2}[norm])
    yield from parts.nodes


@register_expansion(f"{DOMAIN}.ArrayFeatureExtractor")
def array_feature_extractor(node: Node, values: Known, room: int) -> Iterator[Node]:
    """Some elements of the last axis, by indices that do not depend on the signal."""
    parts = _Parts(node)
    index = np.ravel(values.decide(node.inputs[1])).astype(np.int64)
    places = parts.add("index", "Constant", value=index)
    x = node.inputs[0]
    if values[x].ndim == 1:
        x = parts.add("row", "Unsqueeze", x, parts.add("axes", "Constant", value=np.array([0])))
    parts.add("", "Gather", x, places, axis=-1)
    yield from parts.nodes


@register_expansion(f"{DOMAIN}.ZipMap")
def zip_map(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The scores, as they are before a map by label is made of them."""
    yield Node(node.output, "Identity", node.inputs[:1], alias=node.alias)
