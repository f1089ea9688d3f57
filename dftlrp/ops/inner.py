"""Ops that are not ONNX's: what expansions and merged layers are made of.

No file can hold them: a name that ONNX does not know is refused when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dftlrp.core.maps import Affine, Array, Arrays, Map, Route, activation, diagonal, move
from dftlrp.ops.registry import OPS, At, affine, route, stop

OWN = ("Select", "Stack", "Gated", "MulAdd", "Normalised", "Pointwise", "Freeze")


def _place(at: At) -> tuple[slice, ...]:
    axis = at.axes(at.attr("axis"))[0]
    place = at.attr("place") % at.x.shape[axis]
    return (slice(None),) * axis + (slice(place, place + 1),)


def _without(at: At) -> tuple[int, ...]:
    axis = at.axes(at.attr("axis"))[0]
    return tuple(n for i, n in enumerate(at.x.shape) if i != axis)


@route("Select", evaluate=lambda at: at.x[_place(at)].reshape(_without(at)))
def select(at: At) -> Route:
    """One place along an axis."""
    bk, x, key, shape = at.bk, at.x, _place(at), _without(at)

    def back(r: Array) -> Arrays:
        return (bk.slice_T(bk.reshape(r, bk.slice(x, key).shape), key, x),)

    return move(lambda v: bk.reshape(bk.slice(v, key), shape), back)


def _stacked(at: At) -> Array:
    at.grant([len(at.args), at.x.size])
    axis = at.attr("axis") % (at.x.ndim + 1)
    thick = (*at.x.shape[:axis], 1, *at.x.shape[axis:])
    return at.bk.concat(tuple(at.bk.reshape(p, thick) for p in at.args), axis)


@route("Stack", evaluate=_stacked, carries=None, together=True)
def stack(at: At) -> Route:
    """Parts of one shape along a new axis; what lands on constant ones is stopped."""
    bk, axis, shape = at.bk, at.attr("axis") % (at.x.ndim + 1), at.x.shape
    thick = (*shape[:axis], 1, *shape[axis:])

    def linear(*live: Array) -> Array:
        given = dict(zip(at.live, live, strict=True))
        parts = (given.get(i, 0 * a) for i, a in enumerate(at.args))
        return bk.concat(tuple(bk.reshape(p, thick) for p in parts), axis)

    def back(r: Array) -> Arrays:
        keys = ((slice(None),) * axis + (slice(i, i + 1),) for i in at.live)
        return tuple(bk.reshape(bk.slice(r, key), shape) for key in keys)

    covered = None
    if len(at.live) < len(at.args):
        covered = linear(*(bk.ones_like(x) for x in at.inputs))
    return move(linear, back, covered)


def _gated(at: At) -> Array:
    at.broadcast()
    return sum(g * s for g, s in zip(at.args[::2], at.args[1::2], strict=True))


@affine("Gated", carries=None, together=True, evaluate=_gated, frozen=(0, 2))
def gated(at: At) -> Map:
    """``sum_k g_k s_k`` of a cell: gates g frozen, the signals s take all.

    Inputs g_1, s_1, g_2, s_2, ...; the true tangent counts the gates, too.  One signal alone takes
    all there is, whatever its size.
    """
    bk = at.bk
    if at.live == (1,) and len(at.args) == 2 and at.args[1].shape == at.y.shape:
        return Route(lambda r: (r,), lambda: diagonal(at.args[0]), homogeneous=True)
    signals = [i for i in at.live if i % 2]
    fixed = [i for i in range(1, len(at.args), 2) if i not in signals]
    bias = sum(at.args[i] * at.args[i - 1] for i in fixed) if fixed else None
    taken = tuple(at.args[i - 1] if i % 2 else 0 * at.args[i] for i in at.live)
    true = tuple(at.args[i - 1 if i % 2 else i + 1] for i in at.live)

    def linear(ws: Arrays, xs: Arrays) -> Array:
        total = sum(w * x for w, x in zip(ws, xs, strict=True))
        return bk.expand(total, at.y.shape)

    def transpose(ws: Arrays, r: Array) -> Arrays:
        return tuple(bk.sum_to(w * r, x) for w, x in zip(ws, at.inputs, strict=True))

    def slope() -> Affine:
        whole = sum(w * x for w, x in zip(true, at.inputs, strict=True))
        return Affine(linear, transpose, true, at.y - whole)

    return Affine(linear, transpose, taken, bias, slope)


@affine("MulAdd")
def mul_add(at: At) -> Affine:
    """y = w x + b, elementwise: a Mul and an Add that are a normalisation of channels."""
    bk, x = at.bk, at.x
    return Affine(
        lambda ws, xs: ws[0] * xs[0],
        lambda ws, r: (bk.sum_to(ws[0] * r, x),),
        (at.args[1],),
        at.args[2],
    )


@affine("Normalised", weighted=False)
def normalised(at: At) -> Affine:
    """y = (x - mean over some axes of x) s (+ b), s frozen: a LayerNorm that is written out."""
    bk, x, axes = at.bk, at.x, at.attr("axes")
    count = math.prod(x.shape[a] for a in axes)

    def centred(v: Array) -> Array:
        return v - bk.sum(v, axes, True) / count

    return Affine(
        lambda ws, xs: ws[0] * centred(xs[0]),
        lambda ws, r: (centred(ws[0] * r),),
        (at.args[1],),
        at.arg(2),
    )


def _steps(at: At) -> Iterator[At]:
    """The nodes that were merged, at their own values: all of these are inputs of this node."""
    values = {**dict(zip(at.node.inputs, at.args, strict=True)), at.node.output: at.y}
    for node, live in at.attr("steps"):
        args = tuple(values.get(name) for name in node.inputs)
        yield At(node, at.bk, args, live, values[node.output])


@route("Pointwise", evaluate=lambda at: at.y, frozen=tuple(range(1, 256)))
def pointwise(at: At) -> Route:
    """Several nodes that together are one function of one value, elementwise: an activation.

    The slope is found by the chain rule, forward: the nodes' own tangents applied to ones.
    """

    def slope() -> Array:
        grown = {at.node.inputs[0]: at.bk.ones_like(at.x)}
        for step in _steps(at):
            names = [step.node.inputs[i] for i in step.live]
            tangent = OPS[step.node.op].linearise(step).tangent()  # type: ignore[misc, union-attr]
            grown[step.node.output] = tangent.apply(*(grown[n] for n in names))
        return grown[at.node.output]

    return activation(at.x, at.y, slope)


stop("Freeze", evaluate=lambda at: at.x)  # front ends mark with it what is frozen
