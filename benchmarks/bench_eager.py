"""Time of later calls by backends that compute at once, beside another checkout.

    python benchmarks/bench_eager.py [--backend numpy] [--repeat 5] [--batch 16] [--only AudioNet]
                                     [--beside CHECKOUT] [--json FILE]

EpsilonPlus on the networks of `tests/nets.py`.  With ``--beside`` another checkout, run by the same
Python in a process of its own, answers in turn: the factors are worth more than the seconds, and on
a busy machine those of the processor most.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bench_onnx import Question, write_inputs  # finds the tests
from nets import NETS

HERE = Path(__file__).resolve().parents[1]
SIDE = """
import sys, time, numpy as np, dftlrp
folder, backend = sys.argv[1:]
model, x = dftlrp.load(folder + "/model.onnx"), np.load(folder + "/x.npy")
how = {"composite": "EpsilonPlus", "reference": "none", "backend": backend, "ledger": False}
how |= {} if backend == "numpy" else {"dtype": "float32"}
for _ in range(2):
    R = dftlrp.attribute(model, x, **how).relevance
np.save(sys.argv[1] + "/R.npy", R)
print("ready", flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    dftlrp.attribute(model, x, **how)
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""


class Side:
    """A process that explains once each time it is asked."""

    def __init__(self, checkout: Path, folder: Path, backend: str) -> None:
        places = os.pathsep.join(map(str, (checkout, checkout / "backends")))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIDE, str(folder), backend], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=checkout,
            env=os.environ | {"PYTHONPATH": places},
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.times: list[tuple[float, float]] = []
        self.relevance = np.load(folder / "R.npy")

    def explain(self) -> None:
        """Note the seconds that pass, and those of the processor."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        wall, cpu = map(float, self.process.stdout.readline().split())
        self.times.append((wall, cpu))

    def read_medians(self) -> list[float]:
        """Return the median milliseconds, wall-clock and of the processor; end the process."""
        self.process.communicate("")
        return [1e3 * median(column) for column in zip(*self.times, strict=True)]


def measure(net: str, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return the times of one network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(Question(net, batch, "EpsilonPlus"), folder)
        checkouts = [HERE, *([args.beside.resolve()] if args.beside else [])]
        sides = [Side(checkout, folder, args.backend) for checkout in checkouts]
        for _ in range(args.repeat):
            for side in sides:
                side.explain()
                time.sleep(0.1)
        ms = [side.read_medians() for side in sides]
    row: dict[str, Any] = {"net": net, "batch": batch, "backend": args.backend, "ms": ms[0]}
    if args.beside:
        R, before = (side.relevance for side in sides)
        row["before"] = ms[1]
        row["part of before"] = [a / b for a, b in zip(*ms, strict=True)]
        row["L1 difference"] = float(np.abs(R - before).sum() / np.abs(R).sum())
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--only", default="AudioNet", help="networks whose name has this text")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another version")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rows = []
    for net in (n for n in NETS if args.only in n):
        for batch in args.batch:
            rows.append(measure(net, batch, args))
            print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
