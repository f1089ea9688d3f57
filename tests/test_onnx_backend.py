"""The onnx backend: each primitive, each op's map and each rule as nodes, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import maps
import numpy as np
import pytest
from graphs import Real, at_node, linearised, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.cases import MAPS
from traced import answers, close, traced

from dftlrp.backend import Window, get_backend
from dftlrp.numpy_backend import BACKEND
from dftlrp.onnx_graph import Sym
from dftlrp.onnx_tape import Tape
from dftlrp.ops import OPS, At
from dftlrp.rules import Call, rule
from dftlrp.types import InputError

Draw = Any
A, B = normal(2, 3, 4), normal(3, 1, seed=1)
POSITIVE = np.abs(A) + 0.1
PRIMITIVES: dict[str, tuple[Callable[..., Any], tuple[Real, ...]]] = {
    "add": (lambda _, a, b: [a + b, a + 2.0, 2.0 + a, a + 0.0, a + B], (A, B)),
    "sub": (lambda _, a, b: [a - b, b - a, 1 - a, a - 1, B - a], (A, B)),
    "mul": (lambda _, a, b: [a * b, 2 * a, a * a, -1 * a, a * B, 3 * (2 * a - 1)], (A, B)),
    "div": (lambda _, a, b: [a / b, 1 / b, a / 4, B / b], (A, B)),
    "unary minus": (lambda _, a: [-a, -(-1 * a), abs(a)], (A,)),
    "pos and neg": (lambda bk, a: [bk.pos(a), bk.neg(a), bk.neg(bk.pos(a))], (A,)),
    "step": (
        lambda bk, a: [bk.step(a, s) for s in (True, False)] + [bk.step(-a, True)],
        (np.array([-1e30, -1e-7, -0.0, 0.0, 1e-7, 1e30]),),
    ),
    "a step times what it steps on": (
        lambda bk, a: [bk.step(a, True) * a, a * bk.step(-a, True), bk.step(a, False) * a],
        (A,),
    ),
    "exp": (lambda bk, a: bk.exp(a), (A,)),
    "log": (lambda bk, a: bk.log(a), (POSITIVE,)),
    "sqrt": (lambda bk, a: bk.sqrt(a), (POSITIVE,)),
    "erf": (lambda bk, a: bk.erf(a), (A,)),
    "tanh": (lambda bk, a: bk.tanh(a), (A,)),
    "sigmoid": (lambda bk, a: bk.sigmoid(a), (A,)),
    "power": (lambda bk, a: bk.power(a, np.asarray(1.5)), (POSITIVE,)),
    "reshape": (lambda bk, a: bk.reshape(bk.reshape(a, (6, -1)), (4, 6)), (A,)),
    "transpose": (lambda bk, a: bk.transpose(a, (2, 0, 1)), (A,)),
    "concat": (lambda bk, a, b: bk.concat((a, bk.expand(b, (2, 3, 4)), POSITIVE), 1), (A, B)),
    "expand": (lambda bk, b: bk.expand(b, (2, 3, 4)), (B,)),
    "ones_like": (lambda bk, a: bk.ones_like(a), (A,)),
    "sum": (
        lambda bk, a: [bk.sum(a, (0, 2), True), bk.sum(a, (1,), False), bk.sum(a, (), True)],
        (A,),
    ),
    "sum_to": (lambda bk, a, b: [bk.sum_to(a, b), bk.sum_to(a, a)], (A, B)),
    "pad": (
        lambda bk, a: [bk.pad(a, ((0, 0), (1, 0), (2, 1)), v) for v in (0.0, -1.0)],
        (A,),
    ),
    "take": (lambda bk, a: bk.take(a, np.array([[3, -1], [0, 0]]), 7.0), (A,)),
    "take_T": (lambda bk, r: bk.take_T(r, np.array([[3, -1], [0, 0]]), A), (normal(2, 2),)),
    "matmul": (
        lambda bk, a, w: [bk.matmul(a, w), bk.matmul(A[:, :2], bk.transpose(a, (0, 2, 1)))],
        (A, normal(4, 2)),
    ),
    "matmul by a transposed constant": (
        lambda bk, a: bk.matmul(a, normal(5, 4).T),
        (normal(3, 4),),
    ),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_primitive_is_the_references(name: str) -> None:
    f, arrays = PRIMITIVES[name]
    want = f(BACKEND, *arrays)
    want = want if isinstance(want, list) else [want]
    for ours, one in zip(traced(f, *arrays), want, strict=True):
        close(ours, one)


@st.composite
def slices(draw: Draw) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    return shape, tuple(draw(st.slices(n)) for n in shape)


@given(slices())
@settings(max_examples=60, deadline=None)
def test_slices_and_their_adjoint(drawn: Any) -> None:
    shape, key = drawn
    x = normal(*shape)
    if x[key].size == 0:
        return
    close(traced(lambda bk, v: bk.slice(v, key), x)[0], x[key])
    r = normal(*x[key].shape)
    want = BACKEND.slice_T(r, key, x)
    close(traced(lambda bk, v: bk.slice_T(v, key, x), r)[0], want)


@st.composite
def windows(draw: Draw) -> tuple[tuple[int, ...], Window]:
    rank = draw(st.integers(1, 2))

    def ints(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel, strides, dilations = ints(1, 4), ints(1, 3), ints(1, 2)
    pads = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    span = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    size = tuple(w + e for w, e in zip(span, ints(0, 6), strict=True))
    return size, Window(kernel, strides, dilations, pads)


@given(windows(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_winners_of_any_pool(drawn: Any, ties: bool) -> None:
    size, g = drawn
    x, v = normal(2, 3, *size), normal(2, 3, *size, seed=1)
    x = np.round(2 * x) if ties else x
    want = BACKEND.maxpool(v, x, g)
    close(traced(lambda bk, v, x: bk.maxpool(v, x, g), v, x)[0], want)
    r = normal(*want.shape)
    close(traced(lambda bk, r, x: bk.maxpool_T(r, x, g), r, x)[0], BACKEND.maxpool_T(r, x, g))


@given(windows(), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_convolutions_and_their_adjoint(drawn: Any, groups: int, into: int, out: int) -> None:
    size, g = drawn
    g = g._replace(groups=groups)
    x, w = normal(2, groups * into, *size), normal(groups * out, into, *g.kernel)
    want = BACKEND.conv(x, w, g)
    close(traced(lambda bk, x: bk.conv(x, w, g), x)[0], want)
    close(traced(lambda bk, x, w: bk.conv(x, w, g), x, w)[0], want)
    r = normal(*want.shape)
    back = BACKEND.conv_T(r, w, g, size)
    close(traced(lambda bk, r: bk.conv_T(r, w, g, size), r)[0], back)
    close(traced(lambda bk, r, w: bk.conv_T(r, w, g, size), r, w)[0], back)


@pytest.mark.parametrize(
    "values", [normal(20), np.abs(normal(20)), -np.abs(normal(20)), np.zeros(3)]
)
def test_a_sign_that_is_known_is_right(values: Real) -> None:
    def each(bk: Any, x: Any) -> list[Any]:
        up, down = bk.pos(x), bk.neg(x)
        made = [up, down, up * up, up * down, down * down, -up, up + up, up - down, abs(x), x * x]
        made += [bk.step(x, True), 1 - bk.step(x, False), bk.exp(x), up * 2, up * -2, down + -1]
        made += [up + 1, up - 1, bk.concat((up, up), 0), bk.pad(up, ((1, 1),), -1.0)]
        seen.extend(made)
        return made

    seen: list[Any] = []
    for sym, found in zip(range(99), traced(each, values), strict=False):
        sign = seen[sym].sign
        assert sign == 0 or (sign * found >= 0).all()


def test_constants_fold_and_equal_ones_are_one() -> None:
    tape = Tape()
    x = tape.input("x", (2, 3))
    folded = BACKEND.pos(np.array([1.0, -2.0, 3.0])) + 1e-6
    y = x * folded + x * folded.copy()
    assert isinstance(y, Sym)
    assert [n.op_type for n in tape.nodes] == ["Mul", "Add"]
    assert len(tape.constants) == 1


def test_the_backend_is_installed_and_takes_options() -> None:
    assert get_backend("onnx").name == "onnx"
    with pytest.raises(InputError, match="takes no options"):
        get_backend("numpy:2")


# -- ops and rules

TRACED = {
    name: c
    for name, c in MAPS.items()
    if c.op not in {"Cast", "CastLike", "DequantizeLinear"}
    and not (c.op == "STFT" and (c.args[0].shape[-1] == 2 or not c.attrs.get("onesided", 1)))
}


@pytest.mark.parametrize("tangent", [False, True], ids=["relevance", "tangent"])
@pytest.mark.parametrize("name", TRACED)
def test_an_ops_map_is_the_references(name: str, tangent: bool) -> None:
    want, ours = answers(TRACED[name].at(), tangent)
    for mine, one in zip(ours, want, strict=True):
        close(mine, one, 1e-4)


RULES = (
    "epsilon", "epsilon(0.25)", "zplus", "zplus(split=0)", "alpha_beta(2, 1)", "alpha_beta(1, 0)",
    "gamma(0.25)", "gamma(split=0)", "flat", "wsquare", "zbox(-3, 4)", "epsilon(at_zero=1)",
)  # fmt: skip


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("kind", ["Conv", "Gemm", "AveragePool", "Add"])
def test_a_rule_traced_is_the_rule(kind: str, text: str) -> None:
    at = NODES[kind]
    R, m = normal(*at.y.shape), normal(*at.y.shape, seed=3)
    want = rule(text)(Call(BACKEND, linearised(at), at.inputs, at.y, R, m))

    def said(bk: Any, y: Any, R: Any, m: Any, *xs: Any) -> list[Any]:
        args = (*xs, *at.args[len(xs) :])
        here = replace(at, bk=bk, args=args, y=y)
        layer = OPS[at.node.op].linearise(here)  # type: ignore[misc]
        share = rule(text)(Call(bk, layer, xs, y, R, m))  # type: ignore[arg-type]
        return [*share.relevance, *(share.multiplier or ()), share.bias(), share.stabiliser()]

    wanted = [*want.relevance, *(want.multiplier or ()), want.bias(), want.stabiliser()]
    for ours, one in zip(traced(said, at.y, R, m, *at.inputs), wanted, strict=True):
        close(ours + 0 * np.asarray(one), one, 2e-4)


def _smooth(*shape: int) -> Real:
    x = normal(*shape, seed=8)
    x[..., ::4] = 0  # exact zeros, too
    return x


NODES: dict[str, At] = {
    "Conv": at_node("Conv", [_smooth(2, 3, 9), normal(4, 3, 3), normal(4)], strides=[2]),
    "Gemm": at_node("Gemm", [_smooth(3, 5), normal(5, 4), normal(4)]),
    "AveragePool": at_node("AveragePool", [_smooth(2, 3, 9)], kernel_shape=[2], strides=[2]),
    "Add": at_node("Add", [_smooth(2, 3), _smooth(2, 3)], live=(0, 1)),
}


@given(st.sampled_from(list(maps.MAPS)).flatmap(lambda k: maps.MAPS[k]))
@settings(max_examples=40, deadline=None)
def test_random_maps_traced(at: At) -> None:
    want, ours = answers(at, tangent=False)
    for mine, one in zip(ours, want, strict=True):
        close(mine, one, 1e-4)
