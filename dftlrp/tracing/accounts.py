"""The amounts of a ledger as outputs of a graph: all of one shape side by side in one output.

A model of a thousand nodes has some thousand amounts, and onnxruntime takes longer to prepare and
to hand over an output than to compute such a sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.ledger import AMOUNTS, SUMS, LedgerRow
from dftlrp.core.types import AnyArray, Shape
from dftlrp.tracing.symbols import Symbol


class Slot(NamedTuple):
    """Where an amount is found: an output, its place in there, and among how many."""

    output: str
    place: int
    among: int


def pack_amounts(rows: Sequence[LedgerRow]) -> tuple[dict[str, Any], list[LedgerRow]]:
    """Return the outputs that hold the amounts, and the rows with slots for what is symbolic.

    Amounts that are numbers stay so.
    """
    groups: dict[Shape, dict[str, Symbol]] = {}
    for amount in _list_symbols(rows):
        groups.setdefault(amount.shape or (1,), {}).setdefault(amount.name, amount)
    outputs, slots = dict[str, Any](), dict[str, Slot]()
    for number, (shape, group) in enumerate(groups.items()):
        name = f"ledger/{number}"
        outputs[name] = np.concatenate([amount.reshape(shape) for amount in group.values()])
        slots |= {known: Slot(name, k, len(group)) for k, known in enumerate(group)}
    return outputs, [_replace_amounts(row, slots) for row in rows]


def _list_symbols(rows: Sequence[LedgerRow]) -> Iterator[Symbol]:
    amounts = (getattr(row, k) for row in rows for k in AMOUNTS)
    return (a for a in amounts if isinstance(a, Symbol))


def _replace_amounts(row: LedgerRow, slots: Mapping[str, Slot]) -> LedgerRow:
    amounts = {k: getattr(row, k) for k in AMOUNTS}
    found: Any = {k: slots[a.name] for k, a in amounts.items() if isinstance(a, Symbol)}
    return replace(row, **found)


def read_rows(rows: Sequence[LedgerRow], found: Mapping[str, AnyArray]) -> list[LedgerRow]:
    """Return the rows with numbers, from the outputs of a run."""
    columns = dict[str, AnyArray]()

    def read(amount: Any) -> Any:
        if isinstance(amount, str):
            return found[amount]
        if not isinstance(amount, Slot):
            return amount
        if amount.output not in columns:
            columns[amount.output] = found[amount.output].reshape(amount.among, -1)
        return columns[amount.output][amount.place]

    def read_row(row: LedgerRow) -> LedgerRow:
        amounts: dict[str, Any] = {k: read(getattr(row, k)) for k in AMOUNTS}
        sums = {k: np.asarray(amounts[k], float) for k in SUMS}
        return replace(row, **amounts | sums)

    return list(map(read_row, rows))
