"""What `dftlrp.check` asks torch: activations by hooks, gradients by autograd."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.native import Arrays, Ran

from .backend import BACKEND
from .loading import arguments, run, tapped

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

DOUBLE = np.dtype(np.float64)


def native(source: Module | Model, example: Any = None) -> NativeModule | NativeGraph:
    """A module, or a graph whose ops torch runs."""
    return NativeGraph(source) if isinstance(source, Model) else NativeModule(source, example)


class NativeModule:
    """A copy of a module in float64, in the mode that the module is in.

    In its own dtype where its code does not run in float64.
    """

    backend = "torch"

    def __init__(self, module: Module, example: Any) -> None:
        self.name = f"the torch module {type(module).__name__}"
        training = [path or "itself" for path, part in module.named_modules() if part.training]
        odd = f"the module is in training mode ({', '.join(training[:3])})"
        self.notes: tuple[str, ...] = (odd,) if training else ()
        if example is None:
            raise InputError(f"{self.name}: give example inputs, batch first")
        given = arguments(module, example)
        self.example = {k: _numbers(t) for k, t in given.items()}
        self.module, self.dtype = copy.deepcopy(module).double(), "float64"
        try:
            self.run(self.example)
        except InputError as error:
            self.module, self.dtype = copy.deepcopy(module), "float32"
            self.notes += (f"compared in float32: {error}",)

    def run(self, inputs: Arrays) -> Ran:
        """The forward pass."""
        torch.manual_seed(0)  # a dropout that is on gives the same numbers each time
        outputs, parts = run(self.module, arguments(self.module, inputs))
        return Ran(*({k: _numbers(t) for k, t in x.items()} for x in (outputs, parts)))

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """By autograd."""
        torch.manual_seed(0)
        given = arguments(self.module, inputs)
        signals = _watched(given)
        with torch.enable_grad(), tapped(self.module) as (outputs, _):
            self.module(**{**given, **signals})
        return _slopes(outputs[output], signals, c)


class NativeGraph:
    """The graph's own ops, on torch tensors in float64."""

    name, dtype, backend = "its ops run by torch", "float64", "torch"
    example: Arrays = {}  # noqa: RUF012
    notes: tuple[str, ...] = ()

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Arrays) -> Ran:
        """The forward pass."""
        values = {k: BACKEND.read(v) for k, v in self._values(inputs, {}).items()}
        outputs = {k: values[k] for k in self.model.graph.outputs if k in values}
        return Ran(outputs, {k: v for k, v in values.items() if v.dtype.kind == "f"})

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """By autograd."""
        signals = _watched({k: torch.tensor(a) for k, a in inputs.items()})
        wrapped = {k: BACKEND.framework.wrap(t) for k, t in signals.items()}
        return _slopes(self._values(inputs, wrapped)[output].tensor, signals, c)

    def _values(self, inputs: Arrays, given: Mapping[str, Any]) -> dict[str, Any]:
        plan = self.model.plan(bind={k: a for k, a in inputs.items() if k not in self._signals})
        constants = self.model.constants(BACKEND, DOUBLE)
        signals = {k: BACKEND.signal(inputs[k]) for k in plan.signals}
        values = evaluate(plan, {**constants, **signals, **given}, BACKEND, DOUBLE).values
        return {k: v for k, v in values.items() if k not in constants}

    @property
    def _signals(self) -> set[str]:
        return set(self.model.plan().signals)


def _watched(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: t.clone().requires_grad_() for k, t in tensors.items() if t.is_floating_point()}


def _slopes(z: Tensor, signals: dict[str, Tensor], c: AnyArray) -> Arrays:
    seed = torch.as_tensor(c, dtype=z.dtype, device=z.device)
    found = torch.autograd.grad(z, list(signals.values()), seed, allow_unused=True)
    pairs = zip(signals.items(), found, strict=True)
    return {k: _numbers(torch.zeros_like(t) if g is None else g) for (k, t), g in pairs}


def _numbers(t: Tensor) -> AnyArray:
    array: AnyArray = t.detach().cpu().numpy()
    return array
