"""Tensors of another framework as arrays: what an adapter shares with every other.

Ops and rules are written with the backend's primitives and with NumPy's functions and operators.  A
`TensorArray` answers all three by one table of functions on plain tensors, which the framework
supplies by the names of NumPy and of the contract (`dftlrp.core.backend`).  So nothing leaves the
framework silently, neither its device nor its gradients: what has no entry is refused, unless it is
*known*, that is, does not depend on a signal.  Without a wrapped argument NumPy computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dftlrp.core.types import AnyArray

Tensor = Any
Array = Any
Shape = tuple[int, ...]


class RefusedError(TypeError):
    """What has no function of the framework was asked of an array that depends on a signal."""


@dataclass(frozen=True, eq=False)
class Framework:
    """What an adapter supplies.

    Attributes
    ----------
    name : str
        As users know it.
    tensor : callable ``(array, dtype) -> tensor``
        Numbers as a tensor on the device; dtype a NumPy one, None: the array's own.
    numbers : callable ``tensor -> array``
        The way back, without gradient.
    dtype_of : callable ``tensor -> numpy.dtype``
    errors : tuple of exceptions
        What it raises where tensors do not fit a function.
    functions : dict of str to callable
        By name, on tensors, numbers and tuples of these; arrays are tensors by then, with
        floats in the dtype of the tensors beside them.
    """

    name: str
    tensor: Callable[[AnyArray, Any], Tensor]
    numbers: Callable[[Tensor], AnyArray]
    dtype_of: Callable[[Tensor], np.dtype[Any]]
    errors: tuple[type[Exception], ...]
    functions: Mapping[str, Callable[..., Tensor]]

    def wrap(self, tensor: Tensor, sign: int = 0, known: bool = False) -> TensorArray:
        """A tensor as an array."""
        return TensorArray(self, tensor, sign, known)

    def call(self, name: str, *args: Any, fallback: Any = None, **kwargs: Any) -> Any:
        """The function of that name; ``fallback``, NumPy's, where all that is wrapped is readable.

        Raises
        ------
        RefusedError
            There is no such function.
        """
        found = [a for a in flat((*args, *kwargs.values())) if isinstance(a, TensorArray)]
        if name not in self.functions:
            if fallback is None or not all(a.readable for a in found):
                raise RefusedError(f"{self.name} has no function for {name!r} of a signal")
            return fallback(*numbers(args), **{k: numbers(v) for k, v in kwargs.items()})
        like = next((a.dtype for a in found if a.dtype.kind == "f"), None)
        plain = tuple(self._plain(a, like) for a in args)
        named = {k: self._plain(v, like) for k, v in kwargs.items()}
        try:
            y = self.functions[name](*plain, **named)
        except self.errors as error:
            raise ValueError(f"{name}: {str(error).splitlines()[0]}") from error
        sign = SIGNS[name](*args, **kwargs) if name in SIGNS else 0
        return self.wrap(y, sign, all(a.known for a in found))

    def _plain(self, x: Any, like: Any) -> Any:
        """Tensors and numbers instead of arrays."""
        if isinstance(x, TensorArray):
            return x.tensor
        if type(x) in (tuple, list):  # not a NamedTuple: that is a geometry
            return tuple(self._plain(a, like) for a in x)
        if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
            return x.item()
        if isinstance(x, np.ndarray):
            return self.tensor(x, like if x.dtype.kind == "f" else None)
        return x


class TensorArray(NDArrayOperatorsMixin):
    """A tensor as an array.

    ``sign`` is 1 where it is known to be >= 0 everywhere, -1 where <= 0, else 0.  ``known`` says
    that it does not depend on a signal.
    """

    __slots__ = ("framework", "known", "sign", "tensor")

    def __init__(self, framework: Framework, tensor: Tensor, sign: int, known: bool) -> None:
        self.framework, self.tensor, self.sign, self.known = framework, tensor, sign, known

    shape = property(lambda self: tuple(self.tensor.shape))
    ndim = property(lambda self: len(self.tensor.shape))
    dtype = property(lambda self: self.framework.dtype_of(self.tensor))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    T = property(lambda self: self.transpose())

    @property
    def readable(self) -> bool:
        """Whether its numbers may be looked at: whole numbers and truths carry no gradient."""
        return self.known or self.dtype.kind != "f"

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """NumPy's ufuncs."""
        if method != "__call__" or kwargs:
            return NotImplemented
        return self.framework.call(ufunc.__name__, *args, fallback=ufunc)

    def __array_function__(self, f: Any, _: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's other functions."""
        if f in (np.shape, np.ndim, np.size):
            return getattr(args[0], f.__name__)
        return self.framework.call(f.__name__, *args, fallback=f, **kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        if not self.readable:
            raise RefusedError(f"it would leave {self.framework.name} for NumPy")
        return np.array(self.framework.numbers(self.tensor), dtype, copy=copy)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __float__(self) -> float:
        return float(np.asarray(self))

    def __int__(self) -> int:
        return int(np.asarray(self))

    __index__ = __int__

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __str__(self) -> str:
        return str(self.framework.numbers(self.tensor))

    def __getitem__(self, key: Any) -> Any:
        """As NumPy's, by slices, numbers and arrays of numbers."""
        return self.framework.call("getitem", self, key)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """As NumPy's."""
        wanted = np.dtype(dtype)
        return self if wanted == self.dtype else self.framework.call("astype", self, wanted)

    def reshape(self, *shape: Any) -> Any:
        """As NumPy's."""
        return self.framework.call("reshape", self, _given(shape))

    def transpose(self, *perm: Any) -> Any:
        """As NumPy's."""
        return self.framework.call("transpose", self, _given(perm) or tuple(range(self.ndim)[::-1]))

    def swapaxes(self, a: int, b: int) -> Any:
        """As NumPy's."""
        perm = list(range(self.ndim))
        perm[a], perm[b] = perm[b], perm[a]
        return self.transpose(perm)

    def ravel(self) -> Any:
        """As NumPy's."""
        return self.reshape(-1)

    def copy(self) -> Any:
        """Itself: nothing is written into it."""
        return self

    def take(self, index: Any, axis: int) -> Any:
        """As NumPy's, along an axis."""
        return np.take(self, np.asarray(index), axis)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """As NumPy's."""
        return np.sum(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
        """As NumPy's."""
        return np.min(self, axis=axis, keepdims=keepdims, initial=initial)

    def max(self, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
        """As NumPy's."""
        return np.max(self, axis=axis, keepdims=keepdims, initial=initial)

    def any(self) -> bool:
        """As NumPy's."""
        return bool(np.any(self != 0))

    def clip(self, low: Any, high: Any) -> Any:
        """As NumPy's."""
        return np.clip(self, low, high)


def _given(numbers: tuple[Any, ...]) -> Shape:
    """Numbers given one by one or as one sequence."""
    one = len(numbers) == 1 and isinstance(numbers[0], tuple | list | np.ndarray | range)
    return tuple(int(n) for n in (numbers[0] if one else numbers))


def flat(xs: Sequence[Any]) -> list[Any]:
    """What stands in nested tuples and lists."""
    return [a for x in xs for a in (flat(x) if type(x) in (tuple, list) else (x,))]


def numbers(x: Any) -> Any:
    """What is readable, in nested tuples and lists, as NumPy's arrays."""
    if type(x) in (tuple, list):
        return type(x)(map(numbers, x))
    return np.asarray(x) if isinstance(x, TensorArray) else x


# -- signs


def sign_of(x: Any) -> int:
    """What is known of the sign: 1 (>= 0), -1 (<= 0) or 0; numbers are looked at."""
    if isinstance(x, TensorArray):
        return x.sign
    a = np.asarray(x)
    if a.dtype.kind == "b" or np.min(a, initial=0) >= 0:
        return 1
    return -1 if np.max(a, initial=0) <= 0 else 0


def _same(x: Any, *_: Any, **__: Any) -> int:
    return sign_of(x)


def _all(xs: Sequence[Any], *_: Any, **__: Any) -> int:
    signs = {sign_of(x) for x in xs}
    return signs.pop() if len(signs) == 1 else 0


def _up(*_: Any, **__: Any) -> int:
    return 1


def _product(a: Any, b: Any, *_: Any, **__: Any) -> int:
    return sign_of(a) * sign_of(b)


SIGNS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(
        ("reshape", "transpose", "getitem", "astype", "slice", "slice_T", "expand", "take_T", "sum",
         "sum_to", "maxpool", "maxpool_T", "tanh", "erf", "sign", "moveaxis", "flip", "cumsum",
         "max", "amax", "min", "amin", "broadcast_to", "take", "repeat", "tile"), _same
    ),
    **dict.fromkeys(("pos", "step", "exp", "sqrt", "sigmoid", "absolute", "ones_like"), _up),
    **dict.fromkeys(("multiply", "divide", "matmul", "conv", "conv_T"), _product),
    **dict.fromkeys(("concat", "concatenate", "stack"), _all),
    "neg": lambda _: -1,
    "negative": lambda x: -sign_of(x),
    "add": lambda a, b: _all((a, b)),
    "subtract": lambda a, b: sign_of(a) if sign_of(a) == -sign_of(b) else 0,
    "power": lambda a, _: int(sign_of(a) > 0),
    "where": lambda _, a, b: _all((a, b)),
    "maximum": lambda a, b: 1 if 1 in (sign_of(a), sign_of(b)) else _all((a, b)),
    "minimum": lambda a, b: -1 if -1 in (sign_of(a), sign_of(b)) else _all((a, b)),
    "clip": lambda x, low, high: int(1 in (sign_of(x), sign_of(low)) and sign_of(high) > 0),
    "pad": lambda x, _, value=0.0, constant_values=0.0: _all((x, value or constant_values or x)),
    "pick": lambda x, _, fill=0.0: _all((x, fill or x)),
}  # fmt: skip
