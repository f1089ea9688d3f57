"""A long recording: what a model says of every window of it, and why in some of them.

With the relevance R_k[n] of window k, which starts at sample s_k, the relevance of the recording is

    R[n] = sum over the explained windows k of R_k[n - s_k]

that of the sum of their scores.  So what the windows account for, the recording accounts for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.data import ExplanationData

E = TypeVar("E", bound=ExplanationData)


class Overview(NamedTuple):
    """A recording in so few numbers that a picture shows all of them.

    ``times`` (n + 1,) edges in seconds; ``low`` and ``high`` (n,) smallest and largest sample
    between two edges, of each channel (channels, n); ``columns`` (m + 1,) seconds and ``hertz``
    (b + 1,) edges of the cells of ``power`` (channels, b, m), the mean of |STFT|^2.
    """

    times: Real
    low: Real
    high: Real
    columns: Real
    hertz: Real
    power: Real


class Heard(NamedTuple):
    """One window: where it starts and stops in seconds, its target, and its score."""

    start: float
    stop: float
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class TimelineData(Generic[E]):
    """What a model says along a recording; explanations of the windows where it says most.

    A timeline is a sequence of its explanations, the strongest window first.  `dftlrp.Timeline`
    adds the methods that show and store it.

    Attributes
    ----------
    starts : array (n,)
        Where windows start, in seconds of the recording.
    seconds : float
        How long a window is.
    scores : array (n,)
        What is explained of each: its score, or its lead over the other classes.
    targets : tuple of str
        The name of what is explained of each.
    outputs : array (n, classes) or None
        The explained outputs; None where they are no row of classes.
    labels : tuple of str
        Names of the classes, or empty.
    duration : float
        Seconds of the recording.
    chosen : tuple of int
        The numbers of the explained windows, the strongest first.
    explanations : tuple of Explanation
        Of these, in their order.  Times are those of the recording.  The explanation of a model
        that keeps a state from chunk to chunk begins before the chunk.
    overview : Overview
    name : str
        Of the file, or "array".
    notes : tuple of str
    """

    starts: Real
    seconds: float
    scores: Real
    targets: tuple[str, ...]
    outputs: AnyArray | None
    labels: tuple[str, ...]
    duration: float
    chosen: tuple[int, ...]
    explanations: tuple[E, ...]
    overview: Overview
    name: str = "array"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.explanations)

    def __iter__(self) -> Iterator[E]:
        return iter(self.explanations)

    def __getitem__(self, rank: int) -> E:
        return self.explanations[rank]

    def windows(self) -> list[Heard]:
        """Return all windows in the order of time.

        Returns
        -------
        list of Heard
            Tuples (start, stop, label, score), times in seconds.
        """
        rows = zip(self.starts, self.targets, self.scores, strict=True)
        return [Heard(float(s), float(s) + self.seconds, t, float(z)) for s, t, z in rows]

    def relevance(self, edges: Real) -> Real:
        """Return the relevance of the recording between edges of time.

        Parameters
        ----------
        edges : array (n + 1,)
            Seconds, ascending.

        Returns
        -------
        array (n,)
            What lies outside the explained windows is 0; channels are added up.
        """
        total = np.zeros(len(edges) - 1)
        for e in self.explanations:
            R = np.asarray(e.relevance["time"], np.float64)
            R = R.reshape(-1, R.shape[-1]).sum(axis=0)
            place = np.searchsorted(edges, np.asarray(e.axes["time"]), side="right") - 1
            inside = (place >= 0) & (place < len(total))
            np.add.at(total, place[inside], R[inside])
        return total

    def explained(self) -> list[Heard]:
        """Return the explained windows, the strongest first.

        Returns
        -------
        list of Heard
            Tuples (start, stop, label, score), times in seconds.
        """
        rows = self.windows()
        return [rows[k] for k in self.chosen]
