"""The forward pass: every value of the graph, by the ops' own evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from dftlrp.backend import Backend
from dftlrp.graph.graph import Graph, Node
from dftlrp.graph.plan import Plan
from dftlrp.linear import Array
from dftlrp.ops import OPS, At
from dftlrp.progress import steps
from dftlrp.types import AnyArray, DftlrpError, InputError, NonFiniteError

Values = dict[str, Array]
MAX_BYTES = 2**34  # of all values of one forward pass


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
    bound = {
        k: bk.asarray(v, dtype if v.dtype.kind == "f" else None) for k, v in plan.bound.items()
    }
    values: Values = {**bound, **given}
    budget = MAX_BYTES
    with np.errstate(all="ignore"):  # what overflows is reported below, by its layer's name
        for node in steps(plan.nodes, "forward"):
            values[node.output] = y = _run(plan, node, values, bk, dtype)
            budget -= y.nbytes
            if budget < 0:
                raise _too_large(node)
    return values


def _too_large(node: Node) -> InputError:
    return InputError(
        f"node {node.key!r} ({node.op}): the values up to here need more memory than there is: "
        "explain fewer samples at a time, or shorter ones"
    )


@contextmanager
def blamed(node: Node) -> Iterator[None]:
    """Turn what NumPy refuses into one line that names the node."""
    try:
        yield
    except DftlrpError:
        raise
    except MemoryError:
        raise _too_large(node) from None
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"node {node.key!r} ({node.op}) cannot run on these inputs: {line}"
        ) from error


def _run(plan: Plan, node: Node, values: Values, bk: Backend, dtype: np.dtype[Any]) -> Array:
    with blamed(node):
        y = OPS[node.op].evaluate(at(plan, node, values, bk))
    y = bk.asarray(y, dtype if y.dtype.kind == "f" else None)
    if node.key in plan.live:
        where = f"the output of node {node.key!r} ({node.op})"
        if 0 in y.shape:
            raise InputError(f"{where} is empty: the input is too short for the model")
        check_finite(y, where)
    return y


def check_finite(array: AnyArray, what: str) -> None:
    """Raise `NonFiniteError` with the first bad index, unless all is finite."""
    if np.isfinite(np.sum(array)):  # one cheap pass; the index is searched only when it fails
        return
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(f"{what} is {array[index]} at index {index}: not a finite number")
