"""ONNX's own backend test-suite, case by case, against the evaluator."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from graphs import Real
from onnx import ModelProto, numpy_helper, version_converter

from dftlrp.core.numpy_backend import BACKEND
from dftlrp.engine.evaluate import expand_nodes
from dftlrp.graph.load import load_graph
from dftlrp.graph.structure import Graph
from dftlrp.ops import EXPANSIONS, OPS, At
from dftlrp.ops.cast import is_floating
from dftlrp.ops.registry import Known

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
Values = dict[str, Any]


def as_computed(x: Any) -> Real:
    """Floats in float64, which is what is computed in; all else as it is."""
    x = np.asarray(x)
    wide = x.dtype.itemsize > 1 and is_floating(x.dtype)
    return x.astype(np.float64) if wide else x


def run_graph(graph: Graph, inputs: Mapping[str, Any]) -> list[Real]:
    """The graph's outputs in float64, node by node."""
    values = Known({k: as_computed(v) for k, v in {**graph.constants, **inputs}.items()})
    for node in expand_nodes(iter(graph.nodes), values):
        args = tuple(values[name] if name else None for name in node.inputs)
        with np.errstate(all="ignore"):
            y = OPS[node.op].evaluate(At(node, BACKEND, args, ()))
        values[node.output] = as_computed(y)
    return [values[name] for name in graph.outputs]


def cases() -> dict[str, Any]:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite makes its data by overflowing casts
        return {f"{kind}/{c.name}": c for kind in KINDS for c in load_model_tests(kind=kind)}


def model_of(case: Any) -> ModelProto:
    """The case's model; one older than opset 9 as ONNX's own converter brings it there."""
    given = case.model
    model = onnx.load(Path(case.model_dir) / "model.onnx") if given is None else given
    return version_converter.convert_version(model, 9) if 0 < opset_of(model) < 9 else model


def opset_of(model: ModelProto) -> int:
    return max((o.version for o in model.opset_import if not o.domain), default=0)


LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def check_light(name: str) -> None:
    """One of the classic image networks, with weights that are all the same, on a ramp."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = loaded(model)
    inputs = {}
    for key, value in graph.inputs.items():
        dims = [d or 1 for d in value.dims or ()]
        ramp = np.arange(np.prod(dims)).reshape(dims) / np.prod(dims)
        inputs[key] = ramp.astype(value.dtype)
    want = numpy_helper.to_array(onnx.load_tensor(LIGHT / f"light_{name}_output_0.pb"))
    compare(run_graph(graph, inputs)[0], want, 1e-3)


def data_sets(case: Any, model: ModelProto) -> list[tuple[list[Any], list[Any]]]:
    """Inputs and expected outputs."""
    if case.data_sets is not None:
        return [tuple([_array(a) for a in side] for side in both) for both in case.data_sets]
    folders = sorted(Path(case.model_dir).glob("test_data_set_*"))
    return [(_read(f, "input"), _read(f, "output")) for f in folders]


def _array(a: Any) -> Any:
    return numpy_helper.to_array(a) if isinstance(a, onnx.TensorProto) else a


def _read(folder: Path, what: str) -> list[Any]:
    count = len(list(folder.glob(f"{what}_*.pb")))
    files = [folder / f"{what}_{i}.pb" for i in range(count)]
    return [numpy_helper.to_array(onnx.load_tensor(f)) for f in files]


def loaded(model: ModelProto) -> Graph:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return load_graph(path)


def not_claimed(model: ModelProto) -> str:
    """Why the model is outside what dftlrp claims, or nothing."""
    nodes, known = list(model.graph.node), OPS.keys() | EXPANSIONS.keys()
    for node in nodes:  # grows while it is walked
        nodes += [n for a in node.attribute if a.type == a.GRAPH for n in a.g.node]
    if unknown := {n.op_type for n in nodes if n.domain or n.op_type not in known}:
        return f"op not in the table: {', '.join(sorted(unknown))}"
    return ""


def compare(got: Real, want: Any, rtol: float) -> None:
    """Shape, kind of dtype, and values to what the expected dtype can tell."""
    want = np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
    if not is_floating(want.dtype):
        assert got.dtype == want.dtype, f"dtype {got.dtype}, not {want.dtype}"
        np.testing.assert_array_equal(got, want)
        return
    assert got.dtype == np.float64, f"dtype {got.dtype}, not float"
    rtol = max(rtol, {"bfloat16": 2**-7}.get(want.dtype.name, 0))
    want = want.astype(float)
    size = np.abs(want[np.isfinite(want)]).max(initial=0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=max(1e-6, 0.1 * rtol * size))


def quantised(graph: Graph, got: Real, want: Any) -> Real:
    """What a signal is quantised to, which is computed as whole numbers in float64."""
    ops = {node.op for node in graph.nodes}
    whole = any("Q" in op or "Integer" in op for op in ops) and got.dtype == np.float64
    return got.astype(want.dtype) if whole and not is_floating(want.dtype) else got


def check(case: Any) -> None:
    """Run all data sets of a case; raises where an output differs."""
    model = model_of(case)
    graph = loaded(model)
    for given, wanted in data_sets(case, model):
        inputs = dict(zip((v.name for v in model.graph.input), given, strict=False))
        for got, want in zip(run_graph(graph, inputs), wanted, strict=True):
            compare(quantised(graph, got, want), want, case.rtol)
