"""Measures of what a model still hears in the kept part of a sound, and in the rest.

p, p_in and p_out are the probabilities of the class that is explained, of the recording, the kept
part and the rest, as `dftlrp.results.heard.hear` finds them; one number for each recording.
Definitions as in L-MAC (Paissan et al. 2024) and Listen to Interpret (Parekh et al. 2022).
"""

from __future__ import annotations

import numpy as np

from dftlrp.core.types import Real


def average_increase(p: Real, p_in: Real) -> Real:
    """Return for each recording 100 where the kept part has a higher probability, else 0 (AI)."""
    higher = np.asarray(p_in, float) > np.asarray(p, float)
    return np.where(higher, 100.0, 0.0)


def average_drop(p: Real, p_in: Real) -> Real:
    """Return 100 max(0, p - p_in) / p: less is better (AD)."""
    p, p_in = np.asarray(p, float), np.asarray(p_in, float)
    return np.asarray(100 * np.maximum(p - p_in, 0) / np.maximum(p, 1e-300))


def average_gain(p: Real, p_in: Real) -> Real:
    """Return 100 max(0, p_in - p) / (1 - p): more is better (AG); 0 where p is 1."""
    p, p_in = np.asarray(p, float), np.asarray(p_in, float)
    return np.asarray(100 * np.maximum(p_in - p, 0) / np.maximum(1 - p, 1e-300))


def faithfulness_on_spectra(p: Real, p_out: Real) -> Real:
    """Return p - p_out: how far the probability falls without the kept part (FF)."""
    fall: Real = np.subtract(p, p_out, dtype=np.float64)
    return fall
