"""From a torch module to a model, exported in memory; torch is imported when a module is given.

While the module is traced, a hook at each of its parts hands out the part's output under the part's
path (``named_modules()``).  So layers carry the module's own names, whatever the exporter calls
its values.
"""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from dftlrp.core.types import InputError, ModelError
from dftlrp.engine.model import Model, from_bytes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

OPSET = 18
PART = ":part"
NUMBERS = frozenset({
    "__bool__", "__int__", "__float__", "__index__", "__complex__", "__array__", "item", "tolist",
    "numpy",
})  # fmt: skip
T = TypeVar("T")
Tensors = dict[str, "Tensor"]


def load(module: Module, example_inputs: Any) -> Model:
    """A module as a model; its layers and weights carry the module's names.

    Nothing is written to disk.  The weights are those of now: load again after a training step.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example_inputs : tensor or array, or tuple or dict (by argument of ``forward``) of these
        What it reads, batch first.  The model has this shape, with any batch size.

    Raises
    ------
    InputError
        No inputs to run it with; it does not run on them; a part is in training mode.
    ModelError
        The module decides by numbers of its signals what it does, or holds an op that torch cannot
        export; also all of `dftlrp.load`.
    """
    refuse_training(module)
    inputs = arguments(module, example_inputs)
    proto, paths = _exported(module, inputs)
    names = _renamed(proto, paths)
    model = from_bytes(proto.SerializeToString(), type(module).__name__)
    nodes = (replace(n, names=names.get(n.output, ())) for n in model.graph.nodes)
    return replace(model, graph=replace(model.graph, nodes=tuple(nodes)))


def from_example(module: Module, *, example: Any = None) -> Model:
    """As `dftlrp.load` asks for it."""
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


def arguments(module: Module, example: Any) -> Tensors:
    """The inputs by the arguments of ``forward``, where the parameters are and in their dtype."""
    if not isinstance(example, Mapping):
        given = example if isinstance(example, tuple | list) else (example,)
        example = dict(zip(inspect.signature(module.forward).parameters, given, strict=False))
    return {name: _like(module, x) for name, x in example.items()}


def _like(module: Module, x: Any) -> Tensor:
    import torch

    weights = (p for p in module.parameters() if p.is_floating_point())
    own = next(weights, torch.zeros(()))
    t = x.detach() if isinstance(x, torch.Tensor) else torch.tensor(np.asarray(x))
    return t.to(own.device, own.dtype if t.is_floating_point() else t.dtype)


# -- running, with the outputs of all parts


def run(module: Module, inputs: Tensors) -> tuple[Tensors, Tensors]:
    """Outputs by name, and the first output of each part by its path; a second call is ``path:1``.

    Raises
    ------
    InputError
        It does not run on these inputs.
    """
    import torch

    with torch.no_grad(), tapped(module) as taken:
        _clearly(module, inputs, lambda: module(**inputs))
    return taken


def _clearly(module: Module, inputs: Tensors, call: Callable[[], T]) -> T:
    """What a module refuses, as one line of our own."""
    try:
        return call()
    except Exception as error:
        shapes = ", ".join(f"{k} {tuple(t.shape)}" for k, t in inputs.items())
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"{type(module).__name__} does not run on {shapes}: {line}") from error


@contextmanager
def tapped(module: Module) -> Iterator[tuple[Tensors, Tensors]]:
    """While it lasts a call of the module gives all of these one after the other.

    They are copies: what works in place behind a part does not change what it has handed out.
    """
    taken: tuple[Tensors, Tensors] = ({}, {})
    outputs, parts = taken

    def tap(path: str) -> Callable[..., None]:
        def hook(_: Module, __: Any, output: Any) -> None:
            for tensor in list(_flat(output).values())[:1]:
                count = sum(name.partition(":")[0] == path for name in parts)
                parts[f"{path}:{count}" if count else path] = tensor.clone()

        return hook

    def end(_: Module, __: Any, output: Any) -> tuple[Tensor, ...]:
        outputs.update(_flat(output))
        return (*outputs.values(), *parts.values())

    hooks = [part.register_forward_hook(tap(path)) for path, part in module.named_modules() if path]
    hooks.append(module.register_forward_hook(end))
    try:
        yield taken
    finally:
        for handle in hooks:
            handle.remove()


