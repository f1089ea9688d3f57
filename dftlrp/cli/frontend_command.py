"""``dftlrp frontend``: the declaration of how a waveform becomes what a model reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dftlrp.cli.options import add_command, add_options, find_model
from dftlrp.cli.printing import print_json
from dftlrp.core.files import locate, replace_file
from dftlrp.core.types import InputError
from dftlrp.graph.frontend import LIKE

DESCRIPTION = """For models that read features (a spectrogram, mel bands, MFCC): init writes a TOML
file that declares how these are computed, check compares it with features that your own code
computed and names the setting that is off."""
CHECK = """Compute the features of CLIP as the front end declares, compare them with FEATURES, which
your own code computed of the same clip, and name the setting (or the two) that is off: rate,
amplitude, hop, n_fft, win_length, window, center, mel_scale, mel_norm, fmin, fmax, log, floor, mean
and std, layout, and others.  The exit code is 1 if one is."""
INIT = """Write a commented TOML file with the settings that a library has by default, and the
number of mel filters and the layout that the model's input has.  It lies beside the model under its
name, where explain finds it."""


def add_parser(commands: Any) -> None:
    """Add the command, its own two commands and their options."""
    p = commands.add_parser(
        "frontend", help="declare and check how a model's features are computed",
        description=DESCRIPTION,
    )  # fmt: skip
    inner = p.add_subparsers(required=True, metavar="check|init")
    summary = "which setting of a front end is off, by features of your own"
    check = add_command(inner, "check", _run_frontend_check, summary, CHECK)
    add_options(check, "model")
    check.add_argument("clip", metavar="CLIP", help="the recording, of a few seconds")
    check.add_argument(
        "--features", required=True, metavar="MINE.npy",
        help="what your own code computes of the clip, in the order of axes that the model reads",
    )  # fmt: skip
    add_options(check, "--frontend")
    check.add_argument(
        "-o", "--out", metavar="FILE.toml", help="write the declaration that agrees, where one does"
    )
    check.add_argument("--force", action="store_true", help="replace a file that is there")
    add_options(check, "--json")
    summary = "write a declaration to start from"
    init = add_command(inner, "init", _run_frontend_init, summary, INIT)
    add_options(init, "model")
    init.add_argument(
        "--like", required=True, choices=list(LIKE), help="whose settings to start from"
    )
    init.add_argument(
        "-o", "--out", metavar="FILE.toml", help="default: the model's name with .toml, beside it"
    )
    init.add_argument("--force", action="store_true", help="replace a file that is there")
    add_options(init, "--json")


def _run_frontend_check(args: argparse.Namespace) -> int:
    from dftlrp.attribution.frontend_check import check_frontend

    out = _choose_file(args.out, args.force) if args.out else None
    found = check_frontend(find_model(args.model), args.clip, args.features, frontend=args.frontend)
    written = [out] if out and found.found else []
    if out and found.found:
        replace_file(out, found.found.to_text().encode())
    if args.json:
        print_json("frontend check", written, **found.to_dict())
    else:
        print(found, *written, sep="\n")
    return 0 if found.ok else 1


def _run_frontend_init(args: argparse.Namespace) -> int:
    from dftlrp.graph.frontend import make_template
    from dftlrp.graph.load import load_graph

    path = Path(find_model(args.model))
    text = make_template(load_graph(path), args.like, path.name)
    out = _choose_file(args.out or path.with_suffix(".toml"), args.force)
    replace_file(out, text.encode())
    if args.json:
        print_json("frontend init", [out], like=args.like)
    else:
        print(f"{out}: like {args.like}; compare each line with your training code")
    return 0


def _choose_file(name: str | Path, force: bool) -> Path:
    """Return the path of a file to write; refuse one that is there, unless it may be replaced."""
    out = locate(name)
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force replaces it, -o names another file")
    return out
