"""Native torch modules, small, as a user writes them: functions between modules, in-place ReLUs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from nets import Encoder, Headed, Recurrent, Residual
from peers import torch

nn = torch.nn
F = nn.functional


class Case(NamedTuple):
    """How a module is made, the shape of what it reads, and a layer with weights in it."""

    make: Callable[[], Any]
    shape: tuple[int, ...]
    layer: str


class Normed(nn.Module):  # type: ignore[misc]
    """A residual block with BatchNorm; one ReLU stands in two places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(channels, channels, 3, padding=1), nn.BatchNorm1d(channels)
        self.conv2, self.bn2 = nn.Conv1d(channels, channels, 3, padding=1), nn.BatchNorm1d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        h = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(h)) + x)


class UNet(nn.Module):  # type: ignore[misc]
    """Down, up by a transposed convolution, and across."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = nn.Conv1d(1, 4, 3, padding=1), nn.Conv1d(4, 6, 4, 2, 1)
        self.up = nn.ConvTranspose1d(6, 4, 4, 2, 1)
        self.head = nn.Conv1d(8, 3, 1)

    def forward(self, x: Any) -> Any:
        across = F.relu(self.down(x))
        h = F.relu(self.up(F.relu(self.low(across))))
        return self.head(torch.cat([across, h], 1)).mean(-1)


class Gated(nn.Module):  # type: ignore[misc]
    """A GRU in both directions over what a convolution makes of a waveform."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 4, 4)
        self.gru, self.head = nn.GRU(4, 5, bidirectional=True, batch_first=True), nn.Linear(10, 3)

    def forward(self, x: Any) -> Any:
        return F.log_softmax(self.head(self.gru(self.conv(x).transpose(1, 2))[0].mean(1)), dim=-1)


def audionet() -> Any:
    body: list[Any] = []
    for before, after in pairwise((1, 6, 4, 8)):
        body += [nn.Conv1d(before, after, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool1d(2)]
    head = (nn.Linear(8 * 8, 12), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(12, 3))
    return Headed(nn.Sequential(*body), nn.Sequential(*head))


def vgg() -> Any:
    body = (
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
    )  # fmt: skip
    return Headed(nn.Sequential(*body), nn.Linear(6 * 9, 3))


def resnet() -> Any:
    body = (nn.Conv1d(1, 4, 7, 2, 3), nn.ReLU(), Normed(4), Residual(4, 6, 2))
    return Headed(nn.Sequential(*body, nn.AdaptiveAvgPool1d(1)), nn.Linear(6, 3))


CASES: dict[str, Case] = {
    "MLP": Case(
        lambda: nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(-1)),
        (20,), "2",
    ),
    "AudioNet": Case(audionet, (1, 64), "body.3"),
    "VGG-like": Case(vgg, (1, 12, 12), "body.4"),
    "ResNet 1-D": Case(resnet, (1, 48), "body.2.conv1"),
    "U-Net": Case(UNet, (1, 32), "up"),
    "LSTM": Case(lambda: Recurrent(4, 5), (7, 4), "lstm"),
    "GRU": Case(Gated, (1, 32), "gru"),
    "Transformer": Case(lambda: Encoder(8, 2), (6, 8), "encoder.layers.1.linear1"),
}  # fmt: skip


def made(name: str) -> tuple[Any, Any]:
    """A module, evaluating, its statistics not at their defaults, and three samples."""
    torch.manual_seed(0)
    case = CASES[name]
    net = case.make().eval()
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.1, 0.5)
    return net, torch.randn(3, *case.shape)
