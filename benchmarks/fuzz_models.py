"""Mutants of models: every case of ONNX's own suite, the hostile corpus and the embedded models."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fuzz import Step
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx import numpy_helper as arrays

TESTS = Path(__file__).parents[1] / "tests"
LARGEST = 40_000  # bytes of a model that is mutated
NUMBERS = 2**14  # that an input may hold, for its user to have asked for it
INTEGERS = (-(2**63), -(2**62), -(2**31), -65535, -2, -1, 0, 1, 2, 3, 5, 8, 17, 255, 1000, 65535,
            10**6, 2**31 - 1, 2**32, 2**40, 2**62, 2**63 - 1)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-7, 1e7, 3e38, -3e38, float("inf"), -float("inf"),
          float("nan"))  # fmt: skip
TYPES = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64,
         TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL,
         TensorProto.STRING, TensorProto.BFLOAT16, TensorProto.COMPLEX64, 0, 77)  # fmt: skip
WORDS = ("", "SAME_UPPER", "VALID", "NOTSET", "linear", "cubic", "reflect", "wrap", "bidirectional",
         "bij,bjk->bik", "ii->i", "sideways", "\x00", "é")  # fmt: skip
METADATA = {
    "labels": ("[" * 3000, "{}", "[1]", '["a"' + ',"a"' * 2000 + "]", '["\\u001b[31m"]'),
    "sample_rate": ("1e999", "-1", "nan", "1e-300", "8000", "9" * 5000),
    "frontend": ("a.b" * 999, "x = " + "[" * 500 + "]" * 500, "a." * 2000 + "b = 1",
                 "[frontend]\nrate = 10000000000\nn_fft = 2000000000\nhop = 1",
                 "[frontend]\nrate = 16000\nn_fft = 16\nhop = 4\nn_mels = 1000000000",
                 "[frontend]\nrate = 16000\nn_fft = 16\nhop = 4"),
}  # fmt: skip
Given = Mapping[str, np.ndarray]


def prepare(folder: Path) -> Callable[[int, int], Iterator[Step]]:
    """What makes the steps of a mutant."""
    sys.path.insert(0, str(TESTS))
    seeds = _seeds()
    named = {n.op_type for model, _ in seeds for n in _parse(model).graph.node}
    ops = sorted(name for name in named if isinstance(name, str))  # one of the corpus is not UTF-8
    path = folder / "mutant.onnx"
    import dftlrp
    from dftlrp.cli import main
    from dftlrp.engine.model import attach_front_end

    def steps(seed: int, number: int) -> Iterator[Step]:
        rng = np.random.default_rng([seed, number])
        model, given = seeds[rng.integers(len(seeds))]
        path.write_bytes(mutate(model, rng, ops))
        loaded: list[Any] = []
        yield "inspect", lambda: _inspect(main, path)
        yield "load", lambda: loaded.append(dftlrp.load(path))
        for model in loaded:
            yield "labels", lambda m=model: m.labels and None
            yield "front end", lambda m=model: attach_front_end(m, None) and None
            if inputs := _inputs(model, given, rng):
                yield "numpy", lambda m=model, x=inputs: _attribute(m, x, "numpy")
                yield "onnx", lambda m=model, x=inputs: _attribute(m, x, "onnx")

    return steps


def _inspect(main: Callable[[list[str]], int], path: Path) -> str:
    """The command: its exit code, and one line on standard error where it refuses."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        status = main(["inspect", str(path)])
    if status == 0:
        return "explained"
    return "refused" if status == 2 and said.getvalue().count("\n") == 1 else f"exit {status}"


def _attribute(model: Any, inputs: Given, backend: str) -> str:
    import dftlrp

    found = dftlrp.attribute(model, inputs, backend=backend)
    fine = all(r is None or np.isfinite(r).all() for r in found.relevance.values())  # type: ignore[union-attr]
    return "explained" if fine else "not finite"


