"""Where is the reason: in time or in frequency?  The tutorial of the DFT-LRP paper, in a minute.

    python examples/synthetic_tones.py --out OUT

A signal is a sum of 10 to 49 tones, each with a whole number k of 1 to 63 cycles and a random
phase, and some noise.  Four numbers are decisive, k* = 5, 16, 32 and 53: the class of a signal is
which of these four it contains (16 classes).  A small network learns that from the waveform, so
everybody knows the right answer to "why this class?": *because of the tones 5 and 32*, say.

Layer-wise relevance propagation first answers in the network's own input, in time: how much did
sample x_n speak for the class, R_n = x_n m_n (m, the multiplier, is what the rules hand back).  A
tone that is there all the time is nowhere in particular, so R is spread over the whole signal and
tells nothing.  The virtual inspection layer of "Explainable AI for Time Series via Virtual
Inspection Layers" (arXiv 2303.06365) puts an inverse Fourier transform in front of the network,
which changes nothing, and carries the relevance one layer further, to the frequencies:

    R_k = w_k Re(Y_k conj(C_k)),   Y = rfft(x),  C = rfft(m),  both orthonormal,

w_k = 2 for every bin but the first and the last (each stands for its mirror image too).  Nothing
is lost, sum R_k = sum R_n; but now few bins carry it all, and they are the decisive tones.

The table says how well, over many signals that the network has not seen; K is the number of
decisive tones in a signal (signals with none are left out):

* RRA, relevance rank accuracy: the share of the K most relevant bins that are decisive tones;
* RMA, relevance mass accuracy: the share of the positive relevance that lies on them;
* spread: exp(entropy of |R|) as a share of the samples, or bins: 100 % is relevance everywhere.

Amplitude and random numbers, which know no network, are there to compare with.  Needs no torch.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import dftlrp
from dftlrp import plot
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
    """Return [count, 63]: 10 to 49 tones without repetition, the decisive ones 1.2 times as likely."""
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


# --- the network: dense layers with ReLU, trained with AdamW ---------------------------------------


@dataclass
class Parameter:
    """An array with its gradient's running mean and running mean square."""

    value: Floats
    mean: Floats = field(init=False)
    square: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.square = np.zeros_like(self.value), np.zeros_like(self.value)

    def step(self, gradient: Floats, rate: float, count: int, decay: float = 3.0) -> None:
        """Take one step of AdamW, the count-th."""
        self.mean += np.float32(0.1) * (gradient - self.mean)
        self.square += np.float32(0.01) * (gradient * gradient - self.square)
        size = np.sqrt(self.square / np.float32(1 - 0.99**count)) + np.float32(1e-8)
        move = self.mean / np.float32(1 - 0.9**count) / size
        self.value -= np.float32(rate) * (move + np.float32(decay) * self.value)


Net = list[tuple[Parameter, Parameter]]  # weight [in, out] and bias [out] of each layer


def new_net(rng: np.random.Generator, sizes: tuple[int, ...]) -> Net:
    def layer(i: int, width: int) -> tuple[Parameter, Parameter]:
        scale = np.sqrt(2 / sizes[i]) * (0.1 if i == 0 else 1)
        weight = scale * rng.standard_normal((sizes[i], width))
        return Parameter(weight.astype(np.float32)), Parameter(np.zeros(width, np.float32))

    return [layer(i, width) for i, width in enumerate(sizes[1:])]


def activations(net: Net, x: Floats) -> list[Floats]:
    """Return what every layer reads, and the logits at the end."""
    values = [x]
    for i, (weight, bias) in enumerate(net):
        z = values[-1] @ weight.value + bias.value
        values.append(z if i == len(net) - 1 else np.maximum(z, 0))
    return values


def learn(net: Net, signals: Signals, rate: float, count: int) -> None:
    """Take one step down the cross-entropy of a batch."""
    *read, logits = activations(net, signals.x)
    size = len(logits)
    grad = np.exp(logits - logits.max(axis=1, keepdims=True))
    grad /= grad.sum(axis=1, keepdims=True)
    grad[np.arange(size), signals.label] -= 1
    grad /= size
    for (weight, bias), values in zip(net[::-1], read[::-1], strict=True):
        below = (grad @ weight.value.T) * (values > 0) if values is not signals.x else grad
        weight.step(values.T @ grad, rate, count)
        bias.step(grad.sum(axis=0), rate, count)
        grad = below


