"""The result of `dftlrp.explain`: one recording, one target, every domain that was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dftlrp.core.types import InputError
from dftlrp.results.brief import describe_briefly, summarise
from dftlrp.results.data import ExplanationData
from dftlrp.results.deletion import Deletion, Replacement, open_domain, prepare_deletion
from dftlrp.results.exchange import make_dataset, make_frame
from dftlrp.results.figure import draw_figure, draw_relevance, draw_signal
from dftlrp.results.questions import Row, Span, Tile, list_rows, list_tiles, measure_share
from dftlrp.results.report.cell import render_cell
from dftlrp.results.saving import load, save
from dftlrp.results.sound import Sound, make_sounds
from dftlrp.results.units import Units, make_units
from dftlrp.results.verification import Verification, verify_relevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes as MplAxes
    from matplotlib.figure import Figure

PARTS = {"relevance": draw_relevance, "signal": draw_signal}
VERIFIED = ("time-frequency", "frequency", "time", "input")


class Explanation(ExplanationData):
    """Signal and relevance of one recording in each domain, to show, measure, hear and store.

    ``signal``, ``relevance``, ``axes`` and ``rest`` are dictionaries by domain; ``target``,
    ``label`` and ``explained`` say what was explained, ``output`` what the model said, ``ledger``
    where the relevance of every node went, ``notes`` and ``provenance`` how the explanation was
    made.  `dftlrp.results.data.ExplanationData` describes every attribute.
    """

    def __repr__(self) -> str:
        return describe_briefly(self)

    def _repr_html_(self) -> str:
        return render_cell([self])

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as values that JSON can hold: scores, strongest parts, account, notes.

        docs/reference/cli.md describes the keys; the arrays are in `relevance` and in
        ``explanation.npz``.
        """
        return summarise(self)

    def to_pandas(self, what: str = "bands") -> Any:
        """Return all ``"bands"``, ``"segments"`` or ``"tiles"`` as a ``pandas.DataFrame``.

        Also ``"time"`` or ``"frequency"``: every point with its signal and its relevance.
        """
        return make_frame(self, what)

    def to_xarray(self, domain: str = "time-frequency") -> Any:
        """Return signal and relevance of a domain as an ``xarray.Dataset``, axes in s and Hz."""
        return make_dataset(self, domain)

    def share(
        self, time: Span | None = None, band: Span | None = None, kind: str = "signed"
    ) -> float:
        """Return the share of the relevance in a time span (s), a band (Hz) or both.

        ``e.share(time=(0.1, 0.2), band=(300, 3000))``; see
        `dftlrp.results.questions.measure_share`.
        """
        return measure_share(self, time, band, kind)

    def table(
        self, what: str = "bands", count: int | None = 10, width: float | None = None
    ) -> list[Row]:
        """Return the strongest ``"bands"`` or ``"segments"``.

        See `dftlrp.results.questions.list_rows`.
        """
        return list_rows(self, what, count, width)

    def tiles(self, count: int | None = 10) -> list[Tile]:
        """Return the strongest tiles of time and frequency.

        See `dftlrp.results.questions.list_tiles`.
        """
        return list_tiles(self, count)

    def audible(self, kind: str) -> Sound:
        """Return the sound of one kind, with as many channels as the recording.

        `dftlrp.results.sound` describes the kinds.
        """
        return make_sounds([self], kinds=(kind,))[0][kind]

    def cut(
        self, domain: str, count: int | tuple[int, ...] | None = None, cells: bool = False
    ) -> Units:
        """Return the units of a domain, of one channel; see `dftlrp.results.units.make_units`.

        Raises
        ------
        InputError
            As there, and as of `find_asked`.
        """
        samples = self.find_asked(domain).samples
        pair = open_domain(domain, samples, self.stft)
        shape = samples.shape if domain == "input" else samples.shape[-1:]
        return make_units(domain, shape if pair is None else pair.shape, self.rate, count, cells)

    def delete(
        self,
        domain: str,
        replace: Replacement = "zero",
        *,
        units: Units | None = None,
        seed: int = 0,
    ) -> Deletion:
        """Return the recording, whose units in a domain can be replaced.

        Parameters
        ----------
        domain : str
            ``"time"``, ``"frequency"``, ``"time-frequency"`` or ``"input"``.
        units : Units, optional
            From `cut`.
        replace, seed
            As of `dftlrp.results.deletion.prepare_deletion`.

        Raises
        ------
        InputError
            As there, and as of `cut`.
        """
        samples = self.find_asked(domain).samples
        pair = open_domain(domain, samples, self.stft)
        return prepare_deletion(samples, pair, units or self.cut(domain), replace, seed)

    def verify(self, domain: str | None = None, replace: Replacement = "zero") -> Verification:
        """Ask the model what it says without the most, and the least, relevant tenth of the units.

        ``print(e.verify())`` says it in one sentence.

        Parameters
        ----------
        domain : str, optional
            Where units are removed; if not given, the first that there is of
            ``"time-frequency"``, ``"frequency"``, ``"time"`` and ``"input"``.
        replace : str or array
            What takes their place, as of `dftlrp.results.deletion.prepare_deletion`.

        Raises
        ------
        InputError
            The explanation was loaded from a file, or has no domain in which units can be removed.
        """
        own = [d for d in VERIFIED if d in self.relevance]
        chosen = domain or next(iter(own), None)
        if chosen not in own:
            told = f"domain {chosen!r}" if chosen else f"{', '.join(self.relevance)}"
            raise InputError(f"{told}: cannot be verified; explain in {', '.join(VERIFIED)}")
        asked, deletion = self.find_asked(chosen), self.delete(chosen, replace)
        return verify_relevance(asked, deletion, self.relevance[chosen], self.label)

    @overload
    def plot(self) -> Figure: ...

    @overload
    def plot(self, domain: str, ax: MplAxes | None = None, part: str = "relevance") -> MplAxes: ...

    def plot(
        self, domain: str | None = None, ax: MplAxes | None = None, part: str = "relevance"
    ) -> Figure | MplAxes:
        """Draw the signal above and the relevance below, one column for each domain.

        ``e.plot("frequency", ax)`` draws one panel into matplotlib Axes of yours, or into those of
        a new figure as wide as a column of a paper, and returns them; ``part="signal"`` draws the
        signal instead.  See `dftlrp.results.figure.draw_figure`, `draw_relevance` and
        `draw_signal`.
        """
        if domain is None:
            if ax is not None or part != "relevance":
                raise InputError("name the domain to draw: plot('time', ax)")
            return draw_figure([self])
        if part not in PARTS:
            raise InputError(f"part {part!r}: choose 'relevance' or 'signal'")
        return PARTS[part](self, domain, ax)

    def save(self, folder: str | os.PathLike[str], figure: str | None = None) -> list[Path]:
        """Write report, sounds, tables and arrays; see `dftlrp.results.saving.save`.

        ``e.save("out", figure="png")`` also writes the figure that `plot` draws.
        """
        return save([self], folder, figure)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read ``explanation.npz``, or the folder that holds it.

        See `dftlrp.results.saving.load`.
        """
        return load(path, cls)
