"""Model and explanation as one ONNX graph: the engine's own pass, on symbolic arrays.

A forward pass in NumPy tells which nodes run at these shapes (loops and cells written out) and
recognises the layers.  Then the nodes are taken over into a new graph, and the engine sends the
seed back through them on a backend whose primitives append nodes.  What does not depend on a signal
stays a number and folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from dftlrp.core.backend import Backend
from dftlrp.core.ledger import AMOUNTS, LedgerRow
from dftlrp.core.types import AnyArray, InputError, UnsupportedModelError
from dftlrp.engine.evaluate import INFINITE, Run, Values, blame, make_at
from dftlrp.engine.forward import Ready
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Flow, Propagation, carry_back
from dftlrp.engine.seeds import start_flow
from dftlrp.graph.structure import Node
from dftlrp.tracing.emit import emit
from dftlrp.tracing.fuse import tidied
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.symbols import FLOAT, Symbol
from dftlrp.tracing.tape import Tape

OPSET = 17
SMALL = 2**12  # bytes of a constant that lies in the graph itself
Views = Callable[[Backend, Plan, Values, Mapping[str, Flow]], dict[str, Any]]
INDEX, ARRAY, FORWARD = "index", "array", "forward"  # kinds of target
SHAPING = {  # inputs whose numbers say how large the output is
    "NonZero": (0,), "Unique": (0,), "ConstantOfShape": (0,), "Range": (0, 1, 2),
    "BlackmanWindow": (0,), "HammingWindow": (0,), "HannWindow": (0,), "MelWeightMatrix": (0, 1),
    "NonMaxSuppression": (0, 1, 2, 3, 4), "Compress": (1,), "Expand": (1,), "Tile": (1,),
    "Reshape": (1,), "Pad": (1,), "TopK": (1,), "OneHot": (1,), "Split": (1,), "DFT": (1,),
    "CenterCropPad": (1,), "AffineGrid": (1,), "Col2Im": (1, 2), "MaxUnpool": (2,),
    "Upsample": (1,), "Resize": (1, 2, 3), "STFT": (1, 3), "Slice": (1, 2, 3, 4),
}  # fmt: skip


@dataclass(frozen=True)
class GraphRequest:
    """What a traced graph answers.

    Attributes
    ----------
    seed : str
        ``"logit"``, ``"contrast"`` or ``"one"``.
    target : str
        ``"index"``: the graph's input ``target`` holds one index per sample into its explained
        output, flattened; below zero: the largest.  ``"array"``: the input ``seed`` holds
        coefficients c in the explained output's shape, R = c z (with seed ``"one"`` R = c).
        ``"forward"``: nothing is explained, only the outputs are given.
    keep : tuple of str
        Values on the way whose relevance is wanted, too.
    ledger : bool
        Whether the sums of the accounts are outputs.
    masks : tuple of (str, shape or None)
        Values under a condition: an input ``mask/NAME`` of that shape is what their relevance is
        multiplied by (with ``"forward"`` the value itself); None: they are blocked.
    """

    seed: str = "logit"
    target: str = INDEX
    keep: tuple[str, ...] = ()
    ledger: bool = False
    masks: tuple[tuple[str, tuple[int, ...] | None], ...] = ()


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph, and which of its outputs means what.

    Attributes
    ----------
    model : ModelProto
        The graph; its large constants are named only, `whole` has them.
    weights : dict of str to array
        Those constants.
    outputs : dict of str to str
        Graph output by meaning: ``output``, ``explained``, ``relevance:NAME``,
        ``multiplier:NAME``, ``value:NAME``.
    target : str
        Name of the input that says what is explained.
    fixed : dict of str to array
        Outputs that do not depend on the signals, which no graph needs to compute.
    rows : list of LedgerRow
        Accounts whose amounts are names of outputs, or numbers.
    """

    model: ModelProto
    weights: dict[str, AnyArray]
    outputs: dict[str, str]
    target: str
    fixed: dict[str, AnyArray]
    rows: list[LedgerRow]

    @property
    def constants(self) -> dict[str, AnyArray]:
        """All constants of the graph, large or not."""
        inside = (t for t in self.model.graph.initializer if t.name not in self.weights)
        return self.weights | {t.name: numpy_helper.to_array(t) for t in inside}

    def whole(self) -> ModelProto:
        """The model as one file, which runs with plain onnxruntime."""
        model = ModelProto()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in self.weights:
                tensor.CopyFrom(numpy_helper.from_array(self.weights[tensor.name], tensor.name))
        return model


