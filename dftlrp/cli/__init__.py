"""The command line: one module for each command.

In come words that a person typed; out go lines of text, files and an exit code (0, or 2 after one
line on stderr that says what is wrong).  This room must never compute: each command calls one
public function of a room below and prints what that gives.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, TextIO

from dftlrp import __version__
from dftlrp.cli import (
    annotate_command,
    check_command,
    compare_command,
    completion_command,
    evaluate_command,
    explain_command,
    export_command,
    frontend_command,
    info_command,
    inspect_command,
    neurons_command,
)
from dftlrp.core.names import suggest
from dftlrp.core.progress import hush, watched
from dftlrp.core.text import make_printable
from dftlrp.core.types import CacheWarning, DftlrpError, InputError
from dftlrp.tracing.runtime import ISOLATE

COMMANDS = (
    explain_command,
    compare_command,
    evaluate_command,
    neurons_command,
    frontend_command,
    annotate_command,
    inspect_command,
    check_command,
    export_command,
    info_command,
    completion_command,
)
DESCRIPTION = "Why this output?  Relevance of ONNX models for sound and other signals."
EXITS = """exit codes: 0, done; 1, a check found a difference; 2, refused, with one line on
stderr that says what is wrong and what to do; 130, interrupted.
docs/reference/cli.md has every option."""
PLAIN = str.maketrans({"−": "-", "“": '"', "”": '"', "’": "'", "…": "...", "\u00a0": " "})
CHOICE, WORD = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)"), r"[\w.-]+"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        The exit code: 0 on success, 1 where a check fails, 2 where something is refused.
    """
    try:
        args, unknown = make_parser().parse_known_args(argv)
        if unknown:
            args.parser.refuse(unknown)
        with (
            _end_on_sigterm(),
            _tell_warnings(),
            _isolate(getattr(args, "isolate", None)),
            contextlib.redirect_stdout(_Terminal(sys.stdout)),
            watched(f"dftlrp {args.command}"),
        ):
            status = int(args.run(args))
        sys.stdout.flush()
        return status
    except DftlrpError as error:
        print(f"dftlrp: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of what is printed has gone; all files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@contextlib.contextmanager
def _end_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program as an exception does: what is half-written is removed.

    Whatever ran at that moment may have made another exception of it (an import of a library does).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = list[SystemExit]()

    def end(*_: object) -> NoReturn:
        ends.append(SystemExit(128 + signal.SIGTERM))
        raise ends[-1]

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Exception:
        if ends:
            raise ends[-1] from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _isolate(asked: bool | None) -> Iterator[None]:
    """Say to all that load sessions whether they belong in a process of their own."""
    before = os.environ.get(ISOLATE)
    os.environ[ISOLATE] = before or "1" if asked is None else str(int(asked))
    try:
        yield
    finally:
        os.environ.pop(ISOLATE)
        if before is not None:
            os.environ[ISOLATE] = before


@contextlib.contextmanager
def _tell_warnings() -> Iterator[None]:
    """Print each of our own warnings once, as a line on stderr."""
    others, told = warnings.showwarning, set[str]()

    def tell(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, CacheWarning):
            others(message, category, *place, **more)
        elif (line := make_printable(str(message))) not in told:
            told.add(line)
            print(f"dftlrp: warning: {line}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CacheWarning)
        warnings.showwarning = tell
        yield


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


class _Terminal(io.TextIOBase):
    """Standard output, in which the control characters of names and labels are escaped."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def write(self, text: str) -> int:
        """Write the text, all but its line breaks printable, where the line of progress was.

        What the encoding of standard output lacks, as that of a pipe on Windows does the minus
        sign, is written as what is nearest.
        """
        hush()
        shown, encoding = "\n".join(map(make_printable, text.split("\n"))), self.out.encoding
        if encoding:
            plain = shown.translate(PLAIN) if not _can_encode(shown, encoding) else shown
            shown = plain.encode(encoding, "replace").decode(encoding)
        return self.out.write(shown)

    def flush(self) -> None:
        """Flush standard output."""
        self.out.flush()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors here are.

    An option is written in full: a shorter form would mean another one as soon as there is one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self.color = False  # of Python 3.14 on

    def error(self, message: str) -> NoReturn:
        """Raise `InputError`, with the choice that is like what is none."""
        if found := CHOICE.search(message):
            message += f"; {suggest(found[1], re.findall(WORD, found[2]))}".rstrip("; ")
        raise InputError(f"{message} (see {self.prog} --help)")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raise `InputError` for arguments that nothing takes."""
        names = [name for name in self._option_string_actions if name.startswith("--")]
        option = next((word for word in unknown if word.startswith("-")), "").partition("=")[0]
        meant = f"; {suggest(option, names, 1)}".rstrip("; ")
        self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser("dftlrp", description=DESCRIPTION, epilog=EXITS)
    parser.add_argument("--version", action="version", version=f"dftlrp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
