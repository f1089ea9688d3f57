"""A backend whose arrays are tensors of a framework, which an adapter supplies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, Self

import numpy as np

from dftlrp.core.dispatch import DispatchBackend
from dftlrp.core.maps import Array
from dftlrp.core.signs import UNKNOWN, sign_of
from dftlrp.core.types import AnyArray, InputError
from dftlrp.frameworks.tensors import Framework, TensorArray
from dftlrp.frameworks.watcher import TensorWatcher

SMALL = 2**12  # numbers of an array that is read with others


class TensorBackend(DispatchBackend):
    """The contract's primitives on the tensors of one device, in the dtype that they have.

    An adapter is a subclass that says what follows.

    Attributes
    ----------
    package : str
        The package to import, which is also the name of the backend and of the extra of dftlrp.
    title : str
        The framework as people write it.
    device : str
        The device that is taken where none is asked for.
    """

    package: str
    title: str
    device: str

    def __init__(self, device: str = "") -> None:
        device = self.read_device(device) if device else self.device
        self.name = self.package if device == self.device else f"{self.package}:{device}"
        self.device = device

    def make_framework(self) -> Framework:
        """Return the functions on the device; the package can be imported.

        Raises
        ------
        InputError
            There is no such device.
        """
        raise NotImplementedError

    def read_device(self, text: str) -> str:
        """Return the name of a device from one that users give."""
        return text

    def with_options(self, options: str) -> Self:
        """Return the backend on another device, as the framework names it."""
        return type(self)(options)

    @cached_property
    def framework(self) -> Framework:
        """The framework, imported when it is first asked for.

        Raises
        ------
        InputError
            It is not installed, or there is no such device.
        """
        try:
            import_module(self.package)
        except ImportError as error:
            raise InputError(
                f"backend {self.package!r} needs {self.title}: pip install 'dftlrp[{self.package}]'"
            ) from error
        return self.make_framework()

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Return floats as known tensors; integers and truths stay NumPy's."""
        if isinstance(x, TensorArray):
            return x if dtype is None else x.astype(dtype)
        given = np.asarray(x, dtype)
        return self._put(given, known=True) if given.dtype.kind == "f" else given

    def signal(self, x: Any) -> Array:
        return self._put(np.asarray(x), known=False)

    def _put(self, x: AnyArray, known: bool) -> TensorArray:
        return self.framework.wrap(self.framework.make_tensor(x, None), known=known)

    def known(self, x: Array) -> bool:
        return not isinstance(x, TensorArray) or x.known

    def read(self, x: Array) -> AnyArray:
        return x.framework.read(x.tensor) if isinstance(x, TensorArray) else np.asarray(x)

    def read_all(self, xs: Sequence[Array]) -> list[AnyArray]:
        """Return the numbers of several arrays; the small ones travel together."""
        groups: dict[np.dtype[Any], list[int]] = {}
        for i, x in enumerate(xs):
            if isinstance(x, TensorArray) and x.size <= SMALL:
                groups.setdefault(x.dtype, []).append(i)
        found = dict[int, AnyArray]()
        for places in groups.values():
            numbers = self.read(np.concatenate([xs[i].reshape((-1,)) for i in places]))
            ends = np.cumsum([xs[i].size for i in places])[:-1]
            parts = zip(places, np.split(numbers, ends), strict=True)
            found |= {i: part.reshape(xs[i].shape) for i, part in parts}
        return [found[i] if i in found else self.read(x) for i, x in enumerate(xs)]

    def tell_rounding(self, dtype: np.dtype[Any]) -> str:
        """Return what the framework's switches allow on the device."""
        return self.framework.tell_rounding(dtype)

    def start_watching(self) -> TensorWatcher:
        """Return what notes the calls on tensors."""
        return TensorWatcher(self.framework)

    def nonneg(self, x: Array) -> bool:
        looked_at = self.known(x) and sign_of(x) == UNKNOWN
        return sign_of(self.read(x) if looked_at else x).nonneg

    def pos(self, x: Array) -> Array:
        return x if isinstance(x, TensorArray) and x.sign.nonneg else super().pos(x)

    def neg(self, x: Array) -> Array:
        return x if isinstance(x, TensorArray) and x.sign.nonpos else super().neg(x)

    def step(self, x: Array, strict: bool) -> Array:
        if strict and isinstance(x, TensorArray) and x.sign.nonneg:
            return np.sign(x)  # much faster than a comparison
        return super().step(x, strict)