def trace(ready: Ready, question: GraphRequest, views: Views | None = None) -> Traced:
    """One graph for the model and its explanation, at the shapes of the sample that ran.

    ``views`` makes further outputs of values and relevance, by their names.

    Raises
    ------
    UnsupportedModelError
        A node that cannot be written as ONNX nodes; names it.
    """
    plan, run = ready.plan, ready.run
    tape = Tape(opset=max(OPSET, *(n.opset for n in run.nodes)))
    tape.taken.update(ready.values)
    bk = OnnxBackend(tape)
    _refuse_decisions(plan, run)
    masks = {n: s if s is None else tape.add_input(f"mask/{n}", s) for n, s in question.masks}
    forward = question.target == FORWARD
    known = {**ready.values, **run.values}
    values = _forward(plan, run.nodes, known, bk, masks if forward else {})
    z = values[plan.explained]
    if not isinstance(z, Symbol):
        raise InputError(f"{plan.explained!r} does not depend on the input: nothing to explain")
    if forward:
        return _closed(tape, plan, values, {}, [], "", {})
    for name, finite in run.finite.items():
        values[name] = _replace_non_finite(tape, values[name], finite)
    start, target = _seed(bk, z, question, plan)
    propagation = Propagation(
        plan, values, ready.table.rules(), bk, question.ledger, question.keep, masks, _no_check
    )
    with _traceable():
        flows, rows = carry_back(propagation, start)
        more = views(bk, plan, values, flows) if views else {}
    return _closed(tape, plan, values, flows, rows, target, more)


def _no_check(_: Any, __: str) -> None:
    """Numbers exist when the graph runs."""


@contextmanager
def _traceable() -> Iterator[None]:
    """Say of what cannot be traced that another backend can."""
    try:
        yield
    except InputError as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        line = str(error).replace("cannot run on these inputs", "cannot be traced into a graph")
        raise UnsupportedModelError(f"{line}: use backend='numpy'") from error


# -- the forward part


def _forward(
    plan: Plan, nodes: Sequence[Node], known: Values, bk: OnnxBackend, scaled: Mapping[str, Any]
) -> Values:
    """Every value, symbolic where it depends on a signal; times what it is scaled by."""
    values: Values = dict(known)
    for name in plan.signals:
        bk.tape.taken.discard(name)
        values[name] = bk.tape.add_input(name, known[name].shape, known[name].dtype)
    made = set(plan.signals)
    for node in (*nodes, *plan.derived, *plan.nodes):
        if node.output in made or node.op == "Pointwise":
            continue
        made.add(node.output)
        if moving := [n for n in node.captures if isinstance(values.get(n), Symbol)]:
            raise UnsupportedModelError(
                f"{node.output!r} is folded from {moving[0]!r}, which depends on the signal: "
                "use backend='numpy'"
            )
        if any(isinstance(values.get(name), Symbol) for name in node.inputs):
            here = make_at(plan, node, values, bk)
            here = replace(here, y=None)
            with _traceable(), blame(node):
                values[node.output] = emit(bk.tape, here, np.asarray(known[node.output]))
            if node.output in scaled:
                values[node.output] = values[node.output] * scaled[node.output]
    return values


