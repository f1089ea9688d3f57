"""The table of ops, and what the functions in it see.

Each file of this room describes a family of ops and registers each of them under its ONNX name, by
one of

* `register_affine`: the op is linear in its inputs, with weights and a bias;
* `register_route`: relevance is carried and never rescaled;
* `register_stop`: the op carries no relevance;
* `register_evaluated`: the op can be evaluated, but refuses to carry relevance;
* `register_expansion`: the op stands for other nodes, which run in its place.

An op that is not linear in its inputs may add by `register_between` what its map is between two
points; without that the engine takes the mean of the tangents at both.

The function that the table holds for an op bears the op's name, as `conv` and `layer_normalization`
do; its docstring is what the page of operators says of the op.  All other functions are verbs.  A
file may state the ``SOURCE`` of its maps, which that page cites.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array, Map
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.graph.structure import Node

MAX_BYTES = 2**34  # of all values of one forward pass
MAX_RANK = 8
MAX_NUMBERS = 2**16  # of a parameter: axes, sizes, pads
WORK = 2**5  # products for each byte that may be allocated


@dataclass
class Budget:
    """What the rest of a forward pass may take.

    Attributes
    ----------
    room : int
        Bytes of values that may still be allocated.
    work : int
        Products of numbers that may still be computed.
    """

    room: int = MAX_BYTES
    work: int = WORK * MAX_BYTES


@dataclass(frozen=True)
class At:
    """A node at its current activations.

    Attributes
    ----------
    node : Node
        The op's name, attributes and opset.
    bk : Backend
        What the maps compute with.
    args : tuple of arrays or None
        The node's inputs; None for an optional one that is left out.
    live : tuple of int
        Positions of the inputs that carry relevance.
    y : array or None
        The output, where it is already known.
    budget : Budget
        What may still be allocated and computed.
    """

    node: Node
    bk: Backend
    args: tuple[Array, ...]
    live: tuple[int, ...]
    y: Array = None
    budget: Budget = field(default_factory=Budget)

    @property
    def x(self) -> Array:
        """The first input."""
        return self.args[0]

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The inputs that carry relevance."""
        return tuple(self.args[i] for i in self.live)

    def get_attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or the default if the node has none of that name."""
        return self.node.attrs.get(name, default)

    def get_arg(self, position: int) -> Array:
        """Return an optional input, or None if it is left out."""
        return self.args[position] if position < len(self.args) else None

    def get_setting(self, position: int, name: str, default: Any = None) -> Any:
        """Return a parameter that is an attribute in old opsets and an input in new ones."""
        value = self.get_arg(position)
        return self.get_attr(name, default) if value is None else self.read_numbers(value)

    def read_numbers(self, value: Array) -> Any:
        """Return a parameter as a Python number or list.

        Raises
        ------
        ValueError
            The parameter holds more than `MAX_NUMBERS` numbers.
        """
        if np.size(value) > MAX_NUMBERS:
            raise ValueError(f"a parameter of {np.size(value)} numbers")
        return self.bk.read(value).tolist()

    def read_axes(
        self, axes: int | Sequence[int] | None, rank: int | None = None
    ) -> tuple[int, ...]:
        """Return axes as non-negative numbers; None stands for all of them.

        Raises
        ------
        ValueError
            An axis is out of range or named twice.
        """
        rank = self.x.ndim if rank is None else rank
        if axes is None:
            return tuple(range(rank))
        if np.asarray(axes).dtype.kind not in "iuf":
            raise ValueError(f"axes of type {np.asarray(axes).dtype}")
        given = [int(a) for a in np.atleast_1d(axes)]
        found = tuple(a % rank for a in given if -rank <= a < rank)
        if len(set(found)) < len(given):
            raise ValueError(f"axes {given} of a tensor of rank {rank}")
        return found

    def read_axis(self, name: str, default: int, rank: int | None = None) -> int:
        """Return the axis that an attribute names, as a non-negative number."""
        return self.read_axes(self.get_attr(name, default), rank)[0]

    def grant(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape if a tensor of it may be allocated.

        All numbers count as float64.  An empty tensor counts as if its lengths of zero were one,
        since what is summed over none of its elements is as large as that.

        Raises
        ------
        UnsupportedModelError
            The tensor has too many axes or is larger than the budget; the message names the node.
        """
        dims = tuple(int(n) for n in shape[: MAX_RANK + 1])
        size = math.prod(max(n, 1) for n in dims)
        if len(dims) > MAX_RANK or size * 8 > min(self.budget.room, MAX_BYTES):
            raise UnsupportedModelError(
                f"node {self.node.key!r} ({self.node.op}): a tensor of shape {dims} is too large: "
                f"{max(self.budget.room, 0)} bytes of memory are left for this input: "
                "explain fewer samples at a time, or shorter ones"
            )
        return dims

    def grant_broadcast(self) -> tuple[int, ...]:
        """Return the shape that all inputs broadcast to, if a tensor of it may be allocated."""
        return self.grant(np.broadcast_shapes(*(a.shape for a in self.args if a is not None)))

    def count_work(self, *factors: int) -> None:
        """Take a product of these factors from the budget, before so much is computed.

        Raises
        ------
        UnsupportedModelError
            The budget is spent; the message names the node.
        """
        self.budget.work -= math.prod(factors)
        if self.budget.work < 0:
            raise UnsupportedModelError(
                f"node {self.node.key!r} ({self.node.op}): more is computed up to here than is "
                "reasonable for this input: explain fewer samples at a time, or shorter ones"
            )

    def refuse_growth(self, *others: Array) -> None:
        """Raise ValueError if broadcasting x with one of these parameters makes it larger."""
        for other in others:
            if other is not None and np.broadcast_shapes(self.x.shape, other.shape) != self.x.shape:
                raise ValueError(f"a parameter of shape {other.shape} for x of {self.x.shape}")


