"""The attribution graph: the neurons of lower layers that feed a neuron.

An edge from neuron j of a lower layer to neuron i of the layer above has as its weight the
relevance of j under the condition of i (Achtibat et al., 2023, "attribution graph"), summed over
positions and averaged over recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dftlrp.concepts.conditional import compare_with_each
from dftlrp.concepts.conditions import FIRST, LAST, RECURRENT
from dftlrp.concepts.layers import Layers
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model
from dftlrp.engine.settings import AUTO, Question, Settings
from dftlrp.tracing.answers import answer

Neuron = tuple[str, int]
BATCH = 16  # neurons that are computed together
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

    See Also
    --------
    attribution_graph : Makes them.

    Examples
    --------
    >>> edge = dftlrp.concepts.Edge(source=("conv5", 3), target=("conv6", 1), weight=0.5)
    >>> edge.source
    ('conv5', 3)
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
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    backend: str | None = None,
    dtype: Any = None,
    reference: Any = AUTO,
) -> list[Edge]:
    """Return edges from the strongest neurons below a neuron, layer by layer.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
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
    output, bind, seed, composite, overrides, backend, dtype, reference
        As of `dftlrp.concepts.conditional`.

    Returns
    -------
    list of Edge
        From the neuron downward, the strongest first of each.

    Raises
    ------
    InputError
        If a layer is unknown, is not below the one before, or receives no relevance.

    See Also
    --------
    layers_below : Layers to follow.
    conditional : What each edge is computed from.

    Notes
    -----
    Achtibat et al. (2023), doi 10.1038/s42256-023-00711-8.

    Examples
    --------
    >>> model, x = dftlrp.load("waveform"), e.signal["time"][None, None]
    >>> layers = dftlrp.concepts.layers_of(model, x)
    >>> edges = dftlrp.concepts.attribution_graph(
    ...     model, [x], 7, ("conv6", 126), dftlrp.concepts.layers_below(layers, "conv6", 1),
    ...     layers=layers, width=2,
    ... )
    >>> [(edge.source[0], edge.target) for edge in edges]
    [('conv5', ('conv6', 126)), ('conv5', ('conv6', 126))]
    """
    plain = Settings(output, bind or {}, composite, overrides or {}, backend, dtype)
    passes = compare_with_each(plain, model.plan(output, plain.bind), reference)
    asked = _Asked(model, target, seed, passes, layers)
    edges, level = list[Edge](), [start]
    for above, layer in pairwise([start[0], *below]):
        concepts = layers.concepts(layer)
        if concepts.value not in _find_ancestors(layers, above):
            raise InputError(f"{layer!r} is not below {above!r}")
        sums = [asked.measure(x, above, [c for _, c in level], layer) for x in samples]
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


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of each recording: a target, by settings for each reference."""

    model: Model
    target: int
    seed: str
    passes: Sequence[Settings]
    layers: Layers

    def measure(self, x: AnyArray, above: str, neurons: Sequence[int], layer: str) -> Real:
        """Return the relevance of the concepts of a layer under each neuron of one above it.

        The neurons are computed together where the model takes several samples.

        Returns
        -------
        array (neuron, concept)
        """
        dims = [value.dims for value in self.layers.plan.signals.values()]
        open_end = all(d is None or (len(d) > 1 and d[0] is None) for d in dims)
        size = min(len(neurons), BATCH) if open_end else 1
        parts = [neurons[i : i + size] for i in range(0, len(neurons), size)]
        return np.concatenate([self._measure_some(x, above, some, layer) for some in parts])

    def _measure_some(self, x: AnyArray, above: str, some: Sequence[int], layer: str) -> Real:
        upper, lower = self.layers.concepts(above), self.layers.concepts(layer)
        mask = np.concatenate([upper.places([c]) for c in some], axis=upper.batch)
        question = Question(
            [self.target] * len(some), self.seed, [layer], {above: mask}, ledger=False,
            signals=False,
        )  # fmt: skip
        many = np.repeat(x, len(some), axis=0)
        answers = [a for s in self.passes for a in answer(self.model, many, s, [question])]
        each = [lower.per_concept(a.flows[lower.value].relevance).sum(axis=2) for a in answers]
        return np.asarray(sum(each[1:], start=each[0]) / len(each))


def _choose_edges(layer: str, neuron: Neuron, weights: Real, width: int) -> list[Edge]:
    """Return the edges of largest |weight| from a layer to a neuron."""
    chosen = np.argsort(-np.abs(weights), kind="stable")[:width]
    return [Edge((layer, int(c)), neuron, float(weights[c])) for c in chosen if weights[c]]


def layers_below(layers: Layers, layer: str, count: int) -> list[str]:
    """Return the nearest layers with weights that feed a layer, the nearest first.

    A layer without weights (an activation, a pool) counts as part of the nearest one below it that
    has weights.

    Parameters
    ----------
    layers : Layers
        Of a model.
    layer : str
        A name in the layer table.
    count : int
        How many at most.

    Returns
    -------
    list of str
        Names of layers.

    Raises
    ------
    InputError
        No layer of this name carries relevance.

    See Also
    --------
    attribution_graph : Follows relevance through them.

    Examples
    --------
    >>> x = np.zeros((1, 1, 8000))
    >>> layers = dftlrp.concepts.layers_of(dftlrp.load("waveform"), x, reference="none")
    >>> dftlrp.concepts.layers_below(layers, "conv6", 2)
    ['conv5', 'conv4']
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
