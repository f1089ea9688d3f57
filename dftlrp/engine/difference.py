r"""Relevance of a difference: every node's map is taken between the input x and a reference r.

What is explained is :math:`f(x) - f(r)`.  Write :math:`D v = v(x) - v(r)` for every value v.  Each
node then has a map A with

.. math::
    D y = A\, D x + \rho,

and a rule is given D x for its inputs, D y for its output and rho for its bias:

* *affine*: A is the node's own map; its bias cancels and rho = 0;
* *carried* (activations, data movement, maxima): relevance is carried as it ever is;
* *products*: the mean of the tangents at both ends, which is exact,
  :math:`D(ab) = \bar b\, D a + \bar a\, D b`;
* *norms, quotients, Softmax*: their own closed form (`dftlrp.ops.registry.register_between`),
  rho = 0;
* what a preset freezes (a gate, attention weights): A is the map at x, and rho is the change of
  what was frozen.  It belongs to no signal, and the ledger has a column for it.

So :math:`\sum R = c\,(z(x) - z(r))`, less what rho and the stabilisers take.  The epsilon rule on a
ReLU network is DeepLIFT's Rescale rule (Shrikumar et al. 2017, arXiv 1704.02685; Ancona et al. 2018
on its relation to LRP).  With r = 0 and no biases all is plain LRP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array, Arrays, Map, Route
from dftlrp.core.programs import looking_only
from dftlrp.core.types import AnyArray, UnfitReferenceError
from dftlrp.engine.evaluate import make_at
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Node, find_dependents
from dftlrp.ops import OPS, At

ROUNDING = 1e-12  # relative to the largest number


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference, and the differences to it that were computed so far.

    Attributes
    ----------
    values : dict of str to array
        Every value of the forward pass at the reference.
    zero : frozenset of str
        Those that are known to be 0 everywhere.
    """

    values: Mapping[str, Array]
    zero: frozenset[str] = frozenset()
    differences: dict[str, Array] = field(default_factory=dict)

    def subtract(self, name: str, value: Array) -> Array:
        """Return the difference of a value to the reference."""
        if name in self.zero:
            return value
        if name not in self.differences:
            self.differences[name] = value - self.values[name]
        return self.differences[name]


def make_reference(plan: Plan, values: Mapping[str, Array], bk: Backend) -> Reference:
    """Return the reference with these values, of which the numbers are known."""
    return Reference(values, _find_zero(values, sorted(find_moving(plan) & values.keys()), bk))


def _find_zero(values: Mapping[str, Array], names: Sequence[str], bk: Backend) -> frozenset[str]:
    """Return the names of the values that are 0 everywhere.

    Numbers that lie elsewhere are not fetched, but one sum of each value, and all of these at once.
    """
    if bk.numbers:
        return frozenset(name for name in names if not np.any(values[name]))
    floats = [values[n] if values[n].dtype.kind == "f" else values[n].astype("f4") for n in names]
    sizes = tuple(bk.sum(abs(v.ravel()), (0,), True) for v in floats)
    with looking_only():  # a reference is the same each time
        found = bk.read(bk.concat(sizes, 0)) if sizes else ()
    return frozenset(name for name, size in zip(names, found, strict=True) if size == 0)


def refuse_vanishing(plan: Plan, values: Mapping[str, Array], bk: Backend) -> None:
    """Refuse a reference at which a layer divides nothing by nothing, as norms do in silence.

    The map between such a point and another is as steep as the layer's epsilon is small, and the
    relevance that it gives only cancels.

    Raises
    ------
    UnfitReferenceError
        The message names the layer.
    """
    for node in plan.path:
        vanishes = OPS[node.op].vanishes if node.op in OPS else None
        with looking_only():
            found = vanishes is not None and vanishes(make_at(plan, node, values, bk))
        if found:
            raise UnfitReferenceError(
                f"at the reference {node.key!r} ({node.op}) divides nothing by nothing"
            )


def find_moving(plan: Plan) -> set[str]:
    """Return the values that depend on the signals, whether they carry relevance or not."""
    return find_dependents((*plan.derived, *plan.nodes), plan.signals)


def is_plain(node: Node, moving: set[str], zero: frozenset[str]) -> bool:
    """Return whether a node maps 0 to 0 at the reference, so that its map at x is exact."""
    return moving.intersection((*node.inputs, node.output)) <= zero


def take_between(here: At, there: At, dx: Arrays, dy: Array, frozen: bool) -> Map:
    """Return a node's map between x (``here``) and r (``there``).

    Parameters
    ----------
    dx, dy : array
        The differences of the inputs that carry relevance, and of the output.
    frozen : bool
        Whether an input that carries none depends on the signal.
    """
    op = OPS[here.node.op]
    layer = (op.between or _take_own)(here, there)
    if not isinstance(layer, Affine):
        return layer
    linear = op.between is None and layer.slope is None
    if layer.slope is not None:
        layer = _average_tangents(layer, op.linearise(there))  # type: ignore[misc]
    rho = None if linear and not frozen else dy - layer.apply(*dx)  # 0 where the map is exact
    return replace(layer, bias=rho, slope=None)


def _take_own(here: At, _: At) -> Map:
    """Return the map at x."""
    return OPS[here.node.op].linearise(here)  # type: ignore[misc]


def _average_tangents(a: Map, b: Map) -> Affine:
    """Return the mean of the tangents at both ends, which are linear in their weights."""
    assert isinstance(a, Affine)
    assert isinstance(b, Affine)
    p, q = a.tangent(), b.tangent()
    if p.weights:
        return replace(
            p, weights=tuple((v + w) / 2 for v, w in zip(p.weights, q.weights, strict=True))
        )

    def transpose(_: Arrays, r: Array) -> Arrays:
        return tuple((u + v) / 2 for u, v in zip(p.adjoint(r), q.adjoint(r), strict=True))

    return Affine(lambda _, xs: (p.apply(*xs) + q.apply(*xs)) / 2, transpose)


def take_tangent(layer: Affine | Route, dx: Arrays, dy: Array) -> Affine:
    """Return the tangent at x, whose bias is what it misses of the difference."""
    tangent = layer.tangent()
    return replace(tangent, bias=dy - tangent.apply(*dx), slope=None)


def compress_batch(value: AnyArray) -> AnyArray:
    """Return one row of a value all rows of which are alike, which broadcasts to any batch.

    They may differ by round-off: a matrix product of few rows does not compute each of them alike.
    """
    if value.ndim == 0 or not value.size:
        return value
    if value.dtype.kind != "f":
        return value[:1] if bool((value == value[:1]).all()) else value
    apart, largest = np.abs(value - value[:1]).max(), np.abs(value).max()
    return value[:1] if apart <= ROUNDING * largest else value
