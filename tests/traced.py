"""Runs what was traced: symbolic arrays with plain onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from graphs import Real
from onnx import helper

from dftlrp.linear import Affine, Route
from dftlrp.onnx_backend import OnnxBackend
from dftlrp.onnx_fuse import tidied
from dftlrp.onnx_graph import Sym
from dftlrp.onnx_session import runtime_of
from dftlrp.onnx_tape import Tape
from dftlrp.ops import OPS, At


def numbers(tape: Tape, arrays: Sequence[Any], feed: Mapping[str, Real]) -> list[Real]:
    """What symbolic arrays are at these inputs; constants as they are."""
    named = {}
    for x in arrays:
        if isinstance(x, Sym):
            name = tape.fresh("out")
            tape.append("Identity", (x,), (name,), {})
            named[name] = x
    nodes = tidied(tape, list(named))
    used = {name for node in nodes for name in node.input}
    inputs = [x for x in tape.inputs if x.name in used]
    graph = helper.make_graph(
        nodes,
        "test",
        [_info(x.name, x) for x in inputs],
        [_info(name, x) for name, x in named.items()],
        [t for t in tape.tensors() if t.name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", tape.opset)])
    model.ir_version = 10
    results: Any = iter(())
    if named:
        onnx.checker.check_model(model, full_check=True)
        given = {x.name: np.asarray(feed[x.name], x.dtype) for x in inputs}
        results = iter(runtime_of(model.SerializeToString()).run(None, given))
    return [next(results) if isinstance(x, Sym) else np.asarray(x) for x in arrays]


def _info(name: str, x: Sym) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)


def traced(f: Callable[..., Any], *given: Any, opset: int = 17) -> list[Real]:
    """``f(backend, *arrays)`` with symbolic arrays, run; gives all that it returns."""
    tape = Tape(opset)
    names = [f"in{i}" for i in range(len(given))]
    xs = [
        tape.input(n, np.shape(a), np.asarray(a).dtype) for n, a in zip(names, given, strict=True)
    ]
    made = f(OnnxBackend(tape), *xs)
    made = made if isinstance(made, tuple | list) else [made]
    return numbers(tape, made, dict(zip(names, given, strict=True)))


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
