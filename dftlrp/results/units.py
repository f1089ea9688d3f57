"""Units: the parts of a domain that are replaced, ranked and listed as one.

A sample or a bin alone hardly moves a score, and its relevance cancels with that of its neighbours.
So a domain is cut into segments of time, bands of frequency, tiles of both, or single cells, and
the relevance of a unit is the sum of what it holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral.mel import hertz_to_mel

SEGMENTS, BANDS, TILES = 40, 40, (16, 16)  # as many as there are by default
WORDS = {"time": "segments", "frequency": "bands", "time-frequency": "tiles", "input": "features"}


@dataclass(frozen=True, eq=False)
class Units:
    """A partition of the cells of one array.

    Attributes
    ----------
    index : array of int
        The unit of each cell, from 0 to ``count`` - 1; in the shape of one channel.
    count : int
        Number of units; each holds at least one cell.
    what : str
        What they are called, in the plural: ``"segments"``, ``"bands"``, ``"tiles"``, ...

    See Also
    --------
    make_units : Makes them.

    Examples
    --------
    >>> units = dftlrp.metrics.make_units("time", (8,), count=2)
    >>> units.pool(np.arange(8.0))
    array([ 6., 22.])
    >>> units.spread(np.array([True, False])).astype(int)
    array([1, 1, 1, 1, 0, 0, 0, 0])
    """

    index: AnyArray
    count: int
    what: str = "units"

    def pool(self, values: AnyArray) -> Real:
        """Return the sum over each unit and over all channels.

        Parameters
        ----------
        values : array (..., *index.shape)
            Further axes in front are channels.

        Returns
        -------
        array (count,)
            In the unit of the values.

        Raises
        ------
        InputError
            The array has other cells than the units.
        """
        if values.shape[values.ndim - self.index.ndim :] != self.index.shape:
            raise InputError(
                f"an array of shape {values.shape} has other cells than the units, "
                f"{self.index.shape}"
            )
        one = values.reshape(-1, self.index.size).sum(axis=0)
        return np.bincount(self.index.reshape(-1), one, self.count).astype(np.float64)

    def spread(self, chosen: AnyArray) -> AnyArray:
        """Return for each cell what its unit has.

        Parameters
        ----------
        chosen : array (..., count)
            Anything, as whether a unit is removed.

        Returns
        -------
        array (..., *index.shape)
            Of the same dtype.
        """
        return chosen[..., self.index]


def make_units(
    domain: str,
    shape: Sequence[int],
    rate: float = 1.0,
    count: int | Sequence[int] | None = None,
    cells: bool = False,
) -> Units:
    """Return the units of a domain.

    Parameters
    ----------
    domain : str
        ``"time"``: segments of equal length; ``"frequency"``: bands equally wide on the mel scale
        (in hertz for signals below 2000 samples per second, where that scale is linear);
        ``"time-frequency"``: tiles, such bands times equal parts of the frames; ``"input"``:
        blocks, equal parts of each axis.
    shape : tuple of int
        Of one channel's array.
    rate : float
        Sampling rate in hertz.
    count : int or tuple of int, optional
        How many.  For tiles and blocks one number for each axis, or about how many in all.
    cells : bool
        Whether each cell is a unit of its own.

    Returns
    -------
    Units
        Which unit each cell belongs to.

    Raises
    ------
    InputError
        The domain has no units, or there would be more units than cells.

    See Also
    --------
    dftlrp.Explanation.cut : Of the domain of an explanation.

    Examples
    --------
    >>> dftlrp.metrics.make_units("time-frequency", (129, 128), rate=8000).count
    256
    >>> dftlrp.metrics.make_units("frequency", (129,), cells=True).what
    'cells'
    """
    domain = find_name(domain, WORDS, "no units in domain")
    shape = tuple(shape)
    if cells:
        return Units(np.arange(math.prod(shape)).reshape(shape), math.prod(shape), "cells")
    parts = _choose_parts(domain, shape, count)
    for n, k in zip(shape, parts, strict=True):
        if not 0 < k <= n:
            raise InputError(
                f"{k} {WORDS[domain]} along an axis of {n} cells: ask for fewer units, at most {n}"
            )
    cuts = [np.arange(n) * k // n for n, k in zip(shape, parts, strict=True)]
    if domain in {"frequency", "time-frequency"}:
        cuts[0] = _cut_into_bands(shape[0], parts[0], rate)
    places = np.ix_(*cuts) if cuts else ()
    sizes = [int(c[-1]) + 1 for c in cuts]
    index = np.ravel_multi_index(np.broadcast_arrays(*places), sizes)
    return Units(index, math.prod(sizes), WORDS[domain])


def rank_units(pooled: Real, seed: int = 0) -> AnyArray:
    """Return the rank of each unit, 0 for the most relevant; equal ones in an order drawn."""
    draw = np.random.default_rng(seed).random(len(pooled))
    rank = np.empty(len(pooled), int)
    rank[np.lexsort((draw, -pooled))] = np.arange(len(pooled))
    return rank


def _choose_parts(
    domain: str, shape: tuple[int, ...], count: int | Sequence[int] | None
) -> tuple[int, ...]:
    """Return into how many parts each axis is cut; by default at most as many as it has cells."""
    if count is None:
        usual = {"time": (SEGMENTS,), "frequency": (BANDS,), "time-frequency": TILES}
        most = usual.get(domain) or tuple(_spread_evenly(math.prod(TILES), shape))
        return tuple(min(n, k) for n, k in zip(shape, most, strict=True))
    if isinstance(count, int):
        if count < 1:
            raise InputError(f"{count} {WORDS[domain]}: a positive number is needed")
        return tuple(_spread_evenly(count, shape))
    if len(count) != len(shape):
        raise InputError(f"{len(count)} numbers of units for {len(shape)} axes")
    return tuple(count)


def _spread_evenly(count: int, shape: tuple[int, ...]) -> list[int]:
    """Return how many parts of each axis make about so many in all; short axes are not cut."""
    if sum(n > 1 for n in shape) <= 1:
        return [count if n == max(shape) else 1 for n in shape]
    parts = [1] * len(shape)
    left, open_axes = float(count), sum(n > 1 for n in shape)
    for axis in sorted(range(len(shape)), key=lambda a: shape[a]):
        if shape[axis] > 1:
            parts[axis] = max(1, min(shape[axis], round(left ** (1 / open_axes))))
            left, open_axes = left / parts[axis], open_axes - 1
    return parts


def _cut_into_bands(bins: int, count: int, rate: float) -> AnyArray:
    """Return the band of each bin; bands in which no bin lies are left out."""
    mel = hertz_to_mel(np.linspace(0, rate / 2, bins))
    band = np.minimum((mel / max(mel[-1], 1e-300) * count).astype(int), count - 1)
    return np.unique(band, return_inverse=True)[1].reshape(-1)
