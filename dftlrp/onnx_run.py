"""The onnx backend's sessions: a question is traced once, and answered by onnxruntime since.

Sessions are kept with the model, the least recently used one goes first.  They are known by
all that shapes a graph: the inputs' shapes (but for the batch, where the model leaves it open),
output, settings, rules and the kind of target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dftlrp.backend import get_backend
from dftlrp.composites import Composite
from dftlrp.forward import (
    Pass,
    Prediction,
    Ready,
    Request,
    auto_composite,
    auto_seed,
    checked_arrays,
    masks_of,
    run_through,
    values_of,
    with_batch,
)
from dftlrp.graph.evaluate import check_finite, evaluate
from dftlrp.graph.graph import ancestors
from dftlrp.graph.plan import Plan
from dftlrp.ledger import AMOUNTS, LedgerRow
from dftlrp.model import Model, settings_key
from dftlrp.onnx_backend import OnnxBackend
from dftlrp.onnx_batch import for_any_batch, one_batch, repeated
from dftlrp.onnx_session import Arrays, Seen, Session, runtime_of
from dftlrp.propagate import Flow, settled
from dftlrp.seeds import SEEDS, Index, Target, coefficients, make_seed, places, target_indices
from dftlrp.trace import ARRAY, FORWARD, INDEX, Question, Traced, trace
from dftlrp.types import (
    AnyArray,
    DftlrpError,
    InputError,
    NonFiniteError,
    Real,
    UnsupportedModelError,
)

MOST_SESSIONS = 8  # that a model keeps
FEW = 2  # samples that are traced as they come
REFERENCE = np.dtype(np.float64)
Shape = tuple[int, ...]
Masks = Mapping[str, AnyArray | None]


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
        known = values_of(session.plan, session.table, self.asked.masks)
        masks = {f"mask/{value}": self.asked.masks[layer] for value, layer in known.items()}
        sizes = {
            k: [n if isinstance(n, int) else batch for n in declared.get(k, ())] for k in masks
        }
        given = {k: np.broadcast_to(m, sizes[k]) for k, m in masks.items() if m is not None}
        return self.arrays | given

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
        batch = arrays[next(iter(arrays))].shape[:1]
        asked = _as_many(self.asked.masks, *batch) if question.masks else {}
        masks = masks_of(ready.plan, ready.table, asked, ready.values)
        shapes = tuple(
            (k, None if m is None else _with_batch(m.shape, ready.values[k].shape, batch))
            for k, m in masks.items()
        )
        seed = _seed_kind(question, ready)
        traced = trace(ready, replace(question, seed=seed, keep=tuple(wanted), masks=shapes))
        shape = ready.values[ready.plan.explained].shape
        return Seen(ready.plan, ready.table, shape, seed), traced

    def _loaded(self, seen: Seen, traced: Traced, any_batch: bool) -> Session:
        graph = traced.model.SerializeToString()
        runtime = runtime_of(graph, self.bk.options, traced.weights)
        traced = replace(traced, model=type(traced.model)())  # the runtime has its own copy
        return Session(*seen, traced, runtime, any_batch)


def _as_many(masks: Masks, batch: int = 1) -> Masks:
    """Masks for so many samples, where they are one for each."""
    take = partial(np.take, indices=np.arange(batch), axis=0, mode="wrap")
    return {k: take(m) if m is not None and len(m) > 1 else m for k, m in masks.items()}


def _with_batch(mask: Shape, value: Shape, batch: Shape) -> Shape:
    """A mask's shape, one for each sample where the value's first axis is the batch's."""
    return (*batch, *mask[1:]) if len(mask) == len(value) and value[:1] == batch else mask


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
    index = [places(t) for t in each]
    return any(isinstance(i, slice) for t in index if isinstance(t, tuple) for i in t)


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
