"""The onnx backend's sessions: a question is traced once, and answered by onnxruntime since.

Sessions are kept with the model, the least recently used one goes first.  They are known by
all that shapes a graph: the inputs' shapes (but for the batch, where the model leaves it open),
output, settings, rules and the kind of target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dftlrp.core.backend import get_backend
from dftlrp.core.ledger import AMOUNTS, LedgerRow
from dftlrp.core.types import (
    AnyArray,
    DftlrpError,
    InputError,
    NonFiniteError,
    Real,
    UnsupportedModelError,
)
from dftlrp.engine.auto import Choice, answer_by_backend, choose_composite, choose_seed
from dftlrp.engine.backward import Answer, read_numbers, send_back, values_of, with_batch
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.evaluate import check_finite, evaluate, fit_factor
from dftlrp.engine.forward import (
    NOTHING,
    Inputs,
    Prediction,
    Ready,
    checked_arrays,
    predict_values,
    run_forward,
)
from dftlrp.engine.model import Model, settings_key
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Flow, settled
from dftlrp.engine.seeds import (
    SEEDS,
    Index,
    Target,
    coefficients,
    make_seed,
    places,
    target_indices,
)
from dftlrp.engine.settings import AUTO, Question, Settings
from dftlrp.graph.structure import find_ancestors
from dftlrp.tracing.batch import for_any_batch, one_batch, repeated
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.session import Arrays, Seen, Session, runtime_of
from dftlrp.tracing.trace import ARRAY, FORWARD, INDEX, GraphRequest, Traced, trace

MOST_SESSIONS = 8  # that a model keeps
FEW = 2  # samples that are traced as they come
REFERENCE = np.dtype(np.float64)
Shape = tuple[int, ...]


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
        settings.floats  # noqa: B018  # refuses what is no floating dtype
        bk = get_backend(settings.backend)
        if isinstance(bk, OnnxBackend):
            return [in_graph(prepare(model, inputs, settings, q)) for q in questions]
        ready = run_forward(model, inputs, settings)
        return [read_numbers(send_back(ready, q, model.labels), bk) for q in questions]

    answers, backend = answer_by_backend(settings, ask)
    return [a._replace(backend=backend) for a in answers]


def predict_output(
    model: Model, inputs: Inputs, settings: Settings, scaled: Mapping[str, AnyArray] = NOTHING
) -> Prediction:
    """Return the output of the forward pass alone.

    Parameters
    ----------
    scaled : dict of str to array
        By value, what it is multiplied by on the way.
    """

    def ask(settings: Settings) -> Prediction:
        if isinstance(get_backend(settings.backend), OnnxBackend):
            return predicted(prepare(model, inputs, settings, Question(masks=scaled)))
        return predict_values(model, inputs, settings, scaled)

    return answer_by_backend(settings, ask)[0]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A question, and what it needs to find its session."""

    model: Model
    settings: Settings
    question: Question
    plan: Plan
    arrays: Arrays
    composite: Choice[Composite]

    @property
    def options(self) -> str:
        """Of the backend."""
        return getattr(get_backend(self.settings.backend), "options", "")

    @property
    def mask_shapes(self) -> tuple[tuple[str, Shape | None], ...]:
        """Of the masks, but for the batch."""
        masks = self.question.masks.items()
        return tuple((k, None if m is None else np.shape(m)[1:]) for k, m in masks)

    def session(self, question: GraphRequest) -> Session:
        """The session for a question: known already, or traced now.

        A first batch of few samples gets a graph of its own, as most models are asked of one only;
        a second batch size, or a large one, the graph that answers all.

        Raises
        ------
        UnsupportedModelError
            No graph can be traced; that is remembered, too.
        """
        known = self.model._sessions
        anyway, own = ((*self._key(any_batch), question) for any_batch in (True, False))
        if own not in known:
            again = anyway in known or max(map(len, self.arrays.values())) > FEW
            known[anyway] = known.get(anyway) or (again and self._for_any_batch(question))
        key = own if own in known or not isinstance(known[anyway], Session) else anyway
        if key not in known:
            known[key] = self._for_this_batch(question)
        known[key] = found = known.pop(key)  # the last is the one used last
        while sum(isinstance(s, Session) for s in known.values()) > MOST_SESSIONS:
            known.pop(next(k for k, s in known.items() if isinstance(s, Session)))
        if isinstance(found, UnsupportedModelError):
            raise found
        return found  # type: ignore[no-any-return]

    def _for_any_batch(self, question: GraphRequest) -> Session | bool:
        """True where the batch is fixed, or one sample alone says what is wrong."""
        try:
            seen, traced = for_any_batch(
                self.plan, lambda batch: self._traced(question, repeated(self.arrays, batch))
            )
        except DftlrpError:
            return True
        return self._loaded(seen, traced, any_batch=True)

    def _for_this_batch(self, question: GraphRequest) -> Session | UnsupportedModelError:
        try:
            return self._loaded(*self._traced(question, self.arrays), any_batch=False)
        except UnsupportedModelError as refusal:
            return refusal.with_traceback(None)

    def feed(self, session: Session) -> Arrays:
        """Signals and masks by the names of the graph's inputs."""
        declared = {x.name: x.shape for x in session.runtime.get_inputs()}
        batch = len(next(iter(self.arrays.values())))
        masks = dict[str, AnyArray]()
        for value, layer in self._masked(session.plan, session.table).items():
            if (mask := self.question.masks[layer]) is not None:
                size = [_size(n, batch) for n in declared[f"mask/{value}"]]
                whole = np.broadcast_to(np.zeros(()), size)
                masks[f"mask/{value}"] = np.broadcast_to(fit_factor(mask, whole, layer), size)
        return self.arrays | masks

    def _key(self, any_batch: bool) -> tuple[Any, ...]:
        cut = int(any_batch and one_batch(self.arrays))
        shapes = tuple((k, a.shape[cut:]) for k, a in self.arrays.items())
        rules = tuple((k, str(r)) for k, r in self.settings.overrides.items())
        settings = settings_key(self.settings.output, self.settings.bind)
        return (*settings, any_batch, cut, shapes, repr(self.composite.taken), rules, self.options)

    def _traced(self, question: GraphRequest, arrays: Arrays) -> tuple[Seen, Traced]:
        model = replace(self.model, _constants={})  # its float64 weights go with it
        settings = replace(self.settings.by_reference(), composite=self.composite.taken)
        ready = run_forward(model, arrays, settings)
        wanted = values_of(ready.plan, ready.table, question.keep)
        seed = _seed_kind(question, ready)
        masks = tuple(self._mask_shapes(ready).items()) if question.masks else ()
        asked = replace(question, seed=seed.taken, keep=tuple(wanted), masks=masks)
        traced = trace(ready, asked)
        shape = ready.values[ready.plan.explained].shape
        return Seen(ready.plan, ready.table, shape, seed), traced

    def _mask_shapes(self, ready: Ready) -> dict[str, Shape | None]:
        """Shapes of masks by value: on its first axis a mask is as long as the value is there."""
        shapes = dict[str, Shape | None]()
        for value, layer in self._masked(ready.plan, ready.table).items():
            shapes[value], mask, full = None, self.question.masks[layer], ready.values[value]
            if mask is not None:
                own = np.shape(mask)
                long = (*full.shape[-len(own) :][:1], *own[1:]) if own else ()
                shapes[value] = fit_factor(np.broadcast_to(0.0, long), full, layer).shape
        return shapes

    def _masked(self, plan: Plan, table: LayerTable) -> dict[str, str]:
        """Layers under a condition, by value."""
        return values_of(plan, table, self.question.masks)

    def _loaded(self, seen: Seen, traced: Traced, any_batch: bool) -> Session:
        graph = traced.model.SerializeToString()
        runtime = runtime_of(graph, self.options, traced.weights)
        traced = replace(traced, model=type(traced.model)())  # the runtime has its own copy
        return Session(*seen, traced, runtime, any_batch)


