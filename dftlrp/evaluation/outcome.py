"""What a comparison of explanations found, as data."""

from __future__ import annotations

from dataclasses import dataclass

from dftlrp.concepts.shards import Failure
from dftlrp.evaluation.experiment import Experiment
from dftlrp.evaluation.summary import Cell, Figure

Measures = dict[str, dict[str, Figure]]


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """What a comparison found.

    Attributes
    ----------
    experiment : Experiment
    recordings : int
        Number of recordings that were used.
    cells : list of Cell
        Faithfulness by domain and replacement.
    complexity : dict
        By domain, candidate and measure.
    arrival, stability, sound, randomisation : dict
        By candidate and measure.
    skipped : tuple of (str, str)
        Recordings that were not used, and why.
    failures : tuple of Failure
        Parts without a result.
    notes : tuple of str
    """

    experiment: Experiment
    recordings: int
    cells: list[Cell]
    complexity: dict[str, Measures]
    arrival: Measures
    stability: Measures
    sound: Measures
    randomisation: Measures
    skipped: tuple[tuple[str, str], ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]

    @property
    def warnings(self) -> list[str]:
        """Where nothing can be ranked, and what failed."""
        spans = [cell.warning for cell in self.cells if cell.warning]
        return spans + [f"a part failed: {f.reason}" for f in self.failures]
