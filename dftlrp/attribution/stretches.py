"""Which moment of a recording is explained of a model that keeps a state from chunk to chunk.

The model is run along the whole recording first, chunk by chunk.  What is explained is what it says
of one chunk: that at a time which is asked for, or the one where the target is strongest.  The
stretch of the recording up to there is run again and explained; what the model heard before the
stretch is in its state, which is exactly what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Real as Number

import numpy as np

from dftlrp.attribution.asking import STRONGEST, Asking
from dftlrp.attribution.whole import Whole
from dftlrp.attribution.window_scores import MOST_CLASSES, Scores
from dftlrp.core.backend import get_backend
from dftlrp.core.identity import MOST_NOISE, measure_deviation
from dftlrp.core.types import AnyArray, InputError, ModelError
from dftlrp.engine.chunks import Stretch
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.seeds import find_targets
from dftlrp.engine.settings import Settings
from dftlrp.results.explanation import Explanation
from dftlrp.tracing.answers import predict_output
from dftlrp.tracing.following import Followed, Stream, cut_chunks, follow
from dftlrp.tracing.original import find_feed

# The stretch that is explained, if no other is asked for: seconds, chunks at least, nodes at most.
SECONDS, LEAST_CHUNKS, MOST_NODES = 2.0, 4, 10_000
BLOCK = 2**20  # samples that are read at once, about
DOUBLE = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Stretches:
    """A recording that a model has been run along, any stretch of which can be explained.

    Attributes
    ----------
    asking, whole
        What is asked, and the recording.
    stream : Stream
        How the model is run.
    followed : Followed
        What it says along the recording.
    """

    asking: Asking
    whole: Whole
    stream: Stream
    followed: Followed

    def score(self, chunks: AnyArray) -> Scores:
        """Return what the target is in some chunks; of a function, the largest output."""
        target, z = self.asking.question.target, self.followed.outputs[chunks]
        places = find_targets("argmax" if callable(target) else target, z, self.labels)
        scores = [float(np.sum(row[place])) for row, place in zip(z, places, strict=True)]
        flat = z.reshape(len(z), -1).astype(np.float32)
        step, lead = self.stream.step, round(self.stream.lead)
        return Scores(
            step, chunks * step + lead, np.array(scores), tuple(places), z.shape,
            flat if flat.shape[1] <= MOST_CLASSES else None,
        )  # fmt: skip

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.asking.question.labels or self.asking.model.labels

    def count_chunks(self, seconds: float | None) -> int:
        """Return how many chunks are explained up to a moment.

        Raises
        ------
        InputError
            That is no duration.
        """
        step = self.followed.seconds
        if seconds is None:
            most = max(LEAST_CHUNKS, MOST_NODES // self._count_nodes())
            return max(LEAST_CHUNKS, min(most, round(SECONDS / step)))
        if not (isinstance(seconds, Number) and 0 < seconds < np.inf):
            raise InputError(f"window {seconds!r}: a positive number of seconds is needed")
        return max(1, round(seconds / step))

    def _count_nodes(self) -> int:
        """Return how many nodes run on one chunk, with loops and cells written out."""
        model, bk = self.stream.chain_bare(Stretch(0, 0, {})), get_backend()
        plan = model.plan(None, self.asking.settings.bind)
        shape = self.followed.read_chunk(0).shape
        own = [
            self.stream.how.chunk if i == self.stream.how.axis else n for i, n in enumerate(shape)
        ]
        given: dict[str, AnyArray] = {
            **model.constants(bk, DOUBLE), self.stream.how.signal or "": np.zeros(own)
        }  # fmt: skip
        return len(evaluate(plan, given, bk, DOUBLE).nodes)

    def explain(self, last: int, count: int, why: str) -> Explanation:
        """Return the explanation of what the model says of a chunk, by so many chunks up to it.

        Raises
        ------
        ModelError
            What is explained is not what the file itself says.
        """
        first, stream, followed = max(0, last + 1 - count), self.stream, self.followed
        self._confirm_chunk(last)
        place = stream.place(self.whole.length, first, last)
        inside = Stretch(first - place.chunk, last - place.chunk, followed.find_states(first))
        model, asking = stream.chain(inside), self.asking
        settings = replace(asking.settings, backend=asking.settings.backend or "numpy")
        start, middle = (followed.starts[[first, last]] + [0, followed.seconds / 2]).tolist()
        words = [
            f"explained at {middle:.3f} s (chunk {last + 1} of {len(followed.outputs)}), {why}"
        ]
        if first:
            words.append(
                f"what was heard before {start:.3f} s is in the state, which stays as it is "
                "(explain more: --window SECONDS)"
            )
        asked = replace(
            asking, model=model, bare=stream.chain_bare(inside), settings=settings,
            plan=model.plan(None, settings.bind), words=(*asking.words, *words),
        )  # fmt: skip
        found = asked.explain(asking.cut(self.whole, place.start, place.size))
        off = measure_deviation(found.output.reshape(-1), followed.outputs[last].reshape(-1))
        if off > MOST_NOISE:
            raise ModelError(
                f"{stream.model.path}: what would be explained is off by {off:.1e} of what the "
                "file says chunk by chunk: report this model"
            )
        how = stream.how
        facts = {
            "states": dict(how.states), "chunk": how.chunk, "context": how.context,
            "chunks": len(followed.outputs), "explained": [first, last], "at": middle,
        }  # fmt: skip
        return replace(found, provenance={**found.provenance, "stream": facts})

    def _confirm_chunk(self, chunk: int) -> None:
        """Compare one chunk, layer by layer if need be, with what the file itself says of it.

        Raises
        ------
        ModelError
            They differ.
        """
        how = self.stream.how
        bind = {**self.stream.bound, **self.followed.find_states(chunk)}
        part = {how.signal or "": self.followed.read_chunk(chunk)}
        predict_output(self.stream.model, part, Settings(how.output, bind, backend="numpy"))


def follow_recording(asking: Asking, whole: Whole) -> Stretches:
    """Run a streaming model along a recording.

    Raises
    ------
    InputError
        It keeps no state; it refuses a chunk.
    """
    stream = asking.stream
    if stream is None:
        raise InputError(f"{asking.model.path}: it keeps no state from chunk to chunk")
    plan, read = asking.plan, asking.read

    def cut(first: int, stop: int) -> Iterator[AnyArray]:
        size = max(1, BLOCK // stream.step)
        for start in range(first, stop, size):
            end = min(start + size, stop)
            place = stream.place(whole.length, start, end - 1)
            samples = whole.read(place.start, place.size)
            given = read.to_input(samples if len(samples) > 1 else samples[0])
            frames = find_feed(asking.model, plan, {read.name: given})[stream.how.signal or ""]
            yield from cut_chunks(frames, stream.how, start - place.chunk, end - place.chunk)

    count = stream.count_chunks(whole.length)
    return Stretches(asking, whole, stream, follow(stream, cut, count, whole.rate or 1.0))


def explain_moment(asking: Asking, at: float | str, window: float | None) -> Explanation:
    """Return the explanation of what a streaming model says at a moment of a recording.

    Parameters
    ----------
    at : float or "strongest"
        Seconds, or where the target is strongest.
    window : float, optional
        Seconds of the recording up to there that are explained.

    Raises
    ------
    InputError
        The time lies outside of the recording, or the model refuses a chunk.
    """
    with asking.open() as whole:
        stretches = follow_recording(asking, whole)
        count = stretches.count_chunks(window)
        if at == STRONGEST:
            scores = stretches.score(np.arange(len(stretches.followed.outputs))).scores
            last = int(scores.argmax())
            told = f"where the target is strongest, {scores[last]:.4g}"
            return stretches.explain(last, count, f"{told}; another moment: --at SECONDS")
        if not isinstance(at, Number):
            raise InputError(f"at {at!r}: of a streaming model, give seconds or {STRONGEST!r}")
        return stretches.explain(stretches.followed.find_chunk(float(at)), count, "as asked for")
