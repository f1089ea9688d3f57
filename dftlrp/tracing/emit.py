"""The nodes of the model itself, taken over into the graph under construction.

A node is emitted as it stands, in the graph's operator set: what was an attribute in the set it
was written for is an input where it is one by now, and an op whose meaning changed is
written out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import defs

from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.graph.structure import Node
from dftlrp.ops import At
from dftlrp.ops.inner import OWN
from dftlrp.tracing.symbols import FLOAT, Symbol, floats, sign_of
from dftlrp.tracing.tape import Tape

Syms = list[Any]
EVALUATED = {*OWN, "STFT", "DFT", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
POSITIVE = {
    "Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt", "Softplus", "ReduceL1",
    "ReduceL2", "ReduceSumSquare", "Hardmax", "Shape", "LpPool", "GlobalLpPool",
}  # fmt: skip
KEEPING = {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose", "Slice", "Split",
    "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Gather", "GatherElements",
    "GatherND", "Expand", "Tile", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "Concat",
    "Add", "Sum", "Mean", "Max", "Min", "DepthToSpace", "SpaceToDepth", "Cast", "Where", "TopK",
    "ReverseSequence", "Dropout", "Tanh", "Erf", "Sign", "LeakyRelu", "HardSwish",
}  # fmt: skip
ALL = {"Concat", "Add", "Sum", "Mean", "Max", "Min"}
NO_ATTRIBUTE = {"spatial", "consumed_inputs", "to", "is_test"}


def emitted(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """The output of a node whose inputs are symbolic; ``wanted`` is its value at the sample.

    Raises
    ------
    UnsupportedModelError
        The node cannot be written in the graph's operator set.
    """
    node = at.node
    if node.op in EVALUATED or (node.op == "MatMul" and len(at.args) > 2):
        from dftlrp.ops import OPS

        return OPS[node.op].evaluate(at)
    if written := WRITTEN.get(node.op):
        made = written(tape, at, wanted)
        if made is not None:
            return made
    inputs, attrs = _adapted(tape, node, list(at.args))
    return _verbatim(tape, node, inputs, attrs, wanted)


def _verbatim(
    tape: Tape, node: Node, inputs: Syms, attrs: Mapping[str, Any], wanted: AnyArray
) -> Symbol:
    """The ONNX node as it is; of its outputs this one has a known shape."""
    names = list(node.outputs or (node.output,))
    names[node.index if node.outputs else 0] = node.output
    if node.output in tape.waiting:  # another output of the same node came first
        name = node.output
    else:
        spare = [n or "" for n in names]
        tape.append(node.op, inputs, spare, attrs)
        tape.waiting.update(n for n in spare if n)
        name = node.output
    sign = _sign(node, inputs)
    return tape.known(name, wanted.shape, floats(wanted.dtype), sign, node.op, inputs)


def _adapted(tape: Tape, node: Node, inputs: Syms) -> tuple[Syms, dict[str, Any]]:
    """Inputs and attributes as the graph's operator set has them."""
    schema = defs.get_schema(node.op, tape.opset)
    attrs = {}
    places = {formal.name: i for i, formal in enumerate(schema.inputs)}
    for key, value in node.attrs.items():
        if key in schema.attributes:
            attrs[key] = _plain(value)
        elif key in places:
            inputs += [None] * (places[key] + 1 - len(inputs))
            inputs[places[key]] = _as_input(key, value)
        elif key not in NO_ATTRIBUTE:
            raise UnsupportedModelError(
                f"node {node.key!r} ({node.op}): attribute {key!r} of operator set {node.opset} "
                f"has no place in set {tape.opset}: use backend='numpy'"
            )
    if "axes" in schema.attributes and len(inputs) > 1 and node.op.startswith("Reduce"):
        axes = inputs.pop()  # written for a newer set
        if axes is not None and np.size(axes):
            attrs["axes"] = np.asarray(axes).tolist()
    return inputs, attrs


def _as_input(key: str, value: Any) -> AnyArray:
    a = np.asarray(value)
    if a.dtype.kind == "f" or key in {"min", "max", "value", "ratio", "scales"}:
        return a.astype(FLOAT)
    return a.astype(np.int64)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        from onnx import numpy_helper

        return numpy_helper.from_array(value.astype(FLOAT) if value.dtype.kind == "f" else value)
    return value


