"""Operators of scikit-learn's exporters against onnxruntime and difference quotients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import dftlrp
from dftlrp.core.types import UnsupportedModelError
from dftlrp.engine.model import from_bytes

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
W = np.random.default_rng(1).normal(size=12).round(2).tolist()
LINEAR = {"coefficients": W, "intercepts": [0.1, -0.2, 0.3]}
CASES: dict[str, dict[str, Any]] = {
    "scaler of features": {"op": "Scaler", "offset": [0.1, 0.2, 0.3, 0.4], "scale": [1.0, 2, 3, 4]},
    "scaler of all": {"op": "Scaler", "offset": [0.5], "scale": [2.0]},
    **{f"normalizer {n}": {"op": "Normalizer", "norm": n} for n in ("MAX", "L1", "L2")},
    "regressor": {"op": "LinearRegressor", "targets": 3, **LINEAR},
    "regressor without intercepts": {"op": "LinearRegressor", "targets": 3, "coefficients": W},
    **{
        f"classifier {end}": {
            "op": "LinearClassifier", "classlabels_ints": [0, 1, 2], "post_transform": end, **LINEAR
        }
        for end in ("NONE", "LOGISTIC", "SOFTMAX")
    },
    **{
        f"two classes by one row {end}": {
            "op": "LinearClassifier", "classlabels_strings": ["a", "b"], "post_transform": end,
            "coefficients": W[:4], "intercepts": [0.1],
        }
        for end in ("NONE", "LOGISTIC")
    },
}  # fmt: skip


def build(op: str, **attrs: Any) -> bytes:
    labelled = op == "LinearClassifier"
    outputs = ["label", "y"] if labelled else ["y"]
    node = helper.make_node(op, ["x"], outputs, domain="ai.onnx.ml", **attrs)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    return model.SerializeToString()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_its_output_is_that_of_onnxruntime_and_its_accounts_close(name, backend):
    data = build(**CASES[name])
    (wanted,) = ort.InferenceSession(data).run(["y"], {"x": X})
    a = dftlrp.attribute(
        from_bytes(data, "m.onnx"), X, target=0, composite="Epsilon", backend=backend
    )
    np.testing.assert_allclose(a.output, wanted, atol=1e-6)
    assert a.ledger.gap < (1e-12 if backend == "numpy" else 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_its_gradient_is_that_of_a_difference_quotient(name):
    model, h, x = from_bytes(build(**CASES[name]), "m.onnx"), 1e-6, X.astype(np.float64)
    explain = partial(dftlrp.attribute, target=0, composite="Gradient", backend="numpy")
    a = explain(model, x)
    for i in range(4):
        step = h * np.eye(4)[i]
        up, down = (explain(model, x + s) for s in (step, -step))
        slope = (up.explained[:, 0] - down.explained[:, 0]) / (2 * h)
        np.testing.assert_allclose(a.multiplier[:, i], slope, atol=1e-6)


def test_what_no_rule_knows_is_refused_by_name():
    data = build("LinearRegressor", targets=3, post_transform="PROBIT", **LINEAR)
    with pytest.raises(UnsupportedModelError, match=r"'y'.*PROBIT"):
        dftlrp.attribute(from_bytes(data, "m.onnx"), X, backend="numpy")
