"""What the defaults are, by the kind of model; docs/explanation/rightness.md has why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import models
import numpy as np
import pytest
from graphs import Nodes, loaded, normal
from onnx import ModelProto, TensorProto, helper

from dftlrp import Model, attribute
from dftlrp.core.types import InputError, NonFiniteError
from dftlrp.engine.auto import has_attention

X = normal(2, 5, 4)


def attend(n: Nodes, scale: bool = True) -> str:
    """Weights softmax(q k^T / 2) of 5 places."""
    n.weights["two"] = np.array(2.0)
    n.add("MatMul", f"x {n.weight('wq', 4, 4)}", "q")
    n.add("MatMul", f"x {n.weight('wk', 4, 4)}", "k")
    n.add("Transpose", "k", "kt", perm=[0, 2, 1])
    n.add("MatMul", "q kt", "s")
    return n.add("Softmax", n.add("Div", "s two", "d") if scale else "s", "p", axis=-1)


def attention(n: Nodes) -> None:
    attend(n)
    n.add("MatMul", "p x", "y")


def pooled_attention(n: Nodes) -> None:
    """Weights that one dense layer gives: of no product."""
    n.add("MatMul", f"x {n.weight('w', 4, 1)}", "s")
    n.add("Softmax", "s", "p", axis=1)
    n.add("Mul", "x p", "y")


def last_softmax(n: Nodes) -> None:
    attend(n)
    n.add("Identity", "p", "y")


def dense(n: Nodes) -> None:
    n.add("MatMul", f"x {n.weight('w', 4, 4)}", "y")


def logarithm(n: Nodes) -> None:
    """The level of the absolute value: silence has none."""
    n.add("Abs", "x", "a")
    n.add("Log", "a", "l")
    n.add("MatMul", f"l {n.weight('w', 4, 4)}", "y")


def standardised(n: Nodes) -> None:
    """Nothing divided by nothing at silence, but for 1e-9."""
    n.weights["little"] = np.array(1e-9)
    n.add("ReduceMean", "x", "m", axes=[1, 2])
    n.add("Sub", "x m", "c")
    n.add("Mul", "c c", "cc")
    n.add("ReduceMean", "cc", "v", axes=[1, 2])
    n.add("Sqrt", "v", "r")
    n.add("Add", "r little", "e")
    n.add("Div", "c e", "l")
    n.add("MatMul", f"l {n.weight('w', 4, 4)}", "y")


def make(write: Callable[[Nodes], None], **kwargs: Any) -> ModelProto:
    n = Nodes()
    write(n)
    return n.model({"x": ["B", 5, 4]}, {"y": None}, **kwargs)


def load(write: Callable[[Nodes], None]) -> Model:
    return loaded(make(write))


@pytest.mark.parametrize(
    ("write", "has"),
    [(attention, True), (pooled_attention, False), (last_softmax, False), (dense, False)],
)
def test_attention_is_a_softmax_inside_of_a_product_of_two_values(
    write: Callable[[Nodes], None], has: bool
) -> None:
    model = load(write)
    assert has_attention(model.plan()) == has
    taken = attribute(model, X, target=(0, 0))
    want = ("AttnLRP", "none") if has else ("EpsilonGamma", "silence")
    assert (taken.table.composite, taken.facts["reference"]) == want


def test_attention_behind_a_logarithm_is_compared_with_silence() -> None:
    """A log level of zero is no level of silence, whatever reads it."""

    def write(n: Nodes) -> None:
        n.add("Mul", "x x", "xx")
        n.weights["little"] = np.array(1e-3)
        n.add("Add", "xx little", "e")
        n.add("Log", "e", "level")
        n.add("MatMul", f"level {n.weight('wq', 4, 4)}", "q")
        n.add("Transpose", "level", "kt", perm=[0, 2, 1])
        n.add("MatMul", "q kt", "s")
        n.add("Softmax", "s", "p", axis=-1)
        n.add("MatMul", "p level", "y")

    taken = attribute(load(write), X, target=(0, 0))
    assert (taken.table.composite, taken.facts["reference"]) == ("EpsilonGamma", "silence")


def test_attention_against_a_reference_by_name_freezes_nothing() -> None:
    taken = attribute(load(attention), X, target=(0, 0), reference="silence")
    assert taken.table.composite == "EpsilonGamma"
    assert taken.defaults["composite"] == "the default against a reference"
    change = taken.seed.reshape(2, -1).sum(axis=1)
    got = taken.relevance.reshape(2, -1).sum(axis=1)
    np.testing.assert_allclose(got, change, rtol=1e-3)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_where_silence_has_no_value_nothing_is_compared_and_that_is_said(backend: str) -> None:
    model = load(logarithm)
    taken = attribute(model, X, target=(0, 0), backend=backend)
    assert taken.facts["reference"] == "none"
    assert any(n.startswith("compared with nothing, since at the reference") for n in taken.notes)
    plain = attribute(model, X, target=(0, 0), backend=backend, reference="none")
    np.testing.assert_array_equal(taken.relevance, plain.relevance)
    with pytest.raises(NonFiniteError, match="at the reference"):
        attribute(model, X, target=(0, 0), backend=backend, reference="silence")


def normed(op: str, *axes: int) -> Callable[[Nodes], None]:
    """A norm of the input itself, of which silence has nothing."""

    def write(n: Nodes) -> None:
        n.weights |= {"g": np.ones(axes), "b": np.zeros(axes)}
        n.add(op, "x g b", "l")
        n.add("MatMul", f"l {n.weight('w', 4, 4)}", "y")

    return write


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize(
    "write", [standardised, normed("InstanceNormalization", 5), normed("LayerNormalization", 4)]
)
def test_where_silence_divides_nothing_by_nothing_nothing_is_compared(
    backend: str, write: Callable[[Nodes], None]
) -> None:
    """Whatever the level, so that the rows of a batch do not depend on each other."""
    model = load(write)
    for level in (1.0, 1e-2, 1e-6):
        taken = attribute(model, level * X, target=(0, 0), backend=backend)
        assert taken.facts["reference"] == "none"
        assert any("divides nothing by nothing" in n for n in taken.notes)
        plain = attribute(model, level * X, target=(0, 0), backend=backend, reference="none")
        np.testing.assert_array_equal(taken.relevance, plain.relevance)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_a_norm_of_what_biases_leave_in_silence_is_compared_with_silence(backend: str) -> None:
    def write(n: Nodes) -> None:
        n.add("MatMul", f"x {n.weight('v', 4, 4)}", "h")
        n.add("Add", f"h {n.weight('c', 4)}", "hb")
        n.weights |= {"g": np.ones(4), "b": np.zeros(4)}
        n.add("LayerNormalization", "hb g b", "l")
        n.add("MatMul", f"l {n.weight('w', 4, 4)}", "y")

    taken = attribute(load(write), X, target=(0, 0), backend=backend)
    assert taken.facts["reference"] == "silence"


def test_rows_of_a_batch_are_explained_as_each_alone() -> None:
    model = load(dense)
    scales = np.array([1.0, 1e-3, 0.0])[:, None, None]
    x = scales * np.concatenate([X, X[:1]])
    together = attribute(model, x, target=(0, 0)).relevance
    for i in range(len(x)):
        alone = attribute(model, x[i : i + 1], target=(0, 0)).relevance
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=1e-5)


def test_why_silence_is_none_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(standardised)
    first = attribute(model, X, target=(0, 0))

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("dftlrp.engine.forward.refuse_vanishing", refuse)
    again = attribute(model, X, target=(0, 0))
    assert again.facts == first.facts
    np.testing.assert_array_equal(again.relevance, first.relevance)


def test_relevance_that_only_cancels_against_a_reference_by_name_is_warned_of() -> None:
    taken = attribute(load(standardised), X, target=(0, 0), reference="silence", backend="numpy")
    assert any("times as large as their sum" in n for n in taken.notes)


def test_a_fault_of_the_input_is_told_as_ever() -> None:
    bad = X.copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="input 'x'"):
        attribute(load(dense), bad, target=(0, 0))
    with pytest.raises(InputError, match="shape"):
        attribute(load(dense), X[0], target=(0, 0))


def test_a_model_of_whole_numbers_is_compared_with_nothing() -> None:
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["y"]),
    ]
    weights = {"table": np.float32(normal(9, 4)), "w": np.float32(normal(4, 4))}
    ends = [models.value("x", ["B", 5], TensorProto.INT64), models.value("y", None)]
    proto = models.model(nodes, ends[:1], ends[1:], weights, opset=17)
    model = loaded(proto)
    taken = attribute(model, np.arange(10).reshape(2, 5) % 9, target=(0, 0))
    assert (taken.table.composite, taken.facts["reference"]) == ("EpsilonGamma", "none")
    assert "compared with nothing, the default for a model that reads whole numbers" in taken.notes
    with pytest.raises(InputError, match="holds whole numbers"):
        attribute(model, np.zeros((2, 5), int), target=(0, 0), reference="silence")
