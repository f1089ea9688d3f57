"""What the page draws, and the numbers behind it as `page/data.js` reads them.

A recording has more samples and cells than a page needs.  Neighbours are added up until they fit,
so that sums still hold; of the signal the range or the power is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.bands import POOLED, Pooled, pool_together
from dftlrp.results.data import Domain, ExplanationData
from dftlrp.results.differences import find_first_like, find_scales, is_relative, list_shared
from dftlrp.results.figure import choose_rows
from dftlrp.results.points import (
    Points,
    add_up,
    choose_bin_size,
    find_level,
    find_mean,
    limit_colours,
    place_points,
)
from dftlrp.results.report.ends import find_ends, find_highest
from dftlrp.results.report.packing import pack_amounts, pack_levels, pack_values, write_json
from dftlrp.results.views import DOMAINS
from dftlrp.results.words import SHOWN_CHANNELS, order_channels

KINDS = {("s",): "wave", ("Hz",): "spectrum", ("Hz", "s"): "plane"}
EVEN = 1e-6  # of a step: how far edges may be off and count as evenly spaced


class Most(NamedTuple):
    """How much of a domain is drawn: of a line and of a plane, all channels and explanations."""

    points: int = 120_000
    cells: int = 400_000
    rows: int = 512


PAGE, CELL = Most(), Most(24_000, 60_000, 128)  # of a page; of a cell of a notebook


class Shown(NamedTuple):
    """One domain as it is drawn, of one recording: of the explanations that are its ``owners``.

    ``kind`` as in data.js; ``edges`` of the cells of each axis; ``ends`` of each axis, common to
    all recordings; ``signal`` by channel: the lowest and highest sample of each cell (2, n) of a
    wave, otherwise its level from 0 to 1, which stands for ``floor[0] + level * floor[1]`` in
    ``unit``; by owner: ``relevance`` of each channel, ``units`` as of `_pool_units`, ``scales`` by
    which relevance is multiplied to be compared; ``limit`` is what then has the full colour.
    ``tiles`` are those of the lists, by owner, where there are some, with a limit of their own.
    """

    row: Domain
    kind: str
    owners: tuple[int, ...]
    labels: tuple[tuple[str, str], ...]
    edges: tuple[Real, ...]
    ends: tuple[tuple[float, float], ...]
    signal: list[Real]
    relevance: list[list[Real]]
    units: list[Real]
    scales: list[float]
    limit: float
    floor: tuple[float, float]
    unit: str
    tiles: tuple[Pooled, ...] = ()
    tile_limit: float = 1.0

    def scale_relevance(self, owner: int, channel: int) -> Real:
        """Return the relevance of one owner (0, 1, ...) and channel as it is compared."""
        return np.asarray(self.relevance[owner][channel] * self.scales[owner])


def collect_domains(explanations: Sequence[ExplanationData], most: Most = PAGE) -> list[Shown]:
    """Return each domain that all have, once for each recording, as it is drawn.

    Raises
    ------
    InputError
        If there is none, or one cannot be drawn.
    """
    order = order_channels(explanations)[:SHOWN_CHANNELS]
    found: list[Shown] = []
    names = sorted(list_shared(explanations), key=[*DOMAINS, *explanations[0].relevance].index)
    for row in choose_rows(explanations, names):
        found += _collect_domain(explanations, row, order, most)
    return found


def _collect_domain(
    explanations: Sequence[ExplanationData], row: Domain, order: Sequence[int], most: Most
) -> list[Shown]:
    """Return one domain of each recording, with common ends and a common limit."""
    firsts = find_first_like(explanations, row.name)
    units, scales = _pool_units(explanations, row), find_scales(explanations, row.name)
    tiles = _pool_tiles(explanations, row)
    parts = []
    for first in dict.fromkeys(firsts):
        owners = tuple(k for k, other in enumerate(firsts) if other == first)
        own = [explanations[k] for k in owners]
        share = most._replace(  # of one recording
            points=most.points * len(own) // len(explanations),
            cells=most.cells * len(own) // len(explanations),
        )
        one = _collect_recording(own, row, order, share)
        parts.append(
            one._replace(
                owners=owners,
                units=[units[k] for k in owners] if units else [],
                tiles=tuple(tiles[k] for k in owners) if tiles else (),
                scales=[scales[k] for k in owners],
            )
        )
    limit = limit_colours([
        p.scale_relevance(i, c)
        for p in parts for i, own in enumerate(p.relevance) for c in range(len(own))
    ])  # fmt: skip
    low, high = (
        [pick(float(p.edges[axis][end]) for p in parts) for axis in range(len(parts[0].edges))]
        for pick, end in ((min, 0), (max, -1))
    )
    least = [e.start for e in explanations]
    ends = tuple(
        (max(a, min(least)) if unit == "s" else max(a, 0.0), b)
        for a, b, (_, unit) in zip(low, high, parts[0].labels, strict=True)
    )
    scaled = [tile.net * scale for tile, scale in zip(tiles, scales, strict=False)]
    bright = _find_full_colour(scaled)
    return [p._replace(limit=limit, ends=ends, tile_limit=bright) for p in parts]


def _collect_recording(
    explanations: Sequence[ExplanationData], row: Domain, order: Sequence[int], most: Most
) -> Shown:
    """Return one domain of one recording; one that belongs to no channel has one channel."""
    split = explanations[0].has_channels(row.name)
    views = [[e.channels[c] for c in order] if split else [e] for e in explanations]
    places = place_points(views[0][0], row)
    counts = tuple(len(p.at) for p in places)
    sizes = _choose_sizes(counts, len(views) * len(views[0]), most)
    rank = len(counts)
    kind = KINDS.get(tuple(a.unit for a in row.axes), "line" if rank == 1 else "grid")
    signals = [np.asarray(e.signal[row.name]) for e in views[0]]
    pooled = [_pool_signal(s.reshape(-1, *counts), kind, sizes) for s in signals]
    levels, floor, unit = _scale_levels(pooled, kind, any(map(np.iscomplexobj, signals)))
    return Shown(
        row=row,
        kind=kind,
        owners=(),
        labels=tuple((p.axis.label, p.axis.unit) for p in places),
        edges=tuple(_find_edges(p, size) for p, size in zip(places, sizes, strict=True)),
        ends=(),
        signal=levels,
        relevance=[[_pool(e.relevance[row.name], counts, sizes) for e in one] for one in views],
        units=[],
        scales=[],
        limit=1.0,
        floor=floor,
        unit=unit,
    )


def subtract(first: Shown, i: int, second: Shown, j: int) -> Shown | None:
    """Return the difference of owner i of the first and owner j of the second, as it is drawn.

    Its cells are those of both, where they have the same; else the units of the table; of a plane
    there is then none.
    """
    units: list[Real] = []
    if first.units:
        amounts = (
            first.units[i][:, 2:] * first.scales[i] - second.units[j][:, 2:] * second.scales[j]
        )
        net = amounts[:, 0]
        parts = (*first.units[i][:, :2].T, net, np.maximum(net, 0), np.minimum(net, 0))
        units.append(np.stack(parts, axis=-1))
    kept = first._replace(owners=(0,), units=units, scales=[1.0], tiles=())
    if first.tiles:
        a, b = first.tiles[i], second.tiles[j]
        more = a.net * first.scales[i] - b.net * second.scales[j]
        kept = kept._replace(tiles=(a._replace(net=more),), tile_limit=_find_full_colour([more]))
    if has_same_cells(first, second):
        channels = range(len(first.relevance[i]))
        cells: list[Real] = [
            first.scale_relevance(i, c) - second.scale_relevance(j, c) for c in channels
        ]
        signal = first.signal if first is second else []
        return kept._replace(relevance=[cells], limit=limit_colours(cells), signal=signal)
    if not units:
        return None
    edges = np.append(units[0][:, 0], units[0][-1, 1])
    return kept._replace(edges=(edges,), relevance=[[units[0][:, 2]]], signal=[])


def has_same_cells(first: Shown, second: Shown) -> bool:
    """Return whether two domains have the same edges."""
    return len(first.edges) == len(second.edges) and all(
        np.array_equal(a, b) for a, b in zip(first.edges, second.edges, strict=True)
    )


def _choose_sizes(counts: tuple[int, ...], arrays: int, most: Most) -> tuple[int, ...]:
    """Return how many neighbours to add up along each axis; along time rather than frequency."""
    if len(counts) == 1:
        return (choose_bin_size(counts[0], max(most.points // arrays, 1)),)
    rows = choose_bin_size(counts[0], most.rows)
    columns = max(most.cells // (arrays * -(-counts[0] // rows)), 1)
    return rows, choose_bin_size(counts[1], columns)


def _find_edges(points: Points, size: int) -> Real:
    """Return the edges of cells, in the unit of the axis: bands meet half-way."""
    if points.axis.spacing is not None or not points.axis.unit:
        return np.asarray(points.find_edges(size))
    middles: Real = points.values
    inner = (middles[1:] + middles[:-1]) / 2
    first, last = (2 * middles[0] - inner[:1], 2 * middles[-1] - inner[-1:])
    edges = np.concatenate([np.maximum(first, 0.0), inner, last])
    return np.asarray(np.append(edges[:-1][::size], edges[-1]))


def _pool(values: Real, counts: tuple[int, ...], sizes: tuple[int, ...]) -> Real:
    """Return the sum of each cell; axes in front of those that are drawn are added up."""
    array: Real = np.asarray(values, np.float64).reshape(-1, *counts).sum(axis=0)
    for axis, size in enumerate(sizes):
        array = add_up(array, size, axis)
    return array


def _pool_signal(values: AnyArray, kind: str, sizes: tuple[int, ...]) -> Real:
    """Return range, level in dB or mean value of each cell."""
    if kind == "wave":
        starts = np.arange(0, values.shape[-1], sizes[0])
        x = np.real(values[0])
        return np.stack([np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)])
    wide = values if values.ndim > 2 else values[:, None, :]
    both = sizes if len(sizes) > 1 else (1, *sizes)
    known = np.iscomplexobj(values) or kind == "plane" or len(values) > 1
    found = find_level(wide, both) if known else find_mean(wide[0], both)
    return np.asarray(found.values if len(sizes) > 1 else found.values[0])


def _scale_levels(
    pooled: list[Real], kind: str, power: bool
) -> tuple[list[Real], tuple[float, float], str]:
    """Return levels from 0 to 1, what 0 stands for and 1 adds, and the unit."""
    if kind == "wave":
        return pooled, (0.0, 1.0), ""
    low = min(float(p.min()) for p in pooled)
    high = max(float(p.max()) for p in pooled)
    size = high - low or 1.0
    unit = "dB" if power or kind == "plane" else ""
    return [(p - low) / size for p in pooled], (low, size), unit


def list_ends(
    explanations: Sequence[ExplanationData], domains: Sequence[Shown]
) -> list[tuple[float, float, float]]:
    """Return of each explanation where it starts and stops, in seconds, and half its rate."""
    found = []
    for k, e in enumerate(explanations):
        timed = [s.edges[-1][-1] for s in domains if k in s.owners and s.labels[-1][1] == "s"]
        found.append(find_ends(e, timed))
    return found


def write_data(
    domains: Sequence[Shown],
    explanations: Sequence[ExplanationData],
    names: Sequence[str],
    differing: Sequence[Sequence[Mapping[str, Any]]],
    word: str,
) -> str:
    """Return what the script reads, as JSON that no tag can end; ``word`` stands before names."""
    ends = list_ends(explanations, domains)
    page = {
        "rate": max(e.rate for e in explanations),
        "start": min(start for start, _, _ in ends),
        "stop": max(stop for _, stop, _ in ends),
        "highest": find_highest(explanations),
        "ends": ends,
        "labels": list(names),
        "channels": name_channels(explanations) or [""],
        "relative": is_relative(explanations),
        "word": word,
        "domains": [_write_domain(shown, explanations) for shown in domains],
        "differences": [
            {
                "domain": pane["domain"],
                "other": pane["other"],
                "cells": has_same_cells(pane["home"], pane["shown"]),
                "limit": pane["shown"].limit,
                "tiles": pane["shown"].tile_limit,
            }
            for row in differing
            for pane in row
        ],
    }
    return write_json(page)


def name_channels(explanations: Sequence[ExplanationData]) -> list[str]:
    """Return the names of the channels that are shown; none if there is one."""
    channels = explanations[0].channels
    if len(channels) == 1:
        return []
    return [channels[c].channel_names[0] for c in order_channels(explanations)[:SHOWN_CHANNELS]]


def _write_domain(shown: Shown, explanations: Sequence[ExplanationData]) -> dict[str, Any]:
    pack_signal = pack_values if shown.kind == "wave" else pack_levels
    own = [explanations[k] for k in shown.owners]
    return {
        "name": shown.row.name,
        "title": shown.row.title,
        "kind": shown.kind,
        "owners": list(shown.owners),
        "axes": [_write_axis(*pair) for pair in zip(shown.labels, shown.edges, strict=True)],
        "signal": [pack_signal(s) for s in shown.signal],
        "relevance": [[pack_amounts(r) for r in one] for one in shown.relevance],
        "sums": [sum_signs(e.relevance[shown.row.name]) for e in own],
        "units": [[[float(f"{v:.9g}") for v in row] for row in one] for one in shown.units],
        "tiles": _write_tiles(shown),
        "scales": shown.scales,
        "limit": shown.limit,
        "floor": list(shown.floor),
        "unit": shown.unit,
    }


def _write_tiles(shown: Shown) -> dict[str, Any] | None:
    """Return the tiles of a domain, if there are some."""
    if not shown.tiles:
        return None
    pairs = zip(shown.labels, shown.tiles[0].edges, strict=True)
    return {
        "axes": [_write_axis(*pair) for pair in pairs],
        "net": [pack_values(tile.net) for tile in shown.tiles],
        "limit": shown.tile_limit,
    }


def _write_axis(names: tuple[str, str], edges: Real) -> dict[str, Any]:
    """Return an axis; even edges in three numbers."""
    count = len(edges) - 1
    step = float(edges[1] - edges[0])
    even = np.allclose(edges[:-1], edges[0] + step * np.arange(count), rtol=0, atol=EVEN * step)
    return {
        "label": names[0],
        "unit": names[1],
        "count": count,
        "start": float(edges[0]),
        "step": step,
        "end": float(edges[-1]),
        "edges": [] if even else [float(edge) for edge in edges],
    }


def sum_signs(relevance: Real) -> dict[str, float]:
    """Return the sum of an array, of what is positive in it and of what is negative."""
    R = np.asarray(relevance, np.float64)
    parts = {"net": R, "favour": np.maximum(R, 0), "against": np.minimum(R, 0)}
    return {name: float(part.sum()) for name, part in parts.items()}


def _find_full_colour(amounts: Sequence[Real]) -> float:
    """Return the largest size, which has the full colour among tiles, as it is the tallest bar."""
    return max((float(np.abs(a).max(initial=0.0)) for a in amounts), default=0.0) or 1.0


def _pool_tiles(explanations: Sequence[ExplanationData], row: Domain) -> list[Pooled]:
    """Return the tiles that the lists read; none for channels, of which they hold the sum."""
    if row.name != POOLED["tiles"] or len(explanations[0].channels) > 1:
        return []
    return pool_together(explanations, "tiles")


def _pool_units(explanations: Sequence[ExplanationData], row: Domain) -> list[Real]:
    """Return the units of the table that lists and sentences read, of each explanation.

    Each (n, 5): start, stop, sum of R, of its positive and of its negative part; none for channels,
    of which the table holds the sum.
    """
    if not row.table or len(explanations[0].channels) > 1:
        return []
    found = []
    for pooled in pool_together(explanations, row.table):
        (edges,) = pooled.edges
        parts = (edges[:-1], edges[1:], pooled.net, pooled.favour, pooled.against)
        found.append(np.stack(parts, axis=-1))
    return found
