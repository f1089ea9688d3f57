"""Gradient x input is torch's: the tangent of every layer, against autograd, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from peers import exported, random_input, randomised, torch
from reference import attribute

nn = torch.nn


class Residual(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(2, 2, 3, padding=1), nn.Conv1d(2, 2, 3, padding=1)
        self.norm, self.head = nn.BatchNorm1d(2), nn.Linear(24, 3)

    def forward(self, x: Any) -> Any:
        h = torch.relu(self.norm(self.a(x)))
        h = torch.relu(self.b(h) + h - 0.3 * x)
        return self.head(h.flatten(1))


class UNet(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(2, 3, 3, padding=1), nn.Conv1d(3, 4, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1, output_padding=1)
        self.head = nn.Conv1d(6, 3, 1)

    def forward(self, x: Any) -> Any:
        a = torch.relu(self.a(x))
        b = self.up(torch.relu(self.b(a)))
        return self.head(torch.cat([torch.tanh(b), a], 1)).mean(-1)


class Moved(nn.Module):  # type: ignore[misc]
    """Slices, transposes, splits, pads, padding by reflection, maxima, clipping."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(14, 3)

    def forward(self, x: Any) -> Any:
        a, b = x.transpose(1, 2).split([5, 7], dim=1)
        a = nn.functional.pad(a.transpose(1, 2), (2, 1), mode="reflect")
        b = nn.functional.pad(b, (0, 0, 1, 2), value=0.7).transpose(1, 2)[:, :, 1:9]
        h = torch.maximum(a, b).clamp(-0.8, 0.9)[:, :, :7] - 0.1 * x.amax(dim=2, keepdim=True)
        return self.head(h.flatten(1))


class Many(nn.Module):  # type: ignore[misc]
    """A layer of the table between two linear ones."""

    def __init__(self, layer: Any, channels: int = 4, wide: int = 10) -> None:
        super().__init__()
        self.first, self.layer = nn.Conv1d(2, channels, 3), layer
        self.head = nn.Linear(wide, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(self.first(x)).flatten(1))


def gridded(x: Any) -> Any:
    """Samples between samples, at fixed places."""
    u = torch.linspace(-0.9, 0.8, 5, dtype=x.dtype)
    grid = torch.stack([u, torch.zeros_like(u)], -1)[None, None].expand(len(x), 1, 5, 2)
    return nn.functional.grid_sample(x[:, :, None], grid, align_corners=True)[:, :, 0]


FUNCTIONS: dict[str, tuple[Any, int]] = {
    "LayerNorm": (nn.LayerNorm(10), 40),
    "GroupNorm": (nn.GroupNorm(2, 4), 40),
    "InstanceNorm": (nn.InstanceNorm1d(4, affine=True), 40),
    "Softmax within": (nn.Softmax(dim=1), 40),
    "LogSoftmax within": (nn.LogSoftmax(dim=2), 40),
    "Upsample linear": (nn.Upsample(scale_factor=2, mode="linear"), 80),
    "Upsample nearest": (nn.Upsample(size=7), 28),
    "Upsample corners": (nn.Upsample(size=17, mode="linear", align_corners=True), 68),
    "logsumexp": (lambda x: x.logsumexp(dim=1), 10),
    "norm": (lambda x: x.norm(dim=2), 4),
    "square": (lambda x: (x * 1.0).pow(2).sum(dim=2), 4),
    "cumsum": (lambda x: x.cumsum(dim=2), 40),
    "topk": (lambda x: x.topk(3, dim=2).values, 12),
    "gather": (lambda x: x.gather(2, torch.zeros(len(x), 4, 2, dtype=torch.int64) + 3), 8),
    "triu": (lambda x: x.triu(1), 40),
    "sin": (lambda x: x.sin() + (0.5 * x).cos() + x.atan(), 40),
    "einsum": (lambda x: torch.einsum("bct,cd->bdt", x, torch.eye(4, dtype=x.dtype)[:, :3]), 30),
    "grid_sample": (gridded, 20),
}


def body(*layers: Any, wide: int) -> Any:
    return nn.Sequential(nn.Conv1d(2, 4, 3), *layers, nn.Flatten(), nn.Linear(wide, 3))


# Parameters are powers of two where they become ONNX attributes, which are float32 (for that
# reason without SELU and Hardsigmoid).  Without SiLU, Mish and Softsign: they are exported as
# products or quotients of two signals, for which there is no rule yet.
ACTIVATIONS = {
    "ReLU": nn.ReLU(),
    "LeakyReLU": nn.LeakyReLU(0.25),
    "ELU": nn.ELU(0.5),
    "Tanh": nn.Tanh(),
    "Sigmoid": nn.Sigmoid(),
    "GELU": nn.GELU(),
    "GELU by tanh": nn.GELU(approximate="tanh"),
    "Softplus": nn.Softplus(),
    "CELU": nn.CELU(0.5),
    "Hardtanh": nn.Hardtanh(-0.5, 0.6),
    "ReLU6": nn.ReLU6(),
    "Hardswish": nn.Hardswish(),
    "PReLU": nn.PReLU(4),
}
NETWORKS = {
    **{name: body(f, wide=40) for name, f in ACTIVATIONS.items()},
    "MaxPool": body(nn.ReLU(), nn.MaxPool1d(3, 2, padding=1, ceil_mode=True), wide=24),
    "AvgPool": body(nn.ReLU(), nn.AvgPool1d(3, 2, padding=1), wide=20),
    "AvgPool without padding": body(
        nn.AvgPool1d(3, 2, padding=1, count_include_pad=False), wide=20
    ),
    "AdaptiveAvgPool": body(nn.AdaptiveAvgPool1d(1), wide=4),
    "AdaptiveMaxPool": body(nn.AdaptiveMaxPool1d(1), wide=4),
    "BatchNorm": body(nn.BatchNorm1d(4), nn.ReLU(), wide=40),
    "Dropout": body(nn.Dropout(), nn.Identity(), wide=40),
    "LogSoftmax": nn.Sequential(body(nn.ReLU(), wide=40), nn.LogSoftmax(dim=1)),
    **{name: Many(f, wide=wide) for name, (f, wide) in FUNCTIONS.items()},
    "Residual": Residual(),
    "UNet": UNet(),
    "Moved": Moved(),
    "2-D": nn.Sequential(
        nn.Unflatten(2, (3, 4)),
        nn.Conv2d(2, 4, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.ConvTranspose2d(4, 2, 2, stride=2, padding=1),
        nn.ELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 3),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_times_input_is_autograds(name: str) -> None:
    net = randomised(NETWORKS[name])
    x = random_input(2, 2, 12)
    model = exported(net, x, opset=20 if name.startswith("GELU") else 17)
    logits = net[0] if name == "LogSoftmax" else net  # a final LogSoftmax is left out
    x.requires_grad_()
    z = logits(x)
    z[:, 1].sum().backward()
    signal, slope = x.detach().numpy(), x.grad.numpy()
    result = attribute(model, signal, target=1, seed="logit", composite="Gradient")
    np.testing.assert_allclose(result.explained, z.detach().numpy(), rtol=0, atol=1e-10)
    for got, want in ((result.multiplier, slope), (result.relevance, signal * slope)):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())
    assert result.ledger.gap <= 1e-9
