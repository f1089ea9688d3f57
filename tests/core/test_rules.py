"""The rules: each against the naive dense restatement of its formula, and the laws they keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import Real, at_node, linearised, normal
from hypothesis import given, settings
from maps import MAPS
from naive_rules import NAIVE, dense, joined
from symbolic_backend import Symbol, SymbolicBackend, Untraceable, numbers

from dftlrp.core.numpy_backend import BACKEND
from dftlrp.core.rule_text import read_rule
from dftlrp.core.rules import FUNCTIONS
from dftlrp.core.sharing import Call, Share, Support
from dftlrp.core.types import InputError
from dftlrp.ops import At

few = settings(max_examples=7, deadline=None, derandomize=True, database=None)
PLAIN = (
    *(name for name in FUNCTIONS if name not in {"pass", "zbox"}),
    "epsilon(0.1)",
    "alpha_beta(1, 0)",
    "alpha_beta(3, 2)",
    "gamma(2)",
    "zbox(-3, 4)",
)
SWITCHED = (
    "epsilon(bias=0)",
    "epsilon(at_zero=1)",
    "epsilon(1e-7, bias=0, at_zero=1)",
    "zplus(bias=0)",
    "zplus(bias=2)",
    "zplus(split=0)",
    "zplus(1e-9, bias=2, split=0)",
    "zplus(1e-7, bias=0, at_zero=1)",
    "alpha_beta(bias=0)",
    "alpha_beta(bias=2)",
    "alpha_beta(3, 2, split=0)",
    "alpha_beta(3, 2, 1e-7, bias=2, at_zero=1)",
    "gamma(bias=0)",
    "gamma(1, bias=2)",
    "gamma(split=0)",
    "gamma(0.5, 1e-9, bias=2, split=0)",
    "gamma(at_zero=1)",
    "flat(at_zero=1)",
    "wsquare(bias=0)",
    "wsquare(1e-7, bias=0, at_zero=1)",
    "zbox(-3, 4, at_zero=1)",
    "epsilon(0.1, relative=1)",
    "epsilon(0.1, at_zero=1, relative=1)",
    "zplus(0.1, relative=1)",
    "alpha_beta(3, 2, 0.1, relative=1)",
    "gamma(0.25, 0.1, relative=1)",
    "flat(0.1, relative=1)",
    "wsquare(0.1, relative=1)",
    "zbox(-3, 4, 0.1, relative=1)",
)
RULES = PLAIN + SWITCHED


def test_every_rule_is_restated_naively():
    missing = FUNCTIONS.keys() - NAIVE.keys() - {"pass"}
    assert not missing, f"write it on dense matrices in tests/naive_rules.py: {missing}"


# -- calling a rule


def called(at: At, text: str, R: Real, m: Real | None = None, **changed: Any) -> tuple[Share, Call]:
    op = linearised(at)
    known = None if m is None else lambda: m
    call = Call(BACKEND, op, at.inputs, op.forward(*at.inputs), R, known)._replace(**changed)
    return read_rule(text)(call), call


def relevance_for(at: At, seed: int = 1) -> tuple[Real, Real]:
    """R of the output and its multiplier, R = y m."""
    m = normal(*at.y.shape, seed=seed)
    return at.y * m, m


def call_with_multiplier(at: At, text: str, seed: int = 1) -> tuple[Share, Call]:
    """R = y m for the gradient; any R for the rules that do not need m."""
    R, m = relevance_for(at, seed)
    R = R if text == "gradient" else normal(*at.y.shape, seed=seed + 1)
    return called(at, text, R, m)


def close(a: Any, b: Any, *scale: Any, rtol: float = 1e-10) -> None:
    """Equal to rtol of the largest number around."""
    largest = max(float(np.max(np.abs(v), initial=0.0)) for v in (a, b, *scale))
    np.testing.assert_allclose(a, b, rtol=0, atol=rtol * max(largest, 1e-300))


@pytest.mark.parametrize("family", MAPS)
@pytest.mark.parametrize("text", RULES)
def test_a_rule_is_its_dense_formula(text: str, family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        got, call = call_with_multiplier(at, text)
        chosen = read_rule(text)
        want = NAIVE[chosen.name](dense(call), **dict(chosen.params))
        close(joined(got.relevance), want.relevance, call.relevance)
        close(float(np.sum(got.bias())), want.bias, call.relevance)
        close(float(np.sum(got.stabiliser())), want.stabiliser, call.relevance)
        assert [r.shape for r in got.relevance] == [x.shape for x in call.inputs]

    check()


@pytest.mark.parametrize("family", MAPS)
@pytest.mark.parametrize("text", RULES)
def test_what_arrives_is_to_inputs_plus_bias_plus_stabiliser(text: str, family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        got, call = call_with_multiplier(at, text)
        terms = [*(r.sum() for r in got.relevance), np.sum(got.bias()), np.sum(got.stabiliser())]
        size = max(np.abs(call.relevance).sum(), *(np.abs(r).sum() for r in got.relevance))
        assert abs(call.relevance.sum() - sum(terms)) <= 1e-12 * size

    check()


@pytest.mark.parametrize("family", MAPS)
@pytest.mark.parametrize("text", [t for t in RULES if not t.startswith(("flat", "wsq", "zbox"))])
def test_relevance_is_the_input_times_the_multiplier(text: str, family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        got, call = call_with_multiplier(at, text)
        assert got.multiplier is not None
        for x, m, r in zip(call.inputs, got.multiplier(), got.relevance, strict=True):
            assert m.shape == x.shape
            close(x * m, r, call.relevance, rtol=1e-13)

    check()


@pytest.mark.parametrize("text", ["flat", "wsquare", "zbox"])
def test_rules_on_other_inputs_than_x_give_no_multiplier(text: str) -> None:
    got, _ = call_with_multiplier(at_node("Gemm", [normal(2, 3), normal(3, 4)]), text)
    assert got.multiplier is None


@pytest.mark.parametrize("family", MAPS)
@pytest.mark.parametrize("text", PLAIN)
def test_a_rule_is_linear_in_relevance(text: str, family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        one, c = call_with_multiplier(at, text, seed=1)
        two, d = call_with_multiplier(at, text, seed=5)
        R, m = 2 * c.relevance - 3 * d.relevance, 2 * c.multiplier() - 3 * d.multiplier()
        both, _ = called(at, text, R, m)
        want = [2 * a - 3 * b for a, b in zip(one.relevance, two.relevance, strict=True)]
        close(joined(both.relevance), joined(tuple(want)), *one.relevance, *two.relevance)

    check()


@pytest.mark.parametrize("family", MAPS)
def test_alpha1_beta0_is_zplus(family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        a, _ = call_with_multiplier(at, "alpha_beta(1, 0)")
        b, _ = call_with_multiplier(at, "zplus")
        np.testing.assert_array_equal(joined(a.relevance), joined(b.relevance))

    check()


@pytest.mark.parametrize("family", MAPS)
def test_gamma_of_0_is_epsilon_where_y_is_not_zero(family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        R = np.where(at.y == 0, 0, normal(*at.y.shape))
        a, _ = called(at, "gamma(0)", R)
        b, _ = called(at, "epsilon", R)
        close(joined(a.relevance), joined(b.relevance), R)

    check()


def test_the_sign_of_zero_is_plus() -> None:
    """Where the terms cancel to z = 0 the denominator is + eps."""
    at = at_node("Gemm", [np.array([[1.0, -1.0]]), np.ones((2, 1)), np.zeros(1)])
    got, call = called(at, "epsilon(0.5)", np.ones((1, 1)))
    assert call.y == 0
    np.testing.assert_array_equal(got.relevance[0], [[2.0, -2.0]])
    np.testing.assert_array_equal(got.stabiliser(), [[1.0]])


def test_gamma_drops_relevance_where_y_is_zero_and_says_so() -> None:
    w = np.array([[1.0, 2.0], [1.0, -2.0]])
    got, call = called(
        at_node("Gemm", [np.array([[1.0, -1.0]]), w]), "gamma", np.array([[5.0, 7.0]])
    )
    assert call.y.tolist() == [[0.0, 4.0]]
    np.testing.assert_array_equal(got.stabiliser().ravel()[:1], [5.0])
    np.testing.assert_allclose(sum(r.sum() for r in got.relevance) + got.stabiliser().sum(), 12.0)


@pytest.mark.parametrize("family", MAPS)
def test_epsilon_0_is_the_gradient_on_affine_maps_where_y_is_not_zero(family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        m = np.where(at.y == 0, 0, normal(*at.y.shape))
        R = at.y * m
        a, _ = called(at, "epsilon(0)", R)
        b, _ = called(at, "gradient", R, m)
        close(joined(a.relevance), joined(b.relevance), R)

    check()


@pytest.mark.parametrize(
    "text", [*(f"{r}" for r in RULES if "(" not in r and r != "gradient"), "gamma(0.5)"]
)
def test_without_stabiliser_nothing_over_nothing_is_nothing(text: str) -> None:
    """Silence through a layer without bias: z = 0 and R = 0."""
    at = at_node("Conv", [np.zeros((1, 1, 9)), normal(2, 1, 3)])
    name = text.split("(", maxsplit=1)[0]
    got = read_rule(name, epsilon=0.0)(
        Call(BACKEND, linearised(at), at.inputs, at.y, 0 * at.y, 0 * at.y)
    )
    assert not joined(got.relevance).any()
    assert np.isfinite(np.sum(got.stabiliser()) + np.sum(got.bias()))


@pytest.mark.parametrize("text", ["epsilon", "zplus", "alpha_beta", "gamma"])
def test_without_stabiliser_what_arrives_at_zero_is_taken_by_it(text: str) -> None:
    at = at_node("Conv", [np.zeros((1, 1, 9)), normal(2, 1, 3)])
    R = np.ones_like(at.y)
    got = read_rule(text, epsilon=0.0)(Call(BACKEND, linearised(at), at.inputs, at.y, R, None))
    assert not joined(got.relevance).any()
    assert np.sum(got.stabiliser()) == pytest.approx(R.sum(), rel=1e-15)


@pytest.mark.parametrize("text", [*PLAIN, "zplus(0.1, relative=1)"])
@pytest.mark.parametrize("op", ["Conv", "BatchNormalization", "AveragePool", "Gemm"])
def test_a_sample_does_not_depend_on_its_batch_mates(text: str, op: str) -> None:
    """Also where one sample is non-negative and another is not: the shortcut for x >= 0."""
    x = normal(3, 2, 8)
    x[0], x[1, :, ::2] = np.abs(x[0]), 0.0
    extra: dict[str, tuple[list[Real], dict[str, Any]]] = {
        "Conv": ([normal(3, 2, 3), normal(3)], {}),
        "BatchNormalization": ([*normal(3, 2), np.ones(2)], {}),
        "AveragePool": ([], {"kernel_shape": [2]}),
        "Gemm": ([normal(16, 3), normal(3)], {}),
    }
    args, attrs = extra[op]
    x = x.reshape(3, 16) if op == "Gemm" else x
    whole, call = call_with_multiplier(at_node(op, [x, *args], **attrs), text)
    for i in range(3):
        part = slice(i, i + 1)
        alone, _ = called(
            at_node(op, [x[part], *args], **attrs),
            text,
            call.relevance[part],
            call.multiplier()[part],
        )
        close(alone.relevance[0], whole.relevance[0][part])
        if whole.multiplier is not None and alone.multiplier is not None:
            close(alone.multiplier()[0], whole.multiplier()[0][part])


def test_known_non_negative_inputs_change_nothing_but_the_cost() -> None:
    class Blind(type(BACKEND)):  # type: ignore[misc]
        def nonneg(self, x: Real) -> bool:
            return False

    at = at_node("Conv", [np.abs(normal(2, 2, 9)), normal(3, 2, 3), normal(3)])
    for text in ("zplus", "alpha_beta", "gamma"):
        seen, call = call_with_multiplier(at, text)
        blind = read_rule(text)(call._replace(bk=Blind()))
        close(seen.relevance[0], blind.relevance[0], rtol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("text", ["gamma", "gamma(0.1, 0)", "gamma(1, at_zero=1)", "gamma(bias=2)"])
@pytest.mark.parametrize("above", [True, False])
def test_where_relevance_is_known_to_stand_changes_nothing_but_the_cost(
    above: bool, text: str, bias: bool
) -> None:
    x, rest = normal(2, 2, 9), [normal(3)] if bias else []
    at = at_node("Conv", [np.abs(x) if above else x, normal(3, 2, 3), *rest])
    for support, where in ((Support.POSITIVE, at.y > 0), (Support.NOT_ZERO, at.y != 0)):
        R = np.where(where, normal(*at.y.shape, seed=5), 0)
        told, _ = called(at, text, R, support=support)
        plain, _ = called(at, text, R)
        close(told.relevance[0], plain.relevance[0], rtol=1e-12)
        assert told.multiplier is not None
        assert plain.multiplier is not None
        close(told.multiplier()[0], plain.multiplier()[0], rtol=1e-12)
        close(np.sum(told.bias()), np.sum(plain.bias()), R)
        close(np.sum(told.stabiliser()), np.sum(plain.stabiliser()), R)


# -- pass, gradient


def test_pass_carries_relevance_unchanged() -> None:
    at = at_node("BatchNormalization", [normal(2, 3), *normal(3, 3), np.ones(3)])
    R = normal(2, 3)
    got, _ = called(at, "pass", R)
    np.testing.assert_array_equal(got.relevance[0], R)
    assert np.sum(got.bias()) == np.sum(got.stabiliser()) == 0


@pytest.mark.parametrize(
    "at",
    [
        at_node("Gemm", [normal(2, 3), normal(3, 4)]),
        at_node("Add", [normal(2), normal(2)], live=(0, 1)),
    ],
)
def test_pass_needs_one_input_of_the_outputs_shape(at: At) -> None:
    with pytest.raises(InputError, match="rule 'pass' needs one input"):
        called(at, "pass", at.y)


def test_gradient_without_a_multiplier_is_an_error() -> None:
    at = at_node("Gemm", [normal(2, 3), normal(3, 4)])
    with pytest.raises(InputError, match="'gradient' needs the multiplier"):
        called(at, "gradient", at.y)


# -- nothing that cannot be traced


def traced(at: At, text: str) -> tuple[Share, Share]:
    """The same call on NumPy and on arrays without numbers."""
    bk = SymbolicBackend()
    args = tuple(Symbol(a) if i in at.live else a for i, a in enumerate(at.args))
    symbolic = At(at.node, bk, args, at.live, Symbol(at.y))  # type: ignore[arg-type]
    R, m = relevance_for(at)
    layer, known = linearised(symbolic), Symbol(m)
    call = Call(bk, layer, symbolic.inputs, symbolic.y, Symbol(R), lambda: known)  # type: ignore[arg-type]
    return read_rule(text)(call), called(at, text, R, m)[0]


TRACED = {
    "Conv": at_node("Conv", [normal(2, 2, 9), normal(3, 2, 3), normal(3)], pads=[1, 1]),
    "ConvTranspose": at_node("ConvTranspose", [normal(2, 2, 5), normal(2, 3, 3)], strides=[2]),
    "Gemm": at_node("Gemm", [normal(2, 3), normal(3, 4), normal(4)]),
    "MatMul": at_node("MatMul", [normal(2, 3, 4), normal(4, 2)]),
    "AveragePool": at_node("AveragePool", [normal(2, 2, 8)], kernel_shape=[2], strides=[2]),
    "ReduceMean": at_node("ReduceMean", [normal(2, 3)], axes=[1]),
    "Add": at_node("Add", [normal(2, 3), normal(3)], live=(0, 1)),
    "BatchNormalization": at_node("BatchNormalization", [normal(2, 3), *normal(3, 3), np.ones(3)]),
}


PAIRS = [(t, op) for t in (*RULES, "epsilon(0)") for op in TRACED] + [
    ("pass", "BatchNormalization")
]


@pytest.mark.parametrize(("text", "op"), PAIRS)
def test_a_rule_can_be_traced(text: str, op: str) -> None:
    got, want = traced(TRACED[op], text)
    close(joined(tuple(map(numbers, got.relevance))), joined(want.relevance), rtol=1e-13)
    assert (got.multiplier is None) == (want.multiplier is None)
    for term in ("bias", "stabiliser"):
        close(numbers(getattr(got, term)()).sum(), getattr(want, term)().sum(), *want.relevance)


@pytest.mark.parametrize(
    "look",
    [
        bool,
        float,
        np.asarray,
        np.sum,
        list,
        lambda s: s > 0,
        lambda s: s[0],
        lambda s: np.where(s, 1, 0),
    ],
)
def test_the_symbolic_backend_hides_its_numbers(look: Callable[[Any], Any]) -> None:
    with pytest.raises((Untraceable, TypeError)):
        look(Symbol(normal(2)))
