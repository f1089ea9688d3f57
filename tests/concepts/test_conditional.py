"""Laws of conditional relevance: it adds up to the whole, and is what two steps by hand give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Nodes, build, conv_stack, loaded, normal, residual, signals
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from dftlrp import attribute, predict
from dftlrp.concepts import conditional, layers_of, silenced
from dftlrp.core.types import InputError

EXACT = {"backend": "numpy", "composite": "EpsilonPlus"}


def dense() -> Any:
    """Two layers, of which the first relevance is known by hand."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
        helper.make_node("Gemm", ["h", "w2", "b2"], ["z"], transB=1),
    ]
    weights = {
        "w1": np.array([[1.0, 3], [4, 2]]), "b1": np.array([0.0, 1]),
        "w2": np.array([[2.0, 4], [3, 1]]), "b2": np.array([1.0, 2]),
    }  # fmt: skip
    return loaded(build(nodes, {"x": ["B", 2]}, {"z": ["B", 2]}, weights))


def test_two_dense_layers_by_hand() -> None:
    # h = (7, 9), z_0 = 51; R_h = (14, 36) / 51; through h_1 alone: 36/51 (4 1, 2 2) / 9
    (found,) = conditional(
        dense(), np.array([[1.0, 2.0]]), [{"y": [0], "h": [1]}],
        seed="one", composite="Epsilon", overrides={"Gemm": "epsilon(0)"}, backend="numpy",
    )  # fmt: skip
    np.testing.assert_allclose(found.before["h"], [[14 / 51, 36 / 51]], rtol=1e-14)
    np.testing.assert_allclose(found.after["h"], [[0, 36 / 51]], rtol=1e-14)
    np.testing.assert_allclose(found.relevance, [[16 / 51, 16 / 51]], rtol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize("layer", ["c1", "r1", "p1", "c2", "h"])
def test_over_all_channels_of_a_layer_that_cuts_the_graph_it_is_the_whole(
    layer: str, backend: str
) -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    count = layers_of(model, x, composite="EpsilonPlus").concepts(layer).count
    each = conditional(
        model, x, [{"y": [1], layer: [c]} for c in range(count)], composite="EpsilonPlus",
        backend=backend,
    )  # fmt: skip
    whole = attribute(model, x, target=1, backend=backend, composite="EpsilonPlus")
    limit = 1e-10 if backend == "numpy" else 1e-5
    size = np.abs(whole.relevance).sum()
    assert np.abs(sum(e.relevance for e in each) - whole.relevance).sum() < limit * size
    assert max(e.gap for e in each) < limit


COMPARED = {"silence": "silence", "other": signals(conv_stack(), 2)["x"][1:]}


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize("composite", ["EpsilonGamma", "Epsilon", "EpsilonPlus"])
@pytest.mark.parametrize("name", COMPARED)
def test_of_a_difference_the_channels_are_the_whole_and_their_relevance_its_change(
    name: str, composite: str, backend: str
) -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    own = {"composite": composite, "backend": backend, "reference": COMPARED[name]}
    whole = attribute(model, x, target=1, **own)
    r = np.broadcast_to(0.0 if name == "silence" else COMPARED[name], x.shape)
    change = whole.explained[0, 1] - predict(model, r, backend="numpy").explained[0, 1]
    size = float(np.abs(whole.relevance).sum())
    limit = 1e-10 if backend == "numpy" else 1e-5
    for layer in ("c1", "p1", "c2", "h"):
        count = layers_of(model, x, composite=composite).concepts(layer).count
        conditions = [{"y": [1], layer: [c]} for c in range(count)]
        each = conditional(model, x, conditions, **own)
        assert np.abs(sum(e.relevance for e in each) - whole.relevance).sum() < limit * size
        assert max(e.gap for e in each) < limit
        through = [float(e.after[layer].sum()) for e in each]
        assert sum(through) == pytest.approx(each[0].before[layer].sum(), rel=limit)
        if composite != "EpsilonPlus":  # no sign is dropped, and no bias is left
            assert sum(through) == pytest.approx(change, abs=1e-4 * size)
            assert [e.relevance.sum() for e in each] == pytest.approx(through, abs=1e-4 * size)


def test_of_several_references_it_is_the_mean() -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    condition, others = {"y": [2], "c2": [1, 4]}, [*signals(conv_stack(), 3)["x"][1:, None]]
    own = {"backend": "numpy", "composite": "EpsilonGamma", "record": ["c1"]}
    (mean,) = conditional(model, x, [condition], reference=others, **own)
    parts = [conditional(model, x, [condition], reference=r, **own)[0] for r in others]
    wanted = np.mean([p.relevance for p in parts], axis=0)
    np.testing.assert_allclose(mean.relevance, wanted, rtol=1e-12)
    wanted = np.mean([p.after["c1"] for p in parts], axis=0)
    np.testing.assert_allclose(mean.after["c1"], wanted, rtol=1e-12)
    assert mean.multiplier is None
    (alone,) = conditional(model, x, [condition], reference=others[:1], **own)
    np.testing.assert_array_equal(alone.relevance, parts[0].relevance)
    assert alone.multiplier is not None


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_with_a_shortcut_it_is_the_part_through_the_layer(backend: str) -> None:
    model, x = loaded(residual()), signals(residual(), 1)["x"]
    layers = layers_of(model, x, composite="EpsilonPlus")
    (layer,) = [la.key for la in layers.table.layers if la.op == "Conv"][1:2]
    own = {"composite": "EpsilonPlus", "backend": backend}
    count = layers.concepts(layer).count
    each = conditional(model, x, [{"y": [0], layer: [c]} for c in range(count)], **own)
    through, past = conditional(
        model, x, [{"y": [0], layer: list(range(count))}, {"y": [0], layer: []}], **own
    )
    whole = attribute(model, x, target=0, **own)
    limit = (1e-10 if backend == "numpy" else 1e-5) * np.abs(whole.relevance).sum()
    assert np.abs(past.relevance).sum() > 0.01 * np.abs(whole.relevance).sum()
    assert np.abs(sum(e.relevance for e in each) - through.relevance).sum() < limit
    assert np.abs(through.relevance + past.relevance - whole.relevance).sum() < limit


def test_two_layers_are_two_steps_by_hand() -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    (both,) = conditional(model, x, [{"y": [2], "c2": [1, 4], "c1": [3]}], **EXACT)
    first = attribute(model, x, target=2, keep=["c2"], **EXACT)
    mask = np.zeros((1, 6, 1))
    mask[:, [1, 4]] = 1
    second = attribute(model, x, target=2, masks={"c2": mask}, keep=["c1"], **EXACT)
    np.testing.assert_array_equal(both.before["c2"], first.kept["c2"][1])
    np.testing.assert_array_equal(both.before["c1"], second.kept["c1"][1])
    only = np.zeros((1, 4, 1))
    only[:, 3] = 1
    third = attribute(model, x, target=2, masks={"c2": mask, "c1": only}, **EXACT)
    np.testing.assert_array_equal(both.relevance, third.relevance)
    np.testing.assert_array_equal(both.after["c1"], both.before["c1"] * only)


@given(st.data())
@settings(deadline=None, max_examples=30)
def test_many_conditions_are_each_alone_in_the_order_given(data: st.DataObject) -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    places = {"c1": st.integers(0, 3), "c2": st.integers(0, 5), "h": st.integers(0, 7)}
    one = st.fixed_dictionaries(
        {"y": st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True)},
        optional={k: st.lists(v, max_size=3, unique=True) for k, v in places.items()},
    )
    conditions = data.draw(st.lists(one, min_size=1, max_size=4))
    together = conditional(model, x, conditions, **EXACT)
    for condition, found in zip(conditions, together, strict=True):
        (alone,) = conditional(model, x, [condition], **EXACT)
        assert found.condition == condition
        np.testing.assert_array_equal(found.relevance, alone.relevance)
    many = np.repeat(x, len(conditions), axis=0)
    for a, b in zip(together, conditional(model, many, conditions, **EXACT), strict=True):
        np.testing.assert_array_equal(a.relevance, b.relevance)


