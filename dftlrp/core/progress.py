"""A bar for whatever takes more than a second."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def steps(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Go through items; where stderr is a terminal, a bar shows from the first second on.

    It tells the rate and the time left.  ``total`` is how many items there are where their length
    does not say so, ``done`` of which were there before.  A worker process shows none: its parent
    does.
    """
    from multiprocessing import parent_process

    if parent_process() is not None or not (sys.stderr and sys.stderr.isatty()):
        return iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, what, total, initial=done, delay=1, leave=False))
