"""An explanation in a few lines for a terminal, and as plain values for a program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dftlrp.core.ledger import TERMS, Ledger
from dftlrp.core.text import make_printable
from dftlrp.core.types import Real
from dftlrp.results.bands import POOLED, pool_relevance
from dftlrp.results.data import ExplanationData
from dftlrp.results.questions import TABLES, Row, Tile, list_rows, list_tiles, pick_strongest
from dftlrp.results.views import DOMAINS
from dftlrp.results.words import (
    CLOSED,
    describe_account,
    describe_middle,
    describe_seed,
    describe_span,
    find_narrowest_half,
    find_reference,
    find_score,
    format_number,
    name_seed,
    sum_seed,
)

MOST = 2  # bands, and as many segments, on a side
LISTED = 10  # of each table, as plain values
WIDE = 9  # letters of the words at the start of lines
NEXT = 'e.plot(), e.audible("resynthesis"), e.table("bands"), e.verify(), e.save("out")'


def describe_briefly(e: ExplanationData) -> str:
    """Return ten lines: what was explained, where it lies, what accounts for it, what is next."""
    made = (e.provenance.get(k) for k in ("method", "composite", "backend"))
    told = e.provenance
    origin = f" in {told['recording']}" if told.get("recording") else ""
    model = f" by {told['model']}" if told.get("model") else ""
    length = find_length(e)
    lines = [
        f'Explanation of "{e.label}"{origin}{model}',
        _say("score", describe_scores(e)),
        _say("asked", describe_seed(e)),
        *list_places(e),
        _say("account", describe_account(e)),
        _say("made by", ", ".join(str(word) for word in made if word)),
        _say("signal", f"{length:.4g} s at {e.rate:g} Hz, in {', '.join(e.domains)}"),
        *(_say("warning", note.partition(":")[2].strip()) for note in _find_warnings(e)[:1]),
        _say("next", NEXT),
    ]
    return "\n".join(make_printable(line) for line in lines)


def list_places(e: ExplanationData) -> list[str]:
    """Return the lines that say where relevance lies, and what is strongest for and against."""
    where = describe_middle(e).replace("\N{NO-BREAK SPACE}", " ")
    lines = [_say("where", f"half of the positive relevance lies {where}")] if where else []
    sides = [pick_strongest(list_rows(e, what, None), MOST) for what in _find_tables(e)]
    for word, side in (("for", 0), ("against", 1)):
        told = [", ".join(map(describe_row, one[side])) for one in sides if one[side]]
        lines += [_say(word, "; ".join(told).replace("\N{NO-BREAK SPACE}", " "))] if told else []
    return lines


def describe_scores(e: ExplanationData) -> str:
    """Return the score of the target, whether it is the prediction, and what comes next."""
    score = f"{find_score(e):.3f}"
    known = rank_classes(e)
    if len(known) < 2:
        return score
    (best, top), (second, after) = known[:2]
    if best == e.label:
        return f'{score}, the prediction (next: "{second}" {after:.3f})'
    return f'{score} (prediction: "{best}" {top:.3f})'


def describe_row(row: Row | Tile) -> str:
    """Return one band, segment or tile with its relevance."""
    amount = format_number(row.relevance)
    if isinstance(row, Row):
        return f"{describe_span(row.start, row.stop, row.unit)} ({amount})"
    band, span = describe_span(row.low, row.high, "Hz"), describe_span(row.start, row.stop, "s")
    return f"{band} at {span} ({amount})"


def summarise(e: ExplanationData) -> dict[str, Any]:
    """Return an explanation as values that JSON can hold, by the keys of docs/reference/cli.md."""
    kind, versus = name_seed(e)
    known = rank_classes(e)
    tables = {what: [r._asdict() for r in list_rows(e, what, LISTED)] for what in _find_tables(e)}
    if "time-frequency" in e.relevance:
        tables["tiles"] = [tile._asdict() for tile in list_tiles(e, LISTED)]
    found = {
        "label": e.label,
        "target": e.target,
        "score": find_score(e),
        "prediction": {"label": known[0][0], "score": known[0][1]} if known else None,
        "scores": dict(known) if len(dict(known)) == len(known) else {},
        "seed": kind,
        "versus": versus,
        "explained": sum_seed(e),
        "reference": find_reference(e),
        "rate": e.rate,
        "seconds": find_length(e),
        "channels": list(e.channel_names) or len(e.channels),
        "half": dict(_list_halves(e)),
        "domains": {d: _summarise_domain(e, d) for d in e.domains},
        **tables,
        "account": _summarise_ledger(e.ledger),
        "notes": list(e.notes),
        "provenance": e.provenance,
    }
    plain: dict[str, Any] = make_plain(found)
    return plain


def make_plain(value: Any) -> Any:
    """Return a value as JSON holds it: no arrays, None for what is not finite."""
    if isinstance(value, dict):
        return {str(k): make_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [make_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return make_plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, slice):
        return f"{value.start or ''}:{value.stop or ''}"
    return value if isinstance(value, str | int | None) else str(value)


def find_length(e: ExplanationData) -> float:
    """Return how many seconds the signal has; of what only the model reads, NaN."""
    if "time" in e.signal:
        return float(e.signal["time"].shape[-1] / e.rate)
    axes = [DOMAINS[d].axes[-1] for d in e.domains if DOMAINS[d].axes]
    ends = [np.max(_last_axis(e, d)) for d in e.domains if DOMAINS[d].axes]
    seconds = [float(end) for axis, end in zip(axes, ends, strict=True) if axis.unit == "s"]
    return max(seconds, default=float("nan"))


def _last_axis(e: ExplanationData, domain: str) -> Real:
    axes = e.axes[domain]
    return np.asarray(axes[-1] if isinstance(axes, tuple) else axes)


def _say(word: str, text: str) -> str:
    return f"  {word:{WIDE}}{text}"


def _find_tables(e: ExplanationData) -> list[str]:
    """Return the tables that there are: bands first, which say more of a sound."""
    return sorted(what for what, row in TABLES.items() if row.name in e.relevance)


def _find_warnings(e: ExplanationData) -> list[str]:
    return [note for note in e.notes if note.lower().startswith("warning:")]


def rank_classes(e: ExplanationData) -> list[tuple[str, float]]:
    """Return names and scores of competing outputs, best first; none where these are no classes."""
    scores = np.asarray(e.explained, np.float64).reshape(-1)
    if e.explained.shape[-1:] != scores.shape:
        return []
    names = e.labels if len(e.labels) == len(scores) else tuple(map(str, range(len(scores))))
    return [(names[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]


def _list_halves(e: ExplanationData) -> Iterator[tuple[str, list[float]]]:
    """Yield where half of the positive relevance lies, as narrowly as it does, by domain."""
    for what in ("segments", "bands"):
        if POOLED[what] in e.relevance and (span := find_narrowest_half(pool_relevance(e, what))):
            yield POOLED[what], list(span)


def _summarise_domain(e: ExplanationData, domain: str) -> dict[str, Any]:
    R = np.asarray(e.relevance[domain], np.float64)
    return {
        "shape": list(R.shape),
        "units": [axis.unit for axis in DOMAINS[domain].axes],
        "sum": float(R.sum()),
        "favour": float(np.maximum(R, 0).sum()),
        "against": float(np.minimum(R, 0).sum()),
        "rest": e.rest.get(domain),
    }


def _summarise_ledger(ledger: Ledger) -> dict[str, Any]:
    """Return where the relevance went in all, and whether none was lost."""
    terms = {t: float(ledger.absorbed(t).sum()) for t in TERMS[2:]}
    closed = {"gap": ledger.gap, "closed": ledger.gap <= CLOSED} if ledger.has_layers else {}
    return {**closed, **terms}
