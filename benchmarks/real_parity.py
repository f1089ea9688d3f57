"""Every backend against the float64 reference, per model and preset: docs/explanation/parity.md.

    python benchmarks/real_parity.py --models DIR --data DIR [--json FILE] [--only TEXT]

The adapters (torch, tensorflow) whose framework is installed take part, in float64 and float32.

The embedded models on the embedded clip, and every real model as `real_recipes` sets it up.  Each
model runs in a process of its own, with a limit of time and memory, so that one that fails ends no
table.  With ``--only`` nothing is written to the docs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from real_inputs import Shared
from real_models import find_gap, format_table, write_share
from real_recipes import RECIPES, Recipe
from real_words import PARITY_HEAD

import dftlrp
from dftlrp.assets import MODELS, embedded
from dftlrp.core.backend import get_backend
from dftlrp.engine.evaluate import make_at
from dftlrp.engine.forward import run_forward
from dftlrp.engine.model import attach_front_end
from dftlrp.engine.settings import Settings
from dftlrp.ops import OPS

PAGE = Path(__file__).parents[1] / "docs/explanation/parity.md"
PRESETS = ("EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGammaBox", "Gradient")
ATTENTION = ("AttnLRP", "CPLRP")  # where there is a Softmax before the output
WINNERS = {"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "TopK"}
LIMIT, WORSE = 1e-4, 3  # relative L1 error; how much worse than float32 itself is too much
EXACT = 1e-10  # relative L1 error in float64
DIGITS = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)
ADAPTERS = tuple(n for n in ("torch", "tensorflow") if find_spec(n) and find_spec(f"dftlrp_{n}"))
SECONDS, BYTES = 1800, 2**35  # for one model
Arrays = dict[str, np.ndarray]


def load_embedded(name: str) -> tuple[Any, Recipe]:
    """Return an embedded model and the recipe of its input, the embedded clip."""
    model = attach_front_end(dftlrp.load(embedded(name)), None)
    clip = dftlrp.explain(embedded(name), embedded("clip"), domains=["time"]).signal["time"]
    (signal, value) = next(iter(model.plan().signals.items()))
    shape = (1,) * (len(value.dims) - 1) + clip.shape
    return model, Recipe("the embedded clip", lambda _: {signal: clip.reshape(shape)})


def load_model(name: str, shared: Shared) -> tuple[Any, Recipe]:
    """Return a model and its recipe."""
    if name in MODELS:
        return load_embedded(name)
    return dftlrp.load(shared.models / f"{name}.onnx"), RECIPES[name]


def measure_distance(ours: Arrays, want: Arrays) -> float:
    """Return the relative L1 difference over all signals."""
    off = sum(float(np.abs(ours[k] - want[k]).sum()) for k in want)
    return off / (sum(float(np.abs(r).sum()) for r in want.values()) or 1.0)


def find_winners(ready: Any) -> Iterator[np.ndarray]:
    """Yield, for each op on the path of relevance that picks winners, the elements that win."""
    for node in ready.plan.path:
        if node.op in WINNERS:
            here = make_at(ready.plan, node, ready.values, get_backend())
            ends = np.cumsum([x.size for x in here.inputs])
            numbers = [
                np.arange(end - x.size, end, dtype=float).reshape(x.shape)
                for x, end in zip(here.inputs, ends, strict=True)
            ]
            yield OPS[node.op].linearise(here).tangent().apply(*numbers)


def count_flipped(model: Any, signals: Arrays, how: dict[str, Any]) -> tuple[int, int]:
    """Return the number of winners that differ between float32 and float64, and of all winners."""
    settings = Settings(how["output"], how["bind"] or {}, how["composite"])
    wide, narrow = (
        run_forward(model, signals, replace(settings, dtype=floats))
        for floats in (np.float64, np.float32)
    )
    pairs = list(zip(find_winners(wide), find_winners(narrow), strict=True))
    return sum(int((a != b).sum()) for a, b in pairs), sum(a.size for a, _ in pairs)


def compare(model: Any, signals: Arrays, how: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one question to all backends."""
    want = dftlrp.attribute(model, signals, backend="numpy", **how)
    if want.target is not None:
        how |= {"target": list(want.target)}
    narrow = dftlrp.attribute(model, signals, backend="numpy", dtype=np.float32, **how)
    row = {"float32": measure_distance(narrow.relevance, want.relevance)}
    row["flipped"], row["winners"] = count_flipped(model, signals, how)
    for name in ADAPTERS:
        row |= compare_adapter(name, model, signals, how, want)
    try:
        times = []
        for _ in range(2):
            start = time.perf_counter()
            ours = dftlrp.attribute(model, signals, backend="onnx", **how)
            times.append(time.perf_counter() - start)
    except dftlrp.core.types.DftlrpError as error:
        return row | {"refused": str(error)}
    return row | {
        "onnx": measure_distance(ours.relevance, want.relevance), "gap": find_gap(ours),
        "trace": times[0] - times[1], "seconds": times[1],
    }  # fmt: skip


