"""What is a recording by its name, and what is several of them: folders, lists, patterns.

Nothing is read here but the head of a table, so that a command soon knows what it was given.
"""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from dftlrp.attribution.formats.table import SIGNALS
from dftlrp.core.files import regular
from dftlrp.core.types import InputError

Source = str | os.PathLike[str]

SOUNDS = frozenset({
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au",
    ".snd", ".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".ircam", ".sf", ".paf", ".pvf",
    ".avr", ".wve", ".xi", ".sds", ".svx", ".iff", ".mpc", ".htk",
})  # fmt: skip
SUFFIXES = SOUNDS | SIGNALS  # of files that are recordings where a folder is searched
TABLE = ".csv"
HEAD = 2**16  # bytes that are read to tell a list of files from a table of samples


def is_many(sources: Sequence[Source]) -> bool:
    """Return whether sources are several recordings: a folder, a list, a pattern, or several."""
    if len(sources) != 1:
        return len(sources) > 1
    source = os.fspath(sources[0])
    return os.path.isdir(source) or is_list(Path(source)) or is_pattern(source)


def is_list(path: Path) -> bool:
    """Return whether a file is a CSV table with a column ``file``."""
    if path.suffix.lower() != TABLE or not os.path.isfile(path):
        return False
    with regular(path, InputError) as (file, _):
        head = file.read(HEAD)
    first = head.decode("utf-8-sig", "replace").splitlines()[:1]
    try:
        return any("file" in row for row in csv.reader(first))
    except csv.Error:
        return False


def is_pattern(source: str) -> bool:
    """Return whether a name has wildcards, and is not itself that of a file."""
    return glob.has_magic(source) and not os.path.lexists(source)
