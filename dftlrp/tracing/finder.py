"""Find the session of onnxruntime that answers a question: a known one, or one that is traced now.

Sessions are kept with the model and known by all that shapes a graph: the inputs' shapes (but for
the batch, where the model leaves it open), output, settings, rules and the kind of target.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from dftlrp.core.backend import get_backend
from dftlrp.core.progress import doing
from dftlrp.core.types import AnyArray, DftlrpError, InputError, UnsupportedModelError
from dftlrp.engine.auto import Choice, choose_composite, choose_seed
from dftlrp.engine.backward import find_values
from dftlrp.engine.cache import Recent
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.evaluate import fit_factor
from dftlrp.engine.forward import (
    Inputs,
    Ready,
    check_inputs,
    check_reference,
    run_forward,
)
from dftlrp.engine.model import Model, make_key
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import SEEDS, make_coefficients
from dftlrp.engine.settings import Question, Settings
from dftlrp.tracing.assembly import Traced
from dftlrp.tracing.batch import have_one_batch, repeat_samples, trace_any_batch
from dftlrp.tracing.collector import rest_collector
from dftlrp.tracing.session import Arrays, Seen, Session, load_runtime, read_notes
from dftlrp.tracing.stored import Asked, find_graph
from dftlrp.tracing.trace import BESIDE, GraphRequest, trace

MOST_SESSIONS = 8  # that a model keeps
LARGE = 2**20  # bytes of weights that are worth a look whether they are there already
FEW = 2  # samples of a batch that gets a graph of its own
DOUBLE = np.dtype(np.float64)
Shape = tuple[int, ...]


@dataclass(eq=False)
class Sessions:
    """What a model keeps of its graphs.

    Attributes
    ----------
    graphs : Recent of Session
        The sessions, by key.
    refusals : Recent of DftlrpError
        Why there is no session for a key.
    asked : Recent of bool
        Keys without a batch that were asked for before, at some batch.
    masked : Recent of frozenset of str
        By output, settings and shapes, the values that were not finite at some input (a mask holds
        -inf), and that a graph for other inputs replaces, too.
    """

    graphs: Recent[Session] = field(default_factory=lambda: Recent[Session](MOST_SESSIONS))
    refusals: Recent[DftlrpError] = field(default_factory=lambda: Recent[DftlrpError](256))
    asked: Recent[bool] = field(default_factory=lambda: Recent[bool](256))
    masked: Recent[frozenset[str]] = field(default_factory=lambda: Recent[frozenset[str]](256))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A question, and what it needs to find its session; `prepare` makes it.

    ``compared`` holds the reference in the shapes of the inputs, and nothing where there is none.
    """

    model: Model
    settings: Settings
    question: Question
    plan: Plan
    arrays: Arrays
    composite: Choice[Composite]
    compared: Arrays

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.question.labels or self.model.labels

    @property
    def mask_shapes(self) -> tuple[tuple[str, Shape | None], ...]:
        """Shapes of the masks without the batch, by layer."""
        masks = self.question.masks.items()
        return tuple((k, None if m is None else np.shape(m)[1:]) for k, m in masks)

    def find_session(self, request: GraphRequest) -> Session:
        """Return the session for a request.

        A first batch of few samples gets a graph of its own, as most models are asked about one
        only; a second batch size, or a large one, gets the graph for any batch if there can be one.

        Raises
        ------
        UnsupportedModelError
            No graph can be traced; that is remembered, too.
        """
        request = replace(request, free=any(map(np.any, self.compared.values())))
        known = self.model.cache.part(Sessions)
        own, common = (self._make_key(request, any_batch) for any_batch in (False, True))
        if session := known.graphs.get(own):
            return session
        if refusal := known.refusals.get(own):
            raise refusal
        large = max(map(len, self.arrays.values())) > FEW
        if (large or common in known.asked) and common not in known.refusals:
            try:
                return known.graphs.find(common, lambda: self._trace_for_any_batch(request))
            except DftlrpError as refusal:  # perhaps one sample alone says better what is wrong
                known.refusals.put(common, refusal.with_traceback(None))
        known.asked.put(common, True)
        try:
            return known.graphs.put(own, self._trace_for_this_batch(request))
        except UnsupportedModelError as refusal:
            known.refusals.put(own, refusal.with_traceback(None))
            raise

    def feed(self, session: Session) -> Arrays:
        """Return signals, their reference and masks by the names of the graph's inputs."""
        declared = {x.name: x.shape for x in session.runtime.get_inputs()}
        batch = len(next(iter(self.arrays.values())))
        masks = dict[str, AnyArray]()
        for value, layer in self._find_masked(session.plan, session.table).items():
            if (mask := self.question.masks[layer]) is not None:
                size = [_measure_axis(n, batch) for n in declared[f"mask/{value}"]]
                whole = np.broadcast_to(np.zeros(()), size)
                masks[f"mask/{value}"] = np.broadcast_to(fit_factor(mask, whole, layer), size)
        compared = {f"{BESIDE}{name}": array for name, array in self.compared.items()}
        return self.arrays | compared | masks

    def note_masked(self) -> bool:
        """Note the values that are not finite at these inputs; return whether one is new.

        Raises
        ------
        NonFiniteError
            A layer makes or reads one; the message names it.
        """
        found = run_forward(self.model, self.arrays, self.settings.by_reference()).run.finite
        known = self.masked
        self.model.cache.part(Sessions).masked.put(self._shapes, known.union(found))
        return not known.issuperset(found)

    @property
    def masked(self) -> frozenset[str]:
        """The values that are known not to be finite at some input of these shapes."""
        return self.model.cache.part(Sessions).masked.get(self._shapes) or frozenset()

    @property
    def _shapes(self) -> Hashable:
        """Output, settings and shapes, the batch aside."""
        shapes = tuple((k, a.shape[1:]) for k, a in self.arrays.items())
        return make_key(self.settings.output, self.settings.bind), shapes

    def _make_key(self, request: GraphRequest, any_batch: bool) -> Hashable:
        """Return what a session is known by."""
        settings = self.settings
        cut = int(any_batch and have_one_batch(self.arrays))
        shapes = tuple((k, a.shape[cut:]) for k, a in self.arrays.items())
        rules = tuple((k, str(r)) for k, r in settings.overrides.items())
        plan = make_key(settings.output, settings.bind)
        return (
            *plan,
            any_batch,
            cut,
            shapes,
            repr(settings.composite),
            rules,
            self._options,
            settings.compared is not None,
            request,
            len(self.labels),
            tuple(sorted(self.masked)),
        )

    @property
    def _silence(self) -> Arrays:
        return {name: np.zeros(1) for name in self.plan.signals}

    @property
    def _options(self) -> str:
        """Options of the backend: execution provider and threads."""
        options: str = getattr(get_backend(self.settings.backend), "options", "")
        return options or (f":{self.settings.threads}" if self.settings.threads else "")

    def _trace_for_any_batch(self, request: GraphRequest) -> Session:
        def trace_at(batch: int) -> tuple[Seen, Traced]:
            return self._trace(
                replace(request, rows=batch),
                repeat_samples(self.arrays, batch),
                repeat_samples(self.compared, batch) if request.free else {},
            )

        trace_both = partial(trace_any_batch, self.plan, trace_at)
        return self._load(*self._find_graph(request, True, trace_both), any_batch=True)

    def _trace_for_this_batch(self, request: GraphRequest) -> Session:
        trace_one = partial(self._trace, request, self.arrays, self.compared)
        return self._load(*self._find_graph(request, False, trace_one), any_batch=False)

    def _find_graph(
        self, request: GraphRequest, any_batch: bool, make: Callable[[], tuple[Seen, Traced]]
    ) -> tuple[Seen, Traced]:
        """Return a graph that an earlier process kept, or one that is made now."""
        asked = Asked(self._make_key(request, any_batch), self.settings.by_default)
        return find_graph(self.model, self.plan, asked, make)

    @doing("tracing")
    @rest_collector()
    def _trace(
        self, request: GraphRequest, arrays: Arrays, compared: Arrays
    ) -> tuple[Seen, Traced]:
        """Return the graph at these inputs, and what is known of the model from its trace."""
        passing = replace(self.model)  # its weights in float64 go when the trace is done
        settings = self.settings.by_reference()
        if settings.compared is not None:
            settings = replace(settings, reference=compared if request.free else self._silence)
        ready = run_forward(passing, arrays, settings).replace_masked(self.masked)
        keep = tuple(find_values(ready.plan, ready.table, request.keep))
        seed = _choose_seed(request, ready, self.labels)
        masks = tuple(self._find_mask_shapes(ready).items()) if request.masks else ()
        traced = trace(ready, replace(request, seed=seed.taken, keep=keep, masks=masks))
        return Seen(ready.plan, ready.table, ready.values[ready.plan.explained].shape, seed), traced

    def _find_mask_shapes(self, ready: Ready) -> dict[str, Shape | None]:
        """Return shapes of masks by value, on the first axis as long as the value is there."""
        shapes = dict[str, Shape | None]()
        for value, layer in self._find_masked(ready.plan, ready.table).items():
            shapes[value], mask, full = None, self.question.masks[layer], ready.values[value]
            if mask is not None:
                own = np.shape(mask)
                long = (*full.shape[-len(own) :][:1], *own[1:]) if own else ()
                shapes[value] = fit_factor(np.broadcast_to(0.0, long), full, layer).shape
        return shapes

    def _find_masked(self, plan: Plan, table: LayerTable) -> dict[str, str]:
        """Return the layers under a condition, by value."""
        return find_values(plan, table, self.question.masks)

    @doing("preparing the graph")
    def _load(self, seen: Seen, traced: Traced, any_batch: bool) -> Session:
        """Return the session of a graph, which onnxruntime loads."""
        if self._options.partition(":")[0]:  # another provider than the CPU names nodes in notes
            for node in traced.model.graph.node:
                node.name = node.name or node.output[0]
        traced = replace(traced, weights=_share_weights(traced.weights, self.model))
        graph = traced.model.SerializeToString()
        runtime = load_runtime(graph, self._options, traced.weights, name=str(self.model.path))
        traced = replace(traced, model=type(traced.model)())  # the runtime has its own copy
        notes = read_notes(runtime, self._options)
        return Session(*seen, traced, runtime, any_batch, notes)


