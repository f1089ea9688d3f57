"""Find the value of a graph that corresponds to each part of the native network.

Exporters keep the path of a part in names (``features.0``, ``/features/features.0/Conv``), or lose
it; they merge parts (BatchNorm into a convolution), leave some out (Dropout) and move axes.  So a
part is searched for by name first, then by its numbers in the order of execution.  Only the first
part after all that agree can be found wrong by its place alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.graph.structure import Graph


class Pair(NamedTuple):
    """A part and the corresponding value; ``how`` is name, scope, numbers or order."""

    part: str
    value: str
    how: str
    deviation: float


def measure_deviation(ours: AnyArray, want: AnyArray) -> float:
    """Return the largest difference relative to the largest number; infinite if shapes differ.

    Channels may be on the last axis of ``want`` and on axis 1 of ``ours``.
    """
    scale = float(np.abs(want).max(initial=0)) or 1.0
    off = [float(np.abs(ours - w).max(initial=0)) / scale for w in _find_layouts(ours, want)]
    return min((d for d in off if np.isfinite(d)), default=float("inf"))


def _find_layouts(ours: AnyArray, want: AnyArray) -> list[AnyArray]:
    """Return ``want`` in each layout of its axes that has the shape of ``ours``."""
    layouts = [want, np.moveaxis(want, -1, 1)] if want.ndim > 2 else [want]
    return [w for w in layouts if w.shape == ours.shape]


def match_parts(
    graph: Graph,
    values: Mapping[str, AnyArray],
    parts: Mapping[str, AnyArray],
    tolerance: float,
    differ: bool,
) -> list[Pair]:
    """Return pairs in the order of execution, without parts that were merged or left out.

    Parameters
    ----------
    values, parts : dict of str to array
        Of the graph and of the native network, each in its own order.
    tolerance : float
        Largest deviation at which two arrays agree.
    differ : bool
        Whether some output differs; if not, only values with the name of a part can be wrong.
    """
    order = [n.output for n in graph.nodes if n.output in values]
    known = {n.output: {n.output, n.alias, *n.names} for n in graph.nodes}
    scopes = {v: {p for name in known[v] for p in split_scope(name)} for v in order}
    found, place = list[Pair](), 0
    for part, want in parts.items():
        named = [v for v in order if part in known[v]]
        within = [v for v in order if part.replace(":", "_") in scopes[v]]
        pair = _find_best(part, want, values, (named, within, order[place:]), tolerance)
        found += [pair] if pair else []
        if pair and pair.deviation <= tolerance:
            place = max(place, order.index(pair.value))
    return list(_select_pairs(found, tolerance, differ))


def _find_best(
    part: str,
    want: AnyArray,
    values: Mapping[str, AnyArray],
    candidates: Sequence[Sequence[str]],
    tolerance: float,
) -> Pair | None:
    """Return the first value that agrees, else the last by name or scope, else the next one."""
    named, within, later = candidates
    fits = {v for v in (*named, *within, *later) if _find_layouts(values[v], want)}
    ranked = [(v, "name") for v in reversed(named)] + [(v, "scope") for v in reversed(within)]
    ranked += [(v, "numbers") for v in later if v in fits]
    for value, how in ranked:
        if (off := measure_deviation(values[value], want)) <= tolerance:
            return Pair(part, value, how, off)
    if any(v not in fits and values[v].size == want.size for v in (*named, *within)):
        return None  # the numbers may be the same in another layout of axes
    ranked.sort(key=lambda c: c[0] not in fits)  # stable
    value, how = next(iter(ranked), ("", "order"))
    off = measure_deviation(values[value], want) if value else float("inf")
    return Pair(part, value, "order" if how == "numbers" else how, off)


def _select_pairs(pairs: Sequence[Pair], tolerance: float, differ: bool) -> Iterator[Pair]:
    """Yield, of the parts paired with one value, those that agree, else the nearest one.

    A part that agrees with no value is kept if it was found by name; if an output differs, also if
    it was found by scope, or is the first one after all that agree.
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


def split_scope(name: str) -> list[str]:
    """Return the paths in a name; ``/features/features.0/Conv`` has features and features.0."""
    paths, path = list[str](), ""
    for component in name.split("/")[1:-1]:
        inside = path and component.startswith(f"{path}.")
        path = component if inside or not path else f"{path}.{component}"
        paths.append(path)
    return paths
