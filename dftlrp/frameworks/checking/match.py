"""Which value of a graph is what a part of the native network gave.

Exporters keep a part's path in names (``features.0``, ``/features/features.0/Conv``), or lose it;
they merge parts (BatchNorm into a convolution), leave some out (Dropout) and move axes.  So a part
is looked for by name first, then by its numbers in the order of execution; only what comes before
everything that agrees can be told to be wrong by its place alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.graph.structure import Graph


class Pair(NamedTuple):
    """A part and the value that stands for it; ``how``: by name, scope, numbers or order."""

    part: str
    value: str
    how: str
    deviation: float


def deviation(ours: AnyArray, want: AnyArray) -> float:
    """Largest difference, relative to the largest number; infinite where shapes differ.

    Channels may come last in ``want`` and first in ours.
    """
    scale = float(np.abs(want).max(initial=0)) or 1.0
    off = [float(np.abs(ours - w).max(initial=0)) / scale for w in _fitting(ours, want)]
    return min((d for d in off if np.isfinite(d)), default=float("inf"))


def _fitting(ours: AnyArray, want: AnyArray) -> list[AnyArray]:
    layouts = [want, np.moveaxis(want, -1, 1)] if want.ndim > 2 else [want]
    return [w for w in layouts if w.shape == ours.shape]


def matched(
    graph: Graph,
    values: Mapping[str, AnyArray],
    parts: Mapping[str, AnyArray],
    tolerance: float,
    differ: bool,
) -> list[Pair]:
    """Pairs in the order of execution; a part that was merged or left out is in none.

    Parameters
    ----------
    values, parts : dict of str to array
        Of the graph and of the native network, each in its order.
    differ : bool
        Whether some output differs; else nothing but a value of a part's own name can be wrong.
    """
    order = [n.output for n in graph.nodes if n.output in values]
    known = {n.output: {n.output, n.alias, *n.names} for n in graph.nodes}
    scopes = {v: {p for name in known[v] for p in scoped(name)} for v in order}
    found, place = list[Pair](), 0
    for part, want in parts.items():
        named = [v for v in order if part in known[v]]
        within = [v for v in order if part.replace(":", "_") in scopes[v]]
        pair = _best(part, want, values, (named, within, order[place:]), tolerance)
        found += [pair] if pair else []
        if pair and pair.deviation <= tolerance:
            place = max(place, order.index(pair.value))
    return list(_kept(found, tolerance, differ))


def _best(
    part: str,
    want: AnyArray,
    values: Mapping[str, AnyArray],
    candidates: Sequence[Sequence[str]],
    tolerance: float,
) -> Pair | None:
    """The first that agrees, else the last of its name, of its scope, else the next in order."""
    named, within, later = candidates
    fits = {v for v in (*named, *within, *later) if _fitting(values[v], want)}
    ranked = [(v, "name") for v in reversed(named)] + [(v, "scope") for v in reversed(within)]
    ranked += [(v, "numbers") for v in later if v in fits]
    for value, how in ranked:
        if (off := deviation(values[value], want)) <= tolerance:
            return Pair(part, value, how, off)
    if any(v not in fits and values[v].size == want.size for v in (*named, *within)):
        return None  # perhaps the same numbers in another layout of axes
    ranked.sort(key=lambda c: c[0] not in fits)  # stable
    value, how = next(iter(ranked), ("", "order"))
    off = deviation(values[value], want) if value else float("inf")
    return Pair(part, value, "order" if how == "numbers" else how, off)


def _kept(pairs: Sequence[Pair], tolerance: float, differ: bool) -> Iterator[Pair]:
    """Of the parts that one value stands for, those that agree, else the one that nearly does.

    A part that agrees nowhere counts by its own name; by its scope if an output differs; by its
    place in the order only where it is the first behind all that agree.
    """
    right = [p.deviation <= tolerance for p in pairs]
    last = max((i for i, ok in enumerate(right) if ok), default=-1)
    counted = [
        p for i, p in enumerate(pairs)
        if right[i] or p.how == "name" or (differ and (p.how == "scope" or i > last))
    ]  # fmt: skip
    groups = [list(group) for _, group in groupby(counted, key=lambda p: p.value)]
    wrong = False
    for group in groups:
        agreeing = [p for p in group if p.deviation <= tolerance]
        for pair in agreeing or [min(group, key=lambda p: p.deviation)]:
            if agreeing or pair.how != "order" or not wrong:
                yield pair
            wrong = wrong or not agreeing


def scoped(name: str) -> list[str]:
    """Paths in a name like ``/features/features.0/Conv_output_0``: features, features.0."""
    paths, path = list[str](), ""
    for component in name.split("/")[1:-1]:
        inside = path and component.startswith(f"{path}.")
        path = component if inside or not path else f"{path}.{component}"
        paths.append(path)
    return paths
