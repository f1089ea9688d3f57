"""Model and explanation as one ONNX graph: the engine's own pass on symbolic arrays.

A forward pass in NumPy has told which nodes run at these shapes (with loops and cells written out),
and has recognised the layers.  These nodes are written into a new graph, and the engine sends the
seed back through them on a backend whose primitives append nodes.  What does not depend on a signal
stays a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.types import AnyArray, InputError, UnsupportedModelError
from dftlrp.engine.difference import Reference, compress_batch, find_moving
from dftlrp.engine.evaluate import INFINITE, Values, blame, make_at
from dftlrp.engine.flows import Flow
from dftlrp.engine.forward import Ready
from dftlrp.engine.plan import Plan
from dftlrp.engine.propagate import Propagation
from dftlrp.engine.seeds import start_flow
from dftlrp.graph.structure import Node, Value
from dftlrp.tracing.assembly import Traced, finish_graph
from dftlrp.tracing.emit import emit
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.recurrence import Return
from dftlrp.tracing.refusals import refuse_decisions, refuse_long_loops
from dftlrp.tracing.repeats import Repeat, find_repeats
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape
from dftlrp.tracing.unrolled import Unrolled, has_steps

OPSET = 17
Views = Callable[[Backend, Plan, Values, Mapping[str, Flow]], dict[str, Any]]
INDEX, ARRAY, FORWARD = "index", "array", "forward"  # kinds of target
BESIDE = "reference/"  # in front of the names of the reference's forward pass


@dataclass(frozen=True)
class GraphRequest:
    """What a traced graph computes; it is part of what a session is known by.

    Attributes
    ----------
    seed : str
        ``"logit"``, ``"contrast"`` or ``"one"``.
    target : str
        ``"index"``: the graph's input ``target`` holds one index per sample into its explained
        output, flattened, where -1 means the largest.  ``"array"``: the input ``seed`` holds
        coefficients c in the shape of the explained output, R = c z (with seed ``"one"`` R = c).
        ``"forward"``: nothing is explained, the graph only gives the outputs.
    keep : tuple of str
        Values on the way whose relevance is an output, too.
    ledger : bool
        Whether the sums of the accounts are outputs.
    masks : tuple of (str, shape or None)
        Values under a condition: their relevance (with ``"forward"`` the value itself) is
        multiplied by an input ``mask/NAME`` of that shape; with None they are blocked.
    free : bool
        Whether the reference, if there is one, is an input ``reference/NAME`` for each signal, so
        that the graph computes both forward passes; otherwise it is a constant of the graph.
    rows : int
        Samples of the trace, if it is one of two from which a graph for any batch is made; 0: the
        graph is for the samples that ran.
    signals : bool
        Whether the relevance of the signals is an output; without it relevance goes back no further
        than to the values to keep.
    only : tuple of str
        With ``"forward"``: values that are the outputs instead of the model's; what lies behind
        them is not computed.
    behind : str
        With ``"forward"``: a value that is an input, as are those that bypass it; what lies before
        them is not computed.  Empty: the inputs are the signals.
    """

    seed: str = "logit"
    target: str = INDEX
    keep: tuple[str, ...] = ()
    ledger: bool = False
    masks: tuple[tuple[str, tuple[int, ...] | None], ...] = ()
    free: bool = False
    rows: int = 0
    signals: bool = True
    only: tuple[str, ...] = ()
    behind: str = ""


def trace(ready: Ready, request: GraphRequest, views: Views | None = None) -> Traced:
    """Return one graph for the model and its explanation, at the shapes of the sample that ran.

    Parameters
    ----------
    views : callable, optional
        Makes further outputs from values and relevance, by their names.

    Raises
    ------
    UnsupportedModelError
        A node cannot be written as ONNX nodes; the message names it.
    """
    plan, run = ready.plan, ready.run
    forward = request.target == FORWARD
    tape = Tape(max(OPSET, *(n.opset for n in run.nodes)), goes_back=not forward)
    tape.taken.update(ready.values)
    bk = OnnxBackend(tape)
    refuse_decisions(plan, run)
    repeats = [] if request.behind else _find_repeats(ready, request)
    refuse_long_loops(plan, run, repeats)
    masks = {n: s if s is None else tape.add_input(f"mask/{n}", s) for n, s in request.masks}
    known = {**ready.values, **run.values}
    passing = _Forward(plan, run.nodes, bk, repeats)
    there = _find_reference(ready, request, known, passing) if forward else None
    centres = {} if there is None else there.values
    scaled = {n: (m, centres.get(n)) for n, m in masks.items()} if forward else {}
    here = passing.trace(known, scaled)
    values = here.values
    z = values[plan.explained]
    if not isinstance(z, Symbol):
        raise InputError(f"{plan.explained!r} does not depend on the input: nothing to explain")
    if request.behind:
        return _trace_behind(request.behind, plan, run.nodes, known, values)
    if forward:
        only = {f"value:{name}": values[name] for name in request.only}
        return finish_graph(tape, plan, only or _list_outputs(plan, values, {}), [], "")
    for name, finite in run.finite.items():
        values[name] = _replace_non_finite(tape, values[name], finite)
    there, zero = _find_reference(ready, request, known, passing), _list_zero(ready)
    propagation = Propagation(
        plan, values, ready.table.rules(), bk, request.ledger, request.keep, masks, _no_check,
        None if there is None else Reference(there.values, zero),
        request.signals,
    )  # fmt: skip
    change = propagation.subtract(plan.explained)
    start, target = _add_seed(bk, z, change, request, plan)
    with _suggest_numpy():
        flows, rows = Return(propagation, repeats, here, there).carry_back(start)
        more = views(bk, plan, values, flows) if views else {}
    changed = {} if ready.reference is None else {"change": change}
    wanted = _list_outputs(plan, values, flows) | changed | more
    return finish_graph(tape, plan, wanted, rows, target)


def _find_repeats(ready: Ready, request: GraphRequest) -> list[Repeat]:
    """Return the steps of recurrences that are written as loops."""
    plan, run = ready.plan, ready.run
    apart = {*request.keep, *request.only, *(name for name, _ in request.masks), *run.finite}
    return find_repeats(plan, run.nodes, find_moving(plan), _list_zero(ready), ready.values, apart)


def _list_zero(ready: Ready) -> frozenset[str]:
    """Return the values that are known to be 0 at the reference."""
    return frozenset() if ready.reference is None else ready.reference.zero


def _find_reference(
    ready: Ready, request: GraphRequest, known: Values, passing: _Forward
) -> Unrolled | None:
    """Return the reference as constants of the graph, or as its second forward pass."""
    reference, plan, repeats = ready.reference, ready.plan, passing.repeats
    if reference is None:
        return None
    if not request.free:
        return Unrolled(_fold_reference(reference, plan, request.rows), repeats)
    if taken := sorted(name for name in known if name.startswith(BESIDE)):
        raise UnsupportedModelError(
            f"its value {taken[0]!r} has the name of one at the reference: use backend='numpy'"
        )
    moving = find_moving(plan)
    fixed = {name: v for name, v in known.items() if name not in moving}
    there = passing.trace({**reference.values, **fixed}, {}, BESIDE)
    for name in ready.run.finite:
        finite = np.asarray(reference.values[name])
        there.values[name] = _replace_non_finite(passing.bk.tape, there.values[name], finite)
    return there


def _fold_reference(reference: Reference, plan: Plan, rows: int) -> Values:
    """Return the values at a reference as constants of the graph, for any batch where they can.

    A value with one row for each sample folds to one row.  Where its first axis is no batch but of
    the same length by chance, the trace at the other batch does not fold it, and there is no graph
    for any batch.  Weights, whose rows may be alike by chance, stay as they are.
    """
    moving = find_moving(plan)
    return {
        name: compress_batch(np.asarray(v)) if name in moving and np.shape(v)[:1] == (rows,) else v
        for name, v in reference.values.items()
    }


def _list_outputs(plan: Plan, values: Values, flows: Mapping[str, Flow]) -> dict[str, Any]:
    """Return what the graph gives, by what it means."""
    wanted = {"output": values[plan.output], "explained": values[plan.explained]}
    for name, flow in sorted(flows.items(), key=lambda f: f[0] not in plan.signals):
        wanted[f"relevance:{name}"] = flow.relevance
        if name in plan.signals and flow.multiplier is not None:
            wanted[f"multiplier:{name}"] = flow.multiplier
        if name not in plan.signals:
            wanted[f"value:{name}"] = values[name]
    return wanted


def _no_check(_: Any, __: str) -> None:
    """Accept symbols, whose numbers only exist when the graph runs."""


@contextmanager
def _suggest_numpy() -> Iterator[None]:
    """Say in an error about tracing that another backend computes it."""
    try:
        yield
    except InputError as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        line = str(error).replace("cannot run on these inputs", "cannot be traced into a graph")
        raise UnsupportedModelError(f"{line}: use backend='numpy'") from error


# -- the forward part


def _trace_behind(
    start: str, plan: Plan, nodes: Sequence[Node], known: Values, values: Values
) -> Traced:
    """Return the graph of the forward pass from one value on; ``values`` holds the whole pass."""
    cut = _find_cut(start, plan, nodes, values)
    begun = replace(plan, signals={name: Value(None, str(known[name].dtype)) for name in cut})
    tape = Tape(opset=max(OPSET, *(n.opset for n in nodes)))
    tape.taken.update(known)
    behind = _Forward(begun, nodes, OnnxBackend(tape), []).trace(known, {}).values
    return finish_graph(tape, begun, _list_outputs(begun, behind, {}), [], "")


def _find_cut(start: str, plan: Plan, nodes: Sequence[Node], values: Values) -> list[str]:
    """Return a value, and the symbols beside it that what lies behind it needs.

    Raises
    ------
    InputError
        It is not computed on the way.
    """
    if not isinstance(values.get(start), Symbol):
        raise InputError(f"no value {start!r} is computed on the way to {plan.output!r}")
    behind, needed = {start}, {plan.output, plan.explained}
    for node in (*nodes, *plan.derived, *plan.nodes):
        moving = isinstance(values.get(node.output), Symbol) and node.output not in behind
        if moving and not behind.isdisjoint(node.inputs):
            behind.add(node.output)
            needed.update(node.inputs)
    return [start, *sorted(n for n in needed - behind if isinstance(values.get(n), Symbol))]


@dataclass(frozen=True)
class _Forward:
    """The nodes of a forward pass, and the steps among them that are alike."""

    plan: Plan
    nodes: Sequence[Node]
    bk: OnnxBackend
    repeats: Sequence[Repeat]

    def trace(self, known: Values, scaled: Mapping[str, Any], before: str = "") -> Unrolled:
        """Return every value, a symbol if it depends on a signal; some are multiplied by masks.

        ``scaled`` has mask and None, or mask and the value at the reference, whose change is
        multiplied.  In the graph the signals and all that is made of them have the model's names,
        with ``before`` in front.
        """
        plan, tape = self.plan, self.bk.tape
        passed = Unrolled(dict(known), self.repeats)
        values = passed.values
        for name in plan.signals:
            tape.taken.discard(before + name)
            values[name] = tape.add_input(before + name, known[name].shape, known[name].dtype)
        made = {*plan.signals, *(name for r in self.repeats for name in r.places)}
        ends = {repeat.end: repeat for repeat in self.repeats}
        for node in (*self.nodes, *plan.derived, *plan.nodes):
            if node.output in ends:
                passed.trace_step(ends.pop(node.output), plan, known, tape)
            if node.output in made or node.op == "Pointwise":
                continue
            made.add(node.output)
            passed.fetch(node.inputs)
            self.refuse_folded(node, values)
            if has_steps(node, self.repeats):
                values[node.output] = passed.join(node, known[node.output].ndim)
            elif any(isinstance(values.get(name), Symbol) for name in node.inputs):
                here = make_at(plan, node, values, self.bk)
                here = replace(here, y=None, node=_rename(node, before))
                with _suggest_numpy(), blame(node):
                    values[node.output] = emit(tape, here, np.asarray(known[node.output]))
            if node.output in scaled and isinstance(values[node.output], Symbol):
                y, (mask, there) = values[node.output], scaled[node.output]
                values[node.output] = y * mask if there is None else (y - there) * mask + there
        return passed

    def refuse_folded(self, node: Node, values: Values) -> None:
        """Refuse a number that was folded from what depends on the signal."""
        if moving := [n for n in node.captures if isinstance(values.get(n), Symbol)]:
            raise UnsupportedModelError(
                f"{node.output!r} is folded from {moving[0]!r}, which depends on the signal: "
                "use backend='numpy'"
            )


def _rename(node: Node, before: str) -> Node:
    """Return the node with other names for its outputs."""
    outputs = tuple(name and before + name for name in node.outputs)
    return replace(node, output=before + node.output, outputs=outputs) if before else node


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


def _add_seed(
    bk: OnnxBackend, z: Symbol, change: Any, request: GraphRequest, plan: Plan
) -> tuple[Flow, str]:
    """Return relevance and multiplier at z, and the name of the input that chooses the target.

    ``change`` is z, or its difference to the reference.
    """
    tape = bk.tape
    if request.target == ARRAY:
        c = tape.add_input("seed", z.shape)
        name = c.name
    else:
        count = z.shape[0] if z.ndim else 1
        vector = all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values())
        c, name = _add_coefficients(tape, z, 1 if vector else count, request.seed == "contrast")
    return start_flow(bk, c, change, request.seed != "one"), name


def _add_coefficients(tape: Tape, z: Symbol, batch: int, contrast: bool) -> tuple[Symbol, str]:
    """Return coefficients c, and the name of the input that holds the index of the target.

    c is one at the target; for a contrast minus the mean of the others.  An index outside the
    output is outside the data of ScatterElements, so that onnxruntime refuses it.
    """
    flat = z.reshape((batch, z.size // batch))
    size, whole = flat.shape[1], np.dtype(np.int64)
    asked = tape.add_input("target", (batch,), whole)
    best = tape.add_node("ArgMax", flat, shape=(batch,), dtype=whole, axis=1, keepdims=0)
    index = _choose_index(tape, "Equal", asked, -1, best)
    index = _choose_index(tape, "Less", index, 0, index - np.int64(size))  # none from the end
    dims = tape.add_node("Shape", flat, shape=(flat.ndim,), dtype=whole)
    zeros = tape.add_node("ConstantOfShape", dims, shape=flat.shape)
    places, ones = index.reshape((batch, 1)), np.ones((batch, 1), np.float32)
    c: Any = tape.add_node("ScatterElements", zeros, places, ones, shape=flat.shape, axis=1)
    if contrast:  # within the last axis
        rows = (batch, -1, z.shape[-1]) if z.ndim > 1 else (batch, 1, size)
        one, others = c.reshape(rows), max(z.shape[-1] - 1, 1)
        c = one * (1 + 1 / others) - one.sum((2,), True) * (1 / others)
    return c.reshape(z.shape), asked.name


def _choose_index(tape: Tape, op: str, index: Symbol, bound: int, other: Symbol) -> Symbol:
    """Return another index where a comparison of the index with the bound holds."""
    true = tape.add_node(op, index, np.int64(bound), shape=index.shape, dtype=np.dtype(bool))
    return tape.add_node("Where", true, other, index, shape=index.shape, dtype=index.dtype)
