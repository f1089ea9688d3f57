"""From a sound file or an array to what the model reads: rate, channels, length.

Nothing is changed silently: every step leaves a line in ``notes``.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.files import regular
from dftlrp.core.types import AnyArray, InputError, Real

RINGING = 3e-5  # of the peak: -90 dB
MAX_SAMPLES = 2**28  # 2 GiB in float64
MAX_BYTES = 2**31
CHUNKS = {b"RIFF": ("<", b"data"), b"RIFX": (">", b"data"), b"FORM": (">", b"SSND")}  # WAV, AIFF


@dataclass(frozen=True)
class Recording:
    """One channel of sound, or several that a model reads together.

    Attributes
    ----------
    samples : array (N,) or (channels, N)
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

    @property
    def length(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[-1])


class Header(NamedTuple):
    """What a sound file says of itself: hertz, channels, frames; and the SHA-256 of its bytes."""

    rate: float
    channels: int
    frames: int
    sha256: str


def read_recording(path: str | os.PathLike[str], channels: int = 1) -> Recording:
    """Read a sound file that libsndfile knows (WAV, FLAC, OGG, ...).

    Parameters
    ----------
    path : path
    channels : int
        What the model reads.  1: all are mixed to one, ``samples`` is (N,); more: the file must
        have as many, ``samples`` is (channels, N).

    Raises
    ------
    InputError
        No such file, not a sound file, truncated, empty, too long for memory, or of another
        number of channels.
    """
    path = Path(path)
    with _opened(path) as (sound, header):
        samples = sound.read(dtype="float64", always_2d=True)
    if len(samples) < header.frames:
        missing = header.frames - len(samples)
        raise InputError(f"{path}: truncated: {missing} of {header.frames} frames are missing")
    try:
        kept, notes = _channels(samples.T, channels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Recording(kept, header.rate, notes, path.name, header.sha256)


def read_header(path: str | os.PathLike[str]) -> Header:
    """What a sound file says of itself; errors as of `read_recording`, but for the channels.

    What only decoding the samples would show (a damaged FLAC, samples that are not finite) it does
    not find.
    """
    with _opened(Path(path)) as (_, header):
        return header


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Header]]:
    """The sound in a file, before it is decoded."""
    import soundfile  # type: ignore[import-untyped]

    with regular(path, InputError) as (file, size):
        if size > MAX_BYTES:
            raise InputError(f"{path}: {size} bytes are too many; cut it first")
        data = file.read()
    if not data:
        raise InputError(f"{path}: is empty")
    _refuse_truncated(data, path)
    try:
        with soundfile.SoundFile(BytesIO(data)) as sound:
            frames, channels = sound.frames, sound.channels
            if frames * channels > MAX_SAMPLES:
                raise InputError(f"{path}: {frames} frames are too many; cut it first")
            if not frames:
                raise InputError(f"{path}: holds no samples")
            digest = hashlib.sha256(data).hexdigest()
            yield sound, Header(float(sound.samplerate), channels, frames, digest)
    except (soundfile.SoundFileError, RuntimeError) as error:
        line = str(error).splitlines()[0].rpartition(">: ")[2]
        raise InputError(f"{path}: not a sound file that can be read ({line})") from None


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


def from_array(signal: AnyArray, rate: float | None, channels: int = 1) -> Recording:
    """A recording from an array (N,) or (channels, N); integers must be scaled first.

    Parameters
    ----------
    signal : array (N,) or (channels, N)
        Floats, full scale = 1.
    rate : float or None
        Hertz, where known.
    channels : int
        What the model reads, as for `read_recording`.

    Raises
    ------
    InputError
        Not real floats, empty, of another rank or number of channels, or not finite (with the
        first position).
    """
    try:
        array = np.asarray(signal)
    except ValueError:
        raise InputError(
            "the signal is a ragged list: give (samples,) or (channels, samples)"
        ) from None
    if array.dtype.kind != "f":
        raise InputError(f"the signal is of type {array.dtype}: give floats, full scale = 1")
    if array.ndim not in {1, 2} or not array.size or _on_its_side(array, channels):
        wanted = "(samples,) or (channels, samples)" if channels == 1 else f"({channels}, samples)"
        raise InputError(f"the signal has shape {array.shape}: give {wanted}")
    kept, notes = _channels(np.atleast_2d(array).astype(np.float64), channels)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return Recording(kept, rate, notes, sha256=digest)


