"""Pictures of classes and neurons in the page that need no script: SVG, by light code.

Spectra and graphs are lines and bars, so these pictures are all there is of them; of maps and
spectrograms they are what is seen on paper and where no script runs.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from dftlrp.concepts.flow import Edge, Neuron
from dftlrp.concepts.neuron_figures import DRAWN, find_narrow_peaks, sort_neurons
from dftlrp.concepts.planes import Plane
from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, Real
from dftlrp.results.bands import round_up
from dftlrp.results.panels import format_hertz
from dftlrp.results.points import add_up
from dftlrp.results.report.media import make_uri
from dftlrp.results.report.still import (
    AUDIO_HZ,
    HERTZ_HEARD,
    LEFT,
    Frame,
    paint_cells,
    write_numbers,
    write_png,
)
from dftlrp.results.words import format_number

WIDTH, HEIGHT, BELOW = 400, 150, 24
CLOSE = 16  # pixels: numbers of an axis stand farther apart
MARKED = 5  # peaks of a picture that are named
SMALL = 40, 64  # cells of a still picture
STRETCHED = 'preserveAspectRatio="none"'
ROW, NODE, NODE_HEIGHT, NAME = 54, 34, 22, 70  # of a graph
LETTERS = 11  # of the name of a layer


def draw_spectrum(mean: Real, error: Real, rate: float) -> str:
    """Return a mean spectrum, with a pale band of two standard errors around it.

    Parameters
    ----------
    mean, error : array (n,)
        Shares in bands from 0 to half the rate.
    """
    frame = _lay_frame(rate)
    x, (mean, low, high) = _pool_pixels(
        frame, rate, [mean, mean - 2 * error, mean + 2 * error], np.mean
    )
    top, bottom = float(max(high.max(), 0.0)), float(min(low.min(), 0.0))
    y = _Height(bottom - 0.04 * (top - bottom), top + 0.04 * (top - bottom))
    band = [*zip(x, y.place(high), strict=True), *zip(x[::-1], y.place(low)[::-1], strict=True)]
    line = _write_path(zip(x, y.place(mean), strict=True))
    pale = f'<path class="error" d="{_write_path(band)}Z"/>' if np.any(high > low) else ""
    zero = f'<path class="zero" d="M{LEFT} {y.place(0.0):.1f}H{frame.width - 10}"/>'
    return _finish(frame, f'{pale}<path class="mean" d="{line}"/>{zero}{_write_shares(y)}')


def draw_magnitude(absolute: Real, rate: float) -> str:
    """Return the shares of |R| by frequency, with narrow peaks marked and named."""
    frame = _lay_frame(rate)
    x, (high,) = _pool_pixels(frame, rate, [absolute], np.max)
    y = _Height(0.0, 1.1 * float(high.max(initial=0.0)) or 1.0)
    ends = [(x[0], HEIGHT), *zip(x, y.place(high), strict=True), (x[-1], HEIGHT)]
    peaks = find_narrow_peaks(absolute, rate)[:MARKED]
    marks = "".join(_mark_peak(frame, *peak, 14 + 14 * k) for k, peak in enumerate(peaks))
    return _finish(frame, f'<path class="wave" d="{_write_path(ends)}Z"/>{marks}{_write_shares(y)}')


def _mark_peak(frame: Frame, hertz: float, share: float, y: int) -> str:
    """Return a line at a peak, and its name on the side where there is room."""
    x = float(frame.place(hertz))
    left = x > frame.width / 2
    side = f'x="{x - 5:.1f}" text-anchor="end"' if left else f'x="{x + 5:.1f}"'
    text = f"{format_hertz(hertz)} Hz: {100 * share:.0f} %"
    line = f'<path class="peak" d="M{x:.1f} 0V{HEIGHT}"/>'
    return f'{line}<text class="peak" {side} y="{y}">{text}</text>'


def draw_neuron(mean: Real, rate: float) -> str:
    """Return the mean relevance spectrum of a neuron over its prototypes."""
    wide = add_up(mean, DRAWN)
    return draw_spectrum(wide, np.zeros(len(wide)), rate)


def draw_plane(plane: Plane, label: str) -> str:
    """Return a plane as a small image, with its axes; ``label`` names that from left to right."""
    hertz = float(plane.rows[-1])
    heard = hertz >= AUDIO_HZ / 2
    frame = Frame(HEIGHT, 0.0, float(plane.columns[-1]), False, WIDTH)
    up = Frame(HEIGHT, 0.0, hertz, heard, LEFT + 10 + HEIGHT)  # lies on its side
    size = f'width="{frame.width - LEFT - 10}" height="{HEIGHT}"'
    image = f'<image href="{draw_image(plane)}" x="{LEFT}" y="0" {size} {STRETCHED}/>'
    ticks = [t for t in HERTZ_HEARD if t <= hertz] if heard else [0.0, round_up(hertz / 4)]
    numbers = "".join(
        f'<text x="{LEFT - 7}" y="{np.clip(HEIGHT + LEFT - up.place(t) + 4, 10, HEIGHT):.0f}" '
        f'text-anchor="end">{format_number(t, 6)}</text>'
        for t in ticks
    )
    return _finish(frame, image + numbers, label)


def draw_image(plane: Plane) -> str:
    """Return a plane as a data URI of a picture of few cells, as frequencies are heard."""
    rows, columns = (
        _choose_cells(edges, most, up and edges[-1] >= AUDIO_HZ / 2)
        for edges, most, up in zip((plane.rows, plane.columns), SMALL, (True, False), strict=True)
    )
    at = np.ix_(rows[::-1], columns)
    image = paint_cells(plane.level[at], plane.relevance[at] / plane.limit)
    return make_uri("image/png", write_png(image))


def _choose_cells(edges: Real, most: int, heard: bool) -> AnyArray:
    """Return the cell at the middle of each pixel."""
    count = min(len(edges) - 1, most)
    frame = Frame(0.0, max(float(edges[0]), 0.0), float(edges[-1]), heard)
    x = frame.place(edges.clip(0))
    middles = x[0] + (np.arange(count) + 0.5) / count * (x[-1] - x[0])
    return np.asarray(np.clip(np.searchsorted(x, middles, side="right") - 1, 0, len(edges) - 2))


def draw_graph(edges: Sequence[Edge]) -> str:
    """Return an attribution graph: a row for each layer, an edge for each weight.

    A negative weight is dashed; a width is the size of the weight.
    """
    rows = sort_neurons(edges)
    width = max(NAME + max(map(len, rows.values())) * (NODE + 8), WIDTH)
    places = {
        (layer, c): (NAME + (i + 0.5) / len(row) * (width - NAME), 20.0 + ROW * level)
        for level, (layer, row) in enumerate(rows.items())
        for i, c in enumerate(row)
    }
    nodes = "".join(
        f'<rect class="node" x="{x - NODE / 2:.1f}" y="{y - NODE_HEIGHT / 2:.1f}" width="{NODE}"'
        f' height="{NODE_HEIGHT}" rx="7"/>'
        f'<text class="node" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{c}</text>'
        for (_, c), (x, y) in places.items()
    )
    names = "".join(
        f'<text x="0" y="{24 + ROW * level}">{html.escape(_shorten(layer))}</text>'
        for level, layer in enumerate(rows)
    )
    height = ROW * (len(rows) - 1) + 40
    lines = _connect_neurons(edges, places)
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{lines}{nodes}{names}</svg>'


def _connect_neurons(edges: Sequence[Edge], places: Mapping[Neuron, tuple[float, float]]) -> str:
    """Return the edges, the strongest on top."""
    most = max((abs(e.weight) for e in edges), default=1.0) or 1.0
    drawn = []
    for e in sorted(edges, key=lambda e: abs(e.weight)):
        (x0, y0), (x1, y1) = places[e.source], places[e.target]
        kind = "for" if e.weight > 0 else "against"
        drawn.append(
            f'<path class="edge {kind}" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" '
            f'stroke-width="{0.6 + 5 * abs(e.weight) / most:.1f}">'
            f"<title>{e.source[1]} to {e.target[1]}: {format_number(e.weight)}</title></path>"
        )
    return "".join(drawn)


class _Height:
    """Places values from the bottom of a picture to its top."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.size = low, high - low or 1.0

    def place(self, values: Real | float) -> Real:
        """Return the y of values."""
        return np.asarray(HEIGHT * (1 - (np.asarray(values, np.float64) - self.low) / self.size))


