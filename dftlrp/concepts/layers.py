"""The layers of a model as concepts are asked of them, seen once at inputs of a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.backend import get_backend
from dftlrp.composites import Composite, LayerTable
from dftlrp.concepts.conditions import Concepts, concepts_of
from dftlrp.forward import Inputs, run_through
from dftlrp.graph.plan import Plan
from dftlrp.model import Model
from dftlrp.rules import Rule


@dataclass(frozen=True, eq=False)
class Layers:
    """A model's layers, with the shapes of their outputs."""

    plan: Plan
    table: LayerTable
    shapes: dict[str, tuple[int, ...]]

    def concepts(self, name: str) -> Concepts:
        """The concepts of a layer."""
        values = {k: np.broadcast_to(np.zeros(()), s) for k, s in self.shapes.items()}
        return concepts_of(self.plan, self.table, name, values)


def layers_of(
    model: Model,
    inputs: Inputs,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
) -> Layers:
    """One forward pass tells the layers and their shapes; arguments as of `dftlrp.attribute`."""
    plan = model.plan(output, bind)
    ready = run_through(
        plan, model, inputs, composite, overrides, get_backend("numpy"), np.dtype(np.float64)
    )
    path = {n.output for n in ready.plan.path} | set(ready.plan.signals)
    return Layers(ready.plan, ready.table, {k: ready.values[k].shape for k in path})
