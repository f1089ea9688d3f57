"""From a torch module to a model, exported in memory; torch is imported when a module is given.

A graph is taken only if it gives what the module's own call gives: at the example, at other numbers
and at another batch size.  What both of torch's exporters write otherwise is refused, and so is a
module whose output depends on earlier calls or on chance.  The module is left as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dftlrp.core.identity import allow_deviation, find_difference
from dftlrp.core.types import DftlrpError, InputError, ModelError
from dftlrp.engine.model import Model, from_bytes
from dftlrp.frameworks.exported import Call, find_export_error, refuse_export, silence

from .calling import (
    Tensors,
    arguments,
    as_arrays,
    change_batch,
    change_values,
    run,
)
from .exporters import EXPORTERS, Task, lacks_op
from .module_state import DRAWN, ModuleState

if TYPE_CHECKING:
    from torch.nn import Module

EXAMPLE, NUMBERS, BATCH = "the example", "other numbers", "another batch size"  # the calls made
TAKES_NUMBERS = frozenset({
    "__bool__", "__int__", "__float__", "__index__", "__complex__", "__array__", "item", "tolist",
    "numpy",
})  # fmt: skip
ADVICE = (
    "write it in operations that one of them exports, or export it yourself and give the ONNX file "
    "(`dftlrp check` compares it with the module)"
)


def load(module: Module, example_inputs: Any) -> Model:
    """Load a module as a model; its layers and weights carry the module's names.

    Nothing is written to disk.  The weights are those of now: load again after a training step.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.  It is left as it was, with whatever it keeps on itself.
    example_inputs : tensor or array, or tuple or dict (by argument of ``forward``) of these
        What it reads, batch first.  The model has this shape, with any batch size where the module
        works on any.

    Returns
    -------
    Model
        As of `dftlrp.load`, which takes a module with ``example=``, too.

    Raises
    ------
    InputError
        No inputs to run it with; it does not run on them; a part is in training mode.
    ModelError
        The module decides by numbers of its signals what it does; its output depends on earlier
        calls or on random numbers; no exporter of torch writes a graph that computes what it does;
        also all of `dftlrp.load`.

    See Also
    --------
    dftlrp.check : Compares an exported file with its module.
    dftlrp_torch.relevance : Relevance that torch differentiates.

    Examples
    --------
    >>> import torch
    >>> from torch.nn import Conv1d, Flatten, Linear, ReLU, Sequential
    >>> module = Sequential(Conv1d(1, 2, 9), ReLU(), Flatten(), Linear(184, 3)).eval()
    >>> model = dftlrp_torch.load(module, torch.zeros(1, 1, 100))
    >>> dftlrp.attribute(model, np.ones((2, 1, 100)), target=1).relevance.shape
    (2, 1, 100)
    """
    module = getattr(module, "_orig_mod", module)  # behind torch.compile
    refuse_scripts(module)
    refuse_training(module)
    inputs = arguments(module, example_inputs)
    state = ModuleState(module)
    try:
        calls = _call_own(module, inputs, state)
        state.restore()
        _refuse_decisions(module, inputs)
        with silence():
            return _export(module, calls, state)
    finally:
        state.restore()


def from_example(module: Module, *, example: Any = None) -> Model:
    """Load a module as `dftlrp.load` asks for it."""
    if example is None:
        raise InputError(
            f"{type(module).__name__} does not say what it reads: give an example, batch first: "
            "dftlrp.load(module, example=x)"
        )
    return load(module, example)


def refuse_training(module: Module) -> None:
    """Refuse a module a part of which is in training mode: batch and chance would decide."""
    if training := [path for path, part in module.named_modules() if part.training]:
        where = f", its part {training[0]!r}" if training[0] else ""
        raise InputError(
            f"{type(module).__name__}{where} is in training mode: call module.eval() first"
        )


def refuse_scripts(module: Module) -> None:
    """Refuse a module that torch.jit made: its parts can be neither called nor exported by name."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        name = getattr(module, "original_name", "The module")
        raise InputError(f"{name} is a module of torch.jit: give the module that it was made from")


# -- the module's own calls


class OwnCall(NamedTuple):
    """A call of the module: what it reads, and that and what it gives as arrays."""

    inputs: Tensors
    call: Call


Calls = dict[str, OwnCall]


def _call_own(module: Module, inputs: Tensors, state: ModuleState) -> Calls:
    """Return calls at the example, at other numbers, and with one sample more.

    The last two are left out where the module does not run on them.

    Raises
    ------
    InputError
        The module does not run on the example.
    ModelError
        Its output depends on earlier calls or on random numbers.
    """
    first = _call_once(module, inputs)
    changes = state.find_changes()
    _compare_calls(module, first, _call_once(module, inputs), changes)
    calls, other = {EXAMPLE: first}, change_values(inputs)
    late = _try_call(module, other) if changes else None
    for name, given in ((NUMBERS, other), (BATCH, change_batch(inputs))):
        state.restore()
        if (made := _try_call(module, given)) is not None:
            calls[name] = made
    if late is not None and NUMBERS in calls:
        _compare_calls(module, calls[NUMBERS], late, changes)
    return calls


