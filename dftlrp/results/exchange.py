"""An explanation for other libraries: tables of pandas, arrays of xarray; neither is required."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import InputError
from dftlrp.results.data import ExplanationData
from dftlrp.results.questions import TABLES, Row, Tile, list_rows, list_tiles
from dftlrp.results.views import INPUT, find_domain
from dftlrp.results.words import describe_seed

TILES = "tiles"
SHORT = {"s": "time", "Hz": "frequency"}  # what an axis in this unit is called in another library


def make_frame(e: ExplanationData, what: str) -> Any:
    """Return a table of parts, or the points of a domain of one axis, as a ``pandas.DataFrame``.

    Raises
    ------
    InputError
        There is no such table or domain, or pandas is not installed.
    """
    lines = [name for name in ("time", "frequency") if name in e.relevance]
    tables = [name for name, row in TABLES.items() if row.name in e.relevance]
    tables += [TILES] if "time-frequency" in e.relevance else []
    what = find_name(what, [*sorted(tables), *lines], "no table")
    frame = _need("pandas").DataFrame
    if what == TILES:
        return frame(list_tiles(e, None), columns=Tile._fields)
    if what in tables:
        return frame(list_rows(e, what, None), columns=Row._fields)
    unit = {"time": "seconds", "frequency": "hertz"}[what]
    R, x = np.asarray(e.relevance[what]), np.asarray(e.signal[what])
    named = e.channel_names if R.ndim > 1 else ("",)
    rows = [
        frame({unit: e.axes[what], "signal": xs, "relevance": rs}).assign(channel=name)
        for name, xs, rs in zip(
            named, x.reshape(len(named), -1), R.reshape(len(named), -1), strict=True
        )
    ]
    whole = _need("pandas").concat(rows, ignore_index=True)
    return whole if R.ndim > 1 else whole.drop(columns="channel")


def make_dataset(e: ExplanationData, domain: str) -> Any:
    """Return signal and relevance of a domain as an ``xarray.Dataset`` with axes in s and Hz.

    Raises
    ------
    InputError
        There is no such domain, or xarray is not installed.
    """
    domain = find_name(domain, list(e.relevance), "no domain")
    xarray = _need("xarray")
    shape = np.shape(e.relevance[domain])
    axes = e.axes[domain] if isinstance(e.axes[domain], tuple) else (e.axes[domain],)
    rows = find_domain(domain).axes
    named = [(SHORT[row.unit], {"units": row.unit}) for row in rows]
    if domain == INPUT:
        named = [(f"axis_{k}", {"units": "index"}) for k in range(len(axes))]
    coords = {
        name: (name, np.asarray(axis), unit) for (name, unit), axis in zip(named, axes, strict=True)
    }
    dims = [name for name, _ in named]
    if len(shape) > len(dims):
        dims = ["channel", *dims]
        coords["channel"] = ("channel", np.asarray(e.channel_names or range(shape[0])), {})
    told = {"explained": describe_seed(e), "rate": e.rate, "rest": e.rest.get(domain, 0.0)}
    values = {
        k: (dims, np.asarray(v[domain]))
        for k, v in (("signal", e.signal), ("relevance", e.relevance))
    }
    return xarray.Dataset(values, coords=coords, attrs=told)


def _need(library: str) -> Any:
    """Return another library."""
    try:
        return import_module(library)
    except ImportError:
        raise InputError(f"{library} is not installed: pip install {library}") from None
