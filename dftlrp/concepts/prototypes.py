"""Prototypes: the recordings in which a neuron matters most, explained through this neuron."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dftlrp.attribution.explain import explain
from dftlrp.concepts.conditions import Concepts
from dftlrp.concepts.layers import Layers
from dftlrp.concepts.statistics import bands, hertz
from dftlrp.concepts.survey import Study, Survey
from dftlrp.core.ledger import LedgerRow
from dftlrp.core.types import Real
from dftlrp.engine.model import Model
from dftlrp.results.explanation import Explanation


@dataclass(frozen=True, eq=False)
class Prototype:
    """A recording, under the condition that relevance goes through one neuron.

    Attributes
    ----------
    name : str
        Of the recording.
    value : float
        By which it was ranked.
    explanation : Explanation
        Conditional relevance in every domain; its sounds are those of the neuron.
    through : float
        The relevance R_c that the neuron hands on.
    """

    name: str
    value: float
    explanation: Explanation
    through: float

    @property
    def dissipation(self) -> float:
        """|sum of R at the input| / |R_c|: 1 where nothing is lost on the way down."""
        total = abs(float(np.sum(self.explanation.relevance["time"])))
        return total / abs(self.through) if self.through else 0.0


class Ranked(NamedTuple):
    """A recording in a ranking: its name, where it is, its class, and its value."""

    name: str
    path: str
    of_class: int
    value: float


class Layer(NamedTuple):
    """The layer of a study: its concepts, and its key in the ledger."""

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
    """A neuron's prototypes, the first of a ranking first, each explained for its own class.

    Recordings whose value is not positive are none: the neuron does not speak for their class.

    Parameters
    ----------
    by : str
        ``"relevance"`` or ``"peak"`` (RelMax), ``"activation"`` or ``"loudest"`` (ActMax).
    labels : list of str, optional
        Names of the classes; the model's if not given.
    model : Model, optional
        Loaded already.
    """
    model, layer = model or found.study.loaded(), layer_of(found.layers, found.study.layer)
    rows = ranked(found, concept, by)[:count]
    return [prototype(model, found.study, layer, concept, row, labels) for row in rows]


def ranked(found: Survey, concept: int, by: str = "relevance") -> list[Ranked]:
    """The recordings with the largest values of a ranking, the first first; values > 0."""
    rows = found.statistics.ranking(by, concept)
    items = found.recordings.items
    return [
        Ranked(items[n].name, os.fspath(items[n].path), items[n].index, value)
        for n, value, _ in rows
    ]


def layer_of(layers: Layers, name: str) -> Layer:
    """A layer as prototypes are asked of it."""
    concepts = layers.concepts(name)
    key = next(n.layer for n in layers.plan.path if n.output == concepts.value)
    return Layer(concepts, key)


def prototype(
    model: Model,
    study: Study,
    layer: Layer,
    concept: int,
    row: Ranked,
    labels: Sequence[str] | None,
) -> Prototype:
    """One recording under the condition of one neuron."""
    e = explain(
        model, row.path, target=row.of_class, rate=study.rate, labels=labels,
        masks={study.layer: layer.concepts.mask([concept])}, **study.settings,
    )  # fmt: skip
    account = next(r for r in e.ledger.rows if r.node == layer.key)
    return Prototype(row.name, row.value, e, _handed_on(account))


def _handed_on(row: LedgerRow) -> float:
    return float(np.sum(row.to_inputs + row.bias + row.stabiliser))


def mean_spectrum(some: Sequence[Prototype]) -> tuple[Real, Real]:
    """Hertz, and the mean share of relevance by frequency over prototypes of one neuron.

    In the bands, and as shares of the same sum of |R|, as `Statistics.spectrum`.
    """
    shares = []
    for e in (prototype.explanation for prototype in some):
        lines = e.relevance["frequency"].reshape(-1, e.relevance["frequency"].shape[-1]).sum(axis=0)
        size = max(np.abs(e.relevance["time"]).sum(), np.finfo(float).tiny)
        shares.append(bands(lines[None], e.signal["time"].shape[-1])[0] / size)
    return hertz(some[0].explanation.rate), np.mean(shares, axis=0)
