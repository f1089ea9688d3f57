"""The attribution graph: the neurons of lower layers that feed a neuron.

An edge from neuron j of a lower layer to neuron i of the layer above has as its weight the
relevance of j under the condition of i (Achtibat et al., 2023, "attribution graph"), summed over
positions and averaged over recordings.
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
    """The relevance that a neuron receives from one above it.

    Attributes
    ----------
    source, target : (layer, concept)
        The lower neuron, and the upper one.
    weight : float
        Relevance of the source under the condition of the target.
    """

    source: Neuron
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
    """Return edges from the strongest neurons below a neuron, layer by layer.

    Parameters
    ----------
    samples : list of array (1, ...)
        Recordings over which the weights are averaged.
    target : int
        The class.
    start : (layer, concept)
        The neuron.
    below : list of str
        Layers, each below the one before.
    layers : Layers
        Of the model at inputs of this shape.
    width : int
        Number of neurons of each layer that are followed for each neuron above.
    settings
        As of `dftlrp.concepts.conditional`.

    Raises
    ------
    InputError
        If a layer is unknown, is not below the one before, or receives no relevance.
    """
    edges, level = list[Edge](), [start]
    for above, layer in pairwise([start[0], *below]):
        concepts = layers.concepts(layer)
        if concepts.value not in _find_ancestors(layers, above):
            raise InputError(f"{layer!r} is not below {above!r}")
        conditions = [{"y": [target], name: [c]} for name, c in level]
        found = [
            conditional(model, x, conditions, record=[layer], layers=layers, **settings)
            for x in samples
        ]
        sums = [[concepts.per_concept(c.before[layer])[0].sum(axis=1) for c in x] for x in found]
        if not np.any(sums):
            raise InputError(f"no relevance of {above!r} arrives at {layer!r}")
        new = [
            edge
            for neuron, weights in zip(level, np.mean(sums, axis=0), strict=True)
            for edge in _choose_edges(layer, neuron, weights, width)
        ]
        edges += new
        level = list(dict.fromkeys(edge.source for edge in new))
    return edges


def _choose_edges(layer: str, neuron: Neuron, weights: Real, width: int) -> list[Edge]:
    """Return the edges of largest |weight| from a layer to a neuron."""
    chosen = np.argsort(-np.abs(weights), kind="stable")[:width]
    return [Edge((layer, int(c)), neuron, float(weights[c])) for c in chosen if weights[c]]


def layers_below(layers: Layers, layer: str, count: int) -> list[str]:
    """Return the nearest layers with weights that feed a layer, the nearest first.

    A layer without weights (an activation, a pool) counts as part of the nearest one below it
    that has weights.
    """
    front, value = layers.plan.graph.front, layers.concepts(layer).value
    feeding = {value} | _find_ancestors(layers, layer)
    weighted = [
        n
        for n in layers.plan.path[::-1]
        if n.output in feeding and (n.layer_op or n.op) in WEIGHTED and n.layer not in front
    ]
    return list(dict.fromkeys(n.layer for n in weighted))[1 : 1 + count]


def _find_ancestors(layers: Layers, layer: str) -> set[str]:
    """Return the names of all values that the output of a layer is computed from."""
    makers = {n.output: n for n in layers.plan.path}
    found, waiting = set[str](), list(makers[layers.concepts(layer).value].inputs)
    while waiting:
        name = waiting.pop()
        if name in makers and name not in found:
            found.add(name)
            waiting += makers[name].inputs
    return found
