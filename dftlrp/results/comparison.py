"""Several explanations side by side, and what differs between them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.core.text import make_printable
from dftlrp.core.types import InputError
from dftlrp.results.bands import POOLED
from dftlrp.results.brief import make_plain
from dftlrp.results.data import ExplanationData
from dftlrp.results.differences import (
    Difference,
    check_comparable,
    list_differences,
    list_shared,
    name_explanations,
    name_in_figure,
)
from dftlrp.results.figure import draw_figure
from dftlrp.results.questions import TABLES
from dftlrp.results.report.cell import render_cell
from dftlrp.results.saving import save
from dftlrp.results.words import join_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Comparison:
    """Explanations side by side, from `dftlrp.compare`.

    Attributes
    ----------
    explanations : tuple of Explanation
        In the order in which they were given; the others are compared with the first.
    labels : tuple of str
        A name for each.

    See Also
    --------
    compare : Makes one.

    Examples
    --------
    >>> found = dftlrp.explain("waveform", clip, target="seven", versus="one")
    >>> len(found), found.labels
    (2, ('seven', 'one'))
    >>> for row in found.differences("bands", 1):
    ...     print(row)
    562 to 708 Hz: “seven” 5.86, “one” 0.99 (+4.87)
    """

    explanations: tuple[ExplanationData, ...]
    labels: tuple[str, ...]

    def __iter__(self) -> Iterator[ExplanationData]:
        return iter(self.explanations)

    def __len__(self) -> int:
        return len(self.explanations)

    def __repr__(self) -> str:
        shared = list_shared(self.explanations)
        lines = [f"Comparison of {join_words([f'“{label}”' for label in self.labels])}"]
        for what, row in TABLES.items():
            if row.name in shared:
                lines.append(f"{what} that differ most")
                lines += [f"  {row}" for row in self.differences(what, 2)]
        return "\n".join(map(make_printable, lines))

    def _repr_html_(self) -> str:
        return render_cell(self.explanations)

    def differences(self, what: str = "bands", count: int | None = 10) -> list[Difference]:
        """Return where the first explanation differs most from the others.

        Parameters
        ----------
        what : {"bands", "segments", "tiles"}
            The units of `dftlrp.results.bands`, the same for all explanations.
        count : int or None
            How many at most; None: all.

        Returns
        -------
        list of Difference
            Largest difference first: relevance where all explanations come from one model and one
            method, else shares of each one's sum of |relevance|, by the formula of
            `dftlrp.results.differences`.  ``print`` writes a row as a sentence.

        Raises
        ------
        InputError
            If ``what`` is unknown, its domain is missing in one, or the count is not a whole number
            of at least 0.
        """
        return list_differences(self.explanations, self.labels, what, count)

    def to_dict(self, count: int | None = 10) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of `differences` of all units, as values that JSON can hold.

        Parameters
        ----------
        count : int or None
            How many rows of each at most; None: all.

        Returns
        -------
        dict of str to list of dict
            By ``"bands"``, ``"segments"`` and ``"tiles"``, as far as all explanations have the
            domain.

        Examples
        --------
        >>> found = dftlrp.compare(e, e, names=["one", "again"])
        >>> sorted(found.to_dict(1))
        ['bands', 'segments', 'tiles']
        """
        shared = list_shared(self.explanations)
        found = {
            what: [row._asdict() for row in self.differences(what, count)]
            for what, domain in POOLED.items()
            if domain in shared
        }
        return {what: make_plain(rows) for what, rows in found.items()}

    def plot(self) -> Figure:
        """Draw explanations of one recording, one row of relevance each.

        Returns
        -------
        matplotlib.figure.Figure
            One column for each domain that all have.

        Raises
        ------
        InputError
            They are explanations of several recordings, or a domain cannot be drawn.

        Examples
        --------
        >>> figure = dftlrp.compare(e, e, names=["one", "again"]).plot()
        """
        return draw_figure(name_in_figure(self.explanations, self.labels))

    def save(self, folder: str | os.PathLike[str], figure: str | None = None) -> list[Path]:
        """Write one page for all, and the files of each, complete or not at all.

        Parameters
        ----------
        folder : path
            As of `dftlrp.Explanation.save`.  The files of the second start with ``versus-``, those
            of the third with ``versus-2-``, and so on; a recording is written once, and sounds
            share gains.
        figure : {"png", "svg"}, optional
            Also write the figure that `plot` draws.

        Returns
        -------
        list of Path
            The files, the page first.

        Raises
        ------
        InputError
            As of `dftlrp.Explanation.save`.

        Examples
        --------
        >>> paths = dftlrp.compare(e, e, names=["one", "again"]).save("side")
        >>> paths[0].name
        'report.html'
        """
        return save(self.explanations, folder, figure, self.labels)


def compare(*explanations: ExplanationData, names: Sequence[str] | None = None) -> Comparison:
    """Put explanations side by side: of two classes, models, recordings or methods.

    ``dftlrp.compare(a, b).save("out")`` writes a page on which all share one player and one axis.

    Parameters
    ----------
    *explanations : Explanation
        Two to eight, from `dftlrp.explain` or `Explanation.load`; the others are compared with the
        first.  Recordings may differ in length and rate.
    names : sequence of str, optional
        A name for each.  Default: the shortest thing that tells them apart, which may be the class,
        the model, the method or the recording; else A, B, C.

    Returns
    -------
    Comparison
        A sequence of the explanations, with their names and differences; in a notebook a page.

    Raises
    ------
    InputError
        If there are fewer than two, they have no domain in common, they differ in their number of
        channels, their rates lie more than 16 times apart, or the names are not one for each.

    See Also
    --------
    explain : With ``versus=`` it explains two classes and compares them.

    Examples
    --------
    >>> other = dftlrp.explain("waveform", clip, target="one")
    >>> found = dftlrp.compare(e, other)
    >>> found.labels
    ('seven', 'one')
    """
    if len(explanations) < 2:
        raise InputError(f"{len(explanations)} explanations: two or more are compared")
    for one in explanations:
        if not isinstance(one, ExplanationData):
            raise InputError(f"{type(one).__name__} cannot be compared: give explanations")
    check_comparable(explanations)
    if names is None:
        return Comparison(explanations, name_explanations(explanations))
    given = (names,) if isinstance(names, str) else tuple(map(str, names))
    if len(given) != len(explanations) or len(set(given)) < len(given):
        raise InputError(
            f"names {list(given)}: give {len(explanations)} different ones, one for each"
        )
    return Comparison(explanations, given)
