"""A model file comes from somebody else: what loads, and what is refused, in one line."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import reference
from models import LABELS, chain, listener, model, normal, saved, value
from onnx import ModelProto, TensorProto, helper, numpy_helper

import dftlrp
from dftlrp.core.types import DftlrpError, ModelError, UnsupportedModelError
from dftlrp.graph.load import load_graph
from dftlrp.ops import OPS

NEWEST = onnx.defs.onnx_opset_version()


def one_line(error: DftlrpError) -> str:
    text = str(error)
    assert "\n" not in text
    assert 10 < len(text) < 2000
    return text


def refused(path: Path, *words: str, kind: type[DftlrpError] = ModelError) -> None:
    with pytest.raises(kind) as caught:
        dftlrp.load(path)
    text = one_line(caught.value)
    missing = [word for word in words if word not in text]
    assert not missing, text


@pytest.mark.parametrize("number", [65535, 2, -1])
def test_a_switch_that_is_neither_off_nor_on_is_refused(tmp_path, number):
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=number)
    path = saved(model([node], {"x": [1, 4]}, {"y": None}, opset=13), tmp_path)
    refused(path, "'y' (ReduceMean)", f"keepdims is {number}", "0 or 1")


# -- what loads


@pytest.mark.parametrize("opset", range(9, NEWEST + 1))
def test_every_opset_from_9_to_the_newest_loads_and_can_be_explained(tmp_path, opset):
    loaded = dftlrp.load(saved(listener(end="Softmax", opset=opset), tmp_path))
    result = reference.attribute(loaded, normal(2, 1, 400))
    assert result.relevance.shape == (2, 1, 400)
    assert result.ledger.gap <= 1e-9


def test_rate_and_labels_are_read_from_the_metadata(tmp_path):
    loaded = dftlrp.load(saved(listener(rate=8000), tmp_path))
    assert loaded.rate == 8000
    assert loaded.labels == LABELS


@pytest.mark.parametrize("labels", ["", "not json", "{", "3", "null"])
def test_metadata_that_make_no_sense_count_as_absent(tmp_path, labels):
    proto = listener(rate=None, labels=None)
    helper.set_model_props(proto, {"labels": labels, "sample_rate": "fast"})
    loaded = dftlrp.load(saved(proto, tmp_path))
    assert loaded.rate is None
    assert loaded.labels == ()


@pytest.mark.parametrize("rate", ["-8000", "0", "nan", "inf"])
def test_a_rate_in_the_metadata_that_is_no_rate_counts_as_absent(tmp_path, rate):
    proto = listener(rate=None)
    helper.set_model_props(proto, {"sample_rate": rate})
    assert dftlrp.load(saved(proto, tmp_path)).rate is None


def test_a_rate_given_by_the_user_beats_the_metadata(tmp_path):
    assert dftlrp.load(saved(listener(rate=8000), tmp_path), rate=16000).rate == 16000


def test_nodes_out_of_order_are_sorted(tmp_path):
    ordered, shuffled = listener(), listener()
    nodes = list(shuffled.graph.node)
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(reversed(nodes))
    x = normal(1, 1, 400)
    R = [
        reference.attribute(dftlrp.load(saved(m, tmp_path, f"{i}.onnx")), x).relevance
        for i, m in enumerate((ordered, shuffled))
    ]
    np.testing.assert_array_equal(R[0], R[1])


def test_initialisers_that_are_also_inputs_are_weights_not_signals(tmp_path):
    proto = listener()  # as before IR version 4, where every initialiser was an input too
    for tensor in proto.graph.initializer:
        proto.graph.input.append(value(tensor.name, tensor.dims, tensor.data_type))
    assert list(dftlrp.load(saved(proto, tmp_path)).graph.inputs) == ["x"]


def test_a_chain_of_20000_nodes_loads_quickly_and_without_recursion(tmp_path):
    path = saved(chain(20_000), tmp_path)
    begin, limit = time.process_time(), sys.getrecursionlimit()
    sys.setrecursionlimit(120 + len(__import__("inspect").stack()))
    try:
        loaded = dftlrp.load(path)
    finally:
        sys.setrecursionlimit(limit)
    assert len(loaded.graph.nodes) == 20_000
    assert time.process_time() - begin < 10


def test_the_digest_changes_with_a_single_weight(tmp_path):
    one, other = listener(), listener()
    weights = next(t for t in other.graph.initializer if t.name == "b3")
    array = numpy_helper.to_array(weights).copy()
    array[0] += 1
    weights.CopyFrom(numpy_helper.from_array(array, "b3"))
    digests = {load_graph(saved(m, tmp_path)).sha256 for m in (one, other, one)}
    assert len(digests) == 2


# -- external data


def external(proto: ModelProto, folder: Path, **entries: Any) -> Path:
    """The model with its tensor ``w1`` moved to a file; ``entries`` override what it says of it."""
    tensor = next(t for t in proto.graph.initializer if t.name == "w1")
    data = numpy_helper.to_array(tensor).tobytes()
    (folder / "weights.bin").write_bytes(b"\0" * 64 + data)
    says = {"location": "weights.bin", "offset": 64, "length": len(data), **entries}
    del tensor.external_data[:]
    for key, text in says.items():
        if text is not None:
            tensor.external_data.add(key=key, value=str(text))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return saved(proto, folder)


@pytest.mark.parametrize("entries", [{}, {"length": None}, {"checksum": "0" * 40}])
def test_external_data_in_a_plain_file_beside_the_model_are_loaded(tmp_path, entries):
    loaded = dftlrp.load(external(listener(), tmp_path, **entries))
    np.testing.assert_array_equal(loaded.graph.constants["w1"], normal(4, 1, 16, seed=1))


def test_external_data_are_found_from_any_working_directory(tmp_path, monkeypatch):
    path = external(listener(), tmp_path)
    for folder, name in ((tmp_path.parent, path), (tmp_path, Path(path.name))):
        monkeypatch.chdir(folder)
        assert dftlrp.load(name).graph.constants["w1"].shape == (4, 1, 16)


def test_the_digest_covers_the_external_data(tmp_path):
    path = external(listener(), tmp_path)
    before = load_graph(path).sha256
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[70] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert load_graph(path).sha256 != before


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin", "../m/weights.bin", "a/../weights.bin", "./weights.bin", "/etc/passwd",
        "", ".", "..", "sub/weights.bin", "weights.bin/", "*_ORT_MEM_ADDR_*", "weights.bin\0",
        "nothing.bin", "sub",
    ],
)  # fmt: skip
def test_external_data_anywhere_else_are_refused(tmp_path, location):
    folder = tmp_path / "m"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder / "sub"):
        (place / "weights.bin").write_bytes(bytes(10_000))
    refused(external(listener(), folder, location=location), "model.onnx")


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("inside", [True, False])
def test_external_data_behind_a_link_are_refused(tmp_path, link, inside):
    folder = tmp_path / "m"
    folder.mkdir()
    path = external(listener(), folder)
    file = folder / "weights.bin"
    real = (folder if inside else tmp_path) / "real.bin"
    file.rename(real)
    link(real, file)
    refused(path, "weights.bin", "link")


@pytest.mark.parametrize(
    "entries",
    [
        {"length": 3}, {"length": -1}, {"length": 10**30}, {"length": "many"},
        {"offset": 65}, {"offset": -1}, {"offset": 10**30}, {"offset": "0x10"}, {"offset": ""},
    ],
)  # fmt: skip
def test_external_data_of_another_size_are_refused(tmp_path, entries):
    refused(external(listener(), tmp_path, **entries), "w1")


def test_external_data_in_an_attribute_are_refused_and_never_read(tmp_path, monkeypatch):
    tensor = numpy_helper.from_array(normal(1, 4), "k")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    monkeypatch.chdir(tmp_path)
    nodes = [helper.make_node("Constant", [], ["k"]), helper.make_node("Add", ["x", "k"], ["y"])]
    nodes[0].attribute.append(helper.make_attribute("value", tensor))
    refused(saved(model(nodes, {"x": [1, 4]}, {"y": [1, 4]}), tmp_path), "external data")


@contextmanager
def opened() -> Iterator[list[str]]:
    """The paths that Python opens meanwhile."""
    paths: list[str] = []
    WATCHERS.append(paths)
    try:
        yield paths
    finally:
        WATCHERS.remove(paths)


WATCHERS: list[list[str]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if WATCHERS and event == "open" and isinstance(args[0], str | bytes):
        for paths in WATCHERS:
            paths.append(os.fsdecode(args[0]))


sys.addaudithook(_audit)


@pytest.mark.parametrize("location", ["weights.bin", "../secret.bin", "link.bin"])
def test_nothing_outside_the_models_folder_is_opened(tmp_path, location):
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = external(listener(), folder, location=location)
    dftlrp.load(saved(listener(), tmp_path, "warm.onnx"))  # so that all modules are imported
    with opened() as paths:
        try:
            dftlrp.load(path)
        except ModelError:
            assert location != "weights.bin"
    assert str(path) in paths
    assert {str(Path(p).parent) for p in paths} == {str(folder)}


# -- what is no model


def test_no_such_file(tmp_path):
    refused(tmp_path / "nothing.onnx", "nothing.onnx", "no such file")


def test_a_folder(tmp_path):
    refused(tmp_path, "folder")


@pytest.mark.parametrize(
    "data",
    [b"", b"hello, I am not a model\n", b"\0" * 1000, b"<html></html>", b"PK\3\4" + bytes(50)],
)
def test_a_file_that_is_not_onnx(tmp_path, data):
    path = tmp_path / "some.onnx"
    path.write_bytes(data)
    refused(path, "some.onnx", "not an ONNX")


def test_random_bytes(tmp_path):
    path, rng = tmp_path / "some.onnx", random.Random(0)
    for size in [1, 2, 10, 100, 1000, 10_000] * 5:
        path.write_bytes(rng.randbytes(size))
        refused(path, "some.onnx")


def test_a_truncated_model_at_any_length(tmp_path):
    whole = listener().SerializeToString()
    path = tmp_path / "cut.onnx"
    for size in sorted({*range(1, 40), *range(40, len(whole), 61), len(whole) - 1}):
        path.write_bytes(whole[:size])
        refused(path, "cut.onnx")


def in_time(act: Callable[[], None], seconds: float = 10.0) -> None:
    """Run it in a thread, so that one that waits for ever fails the test instead of stalling it."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "still waiting"
    if failed:
        raise failed[0]


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    in_time(lambda: refused(tmp_path / "pipe.onnx", "not a regular file"))


