"""Targets and seeds by the names of classes, and the names of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dftlrp.attribution.attribute import FREE, Attribution
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import Index, find_class, parse_target

MANY = 10**9  # classes, where a model does not declare how many


def resolve_target(target: Any, labels: Sequence[str], plan: Plan) -> Any:
    """Return a target with a class as its index; ``"argmax"`` and functions as they are.

    Raises
    ------
    InputError
        It is text that names no class.
    """
    target = parse_target(target)
    if not isinstance(target, str) or target == "argmax":
        return target
    dims = plan.graph.outputs[plan.output].dims
    return find_class(target, labels, (dims[-1] or MANY) if dims else MANY)


def resolve_seed(seed: str, labels: Sequence[str], plan: Plan) -> str:
    """Return a kind of seed with the class of a contrast as its index."""
    kind, _, versus = seed.partition(":")
    return f"{kind}:{resolve_target(versus, labels, plan)}" if versus else seed


def name_target(result: Attribution, labels: Sequence[str]) -> tuple[Any, str]:
    """Return index and name of the target of the first sample.

    The index is -1 for a function of the output and for a sum over places.
    """
    if result.target is None:
        return -1, FREE
    return name_place(result.target[0], result.explained.shape, labels)


def name_place(place: Index, shape: tuple[int, ...], labels: Sequence[str]) -> tuple[Any, str]:
    """Return index and name of a place of an output of this shape, as of `name_target`."""
    if any(isinstance(p, slice) for p in place):
        return -1, _spell_place(place)
    if not place:  # one number for each sample
        return 0, labels[0] if len(labels) == 1 else "0"
    wide = [i for i, n in enumerate(shape[len(shape) - len(place) :]) if n > 1]
    index = place[wide[0]] if len(wide) == 1 else place[0] if len(place) == 1 else place
    last = place[-1]
    if isinstance(last, int) and last < len(labels):
        return index, labels[last]
    return index, _spell_place(place if len(wide) > 1 else (index,))


def _spell_place(place: Sequence[Any]) -> str:
    """Return an index as it is written: ``10:20, 3``."""
    parts = (f"{p.start or ''}:{p.stop or ''}" if isinstance(p, slice) else str(p) for p in place)
    return ", ".join(parts)
