"""What the neurons of a layer do over a data set: a map over shards of it, and a reduction.

Of each recording the relevance R of its own class and the activation a at a layer are summed over
positions p, per concept c (Achtibat et al., 2023):

    relevance_c = sum_p R_cp,  absolute_c = sum_p |R_cp|,  peak_c = max_p R_cp,
    activation_c = sum_p a_cp,  loudest_c = max_p a_cp

RelMax ranks recordings by relevance or its peak, ActMax by activation or its peak.  Maps are not
kept but moments by class, and the first k of each ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.attribution import domains
from dftlrp.attribution.attribute import attribute
from dftlrp.attribution.waveform import Shape
from dftlrp.concepts.layers import Layers
from dftlrp.concepts.moments import Moments, Top, moments, top
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.model import Model
from dftlrp.spectral import dft_lrp, stft_for, stft_lrp

MEASURES = ("relevance", "absolute", "peak", "activation", "loudest")
RANKINGS = ("relevance", "peak", "activation", "loudest")  # RelMax by sum, by maximum, ActMax alike
COLUMNS = 64  # of a time-frequency map, over the duration of a recording
BANDS = 800  # of a spectrum, up to half of the rate: 5 Hz each at 8 kHz, so that a hum stands out


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of one layer, over a data set.

    Attributes
    ----------
    neurons : Moments
        (classes, measure, concept), measures as in `MEASURES`.
    top : Top
        (ranking, concept, k), rankings as in `RANKINGS`; recordings of any class.
    spectrum : Moments
        (classes, 2, `BANDS`): shares of the relevance by frequency, signed and absolute, of each
        recording's sum of |R|.
    map : Moments
        (classes, frequency, `COLUMNS`): the same by frequency and time, signed.
    right : array (classes,)
        How many recordings of each class the model gets right.
    """

    neurons: Moments
    top: Top
    spectrum: Moments
    map: Moments
    right: Real

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.neurons + other.neurons,
            self.top + other.top,
            self.spectrum + other.spectrum,
            self.map + other.map,
            self.right + other.right,
        )

    def measure(self, name: str) -> tuple[Real, Real]:
        """Mean and spread of a measure, each (classes, concept)."""
        i = MEASURES.index(name)
        return self.neurons.mean[:, i], self.neurons.spread[:, i]

    def strongest(self, of_class: int, count: int, by: str = "relevance") -> list[int]:
        """The concepts with the largest mean of a measure for a class, the largest first."""
        mean = self.measure(by)[0][of_class]
        return [int(c) for c in np.argsort(-mean, kind="stable")[:count]]

    def ranking(self, by: str, concept: int) -> list[tuple[int, float, int]]:
        """Recording, value and place of a concept's prototypes, the first first; values > 0."""
        i = RANKINGS.index(by)
        rows = (a[i, concept] for a in (self.top.recording, self.top.value, self.top.place))
        return [(int(r), float(v), int(p)) for r, v, p in zip(*rows, strict=True) if v > 0]

    def arrays(self) -> dict[str, AnyArray]:
        """To be stored."""
        return {
            **self.neurons.arrays("neurons"),
            **self.top.arrays("top"),
            **self.spectrum.arrays("spectrum"),
            **self.map.arrays("map"),
            "right": self.right,
        }

    @staticmethod
    def stored(arrays: Mapping[str, AnyArray]) -> Statistics:
        """From what `arrays` gave."""
        return Statistics(
            Moments.stored(arrays, "neurons"),
            Top.stored(arrays, "top"),
            Moments.stored(arrays, "spectrum"),
            Moments.stored(arrays, "map"),
            arrays["right"],
        )


