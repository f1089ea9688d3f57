"""Laws of spectra and maps: sums stay, and a hum is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from dftlrp.concepts.ablation import rank_values
from dftlrp.concepts.neuron_figures import find_narrow_peaks
from dftlrp.concepts.statistics import BANDS, COLUMNS, band_centres, sum_bands, sum_columns


@pytest.mark.parametrize("count", [7, 64, 400, 1600, 1601, 8000, 44100])
def test_bands_hold_what_the_lines_hold(count):
    lines = np.random.default_rng(count).standard_normal((2, count // 2 + 1))
    found = sum_bands(lines, count)
    assert found.shape == (2, BANDS)
    np.testing.assert_allclose(found.sum(-1), lines.sum(-1), atol=1e-11)


@pytest.mark.parametrize("count", [2000, 8000, 12345])
def test_a_line_lies_in_the_band_of_its_frequency(count):
    lines = np.zeros((1, count // 2 + 1))
    k = round(count * 1000 / 8000)
    lines[0, k] = 1
    found = sum_bands(lines, count)[0]
    assert found @ band_centres(8000) == pytest.approx(k * 8000 / count, abs=3)
    assert np.count_nonzero(found) <= 2 + 8000 / count / 5


def test_an_even_spectrum_is_even_in_bands_of_any_recording():
    for count in (300, 1234, 8000):
        found = sum_bands(np.ones((1, count // 2 + 1)), count)[0]
        np.testing.assert_allclose(found[1:-1], count / 2 / BANDS, rtol=1e-9)


@pytest.mark.parametrize("frames", [1, 5, 64, 65, 131])
def test_columns_hold_what_the_frames_hold(frames):
    tiles = np.random.default_rng(frames).standard_normal((2, 3, frames)).swapaxes(1, 2)
    tiles = tiles.swapaxes(1, 2)
    found = sum_columns(tiles)
    assert found.shape == (2, 3, COLUMNS)
    np.testing.assert_allclose(found.sum(-1), tiles.sum(-1), atol=1e-12)
    part = np.arange(frames) * COLUMNS // frames
    for j in range(COLUMNS):
        np.testing.assert_allclose(found[..., j], tiles[..., part == j].sum(-1), atol=1e-12)


def test_a_hum_is_a_narrow_peak_and_a_voice_is_none():
    voice = np.exp(-(((band_centres(8000) - 500) / 300) ** 2))
    assert find_narrow_peaks(voice / voice.sum(), 8000) == []
    hum = voice / voice.sum()
    hum[10] += 0.2  # 50 to 55 Hz
    ((f, share),) = find_narrow_peaks(hum, 8000)
    assert f == pytest.approx(52.5)
    assert share == pytest.approx(0.2 / 1.2, abs=0.01)
    assert find_narrow_peaks(np.zeros(BANDS), 8000) == []


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=50), rng.integers(0, 5, 50).astype(float), np.ones(3)):
        assert (rank_values(values) == rankdata(values)).all()
