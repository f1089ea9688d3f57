"""Results of shards in a folder, complete or not there, whenever whoever writes them is killed.

::

    FOLDER/settings.json      what the results depend on
    FOLDER/manifest.jsonl     a line for each result: its number and SHA-256; only appended to
    FOLDER/shards/000042.npz  a result

A file is written under another name, synced to the disk and renamed, and then the folder is synced.
What the manifest does not list, and what differs from its sum, does not count and is computed
again.  No file holds a time or depends on the order in which results came: the folder of a resumed
run is, byte for byte, that of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.concepts.shards.disk import (
    lock_folder,
    report_system_errors,
    sync_file,
    write_file,
)
from dftlrp.core.types import AnyArray, InputError

SETTINGS, MANIFEST, SHARDS = "settings.json", "manifest.jsonl", "shards"
OURS = re.compile(r"\d{6,}\.npz(\.[0-9a-f]{32}\.part)?")
SHOWN = 60  # characters of a setting in an error


@dataclass(frozen=True)
class Store:
    """An output folder that this process alone writes to; `open_store` makes one.

    Attributes
    ----------
    folder : Path
        Absolute.
    done : dict
        SHA-256 of each result that is there, by the number of its shard.
    """

    folder: Path
    done: dict[int, str] = field(default_factory=dict)

    def record(self, index: int, digest: str) -> None:
        """Count the result that `write_shard` wrote, perhaps on another machine, as done.

        Raises
        ------
        InputError
            The result is not in this folder, or the manifest cannot be written.
        """
        if not shard_path(self.folder, index).is_file():
            raise InputError(
                f"{shard_path(self.folder, index)}: written by a worker, but not there: "
                "the folder must be shared by all machines"
            )
        with report_system_errors(self.folder), (self.folder / MANIFEST).open("ab") as file:
            file.write(_line(index, digest))
            sync_file(file)
        self.done[index] = digest

    def load(self, index: int) -> dict[str, AnyArray]:
        """The result of a shard, by name of array.

        Raises
        ------
        InputError
            It is not there, or was damaged since it was recorded.
        """
        path = shard_path(self.folder, index)
        with report_system_errors(path, "read"):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.done.get(index):
            raise InputError(f"{path}: damaged; start again with the same command to redo it")
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def tidy(self) -> None:
        """Leave the results that count, their manifest in order, and nothing half-written."""
        kept = {shard_path(self.folder, index).name for index in self.done}
        with report_system_errors(self.folder):
            for path in (self.folder / SHARDS).iterdir():
                if OURS.fullmatch(path.name) and path.name not in kept:
                    path.unlink(missing_ok=True)
            lines = (_line(index, digest) for index, digest in sorted(self.done.items()))
            write_file(self.folder / MANIFEST, b"".join(lines))


@contextmanager
def open_store(folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> Iterator[Store]:
    """The results in a folder, to be added to; nobody else can write there meanwhile.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    settings : mapping
        All that the results depend on, as JSON knows it: digests of the model's file and of the
        data, options, versions.

    Raises
    ------
    InputError
        Another process is writing there, the folder holds results of other settings, or it cannot
        be written.
    """
    folder = Path(folder).absolute()
    with report_system_errors(folder):
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        store = Store(folder, _intact(folder) if _resumed(folder, settings) else {})
        store.tidy()
        yield store


def shard_path(folder: Path, index: int) -> Path:
    """Where the result of a shard lies."""
    return folder / SHARDS / f"{index:06d}.npz"


def write_shard(folder: Path, index: int, data: bytes) -> str:
    """Write a packed result; any process on any machine may do so.

    Returns
    -------
    str
        Its SHA-256, for `Store.record`.

    Raises
    ------
    InputError
        It cannot be written.
    """
    with report_system_errors(folder):
        write_file(shard_path(folder, index), data)
    return hashlib.sha256(data).hexdigest()


def packed(arrays: Mapping[str, AnyArray]) -> bytes:
    """Arrays as an npz file whose bytes depend on nothing else.

    Raises
    ------
    ValueError
        An array holds Python objects.
    """
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
            with archive.open(entry, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asarray(arrays[name]), allow_pickle=False)
    return file.getvalue()


def _line(index: int, digest: str) -> bytes:
    return json.dumps({"shard": index, "sha256": digest}).encode() + b"\n"


def _resumed(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds results of these settings; if it holds none, it will."""
    now = json.loads(json.dumps(dict(settings), allow_nan=False))
    path = folder / SETTINGS
    if not path.exists():
        with report_system_errors(folder):
            write_file(path, json.dumps(now, indent=2, sort_keys=True).encode() + b"\n")
        return False
    try:
        then = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise InputError(f"{path}: damaged; delete {folder}, or choose another folder") from None
    _refuse_others(folder, then, now)
    return True


def _refuse_others(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
    if not changed:
        return
    before, after = (json.dumps(of.get(changed[0]))[:SHOWN] for of in (then, now))
    more = f" (so have {', '.join(changed[1:])})" if changed[1:] else ""
    raise InputError(
        f"{folder}: holds results of other settings: {changed[0]} has changed from {before} to "
        f"{after}{more}; choose another folder, or delete this one"
    )


def _intact(folder: Path) -> dict[int, str]:
    """What the manifest lists and is as it says."""
    try:
        lines = (folder / MANIFEST).read_bytes().splitlines()
    except OSError:  # killed before there was one
        return {}
    return {i: digest for i, digest in _listed(lines) if _digest(folder, i) == digest}


def _listed(lines: list[bytes]) -> Iterator[tuple[int, str]]:
    """Numbers and sums in the lines that can be read: the last one may be torn."""
    for line in lines:
        try:
            entry = json.loads(line)
            yield int(entry["shard"]), str(entry["sha256"])
        except (ValueError, TypeError, KeyError, OverflowError):
            continue


def _digest(folder: Path, index: int) -> str | None:
    try:
        with shard_path(folder, index).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
