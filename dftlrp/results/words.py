"""What the figure, the report and the command line say of an explanation in a few words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dftlrp.results.bands import POOLED, Pooled, pool_relevance
from dftlrp.results.data import ExplanationData

SHOWN_CHANNELS = 12  # the leads of an ECG; more than these are left out or folded away
NO_REFERENCE = "none"
CANCELS = 3  # as a ratio of sums: units that cancel more than that name little
CLOSED = 1e-4  # as a share: a ledger with a larger gap has lost relevance


def find_score(explanation: ExplanationData) -> float:
    """Return the explained value of the target (the seed if a callable chose the target)."""
    values = np.asarray(explanation.explained)
    if explanation.target == -1:
        return sum_seed(explanation)
    return float(np.asarray(values[explanation.target] if values.ndim else values).item())


def sum_seed(explanation: ExplanationData) -> float:
    """Return the relevance put in at the output: everything else is a share of it."""
    rows = explanation.ledger.rows
    if rows:
        return float(np.sum(rows[0].relevance))
    return float("nan") if explanation.target == -1 else find_score(explanation)


def name_seed(explanation: ExplanationData) -> tuple[str, str]:
    """Return the kind of seed, and for a contrast the name of the other class."""
    kind, _, versus = str(explanation.provenance.get("seed", "logit")).partition(":")
    if versus.isdecimal() and int(versus) < len(explanation.labels):
        versus = explanation.labels[int(versus)]
    return kind, versus


def find_reference(explanation: ExplanationData) -> str:
    """Return what the recording is compared with, or ``"none"``."""
    return str(explanation.provenance.get("reference", NO_REFERENCE))


def describe_seed(explanation: ExplanationData) -> str:
    """Say what is explained, as in ``explaining "seven" against the average of the ...``."""
    kind, versus = name_seed(explanation)
    other = f'"{versus}"' if versus else "the average of the other classes"
    against = f" against {other}" if kind == "contrast" else ""
    unit = ", one unit of its score" if kind == "one" else ""
    reference = find_reference(explanation)
    beside = "" if reference == NO_REFERENCE else f", compared with {reference}"
    return f'explaining "{explanation.label}"{against}{unit}{beside}'


def describe_check(gap: float) -> str:
    """Say whether relevance was lost, from the largest gap of the ledger."""
    found = f"largest error {format_number(gap, 1)}".replace("−", "-")
    if gap <= CLOSED:
        return f"check passed: no relevance lost ({found})"
    return f"check failed: relevance was lost or made up ({found})"


def describe_account(explanation: ExplanationData) -> str:
    """Say whether relevance was lost; for a method without layers, what its parts add up to."""
    ledger = explanation.ledger
    if ledger.has_layers:
        return describe_check(ledger.gap)
    seed, total = sum_seed(explanation), float(np.sum(ledger.rows[0].to_inputs))
    share = f" ({100 * total / seed:.4g} %)" if seed else ""
    return f"the parts add up to {total:.4g} of {seed:.4g}{share}; there are no layers to check"


def write_headline(explanation: ExplanationData) -> str:
    """Say what was explained, with its score."""
    label, score = clean_text(explanation.label), format_number(find_score(explanation))
    return f"Why “{label}”?  score {score}"


def describe_share(explanation: ExplanationData, domain: str) -> str:
    """Return the label, the sum of R in a domain and its share of the seed."""
    total, seed = float(np.sum(explanation.relevance[domain])), sum_seed(explanation)
    whole = {"logit": "score", "contrast": "lead"}.get(name_seed(explanation)[0], "seed")
    share = f"{100 * total / seed:.0f}".replace("-", "−") if seed and np.isfinite(seed) else ""
    whole = whole if find_reference(explanation) == NO_REFERENCE else "change"
    part = f" ({share} % of the {whole})" if share else ""
    return f"“{clean_text(explanation.label, 14)}”: sum {format_number(total)}{part}"


def describe_middle(explanation: ExplanationData) -> str:
    """Say where half of the positive relevance lies, in seconds and in hertz; or nothing."""
    spans = []
    for what in ("segments", "bands"):
        if POOLED[what] in explanation.relevance:
            pooled = pool_relevance(explanation, what)
            if span := find_narrowest_half(pooled):
                low, high = (_format_place(value, pooled.units[0]) for value in span)
                between = f"at {low}" if low == high else f"between {low} and {high}"
                spans.append(f"{between}\N{NO-BREAK SPACE}{pooled.units[0]}")
    return "; by frequency, half lies ".join(spans)


def find_narrowest_half(pooled: Pooled) -> tuple[float, float] | None:
    """Return where the fewest units side by side begin and end that hold half of the positive net.

    Of runs of as many units the one with most.
    """
    (edges,), favour = pooled.edges, np.maximum(pooled.net, 0.0)
    held = np.concatenate([[0.0], np.cumsum(favour)])
    if held[-1] <= 0:
        return None
    for count in range(1, len(favour) + 1):
        inside = held[count:] - held[:-count]
        first = int(inside.argmax())
        if inside[first] >= held[-1] / 2:
            break
    return float(edges[first]), float(edges[first + count])


def _format_place(value: float, unit: str) -> str:
    """Format a value of an axis without an exponent."""
    return f"{value:.0f}" if unit == "Hz" and value >= 10 else f"{value:.2f}"


def describe_cancellation(explanation: ExplanationData) -> str:
    """Say where the units that are shown cancel, and what to do; or nothing."""
    found = {
        what: pool_relevance(explanation, what).cancellation
        for what, domain in POOLED.items()
        if domain in explanation.relevance
    }
    found = {what: ratio for what, ratio in found.items() if ratio > CANCELS}
    if not found:
        return ""
    ratios = [f"{r:.0f}" if r < 1000 else "over 1000" for r in found.values()]
    return (
        f"Between {join_words(list(found))}, relevance for and against mostly cancels (its amounts "
        f"add up to {join_words(ratios)} times its sum), so that single ones say little: compare "
        f"sums over wider parts{_advise_rules(explanation)}."
    )


def _advise_rules(explanation: ExplanationData) -> str:
    """Return which rules cancel less; nothing where these or others for attention were taken."""
    rules = str(explanation.provenance.get("composite", ""))
    compared = find_reference(explanation) != NO_REFERENCE
    if rules == "AttnLRP" or (rules == "EpsilonGamma" and compared):
        return ""
    return ", or explain with composite EpsilonGamma and reference silence"


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def format_number(value: float, digits: int = 3) -> str:
    """Format with few digits and a true minus sign, as ``−8e−8``."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}{e}{int(exponent) if e else ''}".replace("-", "−")


