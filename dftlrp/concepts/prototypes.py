"""Prototypes: the recordings that matter most for a neuron, explained through this neuron."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dftlrp.attribution.explain import explain
from dftlrp.concepts.conditions import Concepts
from dftlrp.concepts.layers import Layers
from dftlrp.concepts.neuron_sound import Survival, measure_survival
from dftlrp.concepts.statistics import band_centres, sum_bands
from dftlrp.concepts.study import Study
from dftlrp.concepts.survey import Survey
from dftlrp.core.ledger import LedgerRow
from dftlrp.core.types import Real
from dftlrp.engine.model import Model
from dftlrp.results.explanation import Explanation


@dataclass(frozen=True, eq=False)
class Prototype:
    """A recording explained under the condition that relevance passes through one neuron.

    Attributes
    ----------
    name : str
        Name of the recording.
    value : float
        The value that it was ranked by.
    explanation : Explanation
        Conditional relevance in every domain; its sounds are those of the neuron.
    through : float
        The relevance R_c that passes through the neuron.
    survival : Survival
        What is left of the class and of the neuron in its sound, and in the rest.

    See Also
    --------
    prototypes : Makes them.

    Examples
    --------
    >>> neuron = surveyed.statistics.strongest(7, 1)[0]
    >>> (first,) = dftlrp.concepts.prototypes(surveyed, neuron, count=1)
    >>> first.name, round(first.dissipation, 3)
    ('seven/0.wav', 1.0)
    """

    name: str
    value: float
    explanation: Explanation
    through: float
    survival: Survival

    @property
    def dissipation(self) -> float:
        """|sum of R at the input| / |R_c|: 1 where no relevance is lost below the neuron."""
        total = abs(float(np.sum(self.explanation.relevance["time"])))
        return total / abs(self.through) if self.through else 0.0


class Ranked(NamedTuple):
    """A recording in a ranking: its name, its path, its class, and its value."""

    name: str
    path: str
    of_class: int
    value: float


class Layer(NamedTuple):
    """The layer of a study: its concepts, and its name in the ledger."""

    concepts: Concepts
    key: str


def prototypes(
    found: Survey,
    concept: int,
    *,
    by: str = "relevance",
    count: int = 5,
    labels: Sequence[str] | None = None,
    model: Model | None = None,
) -> list[Prototype]:
    """Return the prototypes of a neuron, each explained for its own class.

    They are the first recordings of a ranking.  Those whose value is not positive are left out,
    because the neuron does not support their class.

    Parameters
    ----------
    found : Survey
        From `survey`.
    concept : int
        The neuron.
    by : str
        ``"relevance"`` or ``"peak"`` (RelMax), ``"activation"`` or ``"loudest"`` (ActMax).
    count : int
        How many at most; the study keeps ``k`` of each neuron.
    labels : list of str, optional
        Names of the classes; the model's if not given.
    model : Model, optional
        The model of the study, if it was loaded before.

    Returns
    -------
    list of Prototype
        The first of the ranking first.

    Raises
    ------
    InputError
        A recording can no longer be read.

    See Also
    --------
    mean_spectrum : What they have in common.

    Examples
    --------
    >>> neuron = surveyed.statistics.strongest(7, 1)[0]
    >>> [one.name for one in dftlrp.concepts.prototypes(surveyed, neuron, count=1)]
    ['seven/0.wav']
    """
    model, layer = model or found.study.loaded(), find_layer(found.layers, found.study.layer)
    rows = rank_recordings(found, concept, by)[:count]
    return [make_prototype(model, found.study, layer, concept, row, labels) for row in rows]


def rank_recordings(found: Survey, concept: int, by: str = "relevance") -> list[Ranked]:
    """Return the recordings of a neuron's ranking in descending order of their positive values."""
    rows = found.statistics.ranking(by, concept)
    items = found.recordings.items
    return [
        Ranked(items[n].name, os.fspath(items[n].path), items[n].index, value)
        for n, value, _ in rows
    ]


def find_layer(layers: Layers, name: str) -> Layer:
    """Return the layer of this name."""
    concepts = layers.concepts(name)
    key = next(n.layer for n in layers.plan.path if n.output == concepts.value)
    return Layer(concepts, key)


def make_prototype(
    model: Model,
    study: Study,
    layer: Layer,
    concept: int,
    row: Ranked,
    labels: Sequence[str] | None,
) -> Prototype:
    """Explain one recording under the condition of one neuron."""
    e = explain(
        model, row.path, target=row.of_class, rate=study.rate, labels=labels,
        masks={study.layer: layer.concepts.mask([concept])}, reference=list(study.reference),
        **study.keywords,
    )  # fmt: skip
    account = next(r for r in e.ledger.rows if r.node == layer.key)
    survival = measure_survival(model, study, layer.concepts, concept, e)
    return Prototype(row.name, row.value, e, _sum_outgoing(account), survival)


def _sum_outgoing(row: LedgerRow) -> float:
    """Return the relevance that a layer passes to its inputs, and what it absorbs of that."""
    return float(np.sum(row.to_inputs + row.bias + row.stabiliser + row.reference))


def mean_spectrum(some: Sequence[Prototype]) -> tuple[Real, Real]:
    """Return band centres in hertz, and the mean share of relevance by frequency over prototypes.

    Parameters
    ----------
    some : sequence of Prototype
        At least one, of one rate.

    Returns
    -------
    tuple of two arrays (bands,)
        Centres in hertz, and shares of the sum of |R|; bands are those of `Statistics.spectrum`.

    See Also
    --------
    prototypes : Makes them.

    Examples
    --------
    >>> neuron = surveyed.statistics.strongest(7, 1)[0]
    >>> some = dftlrp.concepts.prototypes(surveyed, neuron, count=1)
    >>> hertz, shares = dftlrp.concepts.mean_spectrum(some)
    >>> hertz.shape == shares.shape
    True
    """
    shares = []
    for e in (prototype.explanation for prototype in some):
        lines = e.relevance["frequency"].reshape(-1, e.relevance["frequency"].shape[-1]).sum(axis=0)
        size = max(np.abs(e.relevance["time"]).sum(), np.finfo(float).tiny)
        shares.append(sum_bands(lines[None], e.signal["time"].shape[-1])[0] / size)
    return band_centres(some[0].explanation.rate), np.mean(shares, axis=0)
