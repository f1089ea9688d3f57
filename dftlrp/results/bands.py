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
    """An axis in units: of each explanation the unit of each point; edges; width in words."""

    places: list[AnyArray]
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
    return pool_together([explanation], what, width)[0]


def pool_together(
    explanations: Sequence[ExplanationData], what: str, width: float | None = None
) -> list[Pooled]:
    """Return the relevance of several explanations in the same units.

    They are those of `pool_relevance` where the recordings have the same axes.  Where these differ,
    segments are as wide as the widest of them, and a band is left out that holds no bin of one of
    them; a unit beyond the end of a recording holds nothing of it.
    """
    what = find_name(what, sorted(POOLED), "unknown units")
    if what == "tiles" and width is not None:
        raise InputError("tiles have no single width: leave it out")
    domain = POOLED[what]
    arrays = [read_relevance(e, domain) for e in explanations]
    axes = [e.axes[domain] if what == "tiles" else (e.axes[domain],) * 2 for e in explanations]
    hertz, seconds = ([np.asarray(pair[i], np.float64) for pair in axes] for i in (0, 1))
    cuts = []
    if what != "segments":
        cuts.append(_cut_bands(explanations, hertz, width))
    if what != "bands":
        cuts.append(_cut_segments(explanations, seconds, width, what == "tiles"))
    wide, edges = " and ".join(c.width for c in cuts), tuple(c.edges for c in cuts)
    return [
        Pooled(domain, edges, UNITS[what], wide, *_add_up_signs(R, k, cuts))
        for k, R in enumerate(arrays)
    ]


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


def _add_up_signs(R: Real, k: int, cuts: Sequence[Cut]) -> list[Real]:
    """Return the sums of explanation k, of what is positive in it and of what is negative."""
    parts = R.reshape(-1, *R.shape[R.ndim - len(cuts) :])
    signs = (parts, np.maximum(parts, 0.0), np.minimum(parts, 0.0))
    return [_add_up_units(part.sum(axis=0), k, cuts) for part in signs]


def _add_up_units(values: Real, k: int, cuts: Sequence[Cut]) -> Real:
    """Return the sum of each unit, an axis at a time; 0 where no point lies."""
    for axis, cut in enumerate(cuts):
        place = cut.places[k]
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        held = np.moveaxis(np.add.reduceat(values, starts, axis=axis), axis, 0)
        summed = np.zeros((len(cut.edges) - 1, *held.shape[1:]))
        summed[place[starts]] = held
        values = np.moveaxis(summed, 0, axis)
    return values


def _cut_bands(
    explanations: Sequence[ExplanationData], hertz: Sequence[Real], width: float | None
) -> Cut:
    """Return the band of each frequency."""
    ends = [e.rate / 2 for e in explanations]
    end = max(ends)
    if width is not None:
        return _cut_equally(hertz, ends, _check_width(width))
    if all(map(_reads_mel, explanations)):
        top = float(hertz_to_mel(np.array([end]))[0])
        edges = mel_to_hertz(np.linspace(0.0, top, MEL_BANDS + 1))
        return _cut_at(hertz, np.append(edges[:-1], end), "mel band")
    if 2 * end < AUDIO_HZ:
        return _cut_equally(hertz, ends, round_up(end / BANDS))
    inner = 1000 * 10 ** ((np.arange(-17, 60) - 0.5) / 10)
    edges = np.array([0.0, *inner[inner < end * (1 - TOLERANCE)], end])
    return _cut_at(hertz, edges, "⅓ octave")


def _reads_mel(e: ExplanationData) -> bool:
    """Return whether the model reads mel bands, or these are looked at."""
    return e.provenance.get("front end") == "mel" or "mel" in e.relevance


def _cut_segments(
    explanations: Sequence[ExplanationData],
    seconds: Sequence[Real],
    width: float | None,
    windowed: bool,
) -> Cut:
    """Return the segment of each sample or frame; frames in the padding lie at its ends."""
    ends, usual = [], []
    for e, axis in zip(explanations, seconds, strict=True):
        count = e.signal["time"].shape[-1] if "time" in e.signal else 0
        end = e.start + count / e.rate if count else float(axis[-1]) + measure_spacing(axis)
        least = max(SEGMENT_SAMPLES, e.stft.get("n_fft", 0) if windowed else 0) / e.rate
        usual.append(max(SEGMENT_SECONDS, round_up(max(least, (end - e.start) / SEGMENTS))))
        ends.append(end)
    inside = [
        np.clip(axis, e.start, np.nextafter(end, 0.0))
        for e, axis, end in zip(explanations, seconds, ends, strict=True)
    ]
    start = min(e.start for e in explanations)
    return _cut_equally(inside, ends, _check_width(max(usual) if width is None else width), start)


def _check_width(width: float) -> float:
    if not (isinstance(width, Number) and 0 < width < math.inf):
        raise InputError(f"width {width!r}: a positive number is needed")
    return float(width)


def _cut_equally(
    axes: Sequence[Real], ends: Sequence[float], width: float, start: float | None = None
) -> Cut:
    """Return units of equal width, counted from 0; the first and the last may be narrower.

    Of seconds from a start on; without one, of hertz.
    """
    found = []
    for axis, end in zip(axes, ends, strict=True):
        last = max(math.ceil(end / width * (1 - TOLERANCE)) - 1, 0)  # what lies at the end is in it
        room = TOLERANCE * float(np.max(np.diff(axis), initial=0.0))  # frames at the ends coincide
        found.append(np.minimum(np.floor((axis + room) / width), last))
    numbers = _share_units(found)
    starts = [max(float(f"{k * width:.12g}"), start or 0.0) for k in numbers]
    stop = min(float(f"{(numbers[-1] + 1) * width:.12g}"), max(ends))
    told = f"{1000 * width:.4g} ms" if start is not None else f"{width:.4g} Hz"
    return Cut(_place_in(found, numbers), np.array([*starts, stop]), told)


def _cut_at(axes: Sequence[Real], edges: Real, width: str) -> Cut:
    """Return units between given edges, of which those that hold no point are left out."""
    found = [np.searchsorted(edges[1:-1], axis, side="right") for axis in axes]
    numbers = _share_units(found)
    return Cut(_place_in(found, numbers), np.append(edges[numbers], edges[numbers[-1] + 1]), width)


def _share_units(found: Sequence[AnyArray]) -> AnyArray:
    """Return the units that hold a point of every axis that reaches them, and the first one."""
    units = np.unique(np.concatenate(found))
    shared = [np.isin(units, one) | (units > one[-1]) for one in found]
    kept = np.logical_and.reduce(shared)
    kept[0] = True
    return np.asarray(units[kept])


def _place_in(found: Sequence[AnyArray], units: AnyArray) -> list[AnyArray]:
    """Return of each point the number of its unit among those that are kept: the next below."""
    return [np.searchsorted(units, one, side="right") - 1 for one in found]
