"""Every real model, explained on a real recording: docs/reference/models.md.

    python benchmarks/real_models.py --models DIR --data DIR [--json FILE] [--composite NAME]

`real_recipes` says what each model reads.  A model is explained in a process of its own (so that
its peak of memory is its own), its output compared with onnxruntime's, and the relevance followed
to where it ends (`ends`).  With ``--composite`` or ``--only`` nothing is written to the docs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from real_inputs import Shared
from real_recipes import RECIPES, Recipe
from real_words import HEAD, OTHER_HEAD, WHY

import dftlrp
import dftlrp.engine.backward
import dftlrp.engine.propagate

OTHERS = ("EpsilonPlus", "EpsilonAlpha2Beta1", "AttnLRP", "Gradient")
PAGE = Path(__file__).parents[1] / "docs/reference/models.md"
LIMIT = 0.2  # what may be lost without a reason given
ENDS = ("input", "bias", "reference", "stabiliser", "stopped")


class Step(NamedTuple):
    """A node on the path of relevance, and the inputs that it gave relevance to."""

    output: str
    layer: str
    op: str
    inputs: tuple[str, ...]


@dataclass
class Walk:
    """The absolute amounts that each node gave to its inputs, from the output to the input."""

    explained: str = ""
    signals: tuple[str, ...] = ()
    steps: list[tuple[Step, list[float], dict[str, float]]] = field(default_factory=list)

    def note(self, step: Step, given: list[float], taken: dict[str, float]) -> None:
        """Record the amounts given to the step's inputs and taken by its ends."""
        self.steps.append((step, given, taken))

    def ends(self) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
        """Return where one unit of relevance ends; each node passes it on in proportion to |R|.

        Returns
        -------
        ends : dict of str to float
            Shares of `ENDS`; they add up to one.
        lost : dict of (layer, op) to float
            What each layer's stabiliser and stop took of the unit.
        """
        there = defaultdict(float, {self.explained: 1.0})
        ends, lost = dict.fromkeys(ENDS, 0.0), defaultdict(float)
        for step, given, taken in self.steps:
            unit = there.pop(step.output, 0.0) / ((sum(given) + sum(taken.values())) or 1)
            for name, amount in zip(step.inputs, given, strict=True):
                there[name] += unit * amount
            for end, amount in taken.items():
                ends[end] += unit * amount
            lost[step.layer, step.op] += unit * (taken["stabiliser"] + taken["stopped"])
        ends["input"] = sum(there.get(name, 0.0) for name in self.signals)
        return ends, dict(lost)


def sum_absolute(a: Any) -> float:
    return 0.0 if a is None else float(np.abs(a).sum())


@contextmanager
def follow_relevance() -> Iterator[Walk]:
    """Follow the relevance of one explanation, element by element."""
    walk = Walk()
    carry_back, make_row = dftlrp.engine.backward.carry_back, dftlrp.engine.propagate._make_row

    def carry_noted(way: Any, seed: Any) -> Any:
        walk.explained, walk.signals = way.plan.explained, tuple(way.plan.signals)
        walk.steps.clear()  # of a reference that was tried before
        return carry_back(way, seed)

    def row_noted(way: Any, node: Any, received: Any, names: Any, share: Any) -> Any:
        op = node.layer_op or node.attrs.get("label", node.op)
        missed = share.bias()  # of a difference, it is what no map says of the reference
        compared = way.reference is not None
        ends = {"bias": None if compared else missed, "reference": missed if compared else None,
                "stabiliser": share.stabiliser()}  # fmt: skip
        walk.note(
            Step(node.output, node.layer, op, tuple(names)),
            [sum_absolute(r) for r in share.relevance],
            {end: sum_absolute(a) for end, a in ends.items()}
            | {"stopped": sum(map(sum_absolute, received.taken))},
        )
        return make_row(way, node, received, names, share)

    with (
        patch.object(dftlrp.engine.backward, "carry_back", carry_noted),
        patch.object(dftlrp.engine.propagate, "_make_row", row_noted),
    ):
        yield walk


def explain_model(recipe: Recipe, model: Any, arrays: Any, composite: str) -> tuple[Any, dict]:
    """Return the attribution of one model by one composite, and its row of the table."""
    signals, bound = arrays
    with follow_relevance() as walk:
        start = time.perf_counter()
        result = dftlrp.attribute(
            model, signals, bind=bound, output=recipe.output, target=recipe.target,
            composite=composite, reference="auto", backend="numpy",
        )  # fmt: skip
        seconds = time.perf_counter() - start
    ends, lost = walk.ends()
    (layer, op), share = max(lost.items(), key=lambda item: item[1])
    return result, {
        "composite": result.table.composite, "reference": result.facts["reference"],
        "seconds": seconds, "gap": find_gap(result),
        "closure": measure_closure(result), "ends": ends, "worst": [layer, op, share],
    }  # fmt: skip


def find_gap(result: Any) -> float:
    """Return the largest gap of all nodes that hold more than 1e-20 of the seed.

    Smaller amounts are the round-off of a sum that cancels.
    """
    least = 1e-20 * float(np.abs(result.seed).sum())
    return max(row.gap for row in result.ledger.rows if row.magnitude > least)


def measure_closure(result: Any) -> float:
    """Return |seed - relevance - absorbed|, relative to the sum of |seed|."""
    kept = sum(float(r.sum()) for r in result.relevance.values())
    taken = sum(float(result.ledger.absorbed(t).sum()) for t in ENDS[1:])
    return abs(float(result.seed.sum()) - kept - taken) / float(np.abs(result.seed).sum())


