"""Train the small spoken-digit classifiers that dftlrp embeds, and write each as one ONNX file.

The data are the Free Spoken Digit Dataset: 8 kHz wavs called ``digit_speaker_take.wav``; takes 0
to 4 are its official test split. The six speakers are men close to one microphone, so that most
of this file is augmentation: other speeds, voices, rooms, microphones, levels and noises.

    python train_digits.py --data recordings --out OUT                   # reads the waveform
    python train_digits.py --data recordings --out OUT --domain stft     # or another domain
    python train_digits.py --data recordings --out OUT --held-out theo   # an unheard voice

Four domains: the waveform; its spectrum and its STFT (real and imaginary parts, which a front end
declared in the file's metadata computes); a log-mel spectrogram that the model computes itself.

Needs torch, onnx, onnxruntime, scipy and soundfile. On one machine a seed fixes the result.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.signal import resample_poly
from torch import Tensor, nn

from dftlrp.spectral.mel import make_filterbank

RATE = 8000
WINDOW = 8000
OVERSAMPLING = 2  # clips are kept at 16 kHz, so that linear interpolation can change their speed
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FFT = 12000  # window plus the longest reverberation, so that filtering does not wrap around


# --- recordings --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clips:
    """Recordings of different lengths in one zero-padded table.

    Attributes
    ----------
    sound : Tensor [n, samples at OVERSAMPLING * RATE], largest absolute value of a row: 1.
    length : Tensor [n], the number of samples of each row before the padding.
    digit : Tensor [n], the class 0 to 9.
    """

    sound: Tensor
    length: Tensor
    digit: Tensor

    def __len__(self) -> int:
        return len(self.digit)


@dataclass(frozen=True)
class Take:
    """What a file's name says: ``7_theo_12.wav`` is digit 7, said by theo, take 12."""

    path: Path
    digit: int
    speaker: str
    number: int


def parse_name(path: Path) -> Take:
    digit, speaker, number = path.stem.split("_")
    return Take(path, int(digit), speaker, int(number))


def split_takes(takes: list[Take], held_out: str) -> tuple[list[Take], list[Take]]:
    """Return (train, test): the official split, or everything one speaker said as the test."""
    test = [t for t in takes if (t.number < 5 if held_out == "none" else t.speaker == held_out)]
    names = {t.path for t in test}
    return [t for t in takes if t.path not in names], test


def read_wav(path: Path) -> NDArray[np.float32]:
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != RATE or sound.ndim != 1:
        raise ValueError(f"{path}: not one channel at {RATE} Hz but {sound.shape} at {rate} Hz")
    return np.asarray(sound, dtype=np.float32)


def load_clips(takes: list[Take]) -> Clips:
    rows = [resample_poly(read_wav(t.path), OVERSAMPLING, 1).astype(np.float32) for t in takes]
    table = np.zeros((len(rows), max(map(len, rows)) + 1), np.float32)
    for out, row in zip(table, rows, strict=True):
        out[: len(row)] = row / max(float(np.abs(row).max()), 1e-9)
    length = torch.tensor([len(row) for row in rows])
    return Clips(torch.from_numpy(table), length, torch.tensor([t.digit for t in takes]))


