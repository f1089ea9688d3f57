"""Explanations by other tools beside dftlrp's, in one process: which is right, and how fast.

    python benchmarks/bench_peers.py [--model FILE.onnx] [--asked contrast|logit] [--count 20]
        [--json FILE] [--without TOOL ...] [--data FOLDER]

A model of convolutions (the embedded ``waveform``, or another chain of the same layers) is rebuilt
in torch with the weights of its file; that both give the same outputs is checked.  Spoken digits of
the test split are explained for the class that the model finds, by dftlrp, zennit, captum, SHAP and
DIANNA.  All are asked the same: ``contrast``, the class's logit minus the mean of the others', or
``logit``, the logit alone; for torch that is one more linear layer.

Units (40 segments of time, 40 bands of frequency, 16 x 16 tiles of both) are then removed by what
each calls relevant, and the model is asked again: `dftlrp.metrics` measures the symmetric relevance
gain, replacing by silence and by noise as strong as each unit.  The relevance of samples that other
tools give is carried to frequency by `dftlrp.dft_lrp` and `dftlrp.stft_lrp`; what only values
segments of time has no relevance there.  Times are medians over the recordings, all tools in turn,
of seconds of the processor with one thread; first calls, which trace or compile, are among them.

SHAP, DIANNA, zennit and captum are installed by whoever runs this; those that are missing are named
and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import bench_sides  # noqa: F401  # lets `peers` of the tests be found
import numpy as np
import onnx
import onnxruntime
from peers import captum, quiet, torch
from peers import zennit as load_zennit
from rightness_nets import RATE, SAMPLES, TAKES, read_clip

import dftlrp
from dftlrp import metrics
from dftlrp.spectral import Dft, Stft

SHARED = Path(__file__).parents[2] / "shared"
BACKEND = "onnx:CPUExecutionProvider:1"
FRAMES = {"window": "hann", "n_fft": 256, "hop": 64}  # dftlrp's own at this rate
REPLACEMENTS = ("zero", "noise")
BACKGROUND = 20  # recordings that SHAP averages over
STEPS = 50  # of integrated gradients: captum's default
CLEAR = 2  # standard errors
OURS = "dftlrp, default"
Array = np.ndarray


class Case(NamedTuple):
    """One recording, and what is explained: the logits times ``weights``."""

    number: int
    samples: Array
    weights: Array


class Found(NamedTuple):
    """What a tool says: relevance of each sample, of each unit by domain, or a multiplier."""

    samples: Array | None = None
    multiplier: Array | None = None
    units: dict[str, Array] | None = None


class Net:
    """The model as an ONNX file and as a chain of torch layers; both count what they run."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self.model = dftlrp.load(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.name = self.session.get_inputs()[0].name
        self.chain = rebuild(path)
        self.chain[0].register_forward_pre_hook(self.count)

    def count(self, _: Any, given: Any) -> None:
        """Count what the first torch layer is given."""
        self.rows += len(given[0])

    def run(self, x: Array) -> Array:
        """Return the logits of recordings (B, samples)."""
        self.rows += len(x)
        return self.session.run(None, {self.name: x[:, None].astype(np.float32)})[0]

    def score(self, weights: Array, x: Array) -> Array:
        """Return what is explained of recordings (B, samples)."""
        return self.run(x).astype(np.float64) @ weights

    def ask(self, weights: Array) -> Any:
        """Return the torch layers with the question on top, (B, 1, samples) to (B, 1)."""
        last = torch.nn.Linear(len(weights), 1, bias=False)
        last.weight = torch.nn.Parameter(torch.tensor(weights, dtype=torch.float32)[None])
        return torch.nn.Sequential(*self.chain, last).eval()

    def compare(self, x: Array) -> float:
        """Return the largest difference of the two, as a share of the largest logit."""
        ours = self.run(x)
        with torch.no_grad():
            theirs = self.chain(to_tensor(x)).numpy()
        return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def rebuild(path: Path) -> Any:
    """Return the torch layers of a file whose nodes form a chain."""
    graph, nn = onnx.load(path).graph, torch.nn
    weights = {w.name: torch.tensor(onnx.numpy_helper.to_array(w)) for w in graph.initializer}
    layers, value = [], graph.input[0].name
    for node in graph.node:
        if node.input[0] != value:
            raise SystemExit(f"{path}: node {node.name} does not read the one before: no chain")
        own = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = [weights[name] for name in node.input[1:]]
        layers.append(make_layer(nn, node.op_type, own, given))
        value = node.output[0]
    return nn.Sequential(*layers).eval()


