"""The other functions of symbols: sums and extremes, products, convolutions, choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dftlrp.core.backend import Window, window_size
from dftlrp.core.types import AnyArray, Shape
from dftlrp.tracing.arithmetic import write_binary
from dftlrp.tracing.movement import WHOLE, pad, reshape
from dftlrp.tracing.symbols import Operand, Symbol, find_axes, find_dtype
from dftlrp.tracing.tape import FUNCTIONS, Tape
from dftlrp.tracing.winners import pick_winners, spread_to_winners

# -- along axes


def sum(tape: Tape, x: Symbol, axis: Any = None, keepdims: bool = False) -> Symbol:  # noqa: A001
    """Return the sum over axes."""
    axes = tuple(sorted(find_axes(x, axis)))
    if not axes:
        return x
    if axes == (1,) and not keepdims and (whole := _find_unflattened(x)) is not None:
        return sum(tape, whole, tuple(range(1, whole.ndim)))
    narrow = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = narrow if keepdims else _leave_out(narrow, axes)
    if narrow == x.shape:
        return reshape(tape, x, shape)
    given, keep = np.array(axes, WHOLE), int(keepdims)
    return tape.add_node("ReduceSum", x, given, shape=shape, dtype=x.dtype, keepdims=keep)


def _find_unflattened(x: Symbol) -> Symbol | None:
    """Return the array that x is with all axes but the first made one, or None.

    Of a transposed one, onnxruntime would add the elements in another order.
    """
    if x.origin.op != "Reshape" or x.ndim != 2:
        return None
    whole: Symbol = x.origin.inputs[0]
    alike = whole.ndim > 2 and whole.shape[0] == x.shape[0]
    return whole if alike and whole.origin.op != "Transpose" else None


def _leave_out(shape: Shape, axes: Shape) -> Shape:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _make_extreme(op: str) -> Callable[..., Symbol]:
    def find_extreme(
        tape: Tape, x: Symbol, axis: Any = None, keepdims: bool = False, initial: Any = None
    ) -> Symbol:
        axes = find_axes(x, axis)
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        if tape.opset >= 18:
            y = tape.add_node(f"Reduce{op}", x, np.array(axes, WHOLE), shape=shape, dtype=x.dtype)
        else:
            y = tape.add_node(f"Reduce{op}", x, shape=shape, dtype=x.dtype, axes=list(axes))
        if initial is not None and np.isfinite(initial):
            y = write_binary(tape, op, y, np.asarray(initial))
        return y if keepdims else reshape(tape, y, _leave_out(shape, axes))

    return find_extreme


def cumsum(tape: Tape, x: Symbol, axis: int, dtype: Any = None) -> Symbol:
    """Return the running sum along an axis."""
    return tape.add_node("CumSum", x, np.int64(axis), shape=x.shape, dtype=x.dtype)


def argsort(tape: Tape, x: Symbol, axis: int, kind: str) -> Symbol:
    """Return the places of the elements in ascending order, which is stable as TopK is."""
    count = np.array([x.shape[axis]], WHOLE)
    outputs = [(x.shape, x.dtype), (x.shape, WHOLE)]
    return tape.add_outputs("TopK", [x, count], outputs, axis=axis, largest=0)[1]


def _make_arg(op: str) -> Callable[..., Symbol]:
    def find_place(tape: Tape, x: Symbol, axis: int, keepdims: bool = False) -> Symbol:
        axes = find_axes(x, axis)
        narrow = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        shape = narrow if keepdims else _leave_out(narrow, axes)
        return tape.add_node(op, x, shape=shape, dtype=WHOLE, axis=axes[0], keepdims=int(keepdims))

    return find_place


# -- choices and constants


def where(tape: Tape, condition: Operand, a: Operand, b: Operand) -> Symbol:
    """Return a where the condition holds, else b."""
    own = find_dtype((a, b))
    shape = np.broadcast_shapes(*map(np.shape, (condition, a, b)))
    a, b = (x if isinstance(x, Symbol) else np.asarray(x, own) for x in (a, b))
    return tape.add_node("Where", condition, a, b, shape=shape, dtype=own)


def clip(tape: Tape, x: Symbol, low: Any, high: Any) -> Symbol:
    """Return x within bounds that are constants."""
    low, high = (np.asarray(bound, x.dtype) for bound in (low, high))
    return tape.add_node("Clip", x, low, high, shape=x.shape, dtype=x.dtype)


def _make_full(x: Symbol, value: float) -> AnyArray:
    return np.broadcast_to(np.full((), value, x.dtype), x.shape)


# -- products


def einsum(tape: Tape, equation: str, *xs: Operand, optimize: Any = None) -> Symbol:
    """Return a sum of products; the equation names its output."""
    left, out = equation.split("->")
    sizes: dict[str, int] = {}
    for term, x in zip(left.split(","), xs, strict=True):
        for c, n in zip(term, np.shape(x), strict=True):
            sizes[c] = max(n, sizes.get(c, 1))
    return tape.add_node("Einsum", *xs, shape=tuple(sizes[c] for c in out), equation=equation)


def matmul(tape: Tape, a: Operand, b: Operand) -> Symbol:
    """Return the matrix product."""
    left, right = np.shape(a), np.shape(b)
    shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    turned = isinstance(b, np.ndarray) and b.T.flags.c_contiguous and not b.flags.c_contiguous
    if turned and len(left) == len(right) == 2:  # one matrix serves both directions
        return tape.add_node("Gemm", a, b.T, shape=shape, transB=1)
    return tape.add_node("MatMul", a, b, shape=shape)


def conv(tape: Tape, x: Operand, w: Operand, g: Window) -> Symbol:
    """Return the contract's `conv`."""
    size, weights = np.shape(x), np.shape(w)
    shape = (size[0], weights[0], *window_size(size[2:], g))
    return tape.add_node("Conv", x, w, shape=shape, **_describe_window(g), **_write_pads(g.pads))


