"""Mel filterbanks, as librosa and torchaudio make them."""

from __future__ import annotations

import numpy as np

from dftlrp.core.types import InputError, Real

SLANEY_STEP = 200 / 3  # hertz per mel below 1 kHz
SLANEY_LOG = np.log(6.4) / 27  # above, per mel


def hertz_to_mel(hertz: Real | float, scale: str = "slaney") -> Real:
    """Mel of frequencies in hertz.

    ``"htk"``: 2595 log10(1 + f / 700).  ``"slaney"`` (Auditory Toolbox): linear below 1 kHz,
    logarithmic above.
    """
    f = np.asarray(hertz, np.float64)
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + f / 700))
    knee = 1000 / SLANEY_STEP
    return np.where(
        f < 1000, f / SLANEY_STEP, knee + np.log(np.maximum(f, 1e-9) / 1000) / SLANEY_LOG
    )


def mel_to_hertz(mel: Real | float, scale: str = "slaney") -> Real:
    """Inverse of `hertz_to_mel`."""
    m = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700 * (10 ** (m / 2595) - 1))
    knee = 1000 / SLANEY_STEP
    return np.where(m < knee, m * SLANEY_STEP, 1000 * np.exp(SLANEY_LOG * (m - knee)))


def mel_frequencies(n_mels: int, fmin: float, fmax: float, scale: str = "slaney") -> Real:
    """``n_mels`` frequencies in hertz, evenly spaced in mel from fmin to fmax."""
    low, high = (float(hertz_to_mel(f, scale)) for f in (fmin, fmax))
    return mel_to_hertz(np.linspace(low, high, n_mels), scale)


def filterbank(
    rate: float,
    n_fft: int,
    n_mels: int,
    fmin: float = 0.0,
    fmax: float | None = None,
    scale: str = "slaney",
    norm: str | None = "slaney",
) -> Real:
    """Triangular filters over the bins of a one-sided DFT.

    Parameters
    ----------
    rate : float
        Hertz.
    n_fft : int
        Length of the DFT, samples.
    n_mels : int
        Number of filters; each rises from its left neighbour's centre and falls to its right one's.
    fmin, fmax : float
        Hertz; fmax is half the rate if not given.
    scale : {"slaney", "htk"}
    norm : {"slaney", None}
        ``"slaney"``: each filter has unit area in hertz (2 / width); None: unit height.

    Returns
    -------
    array (n_mels, n_fft // 2 + 1), float64, non-negative.

    Raises
    ------
    InputError
        Unknown scale or norm, or a band that is empty.
    """
    fmax = rate / 2 if fmax is None else fmax
    if scale not in {"slaney", "htk"} or norm not in {"slaney", None}:
        raise InputError(
            f"mel scale {scale!r}, norm {norm!r}: use 'slaney' or 'htk', 'slaney' or None"
        )
    if not 0 <= fmin < fmax:
        raise InputError(f"mel band from {fmin:g} to {fmax:g} Hz is empty")
    bins = np.fft.rfftfreq(n_fft, 1 / rate)
    centres = mel_frequencies(n_mels + 2, fmin, fmax, scale)
    width = np.diff(centres)
    slopes = centres[:, None] - bins
    rising, falling = -slopes[:-2] / width[:-1, None], slopes[2:] / width[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return triangles * (2 / (centres[2:] - centres[:-2]))[:, None] if norm else triangles


def partition(rate: float, n_fft: int, n_mels: int, scale: str = "slaney") -> Real:
    """Mel bands to look at relevance in: weights that sum to 1 in each bin, and a rest band.

    Returns
    -------
    array (n_mels + 1, n_fft // 2 + 1)
        The last row is the rest: 1 minus the others, on bins between the filters.
    """
    bands = filterbank(rate, n_fft, n_mels, 0.0, rate / 2, scale, norm=None)
    total = bands.sum(axis=0)
    bands = np.divide(bands, total, out=np.zeros_like(bands), where=total > 0)
    return np.vstack([bands, 1 - bands.sum(axis=0)])