def read_centred(path: Path) -> NDArray[np.float32]:
    """Return a recording as it is, zero-padded or cropped on both sides to WINDOW samples."""
    sound = read_wav(path)
    missing = max(WINDOW - len(sound), 0)
    sound = np.pad(sound, (missing // 2, missing - missing // 2))
    start = (len(sound) - WINDOW) // 2
    return sound[start : start + WINDOW]


# --- augmentation ------------------------------------------------------------------------------


def draw_uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.rand(shape) * (high - low) + low


def draw_sometimes(count: int, chance: float) -> Tensor:
    """Return [count, 1] of ones and zeros."""
    return (torch.rand(count, 1) < chance).float()


def place_clips(clips: Clips, rows: Tensor, strength: float, jitter: float) -> Tensor:
    """Return [B, WINDOW]: clips at a random speed (pitch and formants follow) and position."""
    speed = torch.exp(strength * draw_uniform((len(rows), 1), np.log(0.75), np.log(1.4)))
    length = clips.length[rows, None] / (OVERSAMPLING * speed)
    slack = WINDOW - length
    start = slack * draw_uniform((len(rows), 1), 0.5 - jitter, 0.5 + jitter)
    at = (torch.arange(WINDOW) - start) * speed * OVERSAMPLING
    inside = (at >= 0) & (at <= clips.length[rows, None] - 1)
    at = at.clamp(0, clips.sound.shape[1] - 2)
    left = at.long()
    sound = clips.sound[rows]
    a, b = sound.gather(1, left), sound.gather(1, left + 1)
    return (a + (b - a) * (at - left)) * inside


def draw_microphone(severity: Tensor) -> Tensor:
    """Return [B, FFT // 2 + 1]: random smooth gains, band limits and sometimes a telephone."""
    count, bins = len(severity), FFT // 2 + 1
    hertz = torch.linspace(0, RATE / 2, bins)
    knots = draw_uniform((count, 1, 9), -12, 12)
    bumps = nn.functional.interpolate(knots, size=bins, mode="linear", align_corners=True)[:, 0]
    decibel = severity * (bumps + draw_uniform((count, 1), -8, 8) * (hertz / 2000 - 1))
    low, filtered = draw_uniform((count, 1), 20, 100), draw_sometimes(count, 0.3)
    low = low + filtered * draw_uniform((count, 1), 100, 300)
    high = 4200 - draw_sometimes(count, 0.4) * draw_uniform((count, 1), 300, 1500)
    band = 1 / (1 + (low / (hertz + 1)) ** 4) / (1 + (hertz / high) ** 16)
    return 10 ** (decibel / 20) * band**0.5


def draw_room(severity: Tensor) -> Tensor:
    """Return [B, FFT // 2 + 1] complex: an impulse, half the time with a decaying tail."""
    count, t = len(severity), torch.arange(FFT - WINDOW) / RATE
    decay = 6.9 / draw_uniform((count, 1), 0.05, 0.5)
    tail = torch.randn(count, len(t)) * torch.exp(-decay * t)
    tail = tail / tail.norm(dim=1, keepdim=True) * severity * draw_sometimes(count, 0.5)
    tail[:, 0] = 1
    return torch.fft.rfft(tail, FFT)


def draw_noise(count: int) -> Tensor:
    """Return [count, WINDOW] of unit power: white to brown."""
    spectrum = torch.fft.rfft(torch.randn(count, WINDOW))
    slope = draw_uniform((count, 1), -0.3, 1.0)
    spectrum = spectrum * (torch.arange(spectrum.shape[1]) + 20.0) ** -slope
    sound = torch.fft.irfft(spectrum, WINDOW)
    return sound / sound.square().mean(1, keepdim=True).sqrt()


def augment(clips: Clips, rows: Tensor, how: Domain) -> Tensor:
    """Return [B, WINDOW] in [-1, 1]: the chosen clips as other voices, rooms and devices."""
    count = len(rows)
    severity = how.strength * torch.rand(count, 1)
    spectrum = (
        torch.fft.rfft(place_clips(clips, rows, how.strength, how.jitter), FFT)
        * draw_microphone(severity)
        * draw_room(severity)
    )
    sound = torch.fft.irfft(spectrum, FFT)[:, :WINDOW]
    power = sound.square().sum(1, keepdim=True) / (clips.length[rows, None] / OVERSAMPLING)
    level = 10 ** ((40 * severity - 45) / 20) * draw_sometimes(count, 0.8)
    sound = sound + draw_noise(count) * level * power.sqrt()
    sound = sound / sound.abs().amax(1, keepdim=True).clamp_min(1e-9)
    sound = sound + draw_uniform((count, 1), -0.1, 0.1) * draw_sometimes(count, 0.3)
    gain = 10 ** (draw_uniform((count, 1), how.quietest, 6) / 20)
    return (sound * gain * (1 - 2 * draw_sometimes(count, 0.5))).clamp(-1, 1)


# --- what the model reads ----------------------------------------------------------------------

N_FFT, HOP, BANDS, FLOOR = 256, 128, 40, 1e-8


def compute_spectrum(sound: Tensor) -> Tensor:
    """Return real and imaginary part of the orthonormal DFT, [B, 2, 1, WINDOW // 2 + 1]."""
    Y = torch.fft.rfft(sound, norm="ortho")
    return torch.stack([Y.real, Y.imag], 1)[:, :, None]


def compute_frames(sound: Tensor) -> Tensor:
    """Return real and imaginary part of an orthonormal STFT, [B, 2, N_FFT // 2 + 1, frames]."""
    Y = torch.stft(
        sound, N_FFT, HOP, window=torch.hann_window(N_FFT), pad_mode="constant",
        normalized=True, return_complex=True,
    )  # fmt: skip
    return torch.stack([Y.real, Y.imag], 1)


def make_bands() -> Tensor:
    """Return the mel filters, [N_FFT // 2 + 1, BANDS]."""
    return torch.from_numpy(make_filterbank(RATE, N_FFT, BANDS).T.astype(np.float32))


def compute_log_mel(sound: Tensor) -> Tensor:
    """Return the logarithm of power / FLOOR of each band, at least 0, [B, 1, BANDS, frames]."""
    power = compute_frames(sound).square().sum(1)
    return (make_bands().T @ power / FLOOR).clamp_min(1).log()[:, None]


def make_mel_nodes(
    source: str, target: str
) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """Return `compute_log_mel` as ONNX nodes and their constants, on the waveform [B, WINDOW]."""
    half = N_FFT // 2
    constants = {
        "edges": np.array([0, half, 0, half]),
        "last": np.array([-1]),
        "hop": np.array(HOP),
        "window": torch.hann_window(N_FFT).numpy() / N_FFT**0.5,
        "n_fft": np.array(N_FFT),
        "two": np.array(2, np.float32),
        "filters": make_bands().numpy() / np.float32(FLOOR),
        "one": np.array(1, np.float32),
        "first": np.array([1]),
    }
    steps = [
        ("Pad", "pad", ["edges"], {}),
        ("Unsqueeze", "column", ["last"], {}),
        ("STFT", "stft", ["hop", "window", "n_fft"], {"onesided": 1}),
        ("Pow", "squares", ["two"], {}),
        ("ReduceSum", "power", ["last"], {"keepdims": 0}),
        ("MatMul", "bands", ["filters"], {}),
        ("Max", "floor", ["one"], {}),
        ("Log", "log", [], {}),
        ("Transpose", "turned", [], {"perm": [0, 2, 1]}),
        ("Unsqueeze", target, ["first"], {}),
    ]
    nodes = []
    for kind, name, others, how in steps:
        nodes.append(helper.make_node(kind, [source, *others], [name], name, **how))
        source = name
    return nodes, constants


@dataclass(frozen=True)
class Domain:
    """One kind of input.

    Attributes
    ----------
    view : from sound [B, WINDOW] to what the net reads, [B, channels, height, width].
    layers : channels, kernel, stride and (after the ReLU) max pool of each convolution, over
        (height, width) each.
    shape : of the exported model's input without the batch axis; a height of 1 is left out.
    front : what of the view the exported model does itself; makes nodes from a value to another.
    frontend : what of the view is declared in the file's metadata, as TOML.
    start : the first convolution's weights, if they are not random.
    quietest : peak of the quietest sounds to train on, decibels (the loudest are cut off at full
        scale); a net that is linear in the level needs no quiet ones, one behind a logarithm does.
    jitter : how far from the middle a clip may lie, 0.5 being at either end; a net that reads a
        spectrum, where a shift turns every phase, does not learn it for all places.
    strength : of the augmentation, at most 1 (for voices and devices that nobody recorded).
    over_time : whether the last axis is time, over which the model averages.
    """

    view: Callable[[Tensor], Tensor]
    layers: tuple[tuple[int, tuple[int, int], tuple[int, int], tuple[int, int]], ...]
    shape: tuple[int, ...]
    front: Callable[[str, str], Any] | None = None
    frontend: str = ""
    start: Callable[[], Tensor] | None = None
    over_time: bool = True
    quietest: float = -12.0
    strength: float = 0.3
    jitter: float = 0.55


def make_flat_layers(*layers: tuple[int, int, int, int]) -> tuple[Any, ...]:
    """Return layers over the width alone."""
    return tuple(
        (wide, (1, kernel), (1, stride), (1, pool)) for wide, kernel, stride, pool in layers
    )


class Scale(nn.Module):
    """Divide each channel by its root mean square over a batch: BatchNorm without any bias.

    No layer has a bias: a sound twice as loud has logits twice as large and the same answer, and
    no relevance is absorbed.
    """

    power: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_buffer("power", torch.ones(channels))

    def factor(self, power: Tensor) -> Tensor:
        """Return the factors [channels, 1, 1]."""
        return (self.weight / (power + 1e-9).sqrt())[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Return x [B, channels, height, width] with channels of unit power."""
        power = x.square().mean((0, 2, 3)) if self.training else self.power
        if self.training:
            self.power.lerp_(power.detach(), 0.1)
        return x * self.factor(power)


def make_mel_filters(count: int, kernel: int) -> Tensor:
    """Return [count, kernel]: windowed sines and cosines, evenly spaced on the mel scale."""
    mel = torch.linspace(150, 2050, count // 2)
    turns = 700 * (10 ** (mel / 2595) - 1) / RATE * 2 * torch.pi
    phase = turns[:, None] * (torch.arange(kernel) - kernel // 2)
    window = torch.hann_window(kernel + 2)[1:-1] / kernel
    return torch.cat([phase.cos(), phase.sin()]) * window


def make_time_filters(count: int, kernel: int) -> Tensor:
    """Return filters over a spectrum, [count, 2, 1, kernel], each for one moment in time."""
    moment = torch.linspace(0.02, 0.98, count // 2)  # of the WINDOW
    phase = 2 * torch.pi * moment[:, None] * (torch.arange(kernel) - kernel // 2)
    window = torch.hann_window(kernel + 2)[1:-1] / kernel
    even, odd = phase.cos() * window, phase.sin() * window
    re, im = torch.cat([even, odd]), torch.cat([-odd, even])  # of Y exp(2 pi i k n / N)
    return torch.stack([re, im], 1)[:, :, None]


def build_net(domain: Domain) -> nn.Sequential:
    net, channels = nn.Sequential(), 2 if domain.shape[0] == 2 else 1
    for i, (width, kernel, stride, pool) in enumerate(domain.layers, 1):
        pads = (kernel[0] // 2, kernel[1] // 2)
        conv = nn.Conv2d(channels, width, kernel, stride, pads, bias=False)
        net.add_module(f"conv{i}", conv)
        net.add_module(f"norm{i}", Scale(width))
        net.add_module(f"relu{i}", nn.ReLU())
        if pool != (1, 1):
            net.add_module(f"pool{i}", nn.MaxPool2d(pool))
        channels = width
    if domain.start:
        net.get_submodule("conv1").weight = nn.Parameter(domain.start())
    if domain.over_time:
        net.add_module("average", nn.AdaptiveAvgPool2d((None, 1)))
    net.add_module("flatten", nn.Flatten())
    features = net.eval()(domain.view(torch.zeros(1, WINDOW))).shape[1]
    net.add_module("dropout", nn.Dropout(0.2))
    net.add_module("logits", nn.Linear(features, len(WORDS), bias=False))
    return net


SPECTRUM = """[frontend]
rate = 8000
transform = "dft"
orthonormal = true
power = false
layout = ["batch", "part", "frequency"]
"""
STFT = f"""[frontend]
rate = 8000
n_fft = {N_FFT}
hop = {HOP}
orthonormal = true
power = false
samples = {WINDOW}
layout = ["batch", "part", "frequency", "time"]
"""


def make_square_layers(*channels: int) -> tuple[Any, ...]:
    """Return layers of 3 x 3 taps and pools of 2 x 2."""
    return tuple((wide, (3, 3), (1, 1), (2, 2)) for wide in channels)


DOMAINS = {
    "waveform": Domain(
        lambda sound: sound[:, None, None],
        # the last layer sees about half a second
        make_flat_layers((40, 49, 4, 4), (64, 5, 1, 2), (96, 5, 1, 2), (96, 5, 1, 2),
                         (128, 5, 1, 2),
             (128, 5, 1, 2), (128, 3, 1, 1)),
        (1, WINDOW),
        start=lambda: make_mel_filters(40, 49)[:, None, None],
        strength=1.0,
    ),
    "spectrum": Domain(
        compute_spectrum,
        make_flat_layers((64, 33, 8, 4), (96, 5, 1, 2), (96, 5, 1, 2), (96, 5, 1, 2)),
        (2, WINDOW // 2 + 1),
        frontend=SPECTRUM,
        start=lambda: make_time_filters(64, 33),
        over_time=False,
        jitter=0.1,
    ),
    "stft": Domain(
        compute_frames,
        make_square_layers(16, 32, 64, 96),
        (2, N_FFT // 2 + 1, WINDOW // HOP + 1),
        frontend=STFT,
    ),
    "mel": Domain(
        compute_log_mel, make_square_layers(24, 48, 96), (WINDOW,), front=make_mel_nodes,
        quietest=-36.0,
    ),
}  # fmt: skip


# --- training ----------------------------------------------------------------------------------


def batches(clips: Clips, size: int) -> Iterator[Tensor]:
    order = torch.randperm(len(clips))
    yield from order[: len(order) // size * size].split(size)


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, step: int) -> None:
    """Move the averaged weights towards the present ones."""
    rate = max(1 / (step + 1), 0.003)
    for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, rate)


def train(domain: Domain, clips: Clips, epochs: int, size: int = 32) -> nn.Sequential:
    """Return the average over the last steps of a net trained on freshly augmented clips."""
    net = build_net(domain).train()
    average = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
    steps = epochs * (len(clips) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=0.15)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    step, began = 0, time.perf_counter()
    for epoch in range(epochs):
        total = 0.0
        for rows in batches(clips, size):
            sound = augment(clips, rows, domain)
            loss = loss_of(net(domain.view(sound)), clips.digit[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            follow(average, net, step)
            total, step = total + float(loss.detach()), step + 1
        mean, seconds = total * epochs / steps, time.perf_counter() - began
        print(f"epoch {epoch + 1}/{epochs}: loss {mean:.3f}, {seconds:.0f} s", flush=True)
    return average


@torch.no_grad()
def compute_logits(domain: Domain, net: nn.Module, paths: list[Path]) -> Tensor:
    sound = torch.from_numpy(np.stack([read_centred(path) for path in paths]))
    return torch.cat([net(domain.view(part)) for part in sound.split(100)])


def measure_accuracy(domain: Domain, net: nn.Module, takes: list[Take]) -> float:
    guess = compute_logits(domain, net, [t.path for t in takes]).argmax(1)
    return float((guess == torch.tensor([t.digit for t in takes])).float().mean())


# --- export ------------------------------------------------------------------------------------


def fold_scale(conv: nn.Conv2d, norm: nn.Module, rank: int) -> Tensor:
    """Return the convolution's weight times the scale behind it."""
    assert isinstance(norm, Scale)
    weight = conv.weight * norm.factor(norm.power)[:, None]
    return weight.reshape(*weight.shape[:2], *weight.shape[-rank:])


def find_window(layer: Any, rank: int) -> dict[str, Any]:
    """Return kernel and stride over the last ``rank`` axes."""
    return {"kernel_shape": layer.kernel_size[-rank:], "strides": layer.stride[-rank:]}


def make_node(layer: nn.Module, name: str, source: str, rank: int) -> onnx.NodeProto:
    """Return the ONNX node of one layer, called like its output."""
    inputs, how = [source], {}
    match layer:
        case nn.Conv2d():
            pads = {"pads": [int(p) for p in layer.padding[-rank:]] * 2}
            kind, how = "Conv", find_window(layer, rank) | pads
        case nn.MaxPool2d():
            kind, how = "MaxPool", find_window(layer, rank)
        case nn.AdaptiveAvgPool2d():
            kind = "GlobalAveragePool" if rank == 1 else "ReduceMean"
            how = {} if rank == 1 else {"axes": [-1]}
        case nn.Linear():
            kind, how = "Gemm", {"transB": 1}
        case _:
            kind = "Relu" if isinstance(layer, nn.ReLU) else "Flatten"
    if kind in ("Conv", "Gemm"):
        inputs.append(f"{name}.weight")
    return helper.make_node(kind, inputs, [name], name, **how)


def collect_weights(net: nn.Sequential, rank: int) -> dict[str, NDArray[Any]]:
    layers, arrays = dict(net.named_children()), {}
    for key, layer in layers.items():
        if isinstance(layer, nn.Conv2d):
            arrays[key] = fold_scale(layer, layers[key.replace("conv", "norm")], rank)
        elif isinstance(layer, nn.Linear):
            arrays[key] = layer.weight
    return {f"{key}.weight": a.detach().numpy() for key, a in arrays.items()}


def build_graph(net: nn.Sequential, name: str, domain: Domain) -> onnx.GraphProto:
    """Return the inference graph: scales folded into the convolutions, no dropout."""
    source = "waveform" if domain.front else name
    nodes, arrays = domain.front(source, name) if domain.front else ([], {})
    rank = 2 if domain.front else len(domain.shape) - 1
    value = name
    for key, layer in net.named_children():
        if not isinstance(layer, Scale | nn.Dropout):
            nodes.append(make_node(layer, key, value, rank))
            value = key
    read = helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", *domain.shape])
    said = helper.make_tensor_value_info(value, TensorProto.FLOAT, ["batch", len(WORDS)])
    weights = arrays | collect_weights(net, rank)
    tensors = [numpy_helper.from_array(a, key) for key, a in weights.items()]
    return helper.make_graph(nodes, "digits", [read], [said], tensors)


def export(net: nn.Sequential, name: str, domain: Domain, facts: dict[str, str]) -> onnx.ModelProto:
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(build_graph(net, name, domain), opset_imports=opset, ir_version=8)
    model.producer_name = "dftlrp examples/train_digits.py"
    helper.set_model_props(model, facts)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def measure_parity(
    model: onnx.ModelProto, domain: Domain, net: nn.Module, takes: list[Take]
) -> float:
    """Return the largest difference of any logit between the net and the exported file."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    paths = [t.path for t in takes]
    sound = torch.from_numpy(np.stack([read_centred(path) for path in paths]))
    read = sound if domain.front else domain.view(sound)
    seen = read.reshape(-1, *domain.shape).numpy()
    said = session.run(None, {session.get_inputs()[0].name: seen})[0]
    return float(np.abs(said - compute_logits(domain, net, paths).numpy()).max())


def describe_training(
    args: argparse.Namespace, clips: int, tested: int, score: float
) -> dict[str, str]:
    """Return the metadata that goes into the file."""
    on = "takes 0 to 4" if args.held_out == "none" else f"speaker {args.held_out}"
    declared = DOMAINS[args.domain].frontend
    return {
        **({"frontend": declared} if declared else {}),
        "sample_rate": str(RATE),
        "labels": json.dumps(WORDS),
        "description": f"Spoken English digit, 1 s at 8 kHz, read as a {args.domain}.",
        "training": f"Free Spoken Digit Dataset (recordings CC BY-SA 4.0), {clips} clips, "
        f"{args.epochs} epochs, seed {args.seed}; accuracy {score:.4f} on {tested} clips ({on}).",
    }


# --- command line ------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a spoken-digit classifier.")
    parser.add_argument("--data", type=Path, required=True, help="folder of digit_speaker_take.wav")
    parser.add_argument("--out", type=Path, required=True, help="folder for DOMAIN.onnx")
    parser.add_argument("--domain", choices=sorted(DOMAINS), default="waveform")
    parser.add_argument("--held-out", default="none", help="a speaker to test on, or none")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    domain = DOMAINS[args.domain]
    known, unknown = split_takes(
        [parse_name(p) for p in sorted(args.data.glob("*.wav"))], args.held_out
    )
    net = train(domain, load_clips(known), args.epochs)
    score = measure_accuracy(domain, net, unknown)
    model = export(
        net, args.domain, domain, describe_training(args, len(known), len(unknown), score)
    )
    args.out.mkdir(parents=True, exist_ok=True)
    onnx.save(model, args.out / f"{args.domain}.onnx")
    print(f"accuracy {score:.4f} on {len(unknown)} clips")
    print(f"export parity {measure_parity(model, domain, net, unknown):.1e}")


if __name__ == "__main__":
    main()
