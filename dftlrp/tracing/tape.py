"""A graph under construction: its nodes and constants.

Equal nodes and equal constants exist once; constants are rounded to float32 when they become
initialisers.  Elementwise nodes are simplified while they are written: numbers gather, and a step
times what it steps on is the positive part.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from dftlrp.core.types import AnyArray
from dftlrp.tracing.symbols import (
    FLOAT,
    STEEP,
    Made,
    Operand,
    Symbol,
    UntraceableError,
    floats,
    kind_of,
    narrowed,
    number,
    shape_of,
    sign_of,
)


@dataclass(eq=False)
class Tape:
    """Nodes, initialisers and the memory of what exists already."""

    opset: int = 17
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, AnyArray] = field(default_factory=dict)
    inputs: list[Symbol] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)  # outputs of nodes that were taken over
    _known: dict[Any, Symbol] = field(default_factory=dict)
    _digests: dict[Any, str] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of symbolic arrays, which hold the tape and all numbers that they were made of."""
        self._known.clear()
        self.inputs.clear()

    # -- names, constants, nodes

    def fresh(self, base: str) -> str:
        """A name that nothing else has."""
        name, count = base, 1
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        return name

    def input(self, name: str, shape: Sequence[int], dtype: Any = FLOAT) -> Symbol:
        """A graph input."""
        x = Symbol(self, self.fresh(name), shape, floats(np.dtype(dtype)), 0, Made("input"))
        self.inputs.append(x)
        return x

    def constant(self, value: Any, dtype: Any = None) -> str:
        """The name of an initialiser; floats become float32, equal ones are one."""
        a = np.asarray(value)
        a = np.ascontiguousarray(a.astype(floats(np.dtype(dtype or a.dtype)))).reshape(a.shape)
        key = (
            a.dtype.str,
            a.shape,
            hashlib.blake2b(a.data if a.size else b"", digest_size=16).digest(),
        )
        if key not in self._digests:
            self._digests[key] = self.fresh(f"c{len(self.constants)}")
            self.constants[self._digests[key]] = a
        return self._digests[key]

    def name(self, x: Operand, dtype: Any = None) -> str:
        """The name of an operand; '' for one that is left out."""
        if x is None:
            return ""
        return x.name if isinstance(x, Symbol) else self.constant(x, dtype)

    def many(
        self,
        op: str,
        inputs: Sequence[Operand],
        outputs: Sequence[tuple[tuple[int, ...], Any, int]],
        names: Sequence[str] = (),
        dtype: Any = None,
        **attrs: Any,
    ) -> tuple[Symbol, ...]:
        """Append a node; outputs as (shape, dtype, sign)."""
        texts = tuple(self.name(x, dtype) for x in inputs)
        frozen = tuple(sorted((k, _frozen(v)) for k, v in attrs.items()))
        keys = [(op, texts, frozen, i) for i in range(len(outputs))]
        if not names and keys[0] in self._known:
            return tuple(self._known[k] for k in keys)
        made = [
            n or self.fresh(f"{op.lower()}{len(self.nodes)}") for n in names or [""] * len(keys)
        ]
        self.taken.update(made)
        while texts and not texts[-1]:
            texts = texts[:-1]
        self.nodes.append(helper.make_node(op, texts, made, **attrs))
        syms = tuple(
            Symbol(self, n, shape, dt, sign, Made(op, tuple(inputs), frozen))
            for n, (shape, dt, sign) in zip(made, outputs, strict=True)
        )
        for key, sym in zip(keys, syms, strict=True):
            self._known.setdefault(key, sym)
        return syms

    def append(
        self, op: str, inputs: Sequence[Operand], outputs: Sequence[str], attrs: Any
    ) -> None:
        """Take over a node with its outputs' own names."""
        texts = [self.name(x) for x in inputs]
        while texts and not texts[-1]:
            texts.pop()
        self.nodes.append(helper.make_node(op, texts, outputs, **attrs))

    def known(
        self, name: str, shape: Sequence[int], dtype: Any, sign: int, op: str, inputs: Any
    ) -> Symbol:
        """The symbolic array of an output that exists."""
        return Symbol(self, name, shape, dtype, sign, Made(op, tuple(inputs)))

    def node(
        self, op: str, *inputs: Operand, shape: tuple[int, ...], sign: int = 0, dtype: Any = FLOAT,
        like: Any = None, **attrs: Any,
    ) -> Symbol:  # fmt: skip
        """Append a node with one output; ``like``: the dtype of constants among its inputs."""
        return self.many(op, inputs, [(shape, dtype, sign)], (), like, **attrs)[0]

    # -- elementwise

    def unary(self, op: str, x: Symbol, sign: int = 0, **attrs: Any) -> Symbol:
        """A function of one array."""
        return self.node(op, x, shape=x.shape, sign=sign, dtype=x.dtype, **attrs)

    def binary(self, op: str, a: Operand, b: Operand, sign: int = 0, dtype: Any = None) -> Symbol:
        """A function of two arrays, broadcast; constants are stored as small as they are.

        As in NumPy, what meets a float becomes one.
        """
        shape = np.broadcast_shapes(shape_of(a), shape_of(b))
        own = next(x.dtype for x in (a, b) if isinstance(x, Symbol))
        if "f" in (kind_of(a), kind_of(b)):
            own = FLOAT
            a, b = (x.astype(own) if isinstance(x, Symbol) else x for x in (a, b))
        if not isinstance(a, Symbol):
            a = narrowed(np.asarray(a), [b.shape])
        if not isinstance(b, Symbol):
            b = narrowed(np.asarray(b), [a.shape])
        return self.node(op, a, b, shape=shape, sign=sign, dtype=dtype or own, like=own)

    def compare(self, op: str, a: Operand, b: Operand) -> Symbol:
        """A truth for each element."""
        return self.binary(op, a, b, 1, np.dtype(bool))

    def add(self, x: Symbol, y: Operand) -> Any:
        """X + y; additions of numbers gather."""
        c = number(y)
        fits = np.broadcast_shapes(x.shape, shape_of(y)) == x.shape
        if c is not None and fits and x.dtype.kind == "f":
            if c == 0:
                return x
            if x.made.op == "Add" and (d := number(x.made.inputs[1])) is not None:
                return self.add(x.made.inputs[0], np.asarray(c + d))
            y = np.asarray(c)
        if isinstance(y, Symbol) and (one := self._one_conv(x, y)) is not None:
            return one
        s, t = x.sign, sign_of(y)
        return self.binary("Add", x, y, s if s == t or (c == 0) else 0)

    def _one_conv(self, x: Symbol, y: Symbol) -> Symbol | None:
        """conv(a, v) + conv(b, w) = conv([a b], [v w]), where a and b are smaller than the sum."""
        attrs = dict(x.made.attrs)
        both = x.made.op == y.made.op == "Conv" and x.made.attrs == y.made.attrs
        if not both or attrs["group"] != 1 or x.shape != y.shape:
            return None
        (a, v), (b, w) = x.made.inputs, y.made.inputs
        if isinstance(v, Symbol) or isinstance(w, Symbol) or a.size + b.size > x.size:
            return None
        both_signs = x.sign if x.sign == y.sign else 0
        inputs = self.concat((a, b), 1), np.concatenate((v, w), 1)
        return self.node("Conv", *inputs, shape=x.shape, sign=both_signs, **attrs)

    def sub(self, x: Operand, y: Operand) -> Any:
        """X - y."""
        if not isinstance(y, Symbol):
            return self.add(x, -np.asarray(y))
        if not isinstance(x, Symbol):
            if number(x) == 0 and np.broadcast_shapes(shape_of(x), y.shape) == y.shape:
                return -y
            if number(x) == 1 and y.made.op == "HardSigmoid" and self._fits(x, y):
                return self._complement(y)
        s, t = sign_of(x), sign_of(y)
        return self.binary("Sub", x, y, s if s == -t else 0)

    def _fits(self, x: Operand, y: Symbol) -> bool:
        return np.broadcast_shapes(shape_of(x), y.shape) == y.shape

    def _complement(self, y: Symbol) -> Symbol:
        """1 - a step, which is >= 0."""
        return self.binary("Sub", np.asarray(1.0), y, 1)

    def mul(self, x: Symbol, y: Operand) -> Any:
        """X y; numbers gather, and a step times what it steps on is the positive part."""
        c = number(y)
        if c is not None and x.dtype.kind == "f" and self._fits(y, x):
            return self._scaled(x, c)
        if isinstance(y, Symbol):
            parts = (self._part(a, b) for a, b in ((x, y), (y, x)))
            if (part := next((p for p in parts if p is not None), None)) is not None:
                return part
        same = isinstance(y, Symbol) and x.name == y.name
        return self.binary("Mul", x, y, 1 if same else x.sign * sign_of(y))

    def _scaled(self, x: Symbol, c: float) -> Any:
        if c == 1:
            return x
        if c == 0:
            return np.broadcast_to(np.zeros(()), x.shape)
        if x.made.op == "Mul" and (d := number(x.made.inputs[1])) is not None:
            return self._scaled(x.made.inputs[0], c * d)
        if x.made.op == "Add" and (d := number(x.made.inputs[1])) is not None:
            return self.add(self._scaled(x.made.inputs[0], c), np.asarray(c * d))
        if c == -1:
            return -x
        return self.binary("Mul", x, np.asarray(c), x.sign * (1 if c > 0 else -1))

    def _part(self, mask: Symbol, x: Symbol) -> Symbol | None:
        """``step(x) x`` and ``step(-x) x``."""
        if mask.made.op != "HardSigmoid" or dict(mask.made.attrs).get("alpha") != STEEP:
            return None
        on = mask.made.inputs[0]
        if on.name == x.name:
            return self.pos(x)
        if on.made.op == "Neg" and on.made.inputs[0].name == x.name:
            return -self.pos(on)
        return None

    def div(self, x: Operand, y: Operand) -> Any:
        """X / y."""
        if not isinstance(y, Symbol):
            return self.mul(x, 1 / np.asarray(y))
        if not isinstance(x, Symbol) and number(x) == 1 and self._fits(x, y):
            return self.unary("Reciprocal", y, y.sign)
        return self.binary("Div", x, y, sign_of(x) * y.sign)

    def pos(self, x: Symbol) -> Symbol:
        """max(x, 0)."""
        if x.sign > 0:
            return x
        return self.unary("Relu", x, 1)

    def step(self, x: Symbol, strict: bool) -> Any:
        """1 where x > 0 (strict) or x >= 0, else 0."""
        if x.sign > 0 and not strict:
            return np.broadcast_to(np.ones(()), x.shape)
        if x.sign < 0 and strict:
            return np.broadcast_to(np.zeros(()), x.shape)
        return self.unary("HardSigmoid", x, 1, alpha=STEEP, beta=0.0 if strict else 1.0)

    def cast(self, x: Symbol, dtype: np.dtype[Any]) -> Symbol:
        """Another dtype."""
        code = helper.np_dtype_to_tensor_dtype(dtype)
        return self.node("Cast", x, shape=x.shape, sign=x.sign, dtype=dtype, to=code)

    # -- movement

    def reshape(self, x: Symbol, shape: Sequence[int]) -> Symbol:
        """As NumPy's."""
        known = -math.prod(shape)
        full = tuple(int(x.size // known if n == -1 and known else n) for n in shape)
        if full == x.shape:
            return x
        while x.made.op == "Reshape":
            x = x.made.inputs[0]
        if full == x.shape:
            return x
        wanted = np.array(full, np.int64)
        return self.node("Reshape", x, wanted, shape=full, sign=x.sign, dtype=x.dtype)

    def transpose(self, x: Symbol, perm: Sequence[int]) -> Symbol:
        """As NumPy's."""
        perm = tuple(int(p) % x.ndim for p in perm)
        if perm == tuple(range(x.ndim)):
            return x
        shape = tuple(x.shape[p] for p in perm)
        return self.node("Transpose", x, shape=shape, sign=x.sign, dtype=x.dtype, perm=list(perm))

    def slice(self, x: Symbol, key: Any) -> Symbol:
        """Basic slicing: slices, integers, None and Ellipsis."""
        keys = list(key if isinstance(key, tuple) else (key,))
        given = sum(k is not None and k is not Ellipsis for k in keys)
        if not any(k is Ellipsis for k in keys):
            keys.append(Ellipsis)
        where = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[where : where + 1] = [slice(None)] * (x.ndim - given)
        starts, ends, axes, steps, shape, axis, sizes = [], [], [], [], [], 0, []
        for k in keys:
            if k is None:
                shape.append(1)
                continue
            if not isinstance(k, slice) and not hasattr(k, "__index__"):
                raise UntraceableError(f"it indexes with {type(k).__name__}")
            n = x.shape[axis]
            place = None if isinstance(k, slice) else k.__index__() % n
            begin, end, step = (k if place is None else slice(place, place + 1)).indices(n)
            size = len(range(begin, end, step))
            sizes.append(size)
            if place is None:
                shape.append(size)
            if (begin, size, step) != (0, n, 1):
                starts.append(begin)
                ends.append(end if end >= 0 else -n - 1)
                axes.append(axis)
                steps.append(step)
            axis += 1
        if axes:
            ints = (np.array(v, np.int64) for v in (starts, ends, axes, steps))
            x = self.node("Slice", x, *ints, shape=tuple(sizes), sign=x.sign, dtype=x.dtype)
        return self.reshape(x, tuple(shape))

    def pad(self, x: Symbol, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Symbol:
        """Constant padding, one (begin, end) pair per axis."""
        if not np.any(pads):
            return x
        shape = tuple(n + b + e for n, (b, e) in zip(x.shape, pads, strict=True))
        flat = np.array([p[0] for p in pads] + [p[1] for p in pads], np.int64)
        sign = x.sign if value == 0 or np.sign(value) == x.sign else 0
        inputs = (x, flat) if value == 0 else (x, flat, np.asarray(value, x.dtype))
        return self.node("Pad", *inputs, shape=shape, sign=sign, dtype=x.dtype)

    def concat(self, xs: Sequence[Operand], axis: int) -> Symbol:
        """Join along an axis."""
        shapes = [shape_of(x) for x in xs]
        axis %= len(shapes[0])
        if len(xs) == 1:
            return xs[0]  # type: ignore[no-any-return]
        shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
        own = next(x.dtype for x in xs if isinstance(x, Symbol))
        signs = {sign_of(x) for x in xs}
        sign = signs.pop() if len(signs) == 1 else 0
        return self.node("Concat", *xs, shape=shape, sign=sign, dtype=own, like=own, axis=axis)

    def expand(self, x: Symbol, shape: Sequence[int]) -> Symbol:
        """Broadcast to a shape."""
        if tuple(shape) == x.shape:
            return x
        full = np.broadcast_shapes(x.shape, tuple(shape))
        wanted = np.array(full, np.int64)
        return self.node("Expand", x, wanted, shape=full, sign=x.sign, dtype=x.dtype)

    def total(self, x: Symbol, axes: Sequence[int], keepdims: bool) -> Symbol:
        """Sum over axes."""
        axes = tuple(sorted(a % x.ndim for a in axes))
        if not axes:
            return x
        narrow = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        shape = narrow if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
        if narrow == x.shape:
            return self.reshape(x, shape)
        given = np.array(axes, np.int64)
        return self.node(
            "ReduceSum", x, given, shape=shape, sign=x.sign, dtype=x.dtype, keepdims=int(keepdims)
        )

    def tensors(self) -> list[TensorProto]:
        """The constants as ONNX tensors."""
        return [numpy_helper.from_array(a, n) for n, a in self.constants.items()]


def _frozen(v: Any) -> Any:
    if isinstance(v, np.ndarray):
        return (v.shape, v.dtype.str, v.tobytes())
    return tuple(v) if isinstance(v, list) else v
