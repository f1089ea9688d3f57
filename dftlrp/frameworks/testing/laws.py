"""What the conformance suite asks of each primitive and rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend, Window, window_size
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.rules import Call, rule
from dftlrp.core.types import Real
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At

Function = Callable[..., Any]  # (backend, *arrays) -> array or list of arrays
MAPS = ("Conv", "Gemm", "AveragePool", "Add")
RULES = (
    "epsilon", "epsilon(0.25)", "epsilon(at_zero=1)", "zplus", "zplus(split=0)",
    "alpha_beta(2, 1)", "alpha_beta(1, 0)", "gamma(0.25)", "gamma(split=0)", "flat", "wsquare",
    "zbox(-3, 4)", "gradient",
)  # fmt: skip


@dataclass(frozen=True)
class Law:
    """A primitive in one case: a function of a backend and of signals, and the signals."""

    primitive: str
    case: str
    f: Function
    arrays: tuple[Real, ...]


# -- the primitives


def normal(*shape: int, seed: int = 0) -> Real:
    """Random numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


A, B, POSITIVE = normal(2, 3, 4), normal(3, 1, seed=1), np.abs(normal(2, 3, 4)) + 0.1
EDGES = np.array([-1e30, -1e-7, -0.0, 0.0, 1e-7, 1e30])
PLACES = np.array([[3, -1], [0, 0]])
KEYS: dict[str, tuple[slice, ...]] = {
    "a part": (slice(0, 1), slice(1, 3), slice(1, 4, 2)),
    "all": (slice(None),) * 3,
    "downwards": (slice(None), slice(None, None, -1), slice(3, 0, -2)),
    "nothing": (slice(None), slice(2, 2), slice(None)),
}
WINDOWS: dict[str, tuple[tuple[int, ...], Window]] = {
    "one axis": ((9,), Window((3,), (1,), (1,), ((0, 0),))),
    "pads that differ": ((9,), Window((4,), (2,), (1,), ((3, 1),))),
    "dilated": ((11,), Window((3,), (1,), (3,), ((2, 2),))),
    "samples that no window reads": ((9,), Window((2,), (4,), (1,), ((0, 0),))),
    "a kernel of one": ((5,), Window((1,), (1,), (1,), ((0, 0),))),
    "one sample": ((1,), Window((1,), (1,), (1,), ((0, 0),))),
    "all of it": ((6, 5), Window((6, 5), (1, 1), (1, 1), ((0, 0), (0, 0)))),
    "two axes": ((6, 7), Window((2, 3), (2, 1), (1, 2), ((1, 0), (1, 1)))),
    "three axes": ((4, 3, 5), Window((2, 1, 2), (1, 2, 2), (1, 1, 1), ((0, 1), (0, 0), (1, 1)))),
}


def laws() -> Iterator[Law]:
    """Every primitive, in its cases."""
    for primitive, case, f, *arrays in _plain():
        yield Law(primitive, case, f, tuple(arrays))
    for case, key in KEYS.items():
        yield Law("slice", case, lambda bk, a, k=key: bk.slice(a, k), (A,))
        r = normal(*A[key].shape)
        yield Law("slice_T", case, lambda bk, r, k=key: bk.slice_T(r, k, A), (r,))
    for case, (size, g) in WINDOWS.items():
        yield from _convolutions(case, size, g)
        yield from _pools(case, size, g)


