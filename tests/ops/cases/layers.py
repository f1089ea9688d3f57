"""Cases of layers with weights, sums, pools, reductions, normalisations and activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import normal

from ops.case import NEW, POSITIVE, TIES, X1, X2, X3, Case, M, case, ints, wave


def convolutions() -> list[Case]:
    w1, w2, w3 = normal(4, 3, 3), normal(4, 3, 3, 2), normal(2, 2, 2, 3, 2)
    b = normal(4)
    one = [
        case("Conv", X1, w1),
        case("Conv", X1, w1, b, strides=[2], pads=[2, 1], dilations=[2]),
        case("Conv", X1, normal(6, 1, 3), normal(6), group=3, opset=9),
        *(
            case("Conv", X1[..., :n], normal(4, 3, k), auto_pad=auto, strides=[s])
            for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")
            for n, k, s in ((11, 4, 2), (10, 3, 3), (11, 5, 1))
        ),
    ]
    return [
        *one,
        case("Conv", X2, w2, b, strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
        case("Conv", X2, w2, kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[3, 2]),
        case("Conv", X3, w3, normal(2), pads=[1, 0, 1, 0, 1, 0], opset=NEW),
    ]


def transposed() -> list[Case]:
    w = normal(3, 2, 4)
    return [
        case("ConvTranspose", X1, w, opset=9),
        case("ConvTranspose", X1, w, normal(2), strides=[3], pads=[1, 2], output_padding=[2]),
        case("ConvTranspose", X1, normal(3, 2, 3), group=3, strides=[2], dilations=[2]),
        case("ConvTranspose", X2, normal(3, 2, 3, 2), normal(2), strides=[2, 1], pads=[1, 0, 0, 1]),
        *(
            case("ConvTranspose", X1, w, strides=[3], output_shape=[n], **auto)
            for n in (33, 32, 31)
            for auto in ({}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"})
        ),
        *(
            case("ConvTranspose", X1, normal(3, 2, k), strides=[s], auto_pad=auto)
            for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")
            for k, s in ((4, 3), (4, 1), (3, 2))
        ),
        case("ConvTranspose", X3, normal(2, 1, 2, 2, 2), strides=[1, 2, 1], opset=NEW),
    ]


def dense() -> list[Case]:
    a, b = wave(3, 4), normal(4, 5)
    return [
        case("Gemm", a, b, opset=11),
        case("Gemm", a, b, normal(5), opset=9),
        case("Gemm", a, b, normal(3, 1), opset=NEW),
        case("Gemm", a, b, np.array(0.7), alpha=0.5, beta=-2.0),
        case("Gemm", a.T, b.T, normal(3, 5), transA=1, transB=1, alpha=0.5),
        case("MatMul", a, b),
        case("MatMul", a, b, live=(1,), opset=9),
        case("MatMul", wave(2, 1, 3, 4), normal(5, 4, 2)),
        case("MatMul", normal(5, 3, 4), wave(4, 2), live=(1,)),
        case("MatMul", wave(4), b),
        case("MatMul", a, normal(4)),
        case("MatMul", normal(4), wave(2, 4, 3), live=(1,)),
        case("MatMul", wave(4), normal(4), opset=NEW),
        case("BatchNormalization", X1, *normal(3, 3), np.array([0.5, 1, 2]), opset=9),
        case(
            "BatchNormalization", X2, *normal(3, 3), np.array([0.5, 1, 2]), epsilon=0.125, opset=14
        ),
        case("BatchNormalization", X2[:, :, 0, 0], *normal(3, 3), np.array([0.5, 1, 2]), opset=15),
    ]


def sums() -> list[Case]:
    pairs = [(M, wave(4)), (wave(3, 1), wave(2, 1, 4)), (np.array(0.3), M)]
    each = [case(op, *p, live=(0, 1)) for op in ("Add", "Sub") for p in pairs]
    products = [case("Mul", *p, live=live) for p in pairs for live in ((0,), (1,))]
    return [
        *each,
        *products,
        case("Add", M, normal(4), opset=9),
        case("Sub", normal(2, 3, 4), M, live=(1,), opset=NEW),
        *(case("Div", p, q) for p, q in pairs),
        case("Div", ints(7, -7, 7, -7), ints(2, 2, -2, -2), live=()),
        case("Neg", M),
        case("Neg", ints(1, -2), live=()),
        case("Sum", M, live=(0,)),
        case("Sum", M, wave(4), wave(2, 3, 4), live=(0, 1, 2)),
        case("Sum", M, wave(4), normal(2, 3, 4), live=(0, 1)),
        case("Mean", M, wave(4), live=(0, 1)),
        case("Mean", M, normal(4), wave(1, 1), live=(0, 2), opset=9),
    ]


def activations() -> list[Case]:
    plain = (
        "Relu",
        "Sigmoid",
        "Tanh",
        "Softplus",
        "Softsign",
        "Exp",
        "Erf",
        "Elu",
        "Selu",
        "LeakyRelu",
        "ThresholdedRelu",
        "HardSigmoid",
        "Abs",
        "Reciprocal",
        *("Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh"),
    )
    inside = 0.9 * np.tanh(0.5 * M)
    return [
        *(case(op, M, opset=9) for op in plain),
        *(case(op, POSITIVE) for op in ("Log", "Sqrt")),
        case("LeakyRelu", M, alpha=0.25),
        case("Elu", M, alpha=0.5),
        case("Selu", M, alpha=1.5, gamma=2.0),
        case("ThresholdedRelu", M, alpha=0.25),
        case("HardSigmoid", M, alpha=0.5, beta=0.25),
        case("PRelu", X1, normal(3, 1), opset=9),
        case("PRelu", X1, normal(1), opset=16),
        case("Celu", M, alpha=0.5, opset=12),
        case("HardSwish", M, opset=14),
        case("Mish", M, opset=18),
        *(case(op, inside, opset=9) for op in ("Asin", "Acos", "Atanh")),
        case("Acosh", 1 + POSITIVE, opset=NEW),
        case("Shrink", M, opset=9, rtol=1e-7),
        case("Shrink", M, lambd=0.75, bias=0.25, rtol=1e-7),
        case("Swish", M, opset=24, oracle=False),
        case("Swish", M, alpha=0.5, opset=NEW, oracle=False),
        case("Gelu", M, opset=20),
        case("Gelu", M, approximate="tanh", opset=NEW, rtol=1e-7),
        case("Pow", POSITIVE, np.array(0.5)),
        case("Pow", M, np.array([2.0, 3, 1, 4]), opset=9),
        case("Pow", M, np.array(3, np.int64), opset=12),
        case("Pow", POSITIVE, np.array(-1.5), opset=NEW),
        case("Clip", M, min=-0.5, max=0.75, opset=9),
        case("Clip", M, max=0.5, opset=9),
        case("Clip", M, opset=9),
        case("Clip", M, np.array(-0.5), np.array(0.75), opset=11),
        case("Clip", M, None, np.array(0.5), opset=13),
        case("Clip", M, np.array(0.0), opset=NEW),
        *(case(op, M, wave(3, 4)[::-1], live=(0, 1)) for op in ("Max", "Min")),
        *(case(op, M, normal(4), live=(0,)) for op in ("Max", "Min")),
        *(case(op, M, np.array(0.0), live=(0,)) for op in ("Max", "Min")),
        *(case(op, np.array(0.25), M, normal(3, 1), live=(1,), opset=9) for op in ("Max", "Min")),
        *(
            case(op, wave(4), normal(3, 4), wave(3, 1), live=(0, 2), opset=NEW)
            for op in ("Max", "Min")
        ),
        case("Max", M, M, live=(0, 1)),
    ]


def norms() -> list[Case]:
    g, b = normal(3), normal(3)
    groups = wave(2, 4, 5)
    return [
        case("LayerNormalization", X1, normal(11), normal(11), rtol=1e-6),
        case("LayerNormalization", X2, normal(7, 6), axis=-2, epsilon=0.25, rtol=1e-6),
        case("LayerNormalization", X1, *normal(2, 3, 11), axis=1, outputs=3, opset=NEW, rtol=1e-6),
        case("InstanceNormalization", X1, g, b, opset=9),
        case("InstanceNormalization", X2, g, b, epsilon=0.125, opset=NEW),
        case("GroupNormalization", groups, *normal(2, 2), num_groups=2, opset=18, rtol=1e-6),
        case("GroupNormalization", groups, *normal(2, 4), num_groups=2, opset=21, rtol=1e-6),
        case("GroupNormalization", X2, g, b, num_groups=1, epsilon=0.25, opset=NEW, rtol=1e-6),
        case("RMSNormalization", X1, normal(11), opset=23),
        case("RMSNormalization", X2, normal(7, 6), axis=2, epsilon=0.125, opset=NEW),
        case("LRN", X2, size=3, alpha=0.5, beta=0.6, bias=1.5, opset=9),
        case("LRN", wave(2, 6, 5, 2), size=5, alpha=0.9, opset=13),
        case("MeanVarianceNormalization", X2, opset=9, rtol=1e-6),
        case("MeanVarianceNormalization", X2, axes=[0, 2], opset=13, rtol=1e-6),
        case("LpNormalization", X1, opset=9),
        case("LpNormalization", X1, axis=1, p=1, opset=NEW),
        case("LpNormalization", X1, axis=0, p=2),
    ]


def ends() -> list[Case]:
    x = wave(2, 3, 4)
    return [
        case(op, x, live=() if op == "Hardmax" else (0,), opset=opset, **axis)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for opset, axis in (
            (9, {}),
            (11, {"axis": 2}),
            (11, {"axis": -2}),
            (13, {}),
            (13, {"axis": 1}),
            (NEW, {"axis": 0}),
        )
    ]


def pools() -> list[Case]:
    geometry: list[dict[str, Any]] = [
        {"kernel_shape": [3]},
        {"kernel_shape": [3], "strides": [2], "pads": [1, 1]},
        {"kernel_shape": [4], "strides": [3], "pads": [0, 1], "ceil_mode": 1},
        {"kernel_shape": [2], "strides": [3], "pads": [1, 1], "ceil_mode": 1},
        {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [4], "strides": [2], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [3], "strides": [2], "auto_pad": "VALID"},
    ]
    dilated = {"kernel_shape": [3], "strides": [2], "pads": [2, 1], "dilations": [2]}
    flat = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
    inside = [{**g, "count_include_pad": 1} for g in (*geometry, flat)]
    return [
        *(case("MaxPool", X1, **g) for g in geometry),
        case("MaxPool", X1, **dilated, opset=11),
        case("MaxPool", X1, **dilated, ceil_mode=1, opset=12),
        case("MaxPool", X2, **flat, opset=9),
        case("MaxPool", X3, kernel_shape=[2, 2, 2], opset=NEW),
        case("MaxPool", X2, kernel_shape=[2, 3], strides=[2, 1], outputs=2, opset=12),
        case("MaxPool", X2, kernel_shape=[2, 2], storage_order=1, outputs=2, opset=NEW),
        *(case("LpPool", X1, **g, opset=11) for g in geometry if "ceil_mode" not in g),
        case("LpPool", X2, **flat, p=1, opset=9),
        case("LpPool", X1, **dilated, p=3, opset=NEW),
        case("GlobalLpPool", X2, opset=9),
        case("GlobalLpPool", X1, p=1),
        case("MaxPool", TIES, kernel_shape=[3], pads=[1, 1]),
        case("MaxPool", -np.abs(X1), kernel_shape=[3], pads=[2, 2]),
        *(case("AveragePool", X1, **g) for g in geometry),
        *(case("AveragePool", X1 if len(g["kernel_shape"]) == 1 else X2, **g) for g in inside),
        case("AveragePool", X2, **flat, opset=9),
        case("AveragePool", X2, **flat, ceil_mode=1, opset=11),
        case("AveragePool", X1, **dilated, opset=19),
        case("AveragePool", X1, **dilated, count_include_pad=1, opset=NEW),
        case("AveragePool", X3, kernel_shape=[2, 2, 2]),
        *(case(op, x) for op in ("GlobalAveragePool", "GlobalMaxPool") for x in (X1, X2, X3)),
    ]


def reductions() -> list[Case]:
    x, out = wave(2, 3, 4), []
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"):
        as_input = 13 if op == "ReduceSum" else 18
        out += [
            case(op, x, axes=[1], opset=9),
            case(op, x, axes=[-1, 0], keepdims=0, opset=11),
            case(op, x, opset=9),
            case(op, x, ints(1, -1), opset=as_input),
            case(op, x, ints(0), keepdims=0, opset=NEW),
            case(op, x, opset=as_input),
            case(op, x, opset=as_input, noop_with_empty_axes=1),
            case(op, x, ints(), opset=as_input, noop_with_empty_axes=0),
            case(op, TIES, axes=[2], opset=11),
        ]
    for op in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"):
        v = np.abs(x) if op == "ReduceLogSum" else x
        out += [
            case(op, v, axes=[1], opset=9),
            case(op, v, axes=[-1, 0], keepdims=0, opset=13),
            case(op, v, ints(0), opset=18),
            case(op, v, opset=18),
            case(op, v, ints(1, 2), keepdims=0, opset=NEW),
        ]
    flags = [{"exclusive": e, "reverse": r} for e in (0, 1) for r in (0, 1)]
    out += [case("CumSum", x, np.array(i - 1), **f) for i, f in enumerate(flags[:3])]
    out += [case("CumSum", x, np.array(1), **flags[3], opset=NEW)]
    return [*out, *(case("CumProd", x, np.array(1), live=(), **f, opset=NEW) for f in flags)]


CASES = [
    *convolutions(),
    *transposed(),
    *dense(),
    *sums(),
    *activations(),
    *ends(),
    *pools(),
    *reductions(),
    *norms(),
]
