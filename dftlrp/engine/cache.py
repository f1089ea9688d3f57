"""A bounded memory of values that are costly to make again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """At most so many values by key; the one whose last use is longest ago is dropped first.

    Threads may share it; two of them may make the same value at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: dict[Hashable, V] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[V]:
        return iter(self._values.values())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable) -> V | None:
        """Return the value of a key, or None."""
        with self._lock:
            return self._keep(key, self._values[key]) if key in self._values else None

    def put(self, key: Hashable, value: V) -> V:
        """Keep a value and return it."""
        with self._lock:
            return self._keep(key, value)

    def _keep(self, key: Hashable, value: V) -> V:
        self._values.pop(key, None)
        self._values[key] = value
        while len(self._values) > self.most:
            del self._values[next(iter(self._values))]
        return value

    def find(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of a key, made now if there is none."""
        with self._lock:
            if key in self._values:
                return self._keep(key, self._values[key])
        return self.put(key, make())
