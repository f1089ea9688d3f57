"""The result of `dftlrp.explain`: one recording, one target, every domain asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dftlrp.ledger import Ledger
from dftlrp.types import AnyArray, Real

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from dftlrp.audible import Sound

Axes = AnyArray | tuple[AnyArray, ...]


@dataclass(frozen=True)
class Explanation:
    """Signal and relevance of one recording, in each domain.

    Attributes
    ----------
    signal : dict of str to array
        ``"time"``: (N,) float, full scale = 1; ``"frequency"``: (N // 2 + 1,) complex,
        orthonormal one-sided DFT; ``"time-frequency"``: (F, T) complex, orthonormal per frame.
    relevance : dict of str to array
        Same keys and shapes, real; unit: that of the seed (logits).  Each sums, with
        ``rest``, to the same number.
    axes : dict of str to array or tuple of arrays
        ``"time"``: seconds; ``"frequency"``: hertz; ``"time-frequency"``: (hertz, seconds).
    rest : dict of str to float
        Relevance that the domain cannot show (samples that no window covers).
    rate : float
        Sampling rate of the signal the model read, in hertz.
    target : int or tuple of int
        Index of the explained output; -1 where a function of the output was given.
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

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains present, in the order they were asked for."""
        return tuple(self.relevance)

    def audible(self, kind: str) -> Sound:
        """Sound of one kind; see `dftlrp.audible.KINDS`."""
        from dftlrp.audible import sounds

        return sounds([self], kinds=(kind,))[0][kind]

    def plot(self) -> Figure:
        """Signal above, relevance below, one column per domain; see `dftlrp.plot.figure`."""
        from dftlrp.plot import figure

        return figure([self])

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write report, figure, sounds and arrays; see `dftlrp.results.save`."""
        from dftlrp.results import save

        return save([self], folder)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read ``explanation.npz``, or the folder that holds it; see `dftlrp.results.load`."""
        from dftlrp.results import load

        return load(path)
