"""Statistics of the neurons of one layer over a data set; those of its parts add up.

Each recording is explained for its own class.  Its relevance R and its activation a at the layer
are summed over the positions p of each concept c (Achtibat et al., 2023):

    relevance_c = sum_p R_cp,  absolute_c = sum_p |R_cp|,  peak_c = max_p R_cp,
    activation_c = sum_p a_cp,  loudest_c = max_p a_cp

RelMax ranks the recordings by the relevance or its peak, ActMax by the activation or its peak.
What is kept of the recordings are moments for each class and the first k of each ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.waveform import WaveformInput
from dftlrp.concepts.layers import Layers
from dftlrp.concepts.moments import Moments, Top, compute_moments, find_top
from dftlrp.concepts.study import Sample, Study
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.model import Model
from dftlrp.engine.settings import Question
from dftlrp.results import views
from dftlrp.spectral import dft_lrp, stft_for, stft_lrp
from dftlrp.tracing.answers import answer

MEASURES = ("relevance", "absolute", "peak", "activation", "loudest")
RANKINGS = ("relevance", "peak", "activation", "loudest")  # RelMax twice, then ActMax twice
COLUMNS = 64  # time steps of a map, over the duration of a recording
BANDS = 800  # of a spectrum, up to half the rate; 5 Hz each at 8 kHz, narrow enough for a hum


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of one layer over a data set.

    Attributes
    ----------
    neurons : Moments
        (classes, measure, concept); the measures are `MEASURES`.
    top : Top
        (ranking, concept, k); the rankings are `RANKINGS`, over the recordings of all classes.
    spectrum : Moments
        (classes, 2, `BANDS`): shares of the relevance by frequency, signed and absolute, of each
        recording's sum of |R|.
    map : Moments
        (classes, frequency, `COLUMNS`): signed shares by frequency and time.  Without spectra,
        which a study may leave out, neither has a frequency.
    right : array (classes,)
        Number of recordings of each class for which the class has the largest output.

    See Also
    --------
    survey : Makes them.

    Examples
    --------
    >>> found = surveyed.statistics
    >>> mean, spread = found.measure("relevance")
    >>> mean.shape, found.has_spectra
    ((10, 128), False)
    >>> neuron = found.strongest(7, 1)[0]
    >>> found.find_supporting(7, 1) == [neuron]
    True
    >>> len(found.ranking("relevance", neuron))
    2
    >>> again = dftlrp.concepts.Statistics.from_arrays(found.to_arrays())
    >>> again.strongest(7, 1) == [neuron]
    True
    """

    neurons: Moments
    top: Top
    spectrum: Moments
    map: Moments
    right: Real

    @property
    def has_spectra(self) -> bool:
        """Whether spectra and maps of the classes were computed."""
        return self.spectrum.mean.size > 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.neurons + other.neurons,
            self.top + other.top,
            self.spectrum + other.spectrum,
            self.map + other.map,
            self.right + other.right,
        )

    def measure(self, name: str) -> tuple[Real, Real]:
        """Return mean and spread of a measure over the recordings of each class.

        Parameters
        ----------
        name : str
            One of `dftlrp.concepts.statistics.MEASURES`.

        Returns
        -------
        tuple of two arrays (classes, concept)
            Mean and standard deviation, in the unit of the relevance or of the activation.
        """
        i = MEASURES.index(name)
        return self.neurons.mean[:, i], self.neurons.spread[:, i]

    def strongest(self, of_class: int, count: int, by: str = "relevance") -> list[int]:
        """Return the concepts with the largest mean of a measure for a class, largest first.

        Parameters
        ----------
        of_class : int
            The class.
        count : int
            How many at most.
        by : str
            One of `dftlrp.concepts.statistics.MEASURES`.

        Returns
        -------
        list of int
            Numbers of concepts.
        """
        mean = self.measure(by)[0][of_class]
        return [int(c) for c in np.argsort(-mean, kind="stable")[:count]]

    def find_supporting(self, of_class: int, count: int, by: str = "relevance") -> list[int]:
        """Return those of the strongest concepts of a class whose mean is positive.

        Parameters
        ----------
        of_class, count, by
            As of `strongest`.

        Returns
        -------
        list of int
            Numbers of concepts.
        """
        mean = self.measure(by)[0][of_class]
        return [c for c in self.strongest(of_class, count, by) if mean[c] > 0]

    def ranking(self, by: str, concept: int) -> list[tuple[int, float, int]]:
        """Return the recordings at which a concept is strongest.

        Parameters
        ----------
        by : str
            One of `dftlrp.concepts.statistics.RANKINGS`.
        concept : int
            Its number.

        Returns
        -------
        list of (int, float, int)
            Number of the recording, value, and place of the peak; positive values only.
        """
        i = RANKINGS.index(by)
        rows = (a[i, concept] for a in (self.top.recording, self.top.value, self.top.place))
        return [(int(r), float(v), int(p)) for r, v, p in zip(*rows, strict=True) if v > 0]

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return arrays to be stored; `from_arrays` reads them.

        Returns
        -------
        dict of str to array
            Without pickles.
        """
        return {
            **self.neurons.to_arrays("neurons"),
            **self.top.to_arrays("top"),
            **self.spectrum.to_arrays("spectrum"),
            **self.map.to_arrays("map"),
            "right": self.right,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, AnyArray]) -> Statistics:
        """Return the statistics that `to_arrays` stored.

        Parameters
        ----------
        arrays : dict of str to array
            As written.

        Returns
        -------
        Statistics
            The same; those of several shards are added up.
        """
        return Statistics(
            Moments.from_arrays(arrays, "neurons"),
            Top.from_arrays(arrays, "top"),
            Moments.from_arrays(arrays, "spectrum"),
            Moments.from_arrays(arrays, "map"),
            arrays["right"],
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Recordings of one length that are explained together.

    Attributes
    ----------
    sample : Sample
        All of them as one, (m, ...).  The first n are the recordings; the others fill the batch.
    classes, numbers : array (n,) of int
        The class of each recording, and its number in the data set.
    """

    sample: Sample
    classes: AnyArray
    numbers: AnyArray


