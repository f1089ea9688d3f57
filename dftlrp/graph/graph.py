"""The graph as dftlrp sees it: nodes with one output each, in topological order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dftlrp.types import AnyArray

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
    """

    output: str
    op: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    index: int = 0
    alias: str = ""
    opset: int = 17
    count: int = 1

    @property
    def key(self) -> str:
        """Name of the layer: the node's first output's name."""
        return self.output


@dataclass(frozen=True)
class Value:
    """A graph input or output: its dimensions (None: any) and NumPy dtype name."""

    dims: Dims | None
    dtype: str

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
    """

    nodes: tuple[Node, ...]
    inputs: dict[str, Value]
    outputs: dict[str, Value]
    constants: dict[str, AnyArray]
    metadata: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    reads: str = ""


def ancestors(nodes: Iterable[Node], targets: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that the targets depend on, in the order given (topological)."""
    wanted, kept = set(targets), []
    for node in reversed(tuple(nodes)):
        if node.output in wanted:
            kept.append(node)
            wanted.update(filter(None, node.inputs))
    return tuple(reversed(kept))
