"""A recording cut into units of a domain: segments of time, bands of frequency, or tiles of both.

The difference x - r between a recording and its reference is the sum of the parts of all units,
each of them a signal.  So a recording in which units are replaced by those of the reference is r
plus the parts of the others.  In frequency a part is the inverse transform of the bins of its
band, in time-frequency that of the cells of its tile.  Each channel has units of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.data import Waveform
from dftlrp.results.questions import choose_width, round_up, split_axis
from dftlrp.spectral import Dft, Stft

SEGMENTS, COLUMNS = 50, 16  # of time at most: alone, and in tiles
BANDS = 3  # of a table that make one of a tile: an octave
MOST_UNITS = 4096
EPSILON = 1e-12  # 3 * 0.1 is 0.30000000000000004


class Widths(NamedTuple):
    """Length of segments in seconds, width of bands in hertz; None: what suits the recording."""

    segment: float | None = None
    band: float | None = None


class Block(NamedTuple):
    """Parts that begin at the same sample of a channel, (units, length); ``first`` is a unit."""

    channel: int
    start: int
    first: int
    parts: Real


@dataclass(frozen=True, eq=False)
class Units:
    """The parts of a recording.

    Attributes
    ----------
    reference : array (channels, N)
        What is left where no unit takes part.
    places : array of int
        The unit of each value, in the shape of the domain's arrays.
    count : int
        How many units there are.
    blocks : tuple of Block
        Their parts, in the order of the units.
    """

    reference: Real
    places: AnyArray
    count: int
    blocks: tuple[Block, ...]

    def mix(self, masks: AnyArray) -> Real:
        """Return recordings (sets, channels, N) of the units that masks (sets, units) keep."""
        mixed = np.repeat(self.reference[None], len(masks), axis=0)
        for channel, start, first, parts in self.blocks:
            stop = start + parts.shape[1]
            mixed[:, channel, start:stop] += masks[:, first : first + len(parts)] @ parts
        return mixed

    def spread(self, values: Real) -> Real:
        """Return the value of each unit, shared evenly by its points, in the domain's shape."""
        shares = values / np.bincount(self.places.ravel(), minlength=self.count)
        spread: Real = shares[self.places]
        return spread


def cut(w: Waveform, reference: Real, domain: str, widths: Widths) -> Units:
    """Return the units of a recording in a domain.

    Parameters
    ----------
    w : Waveform
        The recording, with its rate and the settings of the short-time transform.
    reference : array
        In the shape of the recording.
    domain : {"time", "frequency", "time-frequency"}
    widths : Widths
        Default: segments and bands as in the tables of a result, but at most `SEGMENTS` segments;
        tiles of at most `COLUMNS` in time, and of three such bands.

    Raises
    ------
    InputError
        There would be too many units.
    """
    r = np.atleast_2d(reference)
    difference = np.atleast_2d(w.x) - r
    blocks, places = CUTS[domain](w, difference, widths)
    count = sum(len(block.parts) for block in blocks)
    return Units(r, places if w.x.ndim > 1 else places[0], count, tuple(blocks))


def _cut_time(w: Waveform, x: Real, widths: Widths) -> tuple[list[Block], AnyArray]:
    """Return the parts of segments, and the unit of each sample."""
    place = _number(_find_segments(w, widths))
    _refuse_many(len(x) * (place[-1] + 1))
    edges = np.flatnonzero(np.diff(place, prepend=-1, append=-1))
    blocks = [
        Block(c, int(a), c * (place[-1] + 1) + k, x[c : c + 1, a:b])
        for c in range(len(x))
        for k, (a, b) in enumerate(pairwise(edges))
    ]
    return blocks, _add_channels(place, len(x))


def _cut_frequency(w: Waveform, x: Real, widths: Widths) -> tuple[list[Block], AnyArray]:
    """Return the parts of bands, and the unit of each bin."""
    domain = Dft(x.shape[-1])
    place = _number(_find_bands(w, np.fft.rfftfreq(domain.n, 1 / w.rate), widths, 1))
    _refuse_many(len(x) * (place[-1] + 1))
    bands = place == np.arange(place[-1] + 1)[:, None]
    blocks = [
        Block(c, 0, c * len(bands), np.array([domain.synthesis(y * band) for band in bands]))
        for c, y in enumerate(domain.analysis(x))
    ]
    return blocks, _add_channels(place, len(x))


def _cut_tiles(w: Waveform, x: Real, widths: Widths) -> tuple[list[Block], AnyArray]:
    """Return the parts of tiles, and the unit of each cell."""
    domain = Stft(x.shape[-1], **w.stft)
    hertz = np.fft.rfftfreq(domain.n_fft, 1 / w.rate)
    rows = _number(_find_bands(w, hertz, widths, BANDS))
    columns = _number(_find_columns(w, domain.times, widths))
    tall, wide = rows[-1] + 1, columns[-1] + 1
    _refuse_many(len(x) * tall * wide)
    blocks = []
    for c, y in enumerate(domain.analysis(x)):
        for j in range(wide):
            frames = np.where(columns == j, y, 0)
            parts = np.array([domain.synthesis(frames * (rows == k)[:, None]) for k in range(tall)])
            heard = np.flatnonzero(parts.any(axis=0))
            start, stop = (heard[0], heard[-1] + 1) if len(heard) else (0, 1)
            first = (c * wide + j) * tall
            blocks.append(Block(c, int(start), first, parts[:, start:stop].copy()))
    return blocks, _add_channels(columns * tall + rows[:, None], len(x))


CUTS = {"time": _cut_time, "frequency": _cut_frequency, "time-frequency": _cut_tiles}


def _find_segments(w: Waveform, widths: Widths) -> AnyArray:
    """Return the segment of each sample."""
    count = w.x.shape[-1]
    width = widths.segment or max(
        choose_width(None, "segments", w.rate), round_up(count / w.rate / SEGMENTS)
    )
    return split_axis(np.arange(count) / w.rate, "segments", w.rate, width)[0]


def _find_columns(w: Waveform, times: Real, widths: Widths) -> AnyArray:
    """Return the column of tiles of each frame; frames centred in the padding lie at the ends."""
    last = w.x.shape[-1] - 1
    width = widths.segment or max(
        choose_width(None, "segments", w.rate), round_up(w.x.shape[-1] / w.rate / COLUMNS)
    )
    place: AnyArray = np.floor(np.clip(times, 0, last) / w.rate / width * (1 + EPSILON))
    return place.astype(np.int64)


def _find_bands(w: Waveform, hertz: Real, widths: Widths, merged: int) -> AnyArray:
    """Return the band of each bin; where no width is given, so many of a table are one."""
    place = np.asarray(split_axis(hertz, "bands", w.rate, widths.band)[0]).astype(int)
    return place if widths.band else place // merged


def _number(places: AnyArray) -> AnyArray:
    """Return units numbered without gaps."""
    return np.asarray(np.unique(places, return_inverse=True)[1])


def _add_channels(places: AnyArray, channels: int) -> AnyArray:
    """Return the units of all channels, one after the other."""
    count = int(places.max()) + 1
    return np.stack([places + c * count for c in range(channels)])


def _refuse_many(count: int) -> None:
    """Refuse more units than a method can value."""
    if count > MOST_UNITS:
        raise InputError(
            f"{count} units are too many (at most {MOST_UNITS}): take wider ones, by segment= in "
            "seconds and band= in hertz"
        )