def make_layer(nn: Any, kind: str, own: dict[str, Any], given: list[Any]) -> Any:
    """Return one torch layer."""
    if kind == "Conv":
        out, into, kernel = given[0].shape
        layer = nn.Conv1d(into, out, kernel, own.get("strides", [1])[0], own["pads"][0],
                          bias=len(given) > 1)  # fmt: skip
    elif kind == "Gemm" and own.get("transB"):
        layer = nn.Linear(*given[0].shape[::-1], bias=len(given) > 1)
    elif kind == "MaxPool":
        return nn.MaxPool1d(own["kernel_shape"][0], own["strides"][0])
    else:
        plain = {"Relu": nn.ReLU, "Flatten": nn.Flatten,
                 "GlobalAveragePool": partial(nn.AdaptiveAvgPool1d, 1)}  # fmt: skip
        if kind not in plain:
            raise SystemExit(f"a node of kind {kind}: this script rebuilds only plain chains")
        return plain[kind]()
    layer.weight = nn.Parameter(given[0])
    if len(given) > 1:
        layer.bias = nn.Parameter(given[1])
    return layer


def to_tensor(x: Array) -> Any:
    return torch.tensor(np.asarray(x, np.float32).reshape(-1, 1, SAMPLES))


# -- the tools; each returns functions from a case to what is found, by name


def list_own(net: Net, asked: str, _: Array) -> Iterator[tuple[str, Callable[[Case], Found]]]:
    """Yield what dftlrp does by default, and its own games."""

    def explain_plainly(case: Case) -> Found:
        a = dftlrp.attribute(net.model, case.samples[None, None].astype(np.float32), seed=asked,
                             backend=BACKEND, reference="auto")  # fmt: skip
        return Found(multiplier=np.asarray(a.multiplier, np.float64).reshape(-1))

    def explain_views(case: Case, **how: Any) -> Found:
        e = dftlrp.explain(net.model, case.samples, rate=RATE, seed=asked, backend=BACKEND, **how)
        net.rows = int(e.provenance.get("inputs that the model was run on", 0))
        return Found(units={d: e.cut(d).pool(e.relevance[d]) for d in e.relevance})

    def explain_domains(case: Case) -> Found:
        explain_views(case)
        return Found(units={})  # the relevance of the default once more: only timed

    yield OURS, explain_plainly
    yield "dftlrp, default in three domains", explain_domains
    for method in ("shapley", "rise"):
        yield (
            f"dftlrp, {method} of segments",
            partial(explain_views, method=method, domains=["time"]),
        )


def list_zennit(net: Net, _: str, __: Array) -> Iterator[tuple[str, Callable[[Case], Found]]]:
    """Yield zennit's preset for convolutions, and a composite of one's own."""
    zennit = load_zennit()
    rules, types = zennit.rules, zennit.types
    gamma = zennit.composites.LayerMapComposite(
        [(types.Activation, rules.Pass()), (types.Convolution, rules.Gamma(0.1)),
         (types.AvgPool, rules.Norm()), (types.Linear, rules.Epsilon())]
    )  # fmt: skip

    def explain(case: Case, composite: Any) -> Found:
        x, chain = to_tensor(case.samples).requires_grad_(), net.ask(case.weights)
        with composite.context(chain) as changed:
            z = changed(x)
            return Found(torch.autograd.grad(z, x, z.detach())[0].numpy())

    yield "zennit, EpsilonPlus", partial(explain, composite=zennit.composites.EpsilonPlus())
    yield "zennit, Gamma(0.1) and Epsilon", partial(explain, composite=gamma)


