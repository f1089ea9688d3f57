"""Laws of the ops that expansions and merged layers are made of: dot test, forward, slope."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import at_node, linearised, normal

from dftlrp.core.maps import Affine, run_dot_test
from dftlrp.ops import OPS, inner

X, Y = normal(3, 4), normal(3, 4, seed=5)
CASES: dict[str, Any] = {
    "Select": lambda: at_node("Select", [X], axis=1, place=-1),
    "Stack": lambda: at_node("Stack", [X, Y, X], live=(0, 2), axis=1),
    "Gated": lambda: at_node("Gated", [np.abs(Y), X, normal(4), Y], live=(1, 3)),
    "Gated, one fixed": lambda: at_node("Gated", [np.abs(Y), X, normal(4), Y], live=(3,)),
    "Gated, tangent": lambda: at_node("Gated", [X, Y, normal(3, 4, seed=8), X], live=(0, 1, 2, 3)),
    "MulAdd": lambda: at_node("MulAdd", [X, normal(4), normal(4, seed=2)]),
    "Normalised": lambda: at_node("Normalised", [X, normal(3, 1), normal(4)], axes=(1,)),
}


def test_each_has_a_case_here_or_in_the_laws_of_merging():
    assert {name.split(",")[0] for name in CASES} | {"Pointwise", "Freeze"} == set(inner.OWN)
    assert set(inner.OWN) <= set(OPS)


@pytest.mark.parametrize("name", CASES)
def test_the_adjoint_passes_the_dot_test_and_the_forward_is_the_nodes(name):
    at = CASES[name]()
    layer = linearised(at)
    maps = [layer, layer.tangent()] if isinstance(layer, Affine) else [layer.tangent()]
    for op in maps:
        xs = tuple(normal(*x.shape, seed=i) for i, x in enumerate(at.inputs))
        assert run_dot_test(op, xs, normal(*at.y.shape, seed=9)) < 1e-13
    if isinstance(layer, Affine):
        for op in maps:
            np.testing.assert_allclose(op.forward(*at.inputs), at.y, rtol=1e-12, atol=1e-13)
