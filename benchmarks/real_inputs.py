"""Real recordings as the inputs of real models.

The models and the recordings lie in two folders that are given as arguments (the project ships
neither); their READMEs say what they are and under which licences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from scipy.signal import find_peaks, resample_poly, spectrogram

from dftlrp import FrontEnd
from dftlrp.attribution.attribute import predict
from dftlrp.attribution.recording import read_recording
from dftlrp.engine.model import Model
from dftlrp.graph.structure import Graph, Node, Value

Array = np.ndarray
CLIPS = {
    "sentence": "clips/198-209-0000.ogg",
    "robin": "clips/456440__inspectorj__bird-whistling-robin-single-13.ogg",
    "trumpet": "clips/sorohanro_-_solo-trumpet-06.ogg",
    "jarvis": "wakeword/008a6329-b20c-4cfc-9ad4-9e7034bc5148.wav",
    "digit": "fsdd/recordings/7_jackson_0.wav",
}
ECG_RATE = 360


@dataclass(frozen=True)
class Shared:
    """The folders of models and recordings."""

    models: Path
    data: Path

    def clip(self, name: str, rate: int) -> Array:
        """Return a recording with one channel and full scale 1."""
        return read_recording(self.data / CLIPS[name], rate=float(rate)).samples

    def noisy(self, rate: int) -> Array:
        """Return the sentence while a robin sings, 10 dB below it."""
        speech, bird = self.clip("sentence", rate), self.clip("robin", rate)
        bird = np.resize(bird, speech.shape)
        return speech + bird * np.std(speech) / np.std(bird) / 10**0.5

    @cached_property
    def heart(self) -> Array:
        """Five minutes of ECG, millivolts at 360 Hz."""
        return (np.load(self.data / "ecg/ecg.dat")["ecg"] - 1024.0) / 200

    def run(self, name: str, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs of a model by onnxruntime, with optimisations off."""
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = str(self.models / f"{name}.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return dict(zip((o.name for o in session.get_outputs()), session.run(None, dict(feed)),
                        strict=True))  # fmt: skip


def to_single(a: Any) -> Array:
    a = np.asarray(a)
    return a.astype(np.float32) if a.dtype.kind == "f" else a


def cut_loudest(x: Array, n: int) -> Array:
    """Return the stretch of n samples with the most energy."""
    energy = np.cumsum(np.pad(x**2, (1, 0)))
    start = int(np.argmax(energy[n:] - energy[:-n]))
    return x[start : start + n]


def standardise(x: Array, axis: int | None = None) -> Array:
    """Return x with zero mean and unit variance."""
    return (x - x.mean(axis, keepdims=True)) / (x.std(axis, keepdims=True) + 1e-9)


def compute_features(fe: FrontEnd, x: Array) -> Array:
    """Return the features that a front end computes from a waveform."""
    value = Value((None,) * len(fe.layout), "float32")
    graph = Graph((Node("y", "Identity", ("x",)),), {"x": value}, {"y": value}, {})
    return predict(Model(Path("features"), graph).behind(fe), x[None], backend="numpy").output


def cut_stretches(x: Array, count: int, n: int) -> Array:
    """Return consecutive stretches, (1, count, n), each standardised."""
    return standardise(x[: count * n].reshape(1, count, n), axis=-1)


# -- speech


def make_log_mel(shared: Shared, frames: int, mels: int, layout: tuple[Any, ...]) -> Array:
    """Return standardised log-mel frames of the sentence."""
    fe = FrontEnd(
        rate=16000, n_fft=512, hop=256, n_mels=mels, log="ln", floor=1e-6, center=False,
        normalise="utterance", layout=layout,
    )  # fmt: skip
    return compute_features(
        fe, cut_loudest(shared.clip("sentence", 16000), (frames - 1) * 256 + 512)
    )


def read_speech(shared: Shared, n: int, rate: int = 16000) -> Array:
    """Return the loudest stretch of the sentence."""
    return cut_loudest(shared.clip("sentence", rate), n)


def make_int16_mel(shared: Shared) -> Array:
    """Return openWakeWord's mel frames of the sentence, as its embedding reads them."""
    wave = {"input": to_single(read_speech(shared, 48000)[None] * 32768)}
    return shared.run("openwakeword_melspectrogram", wave)["output"].reshape(-1, 32) / 10 + 2


