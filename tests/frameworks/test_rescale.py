"""The epsilon rule of a difference is DeepLIFT's Rescale rule: captum's DeepLift is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from peers import exported, needed, quiet, random_input, randomised, torch

from dftlrp import attribute
from dftlrp.core.rule_text import read_rule
from dftlrp.engine.composites import Composite

needed("captum")
from captum.attr import DeepLift  # noqa: E402

nn = torch.nn


@pytest.mark.parametrize("target", [0, 2])
def test_epsilon_between_two_points_is_deeplifts_rescale(target: int) -> None:
    net = randomised(
        nn.Sequential(
            nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), nn.AvgPool1d(2),
            nn.Conv1d(4, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(10, 6), nn.ReLU(),
            nn.Linear(6, 3),
        )
    )  # fmt: skip
    x, r = random_input(2, 2, 12), random_input(2, 2, 12, seed=5)
    want = quiet(lambda: DeepLift(net).attribute(x, r, target=target)).detach().numpy()
    ours = attribute(
        exported(net, x), x.numpy(), reference=r.numpy(), target=target,
        composite=Composite("exact", read_rule("epsilon(1e-12)")), backend="numpy",
    ).relevance  # fmt: skip
    np.testing.assert_allclose(ours, want, rtol=1e-7, atol=1e-8 * np.abs(want).max())
