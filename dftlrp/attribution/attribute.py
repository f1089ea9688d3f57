"""`attribute`: relevance of plain arrays in batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, TypeVar

import numpy as np

from dftlrp.core.backend import Backend, get_backend
from dftlrp.core.ledger import Ledger
from dftlrp.core.maps import Array
from dftlrp.core.rules import Rule
from dftlrp.core.types import AnyArray, Real, UnsupportedModelError
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.forward import (
    Inputs,
    Pass,
    Prediction,
    Ready,
    Request,
    auto_seed,
    checked_arrays,
    floating_dtype,
    masks_of,
    run_through,
    values_of,
    with_batch,
)
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Flow, propagate
from dftlrp.engine.seeds import Index, Target, seeded, started, target_indices
from dftlrp.tracing.answers import in_graph, predicted
from dftlrp.tracing.onnx_backend import OnnxBackend

FAST, REFERENCE = "onnx", "numpy"
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Relevance of a batch.

    Attributes
    ----------
    relevance : array, or dict of str to array
        In the shape of the input; a dict by input name where a dict was given.
    multiplier : array, dict or None
        m with relevance = input * m; None where a rule has none (flat, wsquare, zbox, pass).
    output : array
        The model's own output.
    explained : array
        The value that the seed stands at: the output, or what a final Softmax reads.
    seed : array
        Relevance at ``explained``.
    seed_kind : str
        How it was made, as given.
    target : tuple of tuple of int, or None
        For each sample, the target's index in its output; None where a function was given.
    ledger : Ledger
        Where the relevance of every node went; empty with ``ledger=False``.
    table : LayerTable
        The rule of every layer.
    notes : tuple of str
        What was taken and what was stripped.
    backend : str
        What computed it.
    kept : dict of str to (value, relevance)
        Of the values asked for with ``keep``, and of the signals.
    """

    relevance: Real | dict[str, Real]
    multiplier: Real | dict[str, Real | None] | None
    output: Real
    explained: Real
    seed: Real
    seed_kind: str
    target: tuple[Index, ...] | None
    ledger: Ledger
    table: LayerTable
    notes: tuple[str, ...]
    backend: str
    kept: dict[str, tuple[Real, Real]] = field(default_factory=dict)


@np.errstate(all="ignore")  # what is not finite is reported below, by its layer's name
def attribute(
    model: Any,
    inputs: Inputs,
    *,
    target: Target = "argmax",
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    backend: str | Backend | None = None,
    dtype: Any = None,
    ledger: bool = True,
    keep: Collection[str] = (),
    masks: Mapping[str, AnyArray | None] | None = None,
) -> Attribution:
    """Relevance of the inputs for a target.

    Parameters
    ----------
    model : Model, path or object
        From `dftlrp.load`, or what that loads; a framework's model with ``inputs`` for example.
    inputs : array, or dict of str to array
        In the shapes the model declares, batch first.
    target : int, list of int, tuple of int, str, callable, or "argmax"
        Class index for all samples; one for each; an index into an output of higher rank; a label;
        a function from the explained output to the array of seeds; each sample's largest entry.
    output : str, optional
        Which output; the first if not given.
    bind : dict, optional
        Values of inputs that are settings, not signals.
    seed : str
        ``"logit"``, ``"contrast"``, ``"contrast:CLASS"`` or ``"one"``; see `dftlrp.engine.seeds`.
        ``"auto"``: contrast for a classifier, the logit otherwise.
    composite : str or Composite
        A preset; ``"auto"``: EpsilonPlus where all of the inputs given are >= 0, else
        EpsilonAlpha2Beta1.
    overrides : dict, optional
        Rules by layer; see `dftlrp.engine.composites.layer_table`.
    backend : str or Backend, optional
        ``"onnx"`` (``"onnx:PROVIDER:THREADS"``): one graph, run by onnxruntime in float32, traced
        at the first call for inputs of these shapes.  ``"numpy"``: the reference in float64.
        ``"torch"`` (``"torch:DEVICE"``): on torch tensors.  If not given: onnx, or numpy for a
        model that cannot be traced (a note says why).
    dtype : dtype, optional
        What is computed in, as the backend does if not given; float64 alone asks for numpy.
    ledger : bool
        Whether to keep the accounts.
    keep : collection of str
        Names of values inside the model (layers, as in the table) whose relevance is wanted, too,
        as it arrives there, before a mask.
    masks : dict of str to array or None, optional
        Conditions (CRP): by layer, what the relevance of its output is multiplied by, in a shape
        that broadcasts to the output's; what does not go through the layer is left out.  None
        blocks a layer: what goes past it stays.  See `dftlrp.concepts`.

    Raises
    ------
    InputError
        Wrong names, shapes, targets, presets or rules.
    NonFiniteError
        NaN or Inf in the input or in a layer; names it.
    """
    asked = Request(
        as_model(model, inputs), inputs, target, output, bind, seed, composite, overrides, ledger,
        keep, masks or {},
    )  # fmt: skip
    return _answers([asked], backend, dtype)[0]


