"""Points of axes and sums of neighbours: what figures and the page draw the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.data import Axis, Domain, ExplanationData

FLOOR_DB = -80.0
LIMIT_PERCENTILE = 99.5
INDEX = Axis("index")
ROWS, COLUMNS = Axis("row (index)"), Axis("column (index)")


class Points(NamedTuple):
    """The points of an axis: their values, where they are drawn, and their spacing there.

    ``bands`` are the edges of bands that are drawn equally wide, if there are any.
    """

    axis: Axis
    values: Real
    at: Real
    step: float
    bands: Real | None = None

    def find_edges(self, size: int) -> Real:
        """Return where bins of `size` points each are drawn to begin and to end."""
        edges = np.append(self.at[::size], self.at[-1] + self.step)
        return self.place(edges if self.axis.starts else edges - self.step / 2)

    def place(self, values: Real) -> Real:
        """Return where values are drawn."""
        if self.bands is None:
            return np.asarray(values)
        return np.asarray(np.interp(values, self.bands, np.arange(len(self.bands))))


def place_points(e: ExplanationData, row: Domain) -> list[Points]:
    """Return the points of the one axis, or of the last two axes, of one channel."""
    shape = (e.relevance[row.name].shape or (1,))[-2:]
    if not row.axes:
        axes = (INDEX,) if len(shape) == 1 else (ROWS, COLUMNS)
        return [_space_points(e, a, np.arange(n)) for a, n in zip(axes, shape, strict=True)]
    given = e.axes[row.name]
    values = given if isinstance(given, tuple) else (given,)
    return [_space_points(e, axis, v) for axis, v in zip(row.axes, values, strict=True)]


def _space_points(e: ExplanationData, axis: Axis, values: AnyArray) -> Points:
    """Return points where their values are, or side by side."""
    values = np.asarray(values, np.float64)
    if axis.spacing is None:
        return Points(axis, values, np.arange(len(values), dtype=float), 1.0)
    step = float(values[1] - values[0]) if len(values) > 1 else axis.spacing(e)
    return Points(axis, values, values, step)


class Level(NamedTuple):
    """Values of the cells of a signal, their name, and the limits of their greys."""

    values: Real
    name: str
    low: float
    high: float


def find_level(values: AnyArray, sizes: tuple[int, ...]) -> Level:
    """Return the power of each bin, in dB below the largest; silence lies at `FLOOR_DB`."""
    power = add_up_plane(np.square(np.abs(values)), sizes)
    top = float(power.max(initial=0.0)) or 1.0
    decibel = 10 * np.log10(np.maximum(power / top, 10 ** (FLOOR_DB / 10)))
    return Level(np.asarray(decibel), "dB of the peak", FLOOR_DB, 0.0)


def find_mean(values: AnyArray, sizes: tuple[int, ...]) -> Level:
    """Return the mean value of each bin."""
    mean = add_up_cells(values, sizes) / add_up_cells(np.ones(values.shape), sizes)
    return Level(mean, "value", float(mean.min()), float(mean.max()))


def add_up_plane(values: Real, sizes: tuple[int, ...]) -> Real:
    """Return the sum of each bin of a plane; axes before the last two are added up."""
    array = np.asarray(values, np.float64)
    return add_up_cells(array.reshape(-1, *array.shape[-2:]).sum(axis=0), sizes)


def limit_colours(relevance: Sequence[Real]) -> float:
    """Return the common limit of the colours: a high percentile of the cells with relevance."""
    amounts = np.abs(np.concatenate([r.ravel() for r in relevance]))
    amounts = amounts[amounts > 0]
    return float(np.percentile(amounts, LIMIT_PERCENTILE)) if amounts.size else 1.0


def choose_bin_size(count: int, most: int) -> int:
    """Return how many neighbours to add up so that at most `most` bins remain."""
    return max(1, -(-count // most))


def add_up(values: Real, size: int, axis: int = 0) -> Real:
    """Sum `size` neighbours at a time; the last bin takes what is left."""
    starts = np.arange(0, values.shape[axis], size)
    return np.asarray(np.add.reduceat(values, starts, axis=axis))


def add_up_cells(values: Real, sizes: tuple[int, ...]) -> Real:
    """Sum over blocks of an (F, T) array."""
    return add_up(add_up(values, sizes[0], 0), sizes[1], 1)
