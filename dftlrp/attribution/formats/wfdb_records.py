"""WFDB, PhysioNet's format, by wfdb (MIT): a header in text and the files that it names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.attribution.formats.contents import (
    Channel,
    Contents,
    Source,
    check_claim,
    import_reader,
    refuse_undecodable,
)
from dftlrp.core.files import regular
from dftlrp.core.types import InputError, Real

RECORD = "a WFDB record"
MOST_SEGMENTS = 10_000
GAP = "~"  # a segment that is none


def find_wfdb_header(path: Path) -> Path | None:
    """Return the header of a record, of which this may be the header or a file of samples."""
    header = path.with_suffix(".hea")
    if path.suffix == ".hea":
        return path
    try:
        text = header.read_text("utf-8", errors="replace")[: 2**16] if header.is_file() else ""
    except OSError:
        return None
    return header if any(line.split()[:1] == [path.name] for line in text.splitlines()) else None


@contextmanager
def open_wfdb(source: Source) -> Iterator[Contents]:
    """Open a record whose values come in the units that its header states."""
    wfdb = import_reader("wfdb", "biosignals", "WFDB")
    header = find_wfdb_header(source.path) or source.path
    name = os.fspath(header.absolute().with_suffix(""))
    with refuse_undecodable(RECORD):
        record = wfdb.rdheader(name, rd_segments=True)
        beside = _list_files(record, header.parent)
        if not record.sig_len or not record.n_sig:
            raise InputError("its header states no length" if record.n_sig else "holds no signals")
        sizes = sum(_measure_file(path) for path in beside)
        check_claim(record.sig_len * record.n_sig, sizes)
        channels = tuple(_list_channels(record))
    own = {header, *beside} - {source.path}
    reader = _Record(wfdb, name, channels, record.sig_len)
    yield Contents(channels, reader.read, beside=tuple(sorted(own)))


def _list_files(record: Any, folder: Path) -> list[Path]:
    """Return the files of a record and of its segments; refuse names that lead elsewhere."""
    names = dict.fromkeys(getattr(record, "file_name", None) or ())
    segments = getattr(record, "seg_name", None) or ()
    if len(segments) > MOST_SEGMENTS:
        raise InputError(f"{len(segments)} segments are too many")
    for segment, own in zip(segments, getattr(record, "segments", None) or (), strict=False):
        if segment != GAP and own is not None:
            names |= dict.fromkeys([f"{segment}.hea", *(own.file_name or ())])
    for name in names:
        if Path(name).name != name or name in {"", ".", ".."}:
            raise InputError(f"its header names a file {name!r} that does not lie beside it")
    return [folder / name for name in names if name != f"{GAP}.hea"]


def _measure_file(path: Path) -> int:
    with regular(path, InputError) as (_, size):
        return size


def _list_channels(record: Any) -> Iterator[Channel]:
    """Yield the channels of a record, or those that its segments have in common."""
    one = record
    if segments := [s for s in getattr(record, "segments", None) or () if s is not None]:
        one = segments[0]
    for i in range(one.n_sig):
        each = one.samps_per_frame[i] or 1
        yield Channel(
            record.sig_len * each, float(record.fs) * each, one.sig_name[i] or "",
            one.units[i] or "",
        )  # fmt: skip


class _Record:
    """A record, and how many samples of each channel a frame holds."""

    def __init__(self, wfdb: Any, name: str, channels: Sequence[Channel], frames: int) -> None:
        self.wfdb, self.name = wfdb, name
        self.each = [channel.frames // frames for channel in channels]

    def read(self, channels: Sequence[int], start: int, stop: int) -> Real:
        """Return a stretch of some channels, as `Contents.read` does."""
        each = self.each[channels[0]]
        first, last = start // each, -(-stop // each)
        with refuse_undecodable(RECORD):
            found = self.wfdb.rdrecord(
                self.name, first, last, channels=list(channels), smooth_frames=False, return_res=64
            )
            whole = np.array(found.e_p_signal, np.float64)
        rows: Real = whole[:, start - first * each : stop - first * each]
        if rows.shape[1] != stop - start:
            raise InputError(f"truncated: {stop - start - rows.shape[1]} samples are missing")
        return rows
