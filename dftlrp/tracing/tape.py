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
from onnx import NodeProto, helper

from dftlrp.core.types import AnyArray, Shape
from dftlrp.tracing.node_signs import find_node_sign
from dftlrp.tracing.symbols import FLOAT, Operand, Origin, Symbol, UntraceableError, narrow_dtype

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
    """

    opset: int = 17
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, AnyArray] = field(default_factory=dict)
    inputs: list[Symbol] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    appended: set[str] = field(default_factory=set)
    _symbols: dict[Any, Symbol] = field(default_factory=dict)
    _digests: dict[Any, str] = field(default_factory=dict)

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
        return x

    def add_constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of an initialiser with these numbers; floats become float32."""
        a = np.asarray(value)
        a = np.ascontiguousarray(a.astype(narrow_dtype(np.dtype(dtype or a.dtype)))).reshape(
            a.shape
        )
        numbers = a.data if a.size else b""
        key = (a.dtype.str, a.shape, hashlib.blake2b(numbers, digest_size=16).digest())
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
        return self.add_outputs(op, inputs, [(shape, dtype)], like, **attributes)[0]

    def add_outputs(
        self, op: str, inputs: Sequence[Operand], outputs: Sequence[tuple[Shape, Any]],
        like: Any = None, **attributes: Any,
    ) -> tuple[Symbol, ...]:  # fmt: skip
        """Append a node with several outputs, each given as (shape, dtype)."""
        names = tuple(self.find_name(x, like) for x in inputs)
        frozen = tuple(sorted((k, _freeze(v)) for k, v in attributes.items()))
        keys = [(op, names, frozen, place) for place in range(len(outputs))]
        if keys[0] in self._symbols:
            return tuple(self._symbols[k] for k in keys)
        made = [self.make_name(f"{op.lower()}{len(self.nodes)}") for _ in outputs]
        self.nodes.append(helper.make_node(op, _cut_end(names), made, **attributes))
        origin = Origin(op, tuple(inputs), frozen)
        for place, (key, name, (shape, dtype)) in enumerate(zip(keys, made, outputs, strict=True)):
            sign = find_node_sign(op, inputs, attributes, place)
            self._symbols[key] = Symbol(self, name, shape, dtype, origin, sign)
        return tuple(self._symbols[k] for k in keys)

    def append_node(
        self, op: str, inputs: Sequence[Operand], outputs: Sequence[str], attributes: Any
    ) -> None:
        """Append a node whose outputs keep their own names."""
        names = tuple(map(self.find_name, inputs))
        self.nodes.append(helper.make_node(op, _cut_end(names), outputs, **attributes))


def _cut_end(names: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out inputs at the end that are not given."""
    while names and not names[-1]:
        names = names[:-1]
    return names


def _freeze(v: Any) -> Any:
    if isinstance(v, np.ndarray):
        return (v.shape, v.dtype.str, v.tobytes())
    return tuple(v) if isinstance(v, list) else v