def own_channels(signal: AnyArray | str | os.PathLike[str]) -> int | None:
    """How many channels an array or a sound file has; None: the reader will refuse it."""
    import soundfile

    try:
        if not isinstance(signal, str | os.PathLike):
            return np.shape(signal)[0] if np.ndim(signal) == 2 else 1
        return int(soundfile.info(os.fspath(signal)).channels) if Path(signal).is_file() else None
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError):
        return None


def _on_its_side(array: AnyArray, channels: int) -> bool:
    """Whether this is rather (samples, channels)."""
    return array.ndim == 2 and len(array) > array.shape[1] and channels in {1, array.shape[1]}


def _channels(found: Real, wanted: int) -> tuple[Real, tuple[str, ...]]:
    """What the model reads of the channels (C, N): their mean, or all of them."""
    finite = np.isfinite(found)
    if not finite.all():
        channel, sample = np.argwhere(~finite)[0]
        value = found[channel, sample]
        raise InputError(f"the recording holds {value} at sample {sample} of channel {channel}")
    if wanted == 1 < len(found):
        return found.mean(axis=0), (f"{len(found)} channels mixed to one (their mean)",)
    if wanted != len(found):
        raise InputError(f"the model reads {wanted} channels, the recording has {len(found)}")
    return found[0].copy() if wanted == 1 else found.copy(), ()


def resampled(recording: Recording, rate: float) -> Recording:
    """At another rate in hertz, by scipy's polyphase filter, channel by channel."""
    if recording.rate is None or recording.rate == rate:
        return replace(recording, rate=rate)
    from scipy.signal import resample_poly

    ratio = (Fraction(rate) / Fraction(recording.rate)).limit_denominator(10**4)
    if not ratio or recording.samples.size * ratio > MAX_SAMPLES:
        raise InputError(f"cannot resample from {recording.rate:g} Hz to {rate:g} Hz")
    samples = resample_poly(recording.samples, ratio.numerator, ratio.denominator, axis=-1)
    # The filter rings on in silence, far below 16 bits; a multiplier R / x has no bound there.
    ringing = np.abs(samples) < RINGING * np.abs(samples).max()
    note = f"resampled from {recording.rate:g} Hz to {rate:g} Hz, and silence below -90 dB cut"
    return replace(
        recording, samples=np.where(ringing, 0, samples), rate=rate, notes=(*recording.notes, note)
    )


def fitted(recording: Recording, length: int) -> Recording:
    """Padded with zeros at the end, or cropped to the loudest stretch, to that many samples.

    The loudest stretch is the one with the largest sum of squares over all channels.
    """
    x, rate, found = recording.samples, recording.rate, recording.length
    if found == length:
        return recording

    def seconds(n: int) -> str:
        return f"{n} samples" + (f" ({n / rate:.3f} s)" if rate else "")

    if found < length:
        x = np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, length - found)])
        note = f"padded at the end from {seconds(found)} to {seconds(length)}"
    else:
        energy = np.concatenate([[0.0], np.cumsum(np.square(np.atleast_2d(x)).sum(axis=0))])
        start = int(np.argmax(energy[length:] - energy[:-length]))
        x = x[..., start : start + length]
        note = f"cropped to the loudest {seconds(length)}, which start at {seconds(start)}"
    return replace(recording, samples=x, notes=(*recording.notes, note))
