"""`attribute`: relevance of plain arrays in batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dftlrp.backend import Backend, get_backend
from dftlrp.composites import Composite, LayerTable, composite_named, layer_table
from dftlrp.graph.canonise import prepared
from dftlrp.graph.evaluate import Values, check_finite, evaluate, run_node
from dftlrp.graph.graph import Value
from dftlrp.graph.plan import Plan, is_float
from dftlrp.ledger import Ledger
from dftlrp.model import Model
from dftlrp.propagate import Flow, propagate
from dftlrp.rules import Rule, rule
from dftlrp.seeds import Index, Target, make_seed, target_indices
from dftlrp.types import AnyArray, InputError, Real

Inputs = AnyArray | Mapping[str, AnyArray]


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
    backend: str | None = None,
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
    backend : str, optional
        ``"numpy"`` if not given.
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
    bk, floats = get_backend(backend), _floating(dtype)
    plan, values, table = run_through(
        model.plan(output, bind), model, inputs, composite, overrides, bk, floats
    )
    wanted = _values_of(plan, table, keep)
    z = values[plan.explained]
    if seed == "auto":
        seed = auto_seed(plan, z)
    rows = z if callable(target) else _batch(z, plan)
    indices = None if callable(target) else target_indices(target, rows, model.labels)
    start = make_seed(indices or target, seed, rows, model.labels)
    start = Flow(start.relevance.reshape(z.shape), start.multiplier.reshape(z.shape))
    flows, accounts = propagate(plan, values, start, table.rules(), bk, ledger, wanted)
    kept = {wanted.get(k, k): (values[k], f.relevance) for k, f in flows.items()}
    flows = {k: flows[k] for k in plan.signals}
    named = isinstance(inputs, Mapping)
    only = next(iter(flows.values()))
    return Attribution(
        relevance={k: f.relevance for k, f in flows.items()} if named else only.relevance,
        multiplier={k: f.multiplier for k, f in flows.items()} if named else only.multiplier,
        output=values[plan.output],
        explained=z,
        seed=start.relevance,
        seed_kind="a function of the output" if callable(target) else seed,
        target=None if indices is None else tuple(indices),
        ledger=accounts,
        table=table,
        notes=_notes(plan, table, None if callable(target) else seed, composite == "auto"),
        kept=kept,
    )


class Ready(NamedTuple):
    """A forward pass that relevance can go back through."""

    plan: Plan
    values: Values
    table: LayerTable


def run_through(
    plan: Plan,
    model: Model,
    inputs: Inputs,
    composite: str | Composite,
    overrides: Mapping[str, str | Rule] | None,
    bk: Backend,
    floats: np.dtype[Any],
) -> Ready:
    """Run the model, recognise its layers and give each a rule; arguments as of `attribute`."""
    arrays = _arrays(plan, inputs, floats)
    chosen = None if composite == "auto" else composite_named(composite)
    overrides = {key: rule(to) for key, to in (overrides or {}).items()}
    run = evaluate(plan, model.constants(bk, floats) | arrays, bk, floats)
    values = run.values
    chosen = chosen or composite_named(auto_composite(plan, values))
    plan = prepared(
        plan,
        run,
        chosen.treatment,
        lambda n: run_node(plan, n, values, bk, floats),
        chosen.fold,
    )
    return Ready(plan, values, layer_table(plan, chosen, overrides))


def _values_of(plan: Plan, table: LayerTable, keep: Collection[str]) -> dict[str, str]:
    """The value that each layer asked for makes, and the name it was asked by."""
    known = {value: value for value in (plan.explained, *plan.signals)}
    last = {n.layer: n.output for n in plan.path}
    for la in table.layers:
        known |= dict.fromkeys((la.alias, *la.names, la.key), last[la.key])
    if unknown := sorted(set(keep) - known.keys()):
        raise InputError(f"keep {unknown[0]!r}: no layer of that name carries relevance")
    return {known[name]: name for name in keep}


def auto_seed(plan: Plan, z: Real) -> str:
    """``contrast`` for a classifier (one axis of classes, no Sigmoid), else ``logit``.

    An axis of open length holds frames, not classes.
    """
    dims = plan.graph.outputs[plan.output].dims
    known = dims is not None and dims[-1:] != (None,)
    one_axis = known and len([n for n in z.shape[1:] if n != 1]) == 1 and z.shape[-1] > 1
    return "contrast" if one_axis and plan.stripped != "Sigmoid" else "logit"


def _floating(dtype: Any) -> np.dtype[Any]:
    """The dtype to compute in."""
    try:
        taken = np.dtype(dtype or np.float64)
    except TypeError:
        taken = np.dtype(object)
    if taken.kind != "f":
        raise InputError(f"dtype {dtype!r}: it must be a floating one, as 'float64' or 'float32'")
    return taken


def _batch(z: Real, plan: Plan) -> Real:
    """z with a batch axis, which a number and what a model of vectors gives do not have."""
    if z.ndim == 0:
        return z.reshape(1, 1)
    return z[None] if all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values()) else z


def auto_composite(plan: Plan, values: Mapping[str, AnyArray]) -> str:
    """EpsilonPlus where the model (behind its front end) reads features >= 0, else Alpha2Beta1."""
    reads = [values[name] for name in ([plan.graph.reads] if plan.graph.reads else plan.signals)]
    features = all(a.min(initial=0) >= 0 and a.any() for a in reads)
    return "EpsilonPlus" if features else "EpsilonAlpha2Beta1"


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
    bk, floats = get_backend(backend), _floating(dtype)
    plan = model.plan(output, bind)
    given = model.constants(bk, floats) | _arrays(plan, inputs, floats)
    return np.asarray(evaluate(plan, given, bk, floats).values[plan.output])


def _arrays(plan: Plan, inputs: Inputs, dtype: np.dtype[Any]) -> dict[str, AnyArray]:
    """The signals by name, checked against the model's declared shapes."""
    if not isinstance(inputs, Mapping):
        if len(plan.signals) != 1:
            raise InputError(f"the model reads {list(plan.signals)}: give a dict by input name")
        inputs = {next(iter(plan.signals)): inputs}
    if set(inputs) != set(plan.signals):
        raise InputError(
            f"inputs {sorted(inputs)} given, but the model reads {sorted(plan.signals)}"
        )
    return {name: _array(name, inputs[name], value, dtype) for name, value in plan.signals.items()}


