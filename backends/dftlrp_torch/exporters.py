"""torch's two exporters, and the names of a module's parts in the graphs that they write.

While TorchScript traces the module, a hook at each of its parts hands out the part's output under
the part's path (``named_modules()``).  Dynamo writes beside each node which part made it.  So
layers carry the module's own names, whatever the exporter calls its values.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
from onnx import ModelProto, NodeProto

from .calling import Tensors, tapped
from .spelling import spelled

if TYPE_CHECKING:
    from torch.nn import Module

OPSET = 18
PART = ":part"
SCOPES = "pkg.torch.onnx.name_scopes"
Names = dict[str, tuple[str, ...]]


class Task(NamedTuple):
    """What is to be exported.

    Attributes
    ----------
    module : torch.nn.Module
        In evaluation mode.
    examples : list of dict of str to tensor
        What it reads; two, of different batch sizes, where it works on any.
    outputs, parts : list of str
        Names of what it gives, and the paths of the parts that it calls, in their order.
    """

    module: Module
    examples: list[Tensors]
    outputs: list[str]
    parts: list[str]

    @property
    def batched(self) -> set[str]:
        """The inputs whose first axis differs in length from example to example."""
        first, last = self.examples[0], self.examples[-1]
        return {k for k, t in first.items() if t.ndim and len(t) != len(last[k])}


def export_by_torchscript(task: Task) -> tuple[ModelProto, Names]:
    """Return a graph and further names of its values, by TorchScript's tracer.

    It is the quicker one, and it keeps weights and recurrent cells as they are.
    """
    import torch

    inputs, file = task.examples[0], io.BytesIO()
    parts = [f"{i}{PART}" for i in range(len(task.parts))]
    how: dict[str, Any] = {
        "f": file, "kwargs": inputs, "input_names": list(inputs),
        "output_names": [*task.outputs, *parts],
        "dynamic_axes": {name: {0: "batch"} for name in task.batched},
        "opset_version": OPSET, "dynamo": False, "verbose": False,
        # neither fold constants nor BatchNorm: weights keep their names
        "do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE,
    }  # fmt: skip
    with tapped(task.module), spelled():
        torch.onnx.export(task.module, **how)
    proto = onnx.load_from_string(file.getvalue())
    return proto, _rename(proto, task.parts)


def export_by_dynamo(task: Task) -> tuple[ModelProto, Names]:
    """Return a graph and further names of its values, by ``torch.export``.

    It is the slower one, and it writes more.  It is shown the largest batch, for it takes an axis
    of length 1 for one that is always so.
    """
    import torch

    inputs, any_length = task.examples[-1], {0: torch.export.Dim.DYNAMIC}
    how: dict[str, Any] = {
        "kwargs": inputs, "input_names": list(inputs), "output_names": task.outputs,
        "dynamic_shapes": {k: any_length if k in task.batched else None for k in inputs},
        "opset_version": OPSET, "dynamo": True, "verbose": False, "optimize": True,
    }  # fmt: skip
    with tapped(task.module, parts=False), spelled():
        program = torch.onnx.export(task.module, (), **how)
    assert program is not None
    return program.model_proto, _read_scopes(program.model_proto, set(task.parts))


EXPORTERS: dict[str, Callable[[Task], tuple[ModelProto, Names]]] = {
    "TorchScript": export_by_torchscript, "dynamo": export_by_dynamo,
}  # fmt: skip


def lacks_op(error: BaseException | None) -> bool:
    """Whether an exporter knows no way to write an op, whatever the batch."""
    names = {"UnsupportedOperatorError", "DispatchError", "UnsupportedModelError"}
    return error is not None and (type(error).__name__ in names or lacks_op(error.__cause__))


def find_batched(examples: list[Tensors]) -> set[str]:
    """Return the inputs whose first axis differs in length from example to example."""
    first, last = examples[0], examples[-1]
    return {k for k, t in first.items() if t.ndim and len(t) != len(last[k])}


# -- the names


def _rename(proto: ModelProto, paths: list[str]) -> Names:
    """Give values the paths of the parts that make them; return further names by value.

    A part's output is one more output of the graph, which is taken away: the value itself, or a
    copy of one that has a name already.
    """
    graph = proto.graph
    made = {name: node for node in graph.node for name in node.output}
    kept = [v for v in graph.output if not v.name.endswith(PART)]
    fixed = {v.name for v in (*kept, *graph.input, *graph.initializer)}
    names, more = dict[str, str](), dict[str, list[str]]()
    for place, path in enumerate(paths):
        value = _find_source(f"{place}{PART}", made)
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


def _find_source(value: str, made: Mapping[str, NodeProto]) -> str:
    """Return the value that a copy is of."""
    while value in made and made[value].op_type == "Identity":
        value = made[value].input[0]
    return value


def _name_recurrence(value: str, path: str, made: Mapping[str, NodeProto]) -> None:
    """Give the node of a recurrent part its path, too; what moves its axes lies behind it."""
    while value in made and made[value].op_type in {"Transpose", "Squeeze", "Reshape"}:
        value = made[value].input[0]
    if value in made and made[value].op_type in {"LSTM", "GRU", "RNN"}:
        made[value].name = path


def _read_scopes(proto: ModelProto, paths: set[str]) -> Names:
    """Return the path of the part that each value was made in, by value."""
    found = Names()
    for node in proto.graph.node:
        scopes = next((e.value for e in node.metadata_props if e.key == SCOPES), "[]")
        if within := [path for path in ast.literal_eval(scopes) if path in paths]:
            found |= dict.fromkeys(node.output, (within[-1],))
    return found
