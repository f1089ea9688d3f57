"""What goes back through a graph: relevance, and the multiplier that it is of its value."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from dftlrp.core.maps import Array
from dftlrp.core.sharing import Support


class Flow(NamedTuple):
    """Relevance of a value, its multiplier m with R = value * m, and where it may be other than 0.

    The multiplier is None where there is none.
    """

    relevance: Array
    multiplier: Array
    support: Support = Support.ANYWHERE


DEEPEST = 32  # multipliers that wait for each other


class Arriving(NamedTuple):
    """A flow whose multiplier is computed only when something reads it, as few rules do.

    ``depth`` is how many others must be computed before.
    """

    relevance: Array
    multiplier: Callable[[], Array] | None
    support: Support
    depth: int = 0

    @classmethod
    def start(cls, flow: Flow) -> Arriving:
        """Return a flow that is known."""
        m = flow.multiplier
        return cls(flow.relevance, None if m is None else lambda: m, flow.support)

    def __add__(self, other: Arriving) -> Arriving:  # type: ignore[override]
        a, b = self.multiplier, other.multiplier
        return Arriving(
            self.relevance + other.relevance,
            None if a is None or b is None else cache(lambda: a() + b()),
            min(self.support, other.support),
            max(self.depth, other.depth) + 1,
        ).shorten()

    def scale(self, mask: Array) -> Arriving:
        """Return what a mask lets through."""
        m = self.multiplier
        return self._replace(
            relevance=self.relevance * mask, multiplier=None if m is None else lambda: m() * mask
        )

    def shorten(self) -> Arriving:
        """Return the flow; its multiplier is computed if too many wait for each other."""
        if self.multiplier is None or self.depth < DEEPEST:
            return self
        return Arriving.start(self.settle())

    def settle(self) -> Flow:
        """Return the flow with its multiplier."""
        m = self.multiplier
        return Flow(self.relevance, None if m is None else m(), self.support)


class Received(NamedTuple):
    """What goes on through a node, the relevance that arrived, and what of it was taken."""

    flow: Arriving
    came: list[Array]
    taken: list[Array]
