"""`run`: compute all shards of a data set, on this machine or on a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from dftlrp.concepts.shards import cluster, local
from dftlrp.concepts.shards.store import Store
from dftlrp.concepts.shards.task import Failure, Make, Task, Workers
from dftlrp.core.progress import steps


def run(
    make: Make, shards: Sequence[Any], store: Store, workers: Workers, progress: str = "shards"
) -> list[Failure]:
    """Compute the shards that the store does not hold yet.

    Parameters
    ----------
    make : callable
        ``make()`` returns ``work``, and ``work(shard)`` returns arrays by name.  Each worker
        process calls ``make`` once.  It must be picklable: a function of a module that workers can
        import, or a `functools.partial` of one.  ``work`` computes with one thread (`THREADS`; the
        backend is then ``"onnx::1"``).
    shards : sequence
        Of small picklable objects: names rather than data.  The settings of the store must differ
        for different shards.
    store : Store
    workers : Workers
    progress : str
        Text of the progress bar.

    Returns
    -------
    list of Failure
        In order: shards whose work raised an exception, or whose workers died or were too slow each
        time.  The next run tries them again.

    Raises
    ------
    DftlrpError
        If ``make`` raises an exception, a result cannot be written, or there is no worker.
        Complete results are kept, after Ctrl-C as well, and the same call continues from them.

    Notes
    -----
    The folder of the store has the same bytes for any number and kind of workers, if ``work``
    returns the same for the same shard.
    """
    todo = [index for index in range(len(shards)) if index not in store.done]
    task = Task(pickle.dumps(make), store.folder, workers.timeout)
    outcomes = (
        cluster.compute(task, shards, todo, workers.scheduler)
        if workers.scheduler
        else local.compute(task, shards, todo, workers.count)
    )
    failures = []
    with closing(outcomes):
        for index, outcome in steps(outcomes, progress, len(shards), len(shards) - len(todo)):
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                store.record(index, outcome)
    store.tidy()
    return sorted(failures)
