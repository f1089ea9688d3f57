"""Symbolic arrays: what stands for an array while a graph is built.

A function of a `Symbol` appends nodes to its tape.  A function of constants alone is computed by
NumPy, in float64, so that weights (w+, flips, b + eps) are folded by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from dftlrp.core.arrays import BackendArray
from dftlrp.core.signs import UNKNOWN, Sign
from dftlrp.core.types import AnyArray, Shape

FLOAT = np.dtype(np.float32)
Operand = Any  # Symbol, array or number


class UntraceableError(TypeError, AttributeError):
    """Something that cannot be written as nodes was asked of a symbolic array."""


class Recorder(Protocol):
    """What a symbol needs of the graph that it belongs to."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Append the nodes of a function and return its result."""


class Origin(NamedTuple):
    """The node that gives a symbol: its op, inputs and attributes."""

    op: str
    inputs: tuple[Operand, ...] = ()
    attributes: tuple[tuple[str, Any], ...] = ()

    def attribute(self, name: str) -> Any:
        """Return an attribute of the node, or None if it has none of that name."""
        return dict(self.attributes).get(name)


class Symbol(BackendArray):
    """An array of the graph: the name of a value, its shape and dtype, and where it comes from."""

    def __init__(
        self, tape: Recorder, name: str, shape: Sequence[int], dtype: Any, origin: Origin,
        sign: Sign = UNKNOWN,
    ) -> None:  # fmt: skip
        super().__init__(shape, dtype, sign)
        self.tape, self.name, self.origin = tape, name, origin

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Append the nodes of a function and return its result.

        Raises
        ------
        UntraceableError
            The function has no form as nodes.
        """
        return self.tape.call(name, *args, **kwargs)

    def with_sign(self, sign: Sign) -> Symbol:
        """Return the same value with a sign that is known for another reason."""
        return Symbol(self.tape, self.name, self.shape, self.dtype, self.origin, sign)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Convert as NumPy does; every float is float32 in the graph."""
        wanted = narrow_dtype(np.dtype(dtype))
        return self if wanted is self.dtype else super().astype(wanted)

    def read(self) -> AnyArray:
        """Raise, since there are no numbers before the graph runs."""
        raise UntraceableError("it needs numbers that only exist when the graph runs")

    def __getattr__(self, name: str) -> Any:
        raise UntraceableError(f"{name!r} of an array")

    def __hash__(self) -> int:
        return hash(self.name)


def narrow_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that a value has in the graph, where floats are float32."""
    return FLOAT if dtype.kind == "f" else dtype


def broadcast_shapes(a: Operand, b: Operand) -> Shape:
    """Return the shape that two operands are broadcast to."""
    left = a.shape if isinstance(a, Symbol) else np.shape(a)
    right = b.shape if isinstance(b, Symbol) else np.shape(b)
    return left if left == right or not right else np.broadcast_shapes(left, right)


def find_dtype(operands: Sequence[Operand]) -> np.dtype[Any]:
    """Return the dtype of the first symbol; float32 if there is none."""
    return next((x.dtype for x in operands if isinstance(x, Symbol)), FLOAT)


def find_number(x: Operand) -> float | None:
    """Return the one number that a constant consists of, or None if there are several."""
    if isinstance(x, Symbol):
        return None
    a = np.asarray(x)
    if not a.size:
        return None
    first = a.ravel()[0]
    same = a.size == 1 or not any(a.strides) or bool((a == first).all())
    return float(first) if same else None


def shrink(a: AnyArray, other: Shape) -> AnyArray:
    """Return a constant of an elementwise node, cut to one along axes where it does not change.

    ``other`` is the shape of the array that it is broadcast against.
    """
    for axis in range(a.ndim):
        place = axis - a.ndim
        wide = len(other) >= -place and other[place] == a.shape[axis]
        if wide and a.shape[axis] > 1 and (a == a.take([0], axis)).all():
            a = a.take([0], axis)
    while a.ndim > 0 and a.shape[0] == 1 and len(other) >= a.ndim:
        a = a[0]
    return a


def find_axes(x: Symbol, axis: Any) -> Shape:
    """Return axes as non-negative numbers; None stands for all."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(int(a) % x.ndim for a in np.atleast_1d(axis))
