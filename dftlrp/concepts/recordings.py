"""Which recordings a data set is made of, of which class each is, and which cannot be used.

Looked at before hours of work begin: of each file all bytes (for the sum), but only its header is
decoded.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from dftlrp.attribution.recording import Header, read_header
from dftlrp.core.files import regular
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.engine.seeds import label_index

SOUNDS = frozenset({
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au",
    ".snd", ".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".ircam", ".sf", ".paf", ".pvf",
    ".avr", ".wve", ".xi", ".sds", ".svx", ".iff", ".mpc", ".htk",
})  # fmt: skip
SHOWN = 5  # of many names


@dataclass(frozen=True)
class Item:
    """A recording of a data set.

    Attributes
    ----------
    name : str
        Its path as the folder or the table has it, with ``/``.
    path : Path
        Where it is.
    label : str
        As the folder, the pattern or the table says.
    index : int
        Of the class that the label names.
    header : Header
        Rate, channels, frames and sum.
    """

    name: str
    path: Path
    label: str
    index: int
    header: Header


@dataclass(frozen=True)
class Recordings:
    """The recordings of a data set, sorted by name.

    Attributes
    ----------
    items : tuple of Item
        At least one.
    rate : float
        Hertz that the model reads, or is taken to read.
    skipped : tuple of (str, str)
        Name of each file that cannot be used, and why.
    notes : tuple of str
        What is not as it seems: rates that differ.
    """

    items: tuple[Item, ...]
    rate: float
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over names, labels and contents; the same wherever the data set lies."""
        rows = [(item.name, item.label, item.header.sha256) for item in self.items]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class _Entry(NamedTuple):
    """A file that is named, before it is looked at; without a label, why."""

    name: str
    path: Path
    label: str | None
    problem: str = ""


def find_recordings(
    source: str | os.PathLike[str],
    classes: int,
    labels: Sequence[str] = (),
    *,
    pattern: str | None = None,
    rate: float | None = None,
    channels: int = 1,
) -> Recordings:
    """The recordings in a folder or a table, each with its class.

    Parameters
    ----------
    source : path
        A folder, searched to any depth for sound files; or a CSV file with the columns ``file``
        (relative to the CSV file) and ``label``.
    classes : int
        How many the model has.
    labels : list of str
        Their names; a recording's label is one of them, or an index.
    pattern : str, optional
        Where a label stands in a file's name: ``"{label}_{speaker}_{take}.wav"``, each field as
        short as can be, ``*`` for anything; or a regular expression with a group
        ``(?P<label>...)``.  With a ``/`` it stands for the path in the folder.  If not given, the
        label is the name of the first folder in that path.
    rate : float, optional
        Hertz that the model reads.  If not given, that of the recordings, which must be one.
    channels : int
        What the model reads, as for `dftlrp.attribution.recording.read_recording`.

    Raises
    ------
    InputError
        No such folder or table; no recordings, or none that can be used; labels that name no
        class; rates that differ where the model says none; a wrong pattern or table.
    """
    source = Path(source)
    named = _in_table(source) if source.is_file() else _in_folder(source, pattern)
    entries = sorted(named, key=lambda entry: entry.name)
    if not entries:
        raise InputError(f"{source}: holds no recordings")
    _refuse_twins(source, entries)
    _refuse_unlabelled(source, entries, pattern)
    _refuse_strangers(source, entries, classes, labels)
    items, skipped = [], []
    for entry in steps(entries, "looking at recordings"):
        try:
            items.append(_item(entry, classes, labels, channels))
        except InputError as error:
            skipped.append((entry.name, str(error).removeprefix(f"{entry.path}: ")))
    if not items:
        name, why = skipped[0]
        raise InputError(f"{source}: none of {len(skipped)} recordings can be used; {name}: {why}")
    reads, notes = _rate(source, items, rate)
    return Recordings(tuple(items), reads, tuple(skipped), notes + _warnings(items))


def _warnings(items: Sequence[Item]) -> tuple[str, ...]:
    """Return what the headers warn of, once each, with the first recording."""
    said = {note: item.name for item in reversed(items) for note in item.header.notes}
    return tuple(f"{note} ({name} first)" for note, name in said.items())


def _in_folder(folder: Path, pattern: str | None) -> Iterator[_Entry]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder or table")
    matches = None if pattern is None else _matcher(pattern)
    for place, _, names in os.walk(folder, onerror=_refuse_unreadable):
        for path in (Path(place, name) for name in names):
            if path.suffix.lower() in SOUNDS:
                name = _printable(path.relative_to(folder).as_posix())
                yield _labelled(name, path, matches, whole="/" in (pattern or ""))


