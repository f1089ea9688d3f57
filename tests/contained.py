"""Files loaded and explained in a child with little memory; what came of each, as lines of JSON.

``python tests/contained.py`` reads paths on its standard input.  The child may use `MEMORY` of
address space beyond what the interpreter has once dftlrp is imported and has explained one model
(measured: 319 MB of address space, 75 MB resident).  A file gets `SECONDS` of CPU time, times
`SLACK`; far beyond (`KILL`) the child is killed by a timer, in native code, too.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

MEMORY = 512 * 2**20  # bytes
SECONDS = 2.0  # of CPU time for one file
SLACK = 6  # for a busy machine, where the same work takes thrice the CPU time (measured)
KILL = 40  # seconds of CPU time
HERE = Path(__file__).parent


class Outcome(NamedTuple):
    """What came of a file: an error of ours, "finite", another exception, or how the child died."""

    path: Path
    kind: str
    text: str = ""
    ours: bool = False
    seconds: float = 0.0
    outside: tuple[str, ...] = ()
    memory: int = 0


def outcomes(paths: Iterable[Path], wall: float = 300) -> Iterator[Outcome]:
    """In one child; should it die, the file it was at is told, and another goes on behind it."""
    waiting = list(paths)
    while waiting:
        with tempfile.TemporaryFile("w+") as told:
            command = [sys.executable, str(HERE / "contained.py")]
            env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            lines = "".join(f"{path}\n" for path in waiting)
            done = subprocess.run(
                command, input=lines, stdout=told, text=True, timeout=wall, env=env, check=False
            )
            told.seek(0)
            found = [json.loads(line) for line in told]
        for row in found:
            path = Path(row.pop("path"))
            yield Outcome(path, **row | {"outside": tuple(row["outside"])})
        waiting = waiting[len(found) :]
        if waiting and done.returncode == 0:
            raise AssertionError("the child stopped early")
        if waiting:
            yield Outcome(waiting.pop(0), f"died: {done.returncode}")


# -- in the child

OPENED: list[str] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(args[0], str | bytes):
        OPENED.append(os.fsdecode(args[0]))


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) * 1024


def _explained(path: Path) -> str:
    """Load, and explain a small input of the shapes that the model reads."""
    import numpy as np

    import dftlrp

    model = dftlrp.load(path)
    rng, inputs = np.random.default_rng(0), {}
    for name, value in model.graph.inputs.items():
        dims = (1, 4) if value.dims is None else value.dims
        inputs[name] = rng.standard_normal([8 if d is None else d for d in dims])
    result = dftlrp.attribute(model, inputs, backend="numpy")
    finite = all(np.isfinite(r).all() for r in result.relevance.values())  # type: ignore[union-attr]
    return "finite" if finite else "not finite"


def _one(path: Path) -> dict[str, Any]:
    from dftlrp.core.types import DftlrpError

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begin = _peak(), resource.getrusage(resource.RUSAGE_SELF)
    OPENED.clear()
    signal.setitimer(signal.ITIMER_PROF, KILL)
    text, ours = "", False
    try:
        kind = _explained(path)
    except BaseException as error:
        kind, text, ours = type(error).__name__, str(error), isinstance(error, DftlrpError)
        del error
    signal.setitimer(signal.ITIMER_PROF, 0)
    opened, end = list(OPENED), resource.getrusage(resource.RUSAGE_SELF)
    return {
        "path": str(path), "kind": kind, "text": text[:4000], "ours": ours,
        "seconds": end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime,
        "outside": [o for o in opened if not _expected(Path(o), path)],
        "memory": _peak() - before,
    }  # fmt: skip


def _expected(opened: Path, path: Path) -> bool:
    """Beside the model, or of the interpreter's own (entry points of the backends)."""
    own = (sys.prefix, sys.base_prefix)
    return opened.parent == path.parent or any(map(opened.is_relative_to, own))


def main() -> None:
    """Explain what works first, so that everything is imported; then the limit falls."""
    import ml_dtypes  # noqa: F401
    import scipy.special  # noqa: F401
    from models import listener, saved

    with tempfile.TemporaryDirectory() as folder:
        _explained(saved(listener(end="Softmax"), Path(folder)))
    sys.addaudithook(_audit)
    _limit()
    for line in sys.stdin.read().splitlines():
        sys.stdout.write(json.dumps(_one(Path(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
