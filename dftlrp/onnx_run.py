"""The onnx backend's sessions: a question is traced once, and answered by onnxruntime since.

Sessions are kept with the model, the least recently used one goes first.  They are known by
all that shapes a graph: the inputs' shapes, output, settings, rules and the kind of target.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dftlrp.backend import get_backend
from dftlrp.composites import Composite, LayerTable
from dftlrp.forward import (
    Inputs,
    Pass,
    auto_composite,
    auto_seed,
    checked_arrays,
    kept_values,
    run_through,
    with_batch,
)
from dftlrp.graph.evaluate import check_finite, evaluate
from dftlrp.graph.graph import ancestors
from dftlrp.graph.plan import Plan
from dftlrp.ledger import AMOUNTS, LedgerRow
from dftlrp.model import Model
from dftlrp.onnx_backend import OnnxBackend
from dftlrp.propagate import Flow, settled
from dftlrp.rules import Rule
from dftlrp.seeds import SEEDS, Index, Target, coefficients, make_seed, places, target_indices
from dftlrp.trace import ARRAY, FORWARD, INDEX, Question, Traced, trace
from dftlrp.types import AnyArray, InputError, NonFiniteError, Real

MOST_SESSIONS = 8  # that a model keeps
REFERENCE = np.dtype(np.float64)
Arrays = dict[str, AnyArray]


@dataclass(frozen=True, eq=False)
class Session:
    """A traced graph that onnxruntime has loaded."""

    plan: Plan
    table: LayerTable
    traced: Traced
    shape: tuple[int, ...]  # of what is explained
    kind: str  # of the seed
    runtime: Any

    def run(self, feed: Mapping[str, AnyArray]) -> Arrays:
        """Outputs by what they mean.

        Raises
        ------
        InputError
            onnxruntime failed.
        """
        types = {x.name: TYPES[x.type] for x in self.runtime.get_inputs()}
        given: Arrays = {k: np.ascontiguousarray(feed[k], types[k]) for k in types}
        try:
            results = self.runtime.run(None, given)
        except Exception as error:  # onnxruntime has no type of its own
            raise InputError(f"onnxruntime failed on the traced graph: {_line(error)}") from error
        names = (x.name for x in self.runtime.get_outputs())
        return dict(zip(names, results, strict=True))


TYPES = {
    "tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(bool)": np.bool_,
    "tensor(int16)": np.int16, "tensor(uint16)": np.uint16, "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
}  # fmt: skip


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def runtime_of(graph: bytes, options: str = "") -> Any:
    """An onnxruntime session; options as ``PROVIDER:THREADS``, each may be left out.

    Raises
    ------
    InputError
        onnxruntime or the execution provider is not there; the graph cannot be loaded.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise InputError("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
    provider, _, threads = options.partition(":")
    provider = provider or "CPUExecutionProvider"
    if provider not in ort.get_available_providers():
        known = ", ".join(ort.get_available_providers())
        raise InputError(f"execution provider {provider!r} is not there: onnxruntime has {known}")
    if threads and not (threads.isdecimal() and int(threads)):
        raise InputError(f"threads {threads!r}: a positive number is needed")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = int(threads) if threads else len(os.sched_getaffinity(0))
    try:
        return ort.InferenceSession(graph, settings, providers=[provider])
    except Exception as error:
        raise InputError(f"onnxruntime cannot load the traced graph: {_line(error)}") from error


@dataclass(frozen=True, eq=False)
class Asked:
    """All that shapes a graph but for the question itself."""

    model: Model
    inputs: Inputs
    output: str | None
    bind: Mapping[str, Any] | None
    composite: str | Composite
    overrides: Mapping[str, str | Rule] | None
    bk: OnnxBackend
    plan: Plan
    arrays: Arrays

    def session(self, question: Question) -> Session:
        """The session for a question: known already, or traced now."""
        known = self.model._sessions
        key = (*self._key(), question)
        if key in known:
            known[key] = known.pop(key)
            return known[key]  # type: ignore[no-any-return]
        session = self._traced(question)
        known[key] = session
        while sum(isinstance(s, Session) for s in known.values()) > MOST_SESSIONS:
            known.pop(next(k for k, s in known.items() if isinstance(s, Session)))
        return session

    def _key(self) -> tuple[Any, ...]:
        shapes = tuple((k, a.shape) for k, a in self.arrays.items())
        rules = tuple((k, str(r)) for k, r in (self.overrides or {}).items())
        settings = _settings(self.output, self.bind)
        return (*settings, shapes, repr(self.composite), rules, self.bk.options)

    def _traced(self, question: Question) -> Session:
        ready = run_through(
            self.plan, self.model, self.inputs, self.composite, self.overrides,
            get_backend(), REFERENCE,
        )  # fmt: skip
        shape = ready.values[ready.plan.explained].shape
        if question.seed == "auto":
            question = replace(question, seed=auto_seed(ready.plan, np.empty(shape)))
        elif question.seed not in SEEDS:
            coefficients(question.seed, [], np.zeros(shape))
        wanted = kept_values(ready.plan, ready.table, question.keep)
        traced = trace(ready, replace(question, keep=tuple(wanted)))
        runtime = runtime_of(traced.model.SerializeToString(), self.bk.options)
        traced = replace(traced, model=type(traced.model)())  # the runtime has its own copy
        return Session(ready.plan, ready.table, traced, shape, question.seed, runtime)


def _settings(output: str | None, bind: Mapping[str, Any] | None) -> tuple[Any, ...]:
    values = {k: np.asarray(v) for k, v in (bind or {}).items()}
    return output, tuple((k, a.shape, a.tobytes()) for k, a in sorted(values.items()))


def _plan(model: Model, output: str | None, bind: Mapping[str, Any] | None) -> Plan:
    """The plan for these settings, made once."""
    key = ("plan", *_settings(output, bind))
    if key not in model._sessions:
        model._sessions[key] = model.plan(output, bind)
    return model._sessions[key]  # type: ignore[no-any-return]


def _composite(model: Model, plan: Plan, arrays: Arrays) -> str:
    """What ``auto`` is for these inputs."""
    if not plan.graph.reads:
        return auto_composite(plan, arrays)
    front = replace(plan, nodes=ancestors(plan.nodes, [plan.graph.reads]))
    given = model.constants(get_backend(), REFERENCE) | arrays
    return auto_composite(plan, evaluate(front, given, get_backend(), REFERENCE).values)


def in_graph(
    model: Model,
    inputs: Inputs,
    target: Target,
    output: str | None,
    bind: Mapping[str, Any] | None,
    seed: str,
    composite: str | Composite,
    overrides: Mapping[str, str | Rule] | None,
    ledger: bool,
    keep: Collection[str],
    bk: OnnxBackend,
    dtype: Any = None,
) -> Pass:
    """The explanation by a traced graph; arguments and errors as of `dftlrp.attribute`."""
    if dtype is not None and np.dtype(dtype) != np.float32:
        raise InputError(f"backend 'onnx' computes in float32, not {np.dtype(dtype)}")
    plan = _plan(model, output, bind)
    arrays = checked_arrays(plan, inputs, REFERENCE)
    chosen = _composite(model, plan, arrays) if composite == "auto" else composite
    asked = Asked(model, inputs, output, bind, chosen, overrides, bk, plan, arrays)
    question = Question(seed, INDEX, tuple(dict.fromkeys(keep)), ledger)
    if callable(target) or ":" in seed or _sliced(target):
        return _by_array(asked, question, target)
    return _by_index(asked, question, target)


def _sliced(target: Target) -> bool:
    """Whether a target means a sum over places."""
    each = target if isinstance(target, list) else [target]
    index = [places(t) for t in each]
    return any(isinstance(i, slice) for t in index if isinstance(t, tuple) for i in t)


def _by_index(asked: Asked, question: Question, target: Target) -> Pass:
    """With one index per sample; the largest is found within the graph."""
    session, labels = asked.session(question), asked.model.labels
    rows = with_batch(np.broadcast_to(np.zeros(()), session.shape), session.plan)
    shape = rows.shape[1:]
    largest = isinstance(target, str) and target == "argmax"
    indices: list[Index] = [(0,) * len(shape)] * len(rows)
    if not largest:
        indices = target_indices(target, rows, labels)
    coefficients(session.kind, indices, rows, labels)  # refuses what is no seed
    flat = [np.ravel_multi_index(_counted(t, shape), shape) if shape else 0 for t in indices]
    given = np.full(len(rows), -1) if largest else np.array(flat)
    found = session.run({**asked.arrays, session.traced.target: given})
    z = found[session.traced.outputs["explained"]]
    if largest:
        indices = target_indices(target, with_batch(z, session.plan), labels)
    c = coefficients(session.kind, indices, rows, labels).reshape(z.shape).astype(z.dtype)
    return _passed(
        session, asked.arrays, found, c if session.kind == "one" else c * z, session.kind, indices
    )


def _counted(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """An index with numbers from 0."""
    return tuple(int(i) % n for i, n in zip(index, shape, strict=True))  # type: ignore[arg-type]


def _by_array(asked: Asked, question: Question, target: Target) -> Pass:
    """With coefficients for the whole output."""
    free = callable(target)
    of_one = free or question.seed == "one"
    session = asked.session(replace(question, target=ARRAY, seed="one" if of_one else "logit"))
    labels = asked.model.labels
    z: Real = np.broadcast_to(np.zeros(()), session.shape)
    if free or (isinstance(target, str) and target == "argmax"):
        first = asked.session(Question(target=FORWARD))
        z = first.run(asked.arrays)[first.traced.outputs["explained"]].astype(np.float64)
    rows = with_batch(z, session.plan)
    kind = auto_seed(session.plan, rows) if question.seed == "auto" else question.seed
    indices = None if free else target_indices(target, rows, labels)
    if free:
        c = make_seed(target, kind, z).relevance
    else:
        c = coefficients(kind, indices or [], rows, labels).reshape(session.shape)
    found = session.run({**asked.arrays, session.traced.target: c})
    z = found[session.traced.outputs["explained"]]
    c = c.astype(z.dtype)
    return _passed(session, asked.arrays, found, c if of_one else c * z, kind, indices)


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
    means = {k: found[name] for k, name in traced.outputs.items()} | traced.fixed
    for meaning, array in means.items():
        _refuse_infinite(meaning, array)
    names = [k.partition(":")[2] for k in means if k.startswith("relevance:")]
    flows = {n: Flow(means[f"relevance:{n}"], means.get(f"multiplier:{n}")) for n in names}
    kept = {n: means[f"value:{n}"] if n not in given else given[n] for n in names}
    rows = [replace(row, **_amounts(row, found)) for row in traced.rows]
    return Pass(
        session.plan, session.table, means["output"], means["explained"], flows, kept, seed, kind,
        indices, settled(rows),
    )  # fmt: skip


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
