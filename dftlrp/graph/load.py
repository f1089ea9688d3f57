"""From bytes to a validated `Graph`.

A model file is input from somebody else.  Everything here runs before anything of the
model is evaluated, walks without recursion, and reads nothing outside the model's folder.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from dftlrp.core.files import regular
from dftlrp.core.types import AnyArray, ModelError, UnsupportedModelError
from dftlrp.graph.inline import inline_functions, raise_opset, refuse_many_nodes
from dftlrp.graph.other_formats import advise_export
from dftlrp.graph.structure import Body, Dims, Graph, Node, Value

MAX_RANK = 8
MAX_BYTES = 2**31
ONNX = ("", "ai.onnx")
DEFAULT_OPSET = 17  # of a model all of whose nodes are of other domains
UNREAD = (AttributeProto.GRAPHS, AttributeProto.TYPE_PROTO, AttributeProto.TYPE_PROTOS)  # of no op
SWITCHES = {
    "align_corners", "allowzero", "antialias", "ceil_mode", "count_include_pad", "detect_negative",
    "detect_positive", "exclude_outside", "exclusive", "fmod", "input_forget", "interleaved",
    "inverse", "is_causal", "keepdims", "largest", "layout", "linear_before_reset",
    "noop_with_empty_axes", "onesided", "periodic", "reverse", "saturate", "select_last_index",
    "sorted", "storage_order", "training_mode", "transA", "transB", "upper",
}  # fmt: skip


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read and validate an ONNX file.

    Raises
    ------
    ModelError
        The file is missing, not ONNX, truncated or refused by a check of this module; the message
        says by which.
    UnsupportedModelError
        The opset is newer than this onnx knows.
    """
    path = Path(path)
    return parse_graph(_read_bytes(path), path)


def parse_graph(data: bytes, path: Path) -> Graph:
    """Return the graph of a model's bytes; errors are those of `load_graph` and name the path."""
    try:
        return _parse_graph(data, path)
    except MemoryError:  # of onnx's own code, too
        raise ModelError(f"{path}: to read it takes more memory than there is") from None


def _parse_graph(data: bytes, path: Path) -> Graph:
    model, digest = _parse_model(data, path), hashlib.sha256(data)
    opset = _read_opset(model, path)
    refuse_many_nodes(model, path)
    _refuse_hidden(model, path)
    constants = {t.name: _read_initializer(t, path, digest) for t in model.graph.initializer}
    _sort_nodes(model.graph, path)
    _check_model(model, opset, path)
    model, opset = raise_opset(inline_functions(model, path), opset, path)
    made = (t for t in model.graph.initializer if t.name not in constants)
    constants |= {t.name: _read_tensor(t, path) for t in made}
    return Graph(
        nodes=_read_nodes(model.graph, opset, path),
        inputs={v.name: _read_value(v, path) for v in model.graph.input if v.name not in constants},
        outputs={v.name: _read_value(v, path) for v in model.graph.output},
        constants=constants,
        metadata={_to_text(p.key): _to_text(p.value) for p in model.metadata_props},
        sha256=digest.hexdigest(),
    )


def _to_text(text: str | bytes) -> str:
    """Return text of a file; protobuf gives what is not UTF-8 as bytes."""
    return text.decode(errors="backslashreplace") if isinstance(text, bytes) else text


def _read_bytes(path: Path) -> bytes:
    if advice := advise_export(path) if os.path.isdir(path) else "":
        raise ModelError(f"{path}: is a folder{advice}")
    with regular(path, ModelError) as (file, size):
        if size > MAX_BYTES:
            raise ModelError(
                f"{path}: {size} bytes are too many: keep the weights in external data"
            )
        return file.read()


def _parse_model(data: bytes, path: Path) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        advice = advise_export(path, data)
        raise ModelError(f"{path}: not an ONNX file, or a truncated one{advice}") from None
    if not model.graph.node or not model.graph.output:
        advice = advise_export(path, data)
        raise ModelError(f"{path}: not an ONNX model (no graph with an output in it){advice}")
    return model


def _refuse_hidden(model: ModelProto, path: Path) -> None:
    """Raise ModelError for sparse tensors, and for external data that are no initialisers."""
    graphs: list[GraphProto] = [model.graph]
    attributes: list[AttributeProto] = []
    tensors: list[TensorProto] = []
    for function in model.functions:
        attributes += [*function.attribute_proto, *(a for n in function.node for a in n.attribute)]
    for inner in graphs:  # grows while it is walked
        tensors += [] if inner is model.graph else inner.initializer
        attributes += (a for node in inner.node for a in node.attribute)
        for a in attributes:
            tensors += [*([a.t] if a.HasField("t") else []), *a.tensors]
            graphs += [*([a.g] if a.HasField("g") else []), *a.graphs]
        sparse = any(a.HasField("sparse_tensor") or a.sparse_tensors for a in attributes)
        if sparse or inner.sparse_initializer:
            raise ModelError(f"{path}: sparse tensors are not supported: export dense weights")
        attributes = []
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ModelError(f"{path}: tensor {tensor.name!r}: no external data in an attribute")


