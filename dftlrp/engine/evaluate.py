"""The forward pass: every value of a graph, each by its op's own evaluation."""

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
from dftlrp.core.programs import looking_only
from dftlrp.core.progress import steps
from dftlrp.core.types import (
    AnyArray,
    DftlrpError,
    InputError,
    NonFiniteError,
    UnsupportedModelError,
)
from dftlrp.engine.gates import is_stop
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Graph, Node
from dftlrp.ops import EXPANSIONS, OPS, At
from dftlrp.ops.registry import WORK, Budget, Known

Values = dict[str, Array]
# The bytes of values that one forward pass may take: `FLOOR`, a multiple of what the user gave
# (128 channels of 10 layers at the input's rate are 1280 times it) and a multiple of the weights,
# which make values of their own; at most `MAX_BYTES`.  A small file on a small input stays small.
FLOOR, PER_INPUT, PER_WEIGHT, MAX_BYTES = 2**26, 2**12, 2**4, 2**34
# The same in nodes, loops and cells written out, beyond those in the file.
FLOOR_NODES, NODES_PER_NUMBER, MAX_NODES = 2 * 10**4, 2**6, 2 * 10**5
INFINITE = 1e9  # what stands for an infinite number where relevance is computed
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization")  # add no masks
# What NumPy and an op's own code raise where a node does not go with its inputs.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


class Run(NamedTuple):
    """A forward pass.

    Attributes
    ----------
    values : dict of str to array
        All values that were computed.
    nodes : tuple of Node
        The nodes that really ran, with loops and cells written out.
    finite : dict of str to array
        For each value next to a mask that holds -inf (or another number that is not finite), what
        relevance is computed with instead; the value itself stays what the model makes of it.
    decisive : frozenset of str
        The values that control flow depends on.
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
    changed: Mapping[str, Callable[[Array], Array]] = MappingProxyType({}),
    room: int = MAX_BYTES,
) -> Run:
    """Return all values that the output needs; those in ``changed`` as its functions make them.

    ``room`` is the number of bytes that the inputs may ask for, see `make_budget`.

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
    progress = _Progress(plan, Known({**bound, **given}), room)
    values = progress.values
    with np.errstate(all="ignore"):  # what overflows is reported by the name of its layer
        for node in expand_nodes(steps(plan.nodes, "forward"), values, progress.count_left):
            y = run_node(plan, node, values, bk, dtype, progress.budget)
            if node.output in changed:
                y = changed[node.output](y)
            progress.add(node, y)
    if missing := sorted(set(changed) - values.keys()):
        raise InputError(f"no value {missing[0]!r} is computed on the way to {plan.output!r}")
    return progress.make_run()


class _Progress:
    """A forward pass that is under way: what was computed, and what may still be."""

    def __init__(self, plan: Plan, values: Known, room: int) -> None:
        self.plan = plan
        self.values = values
        self.nodes: list[Node] = []
        self.carriers = set(plan.signals)
        self.masked: dict[str, NonFiniteError] = {}
        self.budget = make_budget(plan, values, room)
        self.most = _count_allowed_nodes(plan, values)

    def count_left(self) -> int:
        """Return how many nodes may still run."""
        return self.most - len(self.nodes)

    def add(self, node: Node, y: Array) -> None:
        """Keep the value that a node made.

        Raises
        ------
        NonFiniteError, InputError
            The value is not finite or empty; see `_find_non_finite`.
        InputError, UnsupportedModelError
            The budget of bytes or of nodes is spent.
        """
        self.values[node.output] = y
        floats = y.dtype.kind == "f"
        carries = not self.carriers.isdisjoint(node.inputs) and not is_stop(node, self.plan.tokens)
        if carries and (self.plan.tokens or floats):
            self.carriers.add(node.output)
            if floats and (origin := _find_non_finite(node, self.values, self.masked)):
                self.masked[node.output] = origin
        self.nodes.append(node)
        self.budget.room -= y.nbytes
        if self.budget.room < 0:
            raise _make_memory_error(node)
        if self.count_left() < 0:
            raise UnsupportedModelError(
                f"node {node.key!r} ({node.op}): the loops and cells up to here take more than "
                f"{self.most} steps: explain shorter inputs"
            )

    def make_run(self) -> Run:
        """Return the whole pass, or raise if the output is not finite."""
        if self.plan.output in self.masked:
            raise self.masked[self.plan.output]
        values, masked = self.values, [n for n in self.nodes if n.output in self.masked]
        near = {v for n in masked for v in (n.output, *filter(None, n.inputs))}
        finite = {v: replace_non_finite(values[v]) for v in near if values[v].dtype.kind == "f"}
        return Run(values, tuple(self.nodes), finite, frozenset(values.decisive))


def make_budget(plan: Plan, given: Mapping[str, Array], most: int = MAX_BYTES) -> Budget:
    """Return what may be allocated and computed at these inputs and weights.

    ``most`` is the number of bytes that the inputs may ask for: few, where nobody gave them.
    """
    inputs = sum(given[name].nbytes for name in plan.signals)
    weights = sum(a.nbytes for a in given.values()) - inputs
    room = min(MAX_BYTES, FLOOR + min(most, PER_INPUT * inputs) + PER_WEIGHT * weights)
    return Budget(room, WORK * room)


