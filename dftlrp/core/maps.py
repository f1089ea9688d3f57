"""A layer is a local linear map: `Affine`, `Route` or `Stop`.

Every ONNX node becomes one of three things at the current activations:

* `Affine`: ``y = A(w) x + b``, linear in its inputs, with weights that a rule may
  modify.  A rule decides how its relevance is shared.
* `Route`: relevance is carried to the inputs and never rescaled, as through data movement, the
  winners of a max pool and activations.
* `Stop`: carries no relevance, as shapes, comparisons and indices.

The map that relevance uses need not be the derivative: an activation carries relevance unchanged,
and a product is linear only with one factor frozen.  Every such op therefore states its true
tangent, too, so that gradient x input is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

Array = Any  # whatever the backend computes on; NumPy arrays in the reference
Arrays = tuple[Array, ...]


def add_up(parts: Iterable[Array]) -> Array:
    """Return the sum of one array or more; Python's sum would add the first to 0, a pass more."""
    return reduce(add, parts)


@dataclass(frozen=True)
class Affine:
    """The map ``y = A(w) x + b`` with its transpose.

    Parameters
    ----------
    linear : callable ``(weights, inputs) -> y``
        ``A(w) x``, linear in the inputs for fixed weights and in the weights for fixed inputs.
    transpose : callable ``(weights, r) -> inputs``
        ``A(w)^T r``, one array per input, in the inputs' shapes.
    weights : tuple of arrays
        What a rule may modify; broadcastable as ``linear`` needs it.
    bias : array, optional
        ``b``, broadcastable to ``y``.
    slope : callable ``() -> Affine``, optional
        The true tangent, where this map is linear only because something is frozen.

    Notes
    -----
    Admission test: ``<A x, y> = <x, A^T y>`` for random x and y (`run_dot_test`).
    """

    linear: Callable[[Arrays, Arrays], Array]
    transpose: Callable[[Arrays, Array], Arrays]
    weights: Arrays = ()
    bias: Array | None = None
    slope: Callable[[], Affine] | None = None

    def tangent(self) -> Affine:
        """Return the true tangent at the current activations: the map itself if all is linear."""
        return self if self.slope is None else self.slope()

    def apply(self, *inputs: Array) -> Array:
        """Return ``A x``, without the bias."""
        return self.linear(self.weights, inputs)

    def forward(self, *inputs: Array) -> Array:
        """Return ``A x + b``."""
        y = self.apply(*inputs)
        return y if self.bias is None else y + self.bias

    def adjoint(self, r: Array) -> Arrays:
        """Return ``A^T r``, one array per input."""
        return self.transpose(self.weights, r)

    def map(self, f: Callable[[Array], Array]) -> Affine:
        """Return the map with ``f(w)`` for its weights and ``f(b)`` for its bias."""
        bias = None if self.bias is None else f(self.bias)
        return replace(self, weights=tuple(map(f, self.weights)), bias=bias)


@dataclass(frozen=True)
class Route:
    """A layer that carries relevance: ``carry(R)`` gives each input its part.

    Parameters
    ----------
    carry : callable ``R -> tuple of arrays``
        What each input receives.
    tangent : callable ``() -> Affine``
        The true tangent at the current activations (made only when asked for).
    homogeneous : bool
        Whether ``y = (tangent without bias)(x)``.  Then a multiplier m, with R = y m, goes back
        by the transposed tangent; else there is none behind this layer.
    stopped : callable ``R -> array``, optional
        What lands on constants that the route writes into its output (padding).
    fixed : bool
        Whether the map is the same at all inputs, as data movement is.
    rectifies : bool
        Whether it is a function of one value that is 0 wherever that is not above 0.
    narrow : bool
        Whether relevance that stands only where y is not 0 is carried only to where x is not 0,
        also where y and x are differences.
    """

    carry: Callable[[Array], Arrays]
    tangent: Callable[[], Affine]
    homogeneous: bool
    stopped: Callable[[Array], Array] | None = None
    fixed: bool = False
    rectifies: bool = False
    narrow: bool = False


@dataclass(frozen=True)
class Stop:
    """A layer that carries no relevance."""


Map = Affine | Route | Stop


def move(
    linear: Callable[..., Array],
    transpose: Callable[[Array], Arrays],
    covered: Array | None = None,
    fixed: bool = True,
) -> Route:
    """Return the route of a map whose output elements are each one input element or a constant.

    Parameters
    ----------
    linear : callable ``(*inputs) -> y``
        The movement, with zeros in place of constants.
    transpose : callable ``r -> inputs``
        Its adjoint.
    covered : array, optional
        1 on output elements that come from an input and 0 on constants; None if there are none.
    fixed : bool
        Whether the movement is the same at all inputs; the way to the largest is not.
    """
    tangent = Affine(lambda _, xs: linear(*xs), lambda _, r: transpose(r))
    stopped = None if covered is None else lambda r: r * (1 - covered)
    return Route(tangent.adjoint, lambda: tangent, homogeneous=True, stopped=stopped, fixed=fixed)


def activation(
    x: Array,
    y: Array,
    slope: Callable[[], Array],
    homogeneous: bool = False,
    rectifies: bool = False,
) -> Route:
    """Return the route of a pointwise function y = f(x), through which R passes unchanged.

    Parameters
    ----------
    x, y : array
    slope : callable ``() -> array``
        f'(x); the tangent is ``diag f'(x)``.
    homogeneous : bool
        Whether f(x) = f'(x) x, as of ReLU.
    rectifies : bool
        Whether f(x) = 0 for x <= 0, as of ReLU.
    """

    def tangent() -> Affine:
        return diagonal(slope(), None if homogeneous else y - slope() * x)

    return Route(lambda r: (r,), tangent, homogeneous, rectifies=rectifies)


def diagonal(weight: Array, bias: Array | None = None) -> Affine:
    """Return the map ``y = weight * x + bias``, elementwise; weight has the shape of x or ()."""
    return Affine(lambda w, xs: w[0] * xs[0], lambda w, r: (w[0] * r,), (weight,), bias)


def run_dot_test(op: Affine, inputs: Arrays, r: Array) -> float:
    """Return ``|<A x, r> - <x, A^T r>|`` relative to ``|A x| |r|``; round-off for a right map."""
    y = op.apply(*inputs)
    back = sum(float((x * g).sum()) for x, g in zip(inputs, op.adjoint(r), strict=True))
    scale = float((y * y).sum()) ** 0.5 * float((r * r).sum()) ** 0.5
    return float(abs((y * r).sum() - back) / max(scale, 1e-300))
