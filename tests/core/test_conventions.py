"""Other libraries' rules by name: iNNvestigate's against its formulas, and how names are read."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import at_node, normal
from hypothesis import given
from maps import MAPS
from naive_rules import INNVESTIGATE, dense, inn_batch_norm, joined
from test_rules import call_with_multiplier, called, close, few

from dftlrp.core.conventions import CONVENTIONS
from dftlrp.core.rule_text import Rule, read_rule
from dftlrp.core.types import InputError
from dftlrp.ops import At

NAMES = [f"{library}.{name}" for library, rules in CONVENTIONS.items() for name in rules]


@pytest.mark.parametrize("family", MAPS)
@pytest.mark.parametrize("name", INNVESTIGATE)
def test_a_rule_under_innvestigates_name_is_its_formula(name: str, family: str) -> None:
    @few
    @given(MAPS[family])
    def check(at: At) -> None:
        got, call = call_with_multiplier(at, f"innvestigate.{name}")
        close(joined(got.relevance), INNVESTIGATE[name](dense(call)), call.relevance)

    check()


def test_innvestigate_is_restated_under_every_name_that_is_offered() -> None:
    assert set(CONVENTIONS["innvestigate"]) == {n.partition("(")[0] for n in INNVESTIGATE}


def test_a_denominator_of_zero_counts_as_the_guard_and_no_other_is_touched() -> None:
    at = at_node("Gemm", [np.array([[1.0, -1.0]]), np.array([[1.0, 1.0], [1.0, 1.0 + 1e-9]])])
    got, _ = called(at, "innvestigate.Z", np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(got.relevance[0], [[1e7, -1e7]], rtol=1e-15)
    got, call = called(at, "innvestigate.Z", np.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(got.relevance[0][0, 0], 1 / call.y[0, 1])
    assert got.stabiliser()[0, 1] == 0


def test_the_bias_conventions_differ_where_there_is_a_bias_and_nowhere_else() -> None:
    x, w, b = normal(2, 5), normal(5, 4, seed=1), normal(4, seed=2)
    for has_bias, differ in ((True, 0.1), (False, 0.0)):
        at = at_node("Gemm", [x, w, b] if has_bias else [x, w])
        R = normal(2, 4, seed=3)
        some = [called(at, f"alpha_beta(bias={k})", R)[0].relevance[0] for k in (0, 1, 2)]
        gaps = [np.abs(some[i] - some[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))]
        assert min(gaps) > differ if differ else max(gaps) == 0


def test_innvestigates_batch_normalisation_is_lrp_0_up_to_where_its_stabiliser_stands() -> None:
    x, (g, beta, mean) = normal(3, 4), normal(3, 4, seed=1)
    at = at_node("BatchNormalization", [x, g, beta, mean, np.ones(4)])
    R = normal(3, 4, seed=2)
    got, call = called(at, "epsilon(0)", R)
    theirs = inn_batch_norm(x, call.y, mean, beta, R)
    room = 1e-7 / np.abs((x - mean) * call.y)
    assert np.all(np.abs(got.relevance[0] - theirs) <= 1.01 * room * np.abs(theirs) + 1e-12)


# -- names


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_a_rule_whose_text_gives_it_back(name: str) -> None:
    assert read_rule(str(read_rule(name))) == read_rule(name)


def test_zennits_names_are_the_defaults() -> None:
    assert all(read_rule(f"zennit.{name}").params == () for name in CONVENTIONS["zennit"])


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("captum.GammaRule(0.1)", {"gamma": 0.1, "epsilon": 1e-9, "bias": 2, "split": 0}),
        ("captum.Alpha1_Beta0_Rule(bias=0)", {"epsilon": 1e-9, "bias": 0, "split": 0}),
        ("zennit.Gamma(0.5)", {"gamma": 0.5}),
        ("innvestigate.Bounded(-3, 3)", {"low": -3, "high": 3, "epsilon": 1e-7, "at_zero": 1}),
    ],
)
def test_numbers_in_brackets_beat_the_conventions(text: str, params: dict[str, float]) -> None:
    assert dict(read_rule(text).params) == params
    assert isinstance(read_rule(text), Rule)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "captum.Gamma",
            "unknown rule 'captum.Gamma': did you mean 'GammaRule'. choose one of",
        ),
        (
            "lrp.epsilon",
            "unknown rule 'lrp.epsilon': did you mean 'epsilon'. choose one of epsilon, zplus",
        ),
        ("captum.", "unknown rule"),
        ("zplus(bias=3)", r"rule zplus: bias must be one of \(0, 1, 2\), not 3"),
        ("gamma(split=0.5)", r"split must be one of \(0, 1\), not 0.5"),
        ("flat(bias=0)", r"no parameter \['bias'\]: it takes \['epsilon'\], and as switches"),
        ("zplus(1e-6, 0)", "bad parameter '0' in rule"),
    ],
)
def test_what_is_no_convention_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rule(text)
