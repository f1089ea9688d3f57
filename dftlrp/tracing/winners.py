"""Max pools of symbols without indices: one axis at a time, by masks of the parts of a window.

The first of the largest in row-major order is the first row that holds the largest, and in it the
first column: so a pool over several axes is a pool over the last, then over the one before.
On one axis the k parts of all windows are k slices of the padded input; with stride s these
are contiguous in the s phases of it.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Window
from dftlrp.core.dispatch import apply
from dftlrp.core.numpy_backend import is_whole
from dftlrp.core.types import Shape
from dftlrp.tracing.movement import WHOLE, cut_axis
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

LOWEST = -3.0e38  # of padding, instead of -inf, which has no difference


class Line(NamedTuple):
    """Geometry on one axis: n samples padded to a multiple of the stride, and the windows."""

    axis: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    n: int
    out: int

    @property
    def rows(self) -> int:
        """Samples of each phase."""
        reach = (self.kernel - 1) * self.dilation
        return max(-(-(self.begin + self.n) // self.stride), self.out + reach // self.stride)

    @property
    def end(self) -> int:
        """Padding after the last sample."""
        return self.rows * self.stride - self.begin - self.n

    @property
    def does_nothing(self) -> bool:
        """Whether each window is one sample."""
        return self.kernel == self.stride == 1 and self.begin == self.end == 0

    @property
    def taps(self) -> range:
        """The taps that read a sample in some window; the others read only padding."""
        last = self.begin - (self.out - 1) * self.stride  # of the last window, at sample 0
        first = max(0, -(-last // self.dilation))
        end = min(self.kernel, (self.begin + self.n - 1) // self.dilation + 1)
        return range(first, end) or range(1)

    def find_part(self, tap: int) -> tuple[int, int]:
        """Return the phase and the first row of what a tap reads."""
        row, phase = divmod(tap * self.dilation, self.stride)
        return phase, row


def pick_winners(tape: Tape, v: Any, x: Any, g: Window) -> Any:
    """Return the contract's `maxpool`."""
    if isinstance(x, Symbol) and is_whole(x.shape[2:], g):
        ones = (1,) * (x.ndim - 2)
        picked = (_mark_largest(tape, x) * v.reshape((*v.shape[:2], -1))).sum(axis=2)
        return picked.reshape((*v.shape[:2], *ones))
    for line in _find_lines(g, x.shape[2:]):
        x, masks = _mask_winners(_split_parts(tape, x, line, LOWEST))
        parts = _split_parts(tape, v, line, 0.0)
        v = reduce(add, (q if m is None else m * q for m, q in zip(masks, parts, strict=True)))
    return v


def spread_to_winners(tape: Tape, r: Any, x: Any, g: Window) -> Any:
    """Return the contract's `maxpool_T`."""
    if isinstance(x, Symbol) and is_whole(x.shape[2:], g):
        return (_mark_largest(tape, x) * r.reshape((*x.shape[:2], 1))).reshape(x.shape)
    steps = []
    for line in _find_lines(g, x.shape[2:]):
        x, masks = _mask_winners(_split_parts(tape, x, line, LOWEST))
        steps.append((line, masks))
    for line, masks in reversed(steps):
        shares = [r if m is None else m * r for m in masks]
        if len(shares) == 2:  # what the first does not win is the second's
            shares[1] = r - shares[0]
        r = _join_parts(shares, line)
    return r


def _find_lines(g: Window, size: Shape) -> list[Line]:
    """Return the axes on which something is pooled, the last first."""
    lines = []
    for i in reversed(range(len(size))):
        k, s, d, (b, e), n = g.kernel[i], g.strides[i], g.dilations[i], g.pads[i], size[i]
        lines.append(Line(i + 2, k, s, d, b, n, (n + b + e - d * (k - 1) - 1) // s + 1))
    return [line for line in lines if not line.does_nothing]


def _mark_largest(tape: Tape, x: Symbol) -> Symbol:
    """Return 1 at the first of the largest of each channel, flattened."""
    flat = x.reshape((*x.shape[:2], -1))
    best = tape.add_node("ArgMax", flat, shape=flat.shape[:2], dtype=WHOLE, axis=2, keepdims=0)
    ends = np.array([0, 1], np.float32)
    return tape.add_node("OneHot", best, np.int64(flat.shape[2]), ends, shape=flat.shape, axis=-1)


# -- the parts of all windows on one axis


def _split_parts(tape: Tape, x: Any, line: Line, fill: float) -> list[Any]:
    """Return for each tap the samples that it reads of all windows."""
    phases = _split_phases(tape, x, line, fill)
    places = map(line.find_part, line.taps)
    return [cut_axis(phases[phase], line.axis, row, row + line.out) for phase, row in places]


def _split_phases(tape: Tape, x: Any, line: Line, fill: float) -> list[Any]:
    """Return the padded input's samples s apart, one array for each of the first s samples."""
    x = _pad_line(cut_axis(x, line.axis, 0, line.n + min(line.end, 0)), line, fill)
    s, a = line.stride, line.axis
    if s == 1:
        return [x]
    lead, rest = x.shape[:a], x.shape[a + 1 :]
    wide = x.reshape((*lead, line.rows, s, *rest))
    if not isinstance(x, Symbol):
        return [wide.take(i, a + 1) for i in range(s)]
    one = (*lead, line.rows, 1, *rest)
    sizes = np.ones(s, np.int64)
    parts = tape.add_outputs("Split", [wide, sizes], [(one, x.dtype)] * s, axis=a + 1)
    return [part.reshape((*lead, line.rows, *rest)) for part in parts]


def _pad_line(x: Any, line: Line, fill: float) -> Any:
    return _pad_along(x, line.axis, line.begin, max(line.end, 0), fill)


def _pad_along(x: Any, axis: int, begin: int, end: int, fill: float = 0.0) -> Any:
    pads = tuple((begin, end) if i == axis else (0, 0) for i in range(x.ndim))
    return np.pad(x, pads, constant_values=fill)


def _mask_winners(parts: list[Any]) -> tuple[Any, list[Any]]:
    """Return the largest of the parts, and for each a mask of the windows that it wins."""
    best, kept = parts[0], list[Any]()
    for part in parts[1:]:
        kept.append(apply("step", best - part, False))  # the later wins if strictly greater
        best = np.maximum(best, part)
    masks, rest = list[Any](), None  # rest: no later one wins
    for keeps in reversed(kept):
        masks.append(1 - keeps if rest is None else (1 - keeps) * rest)
        rest = keeps if rest is None else rest * keeps
    return best, [rest, *reversed(masks)]


def _join_parts(parts: list[Any], line: Line) -> Any:
    """Return the adjoint of `_split_parts`: the parts added up in the input's shape."""
    a = line.axis
    phases: list[Any] = [None] * line.stride
    for tap, part in zip(line.taps, parts, strict=True):
        phase, row = line.find_part(tap)
        placed = _pad_along(part, a, row, line.rows - row - line.out)
        phases[phase] = placed if phases[phase] is None else phases[phase] + placed
    some = next(x for x in phases if x is not None)
    lead, rest = some.shape[:a], some.shape[a + 1 :]
    filled = [np.broadcast_to(np.zeros(()), some.shape) if x is None else x for x in phases]
    wide = [x.reshape((*lead, line.rows, 1, *rest)) for x in filled]
    joined = np.concatenate(wide, a + 1).reshape((*lead, line.rows * line.stride, *rest))
    joined = cut_axis(joined, a, line.begin, line.begin + line.n)
    return _pad_along(joined, a, 0, line.n - joined.shape[a])
