"""What is known of the sign of an ONNX node's outputs, by the algebra of `dftlrp.core.signs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from onnx import helper

from dftlrp.core.signs import (
    NONNEG,
    UNKNOWN,
    ZERO,
    Sign,
    find_sign,
    join,
    maximum,
    minimum,
    multiply,
    sign_of,
)

Inputs = Sequence[Any]
Attributes = Mapping[str, Any]

NEVER_NEGATIVE = {
    "Abs", "And", "ArgMax", "ArgMin", "Equal", "Exp", "Greater", "GreaterOrEqual", "HardSigmoid",
    "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "LpPool", "GlobalLpPool", "NonZero", "Not",
    "Or", "ReduceL1", "ReduceL2", "ReduceSumSquare", "Shape", "Sigmoid", "Size", "Softmax",
    "Softplus", "Sqrt", "Xor",
}  # fmt: skip
AS_FIRST_INPUT = {
    "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "Ceil", "CumSum", "DepthToSpace",
    "Dropout", "Erf", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND",
    "GlobalAveragePool", "GlobalMaxPool", "HardSwish", "Identity", "MaxPool", "Reciprocal",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Reshape", "ReverseSequence",
    "Round", "Sign", "Sinh", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tanh", "Tile", "TopK",
    "Transpose", "Unsqueeze",
}  # fmt: skip
FUNCTIONS = {  # ops that read what the function of that name takes
    "Add": "add", "Clip": "clip", "Div": "divide", "MatMul": "matmul", "Mul": "multiply",
    "Neg": "negative", "Pow": "power", "Relu": "pos", "Sub": "subtract", "Where": "where",
}  # fmt: skip


def find_node_sign(op: str, inputs: Inputs, attributes: Attributes, place: int = 0) -> Sign:
    """Return what is known of the sign of a node's output; the inputs are symbols or constants."""
    if op in NEVER_NEGATIVE or (place > 0 and op in {"TopK", "MaxPool"}):  # of places
        return NONNEG
    if op in AS_FIRST_INPUT:
        return sign_of(inputs[0])
    if op in FUNCTIONS:
        return find_sign(FUNCTIONS[op], *inputs)
    return RULES[op](inputs, attributes) if op in RULES else UNKNOWN


def _fold(f: Callable[[Sign, Sign], Sign]) -> Callable[[Inputs, Attributes], Sign]:
    return lambda xs, _: reduce(f, map(sign_of, xs))


def _find_conv(xs: Inputs, _: Attributes) -> Sign:
    product = find_sign("conv", *xs[:2])
    return join(product, sign_of(xs[2])) if len(xs) > 2 and xs[2] is not None else product


def _find_gemm(xs: Inputs, attributes: Attributes) -> Sign:
    return UNKNOWN if attributes.keys() & {"alpha", "beta"} else _find_conv(xs, attributes)


def _find_pad(xs: Inputs, _: Attributes) -> Sign:
    filled = len(xs) > 2 and xs[2] is not None
    return join(sign_of(xs[0]), sign_of(xs[2]) if filled else ZERO)


def _find_leaky(xs: Inputs, attributes: Attributes) -> Sign:
    sign = sign_of(xs[0])
    return sign if attributes.get("alpha", 0.01) >= 0 else Sign(sign.nonneg or sign.nonpos, False)


def _find_cast(xs: Inputs, attributes: Attributes) -> Sign:
    return find_sign("astype", xs[0], helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _find_resize(xs: Inputs, attributes: Attributes) -> Sign:
    return UNKNOWN if attributes.get("mode") in ("cubic", b"cubic") else sign_of(xs[0])


def _find_scatter(xs: Inputs, attributes: Attributes) -> Sign:
    known = attributes.get("reduction", "none") != "mul"
    return join(sign_of(xs[0]), sign_of(xs[2])) if known else UNKNOWN


RULES: dict[str, Callable[[Inputs, Attributes], Sign]] = {
    **dict.fromkeys(("Concat", "Sum", "Mean"), _fold(join)),
    "Max": _fold(maximum),
    "Min": _fold(minimum),
    "Einsum": _fold(multiply),
    "Conv": _find_conv,
    "ConvTranspose": _find_conv,
    "Gemm": _find_gemm,
    "Pad": _find_pad,
    "LeakyRelu": _find_leaky,
    "Cast": _find_cast,
    "Resize": _find_resize,
    "OneHot": lambda xs, _: sign_of(xs[2]),
    "ScatterElements": _find_scatter,
    "ConstantOfShape": lambda _, attributes: UNKNOWN if "value" in attributes else ZERO,
}
