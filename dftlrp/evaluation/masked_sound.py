"""Measures of what a model still hears in the kept part of a sound, and in the rest.

p, p_in and p_out are the probabilities of the class that is explained, of the recording, the kept
part and the rest, as `dftlrp.results.heard.hear` finds them; one number for each recording.
Definitions as in L-MAC (Paissan et al. 2024) and Listen to Interpret (Parekh et al. 2022).
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.types import Real


def average_increase(p: Real, p_in: Real) -> Real:
    """Return for each recording 100 where the kept part has a higher probability, else 0 (AI).

    Parameters
    ----------
    p, p_in : float or array (n,)
        Probability of the class, of each recording and of its kept part, from 0 to 1.

    Returns
    -------
    array (n,)
        Percent; the mean over recordings is the measure.

    See Also
    --------
    hear : Finds the probabilities.
    average_drop, average_gain, faithfulness_on_spectra : Others of the same.

    Notes
    -----
    Parekh et al. (2022), "Listen to interpret"; Paissan et al. (2024), "L-MAC".

    Examples
    --------
    >>> dftlrp.metrics.average_increase([0.9, 0.5], [0.8, 0.7])
    array([  0., 100.])
    """
    higher = np.asarray(p_in, float) > np.asarray(p, float)
    return np.where(higher, 100.0, 0.0)


def average_drop(p: Real, p_in: Real) -> Real:
    """Return 100 max(0, p - p_in) / p: less is better (AD).

    Parameters
    ----------
    p, p_in : float or array (n,)
        Probability of the class, of each recording and of its kept part, from 0 to 1.

    Returns
    -------
    array (n,)
        Percent; the mean over recordings is the measure.

    See Also
    --------
    hear : Finds the probabilities.
    average_increase, average_gain, faithfulness_on_spectra : Others of the same.

    Notes
    -----
    Parekh et al. (2022), "Listen to interpret"; Paissan et al. (2024), "L-MAC".

    Examples
    --------
    >>> dftlrp.metrics.average_drop([0.8, 0.5], [0.6, 0.7]).round(6)
    array([25.,  0.])
    """
    p, p_in = np.asarray(p, float), np.asarray(p_in, float)
    return np.asarray(100 * np.maximum(p - p_in, 0) / np.maximum(p, 1e-300))


def average_gain(p: Real, p_in: Real) -> Real:
    """Return 100 max(0, p_in - p) / (1 - p): more is better (AG); 0 where p is 1.

    Parameters
    ----------
    p, p_in : float or array (n,)
        Probability of the class, of each recording and of its kept part, from 0 to 1.

    Returns
    -------
    array (n,)
        Percent; the mean over recordings is the measure.

    See Also
    --------
    hear : Finds the probabilities.
    average_increase, average_drop, faithfulness_on_spectra : Others of the same.

    Notes
    -----
    Paissan et al. (2024), "L-MAC".

    Examples
    --------
    >>> dftlrp.metrics.average_gain([0.8, 0.5], [0.6, 0.75])
    array([ 0., 50.])
    """
    p, p_in = np.asarray(p, float), np.asarray(p_in, float)
    return np.asarray(100 * np.maximum(p_in - p, 0) / np.maximum(1 - p, 1e-300))


def faithfulness_on_spectra(p: Real, p_out: Real) -> Real:
    """Return p - p_out: how far the probability falls without the kept part (FF).

    Parameters
    ----------
    p, p_out : float or array (n,)
        Probability of the class, of each recording and of what is left of it, from 0 to 1.

    Returns
    -------
    array (n,)
        From -1 to 1; the mean over recordings is the measure, and more is better.

    See Also
    --------
    hear : Finds the probabilities.
    average_increase, average_drop, average_gain : Of the kept part.

    Notes
    -----
    Parekh et al. (2022), "Listen to interpret"; Paissan et al. (2024), "L-MAC".

    Examples
    --------
    >>> dftlrp.metrics.faithfulness_on_spectra([0.75, 0.5], [0.25, 0.5])
    array([0.5, 0. ])
    """
    fall: Real = np.subtract(p, p_out, dtype=np.float64)
    return fall
