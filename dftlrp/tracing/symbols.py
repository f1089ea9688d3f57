"""Symbolic arrays: what stands for an array while a graph is built.

An operator on a `Symbol` appends a node to its tape; without a `Symbol` among its arguments NumPy
computes, in float64, so that weights (w+, flips, b + eps) fold by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.core.types import AnyArray

if TYPE_CHECKING:
    from dftlrp.tracing.tape import Tape

FLOAT = np.dtype(np.float32)
STEEP = 3e38  # slope of a HardSigmoid that is a step: onnxruntime's fastest on a CPU
Operand = Any  # Symbol, array or number
UFUNCS: dict[str, Any] = {}  # filled by `dftlrp.tracing.functions`: (tape, *arguments) -> Symbol
FUNCTIONS: dict[str, Any] = {}


class UntraceableError(TypeError, AttributeError):
    """Something that cannot be written as nodes was asked of a symbolic array."""


@dataclass(frozen=True)
class Made:
    """What made a symbolic array."""

    op: str
    inputs: tuple[Operand, ...] = ()
    attrs: tuple[tuple[str, Any], ...] = ()


class Symbol:
    """An array of the graph: its name, shape and dtype, and what is known of its sign.

    ``sign`` is 1 where it is known to be >= 0 everywhere, -1 where <= 0, else 0.
    """

    def __init__(
        self, tape: Tape, name: str, shape: Sequence[int], dtype: Any, sign: int, made: Made
    ) -> None:
        self.tape, self.name, self.made, self.sign = tape, name, made, sign
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    T = property(lambda self: self.transpose())

    def __add__(self, other: Operand) -> Any:
        return self.tape.add(self, other)

    def __radd__(self, other: Operand) -> Any:
        return self.tape.add(self, other)

    def __sub__(self, other: Operand) -> Any:
        return self.tape.sub(self, other)

    def __rsub__(self, other: Operand) -> Any:
        return self.tape.sub(other, self)

    def __mul__(self, other: Operand) -> Any:
        return self.tape.mul(self, other)

    def __rmul__(self, other: Operand) -> Any:
        return self.tape.mul(self, other)

    def __truediv__(self, other: Operand) -> Any:
        return self.tape.div(self, other)

    def __rtruediv__(self, other: Operand) -> Any:
        return self.tape.div(other, self)

    def __pow__(self, other: Operand) -> Any:
        return self.tape.binary("Pow", self, other, int(self.sign > 0))

    def __neg__(self) -> Symbol:
        if self.made.op == "Neg":
            before: Symbol = self.made.inputs[0]
            return before
        return self.tape.unary("Neg", self, -self.sign)

    def __abs__(self) -> Symbol:
        return self if self.sign > 0 else self.tape.unary("Abs", self, 1)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """NumPy's own functions of a symbolic array, those that ONNX has."""
        if method == "__call__" and not kwargs and (f := UFUNCS.get(ufunc.__name__)):
            return f(self.tape, *args)
        return NotImplemented

    def __array_function__(self, f: Any, _: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions that are no ufuncs, those that ONNX has."""
        known = FUNCTIONS.get(f.__name__)
        return known(self.tape, *args, **kwargs) if known else NotImplemented

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise UntraceableError("it needs numbers that only exist when the graph runs")

    def __bool__(self) -> bool:
        raise UntraceableError("it needs a truth that only exists when the graph runs")

    def __iter__(self) -> Any:
        raise UntraceableError("it walks through an array")

    def __getattr__(self, name: str) -> Any:
        raise UntraceableError(f"{name!r} of an array")

    def __getitem__(self, key: Any) -> Symbol:
        """Basic slicing."""
        return self.tape.slice(self, key)

    def reshape(self, *shape: Any) -> Symbol:
        """As NumPy's."""
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        return self.tape.reshape(self, tuple(given))

    def transpose(self, *perm: Any) -> Symbol:
        """As NumPy's."""
        given = perm[0] if len(perm) == 1 and isinstance(perm[0], tuple | list) else perm
        return self.tape.transpose(self, tuple(given or range(self.ndim)[::-1]))

    def swapaxes(self, a: int, b: int) -> Symbol:
        """As NumPy's."""
        perm = list(range(self.ndim))
        perm[a], perm[b] = perm[b], perm[a]
        return self.tape.transpose(self, perm)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Symbol:
        """As NumPy's."""
        return self.tape.total(self, axes_of(self, axis), keepdims)

    def take(self, index: Any, axis: int) -> Symbol:
        """Places along an axis."""
        places = np.asarray(index, np.int64)
        axis %= self.ndim
        shape = (*self.shape[:axis], *places.shape, *self.shape[axis + 1 :])
        own = {"sign": self.sign, "dtype": self.dtype}
        return self.tape.node("Gather", self, places, shape=shape, axis=axis, **own)

    def astype(self, dtype: Any, copy: bool = True) -> Symbol:
        """Another dtype; floats are float32."""
        wanted = floats(np.dtype(dtype))
        return self if wanted == self.dtype else self.tape.cast(self, wanted)

    def __eq__(self, other: object) -> Any:
        return self.tape.compare("Equal", self, other)

    def __lt__(self, other: Operand) -> Any:
        return self.tape.compare("Less", self, other)

    def __gt__(self, other: Operand) -> Any:
        return self.tape.compare("Greater", self, other)

    def __le__(self, other: Operand) -> Any:
        return self.tape.compare("LessOrEqual", self, other)

    def __ge__(self, other: Operand) -> Any:
        return self.tape.compare("GreaterOrEqual", self, other)

    def __hash__(self) -> int:
        return hash(self.name)


def floats(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in the graph: floats are float32."""
    return FLOAT if dtype.kind == "f" else dtype


def sign_of(x: Operand) -> int:
    """What is known of the sign: 1 (>= 0), -1 (<= 0) or 0."""
    if isinstance(x, Symbol):
        return x.sign
    a = np.asarray(x)
    if a.dtype.kind == "b" or np.min(a, initial=0) >= 0:
        return 1
    return -1 if np.max(a, initial=0) <= 0 else 0


def shape_of(x: Operand) -> tuple[int, ...]:
    """Its shape; () of a number."""
    return x.shape if isinstance(x, Symbol) else np.shape(x)


def kind_of(x: Operand) -> str:
    """The kind of its dtype, as NumPy's: "f" of floats."""
    return (x if isinstance(x, Symbol) else np.asarray(x)).dtype.kind


def number(x: Operand) -> float | None:
    """The one number that a constant consists of, if it does."""
    if isinstance(x, Symbol):
        return None
    a = np.asarray(x)
    if not a.size:
        return None
    first = a.ravel()[0]
    same = a.size == 1 or not any(a.strides) or bool((a == first).all())
    return float(first) if same else None


def narrowed(a: AnyArray, others: Sequence[tuple[int, ...]]) -> AnyArray:
    """A constant of an elementwise node, cut to one along axes where it does not change."""
    lead = max(map(len, others), default=0)
    for axis in range(a.ndim):
        place = axis - a.ndim
        wide = any(len(s) >= -place and s[place] == a.shape[axis] for s in others)
        if wide and a.shape[axis] > 1 and (a == a.take([0], axis)).all():
            a = a.take([0], axis)
    while a.ndim > 0 and a.shape[0] == 1 and lead >= a.ndim:
        a = a[0]
    return a


def axes_of(x: Symbol, axis: Any) -> tuple[int, ...]:
    """Axes as non-negative numbers; None: all."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(int(a) % x.ndim for a in np.atleast_1d(axis))