def _sign(node: Node, inputs: Syms) -> int:
    """What is known of the sign of a node's output."""
    if node.op in POSITIVE:
        return 1
    if rule := SIGNS.get(node.op):
        return rule(inputs)
    if node.op in KEEPING:
        read = inputs if node.op in ALL else inputs[1:3] if node.op == "Where" else inputs[:1]
        return _common(read)
    return 0


def _common(xs: Syms) -> int:
    signs = {sign_of(x) for x in xs if x is not None}
    return signs.pop() if len(signs) == 1 else 0


def _product(xs: Syms) -> int:
    same = all(isinstance(x, Symbol) for x in xs) and xs[0].name == xs[1].name
    return 1 if same else sign_of(xs[0]) * sign_of(xs[1])


def _clipped(xs: Syms) -> int:
    low = xs[1] if len(xs) > 1 else None
    return 1 if low is not None and sign_of(low) > 0 else int(sign_of(xs[0]) > 0)


def _padded(xs: Syms) -> int:
    fill = xs[2] if len(xs) > 2 and xs[2] is not None else np.zeros(())
    return (
        sign_of(xs[0]) if isinstance(fill, Symbol) or not np.any(fill) else _common([xs[0], fill])
    )


def _powered(xs: Syms) -> int:
    even = not isinstance(xs[1], Symbol) and not np.any(np.mod(xs[1], 2))
    return int(even or sign_of(xs[0]) > 0)


SIGNS: dict[str, Callable[[Syms], int]] = {
    "Mul": _product,
    "Clip": _clipped,
    "Pad": _padded,
    "Pow": _powered,
    "OneHot": lambda xs: sign_of(xs[2]),
    "Div": lambda xs: sign_of(xs[0]) * sign_of(xs[1]),
}


# -- ops whose meaning changed, or that need another dtype


def _softmax(tape: Tape, at: At, _: AnyArray) -> Any:
    """Before set 13 all axes from ``axis`` on are one."""
    if at.node.opset >= 13 or at.node.op == "Hardmax":
        return None
    axis = at.get_attr("axis", 1) % max(at.x.ndim, 1)
    flat = tape.reshape(at.x, (math.prod(at.x.shape[:axis]), math.prod(at.x.shape[axis:])))
    sign = int(at.node.op == "Softmax")
    y = tape.node(at.node.op, flat, shape=flat.shape, sign=sign, axis=1)
    return tape.reshape(y, at.x.shape)


def _cast(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Floats of any width are float32 here."""
    dtype = floats(wanted.dtype)
    return at.x if at.x.dtype == dtype else tape.cast(at.x, dtype)


def _same(_: Tape, at: At, wanted: AnyArray) -> Any:
    return wanted if at.node.index else at.x


def _upsample(tape: Tape, at: At, wanted: AnyArray) -> Any:
    """Upsample, and Resize of set 10, as a Resize of today."""
    if at.node.op == "Resize" and at.node.opset >= 11:
        return None
    scales = np.asarray(at.get_setting(1, "scales"), FLOAT)
    mode = at.get_attr("mode", "nearest")
    nearest = {"nearest_mode": "floor" if (scales >= 1).all() else "ceil"}
    return tape.node(
        "Resize", at.x, None, scales, shape=wanted.shape, sign=at.x.sign, mode=mode,
        coordinate_transformation_mode="asymmetric", **(nearest if mode == "nearest" else {}),
    )  # fmt: skip


def _constant(_: Tape, __: At, wanted: AnyArray) -> Any:
    """What depends on the shape alone is known."""
    return wanted


WRITTEN: dict[str, Callable[[Tape, At, AnyArray], Any]] = {
    "Softmax": _softmax, "LogSoftmax": _softmax, "Cast": _cast, "CastLike": _cast,
    "Dropout": _same, "Upsample": _upsample, "Resize": _upsample, "Shape": _constant,
    "Size": _constant, "EyeLike": _constant,
}  # fmt: skip
