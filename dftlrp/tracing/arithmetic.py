"""Elementwise functions of symbols, simplified while their nodes are written.

Numbers are gathered: (x + a) + b is x + (a + b), and (a x + b) c is (a c) x + b c.  A step times
what it steps on is the positive part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from dftlrp.core.signs import NONNEG, join
from dftlrp.tracing.symbols import (
    FLOAT,
    Operand,
    Symbol,
    broadcast_shapes,
    find_dtype,
    find_number,
    shrink,
)
from dftlrp.tracing.tape import FUNCTIONS, Tape

STEEP = 3e38  # slope of a HardSigmoid that is a step: onnxruntime's fastest on a CPU
BOOL = np.dtype(bool)


def write_unary(tape: Tape, op: str, x: Symbol, **attributes: Any) -> Symbol:
    """Append a node with one input and an output of its shape and dtype."""
    return tape.add_node(op, x, shape=x.shape, dtype=x.dtype, **attributes)


def write_binary(tape: Tape, op: str, a: Operand, b: Operand, dtype: Any = None) -> Symbol:
    """Append a node with two inputs that are broadcast; ``dtype`` is that of its output.

    As in NumPy, what meets a float becomes one.  Constants are stored as small as they are.
    """
    shape = broadcast_shapes(a, b)
    own = find_dtype((a, b))
    if "f" in (_find_dtype_kind(a), _find_dtype_kind(b)):
        own = FLOAT
        a, b = (x.astype(own) if isinstance(x, Symbol) else x for x in (a, b))
    if not isinstance(a, Symbol):
        a = shrink(np.asarray(a), b.shape)
    if not isinstance(b, Symbol):
        b = shrink(np.asarray(b), a.shape)
    return tape.add_node(op, a, b, shape=shape, dtype=dtype or own, like=own)


def _find_dtype_kind(x: Operand) -> str:
    return (x if isinstance(x, Symbol) else np.asarray(x)).dtype.kind


def _fits(x: Operand, y: Symbol) -> bool:
    """Whether x is broadcast to the shape of y."""
    return broadcast_shapes(y, x) == y.shape


# -- sums


def add(tape: Tape, x: Operand, y: Operand) -> Any:
    """Return x + y."""
    if not isinstance(x, Symbol):
        x, y = y, x
    c = find_number(y)
    if c is not None and _fits(y, x) and x.dtype.kind == "f":
        if c == 0:
            return x
        if x.origin.op == "Add" and (d := find_number(x.origin.inputs[1])) is not None:
            return add(tape, x.origin.inputs[0], np.asarray(c + d))
        y = np.asarray(c)
    if isinstance(y, Symbol) and (one := _merge_convolutions(tape, x, y)) is not None:
        return one
    return write_binary(tape, "Add", x, y)


def _merge_convolutions(tape: Tape, x: Symbol, y: Symbol) -> Symbol | None:
    """conv(a, v) + conv(b, w) = conv([a b], [v w]), where a and b are smaller than the sum."""
    both = x.origin.op == y.origin.op == "Conv" and x.origin.attributes == y.origin.attributes
    if not both or x.origin.attribute("group") != 1 or x.shape != y.shape:
        return None
    (a, v), (b, w) = x.origin.inputs, y.origin.inputs
    if isinstance(v, Symbol) or isinstance(w, Symbol) or a.size + b.size > x.size:
        return None
    inputs = np.concatenate((a, b), 1), np.concatenate((v, w), 1)
    attributes = dict(x.origin.attributes)
    return tape.add_node("Conv", *inputs, shape=x.shape, **attributes).with_sign(
        join(x.sign, y.sign)
    )


def subtract(tape: Tape, x: Operand, y: Operand) -> Any:
    """Return x - y."""
    if not isinstance(y, Symbol):
        return add(tape, x, -np.asarray(y))
    if isinstance(x, Symbol) and (on := _find_steps(x, y)) is not None:
        half = write_unary(tape, "HardSigmoid", on, alpha=STEEP, beta=0.5)
        return add(tape, _scale(tape, half, 2.0), np.asarray(-1.0))  # faster than Sign
    if isinstance(x, Symbol) or not _fits(x, y):
        return write_binary(tape, "Sub", x, y)
    if find_number(x) == 0:
        return negative(tape, y)
    if find_number(x) == 1 and y.origin.op == "HardSigmoid":
        return write_binary(tape, "Sub", np.asarray(1.0), y).with_sign(NONNEG)
    return write_binary(tape, "Sub", x, y)


def _find_steps(a: Symbol, b: Symbol) -> Symbol | None:
    """Return x where these are step(x) and step(-x), both strict, whose difference is its sign."""
    if not (_is_step(a) and _is_step(b) and a.origin.attribute("beta") == 0):
        return None
    x: Symbol = a.origin.inputs[0]
    turned: Symbol = b.origin.inputs[0]
    opposite = turned.origin.op == "Neg" and turned.origin.inputs[0].name == x.name
    return x if opposite and b.origin.attribute("beta") == 0 else None


def negative(tape: Tape, x: Symbol) -> Symbol:
    """Return -x."""
    if x.origin.op == "Neg":
        before: Symbol = x.origin.inputs[0]
        return before
    return write_unary(tape, "Neg", x)


def _is_step(x: Symbol) -> bool:
    return x.origin.op == "HardSigmoid" and x.origin.attribute("alpha") == STEEP


# -- products


def multiply(tape: Tape, x: Operand, y: Operand) -> Any:
    """Return x y."""
    if not isinstance(x, Symbol):
        x, y = y, x
    c = find_number(y)
    if c is not None and x.dtype.kind == "f" and _fits(y, x):
        return _scale(tape, x, c)
    if isinstance(y, Symbol):
        parts = (_find_part(tape, a, b) for a, b in ((x, y), (y, x)))
        if (part := next((p for p in parts if p is not None), None)) is not None:
            return part
    return write_binary(tape, "Mul", x, y)


def _scale(tape: Tape, x: Symbol, c: float) -> Any:
    if c == 1:
        return x
    if c == 0:
        return np.broadcast_to(np.zeros(()), x.shape)
    if x.origin.op == "Mul" and (d := find_number(x.origin.inputs[1])) is not None:
        return _scale(tape, x.origin.inputs[0], c * d)
    if x.origin.op == "Add" and (d := find_number(x.origin.inputs[1])) is not None:
        return add(tape, _scale(tape, x.origin.inputs[0], c), np.asarray(c * d))
    return negative(tape, x) if c == -1 else write_binary(tape, "Mul", x, np.asarray(c))


def _find_part(tape: Tape, mask: Symbol, x: Symbol) -> Symbol | None:
    """``step(x) x`` and ``step(-x) x`` without a product; None for anything else."""
    if not _is_step(mask):
        return None
    on = mask.origin.inputs[0]
    if on.name == x.name:
        return pos(tape, x)
    if on.origin.op == "Neg" and on.origin.inputs[0].name == x.name:
        return negative(tape, pos(tape, on))
    return None


def divide(tape: Tape, x: Operand, y: Operand) -> Any:
    """Return x / y."""
    if not isinstance(y, Symbol):
        return multiply(tape, x, 1 / np.asarray(y))
    if not isinstance(x, Symbol) and find_number(x) == 1 and _fits(x, y):
        return write_unary(tape, "Reciprocal", y)
    return write_binary(tape, "Div", x, y)


# -- signs


def pos(tape: Tape, x: Symbol) -> Symbol:
    """Return max(x, 0)."""
    return x if x.sign.nonneg else write_unary(tape, "Relu", x)


def neg(tape: Tape, x: Symbol) -> Symbol:
    """Return min(x, 0)."""
    return x if x.sign.nonpos else negative(tape, pos(tape, negative(tape, x)))


def step(tape: Tape, x: Symbol, strict: bool) -> Any:
    """Return 1 where x > 0 (strict) or x >= 0, else 0."""
    if x.sign.nonneg and not strict:
        return np.broadcast_to(np.ones(()), x.shape)
    if x.sign.nonpos and strict:
        return np.broadcast_to(np.zeros(()), x.shape)
    return write_unary(tape, "HardSigmoid", x, alpha=STEEP, beta=0.0 if strict else 1.0)


def absolute(tape: Tape, x: Symbol) -> Symbol:
    """Return the magnitude of x."""
    return x if x.sign.nonneg else write_unary(tape, "Abs", x)


# -- functions that are one node


def astype(tape: Tape, x: Symbol, dtype: np.dtype[Any]) -> Symbol:
    """Return x in another dtype."""
    code = helper.np_dtype_to_tensor_dtype(dtype)
    return tape.add_node("Cast", x, shape=x.shape, dtype=dtype, to=code)


def isfinite(tape: Tape, x: Symbol) -> Symbol:
    """Return where x is neither infinite nor NaN."""
    wrong = write_binary(tape, "Or", isinf(tape, x), _write_truth(tape, "IsNaN", x), BOOL)
    return _write_truth(tape, "Not", wrong)


def isinf(tape: Tape, x: Symbol, **signs: int) -> Symbol:
    """Return where x is infinite."""
    return _write_truth(tape, "IsInf", x, **signs)


def _write_truth(tape: Tape, op: str, x: Symbol, **attributes: Any) -> Symbol:
    return tape.add_node(op, x, shape=x.shape, dtype=BOOL, **attributes)


def _make_unary(op: str) -> Callable[..., Symbol]:
    return lambda tape, x: write_unary(tape, op, x)


def _make_binary(op: str, dtype: Any = None) -> Callable[..., Symbol]:
    return lambda tape, a, b: write_binary(tape, op, a, b, dtype)


UNARY = {
    "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "erf": "Erf", "sigmoid": "Sigmoid",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "rint": "Round",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "arcsin": "Asin", "arccos": "Acos",
    "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "arcsinh": "Asinh",
    "arccosh": "Acosh", "arctanh": "Atanh",
}  # fmt: skip
COMPARISONS = {
    "equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual",
}  # fmt: skip
FUNCTIONS |= {
    "add": add, "subtract": subtract, "negative": negative, "multiply": multiply,
    "divide": divide, "power": _make_binary("Pow"), "maximum": _make_binary("Max"),
    "minimum": _make_binary("Min"), "absolute": absolute, "pos": pos, "neg": neg, "step": step,
    "astype": astype, "isfinite": isfinite, "isinf": isinf,
    "isneginf": lambda tape, x: isinf(tape, x, detect_positive=0),
    "isnan": lambda tape, x: _write_truth(tape, "IsNaN", x),
    **{name: _make_unary(op) for name, op in UNARY.items()},
    **{name: _make_binary(op, BOOL) for name, op in COMPARISONS.items()},
}  # fmt: skip
