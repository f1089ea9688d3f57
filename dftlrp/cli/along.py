"""What ``explain`` asks along a recording that is longer than the model reads at once."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.cli.answering import list_options, make_masks, verify_answer
from dftlrp.cli.given import check_classes
from dftlrp.cli.options import read_labels
from dftlrp.cli.printing import open_page, print_explanations, print_files, print_json
from dftlrp.core.text import make_printable

if TYPE_CHECKING:
    from dftlrp.engine.model import Model
    from dftlrp.results.timeline import Timeline

PASSAGE = ("top", "hop", "start", "stop")


def add_passage(p: argparse.ArgumentParser) -> None:
    """Add the options that say which windows of a longer recording are explained."""
    group = p.add_argument_group(
        "of a recording that is longer than the model reads at once",
        "The model is asked about window after window, and the strongest are explained.",
    )
    group.add_argument("--top", type=int, metavar="N", help="how many are explained; default: 5")
    group.add_argument(
        "--hop", type=float, metavar="SECONDS",
        help="from window to window; default: half a window",
    )  # fmt: skip
    group.add_argument(
        "--from", dest="start", type=float, metavar="SECONDS", help="where to start; default: 0"
    )
    group.add_argument(
        "--to", dest="stop", type=float, metavar="SECONDS", help="where to stop; default: the end"
    )
    group.add_argument(
        "--crop", choices=["loudest"], help="explain only one window, the loudest one"
    )


def ask_along(
    model: Model, clip: str | Path, asked: tuple[str, str], args: argparse.Namespace
) -> Timeline | None:
    """Return the timeline of a recording; None where the model reads all of it at once."""
    from dftlrp.attribution.asking import Request, prepare
    from dftlrp.attribution.long_recording import Passage, explain_along, is_longer

    check_classes(model, args.output, read_labels(args.labels), [asked[0]])
    options = list_options(*asked, make_masks(model, clip, args), args)
    asking = prepare(model, clip, Request(**options))
    given = {name: getattr(args, name) for name in PASSAGE if getattr(args, name) is not None}
    with asking.open() as whole:
        if not is_longer(asking, whole, args.window):
            return None
        found = explain_along(asking, whole, Passage(window=args.window, **given))
    if not args.verify:
        return found
    checked: Any = tuple(verify_answer(one) for one in found)
    return replace(found, explanations=checked)


def write_timeline(found: Timeline, args: argparse.Namespace) -> None:
    """Write the results of a long recording, and print what they say."""
    written = found.save(args.out, args.figure)
    if args.json:
        told: dict[str, Any] = {
            "windows": [row._asdict() for row in found.windows()],
            "explained": list(found.chosen),
            "explanations": [one.to_dict() for one in found],
        }
        print_json(args.command, written, **told)
    else:
        for line in str(found).splitlines():
            print(make_printable(line))
        print("the strongest of them:")
        print_explanations([found[0]], [found[0].label], args.table)
        each = f"1-* to {len(found)}-*" if len(found) > 1 else "1-*"
        print_files([*written[:2], written[0].parent / each])
    if args.open:
        open_page(written[0])
