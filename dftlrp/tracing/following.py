"""A streaming model along a recording: its outputs chunk by chunk, and the state before any chunk.

The file itself is run by onnxruntime, which takes less than a millisecond for most chunks, so that
the whole of a long recording can be listened to before a part of it is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, InputError, ModelError, Real
from dftlrp.engine.chunks import Chunking, Stretch
from dftlrp.engine.model import Model
from dftlrp.engine.states import make_start
from dftlrp.graph.frontend import FrontEnd
from dftlrp.tracing.original import read_original
from dftlrp.tracing.session import TYPES, load_runtime

MOST_MARKS = 256  # states that are kept on the way through a recording


@dataclass(frozen=True, eq=False)
class Stream:
    """How a streaming model is run over a recording.

    Attributes
    ----------
    model : Model
        As it was loaded, without a front end.
    how : Chunking
        States, chunks, axis, output and signal.
    bound : dict of str to value
        Inputs that are settings.
    frontend : FrontEnd, optional
        What makes the frames that it reads.
    """

    model: Model
    how: Chunking
    bound: Mapping[str, Any]
    frontend: FrontEnd | None = None

    def chain(self, stretch: Stretch | None = None) -> Model:
        """Return the model over the recording, behind its front end."""
        bare = self.chain_bare(stretch)
        return bare if self.frontend is None else bare.behind(self.frontend)

    def chain_bare(self, stretch: Stretch | None = None) -> Model:
        """Return the model over the recording, without its front end."""
        return self.model.cut(self.how, stretch)

    @property
    def step(self) -> int:
        """Samples of the recording from one chunk to the next."""
        fe = self.frontend
        return self.how.chunk * (fe.hop * fe.stack_hop if fe else 1)

    @property
    def lead(self) -> float:
        """Samples before the first chunk: a frame counts from half a hop before its centre."""
        fe = self.frontend
        return fe.span / 2 - fe.padding[0] - fe.hop * fe.stack_hop / 2 if fe else 0.0

    def count_chunks(self, length: int) -> int:
        """Return the chunks of a recording of so many samples.

        Raises
        ------
        InputError
            It is too short for a frame.
        """
        count = length if self.frontend is None else self.frontend.frames(length)
        if count < 1:
            raise InputError(f"{length} samples are too short for a frame of the front end")
        return -(-count // self.how.chunk)

    def place(self, length: int, first: int, last: int) -> Place:
        """Return which samples hold some chunks, as they are read in the whole recording.

        Parameters
        ----------
        length : int
            Samples of the recording.
        first, last : int
            The chunks, the last included.
        """
        chunk, fe = self.how.chunk, self.frontend
        if fe is not None and fe.needs_all:
            return Place(0, length, 0)
        before = -(-self.how.context // chunk)
        if fe is None:
            begin = max(0, first - before)
            return Place(begin * chunk, (last + 1 - begin) * chunk, begin)
        frames = self.how.chunk * fe.stack_hop
        edge = fe.padding[0] + fe.span + fe.stack * fe.hop  # which the cut's own padding reaches
        begin = max(0, first - before - -(-edge // self.step))
        end = ((last + 1) * frames + fe.stack + 1) * fe.hop + fe.span
        return Place(begin * self.step, min(end, length) - begin * self.step, begin)


class Place(NamedTuple):
    """Samples of a recording: the first, how many, and the chunk that they begin with."""

    start: int
    size: int
    chunk: int


# -- what the file itself says of one chunk


class Runner:
    """The file itself, run by onnxruntime on one chunk after the other."""

    def __init__(self, model: Model, how: Chunking, bound: Mapping[str, Any]) -> None:
        proto = read_original(model)
        assert proto is not None
        self.how, self.path, self.inputs = how, model.path, model.graph.inputs
        self.runtime = load_runtime(proto.SerializeToString(), ":1", name=str(model.path))
        self.types = {x.name: TYPES.get(x.type, np.float32) for x in self.runtime.get_inputs()}
        self.bound = {k: self._fit(k, v) for k, v in bound.items()}

    def _fit(self, name: str, value: Any) -> AnyArray:
        """Return a setting in the input's dtype and, of one number, in its shape."""
        array, dims = np.asarray(value, self.types.get(name)), self.inputs[name].dims
        return array.reshape([1] * len(dims)) if dims is not None and array.size == 1 else array

    def make_starts(self) -> dict[str, AnyArray]:
        """Return the states before a recording."""
        return {name: make_start(self.inputs[name]) for name in self.how.states}

    def run(
        self, part: AnyArray, states: Mapping[str, AnyArray]
    ) -> tuple[AnyArray, dict[str, AnyArray]]:
        """Return the output of a chunk, and the states behind it.

        Raises
        ------
        InputError
            onnxruntime refuses the chunk.
        """
        feed = {self.how.signal or "": part, **states, **self.bound}
        given: dict[str, AnyArray] = {
            k: np.ascontiguousarray(feed[k], t) for k, t in self.types.items() if k in feed
        }
        names = [self.how.output or "", *self.how.states.values()]
        try:
            output, *after = self.runtime.run(names, given)
        except ModelError:
            raise
        except Exception as error:  # onnxruntime has no type of its own
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{self.path}: it refuses a chunk of shape {part.shape}: {line[:200]}"
            ) from None
        return output, dict(zip(self.how.states, after, strict=True))