def _plain() -> Iterator[Any]:
    yield (
        "+",
        "signal, number, constant",
        lambda _, a, b: [a + b, a + 2.0, 2.0 + a, a + B.astype(a.dtype)],
        A,
        B,
    )
    yield (
        "-",
        "signal, number, constant",
        lambda _, a, b: [a - b, b - a, 1 - a, a - 1, B.astype(a.dtype) - a],
        A,
        B,
    )
    yield (
        "*",
        "signal, number, constant",
        lambda _, a, b: [a * b, 2 * a, a * a, a * B.astype(a.dtype)],
        A,
        B,
    )
    yield (
        "/",
        "signal, number, constant",
        lambda _, a, b: [a / b, 1 / b, a / 4, B.astype(b.dtype) / b],
        A,
        B,
    )
    yield "-", "unary", lambda _, a: [-a, -(-1 * a), abs(a)], A
    yield "+", "scalars", lambda _, a, b: [a + b, a * b], normal(), normal(2, 2)
    yield "pos", "signs", lambda bk, a: [bk.pos(a), bk.pos(-bk.pos(a)), bk.pos(bk.pos(a))], A
    yield "neg", "signs", lambda bk, a: [bk.neg(a), bk.neg(bk.pos(a)), bk.neg(bk.neg(a))], A
    yield "step", "ties, strict", lambda bk, a: [bk.step(a, True), bk.step(-a, True)], EDGES
    yield "step", "ties", lambda bk, a: [bk.step(a, False), bk.step(-a, False)], EDGES
    yield "step", "masks", lambda bk, a: [bk.step(a, True) * a, a * bk.step(-a, True)], A
    for name in ("exp", "erf", "tanh", "sigmoid"):
        yield name, "any sign", lambda bk, a, n=name: getattr(bk, n)(a), A
    yield "sigmoid", "far out", lambda bk, a: bk.sigmoid(a), np.array([-80.0, 0.0, 80.0])
    for name in ("log", "sqrt"):
        yield name, "positive", lambda bk, a, n=name: getattr(bk, n)(a), POSITIVE
    yield "power", "a number", lambda bk, a: bk.power(a, np.asarray(1.5, a.dtype)), POSITIVE
    yield "reshape", "-1", lambda bk, a: bk.reshape(bk.reshape(a, (6, -1)), (4, 6)), A
    yield "reshape", "axes of one", lambda bk, a: bk.reshape(a, (1, 2, 1, 12)), A
    yield "transpose", "three axes", lambda bk, a: bk.transpose(a, (2, 0, 1)), A
    yield (
        "pad",
        "a value",
        lambda bk, a: [bk.pad(a, ((0, 0), (1, 0), (2, 1)), v) for v in (0.0, -1.0)],
        A,
    )
    yield (
        "concat",
        "constants, too",
        lambda bk, a, b: bk.concat((a, bk.expand(b, (2, 3, 4)), POSITIVE.astype(a.dtype)), 1),
        A,
        B,
    )
    yield "concat", "an empty one", lambda bk, a: bk.concat((a, np.zeros((2, 0, 4), a.dtype)), 1), A
    yield "expand", "an axis of one, a new one", lambda bk, b: bk.expand(b, (2, 3, 4)), B
    yield "take", "filled", lambda bk, a: [bk.pick(a, PLACES, 7.0), bk.pick(a, PLACES)], A
    yield (
        "take_T",
        "twice, nowhere",
        lambda bk, r: bk.pick_T(r, PLACES, A),
        A[0, :2, :2],
    )
    yield (
        "sum",
        "axes",
        lambda bk, a: [
            bk.sum(a, (0, 2), True),
            bk.sum(a, (1,), False),
            bk.sum(a, (), True),
            bk.sum(a, (0, 1, 2), False),
        ],
        A,
    )
    yield "sum_to", "axes of one", lambda bk, a, b: [bk.sum_to(a, b), bk.sum_to(a, a)], A, B
    yield "ones_like", "a signal", lambda bk, a: a * bk.ones_like(a), A
    yield "matmul", "a constant", lambda bk, a: bk.matmul(a, normal(4, 2).astype(a.dtype)), A
    yield (
        "matmul",
        "a transposed constant",
        lambda bk, a: bk.matmul(a, normal(5, 4).astype(a.dtype).T),
        A[0],
    )
    yield (
        "matmul",
        "batches",
        lambda bk, a, w: [
            bk.matmul(a, w),
            bk.matmul(A[:, :2].astype(a.dtype), bk.transpose(a, (0, 2, 1))),
        ],
        A,
        normal(4, 2),
    )


def _convolutions(case: str, size: tuple[int, ...], g: Window) -> Iterator[Law]:
    for groups in (1, 2):
        h, name = g._replace(groups=groups), f"{case}, {groups} groups"
        x, w = normal(2, 2 * groups, *size), normal(3 * groups, 2, *g.kernel, seed=1)
        r = normal(2, 3 * groups, *window_size(size, g), seed=2)
        yield Law("conv", name, lambda bk, x, w=w, g=h: bk.conv(x, w.astype(x.dtype), g), (x,))
        yield Law("conv", f"{name}, of two signals", lambda bk, x, w, g=h: bk.conv(x, w, g), (x, w))
        yield Law(
            "conv_T", name, lambda bk, r, w=w, g=h: bk.conv_T(r, w.astype(r.dtype), g, size), (r,)
        )
        yield Law(
            "conv_T", f"{name}, of two signals", lambda bk, r, w, g=h: bk.conv_T(r, w, g, size),
            (r, w),
        )  # fmt: skip


