"""Folders that one process at a time writes to, and files that are complete or absent."""

from __future__ import annotations

import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from dftlrp.core.types import InputError

LOCK = ".lock"
PART = re.compile(r"(.*)\.[0-9a-f]{32}\.part", re.DOTALL)  # of a file that is being written


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from locking a folder during the block; make it if it is missing.

    Raises
    ------
    InputError
        If another process holds the lock, or the folder cannot be written.

    Notes
    -----
    The lock is an open transaction on an empty SQLite database, because SQLite locks files on
    every system that Python runs on.  The system releases the lock when its process ends, however
    that happens.
    """
    with report_system_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            connection = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
            stack.enter_context(closing(connection))
            connection.execute("PRAGMA journal_mode = OFF")  # which would be a second file
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise InputError(f"{folder}: {_explain_lock(error)}") from None
        yield


def _explain_lock(error: sqlite3.Error) -> str:
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return "another run is writing here; wait for it, or choose another folder"
    return f"cannot lock {LOCK}: {error}"


@contextmanager
def report_system_errors(path: Path, what: str = "write") -> Iterator[None]:
    """Turn an `OSError` of the block into an `InputError` of one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot {what}: {error.strerror or error}; nothing that is complete is lost: "
            "mend that and start again with the same command"
        ) from None


def sync_file(file: BinaryIO) -> None:
    """Return when the disk holds what was written to a file."""
    file.flush()
    os.fsync(file.fileno())


def write_file(path: Path, data: bytes) -> None:
    """Write a file under another name, sync it, rename it, and sync its folder."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            sync_file(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_parts(folder: Path, *names: str) -> None:
    """Remove what `write_file` left of these files where its process was killed."""
    for path in folder.iterdir():
        part = PART.fullmatch(path.name)
        if part and part[1] in names:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Return when the disk holds a folder's names; do nothing where folders cannot be opened."""
    if not hasattr(os, "O_DIRECTORY"):  # as on Windows
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
