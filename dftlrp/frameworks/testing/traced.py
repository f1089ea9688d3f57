"""Run traced functions by onnxruntime, so that the onnx backend can be tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from dftlrp.core.types import AnyArray
from dftlrp.tracing.fuse import simplify
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.session import load_runtime
from dftlrp.tracing.symbols import Symbol, narrow_dtype
from dftlrp.tracing.tape import Tape


def evaluate_symbols(
    tape: Tape, arrays: Sequence[Any], feed: Mapping[str, AnyArray]
) -> list[AnyArray]:
    """Return the values of symbolic arrays at some inputs, and constants as they are."""
    named = {}
    for x in arrays:
        if isinstance(x, Symbol):
            name = tape.make_name("out")
            tape.append_node("Identity", (x,), (name,), {})
            named[name] = x
    nodes = simplify(tape, list(named))
    used = {name for node in nodes for name in node.input}
    inputs = [x for x in tape.inputs if x.name in used]
    graph = helper.make_graph(
        nodes,
        "test",
        [_tell_value(x.name, x) for x in inputs],
        [_tell_value(name, x) for name, x in named.items()],
        [numpy_helper.from_array(a, n) for n, a in tape.constants.items() if n in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", tape.opset)])
    model.ir_version = 10
    results: Any = iter(())
    if named:
        onnx.checker.check_model(model, full_check=True)
        given = {x.name: np.asarray(feed[x.name], x.dtype) for x in inputs}
        results = iter(load_runtime(model.SerializeToString()).run(None, given))
    return [next(results) if isinstance(x, Symbol) else _convert_constant(x) for x in arrays]


def _convert_constant(x: Any) -> AnyArray:
    """Return a constant in the dtype that the graph holds it in."""
    array = np.asarray(x)
    return array.astype(narrow_dtype(array.dtype))


def _tell_value(name: str, x: Symbol) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)


def run_traced(f: Callable[..., Any], *given: Any, opset: int = 17) -> list[AnyArray]:
    """Trace ``f(backend, *arrays)``, run the graph, and return the values of its results."""
    tape = Tape(opset)
    names = [f"in{i}" for i in range(len(given))]
    xs = [
        tape.add_input(n, np.shape(a), np.asarray(a).dtype)
        for n, a in zip(names, given, strict=True)
    ]
    made = f(OnnxBackend(tape), *xs)
    made = made if isinstance(made, tuple | list) else [made]
    return evaluate_symbols(tape, made, dict(zip(names, given, strict=True)))
