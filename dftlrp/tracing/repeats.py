"""Steps of recurrences that are alike: which of the nodes that ran are the same again and again.

A cell (LSTM, GRU, RNN) and a loop have run step by step, each step in nodes of its own, which bear
its number (`Node.turn`).  Two steps are alike if their nodes are: the same ops with the same
attributes and rules, which read the same values from outside, and what their own step and the one
before it made.  They may read other places of a value from outside, and numbers that do not depend
on a signal may differ where these are only computed with: a number that says how something is
computed (an axis, a shape) is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import blake2b
from itertools import groupby
from typing import Any

import numpy as np

from dftlrp.core.maps import Array
from dftlrp.core.types import AnyArray
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node
from dftlrp.tracing.places import Places, find_places

FEWEST = 4  # steps that are worth a loop of their own
# All inputs of these are numbers that are computed with.
COMPUTED = {
    "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Where", "Concat", "MatMul", "Gemm",
    "Gated", "MulAdd", "And", "Or", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
    "Pointwise",
}  # fmt: skip

Step = tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """Steps that are alike, one after the other.

    Attributes
    ----------
    before : tuple of Node
        The step in front of the first.
    steps : tuple of tuple of Node
        For each step its nodes in the order of execution; those at the same place are alike.
    moving : frozenset of str
        All values that depend on a signal.
    end : str
        The last value of the last step that the model itself makes of a signal.
    read : dict of str to Places
        By value of the sample, the places of a value from outside that it is at all steps.
    merged : tuple of Node
        What relevance goes back through in place of nodes of the sample.
    """

    before: Step
    steps: tuple[Step, ...]
    moving: frozenset[str]
    end: str
    read: Mapping[str, Places] = field(default_factory=dict)
    merged: Step = ()

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def sample(self) -> Step:
        """The step that stands for all of them."""
        return self.steps[0]

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """From each value that depends on a signal to the number and the place of its node."""
        return {
            node.output: (number, place)
            for number, step in enumerate(self.steps)
            for place, node in enumerate(step)
            if node.output in self.moving
        }

    @cached_property
    def earlier(self) -> dict[str, int]:
        """From the values of the step before the sample that it reads to their places."""
        read = {name for node in (*self.sample, *self.merged) for name in node.inputs}
        return {node.output: place for place, node in enumerate(self.before) if node.output in read}

    def is_moving(self, place: int) -> bool:
        """Return whether what the nodes at a place make depends on a signal."""
        return self.sample[place].output in self.moving

    def list_names(self, place: int) -> list[str]:
        """Return the values that the nodes at a place make, step by step."""
        return [step[place].output for step in self.steps]


def find_repeats(
    plan: Plan, nodes: Sequence[Node], moving: set[str], zero: frozenset[str],
    values: Mapping[str, Array], apart: Iterable[str],
) -> list[Repeat]:  # fmt: skip
    """Return the steps of the nodes that are alike and as many as are worth it.

    Parameters
    ----------
    nodes : sequence of Node
        Those that ran.
    moving : set of str
        The values that depend on a signal.
    zero : frozenset of str
        Values that are known to be 0 at the reference.
    apart : iterable of str
        Values that are looked at on their own, so that their steps stay apart.
    """
    finder = _Finder(plan, nodes, frozenset(moving), zero, values)
    kept = set(apart)
    found = (repeat for steps in finder.loops.values() for repeat in finder.find(steps))
    return [r for r in found if kept.isdisjoint(r.places) and finder.is_whole(r)]


class _Finder:
    """The nodes of a forward pass, and what is known of them.

    ``loops`` has for each recurrence its steps, ``merged`` by value the node that stands there for
    the one that ran, and ``ran`` the values of these.
    """

    def __init__(
        self, plan: Plan, nodes: Sequence[Node], moving: frozenset[str], zero: frozenset[str],
        values: Mapping[str, Array],
    ) -> None:  # fmt: skip
        self.plan, self.nodes, self.moving, self.zero = plan, nodes, moving, zero
        self.values, self.ran = values, {node.output for node in nodes}
        self.path = {node.output for node in plan.path}
        self.known_places = dict[str, Places | None]()
        self.merged, seen = dict[str, Node](), dict[str, Node]()
        loops = defaultdict[str, dict[int, list[Node]]](lambda: defaultdict(list))
        for node in (*nodes, *plan.derived, *plan.nodes):
            if (known := seen.setdefault(node.output, node)) is not node:
                self.merged[node.output] = node
            elif node.turn[0]:
                loops[node.turn[0]][node.turn[1]].append(known)
        self.loops = {
            name: [tuple(numbered[number]) for number in sorted(numbered)]
            for name, numbered in loops.items()
        }

    def find(self, steps: Sequence[Step]) -> Iterator[Repeat]:
        """Yield the repeats among the steps of one recurrence."""
        for begin, end in _find_runs(list(self.describe(steps))):
            first = max(begin, 1)
            while first + FEWEST <= end and not self.fits(steps[first - 1], steps[first]):
                first += 1
            if first + FEWEST <= end:
                yield self.make_repeat(steps[first - 1], tuple(steps[first:end]))

    def fits(self, before: Step, step: Step) -> bool:
        """Return whether what a step reads of the one before it is as what it makes."""
        read = {name for node in step for name in (*node.inputs, *self.find_merged(node).inputs)}
        pairs = [
            (earlier.output, step[place].output)
            for place, earlier in enumerate(before)
            if earlier.output in read
        ]
        values, moving = self.values, self.moving
        return all(
            values[a].shape == values[b].shape and values[a].dtype == values[b].dtype
            and (a not in moving or b in moving)
            for a, b in pairs
        )  # fmt: skip

    def find_merged(self, node: Node) -> Node:
        """Return what stands for a node on the way back."""
        return self.merged.get(node.output, node)

    def make_repeat(self, before: Step, steps: tuple[Step, ...]) -> Repeat:
        """Return the repeat of steps that are alike."""
        moving, ran = self.moving, self.ran
        ends = [n.output for n in steps[-1] if n.output in moving and n.output in ran]
        read, own = {}, {node.output for node in (*before, *steps[0])}
        for nodes in zip(*steps, strict=True):
            found = [places for node in nodes if (places := self.find_places(node)) is not None]
            chosen = np.array([places.chosen for places in found])
            if found and found[0].source not in own and (chosen != chosen[:1]).any():
                read[nodes[0].output] = found[0]._replace(chosen=chosen)
        merged = tuple(self.merged[n.output] for n in steps[0] if n.output in self.merged)
        return Repeat(before, steps, moving, ends[-1] if ends else "", read, merged)

    def is_whole(self, repeat: Repeat) -> bool:
        """Return whether all steps can run at once: nothing lies between two of them.

        Neither a node that runs before the last step ends, forward or on the way back, reads what
        a step makes, nor is something that a merged layer of a step reads made behind it, or a
        number that was folded from a signal.
        """
        places, late = repeat.places, self.moving - self.ran - self.plan.signals.keys()
        between = (
            not places.keys().isdisjoint(node.reads)
            for nodes in (self.nodes, self.plan.nodes)
            for node in _cut_behind(nodes, places)
            if node.output not in places
        )
        behind = (
            not (late - places.keys()).isdisjoint(node.reads)
            or not self.moving.isdisjoint(node.captures)
            for node in repeat.sample
            if node.output not in self.ran
        )
        return bool(repeat.end) and not any(between) and not any(behind)

    # -- what a step is known by

    def describe(self, steps: Sequence[Step]) -> Iterator[Hashable]:
        """Yield for each step all that makes it another one."""
        before = dict[str, int]()
        for step in steps:
            here = {node.output: place for place, node in enumerate(step)}
            refer = partial(_refer, here, before)
            yield tuple(
                (self.describe_node(node, refer), self.describe_node(self.merged[name], refer))
                if (name := node.output) in self.merged
                else self.describe_node(node, refer)
                for node in step
            )
            before = here

    def describe_node(self, node: Node, refer: Callable[[str], Hashable]) -> Hashable:
        """Return all that makes a node of a step another one; a number is known by its shape."""
        y = self.values[node.output]
        if node.output not in self.moving:
            return y.shape, y.dtype
        places = self.find_places(node)
        outside = places is not None and refer(places.source) == places.source
        if outside and places is not None:
            how: Hashable = (places.source, places.axis, places.chosen.shape)
        else:
            attributes = ((k, _freeze_attribute(v, refer)) for k, v in sorted(node.attrs.items()))
            numbers = self.list_numbers(node, refer)
            how = (tuple(map(refer, node.inputs)), tuple(attributes), numbers)
        return (
            node.op, node.layer_key or (node.output if node.output in self.path else ""),
            node.layer_op, node.index, node.output in self.zero, self.plan.live.get(node.key),
            y.shape, y.dtype, how,
        )  # fmt: skip

    def list_numbers(self, node: Node, refer: Callable[[str], Hashable]) -> tuple[Hashable, ...]:
        """Return the numbers of its own step, or of that before, that say how a node computes."""
        if node.op in COMPUTED:
            return ()
        fixed = [name for name in node.inputs if name not in self.moving and refer(name) != name]
        return tuple(_sum_numbers_up(np.asarray(self.values[name])) for name in fixed)

    def find_places(self, node: Node) -> Places | None:
        """Return the places of a moving value that a node reads; None if it is no such node."""
        if node.output not in self.known_places:
            first, *others = node.inputs or ("",)
            reads = first in self.moving and self.moving.isdisjoint(others)
            self.known_places[node.output] = find_places(node, self.values) if reads else None
        return self.known_places[node.output]


def _cut_behind(nodes: Sequence[Node], names: Container[str]) -> Sequence[Node]:
    """Return the nodes up to the last that makes one of these values."""
    ends = (i for i in range(len(nodes) - 1, -1, -1) if nodes[i].output in names)
    return nodes[: next(ends, 0)]


def _find_runs(signs: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield where at least `FEWEST` equal descriptions begin and end."""
    begin = 0
    for _, group in groupby(signs):
        count = sum(1 for _ in group)
        if count >= FEWEST:
            yield begin, begin + count
        begin += count


def _refer(here: Mapping[str, int], before: Mapping[str, int], name: str) -> Hashable:
    """Return a value by its place in the step or in the one before it, or by its name."""
    if name in here or name in before:
        return (0, here[name]) if name in here else (1, before[name])
    return name


def _sum_numbers_up(a: AnyArray) -> Hashable:
    """Return what tells numbers from others, in a few bytes."""
    return a.shape, a.dtype, blake2b(np.ascontiguousarray(a).tobytes()).digest()


def _freeze_attribute(v: Any, refer: Callable[[str], Hashable]) -> Hashable:
    """Return an attribute as something that can be compared."""
    if isinstance(v, Node):
        attributes = ((k, _freeze_attribute(a, refer)) for k, a in sorted(v.attrs.items()))
        return (v.op, refer(v.output), *map(refer, v.inputs), *attributes)
    if isinstance(v, np.ndarray):
        return (v.shape, v.dtype.str, v.tobytes())
    if isinstance(v, list | tuple):
        return tuple(_freeze_attribute(x, refer) for x in v)
    return v if isinstance(v, Hashable) else repr(v)
