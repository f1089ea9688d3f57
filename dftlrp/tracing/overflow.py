"""Overflow inside of a network: numbers that float32 cannot hold, before an output that it can.

A number divided by an infinite one is zero, so the output of such a network may be right to the
last digit while relevance cannot go back through the infinite value.  The original file is asked,
with its output, whether the values in front of it are finite; those that are not are looked up in
float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper

from dftlrp.core.types import AnyArray
from dftlrp.engine.plan import Plan
from dftlrp.graph.load import DEFAULT_OPSET, ONNX
from dftlrp.graph.structure import Node
from dftlrp.tracing.session import Arrays

LARGEST = float(np.finfo(np.float32).max)
MASK = 1e30  # a constant from here on is a mask: what is added to it is meant to vanish
PREFIX = "dftlrp/finite/"  # of the names of added values


def add_checks(
    proto: ModelProto, names: Sequence[str], wide: int = TensorProto.DOUBLE
) -> list[str]:
    """Add an output for each of these values, which is NaN where the value is not finite, else 0.

    ``wide`` is the type of a float that holds all of them.

    Only values that the graph makes count; the names of the new outputs are returned.
    """
    graph, added = proto.graph, list[str]()
    made = {name for node in graph.node for name in node.output}
    for name in (n for n in names if n in made):
        cast, less, total = (f"{PREFIX}{step}/{name}" for step in ("wide", "less", "sum"))
        graph.node.extend(
            [
                helper.make_node("Cast", [name], [cast], to=wide),
                helper.make_node("Sub", [cast, cast], [less]),  # 0, or inf - inf
                helper.make_node("ReduceSum", [less], [total], keepdims=0),
            ]
        )
        graph.output.append(helper.make_tensor_value_info(total, wide, []))
        added.append(total)
    if added and not any(o.domain in ONNX for o in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("", DEFAULT_OPSET))
    return added


def list_infinite(results: Mapping[str, AnyArray]) -> frozenset[str]:
    """Return the values that are not finite, by the outputs that `add_checks` added."""
    prefix = f"{PREFIX}sum/"
    found = (n for n, y in results.items() if n.startswith(prefix) and not np.isfinite(y))
    return frozenset(n.removeprefix(prefix) for n in found)


def find_overflow(
    plan: Plan, infinite: frozenset[str], values: Arrays
) -> tuple[Node, float] | None:
    """Return the first node whose output overflows, and how large that is; None if none does.

    A value that is infinite in float64, too, or that a mask makes so, is none, and neither is what
    is computed from these.

    Parameters
    ----------
    infinite : frozenset of str
        The values that are not finite in float32.
    values : dict of str to array
        All values in float64.
    """
    excused = set[str]()
    for node in plan.nodes:
        if node.output not in infinite:
            continue
        y = np.abs(values[node.output])
        over = ~(y <= LARGEST)
        if (
            not np.isfinite(y).all()
            or not excused.isdisjoint(node.inputs)
            or _is_masked(plan, node, over, values)
        ):
            excused.add(node.output)
        elif over.any():
            return node, float(y.max())
    return None


def _is_masked(plan: Plan, node: Node, over: AnyArray, values: Arrays) -> bool:
    """Return whether a constant operand makes the output as large as it is at all these places."""
    live = plan.live.get(node.key, ())
    fixed = [values[n] for i, n in enumerate(node.inputs) if n and i not in live and n in values]
    masks = [
        np.broadcast_to(np.abs(a) >= MASK, over.shape)
        for a in fixed
        if a.dtype.kind == "f" and _broadcasts(a.shape, over.shape)
    ]
    return bool(masks) and bool(np.all(np.any(masks, axis=0)[over]))


def _broadcasts(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Return whether an array of a shape broadcasts to another."""
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False
