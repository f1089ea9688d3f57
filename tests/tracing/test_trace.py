"""Model and explanation as one graph: it says what the reference says, and runs alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import reference
from graphs import NETWORKS, Nodes, build, loaded, normal, signals
from models import model, saved, value
from onnx import TensorProto, helper
from reference import attribute
from traced import error

import dftlrp
from dftlrp.assets import MODELS, embedded
from dftlrp.cli import main
from dftlrp.core.types import InputError, NonFiniteError, UnsupportedModelError
from dftlrp.engine.composites import PRESETS
from dftlrp.engine.forward import run_forward
from dftlrp.engine.settings import Settings
from dftlrp.ops.fourier import split_size
from dftlrp.tracing import repeats
from dftlrp.tracing.export import export
from dftlrp.tracing.finder import MOST_SESSIONS, Sessions
from dftlrp.tracing.session import load_runtime
from dftlrp.tracing.trace import GraphRequest, trace

LIMIT = 1e-4
FAMILIES = sorted((Path(__file__).parents[3] / "shared/models/families").glob("*.onnx"))


def agree(model: Any, x: Any, **asked: Any) -> Any:
    """The traced answer, which is the reference's."""
    want = attribute(model, x, **asked)
    ours = attribute(model, x, backend="onnx", **asked)
    pairs = [(ours.relevance, want.relevance)]
    if isinstance(want.relevance, dict):
        pairs = [(ours.relevance[k], want.relevance[k]) for k in want.relevance]
    for mine, one in pairs:
        assert mine.dtype == np.float32
        assert mine.shape == one.shape
        assert error(mine, one) < LIMIT
    assert ours.target == want.target
    assert ours.seed_kind == want.seed_kind
    assert ours.notes == want.notes
    assert str(ours.table) == str(want.table)
    return ours


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_under_every_preset(name: str, preset: str) -> None:
    proto = NETWORKS[name]()
    ours = agree(loaded(proto), signals(proto), composite=preset)
    assert ours.ledger.gap < 1e-5


@pytest.mark.parametrize("preset", ["EpsilonPlus", "EpsilonAlpha2Beta1", "AttnLRP", "Gradient"])
@pytest.mark.parametrize("name", MODELS)
def test_embedded_models_explain_the_embedded_clip(name: str, preset: str) -> None:
    model, clip = embedded(name), Path(dftlrp.__file__).parent / "assets/clip.wav"
    want = reference.explain(model, clip, composite=preset)
    ours = reference.explain(model, clip, composite=preset, backend="onnx")
    for domain in want.relevance:
        assert error(ours.relevance[domain], want.relevance[domain]) < 3 * LIMIT
    assert ours.label == want.label
    assert ours.ledger.gap < 1e-5
    assert ours.provenance["backend"] == "onnx"
    assert ours.provenance["dtype"] == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGammaBox"])
@pytest.mark.parametrize("path", FAMILIES, ids=lambda p: p.stem)
def test_families_of_real_networks(path: Path, preset: str) -> None:
    model = dftlrp.load(path)
    rng = np.random.default_rng(0)
    dims = {n: [d or 1 for d in v.dims or ()] for n, v in model.plan().signals.items()}
    agree(model, {n: 0.1 * rng.standard_normal(d) for n, d in dims.items()}, composite=preset)


@pytest.mark.parametrize(
    "asked",
    [
        {"seed": "contrast"},
        {"seed": "one"},
        {"seed": "auto"},
        {"seed": "contrast:1", "target": 0},
        {"target": [1, 2]},
        {"target": (slice(0, 2),)},
        {"target": slice(0, 2)},
        {"target": lambda z: z * z},
        {"keep": ["c2", "r1"]},
        {"overrides": {"c2": "flat", "first": "gamma"}},
        {"ledger": False},
    ],
    ids=",".join,
)
def test_every_way_to_ask(asked: dict[str, Any]) -> None:
    proto = NETWORKS["conv_stack"]()
    model, x = loaded(proto), signals(proto)["x"]
    want, ours = attribute(model, x, **asked), agree(model, x, **asked)
    assert error(ours.seed, want.seed) < 1e-5
    assert error(ours.multiplier, want.multiplier) < LIMIT
    for name, (x, R) in want.kept.items():
        assert error(ours.kept[name][0], x) < 1e-5
        assert error(ours.kept[name][1], R) < LIMIT
    assert len(ours.ledger.rows) == len(want.ledger.rows)
    for mine, one in zip(ours.ledger.rows, want.ledger.rows, strict=True):
        assert (mine.node, mine.op, mine.rule) == (one.node, one.op, one.rule)
        for term in ("relevance", "to_inputs", "bias", "stabiliser", "stopped"):
            np.testing.assert_allclose(getattr(mine, term), getattr(one, term), atol=1e-5)


