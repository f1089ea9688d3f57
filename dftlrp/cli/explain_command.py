"""``dftlrp explain``: one output of a model for one recording, or for each of many."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dftlrp.assets import MODELS, embedded
from dftlrp.cli.about_features import add_features, run_features
from dftlrp.cli.along import PASSAGE, add_passage, ask_along, write_timeline
from dftlrp.cli.answering import (
    add_question,
    add_results,
    ask_model,
    open_model,
    refuse_overwriting,
    write_answers,
)
from dftlrp.cli.given import check_words, order_files
from dftlrp.cli.options import add_command, add_options
from dftlrp.core.names import find_name
from dftlrp.core.types import InputError

DESCRIPTION = """Explain one output of a model for one recording, and write report.html,
explanation.npz, tables (CSV) and sounds.  Without MODEL and CLIP the embedded digit classifier
explains the embedded recording; with CLIP alone it explains that one.  --model names another
model.  Several recordings, a folder, or a CSV table (column file, and label if known) are all
explained: index.html lists them, each has a folder of its own, and if the command is interrupted,
run it again to continue."""
FOLDER = "dftlrp-explanations"


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "explain one output, for one recording or for each of a folder"
    p = add_command(commands, "explain", _run_explain, summary, DESCRIPTION)
    p.add_argument(
        "files", nargs="*", metavar="MODEL.onnx CLIP",
        help="a model, and a recording; or several: folders, files and CSV tables",
    )  # fmt: skip
    p.add_argument(
        "--model", metavar="NAME", help=f"embedded model ({', '.join(MODELS)}), or an ONNX file"
    )
    p.add_argument(
        "--target", default="argmax", help="index or label of a class; default: the largest output"
    )
    p.add_argument("--versus", metavar="M", help="a second class, to explain side by side")
    add_question(p)
    add_passage(p)
    add_features(p)
    p.add_argument("--table", action="store_true", help="also print the rule of every layer")
    p.add_argument(
        "--pattern", metavar="P",
        help="of several recordings: where their labels are, as {label}_{take}.wav; default: the "
        "table, or folders that are named as classes",
    )  # fmt: skip
    add_options(p, "--workers", "--scheduler")
    add_results(p, None, f"default: dftlrp-out; of several recordings {FOLDER}")
    p.set_defaults(command="explain")


def _split_files(files: Sequence[str], named: str | None) -> tuple[str | Path, list[str | Path]]:
    """Return the model and the recordings; the embedded ones where none is given."""
    files = order_files(files, named)
    if len(files) == 1 and not named and files[0].endswith(".onnx"):
        raise InputError(f"{files[0]}: a recording is needed beside the model")
    if named:
        if not named.endswith(".onnx"):
            named = str(embedded(find_name(named, MODELS, "--model: nothing is embedded as")))
        return named, [*files] or [embedded("clip")]
    if len(files) > 1 and not _is_source(files[0]):
        return files[0], [*files[1:]]
    return embedded("waveform"), [*files] or [embedded("clip")]


def _is_source(name: str) -> bool:
    """Return whether a name rather means recordings than a model."""
    from dftlrp.attribution.sources import SUFFIXES, is_many

    return is_many([name]) or Path(name).suffix.lower() in SUFFIXES


def _run_explain(args: argparse.Namespace) -> int:
    from dftlrp.attribution.sources import is_many
    from dftlrp.tracing.isolation import prepare_child

    if args.features is not None:
        return run_features(args, _list_asked(args))
    check_words(args)
    path, sources = _split_files(args.files, args.model)
    if len(sources) > 1 or (args.files and is_many(sources)):
        from dftlrp.cli.many_recordings import run_many

        return run_many(args, path, sources, FOLDER)
    (clip,) = sources
    args.out = "dftlrp-out" if args.out is None else args.out
    refuse_overwriting([clip], args)
    asked = _list_asked(args)
    prepare_child()  # which takes as long as the imports that follow
    model = open_model(path, args)
    if len(asked) == 1 and args.at is None and not args.crop:
        along = ask_along(model, clip, asked[0], args)
        if along is not None:
            write_timeline(along, args)
            return 0
    elif stray := [name for name in PASSAGE if getattr(args, name) is not None]:
        option = {"start": "from", "stop": "to"}.get(stray[0], stray[0])
        raise InputError(
            f"--{option}: belongs to the explanation of a whole recording, without --at, --crop, "
            "--versus and two methods"
        )
    found = ask_model(model, clip, asked, args)
    if len({one.label for one in found}) < len(found) and args.versus is not None:
        raise InputError(f"--versus {args.versus}: the same class as the target")
    write_answers(found, args, None)
    return 0


def _list_asked(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return target and method of each explanation."""
    methods = args.method
    if len(methods) > 2 or (len(methods) == 2 and args.versus is not None):
        raise InputError(
            "--method: two methods for one class, or two classes (--versus) by one method, are "
            "shown side by side"
        )
    if len(set(methods)) < len(methods):
        raise InputError(f"--method {methods[0]} {methods[1]}: the same method twice")
    if args.versus is not None:
        return [(args.target, methods[0]), (args.versus, methods[0])]
    return [(args.target, method) for method in methods]