def test_external_data_that_are_a_pipe_are_refused_without_waiting_for_a_writer(tmp_path):
    path = external(listener(), tmp_path)
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    in_time(lambda: refused(path, "weights.bin", "not a regular file"))


def test_a_device_and_a_socket_are_refused(tmp_path):
    refused(Path("/dev/zero"), "not a regular file")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.onnx"))
        refused(tmp_path / "s.onnx", "s.onnx")


# -- graphs that break a rule


def graph(
    *nodes: Any, weights: dict[str, Any] | None = None, out: str = "y", **more: Any
) -> ModelProto:
    made = [helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in nodes]
    return model(made, {"x": [1, 4]}, {out: [1, 4]}, weights, **more)


def edited(change: Callable[[ModelProto], Any]) -> ModelProto:
    proto = listener()
    change(proto)
    return proto


def tensor(proto: ModelProto, name: str) -> TensorProto:
    return next(t for t in proto.graph.initializer if t.name == name)


def _sparse(proto: ModelProto) -> None:
    sparse = proto.graph.sparse_initializer.add(dims=[2**20, 2**20])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "huge"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "at"))


def _nan(proto: ModelProto) -> None:
    tensor(proto, "b3").CopyFrom(numpy_helper.from_array(np.float32([0, np.nan, 0]), "b3"))


