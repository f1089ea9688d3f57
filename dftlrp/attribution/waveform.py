"""Models that read a waveform: where samples and channels lie, and recordings as they read them."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dftlrp.attribution.recording import (
    Recording,
    fit,
    from_array,
    read_header,
    read_recording,
)
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Dims

MOST_CHANNELS = 512  # more than this is another axis


@dataclass(frozen=True)
class WaveformInput:
    """The one input of a model that reads a waveform.

    Attributes
    ----------
    name : str
        Name of the input.
    dims : tuple of int or None
        Its shape as declared; None where the model leaves it open.
    time : int
        Axis of the samples.
    channel : int or None
        Axis of the channels, if there is one.
    chosen : tuple of str
        Which channels of a file are read, by name; empty for all.
    """

    name: str
    dims: Dims
    time: int
    channel: int | None
    chosen: tuple[str, ...] = ()

    @property
    def length(self) -> int | None:
        """Number of samples that the model reads; None for any."""
        return self.dims[self.time]

    @property
    def channels(self) -> int:
        """Number of channels that the model reads."""
        return 1 if self.channel is None else self.dims[self.channel] or 1

    def to_input(self, samples: Real) -> Real:
        """Return samples (N,) or (channels, N) in the shape of the model's input."""
        sizes = {self.time: samples.shape[-1], self.channel: self.channels}
        turned = samples.T if self._channels_last else samples
        return turned.reshape(tuple(sizes.get(i, 1) for i in range(len(self.dims))))

    def to_samples(self, array: AnyArray) -> AnyArray:
        """Return an array in the shape of the model's input as (N,) or (channels, N)."""
        count = array.shape[self.time]
        rows = array.reshape(count, -1).T if self._channels_last else array.reshape(-1, count)
        return rows[0] if self.channels == 1 else rows

    @property
    def _channels_last(self) -> bool:
        return self.channel is not None and self.channel > self.time


def find_waveform(plan: Plan, signal: Any, chosen: Sequence[str] = ()) -> WaveformInput:
    """Return the one input that the plan reads, with its axes.

    Parameters
    ----------
    signal : path, array or None
        Tells which of two short axes holds the channels, by how many it has itself.
    chosen : list of str
        Names of channels of the signal, where it is a file and not all are read.

    Raises
    ------
    InputError
        The model reads several signals, or one that is no waveform.
    """
    if len(plan.signals) != 1:
        raise InputError(f"the model reads {list(plan.signals)}: use dftlrp.attribute with a dict")
    (name, value) = next(iter(plan.signals.items()))
    dims = value.dims or ()
    long = [i for i, d in enumerate(dims) if (d is None or d > 1) and (i > 0 or len(dims) == 1)]
    channel = (
        _find_channel_axis(long, dims, count_channels(signal, chosen)) if len(long) == 2 else None
    )
    time = [i for i in long if i != channel]
    if len(time) != 1:
        raise InputError(
            f"input {name!r} of shape {_show_dims(dims)} is not a waveform (batch, channels, "
            "samples): declare its front end (frontend=), or give the features themselves "
            "(--features FILE.npy, dftlrp.explain_features)"
        )
    return WaveformInput(name, dims, time[0], channel, tuple(chosen))


def _show_dims(dims: Dims) -> tuple[int | str, ...]:
    return tuple("any" if d is None else d for d in dims)


def _find_channel_axis(long: Sequence[int], dims: Dims, own: int | None) -> int | None:
    """Return the shorter of two axes; the first, if the signal has as many channels as only that.

    None if neither is short.
    """
    few = [i for i in long if (dims[i] or MOST_CHANNELS) < MOST_CHANNELS]
    least = min(few, key=lambda i: dims[i] or 0, default=None)
    if least == long[1] and long[0] in few and own != dims[least]:
        return long[0] if own == dims[long[0]] else least
    return least


