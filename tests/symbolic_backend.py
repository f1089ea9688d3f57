"""A backend whose arrays have no values to look at: what runs on it can be traced into a graph.

An array knows its shape, rank and dtype.  It has ``+ - * /``, unary minus and abs, and raises on
everything that would need its numbers: truth, comparison, iteration, conversion to NumPy.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.numpy_backend import NumpyBackend


class Untraceable(AssertionError):
    """Something asked a symbolic array for its numbers."""


def _refuse(what: str) -> Any:
    def method(*_: Any, **__: Any) -> NoReturn:
        raise Untraceable(what)

    return method


def _numbers(x: Any) -> Any:
    """The wrapped array; constants, which have numbers, as they are."""
    return x._hidden if isinstance(x, Symbol) else x


def _operator(name: str) -> Any:
    def method(self: Symbol, other: Any) -> Symbol:
        return Symbol(getattr(np.asarray(self._hidden), name)(_numbers(other)))

    return method


class Symbol:
    """An array of the symbolic backend."""

    __array_ufunc__ = None  # NumPy arrays leave the operator to us
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, hidden: Any) -> None:
        self._hidden = np.asarray(hidden)

    shape = property(lambda self: self._hidden.shape)
    ndim = property(lambda self: self._hidden.ndim)
    dtype = property(lambda self: self._hidden.dtype)

    def __neg__(self) -> Symbol:
        return Symbol(-self._hidden)

    def __abs__(self) -> Symbol:
        return Symbol(abs(self._hidden))


for _name in ("add", "sub", "mul", "truediv"):
    setattr(Symbol, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(Symbol, f"__r{_name}__", _operator(f"__r{_name}__"))
for _name in (
    "array",
    "bool",
    "float",
    "int",
    "index",
    "complex",
    "iter",
    "len",
    "getitem",
    "setitem",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "pow",
    "matmul",
    "contains",
):
    setattr(Symbol, f"__{_name}__", _refuse(f"__{_name}__ of an array"))


class SymbolicBackend:
    """The reference's primitives on hidden arrays; nothing is known of a sign."""

    name = "symbolic"

    def nonneg(self, x: Any) -> bool:
        return False

    def asarray(self, x: Any, dtype: Any = None) -> Symbol:
        return Symbol(np.asarray(_numbers(x), dtype))

    def __getattr__(self, primitive: str) -> Any:
        if primitive not in vars(Backend):
            raise AttributeError(f"{primitive!r} is not in the backend's contract")

        def call(*args: Any, **kwargs: Any) -> Symbol:
            plain = [tuple(map(_numbers, a)) if type(a) is tuple else _numbers(a) for a in args]
            named = {k: _numbers(v) for k, v in kwargs.items()}
            return Symbol(getattr(NumpyBackend(), primitive)(*plain, **named))

        return call


def numbers(x: Symbol) -> Any:
    """What a test may see of the result."""
    assert isinstance(x, Symbol), f"{type(x)} instead of an array of the backend"
    return x._hidden
