"""Relevance of whole numbers: tokens, bytes, classes, where a model reads nothing else.

What it computes from a number (a row of a table, a one-hot code) is its own; the relevance of all
of that adds up to the number's.  There is no slope: gradient x input is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from dftlrp.core.maps import Affine, Array, Map, Route
from dftlrp.ops.registry import OPS, At


def _token(at: At, carry: Callable[[Array], Array]) -> Route:
    x, bk = at.inputs[0], at.bk
    flat = Affine(
        lambda _, xs: bk.expand(0.0 * bk.sum(xs[0], tuple(range(x.ndim)), False), at.y.shape),
        lambda _, r: (0.0 * carry(r),),
        bias=at.y * 1.0,
    )
    return Route(lambda r: (carry(r),), lambda: flat, homogeneous=False)


def _equal(at: At) -> Map:
    """A one-hot code written as a comparison with all classes."""
    return _token(at, lambda r: at.bk.sum_to(r, at.inputs[0]))


def _one_hot(at: At) -> Map:
    axis = at.attr("axis", -1)
    axis = axis % at.y.ndim
    return _token(at, lambda r: at.bk.sum(r, (axis,), False))


def _row(at: At) -> Map:
    """A row of a table: Gather by an index that carries relevance."""
    if at.live != (1,):
        return GATHER(at)
    table, index, bk = at.x, at.args[1], at.bk
    axis = at.attr("axis", 0) % table.ndim
    width = math.prod(table.shape[:axis]), index.size, math.prod(table.shape[axis + 1 :])

    def carry(r: Array) -> Array:
        return bk.reshape(bk.sum(bk.reshape(r, width), (0, 2), False), index.shape)

    return _token(at, carry)


def _register() -> None:
    for name, build in (("Equal", _equal), ("OneHot", _one_hot)):
        OPS[name] = replace(
            OPS[name], linearise=build, carries=None if name == "Equal" else (0,),
            together=False, tokens=True,
        )  # fmt: skip
    OPS["Gather"] = replace(OPS["Gather"], linearise=_row, carries=(0, 1))


GATHER: Callable[[At], Map] = OPS["Gather"].linearise  # type: ignore[assignment]
_register()
