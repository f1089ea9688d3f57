"""Complexity: over how many cells relevance is spread, and how much of it cancels."""

from __future__ import annotations

import math

import numpy as np

from dftlrp.core.types import InputError, Real


def cancellation(relevance: Real) -> float:
    """Return sum |R| / |sum R|: 1 where nothing cancels; infinite where everything does.

    Parameters
    ----------
    relevance : array
        R of all cells, of any shape and unit.

    Returns
    -------
    float
        At least 1; NaN where all relevance is 0.

    Raises
    ------
    InputError
        The relevance is empty or not finite.

    See Also
    --------
    complexity : Over how many cells relevance is spread.

    Examples
    --------
    >>> dftlrp.metrics.cancellation(np.array([3.0, -1.0]))
    2.0
    """
    R = _read_relevance_of_cells(relevance)
    total, net = float(np.abs(R).sum()), abs(float(R.sum()))
    if not total:
        return math.nan
    return total / net if net else math.inf


def complexity(relevance: Real) -> float:
    """Return the entropy of the shares |R_i| / sum |R|, in nats.

    Parameters
    ----------
    relevance : array
        R of all cells, of any shape and unit.

    Returns
    -------
    float
        0 where one cell has it all, log n where n cells have the same; NaN where all is 0.

    Raises
    ------
    InputError
        The relevance is empty or not finite.

    See Also
    --------
    sparseness : The Gini index of the same.

    Notes
    -----
    Bhatt, Weller, Moura (2020), "Evaluating and aggregating feature-based model explanations",
    equation 4; in Quantus ``Complexity``.

    Examples
    --------
    >>> round(float(dftlrp.metrics.complexity(np.ones(8)) / np.log(8)), 6)
    1.0
    """
    share = np.abs(_read_relevance_of_cells(relevance))
    if not share.any():
        return math.nan
    share = share[share > 0] / share.sum()
    return max(0.0, float(-(share * np.log(share)).sum()))


def sparseness(relevance: Real) -> float:
    """Return the Gini index of |R|: 0 where all cells have the same, 1 - 1/n where one has it all.

    Parameters
    ----------
    relevance : array
        R of all n cells, of any shape and unit.

    Returns
    -------
    float
        From 0 to 1 - 1/n; NaN where all relevance is 0.

    Raises
    ------
    InputError
        The relevance is empty or not finite.

    See Also
    --------
    complexity : The entropy of the same.

    Notes
    -----
    With |R| sorted upward, sum_i (2 i - n - 1) |R|_i / (n sum |R|).  Chalasani et al. (2020),
    "Concise explanations of neural networks using adversarial training"; in Quantus ``Sparseness``.

    Examples
    --------
    >>> dftlrp.metrics.sparseness(np.array([0.0, 0.0, 0.0, 5.0]))
    0.75
    """
    R = np.sort(np.abs(_read_relevance_of_cells(relevance)))
    if not R.any():
        return math.nan
    n = len(R)
    return float((2 * np.arange(1, n + 1) - n - 1) @ R / (n * R.sum()))


def _read_relevance_of_cells(relevance: Real) -> Real:
    R = np.asarray(relevance, np.float64).reshape(-1)
    if not np.isfinite(R).all() or not R.size:
        raise InputError("the relevance is empty or not finite")
    return R