def _share_weights(weights: Arrays, model: Model) -> Arrays:
    """Return weights of a graph, large ones as the arrays that the model has already."""
    own = [a for a in model.graph.constants.values() if a.nbytes > LARGE and a.dtype == np.float32]

    def find(a: AnyArray) -> AnyArray:
        alike = (b for b in own if a.nbytes > LARGE and np.array_equal(a, b))
        return next(alike, a)

    return {name: find(a) for name, a in weights.items()}


def prepare(model: Model, inputs: Inputs, settings: Settings, question: Question) -> Prepared:
    """Return a question with what its session is known by.

    Raises
    ------
    InputError
        Wrong names, shapes, presets or rules; another dtype than float32.
    """
    if settings.dtype is not None and settings.floats != np.float32:
        raise InputError(f"backend 'onnx' computes in float32, not {settings.floats}")
    settings = settings.with_rules()
    plan = model.plan(settings.output, settings.bind)
    arrays = check_inputs(plan, inputs, DOUBLE)
    given = settings.compared
    compared = {} if given is None else check_reference(plan, given, arrays)
    composite = choose_composite(settings, plan)
    settings = replace(settings, composite=composite.taken)
    return Prepared(model, settings, question, plan, arrays, composite, compared)


def _choose_seed(request: GraphRequest, ready: Ready, labels: tuple[str, ...]) -> Choice[str]:
    """Return how the seed is made, and refuse what is no seed."""
    z = np.broadcast_to(np.zeros(()), ready.values[ready.plan.explained].shape)
    kind = choose_seed(request.seed, ready.plan, z.shape, labels)
    if kind.taken not in SEEDS:
        make_coefficients(kind.taken, [], z)
    return kind


def _measure_axis(declared: int | str, batch: int) -> int:
    """Return the length of an axis: a number, ``batch`` or ``3*batch``."""
    if isinstance(declared, int):
        return declared
    return batch * int(declared.partition("*")[0]) if "*" in declared else batch
