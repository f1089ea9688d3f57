"""What the page says of several explanations: its title, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dftlrp.results.bands import POOLED
from dftlrp.results.data import ExplanationData
from dftlrp.results.differences import (
    Difference,
    describe_part,
    find_first_like,
    is_relative,
    list_differences,
    list_shared,
    list_varying,
    name_explanations,
    write_amount,
)
from dftlrp.results.report.sentences import describe_answer

LISTED = 3  # of bands, segments and tiles
LITTLE = 0.02  # of the largest difference: what is less is not listed
NOTHING = 1e-9  # of the amounts themselves: below lies round-off
Part = tuple[str, str]  # text, and how it is written: "plain", "name" or "quoted"


JOINTS = {"clip": ("in", "recording"), "model": ("by", "model"), "method": ("by", "method")}


def choose_word(explanations: Sequence[ExplanationData], names: Sequence[str]) -> str:
    """Return what stands before a name: more "for" a class, "in" a recording, "by" a model."""
    if list(names) == [e.label for e in explanations]:
        return "for"
    return next((JOINTS[by][0] for by in _find_told(explanations, names)), "for")


def _find_told(
    explanations: Sequence[ExplanationData], names: Sequence[str]
) -> dict[str, Sequence[str]]:
    """Return what a title tells explanations apart by, with the words of each; or nothing."""
    varying = list_varying(explanations)
    if list(names) != list(name_explanations(explanations)):
        return {}
    for by, (_, fact) in JOINTS.items():
        words = [str(e.provenance.get(fact, "")) for e in explanations]
        if by in varying and len(set(words)) == len(words):
            return {by: words}
    return {}


def write_title(explanations: Sequence[ExplanationData], names: Sequence[str]) -> list[Part]:
    """Return the headline in parts: why one output, and not another, or what is side by side."""
    labels = [e.label for e in explanations]
    if len(labels) == 1:
        return [("Why ", "plain"), (labels[0], "quoted"), ("?", "plain")]
    own = list(names) == list(name_explanations(explanations))
    if own and list_varying(explanations) == {"label"} and not any(find_first_like(explanations)):
        return _ask_why(explanations)
    told, joint = list(names), ": "
    for by, words in _find_told(explanations, names).items():
        told, joint = list(words), f" {JOINTS[by][0]} "
    if len(set(labels)) == 1:
        parts = _enumerate([[(name, "name")] for name in told])
        return [(labels[0], "quoted"), (joint, "plain"), *parts]
    if told == labels:
        return _enumerate([[(label, "quoted")] for label in labels])
    return _enumerate(
        [
            [(label, "quoted"), (joint, "plain"), (name, "name")]
            for label, name in zip(labels, told, strict=True)
        ]
    )


def _ask_why(explanations: Sequence[ExplanationData]) -> list[Part]:
    """Return why the chosen output and not the others, of one recording and one model."""
    answers = [describe_answer(e) for e in explanations]
    chosen = [str(a["label"]) for a in answers if a["right"]]
    others = [str(a["label"]) for a in answers if not a["right"]]
    if not chosen:
        sides = _enumerate([[(label, "quoted")] for label in others])
        return [("What speaks for ", "plain"), *sides, ("?", "plain")]
    sides = _enumerate([[(label, "quoted")] for label in [*chosen[1:], *others]], " or ")
    return [("Why ", "plain"), (chosen[0], "quoted"), (" and not ", "plain"), *sides,
            ("?", "plain")]  # fmt: skip


def _enumerate(items: Sequence[list[Part]], last: str = " and ") -> list[Part]:
    """Return items as a list in a sentence."""
    parts: list[Part] = []
    for i, item in enumerate(items):
        joint = "" if i == 0 else last if i == len(items) - 1 else ", "
        parts += [(joint, "plain"), *item] if joint else item
    return parts


def describe_differences(
    explanations: Sequence[ExplanationData], names: Sequence[str]
) -> dict[str, Any]:
    """Return the bands, segments and tiles that differ most, to be put into sentences."""
    shared = list_shared(explanations)
    groups = []
    for what in ("bands", "segments", "tiles"):
        if POOLED[what] in shared and len(names) > 1:
            rows = list_differences(explanations, names, what, None)
            groups.append({"what": what, "rows": _pick_rows(rows)})
    groups = [g for g in groups if g["rows"]]
    return {
        "groups": groups,
        "relative": is_relative(explanations),
        "word": choose_word(explanations, names),
        "same": len(names) > 1 and bool(shared) and not groups,
        "first": groups[0]["rows"][0] if groups else None,
    }


def _pick_rows(rows: Sequence[Difference]) -> list[Mapping[str, Any]]:
    """Return the rows that are worth to be told."""
    largest = max((abs(r.difference) for r in rows), default=0.0)
    amount = max((abs(v) for r in rows for v in r.amounts), default=0.0)
    if largest <= NOTHING * amount:
        return []
    return [_write_row(r) for r in rows[:LISTED] if abs(r.difference) > LITTLE * largest]


def _write_row(row: Difference) -> dict[str, Any]:
    more = 0 if row.difference > 0 else 1
    return {
        "part": describe_part(row),
        "amounts": [
            {"name": name, "amount": write_amount(value, row.relative)}
            for name, value in zip(row.names, row.amounts, strict=True)
        ],
        "more": row.names[more],
        "difference": write_amount(abs(row.difference), row.relative),
        "sign": ("for", "against")[more],
        "mark": {
            "start": "" if row.time is None else row.time[0],
            "stop": "" if row.time is None else row.time[1],
            "low": "" if row.band is None else row.band[0],
            "high": "" if row.band is None else row.band[1],
        },
    }


def describe_unshared(explanations: Sequence[ExplanationData], names: Sequence[str]) -> list[str]:
    """Say which domains are left out because not every explanation has them."""
    shared = list_shared(explanations)
    said = []
    for name, e in zip(names, explanations, strict=True):
        if more := [d for d in e.relevance if d not in shared]:
            said.append(f"Only “{name}” has {', '.join(more)}: not shown here.")
    return said


def describe_starts(explanations: Sequence[ExplanationData], names: Sequence[str]) -> list[str]:
    """Say from where on times are counted, where parts of recordings start at other times."""
    starts = [e.start for e in explanations]
    if len(set(starts)) == 1:
        return []
    told = (f"“{name}” {start:g} s" for name, start in zip(names, starts, strict=True))
    return [f"Times are counted from the start of each part: {', '.join(told)}."]
