"""Find the value of a graph that corresponds to each part of the native network.

Exporters keep the path of a part in names (``features.0``, ``/features/features.0/Conv``), or lose
it; they merge parts (BatchNorm into a convolution), leave some out (Dropout) and move axes.  So a
part is searched for by name first, then by its numbers.  What agrees, and all that it was computed
from, is right; of the rest only the first value in the graph's order can be found wrong by its
place alone.  So a fault in one branch is found there, although a later branch agrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.graph.structure import Graph

NEAR = 0.5  # a deviation below which two arrays have something to do with each other


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
    """Return pairs in the order of the graph, without parts that were merged or left out.

    So what the first wrong one was computed from is right, as far as it was compared.

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
        others = order[place:] + order[:place]
        pair = _find_best(part, want, values, (named, within, others), tolerance)
        if pair is not None and pair.deviation <= tolerance:
            place = max(place, order.index(pair.value))
        found.append(pair or Pair(part, "", "", float("inf")))
    kept = [p for p in found if p.how == "name" or p.deviation <= tolerance]
    if differ:
        kept += [p for p in found if p.how == "scope" and not p.deviation <= tolerance]
        kept += _find_by_place(graph, values, parts, found, tolerance)
    position, number = {v: i for i, v in enumerate(order)}, {p: i for i, p in enumerate(parts)}
    kept.sort(key=lambda p: (position[p.value], number[p.part]))
    return list(_select_pairs(kept, tolerance))


def _find_best(
    part: str,
    want: AnyArray,
    values: Mapping[str, AnyArray],
    candidates: Sequence[Sequence[str]],
    tolerance: float,
) -> Pair | None:
    """Return the first value that agrees, else the last by name or scope that may be meant."""
    named, within, others = candidates
    fits = {v for v in (*named, *within, *others) if _find_layouts(values[v], want)}
    ranked = [(v, "name") for v in reversed(named)] + [(v, "scope") for v in reversed(within)]
    for value, how in [*ranked, *((v, "numbers") for v in others if v in fits)]:
        if (off := measure_deviation(values[value], want)) <= tolerance:
            return Pair(part, value, how, off)
    if any(v not in fits and values[v].size == want.size for v in (*named, *within)):
        return Pair(part, "", "layout", float("inf"))  # the same numbers on other axes, perhaps
    ranked.sort(key=lambda c: c[0] not in fits)  # stable
    value, how = next(iter(ranked), ("", ""))
    return Pair(part, value, how, measure_deviation(values[value], want)) if value else None


def _find_by_place(
    graph: Graph,
    values: Mapping[str, AnyArray],
    parts: Mapping[str, AnyArray],
    found: Sequence[Pair],
    tolerance: float,
) -> list[Pair]:
    """Return the first value that is not right and the part that it is of, if there is one.

    Parts that were merged into others agree with no value either.  So a value can only be of a part
    that ran after those it was computed from, and of these the first that is about as near by its
    numbers as any.  A part of a shape that no value has is wrong itself.
    """
    rest = [p.part for p in found if not p.how]
    agreed = [p for p in found if p.deviation <= tolerance and np.ptp(parts[p.part]) > 0]
    right, last = _trace_agreement(graph, {p.value: p.part for p in agreed}, list(parts))
    number, far = {part: i for i, part in enumerate(parts)}, list[Pair]()
    order = [n.output for n in graph.nodes if n.output in values]
    alone = {p for p in rest if not any(_find_layouts(values[v], parts[p]) for v in order)}
    for value in (v for v in order if v not in right):
        later = [part for part in rest if number[part] > last[value]]
        off = {p: measure_deviation(values[value], parts[p]) for p in later}
        nearest = min(off.values(), default=float("inf"))
        if np.isinf(nearest):
            far += [Pair(p, value, "order", nearest) for p in later if p in alone][:1]
            continue
        part = next(p for p in later if off[p] <= 2 * nearest)
        far.append(Pair(part, value, "order", off[part]))
        if nearest < NEAR:
            return far[:1] if np.isinf(far[0].deviation) else far[-1:]
    return far[:1]


def _trace_agreement(
    graph: Graph, agreed: Mapping[str, str], parts: Sequence[str]
) -> tuple[set[str], dict[str, int]]:
    """Return what agreeing values depend on, and the last part that each value depends on."""
    right = set(agreed)
    for node in reversed(graph.nodes):
        right.update(node.reads if node.output in right else ())
    number, last = {part: i for i, part in enumerate(parts)}, dict[str, int]()
    for node in graph.nodes:
        own = number[agreed[node.output]] if node.output in agreed else -1
        last[node.output] = max([own, *(last.get(name, -1) for name in node.reads)])
    return right, last


def _select_pairs(pairs: Sequence[Pair], tolerance: float) -> Iterator[Pair]:
    """Yield, of the parts paired with one value, those that agree, else the nearest one.

    What was found by its place is left out behind something else that is wrong.
    """
    wrong = False
    for group in (list(group) for _, group in groupby(pairs, key=lambda p: p.value)):
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
