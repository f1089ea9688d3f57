"""Laws of front ends: librosa's numbers, and relevance that reaches the waveform."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.fft import dct

from dftlrp.core.backend import get_backend
from dftlrp.core.types import InputError
from dftlrp.engine.composites import make_layer_table
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.flows import Flow
from dftlrp.engine.plan import make_plan
from dftlrp.engine.propagate import Propagation, carry_back, close_accounts
from dftlrp.graph.frontend import FrontEnd, note_empty_filters, prepend
from dftlrp.graph.frontend.fields import FIELDS
from dftlrp.graph.frontend.other_names import OTHER_NAMES
from dftlrp.graph.structure import Graph, Node, Value
from dftlrp.spectral.mel import make_filterbank

X = np.random.default_rng(0).normal(size=(1, 4000)) * 0.1
STFT = {"n_fft": 512, "hop": 128, "win_length": 400}
TIME_MAJOR = ("batch", 1, "time", "frequency")
TIME_MINOR = ("batch", "time", "frequency")
KALDI = {
    "amplitude": "int16", "n_fft": 512, "win_length": 400, "hop": 160, "window": "povey",
    "frame": "window", "center": False, "pad_mode": "symmetric", "remove_dc": True,
    "preemphasis": 0.97, "n_mels": 40, "fmin": 20.0, "mel_scale": "htk", "mel_norm": None,
    "triangles": "mel", "log": "ln", "floor": float(np.finfo(np.float32).eps),
}  # fmt: skip


def behind(fe: FrontEnd) -> Graph:
    """A model that gives back what it reads, behind the front end."""
    dims = (None,) * len(fe.layout)
    nodes = (Node("y", "Identity", ("x",)),)
    graph = Graph(nodes, {"x": Value(dims, "float32")}, {"y": Value(dims, "float32")}, {})
    return prepend(graph, fe)


def values_of(fe: FrontEnd, x=X):
    graph = behind(fe)
    plan, bk = make_plan(graph), get_backend()
    given = {**graph.constants, next(iter(plan.signals)): x}
    return plan, bk, evaluate(plan, given, bk, np.dtype("float64"))


def features(fe: FrontEnd, x=X):
    return values_of(fe, x)[2].values["y"]


@pytest.fixture(scope="module")
def librosa():
    return pytest.importorskip("librosa", reason="librosa is not installed")


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
def test_the_stft_is_librosas(librosa, center, pad_mode, window):
    layout = ("batch", "part", "frequency", "time")
    fe = FrontEnd(16000, center=center, pad_mode=pad_mode, window=window, power=None, layout=layout)
    want = librosa.stft(
        X[0], n_fft=400, hop_length=160, center=center, pad_mode=pad_mode, window=window
    )
    got = features(fe)[0]
    np.testing.assert_allclose(got[0] + 1j * got[1], want, atol=1e-13)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize(
    "mel", [{}, {"mel_scale": "htk", "mel_norm": None, "fmin": 60.0, "fmax": 7600.0}]
)
def test_the_mel_spectrogram_is_librosas(librosa, power, mel):
    fe = FrontEnd(16000, **STFT, power=power, n_mels=40, **mel, layout=TIME_MAJOR)
    theirs = {"fmin": mel.get("fmin", 0.0), "fmax": mel.get("fmax"), "htk": bool(mel)}
    norm = None if mel else "slaney"
    want = librosa.feature.melspectrogram(
        y=X[0], sr=16000, n_fft=512, hop_length=128, win_length=400, n_mels=40,
        power=power, norm=norm, **theirs,
    )  # fmt: skip
    np.testing.assert_allclose(features(fe)[0, 0].T, want, rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_decibels_and_mfcc_are_librosas(librosa, power):
    fe = FrontEnd(
        16000,
        **STFT,
        power=power,
        n_mels=40,
        log="db",
        floor=1e-5 if power == 1 else 1e-10,
        top_db=60.0,
    )
    mel = librosa.feature.melspectrogram(
        y=X[0], sr=16000, n_fft=512, hop_length=128, win_length=400, n_mels=40, power=power
    )
    to_db = librosa.amplitude_to_db if power == 1 else librosa.power_to_db
    want = to_db(mel, top_db=60.0)
    np.testing.assert_allclose(features(fe)[0], want, atol=1e-4)
    cepstrum = features(FrontEnd(**{**vars(fe), "n_mfcc": 13}))[0]
    np.testing.assert_allclose(cepstrum, librosa.feature.mfcc(S=want, n_mfcc=13), atol=1e-4)


@pytest.mark.parametrize(
    ("how", "statistic"),
    [
        ("int16", lambda x: 1 / 32768),
        ("peak", lambda x: np.abs(x).max()),
        ("rms", lambda x: np.sqrt((x**2).mean())),
    ],
)
def test_the_amplitude_convention_scales_the_waveform(how, statistic):
    plain, scaled = (features(FrontEnd(16000, power=1.0, amplitude=a)) for a in ("unit", how))
    np.testing.assert_allclose(scaled, plain / statistic(X), rtol=1e-12)


@pytest.mark.parametrize(("normalise", "axes"), [("utterance", (1, 2)), ("feature", 2)])
def test_normalised_features_have_zero_mean_and_unit_deviation(normalise, axes):
    y = features(FrontEnd(16000, n_mels=20, log="ln", normalise=normalise))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=axes), 1, rtol=1e-9)


CHAINS = {
    "complex": FrontEnd(16000, power=None, layout=("batch", "part", "frequency", "time")),
    "dft": FrontEnd(16000, transform="dft", power=None, layout=("batch", "part", "frequency")),
    "magnitude": FrontEnd(16000, power=1.0),
    "log-mel": FrontEnd(16000, n_mels=40, log="ln", layout=TIME_MAJOR),
    "db": FrontEnd(16000, n_mels=40, log="db", top_db=60.0, amplitude="peak", pad_mode="reflect"),
    "mfcc": FrontEnd(16000, n_mels=40, log="db", n_mfcc=13, normalise="feature"),
    "kaldi": FrontEnd(16000, **{**KALDI, "center": True}, normalise="mean", layout=TIME_MINOR),
    "paraformer": FrontEnd(16000, **KALDI, stack=7, stack_hop=6, layout=TIME_MINOR),
    "whisper": FrontEnd(16000, n_mels=40, log="db", pad_mode="reflect", drop_last=True),
}


def relevance(fe: FrontEnd, x=X):
    plan, bk, run = values_of(fe, x)
    values, y = run.values, run.values["y"]
    plan = plan.follow(run.nodes, values, "frozen")
    rules = make_layer_table(plan, "Epsilon").rules()
    flows, rows = carry_back(Propagation(plan, values, rules, bk), Flow(y, np.ones_like(y)))
    return y, next(iter(flows.values())), close_accounts(rows)


@pytest.mark.parametrize("chain", CHAINS)
def test_the_accounts_of_a_front_end_close_and_the_multiplier_gives_the_relevance(chain):
    y, flow, ledger = relevance(CHAINS[chain])
    assert ledger.gap < 1e-12
    lost = sum(float(ledger.absorbed(t).sum()) for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(flow.relevance.sum() + lost, y.sum(), atol=1e-9 * np.abs(y).sum())
    np.testing.assert_allclose(X * flow.multiplier, flow.relevance, atol=1e-12 * np.abs(y).max())


@pytest.mark.parametrize("chain", ["complex", "dft"])
def test_through_a_linear_front_end_the_multiplier_is_the_gradient(chain):
    """Of sum(y): the transposed transform of ones, whatever the signal."""
    _, flow, _ = relevance(CHAINS[chain])
    _, other, _ = relevance(CHAINS[chain], -3 * X)
    np.testing.assert_allclose(flow.multiplier, other.multiplier, atol=1e-9)


def test_what_sits_on_silent_frames_is_taken_in_front_of_the_mel_filters():
    x = X.copy()
    x[:, 1500:] = 0
    y, flow, ledger = relevance(CHAINS["log-mel"], x)
    silent = float(y[0, 0, 11:].sum())  # frames of zeros only
    taken = float(sum(row.stabiliser.sum() for row in ledger.rows if row.node == "frontend/mel"))
    np.testing.assert_allclose(taken, silent, rtol=1e-9)
    assert np.isfinite(flow.multiplier).all()


@pytest.mark.parametrize("fe", CHAINS.values(), ids=CHAINS.keys())
def test_toml_holds_a_whole_front_end(fe, tmp_path):
    path = tmp_path / "model.toml"
    path.write_text(fe.to_text())
    assert FrontEnd.from_toml(path) == fe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[frontend", "not TOML"),
        ("[frontend]\nhop = 160", "needs rate"),
        ("[frontend]\nrate = 8000\nwindows = 'hann'", "unknown key 'windows'"),
        ("[frontend]\nrate = -1", "rate"),
        ("[frontend]\nrate = 8000\nlog = 'bel'", "log"),
        ("[frontend]\nrate = 8000\nlayout = ['batch', 'time']", "layout"),
        ("[frontend]\nrate = 8000\npower = false\nn_mels = 40", "power"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(text, words):
    with pytest.raises(InputError, match=words) as caught:
        FrontEnd.from_text(text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        FrontEnd.from_toml(tmp_path / "none.toml")


def relative(got, want):
    """Norm of the difference of two arrays relative to the second's."""
    return np.linalg.norm(got - np.asarray(want)) / np.linalg.norm(want)


