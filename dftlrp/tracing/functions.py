"""NumPy's functions on symbolic arrays, those that ONNX has: so an op's text serves both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dftlrp.tracing.symbols import FLOAT, FUNCTIONS, UFUNCS, Symbol, axes_of, shape_of, sign_of
from dftlrp.tracing.tape import Tape


def _ufunc(op: str, sign: int = 0) -> Any:
    def call(tape: Tape, *args: Any) -> Any:
        if len(args) == 1:
            return tape.unary(op, args[0], sign)
        return tape.binary(op, args[0], args[1], sign)

    return call


def _extreme(op: str) -> Any:
    def call(
        tape: Tape, x: Symbol, axis: Any = None, keepdims: bool = False, initial: Any = None
    ) -> Symbol:
        axes = axes_of(x, axis)
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        if tape.opset >= 18:
            given: tuple[Any, ...] = (np.array(axes, np.int64),)
            attrs = {}
        else:
            given, attrs = (), {"axes": list(axes)}
        y = tape.node(op, x, *given, shape=shape, sign=x.sign, dtype=x.dtype, **attrs)
        if initial is not None and np.isfinite(initial):
            y = tape.binary(op.removeprefix("Reduce"), y, np.asarray(initial))
        return y if keepdims else y.reshape(tuple(n for i, n in enumerate(shape) if i not in axes))

    return call


def _where(tape: Tape, condition: Any, a: Any, b: Any) -> Symbol:
    own = next((x.dtype for x in (a, b) if isinstance(x, Symbol)), FLOAT)
    shape = np.broadcast_shapes(*map(shape_of, (condition, a, b)))
    sign = sign_of(a) if sign_of(a) == sign_of(b) else 0
    a, b = (x if isinstance(x, Symbol) else np.asarray(x, own) for x in (a, b))
    return tape.node("Where", condition, a, b, shape=shape, sign=sign, dtype=own)


def _is_infinite(tape: Tape, x: Symbol) -> Symbol:
    truth: dict[str, Any] = {"shape": x.shape, "dtype": np.dtype(bool)}
    return tape.node("IsInf", x, detect_positive=0, **truth)


def _is_finite(tape: Tape, x: Symbol) -> Symbol:
    truth: dict[str, Any] = {"shape": x.shape, "dtype": np.dtype(bool)}
    wrong = tape.node("Or", tape.node("IsInf", x, **truth), tape.node("IsNaN", x, **truth), **truth)
    return tape.node("Not", wrong, **truth)


def _einsum(tape: Tape, equation: str, *xs: Any, **_: Any) -> Symbol:
    left, out = equation.split("->")
    sizes: dict[str, int] = {}
    for term, x in zip(left.split(","), xs, strict=True):
        for c, n in zip(term, shape_of(x), strict=True):
            sizes[c] = max(n, sizes.get(c, 1))
    sign = math.prod(map(sign_of, xs))
    shape = tuple(sizes[c] for c in out)
    return tape.node("Einsum", *xs, shape=shape, sign=sign, equation=equation)


def _stack(tape: Tape, xs: Sequence[Any], axis: int = 0) -> Symbol:
    axis %= len(shape_of(xs[0])) + 1
    thick = (*shape_of(xs[0])[:axis], 1, *shape_of(xs[0])[axis:])
    return tape.concat([x.reshape(thick) for x in xs], axis)


def _cumsum(tape: Tape, x: Symbol, axis: int, dtype: Any = None) -> Symbol:
    return tape.node("CumSum", x, np.int64(axis), shape=x.shape, sign=x.sign, dtype=x.dtype)


def _flip(_: Tape, x: Symbol, axis: int) -> Symbol:
    return x[(slice(None),) * (axis % x.ndim) + (slice(None, None, -1),)]


def _moveaxis(tape: Tape, x: Symbol, source: int, target: int) -> Symbol:
    order = [i for i in range(x.ndim) if i != source % x.ndim]
    order.insert(target % x.ndim, source % x.ndim)
    return tape.transpose(x, order)


def _argsort(tape: Tape, x: Symbol, axis: int, kind: str) -> Symbol:
    """Ascending and stable, as TopK is, too."""
    own, whole = (x.shape, x.dtype, x.sign), (x.shape, np.dtype(np.int64), 1)
    count = np.array([x.shape[axis]], np.int64)
    return tape.many("TopK", [x, count], [own, whole], axis=axis, largest=0)[1]


def _take_along_axis(tape: Tape, x: Any, index: Any, axis: int) -> Symbol:
    own: dict[str, Any] = {"sign": sign_of(x), "dtype": x.dtype}
    return tape.node("GatherElements", x, index, shape=shape_of(index), axis=axis, **own)


def _clip(tape: Tape, x: Symbol, low: Any, high: Any) -> Symbol:
    sign = int(x.sign > 0 or np.asarray(low) >= 0)
    return tape.node("Clip", x, np.asarray(low, x.dtype), np.asarray(high, x.dtype),
                     shape=x.shape, sign=sign, dtype=x.dtype)  # fmt: skip


FUNCTIONS |= {
    "where": _where, "isneginf": _is_infinite, "einsum": _einsum, "stack": _stack,
    "max": _extreme("ReduceMax"), "amax": _extreme("ReduceMax"), "min": _extreme("ReduceMin"),
    "amin": _extreme("ReduceMin"),
    "sum": lambda _, x, axis=None, keepdims=False: x.sum(axis, keepdims),
    "concatenate": lambda t, xs, axis=0: t.concat(xs, axis),
    "cumsum": _cumsum, "flip": _flip, "moveaxis": _moveaxis, "clip": _clip,
    "argsort": _argsort, "take_along_axis": _take_along_axis,
    "full_like": lambda _, x, value: np.full(x.shape, value, x.dtype),
    "zeros_like": lambda _, x: np.zeros(x.shape, x.dtype),
    "ones_like": lambda _, x, dtype=None: np.ones(x.shape, dtype or x.dtype),
    "pad": lambda t, x, pads, constant_values=0.0: t.pad(x, pads, constant_values),
}  # fmt: skip
UFUNCS |= {
    "add": lambda t, a, b: b + a if isinstance(b, Symbol) else a + b,
    "subtract": lambda t, a, b: t.sub(a, b),
    "multiply": lambda t, a, b: b * a if isinstance(b, Symbol) else a * b,
    "divide": lambda t, a, b: t.div(a, b),
    "negative": lambda t, a: -a,
    "absolute": lambda t, a: abs(a),
    "power": lambda t, a, b: t.binary("Pow", a, b, int(sign_of(a) > 0)),
    "sqrt": _ufunc("Sqrt", 1),
    "exp": _ufunc("Exp", 1),
    "log": _ufunc("Log"),
    "tanh": _ufunc("Tanh"),
    "sign": _ufunc("Sign"),
    "floor": _ufunc("Floor"),
    "ceil": _ufunc("Ceil"),
    "rint": _ufunc("Round"),
    **{n: _ufunc(n.capitalize()) for n in ("sin", "cos", "tan", "sinh", "cosh")},
    "arcsin": _ufunc("Asin"), "arccos": _ufunc("Acos"), "arctan": _ufunc("Atan"),
    "arcsinh": _ufunc("Asinh"), "arccosh": _ufunc("Acosh"), "arctanh": _ufunc("Atanh"),
    "isfinite": _is_finite, "clip": _clip,
    "maximum": _ufunc("Max"), "minimum": _ufunc("Min"),
    **{
        name: lambda t, a, b, op=op: t.compare(op, a, b)
        for name, op in {
            "equal": "Equal", "greater": "Greater", "less": "Less",
            "greater_equal": "GreaterOrEqual", "less_equal": "LessOrEqual",
        }.items()
    },
}  # fmt: skip
