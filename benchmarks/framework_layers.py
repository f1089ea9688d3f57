"""The table of docs/reference/layers.md: layers of torch and Keras, right or refused by name.

    python benchmarks/framework_layers.py [--write docs/reference/layers.md] [--only TEXT]

Each layer stands before a dense layer, in float64 and with weights that are not at their defaults.
It is loaded by `dftlrp.load`, and output and gradient x input (the preset Gradient) of one class
are compared with the framework's own: the deviation is the largest difference, relative to the
largest number.  The exit code is 1 if a layer is neither right nor refused.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dftlrp

BEGIN, END = "<!-- layers: begin -->", "<!-- layers: end -->"
ALLOWED = 1e-6
Arrays = tuple[Any, Any]


class Layer(NamedTuple):
    """A layer and what it reads.

    Attributes
    ----------
    make : callable
        Makes the layer or function from the framework's modules.
    shape : tuple of int
        Of what it reads, batch first.
    """

    make: Callable[..., Any]
    shape: tuple[int, ...]


class Found(NamedTuple):
    """What became of a layer: ``right``, ``refused`` or ``wrong``."""

    library: str
    name: str
    verdict: str
    deviation: float
    told: str


def main() -> int:
    """Measure and print or write."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--write", type=Path, metavar="FILE", help="replace the table in this page")
    p.add_argument("--only", metavar="TEXT", help="layers whose name holds this")
    args = p.parse_args()
    rows = []
    for library, name in list_layers():
        if not args.only or args.only in name:
            rows.append(measure(library, name))
            print(write_row(rows[-1]), flush=True)
    count = [f"{sum(r.verdict == v for r in rows)} {v}" for v in ("right", "refused", "wrong")]
    print(told := f"{len(rows)} layers: {', '.join(count)}.")
    if args.write:
        head = ["| library | layer | | deviation | told |", "|---|---|---|---|---|"]
        block = "\n".join([BEGIN, told, "", *head, *map(write_row, rows), END])
        text = args.write.read_text(encoding="utf-8")
        whole = re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL)
        args.write.write_text(whole, encoding="utf-8")
    return int(any(r.verdict == "wrong" for r in rows))


def list_layers() -> Iterator[tuple[str, str]]:
    """Yield library and name of each layer."""
    yield from (("torch", name) for name in TORCH)
    yield from (("torch function", name) for name in FUNCTIONS)
    yield from (("Keras", name) for name in KERAS)


def write_row(row: Found) -> str:
    """Return a row of the table."""
    off = f"{row.deviation:.0e}" if np.isfinite(row.deviation) else ""
    return f"| {row.library} | {row.name} | {row.verdict} | {off} | {row.told} |"


def measure(library: str, name: str) -> Found:
    """Return what becomes of a layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "Keras":
            source, x, (output, gradient) = run_keras(KERAS[name])
        else:
            source, x, (output, gradient) = run_torch((TORCH | FUNCTIONS)[name])
        try:
            model = dftlrp.load(source, example=x)
            how = {"target": 1, "composite": "Gradient", "backend": "numpy"}
            ours = dftlrp.attribute(model, x, **how)
        except dftlrp.DftlrpError as error:
            return Found(library, name, "refused", np.nan, _shorten(str(error)))
    pairs = ((ours.output, output), (ours.relevance, gradient * x))
    off = max(float(np.abs(a - b).max() / (np.abs(b).max() or 1.0)) for a, b in pairs)
    return Found(library, name, "right" if off <= ALLOWED else "wrong", off, "")


def _shorten(text: str) -> str:
    """Return the first words of an error."""
    words = text.replace("|", "/").split()
    return " ".join(words[:16]) + ("..." if len(words) > 16 else "")


def run_torch(layer: Layer) -> tuple[Any, Any, Arrays]:
    """Return a module of the layer, an input, and its output and gradient."""
    import torch

    class Headed(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, layer: Any, width: int) -> None:
            super().__init__()
            self.layer, self.head = layer, torch.nn.Linear(width, 3)

        def forward(self, x: Any) -> Any:
            return self.head(_first(self.layer(x)).flatten(1))

    torch.manual_seed(0)
    part = layer.make(torch.nn, torch)
    part = part if isinstance(part, torch.nn.Module) else _as_module(part)
    part = part.double().eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=layer.shape)).requires_grad_()
    with torch.no_grad():
        for key, p in [*part.named_parameters(), *part.named_buffers()]:
            if p.is_floating_point():
                p.add_(0.2 * torch.rand_like(p) if "var" in key else 0.1 * torch.randn_like(p))
        width = _first(part(x)).flatten(1).shape[1]
    module = Headed(part, width).double().eval()
    z = module(x)
    (gradient,) = torch.autograd.grad(z[:, 1].sum(), x)
    return module, x.detach().numpy(), (z.detach().numpy(), gradient.numpy())


def _as_module(function: Callable[[Any], Any]) -> Any:
    """Return a function as a module."""
    import torch

    class Function(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(x)

    return Function()


def _first(y: Any) -> Any:
    return y[0] if isinstance(y, tuple) else y


def run_keras(layer: Layer) -> tuple[Any, Any, Arrays]:
    """Return a model of the layer, an input, and its output and gradient."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        keras.utils.set_random_seed(0)
        random = np.random.default_rng(0)
        x = keras.Input(layer.shape[1:])
        y = layer.make(keras.layers, keras)(x)
        y = keras.layers.Flatten()(y) if len(y.shape) > 2 else y
        model = keras.Model(x, keras.layers.Dense(3)(y))
        for v in model.trainable_variables:
            v.assign(v + 0.1 * random.normal(size=v.shape))
        wide = tf.Variable(random.normal(size=layer.shape))
        with tf.GradientTape() as tape:
            z = model(wide, training=False)
            one = tf.reduce_sum(z[:, 1])
        gradient = tape.gradient(one, wide)
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    return model, wide.numpy(), (z.numpy(), gradient.numpy())


