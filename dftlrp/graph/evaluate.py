"""The forward pass: every value of the graph, by the ops' own evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from dftlrp.backend import Backend
from dftlrp.graph.gates import stops
from dftlrp.graph.graph import Graph, Node
from dftlrp.graph.plan import Plan
from dftlrp.linear import Array
from dftlrp.ops import EXPANSIONS, OPS, At
from dftlrp.progress import steps
from dftlrp.types import AnyArray, DftlrpError, InputError, NonFiniteError

Values = dict[str, Array]
MAX_BYTES = 2**34  # of all values of one forward pass
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization")  # add no masks
MAX_NODES = 10**6  # of one forward pass, loops and cells written out


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


class Run(NamedTuple):
    """A forward pass: its values, and the nodes that really ran, loops and cells written out."""

    values: Values
    nodes: tuple[Node, ...]


def evaluate(plan: Plan, given: Mapping[str, Array], bk: Backend, dtype: np.dtype[Any]) -> Run:
    """All values that the output needs.

    If, Loop, Scan, LSTM, GRU and RNN become the nodes that they stand for at these inputs.

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
    carriers, masked, nodes, budget = set(plan.signals), set[str](), [], MAX_BYTES
    with np.errstate(all="ignore"):  # what overflows is reported below, by its layer's name
        for node in written_out(steps(plan.nodes, "forward"), values):
            carries = not carriers.isdisjoint(node.inputs) and not stops(node, plan.tokens)
            values[node.output] = y = run_node(plan, node, values, bk, dtype)
            if carries and (plan.tokens or y.dtype.kind == "f"):
                carriers.add(node.output)
                if y.dtype.kind == "f" and not _checked(node, values, masked):
                    masked.add(node.output)
            nodes.append(node)
            budget -= y.nbytes
            if budget < 0 or len(nodes) > MAX_NODES:
                raise _too_large(node)
    for name in masked:  # what a Softmax ignores speaks for nothing
        values[name] = np.where(np.isfinite(values[name]), values[name], 0)
    return Run(values, tuple(nodes))


def written_out(nodes: Iterator[Node], values: Values) -> Iterator[Node]:
    """The nodes; instead of one that stands for others, these, each once the last has run."""
    waiting = [nodes]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
        elif node.op not in EXPANSIONS:
            yield node
        elif node.output not in values:  # else made with another output of the same ONNX node
            waiting.append(_blaming(node, EXPANSIONS[node.op](node, values)))


def _blaming(node: Node, inner: Iterator[Node]) -> Iterator[Node]:
    """The nodes of an expansion; what goes wrong in it is told of the node that it expands."""
    while True:
        with blamed(node):
            step = next(inner, None)
        if step is None:
            return
        yield step


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


def run_node(plan: Plan, node: Node, values: Values, bk: Backend, dtype: np.dtype[Any]) -> Array:
    """The output of one node; floats in the dtype that is computed in."""
    with blamed(node):
        y = OPS[node.op].evaluate(at(plan, node, values, bk))
    return bk.asarray(y, dtype if y.dtype.kind == "f" else None)


def _checked(node: Node, values: Values, masked: set[str]) -> bool:
    """Whether a value that depends on the signal is finite; infinite it may be by a mask only.

    (Attention adds -inf, a constant, to the scores that do not count.)
    """
    y, where = values[node.output], f"the output of node {node.key!r} ({node.op})"
    if 0 in y.shape:
        raise InputError(f"{where} is empty: the input is too short for the model")
    if np.isfinite(np.sum(y)):
        return True
    others = [values[name] for name in node.inputs if name and name not in masked]
    known = masked.intersection(node.inputs) or any(np.isneginf(a).any() for a in others)
    if known and node.op not in LAYERS and (np.isfinite(y) | np.isneginf(y)).all():
        return False
    check_finite(y, where)
    return True


def check_finite(array: AnyArray, what: str) -> None:
    """Raise `NonFiniteError` with the first bad index, unless all is finite."""
    if np.isfinite(np.sum(array)):  # one cheap pass; the index is searched only when it fails
        return
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(f"{what} is {array[index]} at index {index}: not a finite number")
