"""Faithfulness: whether the score follows what the relevance says.

Units are removed one after the other, most relevant first and least relevant first, and the score
is asked for at each step.  With q the share of units that are removed, most(q) and least(q) the two
curves, and span = most(0) - most(1), the score minus what is left of it when all is removed,

    SRG = integral from 0 to 1 of (least(q) - most(q)) dq / span    (trapezoids).

Larger is better.  A random order has 0 on average, exactly: an order and its reverse have opposite
areas.  For a linear model the exact contributions have the largest SRG that any order can have.
`deletion` is the curve most(q); `insertion` is the score with only the q most relevant units kept,
which is least(1 - q).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.deletion import Deletion, Replacement, prepare_deletion
from dftlrp.results.explanation import Explanation
from dftlrp.results.units import Units, make_units, rank_units
from dftlrp.spectral.domain import Domain

STEPS = 16  # points of a curve beside the first
SAMPLES, MOST = 2**18, 16  # numbers, and recordings, that are scored at once
BLOCK = 256  # masks that are made at once

Score = Callable[[Real], Real]


@dataclass(frozen=True, eq=False)
class Curves:
    """The score while units are removed.

    Attributes
    ----------
    removed : array (P,)
        Share of the units that are removed, from 0 to 1.
    most, least : array (P,)
        Score with the most, and with the least, relevant units removed.
    what : str
        What the units are.

    See Also
    --------
    explanation_curves, deletion_curves : Measure them.

    Examples
    --------
    >>> curves = dftlrp.metrics.Curves(
    ...     np.array([0.0, 0.5, 1.0]), np.array([4.0, 1.0, 0.0]), np.array([4.0, 3.0, 0.0])
    ... )
    >>> curves.span, curves.area, curves.srg
    (4.0, 1.0, 0.25)
    >>> curves.deletion, curves.insertion
    (0.375, 0.625)
    """

    removed: Real
    most: Real
    least: Real
    what: str = "units"

    @property
    def span(self) -> float:
        """Score of the recording minus that with all units removed."""
        return float(self.most[0] - self.most[-1])

    @property
    def area(self) -> float:
        """Area between the two curves, in the unit of the score: SRG times span."""
        return _integrate(self.least - self.most, self.removed)

    @property
    def srg(self) -> float:
        """Symmetric relevance gain; NaN where the span is 0."""
        return self.area / self.span if self.span else math.nan

    @property
    def deletion(self) -> float:
        """Area under the deletion curve, as a share of the span above its end; less is better."""
        return self._measure_area(self.most)

    @property
    def insertion(self) -> float:
        """Area under the insertion curve, as a share of the span above its start; more is better.

        It is that of `least`, read from the end.
        """
        return self._measure_area(self.least)

    def _measure_area(self, curve: Real) -> float:
        area = _integrate(curve - self.most[-1], self.removed)
        return area / self.span if self.span else math.nan


def _integrate(y: Real, x: Real) -> float:
    """Return the area under a curve by trapezoids."""
    return float(((y[1:] + y[:-1]) / 2) @ np.diff(x))


def srg(
    score: Score,
    signal: Real,
    relevance: Real,
    *,
    domain: Domain | None = None,
    units: Units | None = None,
    replace: Replacement = "zero",
    steps: int = STEPS,
    seed: int = 0,
) -> float:
    """Return the symmetric relevance gain: the area between both curves over the span.

    Parameters
    ----------
    score, signal, relevance, domain, units, replace, steps, seed
        As of `deletion_curves`.

    Returns
    -------
    float
        More is better, 0 is chance; NaN where removing everything does not change the score.

    Raises
    ------
    InputError
        As of `deletion_curves`.

    See Also
    --------
    deletion_curves : The curves themselves.
    explanation_curves : Of an explanation.

    Notes
    -----
    Blücher, Vielhaben, Strodthoff (2024), "Decoupling pixel flipping and occlusion strategy for
    consistent XAI benchmarks", there without the division by the span.

    Examples
    --------
    >>> w = np.array([3.0, 1.0, 0.0, 0.0])
    >>> score = lambda batch: batch @ w
    >>> dftlrp.metrics.srg(score, np.ones(4), w)
    0.625
    """
    return deletion_curves(
        score, signal, relevance,
        domain=domain, units=units, replace=replace, steps=steps, seed=seed,
    ).srg  # fmt: skip


def deletion_curves(
    score: Score,
    signal: Real,
    relevance: Real,
    *,
    domain: Domain | None = None,
    units: Units | None = None,
    replace: Replacement = "zero",
    steps: int = STEPS,
    seed: int = 0,
) -> Curves:
    """Return the score while units of a signal are removed by relevance, both ways.

    Parameters
    ----------
    score : callable
        From signals (B, *signal.shape) to scores (B,).
    signal : array
        (N,) or (channels, N); without a domain, any array that the score reads.
    relevance : array
        In the shape of the domain's coefficients, or of the signal; or of one number for each unit.
    domain : Domain, optional
        In which units are removed, of `dftlrp.spectral`; None: in the signal itself.
    units : Units, optional
        From `make_units`; if not given, each cell is one.
    replace : str or array
        ``"zero"``, ``"mean"``, ``"noise"``, ``"stationary"``, or an array in the signal's shape;
        see `dftlrp.results.deletion`.
    steps : int
        Points of the curves beside the first; at most the number of units.
    seed : int
        Of noise, and of the order among units of equal relevance.

    Returns
    -------
    Curves
        The score over the share of the units that are removed.

    Raises
    ------
    InputError
        Shapes do not fit, or the relevance is not finite.

    See Also
    --------
    srg : One number.
    explanation_curves : Of an explanation.

    Examples
    --------
    >>> w = np.array([3.0, 1.0, 0.0, 0.0])
    >>> score = lambda batch: batch @ w
    >>> curves = dftlrp.metrics.deletion_curves(score, np.ones(4), w)
    >>> curves.most
    array([4., 1., 0., 0., 0.])
    """
    signal = np.asarray(signal, np.float64)
    shape = signal.shape if domain is None else domain.shape
    units = units or make_units("input", shape, cells=True)
    deletion = prepare_deletion(signal, domain, units, replace, seed)
    return measure_curves(score, deletion, np.asarray(relevance), steps, seed)


def explanation_curves(
    explanation: Explanation,
    domain: str = "time-frequency",
    *,
    score: Score | None = None,
    relevance: Real | None = None,
    count: int | tuple[int, ...] | None = None,
    cells: bool = False,
    replace: Replacement = "zero",
    steps: int = STEPS,
    seed: int = 0,
) -> Curves:
    """Return the curves of `deletion_curves` for an explanation in one of its domains.

    Parameters
    ----------
    explanation : Explanation
        From `dftlrp.explain`.
    domain : {"time", "frequency", "time-frequency", "input"}
        In which units are removed.
    score : callable, optional
        If not given, the model's score that was explained.
    relevance : array, optional
        Another relevance in that domain, to compare it under equal conditions.
    count, cells
        As of `make_units`.
    replace, steps, seed
        As of `deletion_curves`.

    Returns
    -------
    Curves
        The score over the share of the units that are removed.

    Raises
    ------
    InputError
        The explanation has not this domain, or was loaded from a file and no score is given.

    See Also
    --------
    dftlrp.Explanation.verify : A tenth of the units, in a sentence.

    Examples
    --------
    >>> curves = dftlrp.metrics.explanation_curves(e, "frequency", count=8, steps=4)
    >>> len(curves.most), curves.srg > 0
    (5, True)
    """
    units = explanation.cut(domain, count, cells)
    deletion = explanation.delete(domain, replace, units=units, seed=seed)
    found = explanation.relevance[domain] if relevance is None else relevance
    return measure_curves(
        score or explanation.find_asked(domain).score, deletion, found, steps, seed
    )


def measure_curves(
    score: Score, deletion: Deletion, relevance: Real, steps: int = STEPS, seed: int = 0
) -> Curves:
    """Return the curves of a prepared deletion; see `deletion_curves`."""
    return compare_curves(score, deletion, {"": relevance}, steps, seed)[""]


def compare_curves(
    score: Score,
    deletion: Deletion,
    relevance: Mapping[str, Real],
    steps: int = STEPS,
    seed: int = 0,
) -> dict[str, Curves]:
    """Return the curves of several explanations; what they have in common is scored once."""
    units = deletion.units
    points = min(steps, units.count)
    if points < 1:
        raise InputError(f"{steps} steps: a positive number is needed")
    removed = np.round(np.arange(points + 1) * units.count / points).astype(int)
    ranks = [rank_units(_pool_finite(R, units), seed) for R in relevance.values()]
    most = [rank < removed[:, None] for rank in ranks]
    least = [rank >= units.count - removed[:, None] for rank in ranks]
    scores = score_without(score, deletion, np.concatenate([*most, *least]))
    curves = scores.reshape(2, len(relevance), points + 1)
    return {
        name: Curves(removed / units.count, curves[0, i], curves[1, i], units.what)
        for i, name in enumerate(relevance)
    }


def _pool_finite(relevance: Real, units: Units) -> Real:
    """Return relevance by unit; that of each unit may be given already."""
    pooled = relevance if relevance.shape == (units.count,) else units.pool(relevance)
    if not np.isfinite(pooled).all():
        raise InputError("the relevance is not finite: it ranks nothing")
    return pooled


def score_without(score: Score, deletion: Deletion, gone: AnyArray) -> Real:
    """Return the score without some units, for each row of a mask (B, units).

    Equal rows are scored once, and few at a time.
    """
    rows = [row.tobytes() for row in np.packbits(gone, axis=1)]
    first = {row: i for i, row in reversed([*enumerate(rows)])}
    place = {row: k for k, row in enumerate(first)}
    chosen = gone[list(first.values())]
    parts = [np.asarray(score(batch), np.float64) for batch in _make_batches(deletion, chosen)]
    if any(p.ndim != 1 for p in parts) or sum(map(len, parts)) != len(chosen):
        raise InputError(f"the score gives an array of shape {parts[0].shape}: one number for each "
                         "signal is needed")  # fmt: skip
    return np.concatenate(parts)[[place[row] for row in rows]]


def occlude(score: Score, deletion: Deletion) -> Real:
    """Return by how much the score falls when each unit alone is removed.

    Parameters
    ----------
    score : callable
        From signals (B, ...) to scores (B,).
    deletion : Deletion
        From `dftlrp.Explanation.delete`.

    Returns
    -------
    array (units,)
        In the unit of the score.

    Raises
    ------
    InputError
        The score gives other than one number for each signal.

    See Also
    --------
    deletion_curves : Units are removed together.

    Notes
    -----
    Zeiler, Fergus (2014), "Visualizing and understanding convolutional networks".

    Examples
    --------
    >>> deletion = e.delete("time", units=e.cut("time", 4))
    >>> dftlrp.metrics.occlude(lambda batch: (batch**2).sum(axis=-1), deletion).shape
    (4,)
    """
    count = deletion.units.count
    whole = score_without(score, deletion, np.zeros((1, count), bool))
    blocks = [
        score_without(
            score, deletion, np.arange(i, min(i + BLOCK, count))[:, None] == np.arange(count)
        )
        for i in range(0, count, BLOCK)
    ]
    return np.asarray(whole - np.concatenate(blocks))


def _make_batches(deletion: Deletion, gone: AnyArray) -> Iterator[Real]:
    size = max(1, min(MOST, SAMPLES // max(1, deletion.values.size)))
    for start in range(0, len(gone), size):
        yield deletion.remove(gone[start : start + size])
