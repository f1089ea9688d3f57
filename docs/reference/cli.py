"""Write docs/reference/cli.md: every command, its options, its exit codes and what `--json` prints.

python docs/reference/cli.py [--check]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from dftlrp.cli import make_parser
from dftlrp.cli.printing import SCHEMA

PAGE = Path(__file__).with_suffix(".md")
HEAD = f"""# Command line

`dftlrp COMMAND --help` prints what this page has; `python docs/reference/cli.py` writes it from the parsers. An option is written in full (no
`--tar` for `--target`). Names of classes, presets, rules, methods and domains are found in any case where only one has these letters; an
unknown one is answered with what is alike.

A MODEL is an ONNX file or the name of an embedded model. What else is given for one (`.pt`, `.pth`, `.keras`, `.h5`, `.tflite`, `.pb`,
`.safetensors`, a SavedModel) is answered with the command that exports it.

## Exit codes
| code | what |
|---|---|
| 0 | done; every file is complete (of a folder: of what could be read) |
| 1 | `dftlrp check` or `dftlrp frontend check` found a difference |
| 2 | refused: one line on stderr says what is wrong, where, and what to do; nothing is half-written |
| 130, 143 | interrupted (Ctrl-C), ended (SIGTERM); `neurons`, `evaluate` and `explain` of a folder go on where they were if they are run again |

## What is printed
Lines for a person go to stdout, in plain text without colours, whether or not it is a terminal. On a terminal a line on stderr says from
the first moment what is being done (loading, tracing, explaining), and goes when it is done; elsewhere nothing is written to stderr
unless a step takes more than ten seconds, and then a line a minute.

`--open` opens the page in a browser where stderr is a terminal and there is a display, and says so where there is none.

## JSON
With `--json` every command prints one JSON object on stdout and nothing else there. Its first keys are the same everywhere:

| key | what |
|---|---|
| `schema` | {SCHEMA}: the number of this description; it is raised when a key goes or changes its meaning, not when one is added |
| `dftlrp` | version of dftlrp |
| `command` | `explain`, `evaluate`, ... |
| `files` | the files that were written, the page first |

Numbers that are not finite are `null`. Beside these:

**explain**, **compare**: `explanations`, a list, each with the keys of `Explanation.to_dict()` in Python:

| key | what |
|---|---|
| `label`, `target`, `score` | name, index and score of what was explained |
| `prediction` | `label` and `score` of the largest output; `null` where the outputs are no classes |
| `scores` | scores by label, best first; empty where labels repeat |
| `seed`, `versus`, `explained` | kind of seed; the other class of a contrast; the number that is divided into relevance |
| `reference` | what the score is compared with, or `none` |
| `rate`, `seconds`, `channels` | of the signal that the model read: hertz; length; names of channels, or their number |
| `half` | by domain, from where to where half of the positive relevance lies, as narrowly as it does, in s or Hz |
| `domains` | by name: `shape`, `units` of the axes, `sum` of the relevance, of what is in `favour` and `against`, and the `rest` that the domain cannot show |
| `bands`, `segments` | the ten strongest: `start`, `stop`, `unit`, `relevance`, `share` of the sum |
| `tiles` | the ten strongest: `low`, `high` (Hz), `start`, `stop` (s), `relevance`, `share` |
| `account` | `gap` (the largest error of any layer, relative) and whether it is `closed`; what `bias`, `stabiliser`, `stopped` and `reference` took |
| `notes` | what was done to model and recording, warnings first word `warning:` |
| `provenance` | hashes, versions, rules, what was chosen by default and why |

and of several `names` and `differences`: for `bands`, `segments` and `tiles` the ten rows that differ most, with `band` (Hz) and `time` (s), the
`amounts` of the two `names`, their `difference`, and whether these are shares (`relative`).

**explain** of several recordings: `accuracy` (`null` without labels), `recordings` (the rows of [folders.md](../guides/folders.md)), `skipped`
(`file`, `error`), `notes`. What could not be explained is also on stderr, a line each, the first ten.

**inspect**: `model`, `composite`, `inputs`, `outputs`, `probe`, `layers` (`name`, `op`, `rule`, `shape`, `parameters`,
`receptive_field`, `names`), `bound`, `folded`, `explained`, `stripped`, `refused`.

**check**: `model`, `native`, `ok`, `verdict`, `first` (the first layer that differs), `findings`, `notes`.

**frontend check**: `ok`, `settings` that are off, `sentences`, `others` (what fits as well), `error`, `found_error`, `found` (TOML), `notes`.

**annotate**: `metadata` (`sample_rate`, `labels`, `frontend` as the file holds them), `others` (keys of other programs).

**info**: `python`, `system`, `processor`, `cores` that may be used of `cores_there`, `memory` in bytes; `packages` and, by name, `extras`: versions,
`null` where a package is missing; `backends` by name, `providers`, `sound` and `font`: whether each is `ok`, and a `text`, what was found or
what went wrong; `environment`, the variables that are set.

**export**: `inputs` and `outputs`: shapes by name; a size that is open is a name.

**neurons**: `layer`, `classes` (`class`, `label`, `recordings`, `neurons` with `neuron`, `mean`, `spread`), `notes`, `skipped`,
`failures`.

**evaluate**: what `evaluation.json` holds: `model`, `recordings`, `variants`, `faithfulness`, `complexity`, `arrival`, `stability`,
`sound`, `randomisation`, `verdicts`, `warnings`, `notes`, `skipped`.
"""


def describe_commands() -> str:
    """Return a section for each command, with a table of its arguments."""
    (commands,) = (a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return "".join(_describe_command(name, p) for name, p in commands.choices.items())


def _describe_command(name: str, parser: argparse.ArgumentParser) -> str:
    kinds = (argparse._HelpAction, argparse._SubParsersAction)
    actions = [a for a in parser._actions if not isinstance(a, kinds)]
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    rows = "".join(f"| {_name(a)} | {_escape(_help(a, parser))} |\n" for a in actions)
    told = " ".join((parser.description or "").split())
    if inner:
        parts = (_describe_command(f"{name} {n}", p) for a in inner for n, p in a.choices.items())
        return f"\n## dftlrp {name}\n{told}\n{''.join(parts)}"
    return f"\n## dftlrp {name}\n{told}\n\n| argument | what |\n|---|---|\n{rows}"


def _name(action: argparse.Action) -> str:
    options = [o for o in action.option_strings if not o.startswith("--no-")]
    value = action.metavar or (None if action.nargs == 0 else action.dest.upper())
    if action.choices:
        value = "|".join(map(str, action.choices))
    shown = f" {value}" if value and action.nargs != 0 else ""
    several = " ..." if action.nargs in {"+", "*"} else ""
    names = ", ".join(options) or str(value)
    return _escape(f"`{names}{shown if options else ''}{several}`")


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    values: dict[str, Any] = {**vars(action), "prog": parser.prog}
    text = (action.help or "") % values
    again = isinstance(action, argparse._AppendAction) and "repeated" not in text
    return f"{text}; may be repeated" if again else text


def _escape(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def main() -> int:
    os.environ["COLUMNS"] = "100"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    text = HEAD + describe_commands()
    if parser.parse_args().check:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
