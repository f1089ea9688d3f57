"""The geometry that convolutions and pools share: strides, dilations, pads, auto_pad, ceil_mode."""

from __future__ import annotations

import math

from dftlrp.core.backend import Window
from dftlrp.core.types import InputError, UnsupportedModelError
from dftlrp.ops.registry import At

TAP = 2**6  # what a tap of a kernel takes beside its samples, in float64s


def _auto_pads(auto: str, total: list[int]) -> tuple[tuple[int, int], ...]:
    """SAME_UPPER puts the odd sample at the end, SAME_LOWER at the begin."""
    halves = [(t // 2, t - t // 2) for t in total]
    return tuple((b, a) if auto == "SAME_LOWER" else (a, b) for a, b in halves)


def refuse_bad(
    at: At, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> None:
    """Numbers that make no window, and windows of so many taps that each cannot be looked at."""
    pads = at.attr("pads", [0])
    if min((*kernel, *strides, *dilations, at.attr("group", 1)), default=1) < 1 or min(pads) < 0:
        raise ValueError(
            f"kernel {kernel}, strides {strides}, dilations {dilations} and groups must be at "
            f"least 1, pads {pads} at least 0"
        )
    at.grant([*kernel, TAP])


def window(at: At, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    """ONNX's window attributes at an input of that spatial size."""
    rank = len(kernel)
    if len(size) != rank:
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({at.node.op}): kernel {kernel} does not fit an input with "
            f"{len(size)} spatial axes: the recording has another rank than the model reads"
        )
    strides = tuple(at.attr("strides", [1] * rank))
    dilations = tuple(at.attr("dilations", [1] * rank))
    refuse_bad(at, kernel, strides, dilations)
    span = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    auto = at.attr("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        need = [
            max((-(-n // s) - 1) * s + w - n, 0)
            for n, s, w in zip(size, strides, span, strict=True)
        ]
        pads = _auto_pads(auto, need)
    else:
        flat = [0] * 2 * rank if auto == "VALID" else at.attr("pads", [0] * 2 * rank)
        pads = tuple(zip(flat[:rank], flat[rank:], strict=True))
    padded = at.grant([n + sum(p) for n, p in zip(size, pads, strict=True)])
    if any(w > n for w, n in zip(span, padded, strict=True)) and not at.attr("ceil_mode", 0):
        raise InputError(
            f"node {at.node.key!r} ({at.node.op}): an input of {size} samples is shorter than its "
            f"window of {tuple(span)}: the recording is too short for the model"
        )
    count = [(n - w) // s + 1 for n, w, s in zip(padded, span, strides, strict=True)]
    at.grant([math.prod(kernel), math.prod(max(n, 1) for n in count)])
    return Window(kernel, strides, dilations, pads, at.attr("group", 1))


def ceiled(g: Window, size: tuple[int, ...]) -> Window:
    """The window with end pads grown so that a last, partial window counts (ceil_mode).

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