def _array(name: str, array: Any, value: Value, dtype: np.dtype[Any]) -> AnyArray:
    given = np.asarray(array)
    if given.dtype.kind not in "fiub":
        raise InputError(f"input {name!r} is of type {given.dtype}: real numbers are needed")
    fits = value.dims is None or (
        len(value.dims) == given.ndim
        and all(d in (None, n) for d, n in zip(value.dims, given.shape, strict=True))
    )
    if not fits:
        dims = ", ".join("any" if d is None else str(d) for d in value.dims or ())
        raise InputError(f"input {name!r} has shape {given.shape}, the model reads ({dims})")
    if given.size == 0:
        raise InputError(f"input {name!r} is empty (shape {given.shape})")
    result = given.astype(dtype if is_float(value) else value.dtype)
    if not is_float(value) and (result != given).any():
        raise InputError(f"input {name!r} is of type {given.dtype}: {value.dtype} is needed")
    check_finite(result, f"input {name!r}")
    return result


def _notes(plan: Plan, table: LayerTable, seed: str | None, auto: bool) -> tuple[str, ...]:
    notes = [f"composite {table.composite}" + (" (chosen for this kind of input)" if auto else "")]
    notes.append(f"seed {seed or 'by the function given'} at {plan.explained!r}")
    if plan.stripped:
        notes.append(f"the final {plan.stripped} is left out: what it reads is explained")
    return tuple(notes)
