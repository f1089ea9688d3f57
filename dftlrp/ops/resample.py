"""Resize and Upsample: nearest is movement, linear and cubic are `Affine`.

All are separable: one small sparse matrix per axis.  Positions follow ONNX's Resize: the sample
i of the output lies at some x in the input, and reads its neighbours with a kernel's weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array, Route
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.ops.common import lay_along
from dftlrp.ops.move import route_by_index
from dftlrp.ops.registry import At, register_affine


class Axis(NamedTuple):
    """One axis: n samples become m, with a scale, and a region of it (crop and resize)."""

    n: int
    m: int
    scale: float
    begin: float = 0.0
    end: float = 1.0


# -- where the output's samples lie


def _place_half_pixel(a: Axis, i: AnyArray) -> AnyArray:
    return (i + 0.5) / a.scale - 0.5


def _place_symmetric(a: Axis, i: AnyArray) -> AnyArray:
    """Return positions of half a pixel, about the middle of the input."""
    return a.n / 2 * (1 - a.m / (a.scale * a.n)) + _place_half_pixel(a, i)


def _place_cropped(a: Axis, i: AnyArray) -> AnyArray:
    if a.m == 1:
        return 0.5 * (a.begin + a.end) * (a.n - 1) + 0 * i
    return (a.begin + i * (a.end - a.begin) / (a.m - 1)) * (a.n - 1)


_COORDINATES: dict[str, Callable[[Axis, AnyArray], AnyArray]] = {
    "half_pixel": _place_half_pixel,
    "half_pixel_symmetric": _place_symmetric,
    "pytorch_half_pixel": lambda a, i: _place_half_pixel(a, i) if a.m > 1 else 0.0 * i,
    "tf_half_pixel_for_nn": lambda a, i: (i + 0.5) / a.scale,
    "align_corners": lambda a, i: i * (a.n - 1) / max(a.m - 1, 1),
    "asymmetric": lambda a, i: i / a.scale,
    "tf_crop_and_resize": _place_cropped,
}
_NEAREST: dict[str, Callable[[AnyArray], AnyArray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _is_old(at: At) -> bool:
    return bool(at.node.op == "Upsample" or at.node.opset < 11)


def _read_coordinate_mode(at: At) -> str:
    default = "asymmetric" if _is_old(at) else "half_pixel"
    return str(at.get_attr("coordinate_transformation_mode", default))


def _find_positions(at: At, a: Axis, dtype: Any = np.float64) -> AnyArray:
    return _COORDINATES[_read_coordinate_mode(at)](a, np.arange(a.m, dtype=dtype))


def _find_outside(at: At, a: Axis) -> AnyArray:
    """Return which samples lie outside the input, where crop and resize writes a constant."""
    x = _find_positions(at, a)
    return ((x < 0) | (x > a.n - 1)) & (_read_coordinate_mode(at) == "tf_crop_and_resize")


# -- sizes


def _fit_sizes(at: At, sizes: list[int], axes: tuple[int, ...]) -> list[tuple[int, float]]:
    """Return (size, scale) of each axis, by the policy on the aspect ratio."""
    policy = at.get_attr("keep_aspect_ratio_policy", "stretch")
    scales = [m / at.x.shape[i] for m, i in zip(sizes, axes, strict=True)]
    if policy == "stretch":
        return list(zip(sizes, scales, strict=True))
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [(math.floor(scale * at.x.shape[i] + 0.5), scale) for i in axes]


def _scale_lengths(lengths: AnyArray, spans: AnyArray, scales: Any) -> list[int]:
    """Return floor(length * span * scale), in float32 as runtimes do.

    A scale of 7 / 20 is a little less than that as a float, and times 20 in float64 less than 7.
    """
    floats = (np.asarray(x, np.float32) for x in (scales, spans, lengths))
    product = np.prod(list(floats), axis=0, dtype=np.float32)
    return [int(m) for m in np.floor(product)]


def _find_resized_axes(at: At) -> dict[int, Axis]:
    """Return the axes that are resized, by their number."""
    new = not _is_old(at)
    axes, position = at.read_axes(at.get_attr("axes")), 2 if new else 1
    roi = np.ravel(at.get_setting(1, "roi", [])) if new else np.zeros(0)
    region = np.tile([[0.0], [1.0]], len(axes))
    if _read_coordinate_mode(at) == "tf_crop_and_resize":
        region = roi.reshape(2, -1)
    if np.size(scales := at.get_setting(position, "scales", [])):
        spans = region[1] - region[0]
        lengths = np.array([at.x.shape[i] for i in axes])
        pairs = list(zip(_scale_lengths(lengths, spans, scales), scales, strict=True))
    else:
        pairs = _fit_sizes(at, at.get_setting(3, "sizes"), axes)
    found = {
        i: Axis(at.x.shape[i], m, scale, begin, end)
        for i, (m, scale), begin, end in zip(axes, pairs, *region.tolist(), strict=True)
    }
    at.grant([found[i].m if i in found else n for i, n in enumerate(at.x.shape)])
    return found


# -- nearest


def _find_nearest(at: At, a: Axis) -> AnyArray:
    """Return the sample of the input that each one of the output is, or -1 for a constant.

    In float32 as runtimes do: at 3 / (1 / 3) digits decide.
    """
    simple = "ceil" if a.scale < 1 else "floor"  # what onnxruntime does where ONNX says nothing
    mode = simple if _is_old(at) else at.get_attr("nearest_mode", "round_prefer_floor")
    x = _NEAREST[mode](_find_positions(at, a, np.float32))
    return np.where(_find_outside(at, a), -1, np.clip(x, 0, a.n - 1)).astype(np.int64)


def _take_nearest(at: At, v: AnyArray, fill: float) -> AnyArray:
    for i, a in _find_resized_axes(at).items():
        index = _find_nearest(at, a)
        v = v.take(np.maximum(index, 0), i)
        v = np.where(lay_along(index >= 0, i, v.ndim), v, np.asarray(fill, v.dtype))
    return v


# -- linear and cubic


def weigh_linear(d: AnyArray) -> AnyArray:
    """Return the kernel of linear interpolation at a distance."""
    y: AnyArray = np.maximum(1 - abs(d), 0)
    return y


def make_cubic(a: float) -> Callable[[AnyArray], AnyArray]:
    """Return Keys' convolution kernel (1981, eq. 15) with parameter a."""

    def weigh(d: AnyArray) -> AnyArray:
        d = abs(d)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = a * (((d - 5) * d + 8) * d - 4)
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    return weigh


