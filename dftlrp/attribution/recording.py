"""From a sound file or an array to what a model reads: its rate, channels and length.

Nothing is changed silently: every step adds a line to ``notes``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from dftlrp.attribution.containers import find_end
from dftlrp.attribution.fitting import KEPT, fit_blocks
from dftlrp.core.files import regular
from dftlrp.core.types import AnyArray, InputError, Real

# Bytes as float64.  What a file may decode to depends on its size: 512 bytes for each of its own
# are more than Opus at 6 kbit/s makes.
DECODED_FLOOR, DECODED_PER_BYTE = 2**27, 512
MOST_BYTES = 2**36  # of a file
BLOCK = 2**18  # numbers that are decoded at once
ENDLESS = 2**62  # frames, where a file states none
UNSTATED = "warning: the file does not state its length, so that it would not show if it were cut"


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
    """What a sound file states: hertz, channels, frames; the SHA-256 of its bytes; and warnings."""

    rate: float
    channels: int
    frames: int
    sha256: str
    notes: tuple[str, ...] = ()


def read_recording(
    path: str | os.PathLike[str],
    channels: int = 1,
    rate: float | None = None,
    length: int | None = None,
) -> Recording:
    """Read a sound file that libsndfile knows (WAV, FLAC, OGG, ...).

    The file is decoded in blocks, and no more of it is kept than is asked for.

    Parameters
    ----------
    path : path
    channels : int
        What the model reads.  1: all are mixed to one, ``samples`` is (N,); more: the file must
        have as many, ``samples`` is (channels, N).
    rate, length : optional
        As of `fit`.

    Raises
    ------
    InputError
        If there is no such file, it is not a sound file, it is truncated, damaged, empty, too long
        for memory, or has another number of channels.
    """
    path = Path(path)
    with _open_sound(path) as (sound, header):
        notes = _check_channels(header.channels, channels)
        if length is None and header.frames * channels * 8 > KEPT:
            raise InputError(f"{header.frames} frames are too many; cut it first")
        samples, steps = fit_blocks(_decode(sound, header, channels), header.rate, rate, length)
    kept, notes = samples[0] if channels == 1 else samples, (*notes, *steps, *header.notes)
    return Recording(kept, rate or header.rate, notes, path.name, header.sha256)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return what a sound file states; raise as `read_recording` does, but for the channels.

    What only decoding shows (a damaged FLAC file, samples that are not finite) is not found.
    """
    with _open_sound(Path(path)) as (_, header):
        return header


def count_channels(signal: AnyArray | str | os.PathLike[str]) -> int | None:
    """Return the number of channels of an array or a sound file; None if it will be refused."""
    if isinstance(signal, str | os.PathLike):
        try:
            return read_header(signal).channels
        except InputError:
            return None
    try:
        return np.shape(signal)[0] if np.ndim(signal) == 2 else 1
    except ValueError:
        return None


@contextmanager
def _open_sound(path: Path) -> Iterator[tuple[Any, Header]]:
    """Open a sound file; every error that is raised while it is open begins with its path."""
    import soundfile  # type: ignore[import-untyped]

    try:
        with regular(path, InputError, str(path)) as (file, size):
            stated = _check_size(file, size)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            with _refuse_undecodable():
                sound = soundfile.SoundFile(_source(path, file), closefd=False)
            with sound:
                notes = () if stated else (UNSTATED,)
                yield sound, _check_header(sound, size, Header(
                    float(sound.samplerate), sound.channels, sound.frames, digest, notes
                ))  # fmt: skip
    except (InputError, MemoryError) as error:
        said = str(error) or "too long for the memory; cut it first"
        raise InputError(said if said.startswith(f"{path}: ") else f"{path}: {said}") from None


def _check_size(file: BinaryIO, size: int) -> bool:
    """Refuse a file that is empty, huge or cut; return whether a cut would show."""
    if not size:
        raise InputError("is empty")
    if size > MOST_BYTES:
        raise InputError(f"{size} bytes are too many; cut it first")
    try:
        end = find_end(file)
    except ValueError as error:
        raise InputError(str(error)) from None
    if end is not None and end > size:
        raise InputError(f"truncated: {end - size} bytes of sound are missing")
    return end is not None


def _source(path: Path, file: BinaryIO) -> str | int:
    """Return what libsndfile opens: the open file, since names with some suffixes mislead it.

    It knows bare MPEG streams only by path; so it does all files on Windows.
    """
    bare = os.pread(file.fileno(), 1, 0) == b"\xff" if hasattr(os, "pread") else True
    return str(path) if bare else file.fileno()


