"""One shard as a worker computes it, on this machine or on a cluster."""

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

from dftlrp.concepts.shards.store import pack_arrays, write_shard
from dftlrp.core.types import AnyArray, DftlrpError, InputError

Work = Callable[[Any], Mapping[str, AnyArray]]
Make = Callable[[], Work]

SECONDS = 3600.0  # a shard may take
THREADS = 1  # of a worker; sums of floats depend on their number
ONE_AT_A_TIME = threading.Lock()  # since a worker process of a cluster may have several threads


@dataclass(frozen=True, order=True)
class Failure:
    """A shard without a result: its number, and the reason in one line."""

    index: int
    reason: str


@dataclass(frozen=True)
class Workers:
    """The processes that compute shards.

    Attributes
    ----------
    count : int
        Number of processes on this machine.  A single one is a process of its own, too, since it
        may die.
    scheduler : str, optional
        Address of a dask.distributed scheduler (``"tcp://host:8786"``), whose workers are used
        instead.  They must be started with OMP_NUM_THREADS=1 and share the folder of the store.
    timeout : float
        Seconds that one shard may take.  After that its worker is ended and the shard tried again.

    Raises
    ------
    InputError
        If the count or the timeout is not positive.
    """

    count: int = 1
    scheduler: str | None = None
    timeout: float = SECONDS

    def __post_init__(self) -> None:
        if not (isinstance(self.count, int) and self.count > 0):
            raise InputError(f"{self.count!r} workers: a positive number is needed")
        if not self.timeout > 0:
            raise InputError(f"timeout {self.timeout!r}: a positive number of seconds is needed")


@dataclass(frozen=True)
class Task:
    """What all shards of a run have in common.

    Attributes
    ----------
    recipe : bytes
        The pickled ``make`` of `run`.
    folder : Path
        Folder of the store.
    seconds : float
        Time that a shard may take.
    run : str
        Identifies this run, because worker processes of a cluster outlive it and files change.
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
        SHA-256 of the result, or the exception that the work on this shard raised.

    Raises
    ------
    DftlrpError
        If the worker cannot be made or the result cannot be written; this ends the run.
    """
    with ONE_AT_A_TIME:
        work = _make_work(task)
        try:
            data = pack_arrays(work(shard))
        except Exception as error:
            return Failure(index, describe_error(error))
    return write_shard(task.folder, index, data)


def describe_error(error: BaseException) -> str:
    """Return the message of an exception in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, DftlrpError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@lru_cache(maxsize=1)
def _make_work(task: Task) -> Work:
    """Return what ``make`` returns, called once in each process and run."""
    if os.environ.get("OMP_NUM_THREADS") != str(THREADS):
        raise InputError("a worker computes with one thread: start it with OMP_NUM_THREADS=1")
    try:
        work: Work = pickle.loads(task.recipe)()
    except DftlrpError:
        raise
    except Exception as error:
        raise InputError(f"a worker cannot be made: {describe_error(error)}") from error
    return work
