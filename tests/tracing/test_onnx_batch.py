"""One graph for any batch: it says of each what the reference says, or it says that it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import NETWORKS, Nodes, Real, loaded, normal, signals
from onnx import ModelProto
from reference import attribute as reference
from traced import error

import dftlrp
from dftlrp import attribute
from dftlrp.assets import MODELS, embedded
from dftlrp.cli import main
from dftlrp.core.types import InputError
from dftlrp.tracing.batch import FixedBatchError
from dftlrp.tracing.export import export
from dftlrp.tracing.finder import Sessions
from dftlrp.tracing.session import Session, load_runtime

BATCHES = (1, 2, 3, 5, 16)
PRESETS = ("EpsilonPlus", "EpsilonAlpha2Beta1", "AttnLRP")
LIMIT = 1e-5


def lstm() -> ModelProto:
    """Two directions, from a state of zeros that the batch shapes; read at the last step."""
    n, hidden = Nodes(3), 4
    n.add("Transpose", "x", "t", perm=[1, 0, 2])
    n.add("Shape", "x", "size", start=0, end=1)
    n.ints("two", 2), n.ints("hidden", hidden)
    n.add("Concat", "two size hidden", "state", axis=0)
    n.add("ConstantOfShape", "state", "h0")
    n.add("Cast", "h0", "h", to=onnx.TensorProto.DOUBLE)
    for name, wide in (("W", 3), ("R", hidden)):
        n.weight(name, 2, 4 * hidden, wide, scale=0.5)
    n.weight("B", 2, 8 * hidden, scale=0.3)
    n.nodes.append(
        onnx.helper.make_node(
            "LSTM", ["t", "W", "R", "B", "", "h"], ["y"],
            direction="bidirectional", hidden_size=hidden,
        )
    )  # fmt: skip
    n.ints("last", -1), n.ints("rows", -1, 2 * hidden)
    n.add("Gather", "y last", "end", axis=0)
    n.add("Transpose", "end", "turned", perm=[2, 0, 1, 3])
    n.add("Reshape", "turned rows", "flat")
    n.gemm("flat", "z", 2 * hidden, 3)
    return n.model({"x": ["B", 5, 3]}, {"z": ["B", 3]})


def transformer() -> ModelProto:
    """Two heads, a residual and a LayerNorm; the batch is read off the input by Shape."""
    n, wide, time = Nodes(4), 6, 4
    n.add("Shape", "x", "size", start=0, end=1)
    n.ints("heads", time, 2, wide // 2), n.ints("joined", time, wide)
    n.add("Concat", "size heads", "split", axis=0)
    n.add("Concat", "size joined", "whole", axis=0)
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        n.weight(f"W{name}", wide, wide, scale=wide**-0.5)
        n.add("MatMul", f"x W{name}", f"{name}1")
        n.add("Reshape", f"{name}1 split", f"{name}2")
        n.add("Transpose", f"{name}2", name, perm=perm)
    n.add("MatMul", "q k", "scores")
    n.add("Softmax", "scores", "weights", axis=-1)
    n.add("MatMul", "weights v", "mixed")
    n.add("Transpose", "mixed", "back", perm=[0, 2, 1, 3])
    n.add("Reshape", "back whole", "one")
    n.add("Add", "x one", "sum")
    n.weight("scale", wide), n.weight("shift", wide)
    n.add("LayerNormalization", "sum scale shift", "normed", axis=-1)
    n.add("ReduceMean", "normed", "mean", axes=[1], keepdims=0)
    n.gemm("mean", "z", wide, 3)
    return n.model({"x": ["B", time, wide]}, {"z": ["B", 3]})


def reflected() -> ModelProto:
    """Gathers and their adjoint, which reads and writes places of each sample."""
    n = Nodes(5)
    n.ints("pads", 0, 0, 2, 0, 0, 1)
    n.add("Pad", "x pads", "wide", mode="reflect")
    n.conv("wide", "c", (3, 2, 4))
    n.add("Relu", "c", "r")
    n.add("ReduceMean", "r", "z", axes=[2], keepdims=0)
    return n.model({"x": ["B", 2, 6]}, {"z": ["B", 3]})


def unread() -> ModelProto:
    """A second signal that the output does not depend on: its relevance is zero."""
    n = Nodes(6)
    n.gemm("x", "z", 4, 3)
    n.add("Relu", "y", "other")
    return n.model({"x": ["B", 4], "y": ["B", 2]}, {"z": ["B", 3], "other": ["B", 2]})


OPEN: dict[str, Callable[..., ModelProto]] = {
    **{k: f for k, f in NETWORKS.items() if k != "with_constants"},
    **{f.__name__: f for f in (lstm, transformer, reflected, unread)},
}


def sessions(model: dftlrp.Model) -> list[Session]:
    """What the model keeps."""
    return list(model.cache.part(Sessions).graphs)


def agree(model: dftlrp.Model, x: Any, **asked: Any) -> None:
    """Traced and reference, whatever there is of them."""
    ours, want = attribute(model, x, backend="onnx", **asked), reference(model, x, **asked)
    for mine, one in ((ours.relevance, want.relevance), (ours.seed, want.seed)):
        for name in one if isinstance(one, dict) else [...]:
            assert mine[name].shape == one[name].shape
            assert error(mine[name], one[name]) < LIMIT
    assert ours.target == want.target
    assert ours.ledger.gap < LIMIT
    for a, b in zip(ours.ledger.rows, want.ledger.rows, strict=True):
        for term in ("relevance", "to_inputs", "bias", "stabiliser", "stopped"):
            assert getattr(a, term).shape == getattr(b, term).shape
            np.testing.assert_allclose(getattr(a, term), getattr(b, term), atol=3e-5)
    for name, (value, R) in want.kept.items():
        assert error(ours.kept[name][0], value) < LIMIT
        assert error(ours.kept[name][1], R) < LIMIT


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", OPEN)
def test_one_session_answers_all_batches_but_the_first(name: str, preset: str) -> None:
    proto = OPEN[name]()
    model = loaded(proto)
    for batch in BATCHES:
        agree(model, signals(proto, batch, seed=batch), composite=preset)
    assert len(sessions(model)) == 2  # the first batch has its own


def clips(model: dftlrp.Model, batch: int) -> dict[str, Real]:
    """Noise in the shapes that a model reads."""
    rng = np.random.default_rng(batch)
    shapes = {k: (batch, *(v.dims or ())[1:]) for k, v in model.plan().signals.items()}
    return {k: 0.1 * rng.standard_normal(shape) for k, shape in shapes.items()}


@pytest.mark.parametrize("preset", ["EpsilonPlus", "EpsilonAlpha2Beta1"])
@pytest.mark.parametrize("name", MODELS)
def test_one_session_of_an_embedded_model_answers_all_batches_but_the_first(
    name: str, preset: str
) -> None:
    model = dftlrp.load(embedded(name))
    for batch in (1, 3, 5):
        agree(model, clips(model, batch), composite=preset, ledger=False)
    assert len(sessions(model)) == 2


@pytest.mark.parametrize(
    "asked",
    [
        {"target": 1},
        {"seed": "contrast:1", "target": 0},
        {"seed": "one"},
        {"target": lambda z: z * z},
        {"target": (slice(0, 2),)},
        {"keep": ["c2", "r1"]},
        {"masks": {"c2": np.eye(6, dtype=float)[:1, :, None]}},
        {"masks": {"r1": None}},
        {"masks": {"c2": np.linspace(0, 1, 6)[:, None]}},
        {"masks": {"hr": 0.5}},
    ],
    ids=",".join,
)
def test_every_way_to_ask_of_any_batch(asked: dict[str, Any]) -> None:
    proto = NETWORKS["conv_stack"]()
    model = loaded(proto)
    for batch in (3, 1, 4):
        agree(model, signals(proto, batch)["x"], **asked)
    before = len(sessions(model))
    agree(model, signals(proto, 7)["x"], **asked)
    assert len(sessions(model)) == before


def test_masks_of_other_ranks_and_lengths_do_not_share_what_does_not_fit() -> None:
    proto = NETWORKS["conv_stack"]()
    model, x = loaded(proto), signals(proto, 3)["x"]
    for mask in (np.full(1, 0.5), np.linspace(0, 1, 8), np.linspace(0, 1, 3)[:, None], [[0.5]]):
        agree(model, x, masks={"hr": np.asarray(mask)})
    with pytest.raises(InputError, match=r"mask of 'hr': \(2, 1\) does not fit"):
        attribute(model, x, backend="onnx", masks={"hr": np.ones((2, 1))})


def test_a_mask_of_frames_that_stand_in_one_axis_with_the_batch() -> None:
    n = Nodes()
    n.ints("rows", -1, 3), n.ints("back", -1, 15)
    n.add("Reshape", "x rows", "frames")
    n.gemm("frames", "h", 3, 3)
    n.add("Reshape", "h back", "wide")
    n.gemm("wide", "z", 15, 2)
    model = loaded(n.model({"x": ["B", 5, 3]}, {"z": ["B", 2]}))
    for batch in (1, 3, 4):
        x, mask = normal(batch, 5, 3), np.linspace(0, 1, 5 * batch)[:, None]
        agree(model, x, masks={"h": mask}, composite="Epsilon")
    assert any(s.any_batch for s in sessions(model))


def odd_batches() -> ModelProto:
    n = Nodes()
    n.ints("two", 2)
    n.add("Shape", "x", "size", start=0, end=1)
    n.add("Mod", "size two", "odd")
    n.add("Cast", "odd", "shift", to=onnx.TensorProto.DOUBLE)
    n.add("Add", "x shift", "z")
    return n.model({"x": ["B", 3]}, {"z": ["B", 3]})


def mean_over_the_batch() -> ModelProto:
    n = Nodes()
    n.add("ReduceMean", "x", "m", axes=[0], keepdims=1)
    n.add("Sub", "x m", "z")
    return n.model({"x": ["B", 3]}, {"z": ["B", 3]})


def pooled_over_the_batch() -> ModelProto:
    n = Nodes()
    n.ints("front", 0), n.ints("first", 0, 1), n.ints("three", 3)
    n.add("Unsqueeze", "x first", "rows")
    n.add("MaxPool", "rows", "p", kernel_shape=[2, 1], strides=[2, 1])
    n.add("Squeeze", "p first", "z")
    return n.model({"x": ["B", 3]}, {"z": [None, 3]})


def batch_behind_time() -> ModelProto:
    n = Nodes()
    n.gemm("x", "h", 3, 4)
    n.add("Unsqueeze", f"h {n.ints('front', 0)}", "z")
    return n.model({"x": ["B", 3]}, {"z": [1, "B", 4]})


def numbered_samples() -> ModelProto:
    n = Nodes()
    n.add("Shape", "x", "size", start=0, end=1)
    n.ints("zero", 0), n.ints("one", 1)
    for name in ("zero", "one", "size"):
        n.add("Squeeze", name, f"{name}0")
    n.add("Range", "zero0 size0 one0", "numbers")
    n.add("Cast", "numbers", "shifts", to=onnx.TensorProto.DOUBLE)
    n.add("Unsqueeze", "shifts one", "column")
    n.add("Add", "x column", "z")
    return n.model({"x": ["B", 3]}, {"z": ["B", 3]})


FIXED = {
    mean_over_the_batch: "depends on the batch",
    pooled_over_the_batch: "axis of 'target': a number that depends on the batch otherwise",
    batch_behind_time: "the first axis of the explained output is not the batch",
    odd_batches: r"'z' \(Add\)",
    numbered_samples: "a constant that differs from sample to sample",
    NETWORKS["with_constants"]: r"has the shape \(2, 6\)",
}


@pytest.mark.parametrize("make", FIXED, ids=lambda f: f.__name__)
def test_a_batch_that_is_fixed_is_said_and_explained(
    make: Callable[[], ModelProto], tmp_path: Path
) -> None:
    proto, file = make(), tmp_path / "e.onnx"
    model = loaded(proto)
    with pytest.raises(FixedBatchError, match=f"batch 'any': .*{FIXED[make]}.*: name a number"):
        export(model, file, batch="any")
    assert not file.exists()
    sizes = [2] if make is NETWORKS["with_constants"] else [2, 4]
    for batch in sizes:
        agree(model, signals(proto, batch), composite="Epsilon", seed="logit")
    assert len(sessions(model)) == len(sizes)


# -- the file


def normed_over_time() -> ModelProto:
    """Time comes first: at silence all of its rows are alike, and the norm is over them."""
    n = Nodes(5)
    n.conv("x", "c", (4, 1, 3), pads=[1, 1])
    n.add("Transpose", "c", "t", perm=[2, 0, 1])
    n.add("LpNormalization", "t", "l", axis=0, p=2)
    n.add("ReduceMax", "l", "m", axes=[0], keepdims=0)
    n.gemm("m", "z", 4, 3)
    return n.model({"x": ["B", 1, 12]}, {"z": ["B", 3]})


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("make", [normed_over_time, lstm])
def test_against_silence_no_axis_is_taken_for_the_batch(
    make: Callable[[], ModelProto], batch: int
) -> None:
    proto = make()
    model, x = loaded(proto), signals(proto, batch=batch)
    agree(model, x, reference="silence", composite="EpsilonGamma", target=0)


def told(file: Path) -> dict[str, Any]:
    """What a file says of itself, once it is found valid."""
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    found: dict[str, Any] = json.loads({p.key: p.value for p in proto.metadata_props}["dftlrp"])
    return found


def test_one_file_explains_any_batch(tmp_path: Path, capsys: Any) -> None:
    file, model = tmp_path / "e.onnx", dftlrp.load(embedded("mel"))
    assert main(["export", "mel", "-o", str(file), "--domains", "time,frequency",
                 "--composite", "EpsilonPlus"]) == 0  # fmt: skip
    assert "[batch, 8000]" in capsys.readouterr().out
    assert told(file)["batch"] == "any"
    session = load_runtime(file.read_bytes())
    assert all(x.shape[0] == "batch" for x in (*session.get_inputs(), *session.get_outputs()))
    names = [x.name for x in session.get_outputs()]
    for batch in (1, 3):
        x = clips(model, batch)["waveform"]
        feed = {"waveform": x.astype(np.float32), "target": np.full(batch, -1)}
        results = session.run(None, feed)
        found = dict(zip(names, results, strict=True))
        want = reference(model, x, composite="EpsilonPlus", seed="auto")
        assert error(found["relevance"], want.relevance) < LIMIT
        assert found["relevance_frequency"].shape == (batch, 4001)
        np.testing.assert_allclose(
            found["relevance_frequency"].sum(-1), want.relevance.sum(-1), atol=1e-4
        )


def test_a_file_with_a_fixed_batch_says_why(tmp_path: Path) -> None:
    file = tmp_path / "e.onnx"
    export(loaded(numbered_samples()), file)
    assert told(file)["batch"].startswith("fixed: 'z' (Add): ")
    assert load_runtime(file.read_bytes()).get_inputs()[0].shape == [1, 3]
    export(loaded(numbered_samples()), file, batch=3)
    assert told(file)["batch"] == "3"
    assert load_runtime(file.read_bytes()).get_inputs()[0].shape == [3, 3]


def test_an_open_length_is_given_beside_any_batch(tmp_path: Path) -> None:
    n = Nodes()
    n.conv("x", "c", (3, 2, 3))
    n.add("ReduceMean", "c", "z", axes=[2], keepdims=0)
    model = loaded(n.model({"x": ["B", 2, "T"]}, {"z": ["B", 3]}))
    export(model, tmp_path / "e.onnx", batch="any", shapes={"x": (1, 2, 9)})
    session = load_runtime((tmp_path / "e.onnx").read_bytes())
    assert session.get_inputs()[0].shape == ["batch", 2, 9]
