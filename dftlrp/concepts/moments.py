"""What a data set leaves behind: moments and bounded top lists, which merge exactly in any number.

Moments of n numbers are (n, mean, M2) with M2 the sum of squared deviations; of two sets

    mean = mean_a + d n_b / n,  M2 = M2_a + M2_b + d^2 n_a n_b / n,  d = mean_b - mean_a

(Chan, Golub and LeVeque, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dftlrp.core.types import AnyArray, Real


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and sum of squared deviations, by class.

    Attributes
    ----------
    count : array (classes,)
    mean, m2 : array (classes, ...)
    """

    count: Real
    mean: Real
    m2: Real

    @property
    def spread(self) -> Real:
        """Standard deviation over the recordings, (classes, ...)."""
        return np.sqrt(self.m2 / np.maximum(self._wide(self.count), 1))

    def __add__(self, other: Moments) -> Moments:
        own = np.flatnonzero(other.count)  # most classes are in few parts
        a, b = self._of(own), other._of(own)
        n = a.count + b.count
        share = b._wide(b.count / n)
        d = b.mean - a.mean
        both = Moments(self.count.copy(), self.mean.copy(), self.m2.copy())
        both.count[own], both.mean[own] = n, a.mean + d * share
        both.m2[own] = a.m2 + b.m2 + d**2 * a._wide(a.count) * share
        return both

    def _of(self, classes: AnyArray) -> Moments:
        return Moments(self.count[classes], self.mean[classes], self.m2[classes])

    def _wide(self, a: Real) -> Real:
        return a.reshape(-1, *(1,) * (self.mean.ndim - 1))

    def arrays(self, name: str) -> dict[str, AnyArray]:
        """To be stored, by names that begin so; of the classes that there are."""
        own = self._of(np.flatnonzero(self.count))
        return {f"{name}/count": self.count, f"{name}/mean": own.mean, f"{name}/m2": own.m2}

    @staticmethod
    def stored(arrays: Mapping[str, AnyArray], name: str) -> Moments:
        """From what `arrays` gave."""
        count, *parts = (arrays[f"{name}/{part}"] for part in ("count", "mean", "m2"))
        whole = [np.zeros((len(count), *part.shape[1:])) for part in parts]
        for to, part in zip(whole, parts, strict=True):
            to[count > 0] = part
        return Moments(count, *whole)


def moments(values: Real, classes: AnyArray, count: int) -> Moments:
    """Of values (n, ...) whose classes are given, for so many classes; float64."""
    values = np.asarray(values, np.float64)
    number, mean = np.zeros(count), np.zeros((count, *values.shape[1:]))
    m2 = np.zeros_like(mean)
    for c in np.unique(classes):
        own = values[classes == c]
        number[c], mean[c] = len(own), own.mean(axis=0)
        m2[c] = ((own - mean[c]) ** 2).sum(axis=0)
    return Moments(number, mean, m2)


@dataclass(frozen=True, eq=False)
class Top:
    """For each of many rows, the recordings with the largest values, the largest first.

    Attributes
    ----------
    value : array (..., k)
        -inf where there are fewer recordings than k.
    recording : array (..., k) of int
        Number in the data set; -1 where there is none.
    place : array (..., k) of int
        Position of the peak in the layer's output, flattened.
    """

    value: Real
    recording: AnyArray
    place: AnyArray

    def __add__(self, other: Top) -> Top:
        value, recording, place = (
            np.concatenate(pair, -1) for pair in zip(self._parts, other._parts, strict=True)
        )
        return _first(value, recording, place, self.value.shape[-1])

    @property
    def _parts(self) -> tuple[AnyArray, AnyArray, AnyArray]:
        return self.value, self.recording, self.place

    def arrays(self, name: str) -> dict[str, AnyArray]:
        """To be stored, by names that begin so."""
        parts = ("value", "recording", "place")
        return {f"{name}/{p}": a for p, a in zip(parts, self._parts, strict=True)}

    @staticmethod
    def stored(arrays: Mapping[str, AnyArray], name: str) -> Top:
        """From what `arrays` gave."""
        return Top(*(arrays[f"{name}/{part}"] for part in ("value", "recording", "place")))


def top(value: Real, recording: AnyArray, place: AnyArray, k: int) -> Top:
    """The k largest of values (..., n) of the recordings (n,), with their places (..., n)."""
    missing = max(k - value.shape[-1], 0)
    wide = [(0, 0)] * (value.ndim - 1) + [(0, missing)]
    value = np.pad(np.asarray(value, np.float64), wide, constant_values=-np.inf)
    recording = np.pad(np.broadcast_to(recording, place.shape), wide, constant_values=-1)
    return _first(value, recording, np.pad(place, wide), k)


def _first(value: Real, recording: AnyArray, place: AnyArray, k: int) -> Top:
    """The k largest; of equals the earlier recording."""
    order = np.lexsort((recording, -value))[..., :k]
    return Top(*(np.take_along_axis(a, order, -1) for a in (value, recording, place)))