BROKEN: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "cycle": (
        lambda: graph(("Add", ["x", "b"], ["a"], {}), ("Relu", ["a"], ["b"], {}), out="b"), "",
    ),
    "self-loop": (lambda: graph(("Add", ["x", "y"], ["y"], {})), ""),
    "ghost input": (lambda: graph(("Add", ["x", "ghost"], ["y"], {})), "ghost"),
    "missing output": (lambda: graph(("Relu", ["x"], ["z"], {})), ""),
    "doubled value": (lambda: graph(("Relu", ["x"], ["y"], {}), ("Abs", ["x"], ["y"], {})), ""),
    "doubled initialiser": (
        lambda: edited(lambda m: m.graph.initializer.append(m.graph.initializer[1])), "",
    ),
    "an output that is an input's name": (lambda: graph(("Relu", ["x"], ["x"], {}), out="x"), ""),
    "no output at all": (lambda: edited(lambda m: m.graph.ClearField("output")), "output"),
    "negative dims": (lambda: edited(lambda m: tensor(m, "b3").dims.__setitem__(0, -3)), "b3"),
    "dims 2^62": (lambda: edited(lambda m: tensor(m, "b3").dims.__setitem__(0, 2**62)), "b3"),
    "too few bytes": (lambda: edited(lambda m: tensor(m, "b3").dims.__setitem__(0, 30)), "b3"),
    "too many bytes": (lambda: edited(lambda m: tensor(m, "b3").dims.__setitem__(0, 2)), "b3"),
    "rank 9": (lambda: edited(lambda m: tensor(m, "b3").dims.extend([1] * 8)), "b3"),
    "unknown dtype": (lambda: edited(lambda m: setattr(tensor(m, "b3"), "data_type", 999)), "b3"),
    "no dtype": (lambda: edited(lambda m: setattr(tensor(m, "b3"), "data_type", 0)), "b3"),
    "unknown input dtype": (
        lambda: edited(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 999)), "x",
    ),
    "NaN weight": (lambda: edited(_nan), "NaN"),
    "two imports": (
        lambda: edited(lambda m: m.opset_import.add(domain="", version=13)), "one version",
    ),
    "two names of one import": (
        lambda: edited(lambda m: m.opset_import.add(domain="ai.onnx", version=13)), "one version",
    ),
    "no import": (lambda: edited(lambda m: m.ClearField("opset_import")), "one version"),
    "sparse initialiser": (lambda: edited(_sparse), "sparse"),
    "attribute of the wrong type": (
        lambda: graph(("Softmax", ["x"], ["y"], {"axis": "left"})), "axis",
    ),
    "unknown op": (lambda: graph(("Frobnicate", ["x"], ["y"], {})), "Frobnicate"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_graph_is_refused(tmp_path, name):
    build, word = BROKEN[name]
    refused(saved(build(), tmp_path), "model.onnx", word)


@pytest.mark.parametrize("opset", [-1, 0, NEWEST + 1, 999, 2**62])
def test_opsets_outside_the_range_are_named(tmp_path, opset):
    proto = edited(lambda m: setattr(m.opset_import[0], "version", opset))
    refused(saved(proto, tmp_path), f"opset {opset}", f"1 to {NEWEST}", kind=UnsupportedModelError)


def test_infinite_weights_may_load_but_the_layer_that_overflows_is_named(tmp_path):
    proto = listener()
    tensor(proto, "b1").CopyFrom(numpy_helper.from_array(np.float32([0, np.inf, 0, 0]), "b1"))
    with pytest.raises(DftlrpError, match=r"inf|'b1'|'c1'"):
        reference.attribute(dftlrp.load(saved(proto, tmp_path)), normal(1, 1, 400))


# -- ops that cannot be explained


def test_one_error_names_every_node_without_a_rule_and_says_what_to_do(tmp_path):
    nodes = [("Relu", ["x"], ["a"], {}), ("Det", ["a"], ["b"], {}), ("Mod", ["a", "x"], ["c"], {}),
             ("Add", ["c", "b"], ["d"], {}), ("RandomNormalLike", ["d"], ["y"], {})]  # fmt: skip
    with pytest.raises(UnsupportedModelError) as caught:
        dftlrp.load(saved(graph(*nodes), tmp_path))
    text = one_line(caught.value)
    for row in ("b (Det): ", "c (Mod): ", "y (RandomNormalLike): "):
        assert row in text
    assert "3 node(s)" in text
    assert "a (Relu)" not in text
    for advice in ("bind", "output", "export"):
        assert advice in text


def test_an_op_of_another_domain_is_named_with_its_domain(tmp_path):
    proto = graph(("Relu", ["x"], ["y"], {"domain": "com.acme"}))
    proto.opset_import.add(domain="com.acme", version=1)
    refused(saved(proto, tmp_path), "com.acme.Relu", kind=UnsupportedModelError)


def test_an_op_without_a_rule_off_the_way_to_the_output_does_not_matter(tmp_path):
    nodes = [("Relu", ["x"], ["y"], {}), ("RandomNormalLike", ["x"], ["z"], {})]
    proto = graph(*nodes)
    proto.graph.output.append(value("z", [1, 4]))
    loaded = dftlrp.load(saved(proto, tmp_path))
    assert reference.attribute(loaded, normal(1, 4)).relevance.shape == (1, 4)
    with pytest.raises(UnsupportedModelError, match="RandomNormalLike"):
        reference.attribute(loaded, normal(1, 4), output="z")


# -- bombs: small files that ask for much memory or time

GIB = 2**30


def _bomb(op: str, shape: Any, *, opset: int = 17) -> ModelProto:
    nodes = {
        "ConstantOfShape": [("ConstantOfShape", ["s"], ["k"], {})],
        "Expand": [("Expand", ["one", "s"], ["k"], {})],
        "Tile": [("Tile", ["one", "s"], ["k"], {})],
        "Range": [("Range", ["zero", "s", "step"], ["k"], {})],
        "Reshape": [("Reshape", ["one", "s"], ["k"], {})],
    }[op]
    weights = {"s": np.asarray(shape, np.int64), "one": np.ones((1, 1, 1), np.float32)}
    if op == "Range":
        weights = {"s": np.int64(shape), "zero": np.int64(0), "step": np.int64(1)}
    last = [("Cast", ["k"], ["f"], {"to": 1}), ("ReduceSum", ["f"], ["sum"], {}),
            ("Add", ["x", "sum"], ["y"], {})]  # fmt: skip
    return graph(*nodes, *last, weights=weights, opset=opset)


def _doubling(count: int) -> ModelProto:
    names = ["x", *(f"d{i}" for i in range(count))]
    nodes = [("Concat", [a, a], [b], {"axis": 0}) for a, b in pairwise(names)]
    return graph(*nodes, ("ReduceSum", [names[-1]], ["y"], {}))


def _product(op: str) -> ModelProto:
    nodes = [
        ("Expand", ["one", "tall"], ["a"], {}), ("Expand", ["one", "wide"], ["b"], {}),
        (op, ["a", "b"], ["c"], {}), ("ReduceSum", ["c"], ["s"], {}),
        ("Add", ["x", "s"], ["y"], {}),
    ]  # fmt: skip
    shapes = {"tall": np.int64([10**6, 1]), "wide": np.int64([1, 10**6])}
    return graph(*nodes, weights={"one": np.ones((1, 1), np.float32), **shapes})


def _windowed(op: str, **attrs: Any) -> ModelProto:
    ins = ["wave", *(["w"] if op.startswith("Conv") else [])]
    nodes = [("Unsqueeze", ["x", "axis"], ["wave"], {}), (op, ins, ["y"], attrs)]
    return graph(*nodes, weights={"axis": np.int64([1]), "w": normal(1, 1, 2)})


BOMBS: dict[str, Callable[[], ModelProto]] = {
    "ConstantOfShape of 4 TiB": lambda: _bomb("ConstantOfShape", [2**20, 2**20]),
    "ConstantOfShape beyond 2^63": lambda: _bomb("ConstantOfShape", [2**40, 2**40]),
    "ConstantOfShape of rank 9": lambda: _bomb("ConstantOfShape", [1] * 9),
    "ConstantOfShape of rank 10^6": lambda: _bomb("ConstantOfShape", [1] * 10**6),
    "ConstantOfShape of a negative size": lambda: _bomb("ConstantOfShape", [-4]),
    "Expand of 4 TiB": lambda: _bomb("Expand", [2**20, 2**20, 1]),
    "Expand to rank 10^6": lambda: _bomb("Expand", [1] * 10**6),
    "Tile of 4 TiB": lambda: _bomb("Tile", [2**20, 2**20, 1]),
    "Range of 2^40": lambda: _bomb("Range", 2**40),
    "Reshape to rank 10^6": lambda: _bomb("Reshape", [1] * 10**6),
    "Concat, doubled 40 times": lambda: _doubling(40),
    "product by broadcasting of 10^12": lambda: _product("Mul"),
    "matrix product of 10^12": lambda: _product("MatMul"),
    "dense layer of 10^12": lambda: _product("Gemm"),
    "selection of 10^12": lambda: _product("Max"),
    "Conv padded by 2^40": lambda: _windowed("Conv", pads=[2**40, 2**40]),
    "Conv padded by 2^62": lambda: _windowed("Conv", pads=[2**62, 2**62]),
    "ConvTranspose of stride 2^40": lambda: _windowed("ConvTranspose", strides=[2**40]),
    "ConvTranspose of an output of 2^40": lambda: _windowed("ConvTranspose", output_shape=[2**40]),
    "MaxPool of a kernel of 2^40": lambda: _windowed(
        "MaxPool", kernel_shape=[2**40], pads=[2**39, 2**39]
    ),
    "AveragePool of a kernel of 10^7": lambda: _windowed(
        "AveragePool", kernel_shape=[10**7], pads=[10**7 - 1, 10**7 - 1]
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory_or_time(tmp_path, monkeypatch, name):
    import resource

    monkeypatch.setattr("dftlrp.ops.registry.MAX_BYTES", 2**27)
    path = saved(BOMBS[name](), tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DftlrpError) as caught:
        in_time(lambda: reference.attribute(dftlrp.load(path), normal(1, 4)))
    one_line(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: 1 GiB


# -- anything at all


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes flipped, changed, doubled, cut out, or copied to elsewhere."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, size = rng.randrange(len(out)), rng.choice([1, 2, 4, 9])
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
                other = rng.randrange(len(out))
                out[at : at + size] = out[other : other + size]
    return bytes(out)


def deformed(data: bytes, rng: random.Random) -> bytes:
    """A model that is still ONNX, with one number, op type or name changed."""
    proto = ModelProto.FromString(data)
    graph = proto.graph
    for _ in range(rng.choice([1, 1, 2])):
        node = rng.choice(graph.node)
        number = rng.choice([-(2**63), -(2**31), -9, -2, -1, 0, 1, 2, 3, 8, 99, 2**31, 2**63 - 1])
        match rng.randrange(6):
            case 0:
                node.op_type = rng.choice(sorted(OPS))
            case 1 if node.input:
                other = rng.choice([n for n in graph.node if n.input]).input
                node.input[rng.randrange(len(node.input))] = rng.choice([*other, ""])
            case 2 if node.attribute:
                attribute = rng.choice(node.attribute)
                attribute.i = number
                if attribute.ints:
                    attribute.ints[rng.randrange(len(attribute.ints))] = number
            case 3:
                whole = [t for t in graph.initializer if t.data_type == TensorProto.INT64]
                chosen = rng.choice(whole)
                array = numpy_helper.to_array(chosen).copy()
                array[rng.randrange(array.size)] = number
                chosen.CopyFrom(numpy_helper.from_array(array, chosen.name))
            case 4 if node.input:
                del node.input[rng.randrange(len(node.input))]
            case _:
                chosen = rng.choice(
                    [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]
                )
                shape = [rng.choice([0, 1, 2, 3]) for _ in range(rng.randrange(4))]
                array = np.full(shape, rng.choice([0, 1, -1, 1e30, np.inf]), np.float32)
                chosen.CopyFrom(numpy_helper.from_array(array, chosen.name))
    return proto.SerializeToString()


def skeleton() -> bytes:
    """A model with many ops and few weights, so that most bytes are structure."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["a"]),
        helper.make_node("Pad", ["a", "pads"], ["b"], mode="reflect"),
        helper.make_node("Conv", ["b", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2]),
        helper.make_node("BatchNormalization", ["c", "p", "p", "p", "p"], ["d"]),
        helper.make_node("LeakyRelu", ["d"], ["e"], alpha=0.1),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[2], pads=[1, 0], ceil_mode=1),
        helper.make_node("Split", ["f"], ["g", "h"], axis=1),
        helper.make_node("Concat", ["h", "g", "f"], ["i"], axis=1),
        helper.make_node("ConvTranspose", ["i", "v"], ["j"], output_padding=[1], strides=[2]),
        helper.make_node("Slice", ["j", "one", "far", "last"], ["k"]),
        helper.make_node("Transpose", ["k"], ["l"], perm=[0, 2, 1]),
        helper.make_node("Shape", ["l"], ["m"]),
        helper.make_node("ConstantOfShape", ["m"], ["n"]),
        helper.make_node("Add", ["l", "n"], ["o"]),
        helper.make_node("Gather", ["o", "one"], ["q"], axis=2),
        helper.make_node("Flatten", ["q"], ["r"]),
        helper.make_node("Reshape", ["r", "shape"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    weights = {
        "axes": np.int64([1]), "pads": np.int64([0, 0, 2, 0, 0, 2]), "w": normal(2, 1, 3),
        "p": np.float32([1, 2]), "v": normal(4, 2, 2), "one": np.int64([1]), "far": np.int64([99]),
        "last": np.int64([2]), "shape": np.int64([1, -1]),
    }  # fmt: skip
    return model(nodes, {"x": [1, 12]}, {"y": [1, None]}, weights, opset=13).SerializeToString()


@pytest.mark.parametrize("mutate", [mutated, deformed])
@pytest.mark.parametrize(("build", "shape"), [(skeleton, (1, 12)), (None, (2, 1, 400))])
def test_whatever_the_bytes_nothing_but_a_clear_error_comes_out(
    tmp_path, monkeypatch, mutate, build, shape
):
    monkeypatch.setattr("dftlrp.ops.registry.MAX_BYTES", 2**24)
    whole = build() if build else listener(end="Softmax").SerializeToString()
    rng, path, x = random.Random(1), tmp_path / "mutant.onnx", normal(*shape)
    path.write_bytes(whole)
    reference.attribute(dftlrp.load(path), x)  # the model itself is fine

    def one() -> None:
        try:
            result = reference.attribute(dftlrp.load(path), x)
        except DftlrpError as error:
            one_line(error)
        else:
            assert result.relevance.shape == shape

    for number in range(150):
        path.write_bytes(mutate(whole, rng))
        try:
            in_time(one)
        except BaseException as error:
            raise AssertionError(f"mutant {number}: {type(error).__name__}: {error}") from error


def test_a_file_that_takes_more_memory_than_there_is_is_refused_in_one_line(tmp_path, monkeypatch):
    def spend(*_):
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr("dftlrp.graph.load.raise_opset", spend)
    path = tmp_path / "large.onnx"
    onnx.save(chain(3), path)
    with pytest.raises(dftlrp.ModelError, match=r"large\.onnx: to read it takes more memory"):
        dftlrp.load(path)
