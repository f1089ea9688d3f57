"""Cheap work over shards that goes wrong on request; also a script, to be killed.

``python tests/jobs.py FOLDER WORKERS LOG PAUSE [SCHEDULER]`` computes `COUNT` shards, each
with a pause in seconds.  Each computation leaves a line "pid number" in the log.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.concepts.shards import Failure, Store, Workers, open_store, run
from dftlrp.core.types import DftlrpError, InputError

COUNT = 60
PATIENCE = 60  # seconds
SETTINGS = {"model": "ab12", "data": "cd34", "options": {"batch": 16, "rule": "epsilon"}}


def make(log: Path | None = None, pause: float = 0.0) -> Any:
    """Work that logs."""
    return partial(work, log, pause)


def make_nothing() -> Any:
    raise KeyError("no such model")


def make_refusal() -> Any:
    raise InputError("model.onnx: no such file")


def make_from(path: Path) -> Any:
    """Work that gives what a file holds when it is made."""
    return partial(lambda text, shard: {"text": np.array(text)}, path.read_text())


def with_more_threads() -> None:
    """As a worker that was started otherwise."""
    os.environ["OMP_NUM_THREADS"] = "2"


def work(log: Path | None, pause: float, shard: dict[str, Any]) -> dict[str, Any]:
    """Sums whose bits depend on the number of threads; before, what the shard asks for.

    ``{"number": 3, "fault": "die", "until": path}``: the fault is gone once the path exists.
    """
    if log:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {shard['number']}\n")
    _fault(shard.get("fault"), shard.get("until"))
    time.sleep(pause)
    rng = np.random.default_rng(shard["number"])
    a = rng.standard_normal((300, 300)).astype(np.float32)
    return {"sum": (a @ a).sum(axis=0), "count": np.array(shard["number"]), "top": a[:2, :500]}


def _fault(kind: str | None, until: Path | None) -> None:
    if kind is None or (until and until.exists()):
        return
    if until:
        until.touch()
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        time.sleep(10**6)
    if kind == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "grow":
        np.ones(2**50)
    raise ZeroDivisionError("of all\nthings")


def shards(**faults: dict[str, Any]) -> list[dict[str, Any]]:
    """All shards; ``s3={"fault": "die"}`` makes number 3 go wrong."""
    return [{"number": i, **faults.get(f"s{i}", {})} for i in range(COUNT)]


def done(folder: Path, of: Any = None, log: Path | None = None, **options: Any) -> list[Failure]:
    """Run; what failed."""
    with open_store(folder, SETTINGS) as store:
        return run(partial(make, log), shards() if of is None else of, store, Workers(**options))


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def computed(log: Path) -> Counter[int]:
    """How often each shard was begun."""
    return Counter(int(line.split()[1]) for line in log.read_text().splitlines())


def pids(log: Path) -> set[int]:
    return {int(line.split()[0]) for line in log.read_text().splitlines()}


def recorded(folder: Path) -> set[int]:
    """The shards that the manifest lists, without a look at their files."""
    import json

    path = folder / "manifest.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return {json.loads(line)["shard"] for line in lines}


def until(true: Callable[[], object]) -> None:
    """Wait."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.003)


def loaded(store: Store) -> list[dict[str, Any]]:
    return [store.load(i) for i in sorted(store.done)]


def main(folder: str, workers: str, log: str, pause: str, scheduler: str | None = None) -> int:
    """Like the command line: errors in one line."""
    try:
        with open_store(folder, SETTINGS) as store:
            slow = partial(make, Path(log), float(pause))
            run(slow, shards(), store, Workers(int(workers), scheduler))
    except DftlrpError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    # Who starts the tests in the background has Ctrl-C ignored, and so have all children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(*sys.argv[1:]))
