"""Layers that exporters write out in several nodes; each is recognised at its last node.

* (x - mean) / sqrt(var + eps), in either spelling: LayerNormalization.
* Elementwise nodes that are together a function of one value (GELU, SiLU, x x, x sigmoid(b x),
  ...): one activation.
* exp(x) / sum exp(x): Softmax.

They are told by how their nodes are joined, never by the numbers of a signal: two functions may be
equal at one input, as at silence most are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dftlrp.core.types import Shape
from dftlrp.engine.context import MERGED, Context, merge_names
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS
from dftlrp.ops.common import narrow_shape
from dftlrp.ops.pointwise import POINTWISE
from dftlrp.ops.reduce import read_reduced_axes

ELEMENTWISE = POINTWISE | {"Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Sum", "Where"}
MOVES = ("Identity", "Dropout", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")


def merge_layer_norm(node: Node, c: Context) -> list[Node] | None:
    """Merge (x - mean(x)) / s, or times s, with s frozen: a normalisation if s is the deviation."""
    scaled = c.split_live(node) if node.op in {"Div", "Mul"} else None
    centred = c.find_maker(scaled[1], "Sub") if scaled is not None else None
    mean = c.find_maker(centred.inputs[1], "ReduceMean") if centred is not None else None
    if scaled is None or centred is None or mean is None or mean.inputs[0] != centred.inputs[0]:
        return None
    shape, axes = c.find_shape(centred.inputs[0]), _find_reduced_axes(mean, c)
    if (node.op == "Div" and c.live[node.key] != (0,)) or c.find_shape(node.output) != shape:
        return None
    rows = c.find_shape(mean.output)
    if axes is None or not _meet_own_rows([], rows, narrow_shape(shape, axes), c):
        return None
    name = scaled[0]
    if node.op == "Div":
        name = c.derive(f"{node.output}/deviation", "Reciprocal", name)
    return [
        Node(
            node.output, "Normalised", (centred.inputs[0], name), {"axes": axes},
            names=merge_names(mean, centred, node), alias=node.alias,
        )
    ]  # fmt: skip


def _find_reduced_axes(node: Node, c: Context) -> tuple[int, ...] | None:
    """Return the axes that a reduction goes over; None if they depend on a signal."""
    at = c.read_arguments(node, np.broadcast_to(np.zeros(()), c.find_shape(node.inputs[0])))
    return None if at is None else read_reduced_axes(at)


def merge_softmax(node: Node, c: Context) -> list[Node] | None:
    """Merge exp(x) / sum of exp(x) into a Softmax of x.

    If x is v - m and m is one number along the axis, whatever that is, it is the Softmax of v.
    """
    exp = c.find_maker(node.inputs[0], "Exp") if node.op == "Div" else None
    total, moves = _skip_moves(node.inputs[1], (*MOVES, "Expand"), c) if exp else (None, [])
    if exp is None or total is None or total.op != "ReduceSum" or total.inputs[0] != exp.output:
        return None
    axes, shape = _find_reduced_axes(total, c), c.find_shape(exp.output)
    if axes is None or len(axes) != 1 or shape != c.find_shape(node.output):
        return None
    if not _meet_own_rows(moves, c.find_shape(total.output), narrow_shape(shape, axes), c):
        return None
    x = _drop_shift(exp.inputs[0], shape, axes[0], c)
    return [
        Node(
            node.output, "Softmax", (x,), {"axis": axes[0]}, opset=13,
            names=merge_names(exp, node), alias=node.alias,
        )
    ]  # fmt: skip


def _meet_own_rows(moves: Sequence[Node], shape: Shape, kept: Shape, c: Context) -> bool:
    """Return whether what was reduced over axes meets the rows that it is made of.

    It has a shape, may be moved, and is then broadcast to that of the rows; ``kept`` is their shape
    with length one along the axes.  It is tried on the numbers of places, no two of which are
    alike.
    """
    places = moved = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    for move in moves:
        at = c.read_arguments(move, moved)
        if at is None:
            return False
        moved = np.asarray(OPS[move.op].evaluate(at))
    moved = moved.reshape((1,) * (len(kept) - moved.ndim) + moved.shape)
    whole = tuple(map(max, moved.shape, kept))
    if any(m != k != 1 for m, k in zip(moved.shape, kept, strict=True)):
        return False
    return np.array_equal(moved, np.broadcast_to(places.reshape(kept), whole))


def _drop_shift(name: str, shape: Shape, axis: int, c: Context) -> str:
    """Return v if a value is v - m, and m is one number along the axis; else the value's name."""
    shifted = c.raw.get(name)
    if shifted is None or shifted.op != "Sub" or 0 not in c.true.get(shifted.key, ()):
        return name
    v, m = shifted.inputs
    source = c.raw.get(m)
    while source is not None and source.op in {"Expand", "Identity"}:
        m = source.inputs[0]
        source = c.raw.get(m)
    narrow = (1,) * (len(shape) - len(c.find_shape(m))) + c.find_shape(m)
    return v if narrow[axis] == 1 and c.find_shape(v) == shape else name