def test_places_and_masks_of_ones_own() -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    own = np.zeros((6, 6))
    own[2, 3] = 1
    by_place, by_mask = conditional(model, x, [{"c2": [(2, 3)]}, {"c2": own}], **EXACT)
    np.testing.assert_array_equal(by_place.relevance, by_mask.relevance)
    assert np.count_nonzero(by_place.after["c2"]) <= 1


def test_units_of_a_cell_lie_on_its_last_axis() -> None:
    n = Nodes()
    n.weights |= {"w": normal(1, 16, 3), "r": normal(1, 16, 4, seed=1)}
    n.nodes.append(helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=4))
    n.ints("flat", -1, 4)
    n.add("Reshape", "h flat", "f")
    n.gemm("f", "z", 4, 2)
    model, x = loaded(n.model({"x": [5, 1, 3]}, {"z": [1, 2]})), normal(5, 1, 3)
    layer = layers_of(model, x).concepts("h")
    assert (layer.count, layer.batch, layer.axis) == (4, 1, 2)
    # one sample whose batch axis is not the first is asked of as it is
    whole = attribute(model, x, target=1, **EXACT).relevance
    parts = [
        attribute(model, x, target=1, masks={"h": layer.mask([u])}, **EXACT).relevance
        for u in range(4)
    ]
    np.testing.assert_allclose(sum(parts), whole, atol=1e-12)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"c1": [0], "n_c1": [1]}, "two of .c1., .n_c1. name one layer"),
        ({"x": [0]}, ".x. is what the model reads: name a layer"),
        ({"conv": [0]}, "no layer 'conv' carries relevance: "),
        ({"c1": [4]}, "channel 4 is out of range: there are 4, from 0 to 3"),
        ({"c1": [(1, 99)]}, "lies outside"),
        ({"c1": np.zeros((2, 2))}, "does not fit"),
        ({"y": []}, "explains nothing"),
        ({"y": [7]}, "out of range"),
    ],
)
def test_what_is_wrong_is_said(condition: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        conditional(loaded(conv_stack()), signals(conv_stack(), 1)["x"], [condition], **EXACT)


def test_layers_beside_each_other_are_joined_by_no_path() -> None:
    n = Nodes()
    n.conv("x", "a", (3, 2, 3))
    n.conv("x", "b", (3, 2, 3))
    n.add("Add", "a b", "s")
    n.add("Flatten", "s", "f")
    n.gemm("f", "z", 18, 2)
    model = loaded(n.model({"x": ["B", 2, 8]}, {"z": ["B", 2]}))
    with pytest.raises(InputError, match="no relevance that meets the conditions arrives at"):
        conditional(model, normal(1, 2, 8), [{"a": [0], "b": [0]}], **EXACT)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize(("one", "other"), ["ab", "ba"])
def test_a_blocked_branch_leaves_what_goes_through_the_other(
    one: str, other: str, backend: str
) -> None:
    n = Nodes()
    n.conv("x", "a", (3, 2, 3))
    n.conv("x", "b", (3, 2, 3))
    n.add("Add", "a b", "s")
    n.add("Flatten", "s", "f")
    n.gemm("f", "z", 18, 2)
    model, x = loaded(n.model({"x": ["B", 2, 8]}, {"z": ["B", 2]})), normal(1, 2, 8)
    own = {"composite": "EpsilonPlus", "backend": backend}
    both, alone = conditional(
        model, x, [{"y": [0], one: [1], other: []}, {"y": [0], one: [1]}], **own
    )
    np.testing.assert_array_equal(both.relevance, alone.relevance)
    assert both.relevance.any()


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_to_silence_a_channel_is_to_have_no_weights_for_it(backend: str) -> None:
    proto = conv_stack(bias=False)
    x = signals(proto, 1)["x"]
    (value,) = {layers_of(loaded(proto), x).concepts("c2").value}
    mask = np.ones((1, 6, 1))
    mask[:, 3] = 0
    found = predict(loaded(proto), x, scaled={value: mask}, backend=backend)
    (weights,) = [w for w in proto.graph.initializer if w.name == "c2_w"]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * mask[0, :, :, None]))
    weights.name = "c2_w"
    want = predict(loaded(proto), x, backend="numpy")
    np.testing.assert_allclose(found.explained, want.explained, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found.explained, predict(loaded(conv_stack(False)), x).explained)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