def list_captum(net: Net, _: str, __: Array) -> Iterator[tuple[str, Callable[[Case], Found]]]:
    """Yield captum's methods for samples, and its removal of segments."""
    library, nn = captum().attr, torch.nn
    made = library._utils.lrp_rules
    segments = torch.tensor(cut("time").index)[None, None]

    def explain(case: Case, method: str, **how: Any) -> Found:
        tool = getattr(library, method)(net.ask(case.weights))
        return Found(tool.attribute(to_tensor(case.samples), **how).detach().numpy())

    def explain_lrp(case: Case, rule: Callable[[], Any]) -> Found:
        chain = net.ask(case.weights)
        for layer in chain:  # captum has no rule of its own for these, and drops rules after a call
            if isinstance(layer, nn.Conv1d):
                layer.rule = rule()
            elif isinstance(layer, nn.AdaptiveAvgPool1d | nn.Flatten):
                layer.rule = made.EpsilonRule()
        x = to_tensor(case.samples)
        return Found(library.LRP(chain).attribute(x, target=0).detach().numpy())

    yield (
        "captum, IntegratedGradients",
        partial(explain, method="IntegratedGradients", target=0, n_steps=STEPS),
    )
    yield "captum, DeepLift", partial(explain, method="DeepLift", target=0)
    yield "captum, LRP EpsilonRule", partial(explain_lrp, rule=made.EpsilonRule)
    yield "captum, LRP GammaRule", partial(explain_lrp, rule=made.GammaRule)
    ablate = partial(explain, method="FeatureAblation", target=0, feature_mask=segments)
    yield "captum, FeatureAblation of segments", lambda case: in_segments(ablate(case))


def list_shap(net: Net, _: str, background: Array) -> Iterator[tuple[str, Callable[[Case], Found]]]:
    """Yield SHAP's explainers for torch, and those for any function."""
    shap, units = importlib.import_module("shap"), cut("time")

    def explain_torch(case: Case, kind: str, beside: Array, **how: Any) -> Found:
        tool = getattr(shap, kind)(net.ask(case.weights), to_tensor(beside))
        return Found(np.asarray(tool.shap_values(to_tensor(case.samples), **how)).reshape(-1))

    def value(case: Case, kept: Array) -> Array:
        return net.score(case.weights, case.samples * np.asarray(kept)[:, units.index])

    def explain_permutations(case: Case) -> Found:
        tool = shap.explainers.Permutation(
            partial(value, case), shap.maskers.Independent(np.zeros((1, units.count))), seed=0
        )
        found = tool(np.ones((1, units.count)), silent=True)
        return Found(units={"time": np.asarray(found.values).reshape(-1)})

    def explain_kernel(case: Case) -> Found:
        np.random.seed(case.number)  # noqa: NPY002  # its own source of chance
        tool = shap.KernelExplainer(partial(value, case), np.zeros((1, units.count)))
        found = tool.shap_values(np.ones((1, units.count)), silent=True)
        return Found(units={"time": np.asarray(found).reshape(-1)})

    silence = np.zeros((1, SAMPLES))
    yield (
        "SHAP, GradientExplainer",
        partial(explain_torch, kind="GradientExplainer", beside=background, rseed=0),
    )
    yield "SHAP, DeepExplainer", partial(explain_torch, kind="DeepExplainer", beside=background)
    yield (
        "SHAP, DeepExplainer against silence",
        partial(explain_torch, kind="DeepExplainer", beside=silence),
    )
    yield "SHAP, PermutationExplainer of segments", explain_permutations
    yield "SHAP, KernelExplainer of segments", explain_kernel


def list_dianna(net: Net, _: str, __: Array) -> Iterator[tuple[str, Callable[[Case], Found]]]:
    """Yield RISE with DIANNA's own numbers: 1,000 masks of eight segments."""
    dianna = importlib.import_module("dianna")

    def explain(case: Case) -> Found:
        np.random.seed(case.number)  # noqa: NPY002  # its own source of chance
        found = dianna.explain_timeseries(
            lambda x: net.score(case.weights, x[..., 0])[:, None],
            case.samples[:, None].astype(np.float32), "RISE", (0,),
        )  # fmt: skip
        return in_segments(Found(np.asarray(found).reshape(-1)))

    yield "DIANNA, RISE", explain


