"""Laws of states: names and shapes say which output is the next value of which input."""

from __future__ import annotations

import pytest

from dftlrp.engine.states import find_states
from dftlrp.graph.structure import Graph, Value


def graph(inputs, outputs):
    values = [{n: Value(d, "float32") for n, d in side.items()} for side in (inputs, outputs)]
    return Graph((), *values, {})


WAVE, STATE, OTHER = (1, 512), (1, 8), (2, 1, 8)
NAMES = [
    ("h", "hn"), ("state", "stateN"), ("cache", "cache_out"), ("in_cache0", "out_cache0"),
    ("h_in", "h_out"), ("stateIn", "stateOut"), ("hidden_state", "new_hidden_state"),
    ("h0", "h1"), ("h0", "hn"), ("cached_key_0", "new_cached_key_0"), ("c", "c_next"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "after"), NAMES)
def test_a_state_is_known_by_the_name_of_its_next_value(state, after):
    others = {"out": (1, 2), "aside": STATE}
    found = find_states(graph({"x": WAVE, state: STATE}, {**others, after: STATE}))
    assert found.pairs == {state: after}
    assert "by name" in found.words[state]


def test_numbered_states_keep_their_numbers():
    names = range(4)
    inputs = {"speech": (1, None, 400)} | {f"in_cache{i}": STATE for i in names}
    outputs = {"logits": (1, None, 9)} | {f"out_cache{i}": STATE for i in names}
    pairs = find_states(graph(inputs, outputs)).pairs
    assert pairs == {f"in_cache{i}": f"out_cache{i}" for i in names}


def test_without_a_name_the_shape_decides_if_nothing_else_has_it():
    inputs, outputs = {"a": WAVE, "b": STATE}, {"y": WAVE, "z": STATE}
    found = find_states(graph(inputs, outputs))
    assert found.pairs == {"b": "z"}
    assert "by shape alone" in found.words["b"]
    doubled = find_states(graph(inputs, {**outputs, "w": STATE}))
    assert not doubled.pairs
    assert doubled.unclear == ("b",)
    assert not find_states(graph(inputs, {"y": WAVE, "z": OTHER})).pairs


def test_names_do_not_beat_shapes():
    found = find_states(graph({"x": WAVE, "h": STATE}, {"y": (1, 2), "hn": OTHER}))
    assert not found.pairs
    assert found.starts == ("h",)


def test_a_state_that_nothing_feeds_back_stays_what_it_is():
    found = find_states(graph({"input": (None, 3, None, 160), "h0": OTHER}, {"output": (None,)}))
    assert found.starts == ("h0",)
    assert not found.pairs


def test_a_filter_keeps_its_signal():
    inputs, outputs = {"audio_in": WAVE, "h_in": STATE}, {"audio_out": WAVE, "h_out": STATE}
    assert find_states(graph(inputs, outputs)).pairs == {"h_in": "h_out"}


def test_one_signal_is_no_state():
    assert find_states(graph({"state": STATE}, {"stateN": STATE})).pairs == {}
