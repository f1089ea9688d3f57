"""The laws of the conformance suite, for each primitive and each rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend, Window, window_size
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.rule_text import read_rule
from dftlrp.core.rules import FUNCTIONS as RULE_FUNCTIONS
from dftlrp.core.sharing import Call
from dftlrp.core.types import Real
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At

Function = Callable[..., Any]  # (backend, *arrays) -> array or list of arrays
MAPS = ("Conv", "Gemm", "AveragePool", "Add")
RULES = (
    *(name for name in RULE_FUNCTIONS if name != "pass"),
    "epsilon(0.25)", "epsilon(at_zero=1)", "zplus(split=0)", "alpha_beta(1, 0)", "gamma(split=0)",
    "zbox(-3, 4)", "epsilon(0.25, relative=1)", "alpha_beta(2, 1, 0.25, relative=1)",
)  # fmt: skip


@dataclass(frozen=True)
class Law:
    """One case of a primitive: a function of a backend and of signals, and the signals."""

    primitive: str
    case: str
    f: Function
    arrays: tuple[Real, ...]


# -- the primitives


def draw(*shape: int, seed: int = 0) -> Real:
    """Return numbers of a normal distribution, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape)


A, B, POSITIVE = draw(2, 3, 4), draw(3, 1, seed=1), np.abs(draw(2, 3, 4)) + 0.1
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


def _law(primitive: str, case: str, f: Function, *arrays: Real) -> Law:
    return Law(primitive, case, f, arrays)


ARITHMETIC = (
    _law("+", "signal, number, constant",
         lambda _, a, b: [a + b, a + 2.0, 2.0 + a, a + B.astype(a.dtype)], A, B),
    _law("-", "signal, number, constant",
         lambda _, a, b: [a - b, b - a, 1 - a, a - 1, B.astype(a.dtype) - a], A, B),
    _law("*", "signal, number, constant",
         lambda _, a, b: [a * b, 2 * a, a * a, a * B.astype(a.dtype)], A, B),
    _law("/", "signal, number, constant",
         lambda _, a, b: [a / b, 1 / b, a / 4, B.astype(b.dtype) / b], A, B),
    _law("-", "unary", lambda _, a: [-a, -(-1 * a), abs(a)], A),
    _law("+", "scalars", lambda _, a, b: [a + b, a * b], draw(), draw(2, 2)),
)  # fmt: skip
SIGNS = (
    _law("pos", "signs", lambda bk, a: [bk.pos(a), bk.pos(-bk.pos(a)), bk.pos(bk.pos(a))], A),
    _law("neg", "signs", lambda bk, a: [bk.neg(a), bk.neg(bk.pos(a)), bk.neg(bk.neg(a))], A),
    _law("step", "ties, strict", lambda bk, a: [bk.step(a, True), bk.step(-a, True)], EDGES),
    _law("step", "ties", lambda bk, a: [bk.step(a, False), bk.step(-a, False)], EDGES),
    _law("step", "masks", lambda bk, a: [bk.step(a, True) * a, a * bk.step(-a, True)], A),
)
FUNCTIONS = (
    *(
        _law(name, "any sign", lambda bk, a, n=name: getattr(bk, n)(a), A)
        for name in ("exp", "erf", "tanh", "sigmoid")
    ),
    _law("sigmoid", "large numbers", lambda bk, a: bk.sigmoid(a), np.array([-80.0, 0.0, 80.0])),
    *(
        _law(name, "positive", lambda bk, a, n=name: getattr(bk, n)(a), POSITIVE)
        for name in ("log", "sqrt")
    ),
    _law("power", "a number", lambda bk, a: bk.power(a, np.asarray(1.5, a.dtype)), POSITIVE),
)
SHAPES = (
    _law("reshape", "-1", lambda bk, a: bk.reshape(bk.reshape(a, (6, -1)), (4, 6)), A),
    _law("reshape", "axes of one", lambda bk, a: bk.reshape(a, (1, 2, 1, 12)), A),
    _law("transpose", "three axes", lambda bk, a: bk.transpose(a, (2, 0, 1)), A),
    _law("pad", "a value",
         lambda bk, a: [bk.pad(a, ((0, 0), (1, 0), (2, 1)), v) for v in (0.0, -1.0)], A),
    _law("concat", "with constants",
         lambda bk, a, b: bk.concat((a, bk.expand(b, (2, 3, 4)), POSITIVE.astype(a.dtype)), 1),
         A, B),
    _law("concat", "an empty one", lambda bk, a: bk.concat((a, np.zeros((2, 0, 4), a.dtype)), 1),
         A),
    _law("expand", "an axis of one, a new one", lambda bk, b: bk.expand(b, (2, 3, 4)), B),
    _law("pick", "filled", lambda bk, a: [bk.pick(a, PLACES, 7.0), bk.pick(a, PLACES)], A),
    _law("pick_T", "twice, nowhere", lambda bk, r: bk.pick_T(r, PLACES, A), A[0, :2, :2]),
)  # fmt: skip
SUMS = (
    _law("sum", "axes",
         lambda bk, a: [bk.sum(a, (0, 2), True), bk.sum(a, (1,), False), bk.sum(a, (), True),
                        bk.sum(a, (0, 1, 2), False)], A),
    _law("sum_to", "axes of one", lambda bk, a, b: [bk.sum_to(a, b), bk.sum_to(a, a)], A, B),
    _law("ones_like", "a signal", lambda bk, a: a * bk.ones_like(a), A),
    _law("matmul", "a constant",
         lambda bk, a: bk.matmul(a, draw(4, 2).astype(a.dtype)), A),
    _law("matmul", "a transposed constant",
         lambda bk, a: bk.matmul(a, draw(5, 4).astype(a.dtype).T), A[0]),
    _law("matmul", "batches",
         lambda bk, a, w: [bk.matmul(a, w),
                           bk.matmul(A[:, :2].astype(a.dtype), bk.transpose(a, (0, 2, 1)))],
         A, draw(4, 2)),
)  # fmt: skip


