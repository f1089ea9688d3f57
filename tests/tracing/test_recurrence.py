"""Laws of recurrences in the traced graph: one loop says what all of its steps say, written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from graphs import Real, loaded, network, normal, signals
from onnx import helper
from ops import test_recurrent as forms
from traced import agree, close, count_nodes, trace_sample

import dftlrp
from dftlrp.tracing import repeats
from dftlrp.tracing.rolling import Body, State, roll
from dftlrp.tracing.symbols import Symbol
from dftlrp.tracing.tape import Tape

FRAMES = 9
MILD = {"composite": "Epsilon(0.01)", "target": 3}  # well conditioned in float32
ALL = 10**9


def make_cell(monkeypatch: Any, name: str, frames: int = FRAMES) -> tuple[dftlrp.Model, Any]:
    """A cell in one of its forms at so many frames, and a signal."""
    monkeypatch.setattr(forms, "T", frames)
    op, how = (forms.FORMS | forms.LAYOUTS)[name]
    proto = forms.cell(op, **how)
    return loaded(proto), signals(proto, forms.B)["x"]


@pytest.mark.parametrize("name", forms.FORMS | forms.LAYOUTS)
def test_a_loop_says_what_the_reference_does(monkeypatch, name):
    model, x = make_cell(monkeypatch, name)
    traced = trace_sample(model, x)
    assert any(node.op_type == "Scan" or node.op_type in forms.GATES
               for node in traced.model.graph.node)  # fmt: skip
    agree(model, x, reference="none", **MILD)


@pytest.mark.parametrize("name", ["LSTM both", "GRU lengths", "LSTM lengths", "RNN relu"])
@pytest.mark.parametrize("fewest", [2, ALL])
def test_steps_say_the_same_in_a_loop_and_written_out(monkeypatch, name, fewest):
    monkeypatch.setattr(repeats, "FEWEST", fewest)
    model, x = make_cell(monkeypatch, name)
    ops = {node.op_type for node in trace_sample(model, x).model.graph.node}
    assert ("Scan" in ops) == (fewest == 2)
    agree(model, x, reference="none", **MILD)


@pytest.mark.parametrize("composite", ["auto", "Gradient", "EpsilonGamma", "AttnLRP", "CPLRP"])
@pytest.mark.parametrize("reference", ["none", "silence", "array"])
@pytest.mark.parametrize("name", ["LSTM plain", "GRU with a state"])
def test_presets_and_references_are_those_of_the_reference(monkeypatch, name, composite, reference):
    model, x = make_cell(monkeypatch, name)
    there = 0.3 * normal(*x.shape) if reference == "array" else reference
    numbers = "" if composite in {"auto", "Gradient"} else "(0.01)"
    agree(model, x, reference=there, composite=composite + numbers, target=3)


@pytest.mark.parametrize("name", ["LSTM with a state", "GRU linear before reset"])
def test_the_graph_does_not_grow_with_the_frames(monkeypatch, name):
    counts = {
        count_nodes(trace_sample(*make_cell(monkeypatch, name, frames)).model.graph)
        for frames in (6, 12, 60)
    }
    assert len(counts) == 1


@pytest.mark.parametrize("name", ["LSTM both", "GRU with a state"])
def test_accounts_are_made_outside_of_the_loop(monkeypatch, name):
    model, x = make_cell(monkeypatch, name)
    with_accounts, without = (
        [
            len(a.g.node)
            for node in trace_sample(model, x, ledger=ledger).model.graph.node
            for a in node.attribute
            if node.op_type == "Scan" and a.HasField("g")
        ]
        for ledger in (True, False)
    )
    assert with_accounts == without != []


def test_a_condition_behind_a_loop_holds_for_all_steps():
    weights = {"W": normal(2, 16, 3), "R": 0.5 * normal(2, 16, 4)}
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R"], ["Y"], hidden_size=4, direction="bidirectional"),
        helper.make_node("ReduceMean", ["Y"], ["y"], axes=[0, 1], keepdims=0),
    ]
    model = network(nodes, {"x": [FRAMES, 2, 3]}, {"y": None}, weights)
    x, mask = normal(FRAMES, 2, 3), np.random.default_rng(0).uniform(size=(FRAMES, 2, 2, 4))
    assert any(n.op_type == "Scan" for n in trace_sample(model, x).model.graph.node)
    agree(model, x, reference="none", composite="Epsilon(0.01)", masks={"Y": mask}, keep=["Y"])


# -- the loop alone


def run_graph(tape: Tape, wanted: list[Symbol], feed: dict[str, Real]) -> list[Real]:
    """The numbers of symbols."""
    outputs = [helper.make_tensor_value_info(x.name, 1, x.shape) for x in wanted]
    inputs = [helper.make_tensor_value_info(x.name, 1, x.shape) for x in tape.inputs]
    constants = [
        helper.make_tensor(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape, a.ravel())
        for n, a in tape.constants.items()
    ]
    graph = helper.make_graph(tape.nodes, "g", inputs, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, {k: v.astype(np.float32) for k, v in feed.items()})


@pytest.mark.parametrize("backward", [False, True])
def test_all_steps_of_a_body_are_computed_in_their_order(backward):
    """Whatever is done before, in and behind the loop, it is what a plain loop does."""
    T, B, n = 6, 2, 3
    xs, vs, W = normal(T, B, n), 1 + np.abs(normal(T, B, n)), normal(2 * n, n)
    s, d = normal(B, n), normal(B, n)

    def step(x: Any, v: Any, s: Any, d: Any) -> tuple[Any, Any, list[Any]]:
        both = np.concatenate((x, s), 1)
        grown = np.tanh(np.matmul(both, W)) * v / (v + 1.0)
        part = np.matmul(grown, W.T)[:, n:] * x
        return part + s / v, x * v, [part, grown[:, 1:], d * grown, s, x + 1.0]

    states, found = [s, d], []
    for t in range(T)[:: -1 if backward else 1]:
        *states, shown = step(xs[t], vs[t], *states)
        found.append(shown)
    want = [np.stack(parts[:: -1 if backward else 1]) for parts in zip(*found, strict=True)]

    tape = Tape()
    given = [tape.add_input(k, (T, B, n)) for k in ("x", "v")]
    first = [tape.add_input(k, (B, n)) for k in ("s", "d")]
    body = Body(tape, T)
    x, v = map(body.read, given)
    ins = [body.add_state((B, n), np.float32) for _ in "sd"]
    *outs, shown = step(x, v, *ins)
    handed = [State(i.name, f, o) for i, f, o in zip(ins, first, outs, strict=True)]
    stacked, last = roll(body, handed, shown, backward)
    ours = run_graph(tape, [*stacked, *last], {"x": xs, "v": vs, "s": s, "d": d})
    for a, b in zip(ours, [*want, *states], strict=True):
        close(a, b)
    (loop,) = (node for node in tape.nodes if node.op_type == "Scan")
    inside = [node.op_type for node in loop.attribute[0].g.node]
    assert {"Tanh", "MatMul", "Gemm"} <= set(inside)
    assert "Slice" not in inside
