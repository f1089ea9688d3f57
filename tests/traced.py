"""Runs what was traced: symbolic arrays with plain onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from graphs import Real

from dftlrp.core.maps import Affine, Route
from dftlrp.frameworks.testing.traced import evaluate_symbols as numbers
from dftlrp.frameworks.testing.traced import run_traced as traced
from dftlrp.ops import OPS, At
from dftlrp.tracing.onnx_backend import OnnxBackend

__all__ = ["answers", "close", "error", "numbers", "traced"]


def answers(at: At, tangent: bool) -> tuple[list[Real], list[Real]]:
    """What the map of a node gives, by the reference and traced: forward and adjoint, or carried.

    The relevance is random; ``tangent`` asks for the true tangent.
    """
    r = np.random.default_rng(0).standard_normal(at.y.shape)
    live = [at.args[i] for i in at.live]

    def say(here: At, R: Any, xs: Sequence[Any]) -> list[Any]:
        layer = OPS[here.node.op].linearise(here)  # type: ignore[misc]
        layer = layer.tangent() if tangent else layer
        if isinstance(layer, Affine):
            return [layer.forward(*xs), *layer.adjoint(R)]
        assert isinstance(layer, Route)
        stopped = [layer.stopped(R)] if layer.stopped else []
        return [*layer.carry(R), *stopped]

    def symbolic(bk: OnnxBackend, y: Any, R: Any, *xs: Any) -> list[Any]:
        args = list(at.args)
        for position, x in zip(at.live, xs, strict=True):
            args[position] = x
        return say(replace(at, bk=bk, args=tuple(args), y=y), R, xs)

    return say(at, r, live), traced(symbolic, at.y, r, *live, opset=max(17, at.node.opset))


def close(ours: Any, want: Any, tolerance: float = 2e-5) -> None:
    """As near as float32 is, relative to the largest."""
    ours, want = np.asarray(ours), np.asarray(want)
    assert ours.shape == want.shape
    scale = np.abs(want).max(initial=1e-30)
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * scale)


def error(ours: Real, want: Real) -> float:
    """Relative L1 error."""
    return float(np.abs(ours - want).sum() / max(np.abs(want).sum(), 1e-300))
