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
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.bands import TOLERANCE, measure_spacing, pool_relevance, read_relevance
from dftlrp.results.data import ExplanationData
from dftlrp.results.views import DOMAINS
from dftlrp.results.words import describe_span, format_number
from dftlrp.spectral.checks import as_whole

Span = tuple[float, float]

KINDS = ("signed", "positive", "absolute")
TABLES = {row.table: row for row in DOMAINS.values() if row.table}


class Row(NamedTuple):
    """Relevance of one band or segment; ``print`` writes it in words.

    Attributes
    ----------
    start, stop : float
        From where to where, in ``unit``.
    unit : str
        ``"Hz"`` or ``"s"``.
    relevance : float
        Its sum there, in the unit of the explanation.
    share : float
        Of the sum over the domain; NaN where that is 0.
    """

    start: float
    stop: float
    unit: str
    relevance: float
    share: float

    def __str__(self) -> str:
        return _write_amount_of(describe_span(self.start, self.stop, self.unit), self)


class Tile(NamedTuple):
    """Relevance of one tile of time and frequency; ``print`` writes it in words.

    Attributes
    ----------
    low, high : float
        Hertz.
    start, stop : float
        Seconds.
    relevance : float
        Its sum there, in the unit of the explanation.
    share : float
        Of the sum over the domain; NaN where that is 0.
    """

    low: float
    high: float
    start: float
    stop: float
    relevance: float
    share: float

    def __str__(self) -> str:
        band = describe_span(self.low, self.high, "Hz")
        return _write_amount_of(f"{band} at {describe_span(self.start, self.stop, 's')}", self)


Listed = TypeVar("Listed", Row, Tile)


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
    kind = find_name(kind, KINDS, "unknown kind of share")
    spans = [s for s in (band, time) if s is not None]
    if not spans:
        raise InputError("a share of what?  give time=(start, stop), band=(start, stop) or both")
    domain = "time-frequency" if len(spans) == 2 else "time" if band is None else "frequency"
    R = _take_kind(read_relevance(explanation, domain), kind)
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
        Hertz or seconds.  Default: the units of `dftlrp.results.bands`, thirds of an octave and
        segments of 20 ms for most sound.

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
    what = find_name(what, sorted(TABLES), "unknown table")
    count = None if count is None else as_whole(count, "count", 0)
    pooled = pool_relevance(explanation, what, width)
    (edges,), (unit,), total = pooled.edges, pooled.units, float(pooled.net.sum())
    rows = [
        Row(float(start), float(stop), unit, amount, _divide_or_nan(amount, total))
        for start, stop, amount in zip(edges, edges[1:], map(float, pooled.net), strict=False)
    ]
    return sorted(rows, key=lambda row: -abs(row.relevance))[:count]


def list_tiles(explanation: ExplanationData, count: int | None = 10) -> list[Tile]:
    """Return the strongest tiles of time and frequency, bands as in `list_rows` times segments.

    Parameters
    ----------
    count : int or None
        How many at most; None: all.

    Returns
    -------
    list of Tile
        Largest absolute relevance first; several channels added up.

    Raises
    ------
    InputError
        If the domain ``"time-frequency"`` is missing, or the count is not a whole number of at
        least 0.
    """
    count = None if count is None else as_whole(count, "count", 0)
    pooled = pool_relevance(explanation, "tiles")
    (hertz, seconds), total = pooled.edges, float(pooled.net.sum())
    order = np.argsort(-np.abs(pooled.net), axis=None, kind="stable")[:count]
    places = zip(*np.unravel_index(order, pooled.net.shape), strict=True)
    return [
        Tile(
            float(hertz[f]), float(hertz[f + 1]), float(seconds[t]), float(seconds[t + 1]),
            float(pooled.net[f, t]), _divide_or_nan(float(pooled.net[f, t]), total),
        )
        for f, t in places
    ]  # fmt: skip


def write_csv(explanation: ExplanationData, what: str) -> str:
    """Return a table with a header as text, strongest rows first, several channels one by one.

    If there are several, a first column names the channel, and shares are of the sum over all.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    channels = explanation.channels
    total = float(read_relevance(explanation, TABLES[what].name).sum())
    rows = [(c, row) for c in channels for row in list_rows(c, what, None)]
    writer.writerow((*["channel"] * len(channels[0].channel_names), *Row._fields))
    for c, row in sorted(rows, key=lambda pair: -abs(pair[1].relevance)):
        writer.writerow((*c.channel_names, *row[:4], _divide_or_nan(row.relevance, total)))
    return buffer.getvalue()


def _take_kind(R: Real, kind: str) -> Real:
    if kind == "signed":
        return R
    return np.abs(R) if kind == "absolute" else np.maximum(R, 0.0)


def _find_in_band(explanation: ExplanationData, domain: str, band: Span) -> AnyArray:
    """Return which frequencies lie in a band, (K,) bool."""
    axes = explanation.axes[domain]
    hertz = np.asarray(axes[0] if isinstance(axes, tuple) else axes, np.float64)
    start, stop = _check_span(band, "band", "Hz")
    found = _find_between(hertz, start, stop, measure_spacing(hertz))
    found[-1] |= start <= hertz[-1] <= stop
    return _require_points(found, f"band from {start:g} to {stop:g} Hz", hertz, "Hz")


def _find_in_time(explanation: ExplanationData, domain: str, time: Span) -> AnyArray:
    """Return which samples or frames lie in a time span, (N,) bool."""
    axes = explanation.axes[domain]
    seconds = np.asarray(axes[1] if isinstance(axes, tuple) else axes, np.float64)
    start, stop = _check_span(time, "time", "s")
    seconds = np.clip(seconds, explanation.start, _find_last_sample(explanation))
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
        f"every {measure_spacing(axis):g} {unit}"
    )


def _find_last_sample(explanation: ExplanationData) -> float:
    """Return the time of the last sample in seconds; infinity if no domain says it."""
    if "time" in explanation.axes:
        return float(np.asarray(explanation.axes["time"])[-1])
    hertz = np.asarray(explanation.axes.get("frequency", ()))
    if len(hertz) < 2:
        return math.inf
    return float(explanation.start + 1 / hertz[1] - 1 / explanation.rate)


def _divide_or_nan(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def pick_strongest(rows: Sequence[Listed], most: int = 3) -> tuple[list[Listed], list[Listed]]:
    """Return the rows with most relevance in favour, and those with most against.

    Rows below a hundredth of the strongest are left out.
    """
    least = max((abs(r.relevance) for r in rows), default=0.0) / 100
    ordered = sorted((r for r in rows if abs(r.relevance) > least), key=lambda r: -abs(r.relevance))
    favour = [r for r in ordered if r.relevance > 0]
    return favour[:most], [r for r in ordered if r.relevance < 0][:most]


def _write_amount_of(part: str, row: Row | Tile) -> str:
    """Return a part of the recording with its relevance and its share."""
    percent = f"{100 * row.share:.{0 if abs(row.share) >= 0.1 else 1}f}".replace("-", "−")
    share = f" ({percent} %)" if math.isfinite(row.share) else ""
    return f"{part}: {format_number(row.relevance)}{share}".replace("\N{NO-BREAK SPACE}", " ")