def compute_statistics(model: Model, study: Study, layers: Layers, batch: Batch) -> Statistics:
    """Return the statistics of a batch of recordings.

    Parameters
    ----------
    layers : Layers
        Of the model at inputs of this shape.

    Raises
    ------
    DftlrpError
        If the model cannot be explained for one of the recordings.
    """
    n, concepts = len(batch.classes), layers.concepts(study.layer)
    question = Question(
        _fill_targets(batch), study.seed, [study.layer], ledger=False, signals=study.spectra
    )
    answers = [
        found
        for settings in study.settings(batch.sample)
        for found in answer(model, batch.sample.array, settings, [question])
    ]
    value = concepts.per_concept(answers[0].kept[concepts.value])[:n]
    each = [concepts.per_concept(f.flows[concepts.value].relevance)[:n] for f in answers]
    flows = [f.flows[batch.sample.place.name] for f in answers] if study.spectra else []
    own = [Flow(*(_take_rows(a, n) for a in (f.relevance, f.multiplier))) for f in flows]
    scores = answers[0].explained.reshape(len(batch.sample.array), -1)[:n]
    return summarise(study, batch, Explained(value, average(each), own, scores))


def average(several: Sequence[Real]) -> Real:
    """Return the mean of arrays; a single one as it is."""
    return several[0] if len(several) == 1 else np.asarray(np.mean(several, axis=0))


def _take_rows(array: Any, count: int) -> Any:
    """Return the first rows of an array; None stays None."""
    return None if array is None else np.asarray(array)[:count]


class Flow(NamedTuple):
    """Relevance at the input, compared with one reference or none.

    Attributes
    ----------
    relevance, multiplier : array (n, ...)
        The multiplier may be None.
    """

    relevance: Any
    multiplier: Any


class Explained(NamedTuple):
    """What was computed for the n recordings of a batch.

    Attributes
    ----------
    value, at_layer : array (n, concept, position)
        Activation and relevance of the layer.
    flows : list of Flow
        At the input, for each reference; none where no spectra are wanted.
    scores : array (n, classes)
        The explained output.
    """

    value: Real
    at_layer: Real
    flows: Sequence[Flow]
    scores: Real


def summarise(study: Study, batch: Batch, found: Explained) -> Statistics:
    """Return the statistics of recordings that were explained."""
    classes, count = batch.classes, study.classes
    measures, places = _measure_neurons(found.value, found.at_layer)
    ranked = np.stack([measures[:, MEASURES.index(r)].T for r in RANKINGS])
    spectra, maps = _compute_spectra(batch, found.flows, study.rate)
    right = classes[found.scores.argmax(1) == classes]
    return Statistics(
        compute_moments(measures, classes, count),
        find_top(ranked, batch.numbers, places, study.k),
        compute_moments(spectra, classes, count),
        compute_moments(maps, classes, count),
        np.bincount(right, minlength=count).astype(float),
    )


