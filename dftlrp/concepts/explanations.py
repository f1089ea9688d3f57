"""`Explanations`: the explanations in a folder, read from disk one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from dftlrp.concepts.clip_rows import COLUMNS, ClipRow, find_accuracy, rank_uncertain, rank_wrong
from dftlrp.core.files import locate, regular
from dftlrp.core.types import InputError
from dftlrp.results.explanation import Explanation
from dftlrp.results.result_folder import ROWS

INDEX = "index.html"
NEEDED = {"file", "clip", "error"}  # columns without which a table is none of ours
SHOWN = 5  # rows of those that are printed


@dataclass(frozen=True, eq=False)
class Explanations(Sequence[Explanation]):
    """The explanations of several recordings; each is read from disk when it is asked for.

    ``found[3]`` is an explanation, ``found[:10]`` the first ten.

    Attributes
    ----------
    folder : Path
        Where they are.
    rows : tuple of dict
        A row for each, as of `dftlrp.concepts.clip_rows.COLUMNS`.
    skipped : tuple of (str, str)
        Name of each recording that could not be explained, and the reason.
    notes : tuple of str
        What was assumed about all recordings.

    See Also
    --------
    explain_many : Makes them.

    Examples
    --------
    >>> found = dftlrp.explain_many("model.onnx", "clip.wav", folder="many")
    >>> len(found), found[0].label
    (1, 'seven')
    >>> dftlrp.Explanations.load("many").rows[0]["prediction"]
    'seven'

    Of recordings with labels:

    >>> found = dftlrp.explain_many("model.onnx", "clips", folder="judged")
    >>> found.accuracy, len(found.most_wrong()), len(found.least_certain(1))
    (1.0, 0, 1)
    """

    folder: Path
    rows: tuple[ClipRow, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_rows(
        cls, folder: Path, rows: Sequence[ClipRow], notes: Sequence[str] = ()
    ) -> Explanations:
        """Return the explanations of a table, in which some rows may say why there is none.

        Parameters
        ----------
        folder : Path
            Where they are.
        rows : sequence of dict
            As of `dftlrp.concepts.clip_rows.COLUMNS`; one with an ``error`` becomes one of
            `skipped`.
        notes : sequence of str
            What was assumed about all recordings.

        Returns
        -------
        Explanations
            Nothing is read from disk yet.

        Examples
        --------
        >>> from pathlib import Path
        >>> len(dftlrp.Explanations.from_rows(Path("many"), []))
        0
        """
        good = tuple(row for row in rows if row["error"] is None)
        bad = tuple((row["file"], row["error"]) for row in rows if row["error"] is not None)
        return cls(folder, good, bad, tuple(notes))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Explanations:
        """Return the explanations in a folder that `dftlrp.explain_many` wrote.

        Parameters
        ----------
        folder : path
            With ``explanations.jsonl``.

        Returns
        -------
        Explanations
            Each is read when it is asked for.

        Raises
        ------
        InputError
            If the table is missing or damaged, or a newer dftlrp wrote it.
        """
        path = locate(folder) / ROWS
        with regular(path, InputError) as (file, _):
            lines = file.read().splitlines()
        try:
            rows = [dict(json.loads(line)) for line in lines]
            if not all(row.keys() >= NEEDED for row in rows):
                raise ValueError("other columns")
        except (ValueError, TypeError):
            raise InputError(f"{path}: not a table written by dftlrp") from None
        if newer := sorted({name for row in rows for name in row} - COLUMNS.keys()):
            raise InputError(
                f"{path}: a newer dftlrp wrote it, with column {newer[0]!r}: pip install -U dftlrp"
            )
        filled = [dict.fromkeys(COLUMNS) | row for row in rows]  # of an older one, which had fewer
        return cls.from_rows(path.parent, filled)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...

    @overload
    def __getitem__(self, index: slice) -> Explanations: ...

    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        if isinstance(index, slice):
            return replace(self, rows=self.rows[index])
        return Explanation.load(self.folder / self.rows[index]["clip"])

    @property
    def accuracy(self) -> float | None:
        """Share of the predictions that are the label, of recordings that have one."""
        right, judged = find_accuracy(self.rows)
        return right / judged if judged else None

    def most_wrong(self, count: int | None = 10) -> Explanations:
        """Return those whose prediction is wrong, the most wrong first.

        How wrong it is: by how much its score exceeds that of the label (``wrong_by``).

        Parameters
        ----------
        count : int or None
            How many at most; None: all.

        Returns
        -------
        Explanations
            Fewer where fewer are wrong.

        Raises
        ------
        InputError
            If no recording has a label.
        """
        if self.accuracy is None:
            raise InputError("no recording has a label: give a table or a pattern of names")
        return self._pick_rows(rank_wrong(self.rows)[:count])

    def least_certain(self, count: int | None = 10) -> Explanations:
        """Return those of which the model was least certain, by the ``margin`` of its prediction.

        Parameters
        ----------
        count : int or None
            How many at most; None: all.

        Returns
        -------
        Explanations
            The least certain first.

        Raises
        ------
        InputError
            If the model has a single output that is no probability.
        """
        order = rank_uncertain(self.rows)
        if self.rows and not order:
            raise InputError("the model has a single score: how certain it is cannot be told")
        return self._pick_rows(order[:count])

    def _pick_rows(self, order: Sequence[int]) -> Explanations:
        return replace(self, rows=tuple(self.rows[k] for k in order))

    def to_pandas(self) -> Any:
        """Return the table as a data frame; needs pandas.

        Returns
        -------
        pandas.DataFrame
            A row for each recording; docs/reference/formats.md describes the columns.

        Raises
        ------
        InputError
            If pandas is not installed.

        Examples
        --------
        >>> frame = found.to_pandas()  # doctest: +SKIP
        """
        try:
            import pandas as pd  # type: ignore[import-untyped,import-not-found,unused-ignore]
        except ImportError:
            raise InputError("a data frame needs pandas: pip install pandas") from None
        return pd.DataFrame(list(self.rows), columns=list(COLUMNS))

    def __repr__(self) -> str:
        """Return what there is, in a few lines."""
        told = [f"{len(self)} explanations in {self.folder}"]
        right, judged = find_accuracy(self.rows)
        told += [f"{right} of {judged} with a label are right"] if judged else []
        told += [f"{len(self.skipped)} recordings could not be explained"] if self.skipped else []
        lines = [f"  {row['file']}: {row['prediction']}" for row in self.rows[:SHOWN]]
        more = [f"  and {len(self) - SHOWN} more"] if len(self) > SHOWN else []
        return "\n".join(["; ".join(told), *lines, *more])
