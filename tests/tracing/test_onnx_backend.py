"""The onnx backend: primitives and each op's map as nodes, on random geometries.

`dftlrp.frameworks.testing.check_backend` has every primitive and rule.
"""

from __future__ import annotations

from typing import Any

import maps
import numpy as np
import pytest
from graphs import Real, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.cases import MAPS
from traced import answers, close, traced

from dftlrp.core.backend import Window, get_backend
from dftlrp.core.numpy_backend import BACKEND
from dftlrp.core.types import InputError
from dftlrp.ops import At
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

Draw = Any


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
        assert (found >= 0).all() or not seen[sym].sign.nonneg
        assert (found <= 0).all() or not seen[sym].sign.nonpos


def test_constants_fold_and_equal_ones_are_one() -> None:
    tape = Tape()
    x = tape.add_input("x", (2, 3))
    folded = BACKEND.pos(np.array([1.0, -2.0, 3.0])) + 1e-6
    y = x * folded + x * folded.copy()
    assert isinstance(y, Symbol)
    assert [n.op_type for n in tape.nodes] == ["Mul", "Add"]
    assert len(tape.constants) == 1


def test_the_backend_is_installed_and_takes_options() -> None:
    assert get_backend("onnx").name == "onnx"
    with pytest.raises(InputError, match="takes no options"):
        get_backend("numpy:2")


# -- ops

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


@given(st.sampled_from(list(maps.MAPS)).flatmap(lambda k: maps.MAPS[k]))
@settings(max_examples=40, deadline=None)
def test_random_maps_traced(at: At) -> None:
    want, ours = answers(at, tangent=False)
    for mine, one in zip(ours, want, strict=True):
        close(mine, one, 1e-4)
