"""Concept relevance propagation: what single neurons of a model listen to."""

from __future__ import annotations

from dftlrp.concepts.ablation import Ablation, silenced
from dftlrp.concepts.conditional import Conditional, conditional
from dftlrp.concepts.conditions import Concepts, Condition
from dftlrp.concepts.flow import Edge, attribution_graph
from dftlrp.concepts.layers import Layers, layers_of
from dftlrp.concepts.prototypes import Prototype, mean_spectrum, prototypes
from dftlrp.concepts.statistics import Statistics
from dftlrp.concepts.survey import Study, Survey, survey

__all__ = [
    "Ablation",
    "Concepts",
    "Condition",
    "Conditional",
    "Edge",
    "Layers",
    "Prototype",
    "Statistics",
    "Study",
    "Survey",
    "attribution_graph",
    "conditional",
    "layers_of",
    "mean_spectrum",
    "prototypes",
    "silenced",
    "survey",
]