def _size(declared: int | str, batch: int) -> int:
    """The length of an axis: a number, ``batch`` or ``3*batch``."""
    if isinstance(declared, int):
        return declared
    return batch * int(declared.partition("*")[0]) if "*" in declared else batch


def _seed_kind(request: GraphRequest, ready: Ready) -> Choice[str]:
    """How the seed is made; one that is no seed is refused."""
    z = np.broadcast_to(np.zeros(()), ready.values[ready.plan.explained].shape)
    kind = choose_seed(request.seed, ready.plan, z.shape)
    if kind.taken not in SEEDS:
        coefficients(kind.taken, [], z)
    return kind


def prepare(model: Model, inputs: Inputs, settings: Settings, question: Question) -> Prepared:
    """Return the question with what its session is known by.

    Raises
    ------
    InputError
        Wrong names, shapes, presets or rules; another dtype than float32.
    """
    if settings.dtype is not None and settings.floats != np.float32:
        raise InputError(f"backend 'onnx' computes in float32, not {settings.floats}")
    settings = settings.with_rules()
    plan = model.plan(settings.output, settings.bind)
    arrays = checked_arrays(plan, inputs, REFERENCE)
    composite = choose_composite(settings, plan, _read_values(model, settings, plan, arrays))
    return Prepared(model, settings, question, plan, arrays, composite)


def _read_values(model: Model, settings: Settings, plan: Plan, arrays: Arrays) -> Arrays:
    """Return the signals and, where a default goes by it, what a front end makes of them."""
    if settings.composite != AUTO or not plan.graph.reads:
        return arrays
    front = replace(plan, nodes=find_ancestors(plan.nodes, [plan.graph.reads]))
    given = model.constants(get_backend(), REFERENCE) | arrays
    return evaluate(front, given, get_backend(), REFERENCE).values


def in_graph(prepared: Prepared) -> Answer:
    """The explanation by a traced graph; errors as of `dftlrp.attribute`."""
    asked = prepared.question
    keep = tuple(dict.fromkeys(asked.keep))
    request = GraphRequest(asked.seed, INDEX, keep, asked.ledger, prepared.mask_shapes)
    if callable(asked.target) or ":" in asked.seed or _sliced(asked.target):
        return _by_array(prepared, request)
    return _by_index(prepared, request)


