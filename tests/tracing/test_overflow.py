"""Numbers that float32 cannot hold, before an output that it can, are said by the node's name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import model, saved, value
from onnx import NodeProto, TensorProto, helper

import dftlrp

LARGE = np.float32([[100, 1, 2, 3]])
ONE, BIG = np.float32(1), np.float32(50)
LOWEST = np.float32([0, 0, np.finfo(np.float32).min, 0])


def node(op: str, inputs: str, output: str) -> NodeProto:
    return helper.make_node(op, inputs.split(" "), [output])


NETS: dict[str, tuple[list[NodeProto], str]] = {
    "1 / e^x": (
        [node("Exp", "x", "e"), node("Reciprocal", "e", "r"), node("Add", "r x", "y")],
        "e",
    ),
    "x / (1 + e^x)": (
        [node("Exp", "x", "e"), node("Add", "e one", "f"), node("Div", "x f", "y")],
        "e",
    ),
    "e^x, clipped": ([node("Exp", "x", "e"), node("Min", "e big", "y")], "e"),
    "x / x^32": (
        [
            *(node("Mul", f"{a} {a}", b) for a, b in ("xp", "pq", "qr", "rs", "st")),
            node("Div", "x t", "v"),
            node("Add", "v x", "y"),
        ],
        "t",
    ),
}
WEIGHTS = {"one": ONE, "big": BIG, "lowest": LOWEST}


def explain(
    folder: Path, nodes: list[NodeProto], x: Any, backend: str = "onnx", dtype: int = 1
) -> dftlrp.Attribution:
    weights = {k: v for k, v in WEIGHTS.items() if any(k in n.input for n in nodes)}
    if dtype == TensorProto.DOUBLE:
        weights = {k: v.astype(float) for k, v in weights.items()}
    heads = [value("x", [None, 4], dtype)], [value("y", None, dtype)]
    proto = model(nodes, *heads, weights)
    return dftlrp.attribute(saved(proto, folder), x, target=0, composite="Epsilon", backend=backend)


def find_overflows(a: dftlrp.Attribution) -> list[str]:
    return [n for n in a.notes if "overflow" in n]


@pytest.mark.parametrize("backend", ["onnx", "numpy"])
@pytest.mark.parametrize("name", NETS)
def test_the_first_node_that_overflows_is_named(tmp_path, name, backend):
    nodes, first = NETS[name]
    (said,) = find_overflows(explain(tmp_path, nodes, LARGE, backend))
    assert f"node {first!r}" in said
    assert said.startswith("warning: ")
    assert not find_overflows(explain(tmp_path, nodes, LARGE**0, backend))


def test_a_file_in_float64_does_not_overflow_where_float32_would(tmp_path):
    nodes, _ = NETS["1 / e^x"]
    a = explain(tmp_path, nodes, LARGE, "numpy", TensorProto.DOUBLE)
    assert not find_overflows(a)


@pytest.mark.parametrize("times", [1, 2])
def test_a_mask_is_no_overflow_however_low_it_is(tmp_path, times):
    """Twice the lowest float32 is -inf, as a mask of -inf is."""
    names = ["x", *(f"m{i}" for i in range(times))]
    nodes = [node("Add", f"{a} lowest", b) for a, b in pairwise(names)]
    nodes += [node("Softmax", names[-1], "s"), node("Mul", "s x", "y")]
    a = explain(tmp_path, nodes, LARGE / 100)
    assert a.output[0, 2] == 0
    assert not find_overflows(a)
