"""What is explained: which inputs are signals, which output, and which nodes lie between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.graph.graph import Graph, Node, Value, ancestors
from dftlrp.ops import OPS
from dftlrp.types import AnyArray, InputError, ModelError, UnsupportedModelError

ENDS = ("Softmax", "LogSoftmax", "Sigmoid")
MANY_OUTPUTS = ("Split",)


@dataclass(frozen=True)
class Plan:
    """A graph with the choices made.

    Attributes
    ----------
    nodes : tuple of Node
        All nodes the output needs, in topological order.
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
    """

    graph: Graph
    nodes: tuple[Node, ...]
    live: dict[str, tuple[int, ...]]
    signals: dict[str, Value]
    bound: dict[str, AnyArray]
    output: str
    explained: str
    stripped: str

    @property
    def path(self) -> tuple[Node, ...]:
        """The nodes that carry relevance from the explained value to the signals."""
        return tuple(n for n in ancestors(self.nodes, [self.explained]) if n.key in self.live)


def is_setting(value: Value) -> bool:
    """Integers and scalars (a sample rate, a mode) are settings: bound, not explained."""
    dims = value.dims
    scalar = dims is not None and all(d == 1 for d in dims)
    return scalar or not value.dtype.startswith(("float", "bfloat"))


def make_plan(
    graph: Graph, output: str | None = None, bind: Mapping[str, Any] | None = None
) -> Plan:
    """Choose the output and the settings, and refuse what no rule can carry.

    Raises
    ------
    InputError
        Unknown output or bound input.
    UnsupportedModelError
        Some node between the signals and the output has no rule: all of them are named.
    ModelError
        The output does not depend on a signal.
    """
    output = output or next(iter(graph.outputs))
    if output not in graph.outputs:
        raise InputError(f"unknown output {output!r}: the model has {list(graph.outputs)}")
    bound = {name: _bound(graph, name, value) for name, value in (bind or {}).items()}
    signals = {n: v for n, v in graph.inputs.items() if n not in bound and not is_setting(v)}
    nodes = ancestors(graph.nodes, [output])
    live = _live(nodes, set(signals))
    explained, stripped = _strip(nodes, output)
    _refuse(ancestors(nodes, [explained]), live)
    if explained not in live:
        raise ModelError(
            f"output {output!r} does not depend on a signal among {list(graph.inputs)}"
        )
    return Plan(graph, nodes, live, signals, bound, output, explained, stripped)


def _bound(graph: Graph, name: str, value: Any) -> AnyArray:
    if name not in graph.inputs:
        raise InputError(f"cannot bind {name!r}: the model's inputs are {list(graph.inputs)}")
    declared = graph.inputs[name]
    try:
        given = np.asarray(value)
        array = given.astype(declared.dtype or given.dtype)
        if declared.dims is not None and None not in declared.dims:
            array = np.broadcast_to(array, declared.dims).copy()  # type: ignore[arg-type]
        kept = np.isfinite(array) if array.dtype.kind == "f" else array == given
    except (ValueError, TypeError, OverflowError):
        kept = False
    if not (np.all(kept) and declared.fits(array.shape)):
        raise InputError(
            f"cannot bind {name!r} to {value!r}: it is {declared.dtype} of shape {declared.dims}"
        )
    return array


def _live(nodes: tuple[Node, ...], carriers: set[str]) -> dict[str, tuple[int, ...]]:
    live = {}
    for node in nodes:
        positions = tuple(i for i, name in enumerate(node.inputs) if name in carriers)
        op = OPS.get(node.op)
        if positions and (op is None or op.linearise is not None):
            live[node.key] = positions
            carriers.add(node.output)
    return live


def _strip(nodes: tuple[Node, ...], output: str) -> tuple[str, str]:
    """The value before a final Softmax, LogSoftmax or Sigmoid (and identities after it)."""
    made = {node.output: node for node in nodes}
    node = made.get(output)
    while node is not None and node.op in {"Identity", "Dropout"}:
        node = made.get(node.inputs[0])
    if node is not None and node.op in ENDS:
        return node.inputs[0], node.op
    return output, ""


def _refuse(nodes: tuple[Node, ...], live: Mapping[str, tuple[int, ...]]) -> None:
    reasons = []
    for node in nodes:
        op = OPS.get(node.op)
        if op is None:
            reason: str | None = "the op is not known"
        elif node.index and node.op not in MANY_OUTPUTS:
            reason = f"its output number {node.index} is not supported"
        else:
            reason = op.refusal(live.get(node.key, ()))
        if reason:
            reasons.append(f"{node.key} ({node.op}): {reason}")
    if reasons:
        raise UnsupportedModelError(
            f"{len(reasons)} node(s) cannot be explained: {'; '.join(reasons)}. "
            "Bind inputs that are settings (bind=), choose another output (output=), "
            "or export the model without these ops"
        )