def _read_external(tensor: TensorProto, path: Path) -> bytes:
    """Return the bytes of an external tensor.

    Raise ModelError unless its location is a plain file name beside the model, no link, and the
    file is long enough.
    """
    entries = {e.key: e.value for e in tensor.external_data}
    name = entries.get("location", "")
    where = f"{path}: external data of {tensor.name!r} in {name!r}"
    if not name or name != os.path.basename(name) or name in {".", ".."}:
        raise ModelError(f"{where}: the location is not a plain file name")
    length = int(np.prod(tensor.dims, dtype=object)) * _find_dtype(tensor.data_type, where).itemsize
    try:
        offset, said = int(entries.get("offset", 0)), int(entries.get("length", length))
    except ValueError:
        raise ModelError(f"{where}: offset and length are not numbers") from None
    with regular(path.parent / name, ModelError, where, links=False) as (file, size):
        if said != length or not 0 <= offset <= size - length:
            raise ModelError(f"{where}: {length} bytes at {offset} are needed, and not there")
        file.seek(offset)
        return file.read(length)


def _read_initializer(tensor: TensorProto, path: Path, digest: Any) -> AnyArray:
    """Return an initialiser as an array; external data are read and counted in the digest."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return _read_tensor(tensor, path)
    _check_dims(tensor, path)
    inline = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    inline.raw_data = _read_external(tensor, path)
    digest.update(inline.raw_data)
    tensor.CopyFrom(
        TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0], raw_data=b"")
    )
    return _read_tensor(inline, path)


def _check_dims(tensor: TensorProto, path: Path) -> None:
    size = math.prod(max(d, 1) for d in tensor.dims[:MAX_RANK])  # an empty tensor counts, too
    if len(tensor.dims) > MAX_RANK or min(tensor.dims, default=0) < 0 or size > MAX_BYTES:
        raise ModelError(f"{path}: tensor {tensor.name!r}: bad shape {list(tensor.dims)[:12]}")


def _read_tensor(tensor: TensorProto, path: Path) -> AnyArray:
    _check_dims(tensor, path)
    where = f"{path}: tensor {tensor.name!r}"
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ModelError(f"{where}: {str(error).splitlines()[0]}") from None
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ModelError(f"{where}: holds NaN")
    return array


def _find_dtype(code: int, where: str) -> np.dtype[Any]:
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(code)
    except KeyError:
        raise ModelError(f"{where}: unknown type {code}") from None


def _read_opset(model: ModelProto, path: Path) -> int:
    versions = list({o.version for o in model.opset_import if o.domain in ONNX})
    newest = onnx.defs.onnx_opset_version()
    if not versions and model.opset_import:  # all nodes are of other domains
        return DEFAULT_OPSET
    if len(versions) != 1:
        raise ModelError(f"{path}: needs exactly one version of the ONNX operator set")
    if not 1 <= versions[0] <= newest:
        raise UnsupportedModelError(
            f"{path}: opset {versions[0]}; supported are 1 to {newest}: "
            "export again with one of these"
        )
    return int(versions[0])


def _check_model(model: ModelProto, opset: int, path: Path) -> None:
    """Run ONNX's own checker, without shape inference, which can hang on hostile shapes.

    The checker accepts an empty name where an input is needed, which is refused here, and refuses
    inputs and outputs whose shape is left open, which onnxruntime runs and is accepted here.
    """
    types = (v.type for v in (*model.graph.input, *model.graph.output))
    tensors = (t.tensor_type for t in types if t.HasField("tensor_type"))
    open_shapes = [t for t in tensors if not t.HasField("shape")]
    for tensor in open_shapes:
        tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        line = " ".join(str(error).split())
        raise ModelError(f"{path}: not a valid ONNX model: {line[:300]}") from None
    for tensor in open_shapes:
        tensor.ClearField("shape")
    for node in (n for n in model.graph.node if "" in n.input and n.domain in ONNX):
        schema = onnx.defs.get_schema(node.op_type, opset)
        for name, formal in zip(node.input, schema.inputs, strict=False):
            if not name and formal.option != onnx.defs.OpSchema.FormalParameterOption.Optional:
                raise ModelError(f"{path}: a {node.op_type} node has no input {formal.name!r}")


def _read_attribute(a: AttributeProto, opset: int, path: Path) -> Any:
    if a.type == AttributeProto.TENSOR:
        return _read_tensor(a.t, path)
    if a.type == AttributeProto.GRAPH:
        return _read_body(a.g, opset, path)
    if a.type in UNREAD:
        return None
    value = onnx.helper.get_attribute_value(a)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int | float):
        return value
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]


def _read_body(graph: GraphProto, opset: int, path: Path) -> Body:
    return Body.from_nodes(
        _read_nodes(graph, opset, path),
        tuple(v.name for v in graph.input),
        tuple(v.name for v in graph.output),
        {t.name: _read_tensor(t, path) for t in graph.initializer},
    )


def _read_nodes(graph: GraphProto, opset: int, path: Path) -> tuple[Node, ...]:
    """Return one `Node` for each output of each ONNX node."""

    def split(proto: NodeProto) -> list[Node]:
        op = proto.op_type if proto.domain in ONNX else f"{proto.domain}.{proto.op_type}"
        attrs = {a.name: _read_attribute(a, opset, path) for a in proto.attribute}
        _refuse_odd_switches(proto, attrs, path)
        given, made = tuple(proto.input), tuple(proto.output)
        captures = tuple(sorted(_find_free_names(proto) - set(given)))
        return [
            Node(name, op, given, attrs, i, proto.name, opset, len(made), made, captures)
            for i, name in enumerate(made)
            if name
        ]

    return tuple(node for proto in graph.node for node in split(proto))


def _refuse_odd_switches(node: NodeProto, attrs: dict[str, Any], path: Path) -> None:
    """Raise `ModelError` if an attribute that is off or on is neither: readers differ on those."""
    for name in sorted(SWITCHES & attrs.keys()) if node.domain in ONNX else ():
        if not (isinstance(attrs[name], int) and 0 <= attrs[name] <= 1):
            raise ModelError(
                f"{path}: node {', '.join(node.output)!r} ({node.op_type}): {name} is "
                f"{attrs[name]!r}, but must be 0 or 1"
            )


def _find_free_names(node: NodeProto) -> set[str]:
    """Return the values from outside that a node needs: its inputs, and what its bodies read."""
    names = {name for name in node.input if name}
    for body in (a.g for a in node.attribute if a.type == AttributeProto.GRAPH):
        own = {v.name for v in body.input} | {t.name for t in body.initializer}
        own.update(name for inner in body.node for name in inner.output)
        reads = {v.name for v in body.output}.union(*map(_find_free_names, body.node))
        names |= reads - own
    return names


def _find_bodies(graph: GraphProto) -> list[GraphProto]:
    """Return the graphs in the attributes of a graph's nodes."""
    return [a.g for n in graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]


