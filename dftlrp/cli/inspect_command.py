"""``dftlrp inspect``: the layers of a model."""

from __future__ import annotations

import argparse
from typing import Any

from dftlrp.cli.options import (
    add_command,
    add_options,
    find_model,
    parse_bindings,
    parse_pairs,
    parse_shapes,
)
from dftlrp.cli.printing import print_json

DESCRIPTION = """List the layers of a model as they are explained: name, op, shape, rule, parameters
and receptive field.  Also say which inputs are bound, which nodes do not depend on the signal, and
which are refused and why."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    p = add_command(commands, "inspect", _run_inspect, "list the layers of a model", DESCRIPTION)
    add_options(p, "model", "--composite", "--rule", "--output", "--bind", "--shape")
    add_options(p, "--json")


def _run_inspect(args: argparse.Namespace) -> int:
    from dftlrp.engine.inspection import inspect

    found = inspect(
        find_model(args.model),
        composite=args.composite,
        overrides=parse_pairs(args.rule, "--rule"),
        output=args.output,
        bind=parse_bindings(args.bind),
        shapes=parse_shapes(args.shape),
    )
    if args.json:
        print_json("inspect", **found.to_dict())
    else:
        print(found)
    return 0
