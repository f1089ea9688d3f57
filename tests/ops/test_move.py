"""Data movement: where each sample's relevance goes, and what lands on constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import at_node, linearised, normal

from dftlrp.core.types import UnsupportedModelError
from dftlrp.engine.gates import is_stop
from dftlrp.ops import OPS
from ops.cases import CASES, ROUTES

FAMILY = {f"dftlrp.ops.{name}" for name in ("move", "cast", "gather", "scatter")}
MOVES = {
    name: c
    for name, c in ROUTES.items()
    if OPS[c.op].linearise.__module__ in FAMILY  # type: ignore[union-attr]
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_relevance_is_moving_the_signal_backwards(name: str) -> None:
    """R = y goes to x times the number of its copies, so a map of zeros and ones is its tangent."""
    at = MOVES[name].at()
    layer = linearised(at)
    copies = layer.carry(np.ones_like(at.y))
    for x, n, r in zip(at.inputs, copies, layer.carry(at.y), strict=True):
        assert set(np.unique(n)) <= set(range(20))
        np.testing.assert_allclose(r, x * n, rtol=1e-13)


@pytest.mark.parametrize(
    ("mode", "copies"),
    [
        ("reflect", [1, 3, 3, 1]),
        ("edge", [3, 1, 1, 3]),
        ("wrap", [2, 2, 2, 2]),
        ("constant", [1, 1, 1, 1]),
    ],
)
def test_the_copies_of_a_padded_sample_add_up(mode: str, copies: list[float]) -> None:
    pads = np.array([0, 2, 0, 2])
    at = at_node("Pad", [normal(1, 4), pads], mode=mode, opset=19)
    layer = linearised(at)
    (R,) = layer.carry(np.ones_like(at.y))
    np.testing.assert_array_equal(R[0], copies)
    stopped = layer.stopped(np.ones_like(at.y)).sum() if layer.stopped else 0
    assert stopped == (4 if mode == "constant" else 0)


def test_what_lands_on_a_constant_part_of_a_concat_is_stopped() -> None:
    layer = linearised(at_node("Concat", [normal(1, 2), normal(1, 3)], live=(1,), axis=1))
    R = np.array([[1.0, 2, 3, 4, 5]])
    np.testing.assert_array_equal(layer.carry(R)[0], [[3, 4, 5]])
    np.testing.assert_array_equal(layer.stopped(R), [[1, 2, 0, 0, 0]])


def test_what_lands_on_the_constant_side_of_a_where_is_stopped() -> None:
    condition = np.array([True, False, True])
    layer = linearised(at_node("Where", [condition, normal(3), np.zeros(3)], live=(1,)))
    R = np.array([1.0, 2, 4])
    np.testing.assert_array_equal(layer.carry(R)[0], [1, 0, 4])
    np.testing.assert_array_equal(layer.stopped(R), [0, 2, 0])


@pytest.mark.parametrize("to", [1, 10, 11, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cast_between_floats_keeps_the_dtype_that_is_computed_in(to: int, dtype: Any) -> None:
    x = normal(3).astype(dtype)
    at = at_node("Cast", [x], to=to)
    assert at.y.dtype == dtype
    np.testing.assert_array_equal(at.y, x)
    np.testing.assert_array_equal(linearised(at).carry(x)[0], x)


@pytest.mark.parametrize("to", [7, 9])
def test_a_cast_to_whole_numbers_stops_all(to: int) -> None:
    layer = linearised(at_node("Cast", [normal(3)], to=to))
    np.testing.assert_array_equal(layer.stopped(np.ones(3)), np.ones(3))
    assert not layer.carry(np.ones(3))[0].any()


@pytest.mark.parametrize(
    ("op", "args", "attrs"),
    [
        ("Expand", [normal(1), np.array([2**20, 2**20])], {}),
        ("Tile", [normal(1), np.array([2**40])], {}),
        ("ConstantOfShape", [np.array([2**20, 2**20])], {}),
        ("Range", [np.array(0), np.array(2**40), np.array(1)], {}),
        ("Pad", [normal(1), np.array([0, 2**40])], {}),
        ("OneHot", [np.array([0]), np.array(2**40), np.array([0.0, 1.0])], {}),
        ("CenterCropPad", [normal(1), np.array([2**40])], {}),
        (
            "MaxUnpool",
            [normal(1, 1, 2), np.zeros((1, 1, 2), int), np.array([1, 1, 2**40])],
            {"kernel_shape": [2]},
        ),
        (
            "Col2Im",
            [normal(1, 4, 1), np.array([2**20, 2**20]), np.array([2, 2])],
            {"strides": [2**20, 2**20]},
        ),
        ("Resize", [normal(1, 1, 2), None, None, np.array([1, 1, 2**40])], {}),
        ("Resize", [normal(1, 1, 2), None, np.array([1, 1, 2.0**40])], {"mode": "linear"}),
        ("AffineGrid", [normal(1, 2, 3), np.array([1, 1, 2**20, 2**20])], {}),
        (
            "RoiAlign",
            [normal(1, 1, 2, 2), normal(1, 4), np.array([0])],
            {"output_height": 2**20, "output_width": 2**20},
        ),
        ("HannWindow", [np.array(2**40)], {}),
        ("MelWeightMatrix", [np.array(n) for n in (2**20, 2**20, 8000, 0.0, 4000.0)], {}),
        ("DFT", [normal(1, 4, 1), np.array(2**40)], {}),
        ("DequantizeLinear", [normal(2, 4), normal(2, 1), None], {"block_size": 2**40}),
        ("GatherND", [normal(2**10, 2**12), np.zeros((2**20, 1), int)], {}),
        ("Einsum", [normal(2**16), normal(2**16)], {"equation": "i,j->ij"}),
    ],
)
def test_a_shape_that_asks_for_too_much_memory_is_refused(
    op: str, args: list[Any], attrs: dict[str, Any]
) -> None:
    with pytest.raises(
        UnsupportedModelError, match=rf"node 'y' \({op}\): a tensor of shape .* too large"
    ):
        at_node(op, args, **attrs)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if OPS[c.op].kind == "Stop"])
def test_a_stop_has_no_map(name: str) -> None:
    op = OPS[CASES[name].op]
    assert op.find_refusal((0,)) is None
    if op.tokens:  # of whole numbers only
        assert is_stop(CASES[name].at().node)
    else:
        assert op.linearise is None
