"""The primitives of a backend whose arrays call functions by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dftlrp.core.arrays import BackendArray
from dftlrp.core.backend import Key, Window
from dftlrp.core.maps import Array
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.programs import Watcher
from dftlrp.core.signs import sign_of
from dftlrp.core.types import AnyArray, Shape


def find_arrays(given: Sequence[Any]) -> Iterator[BackendArray]:
    """Yield the arrays of a backend among arguments, those in tuples and lists too."""
    for x in given:
        if isinstance(x, BackendArray):
            yield x
        elif type(x) in (tuple, list):
            yield from find_arrays(x)


def apply(name: str, *args: Any) -> Any:
    """Return what a primitive gives: by the arrays' backend, or by NumPy where there are none."""
    array = next(find_arrays(args), None)
    if array is not None:
        return array.call(name, *args)
    return getattr(NUMPY, name)(*args)


class DispatchBackend:
    """The contract's primitives: NumPy's function where there is one, else `apply` by name.

    NumPy's functions find the arrays' backend themselves.  The adjoints are told the shape that
    they give (a tuple) instead of an array that has it.
    """

    name: str
    numbers = False

    def known(self, x: Array) -> bool:
        return not isinstance(x, BackendArray)

    def nonneg(self, x: Array) -> bool:
        return sign_of(x).nonneg

    def read(self, x: Array) -> AnyArray:
        """Return the numbers of x."""
        raise NotImplementedError

    def read_all(self, xs: Sequence[Array]) -> list[AnyArray]:
        return [self.read(x) for x in xs]

    def start_watching(self) -> Watcher | None:
        """Return what notes the calls of this backend, if it can."""
        return None

    def tell_rounding(self, dtype: np.dtype[Any]) -> str:
        """Return what products may be rounded to, if a backend rounds them."""
        return ""

    def pos(self, x: Array) -> Array:
        return apply("pos", x)

    def neg(self, x: Array) -> Array:
        return apply("neg", x)

    def step(self, x: Array, strict: bool) -> Array:
        return apply("step", x, strict)

    def exp(self, x: Array) -> Array:
        return np.exp(x)

    def log(self, x: Array) -> Array:
        return np.log(x)

    def sqrt(self, x: Array) -> Array:
        return np.sqrt(x)

    def erf(self, x: Array) -> Array:
        return apply("erf", x)

    def tanh(self, x: Array) -> Array:
        return np.tanh(x)

    def sigmoid(self, x: Array) -> Array:
        return apply("sigmoid", x)

    def power(self, x: Array, exponent: Array) -> Array:
        return np.power(x, exponent)

    def reshape(self, x: Array, shape: Shape) -> Array:
        return x.reshape(shape) if isinstance(x, BackendArray) else np.reshape(x, tuple(shape))

    def transpose(self, x: Array, perm: Shape) -> Array:
        return np.transpose(x, tuple(perm))

    def slice(self, x: Array, key: Key) -> Array:
        return x[key]

    def slice_T(self, r: Array, key: Key, like: Array) -> Array:
        if isinstance(r, BackendArray):
            return r.call("slice_T", r, key, like.shape)
        return NUMPY.slice_T(r, key, _shaped_as(like))

    def pad(self, x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
        return np.pad(x, pads, constant_values=value)

    def concat(self, xs: tuple[Array, ...], axis: int) -> Array:
        return np.concatenate(xs, axis)

    def expand(self, x: Array, shape: Shape) -> Array:
        return np.broadcast_to(x, tuple(shape))

    def pick(self, x: Array, index: Any, fill: float = 0.0) -> Array:
        return apply("pick", x, index, fill)

    def pick_T(self, r: Array, index: Any, like: Array) -> Array:
        if (array := next(find_arrays((r, index)), None)) is not None:
            return array.call("pick_T", r, index, like.shape)
        return NUMPY.pick_T(r, index, _shaped_as(like))

    def sum(self, x: Array, axes: Shape, keepdims: bool) -> Array:
        if isinstance(x, BackendArray):
            return x.sum(tuple(axes), keepdims)
        return np.sum(x, axis=tuple(axes), keepdims=keepdims)

    def sum_to(self, r: Array, like: Array) -> Array:
        lead, shape = r.ndim - like.ndim, tuple(like.shape)
        wide = tuple(i for i, n in enumerate(shape, lead) if n == 1 != r.shape[i])
        return self.sum(r, (*range(lead), *wide), True).reshape(shape)

    def ones_like(self, x: Array) -> Array:
        return np.ones_like(x)

    def matmul(self, a: Array, b: Array) -> Array:
        return np.matmul(a, b)

    def conv(self, x: Array, w: Array, g: Window) -> Array:
        return apply("conv", x, w, g)

    def conv_T(self, r: Array, w: Array, g: Window, size: Shape) -> Array:
        return apply("conv_T", r, w, g, tuple(size))

    def maxpool(self, v: Array, x: Array, g: Window) -> Array:
        return apply("maxpool", v, x, g)

    def maxpool_T(self, r: Array, x: Array, g: Window) -> Array:
        return apply("maxpool_T", r, x, g)


def _shaped_as(like: Array) -> AnyArray:
    """Return an array that has a shape and no more."""
    return np.broadcast_to(np.zeros(()), like.shape)
