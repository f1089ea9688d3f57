"""DFT-LRP: relevance moved between time, frequency and time-frequency, exactly and in O(N log N).

An inspection layer is a pair of linear maps, analysis T and synthesis S, with S T x = x: put in
front of a model it changes nothing, but LRP can be read off between the two.  With the real inner
product <y, z> = Re sum y conj(z) and the multiplier m of a signal (its relevance is R = x m):

* the model reads x:  y = T x, c = S^T m, and R'_k = Re(y_k conj(c_k));
* the model reads y:  R' = Re(y conj(g)) there, m = T^T g, and R = x m in time.

That is the LRP-0 rule of "Explainable AI for Time Series via Virtual Inspection Layers"
(arXiv 2303.06365) without its matrices.  `domains`, `stft`, `more` and `custom` hold the pairs,
`carry` the two functions for any of them, `lrp` the four for DFT and STFT.

In come a signal and its relevance or multiplier; out goes the relevance in another domain, with
what cannot be shown there (the rest).  This room must never know a model: it works on arrays.
"""

from dftlrp.spectral.carry import (
    DomainRelevance,
    SignalRelevance,
    relevance_from,
    relevance_in,
)
from dftlrp.spectral.custom import Custom
from dftlrp.spectral.domains import Dft, Domain, inner
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
from dftlrp.spectral.more import Dct, Resample, Wavelet
from dftlrp.spectral.stft import Stft
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