def describe_span(start: float, stop: float, unit: str) -> str:
    """Write a span of an axis, with the decimals that its width asks for."""
    decimals = max(math.ceil(-math.log10(stop - start)) + 1, 0) if stop > start else 4

    def write(value: float) -> str:
        if unit == "Hz" and value >= 10:
            return f"{value:.0f}"
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    low, high = write(start), write(stop)
    return f"{low} to {high}\N{NO-BREAK SPACE}{unit}"


def clean_text(text: str, most: int = 40) -> str:
    """Return a text on one line, with boxes for the characters that the font cannot draw."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    known = "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "□" for c in text)
    return known if len(known) <= most else known[: most - 1] + "…"


def sum_channels(explanation: ExplanationData) -> list[tuple[str, float, float]]:
    """Return the name, the sum of R and the sum of |R| of each of several channels.

    The sums are those of the first domain that has channels; empty if there is one channel.
    """
    channels = explanation.channels
    if len(channels) == 1:
        return []
    domain = channels[0].domains[0]
    arrays = [np.asarray(c.relevance[domain], np.float64) for c in channels]
    names = (c.channel_names[0] for c in channels)
    return [
        (name, float(R.sum()), float(np.abs(R).sum()))
        for name, R in zip(names, arrays, strict=True)
    ]


def order_channels(explanations: Sequence[ExplanationData]) -> list[int]:
    """Return the channels (from 0) as they are, or those with most |R| first if not all fit.

    Those that have names keep their order among the first that fit, and among the others.
    """
    sums = [[amount for _, _, amount in sum_channels(e)] for e in explanations]
    count = len(sums[0]) or 1
    if count <= SHOWN_CHANNELS:
        return list(range(count))
    order = [int(c) for c in np.argsort(-np.sum(sums, axis=0), kind="stable")]
    if explanations[0].channel_names:
        return [*sorted(order[:SHOWN_CHANNELS]), *sorted(order[SHOWN_CHANNELS:])]
    return order