def _lay_frame(rate: float) -> Frame:
    return Frame(HEIGHT, 0.0, rate / 2, rate >= AUDIO_HZ, WIDTH)


def _pool_pixels(
    frame: Frame, rate: float, lines: Sequence[Real], pool: Callable[..., Real]
) -> tuple[Real, list[Real]]:
    """Return x, and the values of lines there; those of one pixel are pooled."""
    count = len(lines[0])
    x = frame.place((np.arange(count) + 0.5) * (rate / 2 / count))
    starts = np.unique(np.floor(x), return_index=True)[1]
    return x[starts], [
        np.array([pool(part) for part in np.split(line, starts[1:])]) for line in lines
    ]


def _write_path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in points)


def _write_shares(y: _Height) -> str:
    """Return the numbers of the axis from bottom to top: zero, and what lies near an end."""
    places = {float(y.place(v)): v for v in (y.low + 0.96 * y.size, y.low + 0.04 * y.size, 0.0)}
    zero = float(y.place(0.0))
    return "".join(
        f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">'
        f"{format_number(100 * value, 2) + ' %' if value else '0'}</text>"
        for at, value in places.items()
        if at == zero or abs(at - zero) > CLOSE
    )


def _finish(frame: Frame, body: str, label: str = "frequency (Hz)") -> str:
    """Return a picture with its frame, and the numbers of the axis from left to right."""
    size = f'width="{frame.width - LEFT - 10}" height="{HEIGHT}"'
    box = f'<rect class="frame" x="{LEFT}" y="0" {size}/>'
    view = f"0 0 {frame.width} {HEIGHT + BELOW}"
    return (
        f'<svg viewBox="{view}" aria-hidden="true">{body}{box}{write_numbers(frame, label)}</svg>'
    )


def _shorten(name: str) -> str:
    plain = make_printable(name)
    return plain if len(plain) <= LETTERS else plain[: LETTERS - 1] + "…"
