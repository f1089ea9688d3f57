"""Columns of a figure: a signal above, relevance below, along one line or over a plane.

A column gets its axes in blocks, one per channel that is drawn, each with the signal's axes and
one per explanation; and *all* channels of all explanations, so that the scales are common.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.words import drawable, number, share_of_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from dftlrp.results.explanation import Explanation

    Views = Sequence[tuple[Explanation, ...]]  # of each explanation, its channels

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
SAMPLES = 20_000  # of a waveform drawn as they are
CELLS = 256  # per axis of a panel over a plane
FLOOR_DB = -80.0
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LIMIT_PERCENTILE = 99.5
MEANT = {"time": "signal", "frequency": "spectrum", "time-frequency": "spectrogram",
         "mel": "mel bands", "input": "what the model reads"}  # fmt: skip


def is_plane(explanation: Explanation, domain: str) -> bool:
    """Whether a domain has two axes (or more) to draw."""
    return explanation.relevance[domain].ndim > 1


def diverging() -> Colormap:
    """Make the colour map: blue, white, red; symmetric in lightness."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("relevance", DIVERGING)


class Line(NamedTuple):
    """Points of a line: the first's place, their spacing, and the left edge of the first."""

    start: float
    step: float
    left: float
    name: str
    unit: str
    scale: float  # from the axis to the unit in which the width of a bar is told


def _line(e: Explanation, domain: str) -> Line:
    if domain == "input":
        return Line(0.0, 1.0, -0.5, "index", "values", 1.0)
    centres = np.asarray(e.axes[domain], np.float64)
    if domain == "time":
        return Line(centres[0], _step(centres, 1 / e.rate), centres[0], "time (s)", "ms", 1000.0)
    step = _step(centres, e.rate / 2)
    return Line(centres[0], step, centres[0] - step / 2, "frequency (Hz)", "Hz", 1.0)


def bars(fig: Figure, blocks: AnyArray, views: Views, drawn: Sequence[int], domain: str) -> None:
    """Fill one column: the signal, then bars of relevance per time or frequency bin."""
    line = _line(views[0][0], domain)
    count = np.size(views[0][0].signal[domain])
    size = bin_size(count, BARS)
    edges = np.append(np.arange(0, count, size), count) * line.step + line.left
    parts = [[_parts(e.relevance[domain], size) for e in channels] for channels in views]
    limits = _span(list(chain.from_iterable(parts)))
    for (top, *rows), c in zip(blocks, drawn, strict=True):
        _above(top, views[0][c], domain, line)
        for axes, channels, heights in zip(rows, views, parts, strict=True):
            _relevance_bars(axes, edges, heights[c])
            _title(axes, share_of_seed(channels[c], domain))
            axes.set_ylim(*limits)
            width = f"{number(size * line.step * line.scale)} {line.unit}"
            _ticks(axes.yaxis, f"relevance per {width}", max(map(abs, limits)))
        for axes in (top, *rows):
            axes.set_xlim(edges[0] if domain == "input" else max(edges[0], 0.0), edges[-1])
            axes.set_xlabel(line.name)


def _parts(relevance: Real, size: int) -> Real:
    """Positive part, negative part and net of each bin, (3, bins)."""
    R = np.asarray(relevance, np.float64).reshape(-1)
    return np.stack([add_up(part, size) for part in (np.maximum(R, 0), np.minimum(R, 0), R)])


def _relevance_bars(axes: Axes, edges: Real, parts: Real) -> None:
    """Draw pale parts and solid net."""
    above, below, net = parts
    layers = [(above, PALE_POSITIVE), (below, PALE_NEGATIVE),
              (np.maximum(net, 0), POSITIVE), (np.minimum(net, 0), NEGATIVE)]  # fmt: skip
    for heights, colour in layers:
        axes.stairs(heights, edges, baseline=0, fill=True, color=colour)
    axes.axhline(0, color=INK, linewidth=0.6)


def _span(parts: Sequence[Real]) -> tuple[float, float]:
    """Put common limits around all bars; zero is never at an edge, so that signs can be told."""
    low, high = min(float(p[1].min()) for p in parts), max(float(p[0].max()) for p in parts)
    room = max(high, -low) or 1.0
    return min(1.08 * low, -0.2 * room), max(1.08 * high, 0.2 * room)


def _above(axes: Axes, e: Explanation, domain: str, line: Line) -> None:
    """Draw the signal of one channel."""
    values = np.asarray(e.signal[domain]).reshape(-1)
    if domain == "time":
        _waveform(axes, line.start + line.step * np.arange(len(values)), values, line.step)
    elif domain == "frequency":
        _spectrum(axes, line, np.abs(values), "magnitude")
    else:
        _spectrum(axes, line, np.abs(values) if np.iscomplexobj(values) else values, "value")
    _signal_title(axes, e, domain)


