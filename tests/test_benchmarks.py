"""Scripts of the benchmarks that anyone may run: two results side by side, no GPU."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from needed import needed

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(script: str, *args: Any, env: Any = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / script), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"machine": "here", "rows": rows}))
    return path


def test_two_results_side_by_side(tmp_path: Path) -> None:
    before = write(
        tmp_path / "a.json", {"net": "VGG", "batch": 1, "ms": {"onnx": 2.0, "sum": [4.0, 5.0]}},
        {"net": "gone", "ms": 1.0},
    )  # fmt: skip
    after = write(
        tmp_path / "b.json", {"net": "VGG", "batch": 1, "ms": {"onnx": 1.0, "sum": [2.0, 10.0]}}
    )
    done = run("compare_results.py", before, after, "--page", tmp_path / "c.html")
    assert done.stdout.splitlines()[2:] == [
        "| VGG, batch 1 | ms onnx | 2 | 1 | 0.50 |",
        "| VGG, batch 1 | ms sum 1 | 4 | 2 | 0.50 |",
        "| VGG, batch 1 | ms sum 2 | 5 | 10 | 2.00 |",
    ]
    assert done.stderr == f"only in {before}: gone\n"
    assert (tmp_path / "c.html").read_text().count("<tr>") == 4


def test_what_is_no_result_is_refused_in_a_line(tmp_path: Path) -> None:
    result, other = write(tmp_path / "a.json", {"net": "VGG", "ms": 1.0}), tmp_path / "b.json"
    for text, says in (("no", "is no JSON"), ("{}", "holds no measured numbers"),
                       ('{"net": "LSTM", "ms": 1.0}', "no number in common")):  # fmt: skip
        other.write_text(text)
        done = run("compare_results.py", result, other)
        assert done.returncode == 1
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_without_a_gpu_nothing_is_measured() -> None:
    needed("torch")
    needed("zennit")
    done = run("bench_gpu.py", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    says = "no GPU here that torch can use: nothing is measured\n"
    assert (done.returncode, done.stdout) == (0, says)


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "examples/tutorials"])
def test_scripts_import_only_names_that_there_are(folder: str) -> None:
    scripts = sorted((FOLDER.parent / folder).glob("*.py"))
    assert scripts
    imports = [
        (path.name, node.module, alias.name)
        for path in scripts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dftlrp"
        for alias in node.names
    ]
    missing = [row for row in imports if not has_name(*row[1:])]
    assert not missing


def has_name(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name) or bool(
        importlib.util.find_spec(f"{module}.{name}")
    )
