"""What commands print: lines for a person, or one JSON object for a program."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp import __version__
from dftlrp.core.text import make_printable

if TYPE_CHECKING:
    from dftlrp.results.explanation import Explanation

SCHEMA = 1  # of what `--json` prints; raised when a key changes its meaning or goes
HINTS = {"resynthesis.wav": " (listen to this first)"}


def print_json(command: str, files: Sequence[str | Path] = (), **found: Any) -> None:
    """Print one JSON object: what was found, and the files that were written."""
    from dftlrp.results.brief import make_plain

    head = {"schema": SCHEMA, "dftlrp": __version__, "command": command}
    whole = {**head, **found, "files": [str(file) for file in files]}
    print(json.dumps(make_plain(whole), indent=1, allow_nan=False))


def find_page(files: Sequence[Path]) -> Path:
    """Return the page among the files that were written."""
    return next(file for file in files if file.suffix == ".html")


def open_page(page: str | Path) -> None:
    """Open a page in a browser; say on stderr where that cannot be."""
    if sys.stderr.isatty() and _has_display() and webbrowser.open(Path(page).resolve().as_uri()):
        return
    print(f"dftlrp: --open: no terminal and browser here: open {page} yourself", file=sys.stderr)


def _has_display() -> bool:
    """Return whether windows can be shown: on Linux, a browser in text would take the terminal."""
    shown = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in shown)


def print_explanations(
    explanations: Sequence[Explanation], names: Sequence[str], table: bool = False
) -> None:
    """Print of each what was asked, where relevance lies, what accounts for it, what was done.

    The notes of all are printed once.
    """
    from dftlrp.results.saving import name_prefix

    told = set[str]()
    for k, (name, one) in enumerate(zip(names, explanations, strict=True)):
        if name != one.label:
            print(f"{make_printable(name)}:")
        for line in _describe_explanation(one, f"{name_prefix(k)}resynthesis.wav"):
            if line not in told or name != one.label:
                print(make_printable(line))
        notes = [f"  {note}" for note in (*one.notes, *_list_speed(one))]
        for line in notes:
            if line not in told:
                print(make_printable(line))
        told.update(notes, _list_prediction(one))
    if table:
        print(explanations[0].ledger)


def print_files(files: Sequence[Path]) -> None:
    """Print where the report is, which comes first, and what lies beside it."""
    report = find_page(files)
    names = [str(f.relative_to(report.parent)) for f in files if f != report]
    told = ", ".join(name + HINTS.get(name, "") for name in names)
    print(make_printable(f"  open {report}; beside it: {told}"))


def _describe_explanation(one: Explanation, sound: str) -> list[str]:
    from dftlrp.results.brief import list_places
    from dftlrp.results.heard import describe_heard
    from dftlrp.results.words import describe_account, describe_cancellation, describe_seed

    lines = [*_list_prediction(one), describe_seed(one), *list_places(one)]
    lines += [f"  {describe_account(one)}"]
    lines += [f"  {told}"] if (told := describe_cancellation(one)) else []
    return [*lines, f"  {sound}: {sentence}"] if (sentence := describe_heard(one)) else lines


def _list_prediction(one: Explanation) -> list[str]:
    from dftlrp.results.brief import rank_classes

    known = [f"{name} (score {score:.3f})" for name, score in rank_classes(one)[:2]]
    return [f"prediction: {', next '.join(known)}"] if known else []


def _list_speed(one: Explanation) -> list[str]:
    from dftlrp.results.sound import choose_playback, find_obstacle

    speed = 1 if find_obstacle(one) else choose_playback(one.rate)[1]
    return [f"sounds are played {speed:g} times faster"] if speed > 1 else []
