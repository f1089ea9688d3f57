"""The collector of Python's reference cycles, at rest while many objects are made that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rest_collector() -> Iterator[None]:
    """Let the collector rest during the block, unless it does so already.

    A trace makes some hundred thousand objects, all of which are alive until it ends: looking
    through them again and again for cycles takes a quarter of its time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
