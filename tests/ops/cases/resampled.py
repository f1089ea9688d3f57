"""Cases of resizing, sampling, quantisation, products with fixed operands and front ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import normal

from ops.case import NEW, X1, X3, Case, M, case, ints, wave


def floats(*numbers: float) -> Any:
    """Scales and regions: float32 always."""
    return np.array(numbers, np.float32)


def resizes() -> list[Case]:
    x, none = wave(1, 2, 4, 5), np.array([], np.float32)
    by, to = floats(1, 1, 2, 0.5), ints(1, 2, 7, 3)
    modes = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    at = "coordinate_transformation_mode"
    kinds: list[dict[str, Any]] = [
        {"mode": "linear"},
        {"mode": "cubic"},
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
        *(
            {"mode": "nearest", "nearest_mode": m}
            for m in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
        ),
    ]
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 0.25}
    roi = floats(0, 0, -0.25, 0.25, 1, 1, 0.75, 1.25)
    exact = {"rtol": 2e-5}  # onnxruntime computes positions in float32
    return [
        case("Upsample", x, floats(1, 1, 2, 3), opset=9),
        case("Upsample", x, floats(1, 1, 2, 1.5), mode="linear", opset=9, **exact),
        case("Resize", x, floats(1, 1, 0.5, 2), opset=10),
        case("Resize", x, by, mode="linear", opset=10, **exact),
        *(
            case(
                "Resize",
                x,
                none,
                none,
                to,
                coordinate_transformation_mode=m,
                **k,
                opset=11,
                **exact,
            )
            for m in modes
            for k in kinds
        ),
        *(
            case("Resize", x, none, by, **{at: m}, **k, opset=13, **exact)
            for m in modes
            for k in kinds
        ),
        case(
            "Resize",
            x,
            none,
            none,
            to,
            opset=11,
            coordinate_transformation_mode="tf_half_pixel_for_nn",
        ),
        *(
            case("Resize", x, roi, none, to, mode=m, **crop, opset=13, **exact)
            for m in ("nearest", "linear")
        ),
        *(
            case(
                "Resize",
                x,
                None,
                None,
                ints(2, 3),
                axes=[2, 3],
                mode=m,
                antialias=1,
                opset=18,
                **exact,
                exclude_outside=1,
            )
            for m in ("linear", "cubic")
        ),
        *(
            case(
                "Resize",
                x,
                None,
                None,
                ints(9, 3),
                axes=[3, 2],
                mode="linear",
                opset=18,
                **exact,
                keep_aspect_ratio_policy=p,
            )
            for p in ("stretch", "not_larger", "not_smaller")
        ),
        case(
            "Resize",
            x,
            None,
            floats(2, 0.5),
            axes=[2, 3],
            mode="linear",
            opset=NEW,
            **exact,
            coordinate_transformation_mode="half_pixel_symmetric",
        ),
        case("Resize", X1, None, None, ints(23), axes=[-1], mode="linear", opset=NEW, **exact),
        case("Resize", X3, None, floats(1, 1, 2, 2, 2), opset=NEW),
        # floor(20 * 7 / 20), and positions on the edge of a sample: as float32 has them
        case(
            "Resize", wave(1, 2, 20), none, floats(1, 1, 7 / 20), mode="linear", opset=13, **exact
        ),
        case(
            "Resize",
            wave(1, 2, 20, 26),
            none,
            none,
            ints(1, 2, 22, 7),
            opset=11,
            coordinate_transformation_mode="tf_half_pixel_for_nn",
            nearest_mode="floor",
        ),
    ]


def samples() -> list[Case]:
    x, grid = wave(2, 3, 5, 4), 1.3 * np.tanh(normal(2, 3, 6, 2, seed=3))
    settings = [
        {"padding_mode": p, "align_corners": a}
        for p in ("zeros", "border", "reflection")
        for a in (0, 1)
    ]
    old = ("bilinear", "nearest", "bicubic")
    new = ("linear", "nearest", "cubic")
    rois = np.array([[0.5, 1.0, 3.5, 4.0], [1.0, 0.0, 3.0, 2.5]])
    bins = {"output_height": 2, "output_width": 3, "sampling_ratio": 2}
    return [
        *(
            case("GridSample", x, grid, mode=m, **s, opset=16, rtol=1e-5)
            for m in old
            for s in settings
        ),
        *(
            case("GridSample", x, grid, mode=m, **s, opset=20, rtol=1e-5)
            for m in new
            for s in settings[::2]
        ),
        case("GridSample", X3[:, :1], 1.2 * np.tanh(normal(1, 2, 3, 2, 3)), opset=NEW, rtol=1e-5),
        *(
            case(
                "AffineGrid", wave(2, 2, 3), ints(2, 1, 4, 3), align_corners=a, opset=20, rtol=1e-6
            )
            for a in (0, 1)
        ),
        case("AffineGrid", wave(1, 3, 4), ints(1, 1, 2, 3, 2), opset=NEW, rtol=1e-6),
        case(
            "NonMaxSuppression",
            rois[None],
            normal(1, 2, 2),
            ints(2),
            np.array([0.3]),
            live=(),
            opset=10,
        ),
        case(
            "NonMaxSuppression",
            np.abs(normal(2, 6, 4)),
            normal(2, 3, 6),
            ints(3),
            np.array([0.1]),
            np.array([-0.5]),
            center_point_box=1,
            live=(),
            opset=11,
        ),
        case("RoiAlign", x, rois, ints(1, 0), **bins, opset=10, rtol=1e-5),
        case("RoiAlign", x, rois, ints(1, 1), **bins, spatial_scale=0.75, opset=16, rtol=1e-5),
        case("RoiAlign", x, rois, ints(0, 1), output_height=1, output_width=2, opset=16, rtol=1e-5),
    ]


def attended() -> list[Case]:
    """What attention is built with: rotations and caches."""
    angles, at = normal(9, 2), np.array([[0, 3, 8], [1, 1, 2]])
    turn = [np.cos(angles), np.sin(angles)]
    cache, update = wave(2, 1, 5, 3), wave(2, 1, 2, 3)
    return [
        case("RotaryEmbedding", wave(2, 2, 3, 4), *turn, at, opset=23, rtol=1e-6),
        case(
            "RotaryEmbedding",
            wave(2, 2, 3, 4),
            *(t[at] for t in turn),
            interleaved=1,
            opset=23,
            rtol=1e-6,
        ),
        case(
            "RotaryEmbedding",
            wave(2, 3, 12),
            *turn,
            at,
            num_heads=2,
            rotary_embedding_dim=4,
            opset=NEW,
            rtol=1e-6,
        ),
        case("TensorScatter", cache, update, ints(3, 0), live=(0, 1), opset=24),
        case("TensorScatter", cache, update, ints(4, 1), mode="circular", live=(1,), opset=24),
        case("TensorScatter", cache, normal(2, 1, 2, 3), opset=NEW),
    ]


def einsums() -> list[Case]:
    a, b = wave(3, 4), normal(4, 5)
    q, k = wave(2, 3, 4, 5), normal(2, 3, 6, 5)
    return [
        case("Einsum", a, b, equation="ij,jk->ik", opset=12),
        case("Einsum", normal(5, 3), a, equation="ij,jk", live=(1,), opset=12),
        case("Einsum", q, k, equation="bhid,bhjd->bhij", opset=13),
        case("Einsum", q, normal(5, 7), equation="...d,de->...e", opset=13),
        case("Einsum", wave(4, 4), equation="ii->i", opset=12),
        case("Einsum", wave(4, 4), normal(4), equation="ii,i->i", opset=13),
        case("Einsum", a, normal(5), equation="ij,k->k", opset=13),
        case("Einsum", a, equation="ij->ji", opset=NEW),
    ]


def quantised() -> list[Case]:
    scale, zero = np.array(0.05, np.float32), np.array(3, np.int8)
    per, zeros = floats(0.05, 0.1, 0.02), np.array([0, 3, -2], np.int8)
    return [
        case("QuantizeLinear", M, scale, zero, opset=10, live=()),
        case("QuantizeLinear", M.T, per, zeros, axis=1, opset=13, live=()),
        case("QuantizeLinear", M, scale, zero, opset=21),
        case("DequantizeLinear", zero.reshape(1), scale, zero, opset=10, live=()),
        case(
            "DequantizeLinear",
            np.arange(12, dtype=np.int8).reshape(4, 3),
            per,
            zeros,
            opset=13,
            rtol=1e-6,
        ),
        case(
            "DequantizeLinear",
            np.arange(8, dtype=np.int8).reshape(2, 4),
            per[[0, 1, 2, 1]].reshape(2, 2),
            axis=1,
            block_size=2,
            rtol=1e-6,
            opset=21,
        ),
        case("DynamicQuantizeLinear", M, outputs=3, opset=11),
    ]


def front_ends() -> list[Case]:
    windows = ("HannWindow", "HammingWindow", "BlackmanWindow")
    numbers = [np.array(n) for n in (8, 64, 8000)]
    edges = [np.array(f, np.float32) for f in (50.0, 3900.0)]
    return [
        *(
            case(op, ints(9)[0], periodic=p, live=(), opset=17, rtol=1e-6)
            for op in windows
            for p in (0, 1)
        ),
        case("MelWeightMatrix", *numbers, *edges, live=(), opset=17, rtol=1e-6),
        case("MelWeightMatrix", np.array(5), *numbers[1:], *edges, live=(), opset=NEW, rtol=1e-6),
    ]


def transforms() -> list[Case]:
    x, y, z = wave(2, 12, 1), wave(2, 3, 7, 1), wave(2, 9, 2)
    window, exact = np.hanning(5), {"rtol": 1e-6}
    return [
        case("DFT", x, onesided=1),
        case("DFT", y, axis=2),
        case("DFT", y, ints(7)[0], axis=2, onesided=1),
        case("DFT", x, opset=NEW),
        case("DFT", y, None, ints(-3)[0], onesided=1, opset=NEW),
        case("DFT", z, axis=1),
        case("DFT", z, inverse=1, opset=NEW, **exact),
        case("DFT", z, ints(6)[0], axis=1, **exact),
        case("DFT", z, ints(16)[0], inverse=1, opset=NEW, **exact),
        case("DFT", x, ints(15)[0], onesided=1, **exact),
        case("STFT", x, ints(3)[0], window),
        case("STFT", x, ints(2)[0], window, ints(5)[0]),
        case("STFT", x, ints(4)[0], None, ints(4)[0], opset=NEW),
        case("STFT", x, ints(4)[0], window, onesided=0),
        case("STFT", z, ints(2)[0], window, onesided=0, opset=NEW),
        case("DFT", wave(2, 6, 3, 2), inverse=1, onesided=1, opset=NEW, **exact),
        case("DFT", z, ints(17)[0], inverse=1, onesided=1, opset=NEW, **exact),
    ]


CASES = [
    *resizes(),
    *samples(),
    *attended(),
    *einsums(),
    *quantised(),
    *front_ends(),
    *transforms(),
]
