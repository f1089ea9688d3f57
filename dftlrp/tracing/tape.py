"""A graph under construction: its nodes and constants.

Equal nodes and equal constants exist once; constants are rounded to float32 when they become
initialisers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import AttributeProto, NodeProto, helper

from dftlrp.core.types import AnyArray, Shape
from dftlrp.tracing.node_signs import find_node_sign
from dftlrp.tracing.symbols import FLOAT, Operand, Origin, Symbol, UntraceableError, narrow_dtype

TINY = 64  # bytes of a constant that is compared as it is
# NumPy's functions and the contract's primitives by name, on a tape; each module of them adds its
# own: `arithmetic`, `movement`, `functions`.
FUNCTIONS: dict[str, Callable[..., Any]] = {}


@dataclass(eq=False)
class Tape:
    """The nodes of a graph, its initialisers, and the memory of what exists already.

    Attributes
    ----------
    opset : int
        The operator set that nodes are written in.
    nodes : list of NodeProto
        In the order of execution.
    constants : dict of str to array
        Initialisers by name.
    inputs : list of Symbol
    taken : set of str
        Names that a new value must not have.
    appended : set of str
        Outputs of nodes that were taken over from a model.
    goes_back : bool
        Whether relevance goes back through the graph, so that the parts of max pools are needed.
    known : dict of str to Symbol
        The values of the graph, by name.
    """

    opset: int = 17
    goes_back: bool = False
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, AnyArray] = field(default_factory=dict)
    inputs: list[Symbol] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    appended: set[str] = field(default_factory=set)
    known: dict[str, Symbol] = field(default_factory=dict)
    _symbols: dict[Any, tuple[Symbol, ...]] = field(default_factory=dict)
    _digests: dict[Any, str] = field(default_factory=dict)
    _attributes: dict[tuple[str, str], AttributeProto] = field(default_factory=dict)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Append the nodes of a function and return its result.

        Raises
        ------
        UntraceableError
            The function has no form as nodes.
        """
        if name not in FUNCTIONS:
            raise UntraceableError(f"the function {name!r} has no form as ONNX nodes")
        return FUNCTIONS[name](self, *args, **kwargs)

    def close(self) -> None:
        """Let go of symbols, which hold the tape and all numbers that they were made of."""
        self._symbols.clear()
        self.known.clear()
        self.inputs.clear()

    # -- names, inputs, constants

    def make_name(self, base: str) -> str:
        """Return a name that nothing else has."""
        name, count = base, 1
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        return name

    def add_input(self, name: str, shape: Sequence[int], dtype: Any = FLOAT) -> Symbol:
        """Return a new input of the graph."""
        own = narrow_dtype(np.dtype(dtype))
        x = Symbol(self, self.make_name(name), shape, own, Origin("input"))
        self.inputs.append(x)
        self.known[x.name] = x
        return x

    def add_constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of an initialiser with these numbers; floats become float32."""
        given = np.asarray(value)
        own = narrow_dtype(np.dtype(dtype or given.dtype))
        a = np.ascontiguousarray(given, own).reshape(given.shape)
        key = (a.dtype.str, a.shape, a.tobytes() if a.nbytes <= TINY else _sum_numbers(a))
        if key not in self._digests:
            self._digests[key] = self.make_name(f"c{len(self.constants)}")
            self.constants[self._digests[key]] = a
        return self._digests[key]

    def find_name(self, x: Operand, dtype: Any = None) -> str:
        """Return the name of an operand; "" for None, an input that is left out."""
        if x is None:
            return ""
        return x.name if isinstance(x, Symbol) else self.add_constant(x, dtype)

    # -- nodes

    def add_node(
        self, op: str, *inputs: Operand, shape: Shape, dtype: Any = FLOAT, like: Any = None,
        **attributes: Any,
    ) -> Symbol:  # fmt: skip
        """Append a node with one output; ``like`` is the dtype of the constants it reads."""
        return self.add_outputs(op, inputs, ((shape, dtype),), like, **attributes)[0]

    def add_outputs(
        self, op: str, inputs: Sequence[Operand], outputs: Sequence[tuple[Shape, Any]],
        like: Any = None, **attributes: Any,
    ) -> tuple[Symbol, ...]:  # fmt: skip
        """Append a node with several outputs, each given as (shape, dtype)."""
        names = tuple([self.find_name(x, like) for x in inputs])
        frozen = tuple(sorted([(k, _freeze(v)) for k, v in attributes.items()]))
        key = (op, names, frozen)
        if (known := self._symbols.get(key)) is not None:
            return known
        made = [self.make_name(f"{op.lower()}{len(self.nodes)}") for _ in outputs]
        self._write_node(op, names, made, attributes)
        origin, symbols = Origin(op, tuple(inputs), frozen), list[Symbol]()
        for place, (name, output) in enumerate(zip(made, outputs, strict=True)):
            sign = find_node_sign(op, inputs, attributes, place)
            symbols.append(Symbol(self, name, *output, origin, sign))
            self.known[name] = symbols[-1]
        return self._symbols.setdefault(key, tuple(symbols))

    def append_node(
        self, op: str, inputs: Sequence[Operand], outputs: Sequence[str], attributes: Any
    ) -> None:
        """Append a node whose outputs keep their own names."""
        names = tuple(map(self.find_name, inputs))
        self._write_node(op, names, outputs, attributes)

    def _write_node(
        self, op: str, inputs: tuple[str, ...], outputs: Sequence[str], attributes: Any
    ) -> None:
        """Append a node; equal attributes are made once, as that takes longer than all the rest."""
        given = sorted(attributes.items()) if attributes else ()
        made = [self._make_attribute(name, value) for name, value in given if value is not None]
        node = NodeProto(op_type=op, input=_cut_end(inputs), output=outputs, attribute=made)
        self.nodes.append(node)

    def _make_attribute(self, name: str, value: Any) -> AttributeProto:
        if not isinstance(value, int | float | str | list):
            return helper.make_attribute(name, value)
        key = name, repr(value)  # in which 1 is not 1.0
        if key not in self._attributes:
            self._attributes[key] = helper.make_attribute(name, value)
        return self._attributes[key]


def _sum_numbers(a: AnyArray) -> bytes:
    return hashlib.blake2b(a.data, digest_size=16).digest()


def list_reads(node: NodeProto) -> set[str]:
    """Return what a node reads, and what its bodies read from outside."""
    names = set(node.input)
    names.discard("")
    for attribute in node.attribute:
        if attribute.HasField("g"):
            body = attribute.g
            own = {x.name for x in body.input} | {n for inner in body.node for n in inner.output}
            names |= set[str]().union(*map(list_reads, body.node)) - own
    return names


def list_values(node: NodeProto) -> set[str]:
    """Return the values that a node makes, and those in its bodies."""
    names = set(node.output)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names.update(x.name for x in attribute.g.input)
            names.update(*map(list_values, attribute.g.node))
    return names


def _cut_end(names: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out inputs at the end that are not given."""
    while names and not names[-1]:
        names = names[:-1]
    return names


def _freeze(v: Any) -> Any:
    if isinstance(v, np.ndarray):
        return (v.shape, v.dtype.str, v.tobytes())
    return tuple(v) if isinstance(v, list) else v
