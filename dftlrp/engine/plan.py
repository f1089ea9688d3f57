"""The plan of an explanation: which inputs are signals, which output, which nodes between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, InputError, ModelError, UnsupportedModelError
from dftlrp.engine.gates import FROZEN, Live, find_live_inputs, is_stop
from dftlrp.graph.structure import Body, Graph, Node, Value, find_ancestors
from dftlrp.ops import EXPANSIONS, OPS

FLOATS = {1, 10, 11, 16}  # TensorProto's float, float16, double, bfloat16
ENDS = ("Softmax", "LogSoftmax", "Sigmoid")
SAME = (
    "Identity",
    "Dropout",
    "Cast",
    "QuantizeLinear",
    "DequantizeLinear",
)  # may stand behind an end


@dataclass(frozen=True)
class Plan:
    """A graph, and what of it is explained.

    Attributes
    ----------
    graph : Graph
        The whole graph.
    nodes : tuple of Node
        All nodes that the output needs, in topological order.
    live : dict of str to tuple of int
        For each node that carries relevance: which of its inputs do.
    signals : dict of str to Value
        Inputs that are explained.
    bound : dict of str to array
        Inputs that are settings, with their values.
    output, explained : str
        The chosen output, and the value that is explained (before a final Softmax).
    stripped : str
        The op between the two, or empty.
    derived : tuple of Node
        The nodes that make the values which merged layers read beside the graph's own (a scale, a
        bias); no relevance goes through these.
    """

    graph: Graph
    nodes: tuple[Node, ...]
    live: Live
    signals: dict[str, Value]
    bound: dict[str, AnyArray]
    output: str
    explained: str
    stripped: str
    derived: tuple[Node, ...] = ()

    @cached_property
    def path(self) -> tuple[Node, ...]:
        """The nodes that carry relevance from the explained value to the signals."""
        wanted, kept = {self.explained}, []
        for node in reversed(self.nodes):
            if node.output in wanted and node.key in self.live:
                kept.append(node)
                wanted.update(node.inputs[i] for i in self.live[node.key])
                wanted.update(node.captures)
        return tuple(reversed(kept))

    @property
    def tokens(self) -> bool:
        """Whether the signals are whole numbers."""
        return not any(v.is_float for v in self.signals.values())

    def find_live(
        self, nodes: Sequence[Node], values: Mapping[str, AnyArray], treatment: str
    ) -> Live:
        """Return which inputs of the nodes carry relevance, at known values."""
        whole = (n.output for n in nodes if values[n.output].dtype.kind != "f")
        dead = frozenset() if self.tokens else frozenset(whole)
        return find_live_inputs(nodes, set(self.signals), treatment, values, dead, self.tokens)

    def follow(self, nodes: Sequence[Node], values: Mapping[str, AnyArray], treatment: str) -> Plan:
        """Return the plan for the nodes that ran, with a treatment of what is not linear.

        Raises
        ------
        UnsupportedModelError
            Some of the nodes carry no relevance; all of these are named.
        """
        live = self.find_live(nodes, values, treatment)
        plan = replace(self, nodes=tuple(nodes), live=live)
        _refuse_unsupported(plan.path, live)
        return plan


def make_plan(
    graph: Graph, output: str | None = None, bind: Mapping[str, Any] | None = None
) -> Plan:
    """Return the plan for an output, with settings bound to values.

    What depends on values (branches, loops, shapes) is known when the model runs: `Plan.follow`.

    Raises
    ------
    InputError
        The output or a bound input is unknown, or a value does not fit its input.
    UnsupportedModelError
        Nodes that the output needs are not known, or carry no relevance; all are named.
    ModelError
        The output does not depend on a signal.
    """
    output = output or graph.scores[0]
    output = find_name(output, graph.outputs, "unknown output")
    bound = {name: _read_setting(graph, name, value) for name, value in (bind or {}).items()}
    signals = {n: v for n, v in graph.signals.items() if n not in bound}
    if odd := [name for name, value in signals.items() if not value.dtype]:
        raise UnsupportedModelError(f"input {odd[0]!r} is not a tensor of a known type")
    nodes = find_ancestors(graph.nodes, [output])
    tokens = not any(v.is_float for v in signals.values())
    dead = frozenset() if tokens else _find_integers(nodes)
    live = find_live_inputs(nodes, set(signals), FROZEN, dead=dead, tokens=tokens)
    explained, stripped = _find_end(nodes, output)
    plan = Plan(graph, nodes, live, signals, bound, output, explained, stripped)
    _refuse_unsupported((*_find_unknown(nodes), *plan.path), live)
    if explained not in live and explained not in signals:
        raise ModelError(_explain_independence(nodes, set(signals), output, list(graph.inputs)))
    return plan


def refuse_unexplainable(graph: Graph) -> None:
    """Raise the error of the first output unless some output can be explained.

    Which output is asked for is known only later, and another one may hold ops without a rule.
    """
    errors = list[ModelError]()
    for output in graph.scores:
        try:
            make_plan(graph, output)
        except ModelError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def _explain_independence(
    nodes: Sequence[Node], carriers: set[str], output: str, inputs: Sequence[str]
) -> str:
    """Return why no relevance goes from an output to the signals."""
    ends = ""
    for node in nodes:
        if not carriers.isdisjoint(node.reads):
            carriers.add(node.output)
            ends = f"{node.output!r} ({node.op})" if is_stop(node) else ends
    if output not in carriers:
        return f"output {output!r} does not depend on a signal among {inputs}"
    through = f" through {ends}, which carries no relevance" if ends else ""
    return f"output {output!r} depends on the signals only{through or ' in whole numbers'}"


def _find_integers(nodes: Sequence[Node]) -> frozenset[str]:
    """Return the values that are whole numbers by the op that makes them."""
    casts = (n for n in nodes if n.op == "Cast")
    return frozenset(n.output for n in casts if n.attrs.get("to") not in FLOATS)


def _find_unknown(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes whose op is not known, in bodies too."""
    found, waiting = [], list(nodes)
    for node in waiting:  # grows while it is walked
        if node.op not in OPS and node.op not in EXPANSIONS:
            found.append(node)
        waiting += [n for body in node.attrs.values() if isinstance(body, Body) for n in body.nodes]
    return found


