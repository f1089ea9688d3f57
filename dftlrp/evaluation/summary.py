"""From numbers of recordings to means, standard errors and paired comparisons.

SRG of a data set is the mean area over the mean span, since a quotient for each recording has no
bound where its span is small.  Its standard error is that of area_i / mean span over the
recordings, the span taken as known.  Compared are two candidates on the same recordings: the mean
of their differences and its standard error; a difference of at least two of these counts as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.types import Real
from dftlrp.evaluation import masked_sound
from dftlrp.evaluation.experiment import AMPLITUDE, Experiment

CLEAR = 2.0  # standard errors
LEAST_SPAN = 0.1  # of the score of the recordings: with less, nothing can be ranked
SPREAD = ("cancellation", "complexity", "sparseness")
SOUND = ("AI", "AD", "AG", "FF", "Fid-In", "Fid-Out", "energy kept")


@dataclass(frozen=True)
class Figure:
    """A mean over recordings, its standard error, and over how many."""

    mean: float
    error: float
    count: int

    @property
    def clear(self) -> bool:
        """Whether it lies two standard errors from zero."""
        return self.count > 1 and abs(self.mean) >= CLEAR * self.error and self.mean != 0


def average(values: Iterable[float]) -> Figure:
    """Return mean and standard error of the values that are finite."""
    kept = [v for v in values if math.isfinite(v)]
    if not kept:
        return Figure(math.nan, math.nan, 0)
    error = float(np.std(kept, ddof=1) / math.sqrt(len(kept))) if len(kept) > 1 else math.nan
    return Figure(float(np.mean(kept)), error, len(kept))


@dataclass(frozen=True, eq=False)
class Cell:
    """One domain with one replacement: what every candidate reached there.

    Attributes
    ----------
    domain, replacement : str
    span : Figure
        Score of a recording minus that with everything removed.
    score : float
        Mean of |score| over the recordings.
    srg, deletion, insertion : dict of str to Figure
        By candidate.
    curves : dict of str to (array, array)
        Mean curves `most` and `least` by candidate.
    against : dict of str to dict of str to Figure
        By what it is compared with (the default, amplitude) and candidate, the difference of SRG.
    """

    domain: str
    replacement: str
    span: Figure
    score: float
    srg: dict[str, Figure]
    deletion: dict[str, Figure]
    insertion: dict[str, Figure]
    curves: dict[str, tuple[Real, Real]]
    against: dict[str, dict[str, Figure]]

    @property
    def warning(self) -> str:
        """Why nothing can be ranked here; empty where something can."""
        span, score = self.span, self.score
        if span.mean > 0 and span.clear and span.mean >= LEAST_SPAN * score:
            return ""
        return (
            f"{self.domain}, {self.replacement}: removing everything lowers the score by "
            f"{span.mean:.3g} ± {span.error:.2g} of {score:.3g}: too little to rank anything"
        )


def summarise_faithfulness(
    experiment: Experiment, recordings: Sequence[Mapping[str, Any]]
) -> list[Cell]:
    """Return the cells of all domains and replacements."""
    if "faithfulness" not in experiment.checks:
        return []
    return [
        _summarise_cell(experiment, d, r, [one["faithfulness"][d][r] for one in recordings])
        for d in experiment.domains
        for r in experiment.replacements
    ]


def _summarise_cell(
    experiment: Experiment, domain: str, replacement: str, found: Sequence[Mapping[str, Any]]
) -> Cell:
    names = experiment.candidates
    span = average(one[names[0]]["span"] for one in found)
    scale = span.mean if span.mean else math.nan
    areas = {k: np.array([one[k]["area"] for one in found]) / scale for k in names}
    kept = {k: np.array([one[k]["insertion"] for one in found]) / scale for k in names}
    means = {
        k: tuple(np.mean([one[k][side] for one in found], axis=0) for side in ("most", "least"))
        for k in names
    }
    return Cell(
        domain, replacement, span,
        float(np.mean([abs(one[names[0]]["most"][0]) for one in found])),
        srg={k: average(v) for k, v in areas.items()},
        deletion={k: average(kept[k] - areas[k]) for k in names},
        insertion={k: average(v) for k, v in kept.items()},
        curves={k: (v[0], v[1]) for k, v in means.items()},
        against={
            other: {k: average(areas[k] - areas[other]) for k in names if k != other}
            for other in (experiment.first, AMPLITUDE)
        },
    )  # fmt: skip


def summarise_complexity(
    experiment: Experiment, recordings: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, Figure]]]:
    """Return measures of complexity by domain, candidate and measure."""
    if "complexity" not in experiment.checks:
        return {}
    return {
        d: {
            k: {
                what: average(one["complexity"][d][k][i] for one in recordings)
                for i, what in enumerate(SPREAD)
            }
            for k in recordings[0]["complexity"][d]
        }
        for d in experiment.domains
    }


def summarise_stability(
    experiment: Experiment, recordings: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Figure]]:
    """Return measures of stability by candidate and change."""
    if "stability" not in experiment.checks:
        return {}
    return {
        k: {
            change: average(one["stability"][k][change] for one in recordings) for change in changes
        }
        for k, changes in recordings[0]["stability"].items()
    }


def summarise_sound(recordings: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Figure]]:
    """Return measures of what is heard through masks, by candidate and measure."""
    heard = [one["sound"] for one in recordings if one["sound"]]
    found = {}
    for name in heard[0] if heard else ():
        p, p_in, p_out, same_in, same_out, energy = np.array([one[name] for one in heard]).T
        values = (
            masked_sound.average_increase(p, p_in),
            masked_sound.average_drop(p, p_in),
            masked_sound.average_gain(p, p_in),
            masked_sound.faithfulness_on_spectra(p, p_out),
            same_in,
            same_out,
            energy,
        )
        found[name] = {k: average(v) for k, v in zip(SOUND, values, strict=True)}
    return found


def summarise_arrival(recordings: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Figure]]:
    """Return the share of the explained score that arrived at the input, by candidate."""
    return {
        k: {"arrives": average(one["reached"][k] for one in recordings)}
        for k in recordings[0]["reached"]
    }


def summarise_randomisation(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Figure]]:
    """Return rank correlations by candidate and share of randomised layers."""
    if not found:
        return {}
    return {
        k: {share: average(one[k][share] for one in found) for share in shares}
        for k, shares in found[0].items()
    }
