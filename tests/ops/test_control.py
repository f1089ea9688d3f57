"""Laws of If, Loop and Scan: what they run is onnxruntime's, and relevance goes through it."""

from __future__ import annotations

from typing import Any

import hostile
import numpy as np
import pytest
import reference
from graphs import build, loaded, normal
from hostile import CASES, node
from models import model, value
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

import dftlrp
from dftlrp.core.types import UnsupportedModelError
from ops.oracle import session

DOUBLE, INT64, BOOL = TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL
X = normal(3, 4)


def graph(
    name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], **weights: Any
) -> GraphProto:
    given = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    made = [helper.make_node(op, i, o, **attrs) for op, i, o, attrs in nodes]
    return helper.make_graph(made, name, inputs, outputs, given)


def branch(op: str, w: Any) -> GraphProto:
    nodes = [("MatMul", ["h", "w"], ["z"], {}), (op, ["z"], ["out"], {})]
    return graph(op, nodes, [], [value("out", None, DOUBLE)], w=w)


def conditional() -> ModelProto:
    """A branch by the sum of what a bound input says; weights inside, values of outside read."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node(
            "If", ["c"], ["y"],
            then_branch=branch("Tanh", normal(4, 2)), else_branch=branch("Abs", normal(4, 2)),
        ),
    ]  # fmt: skip
    proto = build(nodes, {"x": [3, 4]}, {"y": [3, 2]})
    proto.graph.input.append(value("c", [1], BOOL))
    return proto


def body(scan: bool) -> GraphProto:
    """v' = tanh(v W) + u, of which also the half is collected."""
    nodes = [
        ("MatMul", ["v", "w"], ["a"], {}),
        ("Tanh", ["a"], ["e"], {}),
        ("Add", ["e", "u" if scan else "x"], ["v2"], {}),
        ("Mul", ["v2", "half"], ["s"], {}),
    ]
    weights = {"w": normal(4, 4), "half": np.array(0.5)}
    if scan:
        inputs = [value("v", [4], DOUBLE), value("u", [4], DOUBLE)]
        outputs = [value("v2", [4], DOUBLE), value("s", [4], DOUBLE)]
    else:
        nodes += [("Less", ["i", "end"], ["on"], {})]
        weights["end"] = np.int64(2)
        inputs = [value("i", [], INT64), value("c", [], BOOL), value("v", [3, 4], DOUBLE)]
        outputs = [value("on", [], BOOL), value("v2", [3, 4], DOUBLE), value("s", [3, 4], DOUBLE)]
    return graph("body", nodes, inputs, outputs, **weights)


