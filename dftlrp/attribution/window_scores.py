"""Windows of a long recording: how a model that reads a second hears ten minutes.

Of a recording x at the model's rate, window k is x_k[n] = x[s_k + n], n = 0 ... N - 1.  What is
explained of it is c_k . f(x_k), with the coefficients c_k that the seed gives to the explained
output f (`dftlrp.engine.seeds`): its score.  The starts s_k lie a hop apart; the last window ends
with the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dftlrp.attribution.score import Scorer, settings_for_scores
from dftlrp.attribution.waveform import WaveformInput
from dftlrp.attribution.whole import Whole
from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.auto import choose_seed
from dftlrp.engine.backward import add_batch_axis
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import Index, find_targets, make_seed
from dftlrp.engine.settings import Question, Settings
from dftlrp.tracing.answers import predict_output

BATCH, NUMBERS = 32, 2**20  # windows that are scored together, and the samples in them
MOST_WINDOWS = 10**7
MOST_CLASSES = 1000  # of which the outputs of every window are kept


class Scores(NamedTuple):
    """What a model says of each window.

    ``length`` of a window and ``starts`` (n,) in samples; ``scores`` (n,) what is explained of
    each; ``targets`` (n,) the index of its target, or None, in an explained output of ``shape``;
    ``outputs`` (n, classes) float32, None where there are too many.
    """

    length: int
    starts: AnyArray
    scores: Real
    targets: tuple[Index | None, ...]
    shape: tuple[int, ...]
    outputs: AnyArray | None


def place_windows(first: int, stop: int, length: int, hop: int) -> AnyArray:
    """Return the starts of windows that cover the samples from first to before stop.

    They lie a hop apart; the last one ends at ``stop``.  A stretch shorter than a window has one.
    """
    last = max(stop - length, first)
    if (last - first) // hop > MOST_WINDOWS:
        raise InputError(
            f"{(last - first) // hop} windows are too many: choose a longer hop or a shorter "
            "stretch, and look whether the rate is right"
        )
    starts = np.arange(first, last + 1, hop)
    return starts if starts[-1] == last else np.append(starts, last)


@dataclass(frozen=True, eq=False)
class Listener:
    """A model that is asked about windows of a recording, many at a time.

    Attributes
    ----------
    model, read, plan
        What is asked, and how it reads a recording.
    settings, question
        As for the explanation of one window.
    """

    model: Model
    read: WaveformInput
    plan: Plan
    settings: Settings
    question: Question

    def score(self, whole: Whole, length: int, starts: AnyArray) -> Scores:
        """Return what the model says of windows of so many samples, which start at these."""
        scores: list[Real] = []
        targets: list[Index | None] = []
        rows: list[AnyArray] | None = []
        shape: tuple[int, ...] = ()
        for explained in self._run(whole, length, starts):
            z = add_batch_axis(explained, self.plan)
            shape, (score, target) = z.shape, self._score(z)
            scores.append(score)
            targets += target
            flat = z.reshape(len(z), -1).astype(np.float32)
            rows = None if rows is None or flat.shape[1] > MOST_CLASSES else [*rows, flat]
        outputs = None if rows is None else np.concatenate(rows)
        return Scores(length, starts, np.concatenate(scores), tuple(targets), shape, outputs)

    def _run(self, whole: Whole, length: int, starts: AnyArray) -> Iterator[Real]:
        """Yield the explained outputs of one batch of windows after the other."""
        settings, to_input = settings_for_scores(self.settings), self.read.to_input
        one = to_input(whole.read(int(starts[0]), length))
        known = add_batch_axis(predict_output(self.model, one, settings).explained, self.plan)
        ask = Scorer(self.model, settings, np.zeros_like(known), to_input)
        size = max(1, min(BATCH, NUMBERS // length))
        for first in steps(range(0, len(starts), size), "listening"):
            own = starts[first : first + size]
            part = whole.read(int(own[0]), int(own[-1] - own[0]) + length)
            yield ask.explained(np.stack([part[:, s - own[0] : s - own[0] + length] for s in own]))

    def _score(self, z: Real) -> tuple[Real, list[Index | None]]:
        """Return c . z of each row, and its target."""
        target, labels = self.question.target, self.question.labels or self.model.labels
        if callable(target):
            return _add_rows_up(np.asarray(target(z))), [None for _ in z]
        kind = choose_seed(self.question.seed, self.plan, z.shape, labels).taken
        targets = find_targets(target, z, labels)
        R = make_seed(targets, "logit" if kind == "one" else kind, z, labels).relevance
        return _add_rows_up(R), list(targets)


def _add_rows_up(R: Real) -> Real:
    total: Real = R.reshape(len(R), -1).sum(axis=1)
    return total


def choose_strongest(scores: Real, starts: AnyArray, count: int | None, apart: float) -> list[int]:
    """Return the numbers of the windows with the largest scores, the largest first.

    Two of them start at least ``apart`` from each other, in the unit of ``starts``, so that one
    event of a recording is told once.  Without a ``count`` all are returned.
    """
    order = [int(k) for k in np.argsort(-scores, kind="stable")]
    if count is None:
        return order
    chosen: list[int] = []
    for k in order:
        if all(abs(float(starts[k]) - float(starts[c])) >= apart for c in chosen):
            chosen.append(k)
        if len(chosen) == count:
            break
    return chosen
