"""What the page draws: its panes, and the numbers behind them as `page/data.js` reads them.

A recording has more samples and cells than a page needs.  Neighbours are added up until they fit,
so that sums still hold; of the signal the range or the power is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.bands import pool_relevance
from dftlrp.results.data import Domain, ExplanationData
from dftlrp.results.figure import choose_rows
from dftlrp.results.panels import (
    Points,
    add_up,
    choose_bin_size,
    find_level,
    find_mean,
    limit_colours,
    place_points,
)
from dftlrp.results.report.packing import pack_amounts, pack_levels, pack_values, write_json
from dftlrp.results.sound import choose_playback
from dftlrp.results.words import SHOWN_CHANNELS, order_channels

AUDIBLE_RATE = 3000  # samples per second: from here on frequencies are shown as they are heard
NARROW = {"relevance": 0.95, "power": 0.98}  # shares of a slow signal that lie below
ROOM = 1.5  # times the frequency up to which they lie is shown
ROUND = np.array([1, 1.5, 2, 3, 4, 5, 6, 8, 10])  # times a power of ten
KINDS = {("s",): "wave", ("Hz",): "spectrum", ("Hz", "s"): "plane"}
EVEN = 1e-6  # of a step: how far edges may be off and count as evenly spaced


class Most(NamedTuple):
    """How much of a domain is drawn: of a line and of a plane, all channels and explanations."""

    points: int = 120_000
    cells: int = 400_000
    rows: int = 512


PAGE, CELL = Most(), Most(24_000, 60_000, 128)  # of a page; of a cell of a notebook


class Shown(NamedTuple):
    """One domain as it is drawn.

    ``kind`` as in data.js; ``edges`` of the cells of each axis; ``signal`` by channel: the lowest
    and highest sample of each cell (2, n) of a wave, otherwise its level from 0 to 1, which stands
    for ``floor[0] + level * floor[1]`` in ``unit``; ``relevance`` by explanation and channel;
    ``units`` as of `_pool_units`; ``limit`` the relevance that has the full colour.
    """

    row: Domain
    kind: str
    labels: tuple[tuple[str, str], ...]
    edges: tuple[Real, ...]
    signal: list[Real]
    relevance: list[list[Real]]
    units: list[Real]
    limit: float
    floor: tuple[float, float]
    unit: str


def collect_domains(explanations: Sequence[ExplanationData], most: Most = PAGE) -> list[Shown]:
    """Return each domain as it is drawn; errors as of `dftlrp.results.figure.draw_figure`."""
    order = order_channels(explanations)[:SHOWN_CHANNELS]
    return [_collect_domain(explanations, row, order, most) for row in choose_rows(explanations)]


def _collect_domain(
    explanations: Sequence[ExplanationData], row: Domain, order: Sequence[int], most: Most
) -> Shown:
    """Return one domain; one that belongs to no channel has one channel."""
    split = explanations[0].has_channels(row.name)
    views = [[e.channels[c] for c in order] if split else [e] for e in explanations]
    places = place_points(views[0][0], row)
    counts = tuple(len(p.at) for p in places)
    sizes = _choose_sizes(counts, len(views) * len(views[0]), most)
    edges = tuple(_find_edges(p, size) for p, size in zip(places, sizes, strict=True))
    rank = len(counts)
    kind = KINDS.get(tuple(a.unit for a in row.axes), "line" if rank == 1 else "grid")
    relevance = [[_pool(e.relevance[row.name], counts, sizes) for e in one] for one in views]
    signals = [np.asarray(e.signal[row.name]) for e in views[0]]
    pooled = [_pool_signal(s.reshape(-1, *counts), kind, sizes) for s in signals]
    levels, floor, unit = _scale_levels(pooled, kind, any(map(np.iscomplexobj, signals)))
    return Shown(
        row,
        kind,
        tuple((p.axis.label, p.axis.unit) for p in places),
        edges,
        levels,
        relevance,
        _pool_units(explanations, row),
        limit_colours([r for one in relevance for r in one]),
        floor,
        unit,
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


def list_panes(
    domains: Sequence[Shown], explanations: Sequence[ExplanationData]
) -> list[dict[str, Any]]:
    """Return the panes from top to bottom: what runs over time first."""
    labels = [e.label for e in explanations]
    panes = []
    for kind in ("wave", "plane", "spectrum", "line", "grid"):
        for shown in domains:
            if shown.kind == kind:
                panes += [_describe_pane(shown, -1, "")] if kind == "wave" else []
                panes += [
                    _describe_pane(shown, k, label if len(labels) > 1 else "")
                    for k, label in enumerate(labels)
                ]
    timed = [p for p in panes if p["kind"] in ("wave", "plane")]
    for pane in panes:
        pane["last"] = pane not in timed or pane is timed[-1]
    return panes


def _describe_pane(shown: Shown, explanation: int, label: str) -> dict[str, Any]:
    title = shown.row.title[:1].lower() + shown.row.title[1:]
    on = f", on the {shown.row.shown}" if shown.kind == "plane" else ""
    return {
        "domain": shown.row.name,
        "kind": shown.kind,
        "explanation": explanation,
        "title": "The recording" if explanation < 0 else f"Relevance over {title}{on}",
        "label": label,
        "shown": shown,
    }


def write_data(
    domains: Sequence[Shown], explanations: Sequence[ExplanationData], channels: Sequence[str]
) -> str:
    """Return what the script reads, as JSON that no tag can end."""
    first = explanations[0]
    seconds = find_seconds(first, domains)
    page = {
        "rate": first.rate,
        "seconds": seconds,
        "stretch": choose_playback(first.rate)[0] / first.rate,
        "highest": find_highest(explanations),
        "labels": [e.label for e in explanations],
        "channels": list(channels),
        "domains": [_write_domain(shown, explanations) for shown in domains],
    }
    return write_json(page)


def find_seconds(first: ExplanationData, domains: Sequence[Shown]) -> float:
    """Return how long the recording is."""
    if "time" in first.signal:
        return float(first.signal["time"].shape[-1] / first.rate)
    ends = [shown.edges[-1][-1] for shown in domains if shown.labels[-1][1] == "s"]
    return float(max(ends, default=1.0))


def find_highest(explanations: Sequence[ExplanationData]) -> float:
    """Return up to which frequency is shown at first: where slow signals hold little above, less.

    Almost all relevance, and what the recording holds beside its mean, lies well below.
    """
    first = explanations[0]
    half, domain = first.rate / 2, "frequency"
    if first.rate >= AUDIBLE_RATE or domain not in first.relevance:
        return half
    hertz = np.asarray(first.axes[domain], np.float64)
    power = np.square(np.abs(first.signal[domain])).reshape(-1, len(hertz)).sum(axis=0)
    power[0] = 0.0
    amounts = [
        np.abs(e.relevance[domain]).reshape(-1, len(hertz)).sum(axis=0) for e in explanations
    ]
    relevance = np.sum(amounts, axis=0)
    tops = [
        float(hertz[np.searchsorted(np.cumsum(own), share * own.sum())])
        for own, share in ((relevance, NARROW["relevance"]), (power, NARROW["power"]))
    ]
    if not (needed := ROOM * max(tops)):
        return half
    tens = 10 ** np.floor(np.log10(needed))
    rounded = float(tens * ROUND[np.searchsorted(ROUND, needed / tens)])
    return rounded if rounded <= half / 2 else half


def _write_domain(shown: Shown, explanations: Sequence[ExplanationData]) -> dict[str, Any]:
    pack_signal = pack_values if shown.kind == "wave" else pack_levels
    return {
        "name": shown.row.name,
        "title": shown.row.title,
        "kind": shown.kind,
        "axes": [_write_axis(*pair) for pair in zip(shown.labels, shown.edges, strict=True)],
        "signal": [pack_signal(s) for s in shown.signal],
        "relevance": [[pack_amounts(r) for r in one] for one in shown.relevance],
        "sums": [sum_signs(e.relevance[shown.row.name]) for e in explanations],
        "units": [[[float(f"{v:.9g}") for v in row] for row in one] for one in shown.units],
        "limit": shown.limit,
        "floor": list(shown.floor),
        "unit": shown.unit,
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


def _pool_units(explanations: Sequence[ExplanationData], row: Domain) -> list[Real]:
    """Return the units of the table that lists and sentences read, of each explanation.

    Each (n, 5): start, stop, sum of R, of its positive and of its negative part; none for channels,
    of which the table holds the sum.
    """
    if not row.table or len(explanations[0].channels) > 1:
        return []
    found = []
    for pooled in (pool_relevance(e, row.table) for e in explanations):
        (edges,) = pooled.edges
        parts = (edges[:-1], edges[1:], pooled.net, pooled.favour, pooled.against)
        found.append(np.stack(parts, axis=-1))
    return found
