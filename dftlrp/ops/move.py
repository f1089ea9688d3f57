"""Data movement: every output element is one input element, or a constant.

Most of these ops need no adjoint of their own: the op runs on the *indices* of its input, and the
adjoint adds up at these (`route_by_index`).  The common ones are stated directly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dftlrp.core.maps import Array, Route, move
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.common import make_axis_key, route_choice, route_parts
from dftlrp.ops.registry import ANY, At, Inputs, register_route
from dftlrp.ops.tokens import carry_to_tokens

# -- the same elements in another shape


def _find_reshaped(at: At) -> tuple[int, ...]:
    wanted = at.get_setting(1, "shape")
    copies = not at.get_attr("allowzero", 0)  # a 0 stands for the input's own length
    return tuple(at.x.shape[i] if n == 0 and copies else n for i, n in enumerate(wanted))


def _find_flattened(at: At) -> tuple[int, ...]:
    axis = at.get_attr("axis", 1)
    return math.prod(at.x.shape[:axis]), math.prod(at.x.shape[axis:])


def _find_squeezed(at: At) -> tuple[int, ...]:
    axes, shape = at.get_setting(1, "axes"), at.x.shape
    gone = at.read_axes(axes) if axes is not None else [i for i, n in enumerate(shape) if n == 1]
    return tuple(n for i, n in enumerate(shape) if i not in gone)


def _find_unsqueezed(at: At) -> tuple[int, ...]:
    axes = at.get_setting(1, "axes")
    new = at.read_axes(axes, at.x.ndim + len(np.atleast_1d(axes)))
    rest = iter(at.x.shape)
    return tuple(1 if i in new else next(rest) for i in range(at.x.ndim + len(new)))


def _register_reshape(op: str, find_shape: Callable[[At], tuple[int, ...]]) -> None:
    @register_route(op, evaluate=lambda at: at.x.reshape(find_shape(at)))
    def build(at: At) -> Route:
        """The same elements in another shape."""
        bk, old, new = at.bk, at.x.shape, find_shape(at)
        return move(lambda v: bk.reshape(v, new), lambda r: (bk.reshape(r, old),))


_register_reshape("Reshape", _find_reshaped)
_register_reshape("Flatten", _find_flattened)
_register_reshape("Squeeze", _find_squeezed)
_register_reshape("Unsqueeze", _find_unsqueezed)
_register_reshape("Identity", lambda at: at.x.shape)


def _evaluate_dropout(at: At) -> Array:
    """Return the input, or its mask of ones; training mode is random and refused."""
    training, ratio = at.get_setting(2, "training_mode", False), at.get_setting(1, "ratio", 0.5)
    if training and ratio:
        raise UnsupportedModelError(
            f"node {at.node.key!r} (Dropout): training_mode is on: export the model in eval mode"
        )
    return np.ones(at.x.shape, bool) if at.node.index else at.x


@register_route("Dropout", evaluate=_evaluate_dropout, silent=(1,), outputs=2)
def dropout(at: At) -> Route:
    """The identity, as a model in eval mode computes it."""
    return move(lambda v: v, lambda r: (r,))


# -- transposed, sliced, padded, joined, repeated


def _read_perm(at: At) -> tuple[int, ...]:
    return tuple(at.get_attr("perm", range(at.x.ndim)[::-1]))


@register_route("Transpose", evaluate=lambda at: at.x.transpose(_read_perm(at)))
def transpose(at: At) -> Route:
    """The same elements with the axes in another order."""
    bk, perm = at.bk, _read_perm(at)
    back = tuple(int(i) for i in np.argsort(perm))
    return move(lambda v: bk.transpose(v, perm), lambda r: (bk.transpose(r, back),))


def _clamp_slice(start: int, end: int, step: int, size: int) -> slice:
    """Return ONNX's clamped slice as a Python one, whose end -1 means the last element."""
    low, high = (0, size) if step > 0 else (-1, size - 1)
    begin, stop = (i + size if i < 0 else i for i in (start, end))
    begin, stop = min(max(begin, 0), high), min(max(stop, low), high)
    return slice(begin, None if stop < 0 else stop, step)


def _read_slices(at: At) -> tuple[slice, ...]:
    starts, ends = at.get_setting(1, "starts"), at.get_setting(2, "ends")
    axes = at.read_axes(at.get_setting(3, "axes", list(range(len(starts)))))
    steps = at.get_setting(4, "steps", [1] * len(starts))
    key = [slice(None)] * at.x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        key[axis] = _clamp_slice(start, end, step, at.x.shape[axis])
    return tuple(key)


