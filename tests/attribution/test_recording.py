"""From a sound file or an array to what the model reads: nothing changes silently."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile

from dftlrp.attribution.recording import (
    Recording,
    fit,
    from_array,
    read_recording,
)
from dftlrp.attribution.waveform import count_channels
from dftlrp.core.types import InputError

RATES = [8000, 16000, 22050, 44100, 48000]


def tone(hertz: float, rate: float, seconds: float = 0.5, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def refused(path: Any, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_recording(path)
    text = str(caught.value)
    assert "\n" not in text
    assert " at 0x" not in text
    assert str(path) in text
    for word in words:
        assert word in text


# -- reading


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [("a.wav", "PCM_16", 2**-15), ("a.wav", "PCM_24", 2**-23), ("a.wav", "FLOAT", 1e-7),
     ("a.wav", "DOUBLE", 0), ("a.wav", "PCM_U8", 2**-7), ("a.flac", "PCM_16", 2**-15),
     ("a.flac", "PCM_24", 2**-23), ("a.ogg", "VORBIS", 0.03), ("a.aiff", "PCM_16", 2**-15)],
)  # fmt: skip
def test_every_common_format_is_read_at_its_own_rate(tmp_path, name, subtype, error, rate):
    x = tone(440, rate, 0.1)
    soundfile.write(tmp_path / name, x, rate, subtype)
    read = read_recording(tmp_path / name)
    assert read.rate == rate
    assert read.notes == ()
    assert read.name == name
    np.testing.assert_allclose(read.samples, x, rtol=0, atol=error)


@pytest.mark.parametrize("count", [1, 2, 3, 100, 441_000])
def test_any_length_from_one_sample_on_is_read(tmp_path, count):
    x = np.linspace(-0.5, 0.5, count)
    soundfile.write(tmp_path / "a.wav", x, 44100, "DOUBLE")
    np.testing.assert_array_equal(read_recording(tmp_path / "a.wav").samples, x)


def test_a_file_is_known_by_what_it_holds_not_by_its_name(tmp_path):
    x = tone(440, 8000)
    for name in ("a.raw", "a.txt", "no suffix", "a.flac", "ü ✓.wav"):
        soundfile.write(tmp_path / name, x, 8000, "DOUBLE", format="WAV")
        np.testing.assert_array_equal(read_recording(tmp_path / name).samples, x)


def test_stereo_is_mixed_to_the_mean_and_a_note_says_so(tmp_path):
    left, right = tone(440, 8000), tone(300, 8000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 8000, "DOUBLE")
    read = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(read.samples, (left + right) / 2)
    assert read.notes == ("2 channels mixed to one (their mean)",)


def test_the_digest_is_that_of_the_files_bytes(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 8000), 8000)
    digest = hashlib.sha256((tmp_path / "a.wav").read_bytes()).hexdigest()
    assert read_recording(tmp_path / "a.wav").sha256 == digest


# -- what is refused


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    soundfile.write(tmp_path / name, 0.1 * np.random.default_rng(0).standard_normal(9000), 8000)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    refused(tmp_path / name)


def test_a_truncated_wav_says_how_much_is_missing(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8000, "PCM_16")
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-30])
    refused(tmp_path / "a.wav", "truncated: 30 bytes")


def test_a_wav_with_chunks_before_and_after_the_sound_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 8000), 8000, "PCM_16")
    data = (tmp_path / "a.wav").read_bytes()
    odd = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    (tmp_path / "a.wav").write_bytes(data[:36] + odd + data[36:] + odd)
    assert len(read_recording(tmp_path / "a.wav").samples) == 4000


def test_a_streamed_wav_that_does_not_know_its_length_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 8000), 8000, "PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_recording(tmp_path / "a.wav").samples) == 4000


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_a_file_without_samples_is_refused(tmp_path, name):
    soundfile.write(tmp_path / name, np.zeros(0), 8000)
    refused(tmp_path / name)


def test_a_header_alone_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 8000), 8000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:44])
    refused(tmp_path / "a.wav")


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_sample_that_is_not_finite_is_refused_with_its_place(tmp_path, value, word):
    x = np.zeros((100, 2))
    x[17, 1] = value
    soundfile.write(tmp_path / "a.wav", x, 8000, "FLOAT")
    with pytest.raises(InputError, match=f"{word} at sample 17 of channel 1"):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "data", [b"", b"x", b"not a sound\n" * 50, b"RIFF", b"RIFF" + bytes(40), b"fLaC" + bytes(99),
             b"OggS" + bytes(99), bytes(1000)],
)  # fmt: skip
def test_what_is_no_sound_is_refused(tmp_path, data):
    (tmp_path / "a.wav").write_bytes(data)
    refused(tmp_path / "a.wav")


def test_missing_files_and_folders_are_refused(tmp_path):
    refused(tmp_path / "nothing.wav", "no such file")
    refused(tmp_path, "folder")


def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "not a regular file")
    refused("/dev/zero", "not a regular file")


def test_a_header_that_claims_too_much_is_refused_before_it_is_believed(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(440, 8000), 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F  # the upper bits of the count of frames
    (tmp_path / "a.flac").write_bytes(data)
    refused(tmp_path / "a.flac", "too many")


def test_whatever_the_bytes_only_a_clear_error_or_finite_sound_comes_out(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, tone(440, 8000), 8000)
        whole = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for _ in range(60):
            data = whole.copy()
            head = rng.integers(len(data) if rng.random() < 0.3 else 60, size=rng.integers(1, 5))
            data[head] = rng.integers(256, size=len(head))
            (tmp_path / name).write_bytes(data.tobytes())
            with suppress(InputError):
                read = read_recording(tmp_path / name)
                assert np.isfinite(read.samples).all()
                assert read.rate
                assert read.rate > 0


# -- arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_float_arrays_of_any_precision_become_float64(dtype):
    x = np.array([0.5, -0.25, 0.125], dtype)
    made = from_array(x, 8000)
    assert made.samples.dtype == np.float64
    np.testing.assert_array_equal(made.samples, x.astype(np.float64))


def test_an_array_is_copied():
    x = np.ones(10)
    made = from_array(x, None)
    x[:] = 0
    assert made.samples.all()


def test_channels_come_first_and_are_mixed_with_a_note():
    x = np.stack([np.ones(5), np.zeros(5)])
    made = from_array(x, 8000)
    np.testing.assert_array_equal(made.samples, np.full(5, 0.5))
    assert "2 channels" in made.notes[0]


@pytest.mark.parametrize("count", [2, 3, 12])
def test_a_model_of_several_channels_gets_each_as_it_is(tmp_path, count):
    x = np.random.default_rng(0).uniform(-1, 1, (count, 50))
    soundfile.write(tmp_path / "a.wav", x.T, 100, "DOUBLE")
    for read in (read_recording(tmp_path / "a.wav", count), from_array(x, 100, count)):
        np.testing.assert_array_equal(read.samples, x)
        assert read.notes == ()
        assert read.length == 50


def test_the_channels_of_a_signal_are_told_before_it_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((50, 3)), 100)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    signals = [tmp_path / "a.wav", np.zeros((2, 9)), np.zeros(9), [[0.0] * 9] * 4]
    assert [count_channels(s) for s in signals] == [3, 2, 1, 4]
    for none in (tmp_path / "b.wav", tmp_path / "c.wav", tmp_path, [[1.0], [1.0, 2.0]]):
        assert count_channels(none) is None


@pytest.mark.parametrize(("found", "wanted"), [(1, 3), (2, 3), (4, 3), (3, 2)])
def test_another_number_of_channels_is_refused_in_one_line(tmp_path, found, wanted):
    x = np.zeros((found, 50))
    soundfile.write(tmp_path / "a.wav", x.T, 100)
    said = f"the model reads {wanted} channels, the recording has {found}"
    for array in [x, *([x[0]] if found == 1 else [])]:
        with pytest.raises(InputError, match=said):
            from_array(array, 100, wanted)
    with pytest.raises(InputError, match=said):
        read_recording(tmp_path / "a.wav", wanted)


def test_channels_last_are_refused_with_the_shape_that_is_wanted():
    with pytest.raises(InputError, match=r"\(3000, 3\): give \(3, samples\)"):
        from_array(np.zeros((3000, 3)), 100, 3)


def test_few_samples_of_many_channels_are_read_where_the_model_asks_for_them():
    assert from_array(np.zeros((3, 1)), 100, 3).samples.shape == (3, 1)


@pytest.mark.parametrize("shape", [(1000, 2), (1, 1, 100), (0,), (2, 0), (), (3, 1)])
def test_arrays_of_another_layout_are_refused_and_never_mixed_by_mistake(shape):
    with pytest.raises(InputError) as caught:
        from_array(np.zeros(shape), 8000)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize(
    "array", [np.arange(9), np.zeros(9, bool), np.zeros(9, complex), np.array(["a"]),
              [[1.0], [1.0, 2.0]], None, np.uint8([1])],
)  # fmt: skip
def test_what_is_not_floats_is_refused(array):
    with pytest.raises(InputError, match="signal"):
        from_array(array, 8000)


def test_an_array_with_nan_is_refused_with_its_place():
    x = np.zeros(9)
    x[4] = np.nan
    with pytest.raises(InputError, match="nan at sample 4"):
        from_array(x, 8000)


# -- resampling


@pytest.mark.parametrize("to", [8000, 16000, 11025, 360])
@pytest.mark.parametrize("rate", [*RATES, 360])
def test_resampling_keeps_a_tones_frequency_level_and_phase(rate, to):
    hertz = 0.11 * min(rate, to)
    made = fit(Recording(tone(hertz, rate, 1.0), rate), to)
    expected = tone(hertz, to, len(made.samples) / to)
    assert abs(len(made.samples) - to) <= 1
    edge = len(expected) // 10
    np.testing.assert_allclose(made.samples[edge:-edge], expected[edge:-edge], atol=2e-3)


def test_what_the_lower_rate_cannot_hold_is_filtered_out():
    made = fit(Recording(tone(6000, 44100, 1.0), 44100), 8000)
    assert np.abs(made.samples[800:-800]).max() < 0.01


def test_resampling_leaves_a_note_and_the_same_rate_none():
    made = fit(Recording(tone(440, 44100), 44100, ("before",)), 8000)
    assert made.notes == (
        "before",
        "resampled from 44100 Hz to 8000 Hz, and silence below -90 dB cut",
    )
    assert made.rate == 8000
    x = tone(440, 8000)
    same = fit(Recording(x, 8000), 8000)
    assert same.notes == ()
    np.testing.assert_array_equal(same.samples, x)


@pytest.mark.parametrize("to", [1e-3, 1e12])
def test_a_rate_that_cannot_be_reached_is_refused(to):
    with pytest.raises(InputError, match="resample"):
        fit(Recording(tone(440, 8000), 8000), to)


@pytest.mark.parametrize("rate", [44100, 48000, 8000])
def test_one_sample_can_be_resampled(rate):
    assert len(fit(Recording(np.ones(1), rate), 16000).samples) >= 1


# -- length


def test_the_same_length_changes_nothing():
    recording = Recording(np.ones(10), 8000)
    assert fit(recording, length=10) is recording


def test_a_short_one_is_padded_with_zeros_at_the_end():
    made = fit(Recording(np.ones(4), 8.0), length=10)
    np.testing.assert_array_equal(made.samples, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    (note,) = made.notes
    assert "padded" in note
    assert "4 samples (0.500 s)" in note
    assert "10 samples (1.250 s)" in note


@pytest.mark.parametrize("start", [0, 1, 37, 60])
def test_a_long_one_is_cropped_to_its_loudest_stretch(start):
    x = np.full(100, 0.01)
    x[start : start + 40] = np.random.default_rng(0).uniform(0.4, 0.5, 40)
    made = fit(Recording(x, 100.0), length=40)
    np.testing.assert_array_equal(made.samples, x[start : start + 40])
    (note,) = made.notes
    assert "cropped" in note
    assert f"start at {start} samples ({start / 100:.3f} s)" in note


@pytest.mark.parametrize("length", [40, 100, 160])
def test_channels_are_cropped_and_padded_together(length):
    x = np.random.default_rng(0).normal(size=(3, 100))
    x[1, 30:70] *= 9
    made = fit(Recording(x, 100.0), length=length)
    assert made.samples.shape == (3, length)
    start = 30 if length == 40 else 0
    np.testing.assert_array_equal(made.samples[:, :100], x[:, start : start + length])
    assert not made.samples[:, 100:].any()


def test_channels_are_resampled_one_by_one():
    x = np.random.default_rng(0).normal(size=(3, 500))
    made = fit(Recording(x, 360.0), 250)
    for row, alone in zip(made.samples, x, strict=True):
        np.testing.assert_allclose(row, fit(Recording(alone, 360.0), 250).samples, atol=1e-12)


def test_silence_is_cropped_from_its_start():
    assert "start at 0 samples" in fit(Recording(np.zeros(100), 100.0), length=40).notes[0]


def test_without_a_rate_lengths_are_told_in_samples():
    assert " s)" not in fit(Recording(np.ones(4), None), length=10).notes[0]


# -- crop, then resample


@pytest.mark.parametrize(
    ("own", "rate"), [(8000, 16000), (44100, 8000), (44100, 48000), (360, 250)]
)
def test_a_crop_is_resampled_as_it_would_be_in_the_whole(own, rate):
    x = 0.01 * np.random.default_rng(0).standard_normal((2, 3 * own))
    x[:, own : own + own // 2] = np.random.default_rng(1).uniform(0.4, 0.5, (2, own // 2))
    made = fit(Recording(x, own), rate, rate // 2)
    assert made.notes[0].endswith(f"start at {own} samples (1.000 s)")
    whole = fit(Recording(x, own), rate).samples
    np.testing.assert_allclose(made.samples, whole[:, rate : rate + rate // 2], atol=1e-14)


def test_the_loudest_stretch_is_found_across_blocks(tmp_path):
    x = np.random.default_rng(0).uniform(-0.1, 0.1, 1_000_000)
    for start in (0, 5, 262_100, 523_000, 999_900):
        loud = x.copy()
        loud[start : start + 100] *= 9
        soundfile.write(tmp_path / "a.wav", loud, 8000, "DOUBLE")
        made = read_recording(tmp_path / "a.wav", length=100)
        np.testing.assert_array_equal(made.samples, loud[start : start + 100])
        np.testing.assert_array_equal(made.samples, fit(Recording(loud, 8000), length=100).samples)


def test_of_hours_of_sound_only_what_the_model_reads_is_kept(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.w64", "w", 8000, 2, "PCM_U8", format="W64") as file:
        for _ in range(60):
            file.write(np.zeros((8000 * 60, 2)))
    tracemalloc.start()
    made = read_recording(tmp_path / "a.w64", rate=16000, length=16000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.length == 16000
    assert peak < 64 * 2**20


def test_a_model_that_reads_far_more_than_there_is_does_not_fill_the_memory():
    with pytest.raises(InputError, match="too many"):
        fit(Recording(np.ones(8000), 8000.0), length=2**40)
    with pytest.raises(InputError, match="cannot resample"):
        fit(Recording(np.ones(2**20), 8000.0), 8e6)
