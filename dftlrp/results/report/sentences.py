"""Sentences, tables and accounts of the page, as plain values for the template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.panels import BARS, add_up, bin_size
from dftlrp.results.questions import TABLES, Row, table
from dftlrp.results.questions import strongest as pick
from dftlrp.results.report.media import PICTURES
from dftlrp.results.words import SHOWN_CHANNELS, channel_sums, number, score, seeded

if TYPE_CHECKING:
    from dftlrp.results.explanation import Explanation

SHOWN = 10  # classes before the rest is folded away
WARNING = "warning:"  # a note that starts so belongs into the box
LEDGER_COLUMNS = ("relevance", "to_inputs", "bias", "stabiliser", "stopped")


def percent(share: float) -> str:
    """Round to per cents, but a little not to nothing nor almost all to all."""
    if 0 < abs(share) < 0.001:
        return "< 0.1 %" if share > 0 else "> −0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    digits = 1 if abs(share) < 0.01 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "−") if share else "0 %"


def answer(e: Explanation) -> dict[str, Any]:
    """Collect what the sentence under the headline needs."""
    names, values, shares, _ = _scores(e)
    best = int(np.argmax(values))
    return {
        "label": e.label,
        "predicted": names[best],
        "right": best == _class_index(e),
        "single": len(values) == 1,
        "score": score(e),
        "share": None if shares is None else float(shares[_class_index(e)]),
        "seed": _seed(e),
        "seeded": seeded(e),
        "where": _where(e),
        "conditions": [c[:1].upper() + c[1:] for c in e.provenance.get("conditions", ())],
    }


def _class_index(e: Explanation) -> int:
    """Index along the axis of classes; -1 where a callable chose the target."""
    return e.target if isinstance(e.target, int) else (e.target[-1] if e.target else 0)


def _seed(e: Explanation) -> dict[str, str]:
    """Kind of seed, and for a contrast the name of the other class."""
    kind, _, versus = str(e.provenance.get("seed", "logit")).partition(":")
    if versus.isdecimal() and int(versus) < len(e.labels):
        versus = e.labels[int(versus)]
    return {"kind": "callable" if e.target == -1 else kind, "versus": versus}


def _where(e: Explanation) -> str:
    """Where half of the relevance in favour lies, in seconds and hertz."""
    spans = []
    for domain, unit in (("time", "s"), ("frequency", "Hz")):
        span = _middle_half(e.relevance[domain], e.axes[domain]) if domain in e.relevance else None
        if span:
            low, high = (_plain(value, unit) for value in span)
            between = f"at {low}" if low == high else f"between {low} and {high}"
            spans.append(f"{between}\N{NO-BREAK SPACE}{unit}")
    return ", and half of it ".join(spans)


def _plain(value: float, unit: str) -> str:
    """Write an axis value without an exponent."""
    return f"{value:.0f}" if unit == "Hz" and value >= 10 else f"{value:.2f}"


def _middle_half(relevance: AnyArray, axis: Any) -> tuple[float, float] | None:
    """First to third quartile of the net relevance in favour, on the bins that are drawn."""
    R = np.asarray(relevance, np.float64).reshape(-1, len(axis)).sum(axis=0)
    size = bin_size(len(R), BARS)
    favour = np.cumsum(np.maximum(add_up(R, size), 0.0))
    if favour[-1] <= 0:
        return None
    low, high = (int(np.searchsorted(favour, q * favour[-1])) * size for q in (0.25, 0.75))
    return float(axis[low]), float(axis[min(high + size, len(R)) - 1])


def strongest(e: Explanation) -> dict[str, Any]:
    """The strongest bands and segments, for and against, in words."""
    found = {
        title: pick(table(e, what, None))
        for what, title in (("segments", "Moments"), ("bands", "Bands"))
        if TABLES[what][0] in e.relevance
    }
    lines = [
        {"title": title, "favour": list(map(_row, favour)), "against": list(map(_row, against))}
        for title, (favour, against) in found.items()
        if favour or against
    ]
    return {"label": e.label, "lines": lines}


def _row(row: Row) -> str:
    """One band or segment with its relevance."""
    low, high = (f"{edge:.4g}" for edge in (row.start, row.stop))
    return f"{low} to {high}\N{NO-BREAK SPACE}{row.unit} ({number(row.relevance)})"


def channels(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """Table of channels, the one with most relevance (for and against) first."""
    columns = [channel_sums(e) for e in explanations]
    totals = [sum(amount for _, _, amount in column) or 1.0 for column in columns]
    rows = [
        {
            "name": several[0][0],
            "amounts": [(net, size / t) for (_, net, size), t in zip(several, totals, strict=True)],
        }
        for several in zip(*columns, strict=True)
    ]
    rows.sort(key=lambda row: -sum(share for _, share in row["amounts"]))
    return {"shown": rows[:SHOWN_CHANNELS], "folded": rows[SHOWN_CHANNELS:]}


def _scores(e: Explanation) -> tuple[list[str], Real, Real | None, str]:
    """Names, explained values, shares in [0, 1] and what those are, along the axis of classes."""
    row = e.target[:-1] if isinstance(e.target, tuple) else ()
    values = np.atleast_1d(np.asarray(e.explained, np.float64)[row]).ravel()
    names = list(e.labels) if len(e.labels) == len(values) else [str(i) for i in range(len(values))]
    output = np.asarray(e.output, np.float64)
    own = np.atleast_1d(output[row]).ravel() if output.shape == np.shape(e.explained) else None
    if own is not None and np.all((own >= 0) & (own <= 1)):
        return names, values, own, "model's output"
    if len(values) == 1:
        return names, values, None, ""
    grown = np.exp(values - values.max())
    return names, values, grown / grown.sum(), "softmax"


def classes(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """Table of classes, best first; the explained ones are never folded away."""
    names, values, shares, meaning = _scores(explanations[0])
    asked = {_class_index(e) for e in explanations}
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    rows = [
        {
            "name": names[i],
            "score": float(values[i]),
            "share": None if shares is None else float(shares[i]),
            "asked": i in asked,
        }
        for i in order
    ]
    shown = [r for k, r in enumerate(rows) if k < SHOWN or r["asked"]]
    folded = [r for k, r in enumerate(rows) if k >= SHOWN and not r["asked"]]
    return {"shown": shown, "folded": folded, "meaning": meaning}


def ledger(e: Explanation) -> dict[str, Any]:
    """Accounts in sum and by node."""
    seed = seeded(e)
    reached = [
        float(np.sum(e.relevance[d])) + e.rest.get(d, 0.0)
        for d in sorted(e.relevance, key=lambda d: d == "input")  # that is not yet the recording
    ]
    absorbed = {t: float(np.sum(e.ledger.absorbed(t))) for t in ("bias", "stabiliser", "stopped")}
    rows = [
        {
            "names": (row.node, row.op, row.rule),
            "amounts": [float(np.sum(getattr(row, t))) for t in LEDGER_COLUMNS],
            "gap": row.gap,
        }
        for row in e.ledger.rows
    ]
    return {
        "label": e.label,
        "seeded": seed,
        "reached": reached[0] if reached else 0.0,
        "share": (lambda amount: amount / seed if seed and np.isfinite(seed) else 0.0),
        **absorbed,
        "gap": e.ledger.gap,
        "conditions": bool(e.provenance.get("conditions")),
        "rest": {PICTURES.get(d, d).lower(): r for d, r in e.rest.items() if r},
        "rows": rows,
    }


def warnings(e: Explanation) -> list[str]:
    """Say what a reader should know before believing the page."""
    seed, label = seeded(e), e.label
    lost = float(np.sum(e.ledger.absorbed("bias")))
    found = {
        f"The model did not choose “{label}”; this page explains a class that lost": not (
            answer(e)["right"] or e.target == -1
        ),
        f"Most of the relevance of “{label}” never reached the recording: the model’s biases "
        f"absorbed {percent(lost / seed if seed else 0)}": abs(lost) > 0.5 * abs(seed),
        f"The accounts of “{label}” do not close: relevance is missing or was made up "
        f"(gap {e.ledger.gap:.0e})": e.ledger.gap > 1e-4,
        "The recording is silent": not any(map(np.any, _recorded(e) or e.signal.values())),
        f"Nothing in the recording speaks for “{label}”": not any(
            np.any(np.asarray(r) > 0) for r in e.relevance.values()
        ),
    }
    said = [note[len(WARNING) :].strip().rstrip(".") for note in e.notes if _warns(note)]
    return [text for text, holds in found.items() if holds] + [t[:1].upper() + t[1:] for t in said]


def notes(e: Explanation) -> list[str]:
    """What was done on the way; what `warnings` says is left out."""
    return [note for note in e.notes if not _warns(note)]


def _warns(note: str) -> bool:
    return note.lower().startswith(WARNING)


def _recorded(e: Explanation) -> list[AnyArray]:
    """The recording in each domain: not what a front end makes of it."""
    return [signal for domain, signal in e.signal.items() if domain != "input"]


def provenance(e: Explanation) -> dict[str, Any]:
    """Short facts, and long lists to fold away."""
    facts = {k: v for k, v in e.provenance.items() if not isinstance(v, Mapping)}
    listed = {k: v for k, v in e.provenance.items() if isinstance(v, Mapping) and v}
    settings = {"sampling rate": f"{e.rate:g} Hz", **{f"STFT {k}": v for k, v in e.stft.items()}}
    return {
        "label": e.label,
        "facts": {k: _text(v) for k, v in {**facts, **settings}.items()},
        "lists": {k: {n: _text(t) for n, t in v.items()} for k, v in listed.items()},
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
