"""A model that keeps its state from chunk to chunk, as one model of a whole recording.

A streaming model reads a chunk and a state, and returns an output and the next state.  Over a
recording it is a loop: chunk k runs on samples ``k chunk - context ... (k + 1) chunk`` with the
state that chunk k - 1 left; zeros before the start, after the end, and for the first state.  So
relevance of a late output reaches the early samples that it remembers.

Of a long recording a `Stretch` is explained: some chunks, from the state that the earlier ones
left.  That state is a number, the same for the recording and for what it is compared with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dftlrp.core.names import find_name, suggest
from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.plan import ENDS
from dftlrp.graph.structure import Body, Graph, Node, Value, find_ancestors
from dftlrp.ops.control import count_nodes, instantiate_body, make_alias, make_stack, refuse_long
from dftlrp.ops.registry import Known, register_expansion


@dataclass(frozen=True)
class Chunking:
    """How a streaming model is run.

    Attributes
    ----------
    states : dict of str to str
        From each input that is a state to the output that is its next value.
    chunk, context : int
        Number of new samples in each run, and of earlier samples that it reads again.
    axis : int
        Axis of the signal along which chunks follow each other.
    output : str, optional
        The output that is explained; by default the first that is no state.
    signal : str, optional
        The input that is cut in chunks; by default the one that is neither state nor setting.
    """

    states: Mapping[str, str]
    chunk: int
    context: int = 0
    axis: int = -1
    output: str | None = None
    signal: str | None = None


@dataclass(frozen=True)
class StreamHints:
    """What a user says of a streaming model; what is None is recognised.

    Attributes
    ----------
    states, chunk, context, axis
        As of `Chunking`.
    """

    states: Mapping[str, str] | None = None
    chunk: int | None = None
    context: int | None = None
    axis: int | None = None


@dataclass(frozen=True, eq=False)
class Stretch:
    """The chunks of a recording that are explained.

    Attributes
    ----------
    first, last : int
        The first and the last of them; the output of the last one is explained.
    starts : dict of str to array
        By input, the state before the first one; zeros where it is missing.
    """

    first: int
    last: int
    starts: Mapping[str, AnyArray]


def make_chunked(graph: Graph, how: Chunking, stretch: Stretch | None = None) -> Graph:
    """Return the graph over a whole recording.

    Its output is that of all chunks, stacked along a new axis 1; with a stretch it is that of the
    stretch's last chunk, in the shape that the model gives it.

    Raises
    ------
    InputError
        The graph has no such input or output, or not one signal; a length is below 1.
    """
    states, chunk, context, output = how.states, how.chunk, how.context, how.output
    check_states(graph, states)
    if chunk < 1 or context < 0:
        raise InputError(f"chunk {chunk} must be at least 1, and context {context} at least 0")
    signals = [name for name in graph.signals if name not in states and how.signal in {None, name}]
    if len(signals) != 1:
        raise InputError(f"chunks need one signal beside the states, not {signals}")
    shown = output or next((o for o in graph.outputs if o not in states.values()), "")
    shown = find_name(shown, graph.outputs, "unknown output")
    return _make_loop(graph, signals[0], replace(how, output=shown), stretch)


def check_states(graph: Graph, states: Mapping[str, str]) -> None:
    """Refuse states that are no inputs, and next values that are no outputs.

    Raises
    ------
    InputError
        The message says which, and what there is.
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


def _make_loop(graph: Graph, signal: str, how: Chunking, stretch: Stretch | None) -> Graph:
    states, shown, axis = how.states, how.output or "", how.axis
    needed = find_ancestors(graph.nodes, [shown, *states.values()])
    inner, end = _split_end(needed, shown, states.values()) if stretch else (needed, ())
    wanted = [end[0].inputs[0] if end else shown, *states.values()]
    body = Body.from_nodes(inner, (signal, *states), tuple(wanted), {})
    value = graph.inputs[signal]
    if value.dims is not None:
        axis, batch = axis % len(value.dims), 1 if stretch else None  # its states are of one signal
        dims = [d or batch if i == 0 else d for i, d in enumerate(value.dims)]
        dims[axis] = None
        value = Value(tuple(dims), value.dtype)
    given = stretch.starts if stretch else {}
    starts = {
        f"{name}/start": np.asarray(given.get(name, _make_zeros(graph.inputs[name])))
        for name in states
    }
    attrs = {"body": body, "axis": axis, "chunk": how.chunk, "context": how.context}
    whole = graph.outputs[shown]
    if stretch:
        attrs |= {"first": stretch.first, "last": stretch.last}
    node = Node(wanted[0], "Chunks", (signal, *starts), attrs, captures=tuple(sorted(body.links)))
    others = {k: v for k, v in graph.inputs.items() if k not in states and k != signal}
    return replace(
        graph, nodes=(node, *end), inputs={signal: value, **others},
        outputs={shown: whole if stretch else Value(None, whole.dtype)},
        constants=graph.constants | starts,
    )  # fmt: skip


def _split_end(
    nodes: Sequence[Node], output: str, states: Collection[str]
) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the nodes without a final Softmax or Sigmoid, and that, with what renames it.

    It then stands behind the last chunk, where the plan finds it and starts with what it reads.
    """
    made, end, name = {node.output: node for node in nodes}, dict[str, Node](), output
    while (node := made.get(name)) and node.op in {"Identity", "Cast", *ENDS}:
        if name in states or any(name in n.reads for n in nodes if n.output not in end):
            break
        end[name] = node
        if node.op in ENDS:
            return tuple(n for n in nodes if n.output not in end), tuple(reversed(end.values()))
        name = node.inputs[0]
    return tuple(nodes), ()


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
    first, last = node.attrs.get("first", 0), node.attrs.get("last", count - 1)
    if not 0 <= first <= last < count:
        raise InputError(f"chunks {first} to {last}: the signal has {count}")
    refuse_long(node, last - first + 1, count_nodes(body.nodes), room)
    before = [context if i == axis else 0 for i in range(x.ndim)]
    after = [count * chunk - size if i == axis else 0 for i in range(x.ndim)]
    source, origin = f"{signal}/padded", 0
    yield Node(source, "Pad", (signal,), {"pads": before + after}, opset=9)
    if "last" in node.attrs:  # so that what is cut out of it is small
        part, origin = f"{signal}/stretch", first
        place = {"starts": [first * chunk], "ends": [(last + 1) * chunk + context], "axes": [axis]}
        yield Node(part, "Slice", (source,), place, opset=9)
        source = part
    shown = []
    for k in range(first, last + 1):
        part, start = f"{signal}[{k}]", (k - origin) * chunk
        place = {"starts": [start], "ends": [start + chunk + context], "axes": [axis]}
        yield Node(part, "Slice", (source,), place, opset=9, layer_key=f"{signal}/chunk")
        names = dict(zip(body.inputs, (part, *states), strict=True))
        nodes, (out, *states) = instantiate_body(body, names, f"[{k}]")
        yield from nodes
        shown.append(out)
    if "last" in node.attrs:
        yield make_alias(node.output, shown[-1])
    else:
        yield make_stack(node.output, shown, 1)
