"""Files that somebody else named: opened only if regular, replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dftlrp.core.types import DftlrpError, InputError

FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def locate(path: str | os.PathLike[str]) -> Path:
    """Return a path of which the system can say whether anything is there.

    Raises
    ------
    InputError
        It cannot: the name is empty, too long or no file name, its links lead in a circle, or a
        folder on the way may not be read.
    """
    if not os.fspath(path):
        raise InputError("an empty path names nothing")
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InputError(f"{path}: {_reason(error, links=True)}") from None
    except ValueError:
        raise InputError(f"{str(path)!r}: not a file name") from None
    return Path(path)


@contextmanager
def regular(
    path: Path, refuse: type[DftlrpError], what: str = "", *, links: bool = True
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; gives it and its size in bytes.

    Parameters
    ----------
    path : Path
    refuse : exception type
        What is raised, with one line that starts with ``what`` (the path if not given), where the
        file is missing, is a folder, a pipe or a device, or cannot be read.
    links : bool
        Whether symbolic and hard links are followed.
    """
    what = what or str(path)
    if "\0" in str(path):
        raise refuse(f"{what!r}: not a file name")
    follow = 0 if links else getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, FLAGS | follow), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise refuse(f"{what}: not a regular file")
            if info.st_nlink > 1 and not links:
                raise refuse(f"{what}: is a link")
            yield file, info.st_size
    except OSError as error:
        raise refuse(f"{what}: {_reason(error, links)}") from None


def _reason(error: OSError, links: bool) -> str:
    if error.errno == errno.ELOOP and not links:
        return "is a link"
    known = {errno.ENOENT: "no such file", errno.EISDIR: "is a folder"}
    return known.get(error.errno or 0, error.strerror or str(error))


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: first a new file in the same folder, then a rename.

    Raises
    ------
    InputError
        If the folder is missing, or cannot be written to.
    """
    target = locate(path)
    if not target.name:
        raise InputError(f"cannot write {str(target)!r}: it names no file")
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except OSError as error:
        raise InputError(f"cannot write {str(target)!r}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is where it belongs, or was never made
            part.unlink()
