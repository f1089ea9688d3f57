"""The contract's primitives by a framework's functions, which an adapter supplies."""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.core.backend import Key, Window
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray
from dftlrp.frameworks.tensors import Array, Framework, Shape, TensorArray, flat, sign_of


def ascending(key: Key, shape: Shape) -> tuple[Key, Shape]:
    """The same places by slices that go up, and the axes to be turned around then."""
    spans = [k.indices(n) for k, n in zip(key, shape, strict=False)]
    down = tuple(i for i, (_, _, step) in enumerate(spans) if step < 0)
    ups = list(key)
    for i in down:
        begin, end, step = spans[i]
        count = len(range(begin, end, step))
        ups[i] = slice(begin + (count - 1) * step, begin + 1, -step) if count else slice(0, 0)
    return tuple(ups), down


class TensorBackend:
    """The contract's primitives by a framework's functions; what is not wrapped, by NumPy."""

    name: str
    numbers = False

    @property
    def framework(self) -> Framework:
        """Where the functions come from, imported when it is first asked for."""
        raise NotImplementedError

    def _call(self, name: str, *args: Any, reference: str = "") -> Any:
        if any(isinstance(a, TensorArray) for a in flat(args)):
            return self.framework.call(name, *args)
        return getattr(NUMPY, reference or name)(*args)

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Floats as tensors, known ones; whole numbers and truths stay NumPy's."""
        if isinstance(x, TensorArray):
            return x if dtype is None else x.astype(dtype)
        given = np.asarray(x, dtype)
        if given.dtype.kind != "f":
            return given
        return self.framework.wrap(self.framework.tensor(given, None), known=True)

    def signal(self, x: Any) -> Array:
        """Numbers as an array that is a signal."""
        given = np.asarray(x)
        return self.framework.wrap(self.framework.tensor(given, None), known=False)

    def known(self, x: Array) -> bool:
        return not isinstance(x, TensorArray) or x.known

    def read(self, x: Array) -> AnyArray:
        return self.framework.numbers(x.tensor) if isinstance(x, TensorArray) else np.asarray(x)

    def nonneg(self, x: Array) -> bool:
        known = isinstance(x, TensorArray) and x.known and x.sign == 0
        return sign_of(self.read(x) if known else x) > 0

    def pos(self, x: Array) -> Array:
        return x if sign_of_wrapped(x) > 0 else self._call("pos", x)

    def neg(self, x: Array) -> Array:
        return x if sign_of_wrapped(x) < 0 else self._call("neg", x)

    def step(self, x: Array, strict: bool) -> Array:
        if strict and sign_of_wrapped(x) > 0:
            return self.framework.call("sign", x)
        return self._call("step", x, strict)

    def exp(self, x: Array) -> Array:
        return self._call("exp", x)

    def log(self, x: Array) -> Array:
        return self._call("log", x)

    def sqrt(self, x: Array) -> Array:
        return self._call("sqrt", x)

    def erf(self, x: Array) -> Array:
        return self._call("erf", x)

    def tanh(self, x: Array) -> Array:
        return self._call("tanh", x)

    def sigmoid(self, x: Array) -> Array:
        return self._call("sigmoid", x)

    def power(self, x: Array, exponent: Array) -> Array:
        return self._call("power", x, exponent)

    def reshape(self, x: Array, shape: Shape) -> Array:
        return self._call("reshape", x, tuple(shape))

    def transpose(self, x: Array, perm: Shape) -> Array:
        return self._call("transpose", x, tuple(perm))

    def slice(self, x: Array, key: Key) -> Array:
        return x[key]

    def slice_T(self, r: Array, key: Key, like: Array) -> Array:
        if not isinstance(r, TensorArray):
            return NUMPY.slice_T(r, key, np.broadcast_to(np.zeros(()), like.shape))
        return self.framework.call("slice_T", r, key, tuple(like.shape))

    def pad(self, x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
        return self._call("pad", x, pads, value)

    def concat(self, xs: tuple[Array, ...], axis: int) -> Array:
        return self._call("concat", xs, axis)

    def expand(self, x: Array, shape: Shape) -> Array:
        return self._call("expand", x, tuple(shape))

    def take(self, x: Array, index: Any, fill: float = 0.0) -> Array:
        return self._call("pick", x, np.asarray(index), fill, reference="take")

    def take_T(self, r: Array, index: Any, like: Array) -> Array:
        if not isinstance(r, TensorArray):
            return NUMPY.take_T(r, np.asarray(index), np.broadcast_to(np.zeros(()), like.shape))
        return self.framework.call("take_T", r, np.asarray(index), tuple(like.shape))

    def sum(self, x: Array, axes: Shape, keepdims: bool) -> Array:
        return np.sum(x, axis=tuple(axes), keepdims=keepdims)

    def sum_to(self, r: Array, like: Array) -> Array:
        lead, shape = r.ndim - like.ndim, tuple(like.shape)
        wide = tuple(i for i, n in enumerate(shape, lead) if n == 1 != r.shape[i])
        axes = (*range(lead), *wide)
        return (r.sum(axis=axes) if axes else r).reshape(shape)

    def ones_like(self, x: Array) -> Array:
        return self._call("ones_like", x)

    def matmul(self, a: Array, b: Array) -> Array:
        return self._call("matmul", a, b)

    def conv(self, x: Array, w: Array, g: Window) -> Array:
        return self._call("conv", x, w, g)

    def conv_T(self, r: Array, w: Array, g: Window, size: Shape) -> Array:
        return self._call("conv_T", r, w, g, tuple(size))

    def maxpool(self, v: Array, x: Array, g: Window) -> Array:
        return self._call("maxpool", v, x, g)

    def maxpool_T(self, r: Array, x: Array, g: Window) -> Array:
        return self._call("maxpool_T", r, x, g)


def sign_of_wrapped(x: Array) -> int:
    """The sign a wrapped array is known to have; 0 of others."""
    return x.sign if isinstance(x, TensorArray) else 0
