"""Passes over a traced graph.

Nodes that no output needs are left out, sums of magnitudes and transposed convolutions of one input
become one node each, and constants added behind a convolution become its bias.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from dftlrp.tracing.symbols import FLOAT
from dftlrp.tracing.tape import Tape, list_reads


def simplify(tape: Tape, outputs: Sequence[str]) -> list[NodeProto]:
    """Return the nodes that the outputs need, simplified."""
    nodes = _keep_needed(_join_magnitudes(tape), outputs)
    return _move_additions(tape, _join_transposed(tape, nodes), set(outputs))


def _keep_needed(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> list[NodeProto]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            kept.append(_trim_loop(node, wanted) if node.op_type == "Scan" else node)
            wanted.update(list_reads(kept[-1]))
    return kept[::-1]


def _trim_loop(node: NodeProto, wanted: set[str]) -> NodeProto:
    """Return a loop without what it collects and reads for nothing.

    Its states stay, and one of the values that it goes along.
    """
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    body = given["body"]
    states = len(node.input) - given["num_scan_inputs"]
    outs = [i for i, name in enumerate(node.output) if i < states or name in wanted]
    inner = _keep_needed(body.node, [body.output[i].name for i in outs])
    read = {name for n in inner for name in list_reads(n)} | {body.output[i].name for i in outs}
    ins = [i for i, x in enumerate(body.input) if i < states or x.name in read]
    ins = ins if len(ins) > states else [*ins, states]
    graph = helper.make_graph(
        inner, body.name, [body.input[i] for i in ins], [body.output[i] for i in outs]
    )
    turned = given.get("scan_input_directions", [0])[:1]
    return helper.make_node(
        "Scan", [node.input[i] for i in ins], [node.output[i] for i in outs], body=graph,
        num_scan_inputs=len(ins) - states, scan_input_directions=turned * (len(ins) - states),
        scan_output_directions=turned * (len(outs) - states) or None,
    )  # fmt: skip


def _join_magnitudes(tape: Tape) -> list[NodeProto]:
    """Make the sum of an Abs one node: an array less is written, which takes half of the time."""
    sizes = {node.output[0]: node.input[0] for node in tape.nodes if node.op_type == "Abs"}

    def join(node: NodeProto) -> NodeProto:
        if node.op_type != "ReduceSum" or len(node.input) < 2 or node.input[0] not in sizes:
            return node
        x, axes = sizes[node.input[0]], tape.constants.get(node.input[1])
        if axes is None or not axes.size or x not in tape.known or tape.known[x].dtype != FLOAT:
            return node
        keep = _find_attribute(node, "keepdims")
        if tape.opset >= 18:
            return helper.make_node("ReduceL1", [x, node.input[1]], node.output, keepdims=keep)
        return helper.make_node("ReduceL1", [x], node.output, keepdims=keep, axes=axes.tolist())

    return list(map(join, tape.nodes))


def _join_transposed(tape: Tape, nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Join transposed convolutions of one input to few channels into one, and a Split."""
    alike: dict[Any, list[NodeProto]] = {}
    for node in nodes:
        w = tape.constants.get(node.input[1]) if node.op_type == "ConvTranspose" else None
        if w is not None and len(node.input) == 2 and 2 * w.shape[1] < w.shape[0]:
            attrs = sorted(a.SerializeToString() for a in node.attribute)
            alike.setdefault((node.input[0], w.shape, *attrs), []).append(node)
    groups = {
        g[0].output[0]: g
        for g in alike.values()
        if len(g) > 1 and _find_attribute(g[0], "group") == 1
    }
    joined = {n.output[0] for g in groups.values() for n in g}
    found = []
    for node in nodes:
        if node.output[0] in groups:
            found += _join_group(tape, groups[node.output[0]])
        elif node.output[0] not in joined:
            found.append(node)
    return found


def _join_group(tape: Tape, group: Sequence[NodeProto]) -> list[NodeProto]:
    weights = [tape.constants[n.input[1]] for n in group]
    own = NodeProto()
    own.CopyFrom(group[0])
    own.input[1] = tape.add_constant(np.concatenate(weights, 1))
    own.output[:] = [tape.make_name("side_by_side")]
    sizes = tape.add_constant(np.array([w.shape[1] for w in weights], np.int64))
    names = [n.output[0] for n in group]
    return [own, helper.make_node("Split", [own.output[0], sizes], names, axis=1)]


def _find_attribute(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def _move_additions(tape: Tape, nodes: Sequence[NodeProto], ends: set[str]) -> list[NodeProto]:
    """Make the constant of each channel that is added behind a Conv the Conv's bias."""
    reads = Counter(name for node in nodes for name in list_reads(node))
    convs: dict[str, NodeProto] = {}
    found, replaced = list[NodeProto](), set[str]()
    for node in nodes:
        conv = convs.get(node.input[0]) if node.op_type == "Add" else None
        alone = conv is not None and reads[conv.output[0]] == 1 and conv.output[0] not in ends
        joined = _join_addition(tape, conv, node) if conv is not None and alone else None
        if conv is not None and joined is not None:
            replaced.add(conv.output[0])
        found.append(joined or node)
        if found[-1].op_type == "Conv":
            convs[node.output[0]] = found[-1]
    return [node for node in found if node.output[0] not in replaced]


def _join_addition(tape: Tape, conv: NodeProto, addition: NodeProto) -> NodeProto | None:
    """Return a Conv that adds the constant, too; None if that is not one of each channel."""
    names = (addition.input[1], *conv.input[1:])
    numbers = [tape.constants[name] for name in names if name in tape.constants]
    if len(numbers) < len(names):
        return None
    added, weights, *own = numbers
    bias = _read_bias(added, len(weights), weights.ndim)
    if bias is None:
        return None
    joined = NodeProto()
    joined.CopyFrom(conv)
    joined.input[:] = [*conv.input[:2], tape.add_constant(sum(own, start=bias))]
    joined.output[:] = addition.output
    return joined


def _read_bias(added: np.ndarray, channels: int, rank: int) -> np.ndarray | None:
    """Return a constant as a vector over channels, or None if it is not one."""
    if added.size == 1 and added.ndim <= rank:
        return np.full(channels, added.ravel()[0], np.float32)
    shape = (1,) * (rank - added.ndim) + added.shape
    if len(shape) == rank and shape[1] == channels == added.size:
        return added.reshape(channels)
    return None
