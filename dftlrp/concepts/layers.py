"""The layers of a model with the shapes of their outputs, for inputs of one shape."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.attribution.references import find_references, is_word
from dftlrp.attribution.waveform import find_waveform, read_beside, read_signal
from dftlrp.concepts.conditions import Concepts, find_concepts
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray
from dftlrp.engine.auto import answer_by_reference, name_reference
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.forward import Inputs, run_forward
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, Settings


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a model for inputs of one shape.

    Attributes
    ----------
    plan : Plan
        Which nodes lie between the signals and what is explained.
    table : LayerTable
        The rule of every layer; ``print`` it for their names.
    shapes : dict of str to tuple of int
        Shape of each value between the signals and the output.

    See Also
    --------
    layers_of : Makes it.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(1, 1, 8000))
    >>> layers = dftlrp.concepts.layers_of(dftlrp.load("waveform"), x)
    >>> layers.concepts("conv6").count
    128
    """

    plan: Plan
    table: LayerTable
    shapes: dict[str, tuple[int, ...]]

    def concepts(self, name: str) -> Concepts:
        """Return the concepts of a layer.

        Parameters
        ----------
        name : str
            A name in the layer table.

        Returns
        -------
        Concepts
            On axis 1 after a convolution, on the last one after a matrix product.

        Raises
        ------
        InputError
            If no layer of this name carries relevance, or it has no axis of concepts.
        """
        values = {k: np.broadcast_to(np.zeros(()), s) for k, s in self.shapes.items()}
        return find_concepts(self.plan, self.table, name, values)


def layers_of(
    model: Model,
    inputs: Inputs,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    reference: Any = AUTO,
) -> Layers:
    """Run one forward pass and return the layers and the shapes of their outputs.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
    inputs : array, or dict of str to array
        What the model reads, batch first; its shape counts.
    output, bind, composite, overrides, reference
        As of `dftlrp.attribute`.
    seed : str
        Not used; accepted so that all functions here take the same settings.

    Returns
    -------
    Layers
        With shapes for inputs like these.

    Raises
    ------
    InputError
        If inputs or settings do not fit the model.

    See Also
    --------
    dftlrp.inspect : The same as a table.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(1, 1, 8000))
    >>> layers = dftlrp.concepts.layers_of(dftlrp.load("waveform"), x)
    >>> layers.shapes["conv6"]
    (1, 128, 31)
    """
    compared = name_reference(reference, model.plan(output, bind))
    settings = Settings(output, bind or {}, composite, overrides or {}, reference=compared)
    return find_layers(model, inputs, settings)


def find_layers(model: Model, inputs: Inputs, settings: Settings) -> Layers:
    """Do the work of `layers_of`, by the NumPy backend."""
    plan = model.plan(settings.output, settings.bind)
    ready, _ = answer_by_reference(
        settings.by_reference(), plan, lambda known: run_forward(model, inputs, known)
    )
    path = {n.output for n in ready.plan.path} | set(ready.plan.signals)
    return Layers(ready.plan, ready.table, {k: ready.values[k].shape for k in path})


def masks_through(
    model: Model,
    signal: str | os.PathLike[str] | AnyArray,
    places: Mapping[str, Any],
    *,
    rate: float | None = None,
    reference: Any = AUTO,
    **settings: Any,
) -> dict[str, AnyArray | None]:
    """Return masks for `dftlrp.explain` that let relevance pass only at some places of layers.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
    signal, rate, reference
        As of `dftlrp.explain`.
    places : dict of str to object
        By layer, channels or places as of `Concepts.mask`; an empty list blocks the layer.
    **settings
        As of `layers_of`.

    Returns
    -------
    dict of str to array or None
        For the argument ``masks`` of `dftlrp.explain`.

    Raises
    ------
    InputError
        As of `layers_of` and `Concepts.mask`.

    See Also
    --------
    conditional : The same of arrays.

    Examples
    --------
    >>> model = dftlrp.load("waveform")
    >>> masks = dftlrp.concepts.masks_through(model, clip, {"conv6": [126]})
    >>> part = dftlrp.explain(model, clip, target=7, masks=masks)
    >>> part.label
    'seven'
    """
    plan = model.plan(settings.get("output"), settings.get("bind"))
    read = find_waveform(plan, signal)
    recording = read_signal(model, signal, rate, read)
    first: Any = AUTO
    if not is_word(reference, AUTO):
        compared = find_references(
            reference, recording.samples,
            lambda other: read_beside(model, other, rate, read, recording),
        )  # fmt: skip
        first = None if compared is None else read.to_input(compared.points[0])
    samples = read.to_input(recording.samples)
    layers = layers_of(model, samples, reference=first, **settings)
    return {name: layers.concepts(name).mask(chosen) for name, chosen in places.items()}
