"""Panes of the page: which domain of which explanation each shows, from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dftlrp.results.report.shown import Shown, subtract

Rows = list[list[dict[str, Any]]]


def list_panes(domains: Sequence[Shown], names: Sequence[str]) -> tuple[Rows, Rows]:
    """Return rows of panes from top to bottom, and those that show differences.

    What runs over time comes first.  In a row stand the panes of one domain, one for each
    explanation; the signal of a recording is there once.
    """
    rows: Rows = []
    differing: Rows = []
    for kind in ("wave", "plane", "spectrum", "line", "grid"):
        found = [shown for shown in domains if shown.kind == kind]
        for name in dict.fromkeys(shown.row.name for shown in found):
            own = [shown for shown in found if shown.row.name == name]
            of = {k: shown for shown in own for k in shown.owners}
            if kind == "wave":
                told = names if len(own) > 1 else [""] * len(names)
                rows.append([_describe_pane(s, -1, told[s.owners[0]]) for s in own])
            told = names if len(names) > 1 else [""]
            rows.append([_describe_pane(of[k], k, told[k]) for k in sorted(of)])
            pairs = [_describe_difference(of, k, names) for k in range(1, len(names))]
            differing += [[pane for pane in pairs if pane]] if any(pairs) else []
    for listed in (rows, differing):
        timed = [i for i, row in enumerate(listed) if row[0]["kind"] in ("wave", "plane")]
        for i, row in enumerate(listed):
            for pane in row:
                pane["last"] = i not in timed or i == timed[-1]
                pane["domain"] = next(k for k, s in enumerate(domains) if s is pane["home"])
    return rows, differing


def _describe_pane(shown: Shown, explanation: int, label: str) -> dict[str, Any]:
    title = shown.row.title[:1].lower() + shown.row.title[1:]
    on = f", on the {shown.row.shown}" if shown.kind == "plane" else ""
    return {
        "home": shown,
        "shown": shown,
        "kind": shown.kind,
        "explanation": explanation,
        "owner": -1 if explanation < 0 else shown.owners.index(explanation),
        "title": "The recording" if explanation < 0 else f"Relevance over {title}{on}",
        "label": label,
    }


def _describe_difference(
    of: Mapping[int, Shown], other: int, names: Sequence[str]
) -> dict[str, Any] | None:
    """Return the pane of the first explanation minus another; None where they share no cells."""
    first, second = of[0], of[other]
    shown = subtract(first, first.owners.index(0), second, second.owners.index(other))
    if shown is None:
        return None
    pane = _describe_pane(first, 0, names[0])
    title = f"Difference over {first.row.title[:1].lower()}{first.row.title[1:]}"
    return {**pane, "shown": shown, "owner": 0, "title": title, "other": other,
            "minus": names[other]}  # fmt: skip