@pytest.mark.parametrize("name", COMPARED)
def test_a_neuron_that_is_silent_as_at_a_reference_costs_its_relevance_where_the_rest_is_linear(
    name: str, backend: str
) -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    layers = layers_of(model, x, composite="Epsilon", reference="none")
    own = {"backend": backend, "reference": COMPARED[name]}
    a = attribute(model, x, target=1, keep=["hr"], composite="Epsilon", **own)
    units = [(i,) for i in range(8)]
    falls = silenced(model, x, 1, layers.concepts("hr"), units, **own)[0]
    np.testing.assert_allclose(falls, a.kept["hr"][1][0], atol=1e-5)
    zero = silenced(model, x, 1, layers.concepts("hr"), units, backend=backend)[0]
    assert np.abs(falls - zero).max() > 0.01
    (every,) = silenced(model, x, 1, layers.concepts("c1"), [range(4)], **own)
    r = np.broadcast_to(0.0 if name == "silence" else COMPARED[name], x.shape)
    change = a.explained[0, 1] - predict(model, r, backend="numpy").explained[0, 1]
    assert every[0] == pytest.approx(change, rel=1e-4, abs=1e-5)


def test_what_is_not_on_the_way_cannot_be_silenced() -> None:
    model, x = loaded(conv_stack()), signals(conv_stack(), 1)["x"]
    with pytest.raises(InputError, match="no value 'nothing' is computed"):
        predict(model, x, scaled={"nothing": np.ones(1)}, backend="numpy")
    with pytest.raises(InputError, match="does not fit"):
        predict(model, x, scaled={"c1": np.ones((9, 1))}, backend="numpy")