class Known(dict[str, Array]):
    """Values by name, and the names of those that control flow depends on."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        super().__init__(values)
        self.decisive: set[str] = set()

    def decide(self, name: str) -> AnyArray:
        """Return a value as an array and record that control flow depends on it."""
        self.decisive.add(name)
        return np.asarray(self[name])


@dataclass(frozen=True)
class Inputs:
    """Which inputs of an op may carry relevance.

    Attributes
    ----------
    carry : tuple of int, or None
        Their positions; None stands for all inputs.
    together : bool
        Whether several may carry relevance at once.
    frozen : tuple of int
        Positions that relevance takes as constants (a divisor, a bound, a gate of a cell), though
        the output's true slope there may not be zero.
    product : bool
        Whether the op multiplies two signals: then one of them is frozen, or both share
        (`dftlrp.engine.gates`).
    """

    carry: tuple[int, ...] | None = (0,)
    together: bool = False
    frozen: tuple[int, ...] = ()
    product: bool = False

    def select(self, args: Sequence[Array]) -> tuple[int, ...]:
        """Return the positions of the given inputs that an op is linear in, all or the first."""
        given = [i for i, a in enumerate(args) if a is not None]
        usable = [i for i in given if self.carry is None or i in self.carry]
        return tuple(usable if self.together else usable[:1])


FIRST = Inputs()
ANY = Inputs(None, together=True)

M = TypeVar("M", bound=Callable[..., Map])
Evaluate = Callable[[At], Array]
Expand = Callable[[Node, Known, int], Iterator[Node]]
Linearise = Callable[[At], Map]
Between = Callable[[At, At], Map]
Vanishes = Callable[[At], bool]


@dataclass(frozen=True)
class Op:
    """What dftlrp knows of an op type.

    Attributes
    ----------
    evaluate : callable
        Returns the output at given inputs.
    linearise : callable or None
        Returns the op's map at current activations; None for a Stop.
    kind : {"Affine", "Route", "Stop", "Evaluated"}
        What the tables call the op.
    inputs : Inputs
        Which inputs may carry relevance.
    weighted : bool
        Whether an Affine has weights that a rule could modify.
    outputs : int or None
        How many of the ONNX node's outputs it evaluates (by ``node.index``); None: any number.
    silent : tuple of int
        Those of them that carry no relevance: indices, masks.
    tokens : bool
        Whether it carries the relevance of whole numbers only.
    between : callable or None
        Returns the map A between x and r, with ``y(x) - y(r) = A (x - r)`` exactly.
    vanishes : callable or None
        Returns whether a node divides nothing by nothing, as norms do where nothing varies.
    """

    evaluate: Evaluate
    linearise: Linearise | None
    kind: str
    inputs: Inputs = FIRST
    weighted: bool = True
    outputs: int | None = 1
    silent: tuple[int, ...] = ()
    tokens: bool = False
    between: Between | None = None
    vanishes: Vanishes | None = None

    def find_refusal(self, live: tuple[int, ...]) -> str | None:
        """Return why relevance cannot go to these inputs, or None if it can."""
        if self.linearise is None:
            return None
        carry = self.inputs.carry
        if carry is not None and (wrong := [i for i in live if i not in carry]):
            return f"its input {wrong[0]} depends on the signal, where no rule carries relevance"
        if len(live) > 1 and not self.inputs.together:
            return "two of its inputs depend on the signal, and no rule shares between them"
        return None


OPS: dict[str, Op] = {}
EXPANSIONS: dict[str, Expand] = {}
STATIC: set[str] = set()  # expansions that need no values but constants


def register_affine(
    *names: str,
    inputs: Inputs = FIRST,
    evaluate: Evaluate | None = None,
    weighted: bool = True,
    outputs: int | None = 1,
) -> Callable[[M], M]:
    """Register the decorated function, which returns the op's `Affine`.

    The op is evaluated by the map's own forward, unless ``evaluate`` is given.  With it, the
    function may return a `Route` for a form of the op that only moves data.
    """

    def register(build: M) -> M:
        def forward(at: At) -> Array:
            at = replace(at, live=inputs.select(at.args))
            layer = build(at)
            assert isinstance(layer, Affine)
            y = layer.apply(*at.inputs)
            if layer.bias is None:
                return y
            at.grant(np.broadcast_shapes(y.shape, np.shape(layer.bias)))
            return y + layer.bias

        run = evaluate or forward
        OPS.update(dict.fromkeys(names, Op(run, build, "Affine", inputs, weighted, outputs)))
        return build

    return register


def register_route(
    *names: str,
    evaluate: Evaluate,
    inputs: Inputs = FIRST,
    outputs: int | None = 1,
    silent: tuple[int, ...] = (),
) -> Callable[[Linearise], Linearise]:
    """Register the decorated function, which returns the op's `Route`."""

    def register(build: Linearise) -> Linearise:
        op = Op(evaluate, build, "Route", inputs, outputs=outputs, silent=silent)
        OPS.update(dict.fromkeys(names, op))
        return build

    return register


