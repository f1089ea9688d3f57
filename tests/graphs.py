"""Graphs for the tests of the engine: single nodes, and whole small networks in float64."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import models
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import dftlrp
from dftlrp.core.backend import Backend
from dftlrp.core.numpy_backend import BACKEND
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At

Real = NDArray[Any]
Dims = Sequence[int | str | None]


def build(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Dims],
    outputs: dict[str, Dims | None],
    initializers: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
    dtype: int = TensorProto.DOUBLE,
) -> ModelProto:
    """A model whose signals are of one dtype."""
    heads = [[models.value(n, d, dtype) for n, d in v.items()] for v in (inputs, outputs)]
    return models.model(nodes, *heads, initializers, opset=opset, metadata=metadata)


def loaded(proto: ModelProto) -> dftlrp.Model:
    """The model as dftlrp reads it from a file."""
    with tempfile.TemporaryDirectory() as folder:
        return dftlrp.load(models.saved(proto, Path(folder)))


def network(*args: Any, **kwargs: Any) -> dftlrp.Model:
    """`build`, then `loaded`."""
    return loaded(build(*args, **kwargs))


def at_node(
    op: str,
    args: Sequence[Any],
    *,
    live: tuple[int, ...] = (0,),
    opset: int = 17,
    bk: Backend = BACKEND,
    index: int = 0,
    count: int = 1,
    **attrs: Any,
) -> At:
    """A node at its activations, with its output; attributes as the loader gives them."""
    names = tuple("" if a is None else f"x{i}" for i, a in enumerate(args))
    node = Node("y", op, names, attrs, index, opset=opset, count=count)
    y = OPS[op].evaluate(At(node, bk, tuple(args), live))
    return At(node, bk, tuple(args), live, y)


def linearised(at: At) -> Any:
    """The map of a node at its activations."""
    linearise = OPS[at.node.op].linearise
    assert linearise is not None
    return linearise(at)


def normal(*shape: int, seed: int = 0) -> Real:
    return np.random.default_rng(seed).standard_normal(shape)


class Nodes:
    """Nodes and weights of a network while it is written down."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Real] = {}
        self._rng = np.random.default_rng(seed)

    def add(self, op: str, inputs: str, output: str, **attrs: Any) -> str:
        self.nodes.append(
            helper.make_node(op, inputs.split(), [output], name=f"n_{output}", **attrs)
        )
        return output

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> str:
        self.weights[name] = scale * self._rng.standard_normal(shape)
        return name

    def ints(self, name: str, *numbers: int) -> str:
        self.weights[name] = np.array(numbers, np.int64)
        return name

    def conv(
        self, x: str, out: str, shape: tuple[int, ...], bias: bool = True, **attrs: Any
    ) -> str:
        fan = float(np.prod(shape[1:])) ** -0.5
        names = f"{x} {self.weight(f'{out}_w', *shape, scale=fan)}"
        names += f" {self.weight(f'{out}_b', shape[0], scale=0.3)}" if bias else ""
        return self.add("Conv", names, out, **attrs)

    def gemm(
        self, x: str, out: str, wide: int, classes: int, bias: bool = True, **attrs: Any
    ) -> str:
        names = f"{x} {self.weight(f'{out}_w', wide, classes, scale=wide**-0.5)}"
        names += f" {self.weight(f'{out}_b', classes, scale=0.3)}" if bias else ""
        return self.add("Gemm", names, out, **attrs)

    def model(
        self, inputs: dict[str, Dims], outputs: dict[str, Dims | None], **kwargs: Any
    ) -> ModelProto:
        return build(self.nodes, inputs, outputs, self.weights, **kwargs)


# -- whole networks: each takes whether there are biases, and gives a model with output "z"


def conv_stack(bias: bool = True) -> ModelProto:
    """1-D: two convolutions with stride, pads and dilation, ReLU, max pools, two dense layers."""
    n = Nodes(1)
    n.conv("x", "c1", (4, 2, 5), bias, strides=[2], pads=[2, 1])
    n.add("Relu", "c1", "r1")
    n.add("MaxPool", "r1", "p1", kernel_shape=[2], strides=[2])
    n.conv("p1", "c2", (6, 4, 3), bias, dilations=[2])
    n.add("Relu", "c2", "r2")
    n.add("AveragePool", "r2", "p2", kernel_shape=[2], strides=[2])
    n.add("Flatten", "p2", "f")
    n.gemm("f", "h", 18, 8, bias)
    n.add("Relu", "h", "hr")
    n.gemm("hr", "z", 8, 3, bias)
    return n.model({"x": ["B", 2, 40]}, {"z": ["B", 3]})


def residual(bias: bool = True) -> ModelProto:
    """A residual block, an input shared by both sides of an Add, BatchNormalization."""
    n = Nodes(2)
    n.conv("x", "c1", (4, 3, 3), bias, pads=[1, 1])
    for name, shift in (("g", 1.0), ("s", 0.0), ("m", 0.0), ("v", 2.0)):
        keep = bias or name in "gv"
        n.weights[name] = np.abs(shift + 0.5 * keep * normal(4, seed=ord(name)))
        n.weights[name] *= 1.0 if keep else 0.0
    n.add("BatchNormalization", "c1 g s m v", "bn")
    n.add("Relu", "bn", "r1")
    n.conv("r1", "c2", (4, 4, 3), bias, pads=[1, 1])
    n.add("Add", "c2 r1", "sum")
    n.add("Relu", "sum", "r2")
    n.add("Add", "r2 r2", "twice")
    n.add("GlobalAveragePool", "twice", "g1")
    n.add("Flatten", "g1", "f")
    n.gemm("f", "z", 4, 3, bias)
    return n.model({"x": ["B", 3, 12]}, {"z": ["B", 3]})


