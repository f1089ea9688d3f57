"""Every container that libsndfile opens: read whole, refused where it was cut."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
import soundfile

from dftlrp.attribution.containers import find_end
from dftlrp.attribution.formats.sound_files import UNSTATED
from dftlrp.attribution.recording import read_header, read_recording
from dftlrp.core.types import InputError

UNSTATING = {"IRCAM", "PAF", "PVF", "XI"}  # as libsndfile writes them
UNREADABLE = {"SD2"}  # sound and header in two files


@cache
def write(container: str, codec: str, endian: str = "FILE") -> bytes:
    """A second of noise in a file; nothing, where libsndfile does not write it."""
    x = 0.1 * np.random.default_rng(0).standard_normal(8000)
    file = io.BytesIO()
    try:
        soundfile.write(file, x, 8000, codec, endian, container)
    except (soundfile.SoundFileError, ValueError):
        return b""
    return file.getvalue()


PAIRS = [
    (container, codec)
    for container in sorted(set(soundfile.available_formats()) - {"RAW"} - UNREADABLE)
    for codec in soundfile.available_subtypes(container)
    if not codec.startswith("DWVW")  # which libsndfile writes and cannot read
    and write(container, codec)
]


def put(folder: Any, data: bytes) -> Any:
    path = folder / "sound"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("container", "codec"), PAIRS)
def test_a_whole_file_is_read_and_one_that_does_not_state_its_length_says_so(
    tmp_path, container, codec
):
    read = read_recording(put(tmp_path, write(container, codec)))
    assert 8000 <= read.length < 8600  # the last block is full
    assert (UNSTATED in read.notes) == (container in UNSTATING)
    assert read_header(tmp_path / "sound").frames == read.length


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("container", "codec"), PAIRS)
def test_a_cut_file_is_refused_or_read_with_a_warning(tmp_path, container, codec, share):
    data = write(container, codec)
    path = put(tmp_path, data[: int(share * len(data))])
    refusal = ""
    try:
        assert UNSTATED in read_recording(path).notes
        assert container in UNSTATING
    except InputError as error:
        refusal = str(error)
    assert not refusal or (refusal.startswith(str(path)) and "\n" not in refusal)


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize(("container", "codec"), PAIRS)
def test_a_single_byte_that_is_missing_is_noticed(container, codec, endian):
    data = write(container, codec, endian)
    if not data or not (end := find_end(io.BytesIO(data))):
        return
    assert end <= len(data)
    assert find_end(io.BytesIO(data[: end - 1])) == end


def test_of_an_ogg_stream_that_ends_between_two_pages_the_last_page_is_missing(tmp_path):
    data = write("OGG", "VORBIS")
    path = put(tmp_path, data[: data.rindex(b"OggS")])
    with pytest.raises(InputError, match="last page is missing"):
        read_recording(path)


@pytest.mark.parametrize("claimed", [0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_that_was_written_into_a_pipe_is_read_with_a_warning(tmp_path, claimed):
    data = bytearray(write("WAV", "PCM_16"))
    data[4:8] = data[40:44] = claimed.to_bytes(4, "little")
    read = read_recording(put(tmp_path, bytes(data)))
    assert read.length == 8000
    assert read.notes == (UNSTATED,)


def test_a_flac_that_does_not_state_its_length_is_refused_in_words(tmp_path):
    data = bytearray(write("FLAC", "PCM_16"))
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])
    with pytest.raises(InputError, match="does not state how many frames it holds; convert it"):
        read_recording(put(tmp_path, bytes(data)))


def test_chunks_without_end_are_refused(tmp_path):
    chunks = b"junk\0\0\0\0" * 20_000
    path = put(tmp_path, b"RIFF" + len(chunks).to_bytes(4, "little") + b"WAVE" + chunks)
    with pytest.raises(InputError, match="more than 10000 chunks"):
        read_recording(path)


def test_a_bare_mp3_is_read_whatever_its_name(tmp_path):
    if not write("MP3", "MPEG_LAYER_III"):
        pytest.skip("libsndfile without MP3")
    for name in ("a.mp3", "a", "ü.wav"):
        (tmp_path / name).write_bytes(write("MP3", "MPEG_LAYER_III"))
        assert read_recording(tmp_path / name).length == 8000


def test_silence_that_unpacks_to_a_thousand_times_its_size_is_refused_before_it_is_decoded(
    tmp_path,
):
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(20):
            file.write(np.zeros(2**20))
    with pytest.raises(InputError, match=r"20971520 frames in \d+ bytes are too many"):
        read_header(path)
