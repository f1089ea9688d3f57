"""`dftlrp.metrics`: measures of explanations, as functions of arrays.

Faithfulness asks the model (`srg`, `deletion_curves`, `explanation_curves`), localisation the truth
where it is known, complexity the relevance alone.  docs/evaluate.md has the formulas and sources.
"""

from __future__ import annotations

from dftlrp.evaluation.complexity import cancellation, complexity, sparseness
from dftlrp.evaluation.faithfulness import (
    Curves,
    deletion_curves,
    explanation_curves,
    srg,
)
from dftlrp.evaluation.localisation import (
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from dftlrp.results.units import Units, make_units

__all__ = [
    "Curves",
    "Units",
    "cancellation",
    "complexity",
    "deletion_curves",
    "explanation_curves",
    "make_units",
    "pointing_game",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "sparseness",
    "srg",
]
