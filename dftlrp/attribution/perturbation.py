"""Methods that replace parts of a recording and watch the score: occlusion, Shapley values, RISE.

Each domain is cut into units of its own (`dftlrp.results.units`), which are the players of a game
(`dftlrp.attribution.games`); those that do not take part are replaced as `dftlrp.results.deletion`
does it.  The worth of a unit is shown evenly over its cells: the map has the resolution of the
units and claims no more.  Each channel has units of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from dftlrp.attribution.games import Game, Masks
from dftlrp.core.progress import steps
from dftlrp.core.types import Real
from dftlrp.results.data import Asked, View, Waveform
from dftlrp.results.deletion import Deletion, open_domain, prepare_deletion
from dftlrp.results.units import Units, make_units
from dftlrp.results.views import INPUT, pool_mel

TILES, MEL = "time-frequency", "mel"
NUMBERS, MOST = 2**18, 16  # that a batch holds, and recordings in it


class Valued(NamedTuple):
    """The domains, what was divided in the first, and how many inputs the model was run on."""

    views: dict[str, View]
    seed: float
    passes: int


def value_views(
    views: Mapping[str, View],
    w: Waveform,
    asked: Mapping[str, tuple[Asked, Real]],
    measure: Callable[[Game], Real],
    count: int | None,
) -> Valued:
    """Return views with the worth of their units as relevance.

    Parameters
    ----------
    views : dict of str to View
        The domains, of which signals and axes are taken; with mel bands also the tiles.
    w : Waveform
        Its rate and the settings of the short-time transform are taken.
    asked : dict of str to (Asked, array)
        The model's score of what it reads (``"input"``) and of the recording (``"waveform"``), and
        the reference of each.
    measure : callable
        From a game to the values of its players.
    count : int, optional
        How many units a channel has; None: as many as `make_units` takes.
    """
    found, seeds, passes = dict[str, View](), [], 0
    for name, view in views.items():
        if name == MEL:
            found[name] = pool_mel(found[TILES], w)
            continue
        own, reference = asked["input" if name == INPUT else "waveform"]
        deletion = _cut(name, own.samples, reference, w, count)
        game = _make_game(deletion, own)
        sizes = np.bincount(deletion.units.index.reshape(-1), minlength=game.players)
        relevance = deletion.units.spread(measure(game) / sizes)
        found[name] = view._replace(relevance=relevance.reshape(view.relevance.shape), rest=0.0)
        seeds.append(game.whole - game.empty)
        passes += game.tally.passes
    return Valued(found, seeds[0], passes)


def _cut(name: str, samples: Real, reference: Real, w: Waveform, count: int | None) -> Deletion:
    """Return samples whose units in a domain can be replaced by those of the reference."""
    samples = np.asarray(samples, np.float64)
    pair = open_domain(name, samples, w.stft)
    shape = samples.shape if name == INPUT else samples.shape[-1:]
    units = make_units(name, shape if pair is None else pair.shape, w.rate, count)
    for channels in samples.shape[: samples.ndim - len(shape)]:
        index = np.stack([units.index + c * units.count for c in range(channels)])
        units = Units(index, channels * units.count, units.what)
    return prepare_deletion(samples, pair, units, np.asarray(reference, np.float64))


def _make_game(deletion: Deletion, asked: Asked) -> Game:
    """Return the game of the units that are left."""
    nothing = np.ones((1, deletion.units.count), bool)
    whole = float(asked.score(deletion.remove(~nothing))[0])
    empty = float(asked.score(deletion.remove(nothing))[0])
    return Game(deletion.units.count, whole, empty, partial(_play, deletion, asked))


def _play(deletion: Deletion, asked: Asked, count: int, sets: Masks) -> Iterator[float]:
    """Yield the score of each set of units, asked for in small batches."""
    size = max(1, min(MOST, NUMBERS // deletion.values.size))
    for start in steps(range(0, count, size), "replacing parts"):
        taken = sets(start, min(start + size, count))
        yield from map(float, asked.score(deletion.remove(taken == 0)))