def _check_header(sound: Any, size: int, header: Header) -> Header:
    """Refuse what holds nothing, or claims more than a file of this size can hold."""
    if header.frames >= ENDLESS:
        raise InputError("does not state how many frames it holds; convert it to another file")
    if not header.frames:
        raise InputError("holds no samples")
    if header.frames * header.channels * 8 > DECODED_FLOOR + DECODED_PER_BYTE * size:
        raise InputError(f"{header.frames} frames in {size} bytes are too many; cut it first")
    return header


@contextmanager
def _refuse_undecodable() -> Iterator[None]:
    """Turn whatever soundfile raises into one line."""
    try:
        yield
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        line = (getattr(error, "error_string", "") or str(error)).splitlines()
        reason = line[0] if line else type(error).__name__
        raise InputError(f"not a sound file that can be read ({reason})") from None


def _decode(sound: Any, header: Header, channels: int) -> Iterator[Real]:
    """Yield blocks (channels, N) of all frames."""
    found, count = 0, max(1, BLOCK // header.channels)
    while found < header.frames:
        with _refuse_undecodable():
            block = sound.read(min(count, header.frames - found), dtype="float64", always_2d=True)
        if not len(block):
            missing = header.frames - found
            raise InputError(f"truncated: {missing} of {header.frames} frames are missing")
        yield _mix(block.T, channels, found)
        found += len(block)


def from_array(signal: AnyArray, rate: float | None, channels: int = 1) -> Recording:
    """Return an array (N,) or (channels, N) as a recording; integers must be scaled first.

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
        If these are not real floats, or empty, of another rank or number of channels, or not finite
        (with the first position).
    """
    try:
        array = np.asarray(signal)
    except ValueError:
        raise InputError(
            "the signal is a ragged list: give (samples,) or (channels, samples)"
        ) from None
    if array.dtype.kind != "f":
        raise InputError(f"the signal is of type {array.dtype}: give floats, full scale = 1")
    if array.ndim not in {1, 2} or not array.size or _is_on_its_side(array, channels):
        wanted = "(samples,) or (channels, samples)" if channels == 1 else f"({channels}, samples)"
        raise InputError(f"the signal has shape {array.shape}: give {wanted}")
    rows = np.atleast_2d(array).astype(np.float64)
    notes = _check_channels(len(rows), channels)
    mixed = _mix(rows, channels, 0)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return Recording(mixed[0] if channels == 1 else mixed, rate, notes, sha256=digest)


def _is_on_its_side(array: AnyArray, channels: int) -> bool:
    """Return whether this is rather (samples, channels)."""
    return array.ndim == 2 and len(array) > array.shape[1] and channels in {1, array.shape[1]}


def _check_channels(found: int, wanted: int) -> tuple[str, ...]:
    """Return a note where channels are mixed; refuse what the model cannot read."""
    if wanted == 1 < found:
        return (f"{found} channels mixed to one (their mean)",)
    if wanted != found:
        raise InputError(f"the model reads {wanted} channels, the recording has {found}")
    return ()


def _mix(rows: Real, wanted: int, place: int) -> Real:
    """Return (wanted, N) of the channels (C, N): their mean, or all of them; ``place`` is N = 0."""
    finite = np.isfinite(rows)
    if not finite.all():
        channel, sample = np.argwhere(~finite)[0]
        where = f"sample {place + sample} of channel {channel}"
        raise InputError(f"the recording holds {rows[channel, sample]} at {where}")
    return rows.mean(axis=0, keepdims=True) if wanted == 1 < len(rows) else rows


def fit(recording: Recording, rate: float | None = None, length: int | None = None) -> Recording:
    """Return a recording at another rate and length.

    It is cropped first, so that no more is resampled than is kept.

    Parameters
    ----------
    recording : Recording
    rate : float, optional
        Hertz, by SciPy's polyphase filter, channel by channel; if not given, that of the recording.
    length : int, optional
        Samples at that rate: a longer recording is cropped to its loudest stretch, the one with the
        largest sum of squares over all channels; a shorter one is padded with zeros at its end.

    Raises
    ------
    InputError
        If the rate cannot be reached.
    """
    if rate in {None, recording.rate} and length in {None, recording.length}:
        return recording
    blocks = [np.atleast_2d(recording.samples)]
    samples, notes = fit_blocks(blocks, recording.rate, rate, length)
    samples = samples.reshape(*recording.samples.shape[:-1], -1)
    notes = recording.notes + notes
    return replace(recording, samples=samples, rate=rate or recording.rate, notes=notes)
