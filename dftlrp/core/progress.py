"""What is being done, on stderr: a line or a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

TICK = 0.25  # seconds between two looks at the clock
SOON, AGAIN = 10.0, 60.0  # seconds after which a step is told without a terminal, and told again
LATE = 1.0  # seconds after which a step is told that nobody watches


class _Step:
    """One thing that is being done, since when, and when it is to be told next."""

    def __init__(self, what: str) -> None:
        self.what, self.since, self.due = what, monotonic(), SOON

    @property
    def seconds(self) -> float:
        return monotonic() - self.since

    def is_due(self) -> bool:
        """Return whether it is time for a line; if so, the next one is later."""
        now = self.seconds
        if now < self.due:
            return False
        self.due = now + AGAIN
        return True


class _Line:
    """The line that says what is being done; a step inside another takes its place."""

    def __init__(self, delay: float) -> None:
        self.steps: list[_Step] = []
        self.first, self.delay = monotonic(), delay
        self.text, self.silent = "", False
        self.ended, self.lock = threading.Event(), threading.RLock()

    @contextmanager
    def add(self, what: str) -> Iterator[None]:
        """Say this as long as the block takes."""
        step = _Step(what)
        self.steps.append(step)
        self.show()
        try:
            yield
        finally:
            self.steps.remove(step)
            self.show()

    def watch(self) -> None:
        """Say it again, until it ends."""
        while not self.ended.wait(TICK):
            self.show()

    def show(self) -> None:
        """Write the line, if it is time."""
        with self.lock:
            if self.silent or not self.steps:
                return
            step = self.steps[-1]
            if not sys.stderr.isatty():
                if step.is_due():
                    sys.stderr.write(f"dftlrp: {step.what}: {step.seconds:.0f} s\n")
            elif monotonic() - self.first >= self.delay:
                text = step.what + (f" {step.seconds:.0f} s" if step.seconds >= 1 else "")
                if text != self.text:
                    self.write(text)

    def write(self, text: str) -> None:
        """Replace what is on the terminal's line."""
        sys.stderr.write(f"\r{text:{len(self.text)}}" + "\r" * (not text))
        sys.stderr.flush()
        self.text = text

    def hush(self, silent: bool = True) -> None:
        """Wipe the line, and say nothing more; or go on."""
        with self.lock:
            if silent and self.text:
                self.write("")
            self.silent = silent


CURRENT: ContextVar[_Line | None] = ContextVar("CURRENT", default=None)


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Say what is being done from now on, and every `doing` inside, until the block ends."""
    with _open_line(0.0) as line, line.add(what):
        yield


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what is being done as long as the block takes.

    Where nobody watches (`watched`), only on a terminal, and only what takes more than a second.
    """
    line = CURRENT.get()
    if line is not None:
        with line.add(what):
            yield
    elif is_worker() or not sys.stderr.isatty():
        yield
    else:
        with _open_line(LATE) as own, own.add(what):
            yield


@contextmanager
def _open_line(delay: float) -> Iterator[_Line]:
    line = _Line(delay)
    token = CURRENT.set(line)
    threading.Thread(target=line.watch, daemon=True).start()
    try:
        yield line
    finally:
        CURRENT.reset(token)
        line.ended.set()
        line.hush()


def hush() -> None:
    """Wipe the line, since something else is written now."""
    if (line := CURRENT.get()) is not None:
        line.hush()


def is_worker() -> bool:
    """Return whether this is a worker process, whose parent says what is being done."""
    from multiprocessing import parent_process

    return parent_process() is not None


def steps(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Go through items; where stderr is a terminal, a bar shows from the first second on.

    It tells the rate and the time left.  Elsewhere a line says how far it is, after ten seconds and
    then every minute.  ``total`` is how many items there are where their length does not say so,
    ``done`` of which were there before.  A worker process shows nothing: its parent does.
    """
    if is_worker():
        return iter(items)
    if not sys.stderr.isatty():
        return _log_steps(items, what, total, done)
    return _show_bar(items, what, total, done)


def _show_bar(items: Iterable[T], what: str, total: int | None, done: int) -> Iterator[T]:
    from tqdm import tqdm

    line = CURRENT.get()
    silent = line is None or line.silent
    if line is not None:
        line.hush()
    yield from tqdm(items, what, total, initial=done, delay=1, disable=None, leave=False)
    if line is not None:
        line.hush(silent)


def _log_steps(items: Iterable[T], what: str, total: int | None, done: int) -> Iterator[T]:
    size = len(items) if isinstance(items, Sized) else total
    of = f" of {size}" if size is not None else ""
    step = _Step(what)
    for at, item in enumerate(items, done):
        if CURRENT.get() is not None and step.is_due():
            sys.stderr.write(f"dftlrp: {what}: {at}{of}, {step.seconds:.0f} s\n")
        yield item