def test_a_second_call_traces_nothing_and_sessions_are_few(monkeypatch: Any) -> None:
    proto = NETWORKS["conv_stack"]()
    model = loaded(proto)
    attribute(model, signals(proto)["x"], backend="onnx")
    with monkeypatch.context() as patch:
        patch.setattr("dftlrp.tracing.finder.trace", lambda *_: pytest.fail("traced again"))
        for target in ("argmax", 1, [0, 2]):
            other = attribute(model, signals(proto, seed=5)["x"], backend="onnx", target=target)
            want = attribute(model, signals(proto, seed=5)["x"], target=target)
            assert error(other.relevance, want.relevance) < LIMIT
    for power in range(MOST_SESSIONS + 3):
        rule = {"first": f"epsilon(1e-{power})"}
        attribute(model, signals(proto)["x"], backend="onnx", overrides=rule)
    assert len(model.cache.part(Sessions).graphs) == MOST_SESSIONS


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"backend": "onnx:NoSuchExecutionProvider"}, "is not there: installed are"),
        ({"backend": "onnx::none"}, "a positive number"),
        ({"target": 7}, "out of range"),
        ({"seed": "half"}, "unknown seed"),
        ({"keep": ["nothing"]}, "no layer .nothing. carries relevance: there are"),
        ({"dtype": "float64"}, "computes in float32"),
        ({"composite": "None"}, "unknown composite"),
    ],
)
def test_what_is_wrong_is_refused(asked: dict[str, Any], says: str) -> None:
    proto = NETWORKS["conv_stack"]()
    with pytest.raises(InputError, match=says):
        attribute(loaded(proto), signals(proto)["x"], **{"backend": "onnx", **asked})


def test_a_session_that_fails_falls_back_to_nothing(monkeypatch: Any) -> None:
    proto = NETWORKS["conv_stack"]()
    model, x = loaded(proto), signals(proto)["x"]
    attribute(model, x, backend="onnx")
    session = next(iter(model.cache.part(Sessions).graphs))
    monkeypatch.setattr(session.runtime, "run", lambda *_: 1 / 0)
    with pytest.raises(InputError, match="onnxruntime failed on the traced graph"):
        attribute(model, x, backend="onnx")


def test_what_overflows_in_float32_is_reported() -> None:
    n = Nodes()
    n.add("Mul", "x big", "y")
    n.add("Mul", "y y", "z")
    n.weights["big"] = np.array(1e10)
    model = loaded(n.model({"x": ["B", 3]}, {"z": ["B", 3]}))
    with pytest.raises(NonFiniteError, match="backend 'numpy' names the layer"):
        attribute(model, 1e10 * np.ones((1, 3)), backend="onnx")


def _branching(read: str, out: str) -> list[Any]:
    """Relu or Tanh, by the sum of what is read."""

    def branch(op: str) -> Any:
        own = helper.make_tensor_value_info(f"{op}_out", onnx.TensorProto.DOUBLE, None)
        return helper.make_graph([helper.make_node(op, [read], [f"{op}_out"])], op, [], [own])

    branches = {"then_branch": branch("Relu"), "else_branch": branch("Tanh")}
    return [
        helper.make_node("ReduceSum", [read], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], [out], **branches),
    ]


@pytest.mark.parametrize("nested", [False, True])
def test_a_branch_that_hangs_on_the_signal_is_refused(nested: bool) -> None:
    nodes = _branching("x", "z")
    if nested:
        infos = [helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, None) for n in "uv"]
        body = helper.make_graph(_branching("u", "v"), "body", infos[:1], infos[1:])
        nodes = [helper.make_node("Scan", ["x"], ["z"], body=body, num_scan_inputs=1)]
    model = loaded(build(nodes, {"x": [1, 3]}, {"z": None}, {"zero": np.zeros(())}))
    with pytest.raises(UnsupportedModelError, match="decides which nodes run"):
        attribute(model, np.ones((1, 3)), backend="onnx")


