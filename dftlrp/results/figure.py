"""Figures: the signal above, the relevance below, one column for each domain.

Grey is the signal; red is relevance for the explained output, blue relevance against it.  Axes are
in seconds and hertz.  Explanations drawn together share every scale; so do the channels of a
recording, if there are several: one block of rows each.  (Only the signals have scales of their
own, as leads and components may differ in unit and gain.)

A column is some 300 pixels wide and a recording has thousands of samples, so neighbours are added
up before they are drawn: over time to segments, over frequency to bands that are drawn equally wide
(`dftlrp.results.bands`).  The solid bar of a unit is its net relevance, the pale bars behind it are
its positive and its negative part.  Sums, not means or extremes: what the bars show still adds up
to the relevance.  `dftlrp.results.panels` draws the panels, which `draw_signal` and
`draw_relevance` put one by one where a paper needs them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.core.files import replace_file
from dftlrp.core.types import InputError
from dftlrp.results.data import Domain, ExplanationData, Look
from dftlrp.results.panels import INK, draw_panel
from dftlrp.results.views import DOMAINS, find_domain
from dftlrp.results.words import SHOWN_CHANNELS, order_channels, write_headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND = (
    "red: supports the output   ·   blue: opposes it   ·   "
    "solid bars: net relevance, pale: its positive and negative parts"
)
WIDTH = 3.7  # of a column, in inches
PAPER = (3.4, 2.1)  # inches: one panel, as wide as a column of a paper
SMALL = 8.5  # size of its title
HEIGHT, HEIGHTS = 1.9, (1.2, 1.5)  # of a row; of the signal and the relevance of a channel; inches


def draw_figure(
    explanations: Sequence[ExplanationData],
    domains: Sequence[str] | None = None,
    *,
    title: bool = True,
    channels: Sequence[int] | None = None,
) -> Figure:
    """Draw signal and relevance in each domain.

    Parameters
    ----------
    explanations : sequence of Explanation
        One or more of the same recording; one row of relevance each, with common scales.
    domains : sequence of str, optional
        Columns; default: all that the explanations have, in the order of the table of domains.
    title : bool
        Whether to write above what was explained, with its score.
    channels : sequence of int, optional
        Which channels, from 0, if there are several.  Default: all, or of more than eight those
        eight with the largest sum of absolute relevance, largest first.  A domain that belongs to
        no channel (``"input"``) is drawn in the first block.

    Returns
    -------
    matplotlib.figure.Figure
        (channels x (1 + explanations)) x domains axes, row by row, then the colour bars.

    Raises
    ------
    InputError
        If there is no explanation, the explanations are of different recordings or domains, they
        lack a domain or a channel, or a domain cannot be drawn.
    """
    from dftlrp.results.shown_figure import ShownFigure

    require_one_recording(explanations)
    rows = choose_rows(explanations, domains)
    views = [[e.channels if e.has_channels(r.name) else (e,) for e in explanations] for r in rows]
    count = max(len(one[0]) for one in views)
    drawn = _choose_channels(explanations, count, channels)
    heights = _choose_heights(count, len(drawn), len(explanations))
    size = (WIDTH * len(rows), 0.7 * title + sum(heights) + 0.25)
    fig = ShownFigure(figsize=size, dpi=100, layout="constrained", facecolor="white")
    fig.get_layout_engine().set(h_pad=0.07)  # type: ignore[union-attr, call-arg]
    widths = [1.15 if one[0][0].relevance[r.name].ndim > 1 else 1.0
              for r, one in zip(rows, views, strict=True)]  # fmt: skip
    shape = len(heights), len(rows)
    grid = fig.subplots(*shape, squeeze=False, width_ratios=widths, height_ratios=heights)
    for panels, row, one in zip(grid.T, rows, views, strict=True):
        _draw_column(panels.reshape(len(drawn), -1), row, one, drawn)
    if count > 1:
        for axes in fig.axes:
            axes.yaxis.label.set_text(axes.get_ylabel().replace("relevance per", "relevance\nper"))
    if title:
        _write_frame(fig, explanations, len(drawn), count)
    return fig


def draw_relevance(e: ExplanationData, domain: str = "time", ax: Axes | None = None) -> Axes:
    """Draw the relevance of one domain as one panel.

    Parameters
    ----------
    e : Explanation
        Of one channel; of several, one of ``e.channels``.
    domain : str
        One of the domains that the explanation has.
    ax : matplotlib.axes.Axes, optional
        Where to draw.  Default: those of a new figure, as wide as a column of a paper.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax.figure.savefig("why.pdf")`` writes it.  Panels that are to be compared share a scale if
        they are given one: ``ax.set_ylim`` of bars, ``ax.collections[0].set_clim`` of cells.

    Raises
    ------
    InputError
        If the domain is missing, cannot be drawn, or has several channels.
    """
    row, look = _find_row(e, domain)
    return draw_panel(_make_axes() if ax is None else ax, e, row, look.limit([e], row), SMALL)


def draw_signal(e: ExplanationData, domain: str = "time", ax: Axes | None = None) -> Axes:
    """Draw the signal of one domain as one panel; see `draw_relevance`."""
    row, _ = _find_row(e, domain)
    return draw_panel(_make_axes() if ax is None else ax, e, row, None, SMALL)


def _find_row(e: ExplanationData, domain: str) -> tuple[Domain, Look]:
    """Return the row of a domain of one channel, and how it is drawn."""
    (row,) = choose_rows([e], [domain])
    if e.has_channels(domain):
        raise InputError(f"{len(e.channels)} channels: draw one of them, as e.channels[0]")
    assert row.draw is not None
    return row, row.draw


def _make_axes() -> Axes:
    from matplotlib.figure import Figure

    fig = Figure(figsize=PAPER, dpi=200, layout="constrained", facecolor="white")
    return fig.subplots()


def save_figure(fig: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG or SVG, by suffix, whole or not at all.

    The same figure gives the same bytes: no date, no version, fixed SVG ids.

    Raises
    ------
    InputError
        If the suffix is neither ``.png`` nor ``.svg``, or the folder cannot be written to.
    """
    kind = Path(path).suffix.lower()[1:]
    if kind not in ("png", "svg"):
        raise InputError(f"{Path(path).name!r}: a figure is saved as .png or .svg")
    replace_file(path, render_figure(fig, kind))


