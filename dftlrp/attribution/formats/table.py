"""The table of formats, and how a file's format is told: by what it holds, or else by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from dftlrp.attribution.formats.array_files import open_mat, open_npy, open_npz
from dftlrp.attribution.formats.contents import Contents, Source
from dftlrp.attribution.formats.sound_files import open_sound

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


FORMATS = (
    Format("NumPy array", _begins(rb"\x93NUMPY"), open_npy),
    Format("NumPy arrays", _begins(rb"PK\x03\x04"), open_npz),
    Format("MATLAB", _is_matlab, open_mat),
    Format("sound", _begins(b""), open_sound),
)


def find_format(source: Source) -> Format:
    """Return the format of a file."""
    source.file.seek(0)
    head = source.file.read(HEAD)
    return next(f for f in FORMATS if f.matches(head, source))