@pytest.mark.parametrize("op", ["NonZero", "Range", "Slice"])
def test_a_size_that_hangs_on_the_signal_is_refused(op: str) -> None:
    n = Nodes()
    n.weights |= {"zero": np.array(0), "one": np.array(1), "many": np.arange(50)}
    n.ints("first", 0)
    n.add("ArgMax", "x", "best", axis=1, keepdims=0)
    n.add("ReduceMax", "best", "top", keepdims=0)
    n.add("Unsqueeze", "top first", "end")
    inputs = {"NonZero": "best", "Range": "zero top one", "Slice": "many first end"}
    n.add(op, inputs[op], "some")
    n.add("Size", "some", "count")
    n.add("Cast", "count", "scale", to=onnx.TensorProto.DOUBLE)
    n.add("Mul", "x scale", "z")
    model, x = loaded(n.model({"x": ["B", 4]}, {"z": ["B", 4]})), np.eye(4)[2:3]
    with pytest.raises(UnsupportedModelError, match=rf"decides the size of 'some' \({op}\)"):
        attribute(model, x, backend="onnx")


def test_the_values_of_a_one_hot_may_be_negative() -> None:
    n = Nodes()
    n.weights |= {"depth": np.array(8), "ends": np.array([-3.0, 0.0])}
    n.add("ArgMax", "x", "best", axis=2, keepdims=0)
    n.add("OneHot", "best depth ends", "off")
    n.add("Abs", "x", "size")
    n.add("Add", "size off", "shifted")
    n.conv("shifted", "c", (3, 2, 3))
    n.add("GlobalAveragePool", "c", "z")
    model, x = loaded(n.model({"x": ["B", 2, 8]}, {"z": ["B", 3, 1]})), normal(1, 2, 8)
    ours, want = (
        attribute(model, x, backend=b, composite="EpsilonPlus").relevance for b in ("onnx", "numpy")
    )
    assert error(ours, want) < 1e-5


def test_numbers_of_a_cell_that_hang_on_the_signal_are_refused() -> None:
    n = Nodes()
    n.add("ReduceMax", "x", "top", keepdims=0)
    n.add("Cast", "top", "length", to=onnx.TensorProto.INT32)
    n.add("Reshape", "length one", "lengths")
    n.ints("one", 1)
    n.weights |= {"w": normal(1, 2, 3), "r": normal(1, 2, 2)}
    n.nodes.append(
        helper.make_node("RNN", ["x", "w", "r", "", "lengths"], ["", "z"], hidden_size=2)
    )
    model = loaded(n.model({"x": [4, 1, 3]}, {"z": [1, 1, 2]}))
    with pytest.raises(UnsupportedModelError, match="'lengths' depends on the signal"):
        attribute(model, 2 * np.ones((4, 1, 3)), backend="onnx")


def test_a_first_layer_under_zplus_reads_both_signs_at_once() -> None:
    n = Nodes()
    n.conv("x", "c", (6, 1, 3), pads=[1, 1])
    n.add("Relu", "c", "z")
    model = loaded(n.model({"x": ["B", 1, 20]}, {"z": ["B", 6, 20]}))
    x = normal(2, 1, 20)
    ready = run_forward(model, x, Settings(composite="EpsilonPlus"))
    nodes = trace(ready, GraphRequest()).model.graph.node
    ops = Counter(node.op_type for node in nodes)
    assert (ops["Conv"], ops["ConvTranspose"]) == (2, 1)  # the model's own, and x+ w+ + x- w-
    agree(model, x, composite="EpsilonPlus", target=(1, 2))


POOLS = [  # kernel, stride, dilation, pads; whether it is the largest of parts that go back anyway
    (2, 2, 1, (0, 0), True), (3, 2, 1, (1, 1), True), (3, 3, 1, (0, 2), True),
    (4, 3, 1, (2, 3), True), (2, 3, 1, (1, 0), True), (3, 1, 1, (2, 0), True),
    (1, 2, 1, (0, 0), False), (3, 1, 2, (2, 2), False), (20, 20, 1, (0, 0), False),
]  # fmt: skip


