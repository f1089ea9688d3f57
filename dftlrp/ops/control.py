"""If, Loop and Scan: at given values they are the nodes that they run.

An expansion yields nodes one after the other; each is evaluated before the next is asked for, so
that a condition or a number of trips is a number by then.  A step of a loop is a part of the layer
that its node is in the body, and bears the number of its trip (`Node.turn`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.types import UnsupportedModelError
from dftlrp.graph.structure import Body, Node
from dftlrp.ops.registry import Known, register_expansion

MAX_TRIPS = 10**5  # of one loop, whatever the input

# -- the nodes that expansions are made of


def make_alias(output: str, value: str, layer: str = "") -> Node:
    """Return the node that gives a value another name."""
    return Node(output, "Identity", (value,), layer_key=layer)


def make_constant(output: str, value: Any) -> Node:
    """Return the node that makes a number."""
    return Node(output, "Constant", (), {"value": np.asarray(value)})


def make_select(output: str, value: str, axis: int, place: int) -> Node:
    """Return the node that takes one place along an axis, which is dropped."""
    return Node(output, "Select", (value,), {"axis": axis, "place": place})


def make_stack(output: str, parts: Sequence[str], axis: int) -> Node:
    """Return the node that puts the parts next to each other along a new axis."""
    return Node(output, "Stack", tuple(parts), {"axis": axis})


# -- bodies


def _make_body_constants(body: Body, values: Known, key: str) -> tuple[list[Node], dict[str, str]]:
    """Return nodes for the body's own weights, which are made once for all runs, and their names.

    A weight keeps its name unless something is called so already.
    """
    names = {n: n if n not in values else f"{n}@{key}" for n in body.constants}
    return [make_constant(names[n], array) for n, array in body.constants.items()], names


def instantiate_body(
    body: Body, names: Mapping[str, str], suffix: str, turn: tuple[str, int] = ("", 0)
) -> tuple[list[Node], list[str]]:
    """Return the nodes of one run, whose values have the suffix, and the names of its outputs."""
    own = {n.output: f"{n.output}{suffix}" for n in body.nodes}
    known = {**body.links, **names, **own}
    nodes = [
        replace(n.rename(known), layer_key=n.layer_key or (n.output if suffix else ""), turn=turn)
        for n in body.nodes
    ]
    return nodes, [known.get(name, name) for name in body.outputs]


def count_nodes(nodes: Sequence[Node]) -> int:
    """Return how many nodes these are, with those of their bodies."""
    bodies = (b for n in nodes for b in n.attrs.values() if isinstance(b, Body))
    return len(nodes) + sum(count_nodes(b.nodes) for b in bodies)


def refuse_long(node: Node, trips: int, each: int, room: int) -> None:
    """Refuse a loop or a cell of more nodes than may still run, before it begins.

    Raises
    ------
    UnsupportedModelError
        More than `MAX_TRIPS` trips, or more than ``room`` nodes.
    """
    if trips > MAX_TRIPS or trips * each > room:
        raise UnsupportedModelError(
            f"node {node.key!r} ({node.op}): {trips} trips are too many: each has "
            f"{each} nodes, and at most {MAX_TRIPS} trips and {room} nodes may run on this input: "
            "explain shorter ones"
        )


# -- the ops


def _read_one(name: str, values: Known) -> Any:
    """Return the one number that decides what runs.

    Raises
    ------
    ValueError
        It holds none or several: a runtime would read past its end.
    """
    array = values.decide(name)
    if array.size != 1:
        raise ValueError(f"{name!r} holds {array.size} numbers, of which one has to decide")
    return array.reshape(-1)[0]


@register_expansion("If")
def if_(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The nodes of the branch that is taken; its values keep their names."""
    taken = bool(_read_one(node.inputs[0], values))
    body: Body = node.attrs["then_branch" if taken else "else_branch"]
    made, names = _make_body_constants(body, values, node.key)
    yield from made
    clash = any(n.output in values for n in body.nodes)
    nodes, outputs = instantiate_body(body, names, f"@{node.key}" if clash else "")
    yield from nodes
    for own, value in zip(node.outputs, outputs, strict=True):
        if own:
            yield make_alias(own, value, node.layer_key)


def _read_trips(node: Node, values: Known) -> int | None:
    """Return how often a Loop runs at most; None: as long as its condition holds."""
    return int(_read_one(node.inputs[0], values)) if node.inputs[0] else None