def _refuse_decisions(plan: Plan, run: Run) -> None:
    """What runs, and how large it is, must not hang on the signal: one graph is to explain all."""
    moving = set(plan.signals)
    for node in run.nodes:
        sizes = [node.inputs[i] for i in SHAPING.get(node.op, ()) if i < len(node.inputs)]
        if large := sorted(moving.intersection(sizes)):
            raise UnsupportedModelError(
                f"{large[0]!r} depends on the signal and decides the size of {node.output!r} "
                f"({node.op}), so no one graph explains all: use backend='numpy'"
            )
        if node.op not in {"Shape", "Size"} and not moving.isdisjoint(node.inputs):
            moving.add(node.output)
    if decisive := sorted(moving & run.decisive):
        raise UnsupportedModelError(
            f"{decisive[0]!r} depends on the signal and decides which nodes run, so no one graph "
            "explains all: use backend='numpy'"
        )


def _replace_non_finite(tape: Tape, x: Any, finite: AnyArray) -> Any:
    """Return x as `replace_non_finite` does; ``finite`` is that of an x that is no symbol."""
    if not isinstance(x, Symbol):
        return finite

    def choose(op: str, instead: Any) -> Any:
        odd = tape.add_node(op, x, shape=x.shape, dtype=np.dtype(bool))
        return tape.add_node("Where", odd, instead, x, shape=x.shape, dtype=x.dtype)

    largest = np.asarray(INFINITE, x.dtype)
    x = choose("IsInf", tape.add_node("Clip", x, -largest, largest, shape=x.shape, dtype=x.dtype))
    return choose("IsNaN", np.zeros((), x.dtype))


# -- where relevance starts


def _seed(bk: OnnxBackend, z: Symbol, question: GraphRequest, plan: Plan) -> tuple[Flow, str]:
    """Relevance and multiplier at z, and the name of the input that chooses the target."""
    tape = bk.tape
    if question.target == ARRAY:
        c = tape.add_input("seed", z.shape)
        name = c.name
    else:
        count = z.shape[0] if z.ndim else 1
        vector = all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values())
        c, name = _coefficients(tape, z, 1 if vector else count, question.seed == "contrast")
    return start_flow(bk, c, z, question.seed != "one"), name


