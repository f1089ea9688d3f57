"""From bytes to a validated `Graph`.

A model file is input from somebody else.  Everything here runs before anything of the
model is evaluated, walks without recursion, and reads nothing outside the model's folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from dftlrp.graph.graph import Dims, Graph, Node, Value
from dftlrp.types import AnyArray, ModelError, UnsupportedModelError

MIN_OPSET = 9
MAX_RANK = 8
MAX_BYTES = 2**31


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read and validate an ONNX file.

    Raises
    ------
    ModelError
        Missing, not ONNX, truncated, or violating a rule below; the message says which.
    UnsupportedModelError
        Local functions or an opset outside 9 to the newest this onnx knows.
    """
    path = Path(path)
    data = _read(path, path.parent, MAX_BYTES)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ModelError(f"{path}: not an ONNX file, or a truncated one") from None
    if not model.graph.node:
        raise ModelError(f"{path}: not an ONNX model (no graph in it)")
    digest = hashlib.sha256(data)
    _refuse_sparse(model.graph, path)
    constants = {t.name: _tensor(t, path, digest) for t in model.graph.initializer}
    opset = _opset(model, path)
    _check(model, path)
    return Graph(
        nodes=_sorted(_nodes(model.graph, opset, path), model.graph, path),
        inputs={v.name: _value(v) for v in model.graph.input if v.name not in constants},
        outputs={v.name: _value(v) for v in model.graph.output},
        constants=constants,
        metadata={p.key: p.value for p in model.metadata_props},
        sha256=digest.hexdigest(),
    )


def _read(path: Path, folder: Path, limit: int) -> bytes:
    """The bytes of a regular file that is no link, inside ``folder``."""
    try:
        if path.is_dir():
            raise ModelError(f"{path}: is a folder, not an ONNX file")
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ModelError(f"{path}: not a regular file")
            if info.st_size > limit:
                raise ModelError(f"{path}: {info.st_size} bytes, more than the limit of {limit}")
            return file.read()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None


def _external(tensor: TensorProto, path: Path) -> bytes:
    """Bytes of an external tensor: a plain file name beside the model, no link, right length."""
    entries = {e.key: e.value for e in tensor.external_data}
    name = entries.get("location", "")
    where = f"{path}: external data of {tensor.name!r}"
    if not name or name != os.path.basename(name) or name in {".", ".."}:
        raise ModelError(f"{where}: location {name!r} is not a plain file name")
    file = path.parent / name
    if file.is_symlink() or (file.exists() and file.stat().st_nlink > 1):
        raise ModelError(f"{where}: {name!r} is a link")
    data = _read(file, path.parent, 2**36)
    offset = int(entries.get("offset", 0))
    itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    length = int(np.prod(tensor.dims, dtype=object)) * itemsize
    if int(entries.get("length", length)) != length or not 0 <= offset <= len(data) - length:
        raise ModelError(f"{where}: needs {length} bytes at {offset}, {name!r} does not have them")
    return data[offset : offset + length]


def _tensor(tensor: TensorProto, path: Path, digest: Any = None) -> AnyArray:
    """A tensor as an array; ``digest`` given: external data is allowed and counted in."""
    where = f"{path}: tensor {tensor.name!r}"
    if len(tensor.dims) > MAX_RANK or any(d < 0 for d in tensor.dims):
        raise ModelError(f"{where}: bad shape {list(tensor.dims)[:12]}")
    if tensor.data_location == TensorProto.EXTERNAL:
        if digest is None:
            raise ModelError(f"{where}: external data is not allowed in an attribute")
        inline = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        inline.raw_data = _external(tensor, path)
        digest.update(inline.raw_data)
        tensor.CopyFrom(inline)
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ModelError(f"{where}: {str(error).splitlines()[0]}") from None
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ModelError(f"{where}: holds NaN")
    return array


def _refuse_sparse(graph: GraphProto, path: Path) -> None:
    if graph.sparse_initializer:
        raise ModelError(f"{path}: sparse initialisers are not supported: export dense weights")


def _opset(model: ModelProto, path: Path) -> int:
    versions = [o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1:
        raise ModelError(f"{path}: needs exactly one import of the ONNX operator set")
    if not MIN_OPSET <= versions[0] <= newest:
        raise UnsupportedModelError(
            f"{path}: opset {versions[0]}; supported are {MIN_OPSET} to {newest}: "
            "export again with one of these"
        )
    if model.functions:
        raise UnsupportedModelError(
            f"{path}: has local functions: inline them first (onnx.inliner.inline_local_functions)"
        )
    return versions[0]


def _check(model: ModelProto, path: Path) -> None:
    """ONNX's own checker, without shape inference (which can hang on hostile shapes)."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        line = " ".join(str(error).split())
        raise ModelError(f"{path}: not a valid ONNX model: {line[:300]}") from None


def _attribute(a: AttributeProto, path: Path) -> Any:
    if a.type == AttributeProto.TENSOR:
        return _tensor(a.t, path)
    if a.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
        return None  # the ops that carry graphs are refused by name
    value = onnx.helper.get_attribute_value(a)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if not isinstance(value, int | float) else value


def _nodes(graph: GraphProto, opset: int, path: Path) -> list[Node]:
    """One `Node` for each output of each ONNX node."""

    def one(proto: NodeProto, index: int, output: str) -> Node:
        op = proto.op_type if proto.domain in {"", "ai.onnx"} else f"{proto.domain}.{proto.op_type}"
        attrs = {a.name: _attribute(a, path) for a in proto.attribute}
        return Node(output, op, tuple(proto.input), attrs, index, proto.name, opset)

    return [one(p, i, name) for p in graph.node for i, name in enumerate(p.output) if name]


def _sorted(nodes: list[Node], graph: GraphProto, path: Path) -> tuple[Node, ...]:
    """Topological order; refuses doubled names, values from nowhere, and cycles."""
    given = [v.name for v in graph.input] + [t.name for t in graph.initializer]
    known = set(given)
    made = [node.output for node in nodes]
    if len(set(made)) < len(made) or known & set(made):
        raise ModelError(f"{path}: two values have the same name")
    if ghosts := sorted({i for n in nodes for i in n.inputs if i} - known - set(made)):
        raise ModelError(f"{path}: value {ghosts[0]!r} is read but never made")
    readers: dict[str, list[int]] = {}
    missing = []
    for position, node in enumerate(nodes):
        needs = {i for i in node.inputs if i and i not in known}
        missing.append(len(needs))
        for name in needs:
            readers.setdefault(name, []).append(position)
    ready = [i for i, count in enumerate(missing) if count == 0]
    order: list[Node] = []
    for position in ready:  # grows while it is walked
        order.append(nodes[position])
        for reader in readers.get(nodes[position].output, []):
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    if len(order) < len(nodes):
        raise ModelError(f"{path}: the graph has a cycle")
    return tuple(order)


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if tensor.elem_type else ""
    if not tensor.HasField("shape"):
        return Value(None, dtype)
    dims: Dims = tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
        for d in tensor.shape.dim
    )
    return Value(dims, dtype)
