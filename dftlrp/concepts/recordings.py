"""The recordings of a data set: the class of each, and which of them cannot be used.

Files are checked before hours of work begin: all bytes of each are read for its hash, but only its
header is decoded.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from dftlrp.attribution.recording import Header, read_header
from dftlrp.attribution.sources import SUFFIXES, is_list
from dftlrp.core.files import locate, regular
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.engine.seeds import find_class
from dftlrp.results.result_folder import LISTED

T = TypeVar("T")
SHOWN = 5  # names in an error message
READERS = 8  # files that are read at a time


@dataclass(frozen=True)
class Item:
    """A recording of a data set.

    Attributes
    ----------
    name : str
        Its path as in the folder or the table, with ``/``.
    path : Path
    label : str
        As in the folder, the pattern or the table.
    index : int
        Index of the class that the label names.
    header : Header
        Rate, channels, frames and hash.
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
        Rate in hertz that the model reads, or is assumed to read.
    skipped : tuple of (str, str)
        Name of each file that cannot be used, and the reason.
    notes : tuple of str
        What was assumed about rates, and what is resampled.
    """

    items: tuple[Item, ...]
    rate: float
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of names, labels and contents; it does not depend on where the data set is."""
        rows = [(item.name, item.label, item.header.sha256) for item in self.items]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class Entry(NamedTuple):
    """A file before it is read: name, path and label; if it has none, ``problem`` says why."""

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
    """Find the recordings in a folder or a table, and the class of each.

    Parameters
    ----------
    source : path
        A folder, which is searched for files of sound and of signals at any depth; or a CSV file
        with the columns ``file`` (relative to the CSV file) and ``label``.
    classes : int
        Number of classes of the model.
    labels : list of str
        Their names.  The label of a recording is one of them, or an index.
    pattern : str, optional
        Where the label is in the name of a file: ``"{label}_{speaker}_{take}.wav"``, where each
        field is as short as possible and ``*`` stands for anything; or a regular expression with a
        group ``(?P<label>...)``.  A pattern with a ``/`` matches the path in the folder.  If not
        given, the label is the name of the first folder in that path.
    rate : float, optional
        Rate in hertz that the model reads.  If not given, that of the recordings, which must be
        the same for all.
    channels : int
        Number of channels that the model reads, as of
        `dftlrp.attribution.recording.read_recording`.

    Raises
    ------
    InputError
        If the folder or table is missing or empty, no recording can be used, a label names no
        class, the rates differ and none is given, or pattern or table are malformed.
    """
    source = locate(source)
    named = read_table(source) if source.is_file() else search_folder(source, pattern)
    entries = sorted(named, key=lambda entry: entry.name)
    if not entries:
        raise InputError(f"{source}: holds no recordings")
    refuse_repeats(source, entries)
    _refuse_unlabelled(source, entries, pattern)
    _refuse_unknown_labels(source, entries, classes, labels)
    return check_recordings(
        source, entries, rate, lambda entry: _make_item(entry, classes, labels, channels)
    )


def list_recordings(
    source: str | os.PathLike[str], *, rate: float | None = None, channels: int = 1
) -> Recordings:
    """Return the recordings in a folder or a table whose labels do not matter; index is -1.

    Parameters and errors are those of `find_recordings`; a table needs the column ``file`` only.
    """
    source = Path(source)
    named = read_table(source, ("file",)) if source.is_file() else search_folder(source, None)
    entries = sorted(named, key=lambda entry: entry.name)
    if not entries:
        raise InputError(f"{source}: holds no recordings")
    refuse_repeats(source, entries)
    return check_recordings(source, entries, rate, lambda entry: read_item(entry, -1, channels))


def check_recordings(
    source: str | Path,
    entries: Sequence[Entry],
    rate: float | None,
    make: Callable[[Entry], Item],
) -> Recordings:
    """Return the recordings that can be used, and why the others cannot.

    Parameters
    ----------
    source : str or Path
        Where they are from, for errors.
    make : callable
        From an entry to an item; an `InputError` says why it cannot be used.

    Raises
    ------
    InputError
        None can be used, or their rates differ and none is given.
    """

    def check(entry: Entry) -> Item | tuple[str, str]:
        try:
            return make(entry)
        except InputError as error:
            return entry.name, str(error).removeprefix(f"{entry.path}: ")

    found = [*steps(_map_in_threads(check, entries), "checking recordings", len(entries))]
    items = [one for one in found if isinstance(one, Item)]
    skipped = [one for one in found if not isinstance(one, Item)]
    if not items:
        name, why = skipped[0]
        raise InputError(f"{source}: none of {len(skipped)} recordings can be used; {name}: {why}")
    reads, notes = _choose_rate(source, items, rate)
    return Recordings(tuple(items), reads, tuple(skipped), notes + _collect_warnings(items))


def _map_in_threads(
    work: Callable[[Entry], T], entries: Sequence[Entry], together: int = 256
) -> Iterator[T]:
    """Yield what work makes of each entry, in their order; files of a network come side by side."""
    with ThreadPoolExecutor(READERS) as threads:
        for start in range(0, len(entries), together):
            yield from threads.map(work, entries[start : start + together])


def _collect_warnings(items: Sequence[Item]) -> tuple[str, ...]:
    """Return each note of a header once, with the first recording that it applies to."""
    said = {note: item.name for item in reversed(items) for note in item.header.notes}
    return tuple(f"{note} ({name} first)" for note, name in said.items())


