"""From a file or an array to what a model reads: its rate, channels and length.

Nothing is changed silently: every step adds a line to ``notes``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from dftlrp.attribution.fitting import KEPT, fit_blocks
from dftlrp.attribution.formats.choosing import pick_channels, refuse_apart
from dftlrp.attribution.formats.contents import Contents, Source, list_names
from dftlrp.attribution.formats.table import find_format
from dftlrp.core.files import regular
from dftlrp.core.types import AnyArray, InputError, Real

MOST_BYTES = 2**36  # of a file
BLOCK = 2**18  # numbers that are decoded at once


@dataclass(frozen=True)
class Recording:
    """One channel of sound or of another signal, or several that a model reads together.

    Attributes
    ----------
    samples : array (N,) or (channels, N)
        float64; of sound, full scale = 1.
    rate : float or None
        Hertz, where known.
    notes : tuple of str
        What was done to it.
    name : str
        File name, or "array".
    sha256 : str
        Of the file's bytes or the array's.
    channel_names : tuple of str
        As the file has them; empty if it has none, or its channels are mixed.
    states_rate : bool
        Whether the rate stands in the file.
    start : float
        Where the samples begin in the file or the array, in seconds.
    """

    samples: Real
    rate: float | None
    notes: tuple[str, ...] = ()
    name: str = "array"
    sha256: str = ""
    channel_names: tuple[str, ...] = ()
    states_rate: bool = False
    start: float = 0.0

    @property
    def length(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[-1])


class Header(NamedTuple):
    """What a file states: hertz, channels, frames; the SHA-256 of its bytes; warnings; names, unit.

    ``rate`` is None where the file states none, ``names`` are empty where it has none, and ``unit``
    is empty where it states none or several.
    """

    rate: float | None
    channels: int
    frames: int
    sha256: str
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    unit: str = ""


class OpenRecording:
    """A file whose samples can be read in any stretch, without the rest.

    Attributes
    ----------
    header : Header
        Of the channels that were chosen, with what the file warns of.
    notes : tuple of str
        What is done to the channels, and the unit of their values.
    """

    def __init__(
        self, contents: Contents, header: Header, picked: Sequence[int], channels: int | None
    ) -> None:
        self.header = header
        self._contents, self._picked = contents, tuple(picked)
        self._wanted = header.channels if channels is None else channels
        mixes = contents.is_sound or not header.names
        mixed = _check_channels(header.channels, self._wanted, () if mixes else header.names)
        whole = len(contents.channels)
        names = header.names or [str(c + 1) for c in self._picked]
        told = [] if len(names) == whole else [f"read of {whole} channels: {list_names(names)}"]
        self.notes = (*told, *mixed, *([] if contents.is_sound else [_tell_unit(header)]))

    def read(self, start: int, stop: int) -> Real:
        """Return the frames from ``start`` to before ``stop`` as float64 (channels, N).

        Raises
        ------
        InputError
            A sample is not finite, or the file is truncated or damaged there.
        """
        if start >= stop:
            return np.zeros((self._wanted, 0))
        rows = self._contents.read(self._picked, start, stop)
        return _mix(rows, self._wanted, start, self.header.names)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Real]:
        """Yield all frames, or those of a stretch, in blocks (channels, N)."""
        end = self.header.frames if stop is None else stop
        count = max(1, BLOCK // self.header.channels)
        for place in range(start, end, count):
            yield self.read(place, min(place + count, end))


@contextmanager
def open_recording(
    path: str | os.PathLike[str], channels: int | None = None, chosen: Sequence[str] = ()
) -> Iterator[OpenRecording]:
    """Open a file of any format that is known; every error raised meanwhile begins with its path.

    Parameters
    ----------
    path : path
    channels : int, optional
        What the model reads, as of `read_recording`; if not given, all that the file has.
    chosen : list of str
        Names of channels to read, in this order; where the file has no names, their numbers from 1.

    Raises
    ------
    InputError
        As of `read_recording`.
    """
    path = Path(path)
    try:
        with regular(path, InputError, str(path)) as (file, size):
            _check_size(size)
            source = Source(path, file, size)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
            with find_format(source).open(source) as contents:
                for other in contents.beside:
                    with regular(other, InputError) as (further, _):
                        _add_to_digest(digest, further)
                picked = pick_channels(contents.channels, chosen)
                header = _make_header(contents, picked, digest.hexdigest())
                yield OpenRecording(contents, header, picked, channels)
    except (InputError, MemoryError) as error:
        said = str(error) or "too long for the memory; cut it first"
        raise InputError(said if said.startswith(f"{path}: ") else f"{path}: {said}") from None


def _check_size(size: int) -> None:
    if not size:
        raise InputError("is empty")
    if size > MOST_BYTES:
        raise InputError(f"{size} bytes are too many; cut it first")


def _add_to_digest(digest: Any, file: BinaryIO) -> None:
    while block := file.read(2**20):
        digest.update(block)


def _make_header(contents: Contents, picked: Sequence[int], digest: str) -> Header:
    """Return what is stated of some channels, which lie side by side."""
    own = [contents.channels[i] for i in picked]
    refuse_apart(own)
    names = tuple(channel.name for channel in own) if all(c.name for c in own) else ()
    units = {channel.unit for channel in own}
    unit = units.pop() if len(units) == 1 else ""
    first = own[0]
    return Header(first.rate, len(own), first.frames, digest, contents.notes, names, unit)


def _tell_unit(header: Header) -> str:
    """Say in what unit the values of a signal go to the model."""
    unit = f"in {header.unit}" if header.unit else "which states no unit"
    return f"values are read as they are in the file, {unit}"


def read_recording(
    path: str | os.PathLike[str],
    channels: int = 1,
    rate: float | None = None,
    length: int | None = None,
    *,
    own: float | None = None,
    chosen: Sequence[str] = (),
) -> Recording:
    """Read a file of any format that is known: sound, arrays, tables, records of biosignals.

    The file is decoded in blocks, and no more of it is kept than is asked for.

    Parameters
    ----------
    path : path
    channels : int
        What the model reads.  1: all channels of sound are mixed to one, ``samples`` is (N,); more:
        the file must have as many, ``samples`` is (channels, N).
    rate, length : optional
        As of `fit`.
    own : float, optional
        Hertz at which a file was sampled that does not state it.
    chosen : list of str
        As of `open_recording`.

    Raises
    ------
    InputError
        If there is no such file, its format is not known, it is truncated, damaged, empty, too long
        for memory, or has another number of channels.
    """
    with open_recording(path, channels, chosen) as opened:
        header = opened.header
        if length is None and header.frames * channels * 8 > KEPT:
            raise InputError(f"{header.frames} frames are too many; cut it first")
        sampled = header.rate or own
        found = fit_blocks(opened.blocks(), sampled, rate, length)
        notes = (*opened.notes, *found.notes, *header.notes)
    return Recording(
        found.samples[0] if channels == 1 else found.samples, rate or sampled, notes,
        Path(path).name, header.sha256,
        header.names if len(header.names) == channels else (),
        header.rate is not None, found.start / (sampled or 1.0),
    )  # fmt: skip


def read_header(path: str | os.PathLike[str], chosen: Sequence[str] = ()) -> Header:
    """Return what a file states; raise as `read_recording` does, but for the channels.

    What only decoding shows (a damaged FLAC file, samples that are not finite) is not found.
    """
    with open_recording(path, None, chosen) as opened:
        return opened.header


def from_array(
    signal: AnyArray, rate: float | None, channels: int = 1, chosen: Sequence[str] = ()
) -> Recording:
    """Return an array (N,) or (channels, N) as a recording; integers must be scaled first.

    Parameters
    ----------
    signal : array (N,) or (channels, N)
        Floats, full scale = 1.
    rate : float or None
        Hertz, where known.
    channels : int
        What the model reads, as for `read_recording`.
    chosen : list of str
        Empty: only channels of a file have names.

    Raises
    ------
    InputError
        If these are not real floats, or empty, of another rank or number of channels, or not finite
        (with the first position).
    """
    if chosen:
        raise InputError("channels are chosen by name from a file: give those rows of the array")
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


def _check_channels(found: int, wanted: int, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a note where channels are mixed; refuse what the model cannot read.

    Channels that have names are not mixed but chosen.
    """
    if wanted == 1 < found and not names:
        return (f"{found} channels mixed to one (their mean)",)
    if wanted != found:
        what = "1 channel" if wanted == 1 else f"{wanted} channels"
        hint = f" ({list_names(names)}): choose by name (--channels, channels=)"
        hint = hint if wanted < found and names else ""
        raise InputError(f"the model reads {what}, the recording has {found}{hint}")
    return ()


def _mix(rows: Real, wanted: int, place: int, names: Sequence[str] = ()) -> Real:
    """Return (wanted, N) of the channels (C, N): their mean, or all of them; ``place`` is N = 0."""
    finite = np.isfinite(rows)
    if not finite.all():
        channel, sample = np.argwhere(~finite)[0]
        of = repr(names[channel]) if names else channel
        where = f"sample {place + sample} of channel {of}"
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
    found = fit_blocks([np.atleast_2d(recording.samples)], recording.rate, rate, length)
    return replace(
        recording,
        samples=found.samples.reshape(*recording.samples.shape[:-1], -1),
        rate=rate or recording.rate,
        notes=recording.notes + found.notes,
        start=recording.start + found.start / (recording.rate or rate or 1.0),
    )
