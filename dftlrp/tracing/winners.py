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

from dftlrp.core.backend import Window, is_whole
from dftlrp.core.dispatch import apply
from dftlrp.core.types import Shape
from dftlrp.tracing.movement import WHOLE, cut_axis
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

LOWEST = -3.0e38  # of padding, instead of -inf, which has no difference


class Line(NamedTuple):
    """Geometry on one axis of n samples, and the windows.

    The samples are cut or padded at the end to ``rows`` times the stride, so that each phase has
    as many: its samples are a stride apart.
    """

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
        last = (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation - self.begin
        return -(-min(self.n, last + 1) // self.stride)

    @property
    def does_nothing(self) -> bool:
        """Whether each window is one sample."""
        return self.kernel == self.stride == 1 and self.begin == 0 and self.out == self.n

    @property
    def may_miss(self) -> bool:
        """Whether a window may read no sample."""
        last = (self.out - 1) * self.stride - self.begin
        return self.dilation > 1 or self.begin >= self.kernel or last >= self.n

    @property
    def taps(self) -> range:
        """The taps that read a sample in some window; the others read only padding."""
        last = self.begin - (self.out - 1) * self.stride  # of the last window, at sample 0
        first = max(0, -(-last // self.dilation))
        end = min(self.kernel, (self.begin + self.n - 1) // self.dilation + 1)
        return range(first, end) or range(1)

    def find_part(self, tap: int) -> tuple[int, int]:
        """Return the phase of what a tap reads, and the row that the first window reads."""
        row, phase = divmod(tap * self.dilation - self.begin, self.stride)
        return phase, row


def pick_winners(tape: Tape, v: Any, x: Any, g: Window) -> Any:
    """Return the contract's `maxpool`."""
    if isinstance(x, Symbol) and is_whole(x.shape[2:], g):
        ones = (1,) * (x.ndim - 2)
        picked = (_mark_largest(tape, x) * v.reshape((*v.shape[:2], -1))).sum(axis=2)
        return picked.reshape((*v.shape[:2], *ones))
    for line in _find_lines(g, x.shape[2:]):
        x, kept = _keep_best(_split_parts(tape, x, line, LOWEST))
        masks, parts = _mask_winners(kept), _split_parts(tape, v, line, 0.0)
        v = reduce(add, (q if m is None else m * q for m, q in zip(masks, parts, strict=True)))
    return v


def spread_to_winners(tape: Tape, r: Any, x: Any, g: Window) -> Any:
    """Return the contract's `maxpool_T`."""
    if isinstance(x, Symbol) and is_whole(x.shape[2:], g):
        return (_mark_largest(tape, x) * r.reshape((*x.shape[:2], 1))).reshape(x.shape)
    steps = []
    for line in _find_lines(g, x.shape[2:]):
        x, kept = _keep_best(_split_parts(tape, x, line, LOWEST))
        steps.append((line, kept))
    for line, kept in reversed(steps):
        r = _join_parts(_share_out(r, kept), line)
    return r


def find_rivals(tape: Tape, x: Symbol, g: Window) -> tuple[Symbol, Symbol] | None:
    """Return two arrays whose larger one is the max pool, which `spread_to_winners` needs anyway.

    None where a MaxPool is better: on two axes, for which onnxruntime has a layout of its own, on
    none, and where a window may lie in the padding alone.
    """
    lines = _find_lines(g, x.shape[2:])
    if x.ndim != 3 or not lines or is_whole(x.shape[2:], g) or lines[0].may_miss:
        return None
    *parts, last = _split_parts(tape, x, lines[0], LOWEST)
    return (_keep_best(parts)[0], last) if parts else None


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
    """Return for each tap the samples that it reads of all windows.

    Those of a maximum are the maxima of parts, of which a pool of one operand has made some.
    """
    if isinstance(x, Symbol) and x.origin.op == "Max" and fill == LOWEST:
        operands = (_fit_operand(a, x.shape) for a in x.origin.inputs)
        each = (_split_parts(tape, a, line, fill) for a in operands)
        return [reduce(np.maximum, parts) for parts in zip(*each, strict=True)]
    phases = _split_phases(tape, x, line, fill)
    places = map(line.find_part, line.taps)
    return [_move_rows(phases[i], line.axis, row, line.out, fill) for i, row in places]


def _fit_operand(a: Any, shape: Shape) -> Any:
    """Return an operand in a shape that it is broadcast to; of a constant one sample is enough."""
    if isinstance(a, Symbol):
        return np.broadcast_to(a, shape)
    return np.broadcast_to(a, (1, *shape[1:]))


def _split_phases(tape: Tape, x: Any, line: Line, fill: float) -> list[Any]:
    """Return the samples s apart, one array for each of the first s samples."""
    s, a = line.stride, line.axis
    x = _move_rows(x, a, 0, line.rows * s, fill)
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


def _move_rows(x: Any, axis: int, first: int, count: int, fill: float = 0.0) -> Any:
    """Return so many rows from the first one on, which may lie before the array's own."""
    end = first + count - x.shape[axis]
    pads = tuple((-first, end) if i == axis else (0, 0) for i in range(x.ndim))
    if (first > 0 or end < 0) and not (first < 0 or end > 0):
        return cut_axis(x, axis, first, first + count)
    if isinstance(x, Symbol):
        return np.pad(x, pads, constant_values=fill)  # which cuts where a number is negative
    x = cut_axis(x, axis, max(first, 0), max(first + count, 0))
    return np.pad(x, np.maximum(pads, 0), constant_values=fill)


def _keep_best(parts: list[Any]) -> tuple[Any, list[Any]]:
    """Return the largest of the parts, and for each later one a mask of what it does not win."""
    best, kept = parts[0], list[Any]()
    for part in parts[1:]:
        kept.append(apply("step", best - part, False))  # the later wins if strictly greater
        best = np.maximum(best, part)
    return best, kept


def _mask_winners(kept: list[Any]) -> list[Any]:
    """Return for each part a mask of the windows that it wins; None where it wins all."""
    masks, rest = list[Any](), None  # rest: no later one wins
    for keeps in reversed(kept):
        masks.append(1 - keeps if rest is None else (1 - keeps) * rest)
        rest = keeps if rest is None else rest * keeps
    return [rest, *reversed(masks)]


def _share_out(r: Any, kept: list[Any]) -> list[Any]:
    """Return what each part gets of r, which its winner takes: the last one chooses first."""
    shares = list[Any]()
    for keeps in reversed(kept):
        rest = keeps * r
        shares.append(r - rest)
        r = rest
    return [r, *reversed(shares)]


def _join_parts(parts: list[Any], line: Line) -> Any:
    """Return the adjoint of `_split_parts`: the parts added up in the input's shape."""
    a = line.axis
    phases: list[Any] = [None] * line.stride
    for tap, part in zip(line.taps, parts, strict=True):
        phase, row = line.find_part(tap)
        placed = _move_rows(part, a, -row, line.rows)
        phases[phase] = placed if phases[phase] is None else phases[phase] + placed
    some = next(x for x in phases if x is not None)
    lead, rest = some.shape[:a], some.shape[a + 1 :]
    filled = [np.broadcast_to(np.zeros(()), some.shape) if x is None else x for x in phases]
    wide = [x.reshape((*lead, line.rows, 1, *rest)) for x in filled]
    joined = np.concatenate(wide, a + 1).reshape((*lead, line.rows * line.stride, *rest))
    return _move_rows(joined, a, 0, line.n)
