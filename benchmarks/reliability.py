"""The table of docs/explanation/reliability.md: promises, how they are tested, what was found.

    python benchmarks/reliability.py [--write PAGE] [--state FOLDER] [--quick]

``--state`` is the folder of `benchmarks/fuzz.py`, whose mutants so far are counted with those of
this run; so are the kills of `benchmarks/kills.py`.  ``--recorded`` runs no further mutants (but
those in which something was found) and no further kills.  ``--quick`` runs few.  The exit code is 1
if a promise is not kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path[:0] = [str(TESTS), str(HERE)]
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
BACKENDS = ("numpy", "onnx")


class Result(NamedTuple):
    """A figure in words, and whether the promise is kept."""

    figure: str
    kept: bool


class Row(NamedTuple):
    """A line of the table."""

    fault: str
    promise: str
    test: str
    measure: Callable[[argparse.Namespace], Result]


def main() -> int:
    """Measure and print or write."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--write", type=Path, metavar="FILE", help="replace the table in this page")
    p.add_argument("--state", type=Path, metavar="FOLDER")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--recorded", action="store_true")
    p.add_argument("--only", metavar="TEXT", help="rows whose fault holds this")
    args = p.parse_args()
    lines, kept = dict[str, str](), True
    for row in ROWS:
        if args.only and args.only not in row.fault:
            continue
        start = time.monotonic()
        figure, good = row.measure(args)
        kept &= good
        lines[row.fault] = f"| {row.fault} | {row.promise} | {row.test} | {figure} |"
        told = "" if good else "NOT KEPT: "
        print(f"{row.fault}: {told}{figure} ({time.monotonic() - start:.0f} s)", flush=True)
    if args.write:
        _write(args.write, lines)
    return 0 if kept else 1


def _write(page: Path, lines: dict[str, str]) -> None:
    """Write the rows that were measured; the others stay as they are."""
    head = ["| fault or bad input | promise | test | figure |", "|---|---|---|---|"]
    told = f"Measured with Python {platform.python_version()} on {os.cpu_count()} cores."
    text = page.read_text(encoding="utf-8")
    before = {line.split(" | ")[0][2:]: line for line in text.splitlines() if line.startswith("| ")}
    every = [(before | lines)[row.fault] for row in ROWS if row.fault in before | lines]
    block = "\n".join([BEGIN, told, "", *head, *every, END])
    page.write_text(
        re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8"
    )


# -- what is measured


def _hostile(args: argparse.Namespace) -> Result:
    import contained
    import hostile

    with tempfile.TemporaryDirectory() as folder:
        cases = {path: name for name, path in hostile.write(Path(folder)).items()}
        found = {cases[o.path]: o for o in contained.outcomes(cases)}
    bad = {n: o for n, o in found.items() if n not in hostile.LEGITIMATE}
    refused = sum(o.ours for o in bad.values())
    worked = sum(o.kind == "finite" for n, o in found.items() if n in hostile.LEGITIMATE)
    seconds = max(o.seconds for o in found.values())
    memory = max(o.memory for o in found.values()) / 2**20
    outside = sum(".pyc" not in place for o in found.values() for place in o.outside)
    figure = (
        f"{refused} of {len(bad)} refused, {worked} of {len(found) - len(bad)} odd but valid ones "
        f"explained; at most {seconds:.1f} s of CPU time and {memory:.0f} MiB; {outside} files "
        "outside opened"
    )
    return Result(figure, refused == len(bad) and worked == len(found) - len(bad) and not outside)


def _fuzz(kind: str, count: int) -> Callable[[argparse.Namespace], Result]:
    def measure(args: argparse.Namespace) -> Result:
        number = 0 if args.recorded else 300 if args.quick else count
        command = [sys.executable, str(HERE / "fuzz.py"), kind, "--count", str(number)]
        command += ["--state", str(args.state)] if args.state else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return Result(done.stdout.splitlines()[-1], done.returncode == 0)

    return measure


def _crashes(args: argparse.Namespace) -> Result:
    return _pytest("tracing/test_isolation.py", "a model that divides the least integer by -1, a "
                   "killed, a hanging child: named, and the next call works")  # fmt: skip


def _bombs(args: argparse.Namespace) -> Result:
    return _pytest("graph/test_hostile.py", "the budget is kept to the byte", "budget")


def _nan(args: argparse.Namespace) -> Result:
    """NaN and Inf at every value of the embedded models that depends on the signal."""
    from dftlrp.core.types import NonFiniteError

    found = total = 0
    for model, x in _embedded():
        plan = model.plan()
        floats = [n.output for n in plan.nodes if n.output in plan.live]
        for name in floats:
            for bad in (np.nan, np.inf):
                total += 1
                try:
                    _evaluate(model, x, name, bad)
                except NonFiniteError:
                    found += 1
    return Result(f"{found} of {total} injections detected, with layer and index", found == total)


