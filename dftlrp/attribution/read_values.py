"""What the model itself reads, behind a front end or not, as a domain."""

from __future__ import annotations

import numpy as np

from dftlrp.attribution.attribute import Attribution
from dftlrp.core.types import Real
from dftlrp.engine.plan import Plan
from dftlrp.results.data import View


def find_read_value(plan: Plan) -> str:
    """Return the value that the model itself reads, behind a front end or not."""
    return plan.graph.reads or next(iter(plan.signals))


def view_read_value(result: Attribution, plan: Plan) -> View:
    """Return what the model itself reads as a domain.

    Its rest is minus what the front end absorbs, since the other domains lie before that.
    """
    value, relevance = (take_first(a, plan) for a in result.kept[find_read_value(plan)])
    axes = tuple(map(np.arange, value.shape))
    if not result.ledger.has_layers:
        arrived = result.ledger.rows[0].to_inputs.sum()
        return View(value, relevance, axes, float(arrived - relevance.sum()))
    front = [row for row in result.ledger.rows if row.node in plan.graph.front]
    kinds = ("bias", "stabiliser", "stopped", "reference")
    absorbed = [getattr(row, kind).sum() for row in front for kind in kinds]
    return View(value, relevance, axes, -float(sum(absorbed)))


def take_first(batch: Real, plan: Plan) -> Real:
    """Return the first sample of an array that has a batch axis."""
    dims = next(iter(plan.signals.values())).dims
    return batch[0] if dims is None or len(dims) > 1 else batch


def drop_ones(values: Real) -> Real:
    """Return values with one axis of classes without their axes of length one."""
    return values.reshape(-1) if sum(n > 1 for n in values.shape) <= 1 else values
