"""The forward pass: every value of the graph, by the ops' own evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Array
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.progress import steps
from dftlrp.core.types import (
    AnyArray,
    DftlrpError,
    InputError,
    NonFiniteError,
    UnsupportedModelError,
)
from dftlrp.engine.gates import stops
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Graph, Node
from dftlrp.ops import EXPANSIONS, OPS, At
from dftlrp.ops.registry import WORK, Budget, Known

Values = dict[str, Array]
# What one forward pass may take, in bytes of values: `FLOOR`, and a multiple of what the user gave
# (128 channels of 10 layers at the input's rate are 1280 times it) and of the weights, which make
# values of their own; so a small file on a small input stays small.  At most `MAX_BYTES`.
FLOOR, PER_INPUT, PER_WEIGHT, MAX_BYTES = 2**27, 2**12, 2**4, 2**34
# The same in nodes, loops and cells written out, beyond those in the file.
FLOOR_NODES, NODES_PER_NUMBER, MAX_NODES = 2 * 10**4, 2**6, 10**6
INFINITE = 1e9  # what stands for an infinite number where relevance is computed
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization")  # add no masks


def constants(graph: Graph, bk: Backend, dtype: np.dtype[Any]) -> Values:
    """Initialisers as arrays of the backend, floats in the dtype that is computed in."""

    def cast(array: AnyArray) -> Array:
        floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
        return bk.asarray(array, dtype if floating else None)

    return {name: cast(array) for name, array in graph.constants.items()}


def at(
    plan: Plan, node: Node, values: Mapping[str, Array], bk: Backend, budget: Budget | None = None
) -> At:
    """The node at its current activations."""
    args = tuple(values[name] if name else None for name in node.inputs)
    live = plan.live.get(node.key, ())
    return At(node, bk, args, live, values.get(node.output), budget or Budget())


def folding(here: At) -> At:
    """What depends on no signal is computed by NumPy, as constants are."""
    bk, given = here.bk, [a for a in here.args if a is not None]
    if not all(map(bk.known, given)):
        return here
    args = tuple(None if a is None else bk.read(a) for a in here.args)
    return replace(here, bk=NUMPY, args=args)


def byte_budget(plan: Plan, given: Mapping[str, Array]) -> Budget:
    """What may be allocated and computed at these inputs and weights."""
    inputs = sum(given[name].nbytes for name in plan.signals)
    weights = sum(a.nbytes for a in given.values()) - inputs
    room = min(MAX_BYTES, FLOOR + PER_INPUT * inputs + PER_WEIGHT * weights)
    return Budget(room, WORK * room)


def node_budget(plan: Plan, given: Mapping[str, Array]) -> int:
    """How many nodes may run at these inputs."""
    numbers = sum(int(given[name].size) for name in plan.signals)
    return min(MAX_NODES, len(plan.nodes) + FLOOR_NODES + NODES_PER_NUMBER * numbers)


# What NumPy and an op's own code raise where a node does not go with its inputs.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


class Run(NamedTuple):
    """A forward pass: its values, and the nodes that really ran, loops and cells written out.

    ``finite``: for each value next to a mask that holds -inf (or another number that is not
    finite), what relevance is computed with instead; the value itself stays what the model makes of
    it.  ``decisive``: values that which nodes run hangs on.
    """

    values: Values
    nodes: tuple[Node, ...]
    finite: Mapping[str, Array] = MappingProxyType({})
    decisive: frozenset[str] = frozenset()


def evaluate(
    plan: Plan,
    given: Mapping[str, Array],
    bk: Backend,
    dtype: np.dtype[Any],
    scaled: Mapping[str, AnyArray] = MappingProxyType({}),
) -> Run:
    """All values that the output needs; those in ``scaled`` are multiplied by what it says.

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
    values = Known({**bound, **given})
    carriers, masked, nodes = set(plan.signals), dict[str, NonFiniteError](), list[Node]()
    made: dict[str, Node] = {}
    budget, most = byte_budget(plan, values), node_budget(plan, values)
    with np.errstate(all="ignore"):  # what overflows is reported below, by its layer's name
        for node in written_out(steps(plan.nodes, "forward"), values, lambda: most - len(nodes)):
            carries = not carriers.isdisjoint(node.inputs) and not stops(node, plan.tokens)
            y = run_node(plan, node, values, bk, dtype, budget)
            if node.output in scaled:
                y = y * fitting(scaled[node.output], y, node.output)
            values[node.output] = y
            if carries and (plan.tokens or y.dtype.kind == "f"):
                carriers.add(node.output)
                if y.dtype.kind == "f" and (origin := _find_nonfinite(node, values, masked)):
                    masked[node.output] = origin
                    made[node.output] = node
            nodes.append(node)
            budget.room -= y.nbytes
            if budget.room < 0:
                raise _make_memory_error(node)
            if len(nodes) > most:
                raise UnsupportedModelError(
                    f"node {node.key!r} ({node.op}): the loops and cells up to here take more than "
                    f"{most} steps: explain shorter inputs"
                )
    if missing := sorted(set(scaled) - values.keys()):
        raise InputError(f"no value {missing[0]!r} is computed on the way to {plan.output!r}")
    if plan.output in masked:
        raise masked[plan.output]
    near = {v for name in masked for v in (name, *filter(None, made[name].inputs))}
    finite = {v: replace_non_finite(values[v]) for v in near if values[v].dtype.kind == "f"}
    return Run(values, tuple(nodes), finite, frozenset(values.decisive))


