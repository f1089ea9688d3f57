"""Results state the dtype that was computed in, and what products were rounded to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Nodes, loaded, normal
from peers import needed, torch

import dftlrp
from dftlrp.core.backend import get_backend

needed("dftlrp_torch")
from dftlrp_torch.precision import tell_rounding  # noqa: E402

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def small() -> Any:
    n = Nodes(3)
    n.conv("x", "c", (4, 2, 3))
    n.add("Relu", "c", "r")
    n.add("Flatten", "r", "f")
    n.gemm("f", "z", 40, 3)
    return loaded(n.model({"x": ["B", 2, 12]}, {"z": ["B", 3]}))


def explained(model: Any, **how: Any) -> Any:
    return dftlrp.attribute(model, normal(2, 2, 12), target=1, **how)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"backend": "numpy"}, "float64 by numpy"),
        ({"backend": "numpy", "dtype": "float32"}, "float32 by numpy"),
        ({}, "float32 by onnx"),
        ({"backend": "onnx::1"}, "float32 by onnx::1"),
        ({"backend": "torch", "dtype": "float32"}, "float32 by torch"),
        ({"method": "gradient", "dtype": "float64"}, "float64 by numpy"),
    ],
)
def test_an_attribution_says_what_it_was_computed_in(how: dict[str, Any], told: str) -> None:
    assert explained(small(), **how).precision == told


def test_an_explanation_says_it_too() -> None:
    e = dftlrp.explain("waveform", dftlrp.embedded("clip"), backend="torch")
    assert e.provenance["precision"] == "float64 by torch"


def test_what_was_prepared_under_autocast_is_not_run_without_it() -> None:
    """Values at the reference are constants of a program; under autocast they are bfloat16's."""
    model, how = small(), {"backend": "torch", "dtype": "float32", "reference": normal(1, 2, 12)}
    with torch.autocast("cpu"):
        rounded = explained(model, **how)
    assert rounded.precision == "float32 by torch; autocast to bfloat16 in products"
    later, want = explained(model, **how), explained(small(), **how)
    assert later.precision == "float32 by torch"
    np.testing.assert_array_equal(later.relevance, want.relevance)
    assert np.abs(rounded.relevance - want.relevance).max() > 1e-5
    with torch.autocast("cpu"):
        assert explained(small(), **(how | {"dtype": "float64"})).precision == "float64 by torch"


def test_the_switches_of_torch_are_read(monkeypatch: Any) -> None:
    cpu = get_backend("torch")
    switch = torch.backends.mkldnn.matmul
    before = switch.fp32_precision
    try:
        switch.fp32_precision = "bf16"
        assert cpu.tell_rounding(SINGLE) == "bfloat16 in matrix products"
        assert not cpu.tell_rounding(DOUBLE)
    finally:
        switch.fp32_precision = before
    assert not cpu.tell_rounding(SINGLE)


@pytest.mark.parametrize(("capability", "told"), [((8, 0), "TF32 in convolutions"), ((7, 5), "")])
def test_of_a_device_what_it_has_is_told(
    monkeypatch: Any, capability: tuple[int, int], told: str
) -> None:
    """torch allows TF32 in convolutions, and not in matrix products, unless told otherwise."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert tell_rounding("cuda", SINGLE) == told


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("", ""), (":4", ""), ("CPUExecutionProvider", ""),
        ("cuda:4", "TF32 in products, as onnxruntime allows by itself"),
        ("coreml", "whatever execution provider 'coreml' takes for products"),
    ],
)  # fmt: skip
def test_execution_providers_have_their_own(provider: str, told: str) -> None:
    bk: Any = get_backend("onnx")
    assert bk.with_options(provider).tell_rounding(SINGLE) == told
