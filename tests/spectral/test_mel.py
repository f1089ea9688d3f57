"""Laws of the mel filterbank."""

from __future__ import annotations

import numpy as np
import pytest

from dftlrp.core.types import InputError
from dftlrp.spectral.filters import filterbank, hertz_to_mel, mel_to_hertz, partition

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
    np.testing.assert_allclose(filterbank(*setting, scale, norm), want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n_mels", [1, 8, 64])
def test_the_partition_sums_to_one_in_each_bin_and_is_never_negative(n_mels):
    bands = partition(8000, 256, n_mels)
    assert bands.shape == (n_mels + 1, 129)
    assert bands.min() >= -1e-15
    np.testing.assert_allclose(bands.sum(axis=0), 1, rtol=1e-14)


@pytest.mark.parametrize("wrong", [{"scale": "bark"}, {"norm": "l2"}, {"fmin": 4000.0}])
def test_what_is_no_filterbank_is_refused_in_one_line(wrong):
    with pytest.raises(InputError, match="mel"):
        filterbank(8000, 256, 20, **wrong)