def _evaluate(model: Any, x: np.ndarray, name: str, factor: float) -> None:
    from dftlrp.core.backend import get_backend
    from dftlrp.engine.evaluate import evaluate
    from dftlrp.engine.forward import gather_arrays

    bk, double = get_backend(), np.dtype(np.float64)
    given = gather_arrays(model, model.plan(), x, bk, double)
    evaluate(model.plan(), given, bk, double, {name: np.array(factor)})


def _embedded() -> Iterator[tuple[Any, np.ndarray]]:
    """The embedded models, each with a small input."""
    import dftlrp
    from dftlrp.assets import MODELS

    for name in MODELS:
        model = dftlrp.load(dftlrp.embedded(name))
        (value,) = model.plan().signals.values()
        shape = [d or 1 for d in value.dims or (1,)]
        yield model, np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)


def _transforms(args: argparse.Namespace) -> Result:
    """Largest constant c in gap <= c eps log2(N) |x| |m|, over lengths and hard signals."""
    from dftlrp.spectral import dft_lrp

    worst, where = 0.0, 0
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 97, 256, 1000, 1021, 4096, 65536, 99991, 2**18):
        for kind in range(20 if args.quick else 100):
            x, m = rng.standard_normal((2, n))
            x[rng.random(n) < 0.3] = 0
            x *= 10.0 ** rng.integers(-12, 12) if kind % 2 else 1
            x[rng.random(n) < 0.1] = 5e-324
            gap = abs(float(dft_lrp(x, multiplier=m).relevance.sum() - (x * m).sum()))
            unit = np.finfo(float).eps * max(1, np.log2(n)) * np.linalg.norm(x) * np.linalg.norm(m)
            if unit and gap / unit > worst:
                worst, where = gap / unit, n
    return Result(f"worst constant {worst:.2f} (N = {where})", worst <= 4)


def _ledger(args: argparse.Namespace) -> Result:
    worst = {"numpy": 0.0, "onnx": 0.0}
    count = 0
    for model, x in _embedded():
        for preset in _presets():
            for backend in BACKENDS:
                worst[backend] = max(worst[backend], _explain(model, x, preset, backend).ledger.gap)
                count += 1
    figure = (
        f"worst gap {worst['numpy']:.0e} (float64) and {worst['onnx']:.0e} (float32) of {count} "
        "explanations of the embedded models by every preset"
    )
    return Result(figure, worst["numpy"] <= 1e-12 and worst["onnx"] <= 1e-5)


def _presets() -> list[str]:
    from dftlrp.engine.composites import PRESETS

    return [name for name in PRESETS if name != "Gradient"]


def _explain(model: Any, x: np.ndarray, preset: str, backend: str) -> Any:
    import dftlrp

    return dftlrp.attribute(model, x, target=1, composite=preset, backend=backend)


def _agreement(args: argparse.Namespace) -> Result:
    """Largest distance of relevance between the backends; round-off may flip a near-tie."""
    offs = []
    for model, x in _embedded():
        for preset in ("EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGammaBox"):
            a, b = (_explain(model, x, preset, backend).relevance for backend in BACKENDS)
            offs.append(float(np.abs(a - b).max() / np.abs(a).max()))
    return Result(f"largest difference {max(offs):.0e} of the largest relevance", max(offs) <= 1e-4)


def _workers(args: argparse.Namespace) -> Result:
    runs = _pytest("concepts/shards/test_run.py", "workers killed, stopped, out of memory")
    faults = _pytest("concepts/shards/test_faults.py", "full disks, torn and flipped files, kills")
    return Result(f"{runs.figure}; {faults.figure}", runs.kept and faults.kept)


def _kills(args: argparse.Namespace) -> Result:
    counts = ("0", "0") if args.recorded else ("5", "3") if args.quick else ("100", "50")
    command = [sys.executable, str(HERE / "kills.py"), "--explain", counts[0]]
    command += ["--state", str(args.state)] if args.state else []
    done = subprocess.run(
        [*command, "--neurons", counts[1]], capture_output=True, text=True, check=False
    )
    figure = "; ".join(done.stdout.splitlines()[-2:])
    return Result(figure, done.returncode == 0 and "0 of 0 runs" not in figure)


def _two_runs(args: argparse.Namespace) -> Result:
    """Pairs of commands at once: one may be refused, and the results are those of one."""
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        whole = []
        for target in "37":
            _start(["explain", "--target", target, "--out", f"{folder}/{target}"]).wait()
            whole.append(_sum(Path(folder, target)))
        pairs = 3 if args.quick else 10
        for i in range(pairs):
            out = Path(folder, f"both{i}")
            runs = [_start(["explain", "--target", t, "--out", str(out)]) for t in "37"]
            codes = sorted(run.wait() for run in runs)
            good += codes in ([0, 0], [0, 2]) and _sum(out) in whole
    return Result(f"{pairs - good} mixed of {pairs} pairs of runs", good == pairs)