TOOLS = {"dftlrp": list_own, "zennit": list_zennit, "captum": list_captum, "shap": list_shap,
         "dianna": list_dianna}  # fmt: skip


# -- what is measured


def cut(domain: str) -> metrics.Units:
    return metrics.make_units(domain, SHAPES[domain], RATE)


def in_segments(found: Found) -> Found:
    """Return the mean over each segment of what is no share of the signal's."""
    units = cut("time")
    pooled = units.pool(found.samples.reshape(-1)) / np.bincount(units.index)
    return Found(units={"time": pooled})


DOMAINS = {"time": None, "frequency": Dft(SAMPLES), "time-frequency": Stft(SAMPLES, **FRAMES)}
SHAPES = {name: (SAMPLES,) if pair is None else pair.shape for name, pair in DOMAINS.items()}


def pool(found: Found, x: Array) -> dict[str, Array]:
    """Return relevance by unit in each domain that the tool has something to say in."""
    if found.units is not None:
        return {k: v for k, v in found.units.items() if k in DOMAINS}
    if found.multiplier is not None:
        given: dict[str, Array] = {"multiplier": found.multiplier}
        plain = x * found.multiplier
    else:
        plain = np.asarray(found.samples, np.float64).reshape(-1)
        given = {"relevance": plain}
    cells = {
        "time": plain,
        "frequency": dftlrp.dft_lrp(x, **given).relevance,
        "time-frequency": dftlrp.stft_lrp(x, **given, **FRAMES).relevance,
    }
    return {name: cut(name).pool(R) for name, R in cells.items()}