def _try_call(module: Module, inputs: Tensors) -> OwnCall | None:
    """Call a module on inputs that it need not be made for."""
    try:
        return _call_once(module, inputs)
    except InputError:
        return None


def _call_once(module: Module, inputs: Tensors) -> OwnCall:
    outputs, parts = run(module, inputs)
    if lost := [k for k, t in outputs.items() if t.is_complex()]:
        raise ModelError(
            f"{type(module).__name__}: its output {lost[0]!r} is complex: give its magnitude, its "
            "real part or torch.view_as_real of it"
        )
    floating = [t.dtype for t in outputs.values() if t.dtype.is_floating_point]
    coarsest = str(min(floating, key=lambda d: d.itemsize)) if floating else "torch.float32"
    given, made, within = (as_arrays(t) for t in (inputs, outputs, parts))
    return OwnCall(inputs, Call(given, made, within, coarsest.removeprefix("torch.")))


def _compare_calls(module: Module, first: OwnCall, again: OwnCall, changes: list[str]) -> None:
    """Refuse a module that gives something else when it is called again on the same inputs.

    Where the first call changed something, the two must be equal to the last bit.
    """
    (_, one), (_, two) = first, again
    allowed = 0.0 if changes else allow_deviation(one.dtype)
    if find_difference(two.outputs, one.outputs, allowed) is None:
        return
    part = find_difference(two.parts, one.parts, allowed)
    where = f" in its part {part.name!r}" if part else ""
    kept = [repr(path) for path in changes if path != DRAWN]
    if DRAWN in changes:
        told = f"draws random numbers{where}: switch that off"
    elif kept:
        told = (
            f"keeps {', '.join(kept[:8])} from call to call, and its output depends on that: reset "
            "it at the start of forward, or make it an input of forward"
        )
    else:
        told = f"gives something else at each call{where}: make it depend on its inputs alone"
    raise ModelError(f"{type(module).__name__} {told}, for one graph explains one function")


def _refuse_decisions(module: Module, inputs: Tensors) -> None:
    """Run it and refuse numbers of a signal that become Python's: a graph has but one way.

    Shapes are Python's own numbers here, so what is decided by them is not meant.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.weak import WeakIdKeyDictionary

    moving = WeakIdKeyDictionary(dict.fromkeys(inputs.values(), True))

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
            depends = any(t in moving for t in given)
            if depends and func.__name__ in TAKES_NUMBERS:
                raise ModelError(
                    f"{type(module).__name__}: what it does depends on numbers of the signal "
                    f"(Tensor.{func.__name__}), so no one graph explains it"
                )
            made = func(*args, **(kwargs or {}))
            if depends:
                moving.update((t, True) for t in tree_leaves(made) if isinstance(t, torch.Tensor))
            return made

    with torch.no_grad(), Watch():
        module(**inputs)


# -- the export


class WrongGraphError(Exception):
    """An exported graph gives something else than the module at one of its calls, or nothing."""

    def __init__(self, call: str, told: str) -> None:
        super().__init__(f"at {call} its graph {told}")
        self.call = call


def _export(module: Module, calls: Calls, state: ModuleState) -> Model:
    """Return the first graph that computes what the module does; of any batch size if one does.

    Raises
    ------
    ModelError
        There is none; the message holds what each exporter said.
    """
    errors, names = dict[str, Exception](), list(EXPORTERS)
    without = {k: c for k, c in calls.items() if k != BATCH}
    for checked in (calls, without) if BATCH in calls else (calls,):
        for name in names:
            state.restore()
            try:
                return _export_once(module, name, checked)
            except Exception as error:  # exporters raise what they like
                errors[name] = error
        names = [name for name, error in errors.items() if _may_need_batch(error)]
    raise refuse_export(type(module).__name__, errors, ADVICE)


def _may_need_batch(error: Exception) -> bool:
    """Whether an export may succeed for the example's batch size alone."""
    if isinstance(error, WrongGraphError):
        return error.call == BATCH
    return not lacks_op(error)


def _export_once(module: Module, exporter: str, calls: Calls) -> Model:
    """Return the graph of one exporter, compared with the module's own calls."""
    own = calls[EXAMPLE].call
    examples = [c.inputs for k, c in calls.items() if k in {EXAMPLE, BATCH}]
    proto, names = EXPORTERS[exporter](Task(module, examples, list(own.outputs), list(own.parts)))
    data = proto.SerializeToString()
    model = from_bytes(data, type(module).__name__)
    nodes = (replace(n, names=names.get(n.output, ())) for n in model.graph.nodes)
    model = replace(model, graph=replace(model.graph, nodes=tuple(nodes)))
    for key, (_, call) in calls.items():
        try:
            found = find_export_error(data, model, call, by_engine=key == EXAMPLE)
        except DftlrpError as error:
            raise WrongGraphError(key, f"does not run: {error}") from error
        if found is not None:
            raise WrongGraphError(key, f"is {found}")
    return model