@pytest.fixture(scope="module")
def torchaudio():
    try:
        import torchaudio
    except (ImportError, OSError) as error:  # its wheels want the libraries of one kind of torch
        pytest.skip(f"torchaudio cannot be imported: {error}")
    return torchaudio


@pytest.mark.parametrize(
    ("center", "pad_mode", "mel"),
    [
        (True, "reflect", {"mel_scale": "htk", "mel_norm": None}),
        (True, "constant", {"mel_scale": "slaney", "mel_norm": "slaney"}),
        (False, "reflect", {"mel_scale": "htk", "mel_norm": "slaney"}),
    ],
)
def test_the_mel_spectrogram_decibels_and_mfcc_are_torchaudios(torchaudio, center, pad_mode, mel):
    import torch

    sound = torch.from_numpy(X.astype(np.float32))
    how = {
        "sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 128, "n_mels": 40,
        "center": center, "pad_mode": pad_mode, "mel_scale": mel["mel_scale"],
        "norm": mel["mel_norm"],
    }  # fmt: skip
    transforms = torchaudio.transforms
    want = transforms.MelSpectrogram(**how)(sound)
    fe = FrontEnd(16000, **STFT, center=center, pad_mode=pad_mode, n_mels=40, **mel)
    assert relative(features(fe), want) < 1e-5
    db = FrontEnd(**{**vars(fe), "log": "db", "top_db": 80.0})
    levels = transforms.AmplitudeToDB("power", top_db=80.0)(want)
    assert relative(features(db), levels) < 1e-5
    cepstrum = FrontEnd(**{**vars(db), "n_mfcc": 13})
    sample_rate = how.pop("sample_rate")
    mfcc = transforms.MFCC(sample_rate, 13, melkwargs=how)(sound)
    assert relative(features(cepstrum), mfcc) < 1e-5


