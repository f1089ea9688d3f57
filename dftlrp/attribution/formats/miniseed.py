"""miniSEED 2 and 3, by pymseed (Apache-2.0): records of one channel each, in any order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.formats.contents import (
    UNEVEN,
    Channel,
    Contents,
    Source,
    check_claim,
    check_rate,
    import_reader,
    refuse_undecodable,
)
from dftlrp.core.types import InputError, Real

MINISEED = "a miniSEED file"
TEXTS = {0, 255}  # encodings that hold no samples
FLOATS = {4, 5}
SECOND = 10**9  # nanoseconds


class _Piece(NamedTuple):
    """A record: its start (ns), samples, rate, place and length in bytes, and encoding."""

    start: int
    samples: int
    rate: float
    place: int
    length: int
    encoding: int


@contextmanager
def open_miniseed(source: Source) -> Iterator[Contents]:
    """Open the channels of a file, each of which must be without gaps."""
    pymseed = import_reader("pymseed", "biosignals", "miniSEED")
    pieces = dict[str, list[_Piece]]()
    place = left = 0
    source.file.seek(0)
    with refuse_undecodable(MINISEED):
        for record in pymseed.MS3Record.from_filelike(source.file):
            piece = _Piece(
                record.starttime, record.samplecnt, float(record.samprate), place, record.reclen,
                record.encoding,
            )  # fmt: skip
            place += record.reclen
            if piece.samples > 0 and piece.encoding not in TEXTS:
                pieces.setdefault(record.sourceid, []).append(piece)
            else:
                left += 1
        stations = {name: pymseed.sourceid2nslc(name) for name in pieces}
    if not pieces:
        raise InputError("holds no samples")
    check_claim(sum(p.samples for own in pieces.values() for p in own), source.size)
    alone = len({station[:3] for station in stations.values()}) == 1
    names = {k: s[3] if alone else ".".join(s) for k, s in stations.items()}
    first = min(p.start for own in pieces.values() for p in own)
    for key, own in pieces.items():
        own.sort()
        _refuse_gaps(names[key], own, first)
    channels = tuple(
        Channel(
            sum(p.samples for p in own), check_rate(own[0].rate), names[key],
            "" if own[0].encoding in FLOATS else "counts", (own[0].start - first) / SECOND,
        )
        for key, own in pieces.items()
    )  # fmt: skip
    notes = (f"{left} records without samples left out",) if left else ()
    reader = _Traces(source, pymseed.MS3Record, list(pieces.values()))
    yield Contents(channels, reader.read, notes=notes)


def _refuse_gaps(name: str, pieces: Sequence[_Piece], first: int) -> None:
    """Refuse records of one channel that do not follow each other."""
    for one, other in pairwise(pieces):
        if other.rate != one.rate:
            raise InputError(f"{name!r} changes its rate from {one.rate:g} to {other.rate:g} Hz")
        end = one.start + round(one.samples / one.rate * SECOND)
        late = (other.start - end) / SECOND
        if abs(late) * one.rate > UNEVEN:
            what = "a gap" if late > 0 else "an overlap"
            at = (end - first) / SECOND
            raise InputError(f"{name!r} has {what} of {abs(late):g} s at {at:g} s: cut it there")


class _Traces:
    """The records of each channel, decoded when their samples are asked for."""

    def __init__(self, source: Source, record: Any, pieces: Sequence[Sequence[_Piece]]) -> None:
        self.source, self.record, self.pieces = source, record, pieces
        counts = [[p.samples for p in own] for own in pieces]
        self.starts = [np.concatenate([[0], np.cumsum(own)]) for own in counts]

    def read(self, channels: Sequence[int], start: int, stop: int) -> Real:
        """Return a stretch of some channels, as `Contents.read` does."""
        rows = np.zeros((len(channels), stop - start))
        for row, channel in zip(rows, channels, strict=True):
            starts, place = self.starts[channel], start
            number = bisect_right(starts, start) - 1
            while place < stop:
                samples = self._decode(self.pieces[channel][number])
                own = samples[place - starts[number] : stop - starts[number]]
                row[place - start : place - start + len(own)] = own
                place, number = place + len(own), number + 1
        return rows

    def _decode(self, piece: _Piece) -> Any:
        self.source.file.seek(piece.place)
        with refuse_undecodable(MINISEED):
            record = self.record.parse(self.source.file.read(piece.length), unpack_data=True)
            samples = np.array(record.np_datasamples, np.float64)
        if len(samples) != piece.samples:
            raise InputError(f"a record holds {len(samples)} samples and states {piece.samples}")
        return samples
