"""The forward pass that an explanation goes back through, and the checks of what it reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.ledger import Ledger
from dftlrp.core.maps import Array
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.rules import Rule, rule
from dftlrp.core.types import AnyArray, InputError, Real, UnsupportedModelError
from dftlrp.engine.canonise import prepared
from dftlrp.engine.composites import Composite, LayerTable, composite_named, layer_table
from dftlrp.engine.evaluate import Run, Values, check_finite, evaluate, fitting, run_node
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Flow
from dftlrp.engine.seeds import Index, Target
from dftlrp.graph.structure import Node, Value

Inputs = AnyArray | Mapping[str, AnyArray]


class Request(NamedTuple):
    """What is asked for: the arguments of `dftlrp.attribute`, but for what computes it."""

    model: Model
    inputs: Inputs
    target: Target
    output: str | None
    bind: Mapping[str, Any] | None
    seed: str
    composite: str | Composite
    overrides: Mapping[str, str | Rule] | None
    ledger: bool
    keep: Collection[str]
    masks: Mapping[str, AnyArray | None]


class Prediction(NamedTuple):
    """What a forward pass gives: the model's own output, and what a final Softmax reads."""

    output: Real
    explained: Real


class Ready(NamedTuple):
    """A forward pass that relevance can go back through."""

    plan: Plan
    values: Values
    table: LayerTable
    run: Run


def run_through(
    plan: Plan,
    model: Model,
    inputs: Inputs,
    composite: str | Composite,
    overrides: Mapping[str, str | Rule] | None,
    bk: Backend,
    floats: np.dtype[Any],
    given: Mapping[str, Array] | None = None,
) -> Ready:
    """Run the model, recognise its layers and give each a rule; arguments as of `attribute`.

    ``given`` are arrays of the backend that stand for inputs or weights of these names.
    """
    arrays = checked_arrays(plan, inputs, floats)
    signals = {name: bk.signal(array) for name, array in arrays.items()}
    chosen = None if composite == "auto" else composite_named(composite)
    overrides = {key: rule(to) for key, to in (overrides or {}).items()}
    run = evaluate(plan, {**model.constants(bk, floats), **signals, **(given or {})}, bk, floats)
    values = run.values
    seen: Values = values if bk.numbers else Seen(values, bk)
    chosen = chosen or composite_named(auto_composite(plan, seen))
    plan = prepared(
        plan,
        run._replace(values=seen),
        chosen.treatment,
        lambda n: run_node(plan, n, seen, NUMPY, floats),
        chosen.fold,
    )
    for node in (*plan.derived, *plan.nodes):  # what was merged, by the backend, too
        if node.output not in values:
            _refuse_folded(node, values, given or {})
            values[node.output] = run_node(plan, node, values, bk, floats)
    return Ready(plan, values, layer_table(plan, chosen, overrides), run)


class Seen(dict[str, Array]):
    """Values whose numbers are read out when they are looked at; new ones do not change them."""

    def __init__(self, values: Values, bk: Backend) -> None:
        super().__init__(values)
        self.bk = bk

    def __getitem__(self, name: str) -> AnyArray:
        return self.bk.read(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's."""
        return self[name] if name in self else default  # noqa: SIM401


def _refuse_folded(node: Node, values: Values, given: Mapping[str, Array]) -> None:
    """A number made of weights that are given has lost what they are."""
    if lost := [name for name in node.captures if name in given]:
        raise UnsupportedModelError(
            f"{node.output!r} is folded from {lost[0]!r}: its relevance cannot be differentiated "
            "with respect to that"
        )


def auto_composite(plan: Plan, values: Mapping[str, AnyArray]) -> str:
    """EpsilonPlus where the model (behind its front end) reads features >= 0, else Alpha2Beta1."""
    reads = [values[name] for name in ([plan.graph.reads] if plan.graph.reads else plan.signals)]
    features = all(a.min(initial=0) >= 0 and a.any() for a in reads)
    return "EpsilonPlus" if features else "EpsilonAlpha2Beta1"


def floating_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype to compute in."""
    try:
        taken = np.dtype(dtype or np.float64)
    except TypeError:
        taken = np.dtype(object)
    if taken.kind != "f":
        raise InputError(f"dtype {dtype!r}: it must be a floating one, as 'float64' or 'float32'")
    return taken


def checked_arrays(plan: Plan, inputs: Inputs, dtype: np.dtype[Any]) -> dict[str, AnyArray]:
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
    result = given.astype(dtype if value.is_float else value.dtype)
    if not value.is_float and (result != given).any():
        raise InputError(f"input {name!r} is of type {given.dtype}: {value.dtype} is needed")
    check_finite(result, f"input {name!r}")
    return result


class Pass(NamedTuple):
    """What a backend gives of one question.

    Attributes
    ----------
    plan, table
        What was explained and by which rules.
    output, explained : array
        The model's own output, and the value that the seed stands at.
    flows : dict of str to Flow
        By signal, and by the values to keep.
    kept : dict of str to array
        Values of those.
    seed : array
        Relevance at ``explained``.
    kind : str
        How the seed was made.
    target : list of tuple, or None
        Index for each sample.
    ledger : Ledger
        Where the relevance of every node went.
    """

    plan: Plan
    table: LayerTable
    output: Real
    explained: Real
    flows: dict[str, Flow]
    kept: dict[str, Real]
    seed: Real
    kind: str
    target: list[Index] | None
    ledger: Ledger


def values_of(plan: Plan, table: LayerTable, layers: Collection[str]) -> dict[str, str]:
    """The value that each layer makes, and the name it was asked by.

    Raises
    ------
    InputError
        No layer of that name carries relevance; names those that are called alike.
    """
    known = {value: value for value in (plan.explained, *plan.signals)}
    last = {n.layer: n.output for n in plan.path}
    for la in table.layers:
        known |= dict.fromkeys((la.alias, *la.names, la.key, last[la.key]), last[la.key])
    if unknown := sorted(set(layers) - known.keys()):
        alike = get_close_matches(unknown[0], filter(None, known), cutoff=0) or list(known)
        raise InputError(
            f"no layer {unknown[0]!r} carries relevance: the nearest are {', '.join(alike)}"
        )
    return {known[name]: name for name in layers}


def masks_of(
    plan: Plan, table: LayerTable, masks: Mapping[str, AnyArray | None], values: Values
) -> dict[str, AnyArray | None]:
    """The masks by value, in the dtype that is computed in.

    Raises
    ------
    InputError
        An unknown layer; a mask that does not broadcast to its output.
    """
    return {
        value: None if masks[name] is None else fitting(masks[name], values[value], name)
        for value, name in values_of(plan, table, masks).items()
    }


def auto_seed(plan: Plan, z: Real) -> str:
    """``contrast`` for a classifier (one axis of classes, no Sigmoid), else ``logit``.

    An axis of open length holds frames, not classes.
    """
    dims = plan.graph.outputs[plan.output].dims
    known = dims is not None and dims[-1:] != (None,)
    one_axis = known and len([n for n in z.shape[1:] if n != 1]) == 1 and z.shape[-1] > 1
    return "contrast" if one_axis and plan.stripped != "Sigmoid" else "logit"


def with_batch(z: Real, plan: Plan) -> Real:
    """z with a batch axis, which a number and what a model of vectors gives do not have."""
    if z.ndim == 0:
        return z.reshape(1, 1)
    return z[None] if all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values()) else z
