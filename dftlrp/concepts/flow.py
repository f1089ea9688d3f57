"""The attribution graph: which neurons of the layers below feed a neuron.

An edge from neuron j of a lower layer to neuron i of the layer above weighs the relevance of j
under the condition of i (Achtibat et al., 2023, "attribution graph"), summed over positions and
averaged over recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.concepts.conditional import conditional
from dftlrp.concepts.layers import Layers
from dftlrp.model import Model
from dftlrp.types import AnyArray, InputError, Real

Neuron = tuple[str, int]


@dataclass(frozen=True)
class Edge:
    """Relevance that a neuron gets from one above it."""

    source: Neuron  # below
    target: Neuron
    weight: float


def attribution_graph(
    model: Model,
    samples: AnyArray,
    target: int,
    start: Neuron,
    below: Sequence[str],
    *,
    layers: Layers,
    width: int = 4,
    **settings: Any,
) -> list[Edge]:
    """The strongest neurons below a neuron, layer by layer.

    Parameters
    ----------
    samples : array (n, ...)
        Recordings over which weights are averaged.
    target : int
        The class.
    start : (layer, concept)
    below : list of str
        Layers, each below the one before.
    width : int
        How many neurons of each layer are followed for each neuron above.
    settings
        Of `dftlrp.concepts.conditional`.

    Raises
    ------
    InputError
        Unknown layers; a layer that is not below the one before.
    """
    edges, level = list[Edge](), [start]
    for layer in below:
        mine = []
        for neuron in level:
            condition = {"y": [target], neuron[0]: [neuron[1]]}
            weights = _fed(model, samples, condition, layer, layers, settings)
            strongest = np.argsort(-np.abs(weights), kind="stable")[:width]
            mine += [Edge((layer, int(c)), neuron, float(weights[c])) for c in strongest]
        edges += mine
        level = list(dict.fromkeys(edge.source for edge in mine))
    return edges


def _fed(
    model: Model,
    samples: AnyArray,
    condition: Mapping[str, list[int]],
    layer: str,
    layers: Layers,
    settings: Mapping[str, Any],
) -> Real:
    """Mean relevance of each concept of a layer under a condition."""
    concepts = layers.concepts(layer)
    sums = []
    for i in range(len(samples)):
        (one,) = conditional(
            model, samples[i : i + 1], [condition], record=[layer], layers=layers, **settings
        )
        sums.append(concepts.per_concept(one.before[layer])[0].sum(axis=1))
    if not np.any(sums):
        raise InputError(f"no relevance arrives at {layer!r}: is it below {list(condition)}?")
    return np.asarray(np.mean(sums, axis=0))
