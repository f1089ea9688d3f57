"""torch networks for peers and benchmarks: nn modules only, so that peers' hooks see every layer.

Residual sums are modules, too: zennit and captum have one of their own each (`with_adds`), and a
sum that they do not see doubles the relevance.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from peers import torch

nn = torch.nn


class Net(NamedTuple):
    """How a network is made, and the shape of one sample."""

    make: Callable[[], Any]
    shape: tuple[int, ...]


class Headed(nn.Module):  # type: ignore[misc]
    """A body, flattened, and a dense head; captum has no rule for nn.Flatten."""

    def __init__(self, body: Any, head: Any) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x).flatten(1))


class Add(nn.Module):  # type: ignore[misc]
    """``a + b``."""

    def forward(self, a: Any, b: Any) -> Any:
        return a + b


class Residual(nn.Module):  # type: ignore[misc]
    """Two convolutions beside an identity, or a convolution of one tap where sizes change."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        same = before == after and stride == 1
        self.first = nn.Conv1d(before, after, 3, stride, 1)
        self.between, self.end = nn.ReLU(), nn.ReLU()
        self.second = nn.Conv1d(after, after, 3, padding=1)
        self.beside = None if same else nn.Conv1d(before, after, 1, stride)
        self.add: Any = Add()

    def forward(self, x: Any) -> Any:
        aside = x if self.beside is None else self.beside(x)
        return self.end(self.add(self.second(self.between(self.first(x))), aside))


class Encoder(nn.Module):  # type: ignore[misc]
    """A Transformer encoder of frames, averaged over time, and a dense head."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x).mean(1))


class Recurrent(nn.Module):  # type: ignore[misc]
    """An LSTM over frames; its last state goes to a dense head."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(features, width, batch_first=True), nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


def audionet() -> Any:
    """The AudioMNIST paper's: six convolutions of 3 taps, each with a max pool of 2."""
    channels = (1, 100, 64, 128, 128, 128, 128)
    body: list[Any] = []
    for before, after in pairwise(channels):
        body += [nn.Conv1d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2)]
    head = [nn.Linear(128 * 125, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU()]
    return Headed(nn.Sequential(*body), nn.Sequential(*head, nn.Linear(512, 10)))


def vgg() -> Any:
    """Three pairs of convolutions of 3 x 3, each with an overlapping max pool."""
    body: list[Any] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        body += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        body += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    head = (nn.Linear(128 * 64, 256), nn.ReLU(), nn.Linear(256, 10))
    return Headed(nn.Sequential(*body), nn.Sequential(*head))


def resnet() -> Any:
    """Three pairs of residual blocks on a waveform; BatchNorm is folded, as in a deployed model."""
    body: list[Any] = [nn.Conv1d(1, 64, 15, 4, 7), nn.ReLU(), nn.MaxPool1d(3, 2, 1)]
    for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2)):
        body += [Residual(before, after, stride), Residual(after, after, 1)]
    return Headed(nn.Sequential(*body, nn.AdaptiveAvgPool1d(1)), nn.Linear(256, 10))


NETS: dict[str, Net] = {
    "AudioNet": Net(audionet, (1, 8000)),
    "VGG-like": Net(vgg, (1, 64, 64)),
    "ResNet 1-D": Net(resnet, (1, 8000)),
    "Transformer": Net(lambda: Encoder(128, 4), (128, 128)),
    "LSTM": Net(lambda: Recurrent(40, 128), (100, 40)),
}


def seeded(name: str) -> Any:
    """The network of that name, evaluating, the same weights each time."""
    torch.manual_seed(0)
    return NETS[name].make().eval()


def with_adds(net: Any, make: Callable[[], Any]) -> Any:
    """The network, with a peer's own module for residual sums."""
    for block in net.modules():
        if isinstance(block, Residual):
            block.add = make()
    return net
