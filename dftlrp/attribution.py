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
    auto_seed,
    checked_arrays,
    floating_dtype,
    kept_values,
    run_through,
    with_batch,
)
from dftlrp.graph.evaluate import evaluate
from dftlrp.graph.plan import Plan
from dftlrp.ledger import Ledger
from dftlrp.linear import Array
from dftlrp.model import Model
from dftlrp.onnx_backend import OnnxBackend
from dftlrp.onnx_run import in_graph
from dftlrp.propagate import Flow, propagate
from dftlrp.rules import Rule
from dftlrp.seeds import Index, Target, seeded, started, target_indices
from dftlrp.types import Real


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
    backend: str | Backend | None = None,
    dtype: Any = None,
    ledger: bool = True,
    keep: Collection[str] = (),
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
    backend : str or Backend, optional
        ``"numpy"`` if not given; ``"onnx"`` (``"onnx:PROVIDER:THREADS"``): one graph, run by
        onnxruntime in float32, traced at the first call for inputs of these shapes; ``"torch"``
        (``"torch:DEVICE"``): on torch tensors.
    dtype : dtype, optional
        What is computed in; float64 if not given.
    ledger : bool
        Whether to keep the accounts.
    keep : collection of str
        Names of values inside the model (layers, as in the table) whose relevance is wanted, too.

    Raises
    ------
    InputError
        Wrong names, shapes, targets, presets or rules.
    NonFiniteError
        NaN or Inf in the input or in a layer; names it.
    """
    bk, floats = get_backend(backend), floating_dtype(dtype)
    question = (model, inputs, target, output, bind, seed, composite, overrides, ledger, keep)
    if isinstance(bk, OnnxBackend):
        found = in_graph(*question, bk, dtype)
    else:
        found = _numbers(computed(*question, bk, floats), bk)
    plan, table, wanted = found.plan, found.table, kept_values(found.plan, found.table, keep)
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
        notes=_notes(plan, table, None if callable(target) else found.kind, composite == "auto"),
        kept=kept,
    )


def computed(
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
    bk: Backend,
    floats: np.dtype[Any],
    given: Mapping[str, Array] | None = None,
) -> Pass:
    """The explanation by a backend that computes at once, in its own arrays.

    Arguments as of `attribute`; ``given`` as of `dftlrp.forward.run_through`.
    """
    plan, values, table, _ = run_through(
        model.plan(output, bind), model, inputs, composite, overrides, bk, floats, given
    )
    wanted = kept_values(plan, table, keep)
    z = values[plan.explained]
    rows = bk.read(z)
    if seed == "auto":
        seed = auto_seed(plan, z)
    rows = rows if callable(target) else with_batch(rows, plan)
    indices = None if callable(target) else target_indices(target, rows, model.labels)
    c, scaled = seeded(indices or target, seed, rows, model.labels)
    start = started(bk, bk.asarray(c.reshape(z.shape)), z, scaled)
    flows, accounts = propagate(plan, values, start, table.rules(), bk, ledger, wanted)
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
    model: Model,
    inputs: Inputs,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | Backend | None = None,
    dtype: Any = None,
) -> Real:
    """The model's own output, as `attribute` computes it; arguments and errors as there."""
    bk, floats = get_backend(backend), floating_dtype(dtype)
    plan = model.plan(output, bind)
    arrays = checked_arrays(plan, inputs, floats)
    given = model.constants(bk, floats) | {name: bk.signal(a) for name, a in arrays.items()}
    return bk.read(evaluate(plan, given, bk, floats).values[plan.output])


def _notes(plan: Plan, table: LayerTable, seed: str | None, auto: bool) -> tuple[str, ...]:
    notes = [f"composite {table.composite}" + (" (chosen for this kind of input)" if auto else "")]
    notes.append(f"seed {seed or 'by the function given'} at {plan.explained!r}")
    if plan.stripped:
        notes.append(f"the final {plan.stripped} is left out: what it reads is explained")
    return tuple(notes)
