"""What was typed, checked before any work: which file is the model, and names that nothing has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dftlrp.assets import FILES, MODELS, embedded
from dftlrp.cli.options import parse_pairs, split_words
from dftlrp.core.names import find_name
from dftlrp.core.types import InputError
from dftlrp.graph.other_formats import FORMATS

if TYPE_CHECKING:
    from dftlrp.engine.model import Model

AUTO, LARGEST = "auto", "argmax"


def order_files(files: Sequence[str], named: str | None) -> list[str]:
    """Return files with the one that is a model in front, and embedded ones by their paths.

    The name of an embedded model alone is asked about the embedded clip.
    """
    found = [str(embedded(f)) if f in FILES and not Path(f).exists() else f for f in files]
    models = [f for f in found if _is_model(f)]
    if named is None and len(models) == 1:
        found = [*models, *(f for f in found if f not in models)]
        if files[0] in MODELS and len(found) == 1:
            found.append(str(embedded("clip")))
    return found


def _is_model(file: str) -> bool:
    """Return whether a file is a model, by the ending of its name, of whatever framework."""
    return Path(file).suffix.lower() in {".onnx", *FORMATS}


def check_words(args: argparse.Namespace) -> None:
    """Refuse presets, rules, methods and domains that do not exist, and an unknown kind of seed.

    Raises
    ------
    InputError
        One of them does not exist.
    """
    from dftlrp.attribution.methods import read_method
    from dftlrp.core.rule_text import read_rule
    from dftlrp.engine.composites import find_composite
    from dftlrp.engine.seeds import SEEDS
    from dftlrp.results.views import choose_domains

    if args.composite != AUTO:
        find_composite(args.composite)
    for rule in parse_pairs(args.rule, "--rule").values():
        read_rule(rule)
    for method in args.method:
        read_method(method)
    choose_domains(split_words(args.domains))
    if args.seed_kind.partition(":")[0] not in (AUTO, *SEEDS):
        find_name(args.seed_kind, (AUTO, *SEEDS, "contrast:CLASS"), "unknown seed")


def check_classes(
    model: Model, output: str | None, labels: Sequence[str] | None, asked: Sequence[str]
) -> None:
    """Refuse targets that are no class of a model, and the same class twice.

    An index is left to the model, which knows its outputs when it has run.

    Raises
    ------
    InputError
        A name is that of no class; two targets are the same.
    """
    from dftlrp.engine.seeds import PLACES, find_class

    names = model.labels if labels is None else labels
    dims = model.graph.outputs[output].dims if output in model.graph.outputs else None
    count = (dims[-1] if dims else None) or max(len(names), 1)
    free = [t for t in asked if t == LARGEST or t.isdecimal() or PLACES.fullmatch(t)]
    found = [t if t in free else str(find_class(t, names, count)) for t in asked]
    if len(found) > 1 and len(set(found)) < len(found):
        raise InputError(f"{asked[-1]!r} is the same class as the target {asked[0]!r}")
