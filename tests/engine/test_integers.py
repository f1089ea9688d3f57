"""Models as deployed: networks on integers are explained as the networks that they approximate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from models import listener, model, normal, saved, value
from needed import needed
from onnx import helper

import dftlrp
from dftlrp.core.types import DftlrpError, ModelError, UnsupportedModelError
from dftlrp.engine.model import from_bytes

needed("onnxruntime.quantization")
from onnxruntime.quantization import (  # noqa: E402
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

node = helper.make_node


def perceptron() -> Any:
    """Two dense layers with biases."""
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w2", "b2"], ["y"], transB=1),
    ]
    weights = {"w1": normal(20, 16, seed=1), "b1": normal(16, seed=2)}
    weights |= {"w2": normal(3, 16, seed=3), "b2": normal(3, seed=4)}
    return model(nodes, {"x": [None, 20]}, {"y": [None, 3]}, weights)


def joined() -> Any:
    """Sums, products, a mean, two pools and a join of convolutions, and a LeakyReLU."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], name="first"),
        node("LeakyRelu", ["a"], ["l"], alpha=0.1),
        node("Conv", ["l", "w2"], ["b"], pads=[1, 1]),
        node("Add", ["a", "b"], ["s"]),
        node("Sigmoid", ["s"], ["g"]),
        node("Mul", ["s", "g"], ["m"]),
        node("AveragePool", ["m"], ["p"], kernel_shape=[2], strides=[2]),
        node("MaxPool", ["m"], ["q"], kernel_shape=[2], strides=[2]),
        node("Concat", ["p", "q"], ["j"], axis=1),
        node("GlobalAveragePool", ["j"], ["k"]),
        node("Flatten", ["k"], ["f"]),
        node("MatMul", ["f", "w3"], ["y"]),
    ]
    weights = {"w1": normal(4, 1, 5, seed=1), "b1": normal(4, seed=2)}
    weights |= {"w2": normal(4, 4, 3, seed=3), "w3": normal(8, 3, seed=4)}
    return model(nodes, {"x": [None, 1, 40]}, {"y": [None, 3]}, weights)


def recurrent() -> Any:
    """An LSTM in both directions, its mean over time, and a dense layer."""
    nodes = [
        node("LSTM", ["x", "W", "R", "B"], ["h"], hidden_size=5, direction="bidirectional"),
        node("ReduceMean", ["h"], ["m"], axes=[0, 1], keepdims=0),
        node("MatMul", ["m", "V"], ["y"]),
    ]
    weights = {"W": normal(2, 20, 6, seed=1), "R": normal(2, 20, 5, seed=2)}
    weights |= {"B": normal(2, 40, seed=3), "V": normal(5, 3, seed=4)}
    return model(nodes, {"x": [7, None, 6]}, {"y": [None, 3]}, weights)


NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "convolutions": (listener, (2, 1, 400)),
    "perceptron": (perceptron, (2, 20)),
    "joined": (joined, (2, 1, 40)),
    "recurrent": (recurrent, (7, 2, 6)),
}
BYTES = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8}
SIGNED = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": True}
FORMATS: dict[str, dict[str, Any]] = {
    "operators": {"quant_format": QuantFormat.QOperator, **BYTES},
    "operators by channel": {"quant_format": QuantFormat.QOperator, **SIGNED},
    "pairs": {"quant_format": QuantFormat.QDQ, **BYTES},
    "pairs by channel": {"quant_format": QuantFormat.QDQ, **SIGNED},
    "dynamic": {},
}
# Least correlation with the relevance of the float model, over nets and formats: measured, and
# rounded down.  Of rules that divide by sums rounding changes most where these nearly cancel.
SEEN = 3  # the seed of an input that is in the range that was calibrated
LEAST = {"Gradient": 0.97, "EpsilonPlus": 0.99, "Epsilon": 0.93}


