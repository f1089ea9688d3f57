"""``dftlrp check``: an exported graph against its network."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dftlrp.cli.options import add_command, add_options, find_model, parse_bindings, parse_shapes
from dftlrp.core.files import replace_file

DESCRIPTION = """Compare an exported graph with the network it was exported from: activations layer
by layer, gradient x input with the framework's own gradient, relevance by every preset and rule and
every backend with the float64 reference, and the conservation of relevance.  The exit code is 1 if
any of these differs by more than is allowed."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "compare an exported graph with its network"
    p = add_command(commands, "check", _run_check, summary, DESCRIPTION)
    add_options(p, "model", "--output", "--bind", "--shape", "--isolate")
    p.add_argument(
        "--against", default="onnx", metavar="NETWORK",
        help="onnx (default): onnxruntime without optimisations; torch or tensorflow: the graph's "
        "ops run by that framework; FILE.py:FUNCTION, which returns (model, example inputs)",
    )  # fmt: skip
    p.add_argument("--json", metavar="FILE", help="also write the findings as JSON")
    p.add_argument("--html", metavar="FILE", help="also write the findings as a page")


def _run_check(args: argparse.Namespace) -> int:
    from dftlrp.frameworks.checking import check

    found = check(
        find_model(args.model),
        args.against,
        output=args.output,
        bind=parse_bindings(args.bind),
        shapes=parse_shapes(args.shape),
    )
    print(found)
    if args.json:
        replace_file(args.json, json.dumps(found.to_dict(), indent=1).encode())
    if args.html:
        replace_file(args.html, found.html().encode())
    return 0 if found.ok else 1
