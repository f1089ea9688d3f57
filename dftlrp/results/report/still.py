"""Still pictures of the panes, for paper and for browsers that run no script: SVG, by light code.

They are drawn from the same numbers as the canvases, coarser.  Colours are those of the page's
style, so light and dark need no second picture; cells of a plane are an image inside.
"""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.bands import round_up
from dftlrp.results.panels import NEGATIVE, POSITIVE
from dftlrp.results.points import add_up, choose_bin_size
from dftlrp.results.report.shown import Shown
from dftlrp.results.words import format_number

WIDTH, LEFT, BELOW = 720, 58, 22
HEIGHTS = {"plane": 220, "grid": 220}
HEIGHT, WAVE_HEIGHT = 110, 64
POINTS, CELLS = 220, (96, 240)  # at most, of a still picture
GREY = (122, 128, 138)  # seen on white and on black
SHADES = 15  # so many strengths of colour keep an image small
TICKS = 6
HERTZ_HEARD = (0, 250, 500, 1000, 2000, 4000, 8000, 16_000)
AUDIO_HZ = 3000  # samples per second: from here on frequencies are shown as they are heard


class Frame(NamedTuple):
    """Where a picture is drawn, and which values lie at its ends."""

    height: float
    low: float
    high: float
    heard: bool
    width: int = WIDTH

    def place(self, value: Real | float) -> Real:
        """Return the x of values."""
        low, high, at = (_bend(v, self.heard) for v in (self.low, self.high, value))
        return np.asarray(LEFT + (at - low) / ((high - low) or 1.0) * (self.width - LEFT - 10))


def draw_still(
    shown: Shown, owner: int, channel: int, last: bool, peers: Sequence[Shown] = ()
) -> str:
    """Return one pane as an SVG: one owner of a domain; -1 draws only the signal.

    ``peers`` are those that share its scale, itself among them.
    """
    channel = min(channel, len(shown.relevance[0]) - 1)
    height = WAVE_HEIGHT if owner < 0 else HEIGHTS.get(shown.kind, HEIGHT)
    frame = Frame(height, *shown.ends[-1], _is_heard(shown, -1))
    peers = peers or [shown]
    if owner < 0:
        top = max(float(np.abs(peer.signal[channel]).max()) for peer in peers) or 1.0
        body = _draw_wave(frame, shown.edges[0], shown.signal[channel], top)
    elif len(shown.edges) > 1:
        body = _draw_cells(frame, shown, owner, channel)
    else:
        nets = [net for one in peers for _, net in _list_nets(one, channel)]
        body = _draw_line(frame, *_list_nets(shown, channel)[owner], nets)
    whole = height + (BELOW if last else 4)
    numbers = write_numbers(frame, shown.labels[-1][0]) if last else ""
    box = f'<rect class="frame" x="{LEFT}" y="0" width="{WIDTH - LEFT - 10}" height="{height}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {whole}" aria-hidden="true">{body}{box}{numbers}</svg>'


def _list_nets(shown: Shown, channel: int) -> list[tuple[Real, Real]]:
    """Return edges and net relevance of the bars of each owner: units, or some cells each."""
    found = []
    for owner, scale in enumerate(shown.scales):
        edges, net = shown.edges[0], shown.scale_relevance(owner, channel)
        if shown.units:
            units = shown.units[owner]
            edges, net = np.append(units[:, 0], units[-1, 1]), units[:, 2] * scale
        size = choose_bin_size(len(edges) - 1, POINTS)
        found.append((np.append(edges[:-1][::size], edges[-1]), add_up(net, size)))
    return found


def _is_heard(shown: Shown, axis: int) -> bool:
    """Return whether an axis is drawn as frequencies are heard: on the mel scale."""
    return shown.labels[axis][1] == "Hz" and shown.ends[axis][1] >= AUDIO_HZ / 2


def _bend(values: Real | float, heard: bool) -> Real:
    """Return values on the mel scale, up to a factor, if these are heard; none lies below 0."""
    array = np.asarray(values, np.float64)
    return np.log1p(np.maximum(array, 0.0) / 700) if heard else array


def _draw_wave(frame: Frame, edges: Real, signal: Real, top: float) -> str:
    """Return the range of the samples as one shape."""
    size = choose_bin_size(signal.shape[1], 2 * POINTS)
    starts = np.arange(0, signal.shape[1], size)
    low, high = np.minimum.reduceat(signal[0], starts), np.maximum.reduceat(signal[1], starts)
    middle = frame.height / 2
    x = frame.place(edges[starts])
    y = [middle - part / top * (middle - 2) for part in (high, low - 0.01 * top)]
    points = [*zip(x, y[0], strict=True), *zip(x[::-1], y[1][::-1], strict=True)]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path class="wave" d="M{path}Z"/>'


def _draw_line(frame: Frame, edges: Real, net: Real, nets: Sequence[Real]) -> str:
    """Return bars of net relevance, up in favour, down against, at a scale common to all."""
    x = frame.place(edges)
    most, least = (pick(float(pick(one)) for one in nets) for pick in (max, min))
    room = max(most, -least) or 1.0
    top = max(most, 0.2 * room) * 1.05
    bottom = min(least, -0.08 * room) * 1.05
    zero = top / (top - bottom) * frame.height
    paths = {"favour": "", "opposing": ""}
    for left, right, value in zip(x[:-1], x[1:], net, strict=True):
        tall = -value / (top - bottom) * frame.height
        part = f"M{left:.1f} {zero:.1f}H{right:.1f}v{tall:.1f}H{left:.1f}Z"
        paths["favour" if value > 0 else "opposing"] += part if value else ""
    bars = "".join(f'<path class="{name}" d="{d}"/>' for name, d in paths.items() if d)
    tick = f'<text x="{LEFT - 7}" y="{zero + 4:.1f}" text-anchor="end">0</text>'
    return f'{bars}<path class="zero" d="M{LEFT} {zero:.1f}H{WIDTH - 10}"/>{tick}'


