"""The table from op type to op, and what an op's functions see."""

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
    """What is left of a forward pass: bytes of values, and products of numbers."""

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
        The node's inputs; None where an optional one is left out.
    live : tuple of int
        Positions of the inputs that carry relevance.
    y : array or None
        The output, where it is known already.
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

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.node.attrs.get(name, default)

    def arg(self, position: int) -> Array:
        """An optional input; None where left out."""
        return self.args[position] if position < len(self.args) else None

    def setting(self, position: int, name: str, default: Any = None) -> Any:
        """A parameter that is an attribute in old opsets and an input in new ones."""
        value = self.arg(position)
        return self.attr(name, default) if value is None else self.numbers(value)

    def numbers(self, value: Array) -> Any:
        """The numbers of a parameter."""
        if np.size(value) > MAX_NUMBERS:
            raise ValueError(f"a parameter of {np.size(value)} numbers")
        return self.bk.read(value).tolist()

    def axes(self, axes: int | Sequence[int] | None, rank: int | None = None) -> tuple[int, ...]:
        """Axes as non-negative numbers, each once; None: all."""
        rank = self.x.ndim if rank is None else rank
        if axes is None:
            return tuple(range(rank))
        given = [int(a) for a in np.atleast_1d(axes)]
        found = tuple(a % rank for a in given if -rank <= a < rank)
        if len(set(found)) < len(given):
            raise ValueError(f"axes {given} of a tensor of rank {rank}")
        return found

    def grant(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape, if a tensor of it may be allocated; all are counted as float64.

        An empty tensor counts as if its zeros were ones: what is summed over none of its elements
        is as large as that.
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

    def work(self, *factors: int) -> None:
        """Count so many products of numbers, before they are computed."""
        self.budget.work -= math.prod(factors)
        if self.budget.work < 0:
            raise UnsupportedModelError(
                f"node {self.node.key!r} ({self.node.op}): more is computed up to here than is "
                "reasonable for this input: explain fewer samples at a time, or shorter ones"
            )

    def fits(self, *others: Array) -> None:
        """Refuse parameters that would make x larger when they are broadcast to it."""
        for other in others:
            if other is not None and np.broadcast_shapes(self.x.shape, other.shape) != self.x.shape:
                raise ValueError(f"a parameter of shape {other.shape} for x of {self.x.shape}")

    def broadcast(self) -> tuple[int, ...]:
        """The shape that all inputs broadcast to, if a tensor of it may be allocated."""
        return self.grant(np.broadcast_shapes(*(a.shape for a in self.args if a is not None)))


class Known(dict[str, Array]):
    """Values by name, and which of them were read as numbers to decide what runs."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        super().__init__(values)
        self.decisive: set[str] = set()

    def decide(self, name: str) -> AnyArray:
        """The numbers of a value that what runs hangs on."""
        self.decisive.add(name)
        return np.asarray(self[name])


M = TypeVar("M", bound=Callable[..., Map])
Evaluate = Callable[[At], Array]
Expand = Callable[[Node, Known, int], Iterator[Node]]
Linearise = Callable[[At], Map]


@dataclass(frozen=True)
class Op:
    """What dftlrp knows of an op type.

    Attributes
    ----------
    evaluate : callable
        The output at given inputs.
    linearise : callable or None
        Its map at current activations; None for a Stop.
    carries : tuple of int, or None
        Positions of the inputs that may carry relevance; None: any.
    together : bool
        Whether several inputs may carry relevance at once.
    kind : str
        "Affine", "Route" or "Stop", for the tables.
    weighted : bool
        Whether an Affine has weights that a rule could modify.
    frozen : tuple of int
        Positions that are taken as they are where relevance is concerned (a divisor, a bound, a
        gate of a cell), though the output's true slope there may not be zero.
    product : bool
        Whether it multiplies two signals: one of them is frozen, or they share
        (`dftlrp.engine.gates`).
    tokens : bool
        Whether it carries the relevance of whole numbers only.
    outputs : int or None
        How many of the ONNX node's outputs it evaluates (by ``node.index``); None: any number.
    silent : tuple of int
        Those of them that carry no relevance: indices, masks.
    """

    evaluate: Evaluate
    linearise: Linearise | None
    carries: tuple[int, ...] | None
    together: bool
    kind: str
    weighted: bool = True
    frozen: tuple[int, ...] = ()
    product: bool = False
    outputs: int | None = 1
    silent: tuple[int, ...] = ()
    tokens: bool = False

    def refusal(self, live: tuple[int, ...]) -> str | None:
        """Why relevance cannot go to these inputs, or None if it can."""
        if self.linearise is None:
            return None
        if self.carries is not None and (wrong := [i for i in live if i not in self.carries]):
            return f"its input {wrong[0]} depends on the signal, where no rule carries relevance"
        if len(live) > 1 and not self.together:
            return "two of its inputs depend on the signal, and no rule shares between them"
        return None


OPS: dict[str, Op] = {}
EXPANSIONS: dict[str, Expand] = {}  # ops that stand for other nodes: loops, branches, cells


def _default_live(at: At, carries: tuple[int, ...] | None, together: bool) -> tuple[int, ...]:
    given = [i for i, a in enumerate(at.args) if a is not None]
    usable = [i for i in given if carries is None or i in carries]
    return tuple(usable if together else usable[:1])


def affine(
    *names: str,
    carries: tuple[int, ...] | None = (0,),
    together: bool = False,
    evaluate: Evaluate | None = None,
    weighted: bool = True,
    frozen: tuple[int, ...] = (),
    product: bool = False,
    outputs: int | None = 1,
    silent: tuple[int, ...] = (),
) -> Callable[[M], M]:
    """Register a function that gives an op's `Affine`; its forward is the evaluation.

    A form of the op that only moves data may be a `Route`; then ``evaluate`` is needed.
    """

    def register(build: M) -> M:
        def forward(at: At) -> Array:
            at = replace(at, live=_default_live(at, carries, together))
            layer = build(at)
            assert isinstance(layer, Affine)
            y = layer.apply(*at.inputs)
            if layer.bias is None:
                return y
            at.grant(np.broadcast_shapes(y.shape, np.shape(layer.bias)))
            return y + layer.bias

        run = evaluate or forward
        for name in names:
            OPS[name] = Op(
                run, build, carries, together, "Affine", weighted, frozen, product, outputs, silent
            )
        return build

    return register


def route(
    *names: str,
    evaluate: Evaluate,
    carries: tuple[int, ...] | None = (0,),
    together: bool = False,
    frozen: tuple[int, ...] = (),
    outputs: int | None = 1,
    silent: tuple[int, ...] = (),
) -> Callable[[Linearise], Linearise]:
    """Register a function that gives an op's `Route`."""

    def register(build: Linearise) -> Linearise:
        for name in names:
            OPS[name] = Op(
                evaluate, build, carries, together, "Route",
                frozen=frozen, outputs=outputs, silent=silent,
            )  # fmt: skip
        return build

    return register


def stop(*names: str, evaluate: Evaluate, outputs: int | None = 1) -> None:
    """Register an op that carries no relevance."""
    for name in names:
        OPS[name] = Op(evaluate, None, None, True, "Stop", outputs=outputs)


def expands(*names: str) -> Callable[[Expand], Expand]:
    """Register how an op becomes other nodes, one after the other, as their values come in.

    The function is told how many nodes may still run; what it reads as numbers, it reads by
    `Known.decide`.
    """

    def register(expand: Expand) -> Expand:
        EXPANSIONS.update(dict.fromkeys(names, expand))
        return expand

    return register


def final(*names: str, evaluate: Evaluate, outputs: int | None = 1) -> None:
    """Register an op that can be evaluated, but through which no relevance goes yet."""
    for name in names:
        OPS[name] = Op(evaluate, _never, (), False, "-", outputs=outputs)


def _never(at: At) -> Map:
    raise UnsupportedModelError(f"node {at.node.key!r} ({at.node.op}) carries no relevance")
