"""Figures: the signal above, the relevance below, one column per domain.

Grey is the signal; red is relevance for the explained output, blue relevance against it.
Axes are in seconds and hertz.  Explanations drawn together share every scale.

A column is some 300 pixels wide and a recording has thousands of samples, so neighbours are
added up before they are drawn: a bin's solid bar is its net relevance, the pale bars behind
it are its positive and its negative part.  Sums, not means or extremes: what the bars show
still adds up to the relevance.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.audible import replace_file
from dftlrp.types import AnyArray, InputError, Real

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from dftlrp.explanation import Explanation

DOMAINS = ("time", "frequency", "time-frequency")
POSITIVE, NEGATIVE = "#b5352b", "#2f62a8"
PALE_POSITIVE, PALE_NEGATIVE = "#f0cbc4", "#c6d6ec"
INK, GRID = "#3d4148", "#d9dbdf"
# Equal lightness at equal distance from the centre, and blue against orange-red: the two ends
# stay apart under each kind of colour blindness (a test simulates them).
DIVERGING = (
    "#173f74", "#2f62a8", "#6a93c9", "#adc5e4", "#f7f7f6",
    "#edb9ad", "#da7d6c", "#b5352b", "#7f1415",
)  # fmt: skip
LEGEND = (
    "red: speaks for the output   ·   blue: against it   ·   "
    "solid bars: net relevance, pale: its positive and negative parts"
)
BARS = 160  # per column
SAMPLES = 20_000  # of a waveform drawn as they are
CELLS = 256  # per axis of a time-frequency panel
FLOOR_DB = -80.0
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LIMIT_PERCENTILE = 99.5


def figure(
    explanations: Sequence[Explanation],
    domains: Sequence[str] | None = None,
    *,
    title: bool = True,
) -> Figure:
    """Signal and relevance in each domain.

    Parameters
    ----------
    explanations : sequence of Explanation
        One or more of the same recording; one row of relevance each, with common scales.
    domains : sequence of str, optional
        Columns, of `DOMAINS`; default: all that the explanations have.
    title : bool
        Whether to write above what was explained, with its score.

    Returns
    -------
    matplotlib.figure.Figure
        (1 + explanations) x domains axes, row by row, then the colour bars.

    Raises
    ------
    InputError
        No explanation, explanations of different recordings or domains, or a domain that
        they do not have.
    """
    from matplotlib.figure import Figure

    columns = _columns(explanations, domains)
    rows = 1 + len(explanations)
    size = (3.7 * len(columns), 0.7 * title + 1.9 * rows + 0.25)
    fig = Figure(figsize=size, dpi=100, layout="constrained", facecolor="white")
    fig.get_layout_engine().set(h_pad=0.07)  # type: ignore[union-attr, call-arg]
    wide = [1.15 if domain == "time-frequency" else 1.0 for domain in columns]
    grid = np.asarray(fig.subplots(rows, len(columns), squeeze=False, width_ratios=wide))
    for axes, domain in zip(grid.T, columns, strict=True):
        panel = _cells if domain == "time-frequency" else _bars
        panel(fig, axes, explanations, domain)
    for axes in grid.flat:
        _style(axes)
    if title:
        text = "   ·   ".join(map(headline, explanations))
        fig.suptitle(text, fontsize=12, fontweight="bold", color=INK, parse_math=False)
        fig.supxlabel(LEGEND, fontsize=8, color=INK)
    return fig


def save_figure(fig: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG or SVG, by suffix, whole or not at all.

    The same figure gives the same bytes: no date, no version, fixed SVG ids.

    Raises
    ------
    InputError
        The suffix is neither ``.png`` nor ``.svg``, or the folder cannot be written to.
    """
    kind = Path(path).suffix.lower()[1:]
    if kind not in ("png", "svg"):
        raise InputError(f"cannot tell PNG from SVG by the name {Path(path).name!r}; end it so")
    replace_file(path, image(fig, kind))


