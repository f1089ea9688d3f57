"""Panels of a figure: the signal of a domain, or its relevance, on one matplotlib Axes.

A row of the table of domains names one of `WAVE`, `LINE`, `CELLS` and `READ`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.bands import pool_relevance
from dftlrp.results.data import Domain, ExplanationData, Limits, Look
from dftlrp.results.points import (
    Level,
    Points,
    add_up,
    add_up_plane,
    choose_bin_size,
    find_level,
    find_mean,
    limit_colours,
    place_points,
)
from dftlrp.results.words import clean_text, describe_share, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as DrawnAxis
    from matplotlib.colors import Colormap

POSITIVE, NEGATIVE = "#b5352b", "#2f62a8"
PALE_POSITIVE, PALE_NEGATIVE = "#f0cbc4", "#c6d6ec"
INK, GRID = "#3d4148", "#d9dbdf"
# Equal lightness at equal distance from the centre, and blue against orange-red: the two ends
# stay apart under each kind of colour blindness (a test simulates them).
DIVERGING = (
    "#173f74", "#2f62a8", "#6a93c9", "#adc5e4", "#f7f7f6",
    "#edb9ad", "#da7d6c", "#b5352b", "#7f1415",
)  # fmt: skip
BARS = 160  # per column
HERTZ_TICKS = (50, 200, 1000, 4000, 16_000, 64_000)
TICKS_APART = 0.1  # of the axis: of two that are closer the higher one is named
SAMPLES = 20_000  # at most, of a waveform that is drawn sample by sample
CELLS_SHOWN = 256  # per axis of a plane
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _limit_points(e: ExplanationData, points: Points, size: int) -> tuple[float, float]:
    """Return the ends of an axis; time starts at 0 and ends with the recording."""
    edges = points.find_edges(size)
    if points.axis.spacing is None:
        return float(edges[0]), float(edges[-1])
    whole = points.axis.unit == "s" and "time" in e.signal
    end = min(edges[-1], e.start + len(e.signal["time"]) / e.rate) if whole else edges[-1]
    least = e.start if points.axis.unit == "s" else 0.0
    return max(float(edges[0]), least), float(end)


def _label_points(drawn: DrawnAxis, points: Points) -> None:
    """Label an axis; name a few ticks by the values of points that are drawn side by side."""
    drawn.set_label_text(points.axis.label)
    if points.bands is not None:
        named = [t for t in HERTZ_TICKS if points.bands[0] < t <= points.bands[-1]]
        at = points.place(np.array(named))
        apart = np.diff(at, append=np.inf) >= TICKS_APART * (len(points.bands) - 1)
        drawn.set_ticks(at[apart], labels=[f"{named[i]:g}" for i in np.flatnonzero(apart)])
    elif points.axis.spacing is None and points.axis.unit:
        count = len(points.values)
        some = sorted({round(i) for i in np.linspace(0, count - 1, min(count, 5))})
        drawn.set_ticks(some, labels=[format_hertz(points.values[i]) for i in some])


# -- along a line


class Bars(NamedTuple):
    """Bars of relevance.

    ``points`` of the axis as it is drawn; ``edges`` of the bars, and the ``ends`` of the axis
    there; how ``wide`` a bar is, in words; ``parts`` (3, bars): positive, negative and net.
    """

    points: Points
    edges: Real
    ends: tuple[float, float]
    wide: str
    parts: Real


def _list_bars(e: ExplanationData, row: Domain) -> Bars:
    """Return bars of the units that lists and sentences read, or of neighbouring points."""
    (points,) = place_points(e, row)
    return (_pool_bars if row.table else _count_bars)(e, points, row)


def _draw_bars(ax: Axes, e: ExplanationData, row: Domain, limits: Limits) -> None:
    """Draw bars of relevance: pale parts and the solid net."""
    bars = _list_bars(e, row)
    above, below, net = bars.parts
    layers = [(above, PALE_POSITIVE), (below, PALE_NEGATIVE),
              (np.maximum(net, 0), POSITIVE), (np.minimum(net, 0), NEGATIVE)]  # fmt: skip
    for heights, colour in layers:
        ax.stairs(heights, bars.edges, baseline=0, fill=True, color=colour)
    ax.axhline(0, color=INK, linewidth=0.6)
    ax.set_ylim(*limits)
    _write_ticks(ax.yaxis, f"relevance per {bars.wide}", max(-limits[0], limits[1]))
    _lay_across(ax, bars)


def _limit_bars(explanations: Sequence[ExplanationData], row: Domain) -> Limits:
    """Return common limits of all bars; zero is never at an edge, so that signs can be told."""
    parts = [_list_bars(e, row).parts for e in explanations]
    low, high = min(float(p[1].min()) for p in parts), max(float(p[0].max()) for p in parts)
    room = max(high, -low) or 1.0
    return min(1.08 * low, -0.2 * room), max(1.08 * high, 0.2 * room)


def _lay_across(ax: Axes, bars: Bars) -> None:
    """Label the axis from left to right."""
    ax.set_xlim(*bars.ends)
    _label_points(ax.xaxis, bars.points)


def _pool_bars(e: ExplanationData, points: Points, row: Domain) -> Bars:
    """Return a bar for each unit of the table that lists and sentences read."""
    pooled = pool_relevance(e, row.table)
    (edges,) = pooled.edges
    if not np.allclose(np.diff(edges)[:-1], edges[1] - edges[0]):
        points = points._replace(bands=edges)
    at = points.place(edges)
    parts = np.stack([pooled.favour, pooled.against, pooled.net])
    return Bars(points, at, (float(at[0]), float(at[-1])), pooled.width, parts)


def _count_bars(e: ExplanationData, points: Points, row: Domain) -> Bars:
    """Return bars of neighbouring points, where no table says which belong together."""
    size = choose_bin_size(len(points.at), BARS)
    R = np.asarray(e.relevance[row.name], np.float64).reshape(-1)
    parts = [add_up(part, size) for part in (np.maximum(R, 0), np.minimum(R, 0), R)]
    unit, factor = points.axis.told
    wide = f"{format_number(size * points.step * factor)} {unit}"
    edges, ends = points.find_edges(size), _limit_points(e, points, size)
    return Bars(points, edges, ends, wide, np.stack(parts))


def _draw_curve(ax: Axes, e: ExplanationData, row: Domain) -> None:
    """Draw the samples, or the range of each bin if there are more than a screen shows."""
    bars, x = _list_bars(e, row), _read_line(e, row)
    points = bars.points
    if len(x) <= SAMPLES:
        marker = "o" if len(x) == 1 else None
        ax.plot(points.at, x, color=INK, linewidth=0.6, marker=marker)
    else:
        size = choose_bin_size(len(x), 4 * BARS)
        starts = np.arange(0, len(x), size)
        low, high = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
        middles = points.at[starts] + size * points.step / 2
        ax.vlines(middles, low, high, color=INK, linewidth=0.6)
    top = 1.08 * (float(np.max(np.abs(x), initial=0.0)) or 1.0)
    ax.set_ylim(-top, top)
    _write_ticks(ax.yaxis, "amplitude", top)
    _lay_across(ax, bars)


def _draw_values(ax: Axes, e: ExplanationData, row: Domain) -> None:
    """Draw bars up to the largest and down to the lowest value of each bin."""
    bars, values = _list_bars(e, row), _read_line(e, row)
    name = "magnitude" if np.iscomplexobj(values) else "value"
    values = np.abs(values) if np.iscomplexobj(values) else values
    size = choose_bin_size(len(values), 2 * BARS)
    starts = np.arange(0, len(values), size)
    high = np.maximum.reduceat(np.maximum(values, 0), starts)
    low = np.minimum.reduceat(np.minimum(values, 0), starts)
    for heights in (high, low) if low.any() else (high,):
        ax.stairs(heights, bars.points.find_edges(size), fill=True, color=INK)
    top = 1.08 * (float(max(high.max(), -low.min())) or 1.0)
    ax.set_ylim(-top if low.any() else 0, top)
    _write_ticks(ax.yaxis, name, top)
    _lay_across(ax, bars)


def _read_line(e: ExplanationData, row: Domain) -> AnyArray:
    return np.asarray(e.signal[row.name]).reshape(-1)


WAVE = Look(_draw_curve, _draw_bars, _limit_bars)  # a curve, then bars of relevance
LINE = Look(_draw_values, _draw_bars, _limit_bars)  # bars of the values, of magnitudes if complex


# -- over a plane


class Grid(NamedTuple):
    """The axes of a plane, from bottom to top and from left to right, and the sizes of its bins."""

    places: list[Points]
    sizes: tuple[int, ...]

    def add_up(self, e: ExplanationData, row: Domain) -> Real:
        """Return the relevance of each bin."""
        return add_up_plane(e.relevance[row.name], self.sizes)


def _lay_grid(e: ExplanationData, row: Domain) -> Grid:
    places = place_points(e, row)
    return Grid(places, tuple(choose_bin_size(len(points.at), CELLS_SHOWN) for points in places))


def _draw_power(ax: Axes, e: ExplanationData, row: Domain) -> None:
    """Draw the power of each cell."""
    _draw_level(ax, e, row, find_level(np.asarray(e.signal[row.name]), _lay_grid(e, row).sizes))


def _draw_table(ax: Axes, e: ExplanationData, row: Domain) -> None:
    """Draw the mean value of each cell."""
    _draw_level(ax, e, row, find_mean(np.asarray(e.signal[row.name]), _lay_grid(e, row).sizes))


def _draw_level(ax: Axes, e: ExplanationData, row: Domain, level: Level) -> None:
    _draw_mesh(ax, e, row, level.values, level.name, cmap="Greys", vmin=level.low, vmax=level.high)


def _draw_plane(ax: Axes, e: ExplanationData, row: Domain, limits: Limits) -> None:
    """Draw the relevance of each cell."""
    amounts = _lay_grid(e, row).add_up(e, row)
    look = {"cmap": make_colours(), "vmin": limits[0], "vmax": limits[1]}
    _draw_mesh(ax, e, row, amounts, "relevance per cell", **look)


def _limit_cells(explanations: Sequence[ExplanationData], row: Domain) -> Limits:
    """Return common limits of the colours."""
    limit = limit_colours([_lay_grid(e, row).add_up(e, row) for e in explanations])
    return -limit, limit


def _draw_mesh(
    ax: Axes, e: ExplanationData, row: Domain, values: Real, name: str, **look: Any
) -> None:
    """Draw cells, and a slim colour bar at their right."""
    places, sizes = _lay_grid(e, row)
    edges = [points.find_edges(size) for points, size in zip(places, sizes, strict=True)]
    mesh = ax.pcolormesh(*edges[::-1], values, rasterized=True, shading="flat", **look)
    bar = ax.figure.colorbar(mesh, ax=ax, aspect=18, pad=0.02, fraction=0.06)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
    _write_ticks(bar.ax.yaxis, name, max(map(abs, mesh.get_clim())))
    bar.ax.yaxis.label.set(fontsize=8, color=INK)
    ax.set_ylim(*_limit_points(e, places[0], sizes[0]))
    ax.set_xlim(*_limit_points(e, places[1], sizes[1]))
    _label_points(ax.yaxis, places[0])
    _label_points(ax.xaxis, places[1])


CELLS = Look(_draw_power, _draw_plane, _limit_cells)  # the power of each cell of a plane
TABLE = Look(_draw_table, _draw_plane, _limit_cells)  # the value of each cell


def _choose_look(e: ExplanationData, row: Domain) -> Look:
    """Return how an array of any rank is drawn; axes before the last two are added up."""
    values = np.asarray(e.signal[row.name])
    if values.ndim < 2:
        return LINE
    return CELLS if values.ndim > 2 or np.iscomplexobj(values) else TABLE


READ = Look(  # by index
    lambda ax, e, row: _choose_look(e, row).signal(ax, e, row),
    lambda ax, e, row, limits: _choose_look(e, row).relevance(ax, e, row, limits),
    lambda explanations, row: _choose_look(explanations[0], row).limit(explanations, row),
)


# -- sums, text and style


def format_hertz(value: float) -> str:
    """Format hertz with two digits, or as a whole number from 10 on."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def make_colours() -> Colormap:
    """Make the colour map: blue, white, red; symmetric in lightness."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("relevance", DIVERGING)


def style_axes(panel: Axes) -> None:
    """Set few lines and small type, without a style sheet, which would be global."""
    panel.xaxis.label.set(fontsize=8.5, color=INK)
    panel.yaxis.label.set(fontsize=8.5, color=INK)
    panel.tick_params(labelsize=8, colors=INK, length=2.5)
    panel.locator_params(axis="x", nbins=6)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def _write_ticks(axis: DrawnAxis, label: str, top: float) -> None:
    """Label an axis; a power of ten goes to the label (above the axis it would hit the title)."""
    from matplotlib.ticker import MaxNLocator

    exponent = int(np.floor(np.log10(top)))
    power = exponent if not -2 <= exponent <= 3 else 0
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: format_number(value / 10.0**power))
    axis.set_label_text(label + (f" (×10{str(power).translate(RAISED)})" if power else ""))


def draw_panel(
    ax: Axes, e: ExplanationData, row: Domain, limits: Limits | None, size: float = 9.5
) -> Axes:
    """Draw the signal, or within limits the relevance, of one channel; say above what it is.

    A dollar sign in a label starts no formula.
    """
    assert row.draw is not None
    weight = "normal"
    if limits is not None:
        row.draw.relevance(ax, e, row, limits)
        text = describe_share(e, row.name)
    else:
        row.draw.signal(ax, e, row)
        text = row.shown
        if len(e.channel_names) == 1:
            text, weight = f"{clean_text(e.channel_names[0], 24)}: {row.shown}", "bold"
    ax.set_title(text, loc="left", fontsize=size, color=INK, fontweight=weight, parse_math=False)
    style_axes(ax)
    return ax
