"""docs/explanation/rightness.md of the numbers that `rightness` kept: tables and sentences."""

from __future__ import annotations

import json
import platform
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rightness_cases import CASES, KINDS, LEFT_OUT
from rightness_nets import FAMILIES

from dftlrp.evaluation.experiment import AMPLITUDE, GRADIENT, OCCLUSION, RANDOM, Experiment
from dftlrp.evaluation.summary import (
    Cell,
    Figure,
    average,
    summarise_faithfulness,
    summarise_sound,
)

GRADIENTS = "integrated gradients"
AGAINST = (AMPLITUDE, GRADIENT, GRADIENTS, RANDOM)
SHORT = {"time-frequency": "tiles", "input": "features"}
HEARD = ("Fid-In", "Fid-Out")
VERDICTS = ("wins", "ties", "losses")

HEAD = """# Are the defaults right?

`benchmarks/rightness.py --write docs/explanation/rightness.md --state FOLDER` makes this page.
Every model that recordings at hand suit, the embedded models, and five networks that are trained
for it on spoken digits (Free Spoken Digit Dataset, tested on the official test split) are explained
by what `dftlrp.explain` and `dftlrp.attribute` do by default and by what could be done instead.
Units of a domain are removed by what each explanation calls relevant, and the model is asked again
([evaluate.md](../guides/evaluate.md)).

**SRG** (symmetric relevance gain): the area between removing the least and the most relevant first,
as a share of the span; the larger the better, a random order has 0.  Behind \u00b1 stands its
standard error over the recordings.  Two explanations are told apart where the mean of their
differences on the same recordings is two standard errors from zero; + is clearly better than the
default, - clearly worse.  What is removed is replaced by silence (zero), by noise as strong as each
unit (noise) or by noise with the recording's own spectrum (stationary); in features by zero, or by
the mean of the features that the model was trained on.  Where removing everything hardly lowers the
score nothing can be ranked: such cells stand in brackets and are not counted.
"""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was kept of one model."""

    name: str
    kept: dict[str, Any]

    @property
    def experiment(self) -> Experiment:
        """What was compared, as far as the summary asks."""
        k = self.kept
        return Experiment(self.name, {n: {} for n in k["variants"]}, {}, tuple(k["domains"]),
                          tuple(k["replacements"]), ("faithfulness",))  # fmt: skip

    @property
    def cells(self) -> list[Cell]:
        """Faithfulness by domain and replacement."""
        return summarise_faithfulness(self.experiment, self.kept["recordings"])


def write_page(args: Namespace) -> str:
    """Return the page of all models whose numbers lie in the folder of the state."""
    paths = {name: args.state / f"{name.replace(' ', '_')}.json" for name in CASES}
    found = [Measured(n, json.loads(p.read_text())) for n, p in paths.items() if p.exists()]
    used = [one for one in found if len(one.kept["recordings"]) > 1]
    cells = {one.name: one.cells for one in used}
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    lines = [HEAD, "## In one table", "", *_write_summary(cells), "", "## Where it still loses", "",
             *_write_rivals(cells), "", *_write_losses(cells), "",
             "## The networks that are trained for this", "",
             *_write_networks(used), "", "## Model by model", "",
             *(line for one in used for line in _write_model(one, cells[one.name])),
             "## What is left out", "",
             *(f"- {name}: {why}." for name, why in LEFT_OUT.items()),
             *(f"- {name}: not measured in this run." for name in CASES if name not in cells), "",
             f"Measured on {machine}.", ""]  # fmt: skip
    return "\n".join(lines)


def judge(cell: Cell, other: str) -> str:
    """Return whether the default wins against another explanation in a cell."""
    gain = next(iter(cell.against.values()))[other]  # of the other over the default
    return VERDICTS[1] if not gain.clear else VERDICTS[0 if gain.mean < 0 else 2]


def _write_summary(cells: dict[str, list[Cell]]) -> Iterator[str]:
    """Yield the table of wins, ties and losses by kind of model."""
    yield (
        "Cells (a model, a domain, a replacement) in which the default is clearly better / not "
        "told apart / clearly worse:"
    )
    yield ""
    yield "| kind of model | cells | " + " | ".join(f"against {k}" for k in AGAINST) + " |"
    yield "|---" * (2 + len(AGAINST)) + "|"
    for kind in (*KINDS, "all"):
        own = [c for name, each in cells.items() for c in each
               if kind in (CASES[name].kind, "all") and not c.warning]  # fmt: skip
        if own:
            yield f"| {kind} | {len(own)} | " + " | ".join(_count(own, k) for k in AGAINST) + " |"


def _count(cells: Sequence[Cell], other: str) -> str:
    found = Counter(judge(cell, other) for cell in cells)
    return " / ".join(str(found[verdict]) for verdict in VERDICTS)


def _write_rivals(cells: dict[str, list[Cell]]) -> Iterator[str]:
    """Yield the table of what is clearly better than the default, by what replaces units."""
    usable = [c for each in cells.values() for c in each if not c.warning]
    replaced = list(dict.fromkeys(c.replacement for c in usable))
    by_name = {name: [c for c in usable if name in c.srg and name != next(iter(c.srg))]
               for name in dict.fromkeys(n for c in usable for n in c.srg)}  # fmt: skip
    lost = {name: Counter(c.replacement for c in own if judge(c, name) == VERDICTS[2])
            for name, own in by_name.items()}  # fmt: skip
    yield (
        "What replaces is a part of the question: where noise does, noise as the reference is the "
        "one to hold against it, and where the mean of the features does, that mean."
    )
    yield ""
    yield "In how many cells each is clearly better than the default, of those where it was tried:"
    yield ""
    yield "| what | " + " | ".join(f"replaced by {r}" for r in replaced) + " |"
    yield "|---" * (1 + len(replaced)) + "|"
    for name in sorted((n for n in lost if lost[n]), key=lambda n: -lost[n].total()):
        tried = Counter(c.replacement for c in by_name[name])
        yield f"| {name} | " + " | ".join(f"{lost[name][r]} of {tried[r]}" for r in replaced) + " |"


def _write_losses(cells: dict[str, list[Cell]]) -> Iterator[str]:
    """Yield a sentence for each model on which something is clearly better than the default."""
    none = []
    for name, each in cells.items():
        told = []
        for cell in each:
            better = [k for k in cell.srg if k not in {next(iter(cell.srg)), OCCLUSION}
                      and judge(cell, k) == VERDICTS[2]]  # fmt: skip
            if better and not cell.warning:
                best = sorted(better, key=lambda k: -cell.srg[k].mean)
                others = ", ".join(f"{k} ({cell.srg[k].mean:.2f})" for k in best)
                own = next(iter(cell.srg.values())).mean
                told.append(f"{_name_cell(cell)} {own:.2f} against {others}")
        if told:
            yield f"- {name}: {'; '.join(told)}."
        else:
            none.append(name)
    if none:
        yield f"- Nothing but occlusion is clearly better in any cell of {', '.join(none)}."


def _name_cell(cell: Cell) -> str:
    return f"{SHORT.get(cell.domain, cell.domain)}, {cell.replacement}"


def _write_networks(used: Sequence[Measured]) -> Iterator[str]:
    yield "| network | what | right in the test split |"
    yield "|---|---|---|"
    known = {one.name: one.kept["accuracy"] for one in used}
    for name, family in FAMILIES.items():
        if known.get(name):
            yield f"| {name} | {family.words} | {100 * known[name]:.1f} % |"


def _write_model(one: Measured, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield heading, table and sentences of one model."""
    kept = one.kept
    case, count = CASES[one.name], len(kept["recordings"])
    yield f"### {one.name}"
    yield ""
    yield f"{case.words[:1].upper()}{case.words[1:]}; {count} recordings. Default: {kept['taken']}."
    if kept["skipped"]:
        yield f"{len(kept['skipped'])} could not be used: {kept['skipped'][0]}."
    yield ""
    heads = [_name_cell(c) for c in cells]
    yield "| ordered by | " + " | ".join(heads) + " | sum abs R / abs sum R | arrives |"
    yield "|---" * (len(heads) + 3) + "|"
    for name in cells[0].srg:
        yield _write_row(one, cells, name)
    yield ""
    if sound := summarise_sound(kept["recordings"]):
        heard = sound[next(iter(sound))]
        told = ", ".join(f"{k} {heard[k].mean:.2f}" for k in HEARD)
        chance = ", ".join(f"{k} {sound[RANDOM][k].mean:.2f}" for k in HEARD)
        yield f"Sound of the default: {told} (a random mask: {chance})."
        yield ""


def _write_row(one: Measured, cells: Sequence[Cell], name: str) -> str:
    shown = [_write_figure(c, name) for c in cells]
    recordings, domain = one.kept["recordings"], cells[-1].domain
    spread = [r["complexity"][domain][name][0] for r in recordings
              if name in r["complexity"][domain]]  # fmt: skip
    reach = [r["reached"][name] for r in recordings if name in r["reached"]]
    excess = f"{np.median(spread):.2g}" if spread and name not in {AMPLITUDE, RANDOM} else ""
    share = f"{average(reach).mean:.2f}" if reach else ""
    return f"| {name} | {' | '.join(shown)} | {excess} | {share} |"


def _write_figure(cell: Cell, name: str) -> str:
    reached: Figure = cell.srg[name]
    text = f"{reached.mean:.2f} ± {reached.error:.2f}"
    if cell.warning:
        return f"({text})"
    first = next(iter(cell.srg))
    verdict = VERDICTS[1] if name == first else judge(cell, name)
    return text + {"losses": " +", "ties": "", "wins": " -"}[verdict]