def image(fig: Figure, kind: str = "png", dpi: int = 200) -> bytes:
    """Render as the bytes of a PNG or an SVG file; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    fixed: dict[str, Any] = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "dftlrp"}):
        fig.savefig(buffer, format=kind, dpi=dpi, metadata=fixed)
    return buffer.getvalue()


def score(explanation: Explanation) -> float:
    """Return the explained value of the target (what was seeded, where that was a callable)."""
    values = np.asarray(explanation.explained)
    if explanation.target == -1:
        return seeded(explanation)
    return float(values[explanation.target] if values.ndim else values)


def seeded(explanation: Explanation) -> float:
    """Return the relevance put in at the output: what everything else is a share of."""
    rows = explanation.ledger.rows
    if rows:
        return float(np.sum(rows[0].relevance))
    return float("nan") if explanation.target == -1 else score(explanation)


def headline(explanation: Explanation) -> str:
    """Say what was explained, with its score, in a few words."""
    return f"Why “{_drawable(explanation.label)}”?  score {number(score(explanation))}"


def number(value: float, digits: int = 3) -> str:
    """Format with few digits and a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def diverging() -> Colormap:
    """Make the colour map: blue, white, red; symmetric in lightness."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("relevance", DIVERGING)


def _columns(explanations: Sequence[Explanation], domains: Sequence[str] | None) -> tuple[str, ...]:
    """Domains to draw; refuses what cannot share axes."""
    if not explanations:
        raise InputError("no explanation to draw")
    first = explanations[0]
    columns = tuple(domains) if domains else tuple(d for d in DOMAINS if d in first.relevance)
    missing = [d for e in explanations for d in columns if d not in e.relevance or d not in DOMAINS]
    if missing or not columns:
        raise InputError(f"domain {missing[0] if missing else ''!r} is not in every explanation")
    same = all(np.array_equal(e.signal[d], first.signal[d]) for e in explanations for d in columns)
    if not same:
        raise InputError("one figure shows explanations of one recording; draw these one by one")
    return columns


def _bars(fig: Figure, column: AnyArray, explanations: Sequence[Explanation], domain: str) -> None:
    """Fill one column: the signal, then bars of relevance per time or frequency bin."""
    first = explanations[0]
    centres = np.asarray(first.axes[domain], np.float64)
    step = _step(centres, 1 / first.rate if domain == "time" else first.rate / 2)
    origin = 0.0 if domain == "time" else -step / 2
    draw = _waveform if domain == "time" else _spectrum
    draw(column[0], centres, np.asarray(first.signal[domain]), step)
    size = bin_size(len(centres), BARS)
    edges = np.append(np.arange(0, len(centres), size), len(centres)) * step + origin + centres[0]
    unit = f"{number(size * step * 1000)} ms" if domain == "time" else f"{number(size * step)} Hz"
    extents = []
    for axes, e in zip(column[1:], explanations, strict=True):
        relevance = np.asarray(e.relevance[domain], np.float64)
        extents.append(_relevance_bars(axes, edges, relevance, size))
        _title(axes, _share(e, domain))
    for axes in column[1:]:
        axes.set_ylim(*_span(extents))
        _ticks(axes.yaxis, f"relevance per {unit}", max(map(abs, axes.get_ylim())))
    for axes in column:
        axes.set_xlim(max(edges[0], 0.0), edges[-1])
        axes.set_xlabel("time (s)" if domain == "time" else "frequency (Hz)")


def _relevance_bars(axes: Axes, edges: Real, relevance: Real, size: int) -> tuple[float, float]:
    """Draw pale parts and solid net; return the lowest and the highest value drawn."""
    above = add_up(np.maximum(relevance, 0), size)
    below = add_up(np.minimum(relevance, 0), size)
    net = add_up(relevance, size)
    layers = [(above, PALE_POSITIVE), (below, PALE_NEGATIVE),
              (np.maximum(net, 0), POSITIVE), (np.minimum(net, 0), NEGATIVE)]  # fmt: skip
    for heights, colour in layers:
        axes.stairs(heights, edges, baseline=0, fill=True, color=colour)
    axes.axhline(0, color=INK, linewidth=0.6)
    return float(below.min()), float(above.max())


def _span(extents: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Put common limits around all bars; zero is never at an edge, so that signs can be told."""
    low, high = min(e[0] for e in extents), max(e[1] for e in extents)
    room = max(high, -low) or 1.0
    return min(1.08 * low, -0.2 * room), max(1.08 * high, 0.2 * room)


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
    _title(axes, "signal")


