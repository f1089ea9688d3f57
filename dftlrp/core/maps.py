"""A layer is a local linear map: `Affine`, `Route` or `Stop`.

Every ONNX node becomes one of three things at the current activations:

* `Affine`: ``y = A(w) x + b``, linear in its inputs, with weights that a rule may
  modify.  A rule decides how its relevance is shared.
* `Route`: relevance is carried and never rescaled: data movement, the winners of a
  max pool, activations.
* `Stop`: carries none: shapes, comparisons, indices.

Beside the map that relevance uses, every op that is not linear states its true tangent (an
`Affine` that is linear only with something frozen, too), so that gradient x input is exact and
not what relevance would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Array = Any  # whatever the backend computes on; NumPy arrays in the reference
Arrays = tuple[Array, ...]


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
    Admission test: ``<A x, y> = <x, A^T y>`` for random x and y (`dottest`).
    """

    linear: Callable[[Arrays, Arrays], Array]
    transpose: Callable[[Arrays, Array], Arrays]
    weights: Arrays = ()
    bias: Array | None = None
    slope: Callable[[], Affine] | None = None

    def tangent(self) -> Affine:
        """The true tangent at the current activations: the map itself, if nothing is frozen."""
        return self if self.slope is None else self.slope()

    def apply(self, *inputs: Array) -> Array:
        """``A x``, without the bias."""
        return self.linear(self.weights, inputs)

    def forward(self, *inputs: Array) -> Array:
        """``A x + b``."""
        y = self.apply(*inputs)
        return y if self.bias is None else y + self.bias

    def adjoint(self, r: Array) -> Arrays:
        """``A^T r``, one array per input."""
        return self.transpose(self.weights, r)

    def map(self, f: Callable[[Array], Array]) -> Affine:
        """The map with ``f(w)`` for its weights and ``f(b)`` for its bias."""
        bias = None if self.bias is None else f(self.bias)
        return replace(self, weights=tuple(map(f, self.weights)), bias=bias)


@dataclass(frozen=True)
class Route:
    """Relevance is carried: ``carry(R)`` gives each input its part.

    Parameters
    ----------
    carry : callable ``R -> tuple of arrays``
        What each input receives.
    tangent : callable ``() -> Affine``
        The true tangent at the current activations (made only when asked for).
    homogeneous : bool
        Whether ``y = (tangent without bias)(x)``.  Then a multiplier m, R = y m, travels by
        the transposed tangent; else it ends here.
    stopped : callable ``R -> array``, optional
        What lands on constants that the route writes into its output (padding).
    """

    carry: Callable[[Array], Arrays]
    tangent: Callable[[], Affine]
    homogeneous: bool
    stopped: Callable[[Array], Array] | None = None


@dataclass(frozen=True)
class Stop:
    """Carries no relevance."""


Map = Affine | Route | Stop


def move(
    linear: Callable[..., Array], transpose: Callable[[Array], Arrays], covered: Array | None = None
) -> Route:
    """A route by a map of zeros and ones: each output element is one input element, or a constant.

    ``covered`` is 1 on output elements that come from an input and 0 on constants;
    left out where there are none of these.
    """
    tangent = Affine(lambda _, xs: linear(*xs), lambda _, r: transpose(r))
    stopped = None if covered is None else lambda r: r * (1 - covered)
    return Route(tangent.adjoint, lambda: tangent, homogeneous=True, stopped=stopped)


def activation(x: Array, y: Array, slope: Callable[[], Array], homogeneous: bool = False) -> Route:
    """A pointwise function y = f(x): R passes unchanged, the tangent is ``diag f'(x)``.

    ``homogeneous`` says that f(x) = f'(x) x (ReLU and its kin).
    """

    def tangent() -> Affine:
        return diagonal(slope(), None if homogeneous else y - slope() * x)

    return Route(lambda r: (r,), tangent, homogeneous)


def diagonal(weight: Array, bias: Array | None = None) -> Affine:
    """``y = weight * x + bias``, elementwise, weight in the shape of x or a scalar."""
    return Affine(lambda w, xs: w[0] * xs[0], lambda w, r: (w[0] * r,), (weight,), bias)


def dottest(op: Affine, inputs: Arrays, r: Array) -> float:
    """``|<A x, r> - <x, A^T r>|`` relative to ``|A x| |r|``: the admission test of a map."""
    y = op.apply(*inputs)
    back = sum(float((x * g).sum()) for x, g in zip(inputs, op.adjoint(r), strict=True))
    scale = float((y * y).sum()) ** 0.5 * float((r * r).sum()) ** 0.5
    return float(abs((y * r).sum() - back) / max(scale, 1e-300))
