"""The ledger: its sums, and that it survives a file of plain arrays."""

from __future__ import annotations

import io

import numpy as np
import pytest
from graphs import NETWORKS, loaded, signals, time_first
from reference import attribute

from dftlrp.core.ledger import TERMS, Ledger, LedgerRow, align_rows


def row(*amounts: float, batch: int = 1, magnitude: float = 10.0) -> LedgerRow:
    arrays = [np.full(batch, a / batch) for a in amounts]
    return LedgerRow("n", "Conv", "zplus", *arrays, magnitude=magnitude)


def test_the_gap_is_what_the_four_terms_leave_relative_to_the_sum_of_magnitudes() -> None:
    assert row(10, 6, 3, 0.5, 0.5).gap == 0
    assert row(10, 6, 3, 0.5, 0).gap == pytest.approx(0.05)
    assert row(10, 6, 3, 0.5, 1.5).gap == pytest.approx(0.1)
    assert Ledger((row(1, 1, 0, 0, 0), row(10, 9, 0, 0, 0))).gap == pytest.approx(0.1)


def test_the_gap_of_nothing_is_nothing() -> None:
    assert row(0, 0, 0, 0, 0, magnitude=0).gap == 0
    assert Ledger(()).gap == 0


def test_rows_of_one_ledger_are_all_per_sample_or_all_in_total() -> None:
    rows = (row(4, 3, 1, 0, 0, batch=2), row(3, 3, 0, 0, 0))
    assert [r.relevance.shape for r in align_rows(rows[:1])] == [(2,)]
    mixed = align_rows(rows)
    assert [r.relevance.tolist() for r in mixed] == [[4.0], [3.0]]
    assert Ledger(mixed).absorbed("bias").tolist() == [1.0]


def test_absorbed_sums_one_term_per_sample() -> None:
    ledger = Ledger((row(4, 3, 1, 0, 0, batch=2), row(3, 1, 2, 0, 0, batch=2)))
    np.testing.assert_array_equal(ledger.absorbed("bias"), [1.5, 1.5])


@pytest.mark.parametrize("name", [*NETWORKS, "time_first"])
def test_a_ledger_comes_back_from_plain_arrays(name: str) -> None:
    proto = (NETWORKS | {"time_first": time_first})[name]()
    ledger = attribute(loaded(proto), signals(proto), target=0).ledger
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **ledger.to_arrays())
    file.seek(0)
    again = Ledger.from_arrays(np.load(file, allow_pickle=False))
    assert again.gap == ledger.gap
    assert [(r.node, r.op, r.rule) for r in again.rows] == [
        (r.node, r.op, r.rule) for r in ledger.rows
    ]
    for a, b in zip(again.rows, ledger.rows, strict=True):
        for term in TERMS:
            np.testing.assert_array_equal(getattr(a, term), getattr(b, term))


def test_an_empty_ledger_comes_back_empty() -> None:
    assert Ledger.from_arrays(Ledger(()).to_arrays()) == Ledger(())


def test_the_table_as_text_has_a_line_for_each_node_and_the_gap() -> None:
    text = str(Ledger((row(10, 6, 3, 0.5, 0.5),)))
    head, line, last = text.splitlines()
    assert head.split() == ["node", "op", "rule", *TERMS]
    assert line.split() == ["n", "Conv", "zplus", "10", "6", "3", "0.5", "0.5", "0"]
    assert last == "gap 0.0e+00"
