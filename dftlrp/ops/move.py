"""Data movement: every output element is one input element, or a constant.

Most need no adjoint of their own: the op runs on the *indices* of its input, and the
adjoint adds up at these (`by_index`).  The common ones are stated directly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.core.maps import Array, Route, move
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.registry import At, route

# -- the same elements in another shape


def _reshape(at: At) -> tuple[int, ...]:
    wanted = at.setting(1, "shape")
    shape = [
        at.x.shape[i] if n == 0 and not at.attr("allowzero", 0) else n for i, n in enumerate(wanted)
    ]
    return tuple(shape)


def _flatten(at: At) -> tuple[int, ...]:
    axis = at.attr("axis", 1)
    shape = at.x.shape
    return int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))


def _squeeze(at: At) -> tuple[int, ...]:
    axes = at.setting(1, "axes")
    gone = at.axes(axes) if axes is not None else [i for i, n in enumerate(at.x.shape) if n == 1]
    return tuple(n for i, n in enumerate(at.x.shape) if i not in gone)


def _unsqueeze(at: At) -> tuple[int, ...]:
    axes = at.setting(1, "axes")
    new = at.axes(axes, at.x.ndim + len(np.atleast_1d(axes)))
    rest = iter(at.x.shape)
    return tuple(1 if i in new else next(rest) for i in range(at.x.ndim + len(new)))


def _reshaping(op: str, shape: Callable[[At], tuple[int, ...]]) -> None:
    @route(op, evaluate=lambda at: at.x.reshape(shape(at)))
    def build(at: At) -> Route:
        """The same elements in another shape."""
        bk, old, new = at.bk, at.x.shape, shape(at)
        return move(lambda v: bk.reshape(v, new), lambda r: (bk.reshape(r, old),))


_reshaping("Reshape", _reshape)
_reshaping("Flatten", _flatten)
_reshaping("Squeeze", _squeeze)
_reshaping("Unsqueeze", _unsqueeze)
_reshaping("Identity", lambda at: at.x.shape)


def _dropout(at: At) -> Array:
    """The input, or its mask of ones; training mode is random and refused."""
    training, ratio = at.setting(2, "training_mode", False), at.setting(1, "ratio", 0.5)
    if training and ratio:
        raise UnsupportedModelError(
            f"node {at.node.key!r} (Dropout): training_mode is on: export the model in eval mode"
        )
    return np.ones(at.x.shape, bool) if at.node.index else at.x


@route("Dropout", evaluate=_dropout, silent=(1,), outputs=2)
def dropout(at: At) -> Route:
    """The identity."""
    return move(lambda v: v, lambda r: (r,))


# -- transposed, sliced, padded, joined, repeated


def _perm(at: At) -> tuple[int, ...]:
    return tuple(at.attr("perm", range(at.x.ndim)[::-1]))


@route("Transpose", evaluate=lambda at: at.x.transpose(_perm(at)))
def transpose(at: At) -> Route:
    """Axes in another order."""
    bk, perm = at.bk, _perm(at)
    back = tuple(int(i) for i in np.argsort(perm))
    return move(lambda v: bk.transpose(v, perm), lambda r: (bk.transpose(r, back),))


def _slice(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's clamped slice as a Python one (whose end -1 means the last element)."""
    low, high = (0, size) if step > 0 else (-1, size - 1)
    begin, stop = (i + size if i < 0 else i for i in (start, end))
    begin, stop = min(max(begin, 0), high), min(max(stop, low), high)
    return slice(begin, None if stop < 0 else stop, step)


def _key(at: At) -> tuple[slice, ...]:
    starts, ends = at.setting(1, "starts"), at.setting(2, "ends")
    axes = at.axes(at.setting(3, "axes", list(range(len(starts)))))
    steps = at.setting(4, "steps", [1] * len(starts))
    key = [slice(None)] * at.x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        key[axis] = _slice(start, end, step, at.x.shape[axis])
    return tuple(key)


