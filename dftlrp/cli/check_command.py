"""``dftlrp check``: an exported graph against its network."""

from __future__ import annotations

import argparse
from typing import Any

from dftlrp.cli.options import add_command, add_options, find_model, parse_bindings, parse_shapes
from dftlrp.cli.printing import open_page, print_json
from dftlrp.core.files import replace_file
from dftlrp.core.types import InputError

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
    p.add_argument("--html", metavar="FILE", help="also write the findings as a page")
    add_options(p, "--open", "--json")


def _run_check(args: argparse.Namespace) -> int:
    if args.open and not args.html:
        raise InputError("--open: there is a page only with --html FILE")
    from dftlrp.frameworks.checking import check

    found = check(
        find_model(args.model),
        args.against,
        output=args.output,
        bind=parse_bindings(args.bind),
        shapes=parse_shapes(args.shape),
    )
    written = [args.html] if args.html else []
    for page in written:
        replace_file(page, found.html().encode())
    if args.json:
        print_json("check", written, **found.to_dict())
    else:
        print(found)
    if args.open:
        open_page(args.html)
    return 0 if found.ok else 1
