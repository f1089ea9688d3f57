"""The engine: a transposed interpreter of the graph, and its ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.ledger import Ledger, LedgerRow, align_rows
from dftlrp.core.maps import Affine, Array, Arrays, Map, Route, Stop, add_up
from dftlrp.core.progress import steps
from dftlrp.core.rule_text import Rule
from dftlrp.core.sharing import Call, Share, Support
from dftlrp.core.types import InputError
from dftlrp.engine.difference import (
    Reference,
    find_moving,
    is_plain,
    take_between,
    take_tangent,
)
from dftlrp.engine.evaluate import Values, blame, check_finite, make_at
from dftlrp.engine.flows import Arriving, Flow, Received
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At


@dataclass(frozen=True)
class Propagation:
    """What relevance goes back through, and what is wanted of it on the way.

    Attributes
    ----------
    plan : Plan
        The nodes, and which of their inputs carry relevance.
    values : dict
        Every value of the forward pass.
    rules : dict
        Rule by layer key; None where relevance is only carried.
    bk : Backend
        What computes.
    ledger : bool
        Whether to keep the accounts.
    keep : collection of str
        Values on the way whose flows are wanted, too; as they arrive, before a mask.
    masks : dict of str to array or None
        Conditions: at this value the relevance is multiplied by the array (of a shape that
        broadcasts to the value's), and paths that bypass the value are left out.  None blocks the
        value: only the paths that bypass it stay.
    check : callable
        Is called with each relevance and a text that says where it is.
    reference : Reference, optional
        What the difference to is explained; see `dftlrp.engine.difference`.
    signals : bool
        Whether flows of the signals are wanted.
    """

    plan: Plan
    values: Values
    rules: Mapping[str, Rule | None]
    bk: Backend
    ledger: bool = True
    keep: Collection[str] = ()
    masks: Mapping[str, Array | None] = field(default_factory=dict)
    check: Callable[[Array, str], None] = check_finite
    reference: Reference | None = None
    signals: bool = True

    @cached_property
    def moving(self) -> set[str]:
        """The values that depend on the signals."""
        return find_moving(self.plan)

    def subtract(self, name: str) -> Array:
        """Return a value, or its difference to the reference."""
        value = self.values[name]
        return value if self.reference is None else self.reference.subtract(name, value)

    @cached_property
    def makers(self) -> dict[str, str]:
        """The layer that makes each value on the path."""
        return {node.output: node.layer for node in self.plan.path}

    @cached_property
    def batch(self) -> tuple[int, ...]:
        """Number of samples, as a shape; empty where the signals have no batch axis."""
        widest = max((self.values[name].shape for name in self.plan.signals), key=len)
        return widest[:1] if len(widest) > 1 else ()


def close_accounts(rows: Sequence[LedgerRow]) -> Ledger:
    """Return the accounts of layers from those of their nodes, in numbers."""
    layers = dict[str, LedgerRow]()
    for row in rows:
        own = row.closed
        layers[row.node] = layers[row.node] + own if row.node in layers else own
    return Ledger(align_rows(list(layers.values())))


def carry_back(way: Propagation, seed: Flow) -> tuple[dict[str, Flow], list[LedgerRow]]:
    """Carry the seed from the explained value to the signals.

    Take a node's relevance, get its map, apply the rule, add to the inputs' relevance.

    Parameters
    ----------
    way : Propagation
        What it goes through.
    seed : Flow
        Relevance at ``plan.explained``.

    Returns
    -------
    flows : dict of str to Flow
        By signal if these are wanted, and by the values to keep that relevance went through.
    rows : list of LedgerRow
        One for each node, from the output to the input; the amounts are arrays of the backend.
    """
    walk = Walk.start(way, seed)
    for node in steps(way.plan.path[::-1], "relevance"):
        walk.visit(node)
        if walk.is_done:
            break
    return walk.finish()


@dataclass(frozen=True)
class Walk:
    """Relevance on its way back through the nodes.

    Attributes
    ----------
    way : Propagation
        What it goes through.
    pending : dict of str to Arriving
        By value, what has arrived there so far and waits for the node that makes the value.
    kept : dict of str to Flow
        What arrived at the values to keep.
    rows : list of LedgerRow
        The accounts of the nodes that were visited.
    visited : set of str
        The values of these nodes.
    """

    way: Propagation
    pending: dict[str, Arriving] = field(default_factory=dict)
    kept: dict[str, Flow] = field(default_factory=dict)
    rows: list[LedgerRow] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)

    @classmethod
    def start(cls, way: Propagation, seed: Flow) -> Walk:
        """Return the walk that begins with the seed at the explained value."""
        return cls(way, {way.plan.explained: Arriving.start(seed)})

    @property
    def is_done(self) -> bool:
        """Whether all that is wanted has arrived, where no flows of the signals are."""
        way = self.way
        wanted = set[str]() if way.signals else {*way.keep, *way.masks}
        return bool(wanted) and wanted <= self.visited

    def visit(self, node: Node) -> None:
        """Take a node's relevance, get its map, apply the rule, add to the inputs' relevance."""
        if (received := self.receive(node)) is None:
            return
        share, stopped = _send_through(self.way, node, received.flow)
        received.taken.extend([] if stopped is None else [stopped])
        names = [node.inputs[i] for i in self.way.plan.live[node.key]]
        self.pass_on(node, received, names, share)

    def receive(self, node: Node) -> Received | None:
        """Take what has arrived at a node; None if that is nothing, or nothing more is wanted."""
        way, masks, pending = self.way, self.way.masks, self.pending
        if node.output not in pending:
            return None
        arrived = pending.pop(node.output)
        self.visited.add(node.output)
        if node.output in way.keep:
            self.kept[node.output] = arrived.settle()
        if self.is_done:
            return None
        came, taken = [arrived.relevance], list[Array]()
        if node.output in masks:
            bypassing = [] if masks[node.output] is None else take_pending(pending)
            arrived, cut = apply_mask(arrived, masks[node.output])
            came, taken = came + bypassing, [cut, *bypassing]
        return Received(arrived, came, taken)

    def pass_on(self, node: Node, received: Received, names: Sequence[str], share: Share) -> None:
        """Add what a node gives these values to what is pending there, and make its account."""
        self.send(node, received, names, share)
        self.close_account(node, received, names, share)

    def send(self, node: Node, received: Received, names: Sequence[str], share: Share) -> None:
        """Add what a node gives these values to what is pending there."""
        support, multiplier, depth = share.find_support(), share.multiplier, received.flow.depth
        for i, (name, r) in enumerate(zip(names, share.relevance, strict=True)):
            self.way.check(r, f"the relevance of {name!r}, behind node {node.key!r} ({node.op}),")
            m = None if multiplier is None else partial(_take, multiplier, i)
            self.add(name, Arriving(r, m, support, depth + 1).shorten())

    def close_account(
        self, node: Node, received: Received, names: Sequence[str], share: Share
    ) -> None:
        """Make the account of a node that has given these values their shares, if it is wanted."""
        if self.way.ledger:
            self.rows.append(_make_row(self.way, node, received, names, share))

    def add(self, name: str, flow: Arriving) -> None:
        """Add a flow to what is pending at a value."""
        self.pending[name] = self.pending[name] + flow if name in self.pending else flow

    def finish(self) -> tuple[dict[str, Flow], list[LedgerRow]]:
        """Return the flows of the signals and the kept values, and the accounts.

        Raises
        ------
        InputError
            There is a condition at a value that no relevance arrived at.
        """
        way, values, pending = self.way, self.way.values, self.pending
        wanted = {name for name, mask in way.masks.items() if mask is not None}
        if missed := sorted(wanted - self.visited):  # a blocked value may bar nothing
            raise InputError(f"no relevance that meets the conditions arrives at {missed[0]!r}")
        ends = [n for n in way.plan.signals if way.signals or n in way.keep]
        silent = {n: Flow(0 * values[n], 0 * values[n]) for n in ends if n not in pending}
        flows = {n: pending[n].settle() if n in pending else silent[n] for n in ends}
        return self.kept | flows, self.rows


def apply_mask(arrived: Arriving, mask: Array | None) -> tuple[Arriving, Array]:
    """Return what a mask lets through of what arrived, and the relevance that it takes."""
    mask = 0.0 if mask is None else mask
    return arrived.scale(mask), arrived.relevance * (1 - mask)


def take_pending(pending: dict[str, Arriving]) -> list[Array]:
    """Remove and return all pending relevance; it belongs to paths that bypass this value.

    Nodes are visited from the output on, so what goes through this value is not pending yet.
    """
    relevance = [flow.relevance for flow in pending.values()]
    pending.clear()
    return relevance


def _send_through(way: Propagation, node: Node, arrived: Arriving) -> tuple[Share, Array | None]:
    """Return what one node gives its inputs, and what lands on constants."""
    here = make_at(way.plan, node, way.values, way.bk)
    with blame(node):
        layer: Map = OPS[node.op].linearise(here)  # type: ignore[misc]
        return _apply_rule(way, layer, here, _find_other_end(way, node, layer), arrived)


def _find_other_end(way: Propagation, node: Node, layer: Map) -> At | None:
    """Return the node at the reference; None if there is none, or the map at x is exact alone.

    It is where all is 0 at the reference and the map has no bias.
    """
    if way.reference is None:
        return None
    biased = isinstance(layer, Affine) and layer.bias is not None
    if not biased and is_plain(node, way.moving, way.reference.zero):
        return None
    return make_at(way.plan, node, way.reference.values, way.bk)


def _apply_rule(
    way: Propagation, layer: Map, here: At, there: At | None, arrived: Arriving
) -> tuple[Share, Array | None]:
    """Return what a node's map gives its inputs, and what lands on constants."""
    (R, m, support, _), node, rule = arrived, here.node, way.rules[here.node.layer]
    on_tangent = rule is not None and rule.on_tangent
    inputs, y = here.inputs, here.y
    stopped = layer.stopped(R) if isinstance(layer, Route) and layer.stopped else None
    if there is not None:
        inputs = tuple(way.subtract(node.inputs[i]) for i in here.live)
        y = way.subtract(node.output)
        fixed = {name for i, name in enumerate(node.inputs) if i not in here.live}
        if not on_tangent:
            layer = take_between(here, there, inputs, y, not way.moving.isdisjoint(fixed))
    if not isinstance(layer, Stop) and on_tangent:
        layer = layer.tangent() if there is None else take_tangent(layer, inputs, y)
    if isinstance(layer, Affine):
        assert rule is not None
        return rule(Call(here.bk, layer, inputs, y, R, m, support=support)), stopped
    assert isinstance(layer, Route)
    onward, tangent = None, layer.tangent
    if m is not None and layer.homogeneous and (there is None or layer.fixed):
        onward = cache(lambda: tangent().adjoint(m()))
    support = _narrow_support(way, node, layer, support, onward is not None)
    return Share(layer.carry(R), onward, lambda: 0 * R, lambda: 0 * R, support), stopped


def _narrow_support(
    way: Propagation, node: Node, layer: Route, support: Support, known: bool
) -> Support:
    """Return where relevance may be that a route carries on.

    ``support`` is that of what arrived; ``known`` says whether its multiplier goes on, too.
    """
    if layer.rectifies and support:  # what is not 0 behind it is above 0 before
        zero = way.reference is None or node.output in way.reference.zero
        return Support.POSITIVE if zero else Support.NOT_ZERO
    return min(support, Support.NOT_ZERO) if known or layer.narrow else Support.ANYWHERE


def _take(multiplier: Callable[[], Arrays], i: int) -> Array:
    """Return the multiplier of one input."""
    return multiplier()[i]


def _make_row(
    way: Propagation, node: Node, received: Received, names: Sequence[str], share: Share
) -> LedgerRow:
    """Return the account of a node that gives shares to the values of these names."""
    bk, batch, rule = way.bk, way.batch, way.rules[node.layer]
    _, came, taken = received
    per_sample = batch and all(a.shape[:1] == batch for a in (*came, *share.relevance))

    def sums(a: Array) -> Array:
        return bk.sum(bk.reshape(a, (batch[0] if per_sample else 1, -1)), (1,), False)

    def size(a: Array) -> Array:
        return bk.sum(abs(a), tuple(range(a.ndim)), True)

    def total(parts: Iterable[Array], empty: Array) -> Array:
        return add_up(list(parts) or [empty])

    absorbed, nothing = sums(share.bias()), np.zeros(batch if per_sample else 1)
    parts = [sums(r) for r in share.relevance]
    sources = map(way.makers.get, names)
    return LedgerRow(
        node.layer,
        node.layer_op or node.attrs.get("label", node.op),
        str(rule) if rule else "carried",
        total(map(sums, came), nothing),
        total(parts, nothing),
        nothing if way.reference else absorbed,
        sums(share.stabiliser()),
        total(map(sums, taken), nothing),
        total(map(size, came), 0),
        total((p for p, s in zip(parts, sources, strict=True) if s == node.layer), nothing),
        reference=absorbed if way.reference else nothing,
        onward=total(map(size, share.relevance), 0),
    )
