"""Layers on integers, as the layers on real numbers that they stand for.

A quantised layer reads integers q that stand for the real numbers (q - zero) scale, and writes
such.  It is explained as what it approximates: its inputs are dequantised, the layer computes with
real numbers, and its output is quantised again.  `DequantizeLinear` and `QuantizeLinear` carry
relevance unchanged, so that each layer has the rule that it would have in the network that is not
quantised.  Which nodes these are does not depend on values: they are written out before a plan is
made (`dftlrp.engine.integers`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.types import UnsupportedModelError
from dftlrp.graph.structure import Node
from dftlrp.ops.registry import Known, register_expansion

CONTRIB = "com.microsoft"  # onnxruntime's own operators
FLOAT = 1  # TensorProto.FLOAT
SCALES = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


class RealLayer:
    """The nodes on real numbers that a node on integers stands for; all are of its layer.

    Parameters
    ----------
    node : Node
        The node on integers.
    op : str
        What the layer is called.
    """

    def __init__(self, node: Node, op: str) -> None:
        self.node = node
        self.op = op
        self.nodes = list[Node]()

    def add(self, name: str, op: str, *inputs: str, opset: int = 17, **attrs: Any) -> str:
        """Add a node and return the name of its value; ``""`` names the node's own output."""
        output = f"{self.node.output}/{name}" if name else self.node.output
        self.put(Node(output, op, inputs, attrs, opset=opset))
        return output

    def put(self, node: Node) -> None:
        """Add a node as it is, but for its layer."""
        label = self.op if node.op in SCALES else ""
        key, alias = self.node.output, self.node.alias
        self.nodes.append(replace(node, alias=alias, layer_key=key, layer_op=label))

    def get(self, position: int) -> str:
        """Return the name of an input, or an empty one if it is left out."""
        return self.node.inputs[position] if position < len(self.node.inputs) else ""

    def read(self, name: str, x: int, scale: int | None, zero: int, axis: int = 1) -> str:
        """Add an input in real numbers and return its name; without a scale that is one."""
        by = self._make_one() if scale is None else self.get(scale)
        parameters = filter(None, (by, self.get(zero)))
        return self.add(name, "DequantizeLinear", self.get(x), *parameters, axis=axis)

    def read_bias(self, x: int, *scales: int) -> str:
        """Add a bias of int32, whose unit is the product of two scales, and return its name."""
        unit = self.add("unit", "Mul", *map(self.get, scales))
        return self.add("bias", "Mul", self.add("whole", "Cast", self.get(x), to=FLOAT), unit)

    def write(self, y: str, scale: int) -> Iterator[Node]:
        """Yield all nodes, the last of which quantises y by a scale and the zero point behind it.

        Where the node has no such scale its output is y itself.
        """
        parameters = tuple(filter(None, (self.get(scale), self.get(scale + 1))))
        if parameters:
            self.add("", "QuantizeLinear", y, *parameters)
        else:
            self.add("", "Identity", y)
        yield from self.nodes

    def _make_one(self) -> str:
        name = f"{self.node.output}/one"
        if all(n.output != name for n in self.nodes):
            self.add("one", "Constant", value=np.ones((), np.float32))
        return name

    def refuse(self, what: str) -> UnsupportedModelError:
        """Return the error that names the node."""
        return UnsupportedModelError(f"node {self.node.key!r} ({self.node.op}): {what}")


@register_expansion("QLinearConv", static=True)
def qlinear_conv(node: Node, values: Known, room: int) -> Iterator[Node]:
    """Conv of dequantised inputs, quantised."""
    layer = RealLayer(node, "Conv")
    x, w = layer.read("x", 0, 1, 2), layer.read("w", 3, 4, 5, axis=0)
    bias = [layer.read_bias(8, 1, 4)] if layer.get(8) else []
    yield from layer.write(layer.add("real", "Conv", x, w, *bias, **node.attrs), 6)


