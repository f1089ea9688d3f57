"""Parity with zennit: its rules layer by layer, its composites on whole networks, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peers import exported, quiet, random_input, randomised, torch
from peers import zennit as load_zennit
from reference import attribute

from dftlrp.core.rule_text import read_rule
from dftlrp.engine.composites import Composite, epsilon_gamma_box

nn = torch.nn
zennit = load_zennit()
LOW, HIGH = -3.0, 4.0

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Linear": (nn.Linear(7, 5), (7,)),
    "Linear without bias": (nn.Linear(7, 5, bias=False), (7,)),
    "Conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2), (4, 11)),
    "Conv1d in groups": (nn.Conv1d(4, 8, 3, groups=4, padding=1), (4, 9)),
    "Conv2d": (nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=1, bias=False), (2, 5, 6)),
    "Conv3d": (nn.Conv3d(1, 2, 2), (1, 3, 4, 3)),
    "ConvTranspose1d": (nn.ConvTranspose1d(3, 4, 4, stride=3, padding=1, output_padding=1), (3, 6)),
    "ConvTranspose2d": (nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2), (2, 3, 3)),
}
RULES: dict[str, Callable[[], Any]] = {
    "epsilon": zennit.rules.Epsilon,
    "epsilon(0.25)": lambda: zennit.rules.Epsilon(0.25),
    "zplus": zennit.rules.ZPlus,
    "alpha_beta(2, 1)": lambda: zennit.rules.AlphaBeta(2.0, 1.0),
    "alpha_beta(1, 0)": lambda: zennit.rules.AlphaBeta(1.0, 0.0),
    "gamma(0.25)": lambda: zennit.rules.Gamma(0.25),
    "gamma(1)": lambda: zennit.rules.Gamma(1.0),
    "flat": zennit.rules.Flat,
    "wsquare": zennit.rules.WSquare,
    f"zbox({LOW}, {HIGH})": lambda: zennit.rules.ZBox(LOW, HIGH),
    "zennit.Norm": zennit.rules.Norm,
    "epsilon(bias=0)": lambda: zennit.rules.Epsilon(zero_params="bias"),
    "zplus(bias=0)": lambda: zennit.rules.ZPlus(zero_params="bias"),
    "alpha_beta(bias=0)": lambda: zennit.rules.AlphaBeta(2.0, 1.0, zero_params="bias"),
    "gamma(bias=0)": lambda: zennit.rules.Gamma(0.25, zero_params="bias"),
    "wsquare(bias=0)": lambda: zennit.rules.WSquare(zero_params="bias"),
}


def theirs(net: Any, composite: Any, x: Any, R: Callable[[Any], Any]) -> Any:
    """Relevance of x under a zennit composite, with relevance R(z) at the output z."""

    def run() -> Any:
        with composite.context(net) as changed:
            signal = x.clone().requires_grad_()
            z = changed(signal)
            return torch.autograd.grad(z, signal, R(z.detach()))[0].numpy()

    return quiet(run)


def one_rule(layer: Any, make: Callable[[], Any]) -> Any:
    kind = type(layer)
    return zennit.composites.LayerMapComposite([(kind, make())])


def agree(ours: Any, want: Any) -> None:
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-10 * np.abs(want).max())


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_rule_on_one_layer_is_zennits(name: str, text: str) -> None:
    layer, shape = LAYERS[name]
    net, x = nn.Sequential(randomised(layer, seed=3)), random_input(2, *shape)
    x[..., ::3] = 0  # exact zeros too
    mine = Composite("one", read_rule(text))
    R = np.random.default_rng(1).standard_normal(net(x).shape)
    ours = attribute(exported(net, x), x.numpy(), target=lambda z: R, composite=mine)
    agree(
        ours.relevance, theirs(net, one_rule(layer, RULES[text]), x, lambda z: torch.from_numpy(R))
    )


def test_gamma_drops_relevance_where_the_output_is_zero_as_zennit_does() -> None:
    layer = nn.Linear(2, 2, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, 1.0], [2.0, -2.0]], dtype=torch.float64)
    net, x = nn.Sequential(layer), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    R = np.array([[5.0, 7.0]])
    mine = Composite("one", read_rule("gamma"))
    ours = attribute(exported(net, x), x.numpy(), target=lambda z: R, composite=mine)
    agree(
        ours.relevance,
        theirs(net, one_rule(layer, RULES["gamma(0.25)"]), x, lambda z: torch.from_numpy(R)),
    )


def test_average_pools_share_by_value_as_zennit_does() -> None:
    net, x = nn.Sequential(nn.AvgPool1d(3, 2, padding=1)), random_input(2, 3, 9)
    R = np.random.default_rng(1).standard_normal(net(x).shape)
    ours = attribute(exported(net, x), x.numpy(), target=lambda z: R, composite="EpsilonPlus")
    norm = zennit.composites.LayerMapComposite([(nn.AvgPool1d, zennit.rules.Norm())])
    agree(ours.relevance, theirs(net, norm, x, lambda z: torch.from_numpy(R)))


class Residual(nn.Module):  # type: ignore[misc]
    """A residual add, in zennit's words a Sum over a stacked axis."""

    def __init__(self) -> None:
        super().__init__()
        import importlib

        self.a, self.b = nn.Conv1d(2, 3, 3, padding=1), nn.Conv1d(3, 3, 3, padding=1)
        self.ra, self.rb = nn.ReLU(), nn.ReLU()
        self.sum = importlib.import_module("zennit.layer").Sum(dim=-1)
        self.head = nn.Linear(36, 4)

    def forward(self, x: Any) -> Any:
        h = self.ra(self.a(x))
        both = self.sum(torch.stack([self.b(h), h], dim=-1))
        return self.head(self.rb(both).flatten(1))


