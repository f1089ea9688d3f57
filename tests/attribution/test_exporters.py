"""One network, whatever writes it: TorchScript, dynamo, the optimiser give one explanation."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import reference
from graphs import loaded
from needed import needed
from peers import quiet, random_input, randomised, torch

import dftlrp

needed("onnxscript")
nn = torch.nn


class Recurrent(nn.Module):  # type: ignore[misc]
    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell, self.head = cell(3, 4, bidirectional=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.cell(x.transpose(1, 2))[0].mean(1))


class Attention(nn.Module):  # type: ignore[misc]
    """A Transformer's encoder layer between two dense ones."""

    def __init__(self, activation: str = "gelu") -> None:
        super().__init__()
        self.first, self.head = nn.Linear(3, 8), nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0.0, batch_first=True, activation=activation
        )

    def forward(self, x: Any) -> Any:
        # grad mode keeps torch from its fused kernel, which no exporter writes
        return self.head(self.layer(self.first(x.transpose(1, 2))).mean(1))


class Gates(nn.Module):  # type: ignore[misc]
    """Squeeze and excitation, a gated linear unit, SiLU, BatchNorm behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 8, 3, padding=1), nn.Conv1d(4, 4, 3)
        self.norm, self.squeeze = nn.BatchNorm1d(8), nn.Conv1d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        h = nn.functional.glu(self.norm(self.a(x)), dim=1)
        h = nn.functional.silu(self.b(h))
        h = h * torch.sigmoid(self.squeeze(h.mean(-1, keepdim=True)))
        return self.head(h.mean(-1))


NETS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "Transformer, GELU": Attention,
    "Transformer, ReLU": lambda: Attention("relu"),
    "gates": Gates,
    "convolutions": lambda: nn.Sequential(
        nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 5, 2),
        nn.ELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 3),
    ),
}  # fmt: skip
PRESETS = ("Epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "AttnLRP", "Gradient")
X = random_input(2, 3, 9)


def torchscript(net: Any) -> onnx.ModelProto:
    file = io.BytesIO()
    how = {"opset_version": 17, "dynamo": False, "input_names": ["x"], "output_names": ["z"]}
    quiet(lambda: torch.onnx.export(net, (X,), file, **how))
    return onnx.load_from_string(file.getvalue())


def dynamo(net: Any, optimize: bool) -> onnx.ModelProto:
    how = {"dynamo": True, "optimize": optimize, "verbose": False}
    program = quiet(lambda: torch.onnx.export(net, (X,), input_names=["x"], **how))
    return program.model_proto


WRITERS: dict[str, Callable[[Any], onnx.ModelProto]] = {
    "torchscript": torchscript,
    "dynamo": lambda net: dynamo(net, optimize=False),
    "dynamo, optimised": lambda net: dynamo(net, optimize=True),
}


@pytest.fixture(scope="module", params=NETS)
def written(request: Any) -> tuple[Any, dict[str, dftlrp.Model]]:
    net = randomised(NETS[request.param]())
    models, failed = {}, []
    for name, write in WRITERS.items():
        try:
            models[name] = loaded(write(net))
        except torch.onnx.OnnxExporterError:  # what torch cannot write is not ours
            failed.append(name)
    assert not failed or request.param in {"LSTM", "GRU"}
    return net, models


def test_gradient_times_input_is_autograds_whoever_wrote_the_file(written):
    net, models = written
    x = X.clone().requires_grad_()
    z = net(x)
    z[:, 1].sum().backward()
    for model in models.values():
        a = reference.attribute(model, X.numpy(), target=1, composite="Gradient")
        np.testing.assert_allclose(a.output, z.detach().numpy(), rtol=1e-6, atol=1e-6)
        want = x.grad.numpy()
        np.testing.assert_allclose(a.multiplier, want, rtol=1e-5, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("preset", PRESETS)
def test_all_files_of_one_network_have_one_explanation(written, preset):
    _, models = written
    first, *others = (
        reference.attribute(model, X.numpy(), target=1, composite=preset).relevance
        for model in models.values()
    )
    for other in others:
        # LayerNorm's epsilon and constants are float32 in some files
        np.testing.assert_allclose(other, first, rtol=1e-3, atol=1e-5 * np.abs(first).max())
