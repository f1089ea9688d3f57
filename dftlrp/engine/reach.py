"""The receptive field of each value: how many samples of the signal one element of it sees.

It is followed along one axis of a signal, from node to node, by size and step (in samples of the
signal): a window of k taps, dilation d and stride s takes (size, step) to
(size + (k - 1) d step, step s).  A node that mixes the whole axis sees all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.graph.structure import Node


class Reach(NamedTuple):
    """Where the signal's axis lies in a value, and how much of it one element of the value sees."""

    axis: int
    size: float
    step: float


WHOLE = Reach(-1, math.inf, math.inf)
WINDOWS = ("Conv", "MaxPool", "AveragePool", "LpPool")


def find_reaches(
    nodes: Sequence[Node],
    values: Mapping[str, AnyArray],
    live: Mapping[str, tuple[int, ...]],
    signals: Mapping[str, int],
) -> dict[str, Reach]:
    """Return the reach of each value on the path; ``signals`` holds the axis of each signal."""
    found = {name: Reach(axis, 1, 1) for name, axis in signals.items()}
    for node in nodes:
        parts = [
            _follow_node(node, found[node.inputs[i]], values[node.inputs[i]], values)
            for i in live.get(node.key, ())
            if node.inputs[i] in found
        ]
        if parts:
            found[node.output] = max(parts, key=lambda r: r.size)
    return found


def _follow_node(node: Node, r: Reach, x: AnyArray, values: Mapping[str, AnyArray]) -> Reach:
    """Return the reach of a node's output, through its input x of reach r."""
    if r.axis < 0:
        return r
    y = values[node.output]
    if node.op in WINDOWS or node.op == "ConvTranspose":
        return _follow_window(node, r, x, y, values)
    if node.op == "Transpose":
        perm = list(node.attrs.get("perm", range(x.ndim)[::-1]))
        return r._replace(axis=perm.index(r.axis))
    if node.op == "STFT":
        return Reach(
            1, r.size + (_count_taps(node, values) - 1) * r.step, r.step * _read_hop(node, values)
        )
    if node.op in {"MatMul", "Gemm"}:
        return (
            r
            if r.axis < x.ndim - 1 and y.shape[r.axis : r.axis + 1] == x.shape[r.axis : r.axis + 1]
            else WHOLE
        )
    return _follow_move(r, x, y)


def _follow_window(
    node: Node, r: Reach, x: AnyArray, y: AnyArray, values: Mapping[str, AnyArray]
) -> Reach:
    if r.axis < 2:
        return r if r.axis == 0 else WHOLE
    place = r.axis - 2
    weights = values[node.inputs[1]].shape[2:] if "Conv" in node.op else ()
    kernel = tuple(node.attrs.get("kernel_shape", weights))[place]
    stride = node.attrs.get("strides", [1] * (x.ndim - 2))[place]
    dilation = node.attrs.get("dilations", [1] * (x.ndim - 2))[place]
    span = (kernel - 1) * dilation
    if node.op == "ConvTranspose":
        return Reach(r.axis, r.size + span // stride * r.step, r.step / stride)
    return Reach(r.axis, r.size + span * r.step, r.step * stride)


def _count_taps(node: Node, values: Mapping[str, AnyArray]) -> int:
    length = node.inputs[3] if len(node.inputs) > 3 else ""
    return int(values[length]) if length else values[node.inputs[2]].shape[0]


def _read_hop(node: Node, values: Mapping[str, AnyArray]) -> int:
    return int(np.ravel(values[node.inputs[1]])[0])


def _follow_move(r: Reach, x: AnyArray, y: AnyArray) -> Reach:
    """Return where the axis is in another shape: with as many elements before it, and as long."""
    if x.ndim == y.ndim:
        return r if y.shape[r.axis] > 1 or x.shape[r.axis] == 1 else WHOLE
    before, length = math.prod(x.shape[: r.axis]), x.shape[r.axis]
    places = [i for i, n in enumerate(y.shape) if n == length and math.prod(y.shape[:i]) == before]
    return r._replace(axis=places[-1]) if places else WHOLE
