"""Ablation: whether a neuron is as relevant as its silence says.

With z_c the logit of class c and z_c^(-i) the same when the output of neuron i is zero, the effect
of the neuron is z_c - z_c^(-i); for a network that is linear behind the layer it is its relevance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dftlrp.attribution import predict
from dftlrp.concepts.conditions import Concepts
from dftlrp.model import Model
from dftlrp.types import AnyArray, Real

BATCH = 16


@dataclass(frozen=True, eq=False)
class Ablation:
    """The effect of silencing neurons, beside their relevance; both (concept,), means.

    Attributes
    ----------
    effect : array
        Fall of the logit.
    relevance : array
    correlation : float
        Spearman's, over the neurons; nan where one of the two is constant.
    """

    effect: Real
    relevance: Real

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation."""
        from scipy.stats import spearmanr

        if np.ptp(self.effect) == 0 or np.ptp(self.relevance) == 0:
            return float("nan")
        return float(spearmanr(self.effect, self.relevance).statistic)


def silenced(
    model: Model,
    samples: AnyArray,
    target: int,
    concepts: Concepts,
    groups: Sequence[Sequence[int]],
    **settings: object,
) -> Real:
    """Fall of a class's logit as each group of neurons is silent, (n, groups).

    Parameters
    ----------
    samples : array (n, ...)
    settings
        ``output``, ``bind``, ``backend`` of `dftlrp.predict`.
    """
    whole = _logits(model, samples, target, **settings)
    falls = np.zeros((len(samples), len(groups)))
    for i, x in enumerate(samples):
        for start, masks in _batches(concepts, groups):
            many = np.repeat(x[None], len(masks), axis=0)
            scaled = {concepts.value: masks}
            z = _logits(model, many, target, scaled=scaled, **settings)
            falls[i, start : start + len(masks)] = whole[i] - z
    return falls


def _logits(model: Model, samples: AnyArray, target: int, **settings: object) -> Real:
    z = predict(model, samples, **settings).explained  # type: ignore[arg-type]
    return np.asarray(z.reshape(len(samples), -1)[:, target], np.float64)


def _batches(concepts: Concepts, groups: Sequence[Sequence[int]]) -> Iterator[tuple[int, AnyArray]]:
    """Masks that let all pass but a group, stacked along the samples' axis."""
    for start in range(0, len(groups), BATCH):
        masks = [1.0 - concepts.places(group) for group in groups[start : start + BATCH]]
        yield start, np.concatenate(masks, axis=concepts.batch)
