"""If, Loop and Scan: at given values they are the nodes that they run.

An expansion yields nodes one after the other; each is evaluated before the next is asked for, so
that a condition or a number of trips is a number by then.  A step of a loop is a part of the layer
that its node is in the body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.types import UnsupportedModelError
from dftlrp.graph.structure import Body, Node
from dftlrp.ops.registry import Known, expands

MAX_TRIPS = 10**5  # of one loop, whatever the input


def alias(output: str, value: str, layer: str = "") -> Node:
    """Another name for a value."""
    return Node(output, "Identity", (value,), layer_key=layer)


def constant(output: str, value: Any) -> Node:
    """A number."""
    return Node(output, "Constant", (), {"value": np.asarray(value)})


def _constants(body: Body, values: Known, key: str) -> tuple[list[Node], dict[str, str]]:
    """The body's own weights, made once for all its runs, and how they are called."""
    names = {name: _fresh(name, values, key) for name in body.constants}
    return [constant(names[name], array) for name, array in body.constants.items()], names


def _fresh(name: str, values: Known, key: str) -> str:
    """The body's own name for a value, unless something is called so already."""
    return name if name not in values else f"{name}@{key}"


def run_body(body: Body, names: Mapping[str, str], suffix: str) -> tuple[list[Node], list[str]]:
    """The nodes of one run, their values told apart by the suffix; and the run's outputs."""
    own = {n.output: f"{n.output}{suffix}" for n in body.nodes}
    known = {**body.links, **names, **own}
    nodes = [
        replace(n.renamed(known), layer_key=n.layer_key or (n.output if suffix else ""))
        for n in body.nodes
    ]
    return nodes, [known.get(name, name) for name in body.outputs]


def size_of(nodes: Sequence[Node]) -> int:
    """How many nodes these are, with those of their bodies."""
    bodies = (b for n in nodes for b in n.attrs.values() if isinstance(b, Body))
    return len(nodes) + sum(size_of(b.nodes) for b in bodies)


def refuse_long(node: Node, trips: int, each: int, room: int) -> None:
    """Refuse a loop or a cell of more nodes than may still run, before it begins."""
    if trips > MAX_TRIPS or trips * each > room:
        raise UnsupportedModelError(
            f"node {node.key!r} ({node.op}): {trips} trips are too many: each has "
            f"{each} nodes, and at most {MAX_TRIPS} trips and {room} nodes may run on this input: "
            "explain shorter ones"
        )


@expands("If")
def if_(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The branch that is taken; its values keep their names."""
    taken = bool(np.all(values.decide(node.inputs[0])))
    body: Body = node.attrs["then_branch" if taken else "else_branch"]
    made, names = _constants(body, values, node.key)
    yield from made
    clash = any(n.output in values for n in body.nodes)
    nodes, outputs = run_body(body, names, f"@{node.key}" if clash else "")
    yield from nodes
    for own, value in zip(node.outputs, outputs, strict=True):
        if own:
            yield alias(own, value, node.layer_key)


def _trips(node: Node, values: Known) -> int | None:
    """How often a Loop runs at most; None: as long as its condition holds."""
    return int(np.ravel(values.decide(node.inputs[0]))[0]) if node.inputs[0] else None


def _unconditional(body: Body) -> bool:
    """Whether its condition is only handed on, so that all trips run."""
    kept = {n.output: n.inputs[0] for n in body.nodes if n.op == "Identity"}
    asked = body.outputs[0]
    return kept.get(asked, asked) == body.inputs[1] or asked in body.constants


def _goes_on(condition: str, values: Known) -> bool:
    return not condition or bool(np.all(values.decide(condition)))


@expands("Loop")
def loop(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The body, again and again, with the values it carries along."""
    body: Body = node.attrs["body"]
    made, weights = _constants(body, values, node.key)
    yield from made
    condition = node.inputs[1] if len(node.inputs) > 1 else ""
    carried, stacks = list(node.inputs[2:]), _stacks(len(body.outputs) - len(node.inputs) + 1)
    number, most, each = 0, _trips(node, values), size_of(body.nodes) + 1
    if most is not None and _unconditional(body) and _goes_on(condition, values):
        refuse_long(node, most, each, room)
    while (most is None or number < most) and _goes_on(condition, values):
        refuse_long(node, number + 1, each, room)
        suffix = f"[{number}]@{node.key}"
        turn, asked = f"iteration{suffix}", condition or f"condition{suffix}"
        yield constant(turn, np.int64(number))
        if not condition:
            yield constant(asked, np.True_)
        names = weights | dict(zip(body.inputs, (turn, asked, *carried), strict=True))
        nodes, (condition, *outputs) = run_body(body, names, suffix)
        yield from nodes
        carried = outputs[: len(carried)]
        for stack, value in zip(stacks, outputs[len(carried) :], strict=True):
            stack.append(value)
        number += 1
    yield from _finished(node, carried, stacks, [0] * len(stacks))


def _stacks(count: int) -> list[list[str]]:
    return [[] for _ in range(count)]


def _finished(
    node: Node, carried: Sequence[str], stacks: Sequence[list[str]], axes: Sequence[int]
) -> Iterator[Node]:
    """The outputs of a loop: what it carried to its end, and what it collected."""
    for own, value in zip(node.outputs, carried, strict=False):
        if own:
            yield alias(own, value, node.layer_key)
    for own, stack, axis in zip(node.outputs[len(carried) :], stacks, axes, strict=False):
        if own and stack:
            yield stacked(own, stack, axis)
        elif own:
            yield constant(own, np.zeros(0))


def stacked(output: str, parts: Sequence[str], axis: int) -> Node:
    """The parts next to each other along a new axis."""
    return Node(output, "Stack", tuple(parts), {"axis": axis})


@expands("Scan")
def scan(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The body at each place along the inputs that are scanned."""
    body: Body = node.attrs["body"]
    count = node.attrs["num_scan_inputs"]
    made, weights = _constants(body, values, node.key)
    yield from made
    carried, read = list(node.inputs[:-count]), node.inputs[-count:]
    axes = node.attrs.get("scan_input_axes", [0] * count)
    turned = node.attrs.get("scan_input_directions", [0] * count)
    stacks = _stacks(len(body.outputs) - len(carried))
    trips = values[read[0]].shape[axes[0]]
    refuse_long(node, trips, size_of(body.nodes) + count, room)
    for number in range(trips):
        suffix = f"[{number}]@{node.key}"
        parts = [f"{name}{suffix}" for name in read]
        for name, part, axis, back in zip(read, parts, axes, turned, strict=True):
            yield selected(part, name, axis, trips - 1 - number if back else number)
        names = weights | dict(zip(body.inputs, (*carried, *parts), strict=True))
        nodes, outputs = run_body(body, names, suffix)
        yield from nodes
        carried = outputs[: len(carried)]
        for stack, value in zip(stacks, outputs[len(carried) :], strict=True):
            stack.append(value)
    back = node.attrs.get("scan_output_directions", [0] * len(stacks))
    ordered = [s[::-1] if b else s for s, b in zip(stacks, back, strict=True)]
    yield from _finished(
        node, carried, ordered, node.attrs.get("scan_output_axes", [0] * len(stacks))
    )


def selected(output: str, value: str, axis: int, place: int) -> Node:
    """One place along an axis, which goes away."""
    return Node(output, "Select", (value,), {"axis": axis, "place": place})
