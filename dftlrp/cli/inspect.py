"""``dftlrp inspect``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dftlrp.cli.options import bindings, model_path, pairs, shapes

DESCRIPTION = """List the layers of a model as they are explained: name, op, shape, rule, parameters
and receptive field; what is bound, folded, merged, left out, or refused and why."""


def add_parser(commands: Any) -> None:
    """The command and its options."""
    p = commands.add_parser("inspect", help="the layers of a model", description=DESCRIPTION)
    p.set_defaults(run=_inspect)
    p.add_argument("model", metavar="MODEL.onnx", help="an ONNX file, or an embedded model's name")
    p.add_argument("--composite", default="auto", help="preset of rules; default: auto")
    p.add_argument(
        "--rule", action="append", default=[], metavar="LAYER=RULE", help="as in explain"
    )
    p.add_argument("--output", metavar="NAME", help="which output of the model")
    p.add_argument(
        "--bind", action="append", default=[], metavar="NAME=VALUE", help="as in explain"
    )
    p.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1,2,3",
        help="shape of an input to run with, where the file leaves it open; may be repeated",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="as JSON")


def _inspect(args: argparse.Namespace) -> int:
    from dftlrp.engine.inspection import inspect

    found = inspect(
        model_path(args.model),
        composite=args.composite,
        overrides=pairs(args.rule, "--rule"),
        output=args.output,
        bind=bindings(args.bind),
        shapes=shapes(args.shape),
    )
    print(json.dumps(found.to_dict(), indent=1, default=str) if args.json else found)
    return 0
