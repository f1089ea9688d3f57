"""What is explained: which output, which inputs are signals, and which nodes lie between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from models import listener, model, normal, saved, value
from onnx import ModelProto, TensorProto, helper

import dftlrp
from dftlrp.core.types import InputError, ModelError
from dftlrp.engine.model import from_bytes
from dftlrp.engine.plan import make_plan
from dftlrp.graph.load import load_graph


def node(op: str, inputs: str, outputs: str, **attrs: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attrs)


def two_heads() -> ModelProto:
    """x -> a -> (first, second); "second" alone needs b."""
    nodes = [node("Relu", "x", "a"), node("Neg", "a", "first"), node("Abs", "x", "b"),
             node("Add", "a b", "second")]  # fmt: skip
    return model(nodes, {"x": [2, 4]}, {"first": [2, 4], "second": [2, 4]})


def with_settings() -> ModelProto:
    """y = x * scale / rate, with a float scalar, an int scalar and an int list as settings."""
    nodes = [
        node("Cast", "rate", "r", to=1), node("Mul", "x scale", "a"), node("Div", "a r", "b"),
        node("Reshape", "b shape", "y"),
    ]  # fmt: skip
    inputs = [
        value("x", [1, 4]), value("rate", [], TensorProto.INT64), value("scale", [1]),
        value("shape", [2], TensorProto.INT64),
    ]  # fmt: skip
    return model(nodes, inputs, [value("y", [1, 4])])


@pytest.fixture
def settings(tmp_path):
    return dftlrp.load(saved(with_settings(), tmp_path))


BOUND = {"rate": 4, "scale": 2.0, "shape": [4, 1]}


# -- outputs


def test_the_first_output_is_taken_unless_another_is_named(tmp_path):
    loaded, x = dftlrp.load(saved(two_heads(), tmp_path)), normal(2, 4).astype(np.float64)
    first = reference.attribute(loaded, x, target=0)
    second = reference.attribute(loaded, x, target=0, output="second")
    np.testing.assert_array_equal(first.output, -np.maximum(x, 0))
    np.testing.assert_array_equal(second.output, np.maximum(x, 0) + np.abs(x))


def test_an_unknown_output_is_refused_and_the_known_ones_are_named(tmp_path):
    loaded = dftlrp.load(saved(two_heads(), tmp_path))
    with pytest.raises(InputError, match=r"'third'.*first.*second"):
        loaded.plan("third")


def test_an_inner_value_is_no_output(tmp_path):
    with pytest.raises(InputError, match="unknown output 'a'"):
        dftlrp.load(saved(two_heads(), tmp_path)).plan("a")


def test_only_nodes_that_the_output_needs_are_kept(tmp_path):
    loaded = dftlrp.load(saved(two_heads(), tmp_path))
    assert [n.key for n in loaded.plan().nodes] == ["a", "first"]
    assert {n.key for n in loaded.plan("second").nodes} == {"a", "b", "second"}


def test_an_output_that_no_signal_reaches_is_refused(tmp_path):
    proto = model(
        [node("Shape", "x", "s"), node("Cast", "s", "y", to=1)], {"x": [1, 4]}, {"y": [2]}
    )
    with pytest.raises(ModelError, match=r"'y' depends .* only through 's' \(Shape\)"):
        dftlrp.load(saved(proto, tmp_path))


# -- settings


def test_a_setting_without_a_value_is_refused_and_the_message_says_how_to_give_it(settings):
    with pytest.raises(InputError, match=r"'rate'.*int64.*bind=\{'rate': ...\}.*--bind rate=VALUE"):
        reference.attribute(settings, normal(1, 4))


def test_bound_settings_are_computed_with(settings):
    x = normal(1, 4).astype(np.float64)
    result = reference.attribute(settings, x, bind=BOUND, target=(0,))
    np.testing.assert_array_equal(result.output, (x * 2 / 4).reshape(4, 1))


def test_bound_settings_carry_no_relevance(settings):
    plan = settings.plan(bind=BOUND)
    assert list(plan.signals) == ["x"]
    assert {n.key: plan.live.get(n.key) for n in plan.nodes} == {
        "r": None, "a": (0,), "b": (0,), "y": (0,),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given"),
    [("rate", "fast"), ("rate", [1, 2]), ("rate", None), ("scale", [1, 2, 3]), ("scale", {}),
     ("shape", [1, 2, 3]), ("shape", "4,1"), ("scale", "nan"), ("scale", float("inf"))],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_what_is_needed(settings, name, given):
    with pytest.raises(InputError, match=f"cannot bind '{name}'.*(int64|float32)"):
        settings.plan(bind={**BOUND, name: given})


@pytest.mark.parametrize("given", [4.7, 2**70, -(2**70)])
def test_an_integer_setting_is_never_rounded_or_wrapped(settings, given):
    with pytest.raises(InputError, match="cannot bind 'rate'"):
        settings.plan(bind={**BOUND, "rate": given})


def test_a_whole_number_given_as_a_float_is_an_integer(settings):
    assert settings.plan(bind={**BOUND, "rate": 4.0}).bound["rate"] == 4


def test_an_unknown_name_is_refused_and_the_inputs_are_named(settings):
    with pytest.raises(InputError, match=r"cannot bind 'rat'.*'rate'"):
        settings.plan(bind={**BOUND, "rat": 4})


def test_a_scalar_is_broadcast_to_the_declared_shape(settings):
    assert settings.plan(bind={**BOUND, "scale": 3}).bound["scale"].shape == (1,)


def test_a_signal_may_be_bound_and_is_then_a_setting(tmp_path):
    proto = model([node("Sub", "x s", "y")], {"x": [1, 4], "s": [1, 4]}, {"y": [1, 4]})
    loaded, x = dftlrp.load(saved(proto, tmp_path)), normal(1, 4)
    both = reference.attribute(loaded, {"x": x, "s": x})
    assert set(both.relevance) == {"x", "s"}
    one = reference.attribute(loaded, x, bind={"s": np.ones((1, 4))})
    assert one.relevance.shape == (1, 4)


def test_binding_every_signal_leaves_nothing_to_explain(tmp_path):
    loaded = dftlrp.load(saved(two_heads(), tmp_path))
    with pytest.raises(ModelError, match="does not depend on a signal"):
        loaded.plan(bind={"x": np.ones((2, 4))})


def test_the_table_can_be_shown_without_values_for_the_settings(settings):
    assert "a" in str(settings.table())


# -- ends


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_a_final_normaliser_is_stripped_and_named(tmp_path, end):
    loaded = dftlrp.load(saved(listener(end=end), tmp_path))
    assert (loaded.plan().explained, loaded.plan().stripped) == ("logits", end)
    result = reference.attribute(loaded, normal(1, 1, 400))
    assert any(end in note for note in result.notes)
    assert not np.array_equal(result.output, result.explained)


def test_without_a_final_normaliser_the_output_itself_is_explained(tmp_path):
    plan = dftlrp.load(saved(listener(), tmp_path)).plan()
    assert (plan.explained, plan.stripped) == ("logits", "")


def test_identities_after_the_normaliser_do_not_hide_it(tmp_path):
    proto = listener(end="Softmax")
    proto.graph.node.extend([node("Identity", "scores", "same"), node("Dropout", "same", "out")])
    proto.graph.output[0].name = "out"
    assert dftlrp.load(saved(proto, tmp_path)).plan().explained == "logits"


def test_a_softmax_in_the_middle_is_explained(tmp_path):
    proto = listener(end="Softmax")
    proto.graph.node.append(node("Relu", "scores", "out"))
    proto.graph.output[0].name = "out"
    plan = make_plan(load_graph(saved(proto, tmp_path)))
    assert plan.stripped == ""
    assert "Softmax" in {n.op for n in plan.path}


def test_an_output_behind_a_stop_is_refused_by_the_stops_name(tmp_path):
    nodes = [helper.make_node("Round", ["x"], ["r"]), helper.make_node("Neg", ["r"], ["y"])]
    path = saved(model(nodes, {"x": [1, 4]}, {"y": [1, 4]}), tmp_path)
    with pytest.raises(ModelError, match=r"only through 'r' \(Round\)"):
        dftlrp.load(path)


# -- which output is explained


def labelled(label: str = "ArgMax") -> bytes:
    """A classifier whose first output is a label, made by ops without a rule."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["s"]),
        helper.make_node(label, ["s"], ["i"], **({"axis": 1} if label == "ArgMax" else {})),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
    ]
    whole = TensorProto.INT64 if label == "ArgMax" else TensorProto.FLOAT
    outputs = [value("i", None, whole), value("p", [None, 3])]
    proto = model(nodes, [value("x", [None, 4])], outputs, {"W": normal(4, 3)})
    return proto.SerializeToString()


def test_an_output_that_holds_labels_is_passed_over_and_that_is_said():
    x = normal(2, 4)
    a = dftlrp.attribute(from_bytes(labelled(), "m.onnx"), x, target=1, composite="Epsilon")
    np.testing.assert_allclose(a.relevance, x * normal(4, 3)[:, 1], atol=1e-4)
    assert "output 'p' is explained: 'i' holds labels" in a.notes


def test_an_output_that_is_not_asked_for_refuses_nothing():
    net = from_bytes(labelled("NonZero"), "m.onnx")
    a = dftlrp.attribute(net, normal(2, 4), output="p", target=1)
    assert a.output.shape == (2, 3)
    with pytest.raises(ModelError, match="'i'"):
        dftlrp.attribute(net, normal(2, 4))
