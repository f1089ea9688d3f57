"""Ablation: whether the score falls by a neuron's relevance when the neuron is silenced.

With s the explained score of a class (its logit, or its lead where the seed is a contrast) and
s^(-i) the score when the output of neuron i is set to zero, or to what it is at a reference, the
effect of the neuron is s - s^(-i).  Where the network above the layer is linear, effect and
relevance (that of the difference to the reference) are equal.  A bias keeps a neuron from being
zero at silence, so that the two questions have different answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dftlrp.concepts.conditions import Concepts
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.auto import name_reference
from dftlrp.engine.forward import Prediction
from dftlrp.engine.model import Model
from dftlrp.engine.seeds import make_coefficients
from dftlrp.engine.settings import NONE, Settings
from dftlrp.tracing.answers import predict_output
from dftlrp.tracing.parts import predict_scaled

BATCH = 16  # groups of neurons


def rank_values(values: Real) -> Real:
    """Return the rank of each value from 1 on; equal values share the mean of their ranks.

    As `scipy.stats.rankdata`, whose import takes longer than all that is ranked here.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], np.float64)


@dataclass(frozen=True, eq=False)
class Ablation:
    """Effect and relevance of neurons for one class, as means over recordings.

    Attributes
    ----------
    concepts : array (n,) of int
        The neurons.
    effect, relevance : array (n,)
        Fall of the score when each neuron alone is silent, and its relevance.
    groups : array (1 + draws,)
        Fall of the score when the most relevant neurons are silent together, and when as many
        random ones are.
    strongest : tuple of int
        The most relevant neurons.
    recordings : int
        Number of recordings that were averaged.

    See Also
    --------
    ablations : Makes them.
    silenced : The effect alone.

    Examples
    --------
    >>> found = dftlrp.concepts.Ablation(
    ...     concepts=np.array([4, 9]), effect=np.array([2.0, 0.1]), relevance=np.array([1.9, 0.2]),
    ...     groups=np.array([2.1, 0.5, 0.3]), strongest=(4,), recordings=8,
    ... )
    >>> round(found.correlation, 6), found.most_relevant, found.random
    (1.0, 2.1, 0.4)
    """

    concepts: AnyArray
    effect: Real
    relevance: Real
    groups: Real
    strongest: tuple[int, ...]
    recordings: int

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation of effect and relevance; nan if one of them is constant."""
        if np.ptp(self.effect) == 0 or np.ptp(self.relevance) == 0:
            return float("nan")
        effect, relevance = (rank_values(values) for values in (self.effect, self.relevance))
        return float(np.corrcoef(effect, relevance)[0, 1])

    @property
    def most_relevant(self) -> float:
        """Fall of the score when the most relevant neurons are silent."""
        return float(self.groups[0])

    @property
    def random(self) -> float:
        """Fall of the score when as many random neurons are silent, averaged over the draws."""
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
    reference: Any = NONE,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> Real:
    """Return by how much a class's score falls when each group of neurons is silent.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
    samples : array (n, ...)
        What the model reads, batch first.
    target : int
        The class.
    concepts : Concepts
        The layer, from `Layers.concepts`.
    groups : list of list of int
        Neurons that are silent together.
    seed : str
        Kind of the score, as of `dftlrp.attribute`.
    batch : int
        Number of groups that are computed together.
    reference : array, dict of str to array, "silence" or "none"
        Where silent neurons are what they are when the model reads this; else they are zero.
    output, bind, backend
        As of `dftlrp.attribute`.  The onnx backend computes what lies before the layer once for all
        groups.

    Returns
    -------
    array (n, groups)
        In the unit of the score (logits).

    Raises
    ------
    InputError
        As of `dftlrp.predict`.

    See Also
    --------
    ablations : Over a data set, beside relevance.

    Examples
    --------
    >>> model = dftlrp.load("waveform")
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(1, 1, 8000))
    >>> layer = dftlrp.concepts.layers_of(model, x).concepts("conv6")
    >>> dftlrp.concepts.silenced(model, x, 7, layer, [[0], [1, 2]]).shape
    (1, 2)
    """

    def score(found: Prediction, count: int) -> Real:
        z = np.asarray(found.explained, np.float64).reshape(count, -1)
        return np.asarray((make_coefficients(seed, [(target,)] * count, z) * z).sum(axis=1))

    plain = Settings(output, bind or {}, backend=backend)
    settings = replace(plain, reference=name_reference(reference, model.plan(output, plain.bind)))
    masks, axis = list(_batch_masks(concepts, groups, batch)), concepts.batch
    falls = np.zeros((len(samples), len(groups)))
    for i in range(len(samples)):
        x = samples[i : i + 1]
        whole = score(predict_output(model, x, plain), 1)
        found = predict_scaled(model, x, settings, concepts.value, masks, axis)
        each = [score(z, m.shape[axis]) for z, m in zip(found, masks, strict=True)]
        falls[i] = whole - np.concatenate(each)
    return falls


def _batch_masks(
    concepts: Concepts, groups: Sequence[Sequence[int]], batch: int
) -> Iterator[AnyArray]:
    """Yield masks that are 0 at the groups, batch by batch."""
    for start in range(0, len(groups), batch):
        masks = [1.0 - concepts.places(group) for group in groups[start : start + batch]]
        yield np.concatenate(masks, axis=concepts.batch)
