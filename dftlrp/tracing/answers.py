"""The door of this room: questions about a model in, answers out, by whichever backend computes.

With the onnx backend a question is answered by a graph, which is traced once; with the others the
engine computes the forward pass and goes back through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dftlrp.core.backend import Backend, get_backend
from dftlrp.core.types import AnyArray, NonFiniteError, Real
from dftlrp.engine.auto import Unfit, answer_by_backend, answer_by_reference, choose_seed
from dftlrp.engine.backward import Answer, add_batch_axis, read_numbers
from dftlrp.engine.cache import Recent
from dftlrp.engine.evaluate import check_finite
from dftlrp.engine.flows import Flow
from dftlrp.engine.forward import (
    NOTHING,
    Inputs,
    Prediction,
    check_inputs,
    predict_values,
    run_forward,
)
from dftlrp.engine.model import Model, make_key
from dftlrp.engine.plan import Plan
from dftlrp.engine.prepared import answer_by_arrays
from dftlrp.engine.propagate import close_accounts
from dftlrp.engine.seeds import (
    Index,
    Target,
    find_targets,
    make_coefficients,
    make_seed,
    parse_target,
)
from dftlrp.engine.settings import Question, Settings
from dftlrp.tracing.accounts import read_rows
from dftlrp.tracing.finder import Prepared, prepare
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.original import compare_with_original
from dftlrp.tracing.session import Arrays, FailedRunError, Session
from dftlrp.tracing.trace import ARRAY, FORWARD, INDEX, GraphRequest


@np.errstate(all="ignore")  # what is not finite is reported by its layer's name
def answer(
    model: Model, inputs: Inputs, settings: Settings, questions: Sequence[Question]
) -> list[Answer]:
    """Return the answers to several questions about the same inputs, in NumPy arrays.

    A backend that computes numbers runs the forward pass once for all of them.

    Raises
    ------
    InputError, NonFiniteError, UnsupportedModelError
        As of `dftlrp.attribute`.
    """

    def ask(settings: Settings) -> list[Answer]:
        bk = get_backend(settings.backend)
        precision = _tell_precision(bk, settings)
        return [a._replace(precision=precision) for a in compute(bk, settings)]

    def compute(bk: Backend, settings: Settings) -> list[Answer]:
        if isinstance(bk, OnnxBackend):
            try:
                return [answer_in_graph(prepare(model, inputs, settings, q)) for q in questions]
            except FailedRunError:
                run_forward(model, inputs, settings.by_reference())  # names the layer
                raise
        given = check_inputs(plan, inputs, settings.floats)
        signals = {name: bk.signal(array) for name, array in given.items()}
        found = answer_by_arrays(model, signals, settings, questions)
        return [read_numbers(answer, bk) for answer in found]

    plan = model.plan(settings.output, settings.bind)
    (answers, backend), reference = answer_by_reference(
        settings, plan, lambda known: answer_by_backend(known, ask),
        _find_unfit(model, plan, inputs, settings),
    )  # fmt: skip
    first = answers[0]
    given = {first.plan.output: first.output, first.plan.explained: first.explained}
    notes = compare_with_original(model, inputs, settings, given)
    return [
        a._replace(backend=backend, reference=reference, notes=(*notes, *a.notes)) for a in answers
    ]


def _tell_precision(bk: Backend, settings: Settings) -> str:
    """Return the dtype that is computed in, by which backend, and what it rounds products to."""
    dtype = np.dtype(np.float32) if isinstance(bk, OnnxBackend) else settings.floats
    by = settings.backend if isinstance(settings.backend, str) else bk.name
    rounding = bk.tell_rounding(dtype)
    return f"{dtype} by {by}" + (f"; {rounding}" if rounding else "")


@dataclass(eq=False)
class Reasons:
    """What a model keeps of why it cannot be compared with silence."""

    known: Recent[str] = field(default_factory=lambda: Recent[str](64))


def _find_unfit(model: Model, plan: Plan, inputs: Inputs, settings: Settings) -> Unfit:
    """Return what is known of silence for inputs of these shapes, the batch aside."""
    given = inputs if isinstance(inputs, Mapping) else dict.fromkeys(plan.signals, inputs)
    shapes = tuple((name, np.shape(a)[1:]) for name, a in sorted(given.items()))
    overrides = tuple((k, str(r)) for k, r in settings.overrides.items())
    key = (make_key(settings.output, settings.bind), shapes, overrides)
    return Unfit(model.cache.part(Reasons).known, key)


def predict_output(
    model: Model, inputs: Inputs, settings: Settings, scaled: Mapping[str, AnyArray] = NOTHING
) -> Prediction:
    """Return the output of the forward pass alone.

    Parameters
    ----------
    scaled : dict of str to array
        By value, what it is multiplied by on the way; with a reference, what its change from that
        is multiplied by.
    """
    if not scaled:
        settings = replace(settings, reference=None)  # of which no forward pass knows

    def ask(settings: Settings) -> Prediction:
        if isinstance(get_backend(settings.backend), OnnxBackend):
            return predict_in_graph(prepare(model, inputs, settings, Question(masks=scaled)))
        return predict_values(model, inputs, settings, scaled)

    found = answer_by_backend(settings, ask)[0]
    if not scaled:
        plan = model.plan(settings.output, settings.bind)
        given = {plan.output: found.output, plan.explained: found.explained}
        compare_with_original(model, inputs, settings, given)
    return found


def predict_in_graph(prepared: Prepared) -> Prediction:
    """Return the output by a graph of its own, in which masks scale values on the way."""
    session = prepared.find_session(GraphRequest(target=FORWARD, masks=prepared.mask_shapes))
    found = read_outputs(session, session.run(prepared.feed(session)))
    return Prediction(found["output"], found["explained"])


def answer_in_graph(prepared: Prepared) -> Answer:
    """Return the answer by a traced graph; raises as `dftlrp.attribute` does.

    Where something is not finite that was so at the input at which the graph was traced, as a mask
    of -inf that depends on the signal, it is traced once more.
    """
    try:
        return _answer_by_session(prepared)
    except NonFiniteError:
        if not prepared.note_masked():
            raise
    return _answer_by_session(prepared)


def _answer_by_session(prepared: Prepared) -> Answer:
    asked = prepared.question
    keep = tuple(dict.fromkeys(asked.keep))
    masks = prepared.mask_shapes
    request = GraphRequest(asked.seed, INDEX, keep, asked.ledger, masks, signals=asked.signals)
    if callable(asked.target) or ":" in asked.seed or _is_sum(asked.target):
        return _answer_by_array(prepared, request)
    return _answer_by_index(prepared, request)


def _is_sum(target: Target) -> bool:
    """Return whether a target means a sum over places."""
    each = target if isinstance(target, list) else [target]
    index = [t if isinstance(t, tuple) else (t,) for t in map(parse_target, each)]
    return any(isinstance(i, slice) for t in index for i in t)


def _answer_by_index(prepared: Prepared, request: GraphRequest) -> Answer:
    """Return the answer for one index per sample; the graph itself finds the largest output."""
    session, target = prepared.find_session(request), prepared.question.target
    labels, kind = prepared.labels, session.seed_kind.taken
    rows = add_batch_axis(session.explained(prepared.arrays), session.plan)
    shape = rows.shape[1:]
    largest = isinstance(target, str) and target == "argmax"
    indices: list[Index] = [] if largest else find_targets(target, rows, labels)
    some = indices[:1] or [(0,) * len(shape)]
    make_coefficients(kind, some, rows, labels)  # refuses what is no seed
    flat = [-1] * len(rows) if largest else [_flatten_index(index, shape) for index in indices]
    given = np.array(flat)
    found = session.run({**prepared.feed(session), session.traced.target: given})
    z = found[session.traced.outputs["explained"]]
    if largest:
        indices = find_targets(target, add_batch_axis(z, session.plan), labels)
    c = make_coefficients(kind, indices, rows, labels).reshape(z.shape).astype(z.dtype)
    seed = c if kind == "one" else c * _read_change(session, found)
    return _make_answer(prepared, session, found, seed, indices)


def _read_change(session: Session, found: Arrays) -> Real:
    """Return the explained output, or its difference to the reference."""
    outputs = session.traced.outputs
    return found[outputs.get("change", outputs["explained"])]


def _flatten_index(index: Index, shape: tuple[int, ...]) -> int:
    """Return the position of an index in the flattened output."""
    counted = [int(i) % n for i, n in zip(index, shape, strict=True)]  # type: ignore[arg-type]
    return int(np.ravel_multi_index(counted, shape)) if shape else 0


def _answer_by_array(prepared: Prepared, request: GraphRequest) -> Answer:
    """Return the answer for coefficients of the whole output."""
    target, labels = prepared.question.target, prepared.labels
    free = callable(target)
    of_one = free or request.seed == "one"
    graph = replace(request, target=ARRAY, seed="one" if of_one else "logit")
    session = prepared.find_session(graph)
    z: Real = session.explained(prepared.arrays)
    if free or (isinstance(target, str) and target == "argmax"):
        first = prepared.find_session(GraphRequest(target=FORWARD))
        z = first.run(prepared.arrays)[first.traced.outputs["explained"]].astype(np.float64)
    rows = add_batch_axis(z, session.plan)
    kind = choose_seed(request.seed, session.plan, rows.shape, labels)
    indices = None if free else find_targets(target, rows, labels)
    if free:
        c = make_seed(target, kind.taken, z).relevance
    else:
        c = make_coefficients(kind.taken, indices or [], rows, labels).reshape(z.shape)
    found = session.run({**prepared.feed(session), session.traced.target: c})
    z = _read_change(session, found)
    c = c.astype(z.dtype)
    made = _make_answer(prepared, session, found, c if of_one else c * z, indices)
    return made._replace(seed_kind=kind)


def _make_answer(
    prepared: Prepared, session: Session, found: Arrays, seed: Real, indices: list[Index] | None
) -> Answer:
    """Return what came out of the graph as an answer."""
    given, means = prepared.arrays, read_outputs(session, found)
    reference = prepared.settings.compared or {}
    names = [k.partition(":")[2] for k in means if k.startswith("relevance:")]
    flows = {n: Flow(means[f"relevance:{n}"], means.get(f"multiplier:{n}")) for n in names}
    kept = {n: means[f"value:{n}"] if n not in given else given[n] for n in names}
    rows = read_rows(session.traced.rows, found)
    return Answer(
        session.plan, session.table, means["output"], means["explained"], flows, kept, seed,
        indices, close_accounts(rows), prepared.composite, session.seed_kind,
        notes=session.notes, changes={n: a - reference.get(n, 0) for n, a in given.items()},
    )  # fmt: skip


def read_outputs(session: Session, found: Arrays) -> Arrays:
    """Return the graph's outputs by what they mean.

    Raises
    ------
    NonFiniteError
        One holds NaN or Inf.
    """
    traced = session.traced
    means = {k: found[name] for k, name in traced.outputs.items()}
    means |= {k: a.copy() for k, a in traced.fixed.items()}  # they are kept
    for meaning, array in means.items():
        _refuse_infinite(meaning, array)
    return means


def _refuse_infinite(meaning: str, array: AnyArray) -> None:
    kind, _, name = meaning.partition(":")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        try:
            check_finite(array, f"the {kind}{f' of {name!r}' if name else ''}")
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error}; backend 'numpy' names the layer where it comes from"
            ) from None