def make_laws() -> Iterator[Law]:
    """Yield every primitive in its cases."""
    yield from (*ARITHMETIC, *SIGNS, *FUNCTIONS, *SHAPES, *SUMS)
    for case, key in KEYS.items():
        yield Law("slice", case, lambda bk, a, k=key: bk.slice(a, k), (A,))
        r = draw(*A[key].shape)
        yield Law("slice_T", case, lambda bk, r, k=key: bk.slice_T(r, k, A), (r,))
    for case, (size, g) in WINDOWS.items():
        yield from _make_convolution_laws(case, size, g)
        yield from _make_pool_laws(case, size, g)


def _make_convolution_laws(case: str, size: tuple[int, ...], g: Window) -> Iterator[Law]:
    for groups in (1, 2):
        h, name = g._replace(groups=groups), f"{case}, {groups} groups"
        x, w = draw(2, 2 * groups, *size), draw(3 * groups, 2, *g.kernel, seed=1)
        r = draw(2, 3 * groups, *window_size(size, g), seed=2)
        yield Law("conv", name, lambda bk, x, w=w, g=h: bk.conv(x, w.astype(x.dtype), g), (x,))
        yield Law("conv", f"{name}, of two signals", lambda bk, x, w, g=h: bk.conv(x, w, g), (x, w))
        yield Law(
            "conv_T", name, lambda bk, r, w=w, g=h: bk.conv_T(r, w.astype(r.dtype), g, size), (r,)
        )
        yield Law(
            "conv_T", f"{name}, of two signals", lambda bk, r, w, g=h: bk.conv_T(r, w, g, size),
            (r, w),
        )  # fmt: skip