def _inputs(model: Any, given: Given, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Small inputs of the shapes that are declared; the seed's own, where they still fit."""
    made = {}
    for name, value in model.graph.inputs.items():
        dims = (
            (1, 4)
            if value.dims is None
            else tuple(d or int(rng.integers(1, 6)) for d in value.dims)
        )
        if int(np.prod(dims, dtype=object)) > NUMBERS:
            return {}
        own = given.get(name)
        made[name] = (
            own if own is not None and own.shape == dims else _random(dims, value.dtype, rng)
        )
    return made


def _random(dims: tuple[int, ...], dtype: str, rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal(dims)
    with contextlib.suppress(TypeError):
        return x.astype(dtype or "float32")
    return x


# -- seeds


def _seeds() -> list[tuple[bytes, Given]]:
    """Models in bytes, each with inputs that it runs on."""
    return [*_suite(), *_corpus()]


def _suite() -> Iterator[tuple[bytes, Given]]:
    import conform

    for case in conform.cases().values():
        if case.model is None or case.model.ByteSize() > LARGEST:
            continue
        names = [v.name for v in case.model.graph.input]
        values = case.data_sets[0][0] if case.data_sets else []
        tensors = zip(names, values, strict=False)
        given = {n: v for n, v in tensors if isinstance(v, np.ndarray) and v.size < NUMBERS}
        yield case.model.SerializeToString(), given


def _corpus() -> Iterator[tuple[bytes, Given]]:
    """Models of several layers, many times over: there are fewer of them."""
    import hostile
    import models

    made: list[Any] = [models.listener(end=end) for end in ("", "Softmax", "Sigmoid")]
    made += [models.listener((None, 400)), models.listener((2, 1, None)), models.chain(5)]
    yield from [(m.SerializeToString(), {}) for m in made] * 20
    for build in hostile.CASES.values():
        data = build()
        data = data if isinstance(data, bytes) else data.SerializeToString()
        if len(data) < LARGEST:
            yield data, {}


def _parse(data: bytes) -> ModelProto:
    model = ModelProto()
    with contextlib.suppress(Exception):
        model.ParseFromString(data)
    return model


# -- mutations


def mutate(data: bytes, rng: np.random.Generator, ops: list[str]) -> bytes:
    """One to four changes of nodes, tensors, shapes and names; sometimes of bytes."""
    model = _parse(data)
    for _ in range(rng.integers(1, 5)):
        change = CHANGES[rng.integers(len(CHANGES))]
        with contextlib.suppress(Exception):  # it does not apply to this model
            change(model, rng, ops)
    data = model.SerializeToString()
    if rng.random() < 0.1:
        from fuzz_recordings import mutate as mutate_bytes

        data = mutate_bytes(data, rng)
    return data


def _graph(model: ModelProto, rng: np.random.Generator) -> GraphProto:
    """The graph, or one in an attribute."""
    graphs = [model.graph]
    for graph in graphs:
        graphs += [a.g for n in graph.node for a in n.attribute if a.HasField("g")]
    return graphs[0] if rng.random() < 0.5 else graphs[rng.integers(len(graphs))]


def _node(model: ModelProto, rng: np.random.Generator) -> NodeProto:
    nodes = _graph(model, rng).node
    return nodes[rng.integers(len(nodes))]


def _tensor(model: ModelProto, rng: np.random.Generator) -> TensorProto:
    graph = _graph(model, rng)
    tensors = [
        *graph.initializer,
        *(a.t for n in graph.node for a in n.attribute if a.HasField("t")),
    ]
    return tensors[rng.integers(len(tensors))]


def _pick(values: Any, rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _change_op(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    _node(model, rng).op_type = _pick(ops, rng)


def _change_input(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """To another value that there is, or none."""
    node, graph = _node(model, rng), model.graph
    names = [*(v.name for v in graph.input), *(t.name for t in graph.initializer),
             *(o for n in graph.node for o in n.output), ""]  # fmt: skip
    node.input[int(rng.integers(len(node.input)))] = _pick(names, rng)


def _add_input(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    node = _node(model, rng)
    node.input.append(_pick([*node.input, ""], rng))


def _drop_input(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    node = _node(model, rng)
    del node.input[int(rng.integers(len(node.input)))]


def _change_attribute(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    node = _node(model, rng)
    a = _pick(node.attribute, rng)
    if a.type == AttributeProto.INT:
        a.i = _pick(INTEGERS, rng)
    elif a.type == AttributeProto.FLOAT:
        a.f = _pick(FLOATS, rng)
    elif a.type == AttributeProto.STRING:
        a.s = _pick(WORDS, rng).encode()
    elif a.type == AttributeProto.INTS:
        _change_list(a.ints, INTEGERS, rng)
    elif a.type == AttributeProto.FLOATS:
        _change_list(a.floats, FLOATS, rng)
    elif rng.random() < 0.2:
        node.attribute.remove(a)


def _change_list(values: Any, to: Any, rng: np.random.Generator) -> None:
    kind = rng.random()
    if kind < 0.2:
        values.append(_pick(to, rng))
    elif kind < 0.4:
        del values[int(rng.integers(len(values)))]
    else:
        values[int(rng.integers(len(values)))] = _pick(to, rng)


def _add_attribute(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """One that some node in the suite has, so that some op knows it."""
    names = ("axis", "axes", "keepdims", "group", "strides", "dilations", "pads", "kernel_shape",
             "auto_pad", "mode", "alpha", "epsilon", "hidden_size", "ceil_mode", "to", "perm",
             "num_outputs", "output_shape", "storage_order", "direction", "block_size",
             "onesided")  # fmt: skip
    some = [_pick(INTEGERS, rng) for _ in range(int(rng.integers(1, 4)))]
    value = _pick([some[0], some, _pick(FLOATS, rng), _pick(WORDS, rng)], rng)
    _node(model, rng).attribute.append(helper.make_attribute(_pick(names, rng), value))


def _change_dims(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """Of a tensor: its numbers no longer fit, or are moved between axes."""
    tensor = _tensor(model, rng)
    if rng.random() < 0.5 and len(tensor.dims) > 1:
        tensor.dims.reverse()
    else:
        _change_list(tensor.dims, INTEGERS, rng)


def _change_numbers(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    tensor = _tensor(model, rng)
    x = arrays.to_array(tensor).copy()
    to = INTEGERS if x.dtype.kind in "iu" else FLOATS
    for _ in range(int(rng.integers(1, 4))):
        with np.errstate(all="ignore"):
            x.reshape(-1)[int(rng.integers(x.size))] = _pick(to, rng)
    tensor.CopyFrom(arrays.from_array(x, tensor.name))


def _change_tensor(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """For another one of random shape."""
    tensor = _tensor(model, rng)
    dims = [int(d) for d in rng.integers(0, 5, rng.integers(0, 5))]
    x = (3 * rng.standard_normal(dims)).astype(
        _pick(["float32", "int64", "int32", "uint8", "bool"], rng)
    )
    tensor.CopyFrom(arrays.from_array(x, tensor.name))


def _change_type(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    infos = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if rng.random() < 0.3:
        _tensor(model, rng).data_type = _pick(TYPES, rng)
    else:
        _pick(infos, rng).type.tensor_type.elem_type = _pick(TYPES, rng)


def _change_shape(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """Of an input or an output, as it is declared."""
    info = _pick([*model.graph.input, *model.graph.output], rng)
    shape = info.type.tensor_type.shape
    kind = rng.random()
    if kind < 0.1:
        info.type.tensor_type.ClearField("shape")
    elif kind < 0.3:
        shape.dim.add().dim_value = _pick(INTEGERS, rng)
    elif kind < 0.4:
        del shape.dim[int(rng.integers(len(shape.dim)))]
    elif kind < 0.6:
        _pick(shape.dim, rng).dim_param = "n"
    else:
        _pick(shape.dim, rng).dim_value = _pick(INTEGERS, rng)


def _change_output(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """What is explained is another value."""
    made = [o for n in model.graph.node for o in n.output]
    model.graph.output[0].name = _pick(made, rng)


def _insert_node(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    """A copy of a node behind a value, or a new one of another op."""
    graph = model.graph
    node = graph.node[int(rng.integers(len(graph.node)))]
    name = node.output[0]
    node.output[0] = f"{name}_before"
    graph.node.append(helper.make_node(_pick(ops, rng), [node.output[0]], [name]))


def _drop_node(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    nodes = _graph(model, rng).node
    del nodes[int(rng.integers(len(nodes)))]


def _change_opset(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    model.opset_import[0].version = int(rng.integers(1, 27))


def _add_metadata(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    entry = model.metadata_props.add()
    entry.key = _pick(list(METADATA), rng)
    entry.value = _pick(METADATA[entry.key], rng)


def _rename(model: ModelProto, rng: np.random.Generator, ops: list[str]) -> None:
    node = _node(model, rng)
    node.name = _pick(["\x1b[31m", "a\nb", "", "é" * 300, "x"], rng)
    if rng.random() < 0.3:
        node.output[0] = _pick(["\x1b[2J", "a\nb", "y" * 3000], rng)


CHANGES = (
    _change_op, _change_input, _change_input, _add_input, _drop_input, _change_attribute,
    _change_attribute, _change_attribute, _add_attribute, _change_dims, _change_numbers,
    _change_numbers, _change_numbers, _change_tensor, _change_type, _change_shape, _change_shape,
    _change_output, _insert_node, _drop_node, _change_opset, _add_metadata, _rename,
)  # fmt: skip
