"""The forward pass: every value of the graph, by the ops' own evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dftlrp.backend import Backend
from dftlrp.graph.graph import Graph, Node
from dftlrp.graph.plan import Plan
from dftlrp.linear import Array
from dftlrp.ops import OPS, At
from dftlrp.types import AnyArray, DftlrpError, InputError, NonFiniteError

Values = dict[str, Array]


def constants(graph: Graph, bk: Backend, dtype: np.dtype[Any]) -> Values:
    """Initialisers as arrays of the backend, floats in the dtype that is computed in."""

    def cast(array: AnyArray) -> Array:
        floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
        return bk.asarray(array, dtype if floating else None)

    return {name: cast(array) for name, array in graph.constants.items()}


def at(plan: Plan, node: Node, values: Mapping[str, Array], bk: Backend) -> At:
    """The node at its current activations."""
    args = tuple(values[name] if name else None for name in node.inputs)
    return At(node, bk, args, plan.live.get(node.key, ()), values.get(node.output))


def evaluate(plan: Plan, given: Mapping[str, Array], bk: Backend, dtype: np.dtype[Any]) -> Values:
    """All values that the output needs.

    Raises
    ------
    NonFiniteError
        A value that depends on the signal is NaN or Inf; names the layer and the first index.
    InputError
        A node cannot run on inputs of these shapes.
    """
    bound = {k: bk.asarray(v, dtype if v.dtype.kind == "f" else None) for k, v in plan.bound.items()}
    values: Values = {**bound, **given}
    with np.errstate(all="ignore"):  # what overflows is reported below, by its layer's name
        for node in plan.nodes:
            values[node.output] = _run(plan, node, values, bk, dtype)
    return values


def _run(plan: Plan, node: Node, values: Values, bk: Backend, dtype: np.dtype[Any]) -> Array:
    where = f"node {node.key!r} ({node.op})"
    try:
        y = OPS[node.op].evaluate(at(plan, node, values, bk))
    except DftlrpError:
        raise
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{where} cannot run on these inputs: {line}") from error
    y = bk.asarray(y, dtype if y.dtype.kind == "f" else None)
    if node.key in plan.live:
        check_finite(y, f"the output of {where}")
    return y


def check_finite(array: AnyArray, what: str) -> None:
    """Raise `NonFiniteError` with the first bad index, unless all is finite."""
    if np.isfinite(np.sum(array)):  # one cheap pass; the index is searched only when it fails
        return
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(f"{what} is {array[index]} at index {index}: not a finite number")
