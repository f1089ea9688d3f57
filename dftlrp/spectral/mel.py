"""Mel filterbanks as librosa and torchaudio define them, and relevance in mel bands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import InputError, Real
from dftlrp.spectral.checks import as_real, as_whole, check_finite, check_length, check_rate

SLANEY_STEP = 200 / 3  # hertz per mel below 1 kHz
SLANEY_LOG = np.log(6.4) / 27  # natural logarithm of the frequency per mel above 1 kHz


class MelRelevance(NamedTuple):
    """Relevance over mel bands.

    Attributes
    ----------
    relevance : real (..., M, T)
        Sum over the bins of each band's share of their relevance.
    rest : real (...)
        Relevance of bins between or outside the bands, over all frames.

    See Also
    --------
    Mel.pool : Returns it.

    Examples
    --------
    >>> mel = dftlrp.spectral.Mel(8000, n_mels=10, n_fft=256)
    >>> mel.pool(np.ones((129, 5))).relevance.shape
    (10, 5)
    """

    relevance: Real
    rest: Real


@dataclass(frozen=True)
class Mel:
    """Mel bands in which to view the relevance of a DFT or an STFT.

    This is no transform of the signal but a pooling of relevance: in each bin the weights p >= 0
    sum to 1 over the bands and the rest, so that R'_b = sum_k p_bk R_k keeps the sum.

    Parameters
    ----------
    rate : float
        Sampling rate, in hertz.
    n_mels : int
        Number of bands M, triangles from 0 to rate / 2 that are evenly spaced in mel.
    n_fft : int
        Length of the DFT that was used, in samples; it has K = n_fft // 2 + 1 bins.
    scale : {"slaney", "htk"}
        Definition of the mel, see `hertz_to_mel`.

    Raises
    ------
    InputError
        If an argument is out of range.  `pool` raises it if the relevance has not K bins or is
        not finite.

    See Also
    --------
    dftlrp.stft_lrp : Relevance that can be pooled.

    Examples
    --------
    >>> mel = dftlrp.spectral.Mel(8000, n_mels=10, n_fft=256)
    >>> mel.weights.shape, mel.centres.shape
    ((11, 129), (10,))
    >>> found = mel.pool(e.relevance["time-frequency"])
    >>> bool(np.isclose(found.relevance.sum() + found.rest, e.relevance["time-frequency"].sum()))
    True
    """

    rate: float
    n_mels: int = 40
    n_fft: int = 400
    scale: str = "slaney"

    def __post_init__(self) -> None:
        check_rate(self.rate)
        as_whole(self.n_mels, "n_mels")
        as_whole(self.n_fft, "n_fft", 2)
        _ = self.weights

    @cached_property
    def weights(self) -> Real:
        """p, (M + 1, K) float64, non-negative; each column sums to 1, the last row is the rest."""
        bands = make_filterbank(self.rate, self.n_fft, self.n_mels, scale=self.scale, norm=None)
        total = bands.sum(axis=0)
        bands = np.divide(bands, total, out=np.zeros_like(bands), where=total > 0)
        rows = np.vstack([bands, 1 - bands.sum(axis=0)])
        return np.asarray(np.maximum(rows, 0))

    @property
    def centres(self) -> Real:
        """Centre of each band, (M,), in hertz."""
        return mel_frequencies(self.n_mels + 2, 0.0, self.rate / 2, self.scale)[1:-1]

    def pool(self, relevance: ArrayLike, axis: int = -2) -> MelRelevance:
        """Pool the relevance of a one-sided spectrum into the bands.

        Parameters
        ----------
        relevance : real (..., K, T)
            Relevance of an STFT; or of a DFT, (..., K), with ``axis=-1``.
        axis : {-2, -1}
            Axis of frequency, and of the bands in the result.

        Returns
        -------
        MelRelevance
            ``relevance``, ``rest``; together they sum to the given relevance.

        Raises
        ------
        InputError
            The relevance has not K bins or is not finite, or the axis is another.
        """
        R = as_real(relevance, "relevance")
        if axis not in {-1, -2}:
            raise InputError(f"axis is {axis}, but frequency must be on axis -2 or -1")
        check_length(R, axis, self.n_fft // 2 + 1, "relevance")
        check_finite(R, "relevance")
        p = self.weights.astype(R.dtype, copy=False)
        pooled = p @ R if axis == -2 else R @ p.T
        bands, rest = np.split(pooled, [self.n_mels], axis=axis)
        return MelRelevance(bands, np.asarray(rest.sum(axis=tuple(range(axis, 0)))))


def hertz_to_mel(hertz: Real | float, scale: str = "slaney") -> Real:
    """Convert frequencies from hertz to mel.

    ``"htk"`` is 2595 log10(1 + f / 700).  ``"slaney"`` (Auditory Toolbox) is linear below 1 kHz
    and logarithmic above.
    """
    f = np.asarray(hertz, np.float64)
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + f / 700))
    knee = 1000 / SLANEY_STEP
    return np.where(
        f < 1000, f / SLANEY_STEP, knee + np.log(np.maximum(f, 1e-9) / 1000) / SLANEY_LOG
    )


def mel_to_hertz(mel: Real | float, scale: str = "slaney") -> Real:
    """Convert frequencies from mel to hertz; the inverse of `hertz_to_mel`."""
    m = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700 * (10 ** (m / 2595) - 1))
    knee = 1000 / SLANEY_STEP
    return np.where(m < knee, m * SLANEY_STEP, 1000 * np.exp(SLANEY_LOG * (m - knee)))


def mel_frequencies(n_mels: int, fmin: float, fmax: float, scale: str = "slaney") -> Real:
    """Return ``n_mels`` frequencies in hertz, evenly spaced in mel from fmin to fmax."""
    low, high = (float(hertz_to_mel(f, scale)) for f in (fmin, fmax))
    return mel_to_hertz(np.linspace(low, high, n_mels), scale)


def make_filterbank(
    rate: float,
    n_fft: int,
    n_mels: int,
    band: tuple[float, float | None] = (0.0, None),
    scale: str = "slaney",
    norm: str | None = "slaney",
) -> Real:
    """Return triangular filters over the bins of a one-sided DFT.

    Each filter rises from the centre of its left neighbour and falls to that of its right one.

    Parameters
    ----------
    rate : float
        Sampling rate, in hertz.
    n_fft : int
        Length of the DFT, in samples.
    n_mels : int
        Number of filters.
    band : (float, float or None)
        Lowest and highest frequency, in hertz; None is half the rate.
    scale : {"slaney", "htk"}
        Definition of the mel, see `hertz_to_mel`.
    norm : {"slaney", None}
        ``"slaney"``: each filter has unit area in hertz (2 / width); None: unit height.

    Returns
    -------
    array (n_mels, n_fft // 2 + 1), float64, non-negative.

    Raises
    ------
    InputError
        If the scale or norm is unknown, or the band is empty.
    """
    fmin, fmax = band[0], rate / 2 if band[1] is None else band[1]
    if scale not in {"slaney", "htk"} or norm not in {"slaney", None}:
        raise InputError(
            f"mel scale {scale!r}, norm {norm!r}: use 'slaney' or 'htk', 'slaney' or None"
        )
    if not 0 <= fmin < fmax:
        raise InputError(f"mel band from {fmin:g} to {fmax:g} Hz is empty")
    bins = np.fft.rfftfreq(n_fft, 1 / rate)
    centres = mel_frequencies(n_mels + 2, fmin, fmax, scale)
    triangles = _make_triangles(bins, centres)
    return triangles * (2 / (centres[2:] - centres[:-2]))[:, None] if norm else triangles


def make_mel_triangles(
    rate: float,
    n_fft: int,
    n_mels: int,
    band: tuple[float, float | None] = (0.0, None),
    scale: str = "htk",
) -> Real:
    """Return filters as `make_filterbank` does, whose slopes are linear in mel, as Kaldi's are.

    Their height is 1.  Parameters and errors are those of `make_filterbank`.
    """
    make_filterbank(rate, 2, 1, band, scale, None)  # refuses an unknown scale and an empty band
    bins = hertz_to_mel(np.fft.rfftfreq(n_fft, 1 / rate), scale)
    low, high = (
        float(hertz_to_mel(f, scale)) for f in (band[0], rate / 2 if band[1] is None else band[1])
    )
    return _make_triangles(bins, np.linspace(low, high, n_mels + 2))


def _make_triangles(bins: Real, centres: Real) -> Real:
    """Return triangles of height 1, each from the centre of one neighbour to that of the other."""
    width = np.diff(centres)
    slopes = centres[:, None] - bins
    rising, falling = -slopes[:-2] / width[:-1, None], slopes[2:] / width[1:, None]
    return np.maximum(0, np.minimum(rising, falling))