@register_expansion("QLinearMatMul", static=True)
def qlinear_matmul(node: Node, values: Known, room: int) -> Iterator[Node]:
    """MatMul of dequantised inputs, quantised."""
    layer = RealLayer(node, "MatMul")
    a, b = layer.read("a", 0, 1, 2, axis=-2), layer.read("b", 3, 4, 5, axis=-1)
    yield from layer.write(layer.add("real", "MatMul", a, b), 6)


@register_expansion("ConvInteger", static=True)
def conv_integer(node: Node, values: Known, room: int) -> Iterator[Node]:
    """Conv of integers less their zero points."""
    layer = RealLayer(node, "Conv")
    x, w = layer.read("x", 0, None, 2), layer.read("w", 1, None, 3, axis=0)
    layer.add("", "Conv", x, w, **node.attrs)
    yield from layer.nodes


@register_expansion("MatMulInteger", static=True)
def matmul_integer(node: Node, values: Known, room: int) -> Iterator[Node]:
    """MatMul of integers less their zero points."""
    layer = RealLayer(node, "MatMul")
    a, b = layer.read("a", 0, None, 2, axis=-2), layer.read("b", 1, None, 3, axis=-1)
    layer.add("", "MatMul", a, b)
    yield from layer.nodes


@register_expansion(f"{CONTRIB}.QGemm", static=True)
def qgemm(node: Node, values: Known, room: int) -> Iterator[Node]:
    """Gemm of dequantised inputs, quantised where an output scale is given."""
    layer, alpha = RealLayer(node, "Gemm"), node.attrs.get("alpha", 1.0)
    a = layer.read("a", 0, 1, 2, axis=0)
    b = layer.read("b", 3, 4, 5, axis=0 if node.attrs.get("transB", 0) else 1)
    bias = [layer.read_bias(6, 1, 4)] if layer.get(6) else []
    attrs = {k: node.attrs.get(k, 0) for k in ("transA", "transB")}
    y = layer.add("real", "Gemm", a, b, *bias, alpha=alpha, beta=alpha, **attrs)
    yield from layer.write(y, 7)


