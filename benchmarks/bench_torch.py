"""Time of an explanation on torch tensors: our backend, zennit, and the forward pass as the limit.

The networks of bench_onnx.py, in float32 on two threads, in one process and interleaved.  Medians
of wall-clock and of the processes' own CPU time, which other load does not change.

    python benchmarks/bench_torch.py [--repeat 15] [--batch 1 16] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench_onnx import NETS, PRESETS, THREADS, exported, theirs
from peers import torch

import dftlrp

Run = Callable[[], Any]


def medians(runs: dict[str, Run], repeat: int) -> dict[str, float]:
    """Milliseconds of each, wall-clock and CPU; the first round warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for round_ in range(repeat + 1):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if round_:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    found = {}
    for name, pairs in times.items():
        found[name], found[f"{name} cpu"] = (1e3 * float(t) for t in np.median(pairs, axis=0))
    return found


def measured(name: str, batch: int, preset: str, repeat: int) -> dict[str, Any]:
    make, shape = NETS[name]
    net = make()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((batch, *shape)).astype("f4"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(exported(net, x))
        model = dftlrp.load(path)
    signal, zennit = x.numpy(), theirs(net, preset, x)

    def ours() -> Any:
        how = {"composite": preset, "backend": "torch", "dtype": "float32", "ledger": False}
        return dftlrp.attribute(model, signal, **how).relevance

    def forward() -> Any:
        with torch.no_grad():
            return net(x)

    R = ours()
    difference = float(np.abs(R - zennit()).sum() / np.abs(R).sum())
    ms = medians({"torch": ours, "zennit": zennit, "forward": forward}, repeat)
    return {
        "net": name, "batch": batch, "preset": preset, **ms,
        "x zennit": ms["zennit"] / ms["torch"], "x zennit cpu": ms["zennit cpu"] / ms["torch cpu"],
        "L1 difference": difference,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    rows = []
    for name in NETS:
        for batch in args.batch:
            for preset in PRESETS:
                rows.append(measured(name, batch, preset, args.repeat))
                print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v)
                                for k, v in rows[-1].items()), flush=True)  # fmt: skip
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
