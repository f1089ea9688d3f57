"""What a model would answer if it read another rate than the one that is assumed.

A file that does not say which rate its model reads is given the recording's own.  The same moment
of the recording is then given at other common rates, too, to the original file by onnxruntime: one
forward pass for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

from dftlrp.attribution.recording import Recording
from dftlrp.attribution.waveform import WaveformInput
from dftlrp.attribution.whole import Whole
from dftlrp.core.types import DftlrpError, Real
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.tracing.original import run_original

COMMON = (8000.0, 16000.0, 22050.0, 44100.0, 48000.0)
SLOWEST = 4000.0  # hertz; slower signals are no sound, and these rates are not theirs
MOST_SECONDS = 5.0  # of a model that reads any length
ALIKE = 0.1  # of the larger of two scores: by so much one number may differ


class Heard(NamedTuple):
    """What a model that is given one rate would answer: a class, or none, and its score."""

    rate: float
    place: int | None
    score: float


class OpensAt(Protocol):
    """Opens the recording at a rate."""

    def __call__(self, rate: float) -> AbstractContextManager[Whole]:
        """Return the recording, of which stretches can be read."""


def warn_of_rates(
    model: Model, plan: Plan, read: WaveformInput, recording: Recording, open_at: OpensAt,
    labels: Sequence[str],
) -> Iterator[str]:  # fmt: skip
    """Yield a warning if the answer depends on the rate that was assumed.

    Parameters
    ----------
    recording : Recording
        What is explained, at the rate that was assumed.
    """
    own = recording.rate
    if model.rate or not own or own < SLOWEST:
        return
    others = [rate for rate in COMMON if abs(rate / own - 1) > 0.01]
    stretches = [
        (r, x)
        for r in (own, *others)
        if (x := _read_around(recording, read, open_at, r)) is not None
    ]
    try:
        answers = run_original(model, plan, [read.to_input(x) for _, x in stretches])
    except DftlrpError:  # what is wrong is told where the model itself is asked
        return
    heard = [
        _judge(rate, z)
        for (rate, _), z in zip(stretches, answers, strict=True)
        if z is not None and answers[0] is not None and z.size == answers[0].size
    ]
    if not heard or answers[0] is None or sum(n > 1 for n in answers[0].shape) > 1:
        return  # no answer, or not one
    first, *rest = heard
    if other := [one for one in rest if _differs(first, one)]:
        part = "" if read.length or recording.length / own <= MOST_SECONDS else " of its middle"
        told = ", ".join(f"{one.rate:g} Hz {_tell_answer(one, labels)}" for one in other)
        here = f"at {own:g} Hz {_tell_answer(first, labels)}"
        yield (
            f"warning: the file does not say which rate the model reads, and its answer{part} "
            f"depends on it: {here}; at {told}: set --rate, or write it into the file by dftlrp "
            "annotate"
        )


def _read_around(
    recording: Recording, read: WaveformInput, open_at: OpensAt, rate: float
) -> Real | None:
    """Return the stretch around the same moment at a rate; None where it cannot be read."""
    own = recording.rate or 1.0
    seconds = min(recording.length / own, MOST_SECONDS)
    count = read.length or max(1, round(seconds * rate))
    middle = recording.start + recording.length / own / 2
    try:
        with open_at(rate) as whole:
            last = max(whole.length - count, 0)
            start = min(max(round(middle * rate - count / 2), 0), last)
            samples = whole.read(start, count)
    except DftlrpError:
        return None
    return samples if len(samples) > 1 else samples[0]


def _judge(rate: float, z: Any) -> Heard:
    values = np.asarray(z, np.float64).reshape(-1)
    place = int(values.argmax())
    return Heard(rate, place if len(values) > 1 else None, float(values[place]))


def _differs(a: Heard, b: Heard) -> bool:
    if a.place is not None:
        return a.place != b.place
    return abs(a.score - b.score) > ALIKE * max(abs(a.score), abs(b.score))


def _tell_answer(one: Heard, labels: Sequence[str]) -> str:
    if one.place is None:
        return f"{one.score:.3g}"
    name = labels[one.place] if one.place < len(labels) else f"class {one.place}"
    return f"“{name}” ({one.score:.3g})"
