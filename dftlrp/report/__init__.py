"""One HTML page that shows and plays an explanation, with everything inside the file.

The page holds no script and asks the network for nothing: a content security policy forbids
both, and lets only the page's own style (by its hash) and data URIs through.  Text from
outside (labels, node names, notes) is escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.audible import Sound, sounds
from dftlrp.plot import BARS, DOMAINS, add_up, bin_size, figure, image, number, score, seeded
from dftlrp.types import AnyArray, InputError, Real

if TYPE_CHECKING:
    from dftlrp.explanation import Explanation

SHOWN = 10  # classes before the rest is folded away
HEARD_HZ = 3000  # browsers play nothing slower
ORDER = ("original", "resynthesis", "heatmap", "rectified", "negative")
TITLES = {
    "original": "The recording",
    "resynthesis": "What spoke for it",
    "heatmap": "Samples in favour",
    "rectified": "Rectified samples",
    "negative": "Samples against",
}
MEANINGS = {
    "original": "As the model read it.",
    "resynthesis": "The recording with every pitch at every moment turned down, except where it "
    "spoke for the output. The one to listen to first.",
    "heatmap": "Each sample times its positive relevance. Rough and clicky by nature: the "
    "relevance changes from sample to sample.",
    "rectified": "The positive half of the wave times its relevance, for and against: the "
    "formula of the AudioMNIST demo.",
    "negative": "Each sample times its negative relevance: what spoke against the output.",
}
PICTURES = {
    "time": "Time",
    "frequency": "Frequency",
    "time-frequency": "Time and frequency",
}


def render(explanations: Sequence[Explanation]) -> str:
    """Render explanations of one recording as one self-contained HTML page.

    Parameters
    ----------
    explanations : sequence of Explanation
        One, or several to compare (two fit side by side).

    Returns
    -------
    str
        HTML, to be written as UTF-8.

    Raises
    ------
    InputError
        No explanation, or explanations of different recordings.
    NonFiniteError
        A signal or its relevance holds a NaN or an infinity.
    """
    if not explanations:
        raise InputError("no explanation to report")
    page = _template().render(
        labels=[e.label for e in explanations],
        answers=[_answer(e) for e in explanations],
        classes=_classes(explanations),
        pictures=_pictures(explanations),
        players=_players(explanations),
        unheard=_unheard(explanations),
        ledgers=[_ledger(e) for e in explanations],
        notes=_unique(note for e in explanations for note in e.notes),
        warnings=_unique(f"{w}." for e in explanations for w in _warnings(e)),
        provenance=[_provenance(e) for e in explanations],
    )
    return str(page).encode("utf-8", "replace").decode()  # a label may hold a lone surrogate


def _template() -> Any:
    """Compile the template: autoescape on, a missing name is an error."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(num=number, pct=_percent, csp=_csp)
    source = files("dftlrp.report").joinpath("template.html.j2").read_text("utf-8")
    return environment.from_string(source)


