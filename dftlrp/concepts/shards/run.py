"""`run`: all shards of a data set, whatever computes them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from dftlrp.concepts.shards import cluster, local
from dftlrp.concepts.shards.store import Store
from dftlrp.concepts.shards.task import Failure, Make, Task
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError

SECONDS = 3600.0


def run(
    make: Make,
    shards: Sequence[Any],
    store: Store,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    timeout: float = SECONDS,
    progress: str = "shards",
) -> list[Failure]:
    """Compute the shards that the store does not hold yet.

    Parameters
    ----------
    make : callable
        ``make()`` gives ``work``, and ``work(shard)`` arrays by name.  Called once in each worker
        process, so it can be pickled: a function of a module that workers can import, or a
        `functools.partial` of one.
        What it makes computes with one thread (`THREADS`; the backend is then ``"onnx::1"``).
    shards : sequence
        Of what can be pickled, small: names rather than data.  The store's settings must tell
        these from any others.
    store : Store
    workers : int
        Processes on this machine; one, too, is a process of its own, which may die.
    scheduler : str, optional
        Address of a dask.distributed scheduler (``"tcp://host:8786"``), whose workers take the
        place of those.  They are started with OMP_NUM_THREADS=1 and share the store's folder.
    timeout : float
        Seconds that one shard may take; then its worker is ended, and the shard tried again.
    progress : str
        What the bar says.

    Returns
    -------
    list of Failure
        Shards whose work raised something, or whose workers died or were too slow each time, in
        order.  The next run tries them again.

    Raises
    ------
    DftlrpError
        ``make`` refused, a result cannot be written, or there is no worker.  What is complete
        stays, after Ctrl-C as well: the same call goes on from there.

    Notes
    -----
    The store's folder is the same, byte for byte, for any number and kind of workers, if ``work``
    gives the same for the same shard.
    """
    if not (isinstance(workers, int) and workers > 0):
        raise InputError(f"{workers!r} workers: a positive number is needed")
    if not timeout > 0:
        raise InputError(f"timeout {timeout!r}: a positive number of seconds is needed")
    todo = [index for index in range(len(shards)) if index not in store.done]
    task = Task(pickle.dumps(make), store.folder, timeout)
    found = (
        cluster.outcomes(task, shards, todo, scheduler)
        if scheduler
        else local.outcomes(task, shards, todo, workers)
    )
    failures = []
    with closing(found):
        for index, outcome in steps(found, progress, len(shards), len(shards) - len(todo)):
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                store.record(index, outcome)
    store.tidy()
    return sorted(failures)
