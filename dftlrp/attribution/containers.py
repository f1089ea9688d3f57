"""Where the sound in a file ends, as its container states it.

libsndfile returns what is left of a file that was cut, without a word.  So the end that the
container states is read here and compared with the size of the file.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

MOST_CHUNKS = 10_000
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest page
BLOCK_SDS, HEADER_SDS = 127, 21  # bytes
WIDTHS_MAT4 = (8, 4, 4, 2, 2, 1)  # bytes of a number of each MATLAB 4 type
# What programs write that cannot go back to fill in the length: SoX, arecord, FFmpeg.
STREAMED = (0x7FFFF000, 0x80000000)
STREAMED_FROM = 0xFFFFFF00


def find_end(file: BinaryIO) -> int | None:
    """Return the number of bytes that a sound file needs to be whole.

    Parameters
    ----------
    file : binary file
        It can be sought in; its position afterwards is anywhere.

    Returns
    -------
    int or None
        0 if the decoder notices by itself that a file was cut; None if the container does not state
        its length, so that nobody can notice it.

    Raises
    ------
    ValueError
        If the header is damaged or cut, or the last page of an Ogg stream is missing.
    """
    head = _read_at(file, 0, 12)
    finders = [find for pattern, find in CONTAINERS.items() if re.match(pattern, head, re.DOTALL)]
    try:
        return finders[0](file) if finders else 0
    except (struct.error, IndexError):
        raise ValueError("truncated: the header is not complete") from None


def _read_at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _unpack(file: BinaryIO, place: int, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, _read_at(file, place, struct.calcsize(form)))


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _chunks(
    file: BinaryIO, place: int, form: str, multiple: int = 1, counted: int = 0
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and number of bytes of each chunk.

    ``form`` is that of name and length.  Chunks begin at multiples of ``multiple``; ``counted``
    bytes of their header are part of the length.
    """
    for _ in range(MOST_CHUNKS):
        try:
            name, length = _unpack(file, place, form)
        except struct.error:  # the end of the file
            return
        place += struct.calcsize(form)
        length -= counted
        yield name, place, length
        if length < 0:
            return
        place += -(-length // multiple) * multiple
    raise ValueError(f"more than {MOST_CHUNKS} chunks")


def _find_riff_end(file: BinaryIO) -> int | None:
    """WAV and RF64: the length of a chunk ``data`` may stand in one of 64 bits before it."""
    order = ">" if _read_at(file, 0, 4) == b"RIFX" else "<"
    long = 0
    for name, start, length in _chunks(file, 12, f"{order}4sI", 2):
        if name == b"ds64":
            _, long = _unpack(file, start, "<QQ")
        if name == b"data":
            if long and length == 0xFFFFFFFF:
                return start + long
            streamed = length in STREAMED or length >= STREAMED_FROM
            return None if streamed else start + length
    return 0


def _find_form_end(file: BinaryIO) -> int | None:
    """AIFF and Amiga's 8SVX and 16SV."""
    for name, start, length in _chunks(file, 12, ">4sI", 2):
        if name in {b"SSND", b"BODY"}:
            return None if length >= STREAMED_FROM else start + length
    return 0


def _find_caf_end(file: BinaryIO) -> int | None:
    for name, start, length in _chunks(file, 8, ">4sq"):
        if name == b"data":
            return None if length < 0 else start + length
    return 0


def _find_w64_end(file: BinaryIO) -> int | None:
    for name, start, length in _chunks(file, 40, "<16sq", 8, counted=24):
        if name.startswith(b"data"):
            return start + length
    return 0


def _find_au_end(file: BinaryIO) -> int | None:
    order = ">" if _read_at(file, 0, 4) == b".snd" else "<"
    start, length = _unpack(file, 4, f"{order}II")
    return None if length == 0xFFFFFFFF else int(start + length)


def _find_nist_end(file: BinaryIO) -> int | None:
    head = _read_at(file, 0, 4096)
    start = re.match(rb"NIST_1A\n\s*(\d{1,6})\n", head)
    keys = ("sample_count", "channel_count", "sample_n_bytes")  # the last one is missing for 1
    found = [re.search(rf"{key} -i (\d{{1,18}})".encode(), head) for key in keys]
    frames, channels, width = (int(match[1]) if match else None for match in found)
    if not start or frames is None or channels is None:
        return None
    return int(start[1]) + frames * channels * (width or 1)


def _find_voc_end(file: BinaryIO) -> int | None:
    """The end of the last block that holds sound; a block is a type, a length and its bytes."""
    (place,), end = _unpack(file, 20, "<H"), 0
    for _ in range(MOST_CHUNKS):
        kind, *length = _read_at(file, place, 4).ljust(1, b"\0")
        if kind == 0:
            return end
        place += 4 + int.from_bytes(length, "little")
        end = place if kind in {1, 2, 9} else end
    raise ValueError(f"more than {MOST_CHUNKS} blocks")


def _find_avr_end(file: BinaryIO) -> int | None:
    stereo, bits = _unpack(file, 12, ">HH")
    (frames,) = _unpack(file, 26, ">I")
    return int(128 + frames * (1 + stereo % 2) * bits // 8)


def _find_mpc_end(file: BinaryIO) -> int | None:
    (stereo,), (frames,) = _unpack(file, 21, "B"), _unpack(file, 30, "<I")
    return int(42 + 2 * frames * (1 + stereo % 2))


def _find_wve_end(file: BinaryIO) -> int | None:
    (length,) = _unpack(file, 18, ">I")
    return int(32 + length)


def _find_sds_end(file: BinaryIO) -> int | None:
    """MIDI sample dumps: blocks of 120 bytes, 7 bits of a sample in each."""
    bits, *length = (_unpack(file, place, "B")[0] for place in (6, 10, 11, 12))
    frames = sum(byte << (7 * i) for i, byte in enumerate(length))
    return int(HEADER_SDS + BLOCK_SDS * -(-frames * -(-bits // 7) // 120))


def _find_mat4_end(file: BinaryIO) -> int | None:
    """Two matrices: the sampling rate and the sound."""
    order, end = "<" if _read_at(file, 0, 4) == bytes(4) else ">", 0
    for _ in range(2):
        kind, rows, columns, _, named = _unpack(file, end, f"{order}5I")
        end += 20 + named + rows * columns * WIDTHS_MAT4[kind // 10 % 10 % len(WIDTHS_MAT4)]
    return end


def _find_mat5_end(file: BinaryIO) -> int | None:
    """Two arrays; the last of the four elements in the second one is the sound."""
    order = "<" if _read_at(file, 126, 2) == b"IM" else ">"
    _, length = _unpack(file, 128, f"{order}II")
    place, end = 128 + 8 + length + 8, 0
    for _ in range(4):
        kind, length = _unpack(file, place, f"{order}II")
        end = place + (8 if kind >> 16 else 8 + length)  # short elements hold their bytes in it
        place = -(-end // 8) * 8
    return end


def _find_xi_end(file: BinaryIO) -> int | None:
    """FastTracker instruments: the lengths of the samples stand behind the envelopes."""
    (count,) = _unpack(file, 296, "<H")
    lengths = [_unpack(file, 298 + 40 * i, "<I")[0] for i in range(min(count, 16))]
    return 298 + 40 * count + sum(lengths) if any(lengths) else None


def _find_ogg_end(file: BinaryIO) -> int | None:
    """The last page that begins in the file, which says that it is the last of its stream."""
    size = _size(file)
    place = max(0, size - OGG_PAGE - 2**16)
    tail = _read_at(file, place, size)
    page = tail.rfind(b"OggS\0")
    segments = tail[page + 27 :][: tail[page + 26]] if 0 <= page < len(tail) - 27 else b""
    end = place + page + 27 + len(segments) + sum(segments)
    if not segments or (end <= size and not tail[page + 5] & 4):
        raise ValueError("truncated: its last page is missing")
    return end


def _find_mp3_end(file: BinaryIO) -> int | None:
    """0 if the first frame states how many there are, for the decoder counts them."""
    place = 0
    while (head := _read_at(file, place, 10))[:3] == b"ID3" and len(head) == 10:
        place += 10 + sum(byte << (7 * i) for i, byte in enumerate(head[:5:-1]))
    return 0 if re.search(b"Xing|Info|VBRI", _read_at(file, place, 4096)) else None


def _find_none(file: BinaryIO) -> int | None:
    """Containers that state nothing."""
    return None


CONTAINERS: dict[bytes, Callable[[BinaryIO], int | None]] = {
    b"RIFF|RIFX|RF64": _find_riff_end,
    b"FORM": _find_form_end,
    b"caff": _find_caf_end,
    b"riff": _find_w64_end,
    rb"\.snd|dns\.": _find_au_end,
    b"NIST": _find_nist_end,
    b"Creative": _find_voc_end,
    b"2BIT": _find_avr_end,
    b"\1\4": _find_mpc_end,
    b"ALawSoun": _find_wve_end,
    b"\xf0\x7e.\1": _find_sds_end,
    b"\0{4}(\1\0{3}){2}|\0\0\3\xe8(\0{3}\1){2}": _find_mat4_end,
    b"MATLAB 5": _find_mat5_end,
    b"Extended Ins": _find_xi_end,
    b"OggS": _find_ogg_end,
    b"ID3|\xff[\xe0-\xff]": _find_mp3_end,
    b"PVF1|fap | paf|\x64\xa3.\0|\0.\xa3\x64": _find_none,  # PVF, Ensoniq PARIS, IRCAM
}
