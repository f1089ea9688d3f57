"""The values of a forward pass through a graph, where steps that are alike are one loop.

A step is written once, with symbols of one step, and `roll` makes all steps of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dftlrp.engine.evaluate import Values, make_at
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node
from dftlrp.tracing.cells import run_cell
from dftlrp.tracing.emit import emit
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.repeats import Repeat
from dftlrp.tracing.rolling import Body, State, roll
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

Stacks = dict[str, Any]  # by value of the sample: that of all steps along a first axis


@dataclass(eq=False)
class Unrolled:
    """The values of one forward pass, of which those of repeats are stacked.

    Attributes
    ----------
    values : dict of str to array
        All others; symbols or numbers.
    repeats : sequence of Repeat
    stacks : dict of str to Symbol
        By value of a sample: that of all steps along a first axis.
    handed : dict of str to Symbol
        By value of the step before the sample, what each step reads there.
    """

    values: Values
    repeats: Sequence[Repeat]
    stacks: Stacks = field(default_factory=dict)
    handed: Stacks = field(default_factory=dict)

    def find(self, name: str) -> Repeat | None:
        """Return the repeat that a value is made in."""
        return next((r for r in self.repeats if name in r.places), None)

    def fetch(self, names: Iterable[str]) -> None:
        """Make sure that these are among the values."""
        for name in names:
            if (repeat := self.find(name)) is not None:
                number, place = repeat.places[name]
                stack = self.stacks.get(repeat.sample[place].output)
                if stack is not None and not isinstance(self.values[name], Symbol):
                    self.values[name] = stack[number]

    def get_stack(self, repeat: Repeat, place: int) -> Any:
        """Return what the nodes at a place make, along a first axis of steps."""
        name = repeat.sample[place].output
        if name not in self.stacks:
            self.stacks[name] = self.stack_numbers(repeat, place)
        return self.stacks[name]

    def stack_numbers(self, repeat: Repeat, place: int) -> Any:
        """Return numbers that the nodes at a place make, along a first axis of steps."""
        first, *others = (np.asarray(self.values[n]) for n in repeat.list_names(place))
        if all(np.array_equal(first, other) for other in others):
            return np.broadcast_to(first, (len(repeat), *first.shape))
        return np.stack([first, *others])

    def get_earlier(self, repeat: Repeat, place: int) -> Any:
        """Return what each step reads of the one before it."""
        name = repeat.before[place].output
        if name not in self.handed:
            self.handed[name] = self.shift(name, self.get_stack(repeat, place))
        return self.handed[name]

    def shift(self, name: str, made: Any) -> Any:
        """Return what each step reads, of that in front of the first and of what each makes."""
        self.fetch([name])
        first = self.values[name]
        first = first if isinstance(first, Symbol) else np.asarray(first)
        return np.concatenate((first[None], made[:-1]), 0)

    def lift(self, repeat: Repeat, names: Iterable[str], body: Body) -> Values:
        """Return these values of the sample as a step sees them."""
        own = {node.output: place for place, node in enumerate(repeat.sample)}
        seen: Values = {}
        for name in dict.fromkeys(names):
            if name in repeat.earlier:
                seen[name] = body.read(self.get_earlier(repeat, repeat.earlier[name]))
            elif name in own:
                seen[name] = body.read(self.get_stack(repeat, own[name]))
            elif name:
                self.fetch([name])
                seen[name] = body.share(self.values[name])
        return seen

    # -- the forward pass

    def trace_step(self, repeat: Repeat, plan: Plan, known: Values, tape: Tape) -> None:
        """Write the forward pass of a repeat."""
        body = Body(tape, len(repeat))
        bk = OnnxBackend(body.tape)
        for name, places in repeat.read.items():
            self.fetch([places.source])
            self.stacks[name] = places.read(self.values[places.source], OnnxBackend(tape))
        self.fetch(repeat.earlier)
        given = run_cell(repeat, plan, self.values, self.stacks, tape)
        seen, states = self.start_step(repeat, given, body)
        made = [n for n in repeat.sample if n.output in repeat.moving - repeat.read.keys()]
        for node in made:
            own = {node.output, *repeat.earlier}
            seen |= self.lift(repeat, [n for n in node.inputs if n not in seen.keys() | own], body)
            here = replace(make_at(plan, node, seen, bk), y=None)
            seen[node.output] = emit(body.tape, here, np.asarray(known[node.output]))
        handed = [
            replace(state, out=seen[repeat.sample[repeat.earlier[name]].output])
            for name, state in states.items()
        ]
        stacked, _ = roll(body, handed, [seen[node.output] for node in made])
        self.stacks.update(zip((node.output for node in made), stacked, strict=True))

    def start_step(
        self, repeat: Repeat, given: Mapping[int, Any], body: Body
    ) -> tuple[Values, dict[str, State]]:
        """Return what a step reads of the one before it, and what of this it has to wait for.

        ``given`` are values of all steps that are known, by place.
        """
        seen: Values = {}
        states = dict[str, State]()
        for name, place in repeat.earlier.items():
            if place in given:
                seen[name] = body.read(self.shift(name, given[place]))
            elif not repeat.is_moving(place):
                seen[name] = body.read(self.get_earlier(repeat, place))
            else:
                first = self.values[name]
                seen[name] = body.add_state(first.shape, first.dtype)
                states[name] = State(seen[name].name, first, None)
        return seen, states

    def join(self, node: Node, rank: int) -> Any:
        """Return the value of a Stack, some of whose parts are steps of repeats."""
        pieces = []
        for piece in split_parts(node, self.repeats):
            if piece.repeat is None:
                self.fetch(piece.names)
                pieces.append(self.values[piece.names[0]][None])
            else:
                _, place = piece.repeat.places[piece.names[0]]
                pieces.append(self.get_stack(piece.repeat, place)[piece.span])
        axis = node.attrs["axis"] % rank
        return np.moveaxis(np.concatenate(tuple(pieces), 0), 0, axis)


@dataclass(frozen=True)
class Piece:
    """Parts of a Stack: one of them, or all steps of a repeat, the last first if ``pace`` is -1."""

    begin: int
    names: Sequence[str]
    repeat: Repeat | None = None
    pace: int = 1

    @property
    def span(self) -> slice:
        """The key that brings steps into the order of the parts, and parts into that of steps."""
        return slice(None, None, self.pace)


def split_parts(node: Node, repeats: Sequence[Repeat]) -> Iterator[Piece]:
    """Yield the parts of a Stack, those of each repeat together."""
    begin, parts = 0, node.inputs
    while begin < len(parts):
        piece = Piece(begin, parts[begin : begin + 1])
        for repeat in repeats:
            if parts[begin] in repeat.places:
                _, place = repeat.places[parts[begin]]
                names = tuple(repeat.list_names(place))
                for pace in (1, -1):
                    if parts[begin : begin + len(names)] == names[::pace]:
                        piece = Piece(begin, names[::pace], repeat, pace)
        yield piece
        begin += len(piece.names)


def has_steps(node: Node, repeats: Sequence[Repeat]) -> bool:
    """Return whether a node is a Stack that all steps of a repeat are parts of."""
    return node.op == "Stack" and any(p.repeat for p in split_parts(node, repeats))
