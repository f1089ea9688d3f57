"""The result of `dftlrp.explain`: one recording, one target, every domain asked for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dftlrp.core.ledger import Ledger
from dftlrp.core.types import AnyArray, Axes, InputError, Real

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from dftlrp.results.questions import Row, Span
    from dftlrp.results.sound import Sound

RANKS = {"time": 1, "frequency": 1, "time-frequency": 2, "mel": 2}  # of one channel


@dataclass(frozen=True, eq=False)
class Explanation:
    """Signal and relevance of one recording, in each domain.

    Attributes
    ----------
    signal : dict of str to array
        ``"time"``: (N,) float, full scale = 1; ``"frequency"``: (N // 2 + 1,) complex,
        orthonormal one-sided DFT; ``"time-frequency"``: (F, T) complex, orthonormal per frame;
        ``"mel"``: (M, T) real, magnitude in M mel bands.  Of a model that reads several channels
        each has a leading channel axis more.  ``"input"``, where it is something else than these:
        what the model itself reads, of any shape.
    relevance : dict of str to array
        Same keys and shapes, real; unit: that of the seed (logits).  Each sums, with
        ``rest``, to the same number.
    axes : dict of str to array or tuple of arrays
        ``"time"``: seconds; ``"frequency"``: hertz; ``"time-frequency"``: (hertz, seconds);
        ``"mel"``: (hertz of the bands' centres, seconds).  The axes of ``"input"`` are indices.
    rest : dict of str to float
        Relevance that the domain cannot show (samples that no window covers), of all channels.
    rate : float
        Sampling rate of the signal the model read, in hertz.
    target : int or tuple of int
        Index of the explained output; -1 where a function of the output, or a sum, was asked for.
    label : str
        Its name (the index as text where the model has no labels).
    labels : tuple of str
        Names of all outputs along the last axis, or empty.
    output : array
        The model's own output for this recording, without the batch axis.
    explained : array
        The value that was explained (before a final Softmax or Sigmoid), without batch axis.
    ledger : Ledger
        Where the relevance of every node went.
    stft : dict
        ``window`` (scipy's name), ``n_fft`` and ``hop`` (samples) of the time-frequency domain.
    notes : tuple of str
        What was done to model and recording on the way (resampled, padded, stripped, ...).
    provenance : dict
        JSON-able: hashes, versions, composite, seed kind.
    channel_names : tuple of str
        Of several channels, or empty.
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

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains present, in the order they were asked for."""
        return tuple(self.relevance)

    @property
    def channels(self) -> tuple[Explanation, ...]:
        """One explanation per channel, without the channel axis; itself, where there is one.

        Each keeps the label and all that belongs to the whole recording (output, ledger); what is
        known for all channels together only is left out (``rest``, the domain ``"input"``).

        Raises
        ------
        InputError
            The domains differ in their number of channels, or there are not as many names.
        """
        counts = {len(self.relevance[d]) for d in self.domains if self._channelled(d)}
        if not counts:
            return (self,)
        count = min(counts)
        names = self.channel_names or tuple(f"channel {c + 1}" for c in range(count))
        if counts != {len(names)}:
            raise InputError(f"{sorted(counts)} channels, but {len(names)} names: {names}")
        return tuple(self._channel(c, name) for c, name in enumerate(names))

    def _channelled(self, domain: str) -> bool:
        """Whether the arrays of a domain have a channel axis."""
        return self.relevance[domain].ndim > RANKS.get(domain, math.inf)

    def _channel(self, c: int, name: str) -> Explanation:
        """Channel c (from 0), with views of the arrays."""
        mine = [d for d in self.domains if self._channelled(d)]
        return replace(
            self,
            signal={d: self.signal[d][c] for d in mine},
            relevance={d: self.relevance[d][c] for d in mine},
            axes={d: self.axes[d] for d in mine},
            rest={},
            channel_names=(name,),
        )

    def share(
        self, time: Span | None = None, band: Span | None = None, kind: str = "signed"
    ) -> float:
        """Share of the relevance in a time span (s), a band (Hz) or both.

        ``e.share(time=(0.1, 0.2), band=(300, 3000))``; see `dftlrp.results.questions.share`.
        """
        from dftlrp.results.questions import share

        return share(self, time, band, kind)

    def table(
        self, what: str = "bands", count: int | None = 10, width: float | None = None
    ) -> list[Row]:
        """List the strongest ``"bands"`` or ``"segments"``; see `questions.table`."""
        from dftlrp.results.questions import table

        return table(self, what, count, width)

    def audible(self, kind: str) -> Sound:
        """Sound of one kind, with as many channels; see `dftlrp.results.sound.KINDS`."""
        from dftlrp.results.sound import sounds

        return sounds([self], kinds=(kind,))[0][kind]

    def plot(self) -> Figure:
        """Signal above, relevance below, one column per domain; see `dftlrp.results.figure`."""
        from dftlrp.results.figure import figure

        return figure([self])

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write report, figure, sounds, tables and arrays; see `dftlrp.results.folder.save`."""
        from dftlrp.results.folder import save

        return save([self], folder)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read ``explanation.npz``, or the folder that holds it; see `dftlrp.results.folder`."""
        from dftlrp.results.folder import load

        return load(path)