def _waveform(axes: Axes, seconds: Real, x: Real, step: float) -> None:
    """Draw the samples, or for long recordings the range of each bin (all a screen shows)."""
    if len(x) <= SAMPLES:
        axes.plot(seconds, x, color=INK, linewidth=0.6, marker="o" if len(x) == 1 else None)
    else:
        size = bin_size(len(x), 4 * BARS)
        starts = np.arange(0, len(x), size)
        low, high = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
        axes.vlines(seconds[starts] + size * step / 2, low, high, color=INK, linewidth=0.6)
    top = 1.08 * (float(np.max(np.abs(x), initial=0.0)) or 1.0)
    axes.set_ylim(-top, top)
    _ticks(axes.yaxis, "amplitude", top)


def _spectrum(axes: Axes, line: Line, values: Real, name: str) -> None:
    """Draw bars up to the largest and down to the lowest value of each bin."""
    size = bin_size(len(values), 2 * BARS)
    starts = np.arange(0, len(values), size)
    edges = np.append(starts, len(values)) * line.step + line.left
    high = np.maximum.reduceat(np.maximum(values, 0), starts)
    low = np.minimum.reduceat(np.minimum(values, 0), starts)
    for heights in (high, low) if low.any() else (high,):
        axes.stairs(heights, edges, fill=True, color=INK)
    top = 1.08 * (float(max(high.max(), -low.min())) or 1.0)
    axes.set_ylim(-top if low.any() else 0, top)
    _ticks(axes.yaxis, name, top)


class Plane(NamedTuple):
    """Edges of the bins of a plane, how many cells go into one, and the names of the axes."""

    y: Real
    x: Real
    sizes: tuple[int, int]
    names: tuple[str, str]
    end: float


def _plane(e: Explanation, domain: str) -> Plane:
    shape = e.relevance[domain].shape[-2:]
    sizes = (bin_size(shape[0], CELLS), bin_size(shape[1], CELLS))
    if domain == "input":
        y, x = (
            _edges(np.arange(n, dtype=float), k, 1.0) for n, k in zip(shape, sizes, strict=True)
        )
        return Plane(y, x, sizes, ("row (index)", "column (index)"), x[-1])
    hertz, seconds = (np.asarray(a, np.float64) for a in e.axes[domain])
    x = _edges(seconds, sizes[1], _step(seconds, e.stft.get("hop", 1) / e.rate))
    if domain == "mel":  # by number, as bands are not equally wide
        y = _edges(np.arange(len(hertz), dtype=float), sizes[0], 1.0)
    else:
        y = _edges(hertz, sizes[0], _step(hertz, e.rate / 2))
    return Plane(y, x, sizes, ("frequency (Hz)", "time (s)"), min(x[-1], _duration(e, x[-1])))


def cells(fig: Figure, blocks: AnyArray, views: Views, drawn: Sequence[int], domain: str) -> None:
    """Fill one column: the signal's cells, then relevance of its cells."""
    plane = _plane(views[0][0], domain)
    relevance = [[_added(e.relevance[domain], plane) for e in channels] for channels in views]
    limit = _limit(list(chain.from_iterable(relevance)))
    look = {"cmap": diverging(), "vmin": -limit, "vmax": limit}
    for (top, *rows), c in zip(blocks, drawn, strict=True):
        _greys(fig, top, views[0][c], domain, plane)
        _signal_title(top, views[0][c], domain)
        for axes, channels, amounts in zip(rows, views, relevance, strict=True):
            _mesh(fig, axes, plane, amounts[c], "relevance per cell", **look)
            _title(axes, share_of_seed(channels[c], domain))
        for axes in (top, *rows):
            _plane_axes(axes, views[0][c], domain, plane)


def _added(relevance: Real, plane: Plane) -> Real:
    """Relevance of each bin of a plane; axes before the last two are added up."""
    R = np.asarray(relevance, np.float64)
    return add_up_cells(R.reshape(-1, *R.shape[-2:]).sum(axis=0), plane.sizes)


def _greys(fig: Figure, axes: Axes, e: Explanation, domain: str, plane: Plane) -> None:
    """Draw the signal's power in dB; of what a model reads, the values as they are."""
    values = np.asarray(e.signal[domain])
    if domain != "input" or np.iscomplexobj(values) or values.ndim > 2:
        power = np.square(np.abs(values)).reshape(-1, *values.shape[-2:]).sum(axis=0)
        level, name = _decibel(add_up_cells(power, plane.sizes)), "dB of the peak"
        limits = (FLOOR_DB, 0.0)
    else:
        counts = add_up_cells(np.ones(values.shape), plane.sizes)
        level, name = add_up_cells(values, plane.sizes) / counts, "value"
        limits = (float(level.min()), float(level.max()))
    _mesh(fig, axes, plane, level, name, cmap="Greys", vmin=limits[0], vmax=limits[1])