@pytest.mark.parametrize("pool", POOLS)
def test_a_max_pool_is_the_largest_of_what_relevance_is_sent_to(pool: Any) -> None:
    kernel, stride, dilation, pads, apart = pool
    n = Nodes()
    n.add("MaxPool", "x", "z", kernel_shape=[kernel], strides=[stride], dilations=[dilation],
          pads=list(pads))  # fmt: skip
    model = loaded(n.model({"x": ["B", 2, 20]}, {"z": None}))
    x = np.random.default_rng(0).integers(-2, 3, (2, 2, 20)) / 2  # with ties
    ready = run_forward(model, x, Settings(composite="EpsilonPlus"))
    ops = {node.op_type for node in trace(ready, GraphRequest()).model.graph.node}
    assert ("MaxPool" not in ops) == apart
    c = normal(2, 2, ready.values["z"].shape[2])
    agree(model, x, seed="one", target=lambda z: c)
    both = [attribute(model, x, backend=b, composite="EpsilonPlus").output for b in ("onnx", None)]
    assert (both[0] == both[1]).all()
    alone = trace(ready, GraphRequest(target="forward")).model.graph.node
    assert "MaxPool" in {node.op_type for node in alone}


def count_ops(model: Any, x: Any, **settings: Any) -> Counter[str]:
    ready = run_forward(model, x, Settings(**settings))
    return Counter(node.op_type for node in trace(ready, GraphRequest()).model.graph.node)


def test_a_pool_of_a_maximum_is_made_of_parts_that_there_are() -> None:
    proto = NETWORKS["conv_stack"]()
    model, x = loaded(proto), signals(proto)["x"]
    for there in ({"x": np.zeros(1)}, None):  # the larger of both ends is pooled, or x alone
        assert count_ops(model, x, composite="EpsilonGamma", reference=there)["Split"] == 1
    n = Nodes()
    n.conv("x", "c", (4, 2, 3))
    n.add("Neg", "c", "m")
    n.weights["a"] = normal(1, 4, 1)
    n.add("Max", "c m a", "l")
    n.add("MaxPool", "l", "p", kernel_shape=[3], strides=[2], pads=[1, 1])
    n.add("Relu", "p", "z")
    agree(loaded(n.model({"x": ["B", 2, 20]}, {"z": None})), normal(2, 2, 20), target=(1, 3))


def test_behind_a_relu_epsilon_needs_no_signs() -> None:
    n = Nodes()
    n.conv("x", "c", (4, 2, 3))
    n.add("Relu", "c", "r")
    n.conv("r", "d", (4, 4, 3), pads=[1, 1])
    n.add("Add", "d r", "s")
    n.add("Relu", "s", "z")
    model, x = loaded(n.model({"x": ["B", 2, 12]}, {"z": ["B", 4, 10]})), normal(2, 2, 12)
    assert count_ops(model, x, composite="Epsilon")["HardSigmoid"] == 1  # before the inner sum
    ours = agree(model, x, composite="Epsilon", target=(1, 2))
    assert ours.ledger.gap < 1e-5


def count_products(model: Any, x: Any, composite: str, silent: bool = False) -> int:
    """Convolutions of the traced graph."""
    zero = {name: np.zeros(1) for name in model.graph.signals} if silent else None
    ready = run_forward(model, x, Settings(composite=composite, reference=zero))
    nodes = trace(ready, GraphRequest()).model.graph.node
    return sum(node.op_type in ("Conv", "ConvTranspose") for node in nodes)


def test_gamma_and_a_reference_cost_few_products() -> None:
    """As many as z+ where nothing stands at the reference; in general one more for each layer."""
    bare, x = dftlrp.load(embedded("waveform")), 0.1 * normal(1, 1, 8000)
    plus = count_products(bare, x, "EpsilonPlus")
    assert count_products(bare, x, "EpsilonGamma") <= plus + 1  # the first, which reads both signs
    assert count_products(bare, x, "EpsilonGamma", silent=True) <= plus + 1
    proto = NETWORKS["conv_stack"]()
    biased, x = loaded(proto), signals(proto)["x"]
    assert count_products(biased, x, "EpsilonGamma") <= count_products(biased, x, "EpsilonPlus") + 1
    assert count_products(biased, x, "EpsilonGamma", silent=True) == 4 * 2 + 1  # an average pool's


