"""Where is the reason: in time or in frequency?  The tutorial of the DFT-LRP paper, in a minute.

    python examples/synthetic_tones.py --out OUT

A signal is a sum of 10 to 49 tones, each with a whole number k of 1 to 63 cycles and a random
phase, and some noise.  Four numbers are decisive, k* = 5, 16, 32 and 53: the class of a signal is
which of these four it contains (16 classes).  A small network learns that from the waveform, so
the right answer to "why this class?" is known: *because of the tones 5 and 32*, say.

Layer-wise relevance propagation first answers in the network's own input, in time: how much did
sample x_n contribute to the class, R_n = x_n m_n (the rules return the multiplier m).  A tone lasts
for the whole signal, so R is spread over all of it and shows nothing.  The virtual inspection layer
of "Explainable AI for Time Series via Virtual Inspection Layers" (arXiv 2303.06365) puts an inverse
Fourier transform in front of the network, which does not change its output, and carries the
relevance one layer further, to the frequencies:

    R_k = w_k Re(Y_k conj(C_k)),   Y = rfft(x),  C = rfft(m),  both orthonormal,

w_k = 2 for every bin but the first and the last (each also stands for its mirror image).  Nothing
is lost, sum R_k = sum R_n, but now few bins carry all relevance: those of the decisive tones.

The table measures this over many signals that the network has not seen.  K is the number of
decisive tones in a signal; signals with none are left out.

* RRA, relevance rank accuracy: the share of the K most relevant bins that are decisive tones;
* RMA, relevance mass accuracy: the share of the positive relevance that lies on them;
* spread: exp(entropy of |R|) as a share of the samples, or bins: 100 % is relevance everywhere.

Amplitude and random numbers, which do not depend on the network, serve for comparison.  Two choices
matter:

* what is explained: softmax ignores what all logits have in common, but the relevance of a logit
  contains it; that of a contrast (the class minus the mean of the others) does not.  The rows
  "other offset" are a network with the same predictions and another common part;
* which rule: zplus ignores negative contributions, so it gives relevance to every loud tone.

"Against silence" is what is taken by default: the preset EpsilonGamma, compared with silence.

OUT/tones-NOISE.png shows one signal and the relevance of its contrast in all three domains.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import dftlrp
from dftlrp.results import figure, panels
from dftlrp.spectral import DftRelevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

DECISIVE = np.array([5, 16, 32, 53])
TONES = np.arange(1, 64)
LABELS = tuple(
    " + ".join(str(k) for i, k in enumerate(DECISIVE) if label >> i & 1) or "none"
    for label in range(2 ** len(DECISIVE))
)
SHOWN = 70  # bins in the figure


@dataclass(frozen=True)
class Setup:
    """One network and what it is tested on.

    Attributes
    ----------
    noise : standard deviation of the noise; a tone has amplitude 1.
    samples : length N of a signal.
    hidden : widths of the hidden layers.
    steps, batch : of the training, always on fresh signals.
    tested : number of signals that are explained.
    """

    noise: float = 0.01
    samples: int = 2560
    hidden: tuple[int, ...] = (64, 64)
    steps: int = 1000
    batch: int = 64
    tested: int = 300
    seed: int = 0


# --- signals -----------------------------------------------------------------------------------


class Signals(NamedTuple):
    """Signals [B, N], their classes [B] and which tones [B, 63] are in them."""

    x: Floats
    label: NDArray[np.int64]
    tones: Bools

    @property
    def decisive(self) -> Bools:
        """The right answer, [B, N // 2 + 1]: the bins of the decisive tones in each signal."""
        bins = np.zeros((len(self.x), self.x.shape[1] // 2 + 1), bool)
        bins[:, DECISIVE] = self.tones[:, DECISIVE - 1]
        return bins


def draw_tones(rng: np.random.Generator, count: int) -> Bools:
    """Return [count, 63]: 10 to 49 different tones, the decisive ones 1.2 times as likely."""
    weight = np.where(np.isin(TONES, DECISIVE), 1.2, 1.0)
    arrival = rng.exponential(size=(count, len(TONES))) / weight
    rank = arrival.argsort(axis=1).argsort(axis=1)
    return np.asarray(rank < rng.integers(10, 50, (count, 1)))


def make_signals(rng: np.random.Generator, count: int, setup: Setup) -> Signals:
    """Return sums of cos(2 pi k n / N + phase) and noise, made by one inverse FFT."""
    tones = draw_tones(rng, count)
    phase = 2 * np.pi * rng.random(tones.shape)
    spectrum = np.zeros((count, setup.samples // 2 + 1), complex)
    spectrum[:, TONES] = tones * np.exp(1j * phase) * setup.samples / 2
    x = np.fft.irfft(spectrum, setup.samples).astype(np.float32)
    x += np.float32(setup.noise) * rng.standard_normal(x.shape, dtype=np.float32)
    label = tones[:, DECISIVE - 1] @ 2 ** np.arange(len(DECISIVE))
    return Signals(x, label, tones)


# --- the network: dense layers with ReLU, trained with AdamW -----------------------------------

Net = list[Floats]  # weight [in, out], bias [out], weight, bias, ...


def make_net(rng: np.random.Generator, sizes: tuple[int, ...]) -> Net:
    net: Net = []
    for i, (size, width) in enumerate(pairwise(sizes)):
        scale = np.sqrt(2 / size) * (0.1 if i == 0 else 1)
        net += [scale * rng.standard_normal((size, width)), np.zeros(width)]
    return [p.astype(np.float32) for p in net]


def run_net(net: Net, x: Floats) -> list[Floats]:
    """Return what every layer reads, and the logits at the end."""
    read = [x]
    for weight, bias in zip(net[:-2:2], net[1:-2:2], strict=True):
        read.append(np.maximum(read[-1] @ weight + bias, 0))
    return [*read, read[-1] @ net[-2] + net[-1]]


def compute_gradients(net: Net, signals: Signals) -> list[Floats]:
    """Return the gradient of the mean cross-entropy, in the order of `net`."""
    *read, logits = run_net(net, signals.x)
    grad = np.exp(logits - logits.max(axis=1, keepdims=True))
    grad /= grad.sum(axis=1, keepdims=True)
    grad[np.arange(len(grad)), signals.label] -= 1
    grad /= len(grad)
    found: list[Floats] = []
    for i in reversed(range(len(read))):
        found = [read[i].T @ grad, grad.sum(axis=0), *found]
        if i > 0:
            grad = (grad @ net[2 * i].T) * (read[i] > 0)
    return found


def step_adamw(p: Floats, grad: Floats, moments: list[Floats], rate: float, count: int) -> None:
    """Take step number `count` in place; weight decay 3."""
    mean, square = moments
    mean += 0.1 * (grad - mean)
    square += 0.01 * (grad * grad - square)
    size = np.sqrt(square / (1 - 0.99**count)) + 1e-8
    p -= rate * (mean / (1 - 0.9**count) / size + 3 * p)


def train(setup: Setup) -> Net:
    """Return a net trained on `steps` batches; the rate rises for 50 and then falls to zero."""
    rng = np.random.default_rng(setup.seed)
    net = make_net(rng, (setup.samples, *setup.hidden, len(LABELS)))
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in net]
    for count in range(1, setup.steps + 1):
        rate = 0.001 * min(1, count / 50) * (1 + math.cos(math.pi * count / setup.steps))
        found = compute_gradients(net, make_signals(rng, setup.batch, setup))
        for p, grad, running in zip(net, found, moments, strict=True):
            step_adamw(p, grad, running, rate, count)
    return net


def add_offset(net: Net) -> Net:
    """Return a net with the same predictions: all its logits get the same on top."""
    weight = net[-2]
    same = np.random.default_rng(0).standard_normal((len(weight), 1)).astype(np.float32)
    return [*net[:-2], weight + weight.std() * same, net[-1]]


def build_onnx(net: Net) -> onnx.ModelProto:
    """Return the network as a file that anybody can read: Gemm, Relu, ..., Gemm."""
    nodes, weights, value, layers = [], [], "signal", len(net) // 2
    for i in range(1, layers + 1):
        names = [f"dense{i}.weight", f"dense{i}.bias"]
        weights += [numpy_helper.from_array(net[2 * i - 2 + j], names[j]) for j in (0, 1)]
        out = "logits" if i == layers else f"dense{i}"
        nodes.append(helper.make_node("Gemm", [value, *names], [out]))
        if i < layers:
            value = f"relu{i}"
            nodes.append(helper.make_node("Relu", [out], [value]))
    ends = {"signal": len(net[0]), "logits": len(net[-1])}
    read, said = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in ends.items()
    )
    graph = helper.make_graph(nodes, "tones", [read], [said], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"labels": json.dumps(LABELS)})
    onnx.checker.check_model(model)
    return model


def load_net(net: Net) -> dftlrp.Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tones.onnx"
        onnx.save(build_onnx(net), path)
        return dftlrp.load(path)


# --- explanations ------------------------------------------------------------------------------


class Explained(NamedTuple):
    """A batch explained: in time, and carried to frequency."""

    time: dftlrp.Attribution
    frequency: DftRelevance

    @property
    def in_time(self) -> Floats:
        """R_n, [B, N]."""
        return np.asarray(self.time.relevance)

    @property
    def error(self) -> float:
        """Largest |sum R_k - sum R_n| / sum |R_n| of any signal."""
        left = self.frequency.relevance.sum(axis=1) + self.frequency.rest - self.in_time.sum(axis=1)
        return float(np.max(abs(left) / abs(self.in_time).sum(axis=1)))


def explain(
    model: dftlrp.Model, signals: Signals, seed: str, composite: str = "Epsilon", **rules: str
) -> Explained:
    """Explain each signal's true class; `rules` overrides the composite, as in ``Gemm="zplus"``.

    EpsilonGamma compares with silence.
    """
    a = dftlrp.attribute(
        model,
        signals.x,
        target=signals.label.tolist(),
        seed=seed,
        composite=composite,
        overrides=rules,
        backend="numpy",
        reference="silence" if composite == "EpsilonGamma" else None,
    )
    assert isinstance(a.multiplier, np.ndarray)
    return Explained(a, dftlrp.dft_lrp(signals.x, multiplier=a.multiplier))


# --- scores ------------------------------------------------------------------------------------


def measure_rank_accuracy(relevance: Floats, truth: Bools) -> float:
    """Return RRA, the share of the K most relevant bins that are true; mean over signals."""
    count = truth.sum(axis=1)
    rank = (-relevance).argsort(axis=1).argsort(axis=1)
    hits = (truth & (rank < count[:, None])).sum(axis=1)
    return float(np.mean(hits[count > 0] / count[count > 0]))


def measure_mass_accuracy(relevance: Floats, truth: Bools) -> float:
    """Return RMA, the share of the positive relevance that lies on true bins; mean over signals."""
    some = truth.any(axis=1)
    positive = np.maximum(relevance[some], 0)
    return float(np.mean((positive * truth[some]).sum(axis=1) / positive.sum(axis=1)))


def measure_spread(relevance: Floats) -> float:
    """Return exp(entropy of |R|) / N, the share of samples or bins that carry relevance; mean."""
    share = np.abs(relevance) / np.abs(relevance).sum(axis=1, keepdims=True)
    entropy = -(share * np.log(share + np.finfo(float).tiny)).sum(axis=1)
    return float(np.mean(np.exp(entropy)) / relevance.shape[1])


class Row(NamedTuple):
    """One line of the table."""

    noise: float
    name: str
    rra: float
    rma: float
    time_spread: float
    frequency_spread: float

    def __str__(self) -> str:
        shares = f"{100 * self.time_spread:.0f} % | {100 * self.frequency_spread:.2g} %"
        return f"| {self.noise:g} | {self.name} | {self.rra:.3f} | {self.rma:.3f} | {shares} |"


def score(noise: float, name: str, in_time: Floats, in_frequency: Floats, truth: Bools) -> Row:
    accuracies = (
        measure_rank_accuracy(in_frequency, truth),
        measure_mass_accuracy(in_frequency, truth),
    )
    return Row(noise, name, *accuracies, measure_spread(in_time), measure_spread(in_frequency))


class Study(NamedTuple):
    """What came out for one network.

    Attributes
    ----------
    accuracy : of the network, on the signals that were explained.
    rows : of the table.
    error, gap : largest conservation error from time to frequency, and within the network.
    arrived : share of the seed that arrives at the input; biases absorb the rest.
    plus : largest difference between EpsilonPlus and Epsilon.
    signals, explained : what the figure shows; the contrast.
    """

    accuracy: float
    rows: list[Row]
    error: float
    gap: float
    arrived: float
    plus: float
    signals: Signals
    explained: Explained


def explain_all(net: Net, signals: Signals) -> dict[str, Explained]:
    model, shifted = load_net(net), load_net(add_offset(net))
    return {
        "epsilon, logit": explain(model, signals, "logit"),
        "epsilon, logit, other offset": explain(shifted, signals, "logit"),
        "epsilon, contrast": explain(model, signals, "contrast"),
        "against silence, contrast": explain(model, signals, "contrast", "EpsilonGamma"),
        "epsilon, contrast, other offset": explain(shifted, signals, "contrast"),
        "zplus, contrast": explain(model, signals, "contrast", Gemm="zplus"),
        "EpsilonPlus": explain(model, signals, "contrast", "EpsilonPlus"),
    }


def make_references(signals: Signals, seed: int) -> dict[str, tuple[Floats, Floats]]:
    """Return maps that do not depend on the network, in time and in frequency."""
    x, rng = signals.x.astype(float), np.random.default_rng([seed, 2])
    amplitude = np.abs(x), np.abs(np.fft.rfft(x))
    return {
        "*amplitude*": amplitude,
        "*random*": (rng.random(amplitude[0].shape), rng.random(amplitude[1].shape)),
    }


def run_study(setup: Setup) -> Study:
    """Train a network, explain unseen signals in several ways and score them."""
    signals = make_signals(np.random.default_rng([setup.seed, 1]), setup.tested, setup)
    found = explain_all(train(setup), signals)
    plus, best = found.pop("EpsilonPlus"), found["epsilon, contrast"]
    maps = {name: (e.in_time, e.frequency.relevance) for name, e in found.items()}
    maps |= make_references(signals, setup.seed)
    return Study(
        accuracy=float(np.mean(best.time.output.argmax(axis=1) == signals.label)),
        rows=[score(setup.noise, name, *both, signals.decisive) for name, both in maps.items()],
        error=max(e.error for e in found.values()),
        gap=max(e.time.ledger.gap for e in found.values()),
        arrived=float(best.in_time.sum() / best.time.seed.sum()),
        plus=float(np.max(np.abs(plus.in_time - best.in_time))),
        signals=signals,
        explained=best,
    )


# --- figure ------------------------------------------------------------------------------------


def draw(signals: Signals, explained: Explained, which: int) -> Figure:
    """Draw one signal and its relevance, in time, frequency and time-frequency."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11.5, 5.0), dpi=100, layout="constrained", facecolor="white")
    fig.get_layout_engine().set(rect=(0, 0, 0.985, 1), w_pad=0.08)  # type: ignore[union-attr, call-arg]
    grid = fig.subplots(2, 3, width_ratios=(1, 1.1, 1))
    x, y, truth = signals.x[which], explained.frequency, signals.decisive[which]
    draw_time(grid[:, 0], x, explained.in_time[which])
    draw_frequency(grid[:, 1], np.abs(y.spectrum[which]), y.relevance[which], truth)
    draw_cells(grid[:, 2], x, np.asarray(explained.time.multiplier)[which], truth)
    for axes in grid.flat:
        axes.tick_params(labelsize=8, colors=panels.INK, length=2.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(panels.GRID)
    why = f"Why “{LABELS[signals.label[which]]}”?  The same relevance, three times"
    fig.suptitle(why, fontsize=12, fontweight="bold", color=panels.INK)
    legend = "red: supports the class   ·   blue: opposes it   ·   triangles: the decisive tones, "
    fig.supxlabel(legend + "filled if in this signal", fontsize=8, color=panels.INK)
    return fig


def label_axes(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5, color=panels.INK)
    axes.set_xlabel(x, fontsize=8.5, color=panels.INK)
    axes.set_ylabel(y, fontsize=8.5, color=panels.INK)


def mark_tones(axes: Axes, x: Any, y: Any, truth: Bools, marker: str) -> None:
    """Put a triangle for each decisive tone, filled where it is in the signal."""
    face = [panels.INK if truth[k] else "white" for k in DECISIVE]
    line = {"edgecolors": panels.INK, "linewidths": 0.8}
    axes.scatter(x, y, 26, face, marker=marker, clip_on=False, **line)  # type: ignore[arg-type]


def draw_time(column: NDArray[Any], x: Floats, relevance: Floats) -> None:
    column[0].plot(x, color=panels.INK, linewidth=0.5)
    edges = np.arange(len(x) + 1) - 0.5
    for low, high, colour in ((0, np.inf, panels.POSITIVE), (-np.inf, 0, panels.NEGATIVE)):
        column[1].stairs(relevance.clip(low, high), edges, fill=True, color=colour)
    label_axes(column[0], "signal", "sample n", "amplitude")
    label_axes(column[1], f"in time: sum {relevance.sum():.3f}", "sample n", "relevance $R_n$")
    for axes in column:
        axes.axhline(0, color=panels.INK, linewidth=0.4)
        axes.set_xlim(edges[0], edges[-1])


def draw_frequency(column: NDArray[Any], size: Floats, relevance: Floats, truth: Bools) -> None:
    colours = np.where(relevance > 0, panels.POSITIVE, panels.NEGATIVE)
    column[0].bar(np.arange(SHOWN), size[:SHOWN], color=panels.INK)
    column[1].bar(np.arange(SHOWN), relevance[:SHOWN], color=colours[:SHOWN])
    total = f"in frequency: sum {relevance.sum():.3f}"
    label_axes(column[0], "spectrum", "cycles per signal k", "amplitude $|Y_k|$")
    label_axes(column[1], total, "cycles per signal k", "relevance $R_k$")
    for axes in column:
        low, high = axes.get_ylim()
        low = min(0, low) - 0.1 * high
        axes.set(xlim=(-0.5, SHOWN - 0.5), ylim=(low, high), xticks=[0, *DECISIVE])
        axes.axhline(0, color=panels.INK, linewidth=0.4)
        mark_tones(axes, DECISIVE, np.full(len(DECISIVE), low + 0.05 * high), truth, "^")


def draw_cells(column: NDArray[Any], x: Floats, multiplier: Floats, truth: Bools) -> None:
    """Draw the spectrogram and its relevance.

    The windows are long, as the tones are close, but still shorter than the signal: the
    neighbours of a missing decisive tone leak into its place, for and against in turn.
    """
    n_fft = 2 ** int(np.log2(0.4 * len(x)))
    cells = dftlrp.stft_lrp(x, multiplier=multiplier, n_fft=n_fft, hop=n_fft // 16)
    k = np.arange(2 + SHOWN * n_fft // len(x)) * len(x) / n_fft
    power, most = np.abs(cells.spectrum) ** 2, float(np.max(np.abs(cells.relevance)))
    style = {"shading": "nearest", "rasterized": True}
    column[0].pcolormesh(cells.domain.times, k, power[: len(k)], cmap="Greys", **style)
    style |= {"cmap": panels.make_colours(), "vmin": -most, "vmax": most}
    column[1].pcolormesh(cells.domain.times, k, cells.relevance[: len(k)], **style)
    total = f"in time-frequency: sum {cells.relevance.sum() + cells.rest:.3f}"
    for axes, title in zip(column, ("spectrogram", total), strict=True):
        label_axes(axes, title, "sample n", "cycles per signal k")
        axes.set(xlim=(0, len(x)), ylim=(0, SHOWN), yticks=[0, *DECISIVE])
        mark_tones(axes, np.full(len(DECISIVE), 1.025 * len(x)), DECISIVE, truth, "<")


def choose_signal(result: Study) -> int:
    """Return which signal to draw: the first with two decisive tones that was recognised."""
    known = result.explained.time.output.argmax(axis=1) == result.signals.label
    return int(np.argmax(known & (result.signals.decisive.sum(axis=1) == 2)))


# --- command line ------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("synthetic-tones"), help="folder")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.8])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def describe_study(noise: float, result: Study, seconds: float) -> str:
    return (
        f"noise {noise:g}: accuracy {result.accuracy:.3f} ({seconds:.0f} s); conservation error "
        f"{result.gap:.0e} in the network and {result.error:.0e} from time to frequency; "
        f"{100 * result.arrived:.1f} % of the contrast reaches the input, biases absorb the rest; "
        f"EpsilonPlus differs from Epsilon by {result.plus:g} (there is no convolution)"
    )


def main() -> int:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for noise in args.noise:
        began = time.perf_counter()
        result = run_study(replace(Setup(seed=args.seed), noise=noise))
        print(describe_study(noise, result, time.perf_counter() - began), flush=True)
        rows += result.rows
        path = args.out / f"tones-{noise:g}.png"
        figure.save_figure(draw(result.signals, result.explained, choose_signal(result)), path)
        print(path)
    print("\n| noise | relevance | RRA | RMA | spread in time | spread in frequency |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
