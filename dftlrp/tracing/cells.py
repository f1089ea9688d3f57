"""The states of a cell at all steps, by the runtime's own LSTM, GRU or RNN.

What each step reads of the one before it is known then, and all gates are computed at once.  The
states that relevance sees are computed of these, since a runtime's cell rounds in ways of its own:
relevance goes to the very number that it was shared by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.engine.evaluate import Values
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node
from dftlrp.ops.recurrent import ACTIVATIONS, choose_activation, find_direction
from dftlrp.tracing.repeats import Repeat
from dftlrp.tracing.tape import Tape

COPIED = ("hidden_size", "clip", "input_forget", "linear_before_reset")
WEIGHTS = (1, 2, 3, 7)  # W, R, the biases and the peepholes


def run_cell(
    repeat: Repeat, plan: Plan, values: Values, stacks: Mapping[str, Any], tape: Tape
) -> dict[int, Any]:
    """Return the states h of a cell's steps by their place; nothing if these are no cell's.

    Parameters
    ----------
    values : dict of str to array
        The states in front of the first step among them.
    stacks : dict of str to array
        What the steps read.
    """
    cell = _find_cell(repeat, plan)
    h = _find_state(repeat, "/h")
    if cell is None or h is None or len(repeat.read) != 1:
        return {}
    x = stacks[next(iter(repeat.read))]
    direction = find_direction(repeat.sample[0])
    W, R, B, P = (_read_weights(cell, i, direction, values) for i in WEIGHTS)
    c = _find_state(repeat, "/c")
    first = [None if n is None else values[repeat.before[n].output][None] for n in (h, c)]
    rows, units = values[repeat.before[h].output].shape
    y = tape.add_outputs(
        cell.op, [x, W, R, B, None, *first, P], [((len(repeat), 1, rows, units), np.float32)],
        **_describe_cell(cell, direction),
    )[0]  # fmt: skip
    return {h: y.reshape((len(repeat), rows, units))}


def _find_cell(repeat: Repeat, plan: Plan) -> Node | None:
    """Return the cell of these steps; None if a sequence that has ended keeps its state in them."""
    layer = repeat.sample[0].layer
    if any(node.op == "Where" for node in repeat.sample):
        return None
    cells = (node for node in plan.graph.nodes if node.op in ACTIVATIONS)
    return next((n for n in cells if next(filter(None, n.outputs), n.output) == layer), None)


def _find_state(repeat: Repeat, end: str) -> int | None:
    """Return the place of a state that the next step reads."""
    places = repeat.earlier.values()
    return next((i for i in places if repeat.sample[i].output.endswith(end)), None)


def _read_weights(cell: Node, position: int, direction: int, values: Values) -> AnyArray | None:
    """Return a weight of one direction."""
    name = cell.inputs[position] if position < len(cell.inputs) else ""
    return np.asarray(values[name])[direction : direction + 1] if name else None


def _describe_cell(cell: Node, direction: int) -> dict[str, Any]:
    """Return the attributes of a cell of one direction."""
    count = len(ACTIVATIONS[cell.op])
    chosen = [choose_activation(cell, direction, which) for which in range(count)]
    numbers = {
        f"activation_{key}": [attrs[key] for _, attrs in chosen if key in attrs]
        for key in ("alpha", "beta")
    }
    return {
        **{key: cell.attrs[key] for key in COPIED if key in cell.attrs},
        "activations": [op for op, _ in chosen],
        **{key: found for key, found in numbers.items() if found},
    }
