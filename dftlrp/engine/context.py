"""What a recogniser of patterns sees: nodes that ran, their values, and what carries relevance."""

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
    """The nodes that ran, with what was merged of them so far.

    Attributes
    ----------
    nodes : sequence of Node
        The nodes that ran.
    values : dict of str to array
        Their values, and those of nodes that were added.
    live, true : dict of str to tuple of int
        For each node, the inputs that carry relevance, and those that would if none was frozen.
    fold : bool
        Whether a BatchNormalization is a part of the layer before it.
    made, raw : dict of str to Node
        The node that makes each value, as merged so far and as it ran.
    order : dict of str to int
        When each value was made.
    derived : list of Node
        The nodes that make values which merged layers read beside the graph's own.
    """

    nodes: Sequence[Node]
    values: dict[str, AnyArray]
    live: Live
    true: Live
    fold: bool = True
    made: dict[str, Node] = field(init=False)
    raw: dict[str, Node] = field(init=False)
    order: dict[str, int] = field(init=False)
    derived: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.raw = {node.output: node for node in self.nodes}
        self.made = dict(self.raw)
        self.order = {node.output: i for i, node in enumerate(self.nodes)}

    def derive(self, output: str, op: str, *inputs: str, **attrs: Any) -> str:
        """Add a value that a merged layer reads, by the node that makes it; return its name."""
        node = Node(output, op, inputs, attrs)
        args = tuple(self.values[name] for name in inputs)
        self.values[output] = OPS[op].evaluate(At(node, NUMPY, args, ()))
        self.derived.append(node)
        return output

    def add_constant(self, output: str, value: AnyArray, *sources: str) -> str:
        """Add a value that was computed from these sources; return its name."""
        self.values[output] = value
        self.derived.append(Node(output, "Constant", (), {"value": value}, captures=sources))
        return output

    def find_maker(self, name: str, *ops: str) -> Node | None:
        """Return the node that makes a value out of a signal, if it is one of these ops."""
        node = self.made.get(name)
        return node if node is not None and node.op in ops and node.key in self.live else None

    def split_fixed(self, node: Node) -> tuple[str, str, AnyArray] | None:
        """Return the fixed input of a node, the live one, and the fixed one's value.

        Return None unless the node has two inputs, one of which is live.
        """
        live = self.live.get(node.key, ())
        if len(node.inputs) != 2 or len(live) != 1:
            return None
        other = node.inputs[1 - live[0]]
        return other, node.inputs[live[0]], np.asarray(self.values[other])


def merge_names(*nodes: Node) -> tuple[str, ...]:
    """Return all names of a layer that is made of these nodes."""
    names = (name for n in nodes for name in (n.output, n.alias, n.layer_key, *n.names) if name)
    return tuple(dict.fromkeys(names))