def list_beside(case: Case) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield what needs no model: the energy of each unit, and an order drawn."""
    energy, drawn = {}, {}
    for name, pair in DOMAINS.items():
        cells = case.samples if pair is None else pair.analysis(case.samples)
        energy[name] = cut(name).pool(np.abs(cells) ** 2)
        drawn[name] = np.random.default_rng([case.number, 1]).random(cut(name).count)
    yield "amplitude", energy
    yield "random", drawn


def measure(net: Net, case: Case, ranked: dict[str, dict[str, Array]]) -> dict[str, Any]:
    """Return area and span of each tool, by domain and replacement."""
    found: dict[str, Any] = {}
    score = partial(net.score, case.weights)
    for domain, pair in DOMAINS.items():
        for replace in REPLACEMENTS:
            cell = found[f"{domain}, {replace}"] = {}
            for name, pooled in ranked.items():
                if domain in pooled:
                    curves = metrics.deletion_curves(
                        score, case.samples, pooled[domain], domain=pair, units=cut(domain),
                        replace=replace, seed=case.number,
                    )  # fmt: skip
                    cell[name] = [curves.area, curves.span]
    return found


def read_recordings(data: Path, count: int) -> tuple[list[Path], list[Path]]:
    """Return recordings of the test split, digits and speakers in turn, and some of the others."""
    folder = data / "fsdd" / "recordings"
    speakers = sorted({path.stem.split("_")[1] for path in folder.glob("*.wav")})
    if not speakers:
        raise SystemExit(f"{folder}: no recordings: get the Free Spoken Digit Dataset, and --data")
    turns = [(i % 10, speakers[(i + 3 * (i // 10)) % len(speakers)], i) for i in range(count)]
    paths = [folder / f"{digit}_{who}_{i % TAKES}.wav" for digit, who, i in turns]
    others = [folder / f"{i % 10}_{speakers[i % len(speakers)]}_{TAKES + i}.wav"
              for i in range(BACKGROUND)]  # fmt: skip
    return paths, others


def make_case(net: Net, number: int, samples: Array, asked: str) -> Case:
    """Return a recording and the question: its largest output, alone or against the others."""
    logits = net.run(samples[None])[0]
    one = np.eye(len(logits))[logits.argmax()]
    weights = one if asked == "logit" else one - (1 - one) / (len(one) - 1)
    return Case(number, samples, weights)


def run_tools(net: Net, case: Case, tools: dict[str, Callable[[Case], Found]]) -> dict[str, Any]:
    """Explain a recording by every tool in turn, and return what is measured."""
    seconds: dict[str, float] = {}
    rows: dict[str, int] = {}
    ranked: dict[str, dict[str, Array]] = {}
    for name, tool in tools.items():
        net.rows, start = 0, time.process_time()
        try:
            found = quiet(partial(tool, case))
        except Exception as error:
            raise SystemExit(f"{name}: {type(error).__name__}: {error}") from error
        seconds[name], rows[name] = time.process_time() - start, net.rows
        ranked[name] = pool(found, case.samples)
    ranked |= dict(list_beside(case))
    return {"seconds": seconds, "inputs": rows, "cells": measure(net, case, ranked)}


def summarise(records: list[dict[str, Any]]) -> list[list[str]]:
    """Return the rows of the table: seconds, inputs of the model, SRG by domain and replacement."""
    cells = list(records[0]["cells"])
    table = [["", "seconds", "inputs", *cells]]
    for name in {**records[0]["seconds"], **records[0]["cells"][cells[0]]}:
        row = [name, "-", "-"]
        if name in records[0]["seconds"]:
            row[1] = f"{np.median([r['seconds'][name] for r in records]):.3f}"
            row[2] = f"{records[-1]['inputs'][name] or '-'}"
        table.append(row + [tell_cell([r["cells"][cell] for r in records], name) for cell in cells])
    return table


def tell_cell(measured: list[dict[str, list[float]]], name: str) -> str:
    """Return mean and standard error of SRG, and + or - where it is clearly off the default's.

    In brackets where removing everything does not clearly lower the score: nothing is ranked there.
    """
    if name not in measured[0]:
        return "-"
    spans = np.array([m[OURS][1] for m in measured])
    own, ours = (np.array([m[k][0] for m in measured]) / spans.mean() for k in (name, OURS))
    text = f"{own.mean():.2f}±{measure_error(own):.2f}"
    if spans.mean() < CLEAR * measure_error(spans):
        return f"({text})"
    difference = own - ours
    if abs(difference.mean()) > CLEAR * measure_error(difference) > 0:
        text += " +" if difference.mean() > 0 else " -"
    return text


def measure_error(values: Array) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def print_table(table: list[list[str]]) -> None:
    for i, row in enumerate(table):
        print("| " + " | ".join(row) + " |")
        if not i:
            print("|" + "---|" * len(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=dftlrp.embedded("waveform"))
    parser.add_argument("--asked", choices=("contrast", "logit"), default="contrast")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--without", choices=TOOLS, nargs="*", default=(), metavar="TOOL")
    parser.add_argument("--json", type=Path, help="kept there after each recording, and gone on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = Net(args.model)
    paths, others = read_recordings(args.data, args.count)
    samples = [np.asarray(read_clip(path), np.float64) for path in paths]
    background = np.stack([read_clip(path) for path in others])
    difference = net.compare(np.stack(samples))
    print(f"torch and onnxruntime differ by {difference:.1g} of the largest logit")
    if difference > 1e-4:
        raise SystemExit("the rebuilt model is not the one in the file")
    cases = [make_case(net, i, x, args.asked) for i, x in enumerate(samples)]
    tools: dict[str, Callable[[Case], Found]] = {}
    for package, list_tools in TOOLS.items():
        if package in args.without:
            continue
        try:
            print(package, version(package), end="; ")
            tools |= dict(list_tools(net, args.asked, background))
        except ImportError as error:
            print(f"{package} is left out: {error}")
    print("torch", torch.__version__, "Python", platform.python_version())
    records = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    for case in cases[len(records) :]:
        records.append(run_tools(net, case, tools))
        print(f"{len(records)} of {len(cases)}", file=sys.stderr, flush=True)
        if args.json:
            args.json.write_text(json.dumps(records))
    print_table(summarise(records))


if __name__ == "__main__":
    main()
