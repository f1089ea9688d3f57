"""The way back of relevance through a graph where steps that are alike are one loop.

The engine's own pass goes through one step, whose values are symbols of a step; `roll` makes all
steps of it.  Relevance that leaves a step for the one before it is the loop's state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dftlrp.core.ledger import AMOUNTS, LedgerRow
from dftlrp.core.maps import Array
from dftlrp.core.progress import steps
from dftlrp.core.sharing import Share, Support
from dftlrp.engine.difference import Reference
from dftlrp.engine.flows import Arriving, Flow, Received
from dftlrp.engine.propagate import Propagation, Walk
from dftlrp.graph.structure import Node
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.repeats import Repeat
from dftlrp.tracing.rolling import Body, State, roll
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.unrolled import Unrolled, has_steps, split_parts

EACH = "/each step"  # behind the name of a value of the sample: that of all steps


@dataclass(eq=False)
class Return:
    """The way back of relevance through a graph with repeats."""

    way: Propagation
    repeats: Sequence[Repeat]
    here: Unrolled
    there: Unrolled | None

    def carry_back(self, seed: Flow) -> tuple[dict[str, Flow], list[LedgerRow]]:
        """Carry the seed from the explained value to the signals, as the engine does."""
        walk = Walk.start(self.way, seed)
        inside = {name: repeat for repeat in self.repeats for name in repeat.places}
        done = list[Repeat]()
        for node in steps(self.way.plan.path[::-1], "relevance"):
            repeat = inside.get(node.output)
            if repeat is None and has_steps(node, self.repeats):
                self.divide(node, walk)
            elif repeat is None:
                walk.visit(node)
            elif repeat not in done:
                done.append(repeat)
                self.carry_through(repeat, walk)
            if walk.is_done:
                break
        return walk.finish()

    def divide(self, node: Node, walk: Walk) -> None:
        """Carry relevance through a Stack of steps."""
        if (received := walk.receive(node)) is None:
            return
        R, m, support = received.flow.settle()
        axis = node.attrs["axis"] % R.ndim
        R, m = (None if a is None else np.moveaxis(a, axis, 0) for a in (R, m))
        live = self.way.plan.live[node.key]
        names, parts, multipliers = list[str](), list[Array](), list[Array]()
        for piece in split_parts(node, self.repeats):
            key = slice(piece.begin, piece.begin + len(piece.names))
            got = [None if a is None else a[key][piece.span] for a in (R, m)]
            if piece.repeat is None:
                got = [None if a is None else a[0] for a in got]
            if piece.begin not in live:
                lost: Array = got[0]
                received.taken.append(lost if piece.repeat is None else np.moveaxis(lost, 0, axis))
                continue
            names.append(piece.names[0])
            if piece.repeat is not None:
                _, place = piece.repeat.places[piece.names[0]]
                names[-1] = piece.repeat.sample[place].output + EACH
                self.way.makers[names[-1]] = self.way.makers[piece.names[0]]
            parts.append(got[0])
            multipliers.append(got[1])
        known = tuple(multipliers) if m is not None else None
        kind = min(support, Support.NOT_ZERO) if known else Support.ANYWHERE
        walk.send(node, received, names, _carry(parts, known, kind))
        lying = [np.moveaxis(r, 0, axis) if name.endswith(EACH) else r
                 for name, r in zip(names, parts, strict=True)]  # fmt: skip
        walk.close_account(node, received, names, _carry(lying, None, kind))  # for each sample

    def carry_through(self, repeat: Repeat, walk: Walk) -> None:
        """Carry what is pending at the steps of a repeat through all of them."""
        arrived = self.gather(repeat, walk.pending)
        if not arrived:
            return
        known = frozenset(repeat.earlier)
        while True:
            trip = _Trip(self, repeat, arrived, known)
            if trip.known == known:
                break
            known = trip.known  # a rule gives the step before no multiplier
        trip.finish(walk)

    def gather(self, repeat: Repeat, pending: dict[str, Arriving]) -> dict[int, Flow]:
        """Remove what is pending at steps; return it by place, along a first axis of steps."""
        found = dict[int, Arriving]()

        def add(place: int, flow: Arriving) -> None:
            found[place] = found[place] + flow if place in found else flow

        for name in list(pending):
            if name.endswith(EACH) and name.removesuffix(EACH) in repeat.places:
                add(repeat.places[name.removesuffix(EACH)][1], pending.pop(name))
            elif name in repeat.places:
                number, place = repeat.places[name]
                flow, ends = pending.pop(name).settle(), (number, len(repeat) - 1 - number)
                R, m = (_pad_steps(a, ends) for a in flow[:2])
                add(place, Arriving.start(Flow(R, m, flow.support)))
        return {place: flow.settle() for place, flow in found.items()}


def _carry(parts: Sequence[Array], known: tuple[Array, ...] | None, support: Support) -> Share:
    """Return the share of a node that only carries relevance."""
    nothing = 0 * parts[0]
    multiplier = None if known is None else lambda: known
    return Share(tuple(parts), multiplier, lambda: nothing, lambda: nothing, support)


def _pad_steps(x: Array, ends: tuple[int, int]) -> Array:
    """Return the value of one step along a first axis, with zeros at the others."""
    return None if x is None else np.pad(x[None], (ends, *(((0, 0),) * x.ndim)))


class _Trip:
    """One step on the way back, traced.

    ``known`` are the values of the step before that a multiplier goes on to; it may be fewer than
    it was assumed to be.
    """

    def __init__(
        self, back: Return, repeat: Repeat, arrived: Mapping[int, Flow], known: frozenset[str]
    ) -> None:
        way = back.way
        self.repeat, self.tape = repeat, way.bk.tape  # type: ignore[attr-defined]
        self.body = Body(self.tape, len(repeat))
        own = {node.output for node in repeat.sample}
        nodes = [n for n in way.plan.path if n.output in own and n.output not in repeat.read]
        live = way.plan.live
        fed = {n.inputs[i] for n in nodes for i in live[n.key]} & repeat.earlier.keys()
        inner = self.make_way(back, nodes)
        self.walk = Walk(inner)
        self.incoming = dict[str, Flow]()
        for name in sorted(fed):
            node = repeat.sample[repeat.earlier[name]]
            x = inner.values[name]
            states = [self.body.add_state(x.shape, x.dtype) for _ in range(2)]
            flow = Flow(states[0], states[1] if name in known else None)
            self.incoming[name] = flow
            self.walk.add(node.output, Arriving.start(flow))
        for place, flow in arrived.items():
            R, m = (None if a is None else self.body.read(a) for a in flow[:2])
            arriving = Arriving.start(Flow(R, m, flow.support))
            self.walk.add(repeat.sample[place].output, arriving)
        for node in reversed(nodes):
            self.walk.visit(node)
        pending = self.walk.pending
        self.outgoing = {
            n: pending.pop(n).settle() if n in pending else self.make_nothing(n)
            for n in self.incoming
        }
        self.known = frozenset(
            n for n in known if n not in fed or self.outgoing[n].multiplier is not None
        )

    def make_nothing(self, name: str) -> Flow:
        """Return no relevance at a value of the step before."""
        x = self.walk.way.values[name]
        return Flow(np.zeros(x.shape), np.zeros(x.shape), Support.POSITIVE)

    def make_way(self, back: Return, nodes: Sequence[Node]) -> Propagation:
        """Return what relevance goes back through in one step."""
        way, body, repeat = back.way, self.body, self.repeat
        names = [name for n in nodes for name in (*n.inputs, n.output)]
        values = way.values | back.here.lift(repeat, names, body)
        reference = way.reference
        if reference is not None and back.there is not None:
            moving = [n for n in names if n in way.moving]
            there = {**reference.values, **{n: values[n] for n in names if n}}
            there |= back.there.lift(repeat, moving, body)
            later = {n: repeat.sample[place].output for n, place in repeat.earlier.items()}
            odd = {n for n, own in later.items() if own not in reference.zero}
            reference = Reference(there, reference.zero - odd)
        bk = OnnxBackend(body.tape)
        return replace(way, values=values, bk=bk, reference=reference, keep=(), masks={})

    def finish(self, walk: Walk) -> None:
        """Write all steps, and hand on what leaves them."""
        states = list[State]()
        for name, flow in self.incoming.items():
            for x, out in zip(flow[:2], self.outgoing[name][:2], strict=True):
                if x is not None:
                    states.append(State(x.name, np.zeros(x.shape), out))
        pending = {name: flow.settle() for name, flow in self.walk.pending.items()}
        rows = self.walk.rows
        leaving = [a for flow in pending.values() for a in flow[:2]]
        amounts = [getattr(row, key) for row in rows for key in AMOUNTS]
        stacked, last = roll(self.body, states, [*leaving, *amounts], backward=True)
        found, ends = iter(stacked), iter(last)
        left = {name: Flow(next(found), next(found), f.support) for name, f in pending.items()}
        left = {n: f._replace(multiplier=None) if pending[n].multiplier is None else f
                for n, f in left.items()}  # fmt: skip
        for row in rows:
            sums = {key: _sum_amount(key, row, next(found)) for key in AMOUNTS}
            walk.rows.append(replace(row, **sums))
        for name, flow in left.items():
            self.hand_on(name, flow, walk)
        for name, flow in self.incoming.items():
            R, m = (None if a is None else next(ends) for a in flow[:2])
            walk.add(name, Arriving.start(Flow(R, m, self.outgoing[name].support)))

    def hand_on(self, name: str, flow: Flow, walk: Walk) -> None:
        """Add what all steps give a value from outside to what is pending there."""
        if name not in self.repeat.read:
            R, m = (None if a is None else np.sum(a, axis=0) for a in flow[:2])
            walk.add(name, Arriving.start(Flow(R, m, flow.support)))
            return
        node = self.repeat.sample[self.repeat.places[name][1]]
        places, bk = self.repeat.read[name], walk.way.bk
        x = walk.way.values[places.source]
        parts = [None if a is None else places.carry_back(a, x, bk) for a in flow[:2]]
        known = None if parts[1] is None else (parts[1],)
        kind = min(flow.support, Support.NOT_ZERO) if known else Support.ANYWHERE
        received = Received(Arriving.start(flow), parts[:1], [])
        walk.pass_on(node, received, [places.source], _carry(parts[:1], known, kind))


def _sum_amount(key: str, row: LedgerRow, each: Array) -> Array:
    """Return an amount of all steps: the largest of the magnitudes, and sums of all others."""
    own = getattr(row, key)
    if key in {"magnitude", "onward"}:
        return np.max(each, axis=0) if isinstance(own, Symbol) else own
    return np.sum(each, axis=0)