def _flat(output: Any, name: str = "output") -> Tensors:
    """The tensors within tuples, lists and dicts."""
    import torch

    if isinstance(output, Mapping):
        items = [(str(k), v) for k, v in output.items()]
    elif isinstance(output, tuple | list):
        items = [(f"{name}.{i}", v) for i, v in enumerate(output)]
    else:
        return {name: output} if isinstance(output, torch.Tensor) else {}
    return {k: t for key, v in items for k, t in _flat(v, key).items()}


# -- the export


def _exported(module: Module, inputs: Tensors) -> tuple[ModelProto, list[str]]:
    """The graph, and the paths that its last outputs belong to."""
    import torch

    outputs, parts = run(module, inputs)
    names = [*outputs, *(f"{i}{PART}" for i in range(len(parts)))]
    axes = {k: {0: "batch"} for k, t in inputs.items() if t.ndim}
    file = io.BytesIO()
    how: dict[str, Any] = {
        "f": file, "kwargs": inputs, "input_names": list(inputs), "output_names": names,
        "dynamic_axes": axes, "opset_version": OPSET, "dynamo": False, "verbose": False,
        # neither fold constants nor BatchNorm: weights keep their names
        "do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE,
    }  # fmt: skip
    _refuse_decisions(module, inputs)
    with warnings.catch_warnings(), tapped(module):
        warnings.simplefilter("ignore")  # of a tracer, which cannot tell shapes from numbers
        try:
            torch.onnx.export(module, **how)
        except Exception as error:
            line = " ".join(str(error).split())[:300]
            raise ModelError(f"{type(module).__name__}: torch cannot export it: {line}") from error
    return onnx.load_from_string(file.getvalue()), list(parts)


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
            if depends and func.__name__ in NUMBERS:
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


# -- the names


def _renamed(proto: ModelProto, paths: list[str]) -> dict[str, tuple[str, ...]]:
    """Give values the paths of the parts that make them; further names by value.

    A part's output is one more output of the graph, which is taken away: the value itself, or a
    copy of one that has a name already.
    """
    graph = proto.graph
    made = {name: node for node in graph.node for name in node.output}
    kept = [v for v in graph.output if not v.name.endswith(PART)]
    fixed = {v.name for v in (*kept, *graph.input, *graph.initializer)}
    names, more = dict[str, str](), dict[str, list[str]]()
    for place, path in enumerate(paths):
        value = _source(f"{place}{PART}", made)
        if value in fixed or value in names or path in fixed:
            more.setdefault(value, []).append(path)
        else:
            names[value] = path
        _name_recurrence(value, path, made)
    copies = [n for n in graph.node if n.op_type == "Identity" and n.output[0].endswith(PART)]
    for node in copies:
        graph.node.remove(node)
    del graph.output[:]
    graph.output.extend(kept)
    for node in graph.node:
        node.input[:] = [names.get(v, v) for v in node.input]
        node.output[:] = [names.get(v, v) for v in node.output]
    return {names.get(value, value): tuple(further) for value, further in more.items()}


def _source(value: str, made: Mapping[str, NodeProto]) -> str:
    """What a copy is of."""
    while value in made and made[value].op_type == "Identity":
        value = made[value].input[0]
    return value


def _name_recurrence(value: str, path: str, made: Mapping[str, NodeProto]) -> None:
    """The node of a recurrent part bears its path, too; what moves its axes lies behind it."""
    while value in made and made[value].op_type in {"Transpose", "Squeeze", "Reshape"}:
        value = made[value].input[0]
    if value in made and made[value].op_type in {"LSTM", "GRU", "RNN"}:
        made[value].name = path