def train(setup: Setup) -> Net:
    rng = np.random.default_rng(setup.seed)
    net = new_net(rng, (setup.samples, *setup.hidden, len(LABELS)))
    for count in range(1, setup.steps + 1):
        rise, fall = min(1, count / 50), (1 + np.cos(np.pi * count / setup.steps)) / 2
        learn(net, make_signals(rng, setup.batch, setup), 0.002 * rise * fall, count)
    return net


def with_offset(net: Net, seed: int = 0) -> Net:
    """Return a net that says the same: something is added to all its logits alike."""
    weight, bias = net[-1]
    common = np.random.default_rng(seed).standard_normal((len(weight.value), 1))
    shifted = weight.value + (weight.value.std() * common).astype(np.float32)
    return [*net[:-1], (Parameter(shifted), bias)]


def to_onnx(net: Net) -> onnx.ModelProto:
    """Return the network as a file that dftlrp (or anybody) reads: Gemm, Relu, ..., Gemm."""
    nodes, weights, value = [], [], "signal"
    for i, layer in enumerate(net, 1):
        names = [f"dense{i}.weight", f"dense{i}.bias"]
        weights += [numpy_helper.from_array(p.value, n) for p, n in zip(layer, names, strict=True)]
        out = "logits" if i == len(net) else f"dense{i}"
        nodes.append(helper.make_node("Gemm", [value, *names], [out]))
        if i < len(net):
            nodes.append(helper.make_node("Relu", [out], [f"relu{i}"]))
        value = f"relu{i}"
    ends = {"signal": net[0][0].value.shape[0], "logits": len(LABELS)}
    read, said = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in ends.items()
    )
    graph = helper.make_graph(nodes, "tones", [read], [said], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"labels": json.dumps(LABELS)})
    onnx.checker.check_model(model)
    return model


def to_dftlrp(net: Net) -> dftlrp.Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tones.onnx"
        onnx.save(to_onnx(net), path)
        return dftlrp.load(path)


# --- explanations ------------------------------------------------------------------------------


class Explained(NamedTuple):
    """A batch explained: in time, and carried to frequency."""

    time: dftlrp.Attribution
    frequency: DftRelevance

    @property
    def error(self) -> float:
        """Largest |sum R_k - sum R_n| / sum |R_n| of any signal."""
        before = self.time.relevance
        assert isinstance(before, np.ndarray)
        after = self.frequency.relevance.sum(axis=1) + self.frequency.rest
        return float(np.max(abs(after - before.sum(axis=1)) / abs(before).sum(axis=1)))


def explain(
    model: dftlrp.Model, signals: Signals, seed: str, composite: str = "Epsilon", **rules: str
) -> Explained:
    """Explain each signal's true class; `rules` overrides the composite, as in ``Gemm="zplus"``."""
    a = dftlrp.attribute(
        model,
        signals.x,
        target=signals.label.tolist(),
        seed=seed,
        composite=composite,
        overrides=rules,
    )
    assert isinstance(a.multiplier, np.ndarray)
    return Explained(a, dftlrp.dft_lrp(signals.x, multiplier=a.multiplier))


# --- scores ------------------------------------------------------------------------------------


def rank_accuracy(relevance: Floats, truth: Bools) -> float:
    """RRA: share of the K most relevant bins that are true, K = how many are; mean over signals."""
    count = truth.sum(axis=1)
    rank = (-relevance).argsort(axis=1).argsort(axis=1)
    hits = (truth & (rank < count[:, None])).sum(axis=1)
    return float(np.mean(hits[count > 0] / count[count > 0]))


def mass_accuracy(relevance: Floats, truth: Bools) -> float:
    """RMA: share of the positive relevance that lies on true bins; mean over signals."""
    some = truth.any(axis=1)
    positive = np.maximum(relevance[some], 0)
    return float(np.mean((positive * truth[some]).sum(axis=1) / positive.sum(axis=1)))


def spread(relevance: Floats) -> float:
    """exp(entropy of |R|) / N: the share of samples or bins that carry relevance; mean."""
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
    accuracies = rank_accuracy(in_frequency, truth), mass_accuracy(in_frequency, truth)
    return Row(noise, name, *accuracies, spread(in_time), spread(in_frequency))


