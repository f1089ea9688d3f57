"""What a hostile or broken file comes to: one error of ours in one line, in little time and memory.

The files come from `hostile`; each is loaded and explained in a child (`contained`).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import numpy as np
import pytest
import reference
from contained import SECONDS, SLACK, Outcome, outcomes
from graphs import loaded
from hostile import CASES, LEGITIMATE, PLACES, body, called, ints, node, write
from models import listener, model, normal
from onnx import ModelProto, TensorProto, numpy_helper

import dftlrp
from dftlrp.engine.evaluate import make_budget
from dftlrp.ops import EXPANSIONS, OPS
from dftlrp.ops.inner import OWN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of address space")


def faults(outcome: Outcome, legitimate: bool | None = False) -> list[str]:
    """What is wrong with what came of a file; ``legitimate`` None: it may work or not."""
    worked = outcome.kind == "finite"
    expected = outcome.ours or worked if legitimate is None else (outcome.ours, worked)[legitimate]
    checks = {
        f"it ended in {outcome.kind}: {outcome.text[:200]}": expected,
        f"more than one line: {outcome.text!r}": "\n" not in outcome.text,
        f"it took {outcome.seconds:.1f} s": outcome.seconds <= SECONDS * SLACK,
        f"it opened {outcome.outside}": not outcome.outside,
        f"{outcome.text!r} is no message": worked or 10 < len(outcome.text) < 2000,
    }
    return [fault for fault, good in checks.items() if not good]


def names(outcome: Outcome) -> bool:
    """Whether an error names the file or a node."""
    return any(
        w in outcome.text for w in (str(outcome.path), "node ", "node(s)", "input ", "output")
    )


def test_no_hostile_file_does_harm_and_every_one_is_refused_in_one_line(tmp_path):
    cases = {path: name for name, path in write(tmp_path).items()}
    found = {cases[o.path]: o for o in outcomes(cases)}
    assert found.keys() == {*CASES, *PLACES}
    wrong = {n: f for n, o in found.items() if (f := faults(o, n in LEGITIMATE))}
    wrong |= {n: [o.text] for n, o in found.items() if o.kind != "finite" and not names(o)}
    assert not wrong, "\n".join(f"{name}: {'; '.join(text)}" for name, text in wrong.items())


def test_the_corpus_is_large_and_the_same_every_time(tmp_path):
    first, again = (write(tmp_path / name) for name in "ab")
    assert len(first) >= 60
    assert first.keys() >= LEGITIMATE
    for name in CASES:
        assert first[name].read_bytes() == again[name].read_bytes()


# -- what is large and honest


def test_a_minute_at_16_khz_through_128_channels_is_within_the_budget():
    nodes = [node("Conv", "x w", "c", strides=[4]), node("Relu", "c", "y")]
    wide = model(nodes, {"x": [1, 1, None]}, {"y": None}, {"w": normal(128, 1, 80)})
    plan = loaded(wide).plan()
    x = np.broadcast_to(np.zeros(1), (1, 1, 960_000))
    at_full_rate = 960_000 * 128 * 8
    assert make_budget(plan, {"x": x}).room >= 16 * at_full_rate
    assert make_budget(plan, {"x": x[..., :4]}).room < 2**28


def test_the_budget_is_kept_to_the_byte(monkeypatch):
    small = loaded(
        model([node("Expand", "x n", "y")], {"x": [2, 1]}, {"y": None}, {"n": ints(2, 50)})
    )
    for room, fits in ((800, True), (799, False)):
        monkeypatch.setattr("dftlrp.engine.evaluate.MAX_BYTES", room)
        if fits:
            assert reference.predict(small, np.ones((2, 1))).shape == (2, 50)
        else:
            with pytest.raises(dftlrp.DftlrpError, match=r"'y' \(Expand\).*memory"):
                reference.predict(small, np.ones((2, 1)))


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_rows_that_no_input_asked_for_are_refused(backend):
    many = loaded(
        model([node("Expand", "x n", "y")], {"x": [1, 4]}, {"y": None}, {"n": ints(2**17, 4)})
    )
    with pytest.raises(dftlrp.DftlrpError, match=r"'y' has 131072 rows for an input of 4 numbers"):
        dftlrp.attribute(many, np.ones((1, 4)), backend=backend)


# -- mutants of small real graphs


def _looping() -> ModelProto:
    inner = body(
        [node("Identity", "c", "d"), node("Mul", "v w", "m"), node("Tanh", "m", "o")],
        {"i": TensorProto.INT64, "c": TensorProto.BOOL, "v": TensorProto.FLOAT},
        {"d": TensorProto.BOOL, "o": TensorProto.FLOAT},
    )
    nodes = [
        node("Loop", "n go x", "l", body=inner), node("Unsqueeze", "l zero", "s"),
        node("LSTM", "s W R", "h", hidden_size=3), node("Gather", "h zero", "g", axis=3),
        node("ReduceSum", "g", "t", keepdims=0), node("Add", "l t", "y"),
    ]  # fmt: skip
    weights = {"n": np.int64(3), "go": np.bool_(True), "w": normal(4), "zero": ints(0),
               "W": normal(1, 12, 4), "R": normal(1, 12, 3)}  # fmt: skip
    return model(nodes, {"x": [1, 4]}, {"y": None}, weights)


def _old() -> ModelProto:
    nodes = [
        node("Pad", "x", "p", pads=[0, 1, 0, 1]), node("Upsample", "p", "u", scales=[1.0, 2.0]),
        node("Reshape", "u r", "a"), node("Softmax", "a", "s"), node("MatMul", "s w", "y"),
    ]  # fmt: skip
    weights = {"r": ints(1, -1), "w": normal(12, 2)}
    return model(nodes, {"x": [1, 4]}, {"y": None}, weights, opset=8)


def _calling() -> ModelProto:
    inside = [
        node("STFT", "u hop - frame", "f"), node("Pow", "f two", "q"), node("ReduceSum", "q", "b"),
    ]  # fmt: skip
    made = {"hop": 2, "frame": 4, "last": [1]}
    constants = [node("Constant", "", k, **{f"value_int{'s' * isinstance(v, list)}": v})
                 for k, v in made.items()]  # fmt: skip
    constants += [
        node("Constant", "", "two", value_float=2.0),
        node("Constant", "", "e", value_ints=[2]),
    ]
    unsqueezed = [node("Identity", "a", "v"), node("Unsqueeze", "v e", "u")]
    return called({"f0": [*constants, *unsqueezed, *inside]})


def mutant(data: bytes, rng: random.Random) -> bytes:
    """A few bytes flipped, changed, doubled, cut out, or copied to elsewhere."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, size = rng.randrange(len(out)), rng.choice([1, 2, 4, 9])
        other = rng.randrange(len(out))
        match rng.randrange(5):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                out[at:at] = out[at : at + size]
            case 3:
                del out[at : at + size]
            case _:
                out[at : at + size] = out[other : other + size]
    return bytes(out)


