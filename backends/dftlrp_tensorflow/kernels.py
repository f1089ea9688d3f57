"""Convolutions and max pools on TensorFlow's tensors, tap by tap.

A tap is one place of the kernel: what all windows read there is a strided slice.  TensorFlow's own
kernels want channels last and on a CPU have neither gradients of dilated and of grouped
convolutions nor windows over more than three axes; slices and one matrix product have them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import tensorflow as tf

from dftlrp.core.backend import Window, window_size

Shape = tuple[int, ...]
Tensor = Any
Key = tuple[slice, ...]
WHOLE = slice(None)


def written(r: Tensor, key: Key, shape: Shape) -> Tensor:
    """Zeros with r written at slices that go up: the adjoint of slicing."""
    spans = [k.indices(n) for k, n in zip(key, shape, strict=False)]
    spans += [(0, n, 1) for n in shape[len(key) :]]
    begin, end, strides = zip(*spans, strict=True) if spans else ((), (), ())
    if 0 in r.shape:
        return tf.zeros(shape, r.dtype)
    return tf.raw_ops.StridedSliceGrad(shape=shape, begin=begin, end=end, strides=strides, dy=r)


def padded(x: Tensor, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Tensor:
    """The last axes padded."""
    if not any(map(any, pads)):
        return x
    first = [(0, 0)] * (len(x.shape) - len(pads))
    return tf.pad(x, [*first, *pads], constant_values=tf.constant(value, x.dtype))


def _unpadded(x: Tensor, g: Window) -> Tensor:
    return x[(..., *(slice(b, n - e) for n, (b, e) in zip(x.shape[2:], g.pads, strict=True)))]


def _wide(size: Shape, g: Window) -> Shape:
    """The size with its pads."""
    return tuple(n + sum(p) for n, p in zip(size, g.pads, strict=True))


def _taps(g: Window, counts: Shape) -> Iterator[Key]:
    """For each tap, in row-major order, what it reads of the padded input."""
    for place in product(*map(range, g.kernel)):
        axes = zip(place, g.dilations, g.strides, counts, strict=True)
        spans = (slice(k * d, k * d + s * (t - 1) + 1, s) for k, d, s, t in axes)
        yield (WHOLE, WHOLE, *spans)


def conv(x: Tensor, w: Tensor, g: Window) -> Tensor:
    """The contract's `conv`."""
    counts = window_size(tuple(x.shape[2:]), g)
    wide, (batch, out) = padded(x, g.pads), (x.shape[0], w.shape[0])
    read = tf.stack([wide[key] for key in _taps(g, counts)], 2)  # (B, C, taps, *T)
    read = tf.reshape(read, (batch, g.groups, -1, math.prod(counts)))
    return tf.reshape(_grouped(w, g) @ read, (batch, out, *counts))


def conv_T(r: Tensor, w: Tensor, g: Window, size: Shape) -> Tensor:
    """The contract's `conv_T`."""
    counts, (batch, out) = tuple(r.shape[2:]), r.shape[:2]
    r = tf.reshape(r, (batch, g.groups, out // g.groups, math.prod(counts)))
    sent = tf.matmul(_grouped(w, g), r, transpose_a=True)  # (B, groups, C / groups * taps, T)
    sent = tf.reshape(sent, (batch, g.groups * w.shape[1], math.prod(g.kernel), *counts))
    shape = (*sent.shape[:2], *_wide(size, g))
    keys = enumerate(_taps(g, counts))
    return _unpadded(tf.add_n([written(sent[:, :, k], key, shape) for k, key in keys]), g)


def _grouped(w: Tensor, g: Window) -> Tensor:
    """The weights (groups, O / groups, C / groups * taps)."""
    return tf.reshape(w, (g.groups, w.shape[0] // g.groups, -1))


def _winners(x: Tensor, g: Window, counts: Shape) -> Tensor:
    """Which tap of each window wins: a later one only where it is strictly greater."""
    wide = padded(x, g.pads, -math.inf)
    first, *others = (wide[key] for key in _taps(g, counts))
    best, winner = first, tf.zeros_like(first, tf.int32)
    for k, read in enumerate(others, 1):
        winner = tf.where(read > best, k, winner)
        best = tf.maximum(read, best)
    return winner


def maxpool(v: Tensor, x: Tensor, g: Window) -> Tensor:
    """The contract's `maxpool`."""
    counts = window_size(tuple(x.shape[2:]), g)
    winner, wide = _winners(x, g, counts), padded(v, g.pads)
    first, *others = (wide[key] for key in _taps(g, counts))
    for k, read in enumerate(others, 1):
        first = tf.where(winner == k, read, first)
    return tf.broadcast_to(first, winner.shape)


def maxpool_T(r: Tensor, x: Tensor, g: Window) -> Tensor:
    """The contract's `maxpool_T`."""
    counts = tuple(r.shape[2:])
    winner, shape = _winners(x, g, counts), (*x.shape[:2], *_wide(x.shape[2:], g))
    keys, none = enumerate(_taps(g, counts)), tf.zeros((), r.dtype)
    back = [written(tf.where(winner == k, r, none), key, shape) for k, key in keys]
    return _unpadded(tf.add_n(back), g)
