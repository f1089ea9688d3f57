"""Statistics of a layer's neurons over a data set: ours, and a plain loop of hooks over torch.

    python benchmarks/bench_neurons.py FOLDER [--pattern P] [--layer L] [--count N] [--json FILE]

The embedded waveform model, EpsilonPlus, batches of 16 recordings, two threads in all, each side
from the same files: relevance and activation of each neuron by class (moments) and the first five
recordings of each ranking, and the class's mean relevance by frequency.  The loop is what one
writes with zennit: its EpsilonPlus, a hook at the layer for activation and relevance, the same
NumPy for what follows.  Ours is `survey` with two workers, its store and start of processes
included.  That both found the same is printed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import dftlrp
from dftlrp.assets import embedded
from dftlrp.concepts import Study, survey
from dftlrp.concepts.recordings import Recordings, find_recordings
from dftlrp.concepts.statistics import Batch, Explained, Flow, Statistics, summarise
from dftlrp.concepts.study import BATCH, read_sample

THREADS = 2


def build_torch_model() -> Any:
    """Return the embedded model in torch, with its layers by their names."""
    from peers import torch

    nn, graph = torch.nn, onnx.load(embedded("waveform")).graph
    weights = {
        t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer
    }
    layers: dict[str, Any] = {}
    for node in graph.node:
        a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        name = node.output[0]
        if node.op_type == "Conv":
            w = weights[node.input[1]]
            layers[name] = nn.Conv1d(
                w.shape[1], w.shape[0], w.shape[2], a["strides"][0], a["pads"][0], bias=False
            )
            layers[name].weight.data = w
        elif node.op_type == "Gemm":
            layers[name] = nn.Linear(*weights[node.input[1]].shape[::-1], bias=False)
            layers[name].weight.data = weights[node.input[1]]
        else:
            layers[name] = {
                "Relu": nn.ReLU, "Flatten": nn.Flatten,
                "GlobalAveragePool": lambda: nn.AdaptiveAvgPool1d(1),
                "MaxPool": lambda a=a: nn.MaxPool1d(a["kernel_shape"][0], a["strides"][0]),
            }[node.op_type]()  # fmt: skip
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net.eval()


def run_hooks(study: Study, recordings: Recordings) -> Statistics:
    """Return the statistics that the plain loop of hooks finds."""
    from peers import quiet, torch
    from peers import zennit as load

    torch.set_num_threads(THREADS)
    net, composite = build_torch_model(), load().composites.EpsilonPlus()
    seen: dict[str, Any] = {}

    def keep(_: Any, __: Any, y: Any) -> None:
        seen["value"] = y
        y.register_hook(lambda r: seen.__setitem__("relevance", r))

    getattr(net, study.layer).register_forward_hook(keep)
    model, total, items = study.loaded(), None, recordings.items
    for start in range(0, len(items), BATCH):
        some = items[start : start + BATCH]
        samples = [read_sample(model, study, str(i.path)) for i in some]
        together = np.concatenate([s.array for s in samples])
        x = torch.from_numpy(together.astype("f4")).requires_grad_()
        classes = np.array([i.index for i in some])

        def run(x: Any = x, classes: Any = classes) -> Any:
            with composite.context(net) as changed:
                z = changed(x)
                seed = torch.zeros_like(z)
                rows = torch.arange(len(z))
                seed[rows, classes] = z[rows, classes].detach()
                (R,) = torch.autograd.grad(z, x, seed)
            return z.detach().numpy(), R.numpy()

        z, R = quiet(run)
        value, relevance = seen["value"].detach().numpy(), seen["relevance"].numpy()
        x = x.detach().numpy()
        m = np.divide(R, x, out=np.zeros_like(R), where=x != 0)
        whole = samples[0]._replace(array=x)
        batch = Batch(whole, classes, start + np.arange(len(classes)))
        part = summarise(study, batch, Explained(value, relevance, [Flow(R, m)], z))
        total = part if total is None else total + part
    assert total is not None
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="{label}_{speaker}_{take}.wav")
    parser.add_argument("--layer", default="conv7")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    model = dftlrp.load(embedded("waveform"))
    found = find_recordings(
        args.folder, len(model.labels), model.labels, pattern=args.pattern, rate=model.rate
    )
    study = Study(
        str(embedded("waveform")), args.layer, found.rate, len(model.labels),
        composite="EpsilonPlus",
    )  # fmt: skip
    start = time.perf_counter()
    theirs = run_hooks(study, found)
    middle = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ours = survey(study, found, folder, workers=THREADS).statistics
    end = time.perf_counter()
    apart = (
        np.abs(ours.neurons.mean - theirs.neurons.mean).sum() / np.abs(theirs.neurons.mean).sum()
    )
    same = float(np.mean(ours.top.recording[:, :, 0] == theirs.top.recording[:, :, 0]))
    row = {
        "machine": f"{platform.processor() or platform.machine()}, {THREADS} threads",
        "recordings": len(found.items), "layer": args.layer, "ours": end - middle,
        "hooks": middle - start, "times": (middle - start) / (end - middle),
        "difference of the means": float(apart), "same first prototype": same,
    }  # fmt: skip
    for name, value in row.items():
        print(f"{name:24} {value if isinstance(value, str | int) else format(value, '.3g')}")
    if args.json:
        Path(args.json).write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
