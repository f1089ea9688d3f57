"""Winners of max pools without indices: one axis at a time, by masks of the parts of a window.

The first of the largest in row-major order is the first row that holds the largest, and in it the
first column: so a pool over several axes is a pool over the last, then over the one before.
On one axis the k parts of all windows are k slices of the padded input; with stride s these
are contiguous in the s phases of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Window
from dftlrp.core.numpy_backend import whole
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

LOWEST = -3.0e38  # of padding, instead of -inf, which has no difference
Pad = Callable[..., Any]


class Pool(NamedTuple):
    """What a pool is traced with."""

    tape: Tape
    pad: Pad
    g: Window


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

    def place(self, tap: int) -> tuple[int, int]:
        """Phase and first row of a part."""
        row, phase = divmod(tap * self.dilation, self.stride)
        return phase, row


def _lines(g: Window, size: tuple[int, ...]) -> list[Line]:
    """The axes, the last first."""
    lines = []
    for i in reversed(range(len(size))):
        k, s, d, (b, e), n = g.kernel[i], g.strides[i], g.dilations[i], g.pads[i], size[i]
        lines.append(Line(i + 2, k, s, d, b, n, (n + b + e - d * (k - 1) - 1) // s + 1))
    return lines


def _along(axis: int, begin: int, end: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(begin, end),)


def _phases(p: Pool, x: Any, line: Line, fill: float) -> list[Any]:
    """The padded input's samples s apart, one array for each of the first s samples."""
    pads = tuple((line.begin, line.end) if i == line.axis else (0, 0) for i in range(x.ndim))
    if line.end < 0:
        x = x[_along(line.axis, 0, line.n + line.end)]
        pads = tuple((b, max(e, 0)) for b, e in pads)
    x, s, a = p.pad(x, pads, fill), line.stride, line.axis
    if s == 1:
        return [x]
    lead, rest = x.shape[:a], x.shape[a + 1 :]
    if not isinstance(x, Symbol):
        wide = x.reshape(*lead, line.rows, s, *rest)
        return [wide.take(i, a + 1) for i in range(s)]
    wide = p.tape.reshape(x, (*lead, line.rows, s, *rest))
    one = (*lead, line.rows, 1, *rest)
    parts = p.tape.many(
        "Split", [wide, np.ones(s, np.int64)], [(one, x.dtype, x.sign)] * s, axis=a + 1
    )
    return [p.tape.reshape(part, (*lead, line.rows, *rest)) for part in parts]


def _parts(p: Pool, x: Any, line: Line, fill: float) -> list[Any]:
    """For each tap the samples it reads of all windows."""
    phases = _phases(p, x, line, fill)
    places = map(line.place, range(line.kernel))
    return [phases[phase][_along(line.axis, row, row + line.out)] for phase, row in places]


def _masks(p: Pool, parts: list[Any]) -> tuple[Any, list[Any]]:
    """The largest part, and for each a mask of the windows that it wins."""
    best, masks = parts[0], [None]
    for part in parts[1:]:
        before = p.tape.step(best - part, strict=False)  # the later wins if strictly greater
        masks = [before if m is None else m * before for m in masks] + [1 - before]
        best = p.tape.binary("Max", best, part, max(best.sign, part.sign))
    return best, masks


def _joined(p: Pool, parts: list[Any], line: Line) -> Any:
    """Adjoint of `_parts`: what each tap gives, added up in the input's shape."""
    a = line.axis
    phases: list[Any] = [None] * line.stride
    for tap, part in enumerate(parts):
        phase, row = line.place(tap)
        after = line.rows - row - line.out
        pads = tuple((row, after) if i == a else (0, 0) for i in range(part.ndim))
        placed = p.pad(part, pads)
        phases[phase] = placed if phases[phase] is None else phases[phase] + placed
    some = next(x for x in phases if x is not None)
    lead, rest = some.shape[:a], some.shape[a + 1 :]
    thick = (*lead, line.rows, 1, *rest)
    filled = [np.broadcast_to(np.zeros(()), some.shape) if x is None else x for x in phases]
    wide = [x.reshape(thick) for x in filled]
    whole = wide[0] if len(wide) == 1 else p.tape.concat(wide, a + 1)
    whole = whole.reshape((*lead, line.rows * line.stride, *rest))
    whole = whole[_along(a, line.begin, line.begin + line.n)]
    missing = line.n - whole.shape[a]
    return p.pad(whole, tuple((0, missing) if i == a else (0, 0) for i in range(whole.ndim)))


def _chosen(p: Pool, x: Any) -> Any:
    """1 at the first of the largest of each channel, flattened."""
    flat = x.reshape((*x.shape[:2], -1))
    size, whole = flat.shape[2], np.dtype(np.int64)
    best = p.tape.node("ArgMax", flat, shape=flat.shape[:2], dtype=whole, axis=2, keepdims=0)
    ends = np.array([0, 1], np.float32)
    return p.tape.node("OneHot", best, np.int64(size), ends, shape=flat.shape, sign=1, axis=-1)


def winners(p: Pool, v: Any, x: Any) -> Any:
    """``v`` at the winner of each window of x."""
    if isinstance(x, Symbol) and whole(x.shape[2:], p.g):
        ones = (1,) * (x.ndim - 2)
        picked = (_chosen(p, x) * v.reshape((*v.shape[:2], -1))).sum(axis=2)
        return picked.reshape((*v.shape[:2], *ones))
    for line in _lines(p.g, x.shape[2:]):
        if line.kernel == line.stride == 1 and line.begin == line.end == 0:
            continue
        x, masks = _masks(p, _parts(p, x, line, LOWEST))
        parts = _parts(p, v, line, 0.0)
        picked = [q if m is None else m * q for m, q in zip(masks, parts, strict=True)]
        v = reduce(lambda a, b: a + b, picked)
    return v


def winners_T(p: Pool, r: Any, x: Any) -> Any:
    """R of each window to its winner."""
    if isinstance(x, Symbol) and whole(x.shape[2:], p.g):
        return (_chosen(p, x) * r.reshape((*x.shape[:2], 1))).reshape(x.shape)
    steps = []
    for line in _lines(p.g, x.shape[2:]):
        if line.kernel == line.stride == 1 and line.begin == line.end == 0:
            continue
        x, masks = _masks(p, _parts(p, x, line, LOWEST))
        steps.append((line, masks))
    for line, masks in reversed(steps):
        shares = [r if m is None else m * r for m in masks]
        if len(shares) == 2:  # what the first does not win is the second's
            shares[1] = r - shares[0]
        r = _joined(p, shares, line)
    return r
