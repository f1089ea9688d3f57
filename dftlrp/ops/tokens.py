"""Relevance of whole numbers: tokens, bytes, classes, where a model reads nothing else.

What a model computes from a number (a row of a table, a one-hot code) belongs to that number: its
relevance is the sum of the relevance of all of it.  There is no slope, so gradient x input is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.core.maps import Affine, Array, Route
from dftlrp.ops.common import lay_along, make_elementwise
from dftlrp.ops.registry import At, Inputs, register_tokens


def carry_to_tokens(at: At, carry: Callable[[Array], Array]) -> Route:
    """Return the route that gives each token what ``carry`` sums for it; its tangent is zero."""
    x, bk = at.inputs[0], at.bk
    flat = Affine(
        lambda _, xs: bk.expand(0.0 * bk.sum(xs[0], tuple(range(x.ndim)), False), at.y.shape),
        lambda _, r: (0.0 * carry(r),),
        bias=at.y * 1.0,
    )
    return Route(lambda r: (carry(r),), lambda: flat, homogeneous=False)


@register_tokens("Equal", evaluate=make_elementwise(np.equal), inputs=Inputs((0, 1)))
def equal(at: At) -> Route:
    """A comparison with all classes is a one-hot code: relevance is summed over the classes."""
    return carry_to_tokens(at, lambda r: at.bk.sum_to(r, at.inputs[0]))


def _evaluate_one_hot(at: At) -> Array:
    index, depth, (off, on) = np.asarray(at.x), int(np.ravel(at.args[1])[0]), np.asarray(at.args[2])
    axis = at.read_axis("axis", -1, index.ndim + 1)
    at.grant([*index.shape, depth])
    place = np.expand_dims(np.where(index < 0, index + depth, index), axis)
    return np.where(place == lay_along(np.arange(depth), axis, index.ndim + 1), on, off)


@register_tokens("OneHot", evaluate=_evaluate_one_hot, inputs=Inputs())
def one_hot(at: At) -> Route:
    """Relevance is summed over the code of each token."""
    axis = at.get_attr("axis", -1) % at.y.ndim
    return carry_to_tokens(at, lambda r: at.bk.sum(r, (axis,), False))
