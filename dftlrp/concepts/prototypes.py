"""Prototypes: the recordings in which a neuron matters most, explained through this neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dftlrp.api import explain
from dftlrp.concepts.survey import Survey
from dftlrp.explanation import Explanation
from dftlrp.ledger import LedgerRow
from dftlrp.model import Model
from dftlrp.types import Real


@dataclass(frozen=True, eq=False)
class Prototype:
    """A recording, under the condition that relevance goes through one neuron.

    Attributes
    ----------
    name, label : str
        Of the recording.
    value : float
        By which it was ranked.
    explanation : Explanation
        Conditional relevance in every domain; its sounds are those of the neuron.
    through : float
        The relevance R_c that the neuron hands on.
    """

    name: str
    label: str
    value: float
    explanation: Explanation
    through: float

    @property
    def dissipation(self) -> float:
        """|sum of R at the input| / |R_c|: 1 where nothing is lost on the way down."""
        total = abs(float(np.sum(self.explanation.relevance["time"])))
        return total / abs(self.through) if self.through else 0.0


def prototypes(
    found: Survey,
    concept: int,
    *,
    by: str = "relevance",
    count: int = 5,
    domains: Sequence[str] = ("time", "frequency", "time-frequency"),
    model: Model | None = None,
) -> list[Prototype]:
    """A neuron's prototypes, the first of a ranking first, each explained for its own class.

    Parameters
    ----------
    by : str
        ``"relevance"`` or ``"peak"`` (RelMax), ``"activation"`` or ``"loudest"`` (ActMax).
    model : Model, optional
        Loaded already.
    """
    study, items = found.study, found.recordings.items
    model = model or study.loaded()
    concepts = found.layers.concepts(study.layer)
    made = []
    for number, value, _ in found.statistics.ranking(by, concept)[:count]:
        item = items[number]
        e = explain(
            model, item.path, target=item.index, rate=study.rate, domains=domains,
            masks={study.layer: concepts.mask([concept])}, **study.settings,
        )  # fmt: skip
        row = next(r for r in e.ledger.rows if r.node == _key(found, concepts.value))
        made.append(Prototype(item.name, e.label, value, e, _handed_on(row)))
    return made


def _key(found: Survey, value: str) -> str:
    """The layer that makes a value."""
    return next(n.layer for n in found.layers.plan.path if n.output == value)


def _handed_on(row: LedgerRow) -> float:
    return float(np.sum(row.to_inputs + row.bias + row.stabiliser))


def mean_spectrum(some: Sequence[Prototype]) -> tuple[Real, Real]:
    """Hertz, and the mean share of relevance by frequency over prototypes of one neuron."""
    first = some[0].explanation
    shares = []
    for prototype in some:
        tiles = prototype.explanation.relevance["time-frequency"]
        shares.append(tiles.sum(axis=-1) / max(np.abs(tiles).sum(), np.finfo(float).tiny))
    return first.axes["time-frequency"][0], np.mean(shares, axis=0)
