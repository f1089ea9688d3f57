"""The onnx backend: each primitive appends nodes to a graph instead of computing.

Without a symbolic argument NumPy computes: constants fold at trace time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dftlrp.core.backend import Key, Window
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray
from dftlrp.tracing import functions  # noqa: F401  # NumPy's functions on its arrays
from dftlrp.tracing.symbols import FLOAT, Symbol, shape_of, sign_of
from dftlrp.tracing.tape import Tape
from dftlrp.tracing.winners import Pool, winners, winners_T

Array = Any
Shape = tuple[int, ...]


def _symbolic(args: Sequence[Any]) -> bool:
    return any(
        isinstance(a, Symbol) or (isinstance(a, tuple) and any(isinstance(x, Symbol) for x in a))
        for a in args
    )


def _folds(method: Callable[..., Any]) -> Callable[..., Any]:
    """The reference computes where nothing is symbolic."""
    name = method.__name__

    def primitive(self: OnnxBackend, *args: Any, **kwargs: Any) -> Any:
        if not _symbolic((*args, *kwargs.values())):
            return getattr(NUMPY, name)(*args, **kwargs)
        return method(self, *args, **kwargs)

    primitive.__doc__ = method.__doc__
    return primitive


class OnnxBackend:
    """Primitives on symbolic arrays of one graph under construction."""

    name = "onnx"
    numbers = False

    def __init__(self, tape: Tape | None = None, options: str = "") -> None:
        self.tape, self.options = tape or Tape(), options

    def with_options(self, options: str) -> OnnxBackend:
        """For sessions by ``PROVIDER``, ``PROVIDER:THREADS`` or ``:THREADS``."""
        return OnnxBackend(options=options)

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        if isinstance(x, Symbol):
            return x if dtype is None else x.astype(dtype)
        return np.asarray(x, dtype)

    def signal(self, x: Any) -> AnyArray:
        return np.asarray(x)  # a trace makes its own inputs

    def known(self, x: Array) -> bool:
        return not isinstance(x, Symbol)

    def read(self, x: Array) -> Array:
        return x if isinstance(x, Symbol) else np.asarray(x)  # it refuses where numbers decide

    # -- signs

    @_folds
    def pos(self, x: Symbol) -> Symbol:
        return self.tape.pos(x)

    @_folds
    def neg(self, x: Symbol) -> Symbol:
        return x if x.sign < 0 else -self.tape.pos(-x)

    @_folds
    def step(self, x: Symbol, strict: bool) -> Array:
        return self.tape.step(x, strict)

    def nonneg(self, x: Array) -> bool:
        return sign_of(x) > 0

    # -- pointwise

    @_folds
    def exp(self, x: Symbol) -> Symbol:
        return self.tape.unary("Exp", x, 1)

    @_folds
    def log(self, x: Symbol) -> Symbol:
        return self.tape.unary("Log", x)

    @_folds
    def sqrt(self, x: Symbol) -> Symbol:
        return self.tape.unary("Sqrt", x, 1)

    @_folds
    def erf(self, x: Symbol) -> Symbol:
        return self.tape.unary("Erf", x, x.sign)

    @_folds
    def tanh(self, x: Symbol) -> Symbol:
        return self.tape.unary("Tanh", x, x.sign)

    @_folds
    def sigmoid(self, x: Symbol) -> Symbol:
        return self.tape.unary("Sigmoid", x, 1)

    @_folds
    def power(self, x: Array, exponent: Array) -> Symbol:
        return self.tape.binary("Pow", x, exponent, int(sign_of(x) > 0))

    # -- movement

    @_folds
    def reshape(self, x: Symbol, shape: Shape) -> Symbol:
        return self.tape.reshape(x, shape)

    @_folds
    def transpose(self, x: Symbol, perm: Shape) -> Symbol:
        return self.tape.transpose(x, perm)

    @_folds
    def slice(self, x: Symbol, key: Key) -> Symbol:
        return self.tape.slice(x, key)

    def slice_T(self, r: Array, key: Key, like: Array) -> Array:
        if not isinstance(r, Symbol):
            return NUMPY.slice_T(r, key, np.broadcast_to(np.zeros(()), like.shape))
        full = (*key, *(slice(None),) * (len(like.shape) - len(key)))
        if any(k is Ellipsis for k in full):
            raise TypeError("an Ellipsis in a slice to invert")
        for axis, (k, n) in enumerate(zip(full, like.shape, strict=True)):
            r = self._unsliced(r, k.indices(n), axis, n)
        return r

    def _unsliced(self, r: Symbol, span: Shape, axis: int, size: int) -> Symbol:
        """Zeros of that size along an axis, with r written from begin in steps."""
        begin, end, step = span
        if step < 0:  # the same places, in ascending order
            count = len(range(begin, end, step))
            r = self.tape.slice(r, (slice(None),) * axis + (slice(None, None, -1),))
            begin, step = begin + (count - 1) * step, -step
        if step > 1:
            lead, rest, n = r.shape[:axis], r.shape[axis + 1 :], r.shape[axis]
            wide = self.tape.reshape(r, (*lead, n, 1, *rest))
            wide = self._pad(wide, axis + 1, 0, step - 1)
            r = self.tape.reshape(wide, (*lead, n * step, *rest))
            r = self.tape.slice(r, (slice(None),) * axis + (slice(0, (n - 1) * step + 1),))
        return self._pad(r, axis, begin, size - begin - r.shape[axis])

    def _pad(self, x: Symbol, axis: int, begin: int, end: int) -> Symbol:
        pads = tuple((begin, end) if i == axis else (0, 0) for i in range(x.ndim))
        return self.pad(x, pads)  # type: ignore[no-any-return]

    @_folds
    def pad(self, x: Symbol, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Symbol:
        return self.tape.pad(x, pads, value)

    @_folds
    def concat(self, xs: tuple[Array, ...], axis: int) -> Symbol:
        return self.tape.concat(xs, axis)

    @_folds
    def expand(self, x: Symbol, shape: Shape) -> Symbol:
        return self.tape.expand(x, shape)

    def take(self, x: Array, index: Array, fill: float = 0.0) -> Array:
        if not _symbolic((x, index)):
            return NUMPY.take(x, index, fill)
        batch, own = _each(index, x.shape)
        rows = self.reshape(x, (batch, x.size // batch))
        if _holes(own):
            own = np.where(own < 0, rows.shape[1], own)
            rows = self.concat((rows, np.full((batch, 1), fill)), 1)
        signed = {"sign": sign_of(x) if fill == 0 else 0, "dtype": x.dtype}
        places = own.astype(np.int64)
        y = self.tape.node("Gather", rows, places, shape=(batch, *own.shape), axis=1, **signed)
        return self.tape.reshape(y, index.shape)

    def take_T(self, r: Array, index: Array, like: Array) -> Array:
        if not _symbolic((r, index)):
            return NUMPY.take_T(r, index, like)
        batch, own = _each(index, like.shape)
        size = math.prod(like.shape) // batch
        spare = int(_holes(own))  # what belongs nowhere goes to one more place
        places = np.where(own < 0, size, own) if spare else own
        places = self.reshape(places.astype(np.int64), (1, -1))
        rows = self.tape.node(
            "ScatterElements", np.zeros((batch, size + spare)),
            self.expand(places, (batch, places.size)), self.reshape(r, (batch, places.size)),
            shape=(batch, size + spare), sign=sign_of(r), axis=1, reduction="add",
        )  # fmt: skip
        rows = self.tape.slice(rows, (slice(None), slice(0, size))) if spare else rows
        return self.tape.reshape(rows, like.shape)

    # -- sums

    @_folds
    def sum(self, x: Symbol, axes: Shape, keepdims: bool) -> Symbol:
        return self.tape.total(x, axes, keepdims)

    def sum_to(self, r: Array, like: Array) -> Array:
        if not isinstance(r, Symbol):
            return NUMPY.sum_to(r, np.broadcast_to(np.zeros(()), like.shape))
        lead = r.ndim - len(like.shape)
        wide = [i for i, n in enumerate(like.shape, lead) if n == 1 != r.shape[i]]
        return self.tape.reshape(self.tape.total(r, (*range(lead), *wide), True), like.shape)

    def ones_like(self, x: Array) -> Array:
        dtype = FLOAT if x.dtype.kind == "f" else x.dtype
        return np.broadcast_to(np.ones((), dtype if isinstance(x, Symbol) else x.dtype), x.shape)

    # -- linear maps

    @_folds
    def matmul(self, a: Array, b: Array) -> Symbol:
        left, right = shape_of(a), shape_of(b)
        shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
        sign = sign_of(a) * sign_of(b)
        turned = isinstance(b, np.ndarray) and b.T.flags.c_contiguous and not b.flags.c_contiguous
        if turned and len(left) == len(right) == 2:  # one matrix serves both directions
            return self.tape.node("Gemm", a, b.T, shape=shape, sign=sign, transB=1)
        return self.tape.node("MatMul", a, b, shape=shape, sign=sign)

    @_folds
    def conv(self, x: Array, w: Array, g: Window) -> Symbol:
        size, weights = shape_of(x), shape_of(w)
        out = _windows(size[2:], g)
        return self.tape.node(
            "Conv", x, w, shape=(size[0], weights[0], *out), sign=sign_of(x) * sign_of(w),
            kernel_shape=list(g.kernel), group=g.groups, **_geometry(g),
        )  # fmt: skip

    def conv_T(self, r: Array, w: Array, g: Window, size: Shape) -> Array:
        if not _symbolic((r, w)):
            return NUMPY.conv_T(r, w, g, size)
        few = shape_of(w)[1] == 1 and g.groups == 1
        if isinstance(w, np.ndarray) and set(g.strides) == {1} and not few:
            return self._flipped(r, w, g)
        return self._transposed(r, w, g, size)

    def _flipped(self, r: Symbol, w: AnyArray, g: Window) -> Array:
        """At stride 1 the adjoint is a convolution with the flipped kernel."""
        rank = len(g.kernel)
        split = w.reshape(g.groups, w.shape[0] // g.groups, *w.shape[1:])
        swapped = split.swapaxes(1, 2).reshape(-1, w.shape[0] // g.groups, *g.kernel)
        flipped = np.flip(swapped, tuple(range(2, 2 + rank)))
        full = [(k - 1) * d for k, d in zip(g.kernel, g.dilations, strict=True)]
        pads = tuple((f - b, f - e) for f, (b, e) in zip(full, g.pads, strict=True))
        cut = tuple((min(b, 0), min(e, 0)) for b, e in pads)
        if np.any(cut):
            r = self.pad(r, ((0, 0), (0, 0), *cut))
            pads = tuple((max(b, 0), max(e, 0)) for b, e in pads)
        return self.conv(r, flipped, g._replace(pads=pads))

    def _transposed(self, r: Array, w: Array, g: Window, size: Shape) -> Symbol:
        rank = len(g.kernel)
        out = shape_of(r)[2:]
        axes = zip(out, g.strides, g.dilations, g.kernel, g.pads, size, strict=True)
        extra, late = [], []
        for n, s, d, k, (b, e), full in axes:
            short = full + b + e - (s * (n - 1) + d * (k - 1) + 1)  # samples no window reads
            extra.append(short if short < max(s, d) else 0)
            late.append(short - extra[-1])
        pads = [[b for b, _ in g.pads], [e - x for (_, e), x in zip(g.pads, late, strict=True)]]
        grow = [max(-e, 0) for e in pads[1]]
        pads[1] = [max(e, 0) for e in pads[1]]
        shape = (shape_of(r)[0], shape_of(w)[1] * g.groups)
        geometry = _geometry(g) | {"pads": pads[0] + pads[1]}
        y = self.tape.node(
            "ConvTranspose", r, w,
            shape=(*shape, *(n - x for n, x in zip(size, grow, strict=True))),
            sign=sign_of(r) * sign_of(w), kernel_shape=list(g.kernel), group=g.groups,
            **geometry, **({"output_padding": extra} if any(extra) else {}),
        )  # fmt: skip
        return self.pad(y, ((0, 0), (0, 0), *((0, x) for x in grow))) if rank else y

    # -- winners

    def maxpool(self, v: Array, x: Array, g: Window) -> Array:
        if not _symbolic((v, x)):
            return NUMPY.maxpool(v, x, g)
        return winners(Pool(self.tape, self.pad, g), v, x)

    def maxpool_T(self, r: Array, x: Array, g: Window) -> Array:
        if not _symbolic((r, x)):
            return NUMPY.maxpool_T(r, x, g)
        return winners_T(Pool(self.tape, self.pad, g), r, x)


def _holes(index: Array) -> bool:
    """Whether an index marks elements that come from nowhere; one of the signal never does."""
    return not isinstance(index, Symbol) and bool((index < 0).any())


def _each(index: Array, shape: Shape) -> tuple[int, Array]:
    """Rows of a flat array, and places within each: samples where all are alike, else one row."""
    if isinstance(index, Symbol):
        return 1, index
    batch = shape[0] if shape and index.shape[:1] == shape[:1] else 1
    stride = math.prod(shape) // max(batch, 1)
    starts = stride * np.arange(batch).reshape(-1, *(1,) * (index.ndim - 1))
    own = np.where(index < 0, -1, index - starts)
    alike = batch > 1 and (own == own[:1]).all() and own.max(initial=-1) < stride
    return (batch, own[0]) if alike else (1, index)


def _windows(size: Shape, g: Window) -> Shape:
    return tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(size, g.kernel, g.strides, g.dilations, g.pads, strict=True)
    )


def _geometry(g: Window) -> dict[str, Any]:
    return {
        "strides": list(g.strides),
        "dilations": list(g.dilations),
        "pads": [b for b, _ in g.pads] + [e for _, e in g.pads],
    }


BACKEND = OnnxBackend()  # its name; a trace makes a backend with a graph of its own