def _spectrum(axes: Axes, hertz: Real, y: AnyArray, step: float) -> None:
    """Draw the magnitude, the largest of each bin."""
    magnitude = np.abs(y)
    size = bin_size(len(y), 2 * BARS)
    starts = np.arange(0, len(y), size)
    edges = np.append(hertz[starts], hertz[-1] + step) - step / 2
    axes.stairs(np.maximum.reduceat(magnitude, starts), edges, fill=True, color=INK)
    top = 1.08 * (float(magnitude.max()) or 1.0)
    axes.set_ylim(0, top)
    _ticks(axes.yaxis, "magnitude", top)
    _title(axes, "spectrum")


def _cells(fig: Figure, column: AnyArray, explanations: Sequence[Explanation], domain: str) -> None:
    """Fill one column: spectrogram in dB, then relevance of its cells."""
    first = explanations[0]
    hertz, seconds = (np.asarray(a, np.float64) for a in first.axes[domain])
    power = np.abs(first.signal[domain]) ** 2
    sizes = tuple(bin_size(n, CELLS) for n in power.shape)
    steps = (_step(hertz, first.rate / 2), _step(seconds, first.stft.get("hop", 1) / first.rate))
    y, x = (_edges(a, n, d) for a, n, d in zip((hertz, seconds), sizes, steps, strict=True))
    relevance = [add_up_cells(np.asarray(e.relevance[domain]), sizes) for e in explanations]
    limit = _limit(relevance)
    style = {"rasterized": True, "shading": "flat"}
    level = _decibel(add_up_cells(power, sizes))
    mesh = column[0].pcolormesh(x, y, level, cmap="Greys", vmin=FLOOR_DB, vmax=0, **style)
    _colour_bar(fig, mesh, column[0], "dB below the peak")
    _title(column[0], "spectrogram")
    for axes, e, cells in zip(column[1:], explanations, relevance, strict=True):
        mesh = axes.pcolormesh(x, y, cells, cmap=diverging(), vmin=-limit, vmax=limit, **style)
        _colour_bar(fig, mesh, axes, "relevance per cell")
        _title(axes, _share(e, domain))
    for axes in column:
        axes.set_xlim(max(x[0], 0.0), min(x[-1], _duration(first, x[-1])))
        axes.set_ylim(max(y[0], 0.0), y[-1])
        axes.set_xlabel("time (s)")
        axes.set_ylabel("frequency (Hz)")


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


def _share(explanation: Explanation, domain: str) -> str:
    """Label and share of what was seeded that the panel shows."""
    total, seed = float(np.sum(explanation.relevance[domain])), seeded(explanation)
    kind = str(explanation.provenance.get("seed", "logit")).partition(":")[0]
    whole = {"logit": "score", "contrast": "lead"}.get(kind, "seed")
    share = f"{100 * total / seed:.0f}".replace("-", "−") if seed and np.isfinite(seed) else ""
    part = f" ({share} % of the {whole})" if share else ""
    return f"“{_drawable(explanation.label, 14)}”: sum {number(total)}{part}"


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


def _title(axes: Axes, text: str) -> None:
    """Write a panel's title; a dollar sign in a label is no formula."""
    axes.set_title(text, loc="left", fontsize=9.5, color=INK, parse_math=False)


def _style(axes: Axes) -> None:
    """Few lines, small type; no style sheet, which would be global."""
    axes.xaxis.label.set(fontsize=8.5, color=INK)
    axes.yaxis.label.set(fontsize=8.5, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=2.5)
    axes.locator_params(axis="x", nbins=6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def _drawable(text: str, most: int = 40) -> str:
    """Text that the font can draw, on one line; a label is anyone's guess."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    known = "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "□" for c in text)
    return known if len(known) <= most else known[: most - 1] + "…"