def _mesh(fig: Figure, axes: Axes, plane: Plane, values: Real, name: str, **look: Any) -> None:
    """Draw cells and their colour bar."""
    mesh = axes.pcolormesh(plane.x, plane.y, values, rasterized=True, shading="flat", **look)
    _colour_bar(fig, mesh, axes, name)


def _plane_axes(axes: Axes, e: Explanation, domain: str, plane: Plane) -> None:
    """Limits, names and numbers of the axes."""
    if domain == "time-frequency":
        axes.set_ylim(max(plane.y[0], 0.0), plane.y[-1])
    if domain != "input":
        axes.set_xlim(max(plane.x[0], 0.0), plane.end)
    axes.set_ylabel(plane.names[0])
    axes.set_xlabel(plane.names[1])
    if domain == "mel":
        hertz = np.asarray(e.axes["mel"][0], np.float64)
        axes.set_yticks(_some(len(hertz)), [number_of_hertz(hertz[i]) for i in _some(len(hertz))])


def _some(count: int, most: int = 5) -> list[int]:
    """A few indices, spread evenly from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def number_of_hertz(value: float) -> str:
    """Hertz with two digits, or whole."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def bin_size(count: int, most: int) -> int:
    """Neighbours to add up so that at most `most` bins remain."""
    return max(1, -(-count // most))


def add_up(values: Real, size: int, axis: int = 0) -> Real:
    """Sum `size` neighbours at a time; the last bin takes what is left."""
    starts = np.arange(0, values.shape[axis], size)
    return np.asarray(np.add.reduceat(values, starts, axis=axis))


def add_up_cells(values: Real, sizes: tuple[int, ...]) -> Real:
    """Sum over blocks of an (F, T) array."""
    return add_up(add_up(values, sizes[0], 0), sizes[1], 1)


def _limit(relevance: Sequence[Real]) -> float:
    """Find the common colour limit: a high percentile of the cells with any relevance."""
    amounts = np.abs(np.concatenate([r.ravel() for r in relevance]))
    amounts = amounts[amounts > 0]
    return float(np.percentile(amounts, LIMIT_PERCENTILE)) if amounts.size else 1.0


def _decibel(power: Real) -> Real:
    """Power in dB below its maximum, cut at `FLOOR_DB`; silence lies at the floor."""
    top = float(power.max(initial=0.0))
    return np.asarray(10 * np.log10(np.maximum(power / (top or 1.0), 10 ** (FLOOR_DB / 10))))


def _step(centres: Real, otherwise: float) -> float:
    """Spacing of an axis; a single point has none."""
    return float(centres[1] - centres[0]) if len(centres) > 1 else float(otherwise)


def _edges(centres: Real, size: int, step: float) -> Real:
    """Edges of the bins of an axis given by its centres."""
    return np.append(centres[::size], centres[-1] + step) - step / 2


def _duration(explanation: Explanation, otherwise: float) -> float:
    """Length of the recording in seconds, so that the columns line up."""
    time = explanation.signal.get("time")
    return otherwise if time is None else len(time) / explanation.rate


def _colour_bar(fig: Figure, mesh: Any, axes: Axes, label: str) -> None:
    """Add a slim bar at the right."""
    bar = fig.colorbar(mesh, ax=axes, aspect=18, pad=0.02, fraction=0.06)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
    _ticks(bar.ax.yaxis, label, max(map(abs, mesh.get_clim())))
    bar.ax.yaxis.label.set(fontsize=8, color=INK)


def _ticks(axis: Axis, label: str, top: float) -> None:
    """Label an axis; a power of ten goes to the label (above the axis it would hit the title)."""
    from matplotlib.ticker import MaxNLocator

    exponent = int(np.floor(np.log10(top)))
    power = exponent if not -2 <= exponent <= 3 else 0
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: number(value / 10.0**power))
    axis.set_label_text(label + (f" (×10{str(power).translate(RAISED)})" if power else ""))


def _title(axes: Axes, text: str, weight: str = "normal") -> None:
    """Write a panel's title; a dollar sign in a label is no formula."""
    axes.set_title(text, loc="left", fontsize=9.5, color=INK, fontweight=weight, parse_math=False)


def _signal_title(axes: Axes, e: Explanation, domain: str) -> None:
    """Say what a signal's panel shows, and of which channel."""
    if not e.channel_names:
        return _title(axes, MEANT[domain])
    return _title(axes, f"{drawable(e.channel_names[0], 24)}: {MEANT[domain]}", "bold")


def style(axes: Axes) -> None:
    """Few lines, small type; no style sheet, which would be global."""
    axes.xaxis.label.set(fontsize=8.5, color=INK)
    axes.yaxis.label.set(fontsize=8.5, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=2.5)
    axes.locator_params(axis="x", nbins=6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
