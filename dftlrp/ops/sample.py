"""Sampling an image at the places of a fixed grid or in fixed regions, and choosing regions."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.registry import At, register_affine, register_stop
from dftlrp.ops.resample import make_cubic, weigh_linear


class Taps(NamedTuple):
    """The samples that are read along one axis (last axis: taps), and their weights."""

    at: AnyArray
    weight: AnyArray


def make_sparse_map(
    at: At, rows: AnyArray, columns: AnyArray, values: AnyArray, shape: Any
) -> Affine:
    """Return a sparse matrix (out, in) on each channel of x (N, C, *S), in = N * prod(S).

    ``shape`` is the output's, (M, C, *O) with out = M * prod(O).
    """
    from scipy.sparse import csr_array

    x, bk, channels = at.x, at.bk, at.x.shape[1]
    at.grant(shape)
    at.grant([channels, values.size])
    size = (math.prod(shape) // max(channels, 1), x.size // max(channels, 1))
    kept = csr_array((values.astype(x.dtype), (rows, columns)), shape=size).tocoo()

    def find_places(index: AnyArray, inner: tuple[int, ...]) -> AnyArray:
        """Return the places in the flattened (N, C, *S) of an index in (N, *S), per channel."""
        sample, rest = np.divmod(index.astype(np.int64), math.prod(inner))
        planes: AnyArray = sample * channels + np.arange(channels)[:, None]
        return planes * math.prod(inner) + rest

    read, written = find_places(kept.col, x.shape[2:]), find_places(kept.row, shape[2:])
    y = np.broadcast_to(np.zeros((), x.dtype), shape)
    return Affine(
        lambda ws, xs: bk.pick_T(ws[0] * bk.pick(xs[0], read), written, y),
        lambda ws, r: (bk.pick_T(ws[0] * bk.pick(r, written), read, x),),
        (kept.data,),
    )


def _scale_to_samples(at: At, g: AnyArray, n: int) -> AnyArray:
    """Return positions in the grid's [-1, 1] as positions in samples."""
    return (g + 1) / 2 * (n - 1) if at.get_attr("align_corners", 0) else ((g + 1) * n - 1) / 2


def _reflect_indices(j: AnyArray, n: int, corners: bool) -> AnyArray:
    """Return indices mirrored into [0, n): at the outer samples (corners) or at their edges."""
    if n == 1 and corners:
        return np.zeros_like(j)
    period = 2 * (n - 1) if corners else 2 * n
    j = j % period
    return np.where(j < n, j, period - (0 if corners else 1) - j)


def _find_taps(at: At, g: AnyArray, n: int) -> Taps:
    """Return the samples that positions g on one axis read."""
    mode, x = at.get_attr("mode", "linear"), _scale_to_samples(at, g, n)
    if mode == "nearest":
        index = np.rint(x)[..., None]
        weight = np.ones_like(index)
    else:
        reach, kernel = (2, make_cubic(-0.75)) if "cubic" in mode else (1, weigh_linear)
        index = np.floor(x)[..., None] + np.arange(1 - reach, reach + 1)
        weight = kernel(index - x[..., None])
    inside = (index >= 0) & (index < n)
    padding = at.get_attr("padding_mode", "zeros")
    if padding == "zeros":
        weight = weight * inside
    elif padding == "reflection":
        index = _reflect_indices(index, n, bool(at.get_attr("align_corners", 0)))
    return Taps(np.clip(index, 0, n - 1).astype(np.int64), weight)


@register_affine("GridSample")
def grid_sample(at: At) -> Affine:
    """Samples of x (N, C, *S) at the positions of a fixed grid (N, *O, rank), last axis first."""
    grid, size = at.args[1], at.x.shape[2:]
    taps = [_find_taps(at, grid[..., -1 - i], n) for i, n in enumerate(size)]
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
    return make_sparse_map(at, rows, columns, values, (out[0], at.x.shape[1], *out[1:]))


def _place_evenly(at: At, n: int) -> AnyArray:
    """Return n positions from -1 to 1, at the outer samples' centres (corners) or edges."""
    if at.get_attr("align_corners", 0):
        return np.linspace(-1, 1, n)
    return (2 * np.arange(n) + 1) / n - 1


@register_affine("AffineGrid")
def affine_grid(at: At) -> Affine:
    """``theta (x, y, .., 1)`` at even positions: (N, rank, rank + 1) to (N, *size, rank)."""
    size = at.grant(np.asarray(at.args[1]).tolist())[2:]
    at.grant([at.x.shape[0], *size, len(size)])
    axes = np.meshgrid(*(_place_evenly(at, n) for n in size), indexing="ij")[::-1]
    bk, count, rank = at.bk, at.x.shape[0], len(size)
    base = np.stack([*axes, np.ones(size)], -1).astype(at.x.dtype).reshape(-1, rank + 1)

    def turn(v: Array) -> Array:
        return bk.transpose(v, (0, 2, 1))

    return Affine(
        lambda ws, xs: bk.reshape(bk.matmul(ws[0], turn(xs[0])), (count, *size, rank)),
        lambda ws, r: (bk.matmul(turn(bk.reshape(r, (count, -1, rank))), ws[0]),),
        (base,),
    )