def _csp(style: str) -> str:
    """Content security policy source of an inline style: its SHA-256."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() + "'"


def _percent(share: float) -> str:
    """Round to per cents, but a little not to nothing nor almost all to all."""
    if 0 < abs(share) < 0.001:
        return "< 0.1 %" if share > 0 else "> −0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    digits = 1 if abs(share) < 0.01 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "−") if share else "0 %"


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _unique(lines: Any) -> list[str]:
    return list(dict.fromkeys(lines))


def _answer(e: Explanation) -> dict[str, Any]:
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
    size = bin_size(len(relevance), BARS)
    favour = np.cumsum(np.maximum(add_up(np.asarray(relevance, np.float64), size), 0.0))
    if favour[-1] <= 0:
        return None
    low, high = (int(np.searchsorted(favour, q * favour[-1])) * size for q in (0.25, 0.75))
    return float(axis[low]), float(axis[min(high + size, len(relevance)) - 1])


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


def _classes(explanations: Sequence[Explanation]) -> dict[str, Any]:
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


def _pictures(explanations: Sequence[Explanation]) -> list[dict[str, str]]:
    """One picture per domain, so that they stack on a small screen."""
    domains = [d for d in DOMAINS if all(d in e.relevance for e in explanations)]
    return [
        {
            "title": PICTURES[domain],
            "uri": _data_uri("image/png", image(figure(explanations, [domain], title=False))),
            "alt": _alt(explanations, domain),
        }
        for domain in domains
    ]


def _alt(explanations: Sequence[Explanation], domain: str) -> str:
    """Say in words what the picture shows."""
    sums = "; ".join(
        f"for “{e.label}” it adds up to {number(float(np.sum(e.relevance[domain])))}, of which "
        f"{number(float(np.sum(np.maximum(e.relevance[domain], 0))))} speaks for it and "
        f"{number(float(np.sum(np.minimum(e.relevance[domain], 0))))} against it"
        for e in explanations
    )
    return f"The signal, and below it its relevance over {PICTURES[domain].lower()}: {sums}."


def _players(explanations: Sequence[Explanation]) -> list[dict[str, Any]]:
    """Players by kind; the original once, the others once per explanation."""
    if _unheard(explanations):
        return []
    made = sounds(explanations)
    return [
        {
            "title": TITLES[kind],
            "meaning": MEANINGS[kind],
            "gain": made[0][kind].gain_db,
            "clips": [
                _clip(one[kind], e.label)
                for one, e in zip(made, explanations, strict=True)
                if kind != "original" or e is explanations[0]
            ],
        }
        for kind in ORDER
    ]


def _clip(sound: Sound, label: str) -> dict[str, Any]:
    """One player; a silent sound gets none."""
    silent = not np.any(sound.samples)
    uri = "" if silent else _data_uri("audio/wav", sound.wav("PCM_16"))
    return {"label": label, "silent": silent, "uri": uri}


def _unheard(explanations: Sequence[Explanation]) -> str:
    """Why there are no players; empty if there are."""
    rate = explanations[0].rate
    if any("time" not in e.relevance for e in explanations):
        return "This explanation has no time domain, so there is nothing to listen to."
    if rate < HEARD_HZ or rate != round(rate):
        return f"A signal with {rate:g} samples per second cannot be played at its own speed."
    return ""


def _ledger(e: Explanation) -> dict[str, Any]:
    """Accounts in sum and by node."""
    seed = seeded(e)
    reached = [float(np.sum(r)) + e.rest.get(d, 0.0) for d, r in e.relevance.items()]
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
        "rest": {PICTURES.get(d, d).lower(): r for d, r in e.rest.items() if r},
        "rows": rows,
    }


LEDGER_COLUMNS = ("relevance", "to_inputs", "bias", "stabiliser", "stopped")


def _warnings(e: Explanation) -> list[str]:
    """Say what a reader should know before believing the page."""
    seed, label = seeded(e), e.label
    lost = float(np.sum(e.ledger.absorbed("bias")))
    found = {
        f"The model did not choose “{label}”; this page explains a class that lost": not (
            _answer(e)["right"] or e.target == -1
        ),
        f"Most of the relevance of “{label}” never reached the recording: the model’s biases "
        f"absorbed {_percent(lost / seed if seed else 0)}": abs(lost) > 0.5 * abs(seed),
        f"The accounts of “{label}” do not close: relevance is missing or was made up "
        f"(gap {e.ledger.gap:.0e})": e.ledger.gap > 1e-4,
        "The recording is silent": not any(np.any(s) for s in e.signal.values()),
        f"Nothing in the recording speaks for “{label}”": not any(
            np.any(np.asarray(r) > 0) for r in e.relevance.values()
        ),
    }
    return [text for text, holds in found.items() if holds]


def _provenance(e: Explanation) -> dict[str, Any]:
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
