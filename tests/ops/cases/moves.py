"""Cases of data movement, and of ops that carry none."""

from __future__ import annotations

import numpy as np
from graphs import normal

from ops.case import NEW, POSITIVE, TIES, X1, X2, Case, M, case, ints, wave


def reshapes() -> list[Case]:
    x = wave(2, 1, 3, 1, 4)
    return [
        case("Reshape", x, ints(0, -1, 2)),
        case("Reshape", x, ints(-1), opset=9),
        case("Reshape", x, ints(3, 0, 8), opset=NEW),
        case("Reshape", x, ints(4, 6), allowzero=1),
        *(case("Flatten", x, axis=a) for a in (0, 1, 3, 5)),
        case("Flatten", x, axis=-2, opset=13),
        case("Flatten", x, opset=9),
        case("Squeeze", x, axes=[1, 3], opset=9),
        case("Squeeze", x, axes=[-2], opset=11),
        case("Squeeze", x, opset=11),
        case("Squeeze", x, ints(1, -2), opset=13),
        case("Squeeze", x, opset=NEW),
        case("Unsqueeze", M, axes=[0, 3], opset=9),
        case("Unsqueeze", M, axes=[-1], opset=11),
        case("Unsqueeze", M, ints(0, -1), opset=13),
        case("Unsqueeze", M, ints(1), opset=NEW),
        case("Identity", M, opset=9),
        case("Identity", M, opset=NEW),
        case("Dropout", M, ratio=0.5, opset=9),
        case("Dropout", M, np.array(0.5, np.float32)),
        case("Dropout", M, np.array(0.5, np.float32), np.array(False), outputs=2, opset=13),
        case("Cast", M, to=11, opset=9),
        case("Cast", M, to=7),
        case("Cast", M, to=9),
        case("CastLike", M, normal(2), opset=15),
        case("CastLike", M, ints(2), opset=NEW),
        case("Cast", ints(0, 3), to=11, live=()),
        case("Cast", ints(0, 3), to=9, live=()),
    ]


def movements() -> list[Case]:
    x = wave(3, 4, 6)
    return [
        case("Transpose", x, opset=9),
        case("Transpose", x, perm=[2, 0, 1]),
        case("Slice", x, starts=[1, -3], ends=[3, 100], axes=[0, 2], opset=9),
        case("Slice", x, starts=[1], ends=[2], opset=9),
        case("Slice", x, ints(1, 5), ints(3, -100), ints(-2, 2), ints(1, -2), opset=11),
        case("Slice", x, ints(-1), ints(-100), ints(0), ints(-1), opset=NEW),
        case("Slice", x, ints(-2, 3), ints(2**62, 0), ints(1, 2), ints(1, -1)),
        case("Slice", x, ints(1, 1), ints(2, 3)),
        case("Slice", x, ints(3), ints(-(2**62)), ints(1), ints(-3)),
        case("Slice", x, ints(-100), ints(2), ints(1), opset=13),
        case("Split", x, axis=1, split=[1, 3], outputs=2, opset=9),
        case("Split", x, axis=2, outputs=3, opset=11),
        case("Split", x, ints(3, 1), axis=-2, outputs=2, opset=13),
        case("Split", x, outputs=3, opset=13),
        case("Split", x, axis=1, num_outputs=3, outputs=3, opset=18),
        case("Split", x, ints(5, 1), axis=2, outputs=2, opset=NEW),
        case("Concat", x, wave(3, 2, 6), axis=1, live=(0, 1)),
        case("Concat", normal(3, 4, 1), x, axis=-1, live=(1,)),
        case("Concat", x, x, x, axis=0, live=(0, 2), opset=9),
        case("Concat", x, axis=2, opset=NEW),
        case("Expand", wave(3, 1), ints(2, 1, 4)),
        case("Expand", wave(2, 3, 4), ints(3, 1), opset=9),
        case("Tile", M, ints(2, 3)),
        case("Tile", M, ints(1, 2), opset=9),
        case("Gather", x, ints(0, -1, 0), axis=1),
        case("Gather", x, np.array(2), axis=-1, opset=11),
        case("Gather", x, np.array([[0, 1], [2, 2]]), opset=9),
        case("Gather", wave(2, 5), np.array([[4, 2, 0]]), axis=1),
        case("Gather", wave(2, 5), ints(-1, -2, -3, -4, -5), axis=1, opset=11),
        case("Gather", wave(2, 6), ints(-5, 3, 5), axis=-1),
        case("DepthToSpace", wave(2, 8, 2, 3), blocksize=2, opset=9),
        case("DepthToSpace", wave(2, 8, 2, 3), blocksize=2, mode="CRD", opset=11),
        case("SpaceToDepth", wave(2, 2, 4, 6), blocksize=2),
        case("Where", M > 0, M, wave(4), live=(1, 2)),
        case("Where", M > 0, normal(3, 1), M, live=(2,), opset=9),
        case("Where", M[0] > 0, M, np.array(0.5), live=(1,), opset=NEW),
    ]


