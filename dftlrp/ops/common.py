"""What several families of ops share: shapes along axes, and weighted sums of signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array, Arrays, Route, move
from dftlrp.ops.registry import At, Evaluate


def lay_along(v: Array, axis: int, rank: int) -> Array:
    """Return a vector as a tensor of that rank, all other axes of which have length one."""
    return v.reshape([-1 if i == axis else 1 for i in range(rank)])


def make_axis_key(axis: int, part: slice) -> tuple[slice, ...]:
    """Return the key that takes a part of one axis, and the whole of all others."""
    return (*(slice(None),) * axis, part)


def narrow_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape with length one along some axes, as a sum that keeps them has it."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def make_elementwise(f: Callable[..., Array]) -> Evaluate:
    """Return the evaluation of an op that is a function of NumPy applied to all inputs."""

    def evaluate(at: At) -> Array:
        at.grant_broadcast()
        return f(*at.args)

    return evaluate


def check_divisor(a: Array, b: Array) -> None:
    """Refuse to divide integers where a processor stops the program instead of the thread.

    Raises
    ------
    ZeroDivisionError, OverflowError
        If a divisor is 0, or it is -1 where the dividend is the least integer.
    """
    if (b == 0).any():
        raise ZeroDivisionError("an integer is divided by zero")
    if a.dtype.kind == "i" and (b == -1).any() and (a == np.iinfo(a.dtype).min).any():
        raise OverflowError("the least integer is divided by -1")


def take_chord(bk: Backend, dy: Array, dx: Array, slope: Array) -> Array:
    """Return ``dy / dx``, and the slope where dx = 0."""
    zero = 1 - bk.step(dx, strict=True) - bk.step(-dx, strict=True)
    return (1 - zero) * dy / (dx + zero) + zero * slope


def weigh_inputs(
    at: At,
    weights: Arrays,
    bias: Array | None = None,
    slope: Callable[[], Affine] | None = None,
) -> Affine:
    """Return ``y = sum_i w_i x_i + bias`` in the inputs that carry relevance, with broadcasting."""
    bk, xs = at.bk, at.inputs
    given = (a.shape for a in at.args if a is not None)
    shape = np.broadcast_shapes(*given) if at.y is None else at.y.shape

    def linear(ws: Arrays, inputs: Arrays) -> Array:
        return bk.expand(reduce(add, (w * x for w, x in zip(ws, inputs, strict=True))), shape)

    def transpose(ws: Arrays, r: Array) -> Arrays:
        return tuple(bk.sum_to(w * r, x) for w, x in zip(ws, xs, strict=True))

    return Affine(linear, transpose, weights, bias, slope)


def route_parts(
    at: At,
    linear: Callable[..., Array],
    transpose: Callable[[Array], Arrays],
    complete: bool,
    fixed: bool = True,
) -> Route:
    """Return the route of a map of zeros and ones from the inputs that carry relevance.

    Unless the map is complete, some elements of the output come from elsewhere: what lands on
    these is stopped.
    """
    covered = None if complete else linear(*map(at.bk.ones_like, at.inputs))
    return move(linear, transpose, covered, fixed)


def route_choice(at: At, masks: Arrays, complete: bool) -> Route:
    """Return the route by which masks of zeros and ones choose an input for each element."""
    chosen = weigh_inputs(at, masks)
    return route_parts(at, chosen.apply, chosen.adjoint, complete, fixed=False)