NUMBERS = [-(2**63), -(2**31), -9, -2, -1, 0, 1, 2, 3, 8, 99, 10**4, 10**6, 2**31, 2**62]


def deformed(data: bytes, rng: random.Random) -> bytes:
    """Still ONNX, but with numbers, op types, names or shapes of weights changed."""
    proto = ModelProto.FromString(data)
    graphs, nodes = [proto.graph], [n for f in proto.functions for n in f.node]
    for graph in graphs:  # grows while it is walked
        nodes += graph.node
        graphs += [a.g for n in graph.node for a in n.attribute if a.HasField("g")]
    weights = [t for g in graphs for t in g.initializer]
    for _ in range(rng.choice([1, 1, 2, 3])):
        changed = rng.choice(nodes)
        match rng.randrange(6):
            case 0:
                changed.op_type = rng.choice(sorted({*OPS, *EXPANSIONS} - {*OWN}))
            case 1 if changed.input:
                others = [name for n in nodes for name in (*n.input, "")]
                changed.input[rng.randrange(len(changed.input))] = rng.choice(others)
            case 2 if changed.attribute:
                attribute = rng.choice(changed.attribute)
                attribute.i = rng.choice(NUMBERS)
                if attribute.ints:
                    attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
            case 3 if changed.input and rng.random() < 0.5:
                del changed.input[rng.randrange(len(changed.input))]
            case 3:
                changed.input.append(rng.choice(["x", *(t.name for t in weights)]))
            case _ if weights:
                chosen = rng.choice(weights)
                array = numpy_helper.to_array(chosen).copy()
                if array.dtype == np.int64 and array.size:
                    array.flat[rng.randrange(array.size)] = rng.choice(NUMBERS)
                else:
                    shape = [rng.choice([0, 1, 2, 3, 4]) for _ in range(rng.randrange(5))]
                    array = np.full(shape, rng.choice([0, 1, -1, 3, np.inf]), array.dtype)
                chosen.CopyFrom(numpy_helper.from_array(array, chosen.name))
    return proto.SerializeToString()