def render_figure(fig: Figure, kind: str = "png", dpi: int = 200) -> bytes:
    """Return a figure as the bytes of a PNG or an SVG file; the same figure gives the same."""
    import matplotlib

    buffer = io.BytesIO()
    fixed: dict[str, Any] = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "dftlrp"}):
        fig.savefig(buffer, format=kind, dpi=dpi, metadata=fixed)
    return buffer.getvalue()


def require_one_recording(explanations: Sequence[ExplanationData]) -> None:
    """Raise InputError if explanations are of different recordings."""
    first = explanations[0].signal if explanations else {}
    shared = [(d, e) for e in explanations for d in e.relevance if d in first and d in e.signal]
    if not all(np.array_equal(e.signal[d], first[d]) for d, e in shared):
        raise InputError("one figure shows explanations of one recording; draw these one by one")


def choose_rows(
    explanations: Sequence[ExplanationData], domains: Sequence[str] | None = None
) -> list[Domain]:
    """Return the rows of the table of domains to draw; errors as for `draw_figure`.

    They may be of different recordings.
    """
    if not explanations:
        raise InputError("no explanation to draw")
    present = explanations[0].relevance
    names = domains or sorted(present, key=[*DOMAINS, *present].index)
    for name in names:
        if any(name not in e.relevance for e in explanations):
            raise InputError(f"domain {name!r} is not in every explanation")
    rows = [find_domain(name) for name in names]
    for row in rows:
        if row.draw is None:
            raise InputError(f"domain {row.name!r} cannot be drawn: its row says not how")
    if not rows:
        raise InputError("the explanation has no domain to draw")
    return rows


def _draw_column(
    blocks: Any, row: Domain, views: Sequence[Sequence[ExplanationData]], drawn: Sequence[int]
) -> None:
    """Fill a block of axes for each channel: the signal, then the relevance of each explanation.

    A domain that belongs to no channel leaves all blocks but the first empty.  ``views`` holds all
    channels of each explanation, so that the scale is common to those that are not drawn.
    """
    assert row.draw is not None
    limits = row.draw.limit([e for one in views for e in one], row)
    if len(views[0]) == 1:
        for axes in blocks[1:].flat:
            axes.set_axis_off()
        blocks, drawn = blocks[:1], [0]
    for (top, *rest), c in zip(blocks, drawn, strict=True):
        draw_panel(top, views[0][c], row, None)
        for axes, one in zip(rest, views, strict=True):
            draw_panel(axes, one[c], row, limits)
    if len(views[0]) > 1:
        _save_height(blocks)


def _choose_channels(
    explanations: Sequence[ExplanationData], count: int, channels: Sequence[int] | None
) -> list[int]:
    """Return the channels to draw, from 0."""
    if channels is None:
        return order_channels(explanations)[:SHOWN_CHANNELS] if count > 1 else [0]
    if not channels or not set(channels) <= set(range(count)):
        raise InputError(f"channels {list(channels)}: give some of 0 to {count - 1}")
    return list(channels)


def _choose_heights(channels: int, drawn: int, explanations: int) -> list[float]:
    """Return the height of each row, in inches; less if there are several channels."""
    if channels == 1:
        return [HEIGHT] * (1 + explanations)
    return [HEIGHTS[0], *[HEIGHTS[1]] * explanations] * drawn


def _save_height(blocks: Any) -> None:
    """Keep the numbers only below each block, and the names only below the last one."""
    for block in blocks:
        for axes in block:
            axes.tick_params(labelbottom=axes is block[-1])
            if axes is not blocks[-1][-1]:
                axes.set_xlabel("")


def _write_frame(
    fig: Figure, explanations: Sequence[ExplanationData], drawn: int, channels: int
) -> None:
    """Write title and legend."""
    text = "   ·   ".join(map(write_headline, explanations))
    fig.suptitle(text, fontsize=12, fontweight="bold", color=INK, parse_math=False)
    some = f"\n{drawn} of {channels} channels" if drawn < channels else ""
    fig.supxlabel(LEGEND + some, fontsize=8, color=INK)