def test_only_a_constant_of_each_channel_is_taken_for_a_bias() -> None:
    """Neither what the bias of a Conv that follows the signal is added to, nor another rank."""
    follows, wide = Nodes(2), Nodes(2)
    follows.add("Sign", "x", "s")
    follows.add("ReduceMax", "s", "m", keepdims=0)
    follows.add("Mul", f"m {follows.weight('b', 4)}", "bias")
    follows.add("Conv", f"x {follows.weight('w', 4, 3, 3)} bias", "c")
    follows.add("Add", f"c {follows.weight('k', 1, 4, 1)}", "a")
    wide.add("Conv", f"x {wide.weight('w', 4, 3, 3)}", "c")
    wide.add("Add", f"c {wide.weight('k', 1, 1, 1, 1)}", "d")
    wide.add("Transpose", "d", "a", perm=[1, 0, 2, 3])
    for n in (follows, wide):
        n.add("Flatten", "a", "f")
        n.gemm("f", "z", 24, 3)
        proto = n.model({"x": ["B", 3, 8]}, {"z": ["B", 3]})
        x, network = signals(proto)["x"], loaded(proto)
        want, ours = (dftlrp.predict(network, x, backend=b).output for b in ("numpy", "onnx"))
        assert error(ours, want) < LIMIT


def _chosen() -> onnx.ModelProto:
    n = Nodes()
    n.ints("last", 2)
    n.add("ArgMax", "x", "best", axis=1, keepdims=1)
    n.add("Unsqueeze", "best last", "i")
    n.add("GatherND", "x i", "v", batch_dims=1)
    n.gemm("v", "z", 1, 3)
    return n.model({"x": ["B", 4]}, {"z": ["B", 3]})


def test_an_op_that_cannot_be_traced_is_named() -> None:
    named = r"'v' \(GatherND\) cannot be traced into a graph"
    with pytest.raises(UnsupportedModelError, match=named):
        attribute(loaded(_chosen()), np.arange(8.0).reshape(2, 4), backend="onnx")


def test_unless_asked_otherwise_the_graph_answers_and_where_there_is_none_the_reference() -> None:
    proto = NETWORKS["conv_stack"]()
    model, x = loaded(proto), signals(proto)
    usual = dftlrp.attribute(model, x)
    assert (usual.backend, usual.output.dtype) == ("onnx", np.float32)
    asked = dftlrp.attribute(model, x, dtype="float64")
    assert (asked.backend, asked.output.dtype) == ("numpy", np.float64)
    assert error(usual.relevance["x"], asked.relevance["x"]) < LIMIT


def test_of_a_model_without_a_graph_a_note_says_why_and_it_is_not_tried_again(
    monkeypatch: Any,
) -> None:
    proto, x = _chosen(), np.arange(8.0).reshape(2, 4)
    model = loaded(proto)
    found = dftlrp.attribute(model, x)
    assert (found.backend, found.output.dtype) == ("numpy", np.float64)
    assert "'v' (GatherND) cannot be traced into a graph" in found.notes[-1]
    monkeypatch.setattr("dftlrp.tracing.finder.trace", None)
    assert dftlrp.attribute(model, x + 1).notes == found.notes


def largest(n: Nodes) -> None:
    n.nodes.append(helper.make_node("TopK", ["x", "k"], ["v", "i"]))


def smallest(n: Nodes) -> None:
    n.nodes.append(helper.make_node("TopK", ["x", "k"], ["v", "i"], largest=0, axis=1))


def elsewhere(n: Nodes) -> None:
    """What stands where the squares are the largest: an index that depends on the signal."""
    n.add("Mul", "x x", "p")
    n.nodes.append(helper.make_node("TopK", ["p", "k"], ["s", "i"]))
    n.add("GatherElements", "x i", "v", axis=1)


