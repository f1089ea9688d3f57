"""Figures of neurons and classes: mean spectra and maps with their spread, attribution graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.concepts.flow import Edge
from dftlrp.concepts.statistics import Statistics, hertz
from dftlrp.core.types import Real
from dftlrp.results.panels import INK, NEGATIVE, PALE_POSITIVE, POSITIVE, add_up, diverging, style
from dftlrp.results.words import drawable, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (3.7, 2.2)  # inches
DRAWN = 5  # bands that are added up to one point of a neuron's spectrum, of few recordings
NEIGHBOURS = 12  # bands on either side that a narrow peak stands out of
TIMES, LEAST = 5.0, 0.01  # as high as the median of those, and as a share of all |R|
LIMIT_PERCENTILE = 99.5


def narrow_peaks(absolute: Real, rate: float) -> list[tuple[float, float]]:
    """Hertz and share of all |R| of what stands out of its neighbours, the largest first.

    A hum, a pilot tone or another spurious cue is one; speech is wider.

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
    centres = hertz(rate)
    peaks = [(float(centres[r][absolute[r].argmax()]), float(absolute[r].sum())) for r in runs]
    return sorted(((f, share / whole) for f, share in peaks), key=lambda p: -p[1])


def class_figures(
    found: Statistics, c: int, rate: float, seconds: float | None
) -> dict[str, Figure]:
    """What a class listens to: its spectrum, signed and absolute, its map, and the map's spread.

    Parameters
    ----------
    found : Statistics
    c : int
        The class.
    seconds : float or None
        Duration of the maps; None where recordings differ.
    """
    mean, absolute = found.spectrum.mean[c]
    error = found.spectrum.spread[c, 0] / np.sqrt(max(found.spectrum.count[c], 1))
    tiles, spread = found.map.mean[c], found.map.spread[c]
    limit = _limit(tiles)
    return {
        "spectrum": _spectrum(mean, error, rate),
        "magnitude": _magnitude(absolute, rate),
        "map": _map(tiles, rate, seconds, cmap=diverging(), vmin=-limit, vmax=limit),
        "spread": _map(spread, rate, seconds, cmap="Greys", vmin=0, vmax=_limit(spread)),
    }


def spectrum_figure(mean: Real, rate: float) -> Figure:
    """The mean relevance spectrum of a neuron over its prototypes."""
    return _spectrum(add_up(mean, DRAWN), np.zeros(len(mean) // DRAWN), rate)


def _spectrum(mean: Real, error: Real, rate: float) -> Figure:
    """A mean spectrum; as a pale band, what lies two standard errors of it around."""
    fig, axes = _line(rate, len(mean))
    x = (np.arange(len(mean)) + 0.5) * (rate / 2 / len(mean))
    axes.fill_between(x, mean - 2 * error, mean + 2 * error, color=PALE_POSITIVE, linewidth=0)
    axes.plot(x, mean, color=POSITIVE, linewidth=0.8)
    axes.axhline(0, color=INK, linewidth=0.6)
    return fig


def _magnitude(absolute: Real, rate: float) -> Figure:
    """Shares of |R|, with narrow peaks."""
    fig, axes = _line(rate, len(absolute))
    axes.fill_between(hertz(rate), absolute, color=INK, linewidth=0, alpha=0.7)
    axes.set_ylim(0, 1.1 * float(absolute.max()) or 1.0)
    for f, share in narrow_peaks(absolute, rate):
        axes.annotate(
            f" {number(f)} Hz: {100 * share:.0f} %", (f, float(absolute.max())), va="top",
            fontsize=8.5, color=NEGATIVE, fontweight="bold",
        )  # fmt: skip
        axes.axvline(f, color=NEGATIVE, linewidth=1, linestyle=":")
    return fig


def _line(rate: float, count: int) -> tuple[Figure, Axes]:
    fig, axes = _blank(*SIZE)
    axes.set_xlim(0, rate / 2)
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel(f"share per {number(rate / 2 / count)} Hz")
    axes.yaxis.set_major_formatter(lambda value, _: f"{number(100 * value)} %")
    style(axes)
    return fig, axes


def graph_figure(edges: Sequence[Edge]) -> Figure:
    """The attribution graph: neurons in rows, layer by layer; edges as wide as their weight."""
    layer, first = edges[0].target
    rows: dict[str, list[int]] = {layer: [first]}
    for edge in edges:
        row = rows.setdefault(edge.source[0], [])
        if edge.source[1] not in row:
            row.append(edge.source[1])
    widest = max(map(len, rows.values()))
    fig, axes = _blank(max(4.2, 0.55 * widest + 1.2), 0.75 * len(rows) + 0.2)
    places = {
        (layer, c): ((i + 0.5) / len(row), -float(level))
        for level, (layer, row) in enumerate(rows.items())
        for i, c in enumerate(row)
    }
    most = max((abs(e.weight) for e in edges), default=1.0)
    for e in sorted(edges, key=lambda e: abs(e.weight)):
        (x0, y0), (x1, y1) = places[e.source], places[e.target]
        colour = POSITIVE if e.weight > 0 else NEGATIVE
        width = 0.4 + 4 * abs(e.weight) / most
        axes.plot([x0, x1], [y0, y1], color=colour, linewidth=width, alpha=0.65, zorder=1)
    for (_, c), (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": INK, "lw": 0.7}
        axes.text(x, y, str(c), ha="center", va="center", fontsize=8.5, color=INK, bbox=box)
    for level, layer in enumerate(rows):
        axes.text(-0.02, -level, drawable(layer, 18), ha="right", va="center", fontsize=8.5,
                  color=INK, parse_math=False)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0.45 - len(rows), 0.45))
    axes.axis("off")
    return fig


def _blank(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
    return fig, fig.subplots()


def _limit(values: Real) -> float:
    amounts = np.abs(values[values != 0])
    return float(np.percentile(amounts, LIMIT_PERCENTILE)) if amounts.size else 1.0


def _map(values: Real, rate: float, seconds: float | None, **look: Any) -> Figure:
    """A time-frequency map of shares."""
    fig, axes = _blank(*SIZE)
    half = rate / 4 / (len(values) - 1)  # of a bin: the first and the last lie on 0 and rate / 2
    extent = (0, seconds or 1.0, -half, rate / 2 + half)
    image = axes.imshow(values, origin="lower", aspect="auto", extent=extent, **look)
    bar = fig.colorbar(image, ax=axes, aspect=18, pad=0.02, fraction=0.06)
    bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{number(100 * value)} %")
    axes.set_ylim(0, rate / 2)
    axes.set_xlabel("time (s)" if seconds else "time (of the duration)")
    axes.set_ylabel("frequency (Hz)")
    style(axes)
    return fig