def _make_pool_laws(case: str, size: tuple[int, ...], g: Window) -> Iterator[Law]:
    x, v = draw(2, 3, *size), draw(2, 3, *size, seed=1)
    r = draw(2, 3, *window_size(size, g), seed=2)
    for name, at in (("", x), (", ties", np.round(x)), (", all below zero", -np.abs(x) - 1)):
        yield Law("maxpool", case + name, lambda bk, v, x: bk.maxpool(v, x, g), (v, at))
        yield Law("maxpool", f"{case}{name}, of itself", lambda bk, x: bk.maxpool(x, x, g), (at,))
        yield Law("maxpool_T", case + name, lambda bk, r, x: bk.maxpool_T(r, x, g), (r, at))


def make_adjoints() -> Iterator[tuple[Any, ...]]:
    """Yield the names of a map and its transpose, both, x, y, and further arguments of both."""
    for key in KEYS.values():
        yield (
            "slice and slice_T", lambda bk, a, k=key: bk.slice(a, k),
            lambda bk, r, k=key: bk.slice_T(r, k, A), A, draw(*A[key].shape, seed=2),
        )  # fmt: skip
    yield (
        "pick and pick_T", lambda bk, a: bk.pick(a, PLACES),
        lambda bk, r: bk.pick_T(r, PLACES, A), A, draw(2, 2),
    )  # fmt: skip
    yield (
        "expand and sum_to", lambda bk, b: bk.expand(b, (2, 3, 4)),
        lambda bk, a: bk.sum_to(a, B), B, A,
    )  # fmt: skip
    for size, g in WINDOWS.values():
        x, w, y = (
            draw(2, 2, *size),
            draw(3, 2, *g.kernel),
            draw(2, 3, *window_size(size, g)),
        )
        yield (
            "conv and conv_T", lambda bk, x, g=g, w=w: bk.conv(x, w.astype(x.dtype), g),
            lambda bk, r, g=g, w=w, n=size: bk.conv_T(r, w.astype(r.dtype), g, n), x, y,
        )  # fmt: skip
        yield (
            "maxpool and maxpool_T", lambda bk, v, x, g=g: bk.maxpool(v, x, g),
            lambda bk, r, x, g=g: bk.maxpool_T(r, x, g), x[::-1].copy(), y[:, :2], x,
        )  # fmt: skip


# -- the rules


def _make_node_at(op: str) -> At:
    """Return a node at activations some of which are exactly zero."""
    x = draw(2, 3, 9, seed=8)
    x[..., ::4] = 0
    args: dict[str, tuple[list[Real], dict[str, Any]]] = {
        "Conv": ([x, draw(4, 3, 3), draw(4)], {"strides": [2]}),
        "Gemm": ([x[0], draw(9, 4), draw(4)], {}),
        "AveragePool": ([x], {"kernel_shape": [2], "strides": [2]}),
        "Add": ([x, x[::-1].copy()], {}),
    }
    given, attrs = args[op]
    node = Node("y", op, tuple(f"x{i}" for i in range(len(given))), attrs)
    return At(node, NUMPY, tuple(given), (0, 1) if op == "Add" else (0,))


def make_rule_laws() -> Iterator[Law]:
    """Yield every rule at some layers: relevance, multipliers, bias and stabiliser."""
    for op in MAPS:
        at = _make_node_at(op)
        y = OPS[op].evaluate(at)
        for text in RULES:
            arrays = (y, draw(*y.shape), draw(*y.shape, seed=3), *at.inputs)
            yield Law(f"rule {text}", op, _share_by(at, text), arrays)


def _share_by(at: At, text: str) -> Function:
    """Return a function that applies a rule to a node and returns all its results."""

    def f(bk: Backend, y: Any, R: Any, m: Any, *xs: Any) -> list[Any]:
        fixed = (bk.asarray(a, y.dtype) for a in at.args[len(xs) :])
        here = At(at.node, bk, (*xs, *fixed), at.live, y)
        layer = OPS[at.node.op].linearise(here)  # type: ignore[misc]
        share = read_rule(text)(Call(bk, layer, xs, y, R, lambda: m))  # type: ignore[arg-type]
        multipliers = () if share.multiplier is None else share.multiplier()
        absorbed = (share.bias() + 0 * y, share.stabiliser() + 0 * y)
        return [*share.relevance, *multipliers, *absorbed]

    return f
