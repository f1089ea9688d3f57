"""Runs what was traced: symbolic arrays with plain onnxruntime, and whole graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from graphs import Real
from onnx import GraphProto

import dftlrp
from dftlrp.core.maps import Affine, Route
from dftlrp.engine.forward import run_forward
from dftlrp.engine.settings import Settings
from dftlrp.frameworks.testing.traced import evaluate_symbols as numbers
from dftlrp.frameworks.testing.traced import run_traced as traced
from dftlrp.ops import OPS, At
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.trace import GraphRequest, trace

__all__ = [
    "agree", "answers", "close", "count_nodes", "error", "numbers", "trace_sample", "traced",
]  # fmt: skip


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


# -- a graph beside the reference


def count_nodes(graph: GraphProto) -> int:
    """The nodes of a graph, with those of its bodies."""
    bodies = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    return len(graph.node) + sum(map(count_nodes, bodies))


def trace_sample(model: dftlrp.Model, x: Any, ledger: bool = True, **settings: Any) -> Any:
    ready = run_forward(model, x, Settings(reference=None, **settings))
    return trace(ready, GraphRequest(ledger=ledger))


def agree(model: dftlrp.Model, x: Any, **asked: Any) -> None:
    """The graph says what the reference does: output, relevance, multiplier and accounts."""
    a, b = (dftlrp.attribute(model, x, backend=backend, **asked) for backend in ("numpy", "onnx"))
    close(b.output, a.output)
    assert error(b.relevance, a.relevance) < 2e-5
    if a.multiplier is not None:
        assert error(b.multiplier, a.multiplier) < 2e-5
    assert [(r.node, r.op, r.rule) for r in b.ledger.rows] == [
        (r.node, r.op, r.rule) for r in a.ledger.rows
    ]
    for name, kept in a.kept.items():
        close(b.kept[name][1], kept[1])
    scale = np.abs(a.relevance).sum()
    for ours, want in zip(b.ledger.rows, a.ledger.rows, strict=True):
        for term in ("relevance", "to_inputs", "bias", "stabiliser", "stopped", "reference"):
            one, other = getattr(ours, term), getattr(want, term)
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * scale)
    assert b.ledger.gap < 1e-5
