"""What results are made of: an explanation as data, and the record that describes a domain.

Everything else in this room reads these records; nothing here knows how they are shown or stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dftlrp.core.ledger import Ledger
from dftlrp.core.types import AnyArray, Axes, InputError, Real

if TYPE_CHECKING:
    from matplotlib.axes import Axes as MplAxes

Limits = tuple[float, float]


class Asked(NamedTuple):
    """What was explained, to be asked again.

    ``samples``; ``score`` from (B, *samples.shape) to (B,), that of the target, or its lead over
    others where a contrast was explained; ``answer`` from the same to the explained output.
    """

    samples: Real
    score: Callable[[Real], Real]
    answer: Callable[[Real], Real]


@dataclass(frozen=True, eq=False)
class ExplanationData:
    """Signal and relevance of one recording, in each domain.

    `dftlrp.Explanation` adds the methods that show, measure and store it.

    Attributes
    ----------
    signal : dict of str to array
        ``"time"``: (N,) float, full scale = 1; ``"frequency"``: (N // 2 + 1,) complex,
        orthonormal one-sided DFT; ``"time-frequency"``: (F, T) complex, orthonormal per frame;
        ``"mel"``: (M, T) real, magnitude in M mel bands.  If the model reads several channels,
        each has one more axis in front, the channels.  ``"input"``, if the model itself reads
        something else than these: that, of any shape.
    relevance : dict of str to array
        Same keys and shapes, real; unit: that of the seed (logits).  Each sums, together with
        ``rest``, to the same number.
    axes : dict of str to array or tuple of arrays
        ``"time"``: seconds of the recording; ``"frequency"``: hertz; ``"time-frequency"``:
        (hertz, seconds); ``"mel"``: (hertz of the bands' centres, seconds).  The axes of
        ``"input"`` are indices.
    rest : dict of str to float
        Relevance that the domain cannot show (samples that no window covers), of all channels.
    rate : float
        Sampling rate of the signal that the model read, in hertz.
    target : int or tuple of int
        Index of the explained output; -1 if a function of the output, or a sum, was explained.
    label : str
        Name of the target (its index as text if the model has no labels).
    labels : tuple of str
        Names of all outputs along the last axis, or empty.
    output : array
        Output of the model for this recording, without the batch axis.
    explained : array
        Value that was explained (before a final Softmax or Sigmoid), without the batch axis.
    ledger : Ledger
        Where the relevance of every node went.
    stft : dict
        ``window`` (name in SciPy), ``n_fft`` and ``hop`` (samples) of the time-frequency domain.
    notes : tuple of str
        What was done to the model and the recording (resampled, padded, stripped, ...).
    provenance : dict
        JSON-able: hashes, versions, composite, kind of seed.
    channel_names : tuple of str
        Names of several channels, or empty.
    start : float
        Where the samples begin in the recording, in seconds; the axes of time count from there.
    asked : dict of str to Asked
        What was explained, to ask the model again: ``"waveform"`` and ``"input"``, as
        `dftlrp.explain` gives it; empty if loaded from a file.

    See Also
    --------
    dftlrp.Explanation : The same with methods that show, measure, hear and store it.
    """

    signal: dict[str, AnyArray]
    relevance: dict[str, Real]
    axes: dict[str, Axes]
    rest: dict[str, float]
    rate: float
    target: int | tuple[int, ...]
    label: str
    labels: tuple[str, ...]
    output: Real
    explained: Real
    ledger: Ledger
    stft: dict[str, Any]
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    start: float = 0.0
    asked: Mapping[str, Asked] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the model, which does not travel between processes."""
        return {**self.__dict__, "asked": {}}

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the order in which they were asked for."""
        return tuple(self.relevance)

    @property
    def channels(self) -> tuple[Self, ...]:
        """One explanation for each channel, without the channel axis; itself if there is one.

        Each keeps the label and everything that belongs to the whole recording (output, ledger).
        What is only known for all channels together (``rest``, the domain ``"input"``) is left out.

        Raises
        ------
        InputError
            If the domains differ in their number of channels, or the names in theirs.
        """
        counts = {len(self.relevance[d]) for d in self.domains if self.has_channels(d)}
        if not counts:
            return (self,)
        count = min(counts)
        names = self.channel_names or tuple(f"channel {c + 1}" for c in range(count))
        if counts != {len(names)}:
            raise InputError(f"{sorted(counts)} channels, but {len(names)} names: {names}")
        return tuple(self._select_channel(c, name) for c, name in enumerate(names))

    def find_asked(self, domain: str) -> Asked:
        """Return samples and score of the model that were explained, for a domain.

        Parameters
        ----------
        domain : str
            ``"input"``: what the model itself reads; any other: the recording.

        Returns
        -------
        Asked
            ``samples``, and functions ``score`` and ``answer`` of a batch of these.

        Raises
        ------
        InputError
            The explanation was loaded from a file, which holds no model.

        Examples
        --------
        >>> asked = e.find_asked("time")
        >>> asked.score(asked.samples[None]).shape  # of one recording
        (1,)
        """
        known = self.asked.get("input" if domain == "input" else "waveform")
        if known is None:
            raise InputError(
                "this explanation was loaded from a file and knows no model: explain again"
            )
        return known

    def has_channels(self, domain: str) -> bool:
        """Return whether the arrays of a domain have one axis more than the domain: channels.

        Parameters
        ----------
        domain : str
            One of `domains`.

        Returns
        -------
        bool
            True for a model that reads several channels.

        Examples
        --------
        >>> e.has_channels("time")
        False
        """
        axes = self.axes.get(domain, ())
        rank = len(axes) if isinstance(axes, tuple) else 1
        return 0 < rank < self.relevance[domain].ndim

    def _select_channel(self, c: int, name: str) -> Self:
        """Return channel c (from 0), with views of the arrays."""
        own = [d for d in self.domains if self.has_channels(d)]
        return replace(
            self,
            signal={d: self.signal[d][c] for d in own},
            relevance={d: self.relevance[d][c] for d in own},
            axes={d: self.axes[d] for d in own},
            rest={},
            channel_names=(name,),
        )


class Waveform(NamedTuple):
    """What every domain is computed from.

    ``x`` (..., N) signal, ``R`` its relevance, ``m`` its multiplier, ``lost`` the relevance of
    samples that m leaves out, ``rate`` in hertz, ``stft`` the keyword arguments of `spectral.Stft`.
    """

    x: Real
    R: Real
    m: Real
    lost: float
    rate: float
    stft: Mapping[str, Any]


class View(NamedTuple):
    """Signal and relevance in one domain, of the same shape; see `ExplanationData`."""

    signal: AnyArray
    relevance: Real
    axes: Axes
    rest: float


@dataclass(frozen=True)
class Axis:
    """One axis of a domain.

    Attributes
    ----------
    label : str
        Its name with the unit, as in ``"time (s)"``.
    unit : str
        Unit of its points, ``"s"`` or ``"Hz"``; empty for plain numbers.
    spacing : callable, optional
        What the points lie apart if there is only one, from the explanation.  If not given, the
        points are drawn side by side whatever their values, which then name the ticks.
    told : tuple of str and float
        Unit in which a figure states the width of a bin, and how many of it are one ``unit``.
    starts : bool
        Whether a point is the start of its bin, as a sample is; otherwise it is the centre.
    """

    label: str
    unit: str = ""
    spacing: Callable[[ExplanationData], float] | None = None
    told: tuple[str, float] = ("values", 1.0)
    starts: bool = False


@dataclass(frozen=True)
class Look:
    """How a domain of one channel is drawn, one Axes at a time.

    Attributes
    ----------
    signal : callable
        Draws the signal: ``signal(ax, e, row)``.
    relevance : callable
        Draws the relevance within limits: ``relevance(ax, e, row, limits)``.
    limit : callable
        ``limit(explanations, row)``: the limits that these share, of an axis or of colours.
    """

    signal: Callable[[MplAxes, ExplanationData, Domain], None]
    relevance: Callable[[MplAxes, ExplanationData, Domain, Limits], None]
    limit: Callable[[Sequence[ExplanationData], Domain], Limits]


@dataclass(frozen=True)
class Domain:
    """One row of the table of domains, `dftlrp.results.views.DOMAINS`.

    Attributes
    ----------
    name : str
        As it is asked for: ``"time-frequency"``.
    title : str
        What a picture of it is called: ``"Time and frequency"``.
    shown : str
        What its signal is called: ``"spectrogram"``.
    axes : tuple of Axis
        One for each axis of the arrays of one channel; none if that differs between models.
    compute : callable or None
        From the `Waveform` to the `View`; None for what the model itself reads.
    draw : Look or None
        How it is drawn: ``WAVE``, ``LINE``, ``CELLS`` or ``READ`` of `dftlrp.results.panels`;
        without it, figure and report refuse the domain.
    table : str
        Name of the table of its strongest parts, if there is one.
    """

    name: str
    title: str
    shown: str
    axes: tuple[Axis, ...]
    compute: Callable[[Waveform], View] | None
    draw: Look | None = None
    table: str = ""