def first_row(n: Nodes) -> None:
    """An index with fewer rows than what it reads."""
    n.ints("begin", 0)
    n.ints("end", 1)
    n.nodes.append(helper.make_node("TopK", ["x", "k"], ["s", "i"]))
    n.add("Slice", "i begin end", "row")
    n.add("GatherElements", "x row", "v", axis=1)


@pytest.mark.parametrize("preset", ["Epsilon", "Gradient"])
@pytest.mark.parametrize("choose", [largest, smallest, elsewhere, first_row])
def test_elements_that_the_signal_chooses(choose: Any, preset: str) -> None:
    """Of equal ones the first; other data in the same graph choose others."""
    n = Nodes()
    n.ints("k", 3)
    choose(n)
    n.gemm("v", "z", 3, 3)
    model = loaded(n.model({"x": ["B", 6]}, {"z": None}))
    for batch in (2, 2, 3):
        x = np.round(
            2
            * np.random.default_rng(len(model.cache.part(Sessions).graphs)).standard_normal(
                (batch, 6)
            )
        )
        agree(model, x, composite=preset)


def test_a_bound_that_depends_on_the_signal() -> None:
    """As of a level that is cut so many dB below its largest."""
    n = Nodes()
    n.add("ReduceMax", "x", "top", keepdims=0)
    n.weights["room"] = np.array(1.5)
    n.add("Sub", "top room", "low")
    n.add("Clip", "x low", "c")
    n.gemm("c", "z", 6, 3)
    model = loaded(n.model({"x": [2, 6]}, {"z": [2, 3]}))
    for seed in (0, 1):
        x = np.random.default_rng(seed).standard_normal((2, 6))
        agree(model, x, composite="Gradient")


def test_a_truth_times_a_float_is_a_float() -> None:
    n = Nodes()
    n.ints("three", 3)
    n.add("Equal", "x three", "same")
    n.nodes.append(helper.make_node("Cast", ["same"], ["f"], to=onnx.TensorProto.DOUBLE))
    n.gemm("f", "z", 4, 3)
    tokens = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [1, 4])
    proto = build(n.nodes, {"x": [1, 4]}, {"z": [1, 3]}, n.weights)
    proto.graph.input[0].CopyFrom(tokens)
    agree(loaded(proto), np.array([[1, 3, 2, 3]]), composite="Gradient")


# -- the file


