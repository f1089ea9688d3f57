"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dftlrp.assets import MODELS, embedded
from dftlrp.core.files import regular
from dftlrp.core.types import InputError

# By name, the keyword arguments of `argparse.ArgumentParser.add_argument`.
OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"metavar": "MODEL.onnx", "help": "an ONNX file, or the name of an embedded model"},
    "--frontend": {
        "metavar": "FILE.toml",
        "help": "how a waveform becomes what the model reads; default: the model's own "
        "declaration, or MODEL.toml beside the model; none: it reads the waveform",
    },
    "--composite": {"default": "auto", "help": "preset of rules; default: auto"},
    "--rule": {
        "action": "append", "default": [], "metavar": "LAYER=RULE",
        "help": "rule of a layer, as in first=flat, Conv='gamma(0.1)' or conv3=epsilon; "
        "may be repeated",
    },
    "--output": {"metavar": "NAME", "help": "output of the model to explain; default: the first"},
    "--bind": {
        "action": "append", "default": [], "metavar": "NAME=VALUE",
        "help": "value of an input that is a setting, not a signal; may be repeated",
    },
    "--shape": {
        "action": "append", "default": [], "metavar": "NAME=1,2,3",
        "help": "shape of an input, where the file leaves it open; may be repeated",
    },
    "--labels": {"metavar": "FILE", "help": "names of the classes: one a line, or a JSON list"},
    "--rate": {
        "type": float, "metavar": "HZ",
        "help": "sampling rate that the model reads, if its file does not say it",
    },
    "--json": {
        "action": "store_true",
        "help": "print one JSON object and nothing else; docs/reference/cli.md describes its keys",
    },
    "--open": {"action": "store_true", "help": "open the page in a browser, where there is one"},
    "--isolate": {
        "action": argparse.BooleanOptionalAction,
        "help": "run onnxruntime in a process of its own, whose end is an error (default, unless "
        "DFTLRP_ISOLATE=0 in the environment)",
    },
    "--workers": {
        "type": int, "default": 1, "metavar": "N", "help": "processes over several recordings; "
        "default: 1",
    },
    "--scheduler": {
        "metavar": "ADDRESS",
        "help": "address of a dask.distributed scheduler to use instead, as tcp://host:8786",
    },
    "--backend": {
        "help": "onnx (the default where the model can be traced) or numpy (the reference in "
        "float64); torch or tensorflow, where installed",
    },
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options of the table to a command."""
    for name in names:
        parser.add_argument(name, **OPTIONS[name])


def add_command(
    commands: Any, name: str, run: Any, summary: str, description: str
) -> argparse.ArgumentParser:
    """Add a command and return its parser; `run` takes the parsed arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description
    )
    parser.set_defaults(run=run, parser=parser, command=name)
    return parser


def list_commands(
    actions: Sequence[argparse.Action], before: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command with its parser, and of one that has commands of its own, these."""
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found = list(list_commands(inner._actions, f"{before}{name} "))
                yield from found or [(before + name, inner)]


def parse_shapes(items: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return shapes by input, from ``--shape NAME=1,2,3``."""
    return {name: _parse_shape(text) for name, text in parse_pairs(items, "--shape").items()}


def _parse_shape(text: str) -> tuple[int, ...]:
    shape = _parse_integers(text)
    if not shape or min(shape) < 1:
        raise InputError(f"--shape {text!r}: write it as NAME=1,2,3")
    return tuple(shape)


def parse_channels(items: Sequence[str]) -> dict[str, list[int]]:
    """Return channels by layer, from ``--through LAYER=125,3``; none block the layer."""
    found = dict[str, list[int]]()
    for layer, text in parse_pairs(items, "--through").items():
        found[layer] = _parse_integers(text)
        if text and not found[layer]:
            raise InputError(f"--through {layer}={text}: write it as LAYER=125,3")
    return found


def _parse_integers(text: str) -> list[int]:
    """Return the numbers of ``1,2,3``; none where it is anything else."""
    try:
        return [int(n) for n in text.split(",")]
    except ValueError:
        return []


def split_words(items: Sequence[str]) -> list[str]:
    """Return words that were given one by one or separated by commas."""
    return [word for item in items for word in item.split(",") if word]


def find_model(text: str) -> str | Path:
    """Return the path of an embedded model by its name; another text as it is."""
    return embedded(text) if text in MODELS and not Path(text).exists() else text


def parse_pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """Return values by name, from ``NAME=VALUE``.

    Raises
    ------
    InputError
        One has no name or no equals sign.
    """
    pairs = dict[str, str]()
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise InputError(f"{option} {item!r}: write it as NAME=VALUE")
        pairs[name] = value
    return pairs


def parse_bindings(items: Sequence[str]) -> dict[str, Any]:
    """Return values of settings by name, from ``--bind NAME=VALUE`` with values in JSON."""
    given = parse_pairs(items, "--bind")
    try:
        return {name: json.loads(text) for name, text in given.items()}
    except ValueError:
        raise InputError(f"--bind {' '.join(items)}: values are numbers or lists, [1, 2]") from None


def read_labels(file: str | None) -> list[str] | None:
    """Return the names in the file of ``--labels``: one a line, or a JSON list."""
    if file is None:
        return None
    try:
        with regular(Path(file), InputError, f"--labels {file}") as (opened, _):
            text = opened.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"--labels {file}: not UTF-8 text") from None
    try:
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError:
        raise InputError(f"--labels {file}: not a JSON list") from None
    return [str(label).strip() for label in names if str(label).strip()]
