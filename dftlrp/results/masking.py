"""The mask through which the relevant part of a recording is heard, by a person and by the model.

With Y = STFT(x) and R the relevance of its cells,

    M = min(1, R+ / q),    R+ = max(R, 0)

is the share of each cell that is kept.  The strongest cells that together hold 95 % of R+ are kept
in full, q being the weakest of them; weaker ones in proportion; what opposed the output not at all.
(A share of the relevance, not of the cells: however many cells of next to no relevance there are,
the mask stays the same.)  `keep_relevant` is the one place where it is applied: the sounds
`resynthesis` and `complement`, those of neurons and `dftlrp.metrics.hear` call it.
docs/explanation/sound.md has what this and other masks were measured to do.
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.data import ExplanationData
from dftlrp.spectral import Stft, stft_for, stft_lrp

KEPT = 0.95  # of the positive relevance lies in cells that are kept in full


def make_soft_mask(relevance: Real, spectrum: AnyArray) -> Real:
    """Return min(1, R+ / q), q the weakest of the strongest cells that hold 95 % of R+.

    Several channels have one q, so that they compare.

    Parameters
    ----------
    relevance : (..., F, T) real
        Relevance of each cell.
    spectrum : (..., F, T) complex
        The cells; the relevance of cells without signal is ignored.

    Returns
    -------
    (..., F, T) real in [0, 1]
        All zeros if no cell with signal has positive relevance.
    """
    positive = np.where(spectrum != 0, np.maximum(relevance, 0.0), 0.0)
    strongest = np.sort(positive[positive > 0])[::-1]
    if not strongest.size:
        return np.zeros_like(positive)
    held = np.cumsum(strongest)
    weakest = strongest[np.searchsorted(held, KEPT * held[-1])]
    return np.asarray(np.minimum(1.0, positive / weakest))


def keep_relevant(
    explanation: ExplanationData, samples: Real, relevance: Real | None = None
) -> Real:
    """Return STFT^-1(M STFT(x)): the part of a recording that supported the output.

    Parameters
    ----------
    samples : (..., N)
        The recording x.
    relevance : (..., F, T), optional
        Of the cells; if not given, that of the domain ``"time-frequency"``, or else what
        `dftlrp.stft_lrp` makes of that over time.

    Raises
    ------
    InputError
        The explanation has neither domain, or the relevance is of other cells.
    """
    settings = explanation.stft or stft_for(explanation.rate)
    stft = Stft(samples.shape[-1], **settings)
    spectrum = stft.analysis(samples)
    cells = explanation.relevance.get("time-frequency") if relevance is None else relevance
    if cells is None:
        if "time" not in explanation.relevance:
            raise InputError("explain in the domain 'time-frequency' to hear through its mask")
        over_time = np.asarray(explanation.relevance["time"], np.float64)
        cells = stft_lrp(samples, over_time, **settings).relevance
    if cells.shape != spectrum.shape:
        raise InputError(
            f"time-frequency relevance has shape {cells.shape}, but the STFT of the signal "
            f"with {settings} has {spectrum.shape}"
        )
    return np.asarray(stft.synthesis(make_soft_mask(cells, spectrum) * spectrum), np.float64)
