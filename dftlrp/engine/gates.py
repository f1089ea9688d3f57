"""Where two signals are multiplied: which one is a gate, and what relevance it is to get.

Three ways to treat what is not linear in all its inputs:

* ``"frozen"``: a gate, attention weights or a normaliser's scale is taken as it is, and the
  signal takes all (Arras et al. 2017; CP-LRP, Ali et al. 2022).
* ``"shared"``: two signals share by half (AttnLRP, arXiv 2402.05602); scales and divisors stay
  frozen.
* ``"tangent"``: nothing is frozen, for gradient x input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dftlrp.core.types import InputError
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, Op

FROZEN, SHARED, TANGENT = TREATMENTS = ("frozen", "shared", "tangent")
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


def live_inputs(
    nodes: Sequence[Node],
    carriers: set[str],
    treatment: str,
    values: Mapping[str, Any] | None = None,
    dead: frozenset[str] = frozenset(),
    tokens: bool = False,
) -> Live:
    """For each node that carries relevance: the positions of the inputs that get some.

    Parameters
    ----------
    carriers : set of str
        The signals.
    treatment : str
        ``"frozen"``, ``"shared"`` or ``"tangent"``.
    values : dict, optional
        All values, where they are known; without them gates are told by their ops alone.
    dead : set of str
        Values that carry none, though they depend on a signal: integers.
    tokens : bool
        Whether the signals are whole numbers.
    """
    if treatment not in TREATMENTS:
        raise InputError(f"unknown treatment {treatment!r}: choose one of {', '.join(TREATMENTS)}")
    live: Live = {}
    made = {node.output: node for node in nodes}
    carriers = set(carriers)
    for node in nodes:
        op = OPS.get(node.op)
        positions = tuple(i for i, name in enumerate(node.inputs) if name in carriers)
        inside = op is None and not carriers.isdisjoint(node.captures)
        if not (positions or inside) or node.output in dead or stops(node, tokens):
            continue
        if op is not None:
            positions = _select_free(op, positions, treatment)
            if not positions:
                continue
            if op.inputs.product and len(positions) == 2 and treatment != TANGENT:
                positions = _select_factors(node, positions, treatment, made, live, values or {})
        live[node.key] = positions
        carriers.add(node.output)
    return live


def _select_free(op: Op, positions: tuple[int, ...], treatment: str) -> tuple[int, ...]:
    """The inputs that may get relevance.

    Those without influence (a type, a condition) never do; frozen ones (a divisor) do for the
    tangent, and where nothing else depends on the signal.
    """
    able = tuple(
        i
        for i in positions
        if op.inputs.carry is None or i in op.inputs.carry or i not in op.inputs.frozen
    )
    free = tuple(i for i in able if i not in op.inputs.frozen)
    return able if treatment == TANGENT else free or able


def stops(node: Node, tokens: bool = False) -> bool:
    """Whether it carries no relevance: a Stop, an output of indices, an op for tokens only."""
    op = OPS.get(node.op)
    if op is None:
        return False
    return op.linearise is None or node.index in op.silent or (op.tokens and not tokens)


def _select_factors(
    node: Node,
    positions: tuple[int, ...],
    treatment: str,
    made: Mapping[str, Node],
    live: Live,
    values: Mapping[str, Any],
) -> tuple[int, ...]:
    """The factors that get relevance: not the one that is a gate, if one of them is."""
    grades = [_grade_gate(node.inputs[i], made, live, values) for i in positions]
    if treatment == SHARED and max(grades) < SCALE:
        return positions
    if grades[0] == grades[1]:
        grades = [_is_broadcast(node, i, values) for i in positions]
    if grades[0] == grades[1]:
        return positions
    return (positions[grades.index(min(grades))],)


def _grade_gate(
    name: str, made: Mapping[str, Node], live: Live, values: Mapping[str, Any]
) -> float:
    """How gate-like a value is: by the op behind what only moves, scales, shifts or pools it.

    A sum or a product of several is as gate-like as the least of them.
    """
    grades, waiting = [], [name]
    merged: dict[str, tuple[Node, tuple[int, ...]]] = {}
    for value in waiting:  # grows while it is walked
        node = made.get(value)
        if node is not None and node.op == "Pointwise":
            merged |= {step.output: (step, follows) for step, follows in node.attrs["steps"]}
        if value in merged:
            node, follows = merged[value]
        elif node is None or node.key not in live:
            return 0
        else:
            follows = live[node.key]
        if len(waiting) > WALK:
            return 0
        if grade := SCALE if _is_inverse(node, follows, values) else GATE_OPS.get(node.op, 0):
            grades.append(grade)
        elif node.op in THROUGH:
            waiting += [node.inputs[i] for i in follows]
        else:
            return 0
    return min(grades, default=0)


def _is_inverse(node: Node, live: tuple[int, ...], values: Mapping[str, Any]) -> bool:
    """Whether it is 1 / x, or a negative power of x."""
    if node.op == "Div":
        return live == (1,)
    return node.op == "Pow" and bool(np.all(values.get(node.inputs[1], 0) < 0))


def _is_broadcast(node: Node, position: int, values: Mapping[str, Any]) -> float:
    """A factor that is broadcast over the other is its gate (squeeze and excitation)."""
    part, whole = values.get(node.inputs[position]), values.get(node.output)
    if node.op != "Mul" or part is None or whole is None:
        return 0
    return float(part.shape != whole.shape)
