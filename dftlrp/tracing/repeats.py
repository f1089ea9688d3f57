"""Steps of recurrences that are alike: which of the nodes that ran are the same again and again.

A cell (LSTM, GRU, RNN) and a loop have run step by step, each step in nodes of its own, which bear
its number (`Node.turn`).  Two steps are alike if their nodes are: the same ops with the same
attributes and rules, which read the same values from outside, and what their own step and the one
before it made.  Places along an axis that is read step by step go on by the same distance, and
numbers that do not depend on a signal may differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from dftlrp.core.maps import Array
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node

FEWEST = 4  # steps that are worth a loop of their own

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
    """

    before: Step
    steps: tuple[Step, ...]
    moving: frozenset[str]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def sample(self) -> Step:
        """The step that stands for all of them."""
        return self.steps[0]

    @property
    def end(self) -> str:
        """The last value of the last step that depends on a signal."""
        return next(n.output for n in reversed(self.steps[-1]) if n.output in self.moving)

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
        read = {name for node in self.sample for name in node.inputs}
        names = ((node.output, place) for place, node in enumerate(self.before))
        return {name: place for name, place in names if name in read & self.moving}

    @cached_property
    def read(self) -> dict[str, Node]:
        """The nodes of the sample that take their place of a value from outside, by output."""
        own = {node.output for node in (*self.before, *self.sample)}
        return {
            node.output: node
            for node in self.sample
            if node.op == "Select" and node.inputs[0] in self.moving - own
        }

    def list_names(self, place: int) -> list[str]:
        """Return the values that the nodes at a place make, step by step."""
        return [step[place].output for step in self.steps]

    def list_places(self, place: int) -> slice:
        """Return which places of its input the nodes at a place take."""
        first, second, last = (self.steps[i][place].attrs["place"] for i in (0, 1, -1))
        pace = second - first
        end = last + pace
        return slice(first, None if end < 0 else end, pace)


def find_repeats(
    plan: Plan, nodes: Iterable[Node], moving: set[str], zero: frozenset[str],
    values: Mapping[str, Array], apart: Iterable[str],
) -> list[Repeat]:  # fmt: skip
    """Return the steps of the nodes that are alike and as many as are worth it.

    Parameters
    ----------
    moving : set of str
        The values that depend on a signal.
    zero : frozenset of str
        Values that are known to be 0 at the reference.
    apart : iterable of str
        Values that are looked at on their own, so that their steps stay apart.
    """
    loops = defaultdict[str, dict[int, list[Node]]](lambda: defaultdict(list))
    seen = set[str]()
    for node in nodes:
        loop, number = node.turn
        if loop and node.output not in seen:
            loops[loop][number].append(node)
            seen.add(node.output)
    found, kept, fixed = list[Repeat](), set(apart), frozenset(moving)
    for numbered in loops.values():
        steps = [tuple(numbered[number]) for number in sorted(numbered)]
        signs = list(_describe_steps(plan, steps, moving, zero, values))
        for begin, end in _find_runs(signs):
            run = steps[begin:end]
            if begin and kept.isdisjoint(node.output for step in run for node in step):
                found.append(Repeat(steps[begin - 1], tuple(run), fixed))
    return found


def _find_runs(signs: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield where at least `FEWEST` equal descriptions begin and end."""
    begin = 0
    for _, group in groupby(signs):
        count = sum(1 for _ in group)
        if count >= FEWEST:
            yield begin, begin + count
        begin += count


def _describe_steps(
    plan: Plan, steps: Sequence[Step], moving: set[str], zero: frozenset[str],
    values: Mapping[str, Array],
) -> Iterator[Hashable]:  # fmt: skip
    """Yield for each step all that makes it another one."""
    before = dict[str, int]()
    last: Step = ()
    for step in steps:
        here = {node.output: place for place, node in enumerate(step)}

        def refer(name: str, here: dict[str, int] = here, before: dict[str, int] = before) -> Any:
            if name in here or name in before:
                return (0, here[name]) if name in here else (1, before[name])
            return name

        yield tuple(
            (
                node.op, node.layer, node.layer_op, node.index,
                node.output in moving, node.output in zero, plan.live.get(node.key),
                values[node.output].shape, values[node.output].dtype,
                tuple(map(refer, node.inputs)),
                _describe_attributes(node, last[i] if i < len(last) else None, refer),
            )
            for i, node in enumerate(step)
        )  # fmt: skip
        before, last = here, step


def _describe_attributes(node: Node, former: Node | None, refer: Any) -> Hashable:
    """Return the attributes of a node; a place that is read counts by its distance to the last."""
    if node.op == "Constant":
        return ()
    if node.op == "Select" and former is not None and node.inputs == former.inputs:
        return (node.attrs["axis"], "further", node.attrs["place"] - former.attrs["place"])
    return tuple((key, _freeze_attribute(v, refer)) for key, v in sorted(node.attrs.items()))


def _freeze_attribute(v: Any, refer: Any) -> Hashable:
    """Return an attribute as something that can be compared."""
    if isinstance(v, Node):
        return (v.op, refer(v.output), *map(refer, v.inputs), _describe_attributes(v, None, refer))
    if isinstance(v, np.ndarray):
        return (v.shape, v.dtype.str, v.tobytes())
    if isinstance(v, list | tuple):
        return tuple(_freeze_attribute(x, refer) for x in v)
    return v if isinstance(v, Hashable) else repr(v)
