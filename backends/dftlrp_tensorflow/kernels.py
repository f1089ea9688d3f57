"""Convolutions and max pools on TensorFlow's tensors, tap by tap.

A tap is one place of the kernel.  TensorFlow's own kernels want channels last, and on a CPU have
neither gradients of dilated and of grouped convolutions nor windows over more than three axes;
slices and one matrix product have them all.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from dftlrp.core.backend import Window, is_whole, slice_taps, window_size
from dftlrp.core.types import Shape

Tensor = Any
Key = tuple[slice, ...]
WHOLE = slice(None)


def write_slices(r: Tensor, key: Key, shape: Shape) -> Tensor:
    """Return zeros with r written at slices that go up: the adjoint of slicing."""
    spans = [k.indices(n) for k, n in zip(key, shape, strict=False)]
    spans += [(0, n, 1) for n in shape[len(key) :]]
    begin, end, strides = zip(*spans, strict=True) if spans else ((), (), ())
    if 0 in r.shape:
        return tf.zeros(shape, r.dtype)
    return tf.raw_ops.StridedSliceGrad(shape=shape, begin=begin, end=end, strides=strides, dy=r)


def pad_axes(x: Tensor, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Tensor:
    """Return x with its last axes padded."""
    if not any(map(any, pads)):
        return x
    first = [(0, 0)] * (len(x.shape) - len(pads))
    return tf.pad(x, [*first, *pads], constant_values=tf.constant(value, x.dtype))


def _cut_pads(x: Tensor, g: Window) -> Tensor:
    return x[(..., *(slice(b, n - e) for n, (b, e) in zip(x.shape[2:], g.pads, strict=True)))]


def _add_pads(size: Shape, g: Window) -> Shape:
    """Return the size with its pads."""
    return tuple(n + sum(p) for n, p in zip(size, g.pads, strict=True))


def _find_keys(g: Window, counts: Shape) -> list[Key]:
    """Return what each tap reads of the padded input."""
    return [(WHOLE, WHOLE, *tap) for tap in slice_taps(g, counts)]


def conv(x: Tensor, w: Tensor, g: Window) -> Tensor:
    """Return the contract's `conv`."""
    counts = window_size(tuple(x.shape[2:]), g)
    wide, (batch, out) = pad_axes(x, g.pads), (x.shape[0], w.shape[0])
    read = tf.stack([wide[key] for key in _find_keys(g, counts)], 2)  # (B, C, taps, *T)
    read = tf.reshape(read, (batch, g.groups, -1, math.prod(counts)))
    return tf.reshape(_group_weights(w, g) @ read, (batch, out, *counts))


def conv_T(r: Tensor, w: Tensor, g: Window, size: Shape) -> Tensor:
    """Return the contract's `conv_T`."""
    counts, (batch, out) = tuple(r.shape[2:]), r.shape[:2]
    r = tf.reshape(r, (batch, g.groups, out // g.groups, math.prod(counts)))
    sent = tf.matmul(_group_weights(w, g), r, transpose_a=True)  # (B, groups, C / groups * taps, T)
    sent = tf.reshape(sent, (batch, g.groups * w.shape[1], math.prod(g.kernel), *counts))
    shape = (*sent.shape[:2], *_add_pads(size, g))
    keys = enumerate(_find_keys(g, counts))
    return _cut_pads(tf.add_n([write_slices(sent[:, :, k], key, shape) for k, key in keys]), g)


def _group_weights(w: Tensor, g: Window) -> Tensor:
    """Return the weights as (groups, O / groups, C / groups * taps)."""
    return tf.reshape(w, (g.groups, w.shape[0] // g.groups, -1))


def _find_winners(x: Tensor, g: Window, counts: Shape) -> Tensor:
    """Return which tap of each window wins: a later one only where it is strictly greater."""
    wide = pad_axes(x, g.pads, -math.inf)
    first, *others = (wide[key] for key in _find_keys(g, counts))
    best, winner = first, tf.zeros_like(first, tf.int32)
    for k, read in enumerate(others, 1):
        winner = tf.where(read > best, k, winner)
        best = tf.maximum(read, best)
    return winner


def _mark_first(x: Tensor) -> Tensor:
    """Return where the first of the largest of each channel is, whatever their number.

    TensorFlow's argmax promises no order of those that are alike.
    """
    flat = tf.reshape(x, (*x.shape[:2], -1))
    left = tf.range(flat.shape[2], 0, -1)
    largest = tf.where(flat == tf.reduce_max(flat, 2, keepdims=True), left, 0)
    return tf.reshape(largest == tf.reduce_max(largest, 2, keepdims=True), x.shape)


def maxpool(v: Tensor, x: Tensor, g: Window) -> Tensor:
    """Return the contract's `maxpool`."""
    counts = window_size(tuple(x.shape[2:]), g)
    if is_whole(tuple(x.shape[2:]), g):
        taken = tf.where(_mark_first(x), v, tf.zeros((), v.dtype))
        return tf.reshape(tf.reduce_sum(taken, range(2, len(x.shape))), (*x.shape[:2], *counts))
    winner, wide = _find_winners(x, g, counts), pad_axes(v, g.pads)
    first, *others = (wide[key] for key in _find_keys(g, counts))
    for k, read in enumerate(others, 1):
        first = tf.where(winner == k, read, first)
    return tf.broadcast_to(first, winner.shape)


def maxpool_T(r: Tensor, x: Tensor, g: Window) -> Tensor:
    """Return the contract's `maxpool_T`."""
    counts = tuple(r.shape[2:])
    if is_whole(tuple(x.shape[2:]), g):
        return tf.where(_mark_first(x), r, tf.zeros((), r.dtype))
    winner, shape = _find_winners(x, g, counts), (*x.shape[:2], *_add_pads(x.shape[2:], g))
    keys, none = enumerate(_find_keys(g, counts)), tf.zeros((), r.dtype)
    back = [write_slices(tf.where(winner == k, r, none), key, shape) for k, key in keys]
    return _cut_pads(tf.add_n(back), g)
