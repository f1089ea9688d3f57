"""Masks of -inf, the lowest float32 and -1e4 mean the same; what is masked gets exactly nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import loaded
from models import model, value
from onnx import NodeProto, TensorProto, helper

import dftlrp

FILLS = {"-inf": -np.inf, "lowest": float(np.finfo(np.float32).min), "-1e4": -1e4}
COMPOSITES = ("Epsilon", "EpsilonPlus", "Gradient", "AttnLRP", "CPLRP")
T, D = 4, 3
X = np.random.default_rng(0).normal(size=(1, T, D)).astype(np.float32)
CAUSAL = np.triu(np.ones((T, T), bool), 1)
LAST = np.arange(T)[:, None] == T - 1  # of a sequence: the last step is padding
node = helper.make_node


def _attend(masking: list[NodeProto]) -> list[NodeProto]:
    """Softmax(x x^T, masked) x: scores ``s`` to ``m`` by the nodes given."""
    return [
        node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
        node("MatMul", ["x", "xt"], ["s"]),
        *masking,
        node("Softmax", ["m"], ["a"], axis=-1),
        node("MatMul", ["a", "x"], ["y"]),
    ]


def _add(fill: float) -> Any:
    return _attend([node("Add", ["s", "mask"], ["m"])]), {"mask": _filled(CAUSAL, fill)}


def _where(fill: float) -> Any:
    masking = [node("Where", ["mask", "fill", "s"], ["m"])]
    return _attend(masking), {"mask": CAUSAL, "fill": np.float32(fill)}


def _written_out(fill: float) -> Any:
    """A Softmax in plain ops, which is recognised."""
    return [
        *_attend([node("Add", ["s", "mask"], ["m"])])[:-2],
        node("ReduceMax", ["m"], ["top"], axes=[-1], keepdims=1),
        node("Sub", ["m", "top"], ["d"]),
        node("Exp", ["d"], ["e"]),
        node("ReduceSum", ["e", "last"], ["n"], keepdims=1),
        node("Div", ["e", "n"], ["a"]),
        node("MatMul", ["a", "x"], ["y"]),
    ], {"mask": _filled(CAUSAL, fill), "last": np.array([-1])}


def _reduce(op: str) -> Callable[[float], Any]:
    def build(fill: float) -> Any:
        nodes = [
            node("Add", ["x", "mask"], ["m"]),
            node(op, ["m"], ["r"], axes=[1], keepdims=1),
            node("MatMul", ["r", "w"], ["y"]),
        ]
        return nodes, {"mask": _filled(LAST, fill), "w": np.eye(D, dtype=np.float32)}

    return build


def _pool(fill: float) -> Any:
    nodes = [
        node("Where", ["mask", "fill", "x"], ["m"]),
        node("MaxPool", ["m"], ["r"], kernel_shape=[2], strides=[1], pads=[1, 1]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    return nodes, {
        "mask": np.arange(D) == 1, "fill": np.float32(fill),
        "w": np.ones((D + 1, 2), np.float32),
    }  # fmt: skip


def _pad(fill: float) -> Any:
    """What a max pool reads beyond the edges."""
    nodes = [
        node("Pad", ["x", "pads", "fill"], ["p"]),
        node("MaxPool", ["p"], ["r"], kernel_shape=[3], strides=[1]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    return nodes, {
        "pads": np.array([0, 0, 1, 0, 0, 1]), "fill": np.float32(fill),
        "w": np.ones((D, 2), np.float32),
    }  # fmt: skip


def _log_softmax(fill: float) -> Any:
    nodes = [
        node("Add", ["x", "mask"], ["m"]),
        node("LogSoftmax", ["m"], ["l"], axis=1),
        node("Where", ["padding", "zero", "l"], ["kept"]),
        node("MatMul", ["kept", "w"], ["y"]),
    ]
    return nodes, {
        "mask": _filled(LAST, fill), "padding": LAST, "zero": np.float32(0),
        "w": np.eye(D, dtype=np.float32),
    }  # fmt: skip


def _filled(mask: Any, fill: float) -> Any:
    return np.where(mask, np.float32(fill), np.float32(0)).astype(np.float32)


GRAPHS: dict[str, Callable[[float], Any]] = {
    "Add": _add, "Where": _where, "written out": _written_out, "MaxPool": _pool, "Pad": _pad,
    "LogSoftmax": _log_softmax,
    **{op: _reduce(op) for op in ("ReduceMax", "ReduceLogSumExp")},
}  # fmt: skip
HIDDEN = {"MaxPool": (..., 1), "Pad": (0, slice(1, None))}  # no mask in Pad: other rows
ONE = {"Add": (1, 0), "Where": (1, 0), "written out": (1, 0), "LogSoftmax": (0, 0)}


def explain(name: str, fill: float, composite: str, backend: str) -> Any:
    nodes, weights = GRAPHS[name](fill)
    proto = model(nodes, {"x": [1, T, D]}, [value("y", None)], weights, opset=13)
    if name.startswith("Reduce"):
        proto.opset_import[0].version = 13
    target = ONE.get(name, (0, 0))
    return dftlrp.attribute(loaded(proto), X, target=target, composite=composite, backend=backend)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", GRAPHS)
def test_masks_mean_the_same_however_they_are_written(name, composite, backend):
    limit = 1e-12 if backend == "numpy" else 1e-5
    results = {fill: explain(name, x, composite, backend) for fill, x in FILLS.items()}
    wanted = explain(name, -1e4, composite, "numpy")
    for fill, a in results.items():
        assert np.isfinite(a.relevance).all(), fill
        size = np.abs(wanted.relevance).sum()
        kept = np.abs(wanted.output) < 1e3  # masked outputs of a LogSoftmax are what the mask says
        np.testing.assert_allclose(a.output[kept], wanted.output[kept], atol=1e-5, err_msg=fill)
        assert np.abs(a.relevance - wanted.relevance).sum() <= limit * size, fill
        assert a.ledger.gap < limit, fill


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("fill", FILLS)
def test_what_is_masked_gets_exactly_nothing(name, composite, backend, fill):
    relevance = explain(name, FILLS[fill], composite, backend).relevance
    attention = name in {"Add", "Where", "written out"}
    hidden = (0, slice(2, None)) if attention else HIDDEN.get(name, (0, T - 1))
    assert not relevance[hidden].any()
    assert relevance.any()


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize("fill", FILLS)
def test_a_mask_that_is_an_input_means_the_same(backend, fill):
    nodes = _attend([node("Add", ["s", "mask"], ["m"])])
    x, mask = value("x", [1, T, D]), value("mask", [T, T])
    proto = model(nodes, [x, mask], [value("y", [1, T, D])])
    given = _filled(CAUSAL, max(FILLS[fill], -3e38))
    a = dftlrp.attribute(
        loaded(proto), X, target=(1, 0), composite="Epsilon", backend=backend, bind={"mask": given}
    )
    wanted = explain("Add", -1e4, "Epsilon", "numpy")
    np.testing.assert_allclose(a.relevance, wanted.relevance, atol=1e-6)


def test_a_boolean_mask_that_is_an_input_is_a_setting():
    nodes = _attend([node("Where", ["mask", "fill", "s"], ["m"])])
    x, mask = value("x", [1, T, D]), value("mask", [T, T], TensorProto.BOOL)
    proto = model(nodes, [x, mask], [value("y", [1, T, D])], {"fill": np.float32(-np.inf)})
    for backend in ("numpy", "onnx"):
        a = dftlrp.attribute(
            loaded(proto), X, target=(1, 0), composite="Epsilon", backend=backend,
            bind={"mask": CAUSAL},
        )  # fmt: skip
        wanted = explain("Add", -1e4, "Epsilon", "numpy")
        np.testing.assert_allclose(a.relevance, wanted.relevance, atol=1e-6)
