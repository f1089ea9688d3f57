"""Compute shards on many machines: a dask.distributed scheduler and its workers.

Results are not sent over the network: a worker writes its result into the folder that all machines
share and returns the hash.  If a worker dies, only the shard that it was computing is lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from itertools import islice
from typing import Any

from dftlrp.concepts.shards.task import Failure, Task, describe_error, perform
from dftlrp.core.types import DftlrpError, InputError

WINDOW = 2  # shards that are submitted at a time for each worker
WORKER_TTL = 60  # seconds without a message after which a worker counts as dead
ALLOWED_FAILURES = 3  # workers that may die computing a shard before it is given up
PATIENCE = 60  # seconds to wait for the scheduler and the first worker


def compute(
    task: Task, shards: Sequence[Any], todo: Sequence[int], scheduler: str
) -> Generator[tuple[int, str | Failure], None, None]:
    """Yield the number and the outcome of each shard, in the order in which they finish.

    Raises
    ------
    DftlrpError
        As of `perform`, or if distributed, the scheduler or a worker is missing.
    """
    distributed = _import_distributed()
    with _connect(distributed, scheduler) as client:
        names = {f"dftlrp-{task.run}-{index}": index for index in todo}
        left = iter(names.items())

        def submit_next(count: int) -> list[Any]:
            return [
                client.submit(_perform_in_time, task, i, shards[i], key=key, pure=False)
                for key, i in islice(left, count)
            ]

        first = submit_next(WINDOW * len(client.nthreads()))
        running = distributed.as_completed(
            first, loop=client.loop, with_results=True, raise_errors=False
        )
        for future, result in running:
            running.update(submit_next(1))
            yield names[future.key], _read_outcome(distributed, names[future.key], future, result)
            future.release()


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError(
            "a scheduler needs dask.distributed: pip install 'dftlrp[cluster]'"
        ) from None
    return distributed


def _connect(distributed: Any, scheduler: str) -> Any:
    """Return a client of the scheduler, which has a worker."""
    try:
        distributed.comm.get_address_host_port(
            scheduler
        )  # a client with a wrong address would linger
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, RuntimeError, TypeError, ValueError) as error:  # the last three: TLS, too
        raise InputError(f"no scheduler at {scheduler!r}: {describe_error(error)}") from None
    try:
        client.run_on_scheduler(_set_limits)
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        client.close()
        raise InputError(f"the scheduler at {scheduler!r} has no worker: start some") from None
    return client


def _set_limits(dask_scheduler: Any) -> None:
    """Change settings of the scheduler that the configuration of a client does not reach."""
    dask_scheduler.allowed_failures = ALLOWED_FAILURES
    dask_scheduler.worker_ttl = WORKER_TTL
    beat = dask_scheduler.periodic_callbacks["worker-ttl"]
    beat.stop()
    beat.callback_time = 1000 * WORKER_TTL / 2
    beat.start()


def _perform_in_time(task: Task, index: int, shard: Any) -> str | Failure:
    """Do as `perform`, but end the worker if time runs out; its nanny then starts another."""
    timer = threading.Timer(task.seconds, os._exit, [1])
    timer.daemon = True
    timer.start()
    try:
        return perform(task, index, shard)
    finally:
        timer.cancel()


def _read_outcome(distributed: Any, index: int, future: Any, result: Any) -> str | Failure:
    if future.status == "finished":
        return result  # type: ignore[no-any-return]
    if not isinstance(result, tuple):  # neither a result nor an exception of a worker
        raise InputError("the scheduler has gone; start again with the same command")
    error = result[1]
    if isinstance(error, DftlrpError):
        raise error
    if isinstance(error, distributed.scheduler.KilledWorker):
        tries = ALLOWED_FAILURES + 1
        return Failure(index, f"its worker died or took too long, {tries} times")
    raise InputError(f"a worker cannot compute: {describe_error(error)}") from error
