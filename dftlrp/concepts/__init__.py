"""Concept relevance propagation: what single neurons of a model listen to."""

from __future__ import annotations

from dftlrp.concepts.conditional import Conditional, conditional
from dftlrp.concepts.conditions import Concepts, Condition
from dftlrp.concepts.layers import Layers, layers_of

__all__ = ["Concepts", "Condition", "Conditional", "Layers", "conditional", "layers_of"]
