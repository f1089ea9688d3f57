"""Rewriting a checked model by ONNX's own tools: inlining functions, raising old opsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from onnx import AttributeProto, ModelProto, NodeProto

from dftlrp.core.types import ModelError, UnsupportedModelError

MIN_OPSET = 9  # what the ops understand; older files are converted
MAX_NODES = 10**5  # in a file, those of its functions written out
MAX_BYTES, TIMES = 2**26, 2**4  # of these: the first, and a multiple of the file's own

Key = tuple[str, str]


def inline_functions(model: ModelProto, path: Path) -> ModelProto:
    """Return the model without local functions.

    Raises
    ------
    ModelError
        A function calls itself, or the model has more than `MAX_NODES` nodes, or many more bytes
        than in the file, once inlined: both are counted before anything is copied.
    """
    if not model.functions:
        return model
    from onnx.inliner import inline_local_functions

    nodes, size = (
        _measure_inlined(model, path, weigh) for weigh in (lambda _: 1, NodeProto.ByteSize)
    )
    if nodes > MAX_NODES:
        raise ModelError(f"{path}: {nodes} nodes once its functions are inlined: more than can be")
    if size > MAX_BYTES + TIMES * model.ByteSize():
        raise ModelError(f"{path}: {size} bytes once its functions are inlined: more than can be")
    try:
        return inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: its functions cannot be inlined: {line}") from None


def refuse_many_nodes(model: ModelProto, path: Path) -> None:
    """Raise ModelError if the file has more than `MAX_NODES` nodes, those of bodies included."""
    count = sum(1 for _ in _walk_nodes(model.graph.node))
    if count > MAX_NODES:
        raise ModelError(f"{path}: {count} nodes: more than can be (at most {MAX_NODES})")


def _measure_inlined(model: ModelProto, path: Path, weigh: Callable[[NodeProto], int]) -> int:
    """Return the weight of all nodes after inlining, by one pass over functions, callees first.

    A node that calls a function weighs what that weighs.
    """
    nodes = {(f.domain, f.name): list(_walk_nodes(f.node)) for f in model.functions}
    calls = {key: Counter(map(_identify_call, found)) for key, found in nodes.items()}
    own = {
        k: sum(weigh(n) for n in ns if _identify_call(n) not in nodes) for k, ns in nodes.items()
    }
    sizes: dict[Key, int] = {}
    while len(sizes) < len(calls):
        ready = [k for k in calls.keys() - sizes if calls[k].keys() & calls.keys() <= sizes.keys()]
        if not ready:
            raise ModelError(f"{path}: its functions call each other in a circle")
        sizes |= {
            k: own[k] + sum(sizes[c] * n for c, n in calls[k].items() if c in sizes) for k in ready
        }
    return sum(
        sizes.get(_identify_call(node)) or weigh(node) for node in _walk_nodes(model.graph.node)
    )


def _identify_call(node: NodeProto) -> Key:
    """Return the domain and name of the function or op that a node calls."""
    return node.domain, node.op_type


def _walk_nodes(nodes: object) -> Iterator[NodeProto]:
    """Yield the nodes and those of their bodies."""
    waiting = [nodes]
    for some in waiting:  # grows while it is walked
        for node in some:  # type: ignore[attr-defined]
            yield node
            waiting += [a.g.node for a in node.attribute if a.type == AttributeProto.GRAPH]


def raise_opset(model: ModelProto, opset: int, path: Path) -> tuple[ModelProto, int]:
    """Return the model in an opset that the ops understand, and that opset.

    Raises
    ------
    UnsupportedModelError
        ONNX's converter cannot raise the opset.
    """
    if opset >= MIN_OPSET:
        return model, opset
    from onnx.version_converter import ConvertError, convert_version

    try:
        return convert_version(model, MIN_OPSET), MIN_OPSET
    except (ConvertError, RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise UnsupportedModelError(
            f"{path}: opset {opset} is older than {MIN_OPSET} and cannot be converted ({line}): "
            "export again with a newer one"
        ) from None
