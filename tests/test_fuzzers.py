"""Some mutants of models and recordings, the same every time; benchmarks/fuzz.py runs many."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of address space")


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FUZZ), *options, "--seed", "1", "--slack", "10"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kind", "count"), [
    ("recordings", 40),
    pytest.param("recordings", 1000, marks=pytest.mark.slow),
    pytest.param("models", 1500, marks=pytest.mark.slow),
])  # fmt: skip
def test_nothing_is_found(kind, count):
    done = fuzz(kind, "--count", str(count))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{count} mutants: ")
    assert "refused" in done.stdout
    assert "explained" in done.stdout


def test_a_run_goes_on_and_tries_again_what_was_found(tmp_path):
    rows = [{"number": i, "kind": "refused", "found": False} for i in range(9)]
    rows[4] |= {"kind": "slow", "found": True, "seconds": 99.0}
    state = tmp_path / "recordings-1.jsonl"
    state.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    done = fuzz("recordings", "--count", "11", "--state", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("11 mutants: ")
    assert "slow" not in done.stdout
    tried = [json.loads(line)["number"] for line in state.read_text().splitlines()[10:]]
    assert tried == [4, 9, 10]
