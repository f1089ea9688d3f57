"""Random forms of the workhorses against onnxruntime, opset by opset, and their adjoints."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from graphs import linearised, normal

from dftlrp.core.maps import Affine, run_dot_test
from dftlrp.ops import OPS
from ops.case import Case
from ops.draws import DRAWS
from ops.oracle import outputs

OPSETS = (9, 11, 12, 13, 17, 20)
QUICK, MANY = 6, 150
REFUSED = tuple(
    getattr(ort.capi.onnxruntime_pybind11_state, name)
    for name in ("Fail", "InvalidArgument", "RuntimeException", "InvalidGraph")
)


def agrees(c: Case) -> bool:
    """Compare all outputs and test the adjoint; False where onnxruntime itself refuses the node."""
    try:
        want, rtol = outputs(c)
    except (*REFUSED, AssertionError):
        return False
    for i, y in enumerate(want):
        at = c.at(i)
        assert np.shape(at.y) == y.shape
        scale = np.max(np.abs(y), initial=0)
        np.testing.assert_allclose(at.y, y, rtol=rtol, atol=10 * rtol * scale, err_msg=str(c))
    at, op = c.at(), OPS[c.op]
    if op.linearise is not None and c.live and at.y.size:
        layer = linearised(at)
        tangent = layer if isinstance(layer, Affine) else layer.tangent()
        xs = tuple(normal(*x.shape, seed=i) for i, x in enumerate(at.inputs))
        assert run_dot_test(tangent, xs, normal(*at.y.shape, seed=9)) <= 1e-12
    return True


def drawn(op: str, opset: int, count: int) -> list[Case]:
    rng: Any = np.random.default_rng(zlib.crc32(f"{op}{opset}".encode()))
    return [DRAWS[op](rng, opset) for _ in range(count)]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op", DRAWS)
@pytest.mark.parametrize("count", [QUICK, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_random_node_is_what_onnxruntime_computes(op: str, opset: int, count: int) -> None:
    agreed = sum(agrees(c) for c in drawn(op, opset, count))
    assert agreed >= count // 3
