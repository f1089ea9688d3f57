"""``dftlrp explain`` for several recordings: a folder of explanations, one page and one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dftlrp.cli.options import parse_bindings, parse_pairs, read_labels, split_words
from dftlrp.cli.printing import open_page, print_files, print_json
from dftlrp.core.text import make_printable
from dftlrp.core.types import InputError

if TYPE_CHECKING:
    from dftlrp.concepts.explanations import Explanations

ALONE = ("versus", "table", "state", "chunk", "context", "through")  # options of one recording
TOLD = 10  # recordings that could not be explained, a line each
LISTED = 3  # of the most wrong, and of the least certain


def run_many(
    args: argparse.Namespace, model: str | Path, sources: Sequence[str | Path], default: str
) -> int:
    """Explain all recordings and print what was found; return the exit code."""
    from dftlrp.concepts.explain_many import explain_many
    from dftlrp.concepts.explanations import INDEX
    from dftlrp.results.result_folder import ROWS

    for name in ALONE:
        if getattr(args, name):
            raise InputError(f"--{name} is for one recording: leave it out, or give one recording")
    if len(args.method) > 1:
        raise InputError("--method: over several recordings give one")
    if args.out == "":
        raise InputError("--out is empty: name a folder for the results")
    folder = args.out or default
    asked = {
        "target": args.target,
        "seed": args.seed_kind,
        "method": args.method[0],
        "reference": args.reference if len(args.reference) > 1 else args.reference[0],
        "composite": args.composite,
        "overrides": parse_pairs(args.rule, "--rule"),
        "domains": split_words(args.domains),
        "labels": read_labels(args.labels),
        "rate": args.rate,
        "frontend": args.frontend,
        "output": args.output,
        "bind": parse_bindings(args.bind),
        "backend": args.backend,
        "window": args.window,
        "channels": split_words(args.channels),
        **({} if args.at is None else {"at": args.at}),
    }
    found = explain_many(
        model, sources, folder=folder, pattern=args.pattern, figure=args.figure,
        verify=args.verify, force=args.force, workers=args.workers, scheduler=args.scheduler,
        **asked,
    )  # fmt: skip
    _print_skipped(found, str(Path(folder) / INDEX))
    written = [Path(folder) / name for name in (INDEX, "explanations.csv", ROWS)]
    if args.json:
        skipped = [{"file": name, "error": why} for name, why in found.skipped]
        told = {"accuracy": found.accuracy, "recordings": found.rows, "skipped": skipped}
        print_json("explain", written, **told, notes=found.notes)
    else:
        _print_found(found)
        print_files(written)
    if args.open:
        open_page(written[0])
    return 0


def _print_skipped(found: Explanations, page: str) -> None:
    """Say on stderr what could not be explained, up to a cut."""
    for name, why in found.skipped[:TOLD]:
        print(make_printable(f"dftlrp: not explained: {name}: {why}"), file=sys.stderr)
    if (more := len(found.skipped) - TOLD) > 0:
        print(make_printable(f"dftlrp: and {more} more, listed in {page}"), file=sys.stderr)


def _print_found(found: Explanations) -> None:
    total = len(found) + len(found.skipped)
    print(f"{len(found)} of {total} recordings explained")
    if found.accuracy is not None:
        judged = [row for row in found.rows if row["right"] is not None]
        right = sum(row["right"] for row in judged)
        print(f"{right} of {len(judged)} with a label are recognised rightly")
        for row in found.most_wrong(LISTED).rows:
            told = f"{row['prediction']!r}, its label is {row['label']!r}"
            print(make_printable(f"  among the most wrong: {row['file']}: {told}"))
    else:
        print("  no labels, so none is right or wrong: --pattern, or a folder for each class")
    if any(row["margin"] is not None for row in found.rows):
        for row in found.least_certain(LISTED).rows:
            told = repr(row["prediction"])
            if row["confidence"] is not None:
                told += f" at {100 * row['confidence']:.0f} %"
            print(make_printable(f"  among the least certain: {row['file']}: {told}"))
    for note in found.notes:
        print(f"  {make_printable(note)}")
