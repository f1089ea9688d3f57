"""Every backend is the reference: primitives, ops, rules, and presets on whole networks."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, Nodes, loaded, signals
from ops.cases import MAPS
from traced import error

import dftlrp
from backends import chosen
from dftlrp import attribute
from dftlrp.core.backend import get_backend
from dftlrp.core.maps import Affine
from dftlrp.core.numpy_backend import BACKEND
from dftlrp.engine.composites import PRESETS
from dftlrp.frameworks.testing import check_backend
from dftlrp.ops import OPS, At

BACKENDS = chosen()
LONG = [name for name in BACKENDS if name not in {"numpy", "jax"}]  # jax compiles for each shape
EAGER = [name for name in LONG if name != "onnx"]
DTYPES = {name: ["float32"] if name == "onnx" else ["float64", "float32"] for name in BACKENDS}
ASSETS = Path(dftlrp.__file__).parent / "assets"
EMBEDDED = ("waveform", "spectrum", "stft", "mel")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_conforms(name: str) -> None:
    check_backend(name)


def test_what_does_not_conform_is_named() -> None:
    class Later(type(BACKEND)):  # type: ignore[misc]
        """The last of the largest wins."""

        name = "later"

        def maxpool(self, v: Any, x: Any, g: Any) -> Any:
            if x.ndim != 3 or g.kernel != (3,) or g.dilations != (1,):
                return super().maxpool(v, x, g)
            turned = g._replace(pads=tuple(p[::-1] for p in g.pads))
            return super().maxpool(v[..., ::-1], x[..., ::-1], turned)[..., ::-1]

    with pytest.raises(AssertionError, match=r"'later', maxpool \(one axis, ties, float64\)"):
        check_backend(Later())


def test_a_demanded_backend_that_is_missing_is_not_left_out() -> None:
    assert chosen("numpy,nowhere") == ["numpy", "nowhere"]
    with pytest.raises(dftlrp.InputError, match="unknown backend 'nowhere'"):
        check_backend("nowhere")


# -- ops


def _said(at: At, tangent: bool) -> list[Any]:
    """Forward and adjoint of the node's map, or what is carried, in numbers."""
    bk, layer = at.bk, OPS[at.node.op].linearise(at)  # type: ignore[misc]
    layer = layer.tangent() if tangent else layer
    r = bk.asarray(np.random.default_rng(0).standard_normal(at.y.shape))
    if isinstance(layer, Affine):
        given = [layer.forward(*at.inputs), *layer.adjoint(r)]
    else:
        given = [*layer.carry(r), *([layer.stopped(r)] if layer.stopped else [])]
    return [bk.read(a) for a in given]


@pytest.mark.parametrize("case", MAPS)
@pytest.mark.parametrize("name", EAGER)
def test_an_ops_map_is_the_references(name: str, case: str) -> None:
    at, bk = MAPS[case].at(), get_backend(name)
    args = tuple(
        a if a is None else bk.signal(a) if i in at.live else bk.asarray(a)
        for i, a in enumerate(at.args)
    )
    here = replace(at, bk=bk, args=args, y=None)
    y = OPS[at.node.op].evaluate(here)
    np.testing.assert_allclose(bk.read(y), at.y, rtol=1e-10, atol=1e-10)
    here = replace(here, y=bk.asarray(y))
    for tangent in (False, True):
        for ours, want in zip(_said(here, tangent), _said(at, tangent), strict=True):
            scale = max(float(np.abs(want).max(initial=0)), 1.0)
            np.testing.assert_allclose(ours, want, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", EAGER)
def test_bounds_of_a_clip_may_be_signals(name: str) -> None:
    bk, x = get_backend(name), np.random.default_rng(0).standard_normal((2, 3))
    signal = bk.signal(x)
    ours = np.clip(signal, np.max(signal) - 2.0, np.inf)
    np.testing.assert_array_equal(bk.read(ours), np.clip(x, x.max() - 2.0, np.inf))
    assert not bk.nonneg(ours)


# -- presets


def _agrees(name: str, model: dftlrp.Model, given: Any, preset: str, target: Any) -> None:
    how = {"target": target, "composite": preset}
    want = attribute(model, given, backend="numpy", **how)
    others = {key: x[..., ::-1].copy() for key, x in given.items()}
    for dtype in DTYPES[name]:
        attribute(model, others, backend=name, dtype=dtype, **how)  # what it prepares is played
        ours = attribute(model, given, backend=name, dtype=dtype, **how)
        for key in want.relevance:
            mine, one = ours.relevance[key], want.relevance[key]
            assert mine.dtype == dtype
            assert error(mine, one) < (1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", LONG)
def test_a_preset_on_a_network_is_the_references(name: str, network: str, preset: str) -> None:
    proto = NETWORKS[network]()
    _agrees(name, loaded(proto), signals(proto), preset, "argmax")


@pytest.mark.parametrize("end", ["Sigmoid", "Softmax"])
@pytest.mark.parametrize("name", BACKENDS)
def test_an_output_that_is_moved_behind_its_end_is_the_references(name: str, end: str) -> None:
    n = Nodes(4)
    n.gemm("x", "z", 5, 3)
    n.add(end, "z", "p")
    n.ints("axis", 1)
    n.add("Unsqueeze", "p axis", "u")
    n.add("Transpose", "u", "y", perm=[0, 2, 1])
    proto = n.model({"x": ["B", 5]}, {"y": ["B", 3, 1]})
    _agrees(name, loaded(proto), signals(proto), "EpsilonPlus", (1, 0))


@pytest.mark.parametrize("name", [name for name in EAGER if name != "numpy"])
def test_the_largest_of_many_is_not_sought_one_by_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = importlib.import_module(f"dftlrp_{name}.kernels")
    monkeypatch.setattr(kernels, "slice_taps", lambda *_: pytest.fail("tap by tap"), raising=False)
    n = Nodes(4)
    n.add("ReduceMax", "x", "m", axes=[1], keepdims=1)
    n.gemm("m", "z", 1, 3)
    proto = n.model({"x": ["B", 1000]}, {"z": ["B", 3]})
    _agrees(name, loaded(proto), signals(proto), "EpsilonPlus", 0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", LONG)
def test_a_sum_a_factor_and_a_sum_behind_moves_are_the_references(name: str, preset: str) -> None:
    n = Nodes(4)
    n.conv("x", "c", (4, 2, 3, 1), bias=False)
    n.ints("last", -1)
    n.add("Squeeze", "c last", "q")
    for op, given, output in (("Add", "q", "a"), ("Mul", "a", "m"), ("Add", "m", "s")):
        n.add(op, f"{given} {n.weight(f'{output}_w', 1, 4, 1)}", output)
    n.add("Relu", "s", "r")
    n.add("Flatten", "r", "f")
    n.gemm("f", "z", 40, 3)
    proto = n.model({"x": ["B", 2, 12, 1]}, {"z": ["B", 3]})
    _agrees(name, loaded(proto), signals(proto), preset, "argmax")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("embedded", EMBEDDED)
@pytest.mark.parametrize("name", LONG)
def test_a_preset_on_an_embedded_model_is_the_references(
    name: str, embedded: str, preset: str
) -> None:
    model = dftlrp.load(ASSETS / f"{embedded}.onnx")
    (signal, value), *_ = model.graph.inputs.items()
    shape = [n or 1 for n in value.dims or ()]
    x = np.random.default_rng(3).standard_normal(shape) * 0.1
    _agrees(name, model, {signal: x}, preset, 3)
