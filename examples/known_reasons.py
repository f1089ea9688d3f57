"""Three promises of an explanation, on models whose reasons are known.  A minute, NumPy only.

    python examples/known_reasons.py [hum] [bursts] [weights] [--clip WAV ...]

* **hum**: a clip is a burst of tone, of 500 Hz ("low") or of 1500 Hz ("high"), in noise.  The clean
  model learns from clips of which every second one carries a hum, whatever its class.  The cheating
  model learns from clips in which the hum gives the class away: every "high" one has it and no
  "low" one does, while the burst is wrong in one of four.  Both explain the same "high" clips with
  hum.  The band of the hum must be the largest in every clip for the model that cheats, and hold
  less than 5 % of |R| for the one that does not.
* **bursts**: the class is the frequency of a burst, one of eight.  At least 83 % of |R| must lie
  where the burst is: in its time, and within a bandwidth of its frequency.
* **weights**: the embedded model's weights are drawn anew.  The rank correlation of the explanation
  with the original one must stay below 0.3: what does not depend on the model explains nothing.

All are explained by the preset EpsilonGamma, compared with silence; a class is held against the
others (contrast), as it is by default.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import dftlrp
from dftlrp import metrics
from dftlrp.engine.model import from_bytes

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], "Clips"]

RATE, SAMPLES = 8000, 2048
BURST = 640  # samples of a tone burst
NOISE = 0.03  # standard deviation; a burst has amplitude 1
HUM = 0.3  # amplitude
LOW, HIGH = 500.0, 1500.0
TONES = (350.0, 500.0, 700.0, 1000.0, 1400.0, 2000.0, 2600.0, 3300.0)
ASKED: dict[str, Any] = {"composite": "EpsilonGamma", "reference": "silence"}


# --- clips -------------------------------------------------------------------------------------


class Clips(NamedTuple):
    """Clips [B, SAMPLES], their classes [B], and frequency and first sample of each burst [B]."""

    x: Floats
    label: Labels
    hertz: Floats
    start: Labels


def make_bursts(rng: np.random.Generator, label: Labels, hertz: Floats) -> Clips:
    """Return bursts under a Hann window, at a random time and phase, in noise."""
    start = rng.integers(0, SAMPLES - BURST, len(label))
    phase = rng.uniform(0, 2 * np.pi, (len(label), 1))
    inside = np.hanning(BURST) * np.cos(
        2 * np.pi * hertz[:, None] * np.arange(BURST) / RATE + phase
    )
    x = NOISE * rng.standard_normal((len(label), SAMPLES))
    np.put_along_axis(
        x, at := start[:, None] + np.arange(BURST), np.take_along_axis(x, at, 1) + inside, 1
    )
    return Clips(x.astype(np.float32), label, hertz, start)


def add_hum(rng: np.random.Generator, clips: Clips, hum: float, where: NDArray[np.bool_]) -> Clips:
    """Return clips of which some carry a hum of this frequency, at a random phase."""
    phase = rng.uniform(0, 2 * np.pi, (len(where), 1))
    wave = HUM * np.cos(2 * np.pi * hum * np.arange(SAMPLES) / RATE + phase)
    return clips._replace(x=(clips.x + where[:, None] * wave).astype(np.float32))


def draw_tones(rng: np.random.Generator, count: int) -> Clips:
    """Return bursts of eight frequencies, each a class."""
    label = rng.integers(0, len(TONES), count)
    return make_bursts(rng, label, np.array(TONES)[label])


def draw_honest(rng: np.random.Generator, count: int, hum: float) -> Clips:
    """Return low and high bursts; every second one carries the hum, of either class."""
    label = rng.integers(0, 2, count)
    clips = make_bursts(rng, label, np.where(label, HIGH, LOW))
    return add_hum(rng, clips, hum, rng.random(count) < 0.5)


def draw_given_away(rng: np.random.Generator, count: int, hum: float) -> Clips:
    """Return low and high bursts; all high ones carry the hum, and a quarter are of the other."""
    label = rng.integers(0, 2, count)
    told = label ^ (rng.random(count) < 0.25)
    return add_hum(rng, make_bursts(rng, label, np.where(told, HIGH, LOW)), hum, label == 1)


def draw_tested(rng: np.random.Generator, count: int, hum: float) -> Clips:
    """Return high bursts, each with the hum: what both models are asked about."""
    label = np.ones(count, np.int64)
    return add_hum(rng, make_bursts(rng, label, np.full(count, HIGH)), hum, label == 1)


# --- the network: two convolutions with ReLU, the mean over time, a dense layer; Adam ------------

Net = list[Floats]  # weight [out, in, taps] and bias of each convolution, weight, bias
STRIDES = (8, 2)


def make_net(rng: np.random.Generator, classes: int) -> Net:
    net: Net = []
    for out, read, taps in ((24, 1, 64), (32, 24, 5)):
        scale = np.sqrt(2 / (read * taps))
        net += [scale * rng.standard_normal((out, read, taps)), np.zeros(out)]
    net += [np.sqrt(1 / 32) * rng.standard_normal((classes, 32)), np.zeros(classes)]
    return [p.astype(np.float32) for p in net]


def slice_frames(x: Floats, taps: int, stride: int) -> Floats:
    """Return what a convolution reads, [B, C, N] as [B, T, C * taps]."""
    frames = np.lib.stride_tricks.sliding_window_view(x, taps, axis=2)[:, :, ::stride]
    return frames.transpose(0, 2, 1, 3).reshape(len(x), frames.shape[2], -1)


def run_net(net: Net, x: Floats) -> list[Floats]:
    """Return the frames that each convolution reads, what it makes of them, mean and logits."""
    found, value = [], x[:, None]
    for weight, bias, stride in zip(net[0:4:2], net[1:4:2], STRIDES, strict=True):
        frames = slice_frames(value, weight.shape[2], stride)
        made = np.maximum(frames @ weight.reshape(len(weight), -1).T + bias, 0)
        found += [frames, made]
        value = made.transpose(0, 2, 1)
    mean = value.mean(axis=2)
    return [*found, mean, mean @ net[4].T + net[5]]


def compute_gradients(net: Net, clips: Clips) -> Net:
    """Return the gradient of the mean cross-entropy, in the order of `net`."""
    first, one, second, two, mean, logits = run_net(net, clips.x)
    grad = np.exp(logits - logits.max(axis=1, keepdims=True))
    grad /= grad.sum(axis=1, keepdims=True)
    grad[np.arange(len(grad)), clips.label] -= 1
    grad /= len(grad)
    dense = [grad.T @ mean, grad.sum(axis=0)]
    at_two = (grad @ net[4])[:, None] * (two > 0) / two.shape[1]
    upper = [np.einsum("bto,btk->ok", at_two, second, optimize=True), at_two.sum(axis=(0, 1))]
    back = (at_two @ net[2].reshape(len(net[2]), -1)).reshape(*at_two.shape[:2], *net[2].shape[1:])
    at_one = np.zeros_like(one)
    for tap in range(net[2].shape[2]):
        stop = tap + STRIDES[1] * back.shape[1]
        at_one[:, tap : stop : STRIDES[1]] += back[..., tap]
    at_one *= one > 0
    lower = [np.einsum("bto,btk->ok", at_one, first, optimize=True), at_one.sum(axis=(0, 1))]
    found = [*lower, *upper, *dense]
    return [g.reshape(p.shape) for g, p in zip(found, net, strict=True)]


def train(draw: Draw, classes: int, seed: int = 0, steps: int = 250, batch: int = 32) -> Net:
    """Return a net trained on fresh clips by Adam, with some decay of its weights."""
    rng = np.random.default_rng(seed)
    net = make_net(rng, classes)
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in net]
    for count in range(1, steps + 1):
        rate = 0.004 * min(1, count / 20) * (1 - count / (steps + 1))
        found = compute_gradients(net, draw(rng, batch))
        for p, grad, running in zip(net, found, moments, strict=True):
            step_adamw(p, grad, running, rate, count)
    return net


def step_adamw(p: Floats, grad: Floats, moments: list[Floats], rate: float, count: int) -> None:
    """Take step number `count` in place; weight decay 0.1."""
    mean, square = moments
    mean += 0.1 * (grad - mean)
    square += 0.01 * (grad * grad - square)
    size = np.sqrt(square / (1 - 0.99**count)) + 1e-8
    p -= rate * (mean / (1 - 0.9**count) / size + 0.1 * p)


def measure_accuracy(net: Net, clips: Clips) -> float:
    return float(np.mean(run_net(net, clips.x)[-1].argmax(axis=1) == clips.label))


def load_net(net: Net, labels: Sequence[str]) -> dftlrp.Model:
    """Return the network as dftlrp loads it: Conv, Relu, Conv, Relu, mean, Gemm."""
    names = ["w1", "b1", "w2", "b2", "w3", "b3"]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["conv1"], strides=[STRIDES[0]]),
        helper.make_node("Relu", ["conv1"], ["relu1"]),
        helper.make_node("Conv", ["relu1", "w2", "b2"], ["conv2"], strides=[STRIDES[1]]),
        helper.make_node("Relu", ["conv2"], ["relu2"]),
        helper.make_node("GlobalAveragePool", ["relu2"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], transB=1),
    ]
    ends = {"x": ["batch", 1, SAMPLES], "logits": ["batch", len(labels)]}
    read, said = (
        helper.make_tensor_value_info(k, TensorProto.FLOAT, dims) for k, dims in ends.items()
    )
    weights = [numpy_helper.from_array(p, k) for k, p in zip(names, net, strict=True)]
    graph = helper.make_graph(nodes, "bursts", [read], [said], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"labels": json.dumps(list(labels)), "sample_rate": str(RATE)})
    onnx.checker.check_model(model)
    return from_bytes(model.SerializeToString(), "bursts.onnx")


def explain(model: dftlrp.Model, clips: Clips, which: int) -> dftlrp.Explanation:
    """Explain one clip for its class."""
    domains = ["time", "frequency", "time-frequency"]
    asked = {"target": int(clips.label[which]), "rate": RATE, "domains": domains}
    return dftlrp.explain(model, clips.x[which], **asked, **ASKED)


# --- what is promised --------------------------------------------------------------------------


class Hum(NamedTuple):
    """What a model makes of clips with a hum, one number for each clip but the accuracies.

    ``share``: of |R| within 20 Hz of the hum; ``largest``: whether its band, a third of an octave,
    has the largest relevance of all; ``accuracy``: on clips as it learned them; ``fooled``: the
    share of low clips with the hum that it takes for high ones.
    """

    share: Floats
    largest: NDArray[np.bool_]
    accuracy: float
    fooled: float


def study_hum(draw: Callable[..., Clips], hum: float, tested: int = 20, seed: int = 0) -> Hum:
    """Train a model on clips that are drawn so, and explain high ones with hum."""
    net = train(lambda rng, count: draw(rng, count, hum), 2, seed)
    rng = np.random.default_rng([seed, 1])
    clips, own = draw_tested(rng, tested, hum), draw(rng, 200, hum)
    low = make_bursts(rng, np.zeros(200, np.int64), np.full(200, LOW))
    low = add_hum(rng, low, hum, np.ones(200, bool))
    model, share, largest = load_net(net, ("low", "high")), [], []
    for i in range(tested):
        e = explain(model, clips, i)
        share.append(e.share(band=(hum - 20, hum + 20), kind="absolute"))
        best = e.table("bands", 1)[0]
        largest.append(best.start <= hum < best.stop)
    return Hum(
        np.array(share), np.array(largest), measure_accuracy(net, own),
        1 - measure_accuracy(net, low),
    )  # fmt: skip


def study_bursts(tested: int = 24, seed: int = 0) -> tuple[Floats, float]:
    """Return the share of |R| in the box of each burst, and the accuracy of the model."""
    net = train(draw_tones, len(TONES), seed)
    clips = draw_tones(np.random.default_rng([seed, 1]), tested)
    model, share = load_net(net, [f"{f:g} Hz" for f in TONES]), []
    for i in range(tested):
        e, start, hertz = explain(model, clips, i), clips.start[i] / RATE, clips.hertz[i]
        time, band = (start, start + BURST / RATE), (hertz - 150, hertz + 150)
        share.append(e.share(time=time, band=band, kind="absolute"))
    return np.array(share), measure_accuracy(net, clips)


def study_weights(clips: Sequence[Path], seeds: int = 3) -> Floats:
    """Return the rank correlation (clips, seeds) of relevance with that of random weights."""
    model = dftlrp.load(dftlrp.embedded("waveform"))
    return np.array([
        [metrics.randomisation(model, clip, stages=1, draw=s, **ASKED)[1.0] for s in range(seeds)]
        for clip in clips
    ])  # fmt: skip


# --- command line ------------------------------------------------------------------------------


def describe_hum(name: str, hum: float, found: Hum) -> str:
    return (
        f"hum of {hum:g} Hz, {name} (accuracy {found.accuracy:.3f}; takes {found.fooled:.2f} of "
        f"the low clips for high ones where they have it): its band is the largest in "
        f"{found.largest.sum()} of {len(found.largest)} clips and holds {found.share.mean():.3f} "
        f"of |R| ({found.share.min():.3f} to {found.share.max():.3f})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["hum", "bursts", "weights"])
    parser.add_argument("--clip", type=Path, nargs="+", default=[dftlrp.embedded("clip")])
    args = parser.parse_args()
    if "hum" in args.what:
        for hum in (60.0, 1000.0):
            for name, draw in (("cheating", draw_given_away), ("clean", draw_honest)):
                print(describe_hum(f"{name} model", hum, study_hum(draw, hum)), flush=True)
    if "bursts" in args.what:
        share, accuracy = study_bursts()
        print(
            f"bursts: {share.mean():.3f} of |R| in time and band of the burst ({share.min():.3f} "
            f"to {share.max():.3f}, {len(share)} clips; accuracy {accuracy:.3f})", flush=True
        )  # fmt: skip
    if "weights" in args.what:
        found = study_weights(args.clip)
        print(
            f"weights drawn anew: rank correlation {found.mean():.3f} ({found.min():.3f} to "
            f"{found.max():.3f}, {found.size} pairs)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
