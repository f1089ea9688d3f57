"""``dftlrp check``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from dftlrp.cli.options import bindings, model_path, shapes
from dftlrp.core.types import InputError

DESCRIPTION = """Compare a graph with the network it was exported from: activations layer by layer,
gradient x input with the framework's autodiff, every preset and rule by each backend with the
float64 reference, and the ledger.  The exit code is 1 if any deviates by more than is allowed."""


def add_parser(commands: Any) -> None:
    """The command and its options."""
    p = commands.add_parser(
        "check", help="an exported graph against its network", description=DESCRIPTION
    )
    p.set_defaults(run=_check)
    p.add_argument("model", metavar="MODEL.onnx", help="an ONNX file, or an embedded model's name")
    p.add_argument(
        "--against", default="onnx", metavar="NETWORK",
        help="onnx (default: onnxruntime, not optimised), torch or tensorflow (the graph's ops run "
        "by that), or FILE.py:FUNCTION, which returns (model, example inputs)",
    )  # fmt: skip
    p.add_argument("--output", metavar="NAME", help="which output of the model")
    p.add_argument(
        "--bind", action="append", default=[], metavar="NAME=VALUE", help="as in explain"
    )
    p.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1,2,3", help="as in inspect"
    )
    p.add_argument("--json", metavar="FILE", help="also write what was found as JSON")
    p.add_argument("--html", metavar="FILE", help="also write it as a page")


def _check(args: argparse.Namespace) -> int:
    from dftlrp.frameworks.checking import check

    found = check(
        model_path(args.model),
        args.against,
        output=args.output,
        bind=bindings(args.bind),
        shapes=shapes(args.shape),
    )
    print(found)
    if args.json:
        _write("--json", args.json, json.dumps(found.to_dict(), indent=1))
    if args.html:
        _write("--html", args.html, found.html())
    return 0 if found.ok else 1


def _write(option: str, file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{option} {file}: {error.strerror}") from None
