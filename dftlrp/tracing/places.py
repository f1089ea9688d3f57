"""Which places of a value from outside the steps of a recurrence read.

A cell or a Scan selects one place for each step, a Loop gathers or slices at a number that it
counts.  For all steps at once these are one Gather.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Array, Route
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At

READERS = ("Select", "Gather", "Slice")


class Places(NamedTuple):
    """Places of a value along one axis.

    Attributes
    ----------
    source : str
        The value.
    axis : int
    chosen : array of int
        What stands along the axis where the places are read: for one step, or along a first axis
        of steps.
    """

    source: str
    axis: int
    chosen: AnyArray

    def make_route(self, x: Array, bk: Backend) -> Route:
        """Return the map from the value to what is read, the axes of what is chosen at its axis."""
        node = Node("", "Gather", (self.source, ""), {"axis": self.axis})
        route = OPS["Gather"].linearise(At(node, bk, (x, self.chosen), (0,)))  # type: ignore[misc]
        assert isinstance(route, Route)
        return route

    def read(self, x: Array, bk: Backend) -> Array:
        """Return what all steps read, along a first axis of steps."""
        return np.moveaxis(self.make_route(x, bk).tangent().apply(x), self.axis, 0)

    def carry_back(self, r: Array, x: Array, bk: Backend) -> Array:
        """Return what all steps give the value, of that along a first axis of steps."""
        return self.make_route(x, bk).carry(np.moveaxis(r, 0, self.axis))[0]


def find_places(node: Node, values: Mapping[str, Array]) -> Places | None:
    """Return the places of its first input that a node reads; None if it does anything else."""
    if node.op not in READERS:
        return None
    args = [values[name] if name else None for name in node.inputs]
    shape = values[node.inputs[0]].shape
    axes = range(len(shape)) if node.op == "Slice" else [node.attrs.get("axis", 0) % len(shape)]
    found = []
    for axis in axes:
        line = np.arange(shape[axis])
        spread = np.broadcast_to(line.reshape(-1, *(1,) * (len(shape) - axis - 1)), shape)
        read = OPS[node.op].evaluate(At(node, NUMPY, (spread, *args[1:]), ()))
        chosen = np.asarray(read[(0,) * axis + (...,) + (0,) * (len(shape) - axis - 1)])
        if node.op != "Slice" or not np.array_equal(chosen, line):
            found.append(Places(node.inputs[0], axis, chosen))
    return found[0] if len(found) == 1 else None
