"""Conditions of concept relevance propagation, written as in zennit-crp.

The condition ``{"y": [9], "conv6": [125]}`` stands for the relevance of class 9 that passes through
channel 125 of the layer ``conv6``.  Layers are joined by *and*, the places in one layer by *or*; an
empty list blocks a layer.  With the set M of places, the contribution z_ij of input i to output j,
z_j = sum_i z_ij and the Kronecker symbol delta

    R_{i <- j} = (z_ij / z_j) sum_{c in M} delta_jc R_j

(Achtibat et al., 2023, doi 10.1038/s42256-023-00711-8, eq. 4).  The rules stay the same; relevance
that arrives outside M is set to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.backward import find_values
from dftlrp.engine.composites import LayerTable
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node

Unit = int | tuple[int | slice, ...]  # a channel, or a place in the output without batch axis
#: From ``"y"`` (the target) and names of layers to channels, places or a mask; see `conditional`.
Condition = Mapping[str, Any]
Shape = tuple[int, ...]
TARGET = "y"
RECURRENT = {"LSTM", "GRU", "RNN"}
FIRST = {"Conv", "ConvTranspose", "BatchNormalization", "MaxPool", "AveragePool", "QLinearConv"}
LAST = {"MatMul", "Gemm", "LayerNormalization", "RMSNormalization", "Gather", "Attention"}


@dataclass(frozen=True)
class Concepts:
    """The concepts of a layer: the channels of its output.

    Attributes
    ----------
    name : str
        Name of the layer as asked for.
    value : str
        Name of its output.
    shape : tuple of int
        Shape of the output.
    batch, axis : int
        Axes of the samples, and of the concepts.

    See Also
    --------
    Layers.concepts : Makes it.

    Examples
    --------
    >>> layer = dftlrp.concepts.Concepts("conv6", "conv6", shape=(1, 4, 5), batch=0, axis=1)
    >>> layer.count
    4
    >>> layer.per_concept(np.ones(layer.shape)).sum(axis=-1)
    array([[5., 5., 5., 5.]])
    >>> layer.mask([1, 3])[0, :, 0]
    array([0., 1., 0., 1.])
    >>> layer.places([(1, 2)]).shape, float(layer.places([(1, 2)]).sum())
    ((1, 4, 5), 1.0)
    """

    name: str
    value: str
    shape: Shape
    batch: int
    axis: int

    @property
    def count(self) -> int:
        """Number of concepts."""
        return self.shape[self.axis]

    def per_concept(self, a: AnyArray) -> AnyArray:
        """Return an array in the shape of the output as (sample, concept, position).

        Parameters
        ----------
        a : array
            In the shape of the output, with any number of samples.

        Returns
        -------
        array (samples, count, positions)
            Of the same dtype; a view where that is possible.
        """
        moved = np.moveaxis(a, (self.batch, self.axis), (0, 1))
        return moved.reshape(*moved.shape[:2], -1)

    def mask(self, units: Any) -> AnyArray | None:
        """Return an array that broadcasts to the output, 1 at the places given and 0 elsewhere.

        Parameters
        ----------
        units : int, list of int or of tuple, or array
            Channels; places as indices and slices into the output without its batch axis; or a mask
            in the shape of the output without its batch axis.

        Returns
        -------
        array or None
            None, which blocks the layer, if ``units`` is empty.

        Raises
        ------
        InputError
            If a place is out of range, or a mask has another shape.
        """
        if isinstance(units, np.ndarray) and units.dtype.kind in "fb":
            return self._expand_mask(units)
        chosen: list[Any] = [units] if isinstance(units, int | np.integer | tuple) else list(units)
        return self.places(chosen) if chosen else None

    def places(self, chosen: Sequence[Unit]) -> Real:
        """Return a mask that is 1 at channels or places, given as of `mask`.

        Parameters
        ----------
        chosen : list of int or of tuple
            At least one.

        Returns
        -------
        array
            It broadcasts to the output; with channels alone it has one cell for each.

        Raises
        ------
        InputError
            If a place is out of range.
        """
        whole = all(isinstance(u, int | np.integer) for u in chosen)
        thin = [1] * len(self.shape)
        thin[self.axis] = self.count
        mask = np.zeros(thin if whole else [1, *self._own_shape])
        for unit in chosen:
            mask[self._index(unit, whole)] = 1
        return mask if whole else np.moveaxis(mask, 0, self.batch)

    @property
    def _own_shape(self) -> Shape:
        """Shape of the output without its batch axis."""
        return self.shape[: self.batch] + self.shape[self.batch + 1 :]

    def _expand_mask(self, mask: AnyArray) -> AnyArray:
        try:
            wide = np.broadcast_to(mask, self._own_shape)
        except ValueError:
            raise InputError(
                f"mask of {self.name!r}: {mask.shape} does not fit its output {self._own_shape}"
            ) from None
        return np.expand_dims(wide.astype(float), self.batch)

    def _index(self, unit: Any, thin: bool) -> tuple[Any, ...]:
        """Return the index of a unit in a mask; raise `InputError` if out of range."""
        axis = self.axis - (self.batch < self.axis)  # without the batch axis
        place = unit if isinstance(unit, tuple) else (slice(None),) * axis + (unit,)
        if len(place) > len(self._own_shape):
            raise InputError(
                f"{self.name!r}: {unit} has more axes than its output {self._own_shape}"
            )
        for i, n in zip(place, self._own_shape, strict=False):
            if not isinstance(i, slice) and not -n <= i < n:
                raise InputError(
                    f"{self.name!r}: channel {i} is out of range: there are {n}, from 0 to {n - 1}"
                    if not isinstance(unit, tuple)
                    else f"{self.name!r}: place {unit} lies outside of its output {self._own_shape}"
                )
        return (slice(None),) * self.axis + (unit,) if thin else (slice(None), *place)


def find_concepts(plan: Plan, table: LayerTable, name: str, values: Mapping[str, Any]) -> Concepts:
    """Return the concepts of a layer, by its name in the layer table.

    They are on axis 1 after a convolution, and on the last axis after a matrix product or a
    recurrent layer, whose output has its samples on the last axis but one.  Transpose and Squeeze
    move them; after another reshape they are assumed to be on axis 1.

    Raises
    ------
    InputError
        If no layer of this name carries relevance, or it has no axis of concepts.
    """
    (value,) = find_values(plan, table, [name])
    shape = tuple(values[value].shape)
    if len(shape) < 2:
        raise InputError(f"{name!r} has the shape {shape}: it has no axis of concepts")
    makers = {n.output: n for n in plan.path}
    if value not in makers:
        raise InputError(f"{name!r} is what the model reads: name a layer")
    return Concepts(name, value, shape, *(_find_axes(plan, makers, value, values) or (0, 1)))


def _find_axes(
    plan: Plan, makers: Mapping[str, Node], value: str, values: Mapping[str, Any]
) -> tuple[int, int] | None:
    """Return the axes of samples and concepts, as left by the nearest layer with weights."""
    rank, node = values[value].ndim, makers.get(value)
    if node is None:
        return None
    if (node.layer_op or node.op) in RECURRENT and rank > 2:
        return rank - 2, rank - 1
    if node.op in FIRST | LAST:
        return 0, rank - 1 if node.op in LAST else 1
    source = node.inputs[plan.live[node.key][0]]
    moved = _track_axes(plan, node, values[source].shape)
    found = _find_axes(plan, makers, source, values) if len(moved) == rank else None
    if found is None or not set(found) <= set(moved):
        return None
    return moved.index(found[0]), moved.index(found[1])


def _track_axes(plan: Plan, node: Node, shape: Shape) -> list[int]:
    """Return the axes of a node's input that become the axes of its output, in their order."""
    axes = list(range(len(shape)))
    if node.op == "Transpose":
        return list(node.attrs.get("perm", axes[::-1]))
    if node.op != "Squeeze":
        return axes
    given = plan.graph.constants.get(node.inputs[1]) if node.inputs[1:] else node.attrs.get("axes")
    gone = [i for i in axes if shape[i] == 1] if given is None else np.ravel(given) % len(shape)
    return [i for i in axes if i not in gone]
