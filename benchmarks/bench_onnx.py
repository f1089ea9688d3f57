"""Time and memory of an explanation: the traced graph, zennit, captum, and the forward pass.

    python benchmarks/bench_onnx.py [--repeat 15] [--only TEXT] [--rules TEXT] [--json FILE]
    BENCH_THREADS=1 python benchmarks/bench_onnx.py --processor
    python benchmarks/bench_onnx.py --references

The networks of `tests/nets.py` at batch 1 and 16, float32, two threads each.  Times are medians of
interleaved repetitions in one process; peak memory (Linux) and the first call, which traces, are
those of a process of its own for each side.  Each peer explains by its own rules, dftlrp by the
same ones, and how far the two are apart is printed.  A cold start is `bench_cold.py`'s.
``--processor`` counts milliseconds of the processor, which other work on the machine changes less.

``--references`` measures what a reference costs instead: EpsilonPlus and EpsilonGamma without one,
EpsilonGamma against silence, which is a part of the graph, and against noise, which is an input;
in milliseconds of the processor, one thread, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from bench_sides import CAPTUM, SIDES, THREADS, ZENNIT, Run, prepare_onnx, run_alone
from nets import NETS, seeded
from peers import quiet, torch

import dftlrp

BATCHES = (1, 16)
RULES = {"Transformer": ("AttnLRP", "CPLRP"), "LSTM": ZENNIT}  # which no peer has: see UNKNOWN
UNKNOWN = {
    "Transformer": "not supported: attention and LayerNorm (zennit and captum: errors)",
    "LSTM": "not supported: LSTM (zennit: its gradient; captum: error)",
}
HEAD = (
    "network, batch", "rules", "traced graph", "peer", "forward", "faster than the peer",
    "times the forward pass", "L1 difference", "first call (s)", "peak, of it libraries (MB)",
    "peer's",
)  # fmt: skip
EMBEDDED = "embedded waveform"  # a trained network without biases
COSTS = (
    "network, batch", "EpsilonPlus", "EpsilonGamma", "against silence", "against an array",
    "silence / EpsilonPlus", "silence / EpsilonGamma", "array / silence",
)  # fmt: skip
PAUSE = 0.5  # seconds between sides: idle threads of the last one spin on for a while


class Question(NamedTuple):
    """One line of the table."""

    net: str
    batch: int
    rules: str

    @property
    def peer(self) -> str:
        """The library that also answers the question, or an empty text."""
        if self.net in UNKNOWN:
            return ""
        return "captum" if self.rules in CAPTUM else "zennit"


def list_questions() -> Iterator[Question]:
    for net in NETS:
        for batch in BATCHES:
            for rules in RULES.get(net, (*ZENNIT, *CAPTUM)):
                yield Question(net, batch, rules)


def write_inputs(q: Question, folder: Path) -> None:
    """Write the network as ONNX, and a batch of noise."""
    x = np.random.default_rng(1).standard_normal((q.batch, *NETS[q.net].shape)).astype("f4")
    file = io.BytesIO()
    given = (torch.from_numpy(x),)
    quiet(
        lambda: torch.onnx.export(
            seeded(q.net), given, file, opset_version=17, dynamo=False, input_names=["x"],
            output_names=["z"], dynamic_axes={"x": {0: "B"}},
        )
    )  # fmt: skip
    (folder / "model.onnx").write_bytes(file.getvalue())
    np.save(folder / "x.npy", x)


def measure_medians(
    runs: dict[str, Run], repeat: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median milliseconds of each, interleaved; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(repeat + 1):
        for name, run in runs.items():
            time.sleep(PAUSE)
            start = clock()
            run()
            if round_:
                times[name].append(1e3 * (clock() - start))
    return {name: float(np.median(t)) for name, t in times.items()}


def measure(q: Question, repeat: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Return milliseconds, megabytes and the difference from the peer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(q, folder)
        sides = ["onnx", *filter(None, [q.peer])]
        runs = {s: SIDES[s](folder, q.net, q.rules) for s in (*sides, "forward")}
        ms = measure_medians(runs, repeat, clock)
        row: dict[str, Any] = {**q._asdict(), "peer": q.peer, "ms": ms}
        if q.peer:
            ours, theirs = runs["onnx"](), runs[q.peer]()
            row["difference"] = float(np.abs(ours - theirs).sum() / np.abs(ours).sum())
        row["alone"] = {s: run_alone(s, folder, q.net, q.rules) for s in sides}
    return row


def measure_references(net: str, batch: int, repeat: int) -> dict[str, float]:
    """Return the milliseconds of presets and references, of one thread on the processor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if net == EMBEDDED:
            shutil.copy(dftlrp.embedded("waveform"), folder / "model.onnx")
            np.save(folder / "x.npy", np.random.default_rng(1).standard_normal((batch, 1, 8000)))
        else:
            write_inputs(Question(net, batch, ""), folder)
        noise = np.random.default_rng(2).standard_normal(np.load(folder / "x.npy").shape)
        runs = {
            "EpsilonPlus": prepare_onnx(folder, net, "EpsilonPlus", threads=1),
            "EpsilonGamma": prepare_onnx(folder, net, "EpsilonGamma", threads=1),
            "silence": prepare_onnx(folder, net, "EpsilonGamma", "silence", threads=1),
            "array": prepare_onnx(folder, net, "EpsilonGamma", noise, threads=1),
        }
        return measure_medians(runs, repeat, time.process_time)