def _draw_cells(frame: Frame, shown: Shown, owner: int, channel: int) -> str:
    """Return cells, with the tiles of the lists where there are some over them, as an image."""
    relevance, edges, limit = shown.scale_relevance(owner, channel), shown.edges, shown.limit
    if shown.tiles:
        tile = shown.tiles[owner]
        relevance, edges = np.asarray(tile.net * shown.scales[owner]), tile.edges
        limit = shown.tile_limit
    level = shown.signal[channel] if shown.signal else np.zeros_like(relevance)
    image = paint_cells(
        _sample(shown, level, shown.edges), _sample(shown, relevance / limit, edges)
    )
    uri = "data:image/png;base64," + base64.b64encode(write_png(image)).decode()
    size = f'x="{LEFT}" y="0" width="{WIDTH - LEFT - 10}" height="{frame.height}"'
    label = _write_heights(shown, frame.height)
    return f'<image href="{uri}" {size} preserveAspectRatio="none"/>{label}'


def _write_heights(shown: Shown, height: float) -> str:
    """Return the numbers of the axis from bottom to top; rows of a table need none."""
    (label, unit), ends = shown.labels[0], shown.ends[0]
    middle = f'<text x="{LEFT - 7}" y="{height / 2}" text-anchor="end">{html.escape(label)}</text>'
    if unit != "Hz":
        return middle
    heard = _is_heard(shown, 0)
    low, high = (float(_bend(end, heard)) for end in ends)
    ticks = HERTZ_HEARD if heard else (0, round_up(ends[-1] / 4))
    places = [(t, height * (1 - (float(_bend(t, heard)) - low) / (high - low))) for t in ticks]
    return "".join(
        f'<text x="{LEFT - 7}" y="{min(max(y + 4, 10), height):.1f}" text-anchor="end">'
        f"{format_number(t, 6)}</text>"
        for t, y in places
        if y >= 0
    )


def _sample(shown: Shown, values: Real, edges: Sequence[Real]) -> Real:
    """Return values of a plane at even steps of both axes; frequencies grow upwards."""
    rows, columns = (_pick(shown, axis, edges[axis]) for axis in (0, 1))
    rows = rows[::-1] if shown.labels[0][1] == "Hz" else rows
    inside = np.outer(rows >= 0, columns >= 0)
    return np.where(inside, values[np.ix_(rows, columns)], 0.0)


def _pick(shown: Shown, axis: int, edges: Real) -> AnyArray:
    """Return the cell at the middle of each pixel of an axis; -1 where there is none."""
    heard = _is_heard(shown, axis)
    count = min(len(shown.edges[axis]) - 1, CELLS[axis])
    low, high = (float(_bend(end, heard)) for end in shown.ends[axis])
    at = low + (np.arange(count) + 0.5) / count * (high - low)
    bent = _bend(edges, heard)
    cells = np.searchsorted(bent, at, side="right") - 1
    outside = (at < bent[0]) | (at > bent[-1])
    return np.where(outside, -1, np.clip(cells, 0, len(edges) - 2))


def paint_cells(level: Real, relevance: Real) -> AnyArray:
    """Return colours with transparency (H, W, 4): grey levels, red, and blue in a chequered way."""
    strength = np.minimum(np.abs(relevance), 1.0) ** 0.55
    odd = np.indices(relevance.shape).sum(axis=0) % 2 == 1
    strength = np.where((relevance < 0) & odd, 0.35 * strength, strength)
    strength, grey = (np.rint(a * SHADES) / SHADES for a in (strength, 0.85 * level))
    colours = [_read_colour(c) for c in (POSITIVE, NEGATIVE)]
    tint = np.where((relevance > 0)[..., None], *colours)
    alpha = np.maximum(strength, grey)
    mixed = GREY + (tint - GREY) * (strength / np.maximum(alpha, 1e-9))[..., None]
    return np.concatenate([mixed, 255 * alpha[..., None]], axis=-1).round().astype(np.uint8)


def _read_colour(colour: str) -> AnyArray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def write_png(image: AnyArray) -> bytes:
    """Return the bytes of a PNG file; the same image gives the same."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, _ = image.shape
    lines = np.pad(image.reshape(height, -1), ((0, 0), (1, 0)))
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(lines.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_numbers(frame: Frame, label: str) -> str:
    """Return the numbers under a picture, and the name of its axis."""
    size = frame.high - frame.low
    power = 10.0 ** np.floor(np.log10(size / TICKS)) if size else 1.0
    step = next(s * power for s in (1, 2, 5, 10) if s * power * TICKS >= size * 0.999)
    ticks = np.arange(np.ceil(frame.low / step), np.floor(frame.high / step) + 1) * step
    if frame.heard:
        ticks = np.array([t for t in HERTZ_HEARD if frame.low <= t <= frame.high])
    y = frame.height + 15
    written = [
        f'<text x="{frame.place(tick):.1f}" y="{y}" text-anchor="middle">'
        f"{format_number(float(tick), 6)}</text>"
        for tick in ticks
        if frame.place(tick) < frame.width - 130
    ]
    end = f'<text x="{frame.width - 10}" y="{y}" text-anchor="end">{html.escape(label)}</text>'
    return "".join([*written, end])
