"""Windows of a long recording: how a model that reads a second hears ten minutes.

Of a recording x at the model's rate, window k is x_k[n] = x[s_k + n], n = 0 ... N - 1.  What is
explained of it is c_k . f(x_k), with the coefficients c_k that the seed gives to the explained
output f (`dftlrp.engine.seeds`): its score.  The starts s_k lie a hop apart; the last window ends
with the recording.

The recording is read in parts and never held, each part with the margins that resampling needs, so
that a window has the same samples whichever part it was read in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.fitting import count_at_rate, describe_resampling, read_at_rate
from dftlrp.attribution.recording import Recording, from_array, open_recording
from dftlrp.attribution.score import Scorer, settings_for_scores
from dftlrp.attribution.waveform import WaveformInput
from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.auto import choose_seed
from dftlrp.engine.backward import add_batch_axis
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import Index, find_targets, make_seed
from dftlrp.engine.settings import Question, Settings
from dftlrp.tracing.answers import predict_output

BATCH, NUMBERS = 32, 2**20  # windows that are scored together, and the samples in them
MOST_CLASSES = 1000  # of which the outputs of every window are kept


@dataclass(frozen=True, eq=False)
class Whole:
    """A recording of which any stretch can be read, at the rate that a model reads.

    Attributes
    ----------
    own, rate : float or None
        Hertz of the recording, and those that the model reads; None where none is known.
    frames : int
        Samples per channel, at its own rate.
    frames_between : callable
        From (start, stop), inside the recording, to the frames (channels, n).
    about : Recording
        Its name, hash, channels and notes, without samples.
    """

    own: float | None
    rate: float | None
    frames: int
    frames_between: Callable[[int, int], Real]
    about: Recording

    @property
    def length(self) -> int:
        """Samples per channel at the model's rate."""
        return count_at_rate(self.frames, self.own, self.rate)

    @property
    def seconds(self) -> float:
        """Duration; a sample is a second where no rate is known."""
        return self.frames / (self.own or self.rate or 1.0)

    def read(self, start: int, count: int) -> Real:
        """Return samples (channels, count) at the model's rate; zeros beyond the ends."""
        samples = read_at_rate(self._read_padded, self.own, self.rate, start, count)
        samples[:, max(self.length - start, 0) :] = 0.0  # where the filter rings on
        return samples

    def cut(self, start: int, count: int) -> Recording:
        """Return a stretch as a recording, which says where it starts."""
        rate = self.rate or 1.0
        told = f"{count / rate:.4g} of {self.seconds:.4g} s are explained, from {start / rate:.3f}"
        notes = [*self.about.notes, f"{told} to {(start + count) / rate:.3f} s"]
        if self.own and self.rate and self.own != self.rate:
            notes.append(describe_resampling(self.own, self.rate))
        if (missing := start + count - self.length) > 0:
            notes.append(f"padded at the end with {missing} samples ({missing / rate:.3f} s)")
        samples = self.read(start, count)
        kept = samples if len(samples) > 1 else samples[0]
        return replace(self.about, samples=kept, notes=tuple(notes), start=start / rate)

    def _read_padded(self, start: int, stop: int) -> Real:
        inside = max(start, 0), min(stop, self.frames)
        frames = self.frames_between(*inside)
        return np.pad(frames, [(0, 0), (inside[0] - start, stop - inside[1])])