def attributions(
    model: Model,
    inputs: Inputs,
    questions: Sequence[Mapping[str, Any]],
    *,
    backend: str | Backend | None = None,
    dtype: Any = None,
    **settings: Any,
) -> list[Attribution]:
    """What `attribute` says to several questions about the same inputs.

    Parameters
    ----------
    questions : list of dict
        For each its own ``target``, ``seed``, ``keep`` and ``masks``.
    settings
        What all share: ``output``, ``bind``, ``composite``, ``overrides``, ``ledger``, and what a
        question leaves out.  NumPy computes the forward pass once.
    """
    given = {p: d.default for p, d in signature(attribute).parameters.items()} | settings
    asked = [
        Request(model, inputs, *(({**given, **q}[p]) for p in Request._fields[2:]))
        for q in questions
    ]
    return _answers([a._replace(masks=a.masks or {}) for a in asked], backend, dtype)


def _usually(
    backend: str | Backend | None, dtype: Any, answer: Callable[[str | Backend, tuple[str, ...]], T]
) -> T:
    """By the backend asked for; else by onnx, or numpy for float64 and where there is no graph."""
    if backend is not None or (dtype is not None and floating_dtype(dtype) != np.float32):
        return answer(backend or REFERENCE, ())
    try:
        return answer(FAST, ())
    except UnsupportedModelError as error:
        reason = str(error).removesuffix(f": use backend='{REFERENCE}'")
        return answer(REFERENCE, (f"computed by backend {REFERENCE}: {reason}",))


def _answers(
    asked: Sequence[Request], backend: str | Backend | None, dtype: Any
) -> list[Attribution]:
    return _usually(backend, dtype, lambda name, why: _by(name, asked, dtype, why))


def _by(
    backend: str | Backend, asked: Sequence[Request], dtype: Any, why: tuple[str, ...]
) -> list[Attribution]:
    bk, floats = get_backend(backend), floating_dtype(dtype)
    if isinstance(bk, OnnxBackend):
        return [_attribution(a, in_graph(a, bk, dtype), backend, why) for a in asked]
    first = asked[0]
    ready = run_through(
        first.model.plan(first.output, first.bind), first.model, first.inputs, first.composite,
        first.overrides, bk, floats,
    )  # fmt: skip
    return [_attribution(a, _numbers(sent_back(a, ready, bk), bk), backend, why) for a in asked]


