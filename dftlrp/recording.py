"""From a sound file or an array to what the model reads: rate, channels, length.

Nothing is changed silently: every step leaves a line in ``notes``.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np

from dftlrp.files import regular
from dftlrp.types import AnyArray, InputError, Real

MAX_SAMPLES = 2**28  # 2 GiB in float64
MAX_BYTES = 2**31
CHUNKS = {b"RIFF": ("<", b"data"), b"RIFX": (">", b"data"), b"FORM": (">", b"SSND")}  # WAV, AIFF


@dataclass(frozen=True)
class Recording:
    """One channel of sound.

    Attributes
    ----------
    samples : array (N,)
        float64, full scale = 1.
    rate : float or None
        Hertz, where known.
    notes : tuple of str
        What was done to it.
    name : str
        File name, or "array".
    sha256 : str
        Of the file's bytes or the array's.
    """

    samples: Real
    rate: float | None
    notes: tuple[str, ...] = ()
    name: str = "array"
    sha256: str = ""


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a sound file that libsndfile knows (WAV, FLAC, OGG, ...), mixed to one channel.

    Raises
    ------
    InputError
        No such file, not a sound file, truncated, empty, or too long for memory.
    """
    import soundfile  # type: ignore[import-untyped]

    path = Path(path)
    with regular(path, InputError) as (file, size):
        if size > MAX_BYTES:
            raise InputError(f"{path}: {size} bytes are too many; cut it first")
        data = file.read()
    if not data:
        raise InputError(f"{path}: is empty")
    _refuse_truncated(data, path)
    try:
        with soundfile.SoundFile(BytesIO(data)) as sound:
            frames, rate = sound.frames, float(sound.samplerate)
            if frames * sound.channels > MAX_SAMPLES:
                raise InputError(f"{path}: {frames} frames are too many; cut it first")
            samples = sound.read(dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        line = str(error).splitlines()[0].rpartition("object at 0x")[2]
        raise InputError(f"{path}: not a sound file that can be read ({line})") from None
    if not frames:
        raise InputError(f"{path}: holds no samples")
    if len(samples) < frames:
        raise InputError(
            f"{path}: truncated: {frames - len(samples)} of {frames} frames are missing"
        )
    mono, notes = _mixed(samples.T)
    return Recording(mono, rate, notes, path.name, hashlib.sha256(data).hexdigest())


def _refuse_truncated(data: bytes, path: Path) -> None:
    """Compare the sizes: libsndfile gives the short data of a cut file without a word."""
    order, sound = CHUNKS.get(data[:4], ("<", b""))
    place = 12 if sound else len(data)
    while len(head := data[place : place + 8]) == 8:
        name, length = struct.unpack(f"{order}4sI", head)
        place += 8 + length + length % 2
        missing = place - length % 2 - len(data)
        if name == sound and missing > 0 and length < 0xFFFFFF00:  # streamed ones say 2^32 - 1
            raise InputError(f"{path}: truncated: {missing} bytes of sound are missing")


def from_array(signal: AnyArray, rate: float | None) -> Recording:
    """A recording from an array (N,) or (channels, N); integers must be scaled first.

    Raises
    ------
    InputError
        Not real floats, empty, of another rank, or not finite (with the first position).
    """
    try:
        array = np.asarray(signal)
    except ValueError:
        raise InputError(
            "the signal is a ragged list: give (samples,) or (channels, samples)"
        ) from None
    if array.dtype.kind != "f":
        raise InputError(f"the signal is of type {array.dtype}: give floats, full scale = 1")
    if (
        array.ndim not in {1, 2}
        or not array.size
        or (array.ndim == 2 and len(array) > array.shape[1])
    ):
        raise InputError(
            f"the signal has shape {array.shape}: give (samples,) or (channels, samples)"
        )
    mono, notes = _mixed(np.atleast_2d(array).astype(np.float64))
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return Recording(mono, rate, notes, sha256=digest)


def _mixed(channels: Real) -> tuple[Real, tuple[str, ...]]:
    finite = np.isfinite(channels)
    if not finite.all():
        channel, sample = np.argwhere(~finite)[0]
        value = channels[channel, sample]
        raise InputError(f"the recording holds {value} at sample {sample} of channel {channel}")
    if len(channels) == 1:
        return channels[0].copy(), ()
    return channels.mean(axis=0), (f"{len(channels)} channels mixed to one (their mean)",)


def resampled(recording: Recording, rate: float) -> Recording:
    """At another rate in hertz, by scipy's polyphase filter."""
    if recording.rate is None or recording.rate == rate:
        return Recording(recording.samples, rate, recording.notes, recording.name, recording.sha256)
    from scipy.signal import resample_poly

    ratio = (Fraction(rate) / Fraction(recording.rate)).limit_denominator(10**4)
    if not ratio or len(recording.samples) * ratio > MAX_SAMPLES:
        raise InputError(f"cannot resample from {recording.rate:g} Hz to {rate:g} Hz")
    samples = resample_poly(recording.samples, ratio.numerator, ratio.denominator)
    note = f"resampled from {recording.rate:g} Hz to {rate:g} Hz"
    notes = (*recording.notes, note)
    return Recording(np.asarray(samples), rate, notes, recording.name, recording.sha256)


def fitted(recording: Recording, length: int) -> Recording:
    """Padded with zeros at the end, or cropped to the loudest stretch, to that many samples."""
    x, rate = recording.samples, recording.rate
    if len(x) == length:
        return recording

    def seconds(n: int) -> str:
        return f"{n} samples" + (f" ({n / rate:.3f} s)" if rate else "")

    if len(x) < length:
        x = np.pad(x, (0, length - len(x)))
        note = f"padded at the end from {seconds(len(recording.samples))} to {seconds(length)}"
    else:
        energy = np.concatenate([[0.0], np.cumsum(x * x)])
        start = int(np.argmax(energy[length:] - energy[:-length]))
        x = x[start : start + length]
        note = f"cropped to the loudest {seconds(length)}, which start at {seconds(start)}"
    return Recording(x, rate, (*recording.notes, note), recording.name, recording.sha256)