def gathers() -> list[Case]:
    x = wave(3, 4, 6)
    index = np.array([[[0, -1, 2, 1, 1, 0]], [[3, 3, 0, 0, 1, 2]]])
    pooled, places = wave(1, 2, 2, 2), np.array([[[[5, 7], [9, 15]], [[16, 19], [26, 31]]]])
    square = {"kernel_shape": [2, 2], "strides": [2, 2]}
    return [
        case("GatherElements", x, index[:, :, :4], axis=1, opset=11),
        case("GatherElements", M, ints(0, 2, 1, 0)[None], opset=13),
        case("GatherND", x, np.array([[0, 1], [-1, 3]]), opset=11),
        case("GatherND", x, np.array([[1], [0], [2]])[:, None], batch_dims=1, opset=12),
        case("GatherND", x, np.array([[[0, 1, 2]]]), opset=NEW),
        case("ReverseSequence", x, ints(2, 4, 1), time_axis=1, batch_axis=0, opset=10),
        case("ReverseSequence", x, ints(3, 1, 2, 3), opset=NEW),
        case("ReverseSequence", x, ints(3, 3, 3, 3), opset=NEW),
        case("Trilu", x, opset=14),
        case("Trilu", x, np.array(2), upper=0, opset=NEW),
        case("Compress", x, np.array([True, False, True]), axis=1, opset=9),
        case("Compress", x, np.array([False, True, True]), opset=11),
        case("CenterCropPad", x, ints(4, 3), axes=[2, 1], opset=18),
        case("CenterCropPad", x, ints(6, 7, 3), opset=NEW),
        case("MaxUnpool", pooled, places, **square, opset=9),
        case("MaxUnpool", pooled, places, **square, opset=NEW),
        case("TopK", x, ints(3), axis=-1, outputs=2, opset=10),
        case("TopK", x, ints(2), axis=1, largest=0, outputs=2, opset=11),
        case("TopK", TIES, ints(5), outputs=2, opset=NEW),
        case("Col2Im", wave(1, 8, 12), ints(4, 5), ints(2, 2), opset=18),
        case(
            "Col2Im",
            wave(2, 6, 6),
            ints(6, 4),
            ints(3, 2),
            pads=[1, 0, 1, 2],
            strides=[2, 2],
            dilations=[1, 2],
            opset=NEW,
        ),
    ]


def scatters() -> list[Case]:
    x = wave(3, 4)
    columns, rows = np.array([[1, 3, 0], [2, -1, 1]]), np.array([[[0], [2]]])
    return [
        case("Scatter", x, columns, wave(2, 3), axis=1, live=(0, 2), opset=9),
        case("ScatterElements", x, columns, wave(2, 3), axis=-1, live=(0, 2), opset=11),
        case("ScatterElements", x, columns, normal(2, 3), axis=1, opset=13),
        case("ScatterElements", normal(3, 4), columns, wave(2, 3), axis=1, live=(2,), opset=16),
        case(
            "ScatterElements",
            x,
            columns * 0,
            wave(2, 3),
            axis=1,
            live=(0, 2),
            reduction="add",
            opset=16,
        ),
        case("ScatterElements", x, columns * 0, wave(2, 3), reduction="max", live=(), opset=18),
        case("ScatterND", x, rows, wave(1, 2, 4), live=(0, 2), opset=11),
        case("ScatterND", x, np.array([[0, 1], [2, 2]]), wave(2), live=(2,), opset=13),
        case("ScatterND", x, rows * 0, normal(1, 2, 4), reduction="add", opset=16),
        case("ScatterND", x, rows * 0, wave(1, 2, 4), reduction="add", live=(2,), opset=NEW),
        case("ScatterND", x, rows * 0, wave(1, 2, 4), reduction="mul", live=(), opset=NEW),
    ]