def measured(
    model: Model,
    samples: Real,
    classes: AnyArray,
    numbers: AnyArray,
    *,
    layer: str,
    layers: Layers,
    shape: Shape,
    count: int,
    rate: float,
    k: int,
    settings: Mapping[str, Any],
) -> Statistics:
    """Statistics of a batch of recordings.

    Parameters
    ----------
    samples : array (m, ...)
        As the model reads them; the first n count.
    classes, numbers : array (n,) of int
        Of each recording: its class, and its number in the data set.
    layer : str
    layers : Layers
        Of the model.
    shape : Shape
        Where the waveform lies in ``samples``.
    count : int
        How many classes there are.
    rate : float
        Hertz.
    k : int
        How many prototypes are kept.
    settings : dict
        Of `dftlrp.attribute`.
    """
    concepts, n = layers.concepts(layer), len(classes)
    targets = [*map(int, classes), *[int(classes[-1])] * (len(samples) - n)]
    found = attribute(model, samples, target=targets, keep=[layer], ledger=False, **settings)
    value, relevance = (concepts.per_concept(np.asarray(a))[:n] for a in found.kept[layer])
    measures = (
        relevance.sum(2), np.abs(relevance).sum(2), relevance.max(2), value.sum(2), value.max(2)
    )  # fmt: skip
    table = np.stack(measures, 1)
    places = {"peak": relevance.argmax(2), "loudest": value.argmax(2)}
    places |= {"relevance": places["peak"], "activation": places["loudest"]}
    ranked = np.stack([table[:, MEASURES.index(r)].T for r in RANKINGS])
    where = np.stack([places[r].T for r in RANKINGS])
    R, m = (None if a is None else np.asarray(a)[:n] for a in (found.relevance, found.multiplier))
    spectra, maps = _spectra(samples[:n], R, m, shape, rate)
    z = found.explained.reshape(len(samples), -1)[:n]
    return Statistics(
        moments(table, classes, count),
        top(ranked, numbers, where, k),
        moments(spectra, classes, count),
        moments(maps, classes, count),
        np.bincount(classes[z.argmax(1) == classes], minlength=count).astype(float),
    )


def _spectra(
    samples: Real, relevance: Any, multiplier: Any, shape: Shape, rate: float
) -> tuple[Real, Real]:
    """Shares of relevance by frequency (n, 2, BANDS), and by frequency and time (n, F, COLUMNS)."""
    x, R = (_time_last(a, shape) for a in (samples, relevance))
    m = None if multiplier is None else _time_last(multiplier, shape)
    wave = domains.waveform(x, R, m, rate, stft_for(rate))
    lines = dft_lrp(wave.x, multiplier=wave.m).relevance.sum(axis=1)  # of channels
    tiles = stft_lrp(wave.x, multiplier=wave.m, **wave.stft).relevance.sum(axis=1)
    size = np.abs(R).sum(axis=(1, 2)).clip(np.finfo(float).tiny)[:, None, None]
    spectra = np.stack([bands(lines, x.shape[-1]), bands(np.abs(lines), x.shape[-1])], 1)
    return spectra / size, columns(tiles) / size


def _time_last(a: AnyArray, shape: Shape) -> Real:
    """(n, channels, samples)."""
    moved = np.moveaxis(np.asarray(a, np.float64), shape.time, -1)
    return moved.reshape(len(moved), -1, moved.shape[-1])


def bands(lines: Real, count: int) -> Real:
    """Relevance of the lines of a DFT of so many samples, (n, lines), in `BANDS`; the sum stays.

    A line is as wide as its distance to the next: bands share it by overlap, so that spectra of
    recordings of any length compare.
    """
    below = np.pad(np.cumsum(lines, axis=-1), [(0, 0), (1, 0)])
    place = np.linspace(0, count / 2, BANDS + 1) + 0.5  # of the bands' edges, in lines
    place[0], place[-1] = 0, lines.shape[-1]
    line = np.minimum(place.astype(int), lines.shape[-1] - 1)
    part = place - line
    return np.diff(below[:, line] * (1 - part) + below[:, line + 1] * part)


def hertz(rate: float) -> Real:
    """Centres of the bands."""
    return (np.arange(BANDS) + 0.5) * (rate / 2 / BANDS)


def columns(tiles: Real) -> Real:
    """(n, F, T) added up in `COLUMNS` equal parts of the duration; the sum stays."""
    frames = tiles.shape[-1]
    parts, starts = np.unique(np.arange(frames) * COLUMNS // frames, return_index=True)
    out = np.zeros((*tiles.shape[:-1], COLUMNS))
    out[..., parts] = np.add.reduceat(tiles, starts, axis=-1)
    return out