# -- regions of interest


def _find_bins(at: At, begin: float, end: float, count: int, n: int) -> list[Taps]:
    """Return the samples of each bin of a region along one axis, with two neighbours each."""
    half = at.get_attr(
        "coordinate_transformation_mode", "half_pixel" if at.node.opset >= 16 else ""
    )
    shift = 0.5 if half == "half_pixel" else 0.0
    scale = at.get_attr("spatial_scale", 1.0)
    begin, end = begin * scale - shift, end * scale - shift
    width = end - begin if shift else max(end - begin, 1.0)
    samples = at.get_attr("sampling_ratio", 0) or math.ceil(width / count)
    at.grant([count, samples])
    steps = (np.arange(samples) + 0.5) / max(samples, 1)
    return [_average_bin(begin + (i + steps) * width / count, n) for i in range(count)]


def _average_bin(x: AnyArray, n: int) -> Taps:
    """Return the average of positions; up to one sample outside is the border, beyond is zero."""
    known = (x >= -1) & (x <= n)
    x = np.clip(x, 0, n - 1)
    low = np.floor(x)
    index = np.concatenate([low, np.minimum(low + 1, n - 1)]).astype(np.int64)
    weight = np.concatenate([1 - (x - low), x - low]) * np.tile(known, 2) / max(len(x), 1)
    return Taps(index, weight)


@register_affine("RoiAlign")
def roi_align(at: At) -> Affine:
    """The mean over each bin of fixed regions: x (N, C, H, W) to (regions, C, h, w)."""
    if at.get_attr("mode", "avg") != "avg":
        raise UnsupportedModelError(f"node {at.node.key!r} (RoiAlign): only mode='avg' is known")
    regions, batch = np.asarray(at.args[1]), np.asarray(at.args[2])
    high, wide = at.x.shape[2:]
    out = (at.get_attr("output_height", 1), at.get_attr("output_width", 1))
    at.grant([len(regions), at.x.shape[1], *out])
    index, weight, rows = [], [], []
    for r, ((x1, y1, x2, y2), b) in enumerate(zip(regions.tolist(), batch.tolist(), strict=True)):
        across = _find_bins(at, x1, x2, out[1], wide)
        for i, v in enumerate(_find_bins(at, y1, y2, out[0], high)):
            for j, u in enumerate(across):
                index.append(((b * high + v.at[:, None]) * wide + u.at).ravel())
                weight.append((v.weight[:, None] * u.weight).ravel())
                rows.append(np.full(index[-1].size, (r * out[0] + i) * out[1] + j))
    none = [np.zeros(0, np.int64)]
    places, columns, values = (np.concatenate(a or none) for a in (rows, index, weight))
    return make_sparse_map(at, places, columns, values, (len(regions), at.x.shape[1], *out))


def _find_corners(at: At, boxes: AnyArray) -> AnyArray:
    """Return boxes as their (low, high) corners, (..., 2, 2)."""
    pairs = boxes.reshape(*boxes.shape[:-1], 2, 2)
    if at.get_attr("center_point_box", 0):
        middle, half = pairs[..., 0, :], pairs[..., 1, :] / 2
        return np.stack([middle - half, middle + half], -2)
    return np.sort(pairs, axis=-2)


def _measure_overlap(box: AnyArray, others: AnyArray) -> AnyArray:
    """Return the intersection over union of a box with others."""
    low, high = np.maximum(box[0], others[:, 0]), np.minimum(box[1], others[:, 1])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = np.prod(others[:, 1] - others[:, 0], axis=-1) + np.prod(box[1] - box[0])
    union = areas - shared
    return np.asarray(np.where(union > 0, shared / np.where(union > 0, union, 1), 0))


def _select_boxes(
    boxes: AnyArray, scores: AnyArray, most: int, overlap: float, least: float
) -> list[int]:
    """Return the best boxes, best first, none of which overlaps a better one too much."""
    kept: list[int] = []
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > least]
    for i in order:
        if len(kept) < most and (_measure_overlap(boxes[i], boxes[kept]) <= overlap).all():
            kept.append(i)
    return kept


def _evaluate_non_max_suppression(at: At) -> AnyArray:
    boxes, scores = _find_corners(at, np.asarray(at.args[0])), np.asarray(at.args[1])
    most, overlap, least = (
        default if at.get_arg(i) is None else np.ravel(at.args[i])[0].item()
        for i, default in ((2, 0), (3, 0.0), (4, -np.inf))
    )
    rows = [
        (b, c, i)
        for b, c in np.ndindex(*scores.shape[:2])
        for i in _select_boxes(boxes[b], scores[b, c], int(most), overlap, least)
    ]
    return np.asarray(rows, np.int64).reshape(-1, 3)


register_stop("NonMaxSuppression", evaluate=_evaluate_non_max_suppression)
