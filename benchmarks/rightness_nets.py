"""Small networks of the usual families, trained on spoken digits: what explanations are tried on.

Two read a waveform (a second at 8 kHz), three log-mel frames of it.  They learn from all takes but
the first five of each speaker, which are the official test split of the Free Spoken Digit Dataset.
Torch trains and exports them; seeds are fixed, so that a machine makes the same ones again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from real_inputs import Array, compute_features

from dftlrp import FrontEnd
from dftlrp.attribution.recording import read_recording
from dftlrp.core.disk import write_file

RATE, SAMPLES, TAKES = 8000, 8000, 5  # takes of each speaker that are kept for the test
LEVEL, SPREAD = -11.0, 3.0  # of log-mel frames of speech, about
FRONT = FrontEnd(
    rate=RATE, n_fft=256, hop=128, n_mels=40, log="ln", floor=1e-6, center=False,
    mean=LEVEL, std=SPREAD, samples=SAMPLES, layout=("batch", "time", "frequency"),
)  # fmt: skip
RISE = 3e-3  # the highest rate of learning


class Digits(NamedTuple):
    """Clips (B, samples) and what they say; ``test`` is where those of the test split are."""

    clips: Array
    said: Array
    test: Array

    @property
    def frames(self) -> Array:
        """Log-mel frames of the clips, (B, time, mels)."""
        return compute_frames(self.clips)


class Family(NamedTuple):
    """One network: how it is built, what it reads, and how it is trained."""

    build: Callable[[Any], Any]
    reads_frames: bool
    epochs: int
    batch: int
    words: str


def compute_frames(clips: Array) -> Array:
    """Return log-mel frames of clips."""
    parts = [np.concatenate([compute_features(FRONT, x) for x in clips[i : i + 100]])
             for i in range(0, len(clips), 100)]  # fmt: skip
    return np.concatenate(parts).astype(np.float32)


@cache
def read_digits(data: Path) -> Digits:
    """Return all recordings, silence behind those that are shorter than a second."""
    paths = sorted((data / "fsdd" / "recordings").glob("*.wav"))
    clips = np.stack([read_clip(path) for path in paths]).astype(np.float32)
    said = np.array([int(path.stem.split("_")[0]) for path in paths])
    test = np.array([int(path.stem.split("_")[2]) < TAKES for path in paths])
    return Digits(clips, said, test)


def read_clip(path: Path) -> Array:
    """Return a second of a recording."""
    return np.asarray(read_recording(path, rate=float(RATE), length=SAMPLES).samples)


# -- the families; torch is imported where a network is built, as only training needs it


def build_waveform(torch: Any) -> Any:
    """Return a network of the shape of AudioNet.

    Its batch normalisations are folded when it is exported: they leave convolutions with biases.
    """
    nn, layers, before = torch.nn, [], 1
    for width, stride, kernel, pool in ((8, 2, 9, 2), (16, 1, 9, 4), (32, 1, 5, 4), (64, 1, 5, 4)):
        layers += [nn.Conv1d(before, width, kernel, stride, kernel // 2)]
        layers += [nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(pool)]
        before = width
    head = [nn.Flatten(), nn.Linear(64 * 31, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers, *head)


def build_spectrum(torch: Any) -> Any:
    """Return an STFT, its magnitude and a logarithm inside the graph, and a network on them."""
    nn, n = torch.nn, 256
    turns = 2 * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n
    waves = np.concatenate([np.cos(turns), np.sin(turns)]) * np.hanning(n + 1)[:n]

    class Spectrum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kernel = torch.tensor(waves[:, None], dtype=torch.float32)
            self.stft = nn.Conv1d(1, 2 * (n // 2 + 1), n, stride=n // 2, bias=False)
            self.stft.weight = nn.Parameter(kernel, requires_grad=False)
            self.net = nn.Sequential(*_stack_planes(nn, (8, 16, 32), norm=False),
                                     nn.Flatten(), nn.Linear(32 * 16 * 7, 10))  # fmt: skip

        def forward(self, x: Any) -> Any:
            real, imaginary = self.stft(x).chunk(2, 1)
            magnitude = (real**2 + imaginary**2 + 1e-8).sqrt()
            return self.net((magnitude + 1e-2).log()[:, None] / 3)

    return Spectrum()


def _stack_planes(nn: Any, widths: tuple[int, ...], norm: bool) -> Iterator[Any]:
    before = 1
    for width in widths:
        yield nn.Conv2d(before, width, 3, padding=1)
        if norm:
            yield nn.BatchNorm2d(width)
        yield nn.ReLU()
        yield nn.MaxPool2d(2)
        before = width


def build_recurrent(torch: Any) -> Any:
    """Return a GRU that runs both ways over log-mel frames."""
    nn = torch.nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(40, 32, batch_first=True, bidirectional=True)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.gru(x)[0].mean(1))

    return Recurrent()


def build_attention(torch: Any) -> Any:
    """Return a Transformer encoder of two layers on log-mel frames."""
    nn = torch.nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(40, 48)
            self.place = nn.Parameter(0.1 * torch.randn(61, 48))
            self.one, self.two = (
                nn.TransformerEncoderLayer(48, 4, 96, dropout=0.1, batch_first=True)
                for _ in range(2)
            )
            self.head = nn.Linear(48, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.two(self.one(self.enter(x) + self.place)).mean(1))

    return Attention()


def build_planes(torch: Any) -> Any:
    """Return a network with batch normalisation on the picture of log-mel frames."""
    nn = torch.nn

    class Planes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(*_stack_planes(nn, (16, 32, 64), norm=True))
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.net(x[:, None]).mean((2, 3)))

    return Planes()


FAMILIES = {
    "waveform CNN": Family(build_waveform, False, 10, 32, "four convolutions with biases"),
    "spectrogram CNN": Family(build_spectrum, False, 8, 64, "STFT magnitude and logarithm inside"),
    "BiGRU": Family(build_recurrent, True, 20, 64, "gates, both ways over log-mel frames"),
    "Transformer": Family(build_attention, True, 20, 64, "two layers on log-mel frames"),
    "feature CNN": Family(build_planes, True, 10, 64, "BatchNorm, log-mel frames as a picture"),
}


def train_family(name: str, data: Path, state: Path) -> tuple[Path, float]:
    """Return the file of a trained network and its accuracy on the test split.

    What is in the folder ``state`` already is not trained again.
    """
    path = state / f"{name.replace(' ', '_')}.onnx"
    told = path.with_suffix(".trained.json")
    if not (path.exists() and told.exists()):
        digits = read_digits(data)
        accuracy = _train(FAMILIES[name], digits, path)
        write_file(told, json.dumps({"accuracy": accuracy}).encode())
    return path, json.loads(told.read_text())["accuracy"]


def _train(family: Family, digits: Digits, path: Path) -> float:
    """Train a network, write it as an ONNX file, and return its accuracy on the test split."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)  # so that the digits depend on no number of cores
    net = family.build(torch)
    given = digits.frames if family.reads_frames else digits.clips[:, None]
    x, y = torch.tensor(given), torch.tensor(digits.said)
    here = torch.tensor(~digits.test).nonzero()[:, 0]
    batches = len(here) // family.batch
    steps = family.epochs * batches
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RISE, total_steps=steps)
    net.train()
    for _ in range(family.epochs):
        order = here[torch.randperm(len(here))]
        for rows in order[: batches * family.batch].split(family.batch):
            loss = torch.nn.functional.cross_entropy(net(_vary(torch, x[rows], family)), y[rows])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            rates.step()
    net.eval()
    with torch.no_grad():
        right = (net(x[digits.test]).argmax(1) == y[digits.test]).double().mean()
    _write_onnx(torch, net, x[:1], path)
    return float(right)


def _vary(torch: Any, x: Any, family: Family) -> Any:
    """Return clips or frames moved in time and made louder or softer, each batch anew."""
    axis = 1 if family.reads_frames else -1
    shift = int(torch.randint(0, x.shape[axis] // 8, ()))
    moved = x.roll(shift, axis)
    if family.reads_frames:
        return moved + 0.2 * torch.randn(len(x), 1, 1)
    return moved * (0.4 * torch.randn(len(x), 1, 1)).exp()


def _write_onnx(torch: Any, net: Any, example: Any, path: Path) -> None:
    import onnx

    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        net, (example,), str(part), input_names=["x"], output_names=["scores"], dynamo=False,
        opset_version=17, dynamic_axes={"x": {0: "B"}, "scores": {0: "B"}},
    )  # fmt: skip
    known = onnx.load(part)
    known.metadata_props.add(key="labels", value=json.dumps([str(digit) for digit in range(10)]))
    onnx.save(known, part)
    part.replace(path)