def _is_unconditional(body: Body) -> bool:
    """Return whether the condition is only handed on, so that all trips run."""
    kept = {n.output: n.inputs[0] for n in body.nodes if n.op == "Identity"}
    asked = body.outputs[0]
    return kept.get(asked, asked) == body.inputs[1] or asked in body.constants


def _goes_on(condition: str, values: Known) -> bool:
    return not condition or bool(_read_one(condition, values))


class _Results:
    """What a loop carries from trip to trip, and what it collects."""

    def __init__(self, carried: Sequence[str], collected: int) -> None:
        self.carried = list(carried)
        self.stacks: list[list[str]] = [[] for _ in range(collected)]

    def add_trip(self, outputs: Sequence[str]) -> None:
        """Take over the outputs of one trip."""
        count = len(self.carried)
        self.carried = list(outputs[:count])
        for stack, value in zip(self.stacks, outputs[count:], strict=True):
            stack.append(value)

    def make_outputs(self, node: Node, axes: Sequence[int]) -> Iterator[Node]:
        """Yield the nodes that make the outputs of the loop."""
        for own, value in zip(node.outputs, self.carried, strict=False):
            if own:
                yield make_alias(own, value, node.layer_key)
        collected = node.outputs[len(self.carried) :]
        for own, stack, axis in zip(collected, self.stacks, axes, strict=False):
            if own:
                yield make_stack(own, stack, axis) if stack else make_constant(own, np.zeros(0))


@register_expansion("Loop")
def loop(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The nodes of the body, again and again, with the values that it carries along."""
    body: Body = node.attrs["body"]
    made, weights = _make_body_constants(body, values, node.key)
    yield from made
    condition = node.inputs[1] if len(node.inputs) > 1 else ""
    results = _Results(node.inputs[2:], len(body.outputs) - 1 - len(node.inputs[2:]))
    number, most, each = 0, _read_trips(node, values), count_nodes(body.nodes) + 1
    going = _goes_on(condition, values)  # is read where no trip runs, too, as runtimes do
    if most is not None and _is_unconditional(body) and going:
        refuse_long(node, most, each, room)
    while (most is None or number < most) and _goes_on(condition, values):
        refuse_long(node, number + 1, each, room)
        suffix = f"[{number}]@{node.key}"
        count, asked = f"iteration{suffix}", condition or f"condition{suffix}"
        turn = (node.key, number)
        yield replace(make_constant(count, np.int64(number)), turn=turn)
        if not condition:
            yield replace(make_constant(asked, np.True_), turn=turn)
        names = weights | dict(zip(body.inputs, (count, asked, *results.carried), strict=True))
        nodes, (condition, *outputs) = instantiate_body(body, names, suffix, turn)
        yield from nodes
        results.add_trip(outputs)
        number += 1
    yield from results.make_outputs(node, [0] * len(results.stacks))


@register_expansion("Scan")
def scan(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The nodes of the body, at each place along the inputs that are scanned."""
    body: Body = node.attrs["body"]
    count = node.attrs["num_scan_inputs"]
    made, weights = _make_body_constants(body, values, node.key)
    yield from made
    read = node.inputs[-count:]
    axes = node.attrs.get("scan_input_axes", [0] * count)
    turned = node.attrs.get("scan_input_directions", [0] * count)
    results = _Results(node.inputs[:-count], len(body.outputs) - len(node.inputs[:-count]))
    trips = values[read[0]].shape[axes[0]]
    refuse_long(node, trips, count_nodes(body.nodes) + count, room)
    for number in range(trips):
        suffix = f"[{number}]@{node.key}"
        parts = [f"{name}{suffix}" for name in body.inputs[len(results.carried) :]]
        turn = (node.key, number)
        for name, part, axis, back in zip(read, parts, axes, turned, strict=True):
            select = make_select(part, name, axis, trips - 1 - number if back else number)
            yield replace(select, layer_key=node.layer, layer_op=node.op, turn=turn)
        names = weights | dict(zip(body.inputs, (*results.carried, *parts), strict=True))
        nodes, outputs = instantiate_body(body, names, suffix, turn)
        yield from nodes
        results.add_trip(outputs)
    plain = [0] * len(results.stacks)
    directions = node.attrs.get("scan_output_directions", plain)
    results.stacks = [s[::-1] if b else s for s, b in zip(results.stacks, directions, strict=True)]
    yield from results.make_outputs(node, node.attrs.get("scan_output_axes", plain))
