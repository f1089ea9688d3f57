"""Files of signals: every format reads back what was written, and is read in any stretch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dftlrp.attribution.recording import open_recording, read_header, read_recording
from dftlrp.core.types import InputError

RATE = 250.0


def write_wav(path: Path, x: np.ndarray) -> None:
    soundfile.write(path, x.T, int(RATE), "DOUBLE", format="WAV")


def write_flac(path: Path, x: np.ndarray) -> None:
    soundfile.write(path, x.T, int(RATE), "PCM_24", format="FLAC")


def write_npz(path: Path, x: np.ndarray) -> None:
    names = [f"lead {i}" for i in range(len(x))]
    np.savez(path, signal=x, fs=RATE, channel_names=names, units="mV")


def write_mat(path: Path, x: np.ndarray) -> None:
    names = np.array([f"lead {i}" for i in range(len(x))], object)
    scipy.io.savemat(path, {"val": x, "Fs": RATE, "leads": names, "units": "mV"})


WRITERS: dict[str, Any] = {
    "wav": write_wav, "flac": write_flac, "npy": np.save, "npz": write_npz, "mat": write_mat,
}  # fmt: skip
EXACT = {"wav", "npy", "npz", "mat"}


def refused(path: Path, *words: str, **asked: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_recording(path, **asked)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=6, deadline=None)
@given(channels=st.integers(1, 4), frames=st.integers(8, 2000), seed=st.integers(0, 99))
def test_what_is_written_is_read_back_in_any_stretch(
    tmp_path_factory, kind, channels, frames, seed
):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.9, 0.9, (channels, frames))
    path = tmp_path_factory.mktemp("signals") / f"x.{kind}"
    WRITERS[kind](path, x)
    with open_recording(path) as opened:
        assert opened.header[1:3] == (channels, frames)
        assert opened.header.rate == (None if kind == "npy" else RATE)
        atol = 0 if kind in EXACT else 2**-23
        for start, stop in [*np.sort(rng.integers(frames, size=(5, 2)), axis=1), (0, frames)]:
            got = opened.read(int(start), int(stop))
            np.testing.assert_allclose(got, x[:, start:stop], rtol=0, atol=atol)
        whole = np.concatenate(list(opened.blocks()), axis=1)
    np.testing.assert_allclose(whole, x, rtol=0, atol=atol)
    assert read_header(path) == opened.header