def paddings() -> list[Case]:
    x = wave(2, 3, 5)
    return [
        case("Pad", x, pads=[0, 1, 2, 0, 0, 1], opset=9),
        case("Pad", x, pads=[0, 0, 1, 1, 0, 2], value=0.5, opset=9),
        case("Pad", x, pads=[0, 0, 2, 0, 0, 3], mode="reflect", opset=9),
        case("Pad", x, pads=[0, 0, 2, 0, 0, 7], mode="edge", opset=9),
        case("Pad", x, ints(0, 0, 1, 0, 0, 2), np.array(-1.5), opset=11),
        case("Pad", x, ints(0, 0, -1, 0, 1, -2), opset=13),
        case("Pad", x, ints(0, 0, 2, 0, 0, 4), mode="reflect", opset=13),
        case("Pad", x, ints(1, 2), np.array(0.5), ints(-1), opset=18),
        case("Pad", x, ints(1, 0, 2, 3), None, ints(2, 1), opset=NEW),
        case("Pad", x, ints(0, 1, 2, 0, 1, 3), mode="wrap", opset=19),
    ]


def stops() -> list[Case]:
    compared = [
        case(op, M, normal(4), live=(), opset=NEW)
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ]
    logical = [case(op, M > 0, M[0] > 0, live=()) for op in ("And", "Or", "Xor")]
    return [
        *compared,
        *logical,
        case("Equal", ints(1, 2), ints(1, 3), live=(), opset=9),
        case("Not", M > 0, live=()),
        *(case(op, M, live=()) for op in ("Floor", "Ceil", "Sign")),
        case("Round", np.array([0.5, 1.5, -2.5, 0.4]), live=()),
        *(
            case(op, ints(5, 12), ints(6, 10), live=(), opset=18)
            for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
        ),
        case("BitwiseNot", ints(5, -12), live=(), opset=18),
        *(
            case(
                "BitShift",
                np.array([16, 4, 1], np.uint8),
                np.array([1, 2, 3], np.uint8),
                direction=d,
                live=(),
                opset=11,
            )
            for d in ("LEFT", "RIGHT")
        ),
        case("IsInf", np.array([1.0, np.nan, np.inf, -np.inf]), live=()),
        case("IsInf", np.array([1.0, np.inf, -np.inf]), detect_negative=0, live=(), opset=20),
        case("OneHot", ints(0, 1, 2), ints(3), np.array([0.0, 2.0]), live=(), opset=9),
        case("OneHot", ints(0, -1, 7)[None], ints(3), ints(1, 5), axis=0, live=(), opset=11),
        case("NonZero", np.where(M > 0, M, 0), live=(), opset=9),
        case("Unique", ints(4, 1, 1, 3), outputs=4, live=(), opset=11),
        case("Unique", ints(4, 1, 1, 3), sorted=0, outputs=4, live=(), opset=11),
        case("Unique", np.array([[1, 0, 1], [2, 3, 2]]), axis=1, outputs=4, live=(), opset=NEW),
        case("EyeLike", M, k=1, live=(), opset=9),
        case("EyeLike", M, dtype=7, live=(), opset=NEW),
        case("IsNaN", np.array([1.0, np.nan, np.inf]), live=()),
        case("Mod", ints(7, -7, 7, -7), ints(3, 3, -3, -3), live=()),
        case("Mod", np.array([7.5, -7.5, 7.5]), np.array([2.0, 2.0, -2.0]), fmod=1, live=()),
        case("Mod", ints(7, -7, 7, -7), ints(3, 3, -3, -3), fmod=1, live=()),
        *(case(op, M, live=()) for op in ("ArgMax", "ArgMin")),
        case("ArgMax", TIES, axis=-1, keepdims=0, live=()),
        *(
            case(op, TIES, axis=-1, select_last_index=1, live=(), opset=13)
            for op in ("ArgMax", "ArgMin")
        ),
        case("Shape", X1, live=(), opset=9),
        case("Shape", X2, start=1, end=-1, live=(), opset=15),
        case("Shape", X2, start=-2, live=(), opset=NEW),
        case("Size", X1, live=()),
        case("Constant", value=np.array([[1.0, 2.0]]), live=(), opset=9),
        case("Constant", value_floats=[1.0, 2.0], live=(), opset=13),
        case("Constant", value_int=3, live=(), opset=13),
        case("Constant", value_ints=[3, 4], live=(), opset=13),
        case("Constant", value_float=0.5, live=(), opset=NEW),
        case("ConstantOfShape", ints(2, 3), live=()),
        case("ConstantOfShape", ints(2), value=np.array([7], np.int64), live=()),
        case("Range", np.array(1), np.array(8), np.array(3), live=()),
        case("Range", np.array(2.0), np.array(-1.0), np.array(-0.5), live=()),
        case("ReduceProd", POSITIVE, axes=[1], live=()),
        case("ReduceProd", ints(2, 3, 4), keepdims=0, live=()),
        case("ReduceProd", POSITIVE, ints(0), opset=18, live=()),
    ]


CASES = [
    *reshapes(),
    *movements(),
    *gathers(),
    *scatters(),
    *paddings(),
    *stops(),
]
