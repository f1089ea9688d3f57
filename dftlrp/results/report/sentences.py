"""Sentences, tables and accounts of the page, as plain values for the template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dftlrp.core.ledger import LedgerRow
from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, Real
from dftlrp.results.bands import measure_spacing, read_relevance
from dftlrp.results.brief import describe_row
from dftlrp.results.data import ExplanationData
from dftlrp.results.questions import (
    TABLES,
    Listed,
    list_rows,
    list_tiles,
    pick_strongest,
)
from dftlrp.results.views import INPUT, find_domain
from dftlrp.results.words import (
    CLOSED,
    NO_REFERENCE,
    SHOWN_CHANNELS,
    describe_account,
    describe_cancellation,
    describe_middle,
    find_reference,
    find_score,
    format_number,
    name_seed,
    sum_channels,
    sum_seed,
)

SHOWN = 10  # classes; the rest is folded away
BINS = 10  # single bins, folded away
WARNING = "warning:"  # a note that starts with it belongs into the box
LEDGER_COLUMNS = ("relevance", "to_inputs", "bias", "stabiliser", "stopped", "reference")


def format_percent(share: float) -> str:
    """Round to per cents, but a little not to nothing nor almost all to all."""
    if 0 < abs(share) < 0.001:
        return "< 0.1 %" if share > 0 else "> −0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    digits = 1 if abs(share) < 0.01 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "−") if share else "0 %"


def describe_answer(e: ExplanationData) -> dict[str, Any]:
    """Return what the sentences under the headline need."""
    names, values, shares, _ = list_scores(e)
    best = int(np.argmax(values))
    kind, versus = name_seed(e)
    reference = find_reference(e)
    return {
        "label": e.label,
        "predicted": names[best],
        "right": best == _find_target_class(e),
        "single": len(values) == 1,
        "score": find_score(e),
        "share": None if shares is None else float(shares[_find_target_class(e)]),
        "seed": kind,
        "versus": versus,
        "seeded": sum_seed(e),
        "reference": "" if reference == NO_REFERENCE else make_printable(reference),
        "where": describe_middle(e),
        "conditions": [c[:1].upper() + c[1:] for c in e.provenance.get("conditions", ())],
    }


def _find_target_class(e: ExplanationData) -> int:
    """Return the index along the axis of classes; -1 if a callable chose the target."""
    return e.target if isinstance(e.target, int) else (e.target[-1] if e.target else 0)


def list_strongest(e: ExplanationData) -> dict[str, Any]:
    """Return the strongest units, for and against, in words; single bins to be folded away."""
    lines = [
        _list_sides(what.capitalize(), list_rows(e, what, None))
        for what, row in TABLES.items()
        if row.name in e.relevance
    ]
    if "time-frequency" in e.relevance:
        lines.append(_list_sides("Tiles", list_tiles(e, None)))
    lines = [one for one in lines if one["favour"] or one["against"]]
    return {
        "label": e.label,
        "lines": lines,
        "cancels": describe_cancellation(e),
        "bins": _list_bins(e),
    }


def _list_bins(e: ExplanationData) -> dict[str, Any]:
    """Return the strongest single bins of frequency; nothing if there are none."""
    if "frequency" not in e.relevance:
        return {}
    hertz = np.asarray(e.axes["frequency"], np.float64)
    R = read_relevance(e, "frequency").reshape(-1, len(hertz)).sum(axis=0)
    order, least = np.argsort(R, kind="stable"), float(np.abs(R).max()) / 100
    favour = [i for i in order[::-1][:BINS] if R[i] > least]
    against = [i for i in order[:BINS] if R[i] < -least]
    told = (
        [f"{hertz[i]:.5g}\N{NO-BREAK SPACE}Hz ({format_number(float(R[i]))})" for i in side]
        for side in (favour, against)
    )
    found = {"title": "Bins", **dict(zip(("favour", "against"), told, strict=True))}
    spacing = f"{measure_spacing(hertz):.4g}"
    return {**found, "spacing": spacing} if favour or against else {}


def _list_sides(title: str, rows: Sequence[Listed]) -> dict[str, Any]:
    """Return the strongest rows for and against, in words."""
    favour, against = ([describe_row(r) for r in side] for side in pick_strongest(rows))
    return {"title": title, "favour": favour, "against": against}


def describe_sums(e: ExplanationData, domain: str, name: str) -> str:
    """Say how much relevance a domain shows, as a picture of it would."""
    R = np.asarray(e.relevance[domain])
    whole, favour, against = (
        format_number(float(part.sum())) for part in (R, np.maximum(R, 0), np.minimum(R, 0))
    )
    return (
        f"Relevance for “{name}” adds up to {whole}, of which {favour} supports the output and "
        f"{against} opposes it."
    )


def list_channels(explanations: Sequence[ExplanationData]) -> dict[str, Any]:
    """Return the rows of the table of channels, the one with most |R| first."""
    columns = [sum_channels(e) for e in explanations]
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


def list_scores(e: ExplanationData) -> tuple[list[str], Real, Real | None, str]:
    """Return names, explained values, shares in [0, 1] and what these are, by class."""
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


def list_classes(
    explanations: Sequence[ExplanationData], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a table of classes for each list of scores, best first; the explained are shown."""
    groups: dict[bytes, list[int]] = {}
    for k, e in enumerate(explanations):
        named = json.dumps(e.labels).encode()
        groups.setdefault(named + np.asarray(e.explained, np.float64).tobytes(), []).append(k)
    return [
        {
            **_list_group([explanations[k] for k in group]),
            "of": [names[k] for k in group] if len(groups) > 1 else [],
        }
        for group in groups.values()
    ]


