"""An explanation's own check: what happens to the score without what it calls relevant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dftlrp.core.types import Real
from dftlrp.results.data import Asked
from dftlrp.results.deletion import Deletion
from dftlrp.results.units import rank_units
from dftlrp.results.words import format_number

SHARE = 0.1  # of the units, at each end
CLEARLY = 0.1  # of the span: by how much the two must differ to be told apart
LITTLE = 0.01  # of the score: a span that can tell nothing


@dataclass(frozen=True)
class Verification:
    """Scores with a tenth of the units removed.

    Attributes
    ----------
    whole, empty : float
        Score of the recording, and with all units removed.
    without_most, without_least : float
        Score without the most, and without the least, relevant tenth.
    removed, count : int
        Number of units in a tenth, and of all.
    what : str
        What the units are.
    label : str
        Of the target.
    """

    whole: float
    empty: float
    without_most: float
    without_least: float
    removed: int
    count: int
    what: str
    label: str

    @property
    def gain(self) -> float:
        """By how much of the span the score lies lower without the most relevant tenth."""
        span = self.whole - self.empty
        return (self.without_least - self.without_most) / span if span else float("nan")

    @property
    def verdict(self) -> str:
        """What the scores say of the explanation."""
        if abs(self.whole - self.empty) <= LITTLE * abs(self.whole) or not np.isfinite(self.gain):
            return "removing everything hardly changes the score, so that nothing can be verified"
        if self.gain >= CLEARLY:
            return "the model uses what the explanation names"
        if self.gain <= -CLEARLY:
            return "warning: the explanation is the wrong way round"
        return "warning: the explanation does not tell what the model uses from what it does not"

    def __str__(self) -> str:
        whole, empty, most, least = (
            format_number(v)
            for v in (self.whole, self.empty, self.without_most, self.without_least)
        )
        return (
            f"without the {self.removed} of {self.count} {self.what} that matter most the score of "
            f"“{self.label}” goes from {whole} to {most}, without the {self.removed} that matter "
            f"least to {least}, without all to {empty}: {self.verdict}"
        )


def verify_relevance(asked: Asked, deletion: Deletion, relevance: Real, label: str) -> Verification:
    """Return the scores with a tenth of the units removed, at least one."""
    units = deletion.units
    rank = rank_units(units.pool(relevance))
    removed = max(1, round(SHARE * units.count))
    gone = np.stack([
        np.zeros(units.count, bool), np.ones(units.count, bool),
        rank < removed, rank >= units.count - removed,
    ])  # fmt: skip
    whole, empty, most, least = map(float, asked.score(deletion.remove(gone)))
    return Verification(whole, empty, most, least, removed, units.count, units.what, label)
