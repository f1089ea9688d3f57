"""Figures of neurons and classes: mean spectra, maps with their spread, attribution graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.concepts.flow import Edge, Neuron
from dftlrp.concepts.statistics import Statistics, band_centres
from dftlrp.core.types import Real
from dftlrp.results.panels import (
    INK,
    NEGATIVE,
    PALE_POSITIVE,
    POSITIVE,
    format_hertz,
    make_colours,
    style_axes,
)
from dftlrp.results.points import add_up
from dftlrp.results.words import clean_text, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (3.7, 2.2)  # inches
DRAWN = 5  # bands in one point of a neuron's spectrum, which is a mean over few recordings
NEIGHBOURS = 12  # bands on either side of a band that it is compared with
TIMES, LEAST = 5.0, 0.01  # a peak is higher than TIMES their median and LEAST of all |R|
LIMIT_PERCENTILE = 99.5  # of |values|: the end of a map's colours


def find_narrow_peaks(absolute: Real, rate: float) -> list[tuple[float, float]]:
    """Return frequency in hertz and share of all |R| of each narrow peak, the largest first.

    A hum, a pilot tone or another spurious cue is a narrow peak; speech is wider.

    Parameters
    ----------
    absolute : array (BANDS,)
        Mean shares of |R| by frequency.
    """
    whole = max(float(absolute.sum()), np.finfo(float).tiny)
    wide = np.pad(absolute, NEIGHBOURS, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(wide, 2 * NEIGHBOURS + 1)
    high = (absolute > TIMES * np.median(around, axis=1)) & (absolute > LEAST * whole)
    steps = np.flatnonzero(np.diff(np.pad(high.astype(int), 1)))
    runs = [slice(a, b) for a, b in steps.reshape(-1, 2)]
    centres = band_centres(rate)
    peaks = [(float(centres[r][absolute[r].argmax()]), float(absolute[r].sum())) for r in runs]
    return sorted(((f, share / whole) for f, share in peaks), key=lambda p: -p[1])


def draw_class(found: Statistics, c: int, rate: float, seconds: float | None) -> dict[str, Figure]:
    """Return the figures of a class: spectrum, magnitude, map, and spread of the map.

    Parameters
    ----------
    c : int
        The class.
    seconds : float or None
        Duration of the maps; None if the recordings differ in length.
    """
    mean, absolute = found.spectrum.mean[c]
    error = found.spectrum.spread[c, 0] / np.sqrt(max(found.spectrum.count[c], 1))
    tiles, spread = found.map.mean[c], found.map.spread[c]
    limit = _find_colour_limit(tiles)
    return {
        "spectrum": _draw_spectrum(mean, error, rate),
        "magnitude": _draw_magnitude(absolute, rate),
        "map": _draw_map(tiles, rate, seconds, cmap=make_colours(), vmin=-limit, vmax=limit),
        "spread": _draw_map(
            spread, rate, seconds, cmap="Greys", vmin=0, vmax=_find_colour_limit(spread)
        ),
    }


def draw_neuron(mean: Real, rate: float) -> Figure:
    """Return a figure of the mean relevance spectrum of a neuron over its prototypes."""
    return _draw_spectrum(add_up(mean, DRAWN), np.zeros(len(mean) // DRAWN), rate)


def _draw_spectrum(mean: Real, error: Real, rate: float) -> Figure:
    """Return a figure of a mean spectrum, with a pale band of two standard errors around it."""
    fig, axes = _make_spectrum_axes(rate, len(mean))
    x = (np.arange(len(mean)) + 0.5) * (rate / 2 / len(mean))
    axes.fill_between(x, mean - 2 * error, mean + 2 * error, color=PALE_POSITIVE, linewidth=0)
    axes.plot(x, mean, color=POSITIVE, linewidth=0.8)
    axes.axhline(0, color=INK, linewidth=0.6)
    return fig


def _draw_magnitude(absolute: Real, rate: float) -> Figure:
    """Return a figure of the shares of |R| that marks narrow peaks."""
    fig, axes = _make_spectrum_axes(rate, len(absolute))
    axes.fill_between(band_centres(rate), absolute, color=INK, linewidth=0, alpha=0.7)
    axes.set_ylim(0, 1.1 * float(absolute.max()) or 1.0)
    for f, share in find_narrow_peaks(absolute, rate):
        axes.annotate(
            f" {format_hertz(f)} Hz: {100 * share:.0f} %", (f, float(absolute.max())), va="top",
            fontsize=8.5, color=NEGATIVE, fontweight="bold",
        )  # fmt: skip
        axes.axvline(f, color=NEGATIVE, linewidth=1, linestyle=":")
    return fig


def _make_spectrum_axes(rate: float, count: int) -> tuple[Figure, Axes]:
    fig, axes = _make_figure(*SIZE)
    axes.set_xlim(0, rate / 2)
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel(f"share per {format_number(rate / 2 / count)} Hz")
    axes.yaxis.set_major_formatter(lambda value, _: f"{format_number(100 * value)} %")
    style_axes(axes)
    return fig, axes


def draw_graph(edges: Sequence[Edge]) -> Figure:
    """Return a figure of an attribution graph: a row for each layer, an edge for each weight."""
    rows = sort_neurons(edges)
    widest = max(map(len, rows.values()))
    fig, axes = _make_figure(max(4.2, 0.55 * widest + 1.2), 0.75 * len(rows) + 0.2)
    places = {
        (layer, c): ((i + 0.5) / len(row), -float(level))
        for level, (layer, row) in enumerate(rows.items())
        for i, c in enumerate(row)
    }
    _draw_edges(axes, edges, places)
    for (_, c), (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": INK, "lw": 0.7}
        axes.text(x, y, str(c), ha="center", va="center", fontsize=8.5, color=INK, bbox=box)
    for level, layer in enumerate(rows):
        axes.text(-0.02, -level, clean_text(layer, 18), ha="right", va="center", fontsize=8.5,
                  color=INK, parse_math=False)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0.45 - len(rows), 0.45))
    axes.axis("off")
    return fig


def sort_neurons(edges: Sequence[Edge]) -> dict[str, list[int]]:
    """Return the neurons of each layer in the order in which edges name them."""
    layer, first = edges[0].target
    rows: dict[str, list[int]] = {layer: [first]}
    for edge in edges:
        row = rows.setdefault(edge.source[0], [])
        if edge.source[1] not in row:
            row.append(edge.source[1])
    return rows


def _draw_edges(
    axes: Axes, edges: Sequence[Edge], places: Mapping[Neuron, tuple[float, float]]
) -> None:
    """Draw the edges, the strongest on top."""
    most = max((abs(e.weight) for e in edges), default=1.0)
    for e in sorted(edges, key=lambda e: abs(e.weight)):
        (x0, y0), (x1, y1) = places[e.source], places[e.target]
        colour = POSITIVE if e.weight > 0 else NEGATIVE
        width = 0.4 + 4 * abs(e.weight) / most
        axes.plot([x0, x1], [y0, y1], color=colour, linewidth=width, alpha=0.65, zorder=1)


def _make_figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
    return fig, fig.subplots()


def _find_colour_limit(values: Real) -> float:
    amounts = np.abs(values[values != 0])
    return float(np.percentile(amounts, LIMIT_PERCENTILE)) if amounts.size else 1.0


def _draw_map(values: Real, rate: float, seconds: float | None, **look: Any) -> Figure:
    """Return a figure of a time-frequency map of shares."""
    fig, axes = _make_figure(*SIZE)
    half = rate / 4 / (len(values) - 1)  # of a bin: the first and the last lie on 0 and rate / 2
    extent = (0, seconds or 1.0, -half, rate / 2 + half)
    image = axes.imshow(values, origin="lower", aspect="auto", extent=extent, **look)
    bar = fig.colorbar(image, ax=axes, aspect=18, pad=0.02, fraction=0.06)
    bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{format_number(100 * value)} %")
    axes.set_ylim(0, rate / 2)
    axes.set_xlabel("time (s)" if seconds else "time (of the duration)")
    axes.set_ylabel("frequency (Hz)")
    style_axes(axes)
    return fig
