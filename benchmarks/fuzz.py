"""Mutants of models and of recordings: each is refused in one line, or explained.

    python benchmarks/fuzz.py models|recordings [--count 1000] [--seconds 60] [--state FOLDER]

A mutant is known by the seed and its number.  The mutants run one after the other in a child with
one thread, whose death is told and survived.  What counts as found: any exception but dftlrp's own,
a result that is not finite, a message of several lines, a traceback on standard error, the child's
death, more than `MEMORY` or `SECONDS` of CPU time for a step on inputs of at most some thousand
numbers.  With ``--state`` the next run tries again what was found, and goes on where this one
stopped; ``--only N`` shows what one mutant does.  On a busy machine ``--slack 5`` allows five times
the CPU time.  The exit code is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MEMORY = 512 * 2**20  # bytes more than before
SECONDS = 5.0  # of CPU time
SPACE = 8 * 2**30  # bytes of address space, so that the machine lives on
HANG = 120  # seconds of wall time without a word from the child
KINDS = {"models": "fuzz_models", "recordings": "fuzz_recordings"}
Step = tuple[str, Callable[[], Any]]


def main() -> int:
    """Run, or be the child."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("kind", choices=KINDS)
    p.add_argument("--count", type=int, default=1000, metavar="N", help="mutants in all")
    p.add_argument("--seconds", type=float, default=float("inf"), help="end after these")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--state", type=Path, metavar="FOLDER", help="go on from and write there")
    p.add_argument("--only", type=int, metavar="NUMBER", help="one mutant, with its traceback")
    p.add_argument("--slack", type=float, default=1.0, help="factor of the CPU time of a step")
    p.add_argument("--child", type=int, metavar="FIRST", help=argparse.SUPPRESS)
    p.add_argument("--again", type=int, nargs="*", default=[], help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.only is not None:
        return _show(args)
    if args.child is not None:
        return _child(args)
    state = _State(args.state, args.kind, args.seed, args.count)
    end = time.monotonic() + args.seconds
    while state.todo and time.monotonic() < end:
        _supervise(args, state, end)
    print(state)
    return 1 if state.found else 0


class _State:
    """How far a run is, and what it found: lines of JSON in a folder, where one is given."""

    def __init__(self, folder: Path | None, kind: str, seed: int, count: int) -> None:
        self.next, self.counts, self.found = 0, Counter[str](), dict[int, str]()
        self.worst = {"seconds": 0.0, "memory": 0}
        self.file = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{kind}-{seed}.jsonl"
            text = path.read_text() if path.exists() else ""
            for line in text.splitlines():
                with contextlib.suppress(ValueError):  # torn by a kill
                    self._count(json.loads(line))
            self.file = path.open("a")
            self.file.write("\n" * (text[-1:] not in {"", "\n"}))
        self.todo = deque([*sorted(self.found), *range(self.next, count)])

    def record(self, row: dict[str, Any]) -> None:
        """Count and write what became of the next mutant."""
        assert row["number"] == self.todo.popleft()
        self._count(row)
        if self.file:
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()
        if row["found"]:
            print(json.dumps(row), flush=True)

    def _count(self, row: dict[str, Any]) -> None:
        number, kind = row["number"], row["kind"]
        self.next = max(self.next, number + 1)
        if number in self.found:
            self.counts[self.found.pop(number)] -= 1
        self.counts[kind] += 1
        if row["found"]:
            self.found[number] = kind
            return
        for key, worst in self.worst.items():
            self.worst[key] = max(worst, row.get(key, 0))

    def __str__(self) -> str:
        told = ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common() if count)
        seconds, memory = self.worst["seconds"], self.worst["memory"] / 2**20
        return (
            f"{self.next} mutants: {told}; at most {seconds:.1f} s and {memory:.0f} MiB "
            f"for one step; {len(self.found)} found"
        )