def _sort_nodes(graph: GraphProto, path: Path, outer: frozenset[str] = frozenset()) -> None:
    """Put the nodes in topological order, those of bodies too.

    Raise ModelError if two values have the same name, a value is read but never made, or the graph
    has a cycle.
    """
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    known = own | outer
    made = [name for node in graph.node for name in node.output if name]
    if len(set(made)) < len(made) or own & set(made):
        raise ModelError(f"{path}: two values have the same name")
    needs = [_find_free_names(node) - known for node in graph.node]
    if any(
        isinstance(name, bytes) for name in known.union(made, *needs)
    ):  # protobuf returns invalid UTF-8 so
        raise ModelError(f"{path}: the name of a value is not UTF-8 text")
    if ghosts := sorted(set().union(*needs) - set(made)):
        raise ModelError(f"{path}: value {ghosts[0]!r} is read but never made")
    order = _find_order(needs, [node.output for node in graph.node])
    if len(order) < len(needs):
        raise ModelError(f"{path}: the graph has a cycle")
    for body in _find_bodies(graph):
        _sort_nodes(body, path, frozenset(known.union(made)))
    if order != sorted(order):
        nodes = [NodeProto.FromString(graph.node[i].SerializeToString()) for i in order]
        del graph.node[:]
        graph.node.extend(nodes)


def _find_order(needs: Sequence[set[str]], made: Sequence[Iterable[str]]) -> list[int]:
    """Return positions in an order of computation; those on a cycle are missing."""
    readers: dict[str, list[int]] = {}
    for position, names in enumerate(needs):
        for name in names:
            readers.setdefault(name, []).append(position)
    missing = [len(names) for names in needs]
    ready = [i for i, count in enumerate(missing) if count == 0]
    for position in ready:  # grows while it is walked
        for reader in (r for name in made[position] for r in readers.get(name, [])):
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    return ready


def _read_value(info: onnx.ValueInfoProto, path: Path) -> Value:
    tensor = info.type.tensor_type
    where = f"{path}: value {info.name!r}"
    dtype = _find_dtype(tensor.elem_type, where).name if tensor.elem_type else ""
    if not tensor.HasField("shape"):
        return Value(None, dtype)
    dims: Dims = tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
        for d in tensor.shape.dim
    )
    return Value(dims, dtype)