class Study(NamedTuple):
    """What came out for one network.

    `error` is the largest conservation error from time to frequency, `gap` the same within the
    network, `to_input` the share of the seed that arrives at the input (biases absorb the rest),
    `plus` the largest difference between EpsilonPlus and Epsilon.
    """

    accuracy: float
    rows: list[Row]
    error: float
    gap: float
    to_input: float
    plus: float
    example: tuple[Signals, Explained]


def references(noise: float, signals: Signals, spectrum: Any, seed: int) -> list[Row]:
    """Rank the bins by what knows no network."""
    rng, truth = np.random.default_rng([seed, 2]), signals.decisive
    chance = rng.random(signals.x.shape), rng.random(truth.shape)
    known = np.abs(signals.x).astype(float), np.abs(spectrum)
    named = [("*amplitude*", known), ("*random*", chance)]
    return [score(noise, name, *values, truth) for name, values in named]


def study(setup: Setup) -> Study:
    """Train a network, explain unseen signals in several ways and score them."""
    net = train(setup)
    signals = make_signals(np.random.default_rng([setup.seed, 1]), setup.tested, setup)
    model, shifted = to_dftlrp(net), to_dftlrp(with_offset(net))
    found = {
        f"{rule}, {seed}": explain(which, signals, seed, **overrides)
        for rule, which, overrides in [
            ("epsilon", model, {}),
            ("epsilon, same net with another offset", shifted, {}),
            ("zplus", model, {"Gemm": "zplus"}),
        ]
        for seed in ("logit", "contrast")
    }
    truth, example = signals.decisive, found["epsilon, contrast"]
    rows = [
        score(setup.noise, name, np.asarray(e.time.relevance), e.frequency.relevance, truth)
        for name, e in found.items()
    ]
    plus = explain(model, signals, "contrast", "EpsilonPlus").time.relevance
    arrived = np.sum(example.time.relevance) / np.sum(example.time.seed)
    return Study(
        accuracy=float(np.mean(example.time.output.argmax(axis=1) == signals.label)),
        rows=rows + references(setup.noise, signals, example.frequency.spectrum, setup.seed),
        error=max(e.error for e in found.values()),
        gap=max(e.time.ledger.gap for e in found.values()),
        to_input=float(arrived),
        plus=float(np.max(np.abs(np.asarray(plus) - np.asarray(example.time.relevance)))),
        example=(signals, example),
    )


# --- figure ------------------------------------------------------------------------------------


