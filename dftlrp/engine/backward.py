"""From a forward pass and a question about it to an answer: the relevance of the signals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.ledger import AMOUNTS, Ledger, LedgerRow
from dftlrp.core.maps import Array
from dftlrp.core.names import list_some, suggest
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.auto import FIRST, Choice, choose_seed
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.evaluate import Values, fit_factor
from dftlrp.engine.flows import Flow
from dftlrp.engine.forward import Ready
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Propagation, carry_back, close_accounts
from dftlrp.engine.seeds import (
    SEEDS,
    Index,
    choose_start,
    find_targets,
    mark_largest,
    start_flow,
)
from dftlrp.engine.settings import NONE, Question


class Answer(NamedTuple):
    """What a backend says to one question.

    Attributes
    ----------
    plan, table
        What was explained and by which rules.
    output, explained : array
        The model's own output, and the value that the seed stands at.
    flows : dict of str to Flow
        By signal, and by the values to keep.
    kept : dict of str to array
        Values of those.
    seed : array
        Relevance at ``explained``.
    target : list of tuple, or None
        Index for each sample.
    ledger : Ledger
        Where the relevance of every node went.
    composite, seed_kind, backend, reference : Choice
        What was taken, and why.
    precision : str
        The dtype that was computed in, by which backend, and what it rounded products to.
    notes : tuple of str
        What the comparison with the original file has to say.
    changes : dict of str to array
        By signal, the input or its difference to the reference.
    rows, largest
        What `read_numbers` makes the ledger and the target of, in arrays of a backend.
    """

    plan: Plan
    table: LayerTable
    output: Real
    explained: Real
    flows: dict[str, Flow]
    kept: dict[str, Real]
    seed: Real
    target: list[Index] | None
    ledger: Ledger
    composite: Choice[Composite]
    seed_kind: Choice[str]
    backend: Choice[str | Backend] = FIRST
    reference: Choice[str] = Choice(NONE)
    precision: str = ""
    notes: tuple[str, ...] = ()
    changes: Mapping[str, Array] = MappingProxyType({})
    rows: tuple[LedgerRow, ...] = ()
    largest: Array | None = None


class Start(NamedTuple):
    """Where relevance starts.

    Attributes
    ----------
    coefficients : array
        c, in the shape of the explained output z.
    scaled : bool
        Whether R = c z; otherwise R = c.
    kind : Choice of str
        The kind of seed.
    target : list of tuple of int, or None
        Index for each sample, where there is one that is known.
    largest : array (batch, 1) or None
        Place of the largest entry of each sample, flattened, where that is the target.
    """

    coefficients: Array
    scaled: bool
    kind: Choice[str]
    target: list[Index] | None = None
    largest: Array | None = None


def find_start(
    bk: Backend, plan: Plan, z: Array, question: Question, labels: tuple[str, ...] = ()
) -> Start:
    """Return where relevance starts; c is an array of NumPy unless the largest entry is meant.

    The numbers of z are looked at only if the target is a function of them, or if the largest
    entry has a rival by name.

    Parameters
    ----------
    z : array of bk
        The explained output.
    labels : tuple of str
        Names of the classes, by which a target may be given.
    """
    target, kind = question.target, choose_seed(question.seed, plan, z.shape, labels)
    if callable(target):
        c, scaled = choose_start(target, kind.taken, bk.read(z))
        return Start(c, scaled, kind)
    largest = isinstance(target, str) and target == "argmax"
    if largest and kind.taken in SEEDS:
        c, place = mark_largest(add_batch_axis(z, plan), kind.taken)
        return Start(c.reshape(tuple(z.shape)), kind.taken != "one", kind, largest=place)
    known = bk.read(z) if largest else np.broadcast_to(np.zeros((), z.dtype), z.shape)
    rows = add_batch_axis(known, plan)
    index = find_targets(target, rows, labels)
    c, scaled = choose_start(index, kind.taken, rows, labels)
    return Start(c.reshape(z.shape), scaled, kind, index)


def send_back(ready: Ready, question: Question, start: Start) -> Answer:
    """Return the answer to a question about a forward pass, in arrays of its backend."""
    plan, values, table, bk = ready.plan, ready.values, ready.table, ready.backend
    propagation = Propagation(
        plan, values, table.rules(), bk, question.ledger,
        keep=find_values(plan, table, question.keep),
        masks=fit_masks(plan, table, question.masks, values),
        reference=ready.reference, signals=question.signals,
    )  # fmt: skip
    change = propagation.subtract(plan.explained)
    seed = start_flow(bk, bk.asarray(start.coefficients), change, start.scaled)
    flows, rows = carry_back(propagation, seed)
    kept = {name: values[name] for name in flows}
    return Answer(
        plan, table, values[plan.output], values[plan.explained], flows, kept, seed.relevance,
        start.target, Ledger(()), ready.composite, start.kind, rows=tuple(rows),
        largest=start.largest, changes={n: propagation.subtract(n) for n in plan.signals},
    )  # fmt: skip


def map_arrays(f: Callable[[Array], Any], answer: Answer) -> Answer:
    """Return the answer with a function of each array in place of the array."""

    def map_row(row: LedgerRow) -> LedgerRow:
        amounts: dict[str, Any] = {k: f(getattr(row, k)) for k in AMOUNTS}
        return replace(row, **amounts)

    flows = {
        name: Flow(f(R), None if m is None else f(m), support)
        for name, (R, m, support) in answer.flows.items()
    }
    return answer._replace(
        output=f(answer.output), explained=f(answer.explained), seed=f(answer.seed), flows=flows,
        kept={k: f(x) for k, x in answer.kept.items()}, rows=tuple(map(map_row, answer.rows)),
        changes={k: f(x) for k, x in answer.changes.items()},
        largest=None if answer.largest is None else f(answer.largest),
    )  # fmt: skip


def read_numbers(answer: Answer, bk: Backend) -> Answer:
    """Return the answer in NumPy arrays, with its accounts closed."""
    arrays = list[Array]()
    map_arrays(arrays.append, answer)
    numbers = iter(bk.read_all(arrays))
    told = map_arrays(lambda _: next(numbers), answer)
    target = told.target
    if told.largest is not None:
        shape = add_batch_axis(told.explained, told.plan).shape[1:]
        places = np.unravel_index(told.largest[:, 0], shape) if shape else ()
        target = list(zip(*(axis.tolist() for axis in places), strict=True))
        target = target or [()] * len(told.largest)
    return told._replace(ledger=close_accounts(told.rows), rows=(), target=target, largest=None)


def find_values(plan: Plan, table: LayerTable, layers: Collection[str]) -> dict[str, str]:
    """Return the value that each layer makes, with the name it was asked by.

    Raises
    ------
    InputError
        No layer of that name carries relevance; the message has the most similar names.
    """
    if not layers:  # a cell has thousands of nodes to look through
        return {}
    known = {value: value for value in (plan.explained, *plan.signals)}
    last = {n.layer: n.output for n in plan.path}
    for la in table.layers:
        known |= dict.fromkeys((la.alias, *la.names, la.key, last[la.key]), last[la.key])
    if unknown := sorted(set(layers) - known.keys()):
        raise InputError(
            f"no layer {unknown[0]!r} carries relevance: {suggest(unknown[0], known)}there are "
            f"{list_some(dict.fromkeys(filter(None, known)))} (dftlrp inspect lists them)"
        )
    return {known[name]: name for name in layers}


def fit_masks(
    plan: Plan, table: LayerTable, masks: Mapping[str, AnyArray | None], values: Values
) -> dict[str, AnyArray | None]:
    """Return the masks by value, in the dtype that is computed in.

    Raises
    ------
    InputError
        A layer is unknown; a mask does not broadcast to its output.
    """
    return {
        value: None if masks[name] is None else fit_factor(masks[name], values[value], name)
        for value, name in find_values(plan, table, masks).items()
    }


def add_batch_axis(z: Array, plan: Plan) -> Array:
    """Return z with a batch axis, which a single number and the output of vectors do not have."""
    if z.ndim == 0:
        return z.reshape(1, 1)
    return z[None] if all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values()) else z
