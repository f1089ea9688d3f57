"""What a model still hears in the part of a sound that an explanation keeps, and in the rest.

With the STFT Y of a recording and a mask M of relevance, the kept part is S (M Y), the rest
S ((1 - M) Y), both brought to the level of the recording, as they would be listened to.  p, p_in
and p_out are the probabilities of the class that is explained, of the recording, the kept part and
the rest; one number for each recording.  Definitions as in L-MAC (Paissan et al. 2024) and
Listen to Interpret (Parekh et al. 2022).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.explanation import Explanation
from dftlrp.results.sound import make_soft_mask
from dftlrp.spectral import Stft


class Heard(NamedTuple):
    """What a model hears of one recording.

    ``p``, ``p_in``, ``p_out``; ``same_in`` and ``same_out``: 1 where the class with the largest
    output is that of the recording, else 0; ``energy``: the share of the energy that is kept.
    """

    p: float
    p_in: float
    p_out: float
    same_in: float
    same_out: float
    energy: float


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


def find_probabilities(answers: Real, explanation: Explanation) -> Real:
    """Return probabilities (B, classes) from explained outputs (B, classes).

    They are those of the model's own last Sigmoid, if there was one, and else of a Softmax.
    """
    z, own = np.asarray(explanation.explained, float), np.asarray(explanation.output, float)
    with np.errstate(over="ignore"):
        if own.shape == z.shape and np.allclose(own, 1 / (1 + np.exp(-z)), atol=1e-4):
            return np.asarray(1 / (1 + np.exp(-answers)))
    raised = np.exp(answers - answers.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def find_silent_reason(explanation: Explanation) -> str:
    """Return why nothing can be said about classes in sound; empty where something can."""
    if not isinstance(explanation.target, int) or explanation.target < 0:
        return "the target is no class"
    if explanation.explained.ndim != 1 or len(explanation.explained) < 2:
        return "the output is no list of classes"
    if not explanation.labels and np.array_equal(explanation.explained, explanation.output):
        return "nothing says that the outputs are classes: no labels, no Softmax or Sigmoid"
    return ""


def hear(explanation: Explanation, relevance: Real | None = None) -> Heard:
    """Return what the model hears of a recording through the mask of an explanation.

    Parameters
    ----------
    explanation : Explanation
        With the domain ``"time-frequency"``.
    relevance : array, optional
        Another relevance of the time-frequency cells.

    Raises
    ------
    InputError
        The domain is missing, the explanation knows no model, or its outputs are no classes.
    """
    if why := find_silent_reason(explanation):
        raise InputError(f"nothing can be heard through the mask: {why}")
    if "time-frequency" not in explanation.relevance:
        raise InputError("explain in the domain 'time-frequency' to hear through its mask")
    asked = explanation.find_asked("time")
    pair = Stft(asked.samples.shape[-1], **explanation.stft)
    R = explanation.relevance["time-frequency"] if relevance is None else relevance
    mask = make_soft_mask(R, explanation.signal["time-frequency"])
    return _ask_about_mask(explanation, pair, mask)


def _ask_about_mask(explanation: Explanation, pair: Stft, mask: AnyArray) -> Heard:
    asked = explanation.find_asked("time")
    x = asked.samples
    kept = pair.synthesis(mask * pair.analysis(x))
    parts = np.stack([x, _match_level(kept, x), _match_level(x - kept, x)])
    answers = asked.answer(parts)
    p = find_probabilities(answers, explanation)[:, explanation.target]
    best = answers.argmax(axis=-1)
    energy = float((kept**2).sum() / max((x**2).sum(), 1e-300))
    same_in, same_out = (float(best[i] == best[0]) for i in (1, 2))
    return Heard(float(p[0]), float(p[1]), float(p[2]), same_in, same_out, energy)


def _match_level(part: Real, whole: Real) -> Real:
    """Return a part as loud as the whole; silence stays silence."""
    has, had = np.sqrt((part**2).sum()), np.sqrt((whole**2).sum())
    return np.asarray(part * (had / has) if has > 1e-9 * had else part)
