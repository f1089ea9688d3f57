"""One graph for any batch, merged from the graphs that are traced at two batch sizes.

Shapes are plain numbers that NumPy folds, too (a model's own arithmetic on shapes, the zeros from
which a recurrence starts), so that one trace with a symbolic batch would need another kind of
number everywhere; of two traces only the constants have to be compared.  What differs between them
must be a multiple of the batch; otherwise the batch is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, TypeVar

import numpy as np
from onnx import (
    GraphProto,
    NodeProto,
    ValueInfoProto,
    helper,
)

from dftlrp.core.ledger import AMOUNTS, LedgerRow
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.engine.plan import Plan
from dftlrp.tracing.accounts import Slot
from dftlrp.tracing.assembly import Traced, assemble_model
from dftlrp.tracing.symbols import Symbol, narrow_dtype
from dftlrp.tracing.tape import Tape, list_values

T = TypeVar("T")
Arrays = dict[str, AnyArray]
SMALL, LARGE = 3, 4  # half of 2 and 3, rounded down, is 1; 2 and 4 are both even
BATCH = "batch"  # name of the axis
WHOLE = np.dtype(np.int64)
ROUNDING = 1e-6  # of folded constants, relative to the largest


class FixedBatchError(UnsupportedModelError):
    """The batch size is fixed; the message says where."""


def trace_any_batch(plan: Plan, at: Callable[[int], tuple[T, Traced]]) -> tuple[T, Traced]:
    """Return what ``at(batch)`` traces, as one graph whose axis ``batch`` is open.

    Raises
    ------
    FixedBatchError
        If the model fixes its batch, or computes differently at another one.
    """
    for name, value in plan.signals.items():
        if value.dims is not None and value.dims[:1] != (None,):
            raise FixedBatchError(f"input {name!r} has the shape {value.dims}: its batch is fixed")
    if all(len(v.dims or (0, 0)) == 1 for v in plan.signals.values()):
        raise FixedBatchError(f"inputs {list(plan.signals)} have no batch")
    (told, small), (_, large) = map(at, (SMALL, LARGE))
    return told, merge_graphs(small, large)


def repeat_samples(arrays: Mapping[str, AnyArray], batch: int) -> dict[str, AnyArray]:
    """Return so many samples, by repeating those that were given.

    Raises
    ------
    FixedBatchError
        If the arrays differ in their number of samples.
    """
    if not have_one_batch(arrays):
        raise FixedBatchError(f"inputs {list(arrays)} have no batch in common")
    return {k: np.take(a, np.arange(batch), 0, mode="wrap") for k, a in arrays.items()}


def have_one_batch(arrays: Mapping[str, AnyArray]) -> bool:
    """Return whether all arrays have the same number of samples."""
    sizes = {a.shape[:1] for a in arrays.values()}
    return len(sizes) == 1 and () not in sizes


def merge_graphs(small: Traced, large: Traced) -> Traced:
    """Return the graph that is ``small`` for 3 samples and ``large`` for 4.

    Raises
    ------
    FixedBatchError
        If they differ in more than multiples of the batch.
    """
    if small.outputs != large.outputs or len(small.rows) != len(large.rows):
        raise FixedBatchError("other outputs at another batch")
    a, b = small.model.graph, large.model.graph
    opset = small.model.opset_import[0].version
    merger = _Merger.start(a, b, opset, (small.constants, large.constants))
    inputs = _merge_infos(a.input, b.input)
    if len(a.node) != len(b.node):
        raise FixedBatchError("other nodes at another batch")
    nodes = [merger.merge_node(m, n) for m, n in zip(a.node, b.node, strict=True)]
    outputs, fixed = dict(small.outputs), dict[str, AnyArray]()
    for meaning, array in small.fixed.items():
        name = merger.merge_fixed(array, large.fixed[meaning])
        outputs |= {meaning: name} if isinstance(name, str) else {}
        fixed |= {} if isinstance(name, str) else {meaning: array}
    rows = [merger.merge_row(r, s) for r, s in zip(small.rows, large.rows, strict=True)]
    infos = _merge_infos(a.output, b.output)
    judged = [outputs["explained"]] if "explained" in outputs else outputs.values()
    if not all(_is_batch(i) for i in infos if i.name in judged):
        raise FixedBatchError("the first axis of the explained output is not the batch")
    every = [*merger.tape.nodes, *nodes, *merger.ends]
    constants = merger.kept | merger.tape.constants
    model, weights = assemble_model(every, inputs, [*infos, *merger.infos], constants, opset)
    return Traced(model, weights, outputs, small.target, fixed, rows)


@dataclass(eq=False)
class _Merger:
    """Two graphs side by side, and what the merged graph has beside their common nodes.

    ``tape`` holds the nodes that compute shapes from the batch, ``names`` the small graph's name
    of each value of the large graph, ``kept`` the constants that are the same in both, ``ends`` and
    ``infos`` further outputs.
    """

    tape: Tape
    batch: Symbol
    constants: tuple[Arrays, Arrays]
    names: dict[str, str]
    kept: Arrays = field(default_factory=dict)
    ends: list[NodeProto] = field(default_factory=list)
    infos: list[ValueInfoProto] = field(default_factory=list)

    @classmethod
    def start(
        cls, a: GraphProto, b: GraphProto, opset: int, constants: tuple[Arrays, Arrays]
    ) -> _Merger:
        """Start to compare; the batch is read from an input whose first axis it is."""
        tape = Tape(opset)
        first = next((i for i in _merge_infos(a.input, b.input) if _is_batch(i)), None)
        if first is None:
            raise FixedBatchError("the first axis of no input is the batch")
        x = tape.add_input(first.name, [d.dim_value or SMALL for d in _read_dims(first)])
        tape.taken.update(i.name for i in (*a.input, *a.initializer))
        tape.taken.update(*map(list_values, a.node))
        batch = tape.add_node("Shape", x, shape=(1,), dtype=WHOLE, start=0, end=1)
        return cls(tape, batch, constants, {i.name: i.name for i in a.input})

    def merge_node(self, m: NodeProto, n: NodeProto) -> NodeProto:
        """Return one node for two that do the same to the same values."""
        alike = m.op_type == n.op_type and len(m.output) == len(n.output)
        if not alike or _list_attributes(m) != _list_attributes(n):
            raise FixedBatchError(f"{m.output[0]!r} ({m.op_type}) depends on the batch")
        own = NodeProto()
        own.CopyFrom(m)
        inputs = enumerate(zip_longest(m.input, n.input))
        own.input[:] = [self.merge_operand(m, i, p, q) for i, (p, q) in inputs]
        for place, attribute in enumerate(m.attribute):
            if attribute.HasField("g"):
                other = next(a.g for a in n.attribute if a.name == attribute.name)
                own.attribute[place].g.CopyFrom(self.merge_body(m, attribute.g, other))
        self.names.update(zip(n.output, m.output, strict=True))
        return own

    def merge_body(self, m: NodeProto, a: GraphProto, b: GraphProto) -> GraphProto:
        """Return one body for two that do the same; shapes are not declared in a body."""
        alike = len(a.node) == len(b.node) and len(a.output) == len(b.output)
        if not alike or len(a.input) != len(b.input):
            raise FixedBatchError(f"{m.output[0]!r} ({m.op_type}) depends on the batch")
        self.names.update((y.name, x.name) for x, y in zip(a.input, b.input, strict=True))
        nodes = [self.merge_node(p, q) for p, q in zip(a.node, b.node, strict=True)]
        if [x.name for x in a.output] != [self.names.get(y.name) for y in b.output]:
            raise FixedBatchError(f"{m.output[0]!r} ({m.op_type}) gives other values")
        own = GraphProto()
        own.CopyFrom(a)
        del own.node[:]
        own.node.extend(nodes)
        return own

    def merge_operand(self, m: NodeProto, place: int, p: str, q: str) -> str:
        """Return the name of what both nodes read."""
        u, v = self.constants[0].get(p), self.constants[1].get(q)
        if (u is None) != (v is None) or (u is None and p != self.names.get(q, q)):
            raise FixedBatchError(f"{m.output[0]!r} ({m.op_type}) reads other values")
        if u is None or v is None:
            return p
        if u.dtype == v.dtype and np.array_equal(u, v):
            self.kept[p] = u
            return p
        if m.op_type == "Reshape" and place == 1 and u.shape == v.shape:
            u, v = _free_size(u, v)
        try:
            return self.tape.find_name(self.merge_constant(u, v))
        except FixedBatchError as error:
            raise FixedBatchError(f"{m.output[0]!r} ({m.op_type}): {error}") from None

    def merge_constant(self, u: AnyArray, v: AnyArray) -> Any:
        """Return a constant, or the value that it is for any batch."""
        if _is_same(u, v):
            return u
        if u.shape == v.shape:
            return self.merge_numbers(u, v)
        if u.ndim != v.ndim:
            raise FixedBatchError("a constant whose rank depends on the batch")
        axes = np.flatnonzero(np.not_equal(u.shape, v.shape))
        one, other = _take_one(u, axes), _take_one(v, axes)
        if not _is_same(one, other):
            raise FixedBatchError("a constant that depends on the batch")
        full = self.merge_numbers(np.array(u.shape, WHOLE), np.array(v.shape, WHOLE))
        return self.tape.add_node("Expand", one, full, shape=u.shape, dtype=narrow_dtype(u.dtype))

    def merge_numbers(self, u: AnyArray, v: AnyArray) -> Any:
        """Return whole numbers, some of which are multiples of the batch."""
        factors = _find_factors(u, v)
        rest = np.where(factors == 0, u, 0)
        return (self.batch * factors + rest).reshape(u.shape)

    def merge_fixed(self, u: Any, v: Any) -> Any:
        """Return a number that no node makes; if it depends on the batch, a new output's name."""
        if isinstance(u, str | Slot) or isinstance(v, str | Slot):
            if u != v:
                raise FixedBatchError("other outputs at another batch")
            return u
        made = self.merge_constant(np.asarray(u), np.asarray(v))
        if not isinstance(made, Symbol):
            return u
        name = f"{made.name}/given"
        if name not in self.tape.taken:
            self.ends.append(helper.make_node("Identity", [made.name], [self.tape.make_name(name)]))
            dims = [_merge_size(m, n) for m, n in zip(np.shape(u), np.shape(v), strict=True)]
            code = helper.np_dtype_to_tensor_dtype(made.dtype)
            self.infos.append(helper.make_tensor_value_info(name, code, dims))
        return name

    def merge_row(self, r: LedgerRow, s: LedgerRow) -> LedgerRow:
        """Return the account of a node."""
        amounts = {k: self.merge_fixed(getattr(r, k), getattr(s, k)) for k in AMOUNTS}
        return replace(r, **amounts)