def make_embeddings(shared: Shared, count: int) -> Array:
    """Return openWakeWord's embeddings of windows of 76 frames, 8 apart."""
    mel = make_int16_mel(shared)
    windows = np.stack([mel[i * 8 : i * 8 + 76] for i in range(count)])[..., None]
    return shared.run("openwakeword_embedding", {"input_1": windows})["conv2d_19"].reshape(
        1, count, 96
    )


def make_silero(shared: Shared) -> dict[str, Array]:
    state, rate = np.zeros((2, 1, 128)), np.array(16000)
    return {"input": read_speech(shared, 576)[None], "state": state, "sr": rate}


def make_silero_sequence(shared: Shared) -> dict[str, Array]:
    """Return four consecutive windows: 64 samples of context and 512 of their own."""
    x = read_speech(shared, 64 + 4 * 512)
    windows = np.stack([x[i * 512 : i * 512 + 576] for i in range(4)])
    return {"input": windows, "h": np.zeros((1, 1, 128)), "c": np.zeros((1, 1, 128))}


def cut_frames(x: Array, hop: int) -> Array:
    """Return spectra (time, 257) of frames of 512 samples, with the root of a Hann window."""
    window = np.sin(np.pi * np.arange(512) / 512)
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, 512)[::hop] * window)


def warm_up(
    shared: Shared, name: str, frames: Array, signal: str, states: dict[str, tuple[str, Any]]
) -> dict[str, Array]:
    """Return the last frame and the states after the frames before it."""
    now = {k: np.zeros(shape, np.float32) for k, (_, shape) in states.items()}
    for frame in frames[:-1]:
        left = shared.run(name, {signal: to_single(frame), **now})
        now = {k: left[out] for k, (out, _) in states.items()}
    return {signal: frames[-1], **now}


GTCRN = {
    "conv_cache": ("conv_cache_out", (2, 1, 16, 16, 33)),
    "tra_cache": ("tra_cache_out", (2, 3, 1, 1, 16)),
    "inter_cache": ("inter_cache_out", (2, 1, 33, 16)),
}


def make_gtcrn(shared: Shared) -> dict[str, Array]:
    Y = cut_frames(cut_loudest(shared.noisy(16000), 512 + 12 * 256), 256)
    mix = np.stack([Y.real, Y.imag], axis=-1)[:, None, :, None, :]
    return warm_up(shared, "gtcrn_simplified", mix, "mix", GTCRN)


def make_dtln(shared: Shared) -> dict[str, Array]:
    x = cut_loudest(shared.noisy(16000), 512 + 12 * 128)
    frames = np.lib.stride_tricks.sliding_window_view(x, 512)[::128]
    magnitudes = np.abs(np.fft.rfft(frames))[:, None, None, :]
    states = {"input_3": ("tf_op_layer_stack_2", (1, 2, 128, 2))}
    return warm_up(shared, "dtln_1", magnitudes, "input_2", states)


def make_aecmos(shared: Shared) -> dict[str, Array]:
    """Return mel levels, 0 dB at the maximum, of loudspeaker (the robin), microphone and speech."""
    fe = FrontEnd(
        rate=16000, n_fft=513, hop=256, n_mels=160, log="db", top_db=80.0,
        layout=("batch", "time", "frequency"),
    )  # fmt: skip
    n = 32000
    clips = [shared.clip("robin", 16000)[:n], shared.noisy(16000)[:n]]
    mels = [compute_features(fe, x) for x in (*clips, shared.clip("sentence", 16000)[:n])]
    levels = np.stack([(m - m.max() + 40) / 40 for m in mels], axis=1)
    return {"input": levels, "h0": np.zeros((4, 1, 64))}


def make_plcmos(shared: Shared) -> dict[str, Array]:
    """Return the log power of the sentence with two packets of 20 ms lost."""
    x = read_speech(shared, 32000).copy()
    x[8000:8320] = x[20000:20320] = 0
    power = np.abs(cut_frames(x, 256)) ** 2
    logs = np.log(np.maximum(power, power[power > 0].min() * 1e-3))
    return {"degraded_audio": logs[None, None], "rater_embed": np.zeros((1, 64))}


# -- wake words


