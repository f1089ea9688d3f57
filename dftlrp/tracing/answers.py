"""The onnx backend's sessions: a question is traced once, and answered by onnxruntime since.

Sessions are kept with the model, the least recently used one goes first.  They are known by
all that shapes a graph: the inputs' shapes (but for the batch, where the model leaves it open),
output, settings, rules and the kind of target.
"""

from __future__ import annotations

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
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.evaluate import check_finite, evaluate, fitting
from dftlrp.engine.forward import (
    Pass,
    Prediction,
    Ready,
    Request,
    auto_composite,
    auto_seed,
    checked_arrays,
    run_through,
    values_of,
    with_batch,
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
from dftlrp.graph.structure import ancestors
from dftlrp.tracing.batch import for_any_batch, one_batch, repeated
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.session import Arrays, Seen, Session, runtime_of
from dftlrp.tracing.trace import ARRAY, FORWARD, INDEX, Question, Traced, trace

MOST_SESSIONS = 8  # that a model keeps
FEW = 2  # samples that are traced as they come
REFERENCE = np.dtype(np.float64)
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request, and what it needs to find its session."""

    asked: Request
    bk: OnnxBackend
    plan: Plan
    arrays: Arrays
    composite: str | Composite

    def session(self, question: Question) -> Session:
        """The session for a question: known already, or traced now.

        A first batch of few samples gets a graph of its own, as most models are asked of one only;
        a second batch size, or a large one, the graph that answers all.

        Raises
        ------
        UnsupportedModelError
            No graph can be traced; that is remembered, too.
        """
        known = self.asked.model._sessions
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

    def _for_any_batch(self, question: Question) -> Session | bool:
        """True where the batch is fixed, or one sample alone says what is wrong."""
        try:
            seen, traced = for_any_batch(
                self.plan, lambda batch: self._traced(question, repeated(self.arrays, batch))
            )
        except DftlrpError:
            return True
        return self._loaded(seen, traced, any_batch=True)

    def _for_this_batch(self, question: Question) -> Session | UnsupportedModelError:
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
            if (mask := self.asked.masks[layer]) is not None:
                size = [_size(n, batch) for n in declared[f"mask/{value}"]]
                whole = np.broadcast_to(np.zeros(()), size)
                masks[f"mask/{value}"] = np.broadcast_to(fitting(mask, whole, layer), size)
        return self.arrays | masks

    def _key(self, any_batch: bool) -> tuple[Any, ...]:
        cut = int(any_batch and one_batch(self.arrays))
        shapes = tuple((k, a.shape[cut:]) for k, a in self.arrays.items())
        rules = tuple((k, str(r)) for k, r in (self.asked.overrides or {}).items())
        settings = settings_key(self.asked.output, self.asked.bind)
        return (*settings, any_batch, cut, shapes, repr(self.composite), rules, self.bk.options)

    def _traced(self, question: Question, arrays: Arrays) -> tuple[Seen, Traced]:
        model = replace(self.asked.model, _constants={})  # its float64 weights go with it
        ready = run_through(
            self.plan, model, arrays, self.composite, self.asked.overrides,
            get_backend(), REFERENCE,
        )  # fmt: skip
        wanted = values_of(ready.plan, ready.table, question.keep)
        seed = _seed_kind(question, ready)
        masks = tuple(self._mask_shapes(ready).items()) if question.masks else ()
        traced = trace(ready, replace(question, seed=seed, keep=tuple(wanted), masks=masks))
        shape = ready.values[ready.plan.explained].shape
        return Seen(ready.plan, ready.table, shape, seed), traced

    def _mask_shapes(self, ready: Ready) -> dict[str, Shape | None]:
        """Shapes of masks by value: on its first axis a mask is as long as the value is there."""
        shapes = dict[str, Shape | None]()
        for value, layer in self._masked(ready.plan, ready.table).items():
            shapes[value], mask, full = None, self.asked.masks[layer], ready.values[value]
            if mask is not None:
                own = np.shape(mask)
                long = (*full.shape[-len(own) :][:1], *own[1:]) if own else ()
                shapes[value] = fitting(np.broadcast_to(0.0, long), full, layer).shape
        return shapes

    def _masked(self, plan: Plan, table: LayerTable) -> dict[str, str]:
        """Layers under a condition, by value."""
        return values_of(plan, table, self.asked.masks)

    def _loaded(self, seen: Seen, traced: Traced, any_batch: bool) -> Session:
        graph = traced.model.SerializeToString()
        runtime = runtime_of(graph, self.bk.options, traced.weights)
        traced = replace(traced, model=type(traced.model)())  # the runtime has its own copy
        return Session(*seen, traced, runtime, any_batch)


def _size(declared: int | str, batch: int) -> int:
    """The length of an axis: a number, ``batch`` or ``3*batch``."""
    if isinstance(declared, int):
        return declared
    return batch * int(declared.partition("*")[0]) if "*" in declared else batch


def _seed_kind(question: Question, ready: Ready) -> str:
    """How the seed is made; one that is no seed is refused."""
    z = np.broadcast_to(np.zeros(()), ready.values[ready.plan.explained].shape)
    if question.seed == "auto":
        return auto_seed(ready.plan, z)
    if question.seed not in SEEDS:
        coefficients(question.seed, [], z)
    return question.seed


def _composite(model: Model, plan: Plan, arrays: Arrays) -> str:
    """What ``auto`` is for these inputs."""
    if not plan.graph.reads:
        return auto_composite(plan, arrays)
    front = replace(plan, nodes=ancestors(plan.nodes, [plan.graph.reads]))
    given = model.constants(get_backend(), REFERENCE) | arrays
    return auto_composite(plan, evaluate(front, given, get_backend(), REFERENCE).values)


def in_graph(asked: Request, bk: OnnxBackend, dtype: Any = None) -> Pass:
    """The explanation by a traced graph; errors as of `dftlrp.attribute`."""
    prepared, shapes = _prepared(asked, bk, dtype)
    keep = tuple(dict.fromkeys(asked.keep))
    question = Question(asked.seed, INDEX, keep, asked.ledger, shapes)
    if callable(asked.target) or ":" in asked.seed or _sliced(asked.target):
        return _by_array(prepared, question)
    return _by_index(prepared, question)


def _prepared(
    asked: Request, bk: OnnxBackend, dtype: Any
) -> tuple[Prepared, tuple[tuple[str, Shape | None], ...]]:
    """The request with what its session is known by, and its masks' shapes but for the batch."""
    if dtype is not None and np.dtype(dtype) != np.float32:
        raise InputError(f"backend 'onnx' computes in float32, not {np.dtype(dtype)}")
    plan = asked.model.plan(asked.output, asked.bind)
    arrays = checked_arrays(plan, asked.inputs, REFERENCE)
    auto = asked.composite == "auto"
    chosen = _composite(asked.model, plan, arrays) if auto else asked.composite
    shapes = tuple((k, None if m is None else np.shape(m)[1:]) for k, m in asked.masks.items())
    return Prepared(asked, bk, plan, arrays, chosen), shapes


def predicted(asked: Request, bk: OnnxBackend, dtype: Any = None) -> Prediction:
    """The forward pass alone, by a graph of its own; ``masks`` scale values on the way."""
    prepared, shapes = _prepared(asked, bk, dtype)
    session = prepared.session(Question(target=FORWARD, masks=shapes))
    found = _checked(session, session.run(prepared.feed(session)))
    return Prediction(found["output"], found["explained"])


def _sliced(target: Target) -> bool:
    """Whether a target means a sum over places."""
    each = target if isinstance(target, list) else [target]
    index = [t if isinstance(t, tuple) else (t,) for t in map(places, each)]
    return any(isinstance(i, slice) for t in index for i in t)


def _by_index(prepared: Prepared, question: Question) -> Pass:
    """With one index per sample; the largest is found within the graph."""
    session, target = prepared.session(question), prepared.asked.target
    labels = prepared.asked.model.labels
    rows = with_batch(session.explained(prepared.arrays), session.plan)
    shape = rows.shape[1:]
    largest = isinstance(target, str) and target == "argmax"
    indices: list[Index] = [(0,) * len(shape)] * len(rows)
    if not largest:
        indices = target_indices(target, rows, labels)
    coefficients(session.kind, indices, rows, labels)  # refuses what is no seed
    flat = [np.ravel_multi_index(_counted(t, shape), shape) if shape else 0 for t in indices]
    given = np.full(len(rows), -1) if largest else np.array(flat)
    found = session.run({**prepared.feed(session), session.traced.target: given})
    z = found[session.traced.outputs["explained"]]
    if largest:
        indices = target_indices(target, with_batch(z, session.plan), labels)
    c = coefficients(session.kind, indices, rows, labels).reshape(z.shape).astype(z.dtype)
    return _passed(
        session,
        prepared.arrays,
        found,
        c if session.kind == "one" else c * z,
        session.kind,
        indices,
    )


def _counted(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """An index with numbers from 0."""
    return tuple(int(i) % n for i, n in zip(index, shape, strict=True))  # type: ignore[arg-type]


def _by_array(prepared: Prepared, question: Question) -> Pass:
    """With coefficients for the whole output."""
    target, labels = prepared.asked.target, prepared.asked.model.labels
    free = callable(target)
    of_one = free or question.seed == "one"
    session = prepared.session(replace(question, target=ARRAY, seed="one" if of_one else "logit"))
    z: Real = session.explained(prepared.arrays)
    if free or (isinstance(target, str) and target == "argmax"):
        first = prepared.session(Question(target=FORWARD))
        z = first.run(prepared.arrays)[first.traced.outputs["explained"]].astype(np.float64)
    rows = with_batch(z, session.plan)
    kind = auto_seed(session.plan, rows) if question.seed == "auto" else question.seed
    indices = None if free else target_indices(target, rows, labels)
    if free:
        c = make_seed(target, kind, z).relevance
    else:
        c = coefficients(kind, indices or [], rows, labels).reshape(z.shape)
    found = session.run({**prepared.feed(session), session.traced.target: c})
    z = found[session.traced.outputs["explained"]]
    c = c.astype(z.dtype)
    return _passed(session, prepared.arrays, found, c if of_one else c * z, kind, indices)


def _passed(
    session: Session,
    given: Arrays,
    found: Arrays,
    seed: Real,
    kind: str,
    indices: list[Index] | None,
) -> Pass:
    """What came out of the graph, by what it means."""
    traced = session.traced
    means = _checked(session, found)
    names = [k.partition(":")[2] for k in means if k.startswith("relevance:")]
    flows = {n: Flow(means[f"relevance:{n}"], means.get(f"multiplier:{n}")) for n in names}
    kept = {n: means[f"value:{n}"] if n not in given else given[n] for n in names}
    rows = [replace(row, **_amounts(row, found)) for row in traced.rows]
    return Pass(
        session.plan, session.table, means["output"], means["explained"], flows, kept, seed, kind,
        indices, settled(rows),
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
