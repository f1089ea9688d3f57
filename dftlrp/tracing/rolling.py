"""A step of a recurrence that is written once, and runs for all steps.

Of a step only that much is a loop (ONNX's Scan) as one step needs of another.  What comes before is
computed for all steps at once, from values that are stacked along a first axis of steps, and so is
what comes behind: a cell's relevance goes back in a loop of the state alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import NodeProto, ValueInfoProto, helper

from dftlrp.tracing.lifting import Operand, can_lift, lift_node
from dftlrp.tracing.loosening import loosen
from dftlrp.tracing.symbols import Origin, Symbol
from dftlrp.tracing.tape import Tape

Given = Any  # Symbol or array


@dataclass(frozen=True)
class State:
    """What a step hands to the next.

    Attributes
    ----------
    name : str
        What the step calls it where it comes in.
    first : Symbol or array
        What comes in at the first step.
    out : Symbol or array
        What the step makes of it.
    """

    name: str
    first: Given
    out: Given


@dataclass(eq=False)
class Body:
    """The nodes of one step, on a tape of its own.

    Attributes
    ----------
    outer : Tape
        The graph that they are a part of.
    count : int
        Number of steps.
    tape : Tape
        The nodes.
    stacked : dict of str to Symbol
        By name within the step, what differs from step to step, along a first axis of steps.
    same : dict of str to Symbol
        Values from outside that do not differ.
    """

    outer: Tape
    count: int
    tape: Tape = field(init=False)
    stacked: dict[str, Symbol] = field(default_factory=dict)
    same: dict[str, Symbol] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tape = Tape(self.outer.opset, taken=self.outer.taken)

    def read(self, stacked: Given) -> Given:
        """Return what a step sees of an array with a first axis of steps."""
        if not isinstance(stacked, Symbol):
            if (stacked == stacked[:1]).all():
                return stacked[0]
            name = self.outer.add_constant(stacked)
            stacked = Symbol(self.outer, name, stacked.shape, stacked.dtype, Origin("constant"))
        x = self.tape.add_input("each", stacked.shape[1:], stacked.dtype).with_sign(stacked.sign)
        self.stacked[x.name] = stacked
        return x

    def share(self, x: Given) -> Given:
        """Return what a step sees of a value from outside that is the same for all steps."""
        if not isinstance(x, Symbol):
            return x
        self.same[x.name] = x
        own = Symbol(self.tape, x.name, x.shape, x.dtype, Origin("outside"), x.sign)
        self.tape.known[x.name] = own
        return own

    def add_state(self, shape: Sequence[int], dtype: Any) -> Symbol:
        """Return what comes in from the step before."""
        return self.tape.add_input("state", shape, dtype)


def roll(
    body: Body, states: Sequence[State], wanted: Iterable[Given], backward: bool = False
) -> tuple[list[Given], list[Given]]:
    """Write all steps of a body into the graph around it.

    Parameters
    ----------
    states : sequence of State
    wanted : iterable of Symbol or array
        Values of the step.
    backward : bool
        Whether the last step runs first.

    Returns
    -------
    stacked, last : list of Symbol or array
        The values that are wanted, along a first axis of steps; and the states behind the step that
        runs last.
    """
    wanted, tape = list(wanted), body.tape
    needed = [x.name for x in (*wanted, *(s.out for s in states)) if isinstance(x, Symbol)]
    names = loosen(tape, [s.name for s in states], needed)

    def find(x: Given) -> Given:
        return tape.known[names[x.name]] if isinstance(x, Symbol) and x.name in names else x

    wanted = [find(x) for x in wanted]
    states = [replace(s, out=find(s.out)) for s in states]
    roller = _Roller(body, states, backward)
    roller.write([x.name for x in wanted if isinstance(x, Symbol)])
    return [roller.get_stack(x) for x in wanted], [roller.get_last(s) for s in states]


class _Roller:
    """A body on its way into the graph."""

    def __init__(self, body: Body, states: Sequence[State], backward: bool) -> None:
        self.body, self.backward = body, backward
        self.outer, self.tape, self.count = body.outer, body.tape, body.count
        self.states = [s for s in states if isinstance(s.out, Symbol)]
        self.done: dict[str, Operand] = {}
        for name, x in body.stacked.items():
            self.done[name] = Operand(x, True)
        for name, x in body.same.items():
            self.done[name] = Operand(x, False)
        for name, a in body.tape.constants.items():
            self.done[name] = Operand(a, False)
        for s in states:
            if not isinstance(s.out, Symbol):
                self.done[s.name] = Operand(self.shift(self.get_stack(s.out), s.first), True)
        self.last: dict[str, Symbol] = {}

    # -- what is asked for

    def get_stack(self, x: Given) -> Given:
        """Return a value of all steps."""
        if not isinstance(x, Symbol):
            return np.broadcast_to(x, (self.count, *np.shape(x)))
        return self.stack(self.done[x.name])

    def stack(self, found: Operand) -> Given:
        """Return an operand along a first axis of steps."""
        if found.stacked:
            return found.value
        return np.broadcast_to(found.value, (self.count, *np.shape(found.value)))

    def get_last(self, state: State) -> Given:
        """Return a state behind the step that runs last."""
        if not isinstance(state.out, Symbol):
            return state.out
        if state.name in self.last:
            return self.last[state.name]
        return self.get_stack(state.out)[0 if self.backward else -1]

    def shift(self, made: Given, first: Given) -> Given:
        """Return what comes in at each step, of what the step before makes."""
        rest = made[1:] if self.backward else made[:-1]
        ends = (rest, first[None]) if self.backward else (first[None], rest)
        return np.concatenate(ends, 0)

    # -- writing

    def write(self, wanted: Sequence[str]) -> None:
        """Write what comes before the loop, the loop, and what comes behind."""
        ends = {*wanted, *(s.out.name for s in self.states)}
        nodes = _keep_for(self.tape.nodes, ends)
        rounds, inside = self.divide(nodes)
        behind = list[NodeProto]()
        for node in nodes:
            names = set(filter(None, node.input))
            if node.output[0] in inside or not names <= self.done.keys():
                behind += [] if node.output[0] in inside else [node]
            else:
                self.lift(node)
        loop = [node for node in nodes if node.output[0] in inside]
        later = {name for node in behind for name in node.input}
        derived = [s for s in self.states if s not in rounds]
        later |= {*wanted, *(s.out.name for s in derived)}
        for node in self.find_cheap(loop, rounds, later):
            behind.insert(0, node)
            later = later - set(node.output) | set(node.input)
        if loop or rounds:
            self.write_loop(loop, rounds, later)
        self.write_behind(behind, derived)

    def find_cheap(
        self, loop: Sequence[NodeProto], states: Sequence[State], later: set[str]
    ) -> list[NodeProto]:
        """Return nodes that make a state which is needed later, too: it is made again then.

        A loop would have to copy it at each step.
        """
        ends, made = {s.out.name for s in states}, {n for node in loop for n in node.output}
        return [
            node
            for node in loop
            if node.output[0] in ends & later
            and self.lifts(node)
            and all(n in self.done or n in made - ends for n in node.input)
        ]

    def divide(self, nodes: Sequence[NodeProto]) -> tuple[list[State], set[str]]:
        """Return the states that are handed from step to step, and the values made in the loop."""
        made = {name: node for node in nodes for name in node.output}
        behind = _find_sources(nodes, [s.name for s in self.states])
        rounds = list(self.states)
        while True:
            feeding = {n for s in rounds for n in behind.get(s.out.name, {s.out.name})}
            kept = [s for s in rounds if s.name in feeding]
            if len(kept) == len(rounds):
                break
            rounds = kept
        while True:
            free = self.find_free(nodes)
            bound = [n.output[0] for n in nodes if n.output[0] not in free and not self.lifts(n)]
            starts = [*(s.out.name for s in rounds), *bound]
            inside, read = _find_needed_in(made, starts, free)
            more = [s for s in self.states if s.name in read and s not in rounds]
            if not more:
                return rounds, inside
            rounds += more

    def find_free(self, nodes: Sequence[NodeProto]) -> set[str]:
        """Return the values that no state is needed for, and that all steps can make at once."""
        free, same = set(self.done), {n for n, found in self.done.items() if not found.stacked}
        for node in nodes:
            names = set(filter(None, node.input))
            if names <= same:
                same.update(node.output)
            if names <= same or (names <= free and can_lift(node, lambda name: name not in same)):
                free.update(node.output)
        return free

    def lifts(self, node: NodeProto) -> bool:
        """Return whether a node that needs a state can run for all steps at once behind these."""
        same = {n for n, found in self.done.items() if not found.stacked}
        return can_lift(node, lambda name: name not in same)

    def lift(self, node: NodeProto) -> None:
        """Write a node for all steps at once, or as it is if it does not differ."""
        operands = [self.done[name] if name else None for name in node.input]
        known = [self.tape.known.get(name) for name in node.output]
        lifted = lift_node(self.outer, self.count, node, operands, known)
        self.done.update(zip(node.output, lifted, strict=True))

    def write_behind(self, nodes: Sequence[NodeProto], derived: Sequence[State]) -> None:
        """Write what needs the loop's values, as soon as these are there."""
        left, waiting = list(nodes), list(derived)
        while left or waiting:
            before = len(left) + len(waiting)
            for s in waiting:
                if s.out.name in self.done and s.name not in self.done:
                    self.done[s.name] = Operand(self.shift(self.get_stack(s.out), s.first), True)
            waiting = [s for s in waiting if s.name not in self.done]
            for node in left:
                if set(filter(None, node.input)) <= self.done.keys():
                    self.lift(node)
            left = [node for node in left if node.output[0] not in self.done]
            assert len(left) + len(waiting) < before, "states that wait for each other"

    def write_loop(
        self, nodes: Sequence[NodeProto], states: Sequence[State], later: set[str]
    ) -> None:
        """Write the Scan of these nodes and states; ``later`` is what is needed of them."""
        made = {name for node in nodes for name in node.output}
        ends = [s.out.name for s in states]
        reads = dict.fromkeys(n for n in (*(n for node in nodes for n in node.input), *ends)
                              if n and n not in made)  # fmt: skip
        kept = [n for n in self.tape.known if n in later and n in made]
        kept += [s.name for s in states if s.name in later]
        names = {n: self.name_same(n) for n in reads if n in self.done and not self.done[n].stacked}
        scanned = [n for n in reads if n in self.done and self.done[n].stacked]
        if not scanned:  # what a Scan goes along
            scanned.append(self.body.read(np.arange(self.count)).name)
            self.done[scanned[0]] = Operand(self.body.stacked[scanned[0]], True)
        sources, known, inner = [*ends, *kept], self.tape.known, list(nodes)
        ends = self.name_ends(sources, made, inner)
        inner = [_rename_operands(node, names) for node in inner]
        ins = [_declare(n, known[n]) for n in (*(s.name for s in states), *scanned)]
        outs = [_declare(end, known[n]) for end, n in zip(ends, sources, strict=True)]
        graph = helper.make_graph(inner, "step", ins, outs)
        given = [s.first for s in states] + [self.done[n].value for n in scanned]
        last = [self.outer.make_name("last") for _ in states]
        every = [self.outer.make_name("every") for _ in kept]
        attributes = {"body": graph, "num_scan_inputs": len(scanned)}
        if self.backward:
            attributes["scan_input_directions"] = [1] * len(scanned)
            attributes["scan_output_directions"] = [1] * len(kept) or None
        self.outer.append_node("Scan", given, [*last, *every], attributes)
        for s, name in zip(states, last, strict=True):
            self.last[s.name] = self.describe(name, s.out.name, ())
        for n, name in zip(kept, every, strict=True):
            self.done[n] = Operand(self.describe(name, n, (self.count,)), True)

    def name_same(self, name: str) -> str:
        """Return what the graph calls a value or a constant that does not differ."""
        return self.outer.find_name(self.done[name].value)

    def name_ends(self, names: Sequence[str], made: set[str], nodes: list[NodeProto]) -> list[str]:
        """Return the names of a loop's outputs: each is the output of another node."""
        ends = list[str]()
        for name in names:
            own = name
            if name in ends or name not in made:
                own = self.outer.make_name(f"{name}_out")
                nodes.append(helper.make_node("Identity", [name], [own]))
            ends.append(own)
        return ends

    def describe(self, name: str, source: str, lead: tuple[int, ...]) -> Symbol:
        """Return the symbol of an output of the loop."""
        x = self.tape.known[source]
        made = Symbol(self.outer, name, (*lead, *x.shape), x.dtype, Origin("Scan"), x.sign)
        self.outer.known[name] = made
        return made


