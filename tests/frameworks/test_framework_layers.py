"""Single layers of torch and Keras are explained, or refused by name (docs/reference/layers.md)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from needed import needed

ROOT = Path(__file__).parents[2]
for package in ("torch", "onnxscript", "keras", "tensorflow", "tf2onnx"):
    needed(package)


def _load_benchmark() -> Any:
    place = ROOT / "benchmarks/framework_layers.py"
    spec = importlib.util.spec_from_file_location("framework_layers", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["framework_layers"] = module
    spec.loader.exec_module(module)
    return module


layers = _load_benchmark()
REFUSED = {
    "FractionalMaxPool2d": "draws random numbers in its part 'layer'",
    "BatchNorm1d without statistics": "BatchNormalization",
    "CrossMapLRN2d": "cannot be exported",
    "istft": "complex types",
    "fft.rfft, phase": "cannot be exported",
    "linalg.inv": "linalg_inv",
    "linalg.svdvals": "linalg_svd",
    "Resizing, bicubic": "cannot be exported",
}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name"), list(layers.list_layers()))
def test_a_layer_is_right_or_refused_by_name(library: str, name: str) -> None:
    row = layers.measure(library, name)
    assert row.verdict == ("refused" if name in REFUSED else "right"), row
    assert REFUSED.get(name, "") in row.told


def test_the_list_holds_forty_layers_of_torch_and_twenty_of_keras() -> None:
    assert len(layers.TORCH) == 40
    assert len(layers.KERAS) == 20
    page = (ROOT / "docs/reference/layers.md").read_text("utf-8")
    assert all(f"| {library} | {name} |" in page for library, name in layers.list_layers())
    assert " 0 wrong." in page


def test_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = layers.run_torch

    def run(layer: Any) -> Any:
        module, x, (output, gradient) = whole(layer)
        return module, x, (output, gradient * 1.001)

    monkeypatch.setattr(layers, "run_torch", run)
    assert layers.measure("torch", "PixelShuffle").verdict == "wrong"
