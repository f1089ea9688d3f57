"""Nodes of one step, written for all steps at once: every operand has a first axis of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import NodeProto, helper

from dftlrp.tracing.movement import WHOLE
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape


class Operand(NamedTuple):
    """What a node reads: a symbol or an array, with a first axis of steps if it is stacked."""

    value: Any
    stacked: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in one step."""
        return tuple(np.shape(self.value)[int(self.stacked) :])

    def reshape(self, shape: Sequence[int]) -> Operand:
        """Return the operand in another shape in each step."""
        steps = np.shape(self.value)[: int(self.stacked)]
        return self._replace(value=self.value.reshape((*steps, *shape)))


class Lift(NamedTuple):
    """A node that is to be lifted: its operands, its attributes and what it makes in one step."""

    tape: Tape
    steps: int
    op: str
    operands: list[Operand | None]
    attributes: dict[str, Any]
    known: list[Symbol | None]

    @property
    def y(self) -> Symbol:
        """The first output in one step."""
        assert self.known[0] is not None
        return self.known[0]

    def add(self, *inputs: Any, shape: Sequence[int] | None = None, **attributes: Any) -> Symbol:
        """Append the node with these inputs."""
        full = (self.steps, *self.y.shape) if shape is None else tuple(shape)
        return self.tape.add_node(self.op, *inputs, shape=full, dtype=self.y.dtype, **attributes)

    def align(self, operand: Operand | None, rank: int | None = None) -> Any:
        """Return an operand whose first axis of steps stands in front of all axes of the output.

        ``rank`` is their number, if it is not the node's.
        """
        if operand is None or not operand.stacked:
            return None if operand is None else operand.value
        missing = (self.y.ndim if rank is None else rank) - len(operand.shape)
        return operand.reshape((*(1,) * missing, *operand.shape)).value

    def spread(self, operand: Operand | None) -> Any:
        """Return an operand along a first axis of steps, whether it differs or not."""
        assert operand is not None
        if operand.stacked:
            return operand.value
        return np.broadcast_to(operand.value, (self.steps, *operand.shape))

    def read(self, place: int) -> list[int]:
        """Return an operand that is a list of whole numbers."""
        operand = self.operands[place]
        assert operand is not None
        numbers: list[int] = np.asarray(operand.value).tolist()
        return numbers


def can_lift(node: NodeProto, differs: Callable[[str], bool]) -> bool:
    """Return whether a node can be written for all steps at once.

    ``differs`` returns whether a value differs from step to step.
    """
    op, given = node.op_type, [name for name in node.input if name]
    fixed = given[FIXED[op] :] if op in FIXED else []
    return op in LIFTED and len(given) >= LEAST.get(op, 1) and not any(map(differs, fixed))


def lift_node(
    tape: Tape, count: int, node: NodeProto, operands: list[Operand | None],
    known: list[Symbol | None],
) -> list[Operand]:  # fmt: skip
    """Return what a node makes, appended for all steps at once, or once if no operand differs."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if any(o is not None and o.stacked for o in operands):
        lift = Lift(tape, count, node.op_type, operands, attributes, known)
        return [Operand(LIFTED[node.op_type](lift), True)]
    outputs = [((), np.float32) if x is None else (x.shape, x.dtype) for x in known]
    values = [None if o is None else o.value for o in operands]
    made = tape.add_outputs(node.op_type, values, outputs, **attributes)
    return [Operand(x, False) for x in made]


def _lift_elementwise(n: Lift) -> Symbol:
    return n.add(*map(n.align, n.operands), **n.attributes)


def _lift_matmul(n: Lift) -> Symbol:
    """A vector is a matrix of one row or column: vectors of all steps would be a matrix."""
    a, b = n.operands
    assert a is not None
    assert b is not None
    if len(a.shape) > 1 < len(b.shape):
        return _lift_elementwise(n)
    row = a.reshape((1, *a.shape)) if len(a.shape) == 1 else a
    column = b.reshape((*b.shape, 1)) if len(b.shape) == 1 else b
    lead = np.broadcast_shapes(row.shape[:-2], column.shape[:-2])
    shape = (*lead, row.shape[-2], column.shape[-1])
    y = n.add(*(n.align(o, len(shape)) for o in (row, column)), shape=(n.steps, *shape))
    made: Symbol = y.reshape((n.steps, *n.y.shape))
    return made


def _lift_gemm(n: Lift) -> Symbol:
    """All rows of all steps are one matrix."""
    a = n.spread(n.operands[0])
    rows = a.reshape((n.steps * a.shape[1], a.shape[2]))
    others = [None if o is None else o.value for o in n.operands[1:]]
    y = n.add(rows, *others, shape=(rows.shape[0], n.y.shape[1]), **n.attributes)
    made: Symbol = y.reshape((n.steps, *n.y.shape))
    return made


def _lift_concat(n: Lift) -> Symbol:
    return n.add(*map(n.spread, n.operands), axis=n.attributes["axis"] % n.y.ndim + 1)


def _lift_slice(n: Lift) -> Symbol:
    begins, ends, axes, *steps = (np.array(n.read(i), WHOLE) for i in range(1, len(n.operands)))
    rank = n.y.ndim
    return n.add(n.spread(n.operands[0]), begins, ends, axes % rank + 1, *steps)


def _lift_reshape(n: Lift) -> Symbol:
    shape = (n.steps, *n.y.shape)
    made: Symbol = n.spread(n.operands[0]).reshape(shape)
    return made


def _lift_transpose(n: Lift) -> Symbol:
    perm = [p + 1 for p in n.attributes["perm"]]
    return n.add(n.spread(n.operands[0]), perm=[0, *perm])


def _lift_expand(n: Lift) -> Symbol:
    return n.add(n.align(n.operands[0]), np.array((n.steps, *n.y.shape), WHOLE))


def _lift_sum(n: Lift) -> Symbol:
    operand = n.operands[0]
    assert operand is not None
    axes = np.array([a % len(operand.shape) + 1 for a in n.read(1)], WHOLE)
    return n.add(operand.value, axes, **n.attributes)


def _lift_pad(n: Lift) -> Symbol:
    pads = n.read(1)
    half = len(pads) // 2
    wide = np.array([0, *pads[:half], 0, *pads[half:]], WHOLE)
    return n.add(n.spread(n.operands[0]), wide, *(o and o.value for o in n.operands[2:]))


UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Clip", "Cos", "Cosh",
    "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
BINARY = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min",
    "Mul", "Or", "Pow", "Sub", "Where",
)  # fmt: skip
LIFTED: dict[str, Callable[[Lift], Symbol]] = {
    **dict.fromkeys((*UNARY, *BINARY), _lift_elementwise), "MatMul": _lift_matmul,
    "Gemm": _lift_gemm, "Concat": _lift_concat, "Slice": _lift_slice,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Flatten"), _lift_reshape),
    "Transpose": _lift_transpose, "Expand": _lift_expand, "ReduceSum": _lift_sum, "Pad": _lift_pad,
}  # fmt: skip
FIXED = {
    **dict.fromkeys(("Gemm", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Expand"), 1),
    **dict.fromkeys(("ReduceSum", "Pad", "Clip"), 1),
}
LEAST = {"Slice": 4, "ReduceSum": 2}  # inputs that the node needs
