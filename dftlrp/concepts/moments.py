"""Moments and top lists of a data set, of a size that does not grow with it, merged by addition.

Moments of n numbers are (n, mean, M2), where M2 is the sum of squared deviations.  Those of the
union of two sets a and b are

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
    """Count, mean and sum of squared deviations of each class.

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
        return np.sqrt(self.m2 / np.maximum(self._expand(self.count), 1))

    def __add__(self, other: Moments) -> Moments:
        present = np.flatnonzero(other.count)  # few classes are in any one shard
        a, b = self._select(present), other._select(present)
        n = a.count + b.count
        share = b._expand(b.count / n)
        d = b.mean - a.mean
        both = Moments(self.count.copy(), self.mean.copy(), self.m2.copy())
        both.count[present], both.mean[present] = n, a.mean + d * share
        both.m2[present] = a.m2 + b.m2 + d**2 * a._expand(a.count) * share
        return both

    def _select(self, classes: AnyArray) -> Moments:
        return Moments(self.count[classes], self.mean[classes], self.m2[classes])

    def _expand(self, a: Real) -> Real:
        """Append axes of length one, so that a number for each class broadcasts to the mean."""
        return a.reshape(-1, *(1,) * (self.mean.ndim - 1))

    def to_arrays(self, name: str) -> dict[str, AnyArray]:
        """Return arrays to be stored, whose names begin with ``name/``; empty classes are left out.

        `from_arrays` reads them.
        """
        own = self._select(np.flatnonzero(self.count))
        return {f"{name}/count": self.count, f"{name}/mean": own.mean, f"{name}/m2": own.m2}

    @staticmethod
    def from_arrays(arrays: Mapping[str, AnyArray], name: str) -> Moments:
        """Return the moments that `to_arrays` stored under a name."""
        count, *parts = (arrays[f"{name}/{part}"] for part in ("count", "mean", "m2"))
        whole = [np.zeros((len(count), *part.shape[1:])) for part in parts]
        for to, part in zip(whole, parts, strict=True):
            to[count > 0] = part
        return Moments(count, *whole)


def compute_moments(values: Real, classes: AnyArray, count: int) -> Moments:
    """Return the moments of values (n, ...) whose classes (n,) are given, in float64.

    Parameters
    ----------
    count : int
        Number of classes.
    """
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
    """For each of many rows, the k recordings with the largest values in descending order.

    Attributes
    ----------
    value : array (..., k)
        -inf where there are fewer than k recordings.
    recording : array (..., k) of int
        Number in the data set; -1 where there is none.
    place : array (..., k) of int
        Position of the peak in the flattened output of the layer.
    """

    value: Real
    recording: AnyArray
    place: AnyArray

    def __add__(self, other: Top) -> Top:
        value, recording, place = (
            np.concatenate(pair, -1) for pair in zip(self._parts, other._parts, strict=True)
        )
        return _take_largest(value, recording, place, self.value.shape[-1])

    @property
    def _parts(self) -> tuple[AnyArray, AnyArray, AnyArray]:
        return self.value, self.recording, self.place

    def to_arrays(self, name: str) -> dict[str, AnyArray]:
        """Return arrays to be stored, whose names begin with ``name/``; see `from_arrays`."""
        parts = ("value", "recording", "place")
        return {f"{name}/{p}": a for p, a in zip(parts, self._parts, strict=True)}

    @staticmethod
    def from_arrays(arrays: Mapping[str, AnyArray], name: str) -> Top:
        """Return the lists that `to_arrays` stored under a name."""
        return Top(*(arrays[f"{name}/{part}"] for part in ("value", "recording", "place")))


def find_top(value: Real, recording: AnyArray, place: AnyArray, k: int) -> Top:
    """Return the k largest of values (..., n) of recordings (n,), with their places (..., n)."""
    missing = max(k - value.shape[-1], 0)
    wide = [(0, 0)] * (value.ndim - 1) + [(0, missing)]
    value = np.pad(np.asarray(value, np.float64), wide, constant_values=-np.inf)
    recording = np.pad(np.broadcast_to(recording, place.shape), wide, constant_values=-1)
    return _take_largest(value, recording, np.pad(place, wide), k)


def _take_largest(value: Real, recording: AnyArray, place: AnyArray, k: int) -> Top:
    """Return the k largest; of equal values the earlier recording comes first."""
    order = np.lexsort((recording, -value))[..., :k]
    return Top(*(np.take_along_axis(a, order, -1) for a in (value, recording, place)))
