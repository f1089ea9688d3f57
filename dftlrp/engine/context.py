"""What a recogniser of patterns sees: nodes that ran, their values, and what carries relevance.

What is recognised at one input is the model's for all inputs of its shapes.  So it may depend on
how nodes are joined, on shapes and on numbers that no signal changes, and on no others: `read`
refuses these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray, Shape
from dftlrp.engine.gates import Live
from dftlrp.graph.structure import Node
from dftlrp.ops import OPS, At

MERGED = 64  # nodes of a layer, at most


@dataclass
class Context:
    """The nodes that ran, with what was merged of them so far.

    Attributes
    ----------
    nodes : sequence of Node
        The nodes that ran.
    values : dict of str to array
        Their values, and those of nodes that were added.
    moving : set of str
        The values that depend on the signals.
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
    turn : tuple of (str, int)
        The step of a recurrence that is looked at; see `Node.turn`.
    """

    nodes: Sequence[Node]
    values: dict[str, AnyArray]
    moving: set[str]
    live: Live
    true: Live
    fold: bool = True
    made: dict[str, Node] = field(init=False)
    raw: dict[str, Node] = field(init=False)
    order: dict[str, int] = field(init=False)
    derived: list[Node] = field(default_factory=list)
    turn: tuple[str, int] = ("", 0)

    def __post_init__(self) -> None:
        self.raw = {node.output: node for node in self.nodes}
        self.made = dict(self.raw)
        self.order = {node.output: i for i, node in enumerate(self.nodes)}

    def find_shape(self, name: str) -> Shape:
        """Return the shape of a value."""
        return tuple(self.values[name].shape)

    def is_fixed(self, *names: str) -> bool:
        """Return whether no signal changes these values; "" stands for an input left out."""
        return self.moving.isdisjoint(names)

    def read(self, name: str) -> AnyArray:
        """Return the numbers of a value that no signal changes."""
        assert name not in self.moving, f"the numbers of {name!r} depend on the input"
        return np.asarray(self.values[name])

    def read_arguments(self, node: Node, x: AnyArray) -> At | None:
        """Return a node at x, or None if its other inputs depend on a signal."""
        if not self.is_fixed(*node.inputs[1:]):
            return None
        others = (self.read(name) if name else None for name in node.inputs[1:])
        return At(node, NUMPY, (x, *others), (0,))

    def derive(self, output: str, op: str, *inputs: str, **attrs: Any) -> str:
        """Add a value that a merged layer reads, by the node that makes it; return its name."""
        node = Node(output, op, inputs, attrs, turn=self.turn)
        args = tuple(self.values[name] for name in inputs)
        self.add_value(output, OPS[op].evaluate(At(node, NUMPY, args, ())), *inputs)
        self.derived.append(node)
        return output

    def add_value(self, output: str, value: AnyArray, *inputs: str) -> None:
        """Add a value that a node makes of these inputs."""
        self.values[output] = value
        if not self.is_fixed(*inputs):
            self.moving.add(output)

    def add_constant(self, output: str, value: AnyArray, *sources: str) -> str:
        """Add a value that was computed from these sources; return its name."""
        self.values[output] = value
        attrs = {"value": value}
        self.derived.append(Node(output, "Constant", (), attrs, captures=sources, turn=self.turn))
        return output

    def find_maker(self, name: str, *ops: str) -> Node | None:
        """Return the node that makes a value out of a signal, if it is one of these ops."""
        node = self.made.get(name)
        return node if node is not None and node.op in ops and node.key in self.live else None

    def split_live(self, node: Node) -> tuple[str, str] | None:
        """Return the input of a node that carries no relevance, and the live one.

        Return None unless the node has two inputs, one of which is live.
        """
        live = self.live.get(node.key, ())
        if len(node.inputs) != 2 or len(live) != 1:
            return None
        return node.inputs[1 - live[0]], node.inputs[live[0]]


def merge_names(*nodes: Node) -> tuple[str, ...]:
    """Return all names of a layer that is made of these nodes."""
    names = (name for n in nodes for name in (n.output, n.alias, n.layer_key, *n.names) if name)
    return tuple(dict.fromkeys(names))