def _read_setting(graph: Graph, name: str, value: Any) -> AnyArray:
    """Return the value that an input is bound to, in the input's dtype and shape."""
    if name not in graph.inputs:
        raise InputError(f"cannot bind {name!r}: the model's inputs are {list(graph.inputs)}")
    declared = graph.inputs[name]
    try:
        given = np.asarray(value)
        array = given.astype(declared.dtype or given.dtype)
        if declared.dims is not None and (array.ndim == 0 or None not in declared.dims):
            array = np.broadcast_to(array, [d or 1 for d in declared.dims]).copy()
        kept = np.isfinite(array) if array.dtype.kind == "f" else array == given
    except (ValueError, TypeError, OverflowError):
        kept = False
    if not (np.all(kept) and declared.fits(array.shape)):
        raise InputError(
            f"cannot bind {name!r} to {value!r}: it is {declared.dtype} of shape {declared.dims}"
        )
    return array


def _find_end(nodes: Sequence[Node], output: str) -> tuple[str, str]:
    """Return what a final Softmax, LogSoftmax or Sigmoid reads and that op, or (output, "")."""
    made = {node.output: node for node in nodes}
    node = made.get(output)
    while node is not None and node.op in SAME:
        node = made.get(node.inputs[0])
    if node is not None and node.op in ENDS:
        return node.inputs[0], node.op
    return output, ""


def _find_refusal(node: Node, live: Live) -> str | None:
    """Return why a node cannot be explained, or None if it can."""
    op = OPS.get(node.op)
    if node.op in EXPANSIONS:
        return None
    if op is None:
        return "the op is not known"
    if op.outputs is not None and node.index >= op.outputs:
        return f"its output number {node.index} is not supported"
    return op.find_refusal(live.get(node.key, ()))


def _refuse_unsupported(nodes: Sequence[Node], live: Live) -> None:
    """Raise UnsupportedModelError with all nodes that cannot be explained."""
    unique = {n.output: n for n in nodes}.values()
    found = ((node.key, node.op, _find_refusal(node, live)) for node in unique)
    reasons = tuple((key, op, reason) for key, op, reason in found if reason)
    if reasons:
        told = "; ".join(f"{key} ({op}): {reason}" for key, op, reason in reasons)
        raise UnsupportedModelError(
            f"{len(reasons)} node(s) cannot be explained: {told}. "
            "Bind inputs that are settings (bind=), choose another output (output=), "
            "or export the model without these ops",
            reasons,
        )
