"""Merging nodes that are one layer, after the forward pass, when all values are known.

Each recogniser (`dftlrp.engine.patterns`) looks at the last node of a pattern and returns the node
that stands for all of it; the others drop out of the path by themselves, unless something else
reads them.  A Softmax, LogSoftmax or Sigmoid behind the explained value, with moves in between, is
left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dftlrp.core.types import AnyArray
from dftlrp.engine.context import Context
from dftlrp.engine.evaluate import Run
from dftlrp.engine.gates import TANGENT
from dftlrp.engine.patterns import PATTERNS, fold_norm
from dftlrp.engine.plan import ENDS, SAME, Plan
from dftlrp.engine.spellings import MOVES
from dftlrp.graph.structure import Node, find_dependents


def canonise(context: Context) -> tuple[Node, ...]:
    """Return the nodes with patterns replaced at their last one; add the values of new nodes."""
    found: list[Node] = []
    for node in context.nodes:
        added = [node]
        if node.key in context.live and not node.layer_op:
            added = _recognise(node, context)
        for n in added:
            context.made[n.output] = n
        found += added
    return tuple(found)


def _recognise(node: Node, context: Context) -> list[Node]:
    """Return what stands for the node; a layer that was merged may be folded once more.

    It is a part of the same step of a recurrence, and of the same layer if it has no other.
    """
    context.turn = node.turn
    new = next(filter(None, (recognise(node, context) for recognise in PATTERNS)), None)
    if new is None:
        return [node]
    found = fold_norm(new[-1], context) or new
    return [replace(n, turn=node.turn, layer_key=n.layer_key or node.layer_key) for n in found]


def prepare_plan(
    plan: Plan,
    run: Run,
    treatment: str,
    evaluate: Callable[[Node], AnyArray],
    fold: bool = True,
) -> Plan:
    """Return the plan of the nodes that ran, with patterns merged and a final Softmax left out.

    Values of new nodes are added to the run's, those of moves by ``evaluate``; ``fold`` says
    whether a BatchNormalization is a part of the layer before it.

    Raises
    ------
    UnsupportedModelError
        Some of the nodes carry no relevance; all of these are named.
    """
    nodes, values = run.nodes, run.values
    live, true = (plan.find_live(nodes, values, t) for t in (treatment, TANGENT))
    context = Context(nodes, values, find_dependents(nodes, plan.signals), live, true, fold)
    if treatment != TANGENT:
        nodes = canonise(context)
    moves, explained, op = strip_end(context, plan.output)
    for node in moves:
        values[node.output] = evaluate(node)
    derived = tuple(context.derived)
    plan = replace(plan, explained=explained, stripped=op, derived=derived)
    return plan.follow((*nodes, *moves), values, treatment)


def strip_end(c: Context, output: str) -> tuple[list[Node], str, str]:
    """Return what is explained of an output behind a final Softmax, LogSoftmax or Sigmoid.

    Moves behind that op are repeated on what it reads, under names of their own.

    Returns
    -------
    nodes, explained, op
        The nodes to add, the value that is explained, the op that is left out (or "").
    """
    moves, name = [], output
    while (move := c.find_maker(name, *MOVES, *SAME)) is not None and c.live[move.key] == (0,):
        moves.append(move)
        name = move.inputs[0]
    end = c.find_maker(name, *ENDS)
    if end is None:
        return [], output, ""
    nodes, name = [], end.inputs[0]
    for move in reversed(moves):
        if move.op not in SAME:
            own = f"{move.output}/before {end.op}"
            nodes.append(replace(move, inputs=(name, *move.inputs[1:]), output=own))
            name = own
    return nodes, name, end.op
