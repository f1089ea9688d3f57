"""What the commands read of their options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dftlrp.assets import MODELS, embedded
from dftlrp.core.types import InputError


def shapes(items: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """``--shape NAME=1,2,3``."""
    return {name: _dims(text) for name, text in pairs(items, "--shape").items()}


def _dims(text: str) -> tuple[int, ...]:
    dims = whole_numbers(text)
    if not dims or min(dims) < 1:
        raise InputError(f"--shape {text!r}: write it as NAME=1,2,3")
    return tuple(dims)


def through(items: Sequence[str]) -> dict[str, list[int]]:
    """``--through LAYER=125,3``; without numbers the layer is blocked."""
    found = {
        layer: (text, whole_numbers(text)) for layer, text in pairs(items, "--through").items()
    }
    for layer, (text, numbers) in found.items():
        if text and not numbers:
            raise InputError(f"--through {layer}={text}: write it as LAYER=125,3")
    return {layer: numbers for layer, (_, numbers) in found.items()}


def whole_numbers(text: str) -> list[int]:
    """``1,2,3``; empty where it is anything else."""
    try:
        return [int(n) for n in text.split(",")]
    except ValueError:
        return []


def words(items: Sequence[str]) -> list[str]:
    """Given one by one, or with commas."""
    return [word for item in items for word in item.split(",") if word]


def model_path(text: str) -> str | Path:
    """An embedded model's name, or a path."""
    return embedded(text) if text in MODELS else text


def pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE``, each."""
    parts = [item.partition("=") for item in items]
    for (name, equals, _), item in zip(parts, items, strict=True):
        if not (name and equals):
            raise InputError(f"{option} {item!r}: write it as NAME=VALUE")
    return {name: value for name, _, value in parts}


def bindings(items: Sequence[str]) -> dict[str, Any]:
    """``--bind NAME=VALUE``, values as JSON."""
    given = pairs(items, "--bind")
    try:
        return {name: json.loads(text) for name, text in given.items()}
    except ValueError:
        raise InputError(f"--bind {' '.join(items)}: values are numbers or lists, [1, 2]") from None


def labels(file: str | None) -> list[str] | None:
    """``--labels FILE``: a line each, or a JSON list."""
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--labels {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--labels {file}: not UTF-8 text") from None
    try:
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError:
        raise InputError(f"--labels {file}: not a JSON list") from None
    return [str(label).strip() for label in names if str(label).strip()]