def complexes(x=X[0], hop=160):
    """Frames of a Hann window, centred: (2, frequency, time), real and imaginary part."""
    padded = np.pad(x, 200)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::hop] * window
    Y = np.fft.rfft(frames).T
    return np.stack([Y.real, Y.imag])


COMPLEX = {"power": None, "layout": ("batch", "part", "frequency", "time")}


@pytest.mark.parametrize(
    ("normalise", "axes"), [("utterance", (0, 1, 2)), ("feature", 2), ("both", None)]
)
def test_complex_spectra_are_normalised_over_time_and_by_frequency(normalise, axes):
    y = complexes()
    if normalise == "both":
        mean, std = np.arange(201.0), 1 + np.arange(201.0)
        fe = FrontEnd(16000, mean=mean, std=list(std), **COMPLEX)
        want = (y - mean[:, None]) / std[:, None]
    else:
        fe = FrontEnd(16000, normalise=normalise, **COMPLEX)
        deviation = np.maximum(y.std(axis=axes, keepdims=True), 1e-12)
        want = (y - y.mean(axis=axes, keepdims=True)) / deviation
    np.testing.assert_allclose(features(fe)[0], want, atol=1e-9)


@pytest.mark.parametrize("n", [100, 101])
def test_one_dft_uses_its_own_length_even_or_odd(n):
    x, base = X[:, :n], {"transform": "dft", "samples": n, "layout": ("batch", "frequency")}
    Y = np.fft.rfft(x[0])
    np.testing.assert_allclose(features(FrontEnd(8000, **base), x)[0], abs(Y) ** 2, atol=1e-12)
    scaled = FrontEnd(8000, **base, orthonormal=True, power=1.0)
    np.testing.assert_allclose(features(scaled, x)[0], abs(Y) / np.sqrt(n), atol=1e-12)
    mel = FrontEnd(8000, **base, n_mels=10)
    want = make_filterbank(8000, n, 10) @ abs(Y) ** 2
    np.testing.assert_allclose(features(mel, x)[0], want, atol=1e-12)
    whole = FrontEnd(8000, **base, log="ln", normalise="utterance")
    np.testing.assert_allclose(features(whole, x).std(), 1, rtol=1e-9)
    cepstrum = FrontEnd(8000, **base, log="ln", n_mfcc=13)
    want = dct(np.log(abs(Y) ** 2), norm="ortho")[:13]
    np.testing.assert_allclose(features(cepstrum, x)[0], want, atol=1e-10)


