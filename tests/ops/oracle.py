"""onnxruntime, optimisations off: what a single node really computes."""

from __future__ import annotations

from functools import cache
from typing import Any

import models
import numpy as np
import onnx
import onnxruntime as ort
from graphs import Real
from onnx import helper, numpy_helper

from ops.case import Case

NEWEST = onnx.defs.onnx_opset_version()


def session(model: onnx.ModelProto) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@cache
def newest_opset() -> int:
    """The newest that both onnx and onnxruntime know."""
    node = helper.make_node("Relu", ["x"], ["y"])
    for opset in range(NEWEST, 0, -1):
        try:
            session(models.model([node], {"x": [1]}, {"y": [1]}, opset=opset))
        except ort.capi.onnxruntime_pybind11_state.Fail:
            continue
        return opset
    raise AssertionError("onnxruntime runs no opset")


def node_model(c: Case, floats: Any) -> onnx.ModelProto:
    """One node: float inputs of that dtype are the graph's inputs, all others initialisers."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(c.args)]
    outputs = [f"y{i}" for i in range(c.outputs)]
    attrs = {
        k: numpy_helper.from_array(v.astype(floats) if v.dtype == float else v)
        if isinstance(v, np.ndarray)
        else v
        for k, v in c.attrs.items()
    }
    given = [(n, np.asarray(a)) for n, a in zip(names, c.args, strict=True) if n]
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(floats))
    inputs = [models.value(n, a.shape, elem) for n, a in given if a.dtype == float]
    heads = [helper.make_empty_tensor_value_info(n) for n in outputs]
    fixed = {n: a for n, a in given if a.dtype != float}
    node = helper.make_node(c.op, names, outputs, **attrs)
    return models.model([node], inputs, heads, fixed, opset=c.opset or newest_opset())


def outputs(c: Case) -> tuple[list[Real], float]:
    """The node's outputs, in float64 where onnxruntime can, and how exact they are."""
    for floats, rtol in ((np.float64, 1e-12), (np.float32, 2e-5)):
        try:
            run = session(node_model(c, floats))
        except ort.capi.onnxruntime_pybind11_state.NotImplemented:
            continue
        except (
            ort.capi.onnxruntime_pybind11_state.InvalidGraph,
            ort.capi.onnxruntime_pybind11_state.Fail,
        ):
            if floats is np.float64:  # a type the op does not have
                continue
            raise
        feed = {i.name: np.asarray(c.args[int(i.name[1:])], floats) for i in run.get_inputs()}
        return run.run(None, feed), max(rtol, c.rtol)
    raise AssertionError(f"onnxruntime cannot run {c.op} at opset {c.opset}")