def _pools(case: str, size: tuple[int, ...], g: Window) -> Iterator[Law]:
    x, v = normal(2, 3, *size), normal(2, 3, *size, seed=1)
    r = normal(2, 3, *window_size(size, g), seed=2)
    for name, at in (("", x), (", ties", np.round(x)), (", all below zero", -np.abs(x) - 1)):
        yield Law("maxpool", case + name, lambda bk, v, x: bk.maxpool(v, x, g), (v, at))
        yield Law("maxpool", f"{case}{name}, of itself", lambda bk, x: bk.maxpool(x, x, g), (at,))
        yield Law("maxpool_T", case + name, lambda bk, r, x: bk.maxpool_T(r, x, g), (r, at))


def adjoints() -> Iterator[tuple[Any, ...]]:
    """A map and its transpose by their names, x, y, and what else both are told."""
    for key in KEYS.values():
        yield (
            "slice and slice_T", lambda bk, a, k=key: bk.slice(a, k),
            lambda bk, r, k=key: bk.slice_T(r, k, A), A, normal(*A[key].shape, seed=2),
        )  # fmt: skip
    yield (
        "take and take_T", lambda bk, a: bk.pick(a, PLACES),
        lambda bk, r: bk.pick_T(r, PLACES, A), A, normal(2, 2),
    )  # fmt: skip
    yield (
        "expand and sum_to", lambda bk, b: bk.expand(b, (2, 3, 4)),
        lambda bk, a: bk.sum_to(a, B), B, A,
    )  # fmt: skip
    for size, g in WINDOWS.values():
        x, w, y = normal(2, 2, *size), normal(3, 2, *g.kernel), normal(2, 3, *window_size(size, g))
        yield (
            "conv and conv_T", lambda bk, x, g=g, w=w: bk.conv(x, w.astype(x.dtype), g),
            lambda bk, r, g=g, w=w, n=size: bk.conv_T(r, w.astype(r.dtype), g, n), x, y,
        )  # fmt: skip
        yield (
            "maxpool and maxpool_T", lambda bk, v, x, g=g: bk.maxpool(v, x, g),
            lambda bk, r, x, g=g: bk.maxpool_T(r, x, g), x[::-1].copy(), y[:, :2], x,
        )  # fmt: skip


# -- the rules


def _node(op: str) -> At:
    """A node at activations some of which are exactly zero."""
    x = normal(2, 3, 9, seed=8)
    x[..., ::4] = 0
    args: dict[str, tuple[list[Real], dict[str, Any]]] = {
        "Conv": ([x, normal(4, 3, 3), normal(4)], {"strides": [2]}),
        "Gemm": ([x[0], normal(9, 4), normal(4)], {}),
        "AveragePool": ([x], {"kernel_shape": [2], "strides": [2]}),
        "Add": ([x, x[::-1].copy()], {}),
    }
    given, attrs = args[op]
    node = Node("y", op, tuple(f"x{i}" for i in range(len(given))), attrs)
    return At(node, NUMPY, tuple(given), (0, 1) if op == "Add" else (0,))


def rules() -> Iterator[Law]:
    """Every rule on some layers: relevance, multipliers, bias and stabiliser."""
    for op in MAPS:
        at = _node(op)
        y = OPS[op].evaluate(at)
        for text in RULES:
            arrays = (y, normal(*y.shape), normal(*y.shape, seed=3), *at.inputs)
            yield Law(f"rule {text}", op, _shares(at, text), arrays)


def _shares(at: At, text: str) -> Function:
    def f(bk: Backend, y: Any, R: Any, m: Any, *xs: Any) -> list[Any]:
        fixed = (bk.asarray(a, y.dtype) for a in at.args[len(xs) :])
        here = At(at.node, bk, (*xs, *fixed), at.live, y)
        layer = OPS[at.node.op].linearise(here)  # type: ignore[misc]
        share = rule(text)(Call(bk, layer, xs, y, R, m))  # type: ignore[arg-type]
        absorbed = (share.bias() + 0 * y, share.stabiliser() + 0 * y)
        return [*share.relevance, *(share.multiplier or ()), *absorbed]

    return f
