"""The memory of large arrays, used again while something is computed.

glibc gives every array above 32 MB pages of its own and hands them back when the array goes; the
next array starts with new pages, which the system fills with zeros first.  Where large arrays
follow each other that takes up to half of the time (`benchmarks/bench_eager.py`).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# parameters of mallopt, by glibc's malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
WHILE_COMPUTING = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
# what glibc arrives at by itself where arrays of 32 MB come and go
OTHERWISE = {MMAP_MAX: 65536, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}
MANY = 2**14  # new pages, 64 MB or more: where calls took fewer, trimming costs more than it saves


class _Allocator:
    """The C library's malloc, which all threads of the process share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0  # that compute now
        self.last: Hashable = None  # what was computed last
        self.taken = 0  # new pages that calls took since memory was handed back
        self.before = 0  # pages that the process had taken when the calls that compute now began

    def enter(self, what: Hashable) -> None:
        """Count a call; the first one changes the parameters."""
        with self.lock:
            self.calls += 1
            if self.calls == 1 and (library := find_library()) is not None:
                if what != self.last and self.taken > MANY:  # holes of other sizes are of no use
                    library.malloc_trim(0)
                    self.taken = 0
                self.before = _count_pages()
                _set_parameters(library.mallopt, WHILE_COMPUTING)
            self.last = what

    def leave(self) -> None:
        """Count a call less; the last one changes the parameters back."""
        with self.lock:
            self.calls -= 1
            if not self.calls and (library := find_library()) is not None:
                _set_parameters(library.mallopt, OTHERWISE)
                self.taken += _count_pages() - self.before

    def start_anew(self) -> None:
        """Forget the calls of other threads, which a forked process does not have."""
        self.lock, computed, self.calls = threading.Lock(), self.calls, 0
        if computed and (library := find_library()) is not None:
            _set_parameters(library.mallopt, OTHERWISE)


_ALLOCATOR = _Allocator()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ALLOCATOR.start_anew)


@contextmanager
def reuse_memory(what: Hashable) -> Iterator[None]:
    """While it lasts, large arrays are made in the memory of those that are gone.

    So they are in the main thread; in others, whose part of the heap is small, up to 64 MB each.
    Nothing happens where the C library has no ``mallopt``, or where the environment says how it
    allocates (``MALLOC_...``, ``GLIBC_TUNABLES``).  Otherwise the parameters of ``mallopt`` are set
    for the whole process, afterwards to those that glibc arrives at by itself where arrays of 32 MB
    come and go; other values that a program has set are lost.

    Parameters
    ----------
    what : hashable
        What is computed.  The same again finds the memory of the last time, which is kept in
        between; anything else first hands it back, if calls took many new pages (64 MB or more).

    Examples
    --------
    >>> import numpy as np
    >>> with reuse_memory("a sum"):
    ...     total = sum(np.ones(5_000_000).sum() for _ in range(3))
    >>> float(total)
    15000000.0
    """
    _ALLOCATOR.enter(what)
    try:
        yield
    finally:
        _ALLOCATOR.leave()


def _count_pages() -> int:
    """Return how many new pages of memory the process has taken so far."""
    import resource  # which Windows does not have

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _set_parameters(mallopt: Callable[[int, int], int], values: dict[int, int]) -> None:
    for parameter, value in values.items():
        mallopt(parameter, value)


@cache
def find_library() -> Any:
    """Return the C library, or None where it has no mallopt or is not to be touched."""
    told = any(k.startswith("MALLOC_") or k == "GLIBC_TUNABLES" for k in os.environ)
    if sys.platform != "linux" or told:
        return None
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError):
        return None
