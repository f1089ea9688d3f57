"""The engine for one machine: a pool of processes, each of which may die."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, Any

from dftlrp.concepts.shards.task import THREADS, Failure, Task, perform
from dftlrp.core.types import InputError

if TYPE_CHECKING:
    from pebble import ProcessPool

TRIES = 3  # of a shard whose worker dies
WINDOW = 2  # shards in flight for each worker
STALL = 120  # seconds beyond a shard's limit: then the pool itself is stuck
POOLS = 3  # that may break one after the other before any shard comes back
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Outcome = tuple[int, str | Failure]


def outcomes(
    task: Task, shards: Sequence[Any], todo: Sequence[int], workers: int
) -> Generator[Outcome, None, None]:
    """Numbers of shards and what came of them, as they come.

    A shard is tried again where its worker died or its time ran out, twice at most; nobody else's
    work is lost.  Closing the iterator ends the workers.

    Raises
    ------
    DftlrpError
        As of `perform`; or no worker stays alive.
    """
    queue = _Queue(task, shards, deque(todo))
    broken = 0
    while queue.left and broken < POOLS:
        broken += 1
        with _pool(workers) as pool:
            try:
                for outcome in queue.outcomes(pool, WINDOW * workers):
                    broken = 0
                    yield outcome
            except RuntimeError:  # pebble: all workers are gone; `perform` raises none
                continue
    if queue.left:
        raise InputError(
            "the worker processes die before they begin: is there memory for them?  In a script, "
            'what starts a run must stand under if __name__ == "__main__"'
        )


class _Queue:
    """Shards to do, in flight, and how often each was tried."""

    def __init__(self, task: Task, shards: Sequence[Any], waiting: deque[int]) -> None:
        self.task, self.shards, self.waiting = task, shards, waiting
        self.flying: dict[Future[Any], int] = {}
        self.tries: Counter[int] = Counter()

    @property
    def left(self) -> bool:
        return bool(self.waiting or self.flying)

    def outcomes(self, pool: ProcessPool, window: int) -> Iterator[Outcome]:
        """Until nothing is left, or the pool breaks (RuntimeError)."""
        self.waiting.extendleft(sorted(self.flying.values(), reverse=True))  # of a broken pool
        self.flying.clear()
        while self.left:
            while self.waiting and len(self.flying) < window:
                self._submit(pool, self.waiting.popleft())
            limit = self.task.seconds + STALL
            done = wait(self.flying, timeout=limit, return_when=FIRST_COMPLETED).done
            if not done:
                raise RuntimeError("the pool is stuck")
            for future in done:
                yield from self._outcome(future)

    def _submit(self, pool: ProcessPool, index: int) -> None:
        arguments = (self.task, index, self.shards[index])
        self.flying[pool.schedule(perform, arguments, timeout=self.task.seconds)] = index

    def _outcome(self, future: Future[Any]) -> Iterator[Outcome]:
        from pebble import ProcessExpired

        index = self.flying[future]
        try:
            outcome = future.result()
        except (ProcessExpired, TimeoutError) as error:
            outcome = self._again(index, error)
        del self.flying[future]
        if outcome is not None:
            yield index, outcome

    def _again(self, index: int, error: Exception) -> Failure | None:
        """To the end of the queue; a failure where it was tried often enough."""
        self.tries[index] += 1
        if self.tries[index] < TRIES:
            self.waiting.append(index)
            return None
        late = f"took more than {self.task.seconds:g} s"
        why = late if isinstance(error, TimeoutError) else "its worker died"
        return Failure(index, f"{why}, {TRIES} times")


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPool]:
    """Fresh processes (spawned: threads and forks do not mix) that end with the block."""
    from pebble import ProcessPool

    with _one_thread_each():
        pool = ProcessPool(workers, initializer=_end_with_parent, context=get_context("spawn"))
        try:
            yield pool
        finally:
            pool.stop()
            pool.join()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children read these before NumPy is imported, so they must inherit them."""
    before = {name: os.environ.get(name) for name in LIMITS}
    os.environ.update(dict.fromkeys(LIMITS, str(THREADS)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_with_parent() -> None:
    """A killed parent cannot end its workers: they watch the pipe that falls with it."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
