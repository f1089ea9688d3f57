"""Affine, Route and the dot test, on maps written down by hand."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import normal

from dftlrp.core.maps import Affine, activation, diagonal, move, run_dot_test

W, B = normal(4, 3), normal(4, seed=1)
DENSE = Affine(lambda w, xs: xs[0] @ w[0].T, lambda w, r: (r @ w[0],), (W,), B)
X, R = normal(2, 3, seed=2), normal(2, 4, seed=3)


def test_forward_is_apply_plus_bias() -> None:
    np.testing.assert_array_equal(DENSE.apply(X), X @ W.T)
    np.testing.assert_array_equal(DENSE.forward(X), X @ W.T + B)
    bare = Affine(DENSE.linear, DENSE.transpose, (W,))
    np.testing.assert_array_equal(bare.forward(X), X @ W.T)


def test_map_changes_weights_and_bias_and_leaves_the_map_alone() -> None:
    squared = DENSE.map(lambda w: w * w)
    np.testing.assert_array_equal(squared.forward(X), X @ (W**2).T + B**2)
    np.testing.assert_array_equal(squared.adjoint(R)[0], R @ W**2)
    np.testing.assert_array_equal(DENSE.forward(X), X @ W.T + B)


def test_the_dot_test_admits_a_map_and_its_transpose() -> None:
    assert run_dot_test(DENSE, (X,), R) < 1e-15


@pytest.mark.parametrize(
    "wrong", [lambda w, r: (r @ w[0] * 1.001,), lambda w, r: (r @ np.flip(w[0]),)]
)
def test_the_dot_test_rejects_anything_else(wrong: object) -> None:
    assert run_dot_test(Affine(DENSE.linear, wrong, (W,)), (X,), R) > 1e-4  # type: ignore[arg-type]


def test_the_dot_test_needs_one_array_for_each_input() -> None:
    two = Affine(lambda w, xs: xs[0] + xs[1], lambda w, r: (r,))
    with pytest.raises(ValueError, match="zip"):
        run_dot_test(two, (X, X), X)


def test_a_diagonal_is_its_own_transpose() -> None:
    d = diagonal(W[0], B[:3])
    np.testing.assert_array_equal(d.apply(X), d.adjoint(X)[0])
    np.testing.assert_array_equal(d.forward(X), W[0] * X + B[:3])


def test_an_activation_passes_relevance_and_its_tangent_touches_the_function() -> None:
    x = X[0]
    route = activation(x, np.tanh(x), lambda: 1 - np.tanh(x) ** 2)
    np.testing.assert_array_equal(route.carry(R[0, :3])[0], R[0, :3])
    np.testing.assert_allclose(route.tangent().forward(x), np.tanh(x), rtol=1e-14)
    assert not route.homogeneous


def test_the_tangent_is_made_only_when_asked_for() -> None:
    def never() -> None:
        raise AssertionError("the slope was computed")

    activation(X, X, never).carry(X)  # type: ignore[arg-type]


def test_a_move_stops_what_no_input_covers() -> None:
    pad = move(lambda v: np.pad(v, 1), lambda r: (r[1:-1],), covered=np.array([0.0, 1, 1, 1, 0]))
    r = np.arange(1.0, 6.0)
    np.testing.assert_array_equal(pad.carry(r)[0], [2, 3, 4])
    assert pad.stopped is not None
    np.testing.assert_array_equal(pad.stopped(r), [1, 0, 0, 0, 5])
