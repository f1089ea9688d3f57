"""The onnx backend, whose arrays are symbols: each function appends nodes instead of computing."""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.core.dispatch import DispatchBackend
from dftlrp.core.maps import Array
from dftlrp.core.types import AnyArray
from dftlrp.tracing import arithmetic, functions, movement  # noqa: F401  # they fill the table
from dftlrp.tracing.providers import tell_rounding
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape


class OnnxBackend(DispatchBackend):
    """Primitives on the symbols of one graph under construction."""

    name = "onnx"

    def __init__(self, tape: Tape | None = None, options: str = "") -> None:
        self.tape, self.options = tape or Tape(), options

    def with_options(self, options: str) -> OnnxBackend:
        """Return the backend for sessions by ``PROVIDER``, ``PROVIDER:THREADS`` or ``:THREADS``."""
        return OnnxBackend(options=options)

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        if isinstance(x, Symbol):
            return x if dtype is None else x.astype(dtype)
        return np.asarray(x, dtype)

    def signal(self, x: Any) -> AnyArray:
        return np.asarray(x)  # a trace makes its own inputs

    def tell_rounding(self, dtype: np.dtype[Any]) -> str:
        return tell_rounding(self.options.partition(":")[0])

    def read(self, x: Array) -> Array:
        return x if isinstance(x, Symbol) else np.asarray(x)  # it refuses where numbers decide


BACKEND = OnnxBackend()  # its name; a trace makes a backend with a graph of its own
