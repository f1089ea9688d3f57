"""What `dftlrp.check` asks torch: activations by hooks, gradients by autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.native import Arrays, Ran
from dftlrp.frameworks.checking.native_graph import NativeGraph

from .backend import BACKEND
from .calling import arguments, run, tapped
from .functions import read_tensor

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Tensors = dict[str, "Tensor"]


def make_native(source: Module | Model, example: Any = None) -> NativeModule | NativeGraph:
    """Return a module, or a graph's ops, as what `dftlrp.check` compares a graph with."""
    if isinstance(source, Model):
        return NativeGraph(source, BACKEND, find_slopes)
    return NativeModule(source, example)


def find_slopes(f: Callable[[Tensors], Tensor], tensors: Tensors, c: AnyArray) -> Arrays:
    """Return the gradient of sum(c * f(tensors)) with respect to each of them, by autograd."""
    watched = {k: t.clone().requires_grad_() for k, t in tensors.items()}
    with torch.enable_grad():
        z = f(watched)
    seed = torch.as_tensor(c, dtype=z.dtype, device=z.device)
    slopes = torch.autograd.grad(
        z, list(watched.values()), seed, allow_unused=True, materialize_grads=True
    )
    return {k: read_tensor(g) for k, g in zip(watched, slopes, strict=True)}


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
        self.example = {k: read_tensor(t) for k, t in given.items()}
        self.module, self.dtype = copy.deepcopy(module).double(), "float64"
        try:
            self.run(self.example)
        except InputError as error:
            self.module, self.dtype = copy.deepcopy(module), "float32"
            self.notes += (f"compared in float32: {error}",)

    def run(self, inputs: Arrays) -> Ran:
        """Return what the module and its parts give."""
        torch.manual_seed(0)  # a dropout that is on gives the same numbers each time
        outputs, parts = run(self.module, arguments(self.module, inputs))
        return Ran(*({k: read_tensor(t) for k, t in x.items()} for x in (outputs, parts)))

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """Return the gradient of sum(c * output) with respect to each input of floats."""
        torch.manual_seed(0)
        given = arguments(self.module, inputs)

        def run_module(signals: Tensors) -> Tensor:
            with tapped(self.module) as (outputs, _):
                self.module(**{**given, **signals})
            return outputs[output]

        return find_slopes(run_module, {k: t for k, t in given.items() if t.is_floating_point()}, c)
