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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

# parameters of mallopt, by glibc's malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
WHILE_COMPUTING = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
# what glibc itself arrives at where arrays of 32 MB come and go
ELSE = {MMAP_MAX: 65536, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}


class _Allocator:
    """glibc's malloc, which all threads of the process share."""

    def __init__(self) -> None:
        self.lock, self.users = threading.Lock(), 0

    def count(self, more: int) -> None:
        """Count the calls that compute; set malloc when the first comes and when the last goes."""
        with self.lock:
            before, self.users = self.users, self.users + more
            if bool(before) != bool(self.users) and (tell := _find_setter()) is not None:
                for parameter, value in (WHILE_COMPUTING if self.users else ELSE).items():
                    tell(parameter, value)


_ALLOCATOR = _Allocator()


@contextmanager
def reuse_memory() -> Iterator[None]:
    """While it lasts, large arrays are made in the memory of those that are gone.

    Afterwards the allocator hands memory back again as arrays go.  Nothing happens where the C
    library is not glibc, or where the environment says how its allocator works (``MALLOC_...``,
    ``GLIBC_TUNABLES``).

    Examples
    --------
    >>> import numpy as np
    >>> with reuse_memory():
    ...     total = sum(np.ones(5_000_000).sum() for _ in range(3))
    >>> float(total)
    15000000.0
    """
    _ALLOCATOR.count(1)
    try:
        yield
    finally:
        _ALLOCATOR.count(-1)


@cache
def _find_setter() -> Callable[[int, int], int] | None:
    """Return glibc's mallopt, or None where it is not there or not to be touched."""
    told = any(k.startswith("MALLOC_") or k == "GLIBC_TUNABLES" for k in os.environ)
    if sys.platform != "linux" or told:
        return None
    setter: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    return setter
