"""What figure and report say about an explanation in a few words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dftlrp.results.explanation import Explanation

SHOWN_CHANNELS = 8  # before the rest is left out or folded away


def score(explanation: Explanation) -> float:
    """Return the explained value of the target (what was seeded, where that was a callable)."""
    values = np.asarray(explanation.explained)
    if explanation.target == -1:
        return seeded(explanation)
    return float(values[explanation.target] if values.ndim else values)


def seeded(explanation: Explanation) -> float:
    """Return the relevance put in at the output: what everything else is a share of."""
    rows = explanation.ledger.rows
    if rows:
        return float(np.sum(rows[0].relevance))
    return float("nan") if explanation.target == -1 else score(explanation)


def headline(explanation: Explanation) -> str:
    """Say what was explained, with its score, in a few words."""
    return f"Why “{drawable(explanation.label)}”?  score {number(score(explanation))}"


def share_of_seed(explanation: Explanation, domain: str) -> str:
    """Label and share of what was seeded that a panel shows."""
    total, seed = float(np.sum(explanation.relevance[domain])), seeded(explanation)
    kind = str(explanation.provenance.get("seed", "logit")).partition(":")[0]
    whole = {"logit": "score", "contrast": "lead"}.get(kind, "seed")
    share = f"{100 * total / seed:.0f}".replace("-", "−") if seed and np.isfinite(seed) else ""
    part = f" ({share} % of the {whole})" if share else ""
    return f"“{drawable(explanation.label, 14)}”: sum {number(total)}{part}"


def number(value: float, digits: int = 3) -> str:
    """Format with few digits and a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def drawable(text: str, most: int = 40) -> str:
    """Text that the font can draw, on one line; a label is anyone's guess."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    known = "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "□" for c in text)
    return known if len(known) <= most else known[: most - 1] + "…"


def channel_sums(explanation: Explanation) -> list[tuple[str, float, float]]:
    """Name, sum of R and sum of |R| of each of several channels, in the first domain that has them.

    Empty where there is one channel.
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


def channel_order(explanations: Sequence[Explanation]) -> list[int]:
    """The channels as they are; more than can be shown, by their sum of |R|, largest first."""
    sums = [[amount for _, _, amount in channel_sums(e)] for e in explanations]
    count = len(sums[0]) or 1
    if count <= SHOWN_CHANNELS:
        return list(range(count))
    return [int(c) for c in np.argsort(-np.sum(sums, axis=0), kind="stable")]
