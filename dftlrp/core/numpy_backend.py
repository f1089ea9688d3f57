"""The reference backend: NumPy, any float dtype, float64 by default."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from dftlrp.core.backend import Key, Window, is_whole, slice_taps, window_size
from dftlrp.core.types import AnyArray, Shape

COLUMNS = 2**20  # numbers of the columns of a convolution that are made at a time


def _pad_window(x: AnyArray, g: Window, value: float) -> AnyArray:
    return np.pad(x, ((0, 0), (0, 0), *g.pads), constant_values=value) if np.any(g.pads) else x


def _cut_pads(x: AnyArray, g: Window) -> AnyArray:
    inner: Key = tuple(slice(b, x.shape[i + 2] - e) for i, (b, e) in enumerate(g.pads))
    return x[(..., *inner)]


def _cut_batch(samples: int, numbers: int) -> list[slice]:
    """Return parts of a batch whose columns, so many numbers for each sample, stay in the cache."""
    size = max(1, COLUMNS // max(numbers, 1))
    return [slice(i, i + size) for i in range(0, samples, size)]


class NumpyBackend:
    """NumPy arrays; each primitive is one or two NumPy calls."""

    name = "numpy"
    numbers = True

    def asarray(self, x: Any, dtype: Any = None) -> AnyArray:
        return np.asarray(x, dtype)

    def signal(self, x: Any) -> AnyArray:
        return np.asarray(x)

    def known(self, x: AnyArray) -> bool:
        return True

    def read(self, x: AnyArray) -> AnyArray:
        return np.asarray(x)

    def read_all(self, xs: Sequence[AnyArray]) -> list[AnyArray]:
        return [np.asarray(x) for x in xs]

    def start_watching(self) -> None:
        """Nothing is noted: the reference takes every decision each time."""

    def tell_rounding(self, dtype: np.dtype[Any]) -> str:
        return ""

    def pos(self, x: AnyArray) -> AnyArray:
        return np.maximum(x, 0)

    def neg(self, x: AnyArray) -> AnyArray:
        return np.minimum(x, 0)

    def step(self, x: AnyArray, strict: bool) -> AnyArray:
        return (x > 0 if strict else x >= 0).astype(x.dtype)

    def nonneg(self, x: AnyArray) -> bool:
        return bool(np.min(x, initial=0) >= 0)

    def exp(self, x: AnyArray) -> AnyArray:
        return np.exp(x)

    def log(self, x: AnyArray) -> AnyArray:
        return np.log(x)

    def sqrt(self, x: AnyArray) -> AnyArray:
        return np.sqrt(x)

    def erf(self, x: AnyArray) -> AnyArray:
        from scipy.special import erf

        return np.asarray(erf(x))

    def tanh(self, x: AnyArray) -> AnyArray:
        return np.tanh(x)

    def sigmoid(self, x: AnyArray) -> AnyArray:
        return 0.5 * (np.tanh(0.5 * x) + 1)

    def power(self, x: AnyArray, exponent: AnyArray) -> AnyArray:
        return np.power(x, exponent)

    def reshape(self, x: AnyArray, shape: Shape) -> AnyArray:
        return x.reshape(shape)

    def transpose(self, x: AnyArray, perm: Shape) -> AnyArray:
        return x.transpose(perm)

    def slice(self, x: AnyArray, key: Key) -> AnyArray:
        return x[key]

    def slice_T(self, r: AnyArray, key: Key, like: AnyArray) -> AnyArray:
        out = np.zeros(like.shape, r.dtype)
        out[key] = r
        return out

    def pad(self, x: AnyArray, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> AnyArray:
        return np.pad(x, pads, constant_values=value)

    def concat(self, xs: tuple[AnyArray, ...], axis: int) -> AnyArray:
        return np.concatenate(xs, axis)

    def expand(self, x: AnyArray, shape: Shape) -> AnyArray:
        return np.broadcast_to(x, shape)

    def pick(self, x: AnyArray, index: Any, fill: float = 0.0) -> AnyArray:
        return np.asarray(np.append(x.ravel(), np.asarray(fill, x.dtype))[index])

    def pick_T(self, r: AnyArray, index: Any, like: AnyArray) -> AnyArray:
        size = int(np.prod(like.shape))
        kept = index >= 0
        sums = np.bincount(index[kept], weights=r[kept], minlength=size)
        return np.asarray(sums.astype(r.dtype)).reshape(like.shape)

    def sum(self, x: AnyArray, axes: Shape, keepdims: bool) -> AnyArray:
        return np.asarray(np.sum(x, axis=axes, keepdims=keepdims))

    def sum_to(self, r: AnyArray, like: AnyArray) -> AnyArray:
        lead = r.ndim - like.ndim
        wide = (i for i, n in enumerate(like.shape, lead) if n == 1 != r.shape[i])
        return np.asarray(r.sum(axis=(*range(lead), *wide))).reshape(like.shape)

    def ones_like(self, x: AnyArray) -> AnyArray:
        return np.ones_like(x)

    def matmul(self, a: AnyArray, b: AnyArray) -> AnyArray:
        return np.asarray(np.matmul(a, b))

    def conv(self, x: AnyArray, w: AnyArray, g: Window) -> AnyArray:
        out = window_size(x.shape[2:], g)
        taps, count = slice_taps(g, out), math.prod(out)
        filters = w.reshape(g.groups, w.shape[0] // g.groups, -1)
        y = np.empty((x.shape[0], *filters.shape[:2], count), np.result_type(x, w))
        for part in _cut_batch(len(x), x.shape[1] * len(taps) * count):
            xp = _pad_window(x[part], g, 0.0)
            columns = np.stack([xp[(..., *tap)] for tap in taps], axis=2)  # im2col
            np.matmul(filters, columns.reshape(len(xp), g.groups, -1, count), out=y[part])
        return y.reshape(x.shape[0], w.shape[0], *out)

    def conv_T(self, r: AnyArray, w: AnyArray, g: Window, size: Shape) -> AnyArray:
        out, channels = r.shape[2:], w.shape[1] * g.groups
        taps, count = slice_taps(g, out), math.prod(out)
        filters = w.reshape(g.groups, w.shape[0] // g.groups, -1).swapaxes(1, 2)
        padded = (n + sum(p) for n, p in zip(size, g.pads, strict=True))
        back = np.zeros((r.shape[0], channels, *padded), np.result_type(r, w))
        for part in _cut_batch(len(r), channels * len(taps) * count):
            rows = r[part].reshape(-1, g.groups, r.shape[1] // g.groups, count)
            columns = (filters @ rows).reshape(len(rows), channels, -1, *out)
            for i, tap in enumerate(taps):
                back[(part, slice(None), *tap)] += columns[:, :, i]
        return _cut_pads(back, g)

    def maxpool(self, v: AnyArray, x: AnyArray, g: Window) -> AnyArray:
        out = window_size(x.shape[2:], g)
        if is_whole(x.shape[2:], g):
            return np.take_along_axis(_flatten_channels(v), _find_first(x), 2).reshape(
                *v.shape[:2], *out
            )
        if v is x:
            return _find_largest_tap(x, g, out)[0]
        vp, winner = _pad_window(v, g, 0.0), find_winners(x, g, out)
        y = np.zeros((*v.shape[:2], *out), v.dtype)
        for i, tap in enumerate(slice_taps(g, out)):
            np.copyto(y, vp[(..., *tap)], where=winner == i)
        return y

    def maxpool_T(self, r: AnyArray, x: AnyArray, g: Window) -> AnyArray:
        if is_whole(x.shape[2:], g):
            flat = np.zeros_like(_flatten_channels(x), r.dtype)
            np.put_along_axis(flat, _find_first(x), _flatten_channels(r), 2)
            return flat.reshape(x.shape)
        out, winner = r.shape[2:], find_winners(x, g, r.shape[2:])
        back = np.zeros_like(_pad_window(x, g, 0.0), r.dtype)
        for i, tap in enumerate(slice_taps(g, out)):
            back[(..., *tap)] += r * (winner == i)
        return _cut_pads(back, g)


def _flatten_channels(x: AnyArray) -> AnyArray:
    return x.reshape(*x.shape[:2], -1)


def _find_first(x: AnyArray) -> AnyArray:
    """Place of the first of the largest in each channel."""
    return np.asarray(np.argmax(_flatten_channels(x), axis=2, keepdims=True))


WINNERS: dict[int, tuple[weakref.ref[AnyArray], Window, AnyArray]] = {}


def find_winners(x: AnyArray, g: Window, out: Shape) -> AnyArray:
    """Return the number of the tap that wins each window: a later one only if strictly greater.

    It is kept as long as x exists, since an activation is pooled forwards and backwards.
    """
    whose, window, winner = WINNERS.get(id(x), (None, None, None))
    if winner is None or whose is None or whose() is not x or window != g:
        return _find_largest_tap(x, g, out)[1]
    return winner


def _find_largest_tap(x: AnyArray, g: Window, out: Shape) -> tuple[AnyArray, AnyArray]:
    """Return the largest of each window, and the number of its tap."""
    xp = _pad_window(x, g, -np.inf)
    first, *others = slice_taps(g, out)
    best = xp[(..., *first)].copy()
    winner = np.zeros(best.shape, np.min_scalar_type(len(others)))
    for i, tap in enumerate(others, 1):
        later = xp[(..., *tap)] > best
        np.copyto(best, xp[(..., *tap)], where=later)
        winner[later] = i
    name = id(x)
    WINNERS[name] = weakref.ref(x, lambda _: WINNERS.pop(name, None)), g, winner
    return best, winner


BACKEND = NumpyBackend()
