"""Real streaming models on a real sentence, with nothing said but what no file can say."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from scipy.signal import resample_poly

import dftlrp
from dftlrp.attribution.recording import read_recording
from dftlrp.core.types import InputError

pytestmark = pytest.mark.slow
SPEECH = "clips/198-209-0000.ogg"
FRAMES = {"rate": 16000.0, "n_fft": 512}
SPECTRA = dftlrp.FrontEnd(
    **FRAMES, hop=256, power=None, window="cosine", layout=("batch", "frequency", "time", "part")
)
MAGNITUDES = dftlrp.FrontEnd(
    **FRAMES, hop=128, power=1.0, window="boxcar", center=False,
    layout=("batch", "time", "frequency"),
)  # fmt: skip


@pytest.fixture(scope="module")
def speech(shared) -> Any:
    """Three seconds at 16 kHz."""
    return read_recording(shared / "data" / SPEECH, rate=16000.0).samples[:48000]


def run_silero(path: Any, x: Any) -> Any:
    run, ys = onnxruntime.InferenceSession(path), []
    state = np.zeros((2, 1, 128), np.float32)
    padded = np.pad(x, (64, -len(x) % 512)).astype(np.float32)
    for k in range(-(-len(x) // 512)):
        part = padded[None, k * 512 : k * 512 + 576]
        y, state = run.run(None, {"input": part, "state": state, "sr": np.array(16000)})
        ys.append(y[0, 0])
    return np.array(ys)


@pytest.mark.parametrize("name", ["silero_vad", "silero_vad_op18_ifless"])
def test_silero_says_when_there_is_speech_and_why(shared, speech, name):
    path = shared / "models" / f"{name}.onnx"
    found = dftlrp.explain_recording(path, speech, rate=16000, top=1, window=0.2, domains=["time"])
    ys = run_silero(path, speech)
    np.testing.assert_allclose(found.scores, ys, atol=1e-5)
    e = found[0]
    assert e.provenance["stream"]["explained"] == [ys.argmax() - 5, ys.argmax()]
    assert e.ledger.gap < 1e-10
    told = "\n".join(e.notes)
    assert "setting 'sr' is 16000" in told
    assert "state 'state' (its next value is 'stateN', by name and shape; tried: the out" in told
    assert "512 samples and 64 before them in each run, as Silero VAD 5 does at 16000 Hz" in told


def test_silero_is_asked_at_the_rates_that_it_reads(shared, speech):
    path = shared / "models" / "silero_vad.onnx"
    slow = resample_poly(speech, 1, 2)
    e = dftlrp.explain(path, slow, rate=8000, at=1.0, window=0.1, domains=["time"])
    assert e.rate == 8000
    assert "256 samples and 32 before them" in "\n".join(e.notes)
    with pytest.raises(InputError, match="reads 16000 Hz or 8000 Hz, not 44100 Hz: dftlrp explain"):
        dftlrp.explain(dftlrp.load(path, rate=44100), slow, rate=8000)


@pytest.mark.parametrize(
    ("name", "fe", "states"),
    [
        ("gtcrn_simplified", SPECTRA, {
            "conv_cache": "conv_cache_out", "tra_cache": "tra_cache_out",
            "inter_cache": "inter_cache_out",
        }),
        ("dtln_1", MAGNITUDES, {"input_3": "tf_op_layer_stack_2"}),
    ],
)  # fmt: skip
def test_an_enhancer_is_explained_frame_by_frame(shared, speech, name, fe, states):
    path = shared / "models" / f"{name}.onnx"
    with pytest.raises(InputError, match=r"n_fft = 512.* layout = \[\"batch\""):
        dftlrp.explain(path, speech, rate=16000)
    window = 2 * fe.hop / fe.rate
    e = dftlrp.explain(path, speech, rate=16000, frontend=fe, window=window, domains=["time"])
    assert e.provenance["stream"]["states"] == states
    assert e.provenance["stream"]["chunks"] == fe.frames(len(speech))
    first, last = e.provenance["stream"]["explained"]
    assert (first, e.ledger.gap < 1e-10) == (last - 1, True)
    spoken = e.relevance["time"]
    assert spoken.size < 0.2 * fe.rate
    assert spoken.any()


def test_pitch_needs_nothing_but_a_recording(shared):
    x = read_recording(shared / "data/clips/sorohanro_-_solo-trumpet-06.ogg", rate=16000.0).samples
    e = dftlrp.explain(
        shared / "models/swift_f0.onnx", x[:8000], rate=16000, target=5, domains=["time"]
    )
    told = "\n".join(e.notes)
    assert "setting 'fmin' is 46.875, the limit that leaves nothing out" in told
    assert "setting 'fmax' is 2093.75" in told
    assert 500 < e.output[5] < 700
