"""Relevance of a difference: the accounts close, biases cancel, x and r change places by a sign."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, Nodes, Real, loaded, normal, signals

import dftlrp
from dftlrp import attribute
from dftlrp.core.backend import get_backend
from dftlrp.core.types import InputError, NonFiniteError
from dftlrp.engine.difference import compress_batch, make_reference
from dftlrp.engine.forward import run_forward
from dftlrp.engine.settings import Settings

PRESETS = ("Epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGamma", "AttnLRP", "Gradient")
OTHERS = ("bias", "stabiliser", "stopped", "reference")


def take(network: str) -> tuple[dftlrp.Model, dict[str, Real], dict[str, Real]]:
    """A network with biases, an input and a reference."""
    proto = NETWORKS[network]()
    return loaded(proto), signals(proto), signals(proto, seed=7)


def total(a: Any) -> float:
    R = a.relevance
    return float(sum(r.sum() for r in R.values())) if isinstance(R, dict) else float(R.sum())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_change_of_the_score_is_what_arrives_and_what_is_accounted_for(
    network: str, preset: str
) -> None:
    model, x, r = take(network)
    a = attribute(model, x, reference=r, composite=preset, backend="numpy")
    at_r = dftlrp.predict(model, r, backend="numpy").explained
    picked = tuple(np.asarray(a.target).T)
    rows = np.arange(len(a.target or ()))
    change = (a.explained - at_r)[(rows, *picked)].sum()
    assert a.seed.sum() == pytest.approx(change, rel=1e-12)
    taken = sum(float(a.ledger.absorbed(t).sum()) for t in OTHERS)
    assert total(a) + taken == pytest.approx(change, rel=1e-9, abs=1e-9)
    assert a.ledger.gap <= 1e-12
    assert not a.ledger.absorbed("bias").any()


@pytest.mark.parametrize("preset", ["Epsilon", "EpsilonGamma"])
@pytest.mark.parametrize("network", NETWORKS)
def test_where_nothing_is_frozen_all_of_the_change_arrives(network: str, preset: str) -> None:
    model, x, r = take(network)
    a = attribute(model, x, reference=r, composite=preset, backend="numpy")
    size = sum(np.abs(v).sum() for v in a.relevance.values())
    assert abs(total(a) - a.seed.sum()) <= 1e-4 * size  # the stabilisers'
    assert abs(a.ledger.absorbed("reference")).max() <= 1e-9 * size


@pytest.mark.parametrize("preset", ["Epsilon", "EpsilonGamma"])
@pytest.mark.parametrize("network", NETWORKS)
def test_ends_that_change_places_change_the_sign(network: str, preset: str) -> None:
    model, x, r = take(network)
    target = attribute(model, x, composite=preset, backend="numpy").target
    asked: dict[str, Any] = {"composite": preset, "backend": "numpy"}
    asked["target"] = [int(t[0]) if len(t) == 1 else t for t in target or ()]
    one = attribute(model, x, reference=r, **asked)
    other = attribute(model, r, reference=x, **asked)
    for name, R in one.relevance.items():
        scale = np.abs(R).max()
        np.testing.assert_allclose(other.relevance[name], -R, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("preset", ["EpsilonPlus", "EpsilonGamma", "Gradient"])
@pytest.mark.parametrize("network", NETWORKS)
def test_onnxruntime_says_what_numpy_says(network: str, preset: str) -> None:
    model, x, r = take(network)
    one, other = (
        attribute(model, x, reference=r, composite=preset, backend=b) for b in ("numpy", "onnx")
    )
    for name, R in one.relevance.items():
        assert np.abs(other.relevance[name] - R).sum() <= 1e-3 * np.abs(R).sum()
    assert total(other) == pytest.approx(total(one), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("preset", ["EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGamma"])
def test_silence_and_no_biases_are_plain_relevance_bit_for_bit(preset: str) -> None:
    model = dftlrp.load(dftlrp.embedded("waveform"))
    x = 0.1 * normal(2, 1, 8000)
    for backend in ("numpy", "onnx"):
        plain = attribute(model, x, composite=preset, backend=backend)
        other = attribute(model, x, composite=preset, backend=backend, reference="silence")
        np.testing.assert_array_equal(plain.relevance, other.relevance)


def with_unit(gain: float, scale: float) -> dftlrp.Model:
    """Logarithms of the input in another unit, which the next layer undoes."""
    rng = np.random.default_rng(4)
    w, b = rng.standard_normal((6, 3)), rng.standard_normal(3)
    n = Nodes()
    n.weights.update(
        one=np.ones(()), gain=gain * np.ones(()), scale=scale * np.ones(()), w=w / scale,
        b=b - np.log(gain) * w.sum(axis=0), v=rng.standard_normal((3, 2)),
    )  # fmt: skip
    n.add("Abs", "x", "size")
    n.add("Add", "size one", "above")
    n.add("Mul", "above gain", "louder")
    n.add("Log", "louder", "log")
    n.add("Mul", "log scale", "scaled")
    n.add("MatMul", "scaled w", "sum")
    n.add("Add", "sum b", "biased")
    n.add("Relu", "biased", "h")
    n.add("MatMul", "h v", "y")
    return loaded(n.model({"x": [None, 6]}, {"y": [None, 2]}))


def test_a_change_of_units_between_two_layers_changes_nothing() -> None:
    """Plain relevance fails this: the unit's share of a logarithm is anything."""
    x, r = normal(4, 6), normal(4, 6, seed=9)
    asked: dict[str, Any] = {"composite": "Epsilon", "target": 1, "backend": "numpy"}
    nepers, decibels = with_unit(1.0, 1.0), with_unit(30.0, 4.34)
    one, other = (attribute(m, x, reference=r, **asked).relevance for m in (nepers, decibels))
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4 * np.abs(one).max())
    plain = [attribute(m, x, **asked).relevance for m in (nepers, decibels)]
    assert np.abs(plain[0] - plain[1]).max() > 0.1 * np.abs(plain[0]).max()


