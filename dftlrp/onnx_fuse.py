"""Passes over a traced graph: what nobody reads is left out, additions join convolutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from onnx import NodeProto

from dftlrp.onnx_tape import Tape


def tidied(tape: Tape, outputs: Sequence[str]) -> list[NodeProto]:
    """The nodes that the outputs need, additions of constants joined to convolutions."""
    nodes = _needed(tape.nodes, outputs)
    return _needed(_biased(tape, nodes, set(outputs)), outputs)


def _needed(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> list[NodeProto]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _biased(tape: Tape, nodes: Sequence[NodeProto], ends: set[str]) -> list[NodeProto]:
    """Conv + Add of a constant per channel: the convolution's bias."""
    reads = Counter(name for node in nodes for name in node.input)
    convs: dict[str, NodeProto] = {}
    found = []
    for node in nodes:
        conv = convs.get(node.input[0]) if node.op_type == "Add" else None
        added = tape.constants.get(node.input[1]) if conv is not None else None
        alone = conv is not None and reads[conv.output[0]] == 1 and conv.output[0] not in ends
        weights = tape.constants.get(conv.input[1]) if conv is not None else None
        if conv is None or added is None or not alone or weights is None:
            if node.op_type == "Conv":
                convs[node.output[0]] = node
            found.append(node)
            continue
        bias = _per_channel(added, len(weights), weights.ndim)
        if bias is None:
            found.append(node)
            continue
        if len(conv.input) > 2:
            bias = bias + tape.constants[conv.input[2]]
        own = NodeProto()
        own.CopyFrom(conv)
        own.input[:] = [*conv.input[:2], tape.constant(bias)]
        own.output[:] = node.output
        found.append(own)
        convs[own.output[0]] = own
    return found


def _per_channel(added: np.ndarray, channels: int, rank: int) -> np.ndarray | None:
    """A constant as a vector over channels, if it is one."""
    if added.size == 1:
        return np.full(channels, added.ravel()[0], np.float32)
    shape = (1,) * (rank - added.ndim) + added.shape
    if len(shape) == rank and shape[1] == channels == added.size:
        return added.reshape(channels)
    return None
