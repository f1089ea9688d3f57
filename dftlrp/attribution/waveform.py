"""Models that read a waveform: where samples and channels lie, and recordings as they read them."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.recording import (
    Recording,
    count_channels,
    fit,
    from_array,
    read_recording,
)
from dftlrp.core.types import InputError, Real
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Dims, Value

MOST_CHANNELS = 512  # more than this is another axis


class Shape(NamedTuple):
    """Where the samples and the channels of a waveform lie in a model's input."""

    time: int
    channel: int | None
    length: int | None
    channels: int
    dims: Dims


def waveform(plan: Plan, signal: Any) -> tuple[tuple[str, Value], Shape]:
    """The one signal that the plan reads, and its axes."""
    if len(plan.signals) != 1:
        raise InputError(f"the model reads {list(plan.signals)}: use dftlrp.attribute with a dict")
    (name, value) = next(iter(plan.signals.items()))
    dims = value.dims or ()
    long = [i for i, d in enumerate(dims) if (d is None or d > 1) and (i > 0 or len(dims) == 1)]
    channel = _channel_axis(long, dims, signal) if len(long) == 2 else None
    time = [i for i in long if i != channel]
    if len(time) != 1:
        raise InputError(
            f"input {name!r} of shape {_shown(dims)} is not a waveform (batch, channels, samples): "
            "declare its front end (frontend=), or use dftlrp.attribute for arrays of any shape"
        )
    count = 1 if channel is None else dims[channel] or 1
    return (name, value), Shape(time[0], channel, dims[time[0]], count, dims)


def _shown(dims: Dims) -> tuple[int | str, ...]:
    return tuple("any" if d is None else d for d in dims)


def _channel_axis(long: Sequence[int], dims: Dims, signal: Any) -> int | None:
    """The smaller of two axes; the first one, if the signal has as many channels as that alone."""
    few = [i for i in long if (dims[i] or MOST_CHANNELS) < MOST_CHANNELS]
    least = min(few, key=lambda i: dims[i] or 0, default=None)
    if least == long[1] and long[0] in few and (own := count_channels(signal)) != dims[least]:
        return long[0] if own == dims[long[0]] else least
    return least


def shaped(samples: Real, value: Value, shape: Shape) -> Real:
    """Samples (N,) or (channels, N) as the model's input."""
    where = {shape.time: samples.shape[-1], shape.channel: shape.channels}
    turned = samples.T if shape.channel is not None and shape.channel > shape.time else samples
    return turned.reshape(tuple(where.get(i, 1) for i in range(len(value.dims or ()))))


def like(arrays: Any, name: str, samples: Real, shape: Shape) -> Real | None:
    """Relevance or multiplier of the model's input, in the shape of the samples."""
    if arrays is None or arrays[name] is None:
        return None
    array = np.asarray(arrays[name])
    if shape.channel is not None and shape.channel > shape.time:
        return array.reshape(samples.T.shape).T
    return array.reshape(samples.shape)


def example_for(signal: Any, rate: float | None) -> Real:
    """A signal (1, channels, N), for a model that does not declare what it reads."""
    count = count_channels(signal) or 1
    return _read(signal, count, rate, rate).samples.reshape(1, count, -1)


def _read(
    signal: Any, channels: int, own: float | None, rate: float | None, length: int | None = None
) -> Recording:
    """Return a file, or an array at its own rate, with the rate and length that are asked for."""
    if isinstance(signal, str | os.PathLike):
        return read_recording(signal, channels, rate, length)
    return fit(from_array(signal, own, channels), rate, length)


def recording_for(model: Model, signal: Any, rate: float | None, shape: Shape) -> Recording:
    """What the model reads of the signal: at its rate, with its channels and its length."""
    if rate is not None and not (isinstance(rate, numbers.Real) and 0 < rate < float("inf")):
        raise InputError(f"rate {rate!r}: a positive number of hertz is needed")
    file = isinstance(signal, str | os.PathLike)
    count, reads = shape.channels, model.rate or rate
    try:
        recording = _read(signal, count, rate, reads, shape.length)
    except InputError as error:
        if f"reads {count} channels" not in str(error):
            raise
        hint = "if these are not channels, declare the model's front end (frontend=)"
        raise InputError(f"{error}, its input is {_shown(shape.dims)}; {hint}") from None
    notes = recording.notes
    if not recording.rate:
        notes += ("no rate is known: 1 Hz is taken, so that seconds are samples",)
    elif not model.rate:
        notes += (f"the model is taken to read {recording.rate:g} Hz",)
    elif file and rate not in {None, model.rate}:
        notes += (f"the model says it reads {reads:g} Hz: the rate given is not used",)
    elif not file and rate is None:
        notes += (f"the signal is taken to be at {reads:g} Hz",)
    if not recording.samples.any():
        notes += ("warning: the recording is silent",)
    return replace(recording, notes=notes)
