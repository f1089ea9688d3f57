"""``dftlrp compare``: explanations side by side, from files or made now."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from dftlrp.assets import FILES, MODELS, embedded
from dftlrp.cli.answering import (
    add_question,
    add_results,
    ask_model,
    open_model,
    refuse_overwriting,
    write_answers,
)
from dftlrp.cli.given import check_words
from dftlrp.cli.options import add_command, find_model
from dftlrp.core.types import InputError

STORED = "explanation.npz"
DESCRIPTION = f"""Put explanations side by side on one page: shared axes, one player, what differs.
Each FILE is a folder or an {STORED} that `dftlrp explain` wrote; or a model (.onnx, or
{", ".join(MODELS)}); or a recording.  Every model explains every recording, for each --target by
each --method."""


class Sorted(NamedTuple):
    """Files by what they are: explanations, models and recordings."""

    stored: list[str]
    models: list[str | Path]
    clips: list[str]


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "put explanations side by side"
    p = add_command(commands, "compare", _run_compare, summary, DESCRIPTION)
    p.add_argument("files", nargs="+", metavar="FILE", help="explanations, models and recordings")
    p.add_argument("--names", nargs="+", metavar="NAME", help="a name for each explanation")
    p.add_argument(
        "--target", nargs="+", default=["argmax"],
        help="indices or labels of classes; default: the largest output",
    )  # fmt: skip
    asked = ["target", *add_question(p)]
    add_results(p, "dftlrp-compared")
    p.set_defaults(command="compare", usual={name: p.get_default(name) for name in asked})


def _run_compare(args: argparse.Namespace) -> int:
    from dftlrp.results.saving import find_stored
    from dftlrp.tracing.isolation import prepare_child

    check_words(args)
    found = _sort_files(args.files)
    refuse_overwriting([*map(find_stored, found.stored), *found.clips], args)
    if found.clips:
        prepare_child()  # which takes as long as the imports that follow
    else:
        _refuse_options(args)
    from dftlrp.results.explanation import Explanation

    explanations = [Explanation.load(file) for file in found.stored]
    asked = list(product(args.target, args.method))
    for path in found.models:
        model = open_model(path, args)
        for clip in found.clips:
            explanations += ask_model(model, clip, asked, args)
    if len(explanations) < 2:
        raise InputError(
            "one explanation: give another one, another recording or model, or two of --target or "
            "--method"
        )
    write_answers(explanations, args, args.names)
    return 0


def _sort_files(files: Sequence[str]) -> Sorted:
    """Return the files by what they are; recordings without a model belong to the embedded one."""
    found = Sorted([], [], [])
    for file in files:
        if os.path.isdir(file) or file.endswith(STORED):
            found.stored.append(file)
        elif file.endswith(".onnx") or (file in MODELS and not os.path.exists(file)):
            found.models.append(find_model(file))
        else:
            named = file in FILES and not os.path.exists(file)
            found.clips.append(str(embedded(file)) if named else file)
    if found.models and not found.clips:
        raise InputError(f"{found.models[0]}: a recording is needed beside the model")
    if found.clips and not found.models:
        found.models.append(embedded("waveform"))
    return found


def _refuse_options(args: argparse.Namespace) -> None:
    """Refuse options that say how to explain where everything is explained already."""
    for name, value in args.usual.items():
        if getattr(args, name) != value:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option}: these are explained already; give a model and recordings")
