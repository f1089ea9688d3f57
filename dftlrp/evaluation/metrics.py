"""`dftlrp.metrics`: measures of explanations, as functions of arrays.

Faithfulness asks the model (`srg`, `deletion_curves`, `explanation_curves`), and so does `hear`;
localisation needs the truth, complexity the relevance alone, stability and randomisation explain
again.  docs/guides/evaluate.md has the formulas and sources.
"""

from __future__ import annotations

from dftlrp.evaluation.complexity import cancellation, complexity, sparseness
from dftlrp.evaluation.faithfulness import (
    Curves,
    deletion_curves,
    explanation_curves,
    occlude,
    srg,
)
from dftlrp.evaluation.localisation import (
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from dftlrp.evaluation.masked_sound import (
    average_drop,
    average_gain,
    average_increase,
    faithfulness_on_spectra,
)
from dftlrp.evaluation.randomisation import randomisation
from dftlrp.evaluation.stability import correlation, rank_correlation, stability
from dftlrp.results.heard import Heard, hear
from dftlrp.results.units import Units, make_units

__all__ = [
    "Curves",
    "Heard",
    "Units",
    "average_drop",
    "average_gain",
    "average_increase",
    "cancellation",
    "complexity",
    "correlation",
    "deletion_curves",
    "explanation_curves",
    "faithfulness_on_spectra",
    "hear",
    "make_units",
    "occlude",
    "pointing_game",
    "randomisation",
    "rank_correlation",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "sparseness",
    "srg",
    "stability",
]
