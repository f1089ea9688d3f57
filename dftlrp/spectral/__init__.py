"""DFT-LRP: relevance carried between time, frequency and time-frequency, exactly, in O(N log N).

A virtual inspection layer is a pair of linear maps, analysis T and synthesis S, with S T x = x.  In
front of a model it changes nothing, but LRP can be read off between the two.  With the real inner
product <y, z> = Re sum y conj(z) and the multiplier m of a signal (its relevance is R = x m):

* if the model reads x: y = T x, c = S^T m, and the relevance of y is R'_k = Re(y_k conj(c_k));
* if the model reads y, with multiplier g there: m = T^T g, and the relevance of x is R = x m.

This is the rule LRP-0 of "Explainable AI for Time Series via Virtual Inspection Layers"
(arXiv 2303.06365) without its matrices.  `domain` states the contract of such a pair; `dft`,
`stft`, `dct`, `wavelet`, `resampling` and `custom` are pairs.  `carry` holds the two functions for
any pair, `lrp` the four for DFT and STFT, `stream` serves signals that do not fit into memory, and
`mel` pools relevance into mel bands.

In come a signal and its relevance or multiplier; out goes the relevance in another domain, with the
rest, which cannot be shown there.  This room must never know a model: it works on arrays.
"""

from dftlrp.spectral.carry import (
    DomainRelevance,
    SignalRelevance,
    relevance_from,
    relevance_in,
)
from dftlrp.spectral.custom import Custom
from dftlrp.spectral.dct import Dct
from dftlrp.spectral.dft import Dft
from dftlrp.spectral.domain import Domain, inner
from dftlrp.spectral.frames import Analysis
from dftlrp.spectral.lrp import (
    DftRelevance,
    StftRelevance,
    dft_lrp,
    inverse_dft_lrp,
    inverse_stft_lrp,
    stft_lrp,
)
from dftlrp.spectral.mel import Mel, MelRelevance
from dftlrp.spectral.resampling import Resample
from dftlrp.spectral.stft import Stft
from dftlrp.spectral.wavelet import Wavelet
from dftlrp.spectral.windows import stft_for

__all__ = [
    "Analysis",
    "Custom",
    "Dct",
    "Dft",
    "DftRelevance",
    "Domain",
    "DomainRelevance",
    "Mel",
    "MelRelevance",
    "Resample",
    "SignalRelevance",
    "Stft",
    "StftRelevance",
    "Wavelet",
    "dft_lrp",
    "inner",
    "inverse_dft_lrp",
    "inverse_stft_lrp",
    "relevance_from",
    "relevance_in",
    "stft_for",
    "stft_lrp",
]