def fitting(factor: Any, value: Array, name: str) -> AnyArray:
    """What a value is multiplied by, in its dtype.

    Raises
    ------
    InputError
        It does not broadcast to the value's shape.
    """
    a = np.asarray(factor, value.dtype)
    try:
        fits = np.broadcast_shapes(a.shape, value.shape) == value.shape
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"mask of {name!r}: {a.shape} does not fit its output {value.shape}")
    return a


def replace_non_finite(x: Array) -> Array:
    """Return x with -1e9 for -inf, 1e9 for inf and 0 for NaN.

    Beside any score -1e9 counts for as little as -inf does: e to its power is 0, and no maximum is
    there.  So a mask that holds -inf is explained as one that holds a large number, and 0 relevance
    times it is 0.
    """
    sign = np.where(np.less(x, 0), -1.0, 0.0) + np.where(np.greater(x, 0), 1.0, 0.0)
    return np.where(np.isfinite(x), x, (INFINITE * sign).astype(x.dtype))


def written_out(
    nodes: Iterator[Node], values: Known, left: Callable[[], int] = lambda: MAX_NODES
) -> Iterator[Node]:
    """The nodes; instead of one that stands for others, these, each once the last has run.

    ``left`` tells how many nodes may still run.
    """
    waiting = [nodes]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
        elif node.op not in EXPANSIONS:
            yield node
        elif node.output not in values:  # else made with another output of the same ONNX node
            waiting.append(_blame_expansion(node, EXPANSIONS[node.op](node, values, left())))


def _blame_expansion(node: Node, inner: Iterator[Node]) -> Iterator[Node]:
    """The nodes of an expansion; what goes wrong in it is told of the node that it expands."""
    while True:
        with blamed(node):
            step = next(inner, None)
        if step is None:
            return
        yield step


def _make_memory_error(node: Node) -> InputError:
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
        raise _make_memory_error(node) from None
    except REFUSALS as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"node {node.key!r} ({node.op}) cannot run on these inputs: {line}"
        ) from error


def run_node(
    plan: Plan,
    node: Node,
    values: Values,
    bk: Backend,
    dtype: np.dtype[Any],
    budget: Budget | None = None,
) -> Array:
    """The output of one node; floats in the dtype that is computed in."""
    with blamed(node):
        here = folding(at(plan, node, values, bk, budget))
        if any(a is not None and a.dtype.kind in "OSU" for a in here.args):
            raise UnsupportedModelError(f"node {node.key!r} ({node.op}): it reads text")
        y = OPS[node.op].evaluate(here)
        here.grant(y.shape)  # ops that make no larger tensor do not ask
        return bk.asarray(y, dtype if y.dtype.kind == "f" else None)


def _find_nonfinite(
    node: Node, values: Values, masked: Mapping[str, NonFiniteError]
) -> NonFiniteError | None:
    """What to say of a value that depends on the signal and is NaN or Inf, or None.

    It may be so as long as something takes it out again before a layer or the output sees it: a
    Softmax the -inf of a mask, a Where the 0 / 0 of a phase in silence.

    Raises
    ------
    NonFiniteError
        A layer makes or reads such a value; the first node that made it is named.
    """
    y = values[node.output]
    if 0 in y.shape:
        where = f"the output of node {node.key!r} ({node.op})"
        raise InputError(f"{where} is empty: the input is too short for the model")
    before = [masked[name] for name in node.inputs if name in masked]
    if before and node.op in LAYERS:
        raise before[0]
    if np.isfinite(np.sum(y)):
        return None
    try:
        check_finite(y, f"the output of node {node.key!r} ({node.op})")
    except NonFiniteError as error:
        if node.op in LAYERS:
            raise
        return before[0] if before else error
    return None


def check_finite(array: AnyArray, what: str) -> None:
    """Raise `NonFiniteError` with the first bad index, unless all is finite."""
    if np.isfinite(np.sum(array)):  # one cheap pass; the index is searched only when it fails
        return
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(f"{what} is {array[index]} at index {index}: not a finite number")
