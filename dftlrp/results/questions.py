"""Numbers from an explanation: the share of a span of time or a band, and the strongest of each.

A sample, a frequency bin or a time-frequency cell lies where its point on the axes lies: a span
(start, stop) holds the points with start <= point < stop, so that adjacent spans share no point and
leave none out.  Frames centred in the padding lie at the first or the last sample, and the last
frequency belongs to a band that ends there.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from numbers import Real as Number
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.data import ExplanationData
from dftlrp.results.views import DOMAINS
from dftlrp.spectral.checks import as_whole

Span = tuple[float, float]

KINDS = ("signed", "positive", "absolute")
TABLES = {row.table: row for row in DOMAINS.values() if row.table}
AUDIO_HZ = 3000  # bands of a third of an octave from here on, else equal ones
SEGMENT_SECONDS, SEGMENT_SAMPLES, BANDS = 0.02, 20, 40
TOLERANCE = 1e-6  # of the spacing of an axis: 3 * 0.1 is 0.30000000000000004


class Row(NamedTuple):
    """Relevance of one band or segment.

    ``start`` and ``stop`` in ``unit`` (``"Hz"`` or ``"s"``), ``relevance`` as in the explanation,
    ``share`` of its sum over the domain (NaN where that is 0).
    """

    start: float
    stop: float
    unit: str
    relevance: float
    share: float


def measure_share(
    explanation: ExplanationData,
    time: Span | None = None,
    band: Span | None = None,
    kind: str = "signed",
) -> float:
    """Return how much of the relevance lies in a time span, a frequency band, or both.

    Parameters
    ----------
    time : (start, stop), optional
        Seconds.
    band : (start, stop), optional
        Hertz.
    kind : {"signed", "positive", "absolute"}
        The sum of R, of max(R, 0) or of |R| inside, divided by the same sum over everything.
        Signed shares of spans side by side add up, but may be negative or above 1.

    Returns
    -------
    float
        The share over all channels: of the time domain if only a time is given, of the frequency
        domain if only a band is given, of the time-frequency domain for both.  NaN if the sum over
        everything is 0.

    Raises
    ------
    InputError
        If neither is given, the domain is missing, the kind is unknown, or a span is empty, not
        finite or holds no point of its axis.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of share {kind!r}; choose from {', '.join(KINDS)}")
    spans = [s for s in (band, time) if s is not None]
    if not spans:
        raise InputError("a share of what?  give time=(start, stop), band=(start, stop) or both")
    domain = "time-frequency" if len(spans) == 2 else "time" if band is None else "frequency"
    R = _take_kind(_read_relevance(explanation, domain), kind)
    inside = R
    if band is not None:
        inside = np.compress(_find_in_band(explanation, domain, band), inside, axis=-len(spans))
    if time is not None:
        inside = np.compress(_find_in_time(explanation, domain, time), inside, axis=-1)
    return _divide_or_nan(float(inside.sum()), float(R.sum()))


def list_rows(
    explanation: ExplanationData,
    what: str = "bands",
    count: int | None = 10,
    width: float | None = None,
) -> list[Row]:
    """Return the strongest bands or segments, including those that speak against the output.

    Parameters
    ----------
    what : {"bands", "segments"}
        Bands of frequency or segments of time.
    count : int or None
        How many at most; None: all.
    width : float, optional
        Hertz or seconds.  Default: bands of a third of an octave (IEC 61260; the lowest reaches
        down to 0) for audio, and some 40 equal ones for signals of fewer than 3000 samples per
        second; segments of 20 ms, or longer ones so that each holds at least 20 samples.

    Returns
    -------
    list of Row
        Largest absolute relevance first; several channels added up.

    Raises
    ------
    InputError
        If ``what`` is unknown, its domain is missing, the width is not a positive number, or the
        count is not a whole number of at least 0.
    """
    if what not in TABLES:
        raise InputError(f"unknown table {what!r}; choose from {', '.join(sorted(TABLES))}")
    count = None if count is None else as_whole(count, "count", 0)
    row = TABLES[what]
    R = _read_relevance(explanation, row.name)
    R = R.reshape(-1, R.shape[-1]).sum(axis=0)
    axis, rate = np.asarray(explanation.axes[row.name], np.float64), explanation.rate
    if what == "bands" and width is None and rate >= AUDIO_HZ:
        place, edge = _split_thirds(axis, rate / 2)
    else:
        end = rate / 2 if what == "bands" else len(axis) / rate
        place, edge = _split_equally(axis, end, _choose_width(width, what, rate))
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    sums, total = map(float, np.add.reduceat(R, starts)), float(R.sum())
    unit = row.axes[0].unit
    rows = [
        Row(edge(k), edge(k + 1), unit, amount, _divide_or_nan(amount, total))
        for k, amount in zip(map(int, place[starts]), sums, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row.relevance))[:count]


