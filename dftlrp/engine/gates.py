"""Products of two signals: which factor is a gate, and what relevance it gets.

There are four treatments of what is not linear in all its inputs:

* ``"frozen"``: a gate, attention weights or a normaliser's scale is taken as it is, and the
  signal takes all (Arras et al. 2017; CP-LRP, Ali et al. 2022).
* ``"shared"``: two signals share by half (AttnLRP, arXiv 2402.05602); scales and divisors stay
  frozen.
* ``"whole"``: nothing is frozen, as the map between the input and a reference is exact.
* ``"tangent"``: nothing is frozen, for gradient x input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.graph.structure import Node, find_dependents
from dftlrp.ops import OPS, Op

FROZEN, SHARED, WHOLE, TANGENT = TREATMENTS = ("frozen", "shared", "whole", "tangent")
FREE = (WHOLE, TANGENT)  # nothing is frozen
Live = dict[str, tuple[int, ...]]
WALK = 64  # nodes looked at behind a factor
SCALE = 5  # of a normaliser: frozen where signals share, too
# How gate-like a value is, by the op that makes it; the larger is frozen.
GATE_OPS = {
    "Reciprocal": SCALE, "Softmax": 3, "Sigmoid": 2, "HardSigmoid": 2, "Clip": 1, "Tanh": 1,
    "Exp": 1, "Softplus": 1, "Erf": 1,
}  # fmt: skip
THROUGH = {
    "Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose",
    "Slice", "Split", "Select", "Expand", "Tile", "Gather", "Pad", "Concat", "Add", "Sub", "Mul",
    "Div", "Neg", "Where", "Resize", "Upsample", "AveragePool", "MaxPool", "GlobalAveragePool",
    "GlobalMaxPool", "BatchNormalization", "MulAdd", "ReduceMean", "ReduceMax", "ReduceMin", "Min",
    "Max", "Pow", "Sqrt",
}  # fmt: skip


def find_live_inputs(
    nodes: Sequence[Node],
    carriers: set[str],
    treatment: str,
    values: Mapping[str, Any] | None = None,
    dead: frozenset[str] = frozenset(),
    tokens: bool = False,
) -> Live:
    """Return, for each node that carries relevance, the positions of the inputs that get some.

    Parameters
    ----------
    carriers : set of str
        The signals.
    treatment : str
        One of `TREATMENTS`.
    values : dict, optional
        All values, where they are known; without them gates are told by their ops alone.
    dead : set of str
        Values that carry none, though they depend on a signal: integers.
    tokens : bool
        Whether the signals are whole numbers.

    Raises
    ------
    InputError
        The treatment is unknown.
    """
    treatment = find_name(treatment, TREATMENTS, "unknown treatment")
    live: Live = {}
    known = _Known(nodes, frozenset(carriers), live, values or {})
    carriers = set(carriers)
    for node in nodes:
        op = OPS.get(node.op)
        positions = tuple(i for i, name in enumerate(node.inputs) if name in carriers)
        inside = op is None and not carriers.isdisjoint(node.captures)
        if not (positions or inside) or node.output in dead or is_stop(node, tokens):
            continue
        if op is not None:
            positions = _select_free(op, positions, treatment)
            if not positions:
                continue
            if op.inputs.product and len(positions) == 2 and treatment not in FREE:
                positions = _select_factors(node, positions, treatment, known)
        live[node.key] = positions
        carriers.add(node.output)
    return live


def _select_free(op: Op, positions: tuple[int, ...], treatment: str) -> tuple[int, ...]:
    """Return the inputs that may get relevance.

    Those without influence (a type, a condition) never do; frozen ones (a divisor) do for the
    tangent, and where nothing else depends on the signal.
    """
    able = tuple(
        i
        for i in positions
        if op.inputs.carry is None or i in op.inputs.carry or i not in op.inputs.frozen
    )
    free = tuple(i for i in able if i not in op.inputs.frozen)
    return able if treatment in FREE else free or able


def is_stop(node: Node, tokens: bool = False) -> bool:
    """Return whether a node carries no relevance.

    It is a Stop, an output of indices, or an op for tokens in a model of floats.
    """
    op = OPS.get(node.op)
    if op is None:
        return False
    return op.linearise is None or node.index in op.silent or (op.tokens and not tokens)


@dataclass(frozen=True)
class _Known:
    """What is known of the graph while its live inputs are found.

    Attributes
    ----------
    nodes : sequence of Node
        All nodes.
    signals : frozenset of str
        The signals.
    live : Live
        What was found so far.
    values : dict of str to array
        All values, where they are known.
    """

    nodes: Sequence[Node]
    signals: frozenset[str]
    live: Live
    values: Mapping[str, Any]

    @cached_property
    def made(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {node.output: node for node in self.nodes}

    @cached_property
    def moving(self) -> set[str]:
        """The values that depend on the signals, of whose numbers nothing may be decided."""
        return find_dependents(self.nodes, self.signals)


def _select_factors(
    node: Node, positions: tuple[int, ...], treatment: str, known: _Known
) -> tuple[int, ...]:
    """Return the factors that get relevance: not the gate, if one of them is one."""
    grades = [_grade_gate(node.inputs[i], known) for i in positions]
    if treatment == SHARED and max(grades) < SCALE:
        return positions
    if grades[0] == grades[1]:
        grades = [float(_is_broadcast(node, i, known.values)) for i in positions]
    if grades[0] == grades[1]:
        return positions
    return (positions[grades.index(min(grades))],)


def _grade_gate(name: str, known: _Known) -> float:
    """Return how gate-like a value is, by the op behind what only moves, scales or pools it.

    A sum or a product of several is as gate-like as the least of them.
    """
    grades, waiting = [], [name]
    merged: dict[str, tuple[Node, tuple[int, ...]]] = {}
    for value in waiting:  # grows while it is walked
        node = known.made.get(value)
        if node is not None and node.op == "Pointwise":
            merged |= {step.output: (step, follows) for step, follows in node.attrs["steps"]}
        if value in merged:
            node, follows = merged[value]
        elif node is None or node.key not in known.live:
            return 0
        else:
            follows = known.live[node.key]
        if len(waiting) > WALK:
            return 0
        if grade := SCALE if _is_inverse(node, follows, known) else GATE_OPS.get(node.op, 0):
            grades.append(grade)
        elif node.op in THROUGH:
            waiting += [node.inputs[i] for i in follows]
        else:
            return 0
    return min(grades, default=0)


def _is_inverse(node: Node, live: tuple[int, ...], known: _Known) -> bool:
    """Return whether a node is 1 / x, or a negative power of x."""
    if node.op == "Div":
        return live == (1,)
    if node.op != "Pow" or not np.all(known.values.get(node.inputs[1], 0) < 0):
        return False
    return node.inputs[1] not in known.moving


def _is_broadcast(node: Node, position: int, values: Mapping[str, Any]) -> bool:
    """Return whether a factor is broadcast over the other, whose gate it then is.

    So are those of squeeze and excitation.
    """
    part, whole = values.get(node.inputs[position]), values.get(node.output)
    if node.op != "Mul" or part is None or whole is None:
        return False
    return bool(part.shape != whole.shape)