def looped(trips: int | None, condition: bool = True) -> ModelProto:
    inputs = ["trips" if trips is not None else "", "go" if condition else "", "x"]
    nodes = [
        helper.make_node("Loop", inputs, ["last", "all"], body=body(False)),
        helper.make_node("ReduceSum", ["all", "axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["last", "sum"], ["y"]),
    ]
    weights = {"trips": np.int64(trips or 0), "go": np.bool_(True), "axis": np.array([0])}
    return build(nodes, {"x": [3, 4]}, {"y": [3, 4]}, weights)


def scanned(**how: Any) -> ModelProto:
    nodes = [
        helper.make_node(
            "Scan", ["start", "x"], ["last", "all"], body=body(True), num_scan_inputs=1, **how
        ),
        helper.make_node("ReduceMax", ["all"], ["top"], axes=[0], keepdims=0),
        helper.make_node("Add", ["last", "top"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "axis"], ["y"]),
    ]
    weights = {"start": np.zeros(4), "axis": np.array([0])}
    return build(nodes, {"x": [3, 4]}, {"y": [1, 4]}, weights)


MODELS = {
    "if, then": (conditional(), {"c": [True]}),
    "if, else": (conditional(), {"c": [False]}),
    "loop of 2": (looped(2), {}),
    "loop that ends itself": (looped(9), {}),
    "loop without a limit": (looped(None), {}),
    "loop without a condition": (looped(3, condition=False), {}),
    "scan": (scanned(), {}),
    "scan backwards": (scanned(scan_input_directions=[1], scan_output_directions=[1]), {}),
    "scan of one value in both directions": (
        build(
            [
                helper.make_node("Scan", ["x", "x"], ["y"], num_scan_inputs=2,
                                 scan_input_directions=[0, 1], body=graph(
                    "body", [("Tanh", ["a"], ["e"], {}), ("Mul", ["e", "b"], ["c"], {})],
                    [value("a", [4], DOUBLE), value("b", [4], DOUBLE)],
                    [value("c", [4], DOUBLE)],
                )),
            ],
            {"x": [3, 4]}, {"y": [3, 4]},
        ), {},
    ),
    "scan along the other axis": (
        build(
            [
                helper.make_node("Transpose", ["x"], ["t"]),
                helper.make_node("Scan", ["start", "t"], ["last", "y"], body=body(True),
                                 num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]),
            ],
            {"x": [3, 4]}, {"y": [4, 3]}, {"start": np.zeros(4)},
        ), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_runs_is_onnxruntimes(name):
    proto, bind = MODELS[name]
    feed = {"x": X, **{k: np.array(v) for k, v in bind.items()}}
    want = session(proto).run(["y"], feed)[0]
    np.testing.assert_allclose(
        reference.predict(loaded(proto), X, bind=bind), want, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("name", MODELS)
def test_no_relevance_is_lost(name):
    proto, bind = MODELS[name]
    a = reference.attribute(loaded(proto), X, bind=bind, target=lambda z: z, composite="Epsilon")
    absorbed = sum(a.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(a.relevance.sum() + absorbed, a.seed.sum(), rtol=1e-10)
    assert a.ledger.gap < 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_gradient_times_input_is_the_derivative(name):
    proto, bind = MODELS[name]
    model, step = loaded(proto), 1e-6
    a = reference.attribute(model, X, bind=bind, target=lambda z: z, composite="Gradient")

    def total(x: Any) -> float:
        return float(reference.predict(model, x, bind=bind).sum())

    numeric = np.zeros_like(X)
    for i in np.ndindex(X.shape):
        bump = np.zeros_like(X)
        bump[i] = step
        numeric[i] = (total(X + bump) - total(X - bump)) / (2 * step)
    z = a.explained
    one = reference.attribute(
        model, X, bind=bind, target=lambda z: np.ones_like(z) * z, composite="Gradient"
    )
    assert z.shape == one.explained.shape
    np.testing.assert_allclose(one.multiplier, numeric, rtol=1e-6, atol=1e-8)


def test_a_loop_is_a_layer_for_all_its_steps():
    a = reference.attribute(loaded(looped(3)), X, target=lambda z: z, composite="Epsilon")
    names = [layer.key for layer in a.table.layers]
    assert names.count("a") == 1
    assert not any("[" in name for name in names)
    b = reference.attribute(
        loaded(looped(3)), X, target=lambda z: z, composite="Epsilon", overrides={"a": "zplus"}
    )
    assert not np.allclose(a.relevance, b.relevance)


def test_endless_loops_are_refused_before_they_run():
    endless = loaded(CASES["loop of 2^62 trips"]())
    with pytest.raises(UnsupportedModelError, match=r"4611686018427387904 trips are too many"):
        reference.predict(endless, X[:1])


def test_a_loop_that_ends_itself_may_name_any_number_of_trips():
    few, many = (reference.predict(loaded(looped(n)), X) for n in (9, 2**62))
    np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize("shape", [(0,), (2,), (0, 1)])
@pytest.mark.parametrize("which", ["n", "go"])
def test_what_decides_is_one_number(which, shape):
    """onnxruntime would read past the end of an empty one, and end the process."""
    inner = hostile.body(
        [node("Identity", "c", "d"), node("Tanh", "v", "o")],
        {"i": TensorProto.INT64, "c": TensorProto.BOOL, "v": TensorProto.FLOAT},
        {"d": TensorProto.BOOL, "o": TensorProto.FLOAT},
    )
    weights = {"n": np.int64(2), "go": np.bool_(True)}
    weights[which] = np.broadcast_to(weights[which], shape)
    looping = loaded(
        model([node("Loop", "n go x", "y", body=inner)], {"x": [1, 4]}, {"y": None}, weights)
    )
    for backend in ("numpy", "onnx"):
        with pytest.raises(dftlrp.DftlrpError, match=r"numbers, of which one has to decide"):
            dftlrp.attribute(looping, np.ones((1, 4)), backend=backend)
