"""Relevance pooled to the units in which it is shown and told: segments, bands and tiles.

Single samples and bins of a Fourier transform are finer than anything that a model tells apart, and
their relevance cancels with that of their neighbours, so that a list of them names noise.  One
table of wider units is made here, and figure, report, lists and command line all read it:

=========  ==================  ===================================================================
segments   over time           20 ms, or more: each holds at least 20 samples, and there are at
                               most 160
bands      over frequency      thirds of an octave (IEC 61260; the lowest reaches down to 0); some
                               40 equal ones for signals of fewer than 3000 samples per second;
                               24 equally wide on the mel scale where the model reads mel bands
tiles      time and frequency  such bands times such segments, none shorter than a window of the
                               transform, which tells nothing shorter apart
=========  ==================  ===================================================================

A point belongs to the unit in which it lies: start <= point < stop.  Units lie side by side without
gaps: where a band would hold no bin, its neighbour below reaches up to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real as Number
from typing import NamedTuple

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.data import ExplanationData
from dftlrp.spectral.mel import hertz_to_mel, mel_to_hertz

POOLED: Mapping[str, str] = {"segments": "time", "bands": "frequency", "tiles": "time-frequency"}
UNITS = {"segments": ("s",), "bands": ("Hz",), "tiles": ("Hz", "s")}
AUDIO_HZ = 3000  # bands of a third of an octave from here on, else equal ones
SEGMENT_SECONDS, SEGMENT_SAMPLES, SEGMENTS = 0.02, 20, 160
BANDS, MEL_BANDS = 40, 24
TOLERANCE = 1e-6  # of the spacing of an axis: 3 * 0.1 is 0.30000000000000004


class Pooled(NamedTuple):
    """Relevance of one domain in units, several channels added up.

    Attributes
    ----------
    domain : str
        ``"time"``, ``"frequency"`` or ``"time-frequency"``.
    edges : tuple of arrays
        Where units start and the last one stops: (n + 1,) in seconds or in hertz; of tiles both,
        hertz first.
    units : tuple of str
        ``"s"`` or ``"Hz"`` for each axis.
    width : str
        How wide a unit is, in words: ``"20 ms"``, ``"⅓ octave"``.
    net, favour, against : array (n,), of tiles (bands, segments)
        Sum of R, of its positive and of its negative part in each unit: net = favour + against.
    """

    domain: str
    edges: tuple[Real, ...]
    units: tuple[str, ...]
    width: str
    net: Real
    favour: Real
    against: Real

    @property
    def cancellation(self) -> float:
        """The sum of |net| over |the sum of net|: 1 where no two units cancel; NaN where 0 / 0."""
        amount, total = float(np.abs(self.net).sum()), abs(float(self.net.sum()))
        return amount / total if total else (math.inf if amount else math.nan)


class Cut(NamedTuple):
    """The unit of each point of an axis, the edges of the units, and their width in words."""

    place: AnyArray
    edges: Real
    width: str


def pool_relevance(explanation: ExplanationData, what: str, width: float | None = None) -> Pooled:
    """Return the relevance of a domain in segments, bands or tiles.

    Parameters
    ----------
    what : {"segments", "bands", "tiles"}
        Units of time, of frequency, of both.
    width : float, optional
        Of segments in seconds, or of bands in hertz, instead of the usual ones; of tiles there
        are only these.

    Raises
    ------
    InputError
        If ``what`` is unknown, its domain is missing, or the width is not a positive number or
        that of a tile.
    """
    what = find_name(what, sorted(POOLED), "unknown units")
    if what == "tiles" and width is not None:
        raise InputError("tiles have no single width: leave it out")
    domain = POOLED[what]
    R = read_relevance(explanation, domain)
    axes = explanation.axes[domain]
    hertz, seconds = axes if isinstance(axes, tuple) else (axes, axes)
    cuts = []
    if what != "segments":
        cuts.append(_cut_bands(explanation, np.asarray(hertz, np.float64), width))
    if what != "bands":
        window = explanation.stft.get("n_fft", 0) if what == "tiles" else 0
        least = max(SEGMENT_SAMPLES, window) / explanation.rate
        cuts.append(_cut_segments(explanation, np.asarray(seconds, np.float64), width, least))
    parts = R.reshape(-1, *R.shape[R.ndim - len(cuts) :])
    net, favour, against = (
        _add_up_units(part.sum(axis=0), cuts)
        for part in (parts, np.maximum(parts, 0.0), np.minimum(parts, 0.0))
    )
    wide = " and ".join(c.width for c in cuts)
    return Pooled(domain, tuple(c.edges for c in cuts), UNITS[what], wide, net, favour, against)


def read_relevance(explanation: ExplanationData, domain: str) -> Real:
    """Return the relevance of a domain in float64; raise InputError if there is none."""
    if domain not in explanation.relevance:
        raise InputError(f"the explanation lacks the {domain!r} domain; ask for it with domains=")
    return np.asarray(explanation.relevance[domain], np.float64)


def measure_spacing(axis: Real) -> float:
    """Return what the points of an axis lie apart; 1 if there is one."""
    return float(axis[1] - axis[0]) if len(axis) > 1 else 1.0


def round_up(value: float) -> float:
    """Return the smallest of ... 0.5, 1, 2, 5, 10, 20, 50 ... that is not less."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next(s for s in (1, 2, 5, 10) if s * power >= value * (1 - TOLERANCE))
    return float(f"{step * power:.12g}")