def _supervise(args: argparse.Namespace, state: _State, end: float) -> None:
    """One child, until it dies or all is done."""
    again = [str(number) for number in state.todo if number < state.next]
    command = [sys.executable, __file__, args.kind, "--child", str(state.next),
               "--count", str(args.count), "--seed", str(args.seed),
               "--slack", str(args.slack), "--again", *again]  # fmt: skip
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=told, env=os.environ | threads
        )
        reason, waiting = "", len(state.todo)
        with contextlib.suppress(TimeoutError):
            for line in _lines(child, end, HANG * args.slack):
                state.record(json.loads(line))
        if child.poll() is None:
            reason = "" if time.monotonic() >= end else "hangs"
            child.kill()
        child.wait()
        if child.returncode in {0, -signal.SIGKILL} and not reason:
            return
        told.seek(0)
        tail = told.read()[-2000:]
    if len(state.todo) == waiting and "Traceback" in tail:
        raise SystemExit(tail)
    reason = reason or f"died: {child.returncode}"
    state.record({"number": state.todo[0], "kind": reason, "found": True, "text": tail})


def _lines(child: subprocess.Popen[bytes], end: float, patience: float) -> Iterator[bytes]:
    """Lines as they come; ends with the child or the time, raises if the child is silent."""
    assert child.stdout
    while True:
        wait = min(patience, end - time.monotonic())
        if wait <= 0:
            return
        if not select.select([child.stdout], [], [], wait)[0]:
            raise TimeoutError
        if not (line := child.stdout.readline()):
            child.wait()
            return
        yield line


# -- in the child


def _child(args: argparse.Namespace) -> int:
    """Run mutants one after the other; a line for each."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    out = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as chatter:
        make = importlib.import_module(KINDS[args.kind]).prepare(Path(folder))
        os.dup2(chatter.fileno(), 1)
        for number in (*args.again, *range(args.child, args.count)):
            row = {"number": number, **_run(make(args.seed, number), chatter, args.slack)}
            out.write(json.dumps(row) + "\n")
            out.flush()
    return 0


def _run(steps: Iterator[Step], chatter: Any, slack: float) -> dict[str, Any]:
    """What became of all steps of a mutant; the first thing found, or else the last outcome."""
    row: dict[str, Any] = {"kind": "nothing to do", "found": False}
    worst = {"seconds": 0.0, "memory": 0}
    for what, step in steps:
        chatter.seek(0)
        chatter.truncate()
        kind, text, seconds, memory = _measure(step)
        worst = {"seconds": max(worst["seconds"], seconds), "memory": max(worst["memory"], memory)}
        if "Traceback" in (chatter.seek(0), chatter.read())[1]:
            kind = "traceback"
        if seconds > SECONDS * slack:
            kind = "slow"
        if memory > MEMORY:
            kind = "large"
        row = {"kind": kind, "found": kind not in {"explained", "refused"}} | worst
        if row["found"]:
            return row | {"step": what, "text": text}
    return row


def _measure(step: Callable[[], Any]) -> tuple[str, str, float, int]:
    """Outcome, what was said, CPU time and memory of one step."""
    from dftlrp.core.types import DftlrpError

    before, start = _peak(anew=True), time.process_time()
    kind, text = "explained", ""
    try:
        kind = step() or kind
    except DftlrpError as error:
        kind, text = "refused", str(error)
        if "\n" in text or not text:
            kind = "not one line"
    except Exception as error:
        kind, text = type(error).__name__, traceback.format_exc()[-1500:]
        del error
    return kind, text, time.process_time() - start, _peak() - before


def _peak(anew: bool = False) -> int:
    """The largest resident memory in bytes (since the last call that began anew)."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) * 1024


def _show(args: argparse.Namespace) -> int:
    """One mutant here, with what is raised."""
    folder = Path(tempfile.mkdtemp())
    for what, step in importlib.import_module(KINDS[args.kind]).prepare(folder)(
        args.seed, args.only
    ):
        start = time.process_time()
        try:
            said = step() or "explained"
        except Exception:
            said = traceback.format_exc()
        print(f"-- {what} ({time.process_time() - start:.1f} s): {said}")
    print(f"in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