def predicted(prepared: Prepared) -> Prediction:
    """The forward pass alone, by a graph of its own; ``masks`` scale values on the way."""
    session = prepared.session(GraphRequest(target=FORWARD, masks=prepared.mask_shapes))
    found = _checked(session, session.run(prepared.feed(session)))
    return Prediction(found["output"], found["explained"])


def _sliced(target: Target) -> bool:
    """Whether a target means a sum over places."""
    each = target if isinstance(target, list) else [target]
    index = [t if isinstance(t, tuple) else (t,) for t in map(places, each)]
    return any(isinstance(i, slice) for t in index for i in t)


def _by_index(prepared: Prepared, question: GraphRequest) -> Answer:
    """With one index per sample; the largest is found within the graph."""
    session, target = prepared.session(question), prepared.question.target
    labels = prepared.model.labels
    rows = with_batch(session.explained(prepared.arrays), session.plan)
    shape = rows.shape[1:]
    largest = isinstance(target, str) and target == "argmax"
    indices: list[Index] = [(0,) * len(shape)] * len(rows)
    if not largest:
        indices = target_indices(target, rows, labels)
    kind = session.kind.taken
    coefficients(kind, indices, rows, labels)  # refuses what is no seed
    flat = [np.ravel_multi_index(_counted(t, shape), shape) if shape else 0 for t in indices]
    given = np.full(len(rows), -1) if largest else np.array(flat)
    found = session.run({**prepared.feed(session), session.traced.target: given})
    z = found[session.traced.outputs["explained"]]
    if largest:
        indices = target_indices(target, with_batch(z, session.plan), labels)
    c = coefficients(kind, indices, rows, labels).reshape(z.shape).astype(z.dtype)
    seed = c if kind == "one" else c * z
    return _passed(prepared, session, found, seed, session.kind, indices)


def _counted(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """An index with numbers from 0."""
    return tuple(int(i) % n for i, n in zip(index, shape, strict=True))  # type: ignore[arg-type]


def _by_array(prepared: Prepared, question: GraphRequest) -> Answer:
    """With coefficients for the whole output."""
    target, labels = prepared.question.target, prepared.model.labels
    free = callable(target)
    of_one = free or question.seed == "one"
    session = prepared.session(replace(question, target=ARRAY, seed="one" if of_one else "logit"))
    z: Real = session.explained(prepared.arrays)
    if free or (isinstance(target, str) and target == "argmax"):
        first = prepared.session(GraphRequest(target=FORWARD))
        z = first.run(prepared.arrays)[first.traced.outputs["explained"]].astype(np.float64)
    rows = with_batch(z, session.plan)
    kind = choose_seed(question.seed, session.plan, rows.shape)
    indices = None if free else target_indices(target, rows, labels)
    if free:
        c = make_seed(target, kind.taken, z).relevance
    else:
        c = coefficients(kind.taken, indices or [], rows, labels).reshape(z.shape)
    found = session.run({**prepared.feed(session), session.traced.target: c})
    z = found[session.traced.outputs["explained"]]
    c = c.astype(z.dtype)
    return _passed(prepared, session, found, c if of_one else c * z, kind, indices)


def _passed(
    prepared: Prepared,
    session: Session,
    found: Arrays,
    seed: Real,
    kind: Choice[str],
    indices: list[Index] | None,
) -> Answer:
    """What came out of the graph, by what it means."""
    traced = session.traced
    means = _checked(session, found)
    names = [k.partition(":")[2] for k in means if k.startswith("relevance:")]
    flows = {n: Flow(means[f"relevance:{n}"], means.get(f"multiplier:{n}")) for n in names}
    given = prepared.arrays
    kept = {n: means[f"value:{n}"] if n not in given else given[n] for n in names}
    rows = [replace(row, **_amounts(row, found)) for row in traced.rows]
    return Answer(
        session.plan, session.table, means["output"], means["explained"], flows, kept, seed,
        indices, settled(rows), prepared.composite, kind,
    )  # fmt: skip


def _checked(session: Session, found: Arrays) -> Arrays:
    """What came out, by what it means; all of it finite."""
    traced = session.traced
    means = {k: found[name] for k, name in traced.outputs.items()} | traced.fixed
    for meaning, array in means.items():
        _refuse_infinite(meaning, array)
    return means


def _amounts(row: LedgerRow, found: Arrays) -> dict[str, Any]:
    """The row's amounts, in numbers."""
    amounts = {k: getattr(row, k) for k in AMOUNTS}
    return {k: found[a].astype(float) if isinstance(a, str) else a for k, a in amounts.items()}


def _refuse_infinite(meaning: str, array: AnyArray) -> None:
    kind, _, name = meaning.partition(":")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        try:
            check_finite(array, f"the {kind}{f' of {name!r}' if name else ''}")
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error}; backend 'numpy' names the layer where it comes from"
            ) from None
