"""Parity with captum's LRP: its rules under their names, on whole networks, in float64.

captum stabilises max pools too (x R / (x + 1e-9) at the winner); here relevance is carried to the
winner.  So its max pools are given a stabiliser of 1e-30, and one test says what the default is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peers import captum as load_captum
from peers import exported, quiet, random_input, randomised, torch
from reference import attribute

from dftlrp.core.rule_text import read_rule
from dftlrp.engine.composites import Composite

nn = torch.nn
captum = load_captum()
theirs = captum.attr._utils.lrp_rules
WINNERS = 1e-30

RULES: dict[str, Callable[[], Any]] = {
    "captum.EpsilonRule": theirs.EpsilonRule,
    "captum.EpsilonRule(0.25)": lambda: theirs.EpsilonRule(0.25),
    "captum.GammaRule": theirs.GammaRule,
    "captum.GammaRule(1)": lambda: theirs.GammaRule(1.0),
    "captum.GammaRule(bias=0)": lambda: theirs.GammaRule(set_bias_to_zero=True),
    "captum.Alpha1_Beta0_Rule": theirs.Alpha1_Beta0_Rule,
    "captum.Alpha1_Beta0_Rule(bias=0)": lambda: theirs.Alpha1_Beta0_Rule(True),
}
WEIGHTED = {"Conv": nn.Conv2d, "Gemm": nn.Linear}


class Flat(nn.Module):  # type: ignore[misc]
    """A body and a dense head; captum has no rule for nn.Flatten."""

    def __init__(self, body: Any, wide: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(wide, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x).flatten(1))


def dense() -> Any:
    return nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))


def images() -> Any:
    body = (
        nn.Conv2d(2, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2),
        nn.ReLU(),
    )
    return Flat(nn.Sequential(*body, nn.AvgPool2d(2), nn.Dropout()), wide=12)


def normalised() -> Any:
    body = (nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2))
    return Flat(nn.Sequential(*body, nn.Conv2d(4, 5, 2), nn.AdaptiveAvgPool2d(1)), wide=5)


NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dense": (dense, (9,)),
    "images": (images, (2, 7, 10)),
    "normalised": (normalised, (2, 9, 8)),
}


def made(name: str) -> tuple[Any, Any]:
    make, shape = NETWORKS[name]
    return randomised(make(), seed=7), random_input(3, *shape, seed=5)


def relevance(net: Any, x: Any, by_kind: dict[type, Callable[[], Any]]) -> Any:
    """Captum's relevance of class 1; it deletes the rules of the layers after each call."""
    for layer in net.modules():
        if make := by_kind.get(type(layer)):
            layer.rule = make()
    lrp = captum.attr.LRP(net)
    return quiet(lambda: lrp.attribute(x.clone(), target=1)).detach().numpy()


def winners() -> Any:
    return theirs.EpsilonRule(WINNERS)


def agree(ours: Any, want: Any) -> None:
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-10 * np.abs(want).max())


def in_captums_words(text: str) -> Composite:
    weighted = dict.fromkeys(WEIGHTED, read_rule(text))
    return Composite("captum", read_rule("captum.EpsilonRule"), weighted, fold=False)


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_rule_under_captums_name_is_captums(name: str, text: str) -> None:
    net, x = made(name)
    mine = attribute(exported(net, x), x.numpy(), target=1, composite=in_captums_words(text))
    kinds = dict.fromkeys(WEIGHTED.values(), RULES[text])
    agree(mine.relevance, relevance(net, x, {nn.MaxPool2d: winners, **kinds}))
    assert mine.ledger.gap <= 1e-9


@pytest.mark.parametrize("text", RULES)
def test_one_layer_under_each_of_captums_rules(text: str) -> None:
    """Inputs of any sign, exact zeros among them, and a bias."""
    net, x = randomised(nn.Sequential(nn.Linear(7, 5)), seed=3), random_input(4, 7)
    x[..., ::3] = 0
    mine = attribute(exported(net, x), x.numpy(), target=1, composite=in_captums_words(text))
    agree(mine.relevance, relevance(net, x, {nn.Linear: RULES[text]}))


@pytest.mark.parametrize("text", ["captum.EpsilonRule", "captum.IdentityRule"])
def test_batch_normalisation_is_captums_by_epsilon_or_passed(text: str) -> None:
    net, x = made("normalised")
    composite = Composite(
        "captum",
        read_rule("captum.EpsilonRule"),
        {"BatchNormalization": read_rule(text)},
        fold=False,
    )
    mine = attribute(exported(net, x), x.numpy(), target=1, composite=composite)
    make = theirs.IdentityRule if "Identity" in text else theirs.EpsilonRule
    agree(mine.relevance, relevance(net, x, {nn.BatchNorm2d: make, nn.MaxPool2d: winners}))


def test_a_rule_for_each_layer_as_captums_tutorials_set_them() -> None:
    net, x = made("images")
    ours = {"first": "captum.GammaRule(0.5)", "last": "captum.EpsilonRule(0.1)"}
    mine = attribute(
        exported(net, x),
        x.numpy(),
        target=1,
        composite=in_captums_words("captum.Alpha1_Beta0_Rule"),
        overrides=ours,
    )
    net.body[0].rule, net.head.rule = theirs.GammaRule(0.5), theirs.EpsilonRule(0.1)
    net.body[3].rule, net.body[1].rule = theirs.Alpha1_Beta0_Rule(), winners()
    agree(mine.relevance, relevance(net, x, {}))


def test_captums_own_max_pool_takes_its_stabiliser_and_ours_takes_nothing() -> None:
    net, x = made("images")
    default, bare = relevance(net, x, {}), relevance(net, x, {nn.MaxPool2d: winners})
    gap = np.abs(default - bare).max() / np.abs(bare).max()
    assert 1e-11 < gap < 1e-6
