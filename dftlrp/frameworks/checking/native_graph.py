"""A graph's own ops on the tensors of a framework, as what the graph is checked against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.native import Arrays, Ran
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Tensor

DOUBLE = np.dtype(np.float64)
Tensors = dict[str, Tensor]
FindSlopes = Callable[[Callable[[Tensors], Tensor], Tensors, AnyArray], Arrays]


class NativeGraph:
    """The graph's own ops, run by a framework in float64.

    Parameters
    ----------
    model : Model
    backend : TensorBackend
    find_slopes : callable ``(f, tensors, c) -> arrays``
        Returns the gradient of sum(c * f(tensors)) with respect to each of the tensors, by the
        framework's automatic differentiation.
    """

    dtype = "float64"
    example: Arrays = {}  # noqa: RUF012
    notes: tuple[str, ...] = ()

    def __init__(self, model: Model, backend: TensorBackend, find_slopes: FindSlopes) -> None:
        self.model, self._backend, self._find_slopes = model, backend, find_slopes
        self.name, self.backend = f"its ops run by {backend.name}", backend.name

    def run(self, inputs: Arrays) -> Ran:
        """Return what the ops give."""
        values = {k: self._backend.read(v) for k, v in self._evaluate(inputs, {}).items()}
        outputs = {k: values[k] for k in self.model.graph.outputs if k in values}
        return Ran(outputs, {k: v for k, v in values.items() if v.dtype.kind == "f"})

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """Return the gradient of sum(c * output) with respect to each signal."""
        framework = self._backend.framework
        signals = {k: a for k, a in inputs.items() if a.dtype.kind == "f"}

        def run(tensors: Tensors) -> Tensor:
            wrapped = {k: framework.wrap(t) for k, t in tensors.items()}
            return self._evaluate(inputs, wrapped)[output].tensor

        return self._find_slopes(
            run, {k: framework.make_tensor(a, None) for k, a in signals.items()}, c
        )

    def _evaluate(self, inputs: Arrays, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all values but the constants; ``given`` ones stand for those of the inputs."""
        known, bk = self.model.plan().signals, self._backend
        plan = self.model.plan(bind={k: a for k, a in inputs.items() if k not in known})
        constants = self.model.constants(bk, DOUBLE)
        signals = {k: bk.signal(inputs[k]) for k in plan.signals}
        signals |= {k: a for k, a in given.items() if k in signals}
        values = evaluate(plan, {**constants, **signals}, bk, DOUBLE).values
        return {k: v for k, v in values.items() if k not in constants}
