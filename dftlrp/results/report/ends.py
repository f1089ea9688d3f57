"""Where the axes of the page end: with the recording, and where a slow one holds little above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dftlrp.results.data import ExplanationData

AUDIBLE_RATE = 3000  # samples per second: from here on frequencies are shown as they are heard
NARROW = {"relevance": 0.95, "power": 0.98}  # shares of a slow signal that lie below
ROOM = 1.5  # times the frequency up to which they lie is shown
ROUND = np.array([1, 1.5, 2, 3, 4, 5, 6, 8, 10])  # times a power of ten


def find_ends(e: ExplanationData, timed: Sequence[float]) -> tuple[float, float, float]:
    """Return where a recording starts and stops, and half its rate; ``timed``: ends of axes."""
    stop = max(map(float, timed), default=e.start + 1.0)
    if "time" in e.signal:
        stop = e.start + float(e.signal["time"].shape[-1] / e.rate)
    return e.start, stop, e.rate / 2


def find_highest(explanations: Sequence[ExplanationData]) -> float:
    """Return up to which frequency is shown at first: where slow signals hold little above, less.

    Almost all relevance, and what a recording holds beside its mean, lies well below.
    """
    half = max(e.rate for e in explanations) / 2
    found = [_find_needed(e) for e in explanations]
    needed = ROOM * max((top for top in found if top is not None), default=0.0)
    if 2 * half >= AUDIBLE_RATE or None in found or not needed:
        return half
    tens = 10 ** np.floor(np.log10(needed))
    rounded = float(tens * ROUND[np.searchsorted(ROUND, needed / tens)])
    return rounded if rounded <= half / 2 else half


def _find_needed(e: ExplanationData, domain: str = "frequency") -> float | None:
    """Return the frequency below which almost all lies; None without that domain."""
    if domain not in e.relevance:
        return None
    hertz = np.asarray(e.axes[domain], np.float64)
    power = np.square(np.abs(e.signal[domain])).reshape(-1, len(hertz)).sum(axis=0)
    power[0] = 0.0
    relevance = np.abs(e.relevance[domain]).reshape(-1, len(hertz)).sum(axis=0)
    return max(
        float(hertz[np.searchsorted(np.cumsum(own), share * own.sum())])
        for own, share in ((relevance, NARROW["relevance"]), (power, NARROW["power"]))
    )
