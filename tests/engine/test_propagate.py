"""The engine on whole small networks: what arrives at the signals, and what the ledger says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, Nodes, Real, build, loaded, network, rewritten, signals, time_first
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper
from reference import attribute

from dftlrp import Model, NonFiniteError
from dftlrp.attribution.attribute import Attribution
from dftlrp.core.rule_text import read_rule
from dftlrp.core.rules import FUNCTIONS
from dftlrp.engine.composites import PRESETS, Composite

PROTOS: dict[str, ModelProto] = {name: make() for name, make in NETWORKS.items()}
MODELS: dict[str, Model] = {name: loaded(proto) for name, proto in PROTOS.items()}
UNBIASED: dict[str, Model] = {name: loaded(make(bias=False)) for name, make in NETWORKS.items()}
EVERYWHERE = [n for n in FUNCTIONS if n not in {"pass", "gradient"}]
COMPOSITES: dict[str, str | Composite] = {
    **{name: name for name in PRESETS},
    **{f"only {n}": Composite(n, read_rule(n)) for n in EVERYWHERE},
    "only epsilon(0)": Composite("LRP-0", read_rule("epsilon(0)")),
}


def explained(model: Model, inputs: dict[str, Real], **kwargs: Any) -> Attribution:
    return attribute(model, inputs, **{"target": 1, "composite": "Epsilon", **kwargs})


def total(result: Attribution) -> Real:
    assert isinstance(result.relevance, dict)
    return np.asarray(sum(r.sum() for r in result.relevance.values()))


def same(a: Attribution, b: Attribution, rtol: float = 1e-12) -> None:
    assert isinstance(a.relevance, dict)
    assert isinstance(b.relevance, dict)
    for name, r in a.relevance.items():
        np.testing.assert_allclose(r, b.relevance[name], rtol=0, atol=rtol * np.abs(r).max())


@pytest.mark.parametrize("seed", ["logit", "one", "contrast"])
@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", MODELS)
def test_the_seed_is_what_the_signals_get_and_what_is_absorbed(
    name: str, composite: str, seed: str
) -> None:
    result = explained(
        MODELS[name], signals(PROTOS[name]), composite=COMPOSITES[composite], seed=seed
    )
    taken = sum(result.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    lost = abs(result.seed.sum() - total(result) - taken)
    assert lost <= 1e-9 * np.abs(result.seed).sum()
    assert {row.node for row in result.ledger.rows if row.gap > 1e-9} == set()
    assert len(result.ledger.rows) == len(result.table.layers)


@pytest.mark.parametrize("name", MODELS)
def test_without_biases_and_constants_all_relevance_reaches_the_signals(name: str) -> None:
    result = explained(
        UNBIASED[name], signals(PROTOS[name]), composite=COMPOSITES["only epsilon(0)"]
    )
    stopped = result.ledger.absorbed("stopped").sum()
    assert (stopped != 0) == (name == "with_constants")
    np.testing.assert_allclose(total(result) + stopped, result.seed.sum(), rtol=1e-9)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "two_inputs"])
def test_lrp_0_is_gradient_times_input_on_relu_nets(name: str) -> None:
    inputs = signals(PROTOS[name])
    lrp = explained(MODELS[name], inputs, composite=COMPOSITES["only epsilon(0)"])
    gradient = explained(MODELS[name], inputs, composite="Gradient")
    same(gradient, lrp, 1e-9)


def test_lrp_0_is_gradient_times_input_on_silence_too() -> None:
    inputs = {"x": np.zeros((2, 2, 40))}
    result = explained(UNBIASED["conv_stack"], inputs, composite=COMPOSITES["only epsilon(0)"])
    assert not total(result).any()


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", [n for n in MODELS if n != "with_constants"])  # its batch is fixed
def test_a_sample_does_not_depend_on_its_batch_mates(name: str, composite: str) -> None:
    inputs = signals(PROTOS[name], batch=3)
    inputs = {k: np.abs(v) if k == "b" else v for k, v in inputs.items()}
    next(iter(inputs.values()))[0] *= -1
    whole = explained(MODELS[name], inputs, composite=COMPOSITES[composite])
    for i in range(3):
        part = {k: v[i : i + 1] for k, v in inputs.items()}
        alone = explained(MODELS[name], part, composite=COMPOSITES[composite])
        for key, r in alone.relevance.items():
            scale = max(np.abs(r).max(), np.abs(alone.seed).max())
            np.testing.assert_allclose(
                whole.relevance[key][i : i + 1], r, rtol=0, atol=1e-10 * scale
            )


@pytest.mark.parametrize("name", MODELS)
def test_names_of_values_and_the_order_of_weights_do_not_matter(name: str) -> None:
    other = loaded(rewritten(PROTOS[name], lambda n: f"v{sum(map(ord, n)) % 97}/{n}", reverse=True))
    inputs = signals(PROTOS[name])
    for composite in ("EpsilonPlusFlat", "EpsilonGammaBox"):
        a = explained(MODELS[name], inputs, composite=composite)
        b = explained(other, inputs, composite=composite)
        same(a, b, 0)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", MODELS)
def test_relevance_is_linear_in_the_seed(name: str, composite: str) -> None:
    inputs = signals(PROTOS[name])
    model, classes = MODELS[name], UNET_CLASSES if name == "unet" else 3
    kwargs = {"composite": COMPOSITES[composite]}
    each = [explained(model, inputs, target=k, **kwargs) for k in range(classes)]
    contrast = explained(model, inputs, target=0, seed="contrast", **kwargs)
    against = explained(model, inputs, target=0, seed="contrast:1", **kwargs)
    for key, r in contrast.relevance.items():
        logits = [e.relevance[key] for e in each]
        scale = max(np.abs(v).max() for v in logits)
        mean = sum(logits[1:]) / (classes - 1)
        np.testing.assert_allclose(r, logits[0] - mean, rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(
            against.relevance[key], logits[0] - logits[1], atol=1e-10 * scale
        )


UNET_CLASSES = 2


@pytest.mark.parametrize("name", MODELS)
def test_where_a_multiplier_is_known_relevance_is_signal_times_multiplier(name: str) -> None:
    inputs = signals(PROTOS[name])
    for composite in ("Epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "Gradient"):
        result = explained(MODELS[name], inputs, composite=composite)
        for key, m in result.multiplier.items():
            assert m is not None
            np.testing.assert_allclose(
                inputs[key] * m, result.relevance[key], rtol=1e-11, atol=1e-300
            )


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from("crapsgt"), min_size=1, max_size=6), st.integers(0, 99))
def test_nothing_is_lost_in_random_chains(layers: list[str], seed: int) -> None:
    """Convolutions, ReLUs, residuals, pools, scales, gains and transposes in any order."""
    n, at = Nodes(seed), "x"
    for i, kind in enumerate(layers):
        out = f"v{i}"
        if kind == "c":
            n.conv(at, out, (3, 3, 3), pads=[1, 1])
        elif kind == "r":
            n.add("Relu", at, out)
        elif kind == "a":
            n.add("Add", f"{at} x", out)
        elif kind == "p":
            n.add("MaxPool", at, out, kernel_shape=[3], pads=[1, 1])
        elif kind == "s":
            n.add("Sigmoid", at, out)
        elif kind == "g":
            n.add("Mul", f"{n.weight(f'w{i}', 3, 1)} {at}", out)
        else:
            n.add("Transpose", at, f"{out}t", perm=[0, 2, 1])
            n.add("MatMul", f"{n.weight(f'w{i}', 6, 6)} {out}t", f"{out}m")
            n.add("Transpose", f"{out}m", out, perm=[0, 2, 1])
        at = out
    n.add("ReduceSum", f"{at} {n.ints('axes', 2)}", "z", keepdims=0)
    proto = n.model({"x": ["B", 3, 6]}, {"z": ["B", 3]})
    model, inputs = loaded(proto), signals(proto, seed=seed)
    for composite in ("EpsilonAlpha2Beta1Flat", "EpsilonGammaBox", "Gradient"):
        result = explained(model, inputs, composite=composite)
        taken = sum(result.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
        assert abs(result.seed.sum() - total(result) - taken) <= 1e-9 * np.abs(result.seed).sum()
        assert result.ledger.gap <= 1e-9


@pytest.mark.parametrize(("op", "known"), [("Tanh", False), ("Relu", True), ("Abs", True)])
def test_a_multiplier_ends_at_a_function_that_is_not_homogeneous(op: str, known: bool) -> None:
    """R = x m cannot come from f'(x) m there; the gradient, which is that, stays known."""
    n = Nodes(10)
    n.add(op, "x", "h")
    n.gemm("h", "z", 4, 3)
    proto = n.model({"x": ["B", 4]}, {"z": ["B", 3]})
    inputs = signals(proto)
    result = explained(loaded(proto), inputs)
    assert (result.multiplier["x"] is not None) == known
    if known:
        np.testing.assert_allclose(inputs["x"] * result.multiplier["x"], result.relevance["x"])
    assert explained(loaded(proto), inputs, composite="Gradient").multiplier["x"] is not None


