"""A traced graph as a model: its outputs are named, and its large constants are kept beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from dftlrp.core.ledger import LedgerRow
from dftlrp.core.types import AnyArray
from dftlrp.engine.plan import Plan
from dftlrp.tracing.accounts import pack_amounts
from dftlrp.tracing.fuse import simplify
from dftlrp.tracing.symbols import FLOAT, Symbol
from dftlrp.tracing.tape import Tape, list_reads

SMALL = 2**12  # bytes of a constant that lies in the graph itself


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph, and what each of its outputs means.

    Attributes
    ----------
    model : ModelProto
        The graph, which only names its large constants; that of `whole` holds them.
    weights : dict of str to array
        Those constants, by name.
    outputs : dict of str to str
        Name of an output by its meaning: ``output``, ``explained``, ``relevance:NAME``,
        ``multiplier:NAME`` or ``value:NAME``.
    target : str
        Name of the input that says what is explained.
    fixed : dict of str to array
        Values, by meaning, that do not depend on the signals, so that no graph computes them.
    rows : list of LedgerRow
        Accounts, whose amounts are slots in outputs, names of outputs or numbers.
    """

    model: ModelProto
    weights: dict[str, AnyArray]
    outputs: dict[str, str]
    target: str
    fixed: dict[str, AnyArray]
    rows: list[LedgerRow]

    @property
    def constants(self) -> dict[str, AnyArray]:
        """All constants of the graph, small and large."""
        inside = (t for t in self.model.graph.initializer if t.name not in self.weights)
        return self.weights | {t.name: numpy_helper.to_array(t) for t in inside}

    def whole(self) -> ModelProto:
        """Return the model with all of its constants, as onnxruntime runs it without dftlrp."""
        model = ModelProto()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in self.weights:
                tensor.CopyFrom(numpy_helper.from_array(self.weights[tensor.name], tensor.name))
        return model


def finish_graph(
    tape: Tape, plan: Plan, wanted: Mapping[str, Any], rows: Sequence[LedgerRow], target: str
) -> Traced:
    """Return the nodes of a tape as a graph, without those that no output needs.

    Parameters
    ----------
    wanted : dict of str to array
        The outputs, symbols or numbers, by what they mean.
    rows : sequence of LedgerRow
        Accounts, whose symbolic amounts become outputs, too.
    target : str
        Name of the input that says what is explained, or empty.
    """
    infos = list[ValueInfoProto]()
    outputs, fixed = dict[str, str](), dict[str, AnyArray]()
    for meaning, x in wanted.items():
        if isinstance(x, Symbol):
            outputs[meaning] = _add_output(tape, x, _choose_name(plan, meaning), infos)
        else:
            fixed[meaning] = np.asarray(x)
    packed, placed = pack_amounts(rows)
    for name, x in packed.items():
        _add_output(tape, x, name, infos)
    model, weights = _make_proto(tape, infos)
    tape.close()
    return Traced(model, weights, outputs, target, fixed, placed)


def _choose_name(plan: Plan, meaning: str) -> str:
    """Return the name of an output: without that of the signal, if there is only one.

    What a model reads behind a front end is called ``input``.
    """
    kind, _, name = meaning.partition(":")
    if not name or [name] == list(plan.signals):
        return kind
    return f"{kind}_{'input' if name == plan.graph.reads else name}"


def _add_output(tape: Tape, x: Symbol, name: str, infos: list[ValueInfoProto]) -> str:
    """Make a value an output of the graph, and return its name."""
    own = tape.make_name(name)
    tape.append_node("Identity", (x,), (own,), {})
    infos.append(_make_info(own, x))
    return own


def _make_info(name: str, x: Symbol) -> ValueInfoProto:
    code = helper.np_dtype_to_tensor_dtype(x.dtype)
    return helper.make_tensor_value_info(name, code, x.shape)


def _make_proto(
    tape: Tape, infos: Sequence[ValueInfoProto]
) -> tuple[ModelProto, dict[str, AnyArray]]:
    """Return what `assemble_model` does, for the nodes that these outputs need."""
    nodes = simplify(tape, [i.name for i in infos])
    used = set[str]().union(*map(list_reads, nodes))
    inputs = [_make_info(x.name, x) for x in tape.inputs]
    constants = {name: a for name, a in tape.constants.items() if name in used}
    return assemble_model(nodes, inputs, infos, constants, tape.opset)


def assemble_model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Mapping[str, AnyArray],
    opset: int,
) -> tuple[ModelProto, dict[str, AnyArray]]:
    """Return a model, and those of its constants that it only names because they are large."""
    weights = {name: a for name, a in constants.items() if a.nbytes > SMALL and a.dtype == FLOAT}
    tensors = [
        name_only(name, a) if name in weights else numpy_helper.from_array(a, name)
        for name, a in constants.items()
    ]
    graph = helper.make_graph(nodes, "explained", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    model.producer_name = "dftlrp"
    return model, weights


def name_only(name: str, a: AnyArray) -> TensorProto:
    """Return a constant whose numbers are kept elsewhere."""
    tensor = TensorProto(name=name, dims=a.shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(a.dtype)
    tensor.external_data.add(key="location", value="weights")
    return tensor