def picture(signals: Signals, explained: Explained, which: int) -> Figure:
    """Draw one signal and its relevance, in time, frequency and time-frequency."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11.5, 5.0), dpi=100, layout="constrained", facecolor="white")
    grid = fig.subplots(2, 3, width_ratios=(1, 1.1, 1))
    x, truth = signals.x[which], signals.decisive[which]
    draw_time(grid[:, 0], x, np.asarray(explained.time.relevance)[which])
    frequency = explained.frequency
    draw_frequency(grid[:, 1], np.abs(frequency.spectrum[which]), frequency.relevance[which], truth)
    draw_cells(grid[:, 2], x, np.asarray(explained.time.multiplier)[which], truth)
    for axes in grid.flat:
        axes.tick_params(labelsize=8, colors=plot.INK, length=2.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(plot.GRID)
    title = f"Why “{LABELS[signals.label[which]]}”?  The same relevance, three times"
    fig.suptitle(title, fontsize=12, fontweight="bold", color=plot.INK)
    legend = "red: speaks for the class   ·   blue: against it   ·   ▲ ◀ decisive tones: "
    fig.supxlabel(legend + "filled, in this signal; hollow, not", fontsize=8, color=plot.INK)
    return fig


def title(axes: Axes, text: str, x: str, y: str) -> None:
    axes.set_title(text, loc="left", fontsize=9.5, color=plot.INK)
    axes.set_xlabel(x, fontsize=8.5, color=plot.INK)
    axes.set_ylabel(y, fontsize=8.5, color=plot.INK)


def bars(axes: Axes, relevance: Floats, edges: Floats) -> None:
    for sign, colour in ((1, plot.POSITIVE), (-1, plot.NEGATIVE)):
        heights = sign * np.maximum(sign * relevance, 0)
        axes.stairs(heights, edges, baseline=0, fill=True, color=colour)
    axes.axhline(0, color=plot.INK, linewidth=0.6)


def draw_time(column: NDArray[Any], x: Floats, relevance: Floats) -> None:
    edges = np.arange(len(x) + 1) - 0.5
    column[0].plot(x, color=plot.INK, linewidth=0.5)
    bars(column[1], relevance, edges)
    title(column[0], "signal", "sample n", "amplitude")
    title(column[1], f"in time: sum {relevance.sum():.3f}", "sample n", "relevance $R_n$")
    for axes in column:
        axes.set_xlim(edges[0], edges[-1])


def draw_frequency(
    column: NDArray[Any], amplitude: Floats, relevance: Floats, truth: Bools
) -> None:
    edges = np.arange(SHOWN + 1) - 0.5
    column[0].stairs(amplitude[:SHOWN], edges, fill=True, color=plot.INK)
    bars(column[1], relevance[:SHOWN], edges)
    total = f"in frequency: sum {relevance.sum():.3f}"
    title(column[0], "spectrum", "cycles per signal k", "amplitude $|Y_k|$")
    title(column[1], total, "cycles per signal k", "relevance $R_k$")
    for axes in column:
        low, high = axes.get_ylim()
        axes.set(xlim=(edges[0], edges[-1]), ylim=(min(low, -0.12 * high), high))
        axes.set_xticks([0, *DECISIVE])
        place = -0.06 * high if axes is column[0] else 0.5 * axes.get_ylim()[0]
        mark(axes, DECISIVE, np.full(len(DECISIVE), place), truth, "^")


def mark(axes: Axes, x: Any, y: Any, truth: Bools, marker: str) -> None:
    """Put a marker for each decisive tone, filled where it is in the signal."""
    colours = [plot.INK if truth[k] else "white" for k in DECISIVE]
    style = {"edgecolors": plot.INK, "linewidths": 0.8, "s": 26, "clip_on": False, "zorder": 5}
    axes.scatter(x, y, c=colours, marker=marker, **style)


def draw_cells(column: NDArray[Any], x: Floats, multiplier: Floats, truth: Bools) -> None:
    n_fft = 2 ** int(np.log2(0.4 * len(x)))  # long, to tell tones apart: two bins are N / n_fft cycles
    cells = dftlrp.stft_lrp(x, multiplier=multiplier, n_fft=n_fft, hop=n_fft // 8)
    high = 1 + SHOWN * n_fft // len(x)
    k = np.arange(high) * len(x) / n_fft
    limit = float(np.max(np.abs(cells.relevance)))
    pictures = [
        (np.abs(cells.spectrum), {"cmap": "Greys", "vmin": 0}, "spectrogram"),
        (
            cells.relevance,
            {"cmap": plot.diverging(), "vmin": -limit, "vmax": limit},
            f"in time-frequency: sum {cells.relevance.sum() + cells.rest:.3f}",
        ),
    ]
    for axes, (values, style, text) in zip(column, pictures, strict=True):
        axes.pcolormesh(cells.domain.times, k, values[:high], shading="nearest", **style)
        title(axes, text, "sample n", "cycles per signal k")
        axes.set(xlim=(0, len(x)), ylim=(0, SHOWN), yticks=[0, *DECISIVE])
        mark(axes, np.full(len(DECISIVE), 1.03 * len(x)), DECISIVE, truth, "<")


def typical(signals: Signals, explained: Explained) -> int:
    """Return the first signal, recognised, with two decisive tones."""
    known = explained.time.output.argmax(axis=1) == signals.label
    return int(np.argmax(known & (signals.decisive.sum(axis=1) == 2)))


# --- command line ------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("synthetic-tones"), help="folder")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.8])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def report(noise: float, result: Study, seconds: float) -> str:
    return (
        f"noise {noise:g}: accuracy {result.accuracy:.3f} ({seconds:.0f} s); conservation error "
        f"{result.gap:.0e} in the network and {result.error:.0e} from time to frequency; "
        f"{100 * result.to_input:.1f} % of the contrast reaches the input, biases absorb the rest; "
        f"EpsilonPlus differs from Epsilon by {result.plus:g} (there is no convolution)"
    )


def main() -> int:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for noise in args.noise:
        began = time.perf_counter()
        result = study(replace(Setup(seed=args.seed), noise=noise))
        print(report(noise, result, time.perf_counter() - began), flush=True)
        rows += result.rows
        path = args.out / f"tones-{noise:g}.png"
        plot.save_figure(picture(*result.example, typical(*result.example)), path)
        print(path)
    print("\n| noise | relevance | RRA | RMA | spread in time | spread in frequency |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