def reads(fe: FrontEnd, *dims: int | None) -> tuple[int | None, ...] | None:
    """Shape of the waveform that a model of this input shape reads behind the front end."""
    graph = Graph((), {"x": Value(dims, "float32")}, {}, {})
    return next(iter(prepend(graph, fe).inputs.values())).dims


@pytest.mark.parametrize("n_fft", [400, 401])
@pytest.mark.parametrize("how", [{}, {"center": False}, {"pad_mode": "reflect"}])
def test_the_shortest_recording_gives_as_many_frames_as_the_model_reads(n_fft, how):
    fe = FrontEnd(16000, n_fft=n_fft, **how)
    for frames in (2, 3, 20):
        samples = reads(fe, 1, 201, frames)[1]
        assert features(fe, X[:, :samples]).shape == (1, 201, frames)


ONE_DFT = {"transform": "dft", "layout": ("batch", "frequency")}


def test_a_number_of_bins_is_that_of_an_even_length_unless_samples_says_otherwise():
    """As for irfft."""
    assert reads(FrontEnd(16000, **ONE_DFT), 1, 51) == (1, 100)
    assert reads(FrontEnd(16000, **ONE_DFT, samples=101), 1, 51) == (1, 101)
    assert reads(FrontEnd(16000, **ONE_DFT), 1, None) == (1, None)


def test_declared_samples_are_read_whatever_the_model_says():
    assert reads(FrontEnd(16000, samples=4100), 1, 201, None) == (1, 4100)
    assert reads(FrontEnd(16000, samples=4100), None, 201, 26) == (None, 4100)
    dft = FrontEnd(16000, transform="dft", samples=401, layout=("batch", "frequency"))
    assert reads(dft, 1, 201) == (1, 401)


