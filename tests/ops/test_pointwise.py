"""Pointwise functions: the tangent is the derivative, relevance passes unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Real, at_node, linearised, normal

from dftlrp.core.maps import Route
from dftlrp.core.numpy_backend import BACKEND
from dftlrp.ops import OPS, At
from ops.case import Case
from ops.cases import CASES

FAMILY = "dftlrp.ops.pointwise"
POINTWISE = {
    name: c
    for name, c in CASES.items()
    if c.live == (0,)
    and c.op
    in {
        "Relu",
        "LeakyRelu",
        "PRelu",
        "ThresholdedRelu",
        "Abs",
        "Elu",
        "Selu",
        "Celu",
        "Softplus",
        "HardSigmoid",
        "HardSwish",
        "Gelu",
        "Mish",
        "Sigmoid",
        "Tanh",
        "Softsign",
        "Erf",
        "Exp",
        "Log",
        "Sqrt",
        "Reciprocal",
        "Pow",
        "Clip",
        "Max",
        "Min",
        *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan"),
        *("Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Shrink", "Swish"),
    }
}
UNCHANGED = {name: c for name, c in POINTWISE.items() if c.op not in {"Max", "Min"}}


def test_every_pointwise_op_is_here() -> None:
    here = {
        n
        for n, op in OPS.items()
        if op.linearise and op.linearise.__module__ == FAMILY and op.kind == "Route"
    }
    assert here == {c.op for c in POINTWISE.values()}


def value(c: Case, x: Real) -> Real:
    at = c.at()
    return OPS[c.op].evaluate(At(at.node, BACKEND, (x, *at.args[1:]), at.live))


@pytest.mark.parametrize("name", POINTWISE)
def test_the_tangent_is_the_derivative(name: str) -> None:
    """Against a central difference of fourth order, along a random direction."""
    c = POINTWISE[name]
    at, (x, *_) = c.at(), c.at().args
    along, h = normal(*np.shape(x), seed=8), 1e-4
    d = {k: value(c, x + k * h * along) for k in (-2, -1, 1, 2)}
    want = (8 * (d[1] - d[-1]) - (d[2] - d[-2])) / (12 * h)
    got = linearised(at).tangent().apply(along)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", UNCHANGED)
def test_relevance_passes_unchanged(name: str) -> None:
    at = UNCHANGED[name].at()
    R = normal(*at.y.shape)
    (got,) = linearised(at).carry(R)
    np.testing.assert_array_equal(got, R)


def slope(op: str, x: float, *args: Any, **attrs: Any) -> float:
    at = at_node(op, [np.array([x]), *args], **attrs)
    return float(linearised(at).tangent().apply(np.ones(1))[0])


@pytest.mark.parametrize(
    ("op", "args", "x", "want"),
    [
        ("Relu", [], 0.0, 0),
        ("Relu", [], -0.0, 0),
        ("Abs", [], 0.0, 0),
        ("LeakyRelu", [], 0.0, 0.01),
        ("Clip", [np.array(-1.0), np.array(1.0)], 1.0, 0),
        ("Clip", [np.array(-1.0), np.array(1.0)], -1.0, 0),
        ("Max", [np.array(0.0)], 0.0, 0),
        ("Min", [np.array(0.0)], 0.0, 0),
    ],
)
def test_at_a_kink_the_slope_is_torchs_for_relu_and_hardtanh(
    op: str, args: list[Any], x: float, want: float
) -> None:
    assert slope(op, x, *args) == want


@pytest.mark.parametrize(
    "op", ["Sigmoid", "Tanh", "Softplus", "Elu", "Selu", "Celu", "Mish", "Gelu", "Erf", "Softsign"]
)
def test_far_out_nothing_overflows(op: str) -> None:
    far = np.array([-1e4, -800.0, 800.0, 1e4])
    layer = linearised(at_node(op, [far]))
    assert np.isfinite(layer.tangent().apply(far)).all()
    assert np.isfinite(at_node(op, [far]).y).all()


def homogeneous(op: str, *args: Any, live: tuple[int, ...] = (0,)) -> bool:
    layer = linearised(at_node(op, list(args), live=live))
    assert isinstance(layer, Route)
    return layer.homogeneous


def test_a_maximum_with_zero_is_a_relu_with_another_constant_it_is_not_homogeneous() -> None:
    x = normal(2, 3)
    assert homogeneous("Max", x, np.array(0.0))
    assert homogeneous("Min", x, np.zeros(3), np.zeros((2, 1)))
    assert not homogeneous("Max", x, np.array(0.1))


@pytest.mark.parametrize(("op", "better"), [("Max", np.greater), ("Min", np.less)])
def test_of_several_signals_the_first_of_the_best_takes_all(op: str, better: Any) -> None:
    a, b, c = np.array([1.0, 1, 2, 0]), np.array([1.0, 3, 2, 0]), np.array([0.0, 3, 2, -1])
    best = [0, 0, 0, 0]
    for i in range(4):
        for k, v in enumerate((a, b, c)):
            best[i] = k if better(v[i], (a, b, c)[best[i]][i]) else best[i]
    R = np.arange(1.0, 5.0)
    parts = linearised(at_node(op, [a, b, c], live=(0, 1, 2))).carry(R)
    np.testing.assert_array_equal(
        np.stack(parts), [np.where(np.equal(best, k), R, 0) for k in range(3)]
    )


def test_what_a_constant_wins_against_two_signals_is_stopped() -> None:
    a, b = np.array([1.0, -1.0]), np.array([0.5, -2.0])
    layer = linearised(at_node("Max", [a, b, np.zeros(2)], live=(0, 1)))
    np.testing.assert_array_equal(layer.stopped(np.array([3.0, 5.0])), [0, 5])
    np.testing.assert_array_equal(np.stack(layer.carry(np.array([3.0, 5.0]))), [[3, 0], [0, 0]])