def _skip_moves(name: str, through: Sequence[str], c: Context) -> tuple[Node | None, list[Node]]:
    """Return the node behind others that only move its output, and these in their order."""
    moves: list[Node] = []
    node = c.raw.get(name)
    while node is not None and node.op in through:
        moves.insert(0, node)
        node = c.raw.get(node.inputs[0])
    return node, moves


def merge_activation(node: Node, c: Context) -> list[Node] | None:
    """Merge nodes that are together one function of one value, elementwise."""
    if node.op not in ELEMENTWISE or len(c.true.get(node.key, ())) < 2:
        return _merge_scaled_activation(node, c)
    shape, region = c.find_shape(node.output), [node]
    front = _find_signal_inputs(node, c)
    while len(front) > 1 and len(region) < MERGED:
        last = max(front, key=lambda name: c.order.get(name, -1))
        maker = c.raw.get(last)
        if maker is None or maker.op not in ELEMENTWISE or c.find_shape(last) != shape:
            return None
        region.append(maker)
        front = (front - {last}) | _find_signal_inputs(maker, c)
    source = next(iter(front))
    if len(front) > 1 or c.find_shape(source) != shape:
        return None
    steps = tuple((n, c.true[n.key]) for n in reversed(region))
    others = dict.fromkeys(v for n in region for v in (*n.inputs, n.output) if v)
    inputs = (source, *(v for v in others if v not in {source, node.output}))
    names = merge_names(*reversed(region))
    attrs = {"steps": steps, "label": _name_activation(region)}
    return [Node(node.output, "Pointwise", inputs, attrs, names=names, alias=node.alias)]


def _merge_scaled_activation(node: Node, c: Context) -> list[Node] | None:
    """Merge an activation and its product with a number: x (1 + erf(x / sqrt 2)), times a half."""
    scaled = c.split_live(node) if node.op in {"Mul", "Div"} else None
    inner = c.find_maker(scaled[1], "Pointwise") if scaled is not None else None
    if scaled is None or inner is None or node.inputs[1] == node.inputs[0]:
        return None
    if math.prod(c.find_shape(scaled[0])) != 1:
        return None
    others = (name for name in node.inputs if name not in inner.inputs)
    steps = (*inner.attrs["steps"], (node, c.true[node.key]))
    return [
        replace(
            inner, output=node.output, inputs=(*inner.inputs, *others),
            attrs={**inner.attrs, "steps": steps}, names=merge_names(inner, node), alias=node.alias,
        )
    ]  # fmt: skip


def _find_signal_inputs(node: Node, c: Context) -> set[str]:
    """Return the values depending on the signal that a node reads."""
    return {node.inputs[i] for i in c.true.get(node.key, ())}


def _name_activation(region: Sequence[Node]) -> str:
    """Return what an activation is called."""
    ops = {node.op for node in region}
    if "Erf" in ops:
        return "Gelu"
    if ops <= {"Mul", "Sigmoid"} and "Sigmoid" in ops:
        return "Silu"
    if "Tanh" in ops and ops <= {"Mul", "Add", "Tanh", "Pow", "Div"}:
        return "Gelu" if "Pow" in ops or len(region) > 4 else "Pointwise"
    return "Square" if ops == {"Mul"} and len(region) == 1 else "Pointwise"
