"""Compute shards on this machine: a pool of processes, each of which may die."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from multiprocessing import connection, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dftlrp.concepts.shards.task import THREADS, Failure, Task, perform
from dftlrp.core.types import InputError

if TYPE_CHECKING:
    from pebble import ProcessPool

TRIES = 3  # of a shard whose worker dies
WINDOW = 2  # shards that are submitted at a time for each worker
STALL = 120  # seconds after a shard's time limit when the pool itself counts as stuck
POOLS = 3  # pools in a row that may break without a result
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Outcome = tuple[int, str | Failure]


def compute(
    task: Task, shards: Sequence[Any], todo: Sequence[int], workers: int
) -> Generator[Outcome, None, None]:
    """Yield the number and the outcome of each shard, in the order in which they finish.

    A shard whose worker dies or whose time runs out is tried again, `TRIES` times in all; other
    shards are not affected.  Closing the iterator ends the workers.

    Raises
    ------
    DftlrpError
        As of `perform`, or if no worker stays alive.
    """
    queue = _Queue(task, shards, deque(todo))
    script = b"__main__" in task.recipe  # the caller's script defines what a worker does
    broken = 0
    while queue.left and broken < POOLS:
        broken += 1
        try:
            with _find_pool(workers, script) as pool:
                for outcome in queue.compute(pool, WINDOW * workers):
                    broken = 0
                    yield outcome
        except RuntimeError:  # of pebble: no worker is left; `perform` raises no RuntimeError
            continue
    if queue.left:
        guard = '; the call in the script must be under if __name__ == "__main__"' if script else ""
        raise InputError(
            f"the worker processes die before they start: is there enough memory?{guard}"
        )


class _Queue:
    """Shards that wait, shards that are submitted, and how often each was tried."""

    def __init__(self, task: Task, shards: Sequence[Any], waiting: deque[int]) -> None:
        self.task, self.shards, self.waiting = task, shards, waiting
        self.submitted: dict[Future[Any], int] = {}
        self.tries: Counter[int] = Counter()

    @property
    def left(self) -> bool:
        return bool(self.waiting or self.submitted)

    def compute(self, pool: ProcessPool, window: int) -> Iterator[Outcome]:
        """Yield outcomes until no shard is left; raise RuntimeError if the pool breaks."""
        lost = sorted(self.submitted.values(), reverse=True)  # with the pool before
        self.waiting.extendleft(lost)
        self.submitted.clear()
        while self.left:
            while self.waiting and len(self.submitted) < window:
                self._submit(pool, self.waiting.popleft())
            limit = self.task.seconds + STALL
            done = wait(self.submitted, timeout=limit, return_when=FIRST_COMPLETED).done
            if not done:
                raise RuntimeError("the pool is stuck")
            for future in done:
                yield from self._collect(future)

    def _submit(self, pool: ProcessPool, index: int) -> None:
        arguments = (self.task, index, self.shards[index])
        self.submitted[pool.schedule(perform, arguments, timeout=self.task.seconds)] = index

    def _collect(self, future: Future[Any]) -> Iterator[Outcome]:
        from pebble import ProcessExpired

        index = self.submitted[future]
        try:
            outcome = future.result()
        except (ProcessExpired, TimeoutError) as error:
            outcome = self._retry(index, error)
        del self.submitted[future]
        if outcome is not None:
            yield index, outcome

    def _retry(self, index: int, error: Exception) -> Failure | None:
        """Put a shard at the end of the queue, or return a failure after the last try."""
        self.tries[index] += 1
        if self.tries[index] < TRIES:
            self.waiting.append(index)
            return None
        late = f"took more than {self.task.seconds:g} s"
        why = late if isinstance(error, TimeoutError) else "its worker died"
        return Failure(index, f"{why}, {TRIES} times")


_Kept = dict[tuple[int, bool], "tuple[ProcessPool, ExitStack]"]
_KEPT: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keep_workers() -> Iterator[None]:
    """Let runs within this block use the same processes, which end with it.

    To start one and to import what it needs takes longer than many a run.
    """
    kept: _Kept = {}
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)
        for _, stack in kept.values():
            stack.close()


@contextmanager
def _find_pool(workers: int, script: bool) -> Iterator[ProcessPool]:
    """Give the pool that is kept, or one that ends with the block."""
    kept, wanted = _KEPT.get(), (workers, script)
    if kept is None:
        with _open_pool(workers, script) as pool:
            yield pool
        return
    if wanted not in kept:
        stack = ExitStack()
        kept[wanted] = stack.enter_context(_open_pool(workers, script)), stack
    try:
        yield kept[wanted][0]
    except BaseException:  # it may be broken, or still at work for a run that has ended
        kept.pop(wanted)[1].close()
        raise


@contextmanager
def _open_pool(workers: int, script: bool) -> Iterator[ProcessPool]:
    """Start worker processes that end with the block; spawned, since forks break threads.

    With ``script`` each runs the caller's script first, as a spawned process does.
    """
    from pebble import ProcessPool

    with _limit_threads():
        context = _Spawning(SpawnProcess if script else _Apart)
        pool = ProcessPool(workers, initializer=_end_with_parent, context=context)
        try:
            yield pool
        finally:
            pool.stop()
            context.kill_children()  # one that still starts would miss the pool's locks, and say so
            pool.join()


class _Apart(SpawnProcess):
    """A process that does not run the caller's script: work comes from modules that it imports.

    So the script needs no ``if __name__ == "__main__"``, and nothing in it is done twice.
    """

    starting = threading.Lock()

    def start(self) -> None:
        with self.starting:
            script = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = script


class _Spawning(SpawnContext):
    """Start processes, and know them."""

    def __init__(self, kind: type[SpawnProcess]) -> None:
        super().__init__()
        self.kind = kind
        self.children: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        child = self.kind(*args, **options)
        self.children.append(child)
        return child

    def kill_children(self) -> None:
        for child in self.children:
            if child.is_alive():
                child.kill()
                child.join()


@contextmanager
def _limit_threads() -> Iterator[None]:
    """Set variables that child processes read as they import NumPy."""
    before = {name: os.environ.get(name) for name in LIMITS}
    os.environ.update(dict.fromkeys(LIMITS, str(THREADS)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_with_parent() -> None:
    """End this worker when its parent ends, even if the parent is killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