def describe_target(result: Any) -> str:
    """Return the target and its value, before a final Softmax or Sigmoid, as text."""
    where = np.argwhere(result.seed != 0)
    place = tuple(map(int, where[0]))
    more = f" and {len(where) - 1} more" if len(where) > 1 else ""
    total = float(result.explained[result.seed != 0].sum())
    return f"{list(place)}{more}: {total:.3g}"


def make_row(name: str, shared: Shared, composites: tuple[str, ...]) -> dict[str, Any]:
    """Return everything that the page says about one model."""
    recipe, path = RECIPES[name], shared.models / f"{name}.onnx"
    row: dict[str, Any] = {"model": name, "reads": recipe.reads} | read_facts(path)
    try:
        model, arrays = dftlrp.load(path), recipe.arrays(shared)
        output = recipe.output or next(iter(model.graph.outputs))
        result, row["first"] = explain_model(recipe, model, arrays, composites[0])
        row["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row |= {"output": output, "said": describe_target(result)}
        expected = shared.run(name, arrays[0] | arrays[1])[output]
        row["deviation"] = float(np.abs(result.output - expected).max() / np.abs(expected).max())
        row["others"] = {}
        for other in composites[1:]:
            try:
                row["others"][other] = explain_model(recipe, model, arrays, other)[1]
            except dftlrp.core.types.DftlrpError as error:
                row["others"][other] = {"error": str(error)}
    except dftlrp.core.types.DftlrpError as error:
        row["error"] = str(error).replace(str(path), path.name)
    return row


def read_facts(path: Path) -> dict[str, int]:
    import onnx

    proto = onnx.load(path)
    opset = next(o.version for o in proto.opset_import if not o.domain)
    return {"opset": opset, "nodes": len(proto.graph.node)}


# -- the page

COLUMNS = (
    "model", "opset, nodes", "reads", "output: target, value", "composite", "compared with",
    "input", "bias", "reference", "stabiliser", "stopped", "lost of the rest", "where", "gap",
    "deviation", "seconds", "MB",
)  # fmt: skip


def write_page(rows: list[dict[str, Any]]) -> str:
    """Return docs/reference/models.md as text."""
    good = [r for r in rows if "error" not in r]
    over = [r for r in good if measure_lost(r["first"]) > LIMIT]
    bad = [r for r in rows if "error" in r]
    parts = [HEAD, "", format_table(COLUMNS, [format_cells(r) for r in good])]
    if over:
        parts += [
            "\n## More than a fifth lost\n",
            *(f"- **{r['model']}**: {WHY.get(r['model'], 'not explained yet')}" for r in over),
        ]
    if bad:
        parts += ["\n## Refused\n", *(f"- **{r['model']}**: {r['error']}" for r in bad)]
    if good[0]["others"]:
        worst = max(run.get("gap", 0.0) for r in good for run in r["others"].values())
        parts += [
            OTHER_HEAD.format(worst),
            format_table(("model", *OTHERS), [format_other_cells(r) for r in good]),
        ]
    return "\n".join(parts) + "\n"


def format_table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (list(head), *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def measure_lost(run: dict[str, Any]) -> float:
    """Return the share that stabilisers and stops took of what no bias took."""
    ends = run["ends"]
    gone = ends["stabiliser"] + ends["stopped"]
    return gone / (gone + ends["input"]) if gone else 0.0


def write_share(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 5e-4 else "0"


def shorten(name: str) -> str:
    """Return the end of a long key."""
    name = name.rsplit(";", maxsplit=1)[-1]
    return f"`{name if len(name) <= 40 else '...' + name[-37:]}`"


def format_cells(r: dict[str, Any]) -> list[str]:
    run = r["first"]
    layer, op, _ = run["worst"]
    return [
        r["model"], f"{r['opset']}, {r['nodes']}", r["reads"],
        f"{shorten(r['output'])}: {r['said']}",
        run["composite"], run["reference"], *(write_share(run["ends"][end]) for end in ENDS),
        write_share(measure_lost(run)),
        f"{op} {shorten(layer)}" if measure_lost(run) > LIMIT / 2 else "",
        f"{run['gap']:.0e}",
        f"{r['deviation']:.0e}", f"{run['seconds']:.2f}", f"{r['megabytes']:.0f}",
    ]  # fmt: skip


def format_other_cells(r: dict[str, Any]) -> list[str]:
    def text(run: dict[str, Any]) -> str:
        if "error" in run:
            return run["error"]
        ends = run["ends"]
        gone = ends["stabiliser"] + ends["stopped"]
        shares = (f"{100 * s:.0f}" for s in (ends["input"], ends["bias"], gone))
        return f"{' / '.join(shares)}; {100 * measure_lost(run):.0f}"

    return [r["model"], *(text(r["others"][c]) for c in OTHERS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--composite", help="only this one, printed")
    parser.add_argument("--only", default="", help="models whose name contains this, printed")
    args = parser.parse_args()
    shared = Shared(args.models, args.data)
    composites = (args.composite,) if args.composite else ("auto", *OTHERS)
    names = [name for name in RECIPES if args.only in name]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        rows = [pool.apply(make_row, (name, shared, composites)) for name in names]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if args.composite or args.only:
        print(write_page(rows))
    else:
        PAGE.write_text(write_page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
