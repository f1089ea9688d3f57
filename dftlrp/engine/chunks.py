"""A model that keeps its state from chunk to chunk, as one model of a whole recording.

A streaming model reads a chunk and a state, and returns an output and the next state.  Over a
recording it is a loop: chunk k runs on samples ``k chunk - context ... (k + 1) chunk`` with the
state that chunk k - 1 left; zeros before the start, after the end, and for the first state.  So
relevance of a late output reaches the early samples that it remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from dftlrp.core.names import find_name, suggest
from dftlrp.core.types import InputError
from dftlrp.graph.structure import Body, Graph, Node, Value, find_ancestors
from dftlrp.ops.control import count_nodes, instantiate_body, make_stack, refuse_long
from dftlrp.ops.registry import Known, register_expansion


def make_chunked(
    graph: Graph,
    states: Mapping[str, str],
    chunk: int,
    context: int = 0,
    axis: int = -1,
    output: str | None = None,
) -> Graph:
    """Return the graph over a whole recording.

    Parameters
    ----------
    states : dict of str to str
        From each input that is a state to the output that is its next value.
    chunk, context : int
        Number of new samples in each run, and of earlier samples that it reads again.
    axis : int
        Axis of the signal along which chunks follow each other.
    output : str, optional
        The output that is stacked over the chunks, along a new axis 1; by default the first that is
        no state.

    Raises
    ------
    InputError
        The graph has no such input or output, or not one signal; a length is below 1.
    """
    for state, following in states.items():
        if state not in graph.inputs:
            raise InputError(
                f"state {state!r}: {suggest(state, graph.inputs)}the model's inputs are "
                f"{list(graph.inputs)}"
            )
        if following not in graph.outputs:
            raise InputError(
                f"next state {following!r}: {suggest(following, graph.outputs)}the outputs are "
                f"{list(graph.outputs)}"
            )
    if chunk < 1 or context < 0:
        raise InputError(f"chunk {chunk} must be at least 1, and context {context} at least 0")
    signals = [name for name in graph.signals if name not in states]
    if len(signals) != 1:
        raise InputError(f"chunks need one signal beside the states, not {signals}")
    shown = output or next((o for o in graph.outputs if o not in states.values()), "")
    shown = find_name(shown, graph.outputs, "unknown output")
    return _make_loop(graph, signals[0], states, shown, {"chunk": chunk, "context": context}, axis)


def _make_loop(
    graph: Graph, signal: str, states: Mapping[str, str], shown: str, sizes: dict[str, int],
    axis: int,
) -> Graph:  # fmt: skip
    wanted = [shown, *states.values()]
    body = Body.from_nodes(
        find_ancestors(graph.nodes, wanted), (signal, *states), tuple(wanted), {}
    )
    value = graph.inputs[signal]
    if value.dims is not None:
        axis = axis % len(value.dims)
        value = Value(
            tuple(None if i == axis else d for i, d in enumerate(value.dims)), value.dtype
        )
    starts = {f"{name}/start": _make_zeros(graph.inputs[name]) for name in states}
    node = Node(
        shown, "Chunks", (signal, *starts), {"body": body, "axis": axis, **sizes},
        captures=tuple(sorted(body.links)),
    )  # fmt: skip
    others = {k: v for k, v in graph.inputs.items() if k not in states and k != signal}
    return replace(
        graph, nodes=(node,), inputs={signal: value, **others},
        outputs={shown: Value(None, graph.outputs[shown].dtype)},
        constants=graph.constants | starts,
    )  # fmt: skip


def _make_zeros(value: Value) -> np.ndarray:
    return np.zeros([d or 1 for d in value.dims or ()], value.dtype)


@register_expansion("Chunks")
def chunks(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The nodes of the body, on one chunk after the other."""
    body: Body = node.attrs["body"]
    chunk, context, axis = (node.attrs[k] for k in ("chunk", "context", "axis"))
    signal, *states = node.inputs
    x = values[signal]
    axis, size = axis % x.ndim, x.shape[axis]
    count = -(-size // chunk)
    refuse_long(node, count, count_nodes(body.nodes), room)
    before = [context if i == axis else 0 for i in range(x.ndim)]
    after = [count * chunk - size if i == axis else 0 for i in range(x.ndim)]
    padded = f"{signal}/padded"
    yield Node(padded, "Pad", (signal,), {"pads": before + after}, opset=9)
    shown = []
    for k in range(count):
        part = f"{signal}[{k}]"
        place = {"starts": [k * chunk], "ends": [(k + 1) * chunk + context], "axes": [axis]}
        yield Node(part, "Slice", (padded,), place, opset=9, layer_key=f"{signal}/chunk")
        names = dict(zip(body.inputs, (part, *states), strict=True))
        nodes, (out, *states) = instantiate_body(body, names, f"[{k}]")
        yield from nodes
        shown.append(out)
    yield make_stack(node.output, shown, 1)