@pytest.mark.parametrize(
    ("how", "dims", "words"),
    [
        ({**ONE_DFT, "orthonormal": True}, (1, None), "declare samples"),
        ({**ONE_DFT, "samples": 102}, (1, 51), "'frequency' has length 52, .* reads 51"),
        ({"samples": 10}, (1, 201, 26), "axis 'time' has length 1, .* reads 26"),
        ({"n_mels": 40}, (1, 64, 26), "axis 'frequency' has length 40, .* reads 64"),
        ({}, (1, 201), "layout"),
    ],
)
def test_a_front_end_that_does_not_fit_the_model_is_refused(how, dims, words):
    with pytest.raises(InputError, match=words):
        reads(FrontEnd(16000, **how), *dims)


@pytest.mark.parametrize(
    "how", [{"hop": 400}, {"hop": 500}, {"win_length": 200, "hop": 300}, {"window": "boxcar"}]
)
def test_relevance_needs_no_inverse_of_the_frames(how):
    """Hops that leave gaps, or longer than the window: the accounts close all the same."""
    y, flow, ledger = relevance(FrontEnd(16000, n_mels=20, **how))
    assert ledger.gap < 1e-12
    lost = sum(float(ledger.absorbed(t).sum()) for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(flow.relevance.sum() + lost, y.sum(), rtol=1e-9)


WRONG = {
    "rate": ["16000", True, np.nan, np.inf, 0, 1e10],
    "n_fft": [0, -4, 400.5, "a", 10**9, True, None],
    "hop": [0, 160.0, None],
    "win_length": [0, -3, 401],
    "window": ["foo", 3, None, (1.0, "a")],
    "n_mels": [0, 40.5, "40", 10**7],
    "fmin": [-1.0, 9000.0, "a", None],
    "fmax": [0.0, 99999.0],
    "log": ["bel", ["ln"]],
    "floor": [-1.0, 0.0, np.nan, "a", None],
    "offset": [-1.0, None],
    "top_db": [-5.0, 0, "a", 80.0],
    "n_mfcc": [0, 50],
    "mean": ["a", np.nan, (1.0, 2.0), ((1.0,),)],
    "std": [0.0, (0.0,) * 40],
    "power": [0.0, -1.0, "2", True],
    "center": ["yes", 0, None],
    "orthonormal": ["x", 1],
    "samples": [0, -5, 10.5, "a"],
    "normalise": ["x", 1],
    "layout": ["abc", 3, ("batch", 2, "frequency", "time"), (True, "batch", "frequency", "time")],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_every_field_is_checked_for_type_and_range_in_one_line(field, value):
    with pytest.raises(InputError) as caught:
        FrontEnd(**{"rate": 16000, "n_mels": 40, "log": "ln", field: value})
    assert field in str(caught.value) or "mel filters" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"pad_mode": "reflect", "samples": 100}, "at least 201"),
        ({"center": False, "samples": 100}, "too short"),
        ({"transform": "dft", "layout": ("batch", "frequency"), "n_mels": 4}, "needs samples"),
        ({"transform": "dft", "layout": ("batch", "frequency"), "normalise": "feature"}, "time"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(how, words):
    with pytest.raises(InputError, match=words):
        FrontEnd(16000, **how)


def test_numbers_are_kept_as_pythons_own():
    fe = FrontEnd(np.float32(16000), n_fft=np.int64(512), mean=np.zeros(257), center=np.bool_(True))
    assert FrontEnd.from_text(fe.to_text()) == fe


@pytest.mark.parametrize("text", ["frontend = 3", "[[frontend]]\nrate = 1"])
def test_the_front_end_of_a_toml_file_is_a_table(text):
    with pytest.raises(InputError, match="must be a table"):
        FrontEnd.from_text(text)


def test_a_logarithm_may_have_an_offset_in_the_floors_place():
    y = features(FrontEnd(16000, log="ln", floor=0.0, offset=1e-6))
    np.testing.assert_allclose(y, np.log(features(FrontEnd(16000)) + 1e-6), rtol=1e-12)


def test_mel_filters_without_a_bin_are_noted():
    assert note_empty_filters(behind(FrontEnd(16000, n_mels=40))) == ()
    (note,) = note_empty_filters(behind(FrontEnd(16000, n_mels=128, mel_scale="htk")))
    empty = int((make_filterbank(16000, 400, 128, scale="htk").max(axis=1) == 0).sum())
    assert f"{empty} of 128 mel filters hold no bin" in note


@pytest.mark.parametrize(
    "text",
    [
        "a." * 2000 + "b = 1",
        "a . " * 30 + "b = 1",
        "[" + "a." * 30 + "b]",
        "x = {a.a.a.a.a.a.a.a.a.a = 1}",
        "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "{a = " * 3000 + "1" + "}" * 3000,
        "x = " + "9" * 5000,
        "[frontend]\nrate = " + "9" * 30,
        "[frontend]\nrate = 1e400",
        "#" * 10**6,
        "x = " + " " * 60_000 + ".",
        "[frontend]\nrate = 16000\nn_fft = 10_000_000_000",
        "[frontend]\nrate = 8\nn_mels = 2_000_000_000",
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_hostile_toml_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        FrontEnd.from_text(text)
    assert time.process_time() - start < 1
    assert len(str(caught.value)) < 1000


def test_a_front_end_from_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InputError, match="not a regular file"):
        FrontEnd.from_toml(tmp_path / "pipe.toml")


# -- Kaldi's features


KALDI_OPTIONS = {  # of a front end, and of Kaldi
    "usual": ({}, {}),
    "edges mirrored": ({"center": True}, {"snip_edges": False}),
    "no mean taken": ({"remove_dc": False}, {"remove_dc_offset": False}),
    "no pre-emphasis": ({"preemphasis": 0.0}, {"preemph_coeff": 0.0}),
    "neither": (
        {"remove_dc": False, "preemphasis": 0.0}, {"remove_dc_offset": False, "preemph_coeff": 0.0},
    ),
    "hamming": ({"window": "hamming", "periodic": False}, {"window_type": "hamming"}),
    "hann": ({"window": "hann", "periodic": False}, {"window_type": "hanning"}),
    "magnitude": ({"power": 1.0}, {"use_power": False}),
    "odd": (
        {"win_length": 399, "hop": 101, "center": True},
        {"snip_edges": False, "frame_length_ms": 399 / 16, "frame_shift_ms": 101 / 16},
    ),
    "band": ({"fmin": 60.0, "fmax": 7600.0}, {"low_freq": 60.0, "high_freq": 7600.0}),
}  # fmt: skip


def kaldis(x, **options):
    """Filterbank energies (frames, 40) as kaldi-native-fbank computes them in float32."""
    knf = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    how = knf.FbankOptions()
    how.frame_opts.dither, how.frame_opts.samp_freq, how.mel_opts.num_bins = 0.0, 16000.0, 40
    for name, value in options.items():
        part = next(p for p in (how.frame_opts, how.mel_opts, how) if hasattr(p, name))
        setattr(part, name, value)
    found = knf.OnlineFbank(how)
    found.accept_waveform(16000.0, (32768 * x).astype(np.float32).tolist())
    found.input_finished()
    return np.array([found.get_frame(i) for i in range(found.num_frames_ready)])


@pytest.mark.parametrize("case", KALDI_OPTIONS)
def test_the_filterbank_is_kaldis(case):
    ours, theirs = KALDI_OPTIONS[case]
    fe = FrontEnd(16000, **{**KALDI, **ours}, layout=TIME_MINOR)
    want = kaldis(X[0], **theirs)
    assert fe.frames(X.shape[1]) == len(want)
    np.testing.assert_allclose(features(fe)[0], want, atol=2e-4)


def test_a_low_frame_rate_is_funasrs():
    """Frame t holds frames 6 t - 3 to 6 t + 3 of the filterbank, of which the outer ones repeat."""
    plain = features(FrontEnd(16000, **KALDI, layout=TIME_MINOR))[0]
    for count, step in ((7, 6), (5, 1), (4, 3), (1, 2)):
        fe = FrontEnd(16000, **KALDI, stack=count, stack_hop=step, layout=TIME_MINOR)
        starts = np.arange(0, len(plain), step) - (count - 1) // 2
        places = np.clip(starts[:, None] + np.arange(count), 0, len(plain) - 1)
        np.testing.assert_array_equal(
            features(fe)[0], plain[places].reshape(len(starts), count * 40)
        )
        assert fe.frames(X.shape[1]) == len(starts)
        assert fe.features == count * 40
        assert fe.frames(fe.length(7)) == 7 > fe.frames(fe.length(7) - 1)


def test_changed_frames_are_plain_ones_where_nothing_is_changed():
    """The convolution of changed frames, and the STFT that is taken without a change."""
    tiny = {"preemphasis": 1e-300, "power": 1.0}
    for how in ({}, {"frame": "window"}, {"center": False}, {"frame": "window", "center": False}):
        fe = FrontEnd(16000, **STFT, **{**how, "power": 1.0})
        changed = FrontEnd(16000, **STFT, **{**how, **tiny})
        np.testing.assert_allclose(features(changed), features(fe), atol=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hop_length = 160", "did you mean hop?"),
        ("f_min = 20", "did you mean fmin?"),
        ("norm = 'slaney'", "did you mean mel_norm = 'slaney' or false?"),
        ("htk = true", "did you mean mel_scale = 'htk' or 'slaney'?"),
        ("num_mel_bins = 80", "did you mean n_mels?"),
        ("frame_shift = 10", "did you mean hop, in samples: 10 ms at 16000 Hz are 160?"),
        ("windo = 'hann'", "did you mean window?"),
        ("dither = 1.0", "no key: it is noise"),
        ("colour = 1", "known are amplitude, center"),
    ],
)
def test_names_of_other_libraries_are_answered_with_the_one_here(text, words):
    with pytest.raises(InputError) as caught:
        FrontEnd.from_text(f"[frontend]\nrate = 16000\n{text}")
    assert words in str(caught.value)


def test_no_name_of_another_library_is_one_here_and_each_leads_to_one():
    assert not set(OTHER_NAMES) & set(FIELDS)
    for told in OTHER_NAMES.values():
        assert told.startswith("no key: ") or re.split(r"[ ,]", told)[0] in FIELDS


@given(
    n_fft=st.integers(4, 40), short=st.integers(0, 3), hop=st.integers(1, 24),
    frame=st.sampled_from(["n_fft", "window"]), center=st.booleans(),
    pad_mode=st.sampled_from(["constant", "reflect", "symmetric"]), drop_last=st.booleans(),
    remove_dc=st.booleans(), stack=st.integers(1, 4), stack_hop=st.integers(1, 4),
    samples=st.integers(1, 200),
)  # fmt: skip
def test_the_number_of_frames_is_told_before_it_is_computed(samples, short, **how):
    try:
        fe = FrontEnd(16000, win_length=how["n_fft"] - short, **how)
        whole = FrontEnd(**{**vars(fe), "samples": samples})
    except InputError:  # a recording too short, or a hop beyond the window
        assume(False)
    frames = fe.frames(samples)
    assert whole.frames(samples) == frames >= 1
    assert features(fe, X[:, :samples]).shape == (1, fe.features, frames)
    shortest = fe.length(frames)
    assert shortest <= samples
    assert fe.frames(shortest) == frames