def make_lfbe(shared: Shared) -> Array:
    """Return MLPerf Tiny's features of a wake word: pre-emphasis, 64 ms frames, dB, 0 to 1."""
    x = cut_loudest(np.pad(shared.clip("jarvis", 16000), 8000), 15872)
    x = np.append(x[:1], x[1:] - (1 - 2**-5) * x[:-1]) / np.abs(x).max()
    fe = FrontEnd(
        rate=16000, n_fft=1024, hop=512, window=tuple(np.hamming(1024)), center=False, n_mels=40,
        mel_scale="htk", mel_norm=None, log="db", floor=1e-30, mean=10 * np.log10(1024) - 52,
        std=64.0, layout=("batch", "time", 1, "frequency"),
    )  # fmt: skip
    return compute_features(fe, x).clip(0, 1)


def make_mfcc(shared: Shared) -> Array:
    """Return MLPerf Tiny's features of a keyword: 40 ms frames, 10 cepstral coefficients."""
    x = cut_loudest(np.pad(shared.clip("jarvis", 16000), 8000), 16000)
    fe = FrontEnd(
        rate=16000, n_fft=640, hop=320, center=False, power=1.0, n_mels=40, fmin=20.0, fmax=4000.0,
        mel_scale="htk", mel_norm=None, log="ln", floor=1e-6, n_mfcc=10,
        layout=("batch", "time", "frequency", 1),
    )  # fmt: skip
    return compute_features(fe, x / np.abs(x).max())


# -- music, hearts, pictures, text


def make_picture(shared: Shared) -> Array:
    """Return grey levels 0 to 255 of the robin's spectrogram, in three channels."""
    fe = FrontEnd(
        rate=16000, n_fft=512, hop=256, n_mels=32, fmin=1500.0, log="db", top_db=60.0, center=False,
        layout=("batch", "frequency", "time", 1),
    )  # fmt: skip
    levels = compute_features(fe, cut_loudest(shared.clip("robin", 16000), 31 * 256 + 512))[:, ::-1]
    grey = (levels - levels.min()) / np.ptp(levels) * 255
    return np.repeat(grey, 3, axis=-1)


def make_slow_heart(shared: Shared) -> Array:
    """Return the ECG at 100 Hz."""
    return resample_poly(shared.heart, 100, ECG_RATE)


def make_seismogram(shared: Shared) -> Array:
    return cut_stretches(make_slow_heart(shared), 3, 3000)


def make_rhythm(shared: Shared) -> Array:
    """Return the log power of the ECG at 1 to 100 Hz, (1, 100, time), each standardised."""
    x = resample_poly(shared.heart, 200, ECG_RATE)[:12000]
    power = spectrogram(x, 200, nperseg=200, noverlap=100)[2][1:]
    return standardise(np.log10(power + 1e-12), axis=-1)[None]


def make_beats(shared: Shared) -> Array:
    """Return twelve statistics of the intervals between beats within three spans, (1, 9, 36)."""
    peaks, _ = find_peaks(standardise(shared.heart), height=2, distance=ECG_RATE // 3)
    times, gaps = peaks[1:] / ECG_RATE, np.diff(peaks) / ECG_RATE
    centres = np.arange(9) * 30.0 + 30
    rows = [
        np.concatenate([_statistics(gaps[np.abs(times - c) <= s / 2]) for s in (60, 120, 240)])
        for c in centres
    ]
    return standardise(np.array(rows), axis=0)[None]


def _statistics(nn: Array) -> list[float]:
    d = np.diff(nn)
    rmssd = np.sqrt(np.mean(d**2))
    return [
        nn.mean(), nn.max(), nn.min(), np.ptp(nn), nn.std(), rmssd, d.std(), np.median(nn),
        np.mean(np.abs(d) > 0.05), np.mean(np.abs(d) > 0.02), rmssd / nn.mean(),
        nn.std() / nn.mean(),
    ]  # fmt: skip


def make_text(_: Shared) -> Array:
    """Return the first and the last 1024 bytes of this project's README."""
    raw = (Path(__file__).parents[1] / "README.md").read_bytes().strip()
    return np.frombuffer(raw[:1024] + raw[-1024:], np.uint8).astype(np.int32)[None]


def make_crepe(shared: Shared) -> Array:
    return standardise(cut_loudest(shared.clip("trumpet", 16000), 1024))[None]
