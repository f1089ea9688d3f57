"""Windows of a long recording: which samples they hold, which are explained, and at what times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import dftlrp
from dftlrp.attribution.overview import summarise
from dftlrp.attribution.whole import open_whole
from dftlrp.attribution.window_scores import place_windows

RATE = 8000
WORDS = (2.5, 6.25)  # seconds
MODEL = dftlrp.load(dftlrp.embedded("waveform"))


@pytest.fixture(scope="module")
def spoken():
    """Nine seconds of faint noise with the embedded word twice, the second time half as loud."""
    word, rate = soundfile.read(dftlrp.embedded("clip"))
    assert rate == RATE
    x = np.random.default_rng(0).normal(scale=1e-3, size=9 * RATE)
    for start, gain in zip(WORDS, (1.0, 0.5), strict=True):
        first = round(start * RATE)
        x[first : first + len(word)] += gain * word
    return x


@pytest.fixture(scope="module")
def found(spoken):
    return dftlrp.explain_recording(MODEL, spoken, rate=RATE, target="seven", top=2, hop=0.25)


@given(
    first=st.integers(0, 500), size=st.integers(1, 500), length=st.integers(1, 200),
    hop=st.integers(1, 200),
)  # fmt: skip
def test_windows_lie_a_hop_apart_and_reach_the_end(first, size, length, hop):
    starts = place_windows(first, first + size, length, hop)
    assert starts[0] == first
    assert starts[-1] == max(first + size - length, first)
    assert np.all(np.diff(starts) <= hop)
    assert np.all(np.diff(starts)[:-1] == hop)


@settings(deadline=None)
@given(own=st.sampled_from([8000, 11025, 16000, 44100]), rate=st.sampled_from([8000, 12000, 16000]),
       data=st.data())  # fmt: skip
def test_a_stretch_is_that_of_the_whole_recording_at_another_rate(own, rate, data):
    from scipy.signal import resample_poly

    x = np.random.default_rng(0).normal(size=data.draw(st.integers(500, 3000)))
    g = np.gcd(own, rate)
    known = resample_poly(x, rate // g, own // g)
    with open_whole(x, 1, own, rate) as whole:
        assert whole.length == len(known)
        start = data.draw(st.integers(0, len(known) - 1))
        count = data.draw(st.integers(1, 400))
        part = whole.read(start, count)[0]
    inside = known[start : start + count]
    loud = np.abs(inside) > 1e-3  # what is quieter may be cut as ringing
    np.testing.assert_allclose(part[: len(inside)][loud], inside[loud], atol=1e-9)
    assert len(part) == count
    assert not part[len(inside) :].any()


def test_the_strongest_windows_hold_the_word_and_say_when(found, spoken):
    assert len(found) == 2
    assert found.scores.shape == found.starts.shape == (33,)
    assert all(np.diff(found.starts) == 0.25)
    for e, start in zip(found, WORDS, strict=True):
        assert e.start <= start <= e.start + found.seconds
        assert start - 0.02 <= e.table("segments", 1)[0].start <= start + 0.75
        assert e.axes["time"][0] == e.start
    z = dftlrp.predict(MODEL, spoken[None, None, :RATE].astype(np.float32)).explained
    np.testing.assert_allclose(found.outputs[0], z[0], atol=1e-3)


def test_a_window_is_explained_as_its_samples_alone(found, spoken):
    e = found[0]
    first = round(e.start * RATE)
    alone = dftlrp.explain(MODEL, spoken[first : first + RATE], rate=RATE, target="seven")
    for domain in e.domains:
        assert np.array_equal(e.relevance[domain], alone.relevance[domain])
    assert alone.start == 0
    assert [r.relevance for r in e.table("bands")] == [r.relevance for r in alone.table("bands")]
    span = (0.25, 0.5)
    moved = tuple(t + e.start for t in span)
    assert e.share(time=moved) == alone.share(time=span)
    assert e.share(time=moved, band=(300, 900)) == alone.share(time=span, band=(300, 900))


def test_the_recording_accounts_for_what_its_windows_account_for(spoken):
    every = dftlrp.explain_recording(MODEL, spoken, rate=RATE, target=7, top=None, start=2, stop=5)
    assert len(every) == len(every.starts) == 5
    edges = np.linspace(0, every.duration, 91)
    total = sum(float(e.relevance["time"].sum()) for e in every)
    assert every.relevance(edges).sum() == pytest.approx(total)
    assert not every.relevance(edges)[:20].any()


def test_explain_takes_the_strongest_window_and_says_so(spoken, found):
    e = dftlrp.explain(MODEL, spoken, rate=RATE, target="seven")
    assert e.start in {2.0, 2.5}
    assert any("1 of 9 s are explained" in note for note in e.notes)
    assert dftlrp.explain(MODEL, spoken, rate=RATE, at=6.6).start == pytest.approx(6.1)
    loud = dftlrp.explain(MODEL, spoken, rate=RATE, at="loudest")
    assert loud.start == pytest.approx(loud.axes["time"][0])
    assert 2.0 < loud.start < 2.6


def test_what_is_saved_knows_when_it_was(found, tmp_path):
    e = found[1]
    e.save(tmp_path)
    again = dftlrp.Explanation.load(tmp_path)
    assert again.start == e.start
    assert again.tiles(3) == e.tiles(3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": 5, "stop": 4}, "from 5 to 4 s"),
        ({"stop": 99}, "has 9 s"),
        ({"hop": 0}, "hop"),
        ({"top": 0}, "top"),
        ({"window": 2}, "the model reads 1 s"),
        ({"window": -1}, "window"),
    ],
)
def test_what_is_out_of_range_is_refused(spoken, options, told):
    with pytest.raises(dftlrp.InputError, match=told):
        dftlrp.explain_recording(MODEL, spoken, rate=RATE, **options)


@pytest.mark.parametrize("at", [-1, 10, "best", float("nan")])
def test_a_time_beyond_the_recording_is_refused(spoken, at):
    with pytest.raises(dftlrp.InputError, match="seconds from 0 to 9"):
        dftlrp.explain(MODEL, spoken, rate=RATE, at=at)


@settings(deadline=None, max_examples=25)
@given(length=st.integers(300, 300_000), channels=st.integers(1, 2), seed=st.integers(0, 3))
def test_an_overview_holds_every_peak_and_all_the_power(length, channels, seed):
    x = np.random.default_rng(seed).normal(size=(channels, length)) * 0.1
    with open_whole(x if channels > 1 else x[0], channels, RATE, RATE) as whole:
        seen = summarise(whole, 256)
    assert seen.high.max() == x.max()
    assert seen.low.min() == x.min()
    assert seen.times[0] == 0
    assert seen.times[-1] == seen.columns[-1] == length / RATE
    assert seen.low.shape == seen.high.shape == (channels, len(seen.times) - 1)
    assert seen.power.shape == (channels, len(seen.hertz) - 1, len(seen.columns) - 1)
    assert seen.hertz[0] == 0
    assert seen.hertz[-1] == RATE / 2


def test_an_array_that_is_not_long_is_explained_as_before(spoken):
    short = spoken[: RATE // 2]
    found = dftlrp.explain_recording(MODEL, short, rate=RATE)
    assert len(found.starts) == 1
    e = dftlrp.explain(MODEL, short, rate=RATE)
    assert replace(e, asked={}).start == 0
    assert np.array_equal(e.relevance["time"], found[0].relevance["time"])
