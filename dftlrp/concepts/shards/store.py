"""A folder of results of shards that survives a crash of whoever writes to it.

::

    FOLDER/settings.json      what the results depend on
    FOLDER/manifest.jsonl     one line for each result: its number and SHA-256; only appended to
    FOLDER/shards/000042.npz  one result

Each file is written under another name, synced to disk and renamed; then the folder is synced.  A
result that the manifest does not list, or whose hash differs, is ignored and computed again.  No
file holds a time or depends on the order of the results: a run that was interrupted and continued
leaves the same bytes as one that was not.
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

from dftlrp.core.disk import (
    lock_folder,
    remove_parts,
    report_system_errors,
    sync_file,
    write_file,
)
from dftlrp.core.files import locate
from dftlrp.core.types import AnyArray, InputError

SETTINGS, MANIFEST, SHARDS = "settings.json", "manifest.jsonl", "shards"
OURS = re.compile(r"\d{6,}\.npz(\.[0-9a-f]{32}\.part)?")
SHOWN = 60  # characters of a setting in an error message


@dataclass(frozen=True)
class Store:
    """A folder of results that only this process writes to; `open_store` makes one.

    Attributes
    ----------
    folder : Path
        Absolute.
    done : dict of int to str
        SHA-256 of each valid result, by the number of its shard.
    """

    folder: Path
    done: dict[int, str] = field(default_factory=dict)

    def record(self, index: int, digest: str) -> None:
        """List a result in the manifest; `write_shard` wrote it, perhaps on another machine.

        Raises
        ------
        InputError
            If the result is not in this folder, or the manifest cannot be written.
        """
        if not locate_shard(self.folder, index).is_file():
            raise InputError(
                f"{locate_shard(self.folder, index)}: written by a worker, but not there: "
                "the folder must be shared by all machines"
            )
        with report_system_errors(self.folder), (self.folder / MANIFEST).open("ab") as file:
            file.write(_format_entry(index, digest))
            sync_file(file)
        self.done[index] = digest

    def load(self, index: int) -> dict[str, AnyArray]:
        """Return the result of a shard: arrays by their names.

        Raises
        ------
        InputError
            If it is missing, or was damaged after it was recorded.
        """
        path = locate_shard(self.folder, index)
        with report_system_errors(path, "read"):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.done.get(index):
            raise InputError(f"{path}: damaged; start again with the same command to redo it")
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def tidy(self) -> None:
        """Sort the manifest, and delete results that it does not list and partial files."""
        kept = {locate_shard(self.folder, index).name for index in self.done}
        with report_system_errors(self.folder):
            for path in (self.folder / SHARDS).iterdir():
                if OURS.fullmatch(path.name) and path.name not in kept:
                    path.unlink(missing_ok=True)
            remove_parts(self.folder, SETTINGS, MANIFEST)
            lines = (_format_entry(index, digest) for index, digest in sorted(self.done.items()))
            write_file(self.folder / MANIFEST, b"".join(lines))


@contextmanager
def open_store(folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> Iterator[Store]:
    """Open the results in a folder, and keep other processes from writing there meanwhile.

    Parameters
    ----------
    folder : path
        Made if it is missing.
    settings : mapping
        All that the results depend on, as values that JSON can hold: hashes of the model and of the
        data, options, versions.

    Raises
    ------
    InputError
        If another process is writing there, the folder holds results of other settings, or it
        cannot be written.
    """
    folder = locate(folder).absolute()
    with report_system_errors(folder):
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        store = Store(folder, _find_intact(folder) if _match_settings(folder, settings) else {})
        store.tidy()
        yield store


def locate_shard(folder: Path, index: int) -> Path:
    """Return the path of the result of a shard."""
    return folder / SHARDS / f"{index:06d}.npz"


def write_shard(folder: Path, index: int, data: bytes) -> str:
    """Write a packed result.  Any process on any machine may do so.

    Returns
    -------
    str
        SHA-256 of the result, for `Store.record`.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with report_system_errors(folder):
        write_file(locate_shard(folder, index), data)
    return hashlib.sha256(data).hexdigest()


def pack_arrays(arrays: Mapping[str, AnyArray]) -> bytes:
    """Return an npz file whose bytes depend on the arrays alone, not on time or order.

    Raises
    ------
    ValueError
        If an array holds Python objects.
    """
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy")  # its time is 1980-01-01
            with archive.open(entry, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asarray(arrays[name]), allow_pickle=False)
    return file.getvalue()


def describe_setting(value: Any) -> Any:
    """Return a setting as JSON can hold it; arrays by their hash."""
    if isinstance(value, Mapping):
        return {str(k): describe_setting(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe_setting(v) for v in value]
    if hasattr(value, "tobytes"):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return value if isinstance(value, str | int | float | None) else str(value)


def _format_entry(index: int, digest: str) -> bytes:
    return json.dumps({"shard": index, "sha256": digest}).encode() + b"\n"


def _match_settings(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Return whether a folder holds results of these settings; if it is new, write them.

    Raises
    ------
    InputError
        If the folder holds results of other settings.
    """
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
    _refuse_other_settings(folder, then, now)
    return True


def _refuse_other_settings(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
    if not changed:
        return
    before, after = (_cut_setting(json.dumps(of.get(changed[0]))) for of in (then, now))
    more = f" (so have {', '.join(changed[1:])})" if changed[1:] else ""
    raise InputError(
        f"{folder}: holds results of other settings: {changed[0]} has changed from {before} to "
        f"{after}{more}; choose another folder, or delete this one"
    )


def _cut_setting(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _find_intact(folder: Path) -> dict[int, str]:
    """Return number and SHA-256 of the results that are as the manifest says."""
    try:
        lines = (folder / MANIFEST).read_bytes().splitlines()
    except OSError:  # the run was killed before it wrote one
        return {}
    return {i: digest for i, digest in _parse_manifest(lines) if _hash_shard(folder, i) == digest}


def _parse_manifest(lines: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield number and SHA-256 of each line that can be read; the last one may be incomplete."""
    for line in lines:
        try:
            entry = json.loads(line)
            yield int(entry["shard"]), str(entry["sha256"])
        except (ValueError, TypeError, KeyError, OverflowError):
            continue


def _hash_shard(folder: Path, index: int) -> str | None:
    """Return the SHA-256 of a result, or None if it cannot be read."""
    try:
        with locate_shard(folder, index).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