def _broad() -> ModelProto:
    """Many ops on one small signal, in a row."""
    nodes = [
        node("Unsqueeze", "x one", "a"), node("Pad", "a pads", "b", mode="reflect"),
        node("Conv", "b w", "c", auto_pad="SAME_UPPER", strides=[2]),
        node("BatchNormalization", "c p p p p", "d"), node("LeakyRelu", "d", "e", alpha=0.1),
        node("MaxPool", "e", "f", kernel_shape=[2], pads=[1, 0], ceil_mode=1),
        node("Split", "f", "g h", axis=1, num_outputs=2), node("Concat", "h g f", "i", axis=1),
        node("ConvTranspose", "i v", "j", output_padding=[1], strides=[2]),
        node("Slice", "j one far last", "k"), node("Transpose", "k", "l", perm=[0, 2, 1]),
        node("Shape", "l", "m"), node("ConstantOfShape", "m", "n"), node("Add", "l n", "o"),
        node("Gather", "o one", "q", axis=2), node("Expand", "q wide", "r"),
        node("Tile", "r twice", "s"), node("TopK", "s one", "t idx", axis=1),
        node("Resize", "s - scales", "u", mode="linear"), node("CumSum", "u last", "v2"),
        node("Einsum", "v2 ew", "ee", equation="abc,cd->abd"), node("AveragePool", "ee", "ap",
        kernel_shape=[1]), node("LRN", "ap", "lr", size=3), node("Trilu", "lr", "tl"),
        node("ScatterND", "tl at up", "sc"), node("GatherND", "sc at", "gn"),
        node("GatherElements", "sc zeros", "ge", axis=1), node("Flatten", "ge", "fl"),
        node("ReduceLogSumExp", "fl one", "rl"), node("Softmax", "fl", "sm"),
        node("Sum", "sm rl", "y0"), node("ReduceSum", "gn", "gs", keepdims=0),
        node("ReduceMax", "gs", "mx", keepdims=0), node("Add", "y0 mx", "y"),
    ]  # fmt: skip
    weights = {
        "one": ints(1), "pads": ints(0, 0, 2, 0, 0, 2), "w": normal(2, 1, 3),
        "p": np.float32([1, 2]),
        "v": normal(4, 2, 2), "far": ints(99), "last": ints(2), "wide": ints(1, 1, 2),
        "twice": ints(1, 1, 2), "scales": np.float32([1, 1, 2]), "at": ints(0, 0, 0).reshape(1, 3),
        "up": np.float32([1]), "zeros": np.zeros((1, 2, 2), np.int64), "ew": normal(8, 3),
    }  # fmt: skip
    return model(nodes, {"x": [1, 12]}, {"y": None}, weights, opset=18)


SEEDS: dict[str, Callable[[], ModelProto]] = {
    "broad": _broad, "listener": listener, "looping": _looping, "old": _old, "calling": _calling,
}  # fmt: skip


@pytest.mark.parametrize(("count", "start"), [
    (100, 0), pytest.param(2000, 100, marks=pytest.mark.slow),
])  # fmt: skip
@pytest.mark.parametrize("mutate", [mutant, deformed])
@pytest.mark.parametrize("name", SEEDS)
def test_of_a_mutant_nothing_but_our_own_error_comes(tmp_path, name, mutate, count, start):
    whole, paths = SEEDS[name]().SerializeToString(), []
    for number in range(-1, count):
        data = whole if number < 0 else mutate(whole, random.Random(f"{name} {start + number}"))
        paths.append(tmp_path / f"{number + 1}" / "model.onnx")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(data)
    first, *others = outcomes(paths)
    assert first.kind == "finite", first
    wrong = {o.path.parent.name: f for o in others if (f := faults(o, None))}
    assert not wrong, "\n".join(f"mutant {key}: {'; '.join(text)}" for key, text in wrong.items())
