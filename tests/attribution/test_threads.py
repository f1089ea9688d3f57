"""The same explanation, byte for byte, however many threads there may be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def explain(folder: Path, threads: str) -> dict[str, bytes]:
    """The files that the command writes with so many threads allowed."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    command = [sys.executable, "-m", "dftlrp", "explain", "--out", str(folder)]
    environment = os.environ | dict.fromkeys(names, threads)
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_thread_and_two_write_the_same_bytes(tmp_path):
    assert explain(tmp_path / "one", "1") == explain(tmp_path / "two", "2")
