"""What two lessons share: "yes" and "no", said by a hundred voices, a mains hum, and a network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import speaking
import torch
from torch import Tensor, nn

RATE, SAMPLES = 8000, 4800
torch.set_num_threads(1)  # so that sums are the same everywhere
WORDS = ("no", "yes")
TRAINED = 80  # voices; the others are for the test


class Clips(NamedTuple):
    """Recordings (clips, 1, SAMPLES), and which of `WORDS` each is."""

    x: Tensor
    y: Tensor


def record() -> tuple[Clips, Clips]:
    """Return clips for training, and clips of other voices for the test; without hum."""
    accents, voices = ("en", "en-us"), speaking.SPEAKERS
    sayings = [(w, f"{a}+{voice}") for voice in voices for a in accents for w in WORDS]
    rng = np.random.default_rng(0)
    clips = 0.003 * rng.standard_normal((len(sayings), SAMPLES))
    for clip, word in zip(clips, speaking.speak_all(sayings, RATE), strict=True):
        start = rng.integers(0, 800)
        room = clip[start : start + len(word)]
        room += 0.05 * word[: len(room)] / word.std()
    x = torch.tensor(rng.permutation(clips.reshape(len(voices), -1, 1, SAMPLES)))
    y = torch.arange(len(WORDS)).repeat(len(voices), len(accents))
    return tuple(
        Clips(x[own].flatten(0, 1).float(), y[own].flatten())
        for own in (slice(TRAINED), slice(TRAINED, None))
    )


def add_hum(x: Tensor, where: Tensor, seed: int = 0) -> Tensor:
    """Return clips, some of them with a mains hum: 50 Hz and two overtones, at any phase."""
    rng, seconds = np.random.default_rng(seed), np.arange(SAMPLES) / RATE
    hum = sum(
        0.02 / k * np.cos(2 * np.pi * 50 * k * seconds + rng.uniform(0, 2 * np.pi, (len(x), 1, 1)))
        for k in (1, 3, 5)
    )
    return x + where[:, None, None] * torch.tensor(hum).float()


def make_net() -> nn.Sequential:
    """Return a network with weights drawn anew, the same each time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(1, 16, 128, stride=8),
        nn.ReLU(),
        nn.Conv1d(16, 32, 9, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(32, len(WORDS)),
    )


def train(x: Tensor, y: Tensor, steps: int = 200) -> nn.Sequential:
    """Return a network that learned these clips."""
    net = make_net()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.003)
    for _ in range(steps):
        some = torch.randint(len(x), (32,))
        loss = nn.functional.cross_entropy(net(x[some]), y[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def measure_accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of clips for which the word is the largest output."""
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()