# -- torch.nn, as its documentation lists it

SERIES, PLANE, SPACE, STEPS = (2, 4, 17), (2, 4, 9, 11), (2, 2, 5, 6, 4), (2, 7, 6)


def _with_itself(n: Any, layer: Any) -> Any:
    """Return a layer of several inputs that reads its input, and that turned round."""

    class Twice(n.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            count = 3 if isinstance(layer, n.MultiheadAttention) else 2
            return self.layer(*(x, x.flip(1), x)[:count])

    return Twice()


def _times_embedded(n: Any, t: Any) -> Any:
    class Scaled(n.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = n.Embedding(9, 6)

        def forward(self, x: Any) -> Any:
            return x * self.layer(t.arange(7) % 5)

    return Scaled()


def _predict_logarithms(n: Any, t: Any) -> Any:
    class Logarithms(n.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = n.AdaptiveLogSoftmaxWithLoss(6, 9, [3])

        def forward(self, x: Any) -> Any:
            return self.layer.log_prob(x)

    return Logarithms()


def _unpool(n: Any, t: Any) -> Any:
    class Unpooled(n.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = n.MaxPool1d(2, return_indices=True), n.MaxUnpool1d(2)

        def forward(self, x: Any) -> Any:
            return self.up(*self.down(x))

    return Unpooled()


TORCH: dict[str, Layer] = {
    "Conv1d, dilated, grouped": Layer(
        lambda n, t: n.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), SERIES
    ),
    "Conv2d, padding by reflection": Layer(
        lambda n, t: n.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"), PLANE
    ),
    "Conv3d": Layer(lambda n, t: n.Conv3d(2, 3, (2, 3, 2), padding=(1, 0, 1)), SPACE),
    "ConvTranspose1d": Layer(
        lambda n, t: n.ConvTranspose1d(4, 3, 5, stride=3, padding=1, output_padding=2), SERIES
    ),
    "ConvTranspose2d, dilated, grouped": Layer(
        lambda n, t: n.ConvTranspose2d(4, 6, 3, stride=2, dilation=2, groups=2), PLANE
    ),
    "MaxPool1d, dilated": Layer(
        lambda n, t: n.MaxPool1d(3, 2, padding=1, dilation=2, ceil_mode=True), SERIES
    ),
    "AvgPool2d, a divisor": Layer(lambda n, t: n.AvgPool2d(3, 2, divisor_override=5), PLANE),
    "LPPool2d": Layer(lambda n, t: n.LPPool2d(2, 3, 2), PLANE),
    "AdaptiveAvgPool1d, 17 to 5": Layer(lambda n, t: n.AdaptiveAvgPool1d(5), SERIES),
    "AdaptiveMaxPool2d, odd sizes": Layer(lambda n, t: n.AdaptiveMaxPool2d((4, 7)), PLANE),
    "FractionalMaxPool2d": Layer(lambda n, t: n.FractionalMaxPool2d(2, (4, 5)), PLANE),
    "MaxUnpool1d": Layer(_unpool, SERIES),
    "ReflectionPad1d": Layer(lambda n, t: n.ReflectionPad1d((3, 2)), SERIES),
    "CircularPad2d": Layer(lambda n, t: n.CircularPad2d((1, 2, 3, 0)), PLANE),
    "BatchNorm1d": Layer(lambda n, t: n.BatchNorm1d(4), SERIES),
    "BatchNorm1d without statistics": Layer(
        lambda n, t: n.BatchNorm1d(4, track_running_stats=False), SERIES
    ),
    "GroupNorm": Layer(lambda n, t: n.GroupNorm(2, 4), SERIES),
    "InstanceNorm1d with statistics": Layer(
        lambda n, t: n.InstanceNorm1d(4, affine=True, track_running_stats=True), SERIES
    ),
    "LayerNorm": Layer(lambda n, t: n.LayerNorm((4, 17)), SERIES),
    "RMSNorm": Layer(lambda n, t: n.RMSNorm(17), SERIES),
    "LocalResponseNorm": Layer(lambda n, t: n.LocalResponseNorm(3), SERIES),
    "CrossMapLRN2d": Layer(lambda n, t: n.CrossMapLRN2d(3), PLANE),
    "GELU": Layer(lambda n, t: n.GELU(), SERIES),
    "Mish": Layer(lambda n, t: n.Mish(), SERIES),
    "PReLU": Layer(lambda n, t: n.PReLU(4), SERIES),
    "GLU": Layer(lambda n, t: n.GLU(1), SERIES),
    "Softmin": Layer(lambda n, t: n.Softmin(-1), SERIES),
    "RNN": Layer(lambda n, t: n.RNN(6, 5, nonlinearity="relu", batch_first=True), STEPS),
    "GRU, bidirectional": Layer(
        lambda n, t: n.GRU(6, 5, 2, bidirectional=True, batch_first=True), STEPS
    ),
    "LSTM, projection": Layer(lambda n, t: n.LSTM(6, 5, proj_size=3, batch_first=True), STEPS),
    "MultiheadAttention": Layer(
        lambda n, t: _with_itself(n, n.MultiheadAttention(6, 2, batch_first=True)), STEPS
    ),
    "TransformerEncoderLayer": Layer(
        lambda n, t: n.TransformerEncoderLayer(6, 2, 8, batch_first=True), STEPS
    ),
    "TransformerDecoderLayer": Layer(
        lambda n, t: _with_itself(n, n.TransformerDecoderLayer(6, 2, 8, batch_first=True)), STEPS
    ),
    "Embedding, of fixed tokens, times the signal": Layer(_times_embedded, STEPS),
    "Bilinear": Layer(lambda n, t: _with_itself(n, n.Bilinear(6, 6, 4)), STEPS),
    "AdaptiveLogSoftmaxWithLoss": Layer(_predict_logarithms, (4, 6)),
    "Upsample, bilinear": Layer(lambda n, t: n.Upsample(scale_factor=2.5, mode="bilinear"), PLANE),
    "PixelShuffle": Layer(lambda n, t: n.PixelShuffle(2), PLANE),
    "Unfold": Layer(lambda n, t: n.Unfold((2, 3), dilation=2, padding=1, stride=2), PLANE),
    "CosineSimilarity": Layer(lambda n, t: _with_itself(n, n.CosineSimilarity(1)), STEPS),
}

# -- torch's functions on tensors


def _spectrum(t: Any, x: Any) -> Any:
    window = t.hann_window(16, dtype=x.dtype)
    return t.stft(x, 16, 4, window=window, return_complex=True)


def _invert(t: Any, x: Any) -> Any:
    window = t.hann_window(16, dtype=x.dtype)
    return t.istft(_spectrum(t, x), 16, 4, window=window)


FUNCTIONS: dict[str, Layer] = {
    "stft, magnitude": Layer(lambda n, t: lambda x: _spectrum(t, x).abs(), (2, 64)),
    "istft": Layer(lambda n, t: lambda x: _invert(t, x), (2, 64)),
    "fft.rfft, power": Layer(lambda n, t: lambda x: t.fft.rfft(x).abs() ** 2, (2, 16)),
    "fft.rfft, phase": Layer(lambda n, t: lambda x: t.fft.rfft(x).angle(), (2, 15)),
    "renorm": Layer(lambda n, t: lambda x: x.renorm(2, 1, 0.5), SERIES),
    "median": Layer(lambda n, t: lambda x: x.median(-1).values, SERIES),
    "diff": Layer(lambda n, t: lambda x: x.diff(dim=-1), SERIES),
    "cumsum": Layer(lambda n, t: lambda x: x.cumsum(-1), SERIES),
    "prod": Layer(lambda n, t: lambda x: x.prod(-1), SERIES),
    "cumprod": Layer(lambda n, t: lambda x: x.cumprod(-1), SERIES),
    "cummax": Layer(lambda n, t: lambda x: x.cummax(-1).values, SERIES),
    "fmod": Layer(lambda n, t: lambda x: x.fmod(0.75), SERIES),
    "linalg.inv": Layer(lambda n, t: t.linalg.inv, (2, 4, 4)),
    "linalg.svdvals": Layer(lambda n, t: t.linalg.svdvals, SERIES),
    "sort": Layer(lambda n, t: lambda x: x.sort(-1).values, SERIES),
}

# -- keras.layers, as its documentation lists it


def _adapted(k: Any, keras: Any) -> Any:
    layer = k.Normalization()
    layer.adapt(3 * np.random.default_rng(1).normal(size=(50, 6)) + 1)
    return layer


def _attending(layer: Any) -> Callable[[Any], Any]:
    return lambda x: layer(x, x)


def _masked(k: Any, keras: Any) -> Any:
    return lambda x: k.LSTM(4)(k.Masking()(x))


KERAS: dict[str, Layer] = {
    "Conv1D, causal, dilated": Layer(
        lambda k, _: k.Conv1D(5, 3, padding="causal", dilation_rate=2), (2, 17, 4)
    ),
    "Conv2DTranspose": Layer(
        lambda k, _: k.Conv2DTranspose(3, 3, strides=2, padding="same"), (2, 9, 11, 4)
    ),
    "SeparableConv1D": Layer(lambda k, _: k.SeparableConv1D(5, 3, padding="same"), (2, 17, 4)),
    "DepthwiseConv2D": Layer(lambda k, _: k.DepthwiseConv2D(3, depth_multiplier=2), (2, 9, 11, 4)),
    "AveragePooling1D, same": Layer(
        lambda k, _: k.AveragePooling1D(3, 2, padding="same"), (2, 17, 4)
    ),
    "AdaptiveMaxPooling1D, 17 to 5": Layer(lambda k, _: k.AdaptiveMaxPooling1D(5), (2, 17, 4)),
    "BatchNormalization": Layer(lambda k, _: k.BatchNormalization(), (2, 17, 4)),
    "GroupNormalization": Layer(lambda k, _: k.GroupNormalization(2), (2, 17, 4)),
    "RMSNormalization": Layer(lambda k, _: k.RMSNormalization(), (2, 7, 6)),
    "UnitNormalization": Layer(lambda k, _: k.UnitNormalization(), (2, 7, 6)),
    "Normalization, adapted": Layer(_adapted, (2, 7, 6)),
    "Resizing, bilinear": Layer(lambda k, _: k.Resizing(7, 9), (2, 20, 6, 2)),
    "Resizing, bicubic": Layer(
        lambda k, _: k.Resizing(7, 9, interpolation="bicubic"), (2, 20, 6, 2)
    ),
    "GELU, exact": Layer(
        lambda k, keras: k.Activation(lambda x: keras.activations.gelu(x, approximate=False)),
        (2, 7, 6),
    ),
    "STFTSpectrogram": Layer(
        lambda k, _: k.STFTSpectrogram("log", frame_length=16, frame_step=8, fft_length=16),
        (2, 64, 1),
    ),
    "LSTM behind Masking": Layer(_masked, (2, 7, 6)),
    "GRU, bidirectional": Layer(lambda k, _: k.Bidirectional(k.GRU(4)), (2, 7, 6)),
    "MultiHeadAttention": Layer(lambda k, _: _attending(k.MultiHeadAttention(2, 4)), (2, 7, 6)),
    "GroupQueryAttention": Layer(
        lambda k, _: _attending(k.GroupQueryAttention(3, 4, 2)), (2, 7, 6)
    ),
    "UpSampling2D, bilinear": Layer(
        lambda k, _: k.UpSampling2D(2, interpolation="bilinear"), (2, 9, 11, 4)
    ),
}


if __name__ == "__main__":
    sys.exit(main())