def _list_attributes(node: NodeProto) -> dict[str, bytes]:
    """Return the attributes of a node, serialised; bodies are not looked into."""
    return {
        a.name: b"" if a.HasField("g") else a.SerializeToString(deterministic=True)
        for a in node.attribute
    }


def _is_same(u: AnyArray, v: AnyArray) -> bool:
    """Return whether two arrays are equal, floats up to round-off."""
    if u.shape != v.shape or u.dtype != v.dtype:
        return False
    close = u.dtype.kind == "f" and np.abs(u - v).max(initial=0) <= ROUNDING * np.abs(u).max(
        initial=0
    )
    return bool(close) or np.array_equal(u, v)


def _take_one(a: AnyArray, axes: Iterable[int]) -> AnyArray:
    """Return one element along axes along which nothing changes."""
    for axis in axes:
        one = a.take([0], axis)
        if not (a == one).all():
            raise FixedBatchError("a constant that differs from sample to sample")
        a = one
    return a


def _find_factors(u: AnyArray, v: AnyArray) -> AnyArray:
    """Return k where u = k SMALL and v = k LARGE, 0 where they are equal."""
    k = np.where(u == v, 0, u // SMALL)
    if (
        u.dtype != WHOLE
        or (np.where(u == v, u, k * SMALL) != u).any()
        or (k * (LARGE - SMALL) != v - u).any()
    ):
        raise FixedBatchError("a number that depends on the batch otherwise than as a multiple")
    return k


def _free_size(u: AnyArray, v: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return the targets of a Reshape, with -1 for the only entry that differs."""
    if np.sum(u != v) == 1 and (u >= 0).all():
        u = np.where(_find_factors(u, v) == 0, u, -1)
        return u, u
    return u, v


# -- the shapes of inputs and outputs


def _read_dims(info: ValueInfoProto) -> Any:
    return info.type.tensor_type.shape.dim


def _is_batch(info: ValueInfoProto) -> bool:
    """Return whether the first axis is the batch."""
    return [d.dim_param for d in _read_dims(info)[:1]] == [BATCH]


def _merge_size(m: int, n: int) -> int | str:
    """Return a size: a number, ``batch`` or a multiple of it as ``3*batch``."""
    k = int(_find_factors(np.array(m, WHOLE), np.array(n, WHOLE)))
    return m if k == 0 else BATCH if k == 1 else f"{k}*{BATCH}"


def _merge_infos(
    small: Iterable[ValueInfoProto], large: Iterable[ValueInfoProto]
) -> list[ValueInfoProto]:
    """Return inputs or outputs with open axes."""
    found = []
    for a, b in zip(small, large, strict=True):
        if a.name != b.name:
            raise FixedBatchError("other inputs or outputs at another batch")
        sizes = zip(_read_dims(a), _read_dims(b), strict=True)
        try:
            dims = [_merge_size(m.dim_value, n.dim_value) for m, n in sizes]
        except FixedBatchError as error:
            raise FixedBatchError(f"axis of {a.name!r}: {error}") from None
        found.append(helper.make_tensor_value_info(a.name, a.type.tensor_type.elem_type, dims))
    return found