def compare_adapter(
    name: str, model: Any, signals: Arrays, how: dict[str, Any], want: Any
) -> dict[str, Any]:
    """Return the error of an adapter in each of its dtypes, or why it refuses."""
    row = {}
    for dtype in ("float64", "float32"):
        try:
            ours = dftlrp.attribute(model, signals, backend=name, dtype=dtype, **how)
        except dftlrp.core.types.DftlrpError as error:
            return {f"{name} refused": str(error)}
        row[f"{name} {dtype}"] = measure_distance(ours.relevance, want.relevance)
    return row


def run_model(name: str, shared: Shared) -> None:
    """Print a line of JSON for each preset of one model."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    model, recipe = load_model(name, shared)
    signals, bound = recipe.arrays(shared)
    plan = model.plan(recipe.output, bound)
    attends = any(n.op == "Softmax" and n.output != plan.output for n in plan.nodes)
    for composite in PRESETS + (ATTENTION if attends else ()):
        how = {
            "bind": bound, "output": recipe.output, "target": recipe.target, "composite": composite,
        }  # fmt: skip
        try:
            row = compare(model, signals, how)
        except dftlrp.core.types.DftlrpError as error:
            row = {"unexplained": str(error)}
        print(json.dumps({"model": name, "composite": composite, **row}), flush=True)


def run_apart(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what `run_model` prints in a process of its own, and how it failed if it did."""
    folders = ["--models", str(args.models), "--data", str(args.data)]
    command = [sys.executable, __file__, "--one", name, *folders]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
        end = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        text, failed = done.stdout, end[-1] if done.returncode else ""
    except subprocess.TimeoutExpired as error:
        text, failed = (error.stdout or b"").decode(), f"more than {SECONDS} s"
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return rows + ([{"model": name, "composite": "", "refused": failed}] if failed else [])


# -- the page

OURS = tuple(f"{name} {dtype}" for name in ADAPTERS for dtype in ("float64", "float32"))
COLUMNS = (
    "model", "composite", "traced graph", *OURS, "reference in float32", "winners that differ",
    "gap", "trace (s)", "verdict",
)  # fmt: skip


def judge(row: dict[str, Any]) -> str:
    """Return the verdict on all backends that answered."""
    if "unexplained" in row:
        return "not explained"
    if "float32" not in row:
        return "not traced"
    found = [v for k, v in row.items() if k == "onnx" or k.endswith(" float32")]
    wide = [v for k, v in row.items() if k.endswith(" float64")]
    limits = [(off, LIMIT, WORSE * row["float32"]) for off in found]
    limits += [(off, EXACT, WORSE * DIGITS * row["float32"]) for off in wide]
    if any(not off <= max(bounds) for off, *bounds in limits):
        return "**over**"
    if any(key.endswith("refused") for key in row):
        return "not traced" if "refused" in row else "refused"
    return "agrees" if all(off <= bound for off, bound, _ in limits) else "float32's limit"


def format_cells(row: dict[str, Any]) -> list[str]:
    """Return the cells of one line of the table."""
    winners = f"{row['flipped']} of {row['winners']}" if row.get("winners") else ""
    keys = ("onnx", *OURS, "float32")
    shown = [f"{row[k]:.1e}" if k in row else "" for k in (*keys, "gap")]
    trace = f"{row['trace']:.2f}" if "trace" in row else ""
    return [row["model"], row["composite"], *shown[:-1], winners, shown[-1], trace, judge(row)]


def list_reasons(rows: list[dict[str, Any]], key: str) -> list[str]:
    """Return each error once, with the models and presets that it stands for."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if key in row:
            found.setdefault((row["model"], row[key]), []).append(row["composite"])
    return [f"- **{m}** ({', '.join(cs)}): {text}" for (m, text), cs in found.items()]


def write_page(rows: list[dict[str, Any]]) -> str:
    """Return docs/explanation/parity.md as text."""
    agreed = sum(judge(r) == "agrees" for r in rows)
    limit = sum(judge(r) == "float32's limit" for r in rows)
    asked = sum("unexplained" not in r for r in rows)
    share = write_share((agreed + limit) / max(asked, 1))
    parts = [PARITY_HEAD.format(asked, agreed, limit, share)]
    parts += [format_table(COLUMNS, [format_cells(r) for r in rows])]
    titles = {"refused": "Not traced", "unexplained": "Not explained by any backend"}
    titles |= {f"{name} refused": f"Refused by {name}" for name in ADAPTERS}
    for key, title in titles.items():
        if lines := list_reasons(rows, key):
            parts += [f"\n## {title}\n", *lines]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="models whose name contains this, printed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_model(args.one, Shared(args.models, args.data))
        return
    rows = []
    for name in (n for n in (*MODELS, *RECIPES) if args.only in n):
        rows += run_apart(name, args)
        print(f"{name}: " + ", ".join(judge(r) for r in rows if r["model"] == name), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if args.only:
        print(write_page(rows))
    else:
        PAGE.write_text(write_page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
