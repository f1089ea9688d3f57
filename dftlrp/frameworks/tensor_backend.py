"""A backend whose arrays are tensors of a framework, which an adapter supplies."""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.core.dispatch import DispatchBackend
from dftlrp.core.maps import Array
from dftlrp.core.signs import UNKNOWN, sign_of
from dftlrp.core.types import AnyArray
from dftlrp.frameworks.tensors import Framework, TensorArray


class TensorBackend(DispatchBackend):
    """The contract's primitives by a framework's functions; other arrays are NumPy's."""

    @property
    def framework(self) -> Framework:
        """The framework, imported when it is first asked for."""
        raise NotImplementedError

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
        return x.framework.read_tensor(x.tensor) if isinstance(x, TensorArray) else np.asarray(x)

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
