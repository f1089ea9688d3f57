"""The attribution graph: which neurons of the layers below feed a neuron.

An edge from neuron j of a lower layer to neuron i of the layer above weighs the relevance of j
under the condition of i (Achtibat et al., 2023, "attribution graph"), summed over positions and
averaged over recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dftlrp.concepts.conditional import conditional
from dftlrp.concepts.conditions import FIRST, LAST, RECURRENT
from dftlrp.concepts.layers import Layers
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.model import Model

Neuron = tuple[str, int]
WEIGHTED = (FIRST | LAST | RECURRENT) - {"MaxPool", "AveragePool", "BatchNormalization"} - {
    "LayerNormalization", "RMSNormalization", "Gather"
}  # fmt: skip


@dataclass(frozen=True)
class Edge:
    """Relevance that a neuron gets from one above it."""

    source: Neuron  # below
    target: Neuron
    weight: float


def attribution_graph(
    model: Model,
    samples: Sequence[AnyArray],
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
    samples : list of array (1, ...)
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
        Unknown layers; a layer that is not below the one before, or that no relevance reaches.
    """
    edges, level = list[Edge](), [start]
    for above, layer in pairwise([start[0], *below]):
        if layers.concepts(layer).value not in _feeding(layers, above):
            raise InputError(f"{layer!r} is not below {above!r}")
        conditions = [{"y": [target], name: [c]} for name, c in level]
        found = [
            conditional(model, x, conditions, record=[layer], layers=layers, **settings)
            for x in samples
        ]
        concepts = layers.concepts(layer)
        sums = [
            [concepts.per_concept(c.before[layer])[0].sum(axis=1) for c in one] for one in found
        ]
        if not np.any(sums):
            raise InputError(f"no relevance of {above!r} arrives at {layer!r}")
        mine = [
            edge
            for neuron, weights in zip(level, np.mean(sums, axis=0), strict=True)
            for edge in _strongest(layer, neuron, weights, width)
        ]
        edges += mine
        level = list(dict.fromkeys(edge.source for edge in mine))
    return edges


def _strongest(layer: str, neuron: Neuron, weights: Real, width: int) -> list[Edge]:
    chosen = np.argsort(-np.abs(weights), kind="stable")[:width]
    return [Edge((layer, int(c)), neuron, float(weights[c])) for c in chosen if weights[c]]


def layers_below(layers: Layers, layer: str, count: int) -> list[str]:
    """The nearest layers with weights that feed a layer, the nearest first.

    A layer without weights (an activation, a pool) belongs to the one with weights behind it.
    """
    front, value = layers.plan.graph.front, layers.concepts(layer).value
    feeding = {value} | _feeding(layers, layer)
    weighted = [
        n
        for n in layers.plan.path[::-1]
        if n.output in feeding and (n.layer_op or n.op) in WEIGHTED and n.layer not in front
    ]
    return list(dict.fromkeys(n.layer for n in weighted))[1 : 1 + count]


def _feeding(layers: Layers, layer: str) -> set[str]:
    """All that a layer's output is made of."""
    makers = {n.output: n for n in layers.plan.path}
    found, waiting = set[str](), list(makers[layers.concepts(layer).value].inputs)
    while waiting:
        name = waiting.pop()
        if name in makers and name not in found:
            found.add(name)
            waiting += makers[name].inputs
    return found