def _fill_targets(batch: Batch) -> list[int]:
    """Return a target for each of the samples; those that fill the batch repeat the last one."""
    targets = [*map(int, batch.classes)]
    return targets + targets[-1:] * (len(batch.sample.array) - len(targets))


def _measure_neurons(value: Real, relevance: Real) -> tuple[Real, AnyArray]:
    """Return the measures (n, measure, concept), and the peaks' places (ranking, concept, n).

    Parameters
    ----------
    value, relevance : array (n, concept, position)
    """
    measures = (
        relevance.sum(2), np.abs(relevance).sum(2), relevance.max(2), value.sum(2), value.max(2)
    )  # fmt: skip
    peak, loudest = relevance.argmax(2).T, value.argmax(2).T
    return np.stack(measures, 1), np.stack([peak, peak, loudest, loudest])


def _compute_spectra(batch: Batch, flows: Sequence[Flow], rate: float) -> tuple[Real, Real]:
    """Return shares of relevance by frequency, and by frequency and time.

    Returns
    -------
    array (n, 2, BANDS)
        Signed and absolute.
    array (n, F, COLUMNS)
        Both without frequencies where there is no flow.
    """
    if not flows:
        n = len(batch.classes)
        return np.zeros((n, 2, 0)), np.zeros((n, 0, COLUMNS))
    references = batch.sample.references or (np.zeros(1),)
    each = [_view_flow(batch, r, f, rate) for r, f in zip(references, flows, strict=True)]
    R, lines, tiles = (average(some) for some in zip(*each, strict=True))
    size = np.abs(R).sum(axis=(1, 2)).clip(np.finfo(float).tiny)[:, None, None]
    both = [sum_bands(some, R.shape[-1]) for some in (lines, np.abs(lines))]
    return np.stack(both, 1) / size, sum_columns(tiles) / size


def _view_flow(batch: Batch, reference: Real, flow: Flow, rate: float) -> tuple[Real, Real, Real]:
    """Return relevance by time (n, channels, N), and that of DFT lines and of STFT cells."""
    place, n = batch.sample.place, len(batch.classes)
    change = batch.sample.array[:n] - reference
    x, R = (_move_time_last(a, place) for a in (change, flow.relevance))
    m = None if flow.multiplier is None else _move_time_last(flow.multiplier, place)
    wave = views.make_waveform(x, R, m, rate, stft_for(rate))
    lines = dft_lrp(wave.x, multiplier=wave.m).relevance.sum(axis=1)  # over channels
    tiles = stft_lrp(wave.x, multiplier=wave.m, **wave.stft).relevance.sum(axis=1)
    return R, lines, tiles


def _move_time_last(a: AnyArray, shape: WaveformInput) -> Real:
    """Return an array as (n, channels, samples)."""
    moved = np.moveaxis(np.asarray(a, np.float64), shape.time, -1)
    return moved.reshape(len(moved), -1, moved.shape[-1])


def sum_bands(lines: Real, count: int) -> Real:
    """Return the relevance of DFT lines summed in `BANDS` bands, (n, BANDS).

    A line is as wide as its distance to the next one, and bands share it by overlap.  The sum
    over all bands is that over all lines, and spectra of recordings of any length compare.

    Parameters
    ----------
    lines : array (n, count // 2 + 1)
    count : int
        Number of samples of the DFT.
    """
    below = np.pad(np.cumsum(lines, axis=-1), [(0, 0), (1, 0)])
    edge = np.linspace(0, count / 2, BANDS + 1) + 0.5  # in lines
    edge[0], edge[-1] = 0, lines.shape[-1]
    line = np.minimum(edge.astype(int), lines.shape[-1] - 1)
    part = edge - line
    return np.diff(below[:, line] * (1 - part) + below[:, line + 1] * part)


def band_centres(rate: float) -> Real:
    """Return the centre frequencies of the bands in hertz, (BANDS,)."""
    return (np.arange(BANDS) + 0.5) * (rate / 2 / BANDS)


def sum_columns(tiles: Real) -> Real:
    """Return (n, F, frames) summed in `COLUMNS` equal parts of the duration, (n, F, COLUMNS)."""
    frames = tiles.shape[-1]
    parts, starts = np.unique(np.arange(frames) * COLUMNS // frames, return_index=True)
    out = np.zeros((*tiles.shape[:-1], COLUMNS))
    out[..., parts] = np.add.reduceat(tiles, starts, axis=-1)
    return out
