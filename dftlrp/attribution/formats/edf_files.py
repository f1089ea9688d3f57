"""EDF and BDF, with plus or without, by edfio (Apache-2.0): records of all channels in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.attribution.formats.contents import (
    Channel,
    Contents,
    Source,
    import_reader,
    refuse_undecodable,
)
from dftlrp.core.types import InputError, Real

BDF = b"\xffBIOSEMI"
FIELDS = 216  # bytes of what a header holds of each channel before its samples in a record


@dataclass(frozen=True)
class _Records:
    """Where the records of a file lie.

    edfio decodes a file that is made of the header and those records that are asked for, so that
    the rest is never read.
    """

    source: Source
    edfio: Any
    header: bytes
    samples: tuple[int, ...]  # in a record, of each channel and of annotations

    @property
    def is_bdf(self) -> bool:
        """Whether a sample has 24 bits."""
        return self.header.startswith(BDF)

    @property
    def width(self) -> int:
        """Bytes of a record."""
        return sum(self.samples) * (3 if self.is_bdf else 2)

    @property
    def count(self) -> int:
        """Records in the file."""
        return (self.source.size - len(self.header)) // self.width

    def decode(self, first: int, last: int) -> Any:
        """Return edfio's object for the records from ``first`` to before ``last``."""
        self.source.file.seek(len(self.header) + first * self.width)
        data = self.header + self.source.file.read((last - first) * self.width)
        read = self.edfio.read_bdf if self.is_bdf else self.edfio.read_edf
        return read(data, header_encoding="latin-1")

    def read(self, channels: Sequence[int], start: int, stop: int) -> Real:
        """Return a stretch of some channels, as `Contents.read` does."""
        with refuse_undecodable("an EDF file"):
            signals = self.decode(0, 0).signals
            each = signals[channels[0]].samples_per_data_record
            for signal in (signals[i] for i in channels):
                if signal.physical_min == signal.physical_max:
                    raise InputError(f"channel {signal.label!r} states no range of its values")
            first, last = start // each, -(-stop // each)
            decoded = self.decode(first, last).signals
            rows = [decoded[i].data[start - first * each : stop - first * each] for i in channels]
        return np.array(rows, np.float64)


@contextmanager
def open_edf(source: Source) -> Iterator[Contents]:
    """Open a file whose values come in the unit that it states."""
    edfio = import_reader("edfio", "biosignals", "EDF and BDF")
    source.file.seek(0)
    with refuse_undecodable("an EDF file"):
        head = source.file.read(256)
        size, stated, count = int(head[184:192]), int(head[236:244]), int(head[252:256])
        if size != 256 * (count + 1) or size > source.size:
            raise InputError("truncated: the header is not complete")
        source.file.seek(0)
        header = source.file.read(size)
        place = 256 + FIELDS * count
        samples = tuple(int(header[place + 8 * i : place + 8 * i + 8]) for i in range(count))
        if not samples or min(samples) < 1:
            raise InputError("holds no samples")
        records = _Records(source, edfio, header, samples)
        if (missing := stated * records.width + size - source.size) > 0:
            raise InputError(f"truncated: {missing} bytes of the records are missing")
        frames = records.count if stated < 0 else stated
        whole = records.decode(0, 0)
        channels = tuple(
            Channel(
                frames * s.samples_per_data_record, float(s.sampling_frequency), s.label,
                s.physical_dimension,
            )
            for s in whole.signals
        )  # fmt: skip
        if not channels:
            raise InputError("holds annotations only")
        if b"+D" in header[192:197] and not records.decode(0, frames).is_continuous:
            raise InputError("is not continuous (EDF+D): cut it into parts without gaps")
    yield Contents(channels, records.read)
