"""Sampling an image: at the places of a fixed grid, or in fixed regions; and what chooses these."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.registry import At, affine, stop
from dftlrp.ops.resample import cubic, triangle


class Taps(NamedTuple):
    """Along one axis: which samples are read (last axis: taps) and with which weights."""

    at: AnyArray
    weight: AnyArray


def sparse_map(at: At, rows: AnyArray, columns: AnyArray, values: AnyArray, shape: Any) -> Affine:
    """A sparse matrix (out, in) on each channel: x (N, C, *S) with in = N * prod(S).

    ``shape`` is the output's, (M, C, *O) with out = M * prod(O).
    """
    from scipy.sparse import csr_array

    x, bk, channels = at.x, at.bk, at.x.shape[1]
    at.grant(shape)
    at.grant([channels, values.size])
    size = (math.prod(shape) // max(channels, 1), x.size // max(channels, 1))
    kept = csr_array((values.astype(x.dtype), (rows, columns)), shape=size).tocoo()

    def places(index: AnyArray, inner: tuple[int, ...]) -> AnyArray:
        """Of each channel in the flattened (N, C, *S); index counts in N * prod(S)."""
        sample, rest = np.divmod(index.astype(np.int64), math.prod(inner))
        planes: AnyArray = sample * channels + np.arange(channels)[:, None]
        return planes * math.prod(inner) + rest

    read, written = places(kept.col, x.shape[2:]), places(kept.row, shape[2:])
    y = np.broadcast_to(np.zeros((), x.dtype), shape)
    return Affine(
        lambda ws, xs: bk.take_T(ws[0] * bk.take(xs[0], read), written, y),
        lambda ws, r: (bk.take_T(ws[0] * bk.take(r, written), read, x),),
        (kept.data,),
    )


def _placed(at: At, g: AnyArray, n: int) -> AnyArray:
    """From the grid's [-1, 1] to samples."""
    return (g + 1) / 2 * (n - 1) if at.attr("align_corners", 0) else ((g + 1) * n - 1) / 2


def _reflected(j: AnyArray, n: int, corners: bool) -> AnyArray:
    """Indices mirrored into [0, n): at the outer samples (corners) or at their outer edges."""
    if n == 1 and corners:
        return np.zeros_like(j)
    period = 2 * (n - 1) if corners else 2 * n
    j = j % period
    return np.where(j < n, j, period - (0 if corners else 1) - j)


def _taps(at: At, g: AnyArray, n: int) -> Taps:
    """The samples that positions g on one axis read."""
    mode, x = at.attr("mode", "linear"), _placed(at, g, n)
    if mode == "nearest":
        index = np.rint(x)[..., None]
        weight = np.ones_like(index)
    else:
        reach, kernel = (2, cubic(-0.75)) if "cubic" in mode else (1, triangle)
        index = np.floor(x)[..., None] + np.arange(1 - reach, reach + 1)
        weight = kernel(index - x[..., None])
    inside = (index >= 0) & (index < n)
    padding = at.attr("padding_mode", "zeros")
    if padding == "zeros":
        weight = weight * inside
    elif padding == "reflection":
        index = _reflected(index, n, bool(at.attr("align_corners", 0)))
    return Taps(np.clip(index, 0, n - 1).astype(np.int64), weight)


@affine("GridSample")
def grid_sample(at: At) -> Affine:
    """Samples of x (N, C, *S) at positions of a fixed grid (N, *O, rank), the last axis first."""
    grid, size = at.args[1], at.x.shape[2:]
    taps = [_taps(at, grid[..., -1 - i], n) for i, n in enumerate(size)]
    out = grid.shape[:-1]
    count = math.prod(t.at.shape[-1] for t in taps)
    at.grant([*out, count])
    batch = np.arange(out[0]).reshape(-1, *(1,) * (len(out) - 1))
    index, weight = [], []
    for choice in product(*(range(t.at.shape[-1]) for t in taps)):
        place = batch
        for k, t, n in zip(choice, taps, size, strict=True):
            place = place * n + t.at[..., k]
        index.append(place)
        weight.append(math.prod(t.weight[..., k] for k, t in zip(choice, taps, strict=True)))
    rows = np.tile(np.arange(math.prod(out)), count)
    columns, values = (np.stack(a).ravel() for a in (index, weight))
    return sparse_map(at, rows, columns, values, (out[0], at.x.shape[1], *out[1:]))


def _even(at: At, n: int) -> AnyArray:
    """n positions from -1 to 1: the outer samples' centres (corners), or their outer edges."""
    if at.attr("align_corners", 0):
        return np.linspace(-1, 1, n)
    return (2 * np.arange(n) + 1) / n - 1