def test_a_gate_that_a_preset_freezes_has_its_change_in_the_ledger() -> None:
    n = Nodes()
    v = n.weights["v"] = np.random.default_rng(1).standard_normal((3, 3))
    n.add("MatMul", "x v", "h")
    n.add("Sigmoid", "h", "gate")
    n.add("Mul", "gate x", "y")
    model = loaded(n.model({"x": [None, 3]}, {"y": [None, 3]}))
    x, r = normal(2, 3), normal(2, 3, seed=3)
    asked: dict[str, Any] = {"reference": r, "target": 0, "backend": "numpy"}
    frozen = attribute(model, x, composite="Epsilon", **asked)
    gate = 1 / (1 + np.exp(-x @ v)) - 1 / (1 + np.exp(-r @ v))
    np.testing.assert_allclose(frozen.ledger.absorbed("reference"), (gate * r)[:, 0], rtol=1e-4)
    np.testing.assert_allclose(
        frozen.relevance.sum(axis=1) + (gate * r)[:, 0], frozen.seed.sum(axis=1), rtol=1e-4
    )
    whole = attribute(model, x, composite="EpsilonGamma", **asked)
    assert np.abs(whole.ledger.absorbed("reference")).max() <= 1e-12
    np.testing.assert_allclose(whole.relevance.sum(axis=1), whole.seed.sum(axis=1), rtol=1e-4)


def test_what_is_no_reference_is_refused_in_one_line() -> None:
    model, x, _ = take("conv_stack")
    name = next(iter(x))
    cases: dict[str, Any] = {
        "must be aligned": {name: np.zeros((5, 3))},
        "in one of them only": {"other": np.zeros(1)},
        "not a finite number": {name: np.full(1, np.nan)},
        "give numbers": {name: np.array(["a"])},
    }
    for match, r in cases.items():
        for backend in ("numpy", "onnx"):
            with pytest.raises((InputError, NonFiniteError), match=match):
                attribute(model, x, reference=r, backend=backend)
    with pytest.raises(InputError, match="give an array"):
        attribute(model, x, reference="quiet")


def test_a_reference_at_which_the_model_is_not_finite_is_named() -> None:
    n = Nodes()
    n.add("Log", "x", "y")
    model = loaded(n.model({"x": [None, 3]}, {"y": [None, 3]}))
    with pytest.raises(NonFiniteError, match=r"at the reference .*choose another reference"):
        attribute(model, np.ones((1, 3)), reference="silence", backend="numpy")


def test_gains_that_are_all_alike_are_no_batch() -> None:
    n = Nodes()
    n.weights.update(gain=np.ones(6), shift=np.zeros(6))
    n.ints("last", 2)
    n.add("GroupNormalization", "x gain shift", "n", num_groups=3)
    n.add("ReduceMean", "n last", "z", keepdims=0)
    model = loaded(n.model({"x": [None, 6, 5]}, {"z": [None, 6]}, opset=21))
    x, r = normal(3, 6, 5), normal(1, 6, 5, seed=5)
    one, other = (
        attribute(model, x, reference=r, composite="EpsilonGamma", backend=b).relevance
        for b in ("numpy", "onnx")
    )
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * np.abs(one).max())