def _make_matrix(at: At, a: Axis) -> Any:
    """Return the weights of each output sample on one axis, a sparse (m, n)."""
    from scipy.sparse import csr_array

    linear = at.get_attr("mode", "nearest") == "linear"
    kernel = weigh_linear if linear else make_cubic(at.get_attr("cubic_coeff_a", -0.75))
    shrink = min(a.scale, 1.0) if at.get_attr("antialias", 0) else 1.0
    reach = math.ceil((1 if linear else 2) / shrink)
    x = _find_positions(at, a)
    at.grant([a.m, 2 * reach])
    taps = np.floor(x)[:, None] + np.arange(1 - reach, reach + 1)
    weights = kernel((taps - x[:, None]) * shrink)
    if at.get_attr("exclude_outside", 0):
        weights = weights * ((taps >= 0) & (taps < a.n))
    weights = weights / weights.sum(axis=1, keepdims=True) * ~_find_outside(at, a)[:, None]
    columns = np.clip(taps, 0, a.n - 1).astype(np.int64)
    rows = np.broadcast_to(np.arange(a.m)[:, None], columns.shape)
    place = (rows.ravel(), columns.ravel())
    return csr_array((weights.ravel().astype(at.x.dtype), place), shape=(a.m, a.n))


def _multiply_along(bk: Backend, matrix: Any, v: Array, axis: int) -> Array:
    """Return a sparse matrix times v along an axis."""
    moved = np.moveaxis(v, axis, 0)
    flat = moved.reshape(moved.shape[0], -1)
    y = matrix @ flat if bk.numbers else bk.matmul(matrix.toarray(), flat)
    return np.moveaxis(y.reshape(-1, *moved.shape[1:]), 0, axis)


def _interpolate(at: At) -> Affine:
    """Return the map by a matrix for each axis; those that stay as they are need none."""
    found = {
        i: a for i, a in _find_resized_axes(at).items() if a.m != a.n or a.scale != 1 or a.begin
    }
    matrices = {i: _make_matrix(at, a) for i, a in found.items()}

    def linear(v: Array) -> Array:
        for i, matrix in matrices.items():
            v = _multiply_along(at.bk, matrix, v, i)
        return v

    def transpose(r: Array) -> Array:
        for i, matrix in matrices.items():
            r = _multiply_along(at.bk, matrix.T, r, i)
        return r

    constant = at.get_attr("extrapolation_value", 0.0) * _mark_constant(at, found)
    return Affine(
        lambda ws, xs: ws[0] * linear(xs[0]),
        lambda ws, r: (transpose(ws[0] * r),),
        (np.asarray(1.0, at.x.dtype),),
        constant if np.any(constant) else None,
    )


def _mark_constant(at: At, found: dict[int, Axis]) -> Array:
    """Return 1 where the constant of crop and resize is written, else 0."""
    written = np.zeros((1,) * at.x.ndim, bool)
    for i, a in found.items():
        written = written | lay_along(_find_outside(at, a), i, at.x.ndim)
    return written.astype(at.x.dtype)


def _evaluate_resize(at: At) -> Array:
    if at.get_attr("mode", "nearest") == "nearest":
        return _take_nearest(at, at.x, at.get_attr("extrapolation_value", 0.0))
    whole = at.x.dtype.kind != "f"
    x = at.x.astype(np.float64) if whole else at.x
    return _interpolate(replace(at, args=(x, *at.args[1:]))).forward(x).astype(at.x.dtype)


@register_affine("Resize", "Upsample", evaluate=_evaluate_resize)
def resize(at: At) -> Affine | Route:
    """Nearest is a `Route`; linear and cubic have the scalar weight 1.

    So a rule on weights leaves the kernel's own signs (cubic has small negative lobes) as they are.
    """
    mode = at.get_attr("mode", "nearest")
    if mode == "nearest":
        return route_by_index(at, lambda index: _take_nearest(at, index, -1))
    if mode not in {"linear", "cubic"}:
        raise UnsupportedModelError(f"node {at.node.key!r} ({at.node.op}): mode {mode!r}")
    return _interpolate(at)
