"""Functions that move the elements of symbols, and their adjoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dftlrp.core.backend import Key
from dftlrp.core.types import AnyArray, Shape
from dftlrp.tracing.symbols import Operand, Symbol, UntraceableError, find_dtype
from dftlrp.tracing.tape import FUNCTIONS, Tape

WHOLE = np.dtype(np.int64)


def reshape(tape: Tape, x: Symbol, shape: Sequence[int]) -> Symbol:
    """Return x in another shape; one entry may be -1."""
    known = -math.prod(shape)
    full = tuple(int(x.size // known if n == -1 and known else n) for n in shape)
    if full == x.shape:
        return x
    while x.origin.op == "Reshape":
        x = x.origin.inputs[0]
    if full == x.shape:
        return x
    return tape.add_node("Reshape", x, np.array(full, WHOLE), shape=full, dtype=x.dtype)


def transpose(tape: Tape, x: Symbol, perm: Sequence[int]) -> Symbol:
    """Return x with its axes in another order."""
    perm = tuple(int(p) % x.ndim for p in perm)
    if perm == tuple(range(x.ndim)):
        return x
    shape = tuple(x.shape[p] for p in perm)
    return tape.add_node("Transpose", x, shape=shape, dtype=x.dtype, perm=list(perm))


def moveaxis(tape: Tape, x: Symbol, source: int, destination: int) -> Symbol:
    """Return x with one axis at another place."""
    order = [i for i in range(x.ndim) if i != source % x.ndim]
    order.insert(destination % x.ndim, source % x.ndim)
    return transpose(tape, x, order)


def expand_dims(tape: Tape, x: Symbol, axis: int) -> Symbol:
    """Return x with a new axis of one."""
    place = axis % (x.ndim + 1)
    return reshape(tape, x, (*x.shape[:place], 1, *x.shape[place:]))


def broadcast_to(tape: Tape, x: Symbol, shape: Sequence[int]) -> Symbol:
    """Return x repeated along axes of one."""
    if tuple(shape) == x.shape:
        return x
    full = np.broadcast_shapes(x.shape, tuple(shape))
    return tape.add_node("Expand", x, np.array(full, WHOLE), shape=full, dtype=x.dtype)


# -- slices


def getitem(tape: Tape, x: Symbol, key: Any) -> Symbol:
    """Return x at slices, integers, None and Ellipsis."""
    keys = _write_out(key, x.ndim)
    slices = [k if isinstance(k, slice) else _slice_at(k, n) for k, n in _pair_axes(keys, x.shape)]
    x = _slice(tape, x, [k.indices(n) for k, n in zip(slices, x.shape, strict=True)])
    sizes = iter(x.shape)
    kept = [(k, 1 if k is None else next(sizes)) for k in keys]
    return reshape(tape, x, tuple(n for k, n in kept if k is None or isinstance(k, slice)))


def _write_out(key: Any, ndim: int) -> list[Any]:
    """Return one entry for each axis, and None for each new one."""
    keys = list(key if isinstance(key, tuple) else (key,))
    given = sum(k is not None and k is not Ellipsis for k in keys)
    place = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    keys[place : place + 1] = [slice(None)] * (ndim - given)
    return keys


def _pair_axes(keys: Sequence[Any], shape: Shape) -> Any:
    return zip((k for k in keys if k is not None), shape, strict=True)


def _slice_at(place: Any, size: int) -> slice:
    """Return the slice that takes one element."""
    if not hasattr(place, "__index__") or isinstance(place, Symbol):
        raise UntraceableError(f"it indexes with {type(place).__name__}")
    begin = place.__index__() % size
    return slice(begin, begin + 1)


def _slice(tape: Tape, x: Symbol, spans: Sequence[tuple[int, int, int]]) -> Symbol:
    """Return x between begin and end of each axis, in steps."""
    sizes = tuple(len(range(*span)) for span in spans)
    cuts = [
        (begin, end if end >= 0 else -n - 1, axis, step)
        for axis, ((begin, end, step), size, n) in enumerate(
            zip(spans, sizes, x.shape, strict=True)
        )
        if (begin, size, step) != (0, n, 1)
    ]
    if not cuts:
        return x
    numbers = (np.array(column, WHOLE) for column in zip(*cuts, strict=True))
    return tape.add_node("Slice", x, *numbers, shape=sizes, dtype=x.dtype)


def slice_T(tape: Tape, r: Symbol, key: Key, shape: Shape) -> Symbol:
    """Return zeros of that shape with r written at the slices."""
    full = (*key, *(slice(None),) * (len(shape) - len(key)))
    if any(k is Ellipsis for k in full):
        raise TypeError("an Ellipsis in a slice to invert")
    for axis, (k, n) in enumerate(zip(full, shape, strict=True)):
        r = _spread(tape, r, k.indices(n), axis, n)
    return r


def _spread(tape: Tape, r: Symbol, span: tuple[int, int, int], axis: int, size: int) -> Symbol:
    """Return zeros of that size along an axis with r written from begin on, in steps."""
    begin, end, step = span
    if step < 0:  # the same places, in ascending order
        r = flip(tape, r, axis)
        begin, step = begin + (len(range(begin, end, step)) - 1) * step, -step
    if step > 1:
        lead, rest, n = r.shape[:axis], r.shape[axis + 1 :], r.shape[axis]
        wide = _pad_axis(tape, reshape(tape, r, (*lead, n, 1, *rest)), axis + 1, 0, step - 1)
        r = cut_axis(reshape(tape, wide, (*lead, n * step, *rest)), axis, 0, (n - 1) * step + 1)
    return _pad_axis(tape, r, axis, begin, size - begin - r.shape[axis])


def cut_axis(x: Any, axis: int, begin: int | None, end: int | None, step: int = 1) -> Any:
    """Return x between begin and end of one axis."""
    return x[(slice(None),) * axis + (slice(begin, end, step),)]


def flip(_: Tape, x: Symbol, axis: int) -> Any:
    """Return x with one axis turned around."""
    return cut_axis(x, axis % x.ndim, None, None, -1)


# -- joining


def pad(
    tape: Tape, x: Symbol, pads: Sequence[tuple[int, int]], constant_values: Any = 0.0
) -> Symbol:
    """Return x padded by one (begin, end) pair for each axis; negative numbers cut."""
    if not np.any(pads):
        return x
    shape = tuple(n + b + e for n, (b, e) in zip(x.shape, pads, strict=True))
    flat = np.array([b for b, _ in pads] + [e for _, e in pads], WHOLE)
    fill = () if constant_values == 0 else (np.asarray(constant_values, x.dtype),)
    return tape.add_node("Pad", x, flat, *fill, shape=shape, dtype=x.dtype)


def _pad_axis(tape: Tape, x: Symbol, axis: int, begin: int, end: int) -> Symbol:
    return pad(tape, x, [(begin, end) if i == axis else (0, 0) for i in range(x.ndim)])


def concatenate(tape: Tape, xs: Sequence[Operand], axis: int = 0) -> Symbol:
    """Return arrays joined along an axis."""
    shapes = [np.shape(x) for x in xs]
    axis %= len(shapes[0])
    if len(xs) == 1:
        one: Symbol = xs[0]
        return one
    shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    own = find_dtype(xs)
    return tape.add_node("Concat", *xs, shape=shape, dtype=own, like=own, axis=axis)


def stack(tape: Tape, xs: Sequence[Operand], axis: int = 0) -> Symbol:
    """Return arrays joined along a new axis."""
    return concatenate(tape, [np.expand_dims(x, axis) for x in xs], axis)


# -- elements by their places


def take(tape: Tape, x: Symbol, index: Any, axis: int) -> Symbol:
    """Return the elements at places along an axis."""
    places = np.asarray(index, WHOLE)
    axis %= x.ndim
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    return tape.add_node("Gather", x, places, shape=shape, dtype=x.dtype, axis=axis)


def take_along_axis(tape: Tape, x: Operand, index: Operand, axis: int) -> Symbol:
    """Return the elements at places along an axis, other ones for each line."""
    return tape.add_node(
        "GatherElements", x, index, shape=np.shape(index), dtype=x.dtype, axis=axis
    )


def pick(tape: Tape, x: Operand, index: Operand, fill: float = 0.0) -> Any:
    """Return the elements of the flattened x at an index, and a number where that is -1."""
    batch, own = _split_batch(index, x.shape)
    rows = x.reshape((batch, x.size // batch))
    if _has_holes(own):
        own = np.where(own < 0, rows.shape[1], own)
        rows = np.concatenate((rows, np.full((batch, 1), fill)), 1)
    shape = (batch, *own.shape)
    y = tape.add_node("Gather", rows, own.astype(WHOLE), shape=shape, dtype=x.dtype, axis=1)
    return reshape(tape, y, index.shape)


def pick_T(tape: Tape, r: Operand, index: Operand, shape: Shape) -> Any:
    """Return r added up at an index of the flattened shape, left out where that is -1."""
    batch, own = _split_batch(index, shape)
    size = math.prod(shape) // batch
    spare = int(_has_holes(own))  # what belongs nowhere goes to one more place
    places = np.where(own < 0, size, own) if spare else own
    places = places.astype(WHOLE).reshape((1, -1))
    rows: Any = tape.add_node(
        "ScatterElements", np.zeros((batch, size + spare)),
        np.broadcast_to(places, (batch, places.size)), r.reshape((batch, places.size)),
        shape=(batch, size + spare), axis=1, reduction="add",
    )  # fmt: skip
    rows = cut_axis(rows, 1, 0, size) if spare else rows
    return reshape(tape, rows, shape)


def _has_holes(index: Operand) -> bool:
    """Whether an index marks elements that come from nowhere; one of a signal never does."""
    return not isinstance(index, Symbol) and bool((index < 0).any())


def _split_batch(index: Operand, shape: Shape) -> tuple[int, Operand]:
    """Return the number of rows of a flat array, and the places within each of them.

    The rows are the samples where the places are the same in all of them, else one row is all.
    """
    if isinstance(index, Symbol):
        return 1, index
    batch = shape[0] if shape and index.shape[:1] == shape[:1] else 1
    stride = math.prod(shape) // max(batch, 1)
    starts: AnyArray = stride * np.arange(batch).reshape(-1, *(1,) * (index.ndim - 1))
    own = np.where(index < 0, -1, index - starts)
    alike = batch > 1 and (own == own[:1]).all() and own.max(initial=-1) < stride
    return (batch, own[0]) if alike else (1, index)


FUNCTIONS |= {
    f.__name__: f
    for f in (
        reshape, transpose, moveaxis, expand_dims, broadcast_to, getitem, slice_T, flip, pad,
        concatenate, stack, take, take_along_axis, pick, pick_T,
    )
}  # fmt: skip
