"""The ledger: an account of where the relevance of every node went.

For each node, and each sample of the batch (or all samples together, where some layer has another
axis in the batch's place),

    relevance = to_inputs + bias + stabiliser + stopped + reference

Every term is computed on its own, never by subtraction, so that the sum is a check and not a
definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, Real

LEAST = 1e-290  # a sum of |R| below this has lost its digits and counts as this
TERMS = ("relevance", "to_inputs", "bias", "stabiliser", "stopped", "reference")
SUMS = (*TERMS, "inner")
AMOUNTS = (*SUMS, "magnitude", "onward")  # of one node


@dataclass(frozen=True)
class LedgerRow:
    """One node's account; each amount has shape (batch,), or (1,): all samples together.

    Attributes
    ----------
    node, op, rule : str
        Key of the node (its first output's name), ONNX op type, rule applied.
    relevance : array
        What arrived at the node's outputs.
    to_inputs : array
        What went on to its inputs.
    bias, stabiliser : array
        What the bias and the stabiliser (or a dropped sign) absorbed.
    stopped : array
        What reached a value that carries no relevance.
    magnitude : float
        Sum of |R| over elements and samples, of what arrived or of what went on, whichever is
        larger; round-off is relative to it, also where large parts cancel.
    inner : array
        What the nodes of one layer (steps of a loop or an LSTM) gave each other; `outer` counts it
        neither in what arrived nor in what went on.
    worst : float
        The largest amount that is missing in the account of one node, where a layer has several.
    reference : array
        What belongs to the change of a frozen factor between the input and a reference.
    onward : float
        Until the account is closed: the sum of |R| of what went on, ``magnitude`` being that of
        what arrived; then zero.
    """

    node: str
    op: str
    rule: str
    relevance: Real
    to_inputs: Real
    bias: Real
    stabiliser: Real
    stopped: Real
    magnitude: float
    inner: Real = field(default_factory=lambda: np.zeros(1))
    worst: float = 0.0
    reference: Real = field(default_factory=lambda: np.zeros(1))
    onward: float = 0.0

    def __add__(self, other: LedgerRow) -> LedgerRow:
        """Return the account of two nodes of one layer together."""
        mixed = self.relevance.shape != other.relevance.shape
        a, b = (self.total, other.total) if mixed else (self, other)
        moved = b.inner + a.inner
        sums = {t: getattr(a, t) + getattr(b, t) for t in TERMS}
        return replace(
            a, **sums, inner=moved, magnitude=max(a.magnitude, b.magnitude),
            rule=a.rule if a.rule != "carried" else b.rule,
            worst=float(np.maximum(self.missing, other.missing)),
        )  # fmt: skip

    @property
    def closed(self) -> LedgerRow:
        """The account with the larger of both sums of |R| as its magnitude.

        Its arrays are its own, whatever becomes of those that were kept for later calls.
        """
        own: dict[str, Any] = {t: np.array(getattr(self, t)) for t in SUMS}
        arrived, onward = np.squeeze(self.magnitude), np.squeeze(self.onward)
        larger = arrived + np.maximum(onward - arrived, 0)
        return replace(self, **own, magnitude=float(larger), onward=0.0)

    @property
    def outer(self) -> LedgerRow:
        """The account of the whole layer towards the others."""
        return replace(
            self, relevance=self.relevance - self.inner, to_inputs=self.to_inputs - self.inner,
            inner=0 * self.inner,
        )  # fmt: skip

    @property
    def gap(self) -> float:
        """|relevance - (sum of the five)|, of all samples together, relative to the sum of |R|.

        The samples are taken together, because a node may move relevance along the first axis (a
        Transpose).  For a layer of several nodes it is the largest amount that one of them misses,
        relative to the largest of their sums of |R|.
        """
        return self.missing / max(self.magnitude, LEAST) if self.magnitude > 0 else self.missing

    @property
    def missing(self) -> float:
        """|relevance - (sum of the five)|, of all samples together."""
        if self.worst:
            return self.worst
        absorbed = self.bias + self.stabiliser + self.stopped + self.reference
        left = self.relevance - (self.to_inputs + absorbed)
        return abs(float(np.sum(left)))

    @property
    def total(self) -> LedgerRow:
        """The account of all samples together."""
        sums = {t: getattr(self, t).sum(keepdims=True) for t in SUMS}
        return replace(self, **sums)


def align_rows(rows: Sequence[LedgerRow]) -> tuple[LedgerRow, ...]:
    """Return the rows per sample if every node's account is, else all of them in total."""
    mixed = len({row.relevance.shape for row in rows}) > 1
    return tuple((row.total if mixed else row).outer for row in rows)


def average_rows(rows: Sequence[LedgerRow]) -> LedgerRow:
    """Return the mean of the accounts of one node, from passes to several references."""
    amounts: dict[str, Any] = {
        k: np.mean([getattr(r, k) for r in rows], axis=0) for k in (*TERMS, "inner")
    }
    largest = {k: max(getattr(r, k) for r in rows) for k in ("magnitude", "worst")}
    return replace(rows[0], **amounts, **largest)


@dataclass(frozen=True)
class Ledger:
    """The accounts of all nodes, from the output to the input; ``print`` shows them as a table.

    Attributes
    ----------
    rows : tuple of LedgerRow
        One for each node, or each layer of several nodes, with amounts of shape (batch,):
        ``relevance`` arrived there, and went ``to_inputs``, or into ``bias``, ``stabiliser``,
        ``stopped`` (a value that carries none) and ``reference`` (frozen factors).

    See Also
    --------
    Attribution : Holds one, as an `Explanation` does.

    Examples
    --------
    >>> e.ledger
    Ledger of 23 nodes, gap 1.6e-07; print it for all of them
    >>> row = e.ledger.rows[-1]
    >>> row.node, row.op, bool(row.gap < 1e-6)
    ('conv1', 'Conv', True)

    Which part of the relevance biases took, all nodes together:

    >>> float(abs(e.ledger.absorbed("bias")).sum())
    0.0
    """

    rows: tuple[LedgerRow, ...]

    @property
    def gap(self) -> float:
        """The largest gap of any node; NaN if one is NaN."""
        return float(np.max([row.gap for row in self.rows], initial=0.0))  # NaN stays NaN

    @property
    def has_layers(self) -> bool:
        """Whether it accounts for layers; a method without rules knows seed and input only."""
        return not self.rows or any(row.rule for row in self.rows)

    def absorbed(self, term: str) -> Real:
        """Return the sum of one column over all nodes.

        Parameters
        ----------
        term : {"bias", "stabiliser", "stopped", "reference", "relevance", "to_inputs"}
            Which of the amounts of a row.

        Returns
        -------
        array (batch,) or (1,)
            Per sample, or all samples together.
        """
        return sum((getattr(row, term) for row in self.rows), start=np.zeros(1))

    @classmethod
    def average(cls, ledgers: Sequence[Ledger]) -> Ledger:
        """Return the mean of several accounts of the same nodes, as over references.

        Parameters
        ----------
        ledgers : sequence of Ledger
            With the same nodes in the same order.

        Returns
        -------
        Ledger
            One alone is returned as it is.

        Examples
        --------
        >>> dftlrp.Ledger.average([e.ledger, e.ledger]).gap == e.ledger.gap
        True
        """
        if len(ledgers) == 1:
            return ledgers[0]
        each = zip(*(ledger.rows for ledger in ledgers), strict=True)
        return cls(tuple(map(average_rows, each)))

    def __repr__(self) -> str:
        return f"Ledger of {len(self.rows)} nodes, gap {self.gap:.1e}; print it for all of them"

    def __str__(self) -> str:
        head = f"{'node':40} {'op':18} {'rule':16}" + "".join(f"{t:>13}" for t in TERMS)
        lines = [
            f"{make_printable(row.node)[:40]:40} {row.op[:18]:18} {row.rule[:16]:16}"
            + "".join(f"{float(getattr(row, t).sum()):13.5g}" for t in TERMS)
            for row in self.rows
        ]
        return "\n".join([head, *lines, f"gap {self.gap:.1e}"])

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return plain arrays, one per column (no pickles), for `Ledger.from_arrays`.

        Returns
        -------
        dict of str to array
            ``node``, ``op``, ``rule`` of text (rows,); the amounts (rows, batch); ``magnitude``
            (rows,).

        Examples
        --------
        >>> columns = e.ledger.to_arrays()
        >>> len(columns["node"]) == len(e.ledger.rows)
        True
        >>> dftlrp.Ledger.from_arrays(columns)
        Ledger of 23 nodes, gap 1.6e-07; print it for all of them
        """
        text = {
            k: np.array([getattr(r, k) for r in self.rows], str) for k in ("node", "op", "rule")
        }
        amounts = {k: np.array([np.atleast_1d(getattr(r, k)) for r in self.rows]) for k in TERMS}
        return {**text, **amounts, "magnitude": np.array([r.magnitude for r in self.rows])}

    @classmethod
    def from_arrays(cls, columns: Mapping[str, AnyArray]) -> Ledger:
        """Return the ledger that `to_arrays` wrote.

        Parameters
        ----------
        columns : dict of str to array
            Of this or an earlier version, which had fewer columns.

        Returns
        -------
        Ledger
            With the same rows.

        Examples
        --------
        >>> dftlrp.Ledger.from_arrays(e.ledger.to_arrays()).gap == e.ledger.gap
        True
        """

        def row(i: int) -> LedgerRow:
            text: dict[str, Any] = {k: str(columns[k][i]) for k in ("node", "op", "rule")}
            amounts = {k: columns[k][i] for k in TERMS if k in columns}  # older files have fewer
            return LedgerRow(**text, **amounts, magnitude=float(columns["magnitude"][i]))

        return cls(tuple(map(row, range(len(columns["node"])))))
