"""Time of an explanation: our traced graph, zennit, and the plain forward pass as the limit.

AudioNet of the AudioMNIST paper (six convolutions of 3 taps with 100, 64, 128, 128, 128, 128
channels, each with ReLU and a max pool of 2; dense 1024, 512, 10; 8000 samples), batch 1 and 16.
All in float32 on two threads, side by side in one run: medians of interleaved repetitions.

    python benchmarks/bench_onnx.py [--repeat 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from peers import quiet, torch
from peers import zennit as load_zennit

import dftlrp
from dftlrp import attribute
from dftlrp.onnx_session import runtime_of

nn = torch.nn
THREADS = 2
CHANNELS = (100, 64, 128, 128, 128, 128)
PRESETS = ("EpsilonPlus", "EpsilonAlpha2Beta1")


def audionet() -> Any:
    torch.manual_seed(0)
    layers: list[Any] = []
    for before, after in zip((1, *CHANNELS[:-1]), CHANNELS, strict=True):
        layers += [nn.Conv1d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2)]
    layers += [nn.Flatten(), nn.Linear(128 * 125, 1024), nn.ReLU()]
    layers += [nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*layers).eval()


def vgg() -> Any:
    torch.manual_seed(0)
    layers: list[Any] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    layers += [nn.Flatten(), nn.Linear(128 * 64, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(*layers).eval()


NETS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "AudioNet": (audionet, (1, 8000)),
    "VGG-like, overlapping pools": (vgg, (1, 64, 64)),
}


def exported(net: Any, x: Any) -> bytes:
    file = io.BytesIO()
    quiet(
        lambda: torch.onnx.export(
            net, (x,), file, opset_version=17, dynamo=False, input_names=["x"],
            output_names=["z"], dynamic_axes={"x": {0: "B"}},
        )
    )  # fmt: skip
    return file.getvalue()


def theirs(net: Any, preset: str, x: Any) -> Callable[[], Any]:
    """zennit's relevance of the largest logit."""
    composites = load_zennit().composites
    composite = getattr(composites, preset)()

    def run() -> Any:
        with composite.context(net) as changed:
            signal = x.clone().requires_grad_()
            z = changed(signal)
            seed = torch.zeros_like(z)
            seed[torch.arange(len(z)), z.argmax(1)] = z.max(1).values.detach()
            return torch.autograd.grad(z, signal, seed)[0].numpy()

    return lambda: quiet(run)


def medians(runs: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Milliseconds of each, interleaved; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(repeat + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(t)) for name, t in times.items()}


def measured(name: str, batch: int, preset: str, repeat: int) -> dict[str, Any]:
    make, shape = NETS[name]
    net = make()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((batch, *shape)).astype("f4"))
    graph = exported(net, x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(graph)
        model = dftlrp.load(path)
    signal, zennit = x.numpy(), theirs(net, preset, x)
    plain = runtime_of(graph, f":{THREADS}")

    def ours() -> Any:
        return attribute(
            model, signal, composite=preset, backend=f"onnx::{THREADS}", ledger=False
        ).relevance

    start = time.perf_counter()
    R = ours()
    first = time.perf_counter() - start
    difference = float(np.abs(R - zennit()).sum() / np.abs(R).sum())
    runs = {"onnx": ours, "zennit": zennit, "forward": lambda: plain.run(None, {"x": signal})}
    ms = medians(runs, repeat)
    return {
        "net": name, "batch": batch, "preset": preset, **ms, "first call": 1e3 * first,
        "x zennit": ms["zennit"] / ms["onnx"], "x forward": ms["onnx"] / ms["forward"],
        "L1 difference": difference,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    machine = (
        f"{platform.processor() or platform.machine()}, {platform.system()}, {THREADS} threads"
    )
    print(machine)
    rows = []
    for name in NETS:
        for batch in (1, 16):
            for preset in PRESETS:
                row = measured(name, batch, preset, args.repeat)
                rows.append(row)
                print(
                    f"{name:28} batch {batch:2} {preset:19} "
                    + "  ".join(f"{k} {row[k]:.3g}" for k in list(row)[3:]),
                    flush=True,
                )
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
