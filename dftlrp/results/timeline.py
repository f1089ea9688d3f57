"""A long recording: what a model says of every window of it, and why in some of them.

With the relevance R_k[n] of window k, which starts at sample s_k, the relevance of the recording is

    R[n] = sum over the explained windows k of R_k[n - s_k]

that of the sum of their scores.  So what the windows account for, the recording accounts for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, Real
from dftlrp.results.explanation import Explanation

SHOWN = 12  # windows in a printed table


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
class Timeline:
    """What a model says along a recording; explanations of the windows where it says most.

    A timeline is a sequence of its explanations, the strongest window first.

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
    explanations : tuple of Explanation
        The strongest first.  Their times are those of the recording.
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
    explanations: tuple[Explanation, ...]
    overview: Overview
    name: str = "array"
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return str(self)

    def __len__(self) -> int:
        return len(self.explanations)

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.explanations)

    def __getitem__(self, rank: int) -> Explanation:
        return self.explanations[rank]

    def windows(self) -> list[Heard]:
        """Return all windows in the order of time."""
        rows = zip(self.starts, self.targets, self.scores, strict=True)
        return [Heard(float(s), float(s) + self.seconds, t, float(z)) for s, t, z in rows]

    def relevance(self, edges: Real) -> Real:
        """Return the relevance of the recording between edges of time (n + 1,), in seconds: (n,).

        What lies outside the explained windows is 0.
        """
        total = np.zeros(len(edges) - 1)
        for e in self.explanations:
            R = np.asarray(e.relevance["time"], np.float64)
            R = R.reshape(-1, R.shape[-1]).sum(axis=0)
            place = np.searchsorted(edges, np.asarray(e.axes["time"]), side="right") - 1
            inside = (place >= 0) & (place < len(total))
            np.add.at(total, place[inside], R[inside])
        return total

    def write_csv(self) -> str:
        """Return all windows as a table: start, stop, label, score, and each class's output."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        count = 0 if self.outputs is None else self.outputs.shape[1]
        names = self.labels if len(self.labels) == count else tuple(map(str, range(count)))
        writer.writerow((*Heard._fields, *names))
        for k, row in enumerate(self.windows()):
            writer.writerow((*row, *([] if self.outputs is None else map(float, self.outputs[k]))))
        return buffer.getvalue()

    def __str__(self) -> str:
        explained = [
            f"  {e.start:9.2f} s  {e.label}: {score:.4g}"
            for e, score in zip(self.explanations[:SHOWN], self._find_scores(), strict=False)
        ]
        head = (
            f"{self.name}: {self.duration:.2f} s in {len(self.starts)} windows of "
            f"{self.seconds:g} s; the strongest:"
        )
        return "\n".join(map(make_printable, [head, *explained]))

    def _find_scores(self) -> list[float]:
        """Return the score of each explained window, with which its explanation ends."""
        stops = self.starts + self.seconds
        at = [int(np.abs(stops - self._find_stop(e)).argmin()) for e in self.explanations]
        return [float(self.scores[k]) for k in at]

    def _find_stop(self, e: Explanation) -> float:
        """Return the second at which what is explained ends: with a window, begin as it may."""
        samples = e.signal["time"].shape[-1] if "time" in e.signal else self.seconds * e.rate
        return float(e.start + samples / e.rate)
