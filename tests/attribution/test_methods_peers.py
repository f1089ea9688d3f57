"""Gradients against autograd, and integrated gradients against captum's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from peers import captum as load_captum
from peers import exported, quiet, randomised, torch

RATE = 1000
N = 64
nn = torch.nn


class Hears(nn.Module):  # type: ignore[misc]
    """Reads (batch, 1, N)."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(1, 3, 5, stride=2), act(), nn.Conv1d(3, 4, 3), act())
        self.head = nn.Linear(4 * 28, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x).flatten(1))


def made(act: Any) -> tuple[Any, Any, np.ndarray]:
    net = randomised(Hears(act), seed=4)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 1, N)))
    return net, exported(net, x), x[0, 0].numpy()


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.GELU])
def test_gradient_is_autograds(act: Any) -> None:
    net, model, x = made(act)
    e = reference.explain(model, x, rate=RATE, target=2, seed="logit", method="gradient")
    given = torch.from_numpy(x)[None, None].requires_grad_(True)
    net(given)[0, 2].backward()
    want = x * given.grad[0, 0].numpy()
    np.testing.assert_allclose(e.relevance["time"], want, atol=1e-12 * np.abs(want).max())


def test_integrated_gradients_are_captums() -> None:
    net, model, x = made(nn.Tanh)
    captum = load_captum()
    e = reference.explain(model, x, rate=RATE, target=2, seed="logit", domains="time",
                          method="integrated-gradients(steps=400)")  # fmt: skip
    ig = captum.attr.IntegratedGradients(net)
    given = torch.from_numpy(x)[None, None]
    want = quiet(lambda: ig.attribute(given, target=2, n_steps=50)).detach().numpy()[0, 0]
    np.testing.assert_allclose(e.relevance["time"], want, atol=2e-5 * np.abs(want).max())
