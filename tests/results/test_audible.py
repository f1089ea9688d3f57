"""Laws of the sounds."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from explanations import explanation, quake, stacked, two_tones
from hypothesis import given, settings
from hypothesis import strategies as st

from dftlrp.core.types import InputError, NonFiniteError
from dftlrp.results.masking import keep_relevant, make_soft_mask
from dftlrp.results.sound import (
    GROUPS,
    KINDS,
    PEAK_DB,
    Sound,
    choose_playback,
    find_obstacle,
    make_sounds,
)

TOP = 10 ** (PEAK_DB / 20)


def peak(sound: Sound) -> float:
    return float(np.max(np.abs(sound.samples), initial=0.0))


def ungained(sound: Sound) -> np.ndarray:
    """The samples before the gain, which the loudest sound of the group decides."""
    return sound.samples / 10 ** (sound.gain_db / 20)


def noisy(count: int, rate: float, offset: float = 0.0, seed: int = 0) -> object:
    x = offset + np.random.default_rng(seed).normal(size=count)
    return explanation(x, rate=rate)


anything = st.builds(
    noisy,
    count=st.one_of(st.integers(1, 40), st.integers(41, 3000)),
    rate=st.sampled_from([1e-6, 1.0, 100.0, 360.0, 3000.0, 8000.0, 22050.5, 44100.0]),
    offset=st.sampled_from([0.0, 0.5, -3.0]),
    seed=st.integers(0, 5),
)


@settings(max_examples=40, deadline=None)
@given(anything)
def test_peak_edges_and_mean_of_any_signal(e):
    made = make_sounds([e])[0]
    assert tuple(made) == KINDS
    for kind, sound in made.items():
        assert sound.kind == kind
        assert len(sound) == len(e.signal["time"])
        assert peak(sound) <= TOP * (1 + 1e-12)
        assert sound.samples[0] == 0 == sound.samples[-1]
        assert abs(sound.samples.mean()) <= 1e-3 * peak(sound)


def test_the_loudest_of_each_unit_peaks_at_minus_one_dbfs():
    pair = make_sounds([explanation(), explanation(label="three", total=2.0, against=-3.0)])
    for group in GROUPS:
        assert max(peak(one[k]) for one in pair for k in group) == pytest.approx(TOP, rel=1e-12)


def test_a_common_gain_makes_sounds_compare():
    first, second = make_sounds([explanation(), explanation(label="three", total=7.9 / 4)])
    for group in GROUPS:
        assert len({one[k].gain_db for one in (first, second) for k in group}) == 1
    np.testing.assert_allclose(second["heatmap"].samples, first["heatmap"].samples / 4, atol=1e-15)
    np.testing.assert_array_equal(second["original"].samples, first["original"].samples)


def test_the_gain_does_not_depend_on_the_kinds_asked_for():
    e = explanation()
    together = make_sounds([e])[0]
    for kind in KINDS:
        np.testing.assert_array_equal(e.audible(kind).samples, together[kind].samples)


def test_the_gain_in_db_is_what_was_applied():
    x = two_tones()
    sound = make_sounds([explanation(x)])[0]["original"]
    middle = slice(600, 3400)  # away from the fades; the tones are far above the high-pass
    np.testing.assert_allclose(
        np.asarray(sound)[middle], 10 ** (sound.gain_db / 20) * x[middle], atol=1e-3
    )


def test_formulas_of_the_products():
    e = explanation()
    x, R = e.signal["time"], e.relevance["time"]
    made = make_sounds([e])[0]
    expected = {
        "heatmap": x * np.maximum(R, 0),
        "rectified": np.maximum(x, 0) * R,
        "negative": x * np.maximum(-R, 0),
    }
    for kind, raw in expected.items():
        got = np.abs(np.fft.rfft(made[kind].samples)) / 10 ** (made[kind].gain_db / 20)
        want = np.abs(np.fft.rfft(raw))
        above = np.fft.rfftfreq(len(x), 1 / e.rate) > 200  # the high-pass has let go
        np.testing.assert_allclose(got[above], want[above], atol=2e-3 * want.max())


def test_resynthesis_keeps_what_spoke_for_the_target_and_its_phase():
    e = explanation()
    sound = make_sounds([e])[0]["resynthesis"]
    x = 10 ** (sound.gain_db / 20) * two_tones()
    half = len(x) // 2
    for_it, against = sound.samples[400 : half - 400], sound.samples[half + 400 :]
    assert np.corrcoef(for_it, x[400 : half - 400])[0, 1] > 0.98
    assert np.std(against) < 1e-3 * np.std(for_it)


@pytest.mark.parametrize("e", [explanation(), quake(1000), explanation(total=-7.9)])
def test_resynthesis_and_complement_add_up_to_the_original(e):
    made = make_sounds([e])[0]
    both = made["resynthesis"].samples + made["complement"].samples
    np.testing.assert_allclose(both, made["original"].samples, atol=1e-12)


def test_complement_holds_what_spoke_against():
    e = explanation()
    rest = e.audible("complement").samples
    half = len(rest) // 2
    assert np.std(rest[: half - 400]) < 0.1 * np.std(rest[half + 400 :])


def test_without_relevance_over_time_or_cells_there_is_no_mask():
    e = explanation()
    bare = explanation(relevance={"frequency": e.relevance["frequency"]})
    with pytest.raises(InputError, match="explain in the domain 'time-frequency'"):
        keep_relevant(bare, e.signal["time"])


def test_negative_holds_what_spoke_against():
    made = make_sounds([explanation()])[0]
    half = len(made["negative"]) // 2
    early, late = made["negative"].samples[:half], made["negative"].samples[half:]
    assert np.std(late) > 3 * np.std(early)
    assert np.std(made["heatmap"].samples[:half]) > 3 * np.std(made["heatmap"].samples[half:])


def test_soft_mask_against_its_formula():
    rng = np.random.default_rng(1)
    relevance, spectrum = rng.normal(size=(9, 20)), rng.normal(size=(9, 20)) + 1j
    spectrum[3] = 0
    relevance[3] = 1e6
    heard = sorted((r for r, y in zip(relevance.flat, spectrum.flat, strict=True)
                    if r > 0 and y != 0), reverse=True)  # fmt: skip
    q = next(r for k, r in enumerate(heard) if sum(heard[: k + 1]) >= 0.95 * sum(heard))
    want = np.clip(np.where(spectrum != 0, relevance, 0) / q, 0, 1)
    np.testing.assert_allclose(make_soft_mask(relevance, spectrum), want, atol=1e-15)
    assert not make_soft_mask(-np.abs(relevance), spectrum).any()


def test_cells_of_next_to_no_relevance_leave_the_mask_as_it_is():
    rng = np.random.default_rng(2)
    relevance, spectrum = rng.normal(size=(9, 20)), np.ones((9, 20))
    faint = np.abs(rng.normal(size=(9, 500))) * 1e-9
    more = make_soft_mask(np.hstack([relevance, faint]), np.ones((9, 520)))
    np.testing.assert_allclose(more[:, :20], make_soft_mask(relevance, spectrum), rtol=1e-3)
    assert more[:, 20:].max() < 1e-6


def test_a_constant_offset_leaves_no_trace():
    x = two_tones()
    plain, shifted = (make_sounds([explanation(s)])[0]["original"] for s in (x, x + 0.6))
    np.testing.assert_allclose(ungained(shifted), ungained(plain), atol=1e-9)


def test_the_round_off_of_a_constant_is_not_played():
    assert not explanation(np.full(800, 0.5)).audible("original").samples.any()


@pytest.mark.parametrize("x", [np.zeros(800), np.ones(1), np.zeros(1)])
def test_silence_is_silent_at_zero_gain(x):
    for sound in make_sounds([explanation(x)])[0].values():
        assert not sound.samples.any()
        assert sound.gain_db == 0


@pytest.mark.parametrize(("subtype", "error"), [("PCM_16", 1 / 32767), ("FLOAT", 1e-7)])
def test_wav_round_trip(tmp_path, subtype, error):
    for kind, sound in make_sounds([explanation()])[0].items():
        path = tmp_path / f"{kind}.wav"
        sound.save(path, subtype)
        back, rate = soundfile.read(path)
        assert rate == 8000
        assert soundfile.info(path).subtype == subtype
        np.testing.assert_allclose(back, sound.samples, atol=error)
        assert np.max(np.abs(back)) < 1
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".wav"] * len(KINDS)


def test_the_mean_of_what_pcm_16_holds_is_below_a_thousandth_of_its_peak():
    for sound in make_sounds([noisy(5000, 8000.0, 0.6)])[0].values():
        back, _ = soundfile.read(io.BytesIO(sound.wav()))
        assert abs(back.mean()) < 1e-3 * np.max(np.abs(back))
        assert back[0] == 0 == back[-1]


def test_what_pcm_16_cannot_hold_is_refused():
    with pytest.raises(NonFiniteError, match="sample 2"):
        Sound(np.array([0.0, 0.1, np.nan]), 8000.0, 0.0, "original").wav()
    with pytest.raises(InputError, match="clip"):
        Sound(np.array([0.0, 1.5]), 8000.0, 0.0, "original").wav()
    with pytest.raises(InputError, match="whole number of hertz"):
        Sound(np.zeros(3), 62.5, 0.0, "original").wav()
    with pytest.raises(InputError, match="PCM_16 or FLOAT"):
        Sound(np.zeros(3), 8000.0, 0.0, "original").wav("PCM_24")  # type: ignore[arg-type]


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    good, bad = tmp_path / "a.wav", Sound(np.array([np.inf]), 8000.0, 0.0, "original")
    good.write_bytes(b"old")
    with pytest.raises(NonFiniteError):
        bad.save(good)
    with pytest.raises(InputError, match="cannot write"):
        Sound(np.zeros(3), 8000.0, 0.0, "original").save(tmp_path / "none" / "a.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    assert good.read_bytes() == b"old"


def test_errors_say_what_to_do():
    e = explanation()
    with pytest.raises(InputError, match="choose one of original"):
        make_sounds([e], ["loud"])
    with pytest.raises(InputError, match="at most 1024 channels"):
        Sound(np.zeros((3, 1025)), 8000.0, 0.0, "original").wav()
    with pytest.raises(InputError, match="'time' domain"):
        explanation(signal={}).audible("heatmap")
    with pytest.raises(NonFiniteError, match="relevance is not finite at sample 0"):
        explanation(relevance={"time": np.full(4000, np.nan)}).audible("heatmap")
    with pytest.raises(InputError, match="shape"):
        explanation(relevance={**e.relevance, "time-frequency": np.ones((2, 3))}).audible(
            "resynthesis"
        )


def test_without_the_time_frequency_domain_its_relevance_comes_from_that_over_time():
    e = explanation()
    whole = e.audible("resynthesis")
    for settings_ in (e.stft, {}):
        bare = explanation(relevance={"time": e.relevance["time"]}, stft=settings_)
        # R / x is not known where a sample is exactly 0, hence not exactly the same.
        np.testing.assert_allclose(bare.audible("resynthesis").samples, whole.samples, atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "played", "speed"),
    [(360, 11520, 32), (100, 12800, 128), (256, 8192, 32), (1, 8192, 8192), (0.5, 8192, 16384),
     (250, 8000, 32), (2999, 11996, 4), (3000, 3000, 1), (8000, 8000, 1), (96000, 96000, 1),
     (256.41, 8205, 32), (22050.5, 22050, 1)],
)  # fmt: skip
def test_what_is_below_hearing_is_played_faster_by_a_power_of_two(rate, played, speed):
    assert choose_playback(rate) == (played, speed)
    sound = explanation(two_tones(200), rate=rate).audible("original")
    assert (sound.rate, sound.speed) == (played, speed)
    assert soundfile.info(io.BytesIO(sound.wav())).samplerate == played


@given(st.floats(1e-9, 768e3))
def test_every_rate_is_played_whole_heard_and_in_tune(rate):
    played, speed = choose_playback(rate)
    assert played == round(played) >= 3000
    assert speed == 1 or 8000 <= speed * rate < 16000
    assert abs(12 * np.log2(played / (rate * speed))) < 1 / 300  # semitones


def test_filter_and_fades_are_as_heard_whatever_the_speed():
    slow, fast = (explanation(two_tones(4000), rate=r).audible("original") for r in (250.0, 8000.0))
    np.testing.assert_allclose(ungained(slow), ungained(fast), rtol=1e-12)


def test_each_channel_sounds_as_it_would_alone_at_a_common_gain():
    whole, parts = quake(1000), quake(1000).channels
    together, alone = make_sounds([whole])[0], make_sounds(parts)
    for kind in ("original", "heatmap", "rectified", "negative"):
        assert together[kind].samples.shape == (1000, 3)
        for c, one in enumerate(alone):
            np.testing.assert_allclose(together[kind].samples[:, c], one[kind].samples, atol=1e-15)
        assert together[kind].gain_db == alone[0][kind].gain_db


def test_the_mask_of_one_channel_knows_of_the_others():
    strong, weak = explanation(), explanation(total=0.079)
    both = make_sounds([stacked(strong, weak)])[0]["resynthesis"].samples
    assert 0 < np.std(both[:, 1]) < 0.15 * np.std(both[:, 0])


def test_channels_are_channels_of_the_wav_file():
    sound = quake(1000).audible("heatmap")
    back, rate = soundfile.read(io.BytesIO(sound.wav("FLOAT")))
    assert rate == 12800
    np.testing.assert_allclose(back, sound.samples, atol=1e-7)


def test_why_there_can_be_no_sound_is_said():
    assert find_obstacle(explanation()) == ""
    assert "1e+07 samples per second" in find_obstacle(explanation(two_tones(100), rate=1e7))
    assert "1024 channels" in find_obstacle(explanation(signal={"time": np.zeros((1025, 9))}))
    with pytest.raises(InputError, match="samples per second"):
        explanation(two_tones(100), rate=1e-300).audible("original")


def test_no_explanation_makes_no_sound():
    assert make_sounds([]) == []


def test_array_protocol():
    sound = Sound(np.array([0.0, 0.5, 0.0]), 8000.0, 0.0, "original")
    assert np.asarray(sound) is sound.samples
    assert np.array(sound, copy=True) is not sound.samples
    assert np.asarray(sound, np.float32).dtype == np.float32


def test_a_notebook_plays_the_file_that_save_writes():
    sound = make_sounds([explanation()], ["original"])[0]["original"]
    source = sound._repr_html_().partition(' src="data:audio/wav;base64,')[2].partition('"')[0]
    assert base64.b64decode(source) == sound.wav()
    assert repr(Sound(np.zeros((80, 2)), 8000.0, 0.0, "original", 8)) == (
        "Sound of kind 'original': 0.01 s at 8000 Hz, 2 channels, 8 times faster than recorded"
    )
    assert "No player: a WAV file needs" in Sound(np.zeros(4), 0.5, 0.0, "original")._repr_html_()
