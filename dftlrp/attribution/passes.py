"""What there is for each reference that a recording is compared with, and the mean over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dftlrp.attribution.attribute import Attribution
from dftlrp.attribution.batches import Point
from dftlrp.core.ledger import Ledger
from dftlrp.results.data import Asked, View


class Pass(NamedTuple):
    """What there is for one reference: the answer, its relevance, that of domains, the scores."""

    point: Point
    result: Attribution
    shown: dict[str, View]
    asked: dict[str, Asked]


def average_results(passes: Sequence[Pass]) -> Attribution:
    """Return the mean of the results for several references."""
    results = [one.result for one in passes]
    if len(results) == 1:
        return results[0]
    ledger = Ledger.average([r.ledger for r in results])
    return replace(results[0], seed=np.mean([r.seed for r in results], axis=0), ledger=ledger)


def average_views(passes: Sequence[Pass]) -> dict[str, View]:
    """Return the mean relevance in every domain."""
    shown = [one.shown for one in passes]
    if len(shown) == 1:
        return shown[0]
    return {
        name: view._replace(
            relevance=np.mean([v[name].relevance for v in shown], axis=0),
            rest=float(np.mean([v[name].rest for v in shown])),
        )
        for name, view in shown[0].items()
    }
