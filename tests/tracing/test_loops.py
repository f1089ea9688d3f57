"""Laws of a file's own loops in the traced graph: Loop and Scan stay loops, however many turns.

A loop says what its trips say, written out; a trip that is another one stays apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from graphs import Real, build, loaded, normal
from onnx import helper, parser
from traced import agree, count_nodes, trace_sample

import dftlrp
from dftlrp.core.types import UnsupportedModelError
from dftlrp.tracing.finder import Sessions

B, N, H = 2, 3, 4  # samples, numbers of a frame, of a state
MILD = {"composite": "Epsilon(0.01)", "reference": "none"}  # well conditioned in float32
W, V, b = 0.5 * normal(H, N + H), 0.5 * normal(H, H), normal(H)
HEAD = "step (int64 i, bool go, double[] h"  # what each Loop's body is given


class Form(NamedTuple):
    """A loop over frames: its body as text, and how it is run.

    ``frames`` is how many frames are read beyond the turns; None: x is the first state.  ``scan``
    are the attributes of a Scan; None: it is a Loop.  ``further`` are first states behind h.  A
    ``vector`` model has no batch.
    """

    body: str
    frames: int | None = 0
    scan: dict[str, list[int]] | None = None
    further: tuple[Any, ...] = ()
    vector: bool = False


FORMS = {
    "gathers": Form(
        """step (int64 i, bool go, double[] h, double[] k) => (bool on, double[] h2, double[] k2,
               double[] shown) {
            on = Identity (go)
            u = Gather <axis = 1> (x, i)
            a = Concat <axis = 1> (u, h)
            s = Gemm <transB = 1> (a, W, b)
            e = Tanh (s)
            p = Gather <axis = 0> (scales, i)
            h2 = Mul (e, p)
            k2 = Add (k, one)
            shown = Mul (h2, k)
        }""", further=(np.float64(1),),
    ),
    "slices windows": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            begin = Reshape (i, minus1)
            end = Add (begin, two)
            u = Slice (x, begin, end, axis1)
            m = ReduceMax <axes = [1], keepdims = 0> (u)
            a = Concat <axis = 1> (m, h)
            T = Transpose <perm = [1, 0]> (W)
            s = MatMul (a, T)
            z = Add (s, b)
            h2 = Tanh (z)
            shown = Relu (z)
        }""", frames=1,
    ),
    "reads nothing": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            s = MatMul (h, V)
            z = Add (s, b)
            h2 = Tanh (z)
            shown = Relu (z)
        }""", frames=None,
    ),
    "normalises": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            u = Gather <axis = 1> (x, i)
            a = Concat <axis = 1> (u, h)
            s = Gemm <transB = 1> (a, W, b)
            mean = ReduceMean <axes = [1]> (s)
            c = Sub (s, mean)
            sq = Mul (c, c)
            var = ReduceMean <axes = [1]> (sq)
            safe = Add (var, one)
            dev = Sqrt (safe)
            n = Div (c, dev)
            h2 = Add (n, h)
            shown = Relu (h2)
        }""",
    ),
    "vectors and matrices": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            u = Gather <axis = 0> (x, i)
            M = Gather <axis = 0> (maps, i)
            s = MatMul (u, M)
            r = MatMul (V, h)
            z = Add (s, r)
            h2 = Tanh (z)
            shown = Relu (z)
        }""", vector=True,
    ),
    "Scan": Form(
        """step (double[] h, double[] u, double[] v) => (double[] h2, double[] shown) {
            a = Concat <axis = 1> (u, h)
            s = Gemm <transB = 1> (a, W, b)
            e = Tanh (s)
            g = ReduceMean <axes = [1]> (v)
            h2 = Mul (e, g)
            shown = Relu (h2)
        }""",
        scan={"scan_input_axes": [1, 1], "scan_input_directions": [0, 1],
              "scan_output_directions": [1], "scan_output_axes": [1]},
    ),
}  # fmt: skip
ODD = {  # of these some trips are other ones
    "another branch in each second trip": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            u = Gather <axis = 1> (x, i)
            odd = Mod (i, two)
            c = Cast <to = 9> (odd)
            a = Concat <axis = 1> (u, h)
            s = Gemm <transB = 1> (a, W, b)
            h2 = If (c) <then_branch = yes () => (double[] p) { p = Tanh (s) },
                         else_branch = no () => (double[] q) { q = Relu (s) }>
            shown = Identity (h2)
        }""",
    ),
    "a loop in a loop": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            u = Gather <axis = 1> (x, i)
            a = Concat <axis = 1> (u, h)
            s = Gemm <transB = 1> (a, W, b)
            h2 = Loop (five, go, s) <body = inner (int64 j, bool c, double[] y) =>
                (bool d, double[] y2) { d = Identity (c) m = MatMul (y, V) y2 = Tanh (m) }>
            shown = Identity (s)
        }""",
    ),
    "a loop that only what is shown goes through": Form(
        """step (int64 i, bool go, double[] h) => (bool on, double[] h2, double[] shown) {
            on = Identity (go)
            u = Gather <axis = 1> (x, i)
            a = Concat <axis = 1> (u, h)
            s = Gemm <transB = 1> (a, W, b)
            shown = Loop (five, go, s) <body = inner (int64 j, bool c, double[] y) =>
                (bool d, double[] y2) { d = Identity (c) m = MatMul (y, V) y2 = Tanh (m) }>
            h2 = Tanh (s)
        }""",
    ),
}  # fmt: skip


def make_loop(form: Form, turns: int) -> tuple[dftlrp.Model, Real]:
    """A model of the last state plus the sum of what its loop shows, and a signal."""
    dims: list[Any] = ["batch", turns + (form.frames or 0), N]
    dims = [turns, N] if form.vector else ["batch", H] if form.frames is None else dims
    first = "x" if form.frames is None else "first"
    weights = {
        "W": W, "V": V, "b": b, "one": np.float64(1), "two": np.array([2]), "axis1": np.array([1]),
        "minus1": np.array([-1]), "turns": np.int64(turns), "go": np.bool_(True),
        "five": np.int64(5), "scales": 1 + np.abs(normal(turns, H)), "maps": normal(turns, N, H),
        "into": normal(N, H), "high": np.float64(2),
        **{f"more{i}": a for i, a in enumerate(form.further)},
    }  # fmt: skip
    more = [name for name in weights if name.startswith("more")]
    outs = ["last", *(f"{name}/end" for name in more), "all"]
    body = parser.parse_graph(form.body)
    if form.scan is None:
        inputs, how = ["turns", "go", first, *more], dict[str, Any]()
        op = "Loop"
    else:
        inputs, how, op = [first, "x", "x"], {"num_scan_inputs": 2, **form.scan}, "Scan"
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["middle"], axes=[len(dims) - 2], keepdims=0),
        helper.make_node("MatMul", ["middle", "into"], ["first"]),
        helper.make_node(op, inputs, outs, body=body, **how),
        helper.make_node("ReduceSum", ["all", "axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["last", "sum"], ["y"]),
    ]
    weights["axis"] = np.array([1 if form.scan else 0])
    nodes = nodes[2:] if form.frames is None else nodes
    x = normal(*(B if n == "batch" else n for n in dims), seed=1)
    return loaded(build(nodes, {"x": dims}, {"y": None}, weights)), x


@pytest.mark.parametrize("name", FORMS)
def test_a_loop_says_what_the_reference_does_in_as_few_nodes_for_any_number_of_turns(name):
    short, long = (make_loop(FORMS[name], turns) for turns in (7, 30))
    graphs = [trace_sample(*made).model.graph for made in (short, long)]
    assert all(any(node.op_type == "Scan" for node in graph.node) for graph in graphs)
    assert len(set(map(count_nodes, graphs))) == 1
    agree(*short, target=1, **MILD)


@pytest.mark.parametrize("name", ODD)
def test_a_trip_that_is_another_one_stays_apart(name):
    agree(*make_loop(ODD[name], 7), target=1, **MILD)


@pytest.mark.parametrize("name", ["gathers", "Scan"])
def test_one_graph_with_a_loop_answers_all_batches_but_the_first(name):
    model, x = make_loop(FORMS[name], 6)
    for batch in (2, 3, 4):
        agree(model, np.resize(x, (batch, *x.shape[1:])), target=1, **MILD)
    assert len(model.cache.part(Sessions).graphs) == 2


@pytest.mark.parametrize("reference", ["silence", "array"])
@pytest.mark.parametrize("name", ["gathers", "normalises"])
def test_a_difference_goes_back_through_a_loop(name, reference):
    model, x = make_loop(FORMS[name], 6)
    there = 0.3 * normal(*x.shape) if reference == "array" else reference
    agree(model, x, target=1, reference=there)


def test_a_merged_layer_of_a_loop_is_one_layer_for_all_its_steps():
    model, x = make_loop(FORMS["normalises"], 6)
    names = [y.key for y in dftlrp.attribute(model, x, target=1, backend="numpy").table.layers]
    assert names.count("n") == 1
    assert not any("[" in name for name in names)


def test_how_often_a_loop_runs_must_not_depend_on_the_signal():
    body = FORMS["reads nothing"].body.replace(
        "on = Identity (go)", "size = ReduceMax <keepdims = 0> (h) on = Less (size, high)"
    )
    model, x = make_loop(FORMS["reads nothing"]._replace(body=body), 7)
    with pytest.raises(UnsupportedModelError, match="decides which nodes run"):
        dftlrp.attribute(model, x / 9, backend="onnx")
