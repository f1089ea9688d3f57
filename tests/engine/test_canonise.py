"""Laws of merging: several nodes that are one layer are explained as that layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from graphs import Nodes, loaded, normal
from onnx import ModelProto

import dftlrp
from dftlrp.engine.composites import PRESETS

X = normal(2, 4, 9)
Pair = tuple[ModelProto, ModelProto]
IO: Any = ({"x": ["B", 4, 9]}, {"y": None})


def both(a: Nodes, b: Nodes) -> Pair:
    return a.model(*IO), b.model(*IO)


def conv_and_add() -> Pair:
    w, b = normal(3, 4, 3), normal(3)
    one, two = Nodes(), Nodes()
    one.add("Conv", "x w b", "y")
    one.weights |= {"w": w, "b": b}
    two.add("Conv", "x w", "c")
    two.add("Add", "b c", "y")
    two.weights |= {"w": w, "b": b[:, None]}
    return both(one, two)


def conv_squeeze_add() -> Pair:
    """As TensorFlow exports a 1-D convolution: a 2-D one, squeezed, plus a bias, channels last."""
    w, b = normal(3, 4, 1, 3), normal(3)
    one, two = Nodes(), Nodes()
    for n in (one, two):
        n.ints("two", 2)
        n.add("Unsqueeze", "x two", "u")
        n.weights["w"] = w
    one.weights["b"] = b
    one.add("Conv", "u w b", "c")
    one.add("Squeeze", "c two", "s")
    one.add("Transpose", "s", "y", perm=[0, 2, 1])
    two.weights["b"] = b
    two.add("Conv", "u w", "c")
    two.add("Squeeze", "c two", "s")
    two.add("Transpose", "s", "t", perm=[0, 2, 1])
    two.add("Add", "t b", "y")
    return both(one, two)


def matmul_and_add() -> Pair:
    w, b = normal(36, 5), normal(5)
    one, two = Nodes(), Nodes()
    for n in (one, two):
        n.add("Flatten", "x", "f")
        n.weights |= {"w": w, "b": b}
    one.add("Gemm", "f w b", "y")
    two.add("MatMul", "f w", "m")
    two.add("Add", "m b", "y")
    return both(one, two)


def batch_norm() -> Pair:
    g, b, m, v = normal(4), normal(4), normal(4), np.abs(normal(4)) + 0.5
    one, two = Nodes(), Nodes()
    one.weights |= {"g": g, "b": b, "m": m, "v": v}
    one.add("BatchNormalization", "x g b m v", "y", epsilon=0.0)
    w = g / np.sqrt(v)
    two.weights |= {"w": w[:, None], "b": (b - w * m)[:, None]}
    two.add("Mul", "x w", "s")
    two.add("Add", "s b", "y")
    return both(one, two)


def folded(op: str) -> Pair:
    """A BatchNormalization behind a layer, and the layer with its weights changed."""
    g, b, m, v = normal(6), normal(6, seed=1), normal(6, seed=2), np.abs(normal(6)) + 0.5
    scale = g / np.sqrt(v)
    one, two = Nodes(), Nodes()
    how = {"group": 2} if op != "MatMul" else {}
    shape, places = {
        "Conv": ((6, 2, 3), (-1, 1, 1)), "ConvTranspose": ((4, 3, 3), None),
        "MatMul": ((9, 6), (1, -1)),
    }[op]  # fmt: skip
    w = normal(*shape, seed=3)
    if places is None:  # (in, out / group, taps): the first two inputs lead to the first three
        grown = w * np.repeat(scale.reshape(2, 3), 2, axis=0)[:, :, None]
    else:
        grown = w * scale.reshape(places)
    bias = b - scale * m
    one.weights |= {"w": grown, "b": bias}
    two.weights |= {"w": w, "g": g, "b": b, "m": m, "v": v}
    if op == "MatMul":
        one.add("MatMul", "x w", "p")
        one.add("Add", "p b", "y")
        two.weights |= {"scale": scale, "shift": bias}
        two.add("MatMul", "x w", "c")
        two.add("Mul", "c scale", "s")
        two.add("Add", "s shift", "y")
    else:
        one.add(op, "x w b", "y", **how)
        two.add(op, "x w", "c", **how)
        two.add("BatchNormalization", "c g b m v", "y", epsilon=0.0)
    return both(one, two)


def behind_moves(kind: str) -> Pair:
    """Conv + BatchNormalization, with moves in between or written out in four nodes."""
    g, b, m, v = normal(3), normal(3, seed=1), normal(3, seed=2), np.abs(normal(3)) + 0.5
    scale = g / np.sqrt(v)
    one, two = Nodes(), Nodes()
    if kind == "squeezed":
        for n in (one, two):
            n.ints("axis", 2)
            n.add("Unsqueeze", "x axis", "u")
        w = normal(3, 4, 1, 3)
        one.weights |= {"w": w * scale.reshape(-1, 1, 1, 1), "c": b - scale * m}
        one.add("Conv", "u w c", "d")
        one.add("Squeeze", "d axis", "y")
        two.weights |= {"w": w, "g": g, "b": b, "m": m, "v": v}
        two.add("Conv", "u w", "d")
        two.add("Squeeze", "d axis", "s")
        two.add("BatchNormalization", "s g b m v", "y", epsilon=0.0)
        return both(one, two)
    w = normal(3, 4, 3)
    one.weights |= {"w": w * scale.reshape(-1, 1, 1), "c": b - scale * m}
    one.add("Conv", "x w c", "y")
    two.weights |= {"w": w}
    two.add("Conv", "x w", "d")
    for name, value in (("m", m), ("sd", np.sqrt(v)), ("g", g), ("b", b)):
        two.weights[name] = value if kind == "channels last" else value[:, None]
    last = kind == "channels last"
    start = two.add("Transpose", "d", "t", perm=[0, 2, 1]) if last else "d"
    two.add("Sub", f"{start} m", "a1")
    two.add("Div", "a1 sd", "a2")
    two.add("Mul", "a2 g", "a3")
    two.add("Add", "a3 b", "a4")
    two.add("Transpose", "a4", "y", perm=[0, 2, 1]) if last else two.add("Identity", "a4", "y")
    return both(one, two)


def layer_norm(spelling: str) -> Pair:
    g, b = normal(9), normal(9)
    one, two = Nodes(), Nodes()
    for n in (one, two):
        n.weights |= {"g": g, "b": b}
    one.add("LayerNormalization", "x g b", "y", epsilon=1e-5)
    two.weights |= {"eps": np.array(1e-5), "square": np.array(2.0)}
    two.add("ReduceMean", "x", "mean", axes=[-1])
    two.add("Sub", "x mean", "d")
    two.add("Pow", "d square", "q") if spelling == "divided" else two.add("Mul", "d d", "q")
    two.add("ReduceMean", "q", "v", axes=[-1])
    two.add("Add", "v eps", "e")
    two.add("Sqrt", "e", "s")
    if spelling == "divided":
        two.add("Div", "d s", "n")
    else:
        two.add("Reciprocal", "s", "r")
        two.add("Mul", "d r", "n")
    two.add("Mul", "n g", "h")
    two.add("Add", "h b", "y")
    return both(one, two)


def gelu() -> Pair:
    one, two = Nodes(), Nodes()
    one.add("Gelu", "x", "y")
    two.weights |= {"root": np.array(2**0.5), "one": np.array(1.0), "half": np.array(0.5)}
    two.add("Div", "x root", "a")
    two.add("Erf", "a", "e")
    two.add("Add", "e one", "o")
    two.add("Mul", "x o", "m")
    two.add("Mul", "m half", "y")
    return one.model(*IO, opset=20), two.model(*IO)


def tanh_gelu() -> Pair:
    one, two = Nodes(), Nodes()
    one.add("Gelu", "x", "y", approximate="tanh")
    two.weights |= {
        "c": np.array(0.044715), "s": np.array((2 / np.pi) ** 0.5),
        "three": np.array(3.0), "one": np.array(1.0), "half": np.array(0.5),
    }  # fmt: skip
    two.add("Pow", "x three", "p")
    two.add("Mul", "p c", "q")
    two.add("Add", "x q", "r")
    two.add("Mul", "r s", "t")
    two.add("Tanh", "t", "u")
    two.add("Add", "u one", "v")
    two.add("Mul", "x half", "w")
    two.add("Mul", "w v", "y")
    return one.model(*IO, opset=20), two.model(*IO)


def hard_swish() -> Pair:
    one, two = Nodes(), Nodes()
    one.add("HardSwish", "x", "y")
    two.weights |= {"three": np.array(3.0), "zero": np.array(0.0), "six": np.array(6.0)}
    two.add("Add", "x three", "a")
    two.add("Clip", "a zero six", "c")
    two.add("Mul", "x c", "m")
    two.add("Div", "m six", "y")
    return both(one, two)


def relu6() -> Pair:
    """TensorFlow's way: Max and Min against constants."""
    one, two = Nodes(), Nodes()
    for n in (one, two):
        n.weights |= {"zero": np.array(0.0), "six": np.array(1.5)}
    one.add("Clip", "x zero six", "y")
    two.add("Max", "x zero", "a")
    two.add("Min", "a six", "y")
    return both(one, two)


