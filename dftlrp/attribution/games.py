"""What the players of a game are worth: occlusion, Shapley values and random masks.

A game is a score v(S) for every set S of players that take part.  Here the players are parts of a
recording; a part that does not take part is replaced by that of a reference.

* occlusion: v(all) - v(all but the player) [1]_;
* Shapley value: the mean of what the player adds to those before it, over random orders, each of
  which is also read from its end; the values add up to v(all) - v(none) for any number of
  orders [2]_;
* RISE: the mean of v with the player minus the mean without it, over random halves of the players,
  each with its complement [3]_.  The masks of the paper are smooth and its map is the mean of v
  with the player alone: a common offset and a scale apart, the same.

References
----------
.. [1] M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014.
.. [2] E. Strumbelj, I. Kononenko, "Explaining prediction models and individual predictions with
   feature contributions", 2014; R. Mitchell et al., "Sampling permutations for Shapley value
   estimation", arXiv 2104.12199.
.. [3] V. Petsiuk et al., "RISE", arXiv 1806.07421; T. Brüsch et al., "FreqRISE", arXiv 2406.13584.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dftlrp.core.types import AnyArray, Real

Masks = Callable[[int, int], AnyArray]


@dataclass
class Tally:
    """How many inputs a model was run on."""

    passes: int = 2


@dataclass(frozen=True)
class Game:
    """A score for every set of players.

    Attributes
    ----------
    players : int
    whole, empty : float
        The score of all players, and of none.
    play : callable
        From a number of sets, and a function from (start, stop) to these sets as masks of zeros and
        ones, (stop - start, players), to the score of each set in turn.
    tally : Tally
        Counts the sets that were played, these two among them.
    """

    players: int
    whole: float
    empty: float
    play: Callable[[int, Masks], Iterator[float]]
    tally: Tally = field(default_factory=Tally)

    def ask(self, count: int, sets: Masks) -> Iterator[float]:
        """Play, and count the sets."""
        self.tally.passes += count
        return self.play(count, sets)


def leave_one_out(game: Game) -> Real:
    """Return what each player adds to all others, (players,)."""
    n = game.players
    scores = game.ask(n, lambda start, stop: 1.0 - np.eye(n)[start:stop])
    return game.whole - np.array(list(scores))


def average_orders(game: Game, orders: int) -> Real:
    """Return Shapley values, (players,), from so many random orders of the players.

    Every second order is the one before it, reversed.
    """
    n = game.players
    inner = n - 1  # sets between none and all

    def make_sets(start: int, stop: int) -> AnyArray:
        drawn = [divmod(k, inner) for k in range(start, stop)]
        ranks = [np.argsort(_draw_order(order, n)) for order, _ in drawn]
        return np.array([rank <= size for rank, (_, size) in zip(ranks, drawn, strict=True)], float)

    values, scores = np.zeros(n), game.ask(orders * inner, make_sets)
    for number in range(orders):
        grown = [game.empty, *(next(scores) for _ in range(inner)), game.whole]
        values[_draw_order(number, n)] += np.diff(grown)
    return values / orders


def compare_halves(game: Game, masks: int) -> Real:
    """Return the mean score with each player minus that without it, (players,), of random masks.

    Every second mask is the complement of the one before it.
    """
    n = game.players

    def make_sets(start: int, stop: int) -> AnyArray:
        return np.array([_draw_half(k, n) for k in range(start, stop)])

    sums, counts = np.zeros((2, n)), np.zeros((2, n))
    for number, score in enumerate(game.ask(masks, make_sets)):
        taken = _draw_half(number, n)
        for row, part in enumerate((taken, 1 - taken)):
            sums[row] += score * part
            counts[row] += part
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    difference: Real = means[0] - means[1]
    return difference


def _draw_order(number: int, players: int) -> AnyArray:
    """Return a random order; those of 2 k and 2 k + 1 are each other's reverse."""
    order = np.random.default_rng([0, number // 2]).permutation(players)
    return order[::-1] if number % 2 else order


def _draw_half(number: int, players: int) -> Real:
    """Return a random mask; those of 2 k and 2 k + 1 are each other's complement."""
    mask = np.random.default_rng([0, number // 2]).integers(0, 2, players).astype(float)
    return 1 - mask if number % 2 else mask