def _find_split_part(at: At) -> tuple[slice, ...]:
    """Return the key of the part of the input that this output of a Split is."""
    axis = at.read_axis("axis", 0)
    size, count = at.x.shape[axis], at.get_attr("num_outputs", at.node.count)
    sizes = at.get_setting(1, "split")
    if sizes is None:  # equal parts, of which the last may be smaller
        step = -(-size // count)
        sizes = [step] * (count - 1) + [size - step * (count - 1)]
    begin = sum(map(int, sizes[: at.node.index]))
    return make_axis_key(axis, slice(begin, begin + int(sizes[at.node.index])))


def _register_slice(
    op: str, find_key: Callable[[At], tuple[slice, ...]], outputs: int | None = 1
) -> None:
    @register_route(op, evaluate=lambda at: at.x[find_key(at)], outputs=outputs)
    def build(at: At) -> Route:
        """A part of the input."""
        bk, x, key = at.bk, at.x, find_key(at)
        return move(lambda v: bk.slice(v, key), lambda r: (bk.slice_T(r, key, x),))


_register_slice("Slice", _read_slices)
_register_slice("Split", _find_split_part, outputs=None)


def _read_pads(at: At) -> tuple[tuple[int, int], ...]:
    """Return the samples to add before and after each axis."""
    flat = at.get_setting(1, "pads")
    axes = at.read_axes(at.get_setting(3, "axes"))
    pads = [(0, 0)] * at.x.ndim
    for axis, begin, end in zip(axes, flat[: len(axes)], flat[len(axes) :], strict=True):
        pads[axis] = (begin, end)
    return tuple(pads)


def _pad_array(x: AnyArray, at: At, value: float) -> AnyArray:
    """Return x padded as the node says; negative pads crop."""
    pads = _read_pads(at)
    crop = tuple(slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in zip(pads, x.shape, strict=True))
    grow = [(max(b, 0), max(e, 0)) for b, e in pads]
    x = x[crop]
    at.grant([n + b + e for n, (b, e) in zip(x.shape, grow, strict=True)])
    mode = at.get_attr("mode", "constant")
    if mode == "constant":
        return np.pad(x, grow, constant_values=value)
    for axis, (before, after) in enumerate(grow):
        if before or after:
            x = x.take(_find_padding_source(x.shape[axis], before, after, mode), axis)
    return x


def _find_padding_source(size: int, before: int, after: int, mode: str) -> AnyArray:
    """Return, for each place along a padded axis, the place in the input that it repeats."""
    place = np.arange(-before, size + after)
    if mode == "edge":
        return place.clip(0, size - 1)
    if mode == "wrap":
        return place % size
    if mode != "reflect":
        raise ValueError(f"mode {mode!r}")
    period = max(2 * (size - 1), 1)
    return np.minimum(place % period, period - place % period) % size


def _read_pad_value(at: At) -> float:
    value = at.get_setting(2, "value", 0.0)
    return float(np.ravel(value)[0]) if np.size(value) else 0.0


@register_route("Pad", evaluate=lambda at: _pad_array(at.x, at, _read_pad_value(at)))
def pad(at: At) -> Route:
    """Relevance adds up at samples that are repeated, and is stopped at constants."""
    return route_by_index(at, lambda index: _pad_array(index, at, -1))


def _evaluate_concat(at: At) -> AnyArray:
    at.grant([sum(a.size for a in at.args)])
    return np.concatenate(at.args, at.read_axis("axis", 1))


@register_route("Concat", evaluate=_evaluate_concat, inputs=ANY)
def concat(at: At) -> Route:
    """Inputs one after the other; relevance that lands on constant inputs is stopped."""
    bk, axis = at.bk, at.read_axis("axis", 1)
    ends = np.cumsum([0, *(a.shape[axis] for a in at.args if a is not None)]).tolist()
    keys = [make_axis_key(axis, slice(ends[i], ends[i + 1])) for i in at.live]

    def linear(*live: Array) -> Array:
        given = dict(zip(at.live, live, strict=True))
        return bk.concat(tuple(given.get(i, 0 * a) for i, a in enumerate(at.args)), axis)

    complete = len(at.live) == len(at.args)
    return route_parts(at, linear, lambda r: tuple(bk.slice(r, key) for key in keys), complete)


def _find_expanded(at: At) -> tuple[int, ...]:
    wanted = at.get_setting(1, "shape")
    at.grant(wanted)
    return at.grant(np.broadcast_shapes(at.x.shape, tuple(wanted)))


@register_route("Expand", evaluate=lambda at: np.broadcast_to(at.x, _find_expanded(at)))
def expand(at: At) -> Route:
    """Elements are repeated, and the relevance of all copies adds up."""
    bk, x, shape = at.bk, at.x, _find_expanded(at)
    return move(lambda v: bk.expand(v, shape), lambda r: (bk.sum_to(r, x),))


# -- anything else, on indices


def route_by_index(at: At, f: Callable[[AnyArray], AnyArray]) -> Route:
    """Return the route of a movement f that takes any array of x's shape; -1 marks constants.

    An index that depends on the signal marks none.
    """
    bk, x = at.bk, at.x
    index = f(np.arange(x.size).reshape(x.shape))
    holes = isinstance(index, np.ndarray) and (index < 0).any()
    covered = (index >= 0).astype(x.dtype) if holes else None
    return move(lambda v: bk.pick(v, index), lambda r: (bk.pick_T(r, index, x),), covered)


def apply_movement(at: At, f: Callable[[AnyArray], AnyArray]) -> Array:
    """Return ``f(x)``; where x is no NumPy array, f runs on its indices."""
    return f(at.x) if at.bk.numbers else route_by_index(at, f).tangent().apply(at.x)


def register_movement(op: str, f: Callable[[AnyArray, At], AnyArray]) -> None:
    """Register an op that moves the elements of any array of x's shape, as f does."""

    @register_route(op, evaluate=lambda at: apply_movement(at, lambda x: f(x, at)))
    def build(at: At) -> Route:
        """Elements are moved: relevance adds up at the index that each one came from."""
        return route_by_index(at, lambda index: f(index, at))


def _tile_array(x: AnyArray, at: At) -> AnyArray:
    repeats = at.get_setting(1, "repeats")
    at.grant([n * r for n, r in zip(x.shape, repeats, strict=True)])
    return np.tile(x, repeats)


def _move_depth_to_space(x: AnyArray, at: At) -> AnyArray:
    batch, channels, height, width = x.shape
    b = at.get_attr("blocksize")
    if at.get_attr("mode", "DCR") == "DCR":
        tall = x.reshape(batch, b, b, channels // b**2, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        tall = x.reshape(batch, channels // b**2, b, b, height, width).transpose(0, 1, 4, 2, 5, 3)
    return tall.reshape(batch, channels // b**2, height * b, width * b)


def _move_space_to_depth(x: AnyArray, at: At) -> AnyArray:
    batch, channels, height, width = x.shape
    b = at.get_attr("blocksize")
    order = (0, 3, 5, 1, 2, 4) if at.get_attr("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    cut = x.reshape(batch, channels, height // b, b, width // b, b).transpose(*order)
    return cut.reshape(batch, channels * b**2, height // b, width // b)


register_movement("Tile", _tile_array)
register_movement("DepthToSpace", _move_depth_to_space)
register_movement("SpaceToDepth", _move_space_to_depth)


def _gather_places(x: AnyArray, at: At) -> AnyArray:
    axis, index = at.read_axis("axis", 0), np.asarray(at.args[1])
    at.grant([index.size, x.size // max(x.shape[axis], 1)])
    return np.take(x, index, axis=axis)


@register_route("Gather", evaluate=lambda at: _gather_places(at.x, at), inputs=Inputs((0, 1)))
def gather(at: At) -> Route:
    """Elements at an index are moved; a token's relevance is the sum over its row of a table."""
    bk, x, index, axis = at.bk, at.x, at.args[1], at.read_axis("axis", 0)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if at.live == (1,):
        flat = (math.prod(before), index.size, math.prod(after))
        return carry_to_tokens(
            at, lambda r: bk.reshape(bk.sum(bk.reshape(r, flat), (0, 2), False), index.shape)
        )
    index = np.asarray(index)
    part = _find_slice(index.ravel() % x.shape[axis])
    if part is None:
        return route_by_index(at, lambda places: _gather_places(places, at))
    key = make_axis_key(axis, part)
    narrow, shape = (*before, index.size, *after), (*before, *index.shape, *after)
    return move(
        lambda v: bk.reshape(bk.slice(v, key), shape),
        lambda r: (bk.slice_T(bk.reshape(r, narrow), key, x),),
    )


def _find_slice(places: AnyArray) -> slice | None:
    """Return the slice that reads these places, or None if they are not evenly spaced."""
    steps = set(np.diff(places).tolist()) or {1}
    if not places.size or len(steps) > 1 or 0 in steps:
        return None
    step, end = steps.pop(), int(places[-1])
    end += 1 if step > 0 else -1
    return slice(int(places[0]), end if end >= 0 else None, step)


def _evaluate_where(at: At) -> Array:
    at.grant_broadcast()
    return np.where(at.args[0], at.args[1], at.args[2])


@register_route(
    "Where", evaluate=_evaluate_where, inputs=Inputs((1, 2), together=True, frozen=(0,))
)
def where(at: At) -> Route:
    """Each element comes from one of two inputs; the condition is frozen."""
    chosen = at.bk.asarray(at.args[0], at.inputs[0].dtype)
    masks = tuple(chosen if i == 1 else 1 - chosen for i in at.live)
    return route_choice(at, masks, complete=len(at.live) == 2)
