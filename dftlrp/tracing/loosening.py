"""Nodes of one step, written so that less of them has to wait for the step before.

* A part of a product with a matrix, or of what is computed element by element, is computed of the
  part: what only other steps need, or none, is left out of the loop.
* Factors that no state is needed for are gathered: ``(y v) / w`` is ``y (v / w)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto

from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

ELEMENTWISE = ("Add", "Sub", "Mul", "Div")
PRODUCTS = ("MatMul", "Gemm")
Span = tuple[int, int, int, int]  # axis, begin, end, step


def loosen(tape: Tape, states: Sequence[str], ends: Sequence[str]) -> dict[str, str]:
    """Rewrite the nodes of a step; return the new names of values, where these have others.

    Parameters
    ----------
    states : sequence of str
        What comes in from the step before.
    ends : sequence of str
        The values that are needed of the step.
    """
    names = dict[str, str]()
    for node in tuple(tape.nodes):
        if node.op_type == "Slice" and (spans := _read_spans(tape, node)) is not None:
            x = tape.known[names.get(node.input[0], node.input[0])]
            names[node.output[0]] = _take_part(tape, x, spans).name
        _rename_reads(node, names)
    _sort(tape, [names.get(name, name) for name in ends])
    _gather_factors(tape, states)
    _sort(tape, [names.get(name, name) for name in ends])
    return names


def _rename_reads(node: NodeProto, names: dict[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]


def _sort(tape: Tape, ends: Sequence[str]) -> None:
    """Bring the nodes that the ends need into an order in which each comes behind what it reads."""
    made = {name: node for node in tape.nodes for name in node.output}
    found, waiting = dict[str, NodeProto](), list(dict.fromkeys(ends))[::-1]
    while waiting:
        node = made.get(waiting[-1])
        if node is None or node.output[0] in found:
            waiting.pop()
            continue
        missing = [n for n in node.input if n in made and made[n].output[0] not in found]
        if missing:
            waiting += missing
        else:
            found[node.output[0]] = node
            waiting.pop()
    tape.nodes[:] = found.values()


# -- parts


def _read_spans(tape: Tape, node: NodeProto) -> list[Span] | None:
    """Return what a Slice takes of each axis; None if it is not known."""
    if len(node.input) < 4 or any(name not in tape.constants for name in node.input[1:]):
        return None
    begins, ends, axes, *steps = (tape.constants[name].tolist() for name in node.input[1:])
    shape = tape.known[node.input[0]].shape if node.input[0] in tape.known else ()
    if not shape:
        return None
    pace = steps[0] if steps else [1] * len(axes)
    keys = [slice(b, e, s).indices(shape[a]) for b, e, a, s in
            zip(begins, ends, axes, pace, strict=True)]  # fmt: skip
    if min(pace) < 1:
        return None
    return [(a % len(shape), *key) for a, key in zip(axes, keys, strict=True)]


def _take_part(tape: Tape, x: Any, spans: Sequence[Span]) -> Any:
    """Return a part of a value, computed of parts of what it is computed of."""
    if not isinstance(x, Symbol) or x.name in tape.appended:  # its symbol tells no attributes
        return x[_make_key(x.shape, spans)]
    if x.origin.op in ELEMENTWISE:
        parts = [_take_operand_part(tape, a, x.ndim, spans) for a in x.origin.inputs]
        shape = np.broadcast_shapes(*map(np.shape, parts))
        return tape.add_node(x.origin.op, *parts, shape=shape, dtype=x.dtype, like=x.dtype)
    if x.origin.op in PRODUCTS and [s[0] for s in spans] == [x.ndim - 1]:
        a, b, *bias = x.origin.inputs
        if not (isinstance(b, Symbol) or bias) and b.ndim == 2:
            columns = slice(*spans[0][1:])
            b = b[columns] if x.origin.attribute("transB") else b[:, columns]
            size = len(range(*spans[0][1:]))
            attributes = dict(x.origin.attributes)
            return tape.add_node(x.origin.op, a, b, shape=(*x.shape[:-1], size), **attributes)
    return x[_make_key(x.shape, spans)]


def _take_operand_part(tape: Tape, a: Any, rank: int, spans: Sequence[Span]) -> Any:
    """Return the part of an operand that is broadcast to a value of that rank."""
    a = a if isinstance(a, Symbol) else np.asarray(a)
    lead = rank - a.ndim
    own = [(axis - lead, *span) for axis, *span in spans]
    kept = [span for span in own if span[0] >= 0 and a.shape[span[0]] > 1]
    return _take_part(tape, a, kept) if kept else a


def _make_key(shape: Sequence[int], spans: Sequence[Span]) -> tuple[slice, ...]:
    key = [slice(None)] * len(shape)
    for axis, begin, end, step in spans:
        key[axis] = slice(begin, end, step)
    return tuple(key)


# -- factors


def _gather_factors(tape: Tape, states: Sequence[str]) -> None:
    """Multiply factors that no state is needed for before what a state is needed for."""
    bound, made = set(states), dict[str, NodeProto]()
    for node in tuple(tape.nodes):
        if not bound.isdisjoint(node.input):
            bound.update(node.output)
            _gather_into(tape, node, made, bound)
        made[node.output[0]] = node


def _gather_into(tape: Tape, node: NodeProto, made: dict[str, NodeProto], bound: set[str]) -> None:
    """Let a product read what is in front of another one, and the factors of both as one."""
    outer = _split_product(node, bound)
    inner = _split_product(made[outer[0]], bound) if outer and outer[0] in made else None
    if outer is None or inner is None or node.output[0] not in tape.known:
        return
    (_, w, divides), (y, v, divided) = outer, inner
    a, b = (_find(tape, name) for name in (v, w))
    if divides and divided:
        op, factor = "Div", a * b
    else:
        op, factor = "Mul", a / b if divides else b / a if divided else a * b
    shape = np.broadcast_shapes(np.shape(factor), tape.known[y].shape)
    if shape == tape.known[node.output[0]].shape:
        node.op_type = op
        node.input[:] = [y, tape.find_name(factor)]


def _split_product(node: NodeProto, bound: set[str]) -> tuple[str, str, bool] | None:
    """Return what a product changes, by what factor, and whether it divides by that."""
    if node.op_type not in {"Mul", "Div"}:
        return None
    a, b = node.input
    if a in bound and b not in bound:
        return a, b, node.op_type == "Div"
    return (b, a, False) if b in bound and a not in bound and node.op_type == "Mul" else None


def _find(tape: Tape, name: str) -> Any:
    """Return a value of the step, or a constant."""
    return tape.known.get(name, tape.constants.get(name))