def conv_T(tape: Tape, r: Operand, w: Operand, g: Window, size: Shape) -> Any:
    """Return the contract's `conv_T`."""
    few = np.shape(w)[1] == 1 and g.groups == 1
    if isinstance(w, np.ndarray) and set(g.strides) == {1} and not few:
        return _flip_kernel(tape, r, w, g)
    return _transpose(tape, r, w, g, size)


def _flip_kernel(tape: Tape, r: Symbol, w: AnyArray, g: Window) -> Symbol:
    """At stride 1 the adjoint is a convolution with the flipped kernel."""
    rank = len(g.kernel)
    split = w.reshape(g.groups, w.shape[0] // g.groups, *w.shape[1:])
    swapped = split.swapaxes(1, 2).reshape(-1, w.shape[0] // g.groups, *g.kernel)
    flipped = np.flip(swapped, tuple(range(2, 2 + rank)))
    full = [(k - 1) * d for k, d in zip(g.kernel, g.dilations, strict=True)]
    pads = tuple((f - b, f - e) for f, (b, e) in zip(full, g.pads, strict=True))
    cuts = tuple((min(b, 0), min(e, 0)) for b, e in pads)
    r = pad(tape, r, ((0, 0), (0, 0), *cuts))
    return conv(tape, r, flipped, g._replace(pads=tuple((max(b, 0), max(e, 0)) for b, e in pads)))


def _transpose(tape: Tape, r: Operand, w: Operand, g: Window, size: Shape) -> Symbol:
    """Write a ConvTranspose; samples that it leaves out at the end are padded."""
    out = np.shape(r)[2:]
    axes = zip(out, g.strides, g.dilations, g.kernel, g.pads, size, strict=True)
    extra, late = [], []
    for n, s, d, k, (b, e), full in axes:
        short = full + b + e - (s * (n - 1) + d * (k - 1) + 1)  # samples no window reads
        extra.append(short if short < max(s, d) else 0)
        late.append(short - extra[-1])
    ends = [e - x for (_, e), x in zip(g.pads, late, strict=True)]
    grow = [max(-e, 0) for e in ends]
    pads = [(b, max(e, 0)) for (b, _), e in zip(g.pads, ends, strict=True)]
    sizes = (n - x for n, x in zip(size, grow, strict=True))
    shape = (np.shape(r)[0], np.shape(w)[1] * g.groups, *sizes)
    more = {"output_padding": extra} if any(extra) else {}
    attributes = {**_describe_window(g), **_write_pads(pads), **more}
    y = tape.add_node("ConvTranspose", r, w, shape=shape, **attributes)
    return pad(tape, y, ((0, 0), (0, 0), *((0, x) for x in grow)))


def _describe_window(g: Window) -> dict[str, Any]:
    """Return a window as ONNX attributes, without its pads."""
    return {
        "kernel_shape": list(g.kernel), "group": g.groups, "strides": list(g.strides),
        "dilations": list(g.dilations),
    }  # fmt: skip


def _write_pads(pads: Any) -> dict[str, Any]:
    return {"pads": [b for b, _ in pads] + [e for _, e in pads]}


FUNCTIONS |= {
    "sum": sum, "max": _make_extreme("Max"), "min": _make_extreme("Min"), "cumsum": cumsum,
    "argsort": argsort, "argmax": _make_arg("ArgMax"), "argmin": _make_arg("ArgMin"),
    "where": where, "clip": clip, "einsum": einsum, "matmul": matmul, "conv": conv,
    "conv_T": conv_T, "maxpool": pick_winners, "maxpool_T": spread_to_winners,
    "full_like": lambda _, x, value: _make_full(x, value),
    "zeros_like": lambda _, x: _make_full(x, 0), "ones_like": lambda _, x: _make_full(x, 1),
}  # fmt: skip