def _count_allowed_nodes(plan: Plan, given: Mapping[str, Array]) -> int:
    """Return how many nodes may run at these inputs."""
    numbers = sum(int(given[name].size) for name in plan.signals)
    return min(MAX_NODES, len(plan.nodes) + FLOOR_NODES + NODES_PER_NUMBER * numbers)


# -- one node


def make_at(
    plan: Plan, node: Node, values: Mapping[str, Array], bk: Backend, budget: Budget | None = None
) -> At:
    """Return the node at its current activations."""
    args = tuple(values[name] if name else None for name in node.inputs)
    live = plan.live.get(node.key, ())
    return At(node, bk, args, live, values.get(node.output), budget or Budget())


def _fold_known(at: At) -> At:
    """Return the node computed by NumPy, as constants are, if it depends on no signal."""
    bk, given = at.bk, [a for a in at.args if a is not None]
    if not all(map(bk.known, given)):
        return at
    args = tuple(None if a is None else bk.read(a) for a in at.args)
    return replace(at, bk=NUMPY, args=args)


def run_node(
    plan: Plan,
    node: Node,
    values: Values,
    bk: Backend,
    dtype: np.dtype[Any],
    budget: Budget | None = None,
) -> Array:
    """Return the output of one node; floats are in the dtype that is computed in."""
    with blame(node):
        at = _fold_known(make_at(plan, node, values, bk, budget))
        if any(a is not None and a.dtype.kind in "OSU" for a in at.args):
            raise UnsupportedModelError(f"node {node.key!r} ({node.op}): it reads text")
        y = OPS[node.op].evaluate(at)
        at.grant(y.shape)  # ops that make no larger tensor do not ask
        return bk.asarray(y, dtype if y.dtype.kind == "f" else None)


@contextmanager
def blame(node: Node) -> Iterator[None]:
    """Turn what NumPy raises into one line that names the node."""
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


def _make_memory_error(node: Node) -> InputError:
    return InputError(
        f"node {node.key!r} ({node.op}): the values up to here need more memory than there is: "
        "explain fewer samples at a time, or shorter ones"
    )


# -- nodes that stand for others


def expand_nodes(
    nodes: Iterator[Node], values: Known, count_left: Callable[[], int] = lambda: MAX_NODES
) -> Iterator[Node]:
    """Yield the nodes, and in place of one that stands for others these, as their values come in.

    ``count_left`` returns how many nodes may still run.
    """
    waiting = [nodes]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
        elif node.op not in EXPANSIONS:
            yield node
        elif node.output not in values:  # else made with another output of the same ONNX node
            inner = EXPANSIONS[node.op](node, values, count_left())
            waiting.append(_blame_expansion(node, inner))


def _blame_expansion(node: Node, inner: Iterator[Node]) -> Iterator[Node]:
    """Yield the nodes of an expansion; an error in it names the node that is expanded.

    Unless they are steps of a recurrence of their own, they are a part of the node's step.
    """
    while True:
        with blame(node):
            step = next(inner, None)
        if step is None:
            return
        yield step if step.turn[0] or not node.turn[0] else replace(step, turn=node.turn)


# -- checks of values


def cast_constants(graph: Graph, bk: Backend, dtype: np.dtype[Any]) -> Values:
    """Return the initialisers as arrays of the backend, floats in the dtype computed in."""

    def cast(array: AnyArray) -> Array:
        floats = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
        return bk.asarray(array, dtype if floats else None)

    return {name: cast(array) for name, array in graph.constants.items()}


def fit_factor(factor: Any, value: Array, name: str) -> AnyArray:
    """Return what a value is multiplied by, in its dtype.

    Raises
    ------
    InputError
        The factor does not broadcast to the value's shape.
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


def _find_non_finite(
    node: Node, values: Values, masked: Mapping[str, NonFiniteError]
) -> NonFiniteError | None:
    """Return the error of a value that depends on the signal and is NaN or Inf, or None.

    A value may be so as long as something takes it out again before a layer or the output sees it:
    a Softmax the -inf of a mask, a Where the 0 / 0 of a phase in silence.

    Raises
    ------
    NonFiniteError
        A layer makes or reads such a value; the first node that made it is named.
    InputError
        The value is empty.
    """
    y, what = values[node.output], f"the output of node {node.key!r} ({node.op})"
    if 0 in y.shape:
        raise InputError(f"{what} is empty: the input is too short for the model")
    before = [masked[name] for name in node.inputs if name in masked]
    if before and node.op in LAYERS:
        raise before[0]
    try:
        check_finite(y, what)
    except NonFiniteError as error:
        if node.op in LAYERS:
            raise
        return before[0] if before else error
    return None


def check_finite(array: AnyArray, what: str) -> None:
    """Raise `NonFiniteError` with the first bad index, unless all numbers are finite."""
    with looking_only():
        if np.isfinite(np.sum(array)):  # one cheap pass; the index is searched only when it fails
            return
        bad = ~np.isfinite(array)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise NonFiniteError(f"{what} is {array[index]} at index {index}: not a finite number")
