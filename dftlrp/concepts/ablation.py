"""Ablation: whether a neuron is as relevant as its silence says.

With s the explained score of a class (its logit, or its lead where the seed is a contrast) and
s^(-i) the same when the output of neuron i is zero, the effect of the neuron is s - s^(-i); for a
network that is linear behind the layer it is its relevance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dftlrp.attribution.attribute import predict
from dftlrp.concepts.conditions import Concepts
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.model import Model
from dftlrp.engine.seeds import coefficients

BATCH = 16


@dataclass(frozen=True, eq=False)
class Ablation:
    """The effect of silencing neurons of a class, beside their relevance; means over recordings.

    Attributes
    ----------
    concepts : array (n,) of int
        The neurons.
    effect, relevance : array (n,)
        Fall of the score as each is silent alone, and its relevance.
    groups : array (1 + draws,)
        Fall of the score as the most relevant ones are silent together, and as random ones are.
    strongest : tuple of int
        The most relevant ones.
    recordings : int
        How many the means are over.
    """

    concepts: AnyArray
    effect: Real
    relevance: Real
    groups: Real
    strongest: tuple[int, ...]
    recordings: int

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation over the neurons; nan where one of the two is constant."""
        from scipy.stats import spearmanr

        if np.ptp(self.effect) == 0 or np.ptp(self.relevance) == 0:
            return float("nan")
        return float(spearmanr(self.effect, self.relevance).statistic)

    @property
    def most_relevant(self) -> float:
        """Fall of the score without the most relevant ones."""
        return float(self.groups[0])

    @property
    def random(self) -> float:
        """Fall of the score without as many random ones, the mean of the draws."""
        return float(self.groups[1:].mean())


def silenced(
    model: Model,
    samples: AnyArray,
    target: int,
    concepts: Concepts,
    groups: Sequence[Sequence[int]],
    *,
    seed: str = "logit",
    batch: int = BATCH,
    **settings: object,
) -> Real:
    """Fall of a class's score as each group of neurons is silent, (n, groups).

    Parameters
    ----------
    samples : array (n, ...)
    seed : str
        What the score is, as of `dftlrp.attribute`.
    batch : int
        How many groups are computed together.
    settings
        ``output``, ``bind``, ``backend`` of `dftlrp.predict`.
    """
    falls = np.zeros((len(samples), len(groups)))
    for i in range(len(samples)):
        x = samples[i : i + 1]
        whole = _scores(model, x, target, seed, **settings)
        for start, masks in _batches(concepts, groups, batch):
            many = np.repeat(x, masks.shape[concepts.batch], axis=0)
            scaled = {concepts.value: masks}
            without = _scores(model, many, target, seed, scaled=scaled, **settings)
            falls[i, start : start + len(many)] = whole - without
    return falls


def _scores(model: Model, samples: AnyArray, target: int, seed: str, **settings: object) -> Real:
    z = predict(model, samples, **settings).explained  # type: ignore[arg-type]
    z = np.asarray(z, np.float64).reshape(len(samples), -1)
    c = coefficients(seed, [(target,)] * len(z), z)
    return np.asarray((c * z).sum(axis=1))


def _batches(
    concepts: Concepts, groups: Sequence[Sequence[int]], batch: int
) -> Iterator[tuple[int, AnyArray]]:
    """Masks that let all pass but a group, stacked along the samples' axis."""
    for start in range(0, len(groups), batch):
        masks = [1.0 - concepts.places(group) for group in groups[start : start + batch]]
        yield start, np.concatenate(masks, axis=concepts.batch)
