"""Laws of chunks: a streaming model over a recording is what its loop gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from graphs import Nodes, loaded, normal
from ops.oracle import session

import dftlrp
from dftlrp.core.types import InputError

CHUNK, CONTEXT, WIDE = 6, 2, 4
X = normal(1, 20)


def streaming() -> Any:
    """h' = tanh([x, h] W); y = sum of h'."""
    n = Nodes()
    n.weights |= {"w": normal(CHUNK + CONTEXT + WIDE, WIDE) * 0.5, "v": normal(WIDE, 2)}
    n.add("Concat", "x h", "xh", axis=1)
    n.add("MatMul", "xh w", "a")
    n.add("Tanh", "a", "next")
    n.add("MatMul", "next v", "y")
    return n.model({"x": [1, CHUNK + CONTEXT], "h": [1, WIDE]}, {"y": [1, 2], "next": [1, WIDE]})


def by_hand(x: Any) -> Any:
    run, h, ys = session(streaming()), np.zeros((1, WIDE)), []
    count = -(-x.shape[1] // CHUNK)
    padded = np.pad(x, ((0, 0), (CONTEXT, count * CHUNK - x.shape[1])))
    for k in range(count):
        part = padded[:, k * CHUNK : (k + 1) * CHUNK + CONTEXT]
        y, h = run.run(["y", "next"], {"x": part, "h": h})
        ys.append(y)
    return np.stack(ys, axis=1)


@pytest.fixture
def model() -> dftlrp.Model:
    return loaded(streaming()).chained({"h": "next"}, CHUNK, CONTEXT)


def test_the_outputs_are_those_of_the_loop(model):
    np.testing.assert_allclose(reference.predict(model, X), by_hand(X), rtol=1e-12)


def test_relevance_reaches_the_samples_that_the_state_remembers(model):
    a = reference.attribute(model, X, target=(2, 1), composite="Epsilon")
    assert a.relevance.shape == X.shape
    assert np.abs(a.relevance[0, :CHUNK]).max() > 0
    assert not a.relevance[0, 3 * CHUNK :].any()
    absorbed = sum(a.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(a.relevance.sum() + absorbed, a.seed.sum(), rtol=1e-10)
    assert [row.node for row in a.ledger.rows].count("a") == 1


def test_gradient_times_input_is_the_derivative(model):
    a = reference.attribute(model, X, target=(3, 0), composite="Gradient")
    numeric, step = np.zeros_like(X), 1e-6
    for i in np.ndindex(X.shape):
        bump = np.zeros_like(X)
        bump[i] = step
        up, down = (reference.predict(model, v)[0, 3, 0] for v in (X + bump, X - bump))
        numeric[i] = (up - down) / (2 * step)
    np.testing.assert_allclose(a.multiplier, numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (({"q": "next"}, CHUNK), "state 'q'"),
        (({"h": "q"}, CHUNK), "next state 'q'"),
        (({"h": "next"}, 0), "chunk 0"),
        (({}, CHUNK), "one signal"),
    ],
)
def test_wrong_states_are_refused_in_one_line(how, words):
    with pytest.raises(InputError, match=words) as caught:
        loaded(streaming()).chained(*how)
    assert "\n" not in str(caught.value)


def test_a_real_voice_detector_over_a_recording(shared):
    path = shared / "models" / "silero_vad.onnx"
    x = normal(1, 512 * 4) * 0.05
    model = dftlrp.load(path).chained({"state": "stateN"}, 512, 64)
    got = reference.predict(model, x, bind={"sr": 16000})
    import onnxruntime

    run = onnxruntime.InferenceSession(path)
    state, padded = np.zeros((2, 1, 128), np.float32), np.pad(x, ((0, 0), (64, 0)))
    for k in range(4):
        part = padded[:, k * 512 : k * 512 + 576].astype(np.float32)
        y, state = run.run(None, {"input": part, "state": state, "sr": np.array(16000)})
        np.testing.assert_allclose(got[:, k], y, atol=1e-5)
