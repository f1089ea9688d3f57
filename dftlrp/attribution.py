"""`attribute`: relevance of plain arrays in batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dftlrp.backend import Backend, get_backend
from dftlrp.composites import Composite, LayerTable
from dftlrp.forward import (
    Inputs,
    Pass,
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
from dftlrp.graph.evaluate import evaluate
from dftlrp.graph.plan import Plan
from dftlrp.ledger import Ledger
from dftlrp.model import Model
from dftlrp.onnx_backend import OnnxBackend
from dftlrp.onnx_run import in_graph
from dftlrp.propagate import Flow, propagate
from dftlrp.rules import Rule
from dftlrp.seeds import Index, Target, make_seed, target_indices
from dftlrp.types import AnyArray, Real, UnsupportedModelError

FAST, REFERENCE = "onnx", "numpy"


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
    model: Model,
    inputs: Inputs,
    *,
    target: Target = "argmax",
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    backend: str | None = None,
    dtype: Any = None,
    ledger: bool = True,
    keep: Collection[str] = (),
    masks: Mapping[str, AnyArray | None] | None = None,
) -> Attribution:
    """Relevance of the inputs for a target.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
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
        ``"logit"``, ``"contrast"``, ``"contrast:CLASS"`` or ``"one"``; see `dftlrp.seeds`.
        ``"auto"``: contrast for a classifier, the logit otherwise.
    composite : str or Composite
        A preset; ``"auto"``: EpsilonPlus where all of the inputs given are >= 0, else
        EpsilonAlpha2Beta1.
    overrides : dict, optional
        Rules by layer; see `dftlrp.composites.layer_table`.
    backend : str, optional
        ``"onnx"`` (``"onnx:PROVIDER:THREADS"``): one graph, run by onnxruntime in float32, traced
        at the first call for inputs of these shapes.  ``"numpy"``: the reference in float64.  If
        not given: onnx, or numpy for a model that cannot be traced (a note says why).
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
        model, inputs, target, output, bind, seed, composite, overrides, ledger, keep, masks or {}
    )  # fmt: skip
    found, name, why = _answered(asked, backend, dtype)
    plan, table, wanted = found.plan, found.table, values_of(found.plan, found.table, keep)
    kept = {wanted.get(k, k): (found.kept[k], f.relevance) for k, f in found.flows.items()}
    flows = {k: found.flows[k] for k in plan.signals}
    named = isinstance(inputs, Mapping)
    only = next(iter(flows.values()))
    return Attribution(
        relevance={k: f.relevance for k, f in flows.items()} if named else only.relevance,
        multiplier={k: f.multiplier for k, f in flows.items()} if named else only.multiplier,
        output=found.output,
        explained=found.explained,
        seed=found.seed,
        seed_kind="a function of the output" if callable(target) else found.kind,
        target=None if found.target is None else tuple(found.target),
        ledger=found.ledger,
        table=table,
        notes=(
            *_notes(plan, table, None if callable(target) else found.kind, composite == "auto"),
            *why,
        ),
        backend=name,
        kept=kept,
    )


def _answered(asked: Request, backend: str | None, dtype: Any) -> tuple[Pass, str, tuple[str, ...]]:
    """The answer, the backend that gave it, and why, where that is not the usual one.

    Unless a backend or float64 is asked for it is onnx, or numpy where there is no such graph.
    """
    if backend is not None or (dtype is not None and floating_dtype(dtype) != np.float32):
        return _by(backend or REFERENCE, asked, dtype), backend or REFERENCE, ()
    try:
        return _by(FAST, asked, dtype), FAST, ()
    except UnsupportedModelError as error:
        found = _by(REFERENCE, asked, dtype)
        reason = str(error).removesuffix(f": use backend='{REFERENCE}'")
        return found, REFERENCE, (f"computed by backend {REFERENCE}: {reason}",)


def _by(backend: str, asked: Request, dtype: Any) -> Pass:
    bk, floats = get_backend(backend), floating_dtype(dtype)
    if isinstance(bk, OnnxBackend):
        return in_graph(asked, bk, dtype)
    return _computed(asked, bk, floats)


def _computed(asked: Request, bk: Backend, floats: np.dtype[Any]) -> Pass:
    """The explanation by a backend that computes at once."""
    plan = asked.model.plan(asked.output, asked.bind)
    ready = run_through(
        plan, asked.model, asked.inputs, asked.composite, asked.overrides, bk, floats
    )
    return sent_back(asked, ready, bk)


def sent_back(asked: Request, ready: Ready, bk: Backend) -> Pass:
    """The way back from a forward pass, which may serve several requests."""
    (plan, values, table, _), model = ready, asked.model
    target, seed = asked.target, asked.seed
    wanted = values_of(plan, table, asked.keep)
    masks = masks_of(plan, table, asked.masks, values)
    z = values[plan.explained]
    if seed == "auto":
        seed = auto_seed(plan, z)
    rows = z if callable(target) else with_batch(z, plan)
    indices = None if callable(target) else target_indices(target, rows, model.labels)
    start = make_seed(indices or target, seed, rows, model.labels)
    start = Flow(start.relevance.reshape(z.shape), start.multiplier.reshape(z.shape))
    flows, accounts = propagate(plan, values, start, table.rules(), bk, asked.ledger, wanted, masks)
    kept = {name: values[name] for name in flows}
    R = start.relevance
    return Pass(plan, table, values[plan.output], z, flows, kept, R, seed, indices, accounts)


def predict(
    model: Model,
    inputs: Inputs,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | None = None,
    dtype: Any = None,
) -> Real:
    """The model's own output, as `attribute` computes it; arguments and errors as there."""
    bk, floats = get_backend(backend), floating_dtype(dtype)
    plan = model.plan(output, bind)
    given = model.constants(bk, floats) | checked_arrays(plan, inputs, floats)
    return np.asarray(evaluate(plan, given, bk, floats).values[plan.output])


def _notes(plan: Plan, table: LayerTable, seed: str | None, auto: bool) -> tuple[str, ...]:
    notes = [f"composite {table.composite}" + (" (chosen for this kind of input)" if auto else "")]
    notes.append(f"seed {seed or 'by the function given'} at {plan.explained!r}")
    if plan.stripped:
        notes.append(f"the final {plan.stripped} is left out: what it reads is explained")
    return tuple(notes)
