"""The forward pass that an explanation goes back through, and the checks of what it reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend, get_backend
from dftlrp.core.maps import Array
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.programs import looking_only
from dftlrp.core.types import (
    AnyArray,
    InputError,
    NonFiniteError,
    Real,
    UnfitReferenceError,
    UnsupportedModelError,
)
from dftlrp.engine.auto import Choice, choose_composite
from dftlrp.engine.canonise import prepare_plan
from dftlrp.engine.composites import Composite, LayerTable, make_layer_table
from dftlrp.engine.difference import Reference, make_reference, refuse_vanishing
from dftlrp.engine.evaluate import (
    Run,
    Values,
    check_finite,
    evaluate,
    fit_factor,
    replace_non_finite,
    run_node,
)
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import Settings
from dftlrp.graph.structure import Value, find_dependents

Inputs = AnyArray | Mapping[str, AnyArray]
MOST_ROWS = 2**16  # of an output, if the inputs have not as many numbers
NOTHING: Mapping[str, Array] = MappingProxyType({})


class Prediction(NamedTuple):
    """What a forward pass gives: the model's own output, and what a final Softmax reads."""

    output: Real
    explained: Real


class Ready(NamedTuple):
    """A forward pass that relevance can go back through, and the backend that computed it."""

    plan: Plan
    values: Values
    table: LayerTable
    run: Run
    composite: Choice[Composite]
    backend: Backend
    reference: Reference | None = None

    def replace_masked(self, names: Collection[str]) -> Ready:
        """Return the same with further values that are made finite, should they not be so."""
        run = self.run
        more = {n: run.values[n] for n in sorted(names) if n in run.values.keys() - run.finite}
        return self._replace(run=run._replace(finite={**run.finite, **more}))


def run_forward(
    model: Model, inputs: Inputs, settings: Settings, given: Mapping[str, Array] = NOTHING
) -> Ready:
    """Run the model, recognise its layers and give each a rule.

    Parameters
    ----------
    given : dict of str to array
        Arrays of the backend that stand for inputs or weights of these names.

    Raises
    ------
    InputError, NonFiniteError, UnsupportedModelError
        As of `dftlrp.attribute`.
    """
    bk, floats, settings = get_backend(settings.backend), settings.floats, settings.with_rules()
    plan = model.plan(settings.output, settings.bind)
    arrays = {**gather_arrays(model, plan, inputs, bk, floats), **given}
    run = evaluate(plan, arrays, bk, floats, room=settings.room)
    values = {**run.values, **run.finite}
    seen: Values = values if bk.numbers else ReadValues(values, bk)
    there = None if settings.compared is None else _run_reference(settings, plan, arrays, run)
    chosen = choose_composite(settings, plan)
    plan = prepare_plan(
        plan,
        run._replace(values=seen),
        chosen.taken.find_treatment(there is not None),
        lambda n: run_node(plan, n, seen, NUMPY, floats),
        chosen.taken.fold,
    )
    _refuse_folded(plan, [name for name in given if name not in plan.signals])
    for known in filter(None, (values, there)):
        for node in (*plan.derived, *plan.nodes):  # what was merged, by the backend, too
            if node.output not in known:
                known[node.output] = run_node(plan, node, known, bk, floats)
    _refuse_rows(plan, values)
    table, reference = make_layer_table(plan, chosen.taken, settings.overrides), None
    if there is not None:
        if settings.by_default:
            refuse_vanishing(plan, there, bk)
        reference = make_reference(plan, there, bk)
    return Ready(plan, values, table, run, chosen, bk, reference)


def _refuse_rows(plan: Plan, values: Values) -> None:
    """Refuse an output with many more rows than the inputs have numbers.

    Each row has a target and an account of its own, so that a small file could ask for any memory.
    """
    z, numbers = values[plan.explained], sum(int(values[n].size) for n in plan.signals)
    if z.ndim > 1 and z.shape[0] > max(MOST_ROWS, numbers):
        raise UnsupportedModelError(
            f"{plan.explained!r} has {z.shape[0]} rows for an input of {numbers} numbers, and each "
            "row has a target of its own: choose another output (output=)"
        )


def _run_reference(settings: Settings, plan: Plan, arrays: Mapping[str, Array], run: Run) -> Values:
    """Return every value at the reference; stand-ins of non-finite ones as in the run at x.

    Raises
    ------
    InputError
        The reference is not of the input's shape.
    UnfitReferenceError
        A value at the reference is not finite, or other nodes run on it.
    """
    bk, floats = get_backend(settings.backend), settings.floats
    at = check_reference(plan, settings.compared or {}, arrays)
    signals = {name: bk.signal(a.astype(floats)) for name, a in at.items()}
    try:
        there = evaluate(plan, {**arrays, **signals}, bk, floats, room=settings.room)
    except (NonFiniteError, InputError) as error:  # at the input it runs
        told = f"at the reference {error}: choose another reference"
        raise UnfitReferenceError(told) from None
    if [n.key for n in there.nodes] != [n.key for n in run.nodes]:
        told = "at the reference other nodes run than at the input: choose another reference"
        raise UnfitReferenceError(told, always=False)
    values = {**there.values, **there.finite}
    for name in run.finite.keys() - there.finite.keys():
        values[name] = replace_non_finite(there.values[name])
    return values


