"""Arrays of backends other than NumPy, as ops and rules see them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dftlrp.core.signs import UNKNOWN, Sign
from dftlrp.core.types import AnyArray, Shape


class BackendArray(NDArrayOperatorsMixin):
    """An array that stands for one of NumPy.

    Operators, the methods below and NumPy's functions all become a `call` of a function by its
    name, so a backend needs a table of functions and nothing else.  The commonest operators do so
    without NumPy's own machinery in between.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    sign : Sign
        What is known of the sign of all elements.
    """

    __slots__ = ("dtype", "shape", "sign")

    def __init__(self, shape: Iterable[int], dtype: Any, sign: Sign = UNKNOWN) -> None:
        self.shape, self.dtype, self.sign = tuple(map(int, shape)), np.dtype(dtype), sign

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the backend's function of that name gives; this array is an argument."""
        raise NotImplementedError

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    T = property(lambda self: self.transpose())

    def __add__(self, other: Any) -> Any:
        return self.call("add", self, other)

    def __sub__(self, other: Any) -> Any:
        return self.call("subtract", self, other)

    def __mul__(self, other: Any) -> Any:
        return self.call("multiply", self, other)

    def __truediv__(self, other: Any) -> Any:
        return self.call("divide", self, other)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call NumPy's elementwise functions by name; operators arrive here, too."""
        if method != "__call__" or kwargs:
            return NotImplemented
        return self.call(ufunc.__name__, *args)

    def __array_function__(self, f: Any, _: Any, args: Any, kwargs: Any) -> Any:
        """Call NumPy's other functions by name."""
        if f in (np.shape, np.ndim, np.size):
            return getattr(args[0], f.__name__)
        return self.call(f.__name__, *args, **kwargs)

    def read(self) -> AnyArray:
        """Return the numbers as a NumPy array, or raise a TypeError if there are none to read."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        return np.array(self.read(), dtype, copy=copy)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __float__(self) -> float:
        return float(np.asarray(self))

    def __int__(self) -> int:
        return int(np.asarray(self))

    __index__ = __int__

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """Index as NumPy does, by slices, integers, None, Ellipsis or an array of integers."""
        return self.call("getitem", self, key)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Convert as NumPy does."""
        wanted = np.dtype(dtype)
        return self if wanted == self.dtype else self.call("astype", self, wanted)

    def reshape(self, *shape: Any) -> Any:
        """Reshape as NumPy does."""
        wanted = read_integers(shape)
        return self if wanted == self.shape else self.call("reshape", self, wanted)

    def transpose(self, *perm: Any) -> Any:
        """Transpose as NumPy does."""
        order = read_integers(perm) or tuple(range(self.ndim)[::-1])
        return self.call("transpose", self, order)

    def swapaxes(self, a: int, b: int) -> Any:
        """Swap two axes as NumPy does."""
        order = list(range(self.ndim))
        order[a], order[b] = order[b], order[a]
        return self.transpose(order)

    def ravel(self) -> Any:
        """Flatten as NumPy does."""
        return self.reshape(-1)

    def take(self, index: Any, axis: int) -> Any:
        """Take elements along an axis as NumPy does."""
        return self.call("take", self, np.asarray(index), axis=axis)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Sum as NumPy does."""
        return self.call("sum", self, axis=axis, keepdims=keepdims)


def read_integers(given: tuple[Any, ...]) -> Shape:
    """Return integers that were given one by one or as one sequence."""
    one = len(given) == 1 and isinstance(given[0], tuple | list | np.ndarray | range)
    return tuple(int(n) for n in (given[0] if one else given))
