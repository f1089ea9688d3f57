"""Ops that are not ONNX's: expansions and merged layers are made of them.

No file can hold these: a name that ONNX does not know is refused when a file is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dftlrp.core.maps import (
    Affine,
    Array,
    Arrays,
    Map,
    Route,
    activation,
    add_up,
    diagonal,
    move,
)
from dftlrp.ops.common import make_axis_key, route_parts, weigh_inputs
from dftlrp.ops.registry import ANY, OPS, At, Inputs, register_affine, register_route, register_stop

OWN = ("Select", "Stack", "Gated", "MulAdd", "Normalised", "Pointwise", "Freeze")


def _find_place_key(at: At) -> tuple[slice, ...]:
    axis = at.read_axis("axis", 0)
    place = at.get_attr("place") % at.x.shape[axis]
    return make_axis_key(axis, slice(place, place + 1))


def _drop_axis(at: At) -> tuple[int, ...]:
    axis = at.read_axis("axis", 0)
    return tuple(n for i, n in enumerate(at.x.shape) if i != axis)


@register_route("Select", evaluate=lambda at: at.x[_find_place_key(at)].reshape(_drop_axis(at)))
def select(at: At) -> Route:
    """One place along an axis, which is dropped."""
    bk, x, key, shape = at.bk, at.x, _find_place_key(at), _drop_axis(at)

    def back(r: Array) -> Arrays:
        return (bk.slice_T(bk.reshape(r, bk.slice(x, key).shape), key, x),)

    return move(lambda v: bk.reshape(bk.slice(v, key), shape), back)


def _stack_parts(at: At, parts: Arrays) -> Array:
    """Return the parts one after the other along a new axis."""
    axis, shape = at.read_axis("axis", 0, at.x.ndim + 1), at.x.shape
    thick = (*shape[:axis], 1, *shape[axis:])
    return at.bk.concat(tuple(at.bk.reshape(p, thick) for p in parts), axis)


def _evaluate_stack(at: At) -> Array:
    at.grant([len(at.args), at.x.size])
    return _stack_parts(at, at.args)


@register_route("Stack", evaluate=_evaluate_stack, inputs=ANY)
def stack(at: At) -> Route:
    """Parts of one shape along a new axis; relevance that lands on constant parts is stopped."""
    bk, axis, shape = at.bk, at.read_axis("axis", 0, at.x.ndim + 1), at.x.shape
    keys = [make_axis_key(axis, slice(i, i + 1)) for i in at.live]

    def linear(*live: Array) -> Array:
        given = dict(zip(at.live, live, strict=True))
        return _stack_parts(at, tuple(given.get(i, 0 * a) for i, a in enumerate(at.args)))

    def back(r: Array) -> Arrays:
        return tuple(bk.reshape(bk.slice(r, key), shape) for key in keys)

    return route_parts(at, linear, back, complete=len(at.live) == len(at.args))


def _evaluate_gated(at: At) -> Array:
    at.grant_broadcast()
    return add_up(g * s for g, s in zip(at.args[::2], at.args[1::2], strict=True))


@register_affine(
    "Gated", evaluate=_evaluate_gated, inputs=Inputs(None, together=True, frozen=(0, 2))
)
def gated(at: At) -> Map:
    """``sum_k g_k s_k`` of a recurrent cell: the gates g are frozen, the signals s take all.

    The inputs are g_1, s_1, g_2, s_2, ...; the true tangent counts the gates, too.  A signal that
    stands alone takes all relevance, whatever its size.
    """
    if at.live == (1,) and len(at.args) == 2 and at.args[1].shape == at.y.shape:
        return Route(lambda r: (r,), lambda: diagonal(at.args[0]), homogeneous=True)
    fixed = [i for i in range(1, len(at.args), 2) if i not in at.live]
    bias = add_up(at.args[i] * at.args[i - 1] for i in fixed) if fixed else None
    taken = tuple(at.args[i - 1] if i % 2 else 0 * at.args[i] for i in at.live)

    def slope() -> Affine:
        true = tuple(at.args[i - 1 if i % 2 else i + 1] for i in at.live)
        whole = add_up(w * x for w, x in zip(true, at.inputs, strict=True))
        return weigh_inputs(at, true, at.y - whole)

    return weigh_inputs(at, taken, bias, slope)


@register_affine("MulAdd")
def mul_add(at: At) -> Affine:
    """``w x + b``, elementwise: a Mul and an Add that are a normalisation of channels."""
    return weigh_inputs(at, at.args[1:2], at.args[2])


@register_affine("Normalised", weighted=False)
def normalised(at: At) -> Affine:
    """``s (x - mean(x)) + b`` over some axes, s frozen: a LayerNorm written in plain nodes."""
    bk, x, axes = at.bk, at.x, at.get_attr("axes")
    count = math.prod(x.shape[a] for a in axes)

    def center(v: Array) -> Array:
        return v - bk.sum(v, axes, True) / count

    return Affine(
        lambda ws, xs: ws[0] * center(xs[0]),
        lambda ws, r: (center(ws[0] * r),),
        (at.args[1],),
        at.get_arg(2),
    )


def _replay_steps(at: At) -> Iterator[At]:
    """Yield the nodes that were merged, at their own values, which are inputs of this node."""
    values = {**dict(zip(at.node.inputs, at.args, strict=True)), at.node.output: at.y}
    for node, live in at.get_attr("steps"):
        args = tuple(values.get(name) for name in node.inputs)
        yield At(node, at.bk, args, live, values[node.output])


@register_route("Pointwise", evaluate=lambda at: at.y, inputs=Inputs(frozen=tuple(range(1, 256))))
def pointwise(at: At) -> Route:
    """Several nodes that are together one function of one value, elementwise: an activation.

    The slope follows by the chain rule, forward: the nodes' own tangents are applied to ones.
    """

    def slope() -> Array:
        grown = {at.node.inputs[0]: at.bk.ones_like(at.x)}
        for step in _replay_steps(at):
            names = [step.node.inputs[i] for i in step.live]
            tangent = OPS[step.node.op].linearise(step).tangent()  # type: ignore[misc, union-attr]
            grown[step.node.output] = tangent.apply(*(grown[n] for n in names))
        return grown[at.node.output]

    return activation(at.x, at.y, slope)


register_stop("Freeze", evaluate=lambda at: at.x)  # front ends mark statistics with it
