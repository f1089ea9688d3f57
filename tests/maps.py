"""Random affine maps, by family: geometry from hypothesis, numbers from a seed.

Each strategy gives an `At` whose arrays are the reference backend's.  ``fill`` says which
numbers the signals hold; weights and constants are normal, never exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from graphs import Real, at_node
from hypothesis import strategies as st

from dftlrp.ops import At

FILLS = ("mixed", "negative", "positive", "holes", "zero")
Draw = Any


def fill(kind: str, rng: np.random.Generator, *shape: int) -> Real:
    """Signals: any sign, all below zero, all above, with exact zeros, or nothing but these."""
    x = rng.standard_normal(shape)
    holes = rng.random(shape) < 0.6
    return {
        "mixed": x,
        "negative": -np.abs(x),
        "positive": np.abs(x),
        "holes": np.where(holes, 0, x),
        "zero": 0 * x,
    }[kind]


def _ints(draw: Draw, rank: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))


def _start(draw: Draw) -> tuple[np.random.Generator, Callable[..., Real]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return rng, lambda *shape: fill(draw(st.sampled_from(FILLS)), rng, *shape)


def _bias(draw: Draw, rng: np.random.Generator, *shape: int) -> list[Real]:
    return [rng.standard_normal(shape)] if draw(st.booleans()) else []


def _channels(draw: Draw) -> tuple[int, int, int]:
    """Groups, and channels of a group on either side; depthwise included."""
    groups = draw(st.integers(1, 2))
    return groups, draw(st.integers(1, 2)), draw(st.integers(1, 2))


@st.composite
def conv(draw: Draw) -> At:
    rng, signal = _start(draw)
    rank = draw(st.integers(1, 3))
    groups, c, o = _channels(draw)
    kernel, stride = _ints(draw, rank, 1, 3 if rank < 3 else 2), _ints(draw, rank, 1, 2)
    dilation, pads = _ints(draw, rank, 1, 2), _ints(draw, 2 * rank, 0, 1)
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [w + e for w, e in zip(span, _ints(draw, rank, 0, 2 if rank < 3 else 1), strict=True)]
    x = signal(draw(st.integers(1, 2)), groups * c, *size)
    args = [x, rng.standard_normal((groups * o, c, *kernel)), *_bias(draw, rng, groups * o)]
    return at_node("Conv", args, group=groups, strides=stride, dilations=dilation, pads=pads)


@st.composite
def conv_transpose(draw: Draw) -> At:
    rng, signal = _start(draw)
    rank = draw(st.integers(1, 2))
    groups, c, o = _channels(draw)
    kernel, stride, dilation = (
        _ints(draw, rank, 2, 3),
        _ints(draw, rank, 1, 3),
        _ints(draw, rank, 1, 2),
    )
    pads = _ints(draw, 2 * rank, 0, 1)
    extra = [draw(st.integers(0, s - 1)) for s in stride]
    x = signal(draw(st.integers(1, 2)), groups * c, *_ints(draw, rank, 2, 3))
    args = [x, rng.standard_normal((groups * c, o, *kernel)), *_bias(draw, rng, groups * o)]
    geometry = {"strides": stride, "dilations": dilation, "pads": pads, "output_padding": extra}
    return at_node("ConvTranspose", args, group=groups, **geometry)


@st.composite
def gemm(draw: Draw) -> At:
    rng, signal = _start(draw)
    m, k, n = (draw(st.integers(1, 4)) for _ in range(3))
    turned, flipped = draw(st.booleans()), draw(st.booleans())
    x = signal(*((k, m) if turned else (m, k)))
    w = rng.standard_normal((n, k) if flipped else (k, n))
    bias = [
        rng.standard_normal(s)
        for s in draw(st.sampled_from([[], [(n,)], [(1, n)], [(m, 1)], [()]]))
    ]
    numbers = {
        "alpha": draw(st.sampled_from([1.0, -0.5])),
        "beta": draw(st.sampled_from([1.0, 2.0])),
    }
    return at_node("Gemm", [x, w, *bias], transA=int(turned), transB=int(flipped), **numbers)


@st.composite
def matmul(draw: Draw) -> At:
    rng, signal = _start(draw)
    m, k, n = (draw(st.integers(1, 3)) for _ in range(3))
    left, right = draw(
        st.sampled_from(
            [
                ((m, k), (k, n)),
                ((2, m, k), (k, n)),
                ((2, 1, m, k), (3, k, n)),
                ((m, k), (2, k, n)),
                ((k,), (k, n)),
                ((m, k), (k,)),
                ((2, m, k), (k,)),
                ((k,), (2, k, n)),
                ((k,), (k,)),
            ]
        )
    )
    side = draw(st.integers(0, 1))
    args = (
        [signal(*left), rng.standard_normal(right)]
        if side == 0
        else [rng.standard_normal(left), signal(*right)]
    )
    return at_node("MatMul", args, live=(side,))


@st.composite
def average_pool(draw: Draw) -> At:
    _, signal = _start(draw)
    rank = draw(st.integers(1, 2))
    kernel, stride = _ints(draw, rank, 2, 3), _ints(draw, rank, 1, 3)
    size = [k + e for k, e in zip(kernel, _ints(draw, rank, 0, 3), strict=True)]
    return at_node(
        "AveragePool",
        [signal(draw(st.integers(1, 2)), 2, *size)],
        opset=19,
        kernel_shape=kernel,
        strides=stride,
        pads=_ints(draw, 2 * rank, 0, 1),
        ceil_mode=draw(st.integers(0, 1)),
        count_include_pad=draw(st.integers(0, 1)),
    )


@st.composite
def global_average_pool(draw: Draw) -> At:
    _, signal = _start(draw)
    return at_node("GlobalAveragePool", [signal(2, 2, *_ints(draw, draw(st.integers(1, 2)), 1, 4))])


@st.composite
def batch_normalization(draw: Draw) -> At:
    rng, signal = _start(draw)
    x = signal(2, 3, *_ints(draw, draw(st.integers(0, 2)), 1, 3))
    g, b, mean = rng.standard_normal((3, 3))
    return at_node("BatchNormalization", [x, g, b, mean, rng.random(3) + 0.1], epsilon=1e-3)


@st.composite
def reduction(draw: Draw) -> At:
    _, signal = _start(draw)
    x = signal(*_ints(draw, draw(st.integers(1, 4)), 1, 3))
    axes = draw(st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1))
    axes = [a - x.ndim * draw(st.booleans()) for a in axes]
    op = draw(st.sampled_from(["ReduceSum", "ReduceMean"]))
    return at_node(op, [x, np.array(axes)], keepdims=draw(st.integers(0, 1)))


_PAIRS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((2, 3, 2), (3, 1)), ((), (2, 3))]


@st.composite
def two_signals(draw: Draw) -> At:
    _, signal = _start(draw)
    shapes = draw(st.sampled_from(_PAIRS))
    return at_node(draw(st.sampled_from(["Add", "Sub"])), [signal(*s) for s in shapes], live=(0, 1))


@st.composite
def signal_and_constant(draw: Draw) -> At:
    rng, signal = _start(draw)
    shapes = draw(st.permutations(draw(st.sampled_from(_PAIRS))))
    op = draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
    side = 0 if op == "Div" else draw(st.integers(0, 1))
    args = [signal(*s) if i == side else rng.standard_normal(s) for i, s in enumerate(shapes)]
    return at_node(op, args, live=(side,))


@st.composite
def many_signals(draw: Draw) -> At:
    _, signal = _start(draw)
    live = draw(st.sampled_from([(0, 1, 2), (0, 2), (1,)]))
    return at_node(
        draw(st.sampled_from(["Sum", "Mean"])), [signal(2, 3) for _ in range(3)], live=live
    )


@st.composite
def negation(draw: Draw) -> At:
    _, signal = _start(draw)
    return at_node("Neg", [signal(2, 3)])


MAPS = {
    f.__name__: f()
    for f in (
        conv,
        conv_transpose,
        gemm,
        matmul,
        average_pool,
        global_average_pool,
        batch_normalization,
        reduction,
        two_signals,
        signal_and_constant,
        many_signals,
        negation,
    )
}
