"""How well frames cover a signal, at any part of it and without an array of its length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dftlrp.core.types import Real
from dftlrp.spectral.windows import THRESHOLD, overlap_add


@dataclass(frozen=True, eq=False)
class Cover:
    """W_n = sum over frames of a s, and 1 / W where W is large enough to divide by.

    Away from the ends W is periodic with the hop.  So W is computed for a signal from whose middle
    whole hops are left out, and the middle is repeated on demand: memory does not grow with the
    length of the signal.

    Parameters
    ----------
    n : int
        Length of the signal, in samples.
    frames : int
        Number of frames.
    left : int
        Number of zeros before the first sample, where the first frame begins.
    pair : real (L,)
        The product a s of analysis and synthesis window.
    hop : int
        Samples from one frame to the next, at most L.
    """

    n: int
    frames: int
    left: int
    pair: Real
    hop: int

    def read_overlap(self, start: int, stop: int) -> Real:
        """Return W from sample start to stop, (stop - start,) float64."""
        return self._repeat_middle(self._short, start, stop)

    def read_inverse(self, start: int, stop: int) -> Real:
        """Return 1 / W, and 0 where W is too small, (stop - start,) float64."""
        return self._repeat_middle(self._short_inverse, start, stop)

    @cached_property
    def ends(self) -> tuple[int, int]:
        """First covered sample, and the one after the last covered one."""
        covered = self._short_inverse != 0
        return int(np.argmax(covered)), self.n - int(np.argmax(covered[::-1]))

    @property
    def hole(self) -> int | None:
        """First sample between the ends that is not covered, or None."""
        first, last = self.ends
        inside = self._short_inverse[first : last - self._left_out]
        return None if inside.all() else first + int(np.argmin(inside != 0))

    @property
    def _left_out(self) -> int:
        """Samples left out of the middle: whole hops, so that at least four windows stay."""
        return max(0, self.n - 4 * len(self.pair)) // self.hop * self.hop

    @cached_property
    def _short(self) -> Real:
        W = np.zeros(self.n - self._left_out)
        frames = self.frames - self._left_out // self.hop
        padded = overlap_add(np.broadcast_to(self.pair, (frames, len(self.pair))), self.hop)
        inside = padded[self.left : self.left + len(W)]
        W[: len(inside)] = inside
        return W

    @cached_property
    def _short_inverse(self) -> Real:
        size = np.abs(self._short)
        covered = size > THRESHOLD * size.max()
        return np.divide(1, self._short, out=np.zeros_like(size), where=covered)

    def _repeat_middle(self, short: Real, start: int, stop: int) -> Real:
        if not self._left_out:
            return short[start:stop]
        # Between one window after the start and two before the end, no frame is missing.
        head, tail = len(self.pair), self.n - 2 * len(self.pair)
        a = min(max(start, head), stop)
        b = max(min(stop, tail), a)
        period = np.roll(short[head : head + self.hop], -((a - head) % self.hop))
        ending = short[b - self._left_out : stop - self._left_out] if b < stop else short[:0]
        return np.concatenate([short[start:a], np.resize(period, b - a), ending])
