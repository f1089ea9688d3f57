"""The graph as dftlrp sees it: nodes with one output each, in topological order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dftlrp.core.types import AnyArray

Dims = tuple[int | None, ...]
SHAPES = ("Shape", "Size")  # ops whose output does not depend on what the numbers are


@dataclass(frozen=True)
class Node:
    """One op with one output.

    Attributes
    ----------
    output : str
        Name of the value that the node makes, as shown in Netron; also the node's key.
    op : str
        ONNX op type.
    inputs : tuple of str
        Names of the values that the node reads; empty where an optional input is left out.
    attrs : dict
        Attributes as Python numbers, lists, strings and NumPy arrays.
    index : int
        Which output of the ONNX node this is (a node with several outputs becomes several).
    alias : str
        The ONNX node's own name, often empty.
    opset : int
        Version of the operator set that the node was written for.
    count : int
        Number of outputs of the ONNX node.
    outputs : tuple of str
        All outputs of the ONNX node; empty where one is left out.
    captures : tuple of str
        Values from outside that the bodies in its attributes read (If, Loop, Scan).
    layer_key, layer_op : str
        Name and op of the layer that the node is a part of, where these differ from its own: a step
        of a loop or of an LSTM.
    names : tuple of str
        Further names of the layer: those of the nodes that were merged into it.
    turn : tuple of (str, int)
        Name of the recurrence that the node is a part of, and number of its step in the order of
        execution; ``("", 0)`` outside of recurrences.
    """

    output: str
    op: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    index: int = 0
    alias: str = ""
    opset: int = 17
    count: int = 1
    outputs: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()
    layer_key: str = ""
    layer_op: str = ""
    names: tuple[str, ...] = ()
    turn: tuple[str, int] = ("", 0)

    @property
    def key(self) -> str:
        """Name of the node: that of the value it makes."""
        return self.output

    @property
    def layer(self) -> str:
        """Name of the layer: that of its first output, as shown in Netron."""
        return self.layer_key or self.output

    @property
    def reads(self) -> tuple[str, ...]:
        """All values that the node needs, those that its bodies capture included."""
        return (*filter(None, self.inputs), *self.captures)

    def rename(self, names: Mapping[str, str]) -> Node:
        """Return the node with other names for values, in its bodies too."""

        def look_up(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(names.get(v, v) for v in values)

        bodies = {k: v.rename(names) for k, v in self.attrs.items() if isinstance(v, Body)}
        return replace(
            self,
            output=names.get(self.output, self.output),
            inputs=look_up(self.inputs),
            outputs=look_up(self.outputs),
            captures=look_up(self.captures),
            attrs={**self.attrs, **bodies},
        )


@dataclass(frozen=True)
class Body:
    """A graph within an attribute: a branch of an If, the body of a Loop or Scan.

    Attributes
    ----------
    nodes : tuple of Node
        In topological order.
    inputs, outputs : tuple of str
        Names of the values that the body is given and returns.
    constants : dict of str to array
        The body's own initialisers.
    links : dict of str to str
        From the names of the values that the body reads from outside to what these are called now;
        the nodes are renamed only when the body runs.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, AnyArray]
    links: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_nodes(
        cls,
        nodes: tuple[Node, ...],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        constants: Mapping[str, AnyArray],
    ) -> Body:
        """Return the body that reads from outside what it does not make itself."""
        own = {*inputs, *constants, *(n.output for n in nodes)}
        reads = {name for node in nodes for name in node.reads}.union(outputs) - own
        return cls(nodes, inputs, outputs, constants, {name: name for name in reads})

    def rename(self, names: Mapping[str, str]) -> Body:
        """Return the body with other names for the values that it reads from outside."""
        return replace(self, links={k: names.get(v, v) for k, v in self.links.items()})


@dataclass(frozen=True)
class Value:
    """A graph input or output: its dimensions (None: any) and NumPy dtype name."""

    dims: Dims | None
    dtype: str

    @property
    def is_float(self) -> bool:
        """Whether the value holds floats."""
        return self.dtype.startswith(("float", "bfloat"))

    @property
    def is_scalar(self) -> bool:
        """Whether the value is known to hold one number."""
        return self.dims is not None and all(d == 1 for d in self.dims)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of that shape has the declared dimensions."""
        dims = self.dims
        return dims is None or (
            len(dims) == len(shape)
            and all(d in {None, n} for d, n in zip(dims, shape, strict=True))
        )


@dataclass(frozen=True)
class Graph:
    """A validated ONNX graph.

    Attributes
    ----------
    nodes : tuple of Node
        In topological order.
    inputs, outputs : dict of str to Value
        In the file's order; initialisers are not inputs.
    constants : dict of str to array
        Initialisers, in the file's dtypes.
    metadata : dict of str to str
        The file's metadata_props.
    sha256 : str
        Digest of the file's bytes and of those of its external data.
    reads : str
        Behind a front end: the value that was the model's input; else empty.
    front : frozenset of str
        Keys of the nodes of a front end.
    """

    nodes: tuple[Node, ...]
    inputs: dict[str, Value]
    outputs: dict[str, Value]
    constants: dict[str, AnyArray]
    metadata: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    reads: str = ""
    front: frozenset[str] = frozenset()

    @property
    def signals(self) -> dict[str, Value]:
        """The inputs that are explained: floats but for scalars; else whole numbers (tokens).

        The others (a sample rate, a mode, lengths) are settings: bound, not explained.
        """
        many = {n: v for n, v in self.inputs.items() if not v.is_scalar}
        return {n: v for n, v in many.items() if v.is_float} or many

    @property
    def scores(self) -> tuple[str, ...]:
        """The outputs that can be explained: all but those that hold labels.

        Labels are declared as whole numbers or text; a map from labels to scores has no dtype.
        """
        labels = {n for n, v in self.outputs.items() if v.dtype and not v.is_float}
        return tuple(n for n in self.outputs if n not in labels) or tuple(self.outputs)


def find_ancestors(nodes: Iterable[Node], targets: Iterable[str]) -> tuple[Node, ...]:
    """Return the nodes that the targets depend on, in the order given (topological)."""
    wanted, kept = set(targets), []
    for node in reversed(tuple(nodes)):
        if node.output in wanted:
            kept.append(node)
            wanted.update(node.reads)
    return tuple(reversed(kept))


def find_dependents(nodes: Iterable[Node], sources: Iterable[str]) -> set[str]:
    """Return the values whose numbers depend on those of the sources, and these themselves."""
    readers = defaultdict[str, list[str]](list)
    for node in nodes:
        if node.op not in SHAPES:
            for name in (*node.inputs, *node.captures):
                readers[name].append(node.output)
    found = set(sources)
    waiting = list(found)
    for name in waiting:  # grows while it is walked
        new = [output for output in readers[name] if output not in found]
        found.update(new)
        waiting += new
    return found
