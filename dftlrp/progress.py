"""A bar for whatever takes more than a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def steps(items: Sequence[T], what: str) -> Iterator[T]:
    """Go through items; where stderr is a terminal, a bar shows from the first second on."""
    from tqdm import tqdm

    return iter(tqdm(items, what, delay=1, disable=None, leave=False))
