"""Methods that replace parts of a recording and watch the score: occlusion, Shapley values, RISE.

Each domain is cut into units of its own (`dftlrp.attribution.parts`), whose worth is that of the
players of a game (`dftlrp.attribution.games`), and is shown evenly over their points: the map has
the resolution of the units and claims no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from dftlrp.attribution.batches import Arrays, Point, run_variants, split_variants
from dftlrp.attribution.games import Game, Masks
from dftlrp.attribution.parts import CUTS, Units, Widths, cut
from dftlrp.attribution.references import find_reference
from dftlrp.attribution.waveform import WaveformInput
from dftlrp.core.progress import steps
from dftlrp.core.types import Real
from dftlrp.results.data import View, Waveform
from dftlrp.results.views import find_domain, pool_mel

TILES = "time-frequency"


def value_units(
    point: Point,
    w: Waveform,
    read: WaveformInput,
    domains: Sequence[str],
    measure: tuple[Callable[[Game], Real], Widths],
) -> tuple[dict[str, View], Real]:
    """Return the worth of the units of each domain, and what the whole recording is worth.

    Parameters
    ----------
    measure : (callable, Widths)
        From a game to the values of its players; and how large units are.
    """
    value, widths = measure
    r = find_reference(point.inputs)
    z = np.asarray(point.answer.explained, np.float64)
    whole, empty = point.coefficients * z, point.coefficients * point.predict(r)
    reference = np.asarray(read.to_samples(r[read.name]), np.float64)
    found = dict[str, View]()
    for name in dict.fromkeys(d if d in CUTS else TILES for d in domains):
        units = cut(w, reference, name, widths)
        play = partial(_play, point, units, read)
        game = Game(units.count, float(whole.sum()), float(empty.sum()), play)
        relevance = units.spread(value(game))
        compute = find_domain(name).compute
        assert compute is not None  # those of CUTS are computed from the waveform
        found[name] = compute(w)._replace(relevance=relevance, rest=0.0)
    if "mel" in domains:
        found["mel"] = pool_mel(found[TILES], w)
    return {name: found[name] for name in domains}, whole - empty


def _play(
    point: Point, units: Units, read: WaveformInput, count: int, sets: Masks
) -> Iterator[float]:
    """Yield the score of the recording of each set of units."""
    c = point.coefficients

    def make(start: int, stop: int) -> Arrays:
        mixed = units.mix(sets(start, stop))
        kept = mixed if read.channels > 1 else mixed[:, 0]
        return {read.name: np.concatenate([read.to_input(x) for x in kept])}

    def ask(inputs: Arrays, copies: int) -> tuple[Real, Sequence[float]]:
        z = point.predict(inputs, copies)
        scores = (c * split_variants(z, copies)).reshape(copies, -1).sum(axis=1)
        return z, [float(s) for s in scores]

    return steps(run_variants(point, count, make, ask), "replacing parts", count)