def _keep_for(nodes: Sequence[NodeProto], ends: Iterable[str]) -> list[NodeProto]:
    """Return the nodes that these values need."""
    wanted, kept = set(ends), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _find_sources(nodes: Sequence[NodeProto], names: Sequence[str]) -> dict[str, set[str]]:
    """Return for each value which of these it depends on."""
    sources = {name: {name} for name in names}
    for node in nodes:
        found = set[str]().union(*(sources.get(name, ()) for name in node.input))
        sources.update(dict.fromkeys(node.output, found))
    return sources


def _find_needed_in(
    made: Mapping[str, NodeProto], starts: Iterable[str], free: set[str]
) -> tuple[set[str], set[str]]:
    """Return the values that these need and that are not free, and all that their nodes read."""
    inside, read, waiting = set[str](), set[str](), list(starts)
    for name in waiting:  # grows while it is walked
        read.add(name)
        if name in inside or name in free or name not in made:
            continue
        inside.update(made[name].output)
        waiting += filter(None, made[name].input)
    return inside, read


def _rename_operands(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """Return the node with other names for what it reads."""
    own = NodeProto()
    own.CopyFrom(node)
    own.input[:] = [names.get(name, name) for name in node.input]
    return own


def _declare(name: str, x: Symbol) -> ValueInfoProto:
    """Return the type of a value, whose shape the runtime finds."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), None)