@affine("AffineGrid")
def affine_grid(at: At) -> Affine:
    """``theta (x, y, .., 1)`` at even positions: (N, rank, rank + 1) to (N, *size, rank)."""
    size = at.grant(np.asarray(at.args[1]).tolist())[2:]
    at.grant([at.x.shape[0], *size, len(size)])
    axes = np.meshgrid(*(_even(at, n) for n in size), indexing="ij")[::-1]
    bk, count, rank = at.bk, at.x.shape[0], len(size)
    base = np.stack([*axes, np.ones(size)], -1).astype(at.x.dtype).reshape(-1, rank + 1)

    def turned(v: Array) -> Array:
        return bk.transpose(v, (0, 2, 1))

    return Affine(
        lambda ws, xs: bk.reshape(bk.matmul(ws[0], turned(xs[0])), (count, *size, rank)),
        lambda ws, r: (bk.matmul(turned(bk.reshape(r, (count, -1, rank))), ws[0]),),
        (base,),
    )


# -- regions of interest


def _bins(at: At, begin: float, end: float, count: int, n: int) -> list[Taps]:
    """For each bin of a region along one axis: its samples, two neighbours each, averaged."""
    half = at.attr("coordinate_transformation_mode", "half_pixel" if at.node.opset >= 16 else "")
    shift = 0.5 if half == "half_pixel" else 0.0
    scale = at.attr("spatial_scale", 1.0)
    begin, end = begin * scale - shift, end * scale - shift
    width = end - begin if shift else max(end - begin, 1.0)
    samples = at.attr("sampling_ratio", 0) or math.ceil(width / count)
    at.grant([count, samples])
    steps = (np.arange(samples) + 0.5) / max(samples, 1)
    return [_bin(begin + (i + steps) * width / count, n) for i in range(count)]


def _bin(x: AnyArray, n: int) -> Taps:
    """Positions up to one sample outside count as the border, those beyond as zero."""
    known = (x >= -1) & (x <= n)
    x = np.clip(x, 0, n - 1)
    low = np.floor(x)
    index = np.concatenate([low, np.minimum(low + 1, n - 1)]).astype(np.int64)
    weight = np.concatenate([1 - (x - low), x - low]) * np.tile(known, 2) / max(len(x), 1)
    return Taps(index, weight)


@affine("RoiAlign")
def roi_align(at: At) -> Affine:
    """Mean over samples in each bin of fixed regions: x (N, C, H, W) to (regions, C, h, w)."""
    if at.attr("mode", "avg") != "avg":
        raise UnsupportedModelError(f"node {at.node.key!r} (RoiAlign): only mode='avg' is known")
    regions, batch = np.asarray(at.args[1]), np.asarray(at.args[2])
    high, wide = at.x.shape[2:]
    out = (at.attr("output_height", 1), at.attr("output_width", 1))
    at.grant([len(regions), at.x.shape[1], *out])
    index, weight, rows = [], [], []
    for r, ((x1, y1, x2, y2), b) in enumerate(zip(regions.tolist(), batch.tolist(), strict=True)):
        across = _bins(at, x1, x2, out[1], wide)
        for i, v in enumerate(_bins(at, y1, y2, out[0], high)):
            for j, u in enumerate(across):
                index.append(((b * high + v.at[:, None]) * wide + u.at).ravel())
                weight.append((v.weight[:, None] * u.weight).ravel())
                rows.append(np.full(index[-1].size, (r * out[0] + i) * out[1] + j))
    none = [np.zeros(0, np.int64)]
    places, columns, values = (np.concatenate(a or none) for a in (rows, index, weight))
    return sparse_map(at, places, columns, values, (len(regions), at.x.shape[1], *out))


def _corners(at: At, boxes: AnyArray) -> AnyArray:
    """Boxes as (low, high) corners: (..., 2, 2)."""
    pairs = boxes.reshape(*boxes.shape[:-1], 2, 2)
    if at.attr("center_point_box", 0):
        middle, half = pairs[..., 0, :], pairs[..., 1, :] / 2
        return np.stack([middle - half, middle + half], -2)
    return np.sort(pairs, axis=-2)


def _overlap(box: AnyArray, others: AnyArray) -> AnyArray:
    """Intersection over union of a box with others."""
    low, high = np.maximum(box[0], others[:, 0]), np.minimum(box[1], others[:, 1])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = np.prod(others[:, 1] - others[:, 0], axis=-1) + np.prod(box[1] - box[0])
    union = areas - shared
    return np.asarray(np.where(union > 0, shared / np.where(union > 0, union, 1), 0))


def _kept(boxes: AnyArray, scores: AnyArray, most: int, overlap: float, least: float) -> list[int]:
    """The best boxes, best first, none of which overlaps a better one."""
    kept: list[int] = []
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > least]
    for i in order:
        if len(kept) < most and (_overlap(boxes[i], boxes[kept]) <= overlap).all():
            kept.append(i)
    return kept


def _non_max_suppression(at: At) -> AnyArray:
    boxes, scores = _corners(at, np.asarray(at.args[0])), np.asarray(at.args[1])
    most, overlap, least = (
        default if at.arg(i) is None else np.ravel(at.args[i])[0].item()
        for i, default in ((2, 0), (3, 0.0), (4, -np.inf))
    )
    rows = [
        (b, c, i)
        for b, c in np.ndindex(*scores.shape[:2])
        for i in _kept(boxes[b], scores[b, c], int(most), overlap, least)
    ]
    return np.asarray(rows, np.int64).reshape(-1, 3)


stop("NonMaxSuppression", evaluate=_non_max_suppression)
