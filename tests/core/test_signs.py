"""The algebra of signs: what it claims of a result is so, whatever the numbers are."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from graphs import Real, normal

from dftlrp.core.backend import NUMPY_FUNCTIONS, OWN_FUNCTIONS, Window
from dftlrp.core.numpy_backend import BACKEND
from dftlrp.core.signs import NONNEG, NONPOS, RULES, UNKNOWN, ZERO, Sign, find_sign, sign_of

A = normal(2, 3, 4)
KINDS: dict[Sign, Real] = {UNKNOWN: A, NONNEG: np.abs(A), NONPOS: -np.abs(A), ZERO: 0 * A}
G = Window((3,), (1,), (1,), ((1, 1),))
UNARY = [n for n, args in (NUMPY_FUNCTIONS | OWN_FUNCTIONS).items() if args == ("x",)]
BINARY = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "fmod"]
CALLS: dict[str, Any] = {
    **{name: lambda f, a, b: f(a) for name in UNARY},
    **{name: lambda f, a, b: f(a, b) for name in BINARY},
    "where": lambda f, a, b: f(A > 0, a, b),
    "clip": lambda f, a, b: f(a, b, 0.5),
    "concatenate": lambda f, a, b: f((a, b), 1),
    "pad": lambda f, a, b: f(a, ((0, 0), (0, 0), (1, 0)), constant_values=b[0, 0, 0]),
    "max": lambda f, a, b: f(a, axis=1, initial=b[0, 0, 0]),
    "min": lambda f, a, b: f(a, axis=1, initial=b[0, 0, 0]),
    "sum": lambda f, a, b: f(a, axis=(0, 2)),
    "cumsum": lambda f, a, b: f(a, axis=1),
    "einsum": lambda f, a, b: f("abc,abd->acd", a, b),
    "matmul": lambda f, a, b: f(a, np.swapaxes(b, 1, 2)),
    "step": lambda f, a, b: f(a, True),
    "pick": lambda f, a, b: f(a, np.array([3, -1]), b[0, 0, 0]),
    "conv": lambda f, a, b: f(a, b[:, :, :3], G),
    "conv_T": lambda f, a, b: f(a[:, :2], b[:, :, :3], G, (4,)),
    "maxpool": lambda f, a, b: f(a, b, G),
    "maxpool_T": lambda f, a, b: f(a, b, G),
    "full_like": lambda f, a, b: f(a, b[0, 0, 0]),
}
MOVES = {
    "reshape", "transpose", "moveaxis", "expand_dims", "broadcast_to", "getitem", "slice_T", "take",
    "take_along_axis", "pick_T", "flip", "repeat", "tile", "sum_to", "astype", "stack", "trunc",
    "argmax", "argmin", "argsort", "equal", "not_equal", "greater", "greater_equal", "less",
    "less_equal",
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_what_is_known_of_a_result_is_so(name: str) -> None:
    f = getattr(BACKEND, name) if name in OWN_FUNCTIONS else getattr(np, name)
    for (first, a), (second, b) in product(KINDS.items(), KINDS.items()):
        with np.errstate(all="ignore"):
            y = CALLS[name](f, a, b)
        claimed = CALLS[name](lambda *args, **how: find_sign(name, *args, **how), a, b)
        y = y[np.isfinite(y)]  # a zero may be negative
        assert (y >= 0).all() or not claimed.nonneg, (first, second)
        assert (y <= 0).all() or not claimed.nonpos, (first, second)


def test_every_rule_is_tried_or_a_move() -> None:
    assert RULES.keys() <= CALLS.keys() | MOVES


def test_a_sign_is_that_of_the_numbers_and_nothing_is_known_of_nan() -> None:
    assert [sign_of(a) for a in KINDS.values()] == list(KINDS)
    assert sign_of(np.array([True])) == NONNEG
    assert sign_of(np.array([np.nan, 1.0])) == UNKNOWN
    assert find_sign("an unknown function", A) == UNKNOWN


def test_a_square_and_an_even_power_are_never_negative() -> None:
    assert find_sign("multiply", A, A) == find_sign("power", A, 2) == NONNEG
    assert find_sign("power", A, 3) == UNKNOWN