def _add_up_units(values: Real, cuts: Sequence[Cut]) -> Real:
    """Return the sum of each unit, an axis at a time."""
    for axis, cut in enumerate(cuts):
        starts = np.flatnonzero(np.diff(cut.place, prepend=-1))
        values = np.add.reduceat(values, starts, axis=axis)
    return values


def _cut_bands(e: ExplanationData, hertz: Real, width: float | None) -> Cut:
    """Return the band of each frequency."""
    end = e.rate / 2
    if width is not None:
        return _cut_equally(hertz, end, _check_width(width), "Hz")
    if _reads_mel(e):
        top = float(hertz_to_mel(np.array([end]))[0])
        edges = mel_to_hertz(np.linspace(0.0, top, MEL_BANDS + 1))
        return _cut_at(hertz, np.append(edges[:-1], end), "mel band")
    if e.rate < AUDIO_HZ:
        return _cut_equally(hertz, end, round_up(end / BANDS), "Hz")
    inner = 1000 * 10 ** ((np.arange(-17, 60) - 0.5) / 10)
    edges = np.array([0.0, *inner[inner < end * (1 - TOLERANCE)], end])
    return _cut_at(hertz, edges, "⅓ octave")


def _reads_mel(e: ExplanationData) -> bool:
    """Return whether the model reads mel bands, or these are looked at."""
    return e.provenance.get("front end") == "mel" or "mel" in e.relevance


def _cut_segments(e: ExplanationData, seconds: Real, width: float | None, least: float) -> Cut:
    """Return the segment of each sample or frame; frames in the padding lie at its ends."""
    count = e.signal["time"].shape[-1] if "time" in e.signal else 0
    end = e.start + count / e.rate if count else float(seconds[-1]) + measure_spacing(seconds)
    if width is None:
        width = max(SEGMENT_SECONDS, round_up(max(least, (end - e.start) / SEGMENTS)))
    inside = np.clip(seconds, e.start, np.nextafter(end, 0.0))
    return _cut_equally(inside, end, _check_width(width), "s", e.start)


def _check_width(width: float) -> float:
    if not (isinstance(width, Number) and 0 < width < math.inf):
        raise InputError(f"width {width!r}: a positive number is needed")
    return float(width)


def _cut_equally(axis: Real, end: float, width: float, unit: str, start: float = 0.0) -> Cut:
    """Return units of equal width, counted from 0; the first and the last may be narrower."""
    last = max(math.ceil(end / width * (1 - TOLERANCE)) - 1, 0)  # what lies at the end is in it
    place = np.minimum(np.floor((axis + TOLERANCE * measure_spacing(axis)) / width), last)
    numbers = np.unique(place)
    starts = [max(float(f"{k * width:.12g}"), start) for k in numbers]
    stop = min(float(f"{(numbers[-1] + 1) * width:.12g}"), end)
    told = f"{1000 * width:.4g} ms" if unit == "s" else f"{width:.4g} Hz"
    return Cut(place, np.array([*starts, stop]), told)


def _cut_at(axis: Real, edges: Real, width: str) -> Cut:
    """Return units between given edges, of which those that hold no point are left out."""
    place = np.searchsorted(edges[1:-1], axis, side="right")
    numbers = np.unique(place)
    return Cut(place, np.append(edges[numbers], edges[numbers[-1] + 1]), width)
