"""``dftlrp annotate``: what dftlrp reads in a file's metadata, shown and written."""

from __future__ import annotations

import argparse
from typing import Any

from dftlrp.cli.options import add_command, add_options, find_model, read_labels
from dftlrp.cli.printing import print_json
from dftlrp.core.types import InputError

DESCRIPTION = """Print what dftlrp reads in the metadata of a model: sample_rate (hertz), labels (a
JSON list) and frontend (TOML).  With -o write a copy that says more; the model itself is not
touched.  Weights in external files are copied beside it."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "show or write rate, labels and front end in a model's metadata"
    p = add_command(commands, "annotate", _run_annotate, summary, DESCRIPTION)
    add_options(p, "model")
    p.add_argument(
        "--rate", type=float, metavar="HZ", help="sampling rate that the model reads, to be written"
    )
    p.add_argument(
        "--labels", metavar="FILE", help="names of the classes, to be written: one a line, or a "
        "JSON list",
    )  # fmt: skip
    p.add_argument(
        "--frontend", metavar="FILE.toml", help="how a waveform becomes what the model reads, to "
        "be written",
    )  # fmt: skip
    p.add_argument("-o", "--out", metavar="NEW.onnx", help="the copy to write")
    p.add_argument(
        "--force", action="store_true", help="replace a file that is there, the model included"
    )
    add_options(p, "--json")


def _run_annotate(args: argparse.Namespace) -> int:
    from dftlrp.graph.annotation import annotate, read_annotation
    from dftlrp.graph.frontend import FrontEnd

    path, written = find_model(args.model), []
    given = [args.rate, args.labels, args.frontend]
    if args.out is None and any(value is not None for value in given):
        raise InputError("-o NEW.onnx is needed: annotate writes a copy")
    if args.out is not None:
        frontend = None if args.frontend is None else FrontEnd.from_toml(args.frontend)
        written = annotate(
            path, args.out, rate=args.rate, labels=read_labels(args.labels), frontend=frontend,
            force=args.force,
        )  # fmt: skip
        path = args.out
    found = read_annotation(path)
    if args.json:
        print_json("annotate", written, metadata=dict(found.known), others=list(found.others))
    else:
        print(found)
    return 0
