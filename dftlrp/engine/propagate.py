"""The engine: a transposed interpreter of the graph, and its ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.ledger import AMOUNTS, Ledger, LedgerRow, uniform
from dftlrp.core.maps import Affine, Array, Map, Route, Stop
from dftlrp.core.progress import steps
from dftlrp.core.rules import Call, Rule, Share
from dftlrp.core.types import InputError
from dftlrp.engine.evaluate import Values, blame, check_finite, make_at
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS

Masks = Mapping[str, Array | None]
NO_MASKS: Masks = MappingProxyType({})


class Flow(NamedTuple):
    """Relevance of a value, and its multiplier m with R = value * m (None where unknown)."""

    relevance: Array
    multiplier: Array

    def __add__(self, other: Flow) -> Flow:  # type: ignore[override]
        both = self.multiplier is not None and other.multiplier is not None
        m = self.multiplier + other.multiplier if both else None
        return Flow(self.relevance + other.relevance, m)


def propagate(
    plan: Plan,
    values: Values,
    seed: Flow,
    rules: Mapping[str, Rule | None],
    bk: Backend,
    ledger: bool = True,
    keep: Collection[str] = (),
    masks: Masks = NO_MASKS,
) -> tuple[dict[str, Flow], Ledger]:
    """Carry the seed from the explained value to the signals.

    Take a node's relevance, get its map, apply the rule, add to the inputs' relevance.

    Parameters
    ----------
    values : dict
        Every value of the forward pass.
    seed : Flow
        Relevance at ``plan.explained``.
    rules : dict
        Rule by layer key; None where relevance is only carried.
    ledger : bool
        Whether to keep the accounts.
    keep : collection of str
        Values on the way whose flows are wanted, too; as they arrive, before a mask.
    masks : dict of str to array or None
        Conditions: at this value the relevance is multiplied by the array (of a shape that
        broadcasts to the value's), and what does not go through the value is left out.  None blocks
        the value: only what goes past it stays.

    Returns
    -------
    flows : dict of str to Flow
        By signal, and by the values to keep that relevance went through.
    ledger : Ledger
        One row per node, from the output to the input.
    """
    flows, rows = carried(plan, values, seed, rules, bk, ledger, keep, masks)
    return flows, settled([_read(row, bk) for row in rows])


def _read(row: LedgerRow, bk: Backend) -> LedgerRow:
    """The row with its amounts as numbers."""
    amounts: dict[str, Any] = {k: bk.read(getattr(row, k)) for k in AMOUNTS}
    return replace(row, **amounts)


def settled(rows: Sequence[LedgerRow]) -> Ledger:
    """The accounts of layers from those of their nodes, in numbers."""
    layers = dict[str, LedgerRow]()
    for row in rows:
        row = replace(row, magnitude=float(row.magnitude))  # noqa: PLW2901
        layers[row.node] = layers[row.node] + row if row.node in layers else row
    return Ledger(uniform(list(layers.values())))


def carried(
    plan: Plan,
    values: Values,
    seed: Flow,
    rules: Mapping[str, Rule | None],
    bk: Backend,
    ledger: bool = True,
    keep: Collection[str] = (),
    masks: Masks = NO_MASKS,
    check: Callable[[Array, str], None] = check_finite,
) -> tuple[dict[str, Flow], list[LedgerRow]]:
    """What `propagate` does, on arrays of any backend.

    ``check`` sees each relevance; the rows are one per node, their amounts arrays of the backend.
    """
    flows, kept, rows = {plan.explained: seed}, {}, list[LedgerRow]()
    made = {node.output: node.layer for node in plan.path}
    seen = set[str]()
    widest = max((values[name].shape for name in plan.signals), key=len)
    batch = widest[:1] if len(widest) > 1 else ()
    for node in steps(plan.path[::-1], "relevance"):
        if node.output not in flows:
            continue
        arrived = flows.pop(node.output)
        seen.add(node.output)
        if node.output in keep:
            kept[node.output] = arrived
        came, taken = [arrived.relevance], list[Array]()
        if node.output in masks:
            beside = [] if masks[node.output] is None else left_out(flows)
            arrived, cut = masked(arrived, masks[node.output])
            came, taken = came + beside, [cut, *beside]
        here = make_at(plan, node, values, bk)
        rule = rules[node.layer]
        with blame(node):
            layer = OPS[node.op].linearise(here)  # type: ignore[misc]
            share, stopped = send(layer, rule, bk, here.inputs, here.y, arrived)
        multipliers = share.multiplier or (None,) * len(here.live)
        for position, r, m in zip(here.live, share.relevance, multipliers, strict=True):
            name = node.inputs[position]
            check(r, f"the relevance of {name!r}, behind node {node.key!r} ({node.op}),")
            flows[name] = flows[name] + Flow(r, m) if name in flows else Flow(r, m)
        if ledger:
            within = [made.get(node.inputs[i]) == node.layer for i in here.live]
            taken += [] if stopped is None else [stopped]
            rows.append(_row(bk, node, rule, batch, came, share, taken, within))
    wanted = {name for name, mask in masks.items() if mask is not None}
    if missed := sorted(wanted - seen):  # a blocked value that none goes through blocks nothing
        raise InputError(f"no relevance that meets the conditions arrives at {missed[0]!r}")
    silent = {n: Flow(0 * values[n], 0 * values[n]) for n in plan.signals if n not in flows}
    return kept | {n: flows.get(n) or silent[n] for n in plan.signals}, rows


def masked(arrived: Flow, mask: Array | None) -> tuple[Flow, Array]:
    """What a mask lets through of what arrived, and the relevance that it takes."""
    (R, m), mask = arrived, 0.0 if mask is None else mask
    return Flow(R * mask, None if m is None else m * mask), R * (1 - mask)


def left_out(flows: dict[str, Flow]) -> list[Array]:
    """Take all that waits: it goes past the value that is visited now.

    Nodes are visited from the output on, so what goes through this value does not wait yet.
    """
    beside = [flow.relevance for flow in flows.values()]
    flows.clear()
    return beside


def send(
    layer: Map, rule: Rule | None, bk: Backend, inputs: tuple[Array, ...], y: Array, arrived: Flow
) -> tuple[Share, Array | None]:
    """What one layer gives its inputs, and what lands on constants."""
    R, m = arrived
    stopped = layer.stopped(R) if isinstance(layer, Route) and layer.stopped else None
    if not isinstance(layer, Stop) and rule is not None and rule.on_tangent:
        layer = layer.tangent()
    if isinstance(layer, Affine):
        assert rule is not None
        return rule(Call(bk, layer, inputs, y, R, m)), stopped
    assert isinstance(layer, Route)
    onward = layer.tangent().adjoint(m) if m is not None and layer.homogeneous else None
    return Share(layer.carry(R), onward, lambda: 0 * R, lambda: 0 * R), stopped


def _row(
    bk: Backend,
    node: Node,
    rule: Rule | None,
    batch: tuple[int, ...],
    came: Sequence[Array],
    share: Share,
    taken: Sequence[Array],
    within: Sequence[bool],
) -> LedgerRow:
    """The account of a node: what came, and where it went.

    ``taken``: what landed on constants or fell under a mask; ``within``: what goes to its own
    layer is inner.
    """
    everything = [*came, *share.relevance]
    per_sample = batch and all(a.shape[:1] == batch for a in everything)

    def sums(a: Array) -> Array:
        return bk.sum(bk.reshape(a, (batch[0] if per_sample else 1, -1)), (1,), False)

    def size(a: Array) -> Array:
        return bk.sum(abs(a), tuple(range(a.ndim)), False)

    def total(parts: Iterable[Array]) -> Array:
        return sum(parts, start=np.zeros(batch if per_sample else 1))

    parts, arrived = [sums(r) for r in share.relevance], sum(map(size, came))
    return LedgerRow(
        node.layer,
        node.layer_op or node.attrs.get("label", node.op),
        str(rule) if rule else "carried",
        total(map(sums, came)),
        total(parts),
        sums(share.bias()),
        sums(share.stabiliser()),
        total(map(sums, taken)),
        arrived + bk.pos(sum(map(size, share.relevance)) - arrived),  # the larger
        total(p for p, own in zip(parts, within, strict=True) if own),
    )