def _list_group(explanations: Sequence[ExplanationData]) -> dict[str, Any]:
    """Return the rows of the classes of explanations of the same scores."""
    names, values, shares, meaning = list_scores(explanations[0])
    asked = {_find_target_class(e) for e in explanations}
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


def summarise_ledger(e: ExplanationData) -> dict[str, Any]:
    """Return the accounts in sum and for each node."""
    seed = sum_seed(e)
    absorbed = {t: float(np.sum(e.ledger.absorbed(t))) for t in LEDGER_COLUMNS[2:]}
    return {
        "label": e.label,
        "check": describe_account(e),
        "layers": e.ledger.has_layers,
        "seeded": seed,
        "reached": _sum_recording(e),
        "share": (lambda amount: amount / seed if seed and np.isfinite(seed) else 0.0),
        **absorbed,
        "conditions": bool(e.provenance.get("conditions")),
        "rest": {find_domain(d).title.lower(): r for d, r in e.rest.items() if r},
        "rows": [_describe_node(row) for row in e.ledger.rows],
    }


def _sum_recording(e: ExplanationData) -> float:
    """Return the relevance that reached the recording, from the first domain that shows it."""
    shown = sorted(e.relevance, key=lambda domain: domain == INPUT)  # which lies before it
    return float(np.sum(e.relevance[shown[0]])) + e.rest.get(shown[0], 0.0) if shown else 0.0


def _describe_node(row: LedgerRow) -> dict[str, Any]:
    """Return one row of the table of layers."""
    return {
        "names": (row.node, row.op, row.rule),
        "amounts": [float(np.sum(getattr(row, t))) for t in LEDGER_COLUMNS],
        "gap": row.gap,
    }


def list_warnings(e: ExplanationData, several: bool = False) -> list[str]:
    """Return what a reader should know before believing the page, of one or of several."""
    seed, label, answer = sum_seed(e), e.label, describe_answer(e)
    lost = float(np.sum(e.ledger.absorbed("bias")))
    check = describe_account(e)
    alone = "" if answer["reference"] else "; compare with silence (--reference silence)"
    found = {
        f"The model did not choose “{label}” but “{answer['predicted']}”; see both side by side "
        "with --versus": not (several or answer["right"] or e.target == -1),
        f"Most of the relevance of “{label}” never reached the recording: the model’s biases "
        f"absorbed {format_percent(lost / seed if seed else 0)}{alone}": abs(lost)
        > 0.5 * abs(seed),
        f"“{label}”: {check}; try another --composite or --method": e.ledger.gap > CLOSED
        and e.ledger.has_layers,
        "The recording is silent": not any(map(np.any, _list_recorded(e) or e.signal.values())),
        f"No part of the recording supports “{label}”": not any(
            np.any(np.asarray(r) > 0) for r in e.relevance.values()
        ),
    }
    said = [note[len(WARNING) :].strip().rstrip(".") for note in e.notes if _is_warning(note)]
    return [text for text, holds in found.items() if holds] + [t[:1].upper() + t[1:] for t in said]


def list_notes(e: ExplanationData) -> list[str]:
    """Return what was done to model and recording, without the warnings."""
    return [note for note in e.notes if not _is_warning(note)]


def _is_warning(note: str) -> bool:
    return note.lower().startswith(WARNING)


def _list_recorded(e: ExplanationData) -> list[AnyArray]:
    """Return the recording in each domain, without what a front end computes from it."""
    return [signal for domain, signal in e.signal.items() if domain != INPUT]


def list_facts(e: ExplanationData) -> dict[str, Any]:
    """Return short facts, and long lists to fold away."""
    facts = {k: v for k, v in e.provenance.items() if not isinstance(v, Mapping)}
    listed = {k: v for k, v in e.provenance.items() if isinstance(v, Mapping) and v}
    settings = {"sampling rate": f"{e.rate:g} Hz", **{f"STFT {k}": v for k, v in e.stft.items()}}
    return {
        "label": e.label,
        "facts": {k: _format_fact(v) for k, v in {**facts, **settings}.items()},
        "lists": {k: {n: _format_fact(t) for n, t in v.items()} for k, v in listed.items()},
    }


def _format_fact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