def check_reference(
    plan: Plan, reference: Mapping[str, AnyArray], arrays: Mapping[str, Array]
) -> dict[str, AnyArray]:
    """Return the reference by signal, in the shapes of the inputs.

    Raises
    ------
    InputError
        A name is unknown, a shape does not broadcast to the input's, or a number is not real.
    NonFiniteError
        A number is not finite.
    """
    if unknown := sorted(reference.keys() ^ plan.signals.keys()):
        raise InputError(
            f"the reference has {sorted(reference)}, the model reads {sorted(plan.signals)}: "
            f"{unknown[0]!r} is in one of them only"
        )
    found = dict[str, AnyArray]()
    for name, given in reference.items():
        array, shape = np.asarray(given), arrays[name].shape
        if not plan.signals[name].is_float:
            told = f"input {name!r} holds whole numbers, between which nothing lies"
            raise InputError(f"{told}: bind it if it is a setting (bind=), or take no reference")
        if array.dtype.kind not in "fiub":
            raise InputError(f"the reference of {name!r} is of type {array.dtype}: give numbers")
        try:
            found[name] = np.broadcast_to(array, shape).astype(np.float64)
        except ValueError:
            raise InputError(
                f"the reference of {name!r} has shape {array.shape}, the input {tuple(shape)}: "
                "they must be aligned"
            ) from None
        check_finite(found[name], f"the reference of {name!r}")
    return found


def gather_arrays(
    model: Model, plan: Plan, inputs: Inputs, bk: Backend, floats: np.dtype[Any]
) -> dict[str, Array]:
    """Return the weights and the signals as arrays of a backend."""
    arrays = check_inputs(plan, inputs, floats)
    signals = {name: bk.signal(array) for name, array in arrays.items()}
    return {**model.constants(bk, floats), **signals}


class ReadValues(dict[str, Array]):
    """A copy of values whose numbers are read from the backend when they are looked up."""

    def __init__(self, values: Values, bk: Backend) -> None:
        super().__init__(values)
        self.bk = bk

    def __getitem__(self, name: str) -> AnyArray:
        with looking_only():  # layers are recognised, which are the model's for any numbers
            return self.bk.read(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        return self[name] if name in self else default  # noqa: SIM401


def predict_values(
    model: Model, inputs: Inputs, settings: Settings, scaled: Mapping[str, AnyArray] = NOTHING
) -> Prediction:
    """Return the output of the forward pass alone.

    Parameters
    ----------
    scaled : dict of str to array
        By value, what it is multiplied by on the way; with a reference, what its change from that
        is multiplied by.
    """
    bk, floats = get_backend(settings.backend), settings.floats
    plan = model.plan(settings.output, settings.bind)
    given = gather_arrays(model, plan, inputs, bk, floats)
    there: Values = {}
    if scaled and settings.compared is not None:
        at = check_reference(plan, settings.compared, given)
        signals = {name: bk.signal(a.astype(floats)) for name, a in at.items()}
        there = evaluate(plan, {**given, **signals}, bk, floats).values
    changed = {name: partial(_scale_value, name, a, there.get(name)) for name, a in scaled.items()}
    values = evaluate(plan, given, bk, floats, changed).values
    return Prediction(bk.read(values[plan.output]), bk.read(values[plan.explained]))


def _scale_value(name: str, factor: AnyArray, there: Array | None, value: Array) -> Array:
    """Return a value times a factor, or with its change from the reference times the factor."""
    fitting = fit_factor(factor, value, name)
    return value * fitting if there is None else (value - there) * fitting + there


def _refuse_folded(plan: Plan, weights: Collection[str]) -> None:
    """Refuse numbers that are made of weights that are given, since they have lost these."""
    for name in weights:
        made_of = find_dependents(plan.derived, [name])
        for node in plan.derived:
            if node.op == "Constant" and node.output in made_of:
                raise UnsupportedModelError(
                    f"{node.output!r} is folded from {name!r}: its relevance cannot be "
                    "differentiated with respect to that"
                )


def check_inputs(plan: Plan, inputs: Inputs, dtype: np.dtype[Any]) -> dict[str, AnyArray]:
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
    if value.dtype.startswith("complex"):
        raise InputError(f"input {name!r} is declared as {value.dtype}: only real ones are read")
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
