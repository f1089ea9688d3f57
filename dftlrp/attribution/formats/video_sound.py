"""Sound of video files, and in codecs that libsndfile does not know (M4A, AAC, WMA), by PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dftlrp.attribution.formats.contents import (
    Channel,
    Contents,
    Source,
    check_rate,
    import_reader,
    refuse_undecodable,
)
from dftlrp.attribution.formats.spool import Spool
from dftlrp.core.types import InputError

MEDIA = "a sound or video file"
CONTAINERS_AV = {  # FFmpeg's name of what begins so; no other is tried, since some name other files
    rb".{4}ftyp": "mov", b"\x1aE\xdf\xa3": "matroska", rb"RIFF.{4}AVI ": "avi",
    b"0&\xb2u\x8ef\xcf\x11": "asf", b"FLV\1": "flv", rb"#!AMR": "amr",
    rb"G.{187}G.{187}G": "mpegts", b"\0\0\1\xba": "mpeg", rb"\xff[\xf0\xf1\xf8\xf9]": "aac",
}  # fmt: skip
MISSED = 0.25  # seconds by which a whole file may be shorter than it states


def find_container(head: bytes) -> str | None:
    """Return FFmpeg's name of a container by its first bytes."""
    own = (n for pattern, n in CONTAINERS_AV.items() if re.match(pattern, head, re.DOTALL))
    return next(own, None)


@contextmanager
def open_media(source: Source) -> Iterator[Contents]:
    """Decode the first stream of sound once, and keep it for reading again."""
    convert = f"; or convert it: ffmpeg -i {source.path.name} {source.path.stem}.wav"
    av = import_reader("av", "media", "the sound in it", convert)
    source.file.seek(0)
    form, spool = find_container(source.file.read(4096)), Spool(source.size)
    source.file.seek(0)
    try:
        with refuse_undecodable(MEDIA), av.open(source.file, format=form) as container:
            streams = container.streams.audio
            if not streams:
                raise InputError("holds no sound")
            stream = streams[0]
            for block in _decode_stream(av, container, stream):
                spool.append(block)
            stated = float((stream.duration or 0) * (stream.time_base or 0))
            rate = check_rate(float(stream.rate or 0))
        if not spool.frames:
            raise InputError("holds no samples")
        if (missing := stated - spool.frames / rate) > MISSED:
            raise InputError(f"truncated: {missing:.1f} s of sound are missing")
        notes = (f"the first of {len(streams)} streams of sound",) if len(streams) > 1 else ()
        channels = (Channel(spool.frames, rate),) * spool.channels
        yield Contents(channels, spool.read, is_sound=True, notes=notes)
    finally:
        spool.close()


def _decode_stream(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Yield blocks (channels, N) with full scale 1."""
    convert = av.AudioResampler(format="dblp")
    for frame in container.decode(stream):
        for made in convert.resample(frame):
            yield made.to_ndarray()
    for made in convert.resample(None):
        yield made.to_ndarray()
