"""The geometry that convolutions and pools share: strides, dilations, pads, auto_pad, ceil_mode."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dftlrp.core.backend import Window
from dftlrp.core.types import InputError, UnsupportedModelError
from dftlrp.ops.registry import At

TAP = 2**6  # what a tap of a kernel takes beside its samples, in float64s
Pads = tuple[tuple[int, int], ...]


def split_pads(total: Sequence[int], more_at_end: bool) -> Pads:
    """Return how many samples to pad before and after each axis; of an odd number one gets more."""
    halves = [(t // 2, t - t // 2) for t in total]
    return tuple((a, b) if more_at_end else (b, a) for a, b in halves)


def read_geometry(at: At, kernel: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return strides and dilations.

    Raises
    ------
    ValueError
        A kernel, stride, dilation or number of groups is below 1, or a pad below 0.
    UnsupportedModelError
        The kernel has so many taps that not each of them can be looked at.
    """
    strides, dilations = (
        tuple(at.get_attr(k, [1] * len(kernel))) for k in ("strides", "dilations")
    )
    pads = at.get_attr("pads", [0])
    least = min((*kernel, *strides, *dilations, at.get_attr("group", 1)), default=1)
    if least < 1 or min(pads) < 0:
        raise ValueError(
            f"kernel {kernel}, strides {strides}, dilations {dilations} and groups must be at "
            f"least 1, pads {pads} at least 0"
        )
    at.grant([*kernel, TAP])
    return strides, dilations


def _read_window_pads(
    at: At, size: tuple[int, ...], span: Sequence[int], strides: tuple[int, ...]
) -> Pads:
    """Return the declared pads, or those by which auto_pad keeps the size."""
    rank, auto = len(size), at.get_attr("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        axes = zip(size, strides, span, strict=True)
        total = [max((-(-n // s) - 1) * s + w - n, 0) for n, s, w in axes]
        return split_pads(total, more_at_end=auto != "SAME_LOWER")
    flat = [0] * 2 * rank if auto == "VALID" else at.get_attr("pads", [0] * 2 * rank)
    return tuple(zip(flat[:rank], flat[rank:], strict=True))


def find_window(at: At, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    """Return the node's window at an input of that spatial size.

    Raises
    ------
    UnsupportedModelError
        The kernel has another rank than the input, or the window takes too much memory.
    InputError
        The input is shorter than the window.
    """
    if len(size) != len(kernel):
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({at.node.op}): kernel {kernel} does not fit an input with "
            f"{len(size)} spatial axes: the recording has another rank than the model reads"
        )
    strides, dilations = read_geometry(at, kernel)
    span = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    pads = _read_window_pads(at, size, span, strides)
    padded = at.grant([n + sum(p) for n, p in zip(size, pads, strict=True)])
    if any(w > n for w, n in zip(span, padded, strict=True)) and not at.get_attr("ceil_mode", 0):
        raise InputError(
            f"node {at.node.key!r} ({at.node.op}): an input of {size} samples is shorter than its "
            f"window of {tuple(span)}: the recording is too short for the model"
        )
    count = [(n - w) // s + 1 for n, w, s in zip(padded, span, strides, strict=True)]
    at.grant([math.prod(kernel), math.prod(max(n, 1) for n in count)])
    return Window(kernel, strides, dilations, pads, at.get_attr("group", 1))


def grow_to_ceil(g: Window, size: tuple[int, ...]) -> Window:
    """Return the window with end pads grown so that a last, partial window counts (ceil_mode).

    A window that would start in the end pads does not count (ONNX and torch agree on this).
    """
    pads = []
    axes = zip(size, g.kernel, g.strides, g.dilations, g.pads, strict=True)
    for n, k, s, d, (begin, end) in axes:
        span = d * (k - 1) + 1
        count = -(-(n + begin + end - span) // s) + 1
        count -= (count - 1) * s >= n + begin
        pads.append((begin, max(end, (count - 1) * s + span - n - begin)))
    return g._replace(pads=tuple(pads))
