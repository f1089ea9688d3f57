"""Laws of recognition: what is taken for a state, a setting or a chunk is tried, and said."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import normal
from models import saved
from streaming_models import CHUNK, CONTEXT, limited, remembering, run_by_hand, summing

import dftlrp
from dftlrp.core.types import InputError
from dftlrp.engine.chunks import Stretch
from dftlrp.tracing.following import cut_chunks, follow
from dftlrp.tracing.recognition import Rates, recognise_inputs

NAMES = [("h", "hn"), ("state", "stateN"), ("in_cache", "out_cache"), ("b", "q")]
X = normal(1, 40)


@pytest.fixture
def load(tmp_path):
    return lambda proto: dftlrp.load(saved(proto, tmp_path))


def follow_array(stream, x, rate):
    count = stream.count_chunks(x.shape[1])
    return follow(stream, lambda a, b: cut_chunks(x, stream.how, a, b), count, rate)


@pytest.mark.parametrize(("state", "after"), NAMES)
@pytest.mark.parametrize("context", [0, CONTEXT])
def test_chunks_with_recognised_states_are_the_loop_by_hand(load, state, after, context):
    proto = remembering(state, after)
    model = load(proto).streaming(context=context)
    stream = recognise_inputs(model, {}, Rates()).stream
    assert stream is not None
    chunk = CHUNK + CONTEXT - context
    ys, before = run_by_hand(proto, X, {state: after}, chunk, context)
    got = dftlrp.predict(stream.chain(), X, backend="numpy").output
    np.testing.assert_allclose(got, ys, rtol=1e-12)
    followed = follow_array(stream, X, 100.0)
    np.testing.assert_allclose(followed.outputs, ys[0], rtol=1e-12)
    np.testing.assert_allclose(followed.starts, np.arange(ys.shape[1]) * chunk / 100)
    for k in (0, 3, ys.shape[1] - 1):  # from any state on, the rest is the rest of the whole
        states = followed.find_states(k)
        np.testing.assert_allclose(states[state], before[k][state], rtol=1e-12)
        for last in range(k, ys.shape[1]):
            tail = stream.chain(Stretch(k, last, states))
            y = dftlrp.predict(tail, X, backend="numpy").output
            np.testing.assert_allclose(y, ys[:, last], rtol=1e-12)


def test_states_of_a_long_recording_are_found_between_marks(load, monkeypatch):
    monkeypatch.setattr("dftlrp.tracing.following.MOST_MARKS", 3)
    proto = remembering()
    stream = recognise_inputs(load(proto).streaming(context=CONTEXT), {}, Rates()).stream
    x = normal(1, 40 * CHUNK)
    followed, before = follow_array(stream, x, 1.0), run_by_hand(proto, x, {"h": "next"})[1]
    for k, states in enumerate(before):
        np.testing.assert_allclose(followed.find_states(k)["h"], states["h"], rtol=1e-12)


def test_what_reads_a_recording_at_once_is_not_cut(load):
    found = recognise_inputs(load(summing()), {}, Rates())
    assert found.stream is None
    assert not found.bound["h"].any()
    assert "one run over the whole recording" in found.words[-1]


@pytest.mark.parametrize(
    ("model", "hints", "words"),
    [
        (lambda: remembering(chunk=None), {}, "--state h=next --chunk 512"),
        (remembering, {"states": {"q": "next"}}, "state 'q'"),
        (remembering, {"states": {"h": "q"}}, "next state 'q'"),
        (remembering, {"states": {"h": "y"}}, "output 'y' of shape"),
        (remembering, {"chunk": 3}, "it refuses a chunk of shape"),
        (remembering, {"context": CHUNK + CONTEXT}, "chunk 0 must be at least 1"),
    ],
)
def test_what_is_not_clear_is_asked_for_in_one_line(load, model, hints, words):
    with pytest.raises(InputError, match=words) as caught:
        recognise_inputs(load(model()).streaming(**hints), {}, Rates())
    assert "\n" not in str(caught.value)


def test_states_that_cannot_be_told_are_asked_for(load):
    proto = remembering("b", "q")
    proto.graph.output.append(proto.graph.output[1])
    proto.graph.output[2].name = "xh_again"
    proto.graph.node.add(op_type="Neg", input=["q"], output=["xh_again"])
    with pytest.raises(InputError, match=r"--state b=OUTPUT") as caught:
        recognise_inputs(load(proto), {}, Rates())
    assert "['y', 'q', 'xh_again']" in str(caught.value)


def test_settings_that_leave_no_doubt_are_taken_and_said(load):
    model = load(limited())
    found = recognise_inputs(model, {}, Rates(16000.0))
    assert found.bound == {"fmin": 50.0, "fmax": 400.0, "sr": 16000}
    assert len(found.words) == 3
    assert recognise_inputs(model, {"fmin": 80.0}, Rates(16000.0)).bound["fmin"] == 80.0
    assert "sr" not in recognise_inputs(model, {}, Rates()).bound


def test_a_model_of_one_signal_is_left_alone(load):
    from models import listener

    found = recognise_inputs(load(listener()), {}, Rates(16000.0))
    assert (found.bound, found.words, found.stream) == ({}, (), None)


def test_inspect_says_what_is_state_and_what_is_bound(load):
    told = str(dftlrp.inspect(load(remembering("state", "stateN"))))
    assert "state: state, its next value is 'stateN', by name and shape" in told
    model = load(limited())
    assert dftlrp.inspect(model, bind={"sr": 100}).bound == {"fmin": 50, "fmax": 400, "sr": 100}