# -- along a recording

Cut = Callable[[int, int], Iterator[AnyArray]]


@dataclass(frozen=True, eq=False)
class Followed:
    """What a streaming model says along a recording.

    Attributes
    ----------
    outputs : array (chunks, ...)
        What it says of each chunk.
    starts : array (chunks,)
        Seconds at which the chunks begin.
    seconds : float
        From one chunk to the next.
    """

    outputs: Real
    starts: Real
    seconds: float
    _runner: Runner = field(repr=False)
    _cut: Cut = field(repr=False)
    _marks: Mapping[int, Mapping[str, AnyArray]] = field(repr=False)

    def find_chunk(self, at: float) -> int:
        """Return the chunk that a time in seconds lies in.

        Raises
        ------
        InputError
            It lies outside of the recording.
        """
        chunk = int(np.floor((at - self.starts[0]) / self.seconds + 1e-9))
        if not (at >= 0 and 0 <= chunk <= len(self.starts)):
            end = self.starts[-1] + self.seconds
            raise InputError(f"at {at:g} s: the recording ends at {end:.3f} s")
        return min(chunk, len(self.starts) - 1)

    def find_states(self, chunk: int) -> dict[str, AnyArray]:
        """Return the states before a chunk, exactly as the model was in them."""
        mark = max(k for k in self._marks if k <= chunk)
        states = dict(self._marks[mark])
        for part in self._cut(mark, chunk):
            states = self._runner.run(part, states)[1]
        return states

    def read_chunk(self, chunk: int) -> AnyArray:
        """Return what the model reads of a chunk."""
        return next(self._cut(chunk, chunk + 1))


def follow(stream: Stream, cut: Cut, count: int, rate: float) -> Followed:
    """Run a streaming model along a recording.

    Parameters
    ----------
    cut : callable
        From (first, stop) to what the model reads of these chunks, one after the other.
    count : int
        Chunks of the recording.
    rate : float
        Hertz of the recording.

    Raises
    ------
    InputError
        The model refuses a chunk.
    """
    runner = Runner(stream.model, stream.how, stream.bound)
    states, every = runner.make_starts(), 1
    marks, outputs = dict[int, Mapping[str, AnyArray]](), list[AnyArray]()
    for k, part in enumerate(steps(cut(0, count), "listening", count)):
        if k % every == 0:
            marks[k] = states
        if len(marks) > MOST_MARKS:
            every *= 2
            marks = {m: s for m, s in marks.items() if m % every == 0}
        output, states = runner.run(part, states)
        outputs.append(output[0] if output.ndim and len(output) == 1 else output)
    starts = (np.arange(count) * stream.step + stream.lead) / rate
    return Followed(np.stack(outputs), starts, stream.step / rate, runner, cut, marks)


def cut_chunks(read: AnyArray, how: Chunking, first: int, stop: int) -> Iterator[AnyArray]:
    """Yield what a model reads of some chunks, with zeros before and behind what there is."""
    axis, size = how.axis, read.shape[how.axis]
    for k in range(first, stop):
        start, end = k * how.chunk - how.context, (k + 1) * how.chunk
        part = read.take(range(max(start, 0), min(end, size)), axis)
        missing = [(0, 0)] * read.ndim
        missing[axis] = (max(-start, 0), max(end - size, 0))
        yield np.pad(part, missing) if any(missing[axis]) else part
