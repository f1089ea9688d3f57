"""What tells explanations apart: their names, and where their relevance differs most.

With R(u) the relevance of a unit u (a band, a segment or a tile of `dftlrp.results.bands`, the same
for all), the first explanation A is compared with each other one, B:

    d(u) = R_A(u) / N_A - R_B(u) / N_B

N is 1 where both divide scores of one model by one method: their relevance has one unit, and the
differences of all units add up to the difference of what reached the two recordings.  Elsewhere the
scores of two models, or what two methods make of one score, need not have the same size, and the
larger one would seem to hold everything; N is then the explanation's own sum of |R(u)| over all
units, and R(u) / N is its share.  Units, not cells: what cancels within a unit is neither shown nor
counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import InputError, Real
from dftlrp.results.bands import POOLED, UNITS, pool_together, read_relevance
from dftlrp.results.data import ExplanationData
from dftlrp.results.questions import Span
from dftlrp.results.views import align_starts
from dftlrp.results.words import describe_span, format_number, name_seed
from dftlrp.spectral.checks import as_whole

MOST = 8  # explanations
MOST_RATIO = 16  # of two sampling rates: what lies beyond is nothing but a line on a common axis
HOW = ("method", "composite", "overrides", "reference")  # facts that say how relevance was computed


class Difference(NamedTuple):
    """One band, segment or tile of two explanations.

    ``band`` in hertz and ``time`` in seconds, (start, stop), or None; ``amounts`` the relevance of
    the two, or their shares where `is_relative`; ``difference`` the first minus the second;
    ``names`` of the two.
    """

    band: Span | None
    time: Span | None
    amounts: tuple[float, float]
    difference: float
    names: tuple[str, str]
    relative: bool

    def __str__(self) -> str:
        told = [write_amount(v, self.relative) for v in (*self.amounts, self.difference)]
        sign = "+" if self.difference > 0 else ""
        first, second = (
            f"“{name}” {text}" for name, text in zip(self.names, told[:2], strict=True)
        )
        text = f"{describe_part(self)}: {first}, {second} ({sign}{told[2]})"
        return text.replace("\N{NO-BREAK SPACE}", " ")


def check_comparable(explanations: Sequence[ExplanationData]) -> None:
    """Refuse explanations that no common axis shows.

    Raises
    ------
    InputError
        If there is none, there are more than `MOST`, they have no domain in common, other numbers
        of channels, or rates that differ by more than `MOST_RATIO`.
    """
    if not 1 <= len(explanations) <= MOST:
        raise InputError(f"{len(explanations)} explanations: 1 to {MOST} can be shown")
    names = name_explanations(explanations)
    if not list_shared(explanations):
        told = "; ".join(
            f"{name}: {', '.join(e.relevance) or 'none'}"
            for name, e in zip(names, explanations, strict=True)
        )
        raise InputError(f"no domain is in every explanation ({told}): explain with domains=")
    order = sorted(range(len(explanations)), key=lambda k: explanations[k].rate)
    low, high = (explanations[k].rate for k in (order[0], order[-1]))
    if high > MOST_RATIO * low:
        raise InputError(
            f"{names[order[0]]} has {low:g} samples per second and {names[order[-1]]} {high:g}: "
            f"rates more than {MOST_RATIO} times apart have no common axis"
        )
    counts = [len(e.channels) for e in explanations]
    if len(set(counts)) > 1:
        raise InputError(
            f"{' and '.join(map(str, counts))} channels: compare recordings of as many"
        )


def list_shared(explanations: Sequence[ExplanationData]) -> list[str]:
    """Return the domains that all explanations have, in the order of the first."""
    return [d for d in explanations[0].relevance if all(d in e.relevance for e in explanations)]


def find_first_like(explanations: Sequence[ExplanationData], domain: str = "") -> list[int]:
    """Return for each explanation the first one of the same recording, or signal of a domain."""

    def is_like(a: ExplanationData, b: ExplanationData) -> bool:
        shared = [d for d in (domain, "time", *a.signal) if d in a.signal and d in b.signal]
        return a.rate == b.rate and np.array_equal(a.signal[shared[0]], b.signal[shared[0]])

    return [next(i for i, a in enumerate(explanations) if is_like(a, e)) for e in explanations]


def name_in_figure(
    explanations: Sequence[ExplanationData], names: Sequence[str]
) -> list[ExplanationData]:
    """Return explanations whose labels say which is which: the class, and the name beside it."""
    return [
        e if name in ("", e.label) else replace(e, label=f"{e.label}, {name}")
        for e, name in zip(explanations, names or [""] * len(explanations), strict=True)
    ]


# -- names


def name_explanations(explanations: Sequence[ExplanationData]) -> tuple[str, ...]:
    """Return the shortest names that tell explanations apart.

    The class; else the model, the method or the recording; else two or more of them; else A, B, C.
    """
    if len(explanations) == 1:
        return (explanations[0].label,)
    facts = [_list_facts(e) for e in explanations]
    varying = [key for key in facts[0] if len({f[key] for f in facts}) > 1]
    for count in range(1, len(varying) + 1):
        for keys in combinations(varying, count):
            names = tuple(", ".join(f[key] for key in keys) for f in facts)
            if len(set(names)) == len(names):
                return names
    return tuple(ascii_uppercase[: len(explanations)])


def _list_facts(e: ExplanationData) -> Mapping[str, str]:
    """Return what may tell an explanation from another, in the order in which it is tried."""
    kind, versus = name_seed(e)
    keys = {"model": "model", "method": "method", "clip": "recording", "composite": "composite",
            "reference": "reference"}  # fmt: skip
    told = {name: str(e.provenance.get(key, "")) for name, key in keys.items()}
    return {"label": e.label, **told, "seed": f"{kind} {versus}".strip()}


def list_varying(explanations: Sequence[ExplanationData]) -> set[str]:
    """Return in what explanations differ: "label", "model", "method", "clip"."""
    facts = [_list_facts(e) for e in explanations]
    found = {key for key in ("label", "model", "clip") if len({f[key] for f in facts}) > 1}
    how = {tuple(f[key] for key in ("method", "composite", "reference", "seed")) for f in facts}
    return found | ({"method"} if len(how) > 1 else set())


# -- differences


def is_relative(explanations: Sequence[ExplanationData]) -> bool:
    """Return whether relevance is compared as shares: of several models, or several methods."""
    keys = [
        (
            e.provenance.get("model sha256"),
            name_seed(e)[0],
            *(str(e.provenance.get(k)) for k in HOW),
        )
        for e in explanations
    ]
    return len(set(keys)) > 1


def find_scales(explanations: Sequence[ExplanationData], domain: str) -> list[float]:
    """Return 1 / N of the module for each explanation, in a domain."""
    if not is_relative(explanations):
        return [1.0] * len(explanations)
    table = next((what for what, pooled in POOLED.items() if pooled == domain), None)
    if table is None:
        amounts: list[Real] = [read_relevance(e, domain) for e in explanations]
    else:
        amounts = [pooled.net for pooled in pool_together(explanations, table)]
    return [1.0 / (float(np.abs(a).sum()) or 1.0) for a in amounts]


def list_differences(
    explanations: Sequence[ExplanationData],
    names: Sequence[str],
    what: str = "bands",
    count: int | None = 10,
) -> list[Difference]:
    """Return the bands, segments or tiles that differ most; see `Comparison.differences`."""
    count = None if count is None else as_whole(count, "count", 0)
    explanations = align_starts(explanations)
    pooled = pool_together(explanations, what)
    relative = is_relative(explanations)
    nets = [
        p.net * scale
        for p, scale in zip(pooled, find_scales(explanations, pooled[0].domain), strict=True)
    ]
    found = []
    for k in range(1, len(explanations)):
        for place in np.ndindex(nets[0].shape):
            spans = dict(zip(UNITS[what], _find_spans(pooled[0].edges, place), strict=True))
            pair = float(nets[0][place]), float(nets[k][place])
            found.append(
                Difference(
                    spans.get("Hz"), spans.get("s"), pair, pair[0] - pair[1],
                    (names[0], names[k]), relative,
                )
            )  # fmt: skip
    return sorted(found, key=lambda d: -abs(d.difference))[:count]


def _find_spans(edges: Sequence[Real], place: tuple[int, ...]) -> list[Span]:
    return [(float(e[i]), float(e[i + 1])) for e, i in zip(edges, place, strict=True)]


# -- words


def write_amount(value: float, relative: bool) -> str:
    """Write relevance, or a share in per cent."""
    text = format_number(100 * value if relative else value, 3)
    return f"{text}\N{NO-BREAK SPACE}%" if relative else text


def describe_part(one: Difference) -> str:
    """Write the band and the time of a row."""
    parts = [describe_span(*one.band, "Hz")] if one.band else []
    parts += [describe_span(*one.time, "s")] if one.time else []
    return " at ".join(parts)
