"""Time of an explanation on torch tensors against zennit, with the same rules, in one process.

    python benchmarks/bench_torch.py [--repeat 15] [--batch 1 16] [--only TEXT] [--json FILE]

The networks of `tests/nets.py` that zennit has rules for, float32, two threads, interleaved.
Medians of wall-clock, and of the process's own CPU time, which other load changes less.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_onnx import UNKNOWN, Question, write_inputs
from bench_sides import THREADS, ZENNIT, Run, prepare_zennit
from nets import NETS
from peers import torch

import dftlrp


def prepare_ours(folder: Path, rules: str) -> Run:
    """Return a function that explains the largest logit with dftlrp on torch tensors."""
    model, x = dftlrp.load(folder / "model.onnx"), np.load(folder / "x.npy")
    how = {"composite": rules, "backend": "torch", "dtype": "float32", "ledger": False}
    return lambda: dftlrp.attribute(model, x, **how).relevance


def measure_medians(runs: dict[str, Run], repeat: int) -> dict[str, list[float]]:
    """Return the median milliseconds of each, wall-clock and CPU; the first round warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for round_ in range(repeat + 1):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if round_:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (1e3 * np.median(pairs, axis=0)).tolist() for name, pairs in times.items()}


def measure(q: Question, repeat: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(q, folder)
        runs = {
            "torch": prepare_ours(folder, q.rules),
            "zennit": prepare_zennit(folder, q.net, q.rules),
        }
        R, theirs = (run() for run in runs.values())
        ms = measure_medians(runs, repeat)
    faster = [b / a for a, b in zip(ms["torch"], ms["zennit"], strict=True)]
    difference = float(np.abs(R - theirs).sum() / np.abs(R).sum())
    return {**q._asdict(), **ms, "faster": faster, "L1 difference": difference}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--only", default="", help="networks whose name has this text")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    rows = []
    for net in (n for n in NETS if n not in UNKNOWN and args.only in n):
        for q in (Question(net, batch, rules) for batch in args.batch for rules in ZENNIT):
            rows.append(measure(q, args.repeat))
            print(json.dumps(rows[-1]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
