"""Sound files, by libsndfile: WAV, FLAC, Ogg, MP3 and many more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from dftlrp.attribution.containers import find_end
from dftlrp.attribution.formats.contents import (
    DECODED_FLOOR,
    DECODED_PER_BYTE,
    Channel,
    Contents,
    Source,
    refuse_undecodable,
)
from dftlrp.core.types import InputError, Real

ENDLESS = 2**62  # frames, where a file states none
UNSTATED = "warning: the file does not state its length, so that it would not show if it were cut"
SOUND = "a sound file"
EXACT = ("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW")  # codecs in which a frame depends on no other
SKIPPED = 2**16  # frames at once
SETTLED = 2.0  # seconds after which other decoders no longer depend on where they began


@contextmanager
def open_sound(source: Source) -> Iterator[Contents]:
    """Open what libsndfile knows."""
    import soundfile  # type: ignore[import-untyped]

    notes = () if _check_end(source.file, source.size) else (UNSTATED,)
    os.lseek(source.file.fileno(), 0, os.SEEK_SET)
    with refuse_undecodable(SOUND):
        sound = soundfile.SoundFile(_name_source(source), closefd=False)
    with sound:
        frames, count = sound.frames, sound.channels
        if frames >= ENDLESS:
            raise InputError("does not state how many frames it holds; convert it to another file")
        if not frames:
            raise InputError("holds no samples")
        if frames * count * 8 > DECODED_FLOOR + DECODED_PER_BYTE * source.size:
            raise InputError(f"{frames} frames in {source.size} bytes are too many; cut it first")
        channels = (Channel(frames, float(sound.samplerate)),) * count
        yield Contents(channels, _Decoder(sound).read, is_sound=True, notes=notes)


def _check_end(file: BinaryIO, size: int) -> bool:
    """Refuse a file that is cut; return whether a cut would show."""
    try:
        end = find_end(file)
    except ValueError as error:
        raise InputError(str(error)) from None
    if end is not None and end > size:
        raise InputError(f"truncated: {end - size} bytes of sound are missing")
    return end is not None


def _name_source(source: Source) -> str | int:
    """Return what libsndfile opens: the open file, since names with some suffixes mislead it.

    It knows bare MPEG streams only by path; so it does all files on Windows.
    """
    file = source.file
    bare = os.pread(file.fileno(), 1, 0) == b"\xff" if hasattr(os, "pread") else True
    return str(source.path) if bare else file.fileno()


class _Decoder:
    """An open sound file, and how far it is decoded."""

    def __init__(self, sound: Any) -> None:
        self.sound, self.place = sound, 0

    def read(self, channels: Sequence[int], start: int, stop: int) -> Real:
        """Return frames of some channels; decoding goes on where it was, if that is the start."""
        self._go_to(start)
        with refuse_undecodable(SOUND):
            block = self.sound.read(stop - start, dtype="float64", always_2d=True)
        self.place += len(block)
        if len(block) < stop - start:
            missing = self.sound.frames - self.place
            raise InputError(f"truncated: {missing} of {self.sound.frames} frames are missing")
        rows: Real = block.T
        return rows if len(channels) == len(rows) else rows[list(channels)]

    def _go_to(self, start: int) -> None:
        """Seek, and let a decoder settle whose frames depend on those before."""
        if start == self.place:
            return
        exact = self.sound.subtype.startswith(EXACT)
        before = 0 if exact else round(SETTLED * self.sound.samplerate)
        with refuse_undecodable(SOUND):
            if self.sound.seekable():
                self.place = self.sound.seek(max(0, start - before))
            elif start < self.place:
                raise InputError("its codec cannot go back: convert it to WAV or FLAC")
            while self.place < start and self.sound.read(min(start - self.place, SKIPPED)).size:
                self.place = self.sound.tell()