class Examples(CalibrationDataReader):  # type: ignore[misc]
    """Recordings from which the ranges of activations are taken."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.each: Iterator[dict[str, Any]] = iter(
            [{"x": normal(*shape, seed=seed)} for seed in range(8)]
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next one, or None."""
        return next(self.each, None)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """From the names of a net and of a format to the files of the float and the quantised model."""
    folder, made = tmp_path_factory.mktemp("quantised"), dict[tuple[str, str], Path]()

    def make(net: str, how: str) -> tuple[Path, Path]:
        build, shape = NETS[net]
        plain = saved(build(), folder, f"{net}.onnx")
        path = made.setdefault((net, how), folder / f"{net} {how}.onnx")
        if not path.exists() and how == "dynamic":
            quantize_dynamic(plain, path, weight_type=QuantType.QUInt8)
        elif not path.exists():
            quantize_static(plain, path, Examples(shape), **FORMATS[how])
        return plain, path

    return make


def explain(path: Path, shape: tuple[int, ...], composite: str, **asked: Any) -> Any:
    x = normal(*shape, seed=SEEN)
    return dftlrp.attribute(path, x, target=1, composite=composite, **asked)


@pytest.mark.parametrize("composite", LEAST)
@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("net", NETS)
def test_relevance_is_close_to_that_of_the_float_model_and_closes(quantised, net, how, composite):
    plain, path = quantised(net, how)
    a, want = (explain(p, NETS[net][1], composite, backend="numpy") for p in (path, plain))
    alike = np.corrcoef(a.relevance.ravel(), want.relevance.ravel())[0, 1]
    assert alike > LEAST[composite]
    taken = sum(float(np.sum(a.ledger.absorbed(t))) for t in ("bias", "stabiliser", "stopped"))
    assert a.relevance.sum() + taken == pytest.approx(a.seed.sum(), abs=1e-9)
    assert a.ledger.gap < 1e-12


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("net", NETS)
def test_its_output_is_onnxruntimes_on_the_file_or_the_deviation_is_said(quantised, net, how):
    _, path = quantised(net, how)
    a = explain(path, NETS[net][1], "Epsilon")
    x = normal(*NETS[net][1], seed=SEEN)
    plain = ort.SessionOptions()  # its optimiser puts kernels of other precision in their place
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    (want,) = ort.InferenceSession(path, plain).run(None, {"x": x})
    off = np.abs(a.output - want).max() / np.abs(want).max()
    said = [n for n in a.notes if "off the file's own" in n]
    assert off < 2e-5 or said
    assert off < 0.1
    assert a.backend == "onnx"


@pytest.mark.parametrize("how", ["operators", "pairs", "dynamic"])
def test_convolutions_keep_their_rule_their_names_and_their_biases(quantised, how):
    plain, path = quantised("convolutions", how)
    tables = [dftlrp.load(p).table("EpsilonPlus") for p in (plain, path)]
    rules = [[str(la.rule) for la in t.layers if la.op == "Conv"] for t in tables]
    assert rules[0] == rules[1] == ["zplus", "zplus"]
    a = explain(path, NETS["convolutions"][1], "EpsilonPlus")
    convolutions = [row for row in a.ledger.rows if row.op == "Conv"]
    assert len(convolutions) == 2
    assert all(np.any(row.bias) for row in convolutions)


@pytest.mark.parametrize("how", ["operators", "pairs", "dynamic"])
def test_a_final_softmax_is_left_out_behind_integers_too(tmp_path, how):
    plain = saved(listener(end="Softmax"), tmp_path)
    path = tmp_path / "quantised.onnx"
    if how == "dynamic":
        quantize_dynamic(plain, path, weight_type=QuantType.QUInt8)
    else:
        quantize_static(plain, path, Examples((2, 1, 400)), **FORMATS[how])
    a, want = (explain(p, (2, 1, 400), "EpsilonPlus", backend="numpy") for p in (path, plain))
    assert any("final Softmax is left out" in n for n in a.notes)
    assert np.abs(a.explained - want.explained).max() < 0.1 * np.abs(want.explained).max()


