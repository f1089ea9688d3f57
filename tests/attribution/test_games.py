"""Values of the players of a game against brute force, and games that are linear."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from dftlrp.attribution.games import Game, average_orders, compare_halves, leave_one_out

RULES = {"occlusion": leave_one_out, "shapley": lambda g: average_orders(g, 40),
         "rise": lambda g: compare_halves(g, 400)}  # fmt: skip


def game_of(score: Any, players: int) -> Game:
    """The game of a function of a mask."""

    def play(count: int, sets: Any) -> Iterator[float]:
        for k in range(count):
            (mask,) = sets(k, k + 1)
            yield score(mask)

    return Game(players, score(np.ones(players)), score(np.zeros(players)), play)


def crooked(mask: np.ndarray) -> float:
    """Players that need, double and forbid each other."""
    a, b, c, d = mask
    return float(0.5 + 2 * a * b - c * (1 - d) + np.sin(a + 2 * c + 3 * d))


WEIGHTS = np.array([2.0, -1.0, 0.0, 0.5, 3.0])


@pytest.mark.parametrize("rule", ["occlusion", "shapley"])
def test_in_a_linear_game_every_player_is_worth_its_weight(rule):
    values = RULES[rule](game_of(lambda m: 0.7 + float(m @ WEIGHTS), 5))
    np.testing.assert_allclose(values, WEIGHTS, atol=1e-12)


def test_random_halves_are_unbiased_in_a_linear_game():
    """All subsets: exactly the weights; random ones: within four standard errors."""
    values = compare_halves(game_of(lambda m: 0.7 + float(m @ WEIGHTS), 5), 2000)
    spread = np.sqrt(sum(WEIGHTS**2) / 1000)  # each pair is one draw of the other players' sum
    assert np.abs(values - WEIGHTS).max() <= 4 * spread
    assert np.abs(values - WEIGHTS).max() > 0  # they are drawn


def test_halves_are_those_of_the_masks_that_were_drawn():
    drawn, scores = [], []

    def score(mask: np.ndarray) -> float:
        drawn.append(mask.copy())
        scores.append(crooked(mask))
        return scores[-1]

    game = game_of(score, 4)
    drawn.clear(), scores.clear()
    values = compare_halves(game, 50)
    masks, found = np.array(drawn), np.array(scores)
    np.testing.assert_array_equal(masks[::2] + masks[1::2], 1)  # each with its complement
    for u in range(4):
        with_it, without = found[masks[:, u] == 1].mean(), found[masks[:, u] == 0].mean()
        assert values[u] == pytest.approx(with_it - without, rel=1e-12)


def test_all_orders_give_the_shapley_values_by_definition(monkeypatch):
    orders = list(permutations(range(4)))
    monkeypatch.setattr("dftlrp.attribution.games._draw_order",
                        lambda number, players: np.array(orders[number]))  # fmt: skip
    want = np.zeros(4)
    for order in orders:
        mask, before = np.zeros(4), crooked(np.zeros(4))
        for player in order:
            mask[player] = 1
            want[player] += (crooked(mask) - before) / len(orders)
            before = crooked(mask)
    np.testing.assert_allclose(average_orders(game_of(crooked, 4), 24), want, atol=1e-12)


def test_random_orders_come_near_the_shapley_values():
    exact = {}
    for mask in range(16):
        exact[mask] = crooked(np.array([mask >> i & 1 for i in range(4)], float))
    weights = {0: 1 / 4, 1: 1 / 12, 2: 1 / 12, 3: 1 / 4}
    want = [
        sum(weights[(s).bit_count()] * (exact[s | 1 << i] - exact[s])
            for s in range(16) if not s >> i & 1)
        for i in range(4)
    ]  # fmt: skip
    near = average_orders(game_of(crooked, 4), 400)
    np.testing.assert_allclose(near, want, atol=0.15)


@pytest.mark.parametrize("orders", [1, 2, 7])
def test_shapley_values_add_up_for_any_number_of_orders(orders):
    game = game_of(crooked, 4)
    total = average_orders(game, orders).sum()
    assert total == pytest.approx(game.whole - game.empty, rel=1e-12)


def test_occlusion_is_the_naive_loop():
    whole = crooked(np.ones(4))
    want = [whole - crooked(1 - np.eye(4)[i]) for i in range(4)]
    np.testing.assert_array_equal(leave_one_out(game_of(crooked, 4)), want)


@pytest.mark.parametrize("rule", RULES)
def test_one_player_is_worth_all(rule):
    values = RULES[rule](game_of(lambda m: 3.0 * float(m[0]) + 1, 1))
    np.testing.assert_allclose(values, [3.0], atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_drawn_is_the_same_each_time(rule):
    one, other = (RULES[rule](game_of(crooked, 4)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
