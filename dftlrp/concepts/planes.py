"""Small planes of time and frequency, as the page of neurons draws them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dftlrp.concepts.statistics import Statistics
from dftlrp.core.types import AnyArray, Real
from dftlrp.results.explanation import Explanation
from dftlrp.results.points import (
    FLOOR_DB,
    add_up_cells,
    choose_bin_size,
    find_level,
    limit_colours,
    place_points,
)
from dftlrp.results.views import find_domain
from dftlrp.results.words import order_channels

DOMAIN = find_domain("time-frequency")
LEAST_COLUMNS = 32  # of a picture that is made smaller
MOST = 65, 128  # cells along each axis of a recording; 65 fits the bins of 2^n + 1


class Plane(NamedTuple):
    """Cells of a plane, the lowest frequency first.

    Attributes
    ----------
    rows, columns : array (n + 1,)
        Edges in hertz, and in seconds or in shares of the duration.
    level : array (rows, columns)
        From 0 (`FLOOR_DB` below the peak, or nothing) to 1.
    relevance : array (rows, columns)
    limit : array ()
        The relevance that has the full colour.
    """

    rows: Real
    columns: Real
    level: Real
    relevance: Real
    limit: Real


def pool_plane(e: Explanation) -> Plane:
    """Return the most relevant channel of an explanation; neighbouring cells are added up."""
    own = e.channels[order_channels([e])[0]] if len(e.channels) > 1 else e
    points = place_points(own, DOMAIN)
    sizes = tuple(choose_bin_size(len(p.at), n) for p, n in zip(points, MOST, strict=True))
    rows, columns = (p.find_edges(n) for p, n in zip(points, sizes, strict=True))
    decibel = find_level(np.asarray(own.signal[DOMAIN.name]), sizes).values
    relevance = add_up_cells(np.asarray(own.relevance[DOMAIN.name], np.float64), sizes)
    limit = np.asarray(limit_colours([relevance]))
    return Plane(rows, columns, 1 - decibel / FLOOR_DB, relevance, limit)


def shrink_plane(plane: Plane, most: int) -> Plane:
    """Return a plane of at most some cells; neighbours in time are added up, then in frequency."""
    rows, columns = plane.level.shape
    down = choose_bin_size(rows * min(columns, LEAST_COLUMNS), most)
    sizes = down, choose_bin_size(columns, max(most // -(-rows // down), 1))
    whole = add_up_cells(np.ones(plane.level.shape), sizes)
    above, across = (np.append(e[:-1][::n], e[-1]) for e, n in zip(plane[:2], sizes, strict=True))
    relevance = add_up_cells(plane.relevance, sizes)
    level, limit = add_up_cells(plane.level, sizes) / whole, np.asarray(limit_colours([relevance]))
    return Plane(above, across, level, relevance, limit)


def pack_plane(plane: Plane, name: str) -> dict[str, AnyArray]:
    """Return a plane as arrays in single precision, whose names start with ``name``."""
    return {f"{name}/{k}": np.asarray(a, np.float32) for k, a in plane._asdict().items()}


def unpack_plane(arrays: dict[str, AnyArray], name: str) -> Plane:
    """Return the plane that `pack_plane` packed."""
    return Plane(*(np.asarray(arrays[f"{name}/{k}"], np.float64) for k in Plane._fields))


def map_class(found: Statistics, c: int, rate: float, seconds: float | None) -> dict[str, Plane]:
    """Return mean and spread of the relevance of a class over time and frequency.

    Parameters
    ----------
    seconds : float or None
        Duration of the maps; None if the recordings differ in length.
    """
    mean, spread = found.map.mean[c], found.map.spread[c]
    half, nothing = rate / 4 / (len(mean) - 1), np.zeros_like(mean)  # bins are centred on 0
    edges = (
        np.linspace(-half, rate / 2 + half, len(mean) + 1),
        np.linspace(0, seconds or 1.0, mean.shape[1] + 1),
    )
    full, whole = (np.asarray(limit_colours([a])) for a in (mean, spread))
    return {
        "map": Plane(*edges, nothing, mean, full),
        "spread": Plane(*edges, np.minimum(spread / whole, 1.0), nothing, np.asarray(1.0)),
    }
