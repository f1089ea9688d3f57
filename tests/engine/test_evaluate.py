"""The forward pass; real models: tests/attribution/test_real_models.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from models import chain, listener, model, normal, saved
from onnx import helper

import dftlrp
from dftlrp.core.types import DftlrpError, InputError, NonFiniteError


def one(op: str, *more: str, weights: Any = None, dims: Any = (1, 4), **attrs: Any) -> Any:
    nodes = [helper.make_node(op, ["x", *more], ["y"], **attrs)]
    return model(nodes, {"x": dims}, {"y": [None] * 2}, weights)


def test_a_batch_gives_what_its_samples_give_alone(tmp_path):
    small, x = dftlrp.load(saved(listener(), tmp_path)), normal(3, 1, 400)
    together = reference.attribute(small, x)
    alone = [reference.attribute(small, x[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(
        together.relevance, np.concatenate([a.relevance for a in alone]), rtol=0, atol=1e-12
    )


def test_it_is_computed_in_float64_unless_another_dtype_is_asked_for(tmp_path):
    small, x = dftlrp.load(saved(listener(), tmp_path)), normal(1, 1, 400)
    assert reference.attribute(small, x).output.dtype == np.float64
    single = reference.attribute(small, x, dtype=np.float32)
    assert single.output.dtype == single.relevance.dtype == np.float32
    assert reference.attribute(small, x).output.dtype == np.float64  # nothing of it is kept


@pytest.mark.parametrize(
    ("op", "x", "bad"), [("Log", -1.0, "nan"), ("Log", 0.0, "-inf"), ("Exp", 1e4, "inf")]
)
def test_the_layer_where_a_number_stops_being_finite_is_named_with_the_index(tmp_path, op, x, bad):
    small = dftlrp.load(saved(one(op), tmp_path))
    with pytest.raises(NonFiniteError, match=rf"'y' \({op}\) is {bad} at index \(0, 2\)"):
        reference.attribute(small, np.array([[1.0, 1.0, x, x]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_named_with_the_index(tmp_path, bad):
    small = dftlrp.load(saved(chain(1), tmp_path))
    with pytest.raises(NonFiniteError, match=r"input 'x' is .* at index \(0, 3\)"):
        reference.attribute(small, np.array([[1.0, 1, 1, bad]]))


def test_values_whose_sum_overflows_are_still_finite(tmp_path):
    small = dftlrp.load(saved(chain(1), tmp_path))
    assert reference.attribute(small, np.full((1, 4), 1.5e308)).output.max() == 1.5e308


@pytest.mark.parametrize("shape", [(4,), (1, 5), (2, 4), (1, 1, 4), (1, 0), ()])
def test_an_input_of_another_shape_is_refused_with_both_shapes(tmp_path, shape):
    small = dftlrp.load(saved(chain(1), tmp_path))
    with pytest.raises(InputError) as caught:
        reference.attribute(small, np.ones(shape))
    assert f"{shape}" in str(caught.value)
    assert "(1, 4)" in str(caught.value)


def test_a_node_that_cannot_run_on_its_inputs_is_named(tmp_path):
    small = dftlrp.load(saved(one("Add", "c", weights={"c": np.ones(3, np.float32)}), tmp_path))
    with pytest.raises(InputError, match=r"'y' \(Add\) cannot run"):
        reference.attribute(small, normal(1, 4))


def test_a_signal_shorter_than_the_first_window_is_refused_by_its_length(tmp_path):
    small = dftlrp.load(saved(listener((1, 1, None)), tmp_path))
    with pytest.raises(InputError, match=r"'c1' \(Conv\).*15.*16.*too short"):
        reference.attribute(small, normal(1, 1, 15))


def test_a_forward_pass_beyond_its_budget_stops_at_the_layer_that_exceeds_it(tmp_path, monkeypatch):
    small = dftlrp.load(saved(chain(10), tmp_path))
    monkeypatch.setattr("dftlrp.engine.evaluate.MAX_BYTES", 6 * 32)
    with pytest.raises(DftlrpError, match=r"'r6'.*memory"):
        reference.attribute(small, normal(1, 4))


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_a_split_without_sizes_gives_equal_parts(tmp_path, opset):
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1),
        helper.make_node("Sub", ["a", "b"], ["y"]),
    ]
    if opset >= 18:
        nodes[0].attribute.append(helper.make_attribute("num_outputs", 2))
    small = dftlrp.load(saved(model(nodes, {"x": [1, 4]}, {"y": [1, 2]}, opset=opset), tmp_path))
    result = reference.attribute(small, np.array([[1.0, 2, 3, 5]]), target=1)
    np.testing.assert_array_equal(result.output, [[-2, -3]])
    np.testing.assert_allclose(result.relevance, [[0, 2, 0, -5]], rtol=1e-5)