def test_the_file_says_what_it_is(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "explained.onnx"
    assert main(["export", "waveform", "-o", str(file), "--composite", "EpsilonPlus",
                 "--batch", "2", "--domains", "time,frequency"]) == 0  # fmt: skip
    assert "relevance_frequency" in capsys.readouterr().out
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    told = json.loads({p.key: p.value for p in proto.metadata_props}["dftlrp"])
    assert told["composite"] == "EpsilonPlus"
    assert told["seed"] == "contrast"
    assert set(told["outputs"]) == {o.name for o in proto.graph.output}
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2


def test_names_of_the_model_survive(tmp_path: Path) -> None:
    traced = export(loaded(NETWORKS["conv_stack"]()), tmp_path / "e.onnx")
    made = {name for node in traced.model.graph.node for name in node.output}
    assert {"c1", "r1", "p1", "c2"} <= made


def test_what_an_export_cannot_do_is_refused(tmp_path: Path) -> None:
    file, model = tmp_path / "e.onnx", dftlrp.load(embedded("waveform"))
    for wrong, says in (
        ({"domains": ["mel"]}, "a file can hold"),
        ({"batch": 0}, "at least one"),
        ({"seed": "contrast:3"}, "a file can hold"),
        ({"composite": "EpsilonPlusFlat", "domains": ["frequency"]}, "needs the multiplier"),
        ({"shapes": {"y": (1,)}}, "the model reads"),
    ):
        with pytest.raises(InputError, match=says):
            export(model, file, **wrong)
    with pytest.raises(InputError, match="cannot write"):
        export(model, tmp_path / "nowhere" / "e.onnx")
    assert list(tmp_path.iterdir()) == []


def test_no_output_is_computed_that_nobody_asked_for(tmp_path: Path) -> None:
    """EpsilonPlus on non-negative features needs three convolutions for one, and no mask."""
    n = Nodes()
    n.conv("x", "c1", (4, 2, 3), pads=[1, 1])
    n.add("Relu", "c1", "r1")
    n.conv("r1", "c2", (4, 4, 3), pads=[1, 1])
    n.add("Relu", "c2", "r2")
    n.add("ReduceMean", "r2", "z", axes=[2], keepdims=0)
    model = loaded(n.model({"x": [1, 2, 8]}, {"z": [1, 4]}))
    asked: dict[str, Any] = {"composite": "EpsilonPlus", "overrides": {"first": "epsilon"}}
    traced = export(model, tmp_path / "e.onnx", seed="logit", **asked)
    ops = [node.op_type for node in traced.model.graph.node]
    assert ops.count("Conv") == 2 + 1 + 2  # forward, z+ of the second, and their transposes
    assert ops.count("Where") == 2  # the target
    assert load_runtime(traced.whole().SerializeToString()).get_inputs()[0].name == "x"


@pytest.mark.parametrize(("n", "pair"), [(8000, (80, 100)), (16000, (125, 128)), (7, (1, 7))])
def test_factors_of_a_transform(n: int, pair: tuple[int, int]) -> None:
    assert split_size(n) == pair


# -- windows that keep the size


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("taps", "step", "stride"), [(3, 2, 1), (4, 2, 1), (3, 3, 1), (4, 1, 2)])
def test_a_window_that_keeps_the_size_is_traced_with_any_dilation(op, auto, taps, step, stride):
    attrs: dict[str, Any] = {"auto_pad": auto, "kernel_shape": [taps], "strides": [stride]}
    attrs |= {"dilations": [step]} if op == "Conv" or step > 1 else {}
    weights = {"w": normal(4, 3, taps).astype(np.float32)} if op == "Conv" else {}
    inputs = ["x", "w"] if weights else ["x"]
    nodes = [helper.make_node(op, inputs, ["c"], **attrs), helper.make_node("Relu", ["c"], ["y"])]
    opset = 22 if op in {"LpPool", "AveragePool"} else 17
    floats = TensorProto.FLOAT
    proto = build(nodes, {"x": [1, 3, 20]}, {"y": None}, weights, opset=opset, dtype=floats)
    net = loaded(proto)
    x = normal(1, 3, 20, seed=7)
    ours, want = (
        dftlrp.attribute(net, x, target=(1, 5), composite="EpsilonPlus", backend=b)
        for b in ("onnx", "numpy")
    )
    np.testing.assert_allclose(ours.output, want.output, atol=1e-5)
    np.testing.assert_allclose(ours.relevance, want.relevance, atol=1e-5)


@pytest.mark.parametrize(
    ("frames", "alike", "backend"),
    [(20, False, "onnx"), (600, False, "numpy"), (600, True, "onnx")],
)
def test_long_loops_of_unlike_trips_are_left_to_numpy(
    tmp_path, monkeypatch, frames, alike, backend
):
    if not alike:
        monkeypatch.setattr(repeats, "FEWEST", frames + 1)
    state, read = (value(name, [1, 1]) for name in ("h", "r"))
    step = [
        helper.make_node("Add", ["h", "r"], ["s"]),
        helper.make_node("Tanh", ["s"], ["n"]),
        helper.make_node("Identity", ["n"], ["shown"]),
    ]
    ends = [value("n", [1, 1]), value("shown", [1, 1])]
    body = helper.make_graph(step, "body", [state, read], ends)
    nodes = [
        helper.make_node("Scan", ["h0", "x"], ["last", "all"], num_scan_inputs=1, body=body),
        helper.make_node("ReduceMean", ["all"], ["y"], axes=[0, 1], keepdims=0),
    ]
    weights = {"h0": np.zeros((1, 1), np.float32)}
    net = dftlrp.load(saved(model(nodes, {"x": [None, 1, 1]}, {"y": None}, weights), tmp_path))
    x = np.random.default_rng(0).normal(size=(frames, 1, 1)).astype(np.float32)
    assert dftlrp.attribute(net, x, target=0).backend == backend
    if backend == "numpy":
        with pytest.raises(UnsupportedModelError, match="when they are written out, and tracing"):
            dftlrp.attribute(net, x, target=0, backend="onnx")