def register_between(*names: str, vanishes: Vanishes | None = None) -> Callable[[Between], Between]:
    """Register the decorated function, which returns an op's map between two points."""

    def register(build: Between) -> Between:
        OPS.update({n: replace(OPS[n], between=build, vanishes=vanishes) for n in names})
        return build

    return register


def register_stop(*names: str, evaluate: Evaluate, outputs: int | None = 1) -> None:
    """Register ops that carry no relevance."""
    OPS.update(dict.fromkeys(names, Op(evaluate, None, "Stop", ANY, outputs=outputs)))


def register_tokens(
    name: str, *, evaluate: Evaluate, inputs: Inputs
) -> Callable[[Linearise], Linearise]:
    """Register the map of an op that carries the relevance of whole numbers, and else none."""

    def register(build: Linearise) -> Linearise:
        OPS[name] = Op(evaluate, build, "Stop", inputs, tokens=True)
        return build

    return register


def register_evaluated(*names: str, evaluate: Evaluate) -> None:
    """Register ops that can be evaluated, but refuse to carry relevance."""
    OPS.update(dict.fromkeys(names, Op(evaluate, _refuse_relevance, "Evaluated", Inputs(()))))


def register_expansion(*names: str, static: bool = False) -> Callable[[Expand], Expand]:
    """Register the decorated generator, which yields the nodes that an op stands for.

    With ``static`` these depend on constants alone, and stand in the graph before a plan of it is
    made.  Each node has run before the next is asked for.  The generator is given the node, the
    `Known` values, of which `Known.decide` reads one that decides what runs, and the number of
    nodes that may still run.
    """

    def register(expand: Expand) -> Expand:
        EXPANSIONS.update(dict.fromkeys(names, expand))
        STATIC.update(names if static else ())
        return expand

    return register


def _refuse_relevance(at: At) -> Map:
    raise UnsupportedModelError(f"node {at.node.key!r} ({at.node.op}) carries no relevance")