def search_folder(folder: Path, pattern: str | None) -> Iterator[Entry]:
    """Yield the recordings in a folder at any depth, and the folders there that cannot be read.

    Folders that results of dftlrp were saved to are left out.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder or table")
    matches, closed = None if pattern is None else _compile_pattern(pattern), list[Path]()

    def note_unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(f"{folder}: {error.strerror}")
        closed.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=note_unreadable):
        folders[:] = [name for name in folders if not (Path(place, name) / LISTED).exists()]
        for path in (Path(place, name) for name in names):
            if path.suffix.lower() in SUFFIXES and not is_list(path):
                name = escape_name(path.relative_to(folder).as_posix())
                yield _make_entry(name, path, matches, whole="/" in (pattern or ""))
    for path in closed:
        yield Entry(escape_name(path.relative_to(folder).as_posix()), path, None, "cannot be read")


def escape_name(name: str) -> str:
    """Return a name with bytes that are not UTF-8 escaped, as tables and pages need it."""
    return name.encode(errors="backslashreplace").decode()


def _make_entry(name: str, path: Path, matches: re.Pattern[str] | None, whole: bool) -> Entry:
    """Return the entry of a file; ``whole`` matches its path in the folder, else its name."""
    if matches is None:
        first, _, rest = name.partition("/")
        return Entry(name, path, first if rest else None, "lies in no folder that names its class")
    found = matches.fullmatch(name if whole else path.name)
    return Entry(name, path, found["label"] if found else None, "does not match the pattern")


def match_label(name: str, pattern: str) -> str | None:
    """Return the label in a name, or None where it does not match the pattern."""
    found = _compile_pattern(pattern).fullmatch(name)
    return found["label"] if found else None


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern, with braces or without."""
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


def read_table(table: Path, needed: Collection[str] = ("file", "label")) -> Iterator[Entry]:
    """Yield the rows of a CSV file with the columns ``file`` and ``label``, or those needed."""
    with regular(table, InputError) as (file, _):
        data = file.read()
    try:
        rows = csv.DictReader(data.decode("utf-8-sig").splitlines(), strict=True)
        if not set(needed) <= set(rows.fieldnames or ()):
            found = ", ".join(rows.fieldnames or ()) or "nothing"
            raise InputError(f"{table}: needs the columns {' and '.join(needed)}, has {found}")
        for row in rows:
            if not all(row[name] for name in needed):
                missing = " or ".join(needed)
                raise InputError(f"{table}: line {rows.line_num}: {missing} is missing")
            yield Entry(row["file"], table.parent / row["file"], row.get("label") or None)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a CSV file in UTF-8 ({error})") from None


def refuse_repeats(source: Path, entries: Sequence[Entry]) -> None:
    """Refuse sorted entries of which two have one name."""
    for one, other in pairwise(entries):
        if one.name == other.name:
            raise InputError(f"{source}: lists {one.name} twice")


def _refuse_unlabelled(source: Path, entries: Sequence[Entry], pattern: str | None) -> None:
    """Raise `InputError` if no file has a label; single files without one are skipped later."""
    if any(entry.label for entry in entries):
        return
    hint = (
        "give a pattern (--pattern '{label}_{take}.wav'), or a table of files and labels"
        if pattern is None
        else f"the pattern is {pattern!r}"
    )
    raise InputError(f"{source}: none of {len(entries)} recordings has a label: "
                     f"{entries[0].name} {entries[0].problem}; {hint}")  # fmt: skip


def _refuse_unknown_labels(
    source: Path, entries: Sequence[Entry], classes: int, labels: Sequence[str]
) -> None:
    found = {entry.label for entry in entries if entry.label is not None}
    unknown = sorted(label for label in found if _find_class(label, classes, labels) is None)
    if unknown:
        known = f"0 to {classes - 1}" + (f", or {_list_some(labels)}" if labels else "")
        raise InputError(
            f"{source}: labels {_list_some(unknown)} name no class; classes are {known}"
        )


def _find_class(label: str, classes: int, labels: Sequence[str]) -> int | None:
    try:
        return find_class(label, labels, classes)
    except InputError:
        return None


def _list_some(names: Sequence[str]) -> str:
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*map(repr, names[:SHOWN]), *more])


def _make_item(entry: Entry, classes: int, labels: Sequence[str], channels: int) -> Item:
    if entry.label is None:
        raise InputError(entry.problem)
    return read_item(entry, find_class(entry.label, labels, classes), channels)


def read_item(entry: Entry, index: int, channels: int) -> Item:
    """Return a recording whose header can be read and whose channels fit."""
    header = read_header(entry.path)
    if channels != header.channels and (channels > 1 or header.names):
        raise InputError(f"the model reads {channels} channels, it has {header.channels}")
    return Item(entry.name, entry.path, entry.label or "", index, header)


def _choose_rate(
    source: str | Path, items: Sequence[Item], rate: float | None
) -> tuple[float, tuple[str, ...]]:
    """Return the rate that the model reads, and notes about it."""
    first = items[0]
    reads = rate or first.header.rate
    others = [item for item in items if item.header.rate not in {reads, None}]
    unstated = [item.name for item in items if item.header.rate is None]
    if reads is None or (rate is None and unstated):
        raise InputError(f"{source}: {unstated[0]} states no rate: say which one (rate)")
    if rate is None and others:
        raise InputError(
            f"{source}: recordings of several rates: {first.name} has {reads:g} Hz, "
            f"{others[0].name} {others[0].header.rate:g} Hz; say which one the model reads (rate)"
        )
    assumed = (
        (f"{len(unstated)} of {len(items)} recordings state no rate: {reads:g} Hz is assumed",)
        if unstated
        else ()
    )
    if rate is None:
        return reads, (
            f"assuming {reads:g} Hz, the rate of the recordings; set --rate if that is wrong",
        )
    if not others:
        return reads, assumed
    return reads, (
        *assumed,
        f"{len(others)} of {len(items)} recordings are resampled to {reads:g} Hz, "
        f"first {others[0].name} from {others[0].header.rate:g} Hz",
    )
