"""Laws of what the package ships: each model hears the clip, and nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import soundfile

import dftlrp
from dftlrp.assets import FILES, embedded
from dftlrp.results.views import DOMAINS, INPUT

MODELS = [name for name in FILES if name != "clip"]


@pytest.fixture(scope="module", params=MODELS)
def explanation(request):
    return reference.explain(embedded(request.param), embedded("clip"), domains=(*DOMAINS, INPUT))


def test_the_clip_is_heard_as_the_seven_that_it_is(explanation):
    assert explanation.label == "seven"
    assert explanation.explained.argmax() == 7


def test_each_domain_of_each_model_keeps_the_sum_of_the_relevance(explanation):
    e = explanation
    x, R = e.signal["time"], e.relevance["time"]
    m = np.divide(R, x, out=np.zeros_like(R), where=np.abs(x) > 1e-4 * np.abs(x).max())
    bound = 1e-12 * np.linalg.norm(x) * np.linalg.norm(m)
    for domain in (*DOMAINS, INPUT):
        assert abs(e.relevance[domain].sum() + e.rest[domain] - R.sum()) <= bound


def test_the_accounts_of_each_model_close(explanation):
    ledger = explanation.ledger
    seed = float(ledger.rows[0].relevance.sum())
    absorbed = sum(float(ledger.absorbed(t).sum()) for t in ("bias", "stabiliser", "stopped"))
    assert ledger.gap <= 1e-9
    assert float(ledger.absorbed("stopped").sum()) == 0
    np.testing.assert_allclose(explanation.relevance["time"].sum() + absorbed, seed, rtol=1e-9)


def test_each_model_has_a_sound(explanation):
    sound = explanation.audible("resynthesis")
    assert np.abs(sound.samples).max() > 0.01
    assert abs(sound.samples.mean()) < 1e-3 * np.abs(sound.samples).max()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_small_and_says_what_it_reads(name):
    model = dftlrp.load(embedded(name))
    assert embedded(name).stat().st_size < 1.5e6
    assert (model.rate, model.labels[7]) == (8000, "seven")


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_agrees_with_onnxruntime(name):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = dftlrp.load(embedded(name))
    ((key, value),) = model.graph.inputs.items()
    x = np.random.default_rng(0).normal(size=[2, *value.dims[1:]]).astype(np.float32)
    session = onnxruntime.InferenceSession(str(embedded(name)))
    want = session.run(None, {key: x})[0]
    got = reference.predict(model, x)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_the_clip_is_one_channel_of_sound_below_full_scale():
    samples, rate = soundfile.read(embedded("clip"))
    assert (samples.ndim, rate) == (1, 8000)
    assert 0.1 < np.abs(samples).max() < 1


def test_what_is_not_shipped_is_refused():
    with pytest.raises(dftlrp.InputError, match="waveform"):
        embedded("nonsense")
