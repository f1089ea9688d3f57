"""The command line: one module for each command.

In come words that a person typed; out go lines of text, files and an exit code (0, or 2 after one
line on stderr that says what is wrong).  This room must never compute: each command calls one
public function of a room below and prints what that gives.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from dftlrp import __version__
from dftlrp.cli import check, explain, export, inspect, neurons
from dftlrp.core.types import DftlrpError, InputError

DESCRIPTION = "Why this output?  Relevance of ONNX models for sound and other signals."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 on success, 1 where a check fails, 2 where something is refused."""
    try:
        args = _parser().parse_args(argv)
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except DftlrpError as error:
        print(f"dftlrp: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of what is printed has gone; all files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("dftlrp", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dftlrp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (explain, neurons, inspect, check, export):
        command.add_parser(commands)
    return parser
