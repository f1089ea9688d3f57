"""Stability: whether a change that should not matter leaves an explanation as it is.

The relevance of a changed recording is compared with that of the recording by the correlation of
all cells, with their signs: 1 where they agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.core.types import InputError, Real

NOISE = 0.1  # amplitude of the noise, of the recording's: 20 dB below it
SHIFTS = (3, 40)  # samples


def correlation(one: Real, other: Real) -> float:
    """Return Pearson's correlation of two arrays; NaN where one is constant.

    Parameters
    ----------
    one, other : array, same shape
        Of any shape; all cells are compared, with their signs.

    Returns
    -------
    float
        From -1 to 1.

    Raises
    ------
    InputError
        Shapes differ.

    See Also
    --------
    rank_correlation : Spearman's.

    Examples
    --------
    >>> round(dftlrp.metrics.correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 6)
    1.0
    """
    a, b = (np.asarray(v, np.float64).reshape(-1) for v in (one, other))
    if a.shape != b.shape:
        raise InputError(f"shapes {np.shape(one)} and {np.shape(other)} have no correlation")
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")


def rank_correlation(one: Real, other: Real) -> float:
    """Return Spearman's correlation, with its sign: that of the ranks; equal values share one.

    Parameters
    ----------
    one, other : array, same shape
        Of any shape.

    Returns
    -------
    float
        From -1 to 1; NaN where one is constant.

    Raises
    ------
    InputError
        Shapes differ.

    See Also
    --------
    correlation : Pearson's.

    Examples
    --------
    >>> round(dftlrp.metrics.rank_correlation([1.0, 2.0, 30.0], [0.0, 5.0, 6.0]), 6)
    1.0
    """
    from scipy.stats import rankdata

    return correlation(*(rankdata(np.asarray(v).reshape(-1)) for v in (one, other)))


def stability(
    explain_cells: Callable[[Real], Real], samples: Real, relevance: Real, seed: int = 0
) -> dict[str, float]:
    """Return the correlation of relevance with that of changed recordings.

    Parameters
    ----------
    explain_cells : callable
        From a recording to relevance in the shape of ``relevance``.
    samples : array (..., N)
        The recording, full scale 1.
    relevance : array
        That of the recording itself.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to float
        ``"noise"``: with white noise 20 dB below the recording; ``"shift 3"`` and ``"shift 40"``:
        that many samples later, with zeros in front.  NaN where the recording is too short.

    See Also
    --------
    randomisation : Whether a change that should matter does.

    Examples
    --------
    >>> def explain_cells(x):  # of a linear model
    ...     return x * np.cos(np.arange(8000))
    >>> x = np.random.default_rng(0).normal(size=8000)
    >>> found = dftlrp.metrics.stability(explain_cells, x, explain_cells(x))
    >>> sorted(found), round(found["noise"], 1)
    (['noise', 'shift 3', 'shift 40'], 1.0)
    """
    level = NOISE * np.sqrt(np.mean(np.square(samples)))
    drawn = np.random.default_rng(seed).standard_normal(samples.shape)
    found = {"noise": correlation(relevance, explain_cells(samples + level * drawn))}
    for shift in SHIFTS:
        moved = np.zeros_like(samples)
        moved[..., shift:] = samples[..., :-shift]
        short = shift >= samples.shape[-1]
        found[f"shift {shift}"] = (
            float("nan") if short else correlation(relevance, explain_cells(moved))
        )
    return found
