"""The presets AttnLRP and CPLRP on small graphs, against their formulas (`naive_attnlrp`).

The stabilisers are set to 0: what is compared is the rule, at 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import naive_attnlrp as naive
import numpy as np
import pytest
from graphs import Nodes, Real, loaded, normal
from onnx import ModelProto
from reference import attribute

SHAPE = (2, 3, 4)  # batch, tokens, features
SEED = normal(*SHAPE, seed=9)
Expected = Callable[[dict[str, Real], dict[str, Real]], dict[str, Real]]


class Case(NamedTuple):
    """A graph, what it reads, and the relevance of values inside and at its inputs."""

    model: ModelProto
    signals: dict[str, Real]
    expected: Expected  # of (values, relevance at what is kept)
    keep: tuple[str, ...] = ()
    composite: str = "AttnLRP"
    bare: bool = True  # whether there is a layer whose stabiliser could be set to 0


def dims(**signals: Real) -> dict[str, Any]:
    return {name: ["B", *x.shape[1:]] for name, x in signals.items()}


def graph(n: Nodes, opset: int = 17, z: Real = SEED, **signals: Real) -> ModelProto:
    return n.model(dims(**signals), {"z": ["B", *z.shape[1:]]}, opset=opset)


# -- single layers


def product() -> Case:
    n, a, b = Nodes(), normal(2, 3, 5), normal(2, 5, 4, seed=1)
    n.add("MatMul", "a b", "z")

    def expected(v: dict[str, Real], _: dict[str, Real]) -> dict[str, Real]:
        return dict(zip("ab", naive.matmul(v["a"], v["b"], SEED), strict=True))

    return Case(graph(n, a=a, b=b), {"a": a, "b": b}, expected)


def gate() -> Case:
    n, a, b = Nodes(), normal(*SHAPE), normal(*SHAPE, seed=1)
    n.add("Mul", "a b", "z")

    def expected(v: dict[str, Real], _: dict[str, Real]) -> dict[str, Real]:
        return dict(zip("ab", naive.mul(v["a"], v["b"], SEED), strict=True))

    return Case(graph(n, a=a, b=b), {"a": a, "b": b}, expected)


def soft(axis: int, mask: Real | None = None) -> Case:
    """Softmax before a dense layer, so that it is not the last and stripped."""
    n, x = Nodes(), normal(*SHAPE)
    source = "x"
    if mask is not None:
        n.weights["mask"] = mask
        source = n.add("Add", "x mask", "masked")
    n.add("Softmax", source, "p", axis=axis)
    n.add("MatMul", f"p {n.weight('w', 4, 4)}", "z")

    def expected(v: dict[str, Real], kept: dict[str, Real]) -> dict[str, Real]:
        logits = v["x"] if mask is None else v["x"] + mask
        return {"x": naive.softmax(logits, kept["p"], axis)}

    return Case(graph(n, x=x), {"x": x}, expected, keep=("p",))


SEEN = np.tri(3, 4) > 0


def layer_norm(decomposed: bool, bias: bool = True) -> Case:
    n, x = Nodes(), normal(*SHAPE)
    n.weight("w", 4)
    n.weights["b"] = normal(4, seed=2) * bias
    if decomposed:
        n.add("ReduceMean", "x", "mean", axes=[-1])
        n.add("Sub", "x mean", "d")
        n.weights |= {"two": np.array(2.0), "eps": np.array(1e-5)}
        n.add("Pow", "d two", "d2")
        n.add("ReduceMean", "d2", "var", axes=[-1])
        n.add("Add", "var eps", "ve")
        n.add("Sqrt", "ve", "std")
        n.add("Div", "d std", "unit")
        n.add("Mul", "unit w", "scaled")
        n.add("Add", "scaled b", "z")
    else:
        n.add("LayerNormalization", "x w b", "z", axis=-1, epsilon=2.0**-17)

    def expected(v: dict[str, Real], _: dict[str, Real]) -> dict[str, Real]:
        w, b, eps = n.weights["w"], n.weights["b"], 1e-5 if decomposed else 2.0**-17
        return {"x": naive.layer_norm(v["x"], w, b, SEED, eps)}

    return Case(graph(n, x=x), {"x": x}, expected)


def rms_norm(op: bool) -> Case:
    n, x = Nodes(), normal(*SHAPE)
    n.weight("w", 4)
    if op:
        n.add("RMSNormalization", "x w", "z", axis=-1)
    else:
        n.weights |= {"two": np.array(2.0), "eps": np.array(1e-6)}
        n.add("Pow", "x two", "x2")
        n.add("ReduceMean", "x2", "ms", axes=[-1])
        n.add("Add", "ms eps", "me")
        n.add("Sqrt", "me", "rms")
        n.add("Reciprocal", "rms", "r")
        n.add("Mul", "x r", "unit")
        n.add("Mul", "w unit", "z")

    def expected(v: dict[str, Real], _: dict[str, Real]) -> dict[str, Real]:
        return {"x": naive.rms_norm(v["x"], n.weights["w"], SEED)}

    return Case(graph(n, 23 if op else 17, x=x), {"x": x}, expected)


def silu(n: Nodes) -> None:
    n.add("Sigmoid", "x", "s")
    n.add("Mul", "x s", "z")


def gelu(n: Nodes) -> None:
    n.weights |= {"root": np.sqrt(2.0), "one": np.array(1.0), "half": np.array(0.5)}
    n.add("Div", "x root", "u")
    n.add("Erf", "u", "e")
    n.add("Add", "e one", "e1")
    n.add("Mul", "x e1", "g")
    n.add("Mul", "g half", "z")


def smooth(write: Callable[[Nodes], None] | str) -> Case:
    n, x = Nodes(), normal(*SHAPE)
    if isinstance(write, str):
        n.add(write, "x", "z")
    else:
        write(n)

    def expected(v: dict[str, Real], _: dict[str, Real]) -> dict[str, Real]:
        return {"x": naive.activation(v["x"], SEED)}

    opset = 20 if isinstance(write, str) else 17
    return Case(graph(n, opset, x=x), {"x": x}, expected, bare=False)


# -- attention


def attention(composite: str) -> Case:
    n, x = Nodes(), normal(*SHAPE)
    for part in "qkv":
        n.add("MatMul", f"x {n.weight(f'w{part}', 4, 4)}", part)
    n.add("Transpose", "k", "kt", perm=[0, 2, 1])
    n.add("MatMul", "q kt", "scores")
    n.weights["root"] = np.array(math.sqrt(4.0))
    n.add("Div", "scores root", "logits")
    n.add("Softmax", "logits", "p", axis=-1)
    n.add("MatMul", "p v", "z")
    frozen = composite == "CPLRP"

    def expected(v: dict[str, Real], _: dict[str, Real]) -> dict[str, Real]:
        w = n.weights
        return naive.attention(v["x"], w["wq"], w["wk"], w["wv"], SEED, frozen)

    keep = ("v",) if frozen else ("p", "v", "q", "k")
    return Case(graph(n, x=x), {"x": x}, expected, keep, composite)


CASES: dict[str, Callable[[], Case]] = {
    "matrix product": product,
    "product": gate,
    "softmax": lambda: soft(-1),
    "softmax over tokens": lambda: soft(1),
    "softmax masked by -inf": lambda: soft(-1, np.where(SEEN, 0.0, -np.inf)),
    "softmax masked by -1e9": lambda: soft(-1, np.where(SEEN, 0.0, -1e9)),
    "LayerNormalization": lambda: layer_norm(decomposed=False),
    "LayerNormalization without bias": lambda: layer_norm(decomposed=False, bias=False),
    "layer norm in parts": lambda: layer_norm(decomposed=True),
    "RMSNormalization": lambda: rms_norm(op=True),
    "RMS norm in parts": lambda: rms_norm(op=False),
    "SiLU in parts": lambda: smooth(silu),
    "GELU in parts": lambda: smooth(gelu),
    "Gelu": lambda: smooth("Gelu"),
    "Mish": lambda: smooth("Mish"),
    "attention": lambda: attention("AttnLRP"),
    "attention, weights frozen": lambda: attention("CPLRP"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_preset_is_its_formula(name: str) -> None:
    case = CASES[name]()
    result = attribute(
        loaded(case.model),
        case.signals,
        target=lambda z: SEED,
        composite=case.composite,
        overrides={"*": "epsilon(0)"} if case.bare else None,
        keep=case.keep,
    )
    kept = {k: relevance for k, (_, relevance) in result.kept.items()}
    for key, want in case.expected(case.signals, kept).items():
        got = kept[key] if key in kept else result.relevance[key]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max(), err_msg=key)
    assert result.ledger.gap <= 1e-9


# -- the formulas themselves


def test_softmax_passes_on_what_its_taylor_bias_does_not_take() -> None:
    """sum R_in = R - (p, x) sum R, of which a common offset of the logits is no evidence."""
    x, R = normal(*SHAPE), normal(*SHAPE, seed=1)
    p = naive.softmaxed(x)
    taken = (x * p).sum(-1) * R.sum(-1)
    np.testing.assert_allclose(naive.softmax(x, R).sum(-1), (x * R).sum(-1) - taken, atol=1e-12)


@pytest.mark.parametrize("split", [naive.mul, naive.matmul, naive.add])
def test_products_and_sums_conserve(split: Callable[..., tuple[Real, Real]]) -> None:
    a, b, R = normal(2, 4, 4), normal(2, 4, 4, seed=1), normal(2, 4, 4, seed=2)
    assert sum(r.sum() for r in split(a, b, R)) == pytest.approx(R.sum(), rel=1e-9)


def test_a_layer_norm_without_bias_conserves() -> None:
    x, w, R = normal(*SHAPE), normal(4, seed=1), normal(*SHAPE, seed=2)
    kept = naive.layer_norm(x, w, np.zeros(4), R).sum(-1)
    np.testing.assert_allclose(kept, R.sum(-1), rtol=1e-9)


def test_frozen_attention_weights_leave_all_relevance_to_the_values() -> None:
    x, (q, k, v) = normal(*SHAPE), (normal(4, 4, seed=s) for s in (1, 2, 3))
    told = naive.attention(x, q, k, v, SEED, frozen=True)
    assert told["v"].sum() == pytest.approx(SEED.sum(), rel=1e-9)
    assert told["x"].sum() == pytest.approx(SEED.sum(), rel=1e-9)
