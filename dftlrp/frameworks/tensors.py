"""Tensors of another framework as arrays.

A framework supplies a table of functions on its tensors, by the names that the backend contract
gives them (`dftlrp.core.backend`).  A `TensorArray` looks them up, so nothing leaves the framework
silently, neither its device nor its gradients: a function that has no entry is refused, unless the
arrays are *readable*, that is, do not depend on a signal or hold no floats; then NumPy computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.arrays import BackendArray
from dftlrp.core.dispatch import find_arrays
from dftlrp.core.programs import WATCHER
from dftlrp.core.signs import UNKNOWN, Sign, find_sign
from dftlrp.core.types import AnyArray, InputError, Shape

Tensor = Any
FLOATS = {"float16", "float32", "float64"}
SPENT = ("out of memory", "not enough memory", "RESOURCE_EXHAUSTED", "OOM when")  # in messages


class RefusedError(TypeError):
    """A framework has no function of that name, and the numbers may not leave it for NumPy."""


@dataclass(frozen=True, eq=False)
class Framework:
    """What an adapter supplies.

    Attributes
    ----------
    name : str
        As users know it.
    make_tensor : callable ``(array, dtype) -> tensor``
        Puts an array on the device; the dtype is one of NumPy, None for the array's own.
    read_tensor : callable ``tensor -> array``
        Gives the numbers of a tensor, without gradient.
    find_dtype : callable ``tensor -> numpy.dtype``
    errors : tuple of exceptions
        What the functions raise where tensors do not fit.
    functions : dict of str to callable
        By name, on tensors, numbers and tuples of these; arrays are tensors by then, with
        floats in the dtype of the tensors beside them.
    make_lasting : callable
        Returns a context in which tensors are made that outlive the call, whatever mode the caller
        is in.
    tell_rounding : callable ``dtype -> str``
        Says what products may be rounded to now, as of `dftlrp.core.backend.Backend`.
    """

    name: str
    make_tensor: Callable[[AnyArray, Any], Tensor]
    read_tensor: Callable[[Tensor], AnyArray]
    find_dtype: Callable[[Tensor], np.dtype[Any]]
    errors: tuple[type[Exception], ...]
    functions: Mapping[str, Callable[..., Tensor]]
    make_lasting: Callable[[], AbstractContextManager[None]] = nullcontext
    tell_rounding: Callable[[np.dtype[Any]], str] = lambda _: ""

    def wrap(self, tensor: Tensor, sign: Sign = UNKNOWN, known: bool = False) -> TensorArray:
        """Return a tensor as an array."""
        return TensorArray(self, tensor, sign, known)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the function of that name gives for arrays, numbers and tuples of these.

        Raises
        ------
        RefusedError
            There is no such function.
        ValueError
            The arrays do not fit the function.
        MemoryError
            The device has not enough memory.
        """
        arrays: list[Any] = list(find_arrays((*args, *kwargs.values())))
        if name not in self.functions:
            return self._call_numpy(name, args, kwargs, all(a.readable for a in arrays))
        like = next((a.dtype for a in arrays if a.dtype.kind == "f"), None)
        tensors = tuple(self._unwrap(a, like) for a in args)
        named = {k: self._unwrap(v, like) for k, v in kwargs.items()}
        try:
            y = self.functions[name](*tensors, **named)
        except self.errors as error:
            raise translate_error(error, name) from error
        if (watcher := WATCHER.get()) is not None:
            watcher.note_call(self.functions[name], tensors, named, y)
        return self.wrap(y, find_sign(name, *args, **kwargs), all(a.known for a in arrays))

    def read(self, tensor: Tensor) -> AnyArray:
        """Return the numbers of a tensor, without gradient."""
        if (watcher := WATCHER.get()) is not None:
            watcher.note_read(tensor)
        return self.read_tensor(tensor)

    def _call_numpy(self, name: str, args: Any, kwargs: Any, readable: bool) -> Any:
        """Let NumPy compute with numbers that may be read."""
        function = getattr(np, name, None)
        if function is None or not readable:
            raise RefusedError(f"{self.name} has no function for {name!r} of a signal")
        return function(*read_arrays(args), **{k: read_arrays(v) for k, v in kwargs.items()})

    def _unwrap(self, x: Any, like: Any) -> Any:
        """Return tensors and numbers instead of arrays."""
        if isinstance(x, TensorArray):
            return x.tensor
        if type(x) in (tuple, list):  # not a NamedTuple: that is a geometry
            return tuple(self._unwrap(a, like) for a in x)
        if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
            return x.item()
        if isinstance(x, np.ndarray):
            return self.make_tensor(x, like if x.dtype.kind == "f" else None)
        return x


def translate_error(error: Exception, name: str) -> Exception:
    """Return what NumPy would raise in place of a framework's error."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    spent = any(words in line for words in SPENT)
    return MemoryError(line) if spent else ValueError(f"{name}: {line}")


class TensorArray(BackendArray):
    """A tensor as an array; ``known`` says that it does not depend on a signal."""

    __slots__ = ("framework", "known", "tensor")

    def __init__(self, framework: Framework, tensor: Tensor, sign: Sign, known: bool) -> None:
        super().__init__(tensor.shape, framework.find_dtype(tensor), sign)
        self.framework, self.tensor, self.known = framework, tensor, known

    nbytes = property(lambda self: self.size * self.dtype.itemsize)

    @property
    def readable(self) -> bool:
        """Whether its numbers may be looked at: integers and truths carry no gradient."""
        return self.known or self.dtype.kind != "f"

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the framework's function of that name gives."""
        return self.framework.call(name, *args, **kwargs)

    def read(self) -> AnyArray:
        """Return the numbers.

        Raises
        ------
        RefusedError
            They are floats that depend on a signal.
        """
        if not self.readable:
            raise RefusedError(f"it would leave {self.framework.name} for NumPy")
        return self.framework.read(self.tensor)

    def __str__(self) -> str:
        return str(self.framework.read_tensor(self.tensor))


def refuse_float(backend: str, dtype: np.dtype[Any], on_cpu: bool) -> None:
    """Raise an `InputError` for floats that frameworks do not compute in on the device."""
    if dtype == np.float16 and on_cpu:
        raise InputError(f"backend {backend!r} has no float16 on a CPU: use dtype='float32'")
    if dtype.kind == "f" and dtype.name not in FLOATS:
        raise InputError(f"backend {backend!r} has no {dtype}: use dtype='float64' or 'float32'")


def read_arrays(x: Any) -> Any:
    """Return arrays, also those in tuples and lists, as arrays of NumPy."""
    if type(x) in (tuple, list):
        return type(x)(map(read_arrays, x))
    return x.read() if isinstance(x, TensorArray) else x


def sort_slices(key: tuple[slice, ...], shape: Shape) -> tuple[tuple[slice, ...], Shape]:
    """Return slices of the same places that go up, and the axes to be turned around afterwards."""
    spans = [k.indices(n) for k, n in zip(key, shape, strict=False)]
    down = tuple(i for i, (_, _, step) in enumerate(spans) if step < 0)
    ups = list(key)
    for i in down:
        begin, end, step = spans[i]
        count = len(range(begin, end, step))
        ups[i] = slice(begin + (count - 1) * step, begin + 1, -step) if count else slice(0, 0)
    return tuple(ups), down