# -- layouts


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_ledger_closes_where_the_batch_is_not_the_first_axis(batch: int) -> None:
    """Also where the two axes have the same length by chance."""
    proto = time_first()
    result = explained(loaded(proto), signals(proto, batch))
    assert result.ledger.gap <= 1e-9
    taken = sum(result.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    assert abs(result.seed.sum() - total(result) - taken) <= 1e-9 * np.abs(result.seed).sum()


def vector() -> ModelProto:
    """A model of one plain vector, without a batch axis, whose layers keep its length."""
    n = Nodes(8)
    n.add("MatMul", f"x {n.weight('w', 6, 6)}", "h")
    n.add("Add", f"h {n.weight('b', 6)}", "hb")
    n.add("Relu", "hb", "r")
    n.add("MatMul", f"r {n.weight('v', 6, 6)}", "z")
    return n.model({"x": [6]}, {"z": [6]})


def test_the_ledger_closes_without_a_batch_axis() -> None:
    proto = vector()
    result = explained(loaded(proto), signals(proto))
    assert result.ledger.gap <= 1e-9
    taken = sum(result.ledger.absorbed(t) for t in ("bias", "stabiliser", "stopped"))
    assert taken.shape == (1,)
    assert abs(result.seed.sum() - total(result) - taken[0]) <= 1e-9 * np.abs(result.seed).sum()


def test_relevance_that_lands_on_constants_is_stopped_for_every_preset() -> None:
    n = Nodes(9)
    n.weights |= {"k": np.array([[2.0, -1.0]]), "f": np.array(3.0)}
    n.add("Concat", "x k", "c", axis=1)
    n.add("Pad", f"c {n.ints('p', 0, 1, 0, 0)} f", "d")
    n.gemm("d", "z", 5, 2, bias=False)
    model = n.model({"x": [1, 2]}, {"z": [1, 2]})
    for composite in ("Epsilon", "Gradient"):
        result = explained(loaded(model), signals(model), composite=composite)
        w, x = n.weights["z_w"], signals(model)["x"][0]
        want = w[0, 1] * 3 + w[3, 1] * 2 - w[4, 1]
        np.testing.assert_allclose(result.ledger.absorbed("stopped"), want, rtol=1e-5)
        np.testing.assert_allclose(result.relevance["x"][0], x * w[1:3, 1], rtol=1e-5)


def test_a_signal_that_the_target_does_not_need_gets_nothing() -> None:
    nodes = [helper.make_node("Relu", ["a"], ["z"]), helper.make_node("Relu", ["b"], ["other"])]
    dims = {"a": ["B", 2], "b": ["B", 3]}
    model = network(nodes, dims, {"z": ["B", 2], "other": ["B", 3]})
    result = explained(model, {"a": np.ones((1, 2)), "b": np.ones((1, 3))})
    np.testing.assert_array_equal(result.relevance["b"], np.zeros((1, 3)))
    np.testing.assert_array_equal(result.relevance["a"], [[0, 1]])


def test_the_accounts_can_be_left_out() -> None:
    inputs = signals(PROTOS["conv_stack"])
    bare = explained(MODELS["conv_stack"], inputs, ledger=False)
    assert bare.ledger.rows == ()
    assert bare.ledger.gap == 0
    same(bare, explained(MODELS["conv_stack"], inputs), 0)


# -- what is not finite is named


def overflowing() -> ModelProto:
    nodes = [
        helper.make_node("Exp", ["x"], ["grown"]),
        helper.make_node("Exp", ["grown"], ["blown"]),
        helper.make_node("Identity", ["blown"], ["z"]),
    ]
    return build(nodes, {"x": [1, 3]}, {"z": [1, 3]})


def test_a_value_that_is_not_finite_names_its_layer_and_index() -> None:
    with pytest.raises(NonFiniteError, match=r"node 'blown' \(Exp\) is inf at index \(0, 2\)"):
        explained(loaded(overflowing()), {"x": np.array([[0.0, 1.0, 9.0]])})


def test_relevance_that_is_not_finite_names_the_layer() -> None:
    """z-box weights of 1e300 share 1e10 over nothing: the relevance overflows, not the values."""
    weights = {"w": np.array([[1e-200, 1.0], [1e-200, 1.0]])}
    model = network(
        [helper.make_node("Gemm", ["x", "w"], ["z"])], {"x": [1, 2]}, {"z": [1, 2]}, weights
    )
    big = {"x": np.array([[1e200, -1e200]])}
    with pytest.raises(NonFiniteError, match=r"relevance of 'x', behind node 'z' \(Gemm\)"):
        explained(model, big, target=lambda z: np.full_like(z, 1e300), composite="Epsilon")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_signal_that_is_not_finite_is_named(bad: float) -> None:
    x = np.zeros((1, 3))
    x[0, 1] = bad
    with pytest.raises(NonFiniteError, match=r"input 'x' is .* at index \(0, 1\)"):
        explained(loaded(overflowing()), {"x": x})


def test_infinities_of_both_signs_are_no_warning_but_an_error() -> None:
    with pytest.raises(NonFiniteError, match="input 'x'"):
        explained(loaded(overflowing()), {"x": np.array([[np.inf, -np.inf, 0]])})


def make_ends(rectifier: str, **attrs: Any) -> Model:
    """Two convolutions with a rectifier behind each; the second one is the output."""
    n = Nodes(3)
    n.conv("x", "c1", (4, 2, 3), pads=[1, 1])
    n.add(rectifier, "c1", "r1", **attrs)
    n.add("MaxPool", "r1", "p1", kernel_shape=[2], strides=[2])
    n.conv("p1", "c2", (3, 4, 3), pads=[1, 1])
    n.add(rectifier, "c2", "z", **attrs)
    return loaded(n.model({"x": ["B", 2, 12]}, {"z": ["B", 3, 6]}))


@pytest.mark.parametrize("reference", [None, "silence", "other"])
@pytest.mark.parametrize("seed", ["logit", "one"])
def test_a_rectifier_says_no_more_of_where_relevance_stands_than_is_true(
    seed: str, reference: str | None
) -> None:
    """A leaky one of slope 0 is the same function, and says nothing."""
    x, r = (np.random.default_rng(i).standard_normal((2, 2, 12)) for i in (0, 1))
    given = r if reference == "other" else reference
    for place in ((0, 0), (1, 3), (2, 5)):  # a unit that is off has the relevance 1, too
        asked: dict[str, Any] = {"target": place, "seed": seed, "composite": "EpsilonGamma"}
        one, other = (
            attribute(m, x, reference=given, **asked)
            for m in (make_ends("Relu"), make_ends("LeakyRelu", alpha=0.0))
        )
        np.testing.assert_allclose(one.relevance, other.relevance, rtol=1e-9, atol=1e-12)
        for term in ("bias", "stabiliser", "reference"):
            np.testing.assert_allclose(
                one.ledger.absorbed(term), other.ledger.absorbed(term), rtol=1e-9, atol=1e-12
            )