def _coefficients(tape: Tape, z: Symbol, batch: int, contrast: bool) -> tuple[Symbol, str]:
    """One at the target; for a contrast minus the mean of the others.

    An index outside the output is outside ScatterElements' data: onnxruntime refuses to run.
    """
    flat = z.reshape((batch, z.size // batch))
    size, whole = flat.shape[1], np.dtype(np.int64)
    asked = tape.add_input("target", (batch,), whole)
    best = tape.add_node("ArgMax", flat, shape=(batch,), dtype=whole, axis=1, keepdims=0)
    index = _where(tape, "Equal", asked, -1, best)
    index = _where(tape, "Less", index, 0, index - np.int64(size))  # else it counts from the end
    zeros = tape.add_node("ConstantOfShape", _shape(tape, flat), shape=flat.shape)
    places, ones = index.reshape((batch, 1)), np.ones((batch, 1), np.float32)
    c: Any = tape.add_node("ScatterElements", zeros, places, ones, shape=flat.shape, axis=1)
    if contrast:  # within the last axis
        rows = (batch, -1, z.shape[-1]) if z.ndim > 1 else (batch, 1, size)
        one, others = c.reshape(rows), max(z.shape[-1] - 1, 1)
        c = one * (1 + 1 / others) - one.sum((2,), True) * (1 / others)
    return c.reshape(z.shape), asked.name


def _where(tape: Tape, op: str, index: Symbol, bound: int, other: Symbol) -> Symbol:
    """The index, and another one where it compares so with the bound."""
    true = tape.add_node(op, index, np.int64(bound), shape=index.shape, dtype=np.dtype(bool))
    return tape.add_node("Where", true, other, index, shape=index.shape, dtype=index.dtype)


def _shape(tape: Tape, x: Symbol) -> Symbol:
    return tape.add_node("Shape", x, shape=(x.ndim,), dtype=np.dtype(np.int64))


# -- the outputs


def _closed(
    tape: Tape,
    plan: Plan,
    values: Values,
    flows: Mapping[str, Flow],
    rows: list[LedgerRow],
    target: str,
    more: Mapping[str, Any],
) -> Traced:
    """The model with its outputs; what none of these needs is left out."""
    wanted = {"output": values[plan.output], "explained": values[plan.explained]}
    for name, flow in sorted(flows.items(), key=lambda f: f[0] not in plan.signals):
        wanted[f"relevance:{name}"] = flow.relevance
        if name in plan.signals and flow.multiplier is not None:
            wanted[f"multiplier:{name}"] = flow.multiplier
        if name not in plan.signals:
            wanted[f"value:{name}"] = values[name]
    wanted |= more
    infos = list[Any]()
    outputs, fixed = dict[str, str](), dict[str, AnyArray]()
    for meaning, x in wanted.items():
        if not isinstance(x, Symbol):
            fixed[meaning] = np.asarray(x)
            continue
        outputs[meaning] = _output(tape, x, _called(plan, meaning), infos)
    named = [_named(tape, row, i, infos) for i, row in enumerate(rows)]
    model, weights = _model(tape, infos)
    tape.close()
    return Traced(model, weights, outputs, target, fixed, named)


def _called(plan: Plan, meaning: str) -> str:
    """The output's name: of the one signal without its name, behind a front end ``_input``."""
    kind, _, name = meaning.partition(":")
    if not name or [name] == list(plan.signals):
        return kind
    return f"{kind}_{'input' if name == plan.graph.reads else name}"


def _output(tape: Tape, x: Symbol, name: str, infos: list[Any]) -> str:
    """A graph output for a value."""
    own = tape.make_name(name)
    tape.append_node("Identity", (x,), (own,), {})
    code = helper.np_dtype_to_tensor_dtype(x.dtype)
    infos.append(helper.make_tensor_value_info(own, code, x.shape))
    return own


def _named(tape: Tape, row: LedgerRow, place: int, infos: list[Any]) -> LedgerRow:
    """The row, with names of outputs for its symbolic amounts."""
    amounts = {k: getattr(row, k) for k in AMOUNTS}
    named = {
        k: _output(tape, a, f"ledger/{place}/{k}", infos) if isinstance(a, Symbol) else a
        for k, a in amounts.items()
    }
    return replace(row, **named)  # type: ignore[arg-type]


def _model(tape: Tape, infos: list[Any]) -> tuple[ModelProto, dict[str, AnyArray]]:
    nodes = tidied(tape, [i.name for i in infos])
    used = {name for node in nodes for name in node.input}
    inputs = [
        helper.make_tensor_value_info(x.name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for x in tape.inputs
    ]
    constants = {name: a for name, a in tape.constants.items() if name in used}
    return assembled(nodes, inputs, infos, constants, tape.opset)


def assembled(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Mapping[str, AnyArray],
    opset: int,
) -> tuple[ModelProto, dict[str, AnyArray]]:
    """A model, and the large ones of its constants, which it only names."""
    weights = {name: a for name, a in constants.items() if a.nbytes > SMALL and a.dtype == FLOAT}
    tensors = [
        _named_only(name, a) if name in weights else numpy_helper.from_array(a, name)
        for name, a in constants.items()
    ]
    graph = helper.make_graph(nodes, "explained", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    model.producer_name = "dftlrp"
    return model, weights


def _named_only(name: str, a: AnyArray) -> TensorProto:
    """A constant whose numbers lie elsewhere."""
    tensor = TensorProto(name=name, dims=a.shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(a.dtype)
    tensor.external_data.add(key="location", value="weights")
    return tensor