PAIRS = {
    "Conv + Add": conv_and_add,
    "Conv + Squeeze + Transpose + Add": conv_squeeze_add,
    "MatMul + Add": matmul_and_add,
    "Mul + Add": batch_norm,
    "Conv + BatchNormalization": lambda: folded("Conv"),
    "ConvTranspose + BatchNormalization": lambda: folded("ConvTranspose"),
    "Conv + Squeeze + BatchNormalization": lambda: behind_moves("squeezed"),
    "Conv + Sub + Div + Mul + Add": lambda: behind_moves("in four"),
    "Conv + Transpose + Sub + Div + Mul + Add": lambda: behind_moves("channels last"),
    "MatMul + Mul + Add": lambda: folded("MatMul"),
    "LayerNorm, divided": lambda: layer_norm("divided"),
    "LayerNorm, times the reciprocal": lambda: layer_norm("times"),
    "GELU": gelu,
    "GELU with tanh": tanh_gelu,
    "HardSwish": hard_swish,
    "Max and Min": relu6,
}


def attributed(proto: ModelProto, preset: str) -> dftlrp.Attribution:
    return reference.attribute(loaded(proto), X, composite=preset, target=lambda z: z * np.cos(z))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", PAIRS)
def test_nodes_are_explained_as_the_layer_that_they_are(name, preset):
    one, two = (attributed(p, preset) for p in PAIRS[name]())
    np.testing.assert_allclose(two.output, one.output, rtol=1e-12, atol=1e-12)
    scale = np.abs(one.relevance).max()
    np.testing.assert_allclose(two.relevance, one.relevance, rtol=1e-9, atol=1e-9 * scale)
    assert two.ledger.gap < 1e-12