@contextmanager
def open_whole(
    signal: Any, channels: int, own: float | None, rate: float | None
) -> Iterator[Whole]:
    """Open a file, or take an array, of which stretches are read.

    Parameters
    ----------
    signal : path or array
    channels : int
        What the model reads.
    own, rate : float or None
        Hertz of a signal that does not state them, and those that the model reads.
    """
    if not isinstance(signal, str | os.PathLike):
        array = from_array(signal, own, channels)
        rows = np.atleast_2d(array.samples)
        about = replace(array, samples=rows[:, :0], rate=rate or own)
        yield Whole(own, rate or own, rows.shape[1], lambda a, b: rows[:, a:b], about)
        return
    with open_recording(signal, channels) as opened:
        header = opened.header
        found = header.rate or own
        names = header.names if len(header.names) == channels else ()
        about = Recording(
            np.zeros((channels, 0)), rate or found, (*opened.notes, *header.notes),
            Path(signal).name, header.sha256, names, header.rate is not None,
        )  # fmt: skip
        yield Whole(found, rate or found, header.frames, opened.read, about)


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
    starts = np.arange(first, last + 1, hop)
    return starts if starts[-1] == last else np.append(starts, last)


def score_windows(
    model: Model, read: WaveformInput, whole: Whole, length: int, starts: AnyArray,
    settings: Settings, question: Question,
) -> Scores:  # fmt: skip
    """Ask the model about windows, many at a time.

    Parameters
    ----------
    length : int
        Samples in a window.
    starts : array of int
        Where windows start, in samples.
    settings, question
        As for the explanation of one window.
    """
    plan, asked = model.plan(settings.output, settings.bind), settings_for_scores(settings)
    found: list[tuple[Real, list[Index | None]]] = []
    rows: list[AnyArray] | None = []
    shape: tuple[int, ...] = ()
    for explained in _run_windows(model, read, whole, length, starts, asked, plan):
        z = add_batch_axis(explained, plan)
        shape = z.shape
        found.append(_score(z, plan, question, question.labels or model.labels))
        flat = z.reshape(len(z), -1).astype(np.float32)
        rows = None if rows is None or flat.shape[1] > MOST_CLASSES else [*rows, flat]
    scores = np.concatenate([s for s, _ in found])
    outputs = None if rows is None else np.concatenate(rows)
    targets = tuple(t for _, each in found for t in each)
    return Scores(length, starts, scores, targets, shape, outputs)


def _run_windows(
    model: Model, read: WaveformInput, whole: Whole, length: int, starts: AnyArray,
    settings: Settings, plan: Plan,
) -> Iterator[Real]:  # fmt: skip
    """Yield the explained outputs of one batch of windows after the other."""
    one = read.to_input(whole.read(int(starts[0]), length))
    shape = add_batch_axis(predict_output(model, one, settings).explained, plan)
    ask = Scorer(model, settings, np.zeros_like(shape), read.to_input)
    size = max(1, min(BATCH, NUMBERS // length))
    for first in steps(range(0, len(starts), size), "listening"):
        own = starts[first : first + size]
        part = whole.read(int(own[0]), int(own[-1] - own[0]) + length)
        yield ask.explained(np.stack([part[:, s - own[0] : s - own[0] + length] for s in own]))


def _score(
    z: Real, plan: Plan, question: Question, labels: Sequence[str]
) -> tuple[Real, list[Index | None]]:
    """Return c . z of each row, and its target."""
    kind = choose_seed(question.seed, plan, z.shape, labels).taken
    if callable(question.target):
        R: Real = np.asarray(question.target(z))
        return _add_rows_up(R), [None for _ in z]
    targets = find_targets(question.target, z, labels)
    R = make_seed(targets, "logit" if kind == "one" else kind, z, labels).relevance
    return _add_rows_up(R), list(targets)


def _add_rows_up(R: Real) -> Real:
    total: Real = R.reshape(len(R), -1).sum(axis=1)
    return total


def choose_strongest(scores: Scores, count: int, apart: int) -> list[int]:
    """Return the numbers of the windows with the largest scores, the largest first.

    Two of them start at least ``apart`` samples from each other, so that one event of a recording
    is told once.
    """
    chosen: list[int] = []
    for k in np.argsort(-scores.scores, kind="stable"):
        if len(chosen) == count:
            break
        if all(abs(int(scores.starts[k]) - int(scores.starts[c])) >= apart for c in chosen):
            chosen.append(int(k))
    return chosen
