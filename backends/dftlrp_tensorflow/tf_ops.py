"""What tf2onnx does not write, or writes as no runtime reads it, in operators of ONNX.

Each function takes tf2onnx' graph and a node of TensorFlow, and puts nodes of ONNX in its place.
A complex tensor is one of floats with a last axis of two.  Where something else than the functions
here reads one, the node is left as it is, and the model is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Graph = Any
Node = Any


def _write_erfc(graph: Graph, node: Node) -> None:
    """Erfc(x) = 1 - Erf(x)."""
    erf = _add(graph, "Erf", node.input[0])
    _put(graph, node, "Sub", [_add_one(graph, node), erf])


def _write_expm1(graph: Graph, node: Node) -> None:
    """Expm1(x) = exp(x) - 1."""
    exp = _add(graph, "Exp", node.input[0])
    _put(graph, node, "Sub", [exp, _add_one(graph, node)])


def _add_one(graph: Graph, node: Node) -> str:
    from tf2onnx import utils

    one = np.array(1, utils.map_onnx_to_numpy_type(graph.get_dtype(node.output[0])))
    return str(graph.make_const(utils.make_name("one"), one).output[0])


# -- complex numbers


def _write_fft(graph: Graph, node: Node) -> None:
    """A discrete Fourier transform along the last axis; of real numbers, half of it."""
    _refuse_readers(graph, node)
    real, x = node.type == "RFFT", node.input[0]
    attr: dict[str, Any] = {"axis": -2, "onesided": int(real), "inverse": int(node.type == "IFFT")}
    given = [x]
    if real:
        length = node.inputs[1].get_tensor_value(as_list=False).reshape(())
        given = [_add(graph, "Unsqueeze", x, _add_whole(graph, [-1]))]
        given.append(_add_whole(graph, length))
    _put(graph, node, "DFT", given, attr, pairs=True)


def _write_complex(graph: Graph, node: Node) -> None:
    _refuse_readers(graph, node)
    last = _add_whole(graph, [-1])
    both = [_add(graph, "Unsqueeze", x, last) for x in node.input]
    _put(graph, node, "Concat", both, {"axis": -1}, pairs=True)


def _write_part(graph: Graph, node: Node) -> None:
    """The real or the imaginary part."""
    _refuse_source(node)
    which = _add_whole(graph, int(node.type == "Imag"))
    _put(graph, node, "Gather", [node.input[0], which], {"axis": -1})


def _write_magnitude(graph: Graph, node: Node) -> None:
    _refuse_source(node)
    axes = _add_whole(graph, [-1])
    _put(graph, node, "ReduceL2", [node.input[0], axes], {"keepdims": 0})


MAKERS = ("RFFT", "FFT", "IFFT", "Complex", "DFT", "Concat")  # of pairs, before and after
READERS = ("Real", "Imag", "ComplexAbs", "FFT", "IFFT")


def _refuse_readers(graph: Graph, node: Node) -> None:
    """Refuse a complex tensor that something else reads."""
    if others := [
        n.type for n in graph.find_output_consumers(node.output[0]) if n.type not in READERS
    ]:
        raise NotImplementedError(f"{others[0]} of complex numbers")


def _refuse_source(node: Node) -> None:
    """Refuse a complex tensor that something else makes."""
    if node.inputs[0].type not in MAKERS:
        raise NotImplementedError(f"{node.type} of what {node.inputs[0].type} gives")


# -- nodes


def _add(graph: Graph, op: str, *inputs: str) -> str:
    """Add a node; return its output."""
    return str(graph.make_node(op, list(inputs)).output[0])


def _add_whole(graph: Graph, numbers: Any) -> str:
    """Add whole numbers; return their name."""
    from tf2onnx import utils

    return str(graph.make_const(utils.make_name("whole"), np.array(numbers, np.int64)).output[0])


def _put(
    graph: Graph, node: Node, op: str, inputs: list[str], attr: Any = None, pairs: bool = False
) -> None:
    """Put a node of ONNX in the place of one of TensorFlow; ``pairs``: it makes complex numbers."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    if pairs:
        shapes = [None if s is None else [*s, 2] for s in shapes]
        dtypes = [graph.get_dtype(inputs[0])]
    graph.remove_node(node.name)
    graph.make_node(
        op, inputs, attr=attr, name=node.name, outputs=node.output, shapes=shapes, dtypes=dtypes
    )


def _adapt(write: Callable[[Graph, Node], None]) -> tuple[Any, list[str]]:
    """Return a function as tf2onnx calls it."""
    return (lambda graph, node, name, args: write(graph, node)), []


# By the name of TensorFlow's op.
HANDLERS: dict[str, tuple[Any, list[str]]] = {
    "Erfc": _adapt(_write_erfc), "Expm1": _adapt(_write_expm1), "RFFT": _adapt(_write_fft),
    "FFT": _adapt(_write_fft), "IFFT": _adapt(_write_fft), "Complex": _adapt(_write_complex),
    "Real": _adapt(_write_part), "Imag": _adapt(_write_part),
    "ComplexAbs": _adapt(_write_magnitude),
}  # fmt: skip
