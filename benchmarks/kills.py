"""Kill ``dftlrp explain`` and ``dftlrp neurons`` at random moments; what is there must be whole.

    python benchmarks/kills.py [--explain 100] [--neurons 50] [--seed 0] [--state FOLDER]

Each run writes into a folder that holds the results of another question, or what the run killed
before it left, and is killed (SIGKILL, sometimes SIGTERM) at a random moment.  Afterwards every
file must be complete, and results with a report must be those of one run.  After the kills an
undisturbed run must give, byte for byte, what a run in a new folder gives, and leave nothing of
the killed ones.  Prints one line for each command, in which earlier runs with the same ``--state``
count; the exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

STAGES = (".dftlrp-*", "**/*.part")  # what a killed run may leave, and the next one must not
OWN = {".lock", ".dftlrp.json"}


class Job(NamedTuple):
    """A command: its arguments but ``--out``, by question; and what must hold after a kill."""

    name: str
    questions: tuple[list[str], ...]
    check: Callable[[Path, list[dict[str, str]]], Iterator[str]]


def main() -> int:
    """Kill and count."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--explain", type=int, default=100, metavar="N")
    p.add_argument("--neurons", type=int, default=50, metavar="N")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--state", type=Path, metavar="FOLDER")
    args = p.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for job, count in ((_make_explain(), args.explain), (_make_neurons(place), args.neurons)):
            told = _read_counts(args.state, job.name)
            if count:
                told += _kill_often(job, place / job.name, count, random.Random(args.seed))
                _write_counts(args.state, job.name, told)
            print(
                f"{job.name}: {told['early']} of {told['runs']} runs killed before their end, "
                f"{told['sigterm']} of these by SIGTERM; {told['wrong']} wrong",
                flush=True,
            )
            wrong += told["wrong"]
    return 1 if wrong else 0


def _read_counts(state: Path | None, name: str) -> Counter[str]:
    path = state / f"kills-{name}.json" if state else None
    counts = json.loads(path.read_text()) if path and path.exists() else {}
    return Counter({"runs": 0, "early": 0, "sigterm": 0, "wrong": 0} | counts)


def _write_counts(state: Path | None, name: str, counts: Counter[str]) -> None:
    if state:
        state.mkdir(parents=True, exist_ok=True)
        (state / f"kills-{name}.json").write_text(json.dumps(counts))


def _make_explain() -> Job:
    questions = (["explain", "--target", "3"], ["explain", "--target", "7", "--versus", "1"])
    return Job("explain", questions, _check_explanation)


def _make_neurons(place: Path) -> Job:
    import dataset

    data = dataset.folder(place, takes=60)
    question = ["neurons", str(place / "m.onnx"), str(data), "--layer", "c2", "--top", "2"]
    return Job("neurons", (question,), _check_neurons)


def _kill_often(job: Job, place: Path, count: int, rng: random.Random) -> Counter[str]:
    """Return figures; print what was wrong."""
    whole, seconds = list[dict[str, str]](), list[float]()
    for i, question in enumerate(job.questions):
        start = time.monotonic()
        if _run(question, place / f"whole{i}").wait():
            raise SystemExit(f"{job.name}: fails undisturbed")
        seconds.append(time.monotonic() - start)
        whole.append(_sum_files(place / f"whole{i}"))
    out, found, ended, early = place / "out", list[str](), 0, 0
    for number in range(count):
        which = rng.randrange(len(job.questions))
        before = set(_find_stages(out))
        child = _run(job.questions[which], out)
        how = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        time.sleep(rng.uniform(0.05, 1) * seconds[which])
        early += child.poll() is None
        child.send_signal(how)
        status = child.wait()
        ended += status == 128 + signal.SIGTERM
        if status not in {0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM}:
            found.append(f"kill {number}: exit {status}")
        if status == 128 + signal.SIGTERM and (left := set(_find_stages(out)) - before):
            found.append(f"kill {number}: SIGTERM left {sorted(left)}")
        found += [f"kill {number}: {wrong}" for wrong in job.check(out, whole)]
        if status == 0 and len(whole) == 1:  # nothing is left to do there
            shutil.rmtree(out)
    if _run(job.questions[0], out).wait():
        found.append("the last run failed")
    after = _sum_files(out)
    if after != whole[0]:
        names = {n for n in after.keys() | whole[0].keys() if after.get(n) != whole[0].get(n)}
        found.append(f"after the last run these files differ: {sorted(names)[:9]}")
    if stages := _find_stages(out):
        found.append(f"the last run left {stages}")
    print(*found, sep="\n", end="\n" if found else "")
    return Counter(runs=count, early=early, sigterm=ended, wrong=len(found))


def _run(question: list[str], out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dftlrp", *question, "--out", str(out)]
    env = os.environ | {"DFTLRP_PROGRESS": "0"}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=env)


def _sum_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its path in the folder."""
    paths = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths
    }


def _find_stages(folder: Path) -> list[str]:
    return [p.name for pattern in STAGES for p in folder.glob(pattern)]


def _check_explanation(out: Path, whole: list[dict[str, str]]) -> Iterator[str]:
    """Every file is that of some whole run; with a report, all are those of one."""
    now = {n: s for n, s in _sum_files(out).items() if "/" not in n and n not in OWN}
    runs = [{n: s for n, s in run.items() if n not in OWN} for run in whole]
    for name, digest in now.items():
        if not any(run.get(name) == digest for run in runs):
            yield f"{name} is not whole"
    if "report.html" in now and now not in runs:
        yield "a mixture of two results"
    if (listed := out / ".dftlrp.json").exists():
        json.loads(listed.read_bytes())


def _check_neurons(out: Path, whole: list[dict[str, str]]) -> Iterator[str]:
    """Every file but those in hidden names and the manifest, which grows, is that of the run."""
    for name, digest in _sum_files(out).items():
        growing = name.endswith((".part", "manifest.jsonl")) or name.startswith(".")
        if not growing and whole[0].get(name) != digest:
            yield f"{name} is not whole"
    if (out / "report.html").exists() and whole[0].keys() - _sum_files(out).keys():
        yield "a report beside results that are not complete"


if __name__ == "__main__":
    sys.exit(main())
