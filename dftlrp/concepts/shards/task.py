"""What a worker does with a shard, whichever engine brought it."""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from dftlrp.concepts.shards.store import packed, write_shard
from dftlrp.core.types import AnyArray, DftlrpError, InputError

Work = Callable[[Any], Mapping[str, AnyArray]]
Make = Callable[[], Work]

THREADS = 1  # that a worker computes with: sums of floats depend on how many there are
ONE_AT_A_TIME = threading.Lock()  # a process of a cluster may have several threads


@dataclass(frozen=True, order=True)
class Failure:
    """A shard without a result: its number, and why, in one line."""

    index: int
    reason: str


@dataclass(frozen=True)
class Task:
    """What all shards of a run share.

    Attributes
    ----------
    recipe : bytes
        The pickled ``make``.
    folder : Path
        Of the store.
    seconds : float
        That a shard may take.
    run : str
        Tells this run from others: a cluster's process outlives them, and files change.
    """

    recipe: bytes
    folder: Path
    seconds: float
    run: str = field(default_factory=lambda: uuid.uuid4().hex)


def perform(task: Task, index: int, shard: Any) -> str | Failure:
    """Compute the result of a shard and write it.

    Returns
    -------
    str or Failure
        SHA-256 of what was written; or what the work on this shard raised.

    Raises
    ------
    DftlrpError
        What stops the whole run: the worker cannot be made, or the result not be written.
    """
    with ONE_AT_A_TIME:
        work = _made(task)
        try:
            data = packed(work(shard))
        except Exception as error:
            return Failure(index, said(error))
    return write_shard(task.folder, index, data)


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, DftlrpError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@lru_cache(maxsize=1)
def _made(task: Task) -> Work:
    """What ``make`` gives, once in a process and run."""
    if os.environ.get("OMP_NUM_THREADS") != str(THREADS):
        raise InputError("a worker computes with one thread: start it with OMP_NUM_THREADS=1")
    try:
        work: Work = pickle.loads(task.recipe)()
    except DftlrpError:
        raise
    except Exception as error:
        raise InputError(f"a worker cannot be made: {said(error)}") from error
    return work
