"""Statistics of a layer's neurons over a data set: ours, and a plain loop of hooks over torch.

    python benchmarks/bench_neurons.py FOLDER [--pattern P] [--layer L] [--count N] [--threads 2]

The embedded waveform model, EpsilonPlus, batches of 16 recordings, as many threads on each side,
from the same files: relevance and activation of each neuron by class (moments), and the first five
recordings of each ranking.  The loop is what one writes with zennit: its EpsilonPlus, a hook at the
layer for activation and relevance, the same NumPy for what follows.  Ours is `survey` with a
worker for each thread, its store and the start of its processes included.  Like is compared with
like:

- *spectra*: both follow relevance back to the recording and compute the class's mean relevance by
  frequency and time, by the same code;
- *layer*: neither computes spectra; ours stops at the layer, the loop goes back to the input, as
  loops with zennit do (its attributors know no other way);
- *both stop*: the loop asks torch for the gradient at the layer alone.

Of each, the seconds that passed and those of the processor, and that both found the same.  On a
machine with other work to do only the latter count, with ``--threads 1``: two of torch's threads
that wait for each other take a processor whole.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from dataclasses import replace
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


def run_hooks(study: Study, recordings: Recordings, threads: int, stop: bool = False) -> Statistics:
    """Return the statistics that the plain loop of hooks finds.

    ``stop`` ends the way back at the layer.
    """
    from peers import quiet, torch
    from peers import zennit as load

    torch.set_num_threads(threads)
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
                (R,) = torch.autograd.grad(z, seen["value"] if stop else x, seed)
            return z.detach().numpy(), R.numpy()

        z, R = quiet(run)
        value = seen["value"].detach().numpy()
        relevance, flows = R if stop else seen["relevance"].numpy(), list[Flow]()
        whole = samples[0]._replace(array=x.detach().numpy())
        if study.spectra:
            m = np.divide(R, whole.array, out=np.zeros_like(R), where=whole.array != 0)
            flows = [Flow(R, m)]
        batch = Batch(whole, classes, start + np.arange(len(classes)))
        part = summarise(study, batch, Explained(value, relevance, flows, z))
        total = part if total is None else total + part
    assert total is not None
    return total


def measure(work: Any) -> tuple[Statistics, float, float]:
    """Return what some work gives, the seconds that pass, and those of the processor."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

    def use() -> float:
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))

    before, start = use(), time.perf_counter()
    found = work()
    return found, time.perf_counter() - start, use() - before


def run_ours(study: Study, recordings: Recordings, threads: int) -> Statistics:
    """Return the statistics that the survey finds, in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return survey(study, recordings, folder, workers=threads).statistics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="{label}_{speaker}_{take}.wav")
    parser.add_argument("--layer", default="conv7")
    parser.add_argument("--count", type=int, help="recordings, evenly spaced; default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    model = dftlrp.load(embedded("waveform"))
    found = find_recordings(
        args.folder, len(model.labels), model.labels, pattern=args.pattern, rate=model.rate
    )
    step = max(1, len(found.items) // (args.count or len(found.items)))
    found = replace(found, items=found.items[::step][: args.count])
    whole = Study(
        str(embedded("waveform")), args.layer, found.rate, len(model.labels),
        composite="EpsilonPlus",
    )  # fmt: skip
    short = replace(whole, spectra=False)
    print(
        f"{len(found.items)} recordings, {args.layer}, {args.threads} threads, {platform.machine()}"
    )
    print(f"load before: {os.getloadavg()[0]:.1f}")
    ours = {
        study.spectra: measure(lambda s=study: run_ours(s, found, args.threads))
        for study in (whole, short)
    }
    theirs = {
        "spectra": measure(lambda: run_hooks(whole, found, args.threads)),
        "layer": measure(lambda: run_hooks(short, found, args.threads)),
        "both stop": measure(lambda: run_hooks(short, found, args.threads, stop=True)),
    }
    rows = [_compare(name, ours[name == "spectra"], loop) for name, loop in theirs.items()]
    for row in rows:
        print(
            "  ".join(
                f"{k} {v if isinstance(v, str) else format(v, '.3g')}" for k, v in row.items()
            )
        )
    print(f"load after: {os.getloadavg()[0]:.1f}")
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


def _compare(name: str, ours: Any, loop: Any) -> dict[str, Any]:
    mine, others = ours[0].neurons.mean, loop[0].neurons.mean
    first = [side[0].top.recording[:, :, 0] for side in (ours, loop)]
    return {
        "row": name, "ours": ours[1], "loop": loop[1], "times": loop[1] / ours[1],
        "processor: ours": ours[2], "loop's": loop[2], "times there": loop[2] / ours[2],
        "difference of the means": float(np.abs(mine - others).sum() / np.abs(others).sum()),
        "same first prototype": float(np.mean(first[0] == first[1])),
    }  # fmt: skip


if __name__ == "__main__":
    main()