@register_expansion(*(f"{CONTRIB}.QLinear{op}" for op in ("Add", "Mul")), static=True)
def qlinear_binary(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The sum or product of dequantised inputs, quantised."""
    op = _find_real_op(node)
    layer = RealLayer(node, op)
    y = layer.add("real", op, layer.read("a", 0, 1, 2), layer.read("b", 3, 4, 5))
    yield from layer.write(y, 6)


UNARY = ("Sigmoid", "LeakyRelu", "Softmax", "AveragePool", "GlobalAveragePool")


@register_expansion(*(f"{CONTRIB}.QLinear{op}" for op in UNARY), static=True)
def qlinear_unary(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The same function of the dequantised input, quantised."""
    op, attrs = _find_real_op(node), dict(node.attrs)
    layer = RealLayer(node, op)
    if attrs.pop("channels_last", 0):
        raise layer.refuse("channels_last=1 carries no relevance: export channels first")
    opset = int(attrs.pop("opset", 17))  # of a Softmax, whose meaning changed with it
    y = layer.add("real", op, layer.read("x", 0, 1, 2), opset=opset, **attrs)
    yield from layer.write(y, 3)


@register_expansion(f"{CONTRIB}.QLinearConcat", static=True)
def qlinear_concat(node: Node, values: Known, room: int) -> Iterator[Node]:
    """Dequantised inputs joined, quantised."""
    layer = RealLayer(node, "Concat")
    parts = [layer.read(f"x{i}", i, i + 1, i + 2) for i in range(2, len(node.inputs), 3)]
    yield from layer.write(layer.add("real", "Concat", *parts, **node.attrs), 0)


@register_expansion(f"{CONTRIB}.QLinearWhere", static=True)
def qlinear_where(node: Node, values: Known, room: int) -> Iterator[Node]:
    """One of two dequantised inputs, quantised."""
    layer = RealLayer(node, "Where")
    both = layer.read("x", 1, 2, 3), layer.read("y", 4, 5, 6)
    yield from layer.write(layer.add("real", "Where", layer.get(0), *both), 7)


@register_expansion(f"{CONTRIB}.QuantizeLinear", f"{CONTRIB}.DequantizeLinear", static=True)
def contrib_scale(node: Node, values: Known, room: int) -> Iterator[Node]:
    """As ONNX's operator of that name."""
    yield replace(node, op=node.op.rpartition(".")[2])


@register_expansion(f"{CONTRIB}.MatMulIntegerToFloat", static=True)
def matmul_integer_to_float(node: Node, values: Known, room: int) -> Iterator[Node]:
    """MatMul of dequantised inputs, and a bias."""
    layer = RealLayer(node, "MatMul")
    a, b = layer.read("a", 0, 2, 4, axis=-2), layer.read("b", 1, 3, 5, axis=-1)
    yield from _add_bias_to(layer, layer.add("real", "MatMul", a, b), 6)


@register_expansion(f"{CONTRIB}.DynamicQuantizeMatMul", static=True)
def dynamic_quantize_matmul(node: Node, values: Known, room: int) -> Iterator[Node]:
    """MatMul of an input that is quantised by its own range and dequantised weights; a bias."""
    layer = RealLayer(node, "MatMul")
    made = tuple(f"{node.output}/{name}" for name in ("rounded", "scale", "zero"))
    for i, name in enumerate(made):
        layer.put(Node(name, "DynamicQuantizeLinear", (layer.get(0),), {}, i, "", 17, 3, made))
    a = layer.add("a", "DequantizeLinear", *made)
    b = layer.read("b", 1, 2, 3, axis=-1)
    yield from _add_bias_to(layer, layer.add("real", "MatMul", a, b), 4)


@register_expansion(f"{CONTRIB}.DynamicQuantizeLSTM", static=True)
def dynamic_quantize_lstm(node: Node, values: Known, room: int) -> Iterator[Node]:
    """LSTM with dequantised weights; that its signals are rounded, too, is left out."""
    first = next(filter(None, node.outputs))
    layer = RealLayer(node, "LSTM")
    layer.node = replace(node, output=first)  # its weights exist once
    weights = []
    for name, w in (("W", 1), ("R", 2)):
        scale, zero = (8, 9) if name == "W" else (10, 11)
        spread = [_spread_rows(layer, f"{name}/{i}", layer.get(i), values) for i in (scale, zero)]
        whole = layer.add(f"{name}/whole", "Cast", layer.get(w), to=FLOAT)
        centred = layer.add(f"{name}/centred", "Sub", whole, spread[1])
        real = layer.add(f"{name}/real", "Mul", centred, spread[0])
        weights.append(layer.add(name, "Transpose", real, perm=[0, 2, 1]))
    inputs = (layer.get(0), *weights, *node.inputs[3:8])
    yield from layer.nodes
    yield replace(node, op="LSTM", inputs=inputs)


def _spread_rows(layer: RealLayer, name: str, parameter: str, values: Known) -> str:
    """Return a parameter of each direction, or of each of its columns, in floats, along these."""
    if parameter not in values:
        raise layer.refuse(f"{parameter!r} is no constant: export it with constant scales")
    shape = [*(values[parameter].shape or [1])[:1], 1, -1]
    real = layer.add(f"{name}/float", "Cast", parameter, to=FLOAT)
    size = layer.add(f"{name}/shape", "Constant", value=np.array(shape, np.int64))
    return layer.add(f"{name}/rows", "Reshape", real, size)


def _add_bias_to(layer: RealLayer, y: str, position: int) -> Iterator[Node]:
    """Yield all nodes, the last of which adds the bias at a position, if there is one."""
    bias = layer.get(position)
    layer.add("", *(("Add", y, bias) if bias else ("Identity", y)))
    yield from layer.nodes


def _find_real_op(node: Node) -> str:
    """Return the op on real numbers."""
    return node.op.rpartition("QLinear")[2]
