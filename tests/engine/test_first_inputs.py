"""What is recognised and prepared at a first input is the model's, and no accident of that input.

Each model here is another function than the layer that it resembles, and equal to it at silence,
which is the first input; the second one is explained as if it came first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import Nodes, loaded, normal
from needed import needed
from onnx import ModelProto, TensorProto

import dftlrp
from dftlrp.engine.context import Context

SHAPE = (1, 4, 4)
BACKENDS = ("numpy", "onnx", "torch")
WAYS: list[dict[str, Any]] = [
    {"composite": "AttnLRP", "reference": "none"},
    {"composite": "EpsilonGamma", "reference": "silence"},
    {"composite": "EpsilonPlus", "reference": "none"},
]


def weighed(n: Nodes, p: str) -> None:
    """What is no Softmax, as the weights of a signal."""
    n.add("Mul", f"{p} x", "y")


def shift_along_another_axis(n: Nodes) -> None:
    n.add("ReduceMax", "x", "m", axes=[1])
    n.add("Sub", "x m", "d")
    n.add("Exp", "d", "e")
    n.add("ReduceSum", f"e {n.ints('a', 2)}", "s")
    weighed(n, n.add("Div", "e s", "p"))


def turned_around(n: Nodes) -> None:
    n.add("ReduceMax", "x", "m", axes=[2])
    n.add("Sub", "m x", "d")
    n.add("Exp", "d", "e")
    n.add("ReduceSum", f"e {n.ints('a', 2)}", "s")
    weighed(n, n.add("Div", "e s", "p"))


def shift_of_each_number(n: Nodes) -> None:
    n.add("Tanh", "x", "m")
    n.add("Sub", "x m", "d")
    n.add("Exp", "d", "e")
    n.add("ReduceSum", f"e {n.ints('a', 2)}", "s")
    weighed(n, n.add("Div", "e s", "p"))


def sums_that_are_turned(n: Nodes) -> None:
    n.add("Exp", "x", "e")
    n.add("ReduceSum", f"e {n.ints('a', 2)}", "s")
    n.add("Transpose", "s", "t", perm=[0, 2, 1])
    weighed(n, n.add("Div", "e t", "p"))


def sums_that_meet_other_rows(n: Nodes) -> None:
    n.add("Exp", "x", "e")
    n.add("ReduceSum", f"e {n.ints('a', 2)}", "s", keepdims=0)
    n.add("Unsqueeze", f"s {n.ints('o', 1)}", "t")
    weighed(n, n.add("Div", "e t", "p"))


def means_of_other_rows(n: Nodes) -> None:
    n.add("Reshape", f"x {n.ints('flat', 4, 4)}", "r")
    n.add("ReduceMean", "r", "m", axes=[1], keepdims=0)
    n.add("Sub", "r m", "d")
    n.weights["s"] = np.array(2.0)
    n.add("Div", "d s", "z")
    n.add("Reshape", f"z {n.ints('back', 1, 4, 4)}", "y")


def hard_gate(n: Nodes) -> None:
    n.conv("x", "c", (4, 4, 1), bias=False)
    n.add("GlobalAveragePool", "x", "g")
    n.weights["zero"] = np.array(0.0)
    n.add("Greater", "g zero", "loud")
    n.add("Cast", "loud", "gate", to=TensorProto.DOUBLE)
    n.add("Mul", "c gate", "s")
    n.add("Add", f"s {n.weight('shift', 4, 1)}", "y")


def bias_in_steps(n: Nodes) -> None:
    n.conv("x", "c", (4, 4, 1), bias=False)
    n.add("GlobalAveragePool", "x", "g")
    n.add("Floor", "g", "steps")
    n.add("Add", "c steps", "y")


def exponent_in_steps(n: Nodes) -> None:
    n.weights |= {"two": np.array(2.0), "half": np.array(-0.5)}
    n.add("MatMul", f"x {n.weight('w', 4, 4)}", "h")
    n.add("Exp", "x", "e")
    n.add("ReduceMax", "x", "m", axes=[0, 1, 2], keepdims=0)
    n.add("Ceil", "m", "c")
    n.add("Add", "c half", "exponent")
    n.add("Pow", "e exponent", "q")
    n.add("Mul", "h q", "y")


MODELS: list[Callable[[Nodes], None]] = [
    shift_along_another_axis, turned_around, shift_of_each_number, sums_that_are_turned,
    sums_that_meet_other_rows, means_of_other_rows, hard_gate, bias_in_steps, exponent_in_steps,
]  # fmt: skip


def written(write: Callable[[Nodes], None]) -> ModelProto:
    n = Nodes()
    write(n)
    return n.model({"x": list(SHAPE)}, {"y": None})


def explained(model: dftlrp.Model, x: Any, **how: Any) -> Any:
    return dftlrp.attribute(model, x, target=(1, 2), seed="one", **how)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("write", MODELS)
def test_silence_first_changes_nothing(write: Callable[[Nodes], None], backend: str) -> None:
    if backend == "torch":
        needed("torch")
    proto, dtype = written(write), "float64" if backend == "torch" else None
    for how in WAYS:
        model = loaded(proto)
        explained(model, np.zeros(SHAPE), backend=backend, dtype=dtype, **how)
        later = explained(model, normal(*SHAPE), backend=backend, dtype=dtype, **how)
        want = explained(loaded(proto), normal(*SHAPE), backend="numpy", **how)
        tolerance = 1e-4 if backend == "onnx" else 1e-9
        scale = np.abs(want.relevance).max()
        np.testing.assert_allclose(later.relevance, want.relevance, atol=tolerance * scale)
        assert [la.op for la in later.table.layers] == [la.op for la in want.table.layers]


def test_means_that_meet_other_rows_are_no_layer_norm() -> None:
    """All of that model is linear, so that its relevance is the gradient times the input."""
    ours, want = (
        explained(loaded(written(means_of_other_rows)), normal(*SHAPE), backend="numpy",
                  composite=name)
        for name in ("Epsilon(0)", "Gradient")
    )  # fmt: skip
    np.testing.assert_allclose(ours.relevance, want.relevance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("moved", [False, True])
def test_a_softmax_is_told_by_its_nodes_whatever_is_subtracted(moved: bool) -> None:
    """exp(x - m) / sum exp(x - m), where m is no maximum, or is one of other numbers."""
    one, two = Nodes(), Nodes()
    for n in (one, two):
        n.weights["b"] = normal(4) if moved else normal(4, 1)
        n.add("Sub", "x b", "v")
    one.add("Softmax", "v" if moved else "x", "p", axis=2)
    two.add("Exp", "v", "e")
    two.add("ReduceSum", f"e {two.ints('a', 2)}", "s", keepdims=0)
    two.add("Unsqueeze", f"s {two.ints('last', -1)}", "t")
    two.add("Expand", f"t {two.ints('whole', *SHAPE)}", "u")
    two.add("Div", "e u", "p")
    for n in (one, two):
        weighed(n, "p")
    results = [
        explained(loaded(n.model({"x": list(SHAPE)}, {"y": None})), normal(*SHAPE), **WAYS[0])
        for n in (one, two)
    ]
    np.testing.assert_allclose(results[1].relevance, results[0].relevance, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (0, 1, 2, 3)])
def test_a_bias_goes_past_no_places_that_change_theirs(order: tuple[int, ...]) -> None:
    """y_i = c_p(i) + b_i, where p is an order of channels: b is no bias of the convolution."""
    n = Nodes()
    n.conv("x", "c", (4, 4, 1), bias=False)
    n.add("Gather", f"c {n.ints('order', *order)}", "g", axis=1)
    n.add("Add", f"g {n.weight('b', 4, 1)}", "y")
    a = explained(loaded(n.model({"x": list(SHAPE)}, {"y": None})), normal(*SHAPE), backend="numpy",
                  composite="EpsilonPlus")  # fmt: skip
    assert [la.op for la in a.table.layers] == ["Conv", "Gather", "Add"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("samples", [1, 4])
def test_a_mask_may_come_later(backend: str, samples: int) -> None:
    """Softmax of what is not below zero: at the first inputs nothing is, later one number is."""
    if backend == "torch":
        needed("torch")
    n = Nodes()
    n.weights |= {"zero": np.array(0.0), "never": np.array(-np.inf)}
    n.add("Less", "x zero", "below")
    n.add("Where", "below never zero", "mask")
    n.add("Add", "x mask", "s")
    n.add("Softmax", "s", "p", axis=2)
    weighed(n, "p")
    model = loaded(n.model({"x": ["B", 4, 4]}, {"y": None}))
    how: dict[str, Any] = {**WAYS[0], "dtype": "float64" if backend == "torch" else None}
    x = np.abs(normal(samples, 4, 4))
    later = x.copy()
    later[-1, 1, 3] = -1
    for given in (x, later, x, later):
        ours = explained(model, given, backend=backend, **how).relevance
        want = explained(model, given, backend="numpy", **WAYS[0]).relevance
        np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-6)


def test_the_numbers_of_a_signal_are_refused_to_what_recognises_layers() -> None:
    c = Context([], {"x": np.zeros(3), "w": np.ones(2)}, {"x"}, {}, {})
    assert c.find_shape("x") == (3,)
    assert c.read("w").tolist() == [1, 1]
    c.derive("y", "Neg", "x")
    for name in ("x", "y"):
        with pytest.raises(AssertionError, match=f"the numbers of '{name}' depend on the input"):
            c.read(name)