def test_what_a_model_leaves_out_at_silence_is_no_number_that_counts() -> None:
    """A recording divided by its own sum, with 0 for 0 / 0, as TensorFlow writes it."""
    n = Nodes()
    n.weights.update(zero=np.zeros(()))
    n.ints("last", 1)
    n.add("Abs", "x", "size")
    n.add("ReduceSum", "size last", "sum", keepdims=1)
    n.add("Div", "size sum", "share")
    n.add("Equal", "sum zero", "silent")
    n.add("Where", "silent zero share", "kept")
    n.gemm("kept", "z", 6, 2)
    model = loaded(n.model({"x": [None, 6]}, {"z": [None, 2]}))
    x = normal(2, 6)
    for backend in ("numpy", "onnx"):
        a = attribute(model, x, reference="silence", composite="EpsilonGamma", backend=backend)
        np.testing.assert_allclose(a.relevance.sum(axis=1), a.seed.sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("network", ["residual", "two_inputs"])
def test_another_reference_is_no_other_graph(network: str, monkeypatch: Any) -> None:
    model, x, r = take(network)
    asked: dict[str, Any] = {"composite": "EpsilonGamma", "backend": "onnx"}
    attribute(model, x, reference=r, **asked)
    with monkeypatch.context() as patch:
        patch.setattr("dftlrp.tracing.finder.trace", lambda *_: pytest.fail("traced again"))
        for seed in (11, 12):
            other = signals(NETWORKS[network](), seed=seed)
            mine = attribute(model, x, reference=other, **asked).relevance
            want = attribute(model, x, reference=other, composite="EpsilonGamma", backend="numpy")
            for name, R in want.relevance.items():
                assert np.abs(mine[name] - R).sum() <= 1e-4 * np.abs(R).sum()
    silent = attribute(model, x, reference="silence", **asked)  # has a graph of its own
    want = attribute(model, x, reference="silence", composite="EpsilonGamma", backend="numpy")
    for name, R in want.relevance.items():
        assert np.abs(silent.relevance[name] - R).sum() <= 1e-4 * np.abs(R).sum()


def test_each_sample_of_a_batch_has_its_own_reference() -> None:
    proto = NETWORKS["conv_stack"]()
    model, x, r = loaded(proto), signals(proto, 5)["x"], signals(proto, 5, seed=7)["x"]
    asked: dict[str, Any] = {"composite": "EpsilonGamma", "backend": "onnx", "target": 1}
    whole = attribute(model, x, reference=r, **asked).relevance
    for i in range(5):
        one = attribute(model, x[i : i + 1], reference=r[i], **asked).relevance
        np.testing.assert_allclose(whole[i], one[0], atol=1e-5 * np.abs(one).max())


def test_zeros_at_the_reference_are_found_by_one_reading() -> None:
    """Of a backend whose numbers lie elsewhere, and the same ones as NumPy finds."""
    pytest.importorskip("torch")
    model = dftlrp.load(dftlrp.embedded("waveform"))
    x, silence = 0.1 * normal(1, 1, 8000), {n: np.zeros(1) for n in model.graph.signals}
    zero, torch = [], get_backend("torch")
    for backend in ("numpy", "torch"):
        settings = Settings(composite="EpsilonGamma", reference=silence, backend=backend)
        ready = run_forward(model, x, settings)
        assert ready.reference is not None
        zero.append(ready.reference.zero)
    assert zero[0] == zero[1] != frozenset()
    read = []

    class Counting(type(torch)):  # type: ignore[misc]
        def read(self, v: Any) -> Any:
            read.append(v.shape)
            return super().read(v)

    counting = Counting()
    make_reference(ready.plan, ready.reference.values, counting)
    assert len(read) == 1


def test_rows_at_silence_that_differ_by_round_off_are_one_row() -> None:
    row = normal(1, 8)
    value = np.concatenate([row, row * (1 + 2e-16), row])
    assert compress_batch(value).shape == (1, 8)
    assert compress_batch(np.concatenate([row, row + 1e-6])).shape == (2, 8)
    assert compress_batch(np.array([[1, 2], [1, 2]])).shape == (1, 2)
    assert compress_batch(np.zeros((3, 2))).shape == (1, 2)
