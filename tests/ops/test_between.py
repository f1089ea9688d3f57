"""Laws of the maps between two points: D y = A D x exactly, with its adjoint, for every op."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from graphs import Real, at_node, normal

from dftlrp.core.maps import Affine, Route, run_dot_test
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.engine.difference import take_between
from dftlrp.ops import OPS, At
from dftlrp.ops.softmax import average_logarithmically
from ops.case import Case
from ops.cases import AFFINE, MAPS

# A mean of tangents is not exact for these; what it misses stands in the ledger.
INEXACT = {"LRN"}
EXTREMA = [
    n for n, c in MAPS.items() if c.op in {"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin"}
]


def move(c: Case) -> tuple[At, At]:
    """The node of a case, and the same node at a reference of the same signs."""
    here = c.at()
    share = np.random.default_rng(3).uniform(0.2, 1.7, 64)
    args = list(here.args)
    for i in here.live:
        args[i] = args[i] * np.resize(share, args[i].shape)
    there = replace(here, args=tuple(args), y=None)
    return here, replace(there, y=OPS[c.op].evaluate(there))


def subtract(here: At, there: At) -> tuple[tuple[Real, ...], Real]:
    dx = tuple(a - b for a, b in zip(here.inputs, there.inputs, strict=True))
    return dx, here.y - there.y


@pytest.mark.parametrize("name", AFFINE)
def test_an_affine_map_between_two_points_gives_the_difference_of_the_outputs(name: str) -> None:
    here, there = move(AFFINE[name])
    dx, dy = subtract(here, there)
    layer = take_between(here, there, dx, dy, frozen=False)
    if not isinstance(layer, Affine):
        return
    exact = AFFINE[name].op not in INEXACT
    got = layer.apply(*dx) if exact else layer.forward(*dx)
    np.testing.assert_allclose(got, dy, rtol=1e-9, atol=1e-11 * np.abs(dy).max(initial=0))
    if exact and layer.bias is not None:
        assert np.abs(layer.bias).max() <= 1e-12 * np.abs(here.y).max()
    assert run_dot_test(layer, dx, np.cos(np.arange(dy.size)).reshape(dy.shape)) <= 1e-12


@pytest.mark.parametrize("name", AFFINE)
def test_ends_that_change_places_have_the_same_map(name: str) -> None:
    here, there = move(AFFINE[name])
    dx, dy = subtract(here, there)
    one = take_between(here, there, dx, dy, frozen=False)
    other = take_between(there, here, tuple(-d for d in dx), -dy, frozen=False)
    assert isinstance(one, Affine) == isinstance(other, Affine)
    if isinstance(one, Affine) and isinstance(other, Affine):
        np.testing.assert_allclose(other.apply(*dx), one.apply(*dx), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", EXTREMA)
def test_the_way_to_the_largest_is_the_same_from_both_ends(name: str) -> None:
    here, there = move(MAPS[name])
    dx, dy = subtract(here, there)
    R = np.arange(1.0, dy.size + 1).reshape(dy.shape)
    parts = []
    for a, b in ((here, there), (there, here)):
        layer = take_between(a, b, dx, dy, frozen=False)
        assert isinstance(layer, Route)
        parts.append(layer.carry(R)[0])
    np.testing.assert_array_equal(*parts)
    assert parts[0].sum() == R.sum()


@pytest.mark.parametrize("spread", [0, 1e-9, 1e-4, 0.05, 0.2, 3, 200])
def test_the_logarithmic_mean_is_that_of_high_precision(spread: float) -> None:
    a = np.exp(np.linspace(-20, 0, 9))
    b = a * np.exp(spread)
    wide = np.longdouble(a)
    t = np.longdouble(spread)
    want = a if spread == 0 else wide * np.expm1(t) / t
    np.testing.assert_allclose(average_logarithmically(NUMPY, a, b), want.astype(float), rtol=1e-11)


TWO: dict[str, tuple[str, Sequence[Real], dict[str, Any]]] = {
    "Mul": ("Mul", (normal(2, 3), normal(2, 3, seed=1)), {}),
    "Mul, broadcast": ("Mul", (normal(2, 3, 4), normal(3, 1, seed=1)), {}),
    "Mul by itself": ("Mul", (normal(2, 3), normal(2, 3)), {}),
    "MatMul": ("MatMul", (normal(2, 3, 4), normal(2, 4, 5, seed=1)), {}),
    "MatMul, broadcast": ("MatMul", (normal(2, 3, 4), normal(4, 5, seed=1)), {}),
    "Einsum": ("Einsum", (normal(2, 3), normal(2, 4, seed=1)), {"equation": "ab,ac->bc"}),
    "Div": ("Div", (normal(2, 3), 1 + normal(2, 3, seed=1) ** 2), {}),
    "Div, broadcast": ("Div", (normal(2, 3), 1 + normal(2, 1, seed=1) ** 2), {}),
    "Gated": ("Gated", tuple(normal(2, 3, seed=i) for i in range(4)), {}),
}


@pytest.mark.parametrize("name", TWO)
def test_a_product_of_signals_is_exact_between_two_points(name: str) -> None:
    op, args, attrs = TWO[name]
    here = at_node(op, args, live=tuple(range(len(args))), **attrs)
    share = np.random.default_rng(5)
    other = [a * share.uniform(0.2, 1.7, a.shape) for a in args]
    there = at_node(op, other, live=here.live, **attrs)
    dx, dy = subtract(here, there)
    layer = take_between(here, there, dx, dy, frozen=False)
    assert isinstance(layer, Affine)
    np.testing.assert_allclose(layer.apply(*dx), dy, rtol=1e-9, atol=1e-12)
    assert run_dot_test(layer, dx, np.cos(np.arange(dy.size)).reshape(dy.shape)) <= 1e-12


def test_a_quotient_that_means_nothing_at_one_end_is_that_of_the_other() -> None:
    """As of a recording that is divided by its own maximum, against silence."""
    op, args, _ = TWO["Div"]
    here = at_node(op, args, live=(0, 1))
    there = replace(here, args=tuple(0 * a for a in here.args), y=0 * here.y)
    dx, dy = subtract(here, there)
    layer = take_between(here, there, dx, dy, frozen=False)
    assert isinstance(layer, Affine)
    np.testing.assert_allclose(layer.apply(*dx), here.y, rtol=1e-12)
    assert not layer.adjoint(here.y)[1].any()


@pytest.mark.parametrize("masked", [-1e4, -1e9, -np.inf])
def test_a_softmax_whose_masks_differ_is_exact_between_two_points(masked: float) -> None:
    """A weight without digits still has a logarithm: that of what is masked."""
    x, r = normal(1, 5), normal(1, 5, seed=1)
    x[0, 2] = r[0, 2] = masked
    r[0, 4] = max(masked, -1e9)  # at one end only
    here, there = (at_node("Softmax", [v], axis=-1) for v in (x, r))
    here, there = (replace(at, y=OPS["Softmax"].evaluate(at)) for at in (here, there))
    with np.errstate(invalid="ignore"):
        change = np.where(np.isinf(x), 0.0, x - r)
    layer = take_between(here, there, (change,), here.y - there.y, frozen=False)
    np.testing.assert_allclose(layer.apply(change), here.y - there.y, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("divisor", "nothing"), [(1e-3, True), (0.0, False), (1.0, False)])
def test_a_quotient_of_nothing_is_told_by_its_divisor(divisor: float, nothing: bool) -> None:
    with np.errstate(invalid="ignore"):
        at = at_node("Div", [np.zeros((2, 3)), np.full((2, 1), divisor)], live=(0, 1))
    assert OPS["Div"].vanishes(at) == nothing
