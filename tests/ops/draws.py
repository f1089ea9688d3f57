"""Random nodes of the workhorses, in the forms that an opset has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ops.case import Case, case, wave

Draw = Callable[[Any, int], Case]
DRAWS: dict[str, Draw] = {}


def draws(*names: str) -> Callable[[Callable[[Any, int, str], Case]], Any]:
    """Register how to draw a case of these ops from a generator and an opset."""

    def register(draw: Callable[[Any, int, str], Case]) -> Any:
        for name in names:
            DRAWS[name] = lambda rng, opset, name=name: draw(rng, opset, name)  # type: ignore[misc]
        return draw

    return register


def yes(rng: Any, share: float = 0.5) -> bool:
    return bool(rng.random() < share)


def shape(rng: Any, low: int = 1, high: int = 4) -> list[int]:
    return [int(n) for n in rng.integers(1, 6, rng.integers(low, high + 1))]


def signal(rng: Any, *dims: int) -> Any:
    return wave(*dims) if np.prod(dims) < 2 else rng.permutation(wave(*dims).ravel()).reshape(dims)


def some_axes(rng: Any, rank: int) -> list[int]:
    """A few axes, each once, some counted from the end."""
    count = int(rng.integers(1, rank + 1))
    return [int(a) - rank * yes(rng) for a in rng.permutation(rank)[:count]]


def parameter(opset: int, since: int, name: str, value: Any) -> tuple[list[Any], dict[str, Any]]:
    """A parameter as an input (since some opset), or as an attribute."""
    return ([np.array(value, np.int64)], {}) if opset >= since else ([], {name: value})


def geometry(rng: Any, rank: int, size: list[int], dilate: bool = True) -> dict[str, Any]:
    """Kernel, strides, pads and dilations that fit."""
    dilations = [int(rng.integers(1, 3)) if dilate else 1 for _ in range(rank)]
    kernel = [
        int(rng.integers(1, max(2, min(4, n // d + 1))))
        for n, d in zip(size, dilations, strict=True)
    ]
    attrs: dict[str, Any] = {"kernel_shape": kernel}
    attrs["strides"] = [int(s) for s in rng.integers(1, 4, rank)]
    if dilate:
        attrs["dilations"] = dilations
    if yes(rng, 0.3):
        attrs["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        attrs.pop("dilations", None)
        # onnxruntime and ONNX disagree on SAME where a stride is longer than the kernel
        attrs["strides"] = [min(s, k) for s, k in zip(attrs["strides"], kernel, strict=True)]
    else:
        attrs["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
    return attrs


@draws("Conv", "ConvTranspose")
def convolution(rng: Any, opset: int, op: str) -> Case:
    rank, group = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    size = [int(n) for n in rng.integers(4, 9, rank)]
    attrs = geometry(rng, rank, size)
    inside, outside = 2 * group, group * int(rng.integers(1, 3))
    back = op == "ConvTranspose"
    lead = (inside, outside // group) if back else (outside, inside // group)
    if back and yes(rng, 0.4):
        attrs["output_padding"] = [int(rng.integers(0, s)) for s in attrs["strides"]]
    w = rng.standard_normal((*lead, *attrs["kernel_shape"]))
    bias = [rng.standard_normal(outside)] if yes(rng) else []
    return case(op, signal(rng, 2, inside, *size), w, *bias, opset=opset, group=group, **attrs)


@draws("MaxPool", "AveragePool", "LpPool")
def pool(rng: Any, opset: int, op: str) -> Case:
    rank = int(rng.integers(1, 4))
    size = [int(n) for n in rng.integers(4, 9, rank)]
    since = {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[op]
    attrs = geometry(rng, rank, size, dilate=opset >= since)
    if opset >= since and yes(rng, 0.4) and "auto_pad" not in attrs:
        attrs["ceil_mode"] = 1
    if op == "AveragePool" and yes(rng):
        attrs["count_include_pad"] = 1
    if op == "LpPool":
        attrs["p"] = int(rng.integers(1, 4))
    many = 2 if op == "MaxPool" and yes(rng) else 1
    return case(op, signal(rng, 2, 2, *size), opset=opset, outputs=many, **attrs)


@draws("Pad")
def pad(rng: Any, opset: int, op: str) -> Case:
    dims = [n + 1 for n in shape(rng, 1, 3)]
    mode = str(rng.choice(["constant", "reflect", "edge"] + ["wrap"] * (opset >= 19)))
    low = -1 if mode == "constant" else 0
    pads = [int(rng.integers(low, n)) for n in dims * 2]
    value = float(rng.integers(-2, 3)) / 2
    x = signal(rng, *dims)
    if opset < 11:
        return case(op, x, opset=opset, pads=pads, mode=mode, value=value)
    extra = [np.array(value)] if yes(rng) else []
    return case(op, x, np.array(pads), *extra, opset=opset, mode=mode)


@draws("Slice")
def slicing(rng: Any, opset: int, op: str) -> Case:
    dims = shape(rng)
    axes = some_axes(rng, len(dims))
    starts, ends = (rng.integers(-7, 8, len(axes)).tolist() for _ in range(2))
    x = signal(rng, *dims)
    if opset < 10:
        axes = sorted(a % len(dims) for a in axes)
        return case(op, x, opset=opset, starts=starts, ends=ends, axes=axes)
    steps = [int(rng.choice([-2, -1, 1, 1, 2, 3])) for _ in axes]
    more = [np.array(axes), np.array(steps)][: int(rng.integers(1, 3))]
    return case(op, x, np.array(starts), np.array(ends), *more, opset=opset)


@draws("Upsample")
def upsample(rng: Any, opset: int, op: str) -> Case:
    x = signal(rng, 1, 2, *(n + 1 for n in shape(rng, 2, 2)))
    scales = np.array([1, 1, *rng.choice([1, 1.5, 2, 3], 2)], np.float32)
    mode = str(rng.choice(["nearest", "linear"]))
    return case(op, x, scales, opset=9, mode=mode, rtol=2e-5)


@draws("Resize")
def resize(rng: Any, opset: int, op: str) -> Case:
    x = signal(rng, 1, 2, *(n + 2 for n in shape(rng, 2, 2)))
    scales = np.array([1, 1, *rng.choice([0.5, 1, 1.5, 2, 3], 2)], np.float32)
    mode = str(rng.choice(["nearest", "linear", "cubic"]))
    if opset < 11:
        return case(op, x, scales, opset=10, mode="nearest", rtol=2e-5)
    where = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    attrs: dict[str, Any] = {"mode": mode, "rtol": 2e-5}
    attrs["coordinate_transformation_mode"] = str(rng.choice(where))
    if mode == "nearest":
        nearest = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attrs["nearest_mode"] = str(rng.choice(nearest))
    none = np.array([], np.float32)
    if yes(rng):
        return case(op, x, none, scales, opset=opset, **attrs)
    sizes = np.array([1, 2, *rng.integers(1, 12, 2)])
    return case(op, x, none, none, sizes, opset=opset, **attrs)


@draws("Softmax", "LogSoftmax", "Hardmax")
def softmax(rng: Any, opset: int, op: str) -> Case:
    dims = shape(rng, 1, 4)
    low = -len(dims) if opset >= 11 else 0
    attrs = {"axis": int(rng.integers(low, len(dims)))} if yes(rng) or len(dims) < 2 else {}
    live = () if op == "Hardmax" else (0,)
    return case(op, signal(rng, *dims), opset=opset, live=live, **attrs)


SUMS = ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")


@draws(*SUMS, "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSum")
def reduction(rng: Any, opset: int, op: str) -> Case:
    dims = shape(rng)
    x = signal(rng, *dims)
    x = np.abs(x) + 0.1 if op == "ReduceLogSum" else x
    axes = some_axes(rng, len(dims))
    since = 13 if op == "ReduceSum" else 18
    axes = axes if opset >= 11 else sorted(a % len(dims) for a in axes)
    extra, attrs = parameter(opset, since, "axes", axes) if yes(rng, 0.8) else ([], {})
    live = () if op == "ReduceProd" else (0,)
    return case(op, x, *extra, opset=opset, live=live, keepdims=int(yes(rng)), **attrs)


@draws("Gather", "GatherElements", "GatherND")
def gather(rng: Any, opset: int, op: str) -> Case:
    dims = shape(rng, 2, 4)
    x, axis = signal(rng, *dims), int(rng.integers(len(dims)))
    low = -1 if opset >= 11 else 0
    if op == "GatherND":
        opset = max(opset, 11)
        lead = int(rng.integers(0, 2)) if opset >= 12 else 0
        last = int(rng.integers(1, len(dims) - lead + 1))
        index = [rng.integers(-n, n, (*dims[:lead], 3)) for n in dims[lead : lead + last]]
        attrs = {"batch_dims": lead} if opset >= 12 else {}
        return case(op, x, np.stack(index, -1), opset=opset, **attrs)
    n = dims[axis]
    wide = [*dims[:axis], 3, *dims[axis + 1 :]] if op == "GatherElements" else shape(rng, 1, 2)
    index = rng.integers(low * n, n, wide)
    given = axis - len(dims) * yes(rng)
    return case(op, x, index, opset=max(opset, 11 if op != "Gather" else 9), axis=given)


@draws("Gemm")
def gemm(rng: Any, opset: int, op: str) -> Case:
    m, n, k = (int(i) for i in rng.integers(1, 5, 3))
    flip = [yes(rng), yes(rng)]
    a, b = signal(rng, m, k), rng.standard_normal((k, n))
    biases = [(m, n), (1, n), (n,), (m, 1), (1,)]
    c = rng.standard_normal(biases[int(rng.integers(5))])
    extra = [c] if opset < 11 or yes(rng, 0.7) else []
    a, b = (v.T.copy() if f else v for v, f in zip((a, b), flip, strict=True))
    scale = {"alpha": 0.5, "beta": -1.5} if yes(rng) else {}
    flips = {"transA": int(flip[0]), "transB": int(flip[1])}
    return case(op, a, b, *extra, opset=opset, **flips, **scale)


@draws("MatMul")
def matmul(rng: Any, opset: int, op: str) -> Case:
    m, n, k = (int(i) for i in rng.integers(1, 5, 3))
    lead = shape(rng, 0, 2)
    left, right = ([1 if yes(rng, 0.3) else d for d in lead] for _ in range(2))
    a = signal(rng, *left[int(rng.integers(len(left) + 1)) :], m, k)
    b = rng.standard_normal((*right[int(rng.integers(len(right) + 1)) :], k, n))
    a = signal(rng, k) if yes(rng, 0.2) else a
    b = rng.standard_normal(k) if yes(rng, 0.2) else b
    return case(op, a, b, opset=opset, live=(0,))


@draws("BatchNormalization")
def batch_normalization(rng: Any, opset: int, op: str) -> Case:
    dims = [2, 3, *shape(rng, 0, 3)]
    vectors = rng.standard_normal((4, 3))
    epsilon = {"epsilon": 0.125} if yes(rng) else {}
    return case(op, signal(rng, *dims), *vectors[:3], abs(vectors[3]) + 0.3, opset=opset, **epsilon)


@draws("Split")
def split(rng: Any, opset: int, op: str) -> Case:
    dims = shape(rng)
    axis = int(rng.integers(len(dims)))
    sizes = [int(n) for n in rng.integers(1, 4, int(rng.integers(1, 4)))]
    equal = yes(rng, 0.4)
    sizes = [sizes[0]] * len(sizes) if equal else sizes
    dims[axis] = sum(sizes)
    given = axis - len(dims) * (yes(rng) and opset >= 11)
    extra, attrs = ([], {}) if equal else parameter(opset, 13, "split", sizes)
    if equal and opset >= 18:
        attrs = {"num_outputs": len(sizes)}
    return case(
        op, signal(rng, *dims), *extra, opset=opset, outputs=len(sizes), axis=given, **attrs
    )


@draws("Squeeze", "Unsqueeze")
def squeeze(rng: Any, opset: int, op: str) -> Case:
    dims = [1 if yes(rng, 0.6) else n for n in shape(rng, 1, 4)]
    old = opset < 11
    if op == "Squeeze":
        axes = [i - len(dims) * (yes(rng) and not old) for i, n in enumerate(dims) if n == 1]
        if not axes or yes(rng, 0.2):
            return case(op, signal(rng, *dims), opset=opset)
    else:
        rank = len(dims) + int(rng.integers(1, 3))
        picked = rng.permutation(rank)[: rank - len(dims)].tolist()
        axes = sorted(picked) if old else [a - rank * yes(rng) for a in picked]
    extra, attrs = parameter(opset, 13, "axes", axes)
    return case(op, signal(rng, *dims), *extra, opset=opset, **attrs)


@draws("Clip")
def clip(rng: Any, opset: int, op: str) -> Case:
    x = signal(rng, *shape(rng))
    low, high = (-0.75 if yes(rng) else None), (0.5 if yes(rng) else None)
    if opset < 11:
        bounds = {"min": low, "max": high}
        return case(op, x, opset=opset, **{k: v for k, v in bounds.items() if v is not None})
    given = [None if v is None else np.array(v) for v in (low, high)]
    return case(op, x, *given, opset=opset)