def _attribution(
    asked: Request, found: Pass, backend: str | Backend, why: tuple[str, ...]
) -> Attribution:
    plan, table = found.plan, found.table
    wanted = values_of(plan, table, asked.keep)
    kept = {wanted.get(k, k): (found.kept[k], f.relevance) for k, f in found.flows.items()}
    flows = {k: found.flows[k] for k in plan.signals}
    named = isinstance(asked.inputs, Mapping)
    only = next(iter(flows.values()))
    seed = None if callable(asked.target) else found.kind
    return Attribution(
        relevance={k: f.relevance for k, f in flows.items()} if named else only.relevance,
        multiplier={k: f.multiplier for k, f in flows.items()} if named else only.multiplier,
        output=found.output,
        explained=found.explained,
        seed=found.seed,
        seed_kind=seed or "a function of the output",
        target=None if found.target is None else tuple(found.target),
        ledger=found.ledger,
        table=table,
        notes=(*_notes(plan, table, seed, asked.composite == "auto"), *why),
        backend=backend if isinstance(backend, str) else backend.name,
        kept=kept,
    )


def sent_back(asked: Request, ready: Ready, bk: Backend) -> Pass:
    """The way back from a forward pass, which may serve several requests."""
    (plan, values, table, _), model = ready, asked.model
    target, seed = asked.target, asked.seed
    wanted = values_of(plan, table, asked.keep)
    masks = masks_of(plan, table, asked.masks, values)
    z = values[plan.explained]
    rows = bk.read(z)
    if seed == "auto":
        seed = auto_seed(plan, z)
    rows = rows if callable(target) else with_batch(rows, plan)
    indices = None if callable(target) else target_indices(target, rows, model.labels)
    c, scaled = seeded(indices or target, seed, rows, model.labels)
    start = started(bk, bk.asarray(c.reshape(z.shape)), z, scaled)
    flows, accounts = propagate(plan, values, start, table.rules(), bk, asked.ledger, wanted, masks)
    kept = {name: values[name] for name in flows}
    R = start.relevance
    return Pass(plan, table, values[plan.output], z, flows, kept, R, seed, indices, accounts)


def _numbers(found: Pass, bk: Backend) -> Pass:
    """What was found, as NumPy arrays."""

    def read(x: Array) -> Any:
        return None if x is None else bk.read(x)

    flows = {k: Flow(read(f.relevance), read(f.multiplier)) for k, f in found.flows.items()}
    kept = {k: read(x) for k, x in found.kept.items()}
    output, explained, seed = map(read, (found.output, found.explained, found.seed))
    return found._replace(output=output, explained=explained, flows=flows, kept=kept, seed=seed)


def predict(
    model: Any,
    inputs: Inputs,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | Backend | None = None,
    dtype: Any = None,
    scaled: Mapping[str, AnyArray] | None = None,
) -> Prediction:
    """The forward pass alone, as `attribute` computes it; arguments and errors as there.

    Parameters
    ----------
    scaled : dict of str to array, optional
        By value (a node's output), what it is multiplied by on the way: zeros silence it.
    """
    asked = Request(
        as_model(model, inputs), inputs, "argmax", output, bind, "logit", "auto", None, False, (),
        scaled or {},
    )  # fmt: skip
    return _usually(backend, dtype, lambda name, _: _predicted(asked, name, dtype))


def _predicted(asked: Request, backend: str | Backend, dtype: Any) -> Prediction:
    bk, floats = get_backend(backend), floating_dtype(dtype)
    if isinstance(bk, OnnxBackend):
        return predicted(asked, bk, dtype)
    plan = asked.model.plan(asked.output, asked.bind)
    arrays = checked_arrays(plan, asked.inputs, floats)
    signals = {name: bk.signal(a) for name, a in arrays.items()}
    given = {**asked.model.constants(bk, floats), **signals}
    scaled = {k: m for k, m in asked.masks.items() if m is not None}
    values = evaluate(plan, given, bk, floats, scaled).values
    return Prediction(bk.read(values[plan.output]), bk.read(values[plan.explained]))


def _notes(plan: Plan, table: LayerTable, seed: str | None, auto: bool) -> tuple[str, ...]:
    notes = [f"composite {table.composite}" + (" (chosen for this kind of input)" if auto else "")]
    notes.append(f"seed {seed or 'by the function given'} at {plan.explained!r}")
    if plan.stripped:
        notes.append(f"the final {plan.stripped} is left out: what it reads is explained")
    return tuple(notes)
