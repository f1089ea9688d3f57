"""Laws of the mel filterbank."""

from __future__ import annotations

import numpy as np
import pytest

from dftlrp.core.types import InputError
from dftlrp.spectral import Mel
from dftlrp.spectral.mel import hertz_to_mel, make_filterbank, mel_to_hertz

SETTINGS = [
    (16000, 512, 40, 0.0, 8000.0),
    (22050, 2048, 128, 20.0, 8000.0),
    (8000, 255, 13, 0.0, 4000.0),
]


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_hertz_to_mel_and_back_is_the_identity(scale):
    hertz = np.linspace(0, 11025, 1000)
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(hertz, scale), scale), hertz, rtol=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
def test_the_filterbank_is_librosas(setting, scale, norm):
    filters = pytest.importorskip("librosa", reason="librosa is not installed").filters
    rate, n_fft, n_mels, fmin, fmax = setting
    want = filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=scale == "htk", norm=norm,
        dtype=np.float64,
    )  # fmt: skip
    got = make_filterbank(rate, n_fft, n_mels, (fmin, fmax), scale, norm)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n_mels", [1, 8, 64])
def test_the_bands_and_the_rest_sum_to_one_in_each_bin_and_are_never_negative(n_mels):
    bands = Mel(8000, n_mels, 256).weights
    assert bands.shape == (n_mels + 1, 129)
    assert bands.min() >= 0
    np.testing.assert_allclose(bands.sum(axis=0), 1, rtol=1e-14)


@pytest.mark.parametrize("wrong", [{"scale": "bark"}, {"norm": "l2"}, {"band": (4000.0, None)}])
def test_what_is_no_filterbank_is_refused_in_one_line(wrong):
    with pytest.raises(InputError, match="mel"):
        make_filterbank(8000, 256, 20, **wrong)
