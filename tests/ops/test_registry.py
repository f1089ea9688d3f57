"""Laws of all ops: forward as onnxruntime, adjoints by the dot test, relevance carried whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Real, linearised

from dftlrp.linear import Affine, Route, dottest
from dftlrp.ops import OPS, At, inner
from dftlrp.types import UnsupportedModelError
from ops.case import Case
from ops.cases import AFFINE, CASES, MAPS, ROUTES
from ops.oracle import outputs

OUR_OWN = set(inner.OWN)  # not ONNX's: no oracle knows them; see test_inner


def random_like(a: Any, seed: int) -> Real:
    return np.random.default_rng(seed).standard_normal(np.shape(a))


def each(c: Case) -> list[At]:
    """The node, once for each of its outputs."""
    return [c.at(i) for i in range(c.outputs)]


def test_every_op_has_a_case() -> None:
    assert set(OPS) - OUR_OWN == {c.op for c in CASES.values()}


def test_every_op_that_carries_relevance_has_a_case_that_does() -> None:
    carrying = {name for name, op in OPS.items() if op.kind in {"Affine", "Route"}}
    assert carrying - OUR_OWN == {c.op for c in MAPS.values()}


@pytest.mark.parametrize("name", CASES)
def test_forward_is_onnxruntimes(name: str) -> None:
    c = CASES[name]
    want, rtol = outputs(c)
    for at, y in zip(each(c), want, strict=True):
        assert np.shape(at.y) == y.shape
        assert (at.y.dtype.kind == "f") == (y.dtype.kind == "f")
        np.testing.assert_allclose(at.y, y, rtol=rtol, atol=rtol * np.max(np.abs(y), initial=0))


@pytest.mark.parametrize("name", MAPS)
def test_the_adjoint_passes_the_dot_test(name: str) -> None:
    for at in each(MAPS[name]):
        layer = linearised(at)
        for op in [layer] if isinstance(layer, Affine) else [layer.tangent()]:
            xs = tuple(random_like(x, i) for i, x in enumerate(at.inputs))
            assert dottest(op, xs, random_like(at.y, 9)) <= 1e-12
            back = op.adjoint(random_like(at.y, 9))
            assert [b.shape for b in back] == [x.shape for x in at.inputs]


@pytest.mark.parametrize("name", AFFINE)
def test_an_affine_maps_forward_is_the_nodes(name: str) -> None:
    at = AFFINE[name].at()
    layer = linearised(at)
    assert isinstance(layer, Affine)
    np.testing.assert_allclose(layer.forward(*at.inputs), at.y, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(
        layer.map(lambda w: w).forward(*at.inputs), layer.forward(*at.inputs)
    )


@pytest.mark.parametrize("name", AFFINE)
def test_an_affine_map_is_linear_in_its_weights(name: str) -> None:
    at = AFFINE[name].at()
    layer = linearised(at)
    times = 2 if layer.weights else 1
    twice = layer.map(lambda w: 2 * w)
    np.testing.assert_allclose(
        twice.forward(*at.inputs), times * layer.forward(*at.inputs), rtol=1e-13
    )
    for a, b in zip(twice.adjoint(at.y), layer.adjoint(at.y), strict=True):
        np.testing.assert_allclose(a, times * b, rtol=1e-13)


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_carries_all_relevance_or_says_what_it_stopped(name: str) -> None:
    for at in each(ROUTES[name]):
        layer = linearised(at)
        assert isinstance(layer, Route)
        R = random_like(at.y, 3)
        parts = layer.carry(R)
        assert [p.shape for p in parts] == [x.shape for x in at.inputs]
        stopped = 0 if layer.stopped is None else layer.stopped(R).sum()
        assert sum(p.sum() for p in parts) + stopped == pytest.approx(R.sum(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_never_changes_the_size_of_relevance(name: str) -> None:
    """Carried, not rescaled: each part of a positive R is positive, and small parts stay small."""
    at = ROUTES[name].at()
    for part in linearised(at).carry(np.abs(random_like(at.y, 3))):
        assert part.min() >= 0


@pytest.mark.parametrize("name", ROUTES)
def test_a_routes_tangent_meets_the_output_where_it_is_not_a_constant(name: str) -> None:
    for at in each(ROUTES[name]):
        layer = linearised(at)
        tangent = layer.tangent()
        constant = 0 if layer.stopped is None else layer.stopped(at.y)
        np.testing.assert_allclose(
            tangent.forward(*at.inputs), at.y - constant, rtol=1e-12, atol=1e-12
        )
        if layer.homogeneous:
            np.testing.assert_allclose(
                tangent.apply(*at.inputs), at.y - constant, rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if OPS[c.op].kind == "-"])
def test_an_op_that_is_only_evaluated_refuses_relevance_and_says_so(name: str) -> None:
    at = CASES[name].at()
    assert OPS[at.node.op].refusal((0,)) is not None
    with pytest.raises(
        UnsupportedModelError, match=rf"node 'y' \({at.node.op}\) carries no relevance"
    ):
        linearised(at)
