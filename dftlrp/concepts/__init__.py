"""Concept relevance propagation: what single neurons of a model respond to, over whole data sets.

In come a model, a layer and recordings with their classes; out go the relevance of each neuron for
each class, the recordings in which it is most relevant, the effect of silencing it, tables and a
report; or an explanation of each recording of a folder.  Long work is cut into shards, so that an
interrupted run can continue.  This room must never know how relevance is propagated: it asks
`dftlrp.attribution` under conditions.
"""

from __future__ import annotations

from dftlrp.concepts.ablation import Ablation, silenced
from dftlrp.concepts.conditional import Conditional, conditional
from dftlrp.concepts.conditions import Concepts, Condition
from dftlrp.concepts.flow import Edge, attribution_graph, layers_below
from dftlrp.concepts.layers import Layers, layers_of, masks_through
from dftlrp.concepts.neuron_analysis import Neurons, neurons
from dftlrp.concepts.prototypes import Prototype, mean_spectrum, prototypes
from dftlrp.concepts.statistics import Statistics
from dftlrp.concepts.study import Study
from dftlrp.concepts.survey import Survey, survey
from dftlrp.concepts.trials import ablations

__all__ = [
    "Ablation",
    "Concepts",
    "Condition",
    "Conditional",
    "Edge",
    "Layers",
    "Neurons",
    "Prototype",
    "Statistics",
    "Study",
    "Survey",
    "ablations",
    "attribution_graph",
    "conditional",
    "layers_below",
    "layers_of",
    "masks_through",
    "mean_spectrum",
    "neurons",
    "prototypes",
    "silenced",
    "survey",
]
