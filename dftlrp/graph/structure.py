"""The graph as dftlrp sees it: nodes with one output each, in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dftlrp.core.types import AnyArray

Dims = tuple[int | None, ...]


@dataclass(frozen=True)
class Node:
    """One op with one output.

    Attributes
    ----------
    output : str
        Name of the value it makes, as shown in Netron; also the node's key.
    op : str
        ONNX op type.
    inputs : tuple of str
        Names of the values it reads; empty where an optional input is left out.
    attrs : dict
        Attributes as Python numbers, lists, strings and NumPy arrays.
    index : int
        Which output of the ONNX node this is (a node with several outputs becomes several).
    count : int
        How many outputs the ONNX node has.
    alias : str
        The ONNX node's own name, often empty.
    opset : int
        Version of the operator set the node was written for.
    outputs : tuple of str
        All outputs of the ONNX node; empty where one is left out.
    captures : tuple of str
        Values from outside that the bodies in its attributes read (If, Loop, Scan).
    layer_key, layer_op : str
        The layer it is a part of, if that has another name: a step of a loop or of an LSTM.
    names : tuple of str
        Further names of the layer: those of the nodes that were merged into it.
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

    @property
    def key(self) -> str:
        """Name of the node: that of the value it makes."""
        return self.output

    @property
    def layer(self) -> str:
        """Name of the layer: its first output's name, as shown in Netron."""
        return self.layer_key or self.output

    @property
    def reads(self) -> tuple[str, ...]:
        """Every value that it needs, those that its bodies capture included."""
        return (*filter(None, self.inputs), *self.captures)

    def renamed(self, names: Mapping[str, str]) -> Node:
        """The node with other names for values, in its bodies too."""

        def to(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(names.get(v, v) for v in values)

        bodies = {k: v.renamed(names) for k, v in self.attrs.items() if isinstance(v, Body)}
        return replace(
            self,
            output=names.get(self.output, self.output),
            inputs=to(self.inputs),
            outputs=to(self.outputs),
            captures=to(self.captures),
            attrs={**self.attrs, **bodies},
        )


@dataclass(frozen=True)
class Body:
    """A graph within an attribute: a branch of an If, the body of a Loop or Scan.

    ``links`` says what the values are called now that it reads from outside; its nodes are renamed
    only when it runs.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, AnyArray]
    links: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        nodes: tuple[Node, ...],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        constants: Mapping[str, AnyArray],
    ) -> Body:
        """A body that reads from outside what it does not make itself."""
        own = {*inputs, *constants, *(n.output for n in nodes)}
        reads = {name for node in nodes for name in node.reads}.union(outputs) - own
        return cls(nodes, inputs, outputs, constants, {name: name for name in reads})

    def renamed(self, names: Mapping[str, str]) -> Body:
        """With other names for the values it reads from outside."""
        return replace(self, links={k: names.get(v, v) for k, v in self.links.items()})


@dataclass(frozen=True)
class Value:
    """A graph input or output: its dimensions (None: any) and NumPy dtype name."""

    dims: Dims | None
    dtype: str

    @property
    def is_float(self) -> bool:
        """Whether it holds floats."""
        return self.dtype.startswith(("float", "bfloat"))

    @property
    def is_scalar(self) -> bool:
        """Whether it is known to hold one number."""
        return self.dims is not None and all(d == 1 for d in self.dims)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of that shape has the declared dimensions."""
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
        Of the file's bytes, and those of its external data.
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


def ancestors(nodes: Iterable[Node], targets: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that the targets depend on, in the order given (topological)."""
    wanted, kept = set(targets), []
    for node in reversed(tuple(nodes)):
        if node.output in wanted:
            kept.append(node)
            wanted.update(node.reads)
    return tuple(reversed(kept))
