"""Rewriting a checked model with ONNX's own tools: local functions inlined, old opsets raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from onnx import AttributeProto, ModelProto, NodeProto

from dftlrp.types import ModelError, UnsupportedModelError

MIN_OPSET = 9  # what the ops understand; older files are converted
MAX_NODES = 10**5  # after inlining

Key = tuple[str, str]


def inlined(model: ModelProto, path: Path) -> ModelProto:
    """The model without local functions.

    Raises
    ------
    ModelError
        Functions that call themselves, or more than `MAX_NODES` nodes once inlined: counted before
        anything is copied.
    """
    if not model.functions:
        return model
    from onnx.inliner import inline_local_functions

    if (size := _inlined_size(model, path)) > MAX_NODES:
        raise ModelError(f"{path}: {size} nodes once its functions are inlined: more than can be")
    return inline_local_functions(model)


def _inlined_size(model: ModelProto, path: Path) -> int:
    """Number of nodes after inlining, by one pass over the functions, callees first."""
    calls = {(f.domain, f.name): Counter(map(_key, _all(f.node))) for f in model.functions}
    sizes: dict[Key, int] = {}
    while len(sizes) < len(calls):
        ready = [k for k in calls.keys() - sizes if calls[k].keys() & calls.keys() <= sizes.keys()]
        if not ready:
            raise ModelError(f"{path}: its functions call each other in a circle")
        sizes |= {k: sum(sizes.get(c, 1) * n for c, n in calls[k].items()) for k in ready}
    return sum(sizes.get(_key(node), 1) for node in _all(model.graph.node))


def _key(node: NodeProto) -> Key:
    return node.domain, node.op_type


def _all(nodes: object) -> Iterator[NodeProto]:
    """The nodes and those of their bodies."""
    waiting = [nodes]
    for some in waiting:  # grows while it is walked
        for node in some:  # type: ignore[attr-defined]
            yield node
            waiting += [a.g.node for a in node.attribute if a.type == AttributeProto.GRAPH]


def modernised(model: ModelProto, opset: int, path: Path) -> tuple[ModelProto, int]:
    """The model in an opset that the ops understand, and which.

    Raises
    ------
    UnsupportedModelError
        ONNX's converter cannot raise it.
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