def unet(bias: bool = True) -> ModelProto:
    """Down by a strided convolution, up by ConvTranspose, the skip by Concat."""
    n = Nodes(3)
    n.conv("x", "c1", (4, 1, 3), bias, pads=[1, 1])
    n.add("Relu", "c1", "r1")
    n.conv("r1", "c2", (6, 4, 4), bias, strides=[2], pads=[1, 1])
    n.add("Relu", "c2", "r2")
    b = f" {n.weight('up_b', 4, scale=0.3)}" if bias else ""
    n.add(
        "ConvTranspose",
        f"r2 {n.weight('up_w', 6, 4, 4, scale=0.3)}{b}",
        "up",
        strides=[2],
        pads=[1, 1],
    )
    n.add("Concat", "up r1", "cat", axis=1)
    n.add("Relu", "cat", "r3")
    n.conv("r3", "c3", (2, 8, 1), bias)
    n.add("ReduceMean", "c3", "z", axes=[2], keepdims=0)
    return n.model({"x": ["B", 1, 16]}, {"z": ["B", 2]})


def image(bias: bool = True) -> ModelProto:
    """2-D: groups, overlapping max pool, a transpose, a matrix product, a slice."""
    n = Nodes(4)
    n.conv("x", "c1", (4, 2, 3, 3), bias, pads=[1, 1, 1, 1])
    n.add("Relu", "c1", "r1")
    n.add("MaxPool", "r1", "p1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    n.conv("p1", "c2", (4, 2, 3, 3), bias, group=2)
    n.add("LeakyRelu", "c2", "r2", alpha=0.1)
    n.add("Transpose", "r2", "t", perm=[0, 2, 3, 1])
    n.add("MatMul", f"t {n.weight('mw', 4, 5)}", "m")
    n.add("Relu", "m", "mr")
    n.add(
        "Slice",
        f"mr {n.ints('s0', 0, 4)} {n.ints('s1', 2, -9)} {n.ints('ax', 1, 3)} {n.ints('st', 1, -1)}",
        "sl",
    )
    n.add("ReduceSum", f"sl {n.ints('ra', 1, 2)}", "rs", keepdims=0)
    n.gemm("rs", "z", 5, 3, bias)
    return n.model({"x": ["B", 2, 8, 8]}, {"z": ["B", 3]})


def with_constants(bias: bool = True) -> ModelProto:
    """A branch of constants joins the signal: by Concat, by Pad, and where there is bias by Sub."""
    n = Nodes(5)
    n.gemm("x", "h", 6, 4, bias)
    n.add("Relu", "h", "r")
    n.weights["one"] = np.array([[1.0, -2.0]])
    n.add("Expand", f"one {n.ints('wide', 2, 2)}", "consts")
    n.add("Concat", "r consts", "cat", axis=1)
    n.weights["fill"] = np.array(0.5)
    n.add("Pad", f"cat {n.ints('pads', 0, 1, 0, 0)} fill", "p")
    n.weights["off"] = np.array([0.3]) * bias
    n.add("Sub", "p off", "d")
    n.gemm("d", "z", 7, 3, bias)
    return n.model({"x": [2, 6]}, {"z": [2, 3]})


def two_inputs(bias: bool = True) -> ModelProto:
    """Two signals that meet in a Concat and a Sub."""
    n = Nodes(6)
    n.gemm("a", "ha", 5, 4, bias)
    n.gemm("b", "hb", 3, 4, bias)
    n.add("Relu", "ha", "ra")
    n.add("Relu", "hb", "rb")
    n.add("Sub", "ra rb", "d")
    n.add("Concat", "d rb", "cat", axis=1)
    n.gemm("cat", "z", 8, 3, bias)
    return n.model({"a": ["B", 5], "b": ["B", 3]}, {"z": ["B", 3]})


def time_first() -> ModelProto:
    """A model whose inner tensors have time, not the batch, on the first axis."""
    n = Nodes(7)
    n.add("Transpose", "x", "t", perm=[1, 0, 2])
    n.add("MatMul", f"t {n.weight('w', 3, 4)}", "h")
    n.add("Add", f"h {n.weight('b', 4)}", "hb")
    n.add("Relu", "hb", "r")
    n.add("ReduceMean", "r", "m", axes=[0], keepdims=0)
    n.gemm("m", "z", 4, 2)
    return n.model({"x": ["B", 5, 3]}, {"z": ["B", 2]})


NETWORKS: dict[str, Callable[..., ModelProto]] = {
    f.__name__: f for f in (conv_stack, residual, unet, image, with_constants, two_inputs)
}


def signals(proto: ModelProto, batch: int = 2, seed: int = 0) -> dict[str, Real]:
    """Random values for every input of a model."""
    rng = np.random.default_rng(seed)
    return {
        v.name: rng.standard_normal([d.dim_value or batch for d in v.type.tensor_type.shape.dim])
        for v in proto.graph.input
    }


def rewritten(proto: ModelProto, rename: Callable[[str], str], reverse: bool = False) -> ModelProto:
    """The same network with other names for its inner values, initialisers in reverse order."""
    ends = {v.name for v in (*proto.graph.input, *proto.graph.output)}

    def new(name: str) -> str:
        return name if not name or name in ends else rename(name)

    other = ModelProto()
    other.CopyFrom(proto)
    for node in other.graph.node:
        node.input[:] = [new(n) for n in node.input]
        node.output[:] = [new(n) for n in node.output]
        node.name = new(node.name)
    tensors = [
        numpy_helper.from_array(numpy_helper.to_array(t), new(t.name))
        for t in proto.graph.initializer
    ]
    del other.graph.initializer[:]
    other.graph.initializer.extend(tensors[::-1] if reverse else tensors)
    return other