def _labels(args: argparse.Namespace) -> Result:
    shown = _pytest("core/test_text.py", "names and labels with escapes shown escaped")
    page = _pytest("results/test_report.py", "labels in the report stay text", "hostile or odd")
    return Result(f"{shown.figure}; {page.figure}", shown.kept and page.kept)


def _threads(args: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        sums = []
        for threads in "12":
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            env = dict.fromkeys(names, threads)
            _start(["explain", "--out", f"{folder}/{threads}"], env).wait()
            sums.append(_sum(Path(folder, threads)))
    distinct = len({repr(sorted(s.items())) for s in sums})
    return Result(f"{distinct} distinct result of 1 and 2 threads", distinct == 1)


def _start(command: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    whole = [sys.executable, "-m", "dftlrp", *command]
    return subprocess.Popen(whole, stdout=quiet, stderr=quiet, env=os.environ | (env or {}))


def _sum(folder: Path) -> dict[str, str]:
    files = (p for p in folder.iterdir() if p.is_file() and p.name != ".lock")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _cuts(args: argparse.Namespace) -> Result:
    """Every container and codec, cut at many places: refused, or read with a warning."""
    import io

    import soundfile
    from fuzz_recordings import list_files

    from dftlrp.attribution.formats.sound_files import UNSTATED
    from dftlrp.attribution.recording import read_recording
    from dftlrp.core.types import InputError

    silent = cuts = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound")
        for _, data in list_files():
            try:
                frames = soundfile.info(io.BytesIO(data)).frames
            except (soundfile.SoundFileError, RuntimeError):
                frames = 0
            for share in (0.1, 0.5, 0.9, 0.999):
                path.write_bytes(data[: int(share * len(data))])
                cuts += 1
                try:
                    read = read_recording(path, 1)
                except InputError:
                    refused += 1
                else:
                    silent += UNSTATED not in read.notes and read.length < frames
    mutants = _fuzz("recordings", 20_000)(args)
    figure = f"{refused} of {cuts} cut files refused, {silent} cut in silence; {mutants.figure}"
    return Result(figure, mutants.kept and not silent)


def _pytest(where: str, what: str, only: str = "") -> Result:
    """A file of tests as one figure."""
    command = [sys.executable, "-m", "pytest", "-q", str(TESTS / where)]
    done = subprocess.run(
        [*command, *(("-k", only) if only else ())], capture_output=True, text=True, check=False,
        cwd=HERE.parent,
    )  # fmt: skip
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "no tests"
    passed = re.search(r"(\d+) passed", last)
    failed = re.search(r"(\d+) (failed|error)", last)
    total = int(passed[1]) if passed else 0
    return Result(
        f"{what}: {total} of {total + (int(failed[1]) if failed else 0)} tests",
        done.returncode == 0 and total > 0,
    )


ROWS = (
    Row("hostile model", "an error of one line, no file outside opened, 512 MiB",
        "`tests/graph/test_hostile.py`", _hostile),
    Row("random mutants of models", "no traceback, no signal, 512 MiB and 5 s a step",
        "`benchmarks/fuzz.py models`", _fuzz("models", 100_000)),
    Row("onnxruntime crashes or hangs", "an error that names model and node",
        "`tests/tracing/test_isolation.py`", _crashes),
    Row("memory bomb", "refused before anything is allocated", "budget tests at one byte",
        _bombs),
    Row("bad recording", "refused, or read with a warning", "every container, cut; "
        "`benchmarks/fuzz.py recordings`", _cuts),
    Row("NaN or Inf anywhere", "stops with layer and index", "injected at every value", _nan),
    Row("DFT map", "sums agree within 4 eps log2(N) norms", "zeros, subnormals, primes",
        _transforms),
    Row("each rule", "the ledger closes: 1e-12 (float64), 1e-5 (float32)",
        "every preset, embedded models", _ledger),
    Row("two backends", "agree to 1e-4", "embedded models", _agreement),
    Row("worker killed, stopped, out of memory; full disk, torn shard",
        "other shards are done, this one is named; the next run completes",
        "`tests/concepts/shards`", _workers),
    Row("run killed", "nothing half-written, same bytes after the next run",
        "`benchmarks/kills.py`", _kills),
    Row("two runs, one folder", "one writes at a time", "started at once", _two_runs),
    Row("hostile label or name", "shown as text", "`tests/core/test_text.py`, report", _labels),
    Row("number of threads", "the same bytes", "1 and 2 threads", _threads),
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
