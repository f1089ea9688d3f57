"""The table of formats, and how a file's format is told: by what it holds, or else by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from dftlrp.attribution.formats.array_files import open_mat, open_npy, open_npz
from dftlrp.attribution.formats.contents import Contents, Source
from dftlrp.attribution.formats.edf_files import open_edf
from dftlrp.attribution.formats.miniseed import open_miniseed
from dftlrp.attribution.formats.sound_files import open_sound
from dftlrp.attribution.formats.text_tables import open_table
from dftlrp.attribution.formats.video_sound import find_container, open_media
from dftlrp.attribution.formats.wfdb_records import find_wfdb_header, open_wfdb

TABLES = {".csv", ".tsv", ".tab", ".txt", ".asc", ".dat"}
SIGNALS = TABLES - {".txt", ".dat", ".asc"} | {
    ".npy", ".npz", ".mat", ".edf", ".bdf", ".hea", ".mseed", ".miniseed",
    ".m4a", ".aac", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wma", ".wmv", ".amr",
}  # fmt: skip
HEAD = 4096  # bytes by which a format is known


class Format(NamedTuple):
    """A format: its name, how it is known (from the first bytes and the source), what opens it."""

    name: str
    matches: Callable[[bytes, Source], bool]
    open: Callable[[Source], AbstractContextManager[Contents]]


def _begins(pattern: bytes) -> Callable[[bytes, Source], bool]:
    """Return what matches files whose first bytes are these, whatever their name."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda head, _: compiled.match(head) is not None


def _is_matlab(head: bytes, source: Source) -> bool:
    """Return whether this is MATLAB's, but no sound that libsndfile wrote in that format."""
    if b"samplerate" in head and b"wavedata" in head:
        return False
    return head.startswith((b"MATLAB ", b"\x89HDF")) or source.path.suffix.lower() == ".mat"


def _is_wfdb(head: bytes, source: Source) -> bool:
    """Return whether this is the header of a record, or a file of samples that one names."""
    if source.path.suffix not in {".hea", ".dat", ".mat"}:
        return False
    return find_wfdb_header(source.path) is not None


def _is_text(head: bytes, source: Source) -> bool:
    """Return whether this is text with the suffix of a table."""
    named = source.path.suffix.lower() in TABLES
    return named and re.search(rb"[\0-\x08\x0e-\x1f]", head) is None


FORMATS = (
    Format("NumPy array", _begins(rb"\x93NUMPY"), open_npy),
    Format("NumPy arrays", _begins(rb"PK\x03\x04"), open_npz),
    Format("EDF", _begins(rb"0 {7}|\xffBIOSEMI"), open_edf),
    Format("miniSEED", _begins(rb"\d{6}[DRQM][ \0]|MS\x03"), open_miniseed),
    Format("media", lambda head, _: find_container(head) is not None, open_media),
    Format("WFDB", _is_wfdb, open_wfdb),
    Format("MATLAB", _is_matlab, open_mat),
    Format("table", _is_text, open_table),
    Format("sound", _begins(b""), open_sound),
)


def find_format(source: Source) -> Format:
    """Return the format of a file."""
    source.file.seek(0)
    head = source.file.read(HEAD)
    return next(f for f in FORMATS if f.matches(head, source))
