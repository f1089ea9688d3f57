"""Relevance in mel bands: what a spectrum shows, pooled the way one hears."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import InputError, Real
from dftlrp.spectral import checks, filters


class MelRelevance(NamedTuple):
    """Relevance over mel bands.

    Attributes
    ----------
    relevance : real (..., M, T)
        Sum over the bins of each band's share of their relevance.
    rest : real (...)
        Relevance of bins between or outside the bands, over all frames.
    """

    relevance: Real
    rest: Real


@dataclass(frozen=True)
class Mel:
    """Mel bands to look at the relevance of a DFT or an STFT in.

    No transform of the signal, but a pooling of relevance: weights p >= 0, which sum to 1 over
    the bands and the rest in each bin, so that R'_b = sum_k p_bk R_k keeps the sum.

    Parameters
    ----------
    rate : float
        Sampling rate, in hertz.
    n_mels : int
        Number of bands M, from 0 to rate / 2, triangles evenly spaced in mel.
    n_fft : int
        Length of the DFT that was used, in samples: K = n_fft // 2 + 1 bins.
    scale : {"slaney", "htk"}
        Definition of the mel.

    Raises
    ------
    InputError
        If an argument is out of range; `pool`, if the relevance has not K bins or is not finite.
    """

    rate: float
    n_mels: int = 40
    n_fft: int = 400
    scale: str = "slaney"

    def __post_init__(self) -> None:
        checks.hertz(self.rate)
        checks.whole(self.n_mels, "n_mels")
        checks.whole(self.n_fft, "n_fft", 2)
        _ = self.weights

    @cached_property
    def weights(self) -> Real:
        """p, (M + 1, K) float64, non-negative; each column sums to 1, the last row is the rest."""
        return np.maximum(filters.partition(self.rate, self.n_fft, self.n_mels, self.scale), 0)

    @property
    def centres(self) -> Real:
        """Centre of each band, (M,), in hertz."""
        return filters.mel_frequencies(self.n_mels + 2, 0.0, self.rate / 2, self.scale)[1:-1]

    def pool(self, relevance: ArrayLike, axis: int = -2) -> MelRelevance:
        """Pool the relevance of a one-sided spectrum.

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
        """
        R = checks.real(relevance, "relevance")
        if axis not in {-1, -2}:
            raise InputError(f"axis is {axis}, but frequency must be on axis -2 or -1")
        checks.length(R, axis, self.n_fft // 2 + 1, "relevance")
        checks.finite(R, "relevance")
        p = self.weights.astype(R.dtype, copy=False)
        pooled = p @ R if axis == -2 else R @ p.T
        bands, rest = np.split(pooled, [self.n_mels], axis=axis)
        return MelRelevance(bands, np.asarray(rest.sum(axis=tuple(range(axis, 0)))))
