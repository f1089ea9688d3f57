"""The page of a long recording: its timeline above, and the page of the chosen window below it.

The page of a window is that of an explanation, as it would stand alone, in a frame.  A frame obeys
the security policy of the page around it, which therefore lists the scripts of both.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from dftlrp.core.types import Real
from dftlrp.results.report import TIMELINE, bundle_script, fill_page, render
from dftlrp.results.report.still import LEFT, WIDTH, Frame, write_numbers
from dftlrp.results.timeline_data import TimelineData
from dftlrp.results.words import format_number, name_seed

ROWS = {"scores": 76, "wave": 48, "relevance": 48}  # heights
GAP = 6
POINTS = 1200  # of a curve
NARROWEST = 4  # of a window in the picture
PAGE_BYTES = 15_000_000  # of the pages of windows; those beyond are left to the files
RIGHT = 10
END = 1e-9


def render_timeline(found: TimelineData[Any]) -> str:
    """Return a timeline and its explanations as one self-contained HTML page."""
    pages = [render([e]) for e in found]
    sizes = np.cumsum([len(page) for page in pages])
    kept = pages[: max(1, int(np.searchsorted(sizes, PAGE_BYTES, side="right")))]
    rows = found.windows()
    labels = list(dict.fromkeys(e.label for e in found))
    asked = len({row.label for row in rows}) == 1
    windows = [
        {
            "start": f"{one.start:.2f}", "stop": f"{one.stop:.2f}",
            "at": (one.start + one.stop) / 2, "label": one.label, "score": one.score,
            "left": k >= len(kept),
        }
        for k, one in enumerate(found.explained())
    ]  # fmt: skip
    quantity = "lead" if name_seed(found[0])[0] == "contrast" else "score"
    data = {
        "start": 0.0, "stop": found.duration,
        "left": LEFT / WIDTH, "right": (WIDTH - RIGHT) / WIDTH,
        "points": _thin(found), "pages": kept[1:],
    }  # fmt: skip
    return fill_page(
        "timeline.html.j2",
        title=f"Where “{labels[0]}”?" if asked else "What was heard, and why?",
        heading=f"Where “{labels[0]}” in" if asked else "What was heard in",
        recording=found.name,
        lede=_describe_timeline(found, asked),
        quantity=quantity,
        svg=draw_timeline(found),
        windows=windows,
        first=kept[0],
        notes=[*found.notes, *found[0].notes],
        warnings=[],
        data=_write_json(data),
        script=bundle_script(TIMELINE),
        framed=bundle_script(),
    )


def _describe_timeline(found: TimelineData[Any], asked: bool) -> str:
    """Say what the picture below shows."""
    count, seconds = len(found.starts), format_number(found.seconds)
    strongest = found.explained()[0]
    label = f"“{strongest.label}”"
    what = f"{label} is strongest" if asked else f"the strongest answer is {label},"
    return (
        f"The model heard {format_number(found.duration, 4)} s in {count} windows of {seconds} s: "
        f"{what} from {strongest.start:.2f} to {strongest.stop:.2f} s."
    )


def _thin(found: TimelineData[Any]) -> list[tuple[float, float, str]]:
    """Return time, score and target of windows; of neighbours that share a pixel the highest."""
    size = -(-len(found.starts) // POINTS)
    rows = found.windows()
    best = [max(rows[i : i + size], key=lambda row: row.score) for i in range(0, len(rows), size)]
    return [(round((r.start + r.stop) / 2, 4), float(f"{r.score:.5g}"), r.label) for r in best]


def _write_json(data: Any) -> str:
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def draw_timeline(found: TimelineData[Any]) -> str:
    """Return the timeline as an SVG: scores, recording, relevance; explained windows numbered."""
    frame = Frame(0, 0.0, found.duration, False)
    tops = np.cumsum([14, *(h + GAP for h in ROWS.values())])
    below = float(tops[-1])
    body = [
        _draw_windows(found, frame, below - GAP),
        _shift_down(_draw_scores(found, frame, ROWS["scores"]), tops[0]),
        _shift_down(_draw_ranges(found, frame, ROWS["wave"]), tops[1]),
        _shift_down(_draw_relevance(found, frame, ROWS["relevance"]), tops[2]),
        _shift_down(write_numbers(frame, "time (s)"), below - GAP),
    ]
    size = f'viewBox="0 0 {WIDTH} {below + 18:.0f}"'
    return f'<svg {size} role="img" aria-label="Timeline">{"".join(body)}</svg>'


def _shift_down(body: str, down: float) -> str:
    return f'<g transform="translate(0 {float(down):g})">{body}</g>'


def _draw_windows(found: TimelineData[Any], frame: Frame, height: float) -> str:
    """Return a numbered band for each explained window."""
    bands = []
    for k, one in enumerate(found.explained()):
        left, right = (float(frame.place(t)) for t in (one.start, one.stop))
        wide = max(right - left, NARROWEST)
        middle = (left + right) / 2
        bands.append(
            f'<g class="pin" data-window="{k}"><rect x="{middle - wide / 2:.1f}" y="12" '
            f'width="{wide:.1f}" height="{height - 12:.1f}"/>'
            f'<text x="{middle:.1f}" y="9" text-anchor="middle">{k + 1}</text></g>'
        )
    return "".join(bands)


def _draw_scores(found: TimelineData[Any], frame: Frame, height: float) -> str:
    """Return the curve of the scores, with its highest and lowest number."""
    points = _thin(found)
    z = np.array([p[1] for p in points])
    low, high = float(min(z.min(), 0.0)), float(max(z.max(), 0.0))
    room = (high - low) or 1.0
    y = height - (z - low) / room * height
    x = frame.place(np.array([p[0] for p in points]))
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    zero = height + low / room * height
    ends = [
        f'<text x="{LEFT - 7}" y="{at:.1f}" text-anchor="end">{format_number(v, 2)}</text>'
        for v, at in ((high, 9), (low, height))
        if v or high == low
    ]
    return (
        f'<path class="zero" d="M{LEFT} {zero:.1f}H{WIDTH - RIGHT}"/>'
        f'<path class="curve" d="M{path}"/>{"".join(ends)}'
    )


def _draw_ranges(found: TimelineData[Any], frame: Frame, height: float) -> str:
    """Return the range of the samples, all channels together."""
    seen = found.overview
    low, high = seen.low.min(axis=0), seen.high.max(axis=0)
    size = -(-len(low) // POINTS)
    starts = np.arange(0, len(low), size)
    low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    top = float(max(high.max(), -low.min())) or 1.0
    x = frame.place(seen.times[starts])
    up, down = (height / 2 * (1 - part / top) for part in (high, low - 0.01 * top))
    points = [*zip(x, up, strict=True), *zip(x[::-1], down[::-1], strict=True)]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path class="wave" d="M{path}Z"/>'


def _draw_relevance(found: TimelineData[Any], frame: Frame, height: float) -> str:
    """Return bars of the relevance of the recording, in favour up and against down."""
    edges: Real = np.linspace(0.0, found.duration * (1 + END), POINTS + 1)
    R = found.relevance(edges)
    room = float(np.abs(R).max()) or 1.0
    x = frame.place(edges)
    paths = {"favour": "", "opposing": ""}
    for left, right, value in zip(x[:-1], x[1:], R, strict=True):
        if value:
            tall = -value / room * height / 2
            paths["favour" if value > 0 else "opposing"] += (
                f"M{left:.1f} {height / 2:.1f}H{right:.1f}v{tall:.1f}H{left:.1f}Z"
            )
    bars = "".join(f'<path class="{k}" d="{d}"/>' for k, d in paths.items() if d)
    return f'{bars}<path class="zero" d="M{LEFT} {height / 2:.1f}H{WIDTH - RIGHT}"/>'