def contrib(op: str, inputs: list[str], weights: dict[str, Any], **attrs: Any) -> bytes:
    """One of onnxruntime's own operators, between a signal and its output."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node(op, inputs, ["o"], domain="com.microsoft", **attrs),
        node("DequantizeLinear", ["o", "s", "z"], ["y"]),
    ]
    weights = {"s": np.float32(0.05), "z": np.uint8(128), **weights}
    proto = model(nodes, [value("x", [1, 2, 4, 4])], [value("y", None)], weights)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return bytes(proto.SerializeToString())


CONTRIBS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "QLinearSigmoid": (["q", "s", "z", "s", "z"], {}),
    "QLinearWhere": (["c", "q", "s", "z", "w", "s", "z", "s", "z"], {}),
    "QLinearSoftmax": (["q", "s", "z", "s", "z"], {"axis": 1, "opset": 13}),
}


@pytest.mark.parametrize("op", CONTRIBS)
def test_an_operator_of_onnxruntime_is_what_onnxruntime_computes(op):
    inputs, attrs = CONTRIBS[op]
    given = {"c": np.arange(4) > 1, "w": np.arange(4, dtype=np.uint8)}
    data = contrib(op, inputs, {k: v for k, v in given.items() if k in inputs}, **attrs)
    x = normal(1, 2, 4, 4, seed=5)
    (want,) = ort.InferenceSession(data).run(None, {"x": x})
    a = dftlrp.attribute(from_bytes(data, "m.onnx"), x, composite="Epsilon", backend="numpy")
    np.testing.assert_allclose(a.output, want, atol=0.051)  # one step
    assert a.ledger.gap < 1e-12


@pytest.mark.parametrize(
    ("op", "attrs", "why"),
    [
        ("QLinearGlobalAveragePool", {"channels_last": 1}, "channels_last"),
        ("QLinearTanh", {}, "the op is not known"),
    ],
)
def test_what_no_rule_knows_is_refused_by_the_nodes_name(op, attrs, why):
    data = contrib(op, ["q", "s", "z", "s", "z"], {}, **attrs)
    with pytest.raises(UnsupportedModelError, match=rf"'?o'? \(com.microsoft.{op}\): .*{why}"):
        from_bytes(data, "m.onnx")


def test_a_value_that_is_called_as_an_added_one_is_refused():
    data = contrib(
        "QLinearSigmoid", ["o/x", "s", "z", "s", "z"], {"o/x": np.zeros((1, 2), np.uint8)}
    )
    with pytest.raises(ModelError, match="two values are called 'o/x'"):
        from_bytes(data, "m.onnx")


@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("QLinearSoftmax", ["q", "s", "z", "s", "z"], {"opset": "new"}),
        ("QGemm", ["q", "s", "z"], {}),
        ("DynamicQuantizeLSTM", ["q", "s", "s", "s", "", "", "", "", "s", "z", "s", "z"], {}),
    ],
)
def test_an_operator_of_onnxruntime_that_is_broken_is_refused_in_one_line(op, inputs, attrs):
    """ONNX's checker does not know these operators."""
    data = contrib(op, inputs, {}, **attrs)
    with pytest.raises(DftlrpError, match=r"'?o\b") as told:
        dftlrp.attribute(from_bytes(data, "m.onnx"), normal(1, 2, 4, 4), backend="numpy")
    assert "\n" not in str(told.value)


def test_products_of_integers_with_a_bias_are_what_onnxruntime_computes():
    """The fused forms that its optimiser writes."""
    nodes = [
        node(
            "DynamicQuantizeMatMul",
            ["x", "w", "s", "z", "b"],
            ["h"],
            domain="com.microsoft",
        ),
        node("DynamicQuantizeLinear", ["h"], ["q", "t", "u"]),
        node(
            "MatMulIntegerToFloat",
            ["q", "v", "t", "s", "u", "z", "c"],
            ["y"],
            domain="com.microsoft",
        ),
    ]
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.integers(0, 255, (6, 5)).astype(np.uint8),
        "v": rng.integers(0, 255, (5, 3)).astype(np.uint8),
        "s": np.float32(0.01),
        "z": np.uint8(120),
        "b": normal(5),
        "c": normal(3),
    }
    proto = model(nodes, [value("x", [None, 6])], [value("y", None)], weights)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    data, x = proto.SerializeToString(), normal(2, 6, seed=3)
    (want,) = ort.InferenceSession(data).run(None, {"x": x})
    a = dftlrp.attribute(from_bytes(data, "m.onnx"), x, composite="Epsilon", backend="numpy")
    np.testing.assert_allclose(a.output, want, atol=1e-5 * np.abs(want).max())