def _parts(at: At) -> tuple[slice, ...]:
    """The part of the input that this output of a Split is."""
    axis = at.axes(at.attr("axis", 0))[0]
    size, count = at.x.shape[axis], at.attr("num_outputs", at.node.count)
    sizes = at.setting(1, "split")
    if sizes is None:  # equal parts, the last may be smaller
        step = -(-size // count)
        sizes = [step] * (count - 1) + [size - step * (count - 1)]
    begin = int(np.sum(sizes[: at.node.index], dtype=np.int64))
    key = [slice(None)] * at.x.ndim
    key[axis] = slice(begin, begin + int(sizes[at.node.index]))
    return tuple(key)


def _slicing(op: str, key_of: Callable[[At], tuple[slice, ...]], outputs: int | None = 1) -> None:
    @route(op, evaluate=lambda at: at.x[key_of(at)], outputs=outputs)
    def build(at: At) -> Route:
        """A part of the input."""
        bk, x, key = at.bk, at.x, key_of(at)
        return move(lambda v: bk.slice(v, key), lambda r: (bk.slice_T(r, key, x),))


_slicing("Slice", _key)
_slicing("Split", _parts, outputs=None)


def _pads(at: At) -> tuple[tuple[int, int], ...]:
    flat = at.setting(1, "pads")
    axes = at.axes(at.setting(3, "axes"))
    pads = [(0, 0)] * at.x.ndim
    for axis, begin, end in zip(axes, flat[: len(axes)], flat[len(axes) :], strict=True):
        pads[axis] = (begin, end)
    return tuple(pads)


def _pad(x: AnyArray, at: At, value: float) -> AnyArray:
    """ONNX's Pad; negative pads crop."""
    pads = _pads(at)
    crop = tuple(slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in zip(pads, x.shape, strict=True))
    grow = [(max(b, 0), max(e, 0)) for b, e in pads]
    x = x[crop]
    at.grant([n + b + e for n, (b, e) in zip(x.shape, grow, strict=True)])
    mode = at.attr("mode", "constant")
    if mode == "constant":
        return np.pad(x, grow, constant_values=value)
    for axis, (before, after) in enumerate(grow):
        if before or after:
            x = x.take(_source(x.shape[axis], before, after, mode), axis)
    return x


def _source(size: int, before: int, after: int, mode: str) -> AnyArray:
    """For each place along a padded axis, the place in the input that it repeats."""
    place = np.arange(-before, size + after)
    if mode == "edge":
        return place.clip(0, size - 1)
    if mode == "wrap":
        return place % size
    if mode != "reflect":
        raise ValueError(f"mode {mode!r}")
    period = max(2 * (size - 1), 1)
    return np.minimum(place % period, period - place % period) % size


def _pad_value(at: At) -> float:
    value = at.setting(2, "value", 0.0)
    return float(np.ravel(value)[0]) if np.size(value) else 0.0


@route("Pad", evaluate=lambda at: _pad(at.x, at, _pad_value(at)))
def pad(at: At) -> Route:
    """Any mode: reflected samples add up, constants carry nothing."""
    return by_index(at, lambda index: _pad(index, at, -1))


def _joined(at: At) -> int:
    return at.axes(at.attr("axis", 1))[0]


def _concatenated(at: At) -> AnyArray:
    at.grant([sum(a.size for a in at.args)])
    return np.concatenate(at.args, _joined(at))


@route(
    "Concat",
    evaluate=_concatenated,
    carries=None,
    together=True,
)
def concat(at: At) -> Route:
    """Inputs one after the other; what lands on constant ones is stopped."""
    bk, axis = at.bk, _joined(at)
    ends = np.cumsum([0, *(a.shape[axis] for a in at.args if a is not None)])

    def part(i: int) -> tuple[slice, ...]:
        return (slice(None),) * axis + (slice(int(ends[i]), int(ends[i + 1])),)

    def linear(*live: Array) -> Array:
        given = dict(zip(at.live, live, strict=True))
        return bk.concat(tuple(given.get(i, 0 * a) for i, a in enumerate(at.args)), axis)

    covered = None
    if len(at.live) < len(at.args):
        covered = linear(*(bk.ones_like(x) for x in at.inputs))
    return move(linear, lambda r: tuple(bk.slice(r, part(i)) for i in at.live), covered)


def _expanded(at: At) -> tuple[int, ...]:
    wanted = at.setting(1, "shape")
    at.grant(wanted)
    return at.grant(np.broadcast_shapes(at.x.shape, tuple(wanted)))


@route("Expand", evaluate=lambda at: np.broadcast_to(at.x, _expanded(at)))
def expand(at: At) -> Route:
    """Broadcast: copies add up."""
    bk, x, shape = at.bk, at.x, _expanded(at)
    return move(lambda v: bk.expand(v, shape), lambda r: (bk.sum_to(r, x),))


# -- anything else, on indices


def by_index(at: At, f: Callable[[AnyArray], AnyArray]) -> Route:
    """The route of a movement f that takes any array of x's shape; -1 marks constants.

    An index that depends on the signal marks none.
    """
    bk, x = at.bk, at.x
    index = f(np.arange(x.size).reshape(x.shape))
    holes = isinstance(index, np.ndarray) and (index < 0).any()
    covered = (index >= 0).astype(x.dtype) if holes else None
    return move(lambda v: bk.take(v, index), lambda r: (bk.take_T(r, index, x),), covered)


def moved(at: At, f: Callable[[AnyArray], AnyArray]) -> Array:
    """``f(x)``; where x is no NumPy array, f runs on its indices."""
    return f(at.x) if at.bk.numbers else by_index(at, f).tangent().apply(at.x)


def _tile(x: AnyArray, at: At) -> AnyArray:
    repeats = at.setting(1, "repeats")
    at.grant([n * r for n, r in zip(x.shape, repeats, strict=True)])
    return np.tile(x, repeats)


def _gather(x: AnyArray, at: At) -> AnyArray:
    axis, index = at.axes(at.attr("axis", 0))[0], np.asarray(at.args[1])
    at.grant([index.size, x.size // max(x.shape[axis], 1)])
    return np.take(x, index, axis=axis)


def _depth_to_space(x: AnyArray, at: At) -> AnyArray:
    batch, channels, height, width = x.shape
    b = at.attr("blocksize")
    if at.attr("mode", "DCR") == "DCR":
        tall = x.reshape(batch, b, b, channels // b**2, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        tall = x.reshape(batch, channels // b**2, b, b, height, width).transpose(0, 1, 4, 2, 5, 3)
    return tall.reshape(batch, channels // b**2, height * b, width * b)


def _space_to_depth(x: AnyArray, at: At) -> AnyArray:
    batch, channels, height, width = x.shape
    b = at.attr("blocksize")
    order = (0, 3, 5, 1, 2, 4) if at.attr("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    cut = x.reshape(batch, channels, height // b, b, width // b, b).transpose(*order)
    return cut.reshape(batch, channels * b**2, height // b, width // b)


def indexed(op: str, f: Callable[[AnyArray, At], AnyArray]) -> None:
    """Register a movement that takes any array of x's shape."""

    @route(op, evaluate=lambda at: moved(at, lambda x: f(x, at)))
    def build(at: At) -> Route:
        """Elements moved: the op runs on their indices, and relevance adds up at these."""
        return by_index(at, lambda index: f(index, at))


@route("Gather", evaluate=lambda at: _gather(at.x, at))
def gather(at: At) -> Route:
    """Places along an axis: a slice where they are evenly spaced, relevance adds up at others."""
    bk, x, index = at.bk, at.x, np.asarray(at.args[1])
    axis = at.axes(at.attr("axis", 0))[0]
    span = _span(index.ravel() % x.shape[axis])
    if span is None:
        return by_index(at, lambda places: _gather(places, at))
    key, (before, after) = (slice(None),) * axis + (span,), (x.shape[:axis], x.shape[axis + 1 :])
    narrow, shape = (*before, index.size, *after), (*before, *index.shape, *after)
    return move(
        lambda v: bk.reshape(bk.slice(v, key), shape),
        lambda r: (bk.slice_T(bk.reshape(r, narrow), key, x),),
    )


def _span(places: AnyArray) -> slice | None:
    """The slice that reads these places, if there is one."""
    steps = set(np.diff(places).tolist()) or {1}
    if not places.size or len(steps) > 1 or 0 in steps:
        return None
    step, end = steps.pop(), int(places[-1])
    end += 1 if step > 0 else -1
    return slice(int(places[0]), end if end >= 0 else None, step)


indexed("Tile", _tile)
indexed("DepthToSpace", _depth_to_space)
indexed("SpaceToDepth", _space_to_depth)


def _where(at: At) -> Array:
    at.broadcast()
    return np.where(at.args[0], at.args[1], at.args[2])


@route("Where", evaluate=_where, carries=(1, 2), together=True, frozen=(0,))
def where(at: At) -> Route:
    """Each element from one of two inputs; the condition is fixed."""
    bk, xs = at.bk, at.inputs
    chosen = bk.asarray(at.args[0], xs[0].dtype)
    masks = tuple(chosen if i == 1 else 1 - chosen for i in at.live)
    shape = np.broadcast_shapes(*(a.shape for a in at.args if a is not None))

    def linear(*live: Array) -> Array:
        return bk.expand(sum(m * v for m, v in zip(masks, live, strict=True)), shape)

    def back(r: Array) -> tuple[Array, ...]:
        return tuple(bk.sum_to(m * r, x) for m, x in zip(masks, xs, strict=True))

    covered = linear(*(bk.ones_like(x) for x in xs)) if len(xs) == 1 else None
    return move(linear, back, covered)
