"""Quiet inputs: an explanation does not depend on the unit of the signal, or says that it does."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from graphs import Nodes, loaded, normal
from reference import attribute

import dftlrp
from dftlrp import Model
from dftlrp.core.types import AnyArray

PRESETS = ("Epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonPlusFlat")
QUIET = 2.0**-27  # 7e-9; a power of two, so that no digit changes
X = normal(3, 1, 64)


def homogeneous() -> Model:
    """A network without biases, which answers s x with s times its answer to x."""
    n = Nodes(3)
    n.conv("x", "c1", (4, 1, 5), bias=False)
    n.add("Relu", "c1", "r1")
    n.conv("r1", "c2", (4, 4, 3), bias=False)
    n.add("Relu", "c2", "r2")
    n.add("GlobalAveragePool", "r2", "p")
    n.add("Flatten", "p", "f")
    n.weights["W"] = normal(4, 3, seed=8)
    n.add("MatMul", "f W", "y")
    return loaded(n.model({"x": ["B", 1, 64]}, {"y": ["B", 3]}))


NET = homogeneous()


def find_warnings(a: dftlrp.Attribution) -> list[str]:
    return [n for n in a.notes if n.startswith("warning")]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("backend", "rtol"), [("numpy", 1e-12), ("onnx", 1e-4)])
def test_with_a_relative_epsilon_relevance_has_the_unit_of_the_signal(
    preset: str, backend: str, rtol: float
) -> None:
    """R(s x) = s R(x), however small s is."""

    def explain(x: AnyArray) -> AnyArray:
        composite = f"{preset}(relative=1)"
        a = dftlrp.attribute(NET, x, target=1, composite=composite, backend=backend)
        assert "small beside epsilon" not in " ".join(a.notes)
        return np.asarray(a.relevance)

    loud = explain(X)
    np.testing.assert_allclose(explain(QUIET * X) / QUIET, loud, atol=rtol * np.abs(loud).max())


@pytest.mark.parametrize("preset", [p for p in PRESETS if "Beta" not in p])
def test_what_an_absolute_epsilon_absorbs_of_a_quiet_input_is_said(preset: str) -> None:
    loud, quiet = (attribute(NET, s * X, target=1, composite=preset) for s in (1, QUIET))
    assert not find_warnings(loud)
    assert np.abs(loud.ledger.absorbed("stabiliser")).sum() < 0.01 * np.abs(loud.seed).sum()
    assert np.abs(quiet.relevance.sum()) < 0.1 * np.abs(quiet.seed.sum())
    (said,) = find_warnings(quiet)
    assert "relative=1" in said


def test_the_share_that_is_said_is_the_ledgers_and_its_layer_the_worst() -> None:
    a = attribute(NET, 1e-5 * X[:1], target=1, composite="Epsilon")
    amounts = {row.node: abs(float(row.stabiliser.sum())) for row in a.ledger.rows}
    (said,) = find_warnings(a)
    assert f"{100 * sum(amounts.values()) / np.abs(a.seed).sum():.0f} % of the" in said
    assert repr(max(amounts, key=lambda name: amounts[name])) in said


def test_one_quiet_sample_among_loud_ones_is_named() -> None:
    x = X.copy()
    x[1] *= QUIET
    (said,) = find_warnings(attribute(NET, x, target=1, composite="EpsilonPlus"))
    assert "of sample 1" in said


def test_an_output_of_zero_is_said_to_leave_nothing_to_share() -> None:
    (said,) = find_warnings(attribute(NET, 0 * X, target=1))
    assert "no relevance to share" in said


@pytest.mark.parametrize("name", ["waveform", "spectrum", "stft", "mel"])
def test_the_embedded_models_are_explained_without_a_warning_until_the_clip_is_quiet(
    name: str,
) -> None:
    clip, rate = soundfile.read(dftlrp.embedded("clip"))
    said = {
        s: dftlrp.explain(dftlrp.embedded(name), s * clip, rate=rate, domains=["time"]).notes
        for s in (1, 1e-8)
    }
    assert not [n for n in said[1] if n.startswith("warning")]
    assert [n for n in said[1e-8] if "absorbed" in n or "no relevance to share" in n]