@pytest.mark.parametrize("name", [n for n in PAIRS if n != "Max and Min"])
def test_the_merged_layer_is_one_row_of_the_table(name):
    one, two = (attributed(p, "EpsilonPlus") for p in PAIRS[name]())
    with_rule = [[la.rule for la in a.table.layers if la.rule] for a in (one, two)]
    assert with_rule[0] == with_rule[1]
    assert len(two.table.layers) <= len(one.table.layers) + 2


def squared() -> ModelProto:
    """re^2 + im^2 of two halves: each square passes all on, the sum shares by value."""
    n = Nodes()
    n.nodes.append(dftlrp_split())
    n.add("Mul", "a a", "p")
    n.add("Mul", "b b", "q")
    n.add("Add", "p q", "y")
    return n.model(*IO)


def dftlrp_split() -> Any:
    from onnx import helper

    return helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2)


def test_a_power_is_shared_as_re_squared_to_im_squared():
    proto = squared()
    proto.opset_import[0].version = 18
    a = reference.attribute(
        loaded(proto), X, composite="Epsilon", overrides={"Add": "epsilon(0)"}, target=lambda z: z
    )
    re, im = X[:, :2], X[:, 2:]
    want = np.concatenate([re**2, im**2], axis=1)
    np.testing.assert_allclose(a.relevance, want, rtol=1e-10)


