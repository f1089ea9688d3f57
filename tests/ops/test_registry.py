"""Laws of all ops: forward as onnxruntime, adjoints by the dot test, relevance carried whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Real, at_node, linearised, normal

from dftlrp.core.maps import Affine, Route, run_dot_test
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops import OPS, At, inner
from ops.case import X1, Case
from ops.cases import AFFINE, CASES, MAPS, ROUTES
from ops.oracle import outputs

OUR_OWN = set(inner.OWN)  # not ONNX's: no oracle knows them; see test_inner


def random_like(a: Any, seed: int) -> Real:
    return np.random.default_rng(seed).standard_normal(np.shape(a))


def each(c: Case) -> list[At]:
    """The node, once for each of its outputs."""
    return [c.at(i) for i in range(c.outputs)]


def carrying(c: Case) -> list[At]:
    """The node, once for each of its outputs that has a map."""
    op = OPS[c.op]
    known = range(c.outputs) if op.outputs is None else (0,)
    return [c.at(i) for i in known]


def test_every_op_has_a_case() -> None:
    assert set(OPS) - OUR_OWN == {c.op for c in CASES.values()}


def test_every_op_that_carries_relevance_has_a_case_that_does() -> None:
    carrying = {name for name, op in OPS.items() if op.kind in {"Affine", "Route"}}
    assert carrying - OUR_OWN == {c.op for c in MAPS.values()}


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.oracle])
def test_forward_is_onnxruntimes(name: str) -> None:
    c = CASES[name]
    want, rtol = outputs(c)
    for at, y in zip(each(c), want, strict=True):
        assert np.shape(at.y) == y.shape
        assert (at.y.dtype.kind == "f") == (y.dtype.kind == "f") or "Quantize" in c.op
        np.testing.assert_allclose(at.y, y, rtol=rtol, atol=rtol * np.max(np.abs(y), initial=0))


@pytest.mark.parametrize("name", MAPS)
def test_the_adjoint_passes_the_dot_test(name: str) -> None:
    for at in carrying(MAPS[name]):
        layer = linearised(at)
        for op in [layer] if isinstance(layer, Affine) else [layer.tangent()]:
            xs = tuple(random_like(x, i) for i, x in enumerate(at.inputs))
            assert run_dot_test(op, xs, random_like(at.y, 9)) <= 1e-12
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
    np.testing.assert_allclose(twice.apply(*at.inputs), times * layer.apply(*at.inputs), rtol=1e-13)
    assert layer.bias is None or np.array_equal(twice.bias, 2 * layer.bias)
    for a, b in zip(twice.adjoint(at.y), layer.adjoint(at.y), strict=True):
        np.testing.assert_allclose(a, times * b, rtol=1e-13)


@pytest.mark.parametrize("name", AFFINE)
def test_the_slope_of_an_affine_map_is_the_derivative(name: str) -> None:
    """Against a central difference of fourth order, along a random direction."""
    at = AFFINE[name].at()
    tangent, h = linearised(at).tangent(), 1e-4
    along = tuple(random_like(x, 5 + i) for i, x in enumerate(at.inputs))

    def y(k: int) -> Real:
        moved = dict(
            zip(
                at.live, (x + k * h * d for x, d in zip(at.inputs, along, strict=True)), strict=True
            )
        )
        args = tuple(moved.get(i, a) for i, a in enumerate(at.args))
        return OPS[at.node.op].evaluate(At(at.node, at.bk, args, at.live))

    want = (8 * (y(1) - y(-1)) - (y(2) - y(-2))) / (12 * h)
    np.testing.assert_allclose(tangent.apply(*along), want, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(tangent.forward(*at.inputs), at.y, rtol=1e-11, atol=1e-11)
    assert run_dot_test(tangent, along, random_like(at.y, 9)) <= 1e-12


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_carries_all_relevance_or_says_what_it_stopped(name: str) -> None:
    for at in carrying(ROUTES[name]):
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
    for at in carrying(ROUTES[name]):
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


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if OPS[c.op].kind == "Evaluated"])
def test_an_op_that_is_only_evaluated_refuses_relevance_and_says_so(name: str) -> None:
    at = CASES[name].at()
    assert OPS[at.node.op].find_refusal((0,)) is not None
    with pytest.raises(
        UnsupportedModelError, match=rf"node 'y' \({at.node.op}\) carries no relevance"
    ):
        linearised(at)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if OPS[c.op].silent])
def test_what_an_op_says_of_its_outputs_is_what_it_evaluates(name: str) -> None:
    """Indices and masks carry nothing: they are whole numbers, or follow the signal's range."""
    c = CASES[name]
    op = OPS[c.op]
    assert op.outputs is None or c.outputs <= op.outputs
    for i in set(op.silent) & set(range(c.outputs)):
        assert c.at(i).y.dtype.kind in "ib" or c.op == "DynamicQuantizeLinear"


@pytest.mark.parametrize("op", ["BatchNormalization", "Dropout"])
def test_a_layer_in_training_mode_is_refused_by_name(op: str) -> None:
    x, v = X1, np.ones(3)
    args = [x, v, v, v, v] if op == "BatchNormalization" else [x, np.array(0.5), np.array(True)]
    attrs = {"training_mode": 1} if op == "BatchNormalization" else {}
    with pytest.raises(UnsupportedModelError, match=rf"node 'y' \({op}\).*eval mode"):
        at_node(op, args, **attrs)


def test_a_mask_of_minus_infinity_counts_as_zero_in_a_softmax() -> None:
    x = np.array([[1.0, -np.inf, 0.5]])
    at = at_node("Softmax", [x])
    layer = linearised(at)
    np.testing.assert_allclose(layer.forward(x), at.y, rtol=1e-14)
    assert at.y[0, 1] == layer.adjoint(np.ones((1, 3)))[0][0, 1] == 0


def test_a_scatter_that_multiplies_refuses_relevance() -> None:
    args = [normal(3, 4), np.array([[0]]), normal(1, 4)]
    at = at_node("ScatterND", args, reduction="mul")
    with pytest.raises(UnsupportedModelError, match="reduction='mul'"):
        linearised(at)
