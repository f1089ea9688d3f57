"""The engine for many machines: a dask.distributed scheduler and its workers.

Results do not travel: a worker writes its result into the folder, which all machines share, and
returns the sum, so that nothing is lost with a worker but the shard it held.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from itertools import islice
from typing import Any

from dftlrp.concepts.shards.task import Failure, Task, perform, said
from dftlrp.core.types import DftlrpError, InputError

WINDOW = 2  # shards in flight for each worker
WORKER_TTL = 60  # seconds without a sign of life until a worker counts as dead
ALLOWED_FAILURES = 3  # workers that may die with a shard before it is given up
PATIENCE = 60  # seconds to wait for the scheduler and the first worker


def outcomes(
    task: Task, shards: Sequence[Any], todo: Sequence[int], scheduler: str
) -> Generator[tuple[int, str | Failure], None, None]:
    """Numbers of shards and what came of them, as they come.

    Raises
    ------
    DftlrpError
        As of `perform`; no distributed, no scheduler, no worker.
    """
    distributed = _distributed()
    with _client(distributed, scheduler) as client:
        names = {f"dftlrp-{task.run}-{index}": index for index in todo}
        left = iter(names.items())

        def next_ones(count: int) -> list[Any]:
            return [
                client.submit(_perform_in_time, task, i, shards[i], key=key, pure=False)
                for key, i in islice(left, count)
            ]

        first = next_ones(WINDOW * len(client.nthreads()))
        flying = distributed.as_completed(
            first, loop=client.loop, with_results=True, raise_errors=False
        )
        for future, result in flying:
            flying.update(next_ones(1))
            yield names[future.key], _outcome(distributed, names[future.key], future, result)
            future.release()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError(
            "a scheduler needs dask.distributed: pip install 'dftlrp[cluster]'"
        ) from None
    return distributed


def _client(distributed: Any, scheduler: str) -> Any:
    """Connected, with a worker."""
    try:
        distributed.comm.get_address_host_port(scheduler)  # a client refused by its address lingers
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"no scheduler at {scheduler!r}: {said(error)}") from None
    try:
        client.run_on_scheduler(_patient)
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        client.close()
        raise InputError(f"the scheduler at {scheduler!r} has no worker: start some") from None
    return client


def _patient(dask_scheduler: Any) -> None:
    """The scheduler's own settings, which a client's configuration does not reach."""
    dask_scheduler.allowed_failures = ALLOWED_FAILURES
    dask_scheduler.worker_ttl = WORKER_TTL
    beat = dask_scheduler.periodic_callbacks["worker-ttl"]
    beat.stop()
    beat.callback_time = 1000 * WORKER_TTL / 2
    beat.start()


def _perform_in_time(task: Task, index: int, shard: Any) -> str | Failure:
    """As `perform`; a worker whose time runs out ends itself, and its nanny starts another."""
    timer = threading.Timer(task.seconds, os._exit, [1])
    timer.daemon = True
    timer.start()
    try:
        return perform(task, index, shard)
    finally:
        timer.cancel()


def _outcome(distributed: Any, index: int, future: Any, result: Any) -> str | Failure:
    if future.status == "finished":
        return result  # type: ignore[no-any-return]
    if not isinstance(result, tuple):  # neither a result nor what a worker raised
        raise InputError("the scheduler has gone; start again with the same command")
    error = result[1]
    if isinstance(error, DftlrpError):
        raise error
    if isinstance(error, distributed.scheduler.KilledWorker):
        tries = ALLOWED_FAILURES + 1
        return Failure(index, f"its worker died or took too long, {tries} times")
    raise InputError(f"a worker cannot compute: {said(error)}") from error