def write_csv(explanation: ExplanationData, what: str) -> str:
    """Return a table with a header as text, strongest rows first, several channels one by one.

    If there are several, a first column names the channel, and shares are of the sum over all.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    channels = explanation.channels
    total = float(_read_relevance(explanation, TABLES[what].name).sum())
    rows = [(c, row) for c in channels for row in list_rows(c, what, None)]
    writer.writerow((*["channel"] * len(channels[0].channel_names), *Row._fields))
    for c, row in sorted(rows, key=lambda pair: -abs(pair[1].relevance)):
        writer.writerow((*c.channel_names, *row[:4], _divide_or_nan(row.relevance, total)))
    return buffer.getvalue()


def _read_relevance(explanation: ExplanationData, domain: str) -> Real:
    if domain not in explanation.relevance:
        raise InputError(f"the explanation lacks the {domain!r} domain; ask for it with domains=")
    return np.asarray(explanation.relevance[domain], np.float64)


def _take_kind(R: Real, kind: str) -> Real:
    if kind == "signed":
        return R
    return np.abs(R) if kind == "absolute" else np.maximum(R, 0.0)


def _find_in_band(explanation: ExplanationData, domain: str, band: Span) -> AnyArray:
    """Return which frequencies lie in a band, (K,) bool."""
    axes = explanation.axes[domain]
    hertz = np.asarray(axes[0] if isinstance(axes, tuple) else axes, np.float64)
    start, stop = _check_span(band, "band", "Hz")
    found = _find_between(hertz, start, stop, _measure_spacing(hertz))
    found[-1] |= start <= hertz[-1] <= stop
    return _require_points(found, f"band from {start:g} to {stop:g} Hz", hertz, "Hz")


def _find_in_time(explanation: ExplanationData, domain: str, time: Span) -> AnyArray:
    """Return which samples or frames lie in a time span, (N,) bool."""
    axes = explanation.axes[domain]
    seconds = np.asarray(axes[1] if isinstance(axes, tuple) else axes, np.float64)
    start, stop = _check_span(time, "time", "s")
    seconds = np.clip(seconds, 0.0, _find_last_sample(explanation))
    found = _find_between(seconds, start, stop, 1 / explanation.rate)
    return _require_points(found, f"time from {start:g} to {stop:g} s", seconds, "s")


def _check_span(span: Span, name: str, unit: str) -> Span:
    try:
        start, stop = (float(edge) for edge in span)
    except (TypeError, ValueError):
        raise InputError(f"{name} {span!r}: give (start, stop) in {unit}") from None
    if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
        raise InputError(f"{name} from {start:g} to {stop:g} {unit} is empty")
    return start, stop


def _find_between(points: Real, start: float, stop: float, spacing: float) -> AnyArray:
    room = TOLERANCE * spacing
    return np.asarray((points >= start - room) & (points < stop - room))


def _require_points(found: AnyArray, span: str, axis: Real, unit: str) -> AnyArray:
    if found.any():
        return found
    raise InputError(
        f"{span} holds nothing: there is relevance from {axis[0]:g} to {axis[-1]:g} {unit}, "
        f"every {_measure_spacing(axis):g} {unit}"
    )


def _find_last_sample(explanation: ExplanationData) -> float:
    """Return the time of the last sample in seconds; infinity if no domain says it."""
    if "time" in explanation.axes:
        return float(np.asarray(explanation.axes["time"])[-1])
    hertz = np.asarray(explanation.axes.get("frequency", ()))
    return 1 / hertz[1] - 1 / explanation.rate if len(hertz) > 1 else math.inf


def _measure_spacing(axis: Real) -> float:
    return float(axis[1] - axis[0]) if len(axis) > 1 else 1.0


def _divide_or_nan(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _split_thirds(axis: Real, end: float) -> tuple[AnyArray, Callable[[int], float]]:
    """Return the number of each point's third of an octave, (K,), and where number k starts."""
    inner = 1000 * 10 ** ((np.arange(-17, 60) - 0.5) / 10)
    edges = np.array([0.0, *inner[inner < end * (1 - TOLERANCE)], end])
    place = np.searchsorted(edges[1:-1], axis, side="right")
    return place, lambda k: float(edges[k])


def _split_equally(axis: Real, end: float, width: float) -> tuple[AnyArray, Callable[[int], float]]:
    """Return the number of each point's band or segment, (N,), and where number k starts."""
    last = math.ceil(end / width * (1 - TOLERANCE)) - 1  # what lies at the end belongs to it
    place = np.minimum(np.floor((axis + TOLERANCE * _measure_spacing(axis)) / width), max(last, 0))
    return place, lambda k: min(float(f"{k * width:.12g}"), end)


def _choose_width(width: float | None, what: str, rate: float) -> float:
    """Return the width that is given, or one that suits the rate."""
    if width is None:
        segment = max(SEGMENT_SECONDS, round_up(SEGMENT_SAMPLES / rate))
        return round_up(rate / 2 / BANDS) if what == "bands" else segment
    if not (isinstance(width, Number) and 0 < width < math.inf):
        raise InputError(f"width {width!r}: a positive number is needed")
    return float(width)


def round_up(value: float) -> float:
    """Return the smallest of ... 0.5, 1, 2, 5, 10, 20, 50 ... that is not less."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next(s for s in (1, 2, 5, 10) if s * power >= value * (1 - TOLERANCE))
    return float(f"{step * power:.12g}")


def pick_strongest(rows: Sequence[Row], most: int = 3) -> tuple[list[Row], list[Row]]:
    """Return the rows with most relevance in favour, and those with most against.

    Rows below a hundredth of the strongest are left out.
    """
    least = max((abs(r.relevance) for r in rows), default=0.0) / 100
    ordered = sorted((r for r in rows if abs(r.relevance) > least), key=lambda r: -abs(r.relevance))
    favour = [r for r in ordered if r.relevance > 0]
    return favour[:most], [r for r in ordered if r.relevance < 0][:most]
