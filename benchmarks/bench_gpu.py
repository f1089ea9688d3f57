"""Time of an explanation on a GPU: dftlrp on torch tensors, zennit, and the forward pass.

    python benchmarks/bench_gpu.py [--batch 1 16 128] [--only TEXT] [--repeat 5] [--json FILE]

The networks of `tests/nets.py` that zennit has rules for, and the LSTM, for which it has none, all
sides in one process: float32 without TF32, inputs and results on the device, a synchronisation
before and after each call.  The first call of dftlrp, which prepares, is timed by itself.  Without
a GPU it says so and ends; `--device cpu` tries the script there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_onnx import Question, write_inputs
from bench_sides import ZENNIT
from nets import seeded, with_adds
from peers import quiet, torch
from peers import zennit as load_zennit

import dftlrp

NETWORKS = ("AudioNet", "VGG-like", "ResNet 1-D", "LSTM")
WITHOUT_PEER = {"LSTM"}  # of which zennit takes the gradient without a word
Run = Callable[[], Any]


def describe_device(device: str) -> dict[str, str]:
    """Return the card and the versions."""
    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    return {"card": card, "torch": torch.__version__, "CUDA": str(torch.version.cuda)}


def prepare_zennit(net: Any, x: Any, rules: str) -> Run:
    """Return a function that explains the largest logit with zennit."""
    module = load_zennit()

    class Sum(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sum = module.layer.Sum()

        def forward(self, a: Any, b: Any) -> Any:
            return self.sum(torch.stack([a, b], -1))

    net, composite = with_adds(net, Sum), getattr(module.composites, rules)()

    def run() -> Any:
        with composite.context(net) as changed:
            signal = x.clone().requires_grad_()
            z = changed(signal)
            seed = torch.zeros_like(z)
            seed[torch.arange(len(z)), z.argmax(1)] = z.max(1).values.detach()
            return torch.autograd.grad(z, signal, seed)[0]

    return lambda: quiet(run)


def prepare_forward(net: Any, x: Any) -> Run:
    """Return a function that runs the network alone."""

    def run() -> Any:
        with torch.no_grad():
            return net(x)

    return run


def prepare_sides(q: Question, folder: Path, device: str) -> dict[str, Run]:
    """Return the sides by name: as tensors, as NumPy arrays through `attribute`, the others."""
    import dftlrp_torch

    model, given = dftlrp.load(folder / "model.onnx"), np.load(folder / "x.npy")
    x = torch.from_numpy(given).to(device)
    backend = f"torch:{device}" if device != "cpu" else "torch"
    asked: dict[str, Any] = {"backend": backend, "dtype": "float32", "reference": "none"}
    sides: dict[str, Run] = {
        "forward": prepare_forward(seeded(q.net).to(device), x),
        "relevance": lambda: dftlrp_torch.relevance(model, x, composite=q.rules),
        "attribute": lambda: (
            dftlrp.attribute(model, given, composite=q.rules, ledger=False, **asked).relevance
        ),
    }
    if q.net not in WITHOUT_PEER:
        sides["zennit"] = prepare_zennit(seeded(q.net).to(device), x, q.rules)
    return sides


def time_call(run: Run, device: str) -> float:
    """Return the milliseconds of one call, until the device is done."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    run()
    wait()
    return 1e3 * (time.perf_counter() - start)


def measure(q: Question, device: str, repeat: int) -> dict[str, Any]:
    """Return medians of interleaved calls in milliseconds, and how far the answers are apart."""
    with tempfile.TemporaryDirectory() as name:
        write_inputs(q, Path(name))
        sides = prepare_sides(q, Path(name), device)
        first = {side: time_call(run, device) for side, run in sides.items()}
        for run in sides.values():
            run()
        times = [{s: time_call(run, device) for s, run in sides.items()} for _ in range(repeat)]
        ms = {s: float(np.median([t[s] for t in times])) for s in sides}
        row: dict[str, Any] = {**q._asdict(), "first call": first["relevance"], "ms": ms}
        if "zennit" in sides:
            ours, theirs = (sides[s]().detach().double() for s in ("relevance", "zennit"))
            row["L1 difference"] = float((ours - theirs).abs().sum() / theirs.abs().sum())
            row["faster than zennit"] = ms["zennit"] / ms["relevance"]
    row["times the forward pass"] = ms["relevance"] / ms["forward"]
    if device.startswith("cuda"):
        row["peak MB"] = torch.cuda.max_memory_allocated(device) / 1e6
        torch.cuda.reset_peak_memory_stats(device)
    return row


def format_row(row: dict[str, Any]) -> str:
    times = ", ".join(f"{side} {ms:.3g}" for side, ms in row["ms"].items())
    peer = f", zennit / relevance {row['faster than zennit']:.2f}" if "zennit" in row["ms"] else ""
    return (
        f"{row['net']}, {row['batch']}, {row['rules']}: {times} ms{peer}, "
        f"{row['times the forward pass']:.1f} forward passes, first {row['first call']:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 128])
    parser.add_argument("--only", default="", help="networks whose name has this text")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here that torch can use: nothing is measured")
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    report: dict[str, Any] = {"machine": describe_device(args.device), "rows": []}
    print(", ".join(f"{k} {v}" for k, v in report["machine"].items()), flush=True)
    for net in (n for n in NETWORKS if args.only in n):
        for batch in args.batch:
            for rules in ZENNIT:
                row = measure(Question(net, batch, rules), args.device, args.repeat)
                report["rows"].append(row)
                print(format_row(row), flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
