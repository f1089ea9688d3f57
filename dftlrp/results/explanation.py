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

    See Also
    --------
    explain : Makes one.
    dftlrp.results.data.ExplanationData : Its attributes, with shapes and units.
    compare : Puts several side by side.

    Examples
    --------
    >>> e = dftlrp.explain("waveform", dftlrp.embedded("clip"))
    >>> e.label, e.target, e.domains
    ('seven', 7, ('time', 'frequency', 'time-frequency'))
    >>> e.signal["time"].shape, e.relevance["time-frequency"].shape, e.rate
    ((8000,), (129, 128), 8000.0)

    Each domain shows the same relevance, to which the ledger accounts:

    >>> sums = [e.relevance[d].sum() + e.rest[d] for d in e.domains]
    >>> bool(np.ptp(sums) < 1e-5), e.ledger.gap < 1e-5
    (True, True)
    """

    def __repr__(self) -> str:
        return describe_briefly(self)

    def _repr_html_(self) -> str:
        return render_cell([self])

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as values that JSON can hold: scores, strongest parts, account, notes.

        docs/reference/cli.md describes the keys, which ``dftlrp explain --json`` prints; the arrays
        are in `relevance` and in ``explanation.npz``.

        Returns
        -------
        dict
            Text, numbers, lists and dicts of these; None where a number is not finite.

        Examples
        --------
        >>> told = e.to_dict()
        >>> told["label"], round(told["score"], 2), told["prediction"]["label"]
        ('seven', 4.84, 'seven')
        """
        return summarise(self)

    def to_pandas(self, what: str = "bands") -> Any:
        """Return parts of the recording, or every point of an axis, as a data frame; needs pandas.

        Parameters
        ----------
        what : {"bands", "segments", "tiles", "time", "frequency"}
            All parts, as `table` and `tiles` list them; or every point of the time or of the
            frequency, with its signal and its relevance.

        Returns
        -------
        pandas.DataFrame
            A row for each part, the strongest first; or a row for each point and channel, in order.

        Raises
        ------
        InputError
            There is no such table or domain, or pandas is not installed.

        See Also
        --------
        Explanation.to_xarray : A domain of two axes.

        Examples
        --------
        >>> frame = e.to_pandas("bands")  # doctest: +SKIP
        """
        return make_frame(self, what)

    def to_xarray(self, domain: str = "time-frequency") -> Any:
        """Return signal and relevance of a domain with their axes as xarray does; needs xarray.

        Parameters
        ----------
        domain : str
            One of `domains`.

        Returns
        -------
        xarray.Dataset
            ``signal`` and ``relevance``; what was explained, the rate and the rest are attributes.

        Raises
        ------
        InputError
            There is no such domain, or xarray is not installed.

        See Also
        --------
        Explanation.to_pandas : Tables.

        Examples
        --------
        >>> grid = e.to_xarray("time-frequency")  # doctest: +SKIP
        """
        return make_dataset(self, domain)

    def share(
        self, time: Span | None = None, band: Span | None = None, kind: str = "signed"
    ) -> float:
        """Return the share of the relevance in a time span, a frequency band or both.

        Parameters
        ----------
        time : (start, stop), optional
            Seconds.
        band : (start, stop), optional
            Hertz.
        kind : {"signed", "positive", "absolute"}
            The sum of R, of max(R, 0) or of |R| inside, divided by the same sum over everything.
            Signed shares of spans side by side add up, but may be negative or above 1.

        Returns
        -------
        float
            Over all channels: of the time domain if only a time is given, of the frequency domain
            if only a band is given, of the time-frequency domain for both.  NaN if the sum over
            everything is 0.

        Raises
        ------
        InputError
            Neither is given, the domain is missing, the kind is unknown, or a span is empty, not
            finite or holds no point of its axis.

        Examples
        --------
        >>> round(e.share(band=(300, 3000)), 2)
        0.98
        >>> round(e.share(time=(0.2, 0.3), band=(500, 800), kind="positive"), 2)
        0.52
        """
        return measure_share(self, time, band, kind)

    def table(
        self, what: str = "bands", count: int | None = 10, width: float | None = None
    ) -> list[Row]:
        """Return the strongest bands or segments, those that speak against the output among them.

        Parameters
        ----------
        what : {"bands", "segments"}
            Bands of frequency or segments of time.
        count : int or None
            How many at most; None: all.
        width : float, optional
            Hertz or seconds; if not given, thirds of an octave and segments of 20 ms for most
            sound.

        Returns
        -------
        list of Row
            Largest absolute relevance first; several channels added up.

        Raises
        ------
        InputError
            ``what`` is unknown, its domain is missing, the width is no positive number, or the
            count no whole number of at least 0.

        See Also
        --------
        Explanation.tiles : Time and frequency together.

        Examples
        --------
        >>> for row in e.table("bands", 2):
        ...     print(row)
        562 to 708 Hz: 5.86 (63 %)
        1413 to 1778 Hz: 1.22 (13 %)
        """
        return list_rows(self, what, count, width)

    def tiles(self, count: int | None = 10) -> list[Tile]:
        """Return the strongest tiles of time and frequency.

        Parameters
        ----------
        count : int or None
            How many at most; None: all.

        Returns
        -------
        list of Tile
            Largest absolute relevance first; several channels added up.

        Raises
        ------
        InputError
            The domain ``"time-frequency"`` is missing, or the count is no whole number of at least
            0.

        See Also
        --------
        Explanation.table : Bands, or segments.

        Examples
        --------
        >>> print(e.tiles(1)[0])
        562 to 708 Hz at 0.25 to 0.3 s: 4.76 (51 %)
        """
        return list_tiles(self, count)

    def audible(self, kind: str) -> Sound:
        """Return the sound of one kind, with as many channels as the recording.

        Parameters
        ----------
        kind : {"original", "resynthesis", "complement", "heatmap", "rectified", "negative"}
            The recording; its parts that supported the output; what is left of it; the relevance
            itself as a waveform, or its positive or negative part.  `dftlrp.results.sound` has the
            formulas.

        Returns
        -------
        Sound
            Samples, their rate, and the gain that was applied; `Sound.save` writes a WAV file.

        Raises
        ------
        InputError
            The kind is unknown, or the recording cannot be heard (it has no waveform, say).

        Examples
        --------
        >>> heard = e.audible("resynthesis")
        >>> heard.samples.shape, heard.rate
        ((8000,), 8000.0)
        """
        return make_sounds([self], kinds=(kind,))[0][kind]

    def cut(
        self, domain: str, count: int | tuple[int, ...] | None = None, cells: bool = False
    ) -> Units:
        """Return the units of a domain, of one channel: what `delete` removes and measures rank.

        Parameters
        ----------
        domain : {"time", "frequency", "time-frequency", "input"}
            What is cut.
        count : int or tuple of int, optional
            How many units, or how many along each axis; by default those of
            `dftlrp.metrics.make_units`.
        cells : bool
            Whether each single cell is a unit.

        Returns
        -------
        Units
            Which unit each cell belongs to.

        Raises
        ------
        InputError
            As of `dftlrp.metrics.make_units`; the domain has no units, or the explanation was
            loaded from a file.

        See Also
        --------
        Explanation.delete : Removes units.

        Examples
        --------
        >>> e.cut("frequency", 8).count
        8
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
        domain : {"time", "frequency", "time-frequency", "input"}
            In which the recording is changed.
        replace : {"zero", "mean", "noise", "stationary"} or array
            What takes the place of units: nothing; the mean of each channel; noise with the energy
            of each unit; noise with the spectrum of the recording; or another recording, an array
            of its shape.
        units : Units, optional
            From `cut`; if not given, those of ``cut(domain)``.
        seed : int
            Of the random numbers of the noise.

        Returns
        -------
        Deletion
            Its method ``remove`` takes an array of bool (B, units) and returns (B, ...) recordings.

        Raises
        ------
        InputError
            An unknown replacement, or an array of another shape; and as of `cut`.

        See Also
        --------
        Explanation.verify : What the model says without them.
        dftlrp.metrics.deletion_curves : Removes them one after the other.

        Examples
        --------
        >>> deletion = e.delete("time", "mean")
        >>> gone = np.arange(deletion.units.count)[None] < 3  # the first three segments
        >>> deletion.remove(gone).shape
        (1, 8000)
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

        Returns
        -------
        Verification
            Four scores and a verdict, which ``print`` says in a sentence.

        Raises
        ------
        InputError
            The explanation was loaded from a file, or has no domain in which units can be removed.

        See Also
        --------
        dftlrp.metrics.srg : The same question over all units.
        evaluate : Over a data set.

        Examples
        --------
        >>> said = e.verify()
        >>> said.verdict
        'the model uses what the explanation names'
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
        """Draw the signal above and the relevance below, one column for each domain; or one panel.

        Parameters
        ----------
        domain : str, optional
            Draw this domain alone; if not given, the figure of all of them.
        ax : matplotlib.axes.Axes, optional
            Where a single domain is drawn; if not given, in a new figure as wide as a column of a
            paper.
        part : {"relevance", "signal"}
            What of a single domain is drawn.

        Returns
        -------
        matplotlib.figure.Figure or matplotlib.axes.Axes
            The figure; of a single domain the Axes.

        Raises
        ------
        InputError
            No domain is named for Axes or a part; the domain is missing or cannot be drawn.

        Examples
        --------
        >>> axes = e.plot("frequency")
        >>> axes.get_xlabel()
        'frequency (Hz)'
        """
        if domain is None:
            if ax is not None or part != "relevance":
                raise InputError("name the domain to draw: plot('time', ax)")
            return draw_figure([self])
        if part not in PARTS:
            raise InputError(f"part {part!r}: choose 'relevance' or 'signal'")
        return PARTS[part](self, domain, ax)

    def save(self, folder: str | os.PathLike[str], figure: str | None = None) -> list[Path]:
        """Write report, sounds, tables and arrays, complete or not at all.

        docs/reference/formats.md describes the files.

        Parameters
        ----------
        folder : path
            Made if it is not there.  Results of a former call are replaced; files of other origin
            stay.
        figure : {"png", "svg"}, optional
            Also write the figure that `plot` draws.

        Returns
        -------
        list of Path
            The files, the report first.

        Raises
        ------
        InputError
            The folder cannot be written to, another run is writing there, a file of other origin is
            in the way, a domain cannot be drawn, or the figure is neither PNG nor SVG.

        See Also
        --------
        Explanation.load : Reads it again.

        Examples
        --------
        >>> paths = e.save("out")
        >>> paths[0].name
        'report.html'
        >>> dftlrp.Explanation.load("out").label
        'seven'
        """
        return save([self], folder, figure)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read ``explanation.npz``, or the folder that holds it.

        Parameters
        ----------
        path : path
            The file, or a folder that `save` wrote; of one of `dftlrp.Timeline.save` the strongest
            window is read.

        Returns
        -------
        Explanation
            With all arrays and notes, but without the model: it cannot be asked again (`verify`).

        Raises
        ------
        InputError
            The file is missing or damaged, is none of these, or was written in a newer format (see
            docs/reference/formats.md).

        Examples
        --------
        >>> paths = e.save("out")
        >>> again = dftlrp.Explanation.load("out")
        >>> bool((again.relevance["time"] == e.relevance["time"]).all())
        True
        """
        return load(path, cls)
