"""From a forward pass and a question about it to an answer: the relevance of the signals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dftlrp.core.backend import Backend
from dftlrp.core.ledger import Ledger
from dftlrp.core.maps import Array
from dftlrp.core.names import list_some, suggest
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.auto import FIRST, Choice, choose_seed
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.evaluate import Values, fit_factor
from dftlrp.engine.forward import Ready
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Flow, Propagation, propagate
from dftlrp.engine.seeds import Index, choose_start, find_targets, start_flow
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
    notes : tuple of str
        What the comparison with the original file has to say.
    changes : dict of str to array
        By signal, the input or its difference to the reference.
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
    notes: tuple[str, ...] = ()
    changes: Mapping[str, Array] = MappingProxyType({})


def send_back(ready: Ready, question: Question, labels: tuple[str, ...] = ()) -> Answer:
    """Return the answer to a question about a forward pass, in arrays of its backend.

    Parameters
    ----------
    labels : tuple of str
        Names of the classes, by which a target may be given.
    """
    plan, values, table, bk = ready.plan, ready.values, ready.table, ready.backend
    propagation = Propagation(
        plan, values, table.rules(), bk, question.ledger,
        keep=find_values(plan, table, question.keep),
        masks=fit_masks(plan, table, question.masks, values),
        reference=ready.reference, signals=question.signals,
    )  # fmt: skip
    target, z = question.target, values[plan.explained]
    kind = choose_seed(question.seed, plan, z.shape, labels)
    rows, indices = bk.read(z), None
    if not callable(target):
        rows = add_batch_axis(rows, plan)
        indices = find_targets(target, rows, labels)
    c, scaled = choose_start(indices or target, kind.taken, rows, labels)
    change = propagation.subtract(plan.explained)
    start = start_flow(bk, bk.asarray(c.reshape(z.shape)), change, scaled)
    flows, ledger = propagate(propagation, start)
    kept = {name: values[name] for name in flows}
    return Answer(
        plan, table, values[plan.output], z, flows, kept, start.relevance, indices, ledger,
        ready.composite, kind, changes={n: propagation.subtract(n) for n in plan.signals},
    )  # fmt: skip


def read_numbers(answer: Answer, bk: Backend) -> Answer:
    """Return the answer in NumPy arrays."""

    def read(x: Array) -> Any:
        return None if x is None else bk.read(x)

    flows = {k: Flow(read(f.relevance), read(f.multiplier)) for k, f in answer.flows.items()}
    kept = {k: read(x) for k, x in answer.kept.items()}
    changes = {k: read(x) for k, x in answer.changes.items()}
    output, explained, seed = map(read, (answer.output, answer.explained, answer.seed))
    return answer._replace(output=output, explained=explained, flows=flows, kept=kept, seed=seed,
                           changes=changes)  # fmt: skip


def find_values(plan: Plan, table: LayerTable, layers: Collection[str]) -> dict[str, str]:
    """Return the value that each layer makes, with the name it was asked by.

    Raises
    ------
    InputError
        No layer of that name carries relevance; the message has the most similar names.
    """
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


def add_batch_axis(z: Real, plan: Plan) -> Real:
    """Return z with a batch axis, which a single number and the output of vectors do not have."""
    if z.ndim == 0:
        return z.reshape(1, 1)
    return z[None] if all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values()) else z