def print_references(repeat: int, only: str) -> list[dict[str, Any]]:
    """Print the table of what a reference costs, and return its times."""
    print(f"{format_line(COSTS)}\n|{'---|' * len(COSTS)}")
    rows: list[dict[str, Any]] = []
    for net in (n for n in (EMBEDDED, *NETS) if n not in UNKNOWN and only in n):
        for batch in BATCHES:
            ms = measure_references(net, batch, repeat)
            rows.append({"net": net, "batch": batch, "ms": ms})
            plus, plain, silence, array = ms.values()
            ratios = (silence / plus, silence / plain, array / silence)
            cells = (f"{net}, {batch}", *(f"{t:.3g}" for t in (plus, plain, silence, array)))
            print(format_line([*cells, *(f"{ratio:.2f}" for ratio in ratios)]), flush=True)
    return rows


def describe_memory(side: dict[str, float]) -> str:
    """Return the peak of the whole process and the part of its libraries, as text."""
    return f"{side['peak']:.0f}, {side['before']:.0f}"


def format_cells(row: dict[str, Any]) -> list[str]:
    """Return the cells of a row of the page."""
    ms, ours, peer = row["ms"], row["alone"]["onnx"], row["peer"]
    return [
        f"{row['net']}, {row['batch']}", row["rules"], f"{ms['onnx']:.3g}",
        f"{peer} {ms[peer]:.3g}" if peer else UNKNOWN[row["net"]], f"{ms['forward']:.3g}",
        f"{ms[peer] / ms['onnx']:.1f}" if peer else "", f"{ms['onnx'] / ms['forward']:.1f}",
        f"{row['difference']:.0e}" if peer else "", f"{ours['first']:.2f}",
        describe_memory(ours), describe_memory(row["alone"][peer]) if peer else "",
    ]  # fmt: skip


def format_line(texts: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def describe_machine() -> str:
    """Return the machine and the versions, as text."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    named = (x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    name = next(named, platform.processor() or platform.machine())
    cores = len(os.sched_getaffinity(0))
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    return f"{name}, {cores} cores, {platform.system()}, {THREADS} threads; {versions}"


def print_sides(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Print the table of all sides, and return its rows."""
    print(f"{format_line(HEAD)}\n|{'---|' * len(HEAD)}")
    rows = []
    clock = time.process_time if args.processor else time.perf_counter
    for q in (q for q in list_questions() if args.only in q.net and args.rules in q.rules):
        rows.append(measure(q, args.repeat, clock))
        print(format_line(format_cells(rows[-1])), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--rules", default="", help="rules whose name contains this")
    parser.add_argument("--processor", action="store_true", help="time of the processor")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--references", action="store_true", help="only what references cost")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(f"{describe_machine()}\n")
    rows = print_references(args.repeat, args.only) if args.references else print_sides(args)
    if args.json:
        found = {"machine": describe_machine(), "rows": rows}
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
