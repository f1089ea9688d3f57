"""The layers of a model as concepts are asked of them, seen once at inputs of a shape."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.attribution.waveform import recording_for, shaped, waveform
from dftlrp.concepts.conditions import Concepts, concepts_of
from dftlrp.core.rules import Rule
from dftlrp.core.types import AnyArray
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.forward import Inputs, run_forward
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import Settings


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
    settings = Settings(output, bind or {}, composite, overrides or {})
    ready = run_forward(model, inputs, settings)
    path = {n.output for n in ready.plan.path} | set(ready.plan.signals)
    return Layers(ready.plan, ready.table, {k: ready.values[k].shape for k in path})


def masks_through(
    model: Model,
    signal: str | os.PathLike[str] | AnyArray,
    places: Mapping[str, Any],
    *,
    rate: float | None = None,
    **settings: Any,
) -> dict[str, AnyArray | None]:
    """Masks for `dftlrp.explain`, so that relevance goes through these places of these layers.

    Parameters
    ----------
    signal, rate
        As of `dftlrp.explain`.
    places : dict of str to list of int, or what else `Concepts.mask` takes
        By layer; none block it.
    settings
        Of `layers_of`.
    """
    plan = model.plan(settings.get("output"), settings.get("bind"))
    (_, value), shape = waveform(plan, signal)
    samples = shaped(recording_for(model, signal, rate, shape).samples, value, shape)
    layers = layers_of(model, samples, **settings)
    return {name: layers.concepts(name).mask(chosen) for name, chosen in places.items()}
