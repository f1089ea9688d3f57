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

from dftlrp.composites import LayerTable
from dftlrp.forward import values_of
from dftlrp.graph.graph import Node
from dftlrp.graph.plan import Plan
from dftlrp.types import AnyArray, InputError, Real

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
        chosen = [units] if isinstance(units, int | tuple) else list(units)
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
    output has its samples on the last axis but one.

    Raises
    ------
    InputError
        No layer of that name carries relevance.
    """
    (value,) = values_of(plan, table, [name])
    shape = tuple(values[value].shape)
    makers = {n.output: n for n in plan.path}
    if len(shape) < 2:
        raise InputError(f"{name!r} has the shape {shape}: it has no axis of concepts")
    node = _decisive(makers, value, values)
    if node is not None and (node.layer_op or node.op) in RECURRENT and len(shape) > 2:
        return Concepts(name, value, shape, len(shape) - 2, len(shape) - 1)
    last = node is not None and node.op in LAST
    return Concepts(name, value, shape, 0, len(shape) - 1 if last else 1)


def _decisive(makers: Mapping[str, Node], value: str, values: Mapping[str, Any]) -> Node | None:
    """The nearest layer with weights behind a value, as long as the rank stays the same."""
    rank = values[value].ndim
    while value in makers and values[value].ndim == rank:
        node = makers[value]
        if node.op in FIRST | LAST or node.layer_op in RECURRENT:
            return node
        value = node.inputs[0]
    return None
