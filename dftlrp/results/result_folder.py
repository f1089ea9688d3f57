"""The folder that results are written to: one writer at a time, complete results or none.

::

    .lock              held by the process that writes
    .dftlrp-XXXXXXXX/  what is being written; a killed run leaves it, and the next run removes it
    .dftlrp.json       the names and SHA-256 of the files that `dftlrp.Explanation.save` wrote

All files are first written and synced in the hidden folder.  Then the former report is removed, the
other files are moved into place, and the new report is moved last: a folder with a report holds the
results that belong to it.  A file is only replaced or removed if it is as a former result left it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dftlrp.core.disk import (
    LOCK,
    lock_folder,
    remove_parts,
    report_system_errors,
    sync_file,
    write_file,
)
from dftlrp.core.files import locate, regular
from dftlrp.core.types import InputError

STAGE, LISTED = ".dftlrp-", ".dftlrp.json"
PAGES = ("report.html", "index.html")  # which are removed first and written last
MANY, ROWS = "explain, of several recordings", "explanations.jsonl"  # and its table
STORES = {"neurons": "survey", "evaluate": "experiment", MANY: "rows"}  # of intermediate results
MOST_LISTED = 2**20  # bytes of the list
Sums = dict[str, list[str]]  # by file name, each SHA-256 that the file may have


@contextmanager
def replace_results(target: Path) -> Iterator[Path]:
    """Yield a hidden folder whose files replace those of ``target`` once the block succeeded.

    Raises
    ------
    InputError
        If the folder cannot be written, another run is writing there, or a file that is not a
        former result, or was changed since, is in the way.
    """
    missing: list[Path] = []
    try:
        missing += [folder for folder in (target, *target.parents) if not folder.exists()]
        with lock_folder(target):
            _remove_stages(target)
            stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=target))
            try:
                yield stage
                _move_into_place(stage, target)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{target}: cannot write results here: {reason}") from None
    finally:
        for folder in missing:
            _remove_empty(folder)


def refuse_other_files(
    folder: str | os.PathLike[str], command: str = "explain", force: bool = False
) -> None:
    """Check that results may be written to a folder: it is new, or holds results of this command.

    Parameters
    ----------
    command : str
        The one that writes: a key of `STORES`, or ``"explain"``, of one recording.
    force : bool
        Whether it may hold files of other origin.  `replace_results` does not replace them.

    Raises
    ------
    InputError
        It holds other files, or results of another command.
    """
    target = locate(folder)
    found = _find_commands(target)
    if others := sorted(found - {command}):
        raise InputError(f"{folder}: holds results of dftlrp {others[0]}: choose another folder")
    if force or found or not target.is_dir():
        return
    with report_system_errors(target, "read"):
        names = sorted(path.name for path in target.iterdir() if not path.name.startswith("."))
    if names:
        advice = "choose another folder"
        if command in {"explain", MANY}:
            advice += ", or give --force to write beside them"
        raise InputError(f"{folder}: holds other files, as {names[0]}: {advice}")


def _find_commands(target: Path) -> set[str]:
    """Return the commands whose results a folder holds."""
    found = {name for name, store in STORES.items() if (target / store / "settings.json").exists()}
    if (target / ROWS).exists():
        found.add(MANY)
    return found or ({"explain"} if (target / LISTED).exists() else set())


def _remove_stages(target: Path) -> None:
    """Remove what killed runs left; nobody else is writing, for the folder is locked."""
    for path in target.glob(f"{STAGE}*"):
        shutil.rmtree(path, ignore_errors=True)
    remove_parts(target, LISTED)


def _remove_empty(folder: Path) -> None:
    """Remove a folder that was made for results that did not come about."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK}:
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _move_into_place(stage: Path, target: Path) -> None:
    former = _read_list(target)
    new = {path.name: [_sync_and_sum(path)] for path in stage.iterdir()}
    for name in sorted({*former, *new}):
        _refuse_foreign(target / name, former.get(name, []))
    names = sorted(new, key=lambda name: name in PAGES)
    _write_list(target, {n: former.get(n, []) + new.get(n, []) for n in (*former, *new)})
    for name in {*PAGES} & {*former, *new}:
        (target / name).unlink(missing_ok=True)
    for name in former.keys() - new.keys():
        (target / name).unlink(missing_ok=True)
    for name in names:
        (stage / name).replace(target / name)
    _write_list(target, new)


def _refuse_foreign(path: Path, sums: list[str]) -> None:
    """Raise `InputError` unless the file is missing or as a former result left it."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder where a result belongs")
    if path.exists() and _sum(path) not in sums:
        told = "was changed since it was written" if sums else "was not written by dftlrp"
        raise InputError(
            f"{path}: {told}, and would be replaced: move it, or choose another folder"
        )


def _sync_and_sum(path: Path) -> str:
    with path.open("r+b") as file:
        sync_file(file)
    return _sum(path)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_list(target: Path) -> Sums:
    """Return the list of files of the former results; nothing if there is none."""
    if not (target / LISTED).exists():
        return {}
    with regular(target / LISTED, InputError) as (file, _):
        data = file.read(MOST_LISTED)
    try:
        found = dict(json.loads(data))
        sums = {str(name): [str(s) for s in of] for name, of in found.items()}
    except (ValueError, TypeError, RecursionError):
        sums = {"": []}
    if any(name != os.path.basename(name) or name in {"", ".", ".."} for name in sums):
        raise InputError(f"{target / LISTED}: damaged: choose another folder")
    return sums


def _write_list(target: Path, sums: Mapping[str, list[str]]) -> None:
    write_file(target / LISTED, json.dumps(dict(sorted(sums.items())), indent=1).encode() + b"\n")
