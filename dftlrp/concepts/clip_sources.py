"""The recordings that are explained together: from folders, files, patterns of names and lists.

Every one has a name that is unique, and a folder of its own for its results.
"""

from __future__ import annotations

import glob
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from dftlrp.attribution.sources import Source, is_list, is_pattern
from dftlrp.concepts.recordings import (
    Entry,
    Item,
    Recordings,
    check_recordings,
    escape_name,
    match_label,
    read_item,
    read_table,
    refuse_repeats,
    search_folder,
)
from dftlrp.core.files import locate
from dftlrp.core.types import InputError
from dftlrp.engine.seeds import find_class

SINGLE = 2  # labels of a single output: 0, off, and 1, on
LONGEST = 60  # characters of the name of a folder
RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt")
                      for n in range(1, 10))})  # fmt: skip


def find_clips(
    sources: Source | Sequence[Source],
    names: Sequence[str] = (),
    *,
    pattern: str | None = None,
    rate: float | None = None,
    avoid: Path | None = None,
) -> Recordings:
    """Return the recordings in folders, lists and files; `find_indices` reads their labels.

    Parameters
    ----------
    sources : path or list of paths
        Folders, which are searched at any depth; recordings; patterns of names, as
        ``"day*/*.wav"``; and CSV files with the columns ``file`` (relative to the CSV file) and, if
        known, ``label``.
    names : list of str
        Of the classes.  The label of a recording in a folder is the name of the first folder in its
        path, if that is the name of a class.
    pattern : str, optional
        Where the label is in the name of a file, as of
        `dftlrp.concepts.recordings.find_recordings`.
    rate : float, optional
        Rate in hertz that the model reads, where it is known.
    avoid : Path, optional
        A folder whose files are no recordings: the one that results are written to.

    Raises
    ------
    InputError
        A source is missing or holds no recordings, none can be used, or their rates differ and
        none is given.
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not given:
        raise InputError("no recordings are given: name folders, sound files or a CSV table")
    told = os.fspath(given[0]) + (f" and {len(given) - 1} more" if len(given) > 1 else "")
    found = [entry for source in given for entry in _list_entries(source, pattern)]
    own = None if avoid is None else Path(os.path.realpath(avoid))
    found = [e for e in found if own is None or own not in Path(os.path.realpath(e.path)).parents]
    if len(given) > 1 or is_pattern(os.fspath(given[0])):
        found = _name_by_place(found)
    entries = sorted(_keep_first_of_files(found), key=lambda entry: entry.name)
    if not entries:
        raise InputError(f"{told}: holds no recordings")
    labelled = [_label_by_folder(e, names) if pattern is None else e for e in entries]
    clips = check_recordings(told, labelled, rate, lambda entry: _read_clip(entry, rate))
    if labelled == entries:
        return clips
    return replace(clips, notes=("labels are the names of folders that name a class", *clips.notes))


def _list_entries(source: Source, pattern: str | None) -> Iterator[Entry]:
    """Yield the recordings of one source, with a label where a table or the pattern gives it."""
    text = os.fspath(source)
    if is_pattern(text):
        matching = sorted(glob.glob(text, recursive=True))
        if not matching:
            raise InputError(f"{text}: matches no file")
        for one in matching:
            yield from _list_entries(one, pattern)
        return
    path = locate(source)
    if path.is_dir():
        entries = search_folder(path, pattern)
        yield from (entry if pattern else entry._replace(label=None) for entry in entries)
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder")
    elif is_list(path):
        rows = sorted(read_table(path, ("file",)), key=lambda entry: entry.name)
        refuse_repeats(path, rows)
        yield from rows
    else:
        yield Entry(path.name, path, match_label(path.name, pattern) if pattern else None)


def _name_by_place(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries whose names are their paths in the folder that holds them all."""
    places = [os.path.abspath(entry.path) for entry in entries]
    try:
        base = os.path.commonpath([os.path.dirname(place) for place in places])
    except ValueError:  # no recording, or on several drives
        base = ""
    names = [Path(os.path.relpath(p, base) if base else p).as_posix() for p in places]
    return [e._replace(name=escape_name(name)) for e, name in zip(entries, names, strict=True)]


def _keep_first_of_files(entries: Iterable[Entry]) -> list[Entry]:
    """Return each file once, where several sources hold it; with a label, if one of them has it."""
    found = dict[str, Entry]()
    for entry in entries:
        place = os.path.abspath(entry.path)
        if place not in found or (entry.label and not found[place].label):
            found[place] = entry
    return list(found.values())


def _label_by_folder(entry: Entry, names: Sequence[str]) -> Entry:
    """Return an entry with the first folder in its path as its label, if that names a class."""
    first, _, rest = entry.name.partition("/")
    named = not entry.label and rest and first in names
    return entry._replace(label=first) if named else entry


def _read_clip(entry: Entry, rate: float | None) -> Item:
    item = read_item(entry, -1, channels=1)  # `explain` says which channels the model reads
    if rate is None and item.header.rate is None:
        raise InputError("states no rate: say which one the model reads (rate)")
    return item


def find_indices(recordings: Recordings, names: Sequence[str], count: int | None) -> Recordings:
    """Return recordings with the class that each label names: its name, if known, and its index.

    Parameters
    ----------
    names : list of str
        Of the classes, if they have any; a label is one of them or an index.
    count : int or None
        Number of classes, where it is known.

    Raises
    ------
    InputError
        A label names no class.
    """
    labelled = [item for item in recordings.items if item.label]
    if labelled and count is None:
        raise InputError("the number of classes is not known: give their names (labels)")
    single = count == 1 and ["", *names][:SINGLE]  # its name means that it should be on
    found = {i.label: _find_index(i, single or names, max(count or 0, SINGLE)) for i in labelled}
    told = {
        label: names[k] if k < len(names) and not single else label for label, k in found.items()
    }
    items = (
        replace(i, label=told[i.label], index=found[i.label]) if i.label else i
        for i in recordings.items
    )
    return replace(recordings, items=tuple(items))


def _find_index(item: Item, names: Sequence[str], count: int) -> int:
    try:
        return find_class(item.label, names, count)
    except InputError:
        known = f"0 to {count - 1}" + (", or their names" if names else "")
        raise InputError(
            f"{item.name}: its label {item.label!r} names no class; classes are {known}"
        ) from None


def name_folders(names: Sequence[str]) -> list[str]:
    """Return the name of a folder for each recording, safe on every system and unique.

    They depend on nothing but the list of names.
    """
    taken, folders = set[str](), []
    for name in names:
        plain = _make_safe(name)
        numbered = (plain if n == 1 else f"{plain}-{n}" for n in count(1))
        folder = next(one for one in numbered if one.casefold() not in taken)
        taken.add(folder.casefold())
        folders.append(folder)
    return folders


def _make_safe(name: str) -> str:
    """Return a name of letters, digits, ``-``, ``_`` and ``.`` without its suffix."""
    stem = unicodedata.normalize("NFC", os.path.splitext(name)[0])
    joined = "-".join(part for part in stem.split("/") if part not in {"", ".", ".."})
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in joined).strip(".")[:LONGEST]
    safe = safe.rstrip(".") or "recording"
    return f"{safe}_" if safe.casefold().partition(".")[0] in RESERVED else safe