def test_concepts_go_along_with_their_axis() -> None:
    n = Nodes()
    n.add("Transpose", "x", "xt", perm=[1, 0, 2])
    n.weight("w", 1, 16, 3)
    n.weight("r", 1, 16, 4)
    n.nodes.append(helper.make_node("LSTM", ["xt", "w", "r"], ["Y"], hidden_size=4))
    n.add("Squeeze", f"Y {n.ints('one', 1)}", "squeezed")
    n.add("Transpose", "squeezed", "turned", perm=[1, 0, 2])
    n.add("Transpose", "turned", "channels", perm=[0, 2, 1])
    n.conv("channels", "c", (5, 4, 1))
    n.add("Transpose", "c", "last", perm=[0, 2, 1])
    n.add("ReduceMean", "last", "z", axes=[1], keepdims=0)
    model = loaded(n.model({"x": ["B", 6, 3]}, {"z": ["B", 5]}))
    layers = layers_of(model, normal(2, 6, 3), composite="Epsilon")
    found = {name: layers.concepts(name) for name in ("squeezed", "turned", "channels", "last")}
    axes = {name: (c.batch, c.axis) for name, c in found.items()}
    np.testing.assert_array_equal(found["last"].mask(np.int64(1)), found["last"].mask([1]))
    assert axes == {"squeezed": (1, 2), "turned": (0, 2), "channels": (0, 1), "last": (0, 2)}
