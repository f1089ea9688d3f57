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


def print_explanations(explanations: Sequence[Explanation], table: bool) -> None:
    """Print what was asked, where relevance lies, what accounts for it and what was done."""
    from dftlrp.results.brief import list_places
    from dftlrp.results.sound import choose_playback
    from dftlrp.results.words import describe_account, describe_cancellation, describe_seed

    first = explanations[0]
    _print_prediction(first)
    for prefix, one in zip(("", "versus-"), explanations, strict=False):
        lines = [describe_seed(one), *list_places(one), f"  {describe_account(one)}"]
        lines += [f"  {told}"] if (told := describe_cancellation(one)) else []
        lines += _list_heard(one, f"{prefix}resynthesis.wav")
        lines += [f"  {note}" for note in one.notes if one is first or note not in first.notes]
        for line in lines:
            print(make_printable(line))
    if (speed := choose_playback(first.rate)[1]) > 1:
        print(f"  sounds are played {speed:g} times faster")
    if table:
        print(first.ledger)


def print_files(files: Sequence[Path]) -> None:
    """Print where the report is, which comes first, and what lies beside it."""
    report = find_page(files)
    names = [str(f.relative_to(report.parent)) for f in files if f != report]
    told = ", ".join(name + HINTS.get(name, "") for name in names)
    print(make_printable(f"  open {report}; beside it: {told}"))


def _print_prediction(one: Explanation) -> None:
    from dftlrp.results.brief import rank_classes

    known = [f"{name} (score {score:.3f})" for name, score in rank_classes(one)[:2]]
    if known:
        print(make_printable(f"prediction: {', next '.join(known)}"))


def _list_heard(one: Explanation, name: str) -> list[str]:
    """Return what the model hears in the sound of what supports the output."""
    from dftlrp.results.heard import describe_heard

    sentence = describe_heard(one)
    return [f"  {name}: {sentence}"] if sentence else []
