"""Figures: the signal above, the relevance below, one column per domain.

Grey is the signal; red is relevance for the explained output, blue relevance against it.
Axes are in seconds and hertz.  Explanations drawn together share every scale; so do the
channels of a recording, where there are several: one block of rows each.  (Only the signals have
scales of their own, as leads and components may differ in unit and gain.)

A column is some 300 pixels wide and a recording has thousands of samples, so neighbours are
added up before they are drawn: a bin's solid bar is its net relevance, the pale bars behind
it are its positive and its negative part.  Sums, not means or extremes: what the bars show
still adds up to the relevance.  `dftlrp.results.panels` draws the columns.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.core.types import InputError
from dftlrp.results.panels import INK, bars, cells, is_plane, style
from dftlrp.results.sound import replace_file
from dftlrp.results.words import SHOWN_CHANNELS, channel_order, headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dftlrp.results.explanation import Explanation

DOMAINS = ("time", "frequency", "time-frequency", "mel", "input")
LEGEND = (
    "red: speaks for the output   ·   blue: against it   ·   "
    "solid bars: net relevance, pale: its positive and negative parts"
)
WIDTH = 3.7  # of a column, in inches
HEIGHT, HEIGHTS = 1.9, (1.2, 1.5)  # of a row, of a channel's signal and relevance, in inches


def figure(
    explanations: Sequence[Explanation],
    domains: Sequence[str] | None = None,
    *,
    title: bool = True,
    channels: Sequence[int] | None = None,
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
    channels : sequence of int, optional
        Which, from 0, where there are several.  Default: all, or of more than eight those eight
        with the largest sum of absolute relevance, largest first.

    Returns
    -------
    matplotlib.figure.Figure
        (channels x (1 + explanations)) x domains axes, row by row, then the colour bars.

    Raises
    ------
    InputError
        No explanation, explanations of different recordings or domains, or a domain or a
        channel that they do not have.
    """
    from matplotlib.figure import Figure

    _check(explanations)
    views = [e.channels for e in explanations]
    columns = _columns([channel[0] for channel in views], domains)
    drawn = _drawn(explanations, len(views[0]), channels)
    heights = _heights(len(views[0]), len(drawn), len(explanations))
    size = (WIDTH * len(columns), 0.7 * title + sum(heights) + 0.25)
    fig = Figure(figsize=size, dpi=100, layout="constrained", facecolor="white")
    fig.get_layout_engine().set(h_pad=0.07)  # type: ignore[union-attr, call-arg]
    planes = [is_plane(views[0][0], domain) for domain in columns]
    widths = [1.15 if plane else 1.0 for plane in planes]
    shape = len(heights), len(columns)
    grid = fig.subplots(*shape, squeeze=False, width_ratios=widths, height_ratios=heights)
    for axes, domain, plane in zip(grid.T, columns, planes, strict=True):
        blocks = axes.reshape(len(drawn), -1)
        (cells if plane else bars)(fig, blocks, views, drawn, domain)
    for axes in grid.flat:
        style(axes)
    if len(views[0]) > 1:
        _sparse(fig, grid, 1 + len(explanations))
    if title:
        _frame(fig, explanations, len(drawn), len(views[0]))
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


def _check(explanations: Sequence[Explanation]) -> None:
    """Refuses what cannot share axes."""
    if not explanations:
        raise InputError("no explanation to draw")
    first = explanations[0].signal
    shared = [(d, e) for e in explanations for d in e.relevance if d in first and d in e.signal]
    if not all(np.array_equal(e.signal[d], first[d]) for d, e in shared):
        raise InputError("one figure shows explanations of one recording; draw these one by one")


def _columns(explanations: Sequence[Explanation], domains: Sequence[str] | None) -> tuple[str, ...]:
    """Domains to draw."""
    present = explanations[0].relevance
    columns = tuple(domains) if domains else tuple(d for d in DOMAINS if d in present)
    missing = [d for e in explanations for d in columns if d not in e.relevance or d not in DOMAINS]
    if missing or not columns:
        raise InputError(f"domain {missing[0] if missing else ''!r} is not in every explanation")
    return columns


def _drawn(
    explanations: Sequence[Explanation], count: int, channels: Sequence[int] | None
) -> list[int]:
    """Channels to draw, from 0."""
    chosen = channel_order(explanations)[:SHOWN_CHANNELS] if channels is None else list(channels)
    if not chosen or not set(chosen) <= set(range(count)):
        raise InputError(f"channels {chosen}: give some of 0 to {count - 1}")
    return chosen


def _heights(channels: int, drawn: int, explanations: int) -> list[float]:
    """Height of each row, in inches; lower ones where there are several channels."""
    if channels == 1:
        return [HEIGHT] * (1 + explanations)
    return [HEIGHTS[0], *[HEIGHTS[1]] * explanations] * drawn


def _sparse(fig: Figure, grid: Any, rows: int) -> None:
    """Save height: numbers only below each block of `rows` rows, a name only below the last one."""
    for i, row in enumerate(grid):
        for axes in row:
            axes.tick_params(labelbottom=(i + 1) % rows == 0)
            if i + 1 < len(grid):
                axes.set_xlabel("")
    for axes in fig.axes:
        axes.yaxis.label.set_text(axes.get_ylabel().replace("relevance per", "relevance\nper"))


def _frame(fig: Figure, explanations: Sequence[Explanation], drawn: int, channels: int) -> None:
    """Title and legend."""
    text = "   ·   ".join(map(headline, explanations))
    fig.suptitle(text, fontsize=12, fontweight="bold", color=INK, parse_math=False)
    some = f"\n{drawn} of {channels} channels" if drawn < channels else ""
    fig.supxlabel(LEGEND + some, fontsize=8, color=INK)
