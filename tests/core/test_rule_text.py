"""Rules as text: what is read, written, and refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dftlrp
from dftlrp.core.rule_text import Rule, list_parameters, read_rule
from dftlrp.core.rules import FUNCTIONS, OPTIONS, register_rule
from dftlrp.core.sharing import Term, share
from dftlrp.core.types import InputError


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_rules_name_is_a_rule(name: str) -> None:
    assert read_rule(name) == Rule(name)
    assert str(read_rule(name)) == name
    assert read_rule(read_rule(name)) == read_rule(name)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("gamma(0.1)", {"gamma": 0.1}),
        ("zbox(-3, 3)", {"low": -3.0, "high": 3.0}),
        (" zbox( high = 3 , low=-3 ) ", {"low": -3.0, "high": 3.0}),
        ("alpha_beta(2, beta=1)", {"alpha": 2.0, "beta": 1.0}),
        ("epsilon(1e-3)", {"epsilon": 1e-3}),
        ("epsilon()", {}),
    ],
)
def test_parameters_stand_in_brackets_by_place_or_name(text: str, params: dict[str, float]) -> None:
    assert dict(read_rule(text).params) == params


@given(st.floats(0, 1e3), st.floats(1e-12, 1.0))
@settings(deadline=None, derandomize=True, database=None)
def test_a_rules_text_gives_the_rule_back(g: float, eps: float) -> None:
    chosen = read_rule("gamma", gamma=g, epsilon=eps)
    assert read_rule(str(chosen)) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zplsu", "unknown rule 'zplsu': did you mean 'zplus'. choose one of epsilon, zplus"),
        ("", "unknown rule"),
        ("gamma(0.1", "unknown rule"),
        ("gamma(a)", "bad parameter 'a' in rule"),
        ("gamma(nan)", "bad parameter 'nan' in rule"),
        ("gamma(inf)", "bad parameter 'inf' in rule"),
        ("gamma(1, 2, 3)", "bad parameter '3' in rule"),
        (
            "gamma(beta=1)",
            r"rule gamma has no parameter \['beta'\]: it takes \['gamma', 'epsilon'\]",
        ),
        ("gamma(0.1, gamma=0.2)", "twice"),
        ("pass(1)", "bad parameter '1' in rule"),
        ("alpha_beta(2, 0.5)", "alpha - beta = 1"),
        ("alpha_beta(0.5, -0.5)", "beta must be >= 0"),
        ("alpha_beta(1)", "alpha - beta = 1"),
        ("epsilon(-1)", "epsilon.*>= 0"),
        ("zplus(epsilon=-1)", "epsilon.*>= 0"),
        ("gamma(-0.5)", "gamma.*>= 0"),
        ("zbox(3, -3)", "low.*high"),
        (7, "unknown rule 7"),
    ],
)
def test_a_rule_that_is_none_is_refused_when_it_is_named(text: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rule(text)


@pytest.fixture
def own_rule(monkeypatch):
    for table in (FUNCTIONS, OPTIONS):
        monkeypatch.setitem(table, "own", None)
        monkeypatch.delitem(table, "own")
    yield
    list_parameters.cache_clear()


def test_a_rule_that_is_registered_is_known_by_name_with_its_numbers(own_rule):
    @register_rule("own", "epsilon", "at_zero", "relative")
    def share_more(c, factor=2.0):
        return share(c, [Term(c.op.map(lambda w: factor * w), c.inputs)], None)

    register_rule("own", "epsilon", "at_zero", "relative")(share_more)  # once more
    x = np.random.default_rng(0).normal(size=(1, 1, 8000))
    own, plain = (
        dftlrp.attribute("waveform", x, overrides={"conv1": rule}, backend="numpy").relevance
        for rule in ("own(3, epsilon=0)", "epsilon(0)")
    )
    np.testing.assert_allclose(own, plain, rtol=1e-6, atol=1e-9)
    assert str(read_rule("own(3)")) == "own(factor=3)"
    with pytest.raises(InputError, match="no parameter"):
        read_rule("own", bias=0)


def test_another_function_by_the_name_of_a_rule_is_refused():
    with pytest.raises(InputError, match="there is a rule 'zplus' already"):
        register_rule("zplus")(lambda c: None)
