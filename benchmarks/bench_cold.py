"""A cold start: `dftlrp explain` of the embedded clip, each time in a new process.

    python benchmarks/bench_cold.py [--repeat 7] [--beside CHECKOUT]

Medians of the seconds that pass and of those of the processor (all processes together), with
report and sounds written.  ``--beside`` alternates with another checkout, run by the same Python:
the factors are worth more than the seconds, and on a busy machine those of the processor most.
All run from compiled bytecode, as what pip installs does.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parents[1]


def explain_once(checkout: Path, bytecode: str) -> tuple[float, float]:
    """Return the seconds that passed, and those of the processor."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dftlrp", "explain", "--out", folder]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            command, cwd=checkout, env=env | {"PYTHONPYCACHEPREFIX": bytecode}, check=True,
            capture_output=True,
        )  # fmt: skip
        passed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "report.html" in os.listdir(folder)
    return passed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="an older version")
    args = parser.parse_args()
    sides = [HERE, *([args.beside.resolve()] if args.beside else [])]
    found: dict[Path, list[tuple[float, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as bytecode:
        for side in sides:
            explain_once(side, bytecode)  # compiles
        for _ in range(args.repeat):
            for side in sides:
                found[side].append(explain_once(side, bytecode))
    middles = [tuple(map(median, zip(*found[side], strict=True))) for side in sides]
    for side, (passed, used) in zip(sides, middles, strict=True):
        print(f"{side}: {passed:.2f} s, {used:.2f} s of the processor")
    if args.beside:
        ours, theirs = middles
        factors = [b / a for a, b in zip(ours, theirs, strict=True)]
        print(f"{factors[0]:.1f} times as fast, {factors[1]:.1f} times by the processor")


if __name__ == "__main__":
    main()
