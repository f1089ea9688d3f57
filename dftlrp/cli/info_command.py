"""``dftlrp info``: what is installed here, for a report of a fault."""

from __future__ import annotations

import argparse
from typing import Any

from dftlrp.cli.options import add_command, add_options
from dftlrp.cli.printing import print_json

DESCRIPTION = """Print what is installed here and works: versions, extras, backends (each explains a
small network in a process of its own), execution providers, the font of figures, the machine, and
the variables that are set.  It names no user and no folder of theirs: put it into a report of a
fault."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "what is installed here and works"
    add_options(add_command(commands, "info", _run_info, summary, DESCRIPTION), "--json")


def _run_info(args: argparse.Namespace) -> int:
    from dftlrp.frameworks.installation import describe_installation

    found = describe_installation()
    if args.json:
        print_json("info", **found.to_dict())
    else:
        print(found)
    return 0
