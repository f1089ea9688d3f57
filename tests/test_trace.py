"""Model and explanation as one graph: it says what the reference says, and runs alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import NETWORKS, Nodes, build, loaded, signals
from onnx import helper
from traced import error

import dftlrp
from dftlrp import attribute, domains
from dftlrp.cli import main
from dftlrp.composites import PRESETS
from dftlrp.export import export
from dftlrp.onnx_run import MOST_SESSIONS, Session, runtime_of
from dftlrp.ops.fourier import factors
from dftlrp.shipped import MODELS, embedded
from dftlrp.spectral import stft_for
from dftlrp.types import InputError, NonFiniteError, UnsupportedModelError

LIMIT = 1e-4
FAMILIES = sorted((Path(__file__).parents[2] / "shared/models/families").glob("*.onnx"))


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
    want = dftlrp.explain(model, clip, composite=preset)
    ours = dftlrp.explain(model, clip, composite=preset, backend="onnx")
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
        {"target": lambda z: z * z},
        {"keep": ["c2", "r1"]},
        {"overrides": {"c2": "flat", "first": "gamma"}},
        {"ledger": False},
    ],
    ids=str,
)
def test_every_way_to_ask(asked: dict[str, Any]) -> None:
    proto = NETWORKS["conv_stack"]()
    model, x = loaded(proto), signals(proto)["x"]
    want, ours = attribute(model, x, **asked), agree(model, x, **asked)
    assert error(ours.seed, want.seed) < 1e-5
    assert error(ours.multiplier, want.multiplier) < LIMIT
    for name, (value, R) in want.kept.items():
        assert error(ours.kept[name][0], value) < 1e-5
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
        patch.setattr("dftlrp.onnx_run.trace", lambda *_: pytest.fail("traced again"))
        for target in ("argmax", 1, [0, 2]):
            other = attribute(model, signals(proto, seed=5)["x"], backend="onnx", target=target)
            want = attribute(model, signals(proto, seed=5)["x"], target=target)
            assert error(other.relevance, want.relevance) < LIMIT
    for batch in range(1, MOST_SESSIONS + 4):
        attribute(model, signals(proto, batch=batch)["x"], backend="onnx")
    kept = [s for s in model._sessions.values() if isinstance(s, Session)]
    assert len(kept) == MOST_SESSIONS


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"backend": "onnx:NoSuchExecutionProvider"}, "is not there: onnxruntime has"),
        ({"backend": "onnx::none"}, "a positive number"),
        ({"target": 7}, "out of range"),
        ({"seed": "half"}, "unknown seed"),
        ({"keep": ["nothing"]}, "no layer of that name"),
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
    session = next(s for s in model._sessions.values() if isinstance(s, Session))
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


def test_a_branch_that_hangs_on_the_signal_is_refused() -> None:
    def branch(op: str) -> Any:
        out = helper.make_tensor_value_info(f"{op}_out", onnx.TensorProto.DOUBLE, None)
        return helper.make_graph([helper.make_node(op, ["x"], [f"{op}_out"])], op, [], [out])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node(
            "If", ["c"], ["z"], then_branch=branch("Relu"), else_branch=branch("Tanh")
        ),
    ]
    model = loaded(build(nodes, {"x": [1, 3]}, {"z": None}, {"zero": np.zeros(())}))
    with pytest.raises(UnsupportedModelError, match="depends on the signal"):
        attribute(model, np.ones((1, 3)), backend="onnx")


def test_an_op_that_cannot_be_traced_is_named() -> None:
    n = Nodes()
    n.ints("last", 2)
    n.add("ArgMax", "x", "best", axis=1, keepdims=1)
    n.add("Unsqueeze", "best last", "i")
    n.add("GatherND", "x i", "v", batch_dims=1)
    n.gemm("v", "z", 1, 3)
    model = loaded(n.model({"x": ["B", 4]}, {"z": ["B", 3]}))
    named = r"'.*' \(GatherND\) cannot be traced into a graph"
    with pytest.raises(UnsupportedModelError, match=named):
        attribute(model, np.arange(8.0).reshape(2, 4), backend="onnx")


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
    model = loaded(n.model({"x": [2, 6]}, {"z": None}))
    for seed in (0, 1):
        x = np.round(2 * np.random.default_rng(seed).standard_normal((2, 6)))
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


ALONE = """
import sys
import numpy as np, onnxruntime
x, file, out = np.load(sys.argv[1]), sys.argv[2], sys.argv[3]
session = onnxruntime.InferenceSession(file)
signal, target = (i.name for i in session.get_inputs())
names = [o.name for o in session.get_outputs()]
found = session.run(None, {signal: x, target: np.array([-1])})
assert not any(m.startswith("dftlrp") for m in sys.modules)
np.savez(out, **dict(zip(names, found)))
"""


def test_the_file_runs_with_onnxruntime_alone(tmp_path: Path) -> None:
    model = dftlrp.load(embedded("waveform"))
    file = tmp_path / "explained.onnx"
    export(model, file, composite="EpsilonPlus", domains=["frequency", "time-frequency"])
    x = (0.1 * np.random.default_rng(1).standard_normal((1, 1, 8000))).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    arguments = [str(tmp_path / "x.npy"), str(file), str(tmp_path / "out.npz")]
    subprocess.run([sys.executable, "-c", ALONE, *arguments], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "out.npz")
    want = attribute(model, x, composite="EpsilonPlus", seed="auto")
    assert error(found["relevance"], want.relevance) < LIMIT
    assert error(found["output"], want.output) < 1e-5
    wave = domains.waveform(
        x[0, 0], want.relevance[0, 0], want.multiplier[0, 0], 8000.0, stft_for(8000.0)
    )
    for domain in ("frequency", "time-frequency"):
        view = domains.DOMAINS[domain](wave)
        own = found[f"relevance_{domain.replace('-', '_')}"][0, 0]
        assert own.shape == view.relevance.shape
        assert error(own, view.relevance) < LIMIT


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
    assert "" not in told["outputs"].values()


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
    with pytest.raises(InputError, match="cannot be written"):
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
    assert ops.count("Where") == 1  # the target
    assert runtime_of(traced.model.SerializeToString()).get_inputs()[0].name == "x"


@pytest.mark.parametrize(("n", "pair"), [(8000, (80, 100)), (16000, (125, 128)), (7, (1, 7))])
def test_factors_of_a_transform(n: int, pair: tuple[int, int]) -> None:
    assert factors(n) == pair