def _printable(name: str) -> str:
    """Bytes of a file name that are no UTF-8, escaped: tables and pages cannot hold them."""
    return name.encode(errors="backslashreplace").decode()


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}")


def _labelled(name: str, path: Path, matches: re.Pattern[str] | None, whole: bool) -> _Entry:
    if matches is None:
        first, _, rest = name.partition("/")
        return _Entry(name, path, first if rest else None, "lies in no folder that names its class")
    found = matches.fullmatch(name if whole else path.name)
    return _Entry(name, path, found["label"] if found else None, "does not match the pattern")


def _matcher(pattern: str) -> re.Pattern[str]:
    """A pattern with braces, or a regular expression."""
    if "(?P<label>" not in pattern:
        if pattern.count("{label}") != 1:
            raise InputError(
                f"pattern {pattern!r}: say where the label stands, as {{label}}_{{take}}.wav"
            )
        text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+?)", re.escape(pattern))
        pattern = text.replace(r"\*", "[^/]*?")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(f"pattern {pattern!r}: {error}") from None


def _in_table(table: Path) -> Iterator[_Entry]:
    with regular(table, InputError) as (file, _):
        data = file.read()
    try:
        rows = csv.DictReader(data.decode("utf-8-sig").splitlines(), strict=True)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            found = ", ".join(rows.fieldnames or ()) or "nothing"
            raise InputError(f"{table}: needs the columns file and label, has {found}")
        for row in rows:
            if not (row["file"] and row["label"]):
                raise InputError(f"{table}: line {rows.line_num}: file or label is missing")
            yield _Entry(row["file"], table.parent / row["file"], row["label"])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a CSV file in UTF-8 ({error})") from None


def _refuse_twins(source: Path, entries: Sequence[_Entry]) -> None:
    for one, other in pairwise(entries):
        if one.name == other.name:
            raise InputError(f"{source}: lists {one.name} twice")


def _refuse_unlabelled(source: Path, entries: Sequence[_Entry], pattern: str | None) -> None:
    """Some may have no label and are skipped; all is a mistake."""
    if any(entry.label for entry in entries):
        return
    hint = (
        "give a pattern, as {label}_{take}.wav, or a table of files and labels"
        if pattern is None
        else f"the pattern is {pattern!r}"
    )
    raise InputError(f"{source}: none of {len(entries)} recordings has a label: "
                     f"{entries[0].name} {entries[0].problem}; {hint}")  # fmt: skip


def _refuse_strangers(
    source: Path, entries: Sequence[_Entry], classes: int, labels: Sequence[str]
) -> None:
    found = {entry.label for entry in entries if entry.label is not None}
    unknown = sorted(label for label in found if _index(label, classes, labels) is None)
    if unknown:
        known = f"0 to {classes - 1}" + (f", or {_some(labels)}" if labels else "")
        raise InputError(f"{source}: labels {_some(unknown)} name no class; classes are {known}")


def _index(label: str, classes: int, labels: Sequence[str]) -> int | None:
    try:
        return label_index(label, labels, classes)
    except InputError:
        return None


def _some(names: Sequence[str]) -> str:
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*map(repr, names[:SHOWN]), *more])


def _item(entry: _Entry, classes: int, labels: Sequence[str], channels: int) -> Item:
    if entry.label is None:
        raise InputError(entry.problem)
    header = read_header(entry.path)
    if channels not in {1, header.channels}:
        raise InputError(f"the model reads {channels} channels, it has {header.channels}")
    index = label_index(entry.label, labels, classes)
    return Item(entry.name, entry.path, entry.label, index, header)


def _rate(source: Path, items: Sequence[Item], rate: float | None) -> tuple[float, tuple[str, ...]]:
    """The rate that the model reads, and what is said about recordings at others."""
    first = items[0]
    reads = rate or first.header.rate
    others = [item for item in items if item.header.rate != reads]
    if rate is None and others:
        raise InputError(
            f"{source}: recordings of several rates: {first.name} has {first.header.rate:g} Hz, "
            f"{others[0].name} {others[0].header.rate:g} Hz; say which one the model reads (rate)"
        )
    if rate is None:
        return reads, (f"the model is taken to read {reads:g} Hz",)
    if not others:
        return reads, ()
    return reads, (
        f"{len(others)} of {len(items)} recordings are resampled to {reads:g} Hz, "
        f"{others[0].name} from {others[0].header.rate:g} Hz first",
    )
