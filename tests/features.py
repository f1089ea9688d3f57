"""What a declared front end computes, for tests."""

from __future__ import annotations

import numpy as np

from dftlrp.core.backend import get_backend
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.plan import make_plan
from dftlrp.graph.frontend import FrontEnd, prepend
from dftlrp.graph.structure import Graph, Node, Value


def compute(fe: FrontEnd, samples: np.ndarray) -> np.ndarray:
    """Features of one recording, in the front end's layout without the batch."""
    value = Value((None,) * len(fe.layout), "float32")
    graph = prepend(Graph((Node("y", "Identity", ("x",)),), {"x": value}, {"y": value}, {}), fe)
    plan = make_plan(graph)
    given = {**graph.constants, next(iter(plan.signals)): samples[None]}
    return evaluate(plan, given, get_backend(), np.dtype("float64")).values["y"][0]