def count_channels(
    signal: AnyArray | str | os.PathLike[str], chosen: Sequence[str] = ()
) -> int | None:
    """Return the number of channels of an array or a file; None if it will be refused."""
    if isinstance(signal, str | os.PathLike):
        try:
            return len(chosen) or read_header(signal).channels
        except InputError:
            return None
    try:
        return np.shape(signal)[0] if np.ndim(signal) == 2 else 1
    except ValueError:
        return None


def make_example(signal: Any, rate: float | None, chosen: Sequence[str] = ()) -> Real:
    """Return a signal as (1, channels, N), for a model that does not declare what it reads."""
    count = count_channels(signal, chosen) or 1
    read = WaveformInput("", (1, count, None), 2, 1, tuple(chosen))
    return _read_fitted(signal, read, rate, rate).samples.reshape(1, count, -1)


def read_signal(model: Model, signal: Any, rate: float | None, read: WaveformInput) -> Recording:
    """Return a signal as the model reads it: at its rate, with its channels and its length.

    Parameters
    ----------
    signal, rate
        As of `dftlrp.explain`.

    Raises
    ------
    InputError
        The signal cannot be read, has another number of channels, or the rate is not a rate.
    """
    refuse_no_rate(rate)
    count = read.channels
    try:
        recording = _read_fitted(signal, read, rate, model.rate or rate, read.length)
    except InputError as error:
        if f"reads {count} channels" not in str(error):
            raise
        hint = "if these are not channels, declare the model's front end (frontend=)"
        raise InputError(f"{error}, its input is {_show_dims(read.dims)}; {hint}") from None
    notes = note_assumptions(recording, recording.states_rate, model.rate, rate)
    return replace(recording, notes=(*recording.notes, *notes))


def refuse_no_rate(rate: float | None) -> None:
    """Raise `InputError` unless that is a rate in hertz, or None."""
    if rate is not None and not (isinstance(rate, numbers.Real) and 0 < rate < float("inf")):
        raise InputError(f"rate {rate!r}: a positive number of hertz is needed")


def read_beside(
    model: Model, signal: Any, rate: float | None, read: WaveformInput, recording: Recording
) -> Real:
    """Return another signal as `read_signal` does, but never cropped: it is to be aligned.

    A model that reads a fixed length gets a shorter one with silence behind it, as it gets the
    recording.

    Raises
    ------
    InputError
        As of `read_signal`.
    """
    wanted = model.rate or rate or recording.rate
    other = _read_fitted(signal, read, rate or recording.rate, wanted).samples
    missing = recording.length - other.shape[-1]
    if read.length is None or missing <= 0:
        return other
    return np.pad(other, [(0, 0)] * (other.ndim - 1) + [(0, missing)])


def _read_fitted(
    signal: Any,
    read: WaveformInput,
    own: float | None,
    rate: float | None,
    length: int | None = None,
) -> Recording:
    """Return a file, or an array at its own rate, with the rate and length that are asked for."""
    if isinstance(signal, str | os.PathLike):
        return read_recording(signal, read.channels, rate, length, own=own, chosen=read.chosen)
    return fit(from_array(signal, own, read.channels, read.chosen), rate, length)


def note_assumptions(
    recording: Recording, stated: bool, declared: float | None, given: float | None
) -> Iterator[str]:
    """Yield notes on rates that were assumed or ignored, and on silence.

    Parameters
    ----------
    stated : bool
        Whether the recording is a file that states its own rate.
    declared, given : float or None
        The rate in hertz that the model declares, and the one that the user gave.
    """
    if not recording.rate:
        yield "no rate is known: assuming 1 Hz, so that seconds are samples"
    elif not declared and stated and given:
        yield f"the model reads {given:g} Hz, as it was given"
    elif not declared:
        whose = "the file's rate; set --rate if that is wrong" if stated else "the signal's rate"
        yield f"warning: assuming {recording.rate:g} Hz, {whose}"
    elif stated and given not in {None, declared}:
        yield f"the model declares that it reads {declared:g} Hz: the rate given is not used"
    elif not stated and given is None:
        yield f"assuming that the signal is at {declared:g} Hz, the model's rate"
    if not np.any(recording.samples):
        yield "warning: the recording is silent"
