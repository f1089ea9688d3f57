"""Conditions of concept relevance propagation, written as zennit-crp writes them.

``{"y": [9], "conv6": [125]}``: the relevance of class 9 that goes through channel 125 of the
layer ``conv6``.  Layers are joined by *and*, the places of one layer by *or*; ``[]`` blocks a
layer.  With the set M of the places, z the layer's output and delta the Kronecker symbol

    R_{i <- j} = (z_ij / z_j) sum_{c in M} delta_jc R_j

(Achtibat et al., 2023, doi 10.1038/s42256-023-00711-8, eq. 4): the rules stay as they are, only
the relevance of what is not meant is zeroed where it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.backward import values_of
from dftlrp.engine.composites import LayerTable
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node

Unit = int | tuple[int | slice, ...]  # a channel, or a place in the output without its batch axis
Condition = Mapping[str, Any]
Shape = tuple[int, ...]
TARGET = "y"
RECURRENT = {"LSTM", "GRU", "RNN"}
FIRST = {"Conv", "ConvTranspose", "BatchNormalization", "MaxPool", "AveragePool", "QLinearConv"}
LAST = {"MatMul", "Gemm", "LayerNormalization", "RMSNormalization", "Gather", "Attention"}


@dataclass(frozen=True)
class Concepts:
    """The output of a layer, whose places along one axis are its concepts.

    Attributes
    ----------
    name : str
        As asked for.
    value : str
        What the layer makes.
    shape : tuple of int
        Of the value.
    batch, axis : int
        Axes of the samples, and of the concepts.
    """

    name: str
    value: str
    shape: Shape
    batch: int
    axis: int

    @property
    def count(self) -> int:
        """How many concepts there are."""
        return self.shape[self.axis]

    def per_concept(self, a: AnyArray) -> AnyArray:
        """What is shaped like the value, as (sample, concept, position)."""
        moved = np.moveaxis(a, (self.batch, self.axis), (0, 1))
        return moved.reshape(*moved.shape[:2], -1)

    def mask(self, units: Any) -> AnyArray | None:
        """1 at the places meant, in a shape that broadcasts to the value; None blocks the layer.

        Parameters
        ----------
        units : int, list of int or of tuple, or array
            Channels; places as indices and slices into the output without its batch axis; or a mask
            of one's own in the shape of the output without its batch axis.

        Raises
        ------
        InputError
            Out of range, or of another shape.
        """
        if isinstance(units, np.ndarray) and units.dtype.kind in "fb":
            return self._own(units)
        chosen: list[Any] = [units] if isinstance(units, int | np.integer | tuple) else list(units)
        return self.places(chosen) if chosen else None

    def places(self, chosen: Sequence[Unit]) -> Real:
        """1 at channels or places, as `mask` takes them."""
        whole = all(isinstance(u, int | np.integer) for u in chosen)
        thin = [1] * len(self.shape)
        thin[self.axis] = self.count
        mask = np.zeros(thin if whole else [1, *self._rest])
        for unit in chosen:
            mask[self._key(unit, whole)] = 1
        return mask if whole else np.moveaxis(mask, 0, self.batch)

    @property
    def _rest(self) -> Shape:
        """The shape without the batch axis."""
        return self.shape[: self.batch] + self.shape[self.batch + 1 :]

    def _own(self, mask: AnyArray) -> AnyArray:
        try:
            wide = np.broadcast_to(mask, self._rest)
        except ValueError:
            raise InputError(
                f"mask of {self.name!r}: {mask.shape} does not fit its output {self._rest}"
            ) from None
        return np.expand_dims(wide.astype(float), self.batch)

    def _key(self, unit: Any, thin: bool) -> tuple[Any, ...]:
        axis = self.axis - (self.batch < self.axis)  # among the axes but the batch's
        place = unit if isinstance(unit, tuple) else (slice(None),) * axis + (unit,)
        if len(place) > len(self._rest):
            raise InputError(f"{self.name!r}: {unit} has more axes than its output {self._rest}")
        for i, n in zip(place, self._rest, strict=False):
            if not isinstance(i, slice) and not -n <= i < n:
                raise InputError(
                    f"{self.name!r}: channel {i} is out of range: there are {n}, from 0 to {n - 1}"
                    if not isinstance(unit, tuple)
                    else f"{self.name!r}: place {unit} lies outside of its output {self._rest}"
                )
        return (slice(None),) * self.axis + (unit,) if thin else (slice(None), *place)


def concepts_of(plan: Plan, table: LayerTable, name: str, values: Mapping[str, Any]) -> Concepts:
    """The concepts of a layer, by its name in the table: units of a cell, else channels.

    Channels lie on axis 1 behind convolutions and on the last axis behind matrix products; a cell's
    output has its samples on the last axis but one.  Transposed and squeezed they go along; behind
    another reshape it is axis 1.

    Raises
    ------
    InputError
        No layer of that name carries relevance, or it is an input.
    """
    (value,) = values_of(plan, table, [name])
    shape = tuple(values[value].shape)
    if len(shape) < 2:
        raise InputError(f"{name!r} has the shape {shape}: it has no axis of concepts")
    makers = {n.output: n for n in plan.path}
    if value not in makers:
        raise InputError(f"{name!r} is what the model reads: name a layer")
    return Concepts(name, value, shape, *(_axes(plan, makers, value, values) or (0, 1)))


def _axes(
    plan: Plan, makers: Mapping[str, Node], value: str, values: Mapping[str, Any]
) -> tuple[int, int] | None:
    """Axes of a value's samples and concepts: from the nearest layer with weights behind it."""
    rank, node = values[value].ndim, makers.get(value)
    if node is None:
        return None
    if (node.layer_op or node.op) in RECURRENT and rank > 2:
        return rank - 2, rank - 1
    if node.op in FIRST | LAST:
        return 0, rank - 1 if node.op in LAST else 1
    source = node.inputs[plan.live[node.key][0]]
    moved = _moved(plan, node, values[source].shape)
    found = _axes(plan, makers, source, values) if len(moved) == rank else None
    if found is None or not set(found) <= set(moved):
        return None
    return moved.index(found[0]), moved.index(found[1])


def _moved(plan: Plan, node: Node, shape: Shape) -> list[int]:
    """Which of its input's axes the axes of a node's output are."""
    axes = list(range(len(shape)))
    if node.op == "Transpose":
        return list(node.attrs.get("perm", axes[::-1]))
    if node.op != "Squeeze":
        return axes
    given = plan.graph.constants.get(node.inputs[1]) if node.inputs[1:] else node.attrs.get("axes")
    gone = [i for i in axes if shape[i] == 1] if given is None else np.ravel(given) % len(shape)
    return [i for i in axes if i not in gone]
