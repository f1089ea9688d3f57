"""What a recogniser sees: the nodes that ran, their values, and who carries relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray
from dftlrp.engine.gates import Live
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At


@dataclass
class Context:
    """The nodes that ran, their values, who carries relevance, and who would if none was frozen."""

    nodes: Sequence[Node]
    values: dict[str, AnyArray]
    live: Live
    true: Live
    fold: bool = True
    made: dict[str, Node] = field(init=False)  # as merged so far
    raw: dict[str, Node] = field(init=False)  # as they ran
    order: dict[str, int] = field(init=False)
    derived: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.raw = {node.output: node for node in self.nodes}
        self.made = dict(self.raw)
        self.order = {node.output: i for i, node in enumerate(self.nodes)}

    def derive(self, output: str, op: str, *inputs: str, **attrs: Any) -> str:
        """A value of its own that a merged layer reads, by the node that makes it."""
        node = Node(output, op, inputs, attrs)
        args = tuple(self.values[name] for name in inputs)
        self.values[output] = OPS[op].evaluate(At(node, NUMPY, args, ()))
        self.derived.append(node)
        return output

    def constant(self, output: str, value: AnyArray, *sources: str) -> str:
        """A value that is computed here, from these."""
        self.values[output] = value
        self.derived.append(Node(output, "Constant", (), {"value": value}, captures=sources))
        return output

    def maker(self, name: str, *ops: str) -> Node | None:
        """The node that makes a value out of a signal, if it is one of these ops."""
        node = self.made.get(name)
        return node if node is not None and node.op in ops and node.key in self.live else None

    def fixed(self, node: Node) -> tuple[str, str, AnyArray] | None:
        """Of a node with two inputs, one live: the other one, the live one, the other's value."""
        live = self.live.get(node.key, ())
        if len(node.inputs) != 2 or len(live) != 1:
            return None
        other = node.inputs[1 - live[0]]
        return other, node.inputs[live[0]], np.asarray(self.values[other])


def merged(*nodes: Node) -> tuple[str, ...]:
    """All names of a layer made of these nodes."""
    names = (name for n in nodes for name in (n.output, n.alias, n.layer_key, *n.names) if name)
    return tuple(dict.fromkeys(names))
