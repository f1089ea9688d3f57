"""Declarations to start from: each is what its library computes."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from features import compute

from dftlrp.assets import embedded
from dftlrp.core.types import InputError
from dftlrp.graph.frontend import LIKE, FrontEnd, make_template
from dftlrp.graph.frontend.template import COMMENTS
from dftlrp.graph.structure import Graph, Value

CLIP = soundfile.read(embedded("clip"))[0]  # at any rate: only numbers count here


def made(like: str, *dims: int | None, **metadata: str) -> FrontEnd:
    """The declaration for a model of this input shape, as it is read back."""
    graph = Graph((), {"x": Value(dims, "float32")}, {}, {}, metadata=metadata)
    text = make_template(graph, like, "m.onnx")
    assert set(tomllib.loads(text)["frontend"]) == {f.name for f in fields(FrontEnd)}
    assert all("#" in line for line in text.splitlines() if " = " in line)
    return FrontEnd.from_text(text)


def theirs_librosa(x):
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    return librosa.power_to_db(librosa.feature.melspectrogram(y=x, sr=22050, n_mels=64))


def theirs_whisper(x):
    """Its formula, with torch's STFT and librosa's filters, of which it ships a copy."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    window = torch.hann_window(400, dtype=torch.float64)
    stft = torch.stft(torch.from_numpy(x), 400, 160, window=window, return_complex=True)
    power = stft[..., :-1].abs().numpy() ** 2
    log = np.log10(np.maximum(librosa.filters.mel(sr=16000, n_fft=400, n_mels=80) @ power, 1e-10))
    return (np.maximum(log, log.max() - 8) + 4) / 4


def theirs_torchaudio(x):
    """Its documented formula: filters of HTK's mel without norm, a mirrored edge, 10 log10."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    window = torch.hann_window(400, dtype=torch.float64)
    stft = torch.stft(
        torch.from_numpy(x), 400, 200, window=window, return_complex=True, pad_mode="reflect"
    )
    hertz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)
    bins, width = np.linspace(0, 8000, 201), np.diff(hertz)
    up = (bins - hertz[:-2, None]) / width[:-1, None]
    down = (hertz[2:, None] - bins) / width[1:, None]
    power = np.maximum(0, np.minimum(up, down)) @ stft.abs().numpy() ** 2
    return 10 * np.log10(np.maximum(power, 1e-10))


def theirs_kaldi(x):
    knf = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    how = knf.FbankOptions()
    how.frame_opts.dither, how.mel_opts.num_bins = 0.0, 80
    found = knf.OnlineFbank(how)
    found.accept_waveform(16000.0, (32768 * x).astype(np.float32).tolist())
    found.input_finished()
    return np.array([found.get_frame(i) for i in range(found.num_frames_ready)])


def theirs_openwakeword(x):
    import onnxruntime

    path = Path(__file__).parents[3] / "shared/models/openwakeword_melspectrogram.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    session = onnxruntime.InferenceSession(str(path))
    (y,) = session.run(None, {"input": (32768 * x[None]).astype(np.float32)})
    return y[0, 0] / 10 + 2


def theirs_tf(x):
    tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    stft = tf.abs(tf.signal.stft(x.astype(np.float32), 1024, 256, 1024))
    bank = tf.signal.linear_to_mel_weight_matrix(80, 513, 16000, 80.0, 7600.0)
    return tf.math.log(tf.tensordot(stft, bank, 1) + 1e-6).numpy()


SHAPES = {  # that lead to the library's own number of filters, or to 64
    "librosa": (1, 1, 64, None), "torchaudio": (None, 64, 30), "kaldi": (1, None, 80),
    "whisper": (1, 80, 3000), "openwakeword": (None, 76, 32, 1), "tf": (1, 40, 80, 1),
}  # fmt: skip


@pytest.mark.parametrize("like", LIKE)
def test_a_template_computes_what_its_library_does(like):
    fe = made(like, *SHAPES[like])
    want = globals()[f"theirs_{like}"](CLIP)
    got = compute(replace(fe, layout=("batch", *[a for a in fe.layout[1:] if a != 1])), CLIP)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3 * want.std())


def test_shape_and_metadata_of_the_model_fill_in_what_they_tell():
    fe = made("librosa", 1, 98, 40, sample_rate="16000")
    assert (fe.rate, fe.n_mels, fe.layout) == (16000, 40, ("batch", "time", "frequency"))
    assert made("kaldi", 1, None, 560).stack == 7
    assert made("kaldi", 1, None, 400).stack_hop == 1
    assert made("whisper", 1, 80, 3000).length(3000) == 480000
    assert made("tf", None, 49, 10, 1).n_mfcc == 10
    assert set(COMMENTS) == {f.name for f in fields(FrontEnd)}
    with pytest.raises(InputError, match="write the TOML file by hand"):
        made("librosa", 1, 490)
    with pytest.raises(InputError, match="known are librosa"):
        made("matlab", 1, 40, 98)
