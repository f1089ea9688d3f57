"""The nodes of the model itself, taken over into the graph under construction.

A node is emitted as it stands, in the graph's operator set: what was an attribute in the set it
was written for is an input where it is one by now, and an op whose meaning changed is
written out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import defs, numpy_helper

from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At
from dftlrp.ops.pool import find_pool_window
from dftlrp.ops.window import find_window
from dftlrp.tracing.node_signs import find_node_sign
from dftlrp.tracing.symbols import FLOAT, Origin, Symbol, narrow_dtype
from dftlrp.tracing.tape import Tape
from dftlrp.tracing.winners import find_rivals

Operands = list[Any]
EVALUATED = {"STFT", "DFT", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
NO_ATTRIBUTE = {"spatial", "consumed_inputs", "to", "is_test"}


def emit(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Return the output of a node whose inputs are symbols.

    Parameters
    ----------
    tape : Tape
        Where it is written.
    at : At
        The node and its inputs.
    wanted : array
        The output's value at the sample, which tells its shape and dtype.

    Raises
    ------
    UnsupportedModelError
        The node cannot be written in the graph's operator set.
    """
    node = at.node
    ours = not defs.has(node.op)  # made by this package, or registered from outside
    if ours or node.op in EVALUATED or (node.op == "MatMul" and len(at.args) > 2):
        return OPS[node.op].evaluate(at)
    made = WRITTEN[node.op](tape, at, wanted) if node.op in WRITTEN else None
    made = _copy_node(tape, at, wanted) if made is None else made
    if isinstance(made, Symbol):
        tape.known[made.name] = made
    return made


def _copy_node(tape: Tape, at: At, wanted: AnyArray) -> Symbol:
    """Append the ONNX node with its outputs' own names; several outputs are one node."""
    node = at.node
    inputs, attributes = _adapt_node(tape, node, list(at.args))
    if node.output not in tape.appended:
        names = list(node.outputs or (node.output,))
        names[node.index if node.outputs else 0] = node.output
        outputs = [name or "" for name in names]
        tape.append_node(node.op, inputs, outputs, attributes)
        tape.appended.update(filter(None, outputs))
    sign = find_node_sign(node.op, inputs, attributes, node.index)
    origin, dtype = Origin(node.op, tuple(inputs)), narrow_dtype(wanted.dtype)
    return Symbol(tape, node.output, wanted.shape, dtype, origin, sign)


def _adapt_node(tape: Tape, node: Node, inputs: Operands) -> tuple[Operands, dict[str, Any]]:
    """Return inputs and attributes as the graph's operator set has them."""
    schema = defs.get_schema(node.op, tape.opset)
    attributes = {}
    places = {formal.name: i for i, formal in enumerate(schema.inputs)}
    for key, value in node.attrs.items():
        if key in schema.attributes:
            attributes[key] = _make_attribute(value)
        elif key in places:
            inputs += [None] * (places[key] + 1 - len(inputs))
            inputs[places[key]] = _make_input(key, value)
        elif key not in NO_ATTRIBUTE:
            raise UnsupportedModelError(
                f"node {node.key!r} ({node.op}): attribute {key!r} of operator set {node.opset} "
                f"has no place in set {tape.opset}: use backend='numpy'"
            )
    if "axes" in schema.attributes and len(inputs) > 1 and node.op.startswith("Reduce"):
        axes = inputs.pop()  # written for a newer set
        if axes is not None and np.size(axes):
            attributes["axes"] = np.asarray(axes).tolist()
    return inputs, attributes


def _make_input(key: str, value: Any) -> AnyArray:
    """Return an attribute as the input that it became."""
    a = np.asarray(value)
    if a.dtype.kind == "f" or key in {"min", "max", "value", "ratio", "scales"}:
        return a.astype(FLOAT)
    return a.astype(np.int64)


def _make_attribute(value: Any) -> Any:
    """Return an attribute as ONNX's helper takes it."""
    if isinstance(value, np.ndarray):
        return numpy_helper.from_array(value.astype(narrow_dtype(value.dtype)))
    return value


# -- ops whose meaning changed, or that need another dtype


def _write_softmax(tape: Tape, at: At, _: AnyArray) -> Any:
    """Before set 13 all axes from ``axis`` on are one."""
    if at.node.opset >= 13 or at.node.op == "Hardmax":
        return None
    axis = at.get_attr("axis", 1) % max(at.x.ndim, 1)
    flat = at.x.reshape((math.prod(at.x.shape[:axis]), math.prod(at.x.shape[axis:])))
    return tape.add_node(at.node.op, flat, shape=flat.shape, axis=1).reshape(at.x.shape)


def _write_cast(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Floats of any width are float32 here."""
    return at.x.astype(wanted.dtype)


def _write_dropout(_: Tape, at: At, wanted: AnyArray) -> Any:
    return wanted if at.node.index else at.x


def _write_resize(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Write Upsample, and Resize of set 10, as a Resize of today."""
    if at.node.op == "Resize" and at.node.opset >= 11:
        return None
    scales = np.asarray(at.get_setting(1, "scales"), FLOAT)
    mode = at.get_attr("mode", "nearest")
    nearest = {"nearest_mode": "floor" if (scales >= 1).all() else "ceil"}
    return tape.add_node(
        "Resize", at.x, None, scales, shape=wanted.shape, mode=mode,
        coordinate_transformation_mode="asymmetric", **(nearest if mode == "nearest" else {}),
    )  # fmt: skip


def _write_size_keeping(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Write the pads that keep the size as numbers: with dilations onnxruntime refuses SAME."""
    if not at.get_attr("auto_pad", "NOTSET").startswith("SAME"):
        return None
    size = at.x.shape[2:]
    kernel = tuple(at.get_attr("kernel_shape") or at.args[1].shape[2:])
    begins, ends = zip(*find_window(at, kernel, size).pads, strict=True)
    if at.node.op != "Conv" and any(
        p >= k for p, k in zip((*begins, *ends), kernel * 2, strict=True)
    ):
        return OPS[at.node.op].evaluate(at)  # onnxruntime refuses a pool with such pads
    attrs = {**at.node.attrs, "auto_pad": "NOTSET", "pads": [*begins, *ends]}
    return _copy_node(tape, replace(at, node=replace(at.node, attrs=attrs)), wanted)


def _write_max_pool(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Where relevance goes back, write the pool as a maximum of the parts that it is sent to."""
    rivals = None
    if tape.goes_back and at.x.dtype == FLOAT and len(at.node.outputs) < 2:
        rivals = find_rivals(tape, at.x, find_pool_window(at))
    if rivals is None:
        return _write_size_keeping(tape, at, wanted)
    tape.append_node("Max", rivals, [at.node.output], {})
    origin = Origin(at.node.op, tuple(at.args))
    return Symbol(tape, at.node.output, wanted.shape, FLOAT, origin, at.x.sign)


def _write_number(_: Tape, __: At, wanted: AnyArray) -> Any:
    """What depends on the shape alone is known."""
    return wanted


WRITTEN: dict[str, Callable[[Tape, At, AnyArray], Any]] = {
    **dict.fromkeys(("Conv", "AveragePool", "LpPool"), _write_size_keeping),
    "MaxPool": _write_max_pool,
    "Softmax": _write_softmax, "LogSoftmax": _write_softmax, "Cast": _write_cast,
    "CastLike": _write_cast, "Dropout": _write_dropout, "Upsample": _write_resize,
    "Resize": _write_resize, "Shape": _write_number, "Size": _write_number,
    "EyeLike": _write_number,
}  # fmt: skip