class Added(Residual):
    """The same network as a user writes and exports it."""

    def forward(self, x: Any) -> Any:
        h = self.ra(self.a(x))
        return self.head(self.rb(self.b(h) + h).flatten(1))


def waves() -> Any:
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(4, 6, 3, stride=2),
        nn.ReLU(),
        nn.AvgPool1d(2),
        nn.Flatten(),
        nn.Linear(18, 8),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(8, 4),
    )


def images() -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(4, 6, 2),
        nn.LeakyReLU(0.25),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def dense() -> Any:
    return nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 6), nn.ELU(0.5), nn.Linear(6, 4))


def upwards() -> Any:
    return nn.Sequential(
        nn.Conv1d(2, 4, 4, stride=2),
        nn.ReLU(),
        nn.ConvTranspose1d(4, 3, 4, stride=2),
        nn.ReLU(),
        nn.Conv1d(3, 2, 3),
        nn.Flatten(),
        nn.Linear(24, 4),
    )


NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "waves": (waves, (2, 30)),
    "images": (images, (2, 9, 8)),
    "dense": (dense, (9,)),
    "upwards": (upwards, (2, 14)),
}
PRESETS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "EpsilonPlus": ("EpsilonPlus", zennit.composites.EpsilonPlus),
    "EpsilonPlusFlat": ("EpsilonPlusFlat", zennit.composites.EpsilonPlusFlat),
    "EpsilonAlpha2Beta1": ("EpsilonAlpha2Beta1", zennit.composites.EpsilonAlpha2Beta1),
    "EpsilonAlpha2Beta1Flat": (
        "EpsilonAlpha2Beta1Flat",
        zennit.composites.EpsilonAlpha2Beta1Flat,
    ),
    "EpsilonGammaBox": (
        epsilon_gamma_box(LOW, HIGH),
        lambda: zennit.composites.EpsilonGammaBox(low=LOW, high=HIGH),
    ),
}


def at_target(z: Any) -> Any:
    R = torch.zeros_like(z)
    R[:, 1] = z[:, 1]
    return R


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_preset_on_a_whole_network_is_zennits(name: str, preset: str) -> None:
    make, shape = NETWORKS[name]
    net, x = randomised(make(), seed=7), random_input(3, *shape, seed=5)
    mine, other = PRESETS[preset]
    ours = attribute(exported(net, x), x.numpy(), target=1, composite=mine)
    agree(ours.relevance, theirs(net, other(), x, at_target))
    assert ours.ledger.gap <= 1e-9


@pytest.mark.parametrize("preset", PRESETS)
def test_a_residual_add_is_zennits_sum(preset: str) -> None:
    net, x = randomised(Residual(), seed=7), random_input(3, 2, 12, seed=5)
    plain = Added().double().eval()
    plain.load_state_dict(net.state_dict())
    mine, other = PRESETS[preset]
    ours = attribute(exported(plain, x), x.numpy(), target=1, composite=mine)
    agree(ours.relevance, theirs(net, other(), x, at_target))