def gated(kind: str) -> ModelProto:
    n = Nodes()
    n.weights |= {"w": normal(4, 4, 1), "v": normal(4, 4, 1, seed=3)}
    n.add("Conv", "x w", "s")
    if kind == "GLU":
        n.add("Conv", "x v", "g")
    else:  # squeeze and excitation
        n.add("GlobalAveragePool", "s", "m")
        n.add("Conv", "m v", "g")
    n.add("Sigmoid", "g", "gate")
    n.add("Mul", "gate s", "y")
    return n.model(*IO)


@pytest.mark.parametrize("kind", ["GLU", "squeeze and excitation"])
def test_a_gate_is_frozen_and_the_signal_takes_all(kind):
    model = loaded(gated(kind))
    a = reference.attribute(model, X, composite="Epsilon", target=lambda z: z, keep=["s", "y"])
    names = {layer.key for layer in a.table.layers}
    assert "gate" not in names
    value, relevance = a.kept["s"]
    large = np.abs(a.kept["y"][0]) > 1e-2  # of the others the stabiliser takes a part
    np.testing.assert_allclose(relevance[large], a.kept["y"][1][large], rtol=1e-3)
    assert value.shape == relevance.shape


@pytest.mark.parametrize("kind", ["GLU", "squeeze and excitation"])
def test_shared_products_give_the_gate_a_half(kind):
    model = loaded(gated(kind))
    rule = {"Mul": "epsilon(0)"}
    a = reference.attribute(
        model, X, composite="AttnLRP", overrides=rule, target=lambda z: z, keep=["gate", "y"]
    )
    half = a.kept["y"][1].sum() / 2
    np.testing.assert_allclose(a.kept["gate"][1].sum(), half, rtol=1e-10)


def test_a_final_softmax_is_left_out_behind_moves():
    n = Nodes()
    n.add("Softmax", "x", "s", axis=1)
    n.add("Transpose", "s", "y", perm=[0, 2, 1])
    a = reference.attribute(loaded(n.model(*IO)), X, composite="Epsilon", target=(3, 2))
    np.testing.assert_allclose(a.explained, X.transpose(0, 2, 1))
    np.testing.assert_allclose(a.output.sum(axis=2), 1)
    assert any("Softmax" in note for note in a.notes)
    assert np.flatnonzero(a.relevance[0]) == 2 * 9 + 3


def test_the_names_of_merged_nodes_stay_keys():
    model = loaded(conv_and_add()[1])
    for name in ("c", "y", "n_c", "n_y"):
        a = reference.attribute(model, X, overrides={name: "flat"}, target=lambda z: z, keep=[name])
        assert a.table.layers[0].rule_name == "flat"
        assert name in a.kept


def test_what_something_else_reads_is_not_swallowed():
    """Conv + Add, of which the Conv's own output is read, too: both ways count."""
    n = Nodes()
    n.weights |= {"w": normal(3, 4, 3), "b": normal(3, 1)}
    n.add("Conv", "x w", "c")
    n.add("Add", "c b", "d")
    n.add("Relu", "c", "r")
    n.add("Add", "d r", "y")
    a = reference.attribute(loaded(n.model(*IO)), X, composite="Epsilon", target=lambda z: z)
    absorbed = sum(a.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(a.relevance.sum() + absorbed, a.seed.sum(), rtol=1e-10)
