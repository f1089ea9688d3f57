"""Keras models against their export."""

from __future__ import annotations

import pytest
from needed import needed

needed("tensorflow")
needed("keras")
needed("tf2onnx")
needed("dftlrp_tensorflow")

from keras_models import MODELS, made  # noqa: E402

import dftlrp  # noqa: E402


@pytest.mark.parametrize("name", MODELS)
def test_keras_models_agree_with_their_export(name: str) -> None:
    model, x = made(name)
    found = dftlrp.check(model, inputs=x, backends=[])
    assert found.ok, str(found)
    layers = {f.layer for f in found.findings if f.check == "activations"}
    assert "out" in layers
    assert len(layers) > 3
    assert {f.check for f in found.findings} == {"activations", "gradient", "ledger"}


def test_weights_that_are_not_those_of_the_file_are_found() -> None:
    model, x = made("conv1d")
    before = dftlrp.load(model)
    weights = model.get_weights()
    try:
        model.set_weights([*weights[:-1], weights[-1] + 0.01])
        found = dftlrp.check(before, model, x, backends=[])
    finally:
        model.set_weights(weights)
    assert found.first is not None
    assert found.first.layer == "out"


def test_a_graph_agrees_with_its_ops_run_by_tensorflow() -> None:
    assert dftlrp.check(dftlrp.embedded("spectrum"), "tensorflow", backends=[]).ok
