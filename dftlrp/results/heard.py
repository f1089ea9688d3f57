"""What a model still hears in the part of a sound that an explanation keeps, and in the rest.

With the STFT Y of a recording and the mask M of its relevance (`dftlrp.results.masking`), the kept
part is S (M Y), the rest S ((1 - M) Y), both brought to the level of the recording, so that a part
is not missed only because it is quiet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dftlrp.core.types import DftlrpError, InputError, Real
from dftlrp.results.data import Asked, ExplanationData
from dftlrp.results.masking import keep_relevant
from dftlrp.results.words import format_number, name_seed


class Heard(NamedTuple):
    """What a model hears of one recording.

    Attributes
    ----------
    p, p_in, p_out : float
        Probability of the class that is explained, of the recording, the kept part and the rest.
    same_in, same_out : float
        1 where the class with the largest output is that of the recording, else 0.
    energy : float
        Share of the energy that is kept.

    See Also
    --------
    hear : Finds it.

    Examples
    --------
    >>> heard = dftlrp.metrics.Heard(0.9, 0.8, 0.1, 1.0, 0.0, 0.2)
    >>> heard.p - heard.p_out
    0.8
    """

    p: float
    p_in: float
    p_out: float
    same_in: float
    same_out: float
    energy: float


def hear(explanation: ExplanationData, relevance: Real | None = None) -> Heard:
    """Return what the model hears of a recording through the mask of an explanation.

    Parameters
    ----------
    explanation : Explanation
        From `dftlrp.explain`, with the domain ``"time-frequency"``, or ``"time"``.
    relevance : array, optional
        Another relevance of the time-frequency cells.

    Returns
    -------
    Heard
        Probabilities of the class, and whether the class stays the same.

    Raises
    ------
    InputError
        The domain is missing, the explanation knows no model, or its outputs are no classes.

    See Also
    --------
    average_drop, average_gain, average_increase : Measures of these.
    dftlrp.Explanation.audible : The same parts as sound.

    Examples
    --------
    >>> heard = dftlrp.metrics.hear(e)
    >>> heard.p > 0.9, heard.same_in
    (True, 1.0)
    """
    samples = explanation.find_asked("time").samples
    return hear_part(explanation, keep_relevant(explanation, samples, relevance))


def hear_part(explanation: ExplanationData, kept: Real) -> Heard:
    """Return what the model hears of any part of a recording, in its shape, and of the rest.

    Raises
    ------
    InputError
        The explanation knows no model, or its outputs are no classes.
    """
    if why := find_silent_reason(explanation):
        raise InputError(f"nothing can be heard through the mask: {why}")
    asked = explanation.find_asked("time")
    x = asked.samples
    answers = _answer_parts(explanation, asked, kept)
    p = find_probabilities(answers, explanation)[:, explanation.target]
    best = answers.argmax(axis=-1)
    energy = float((kept**2).sum() / max((x**2).sum(), 1e-300))
    same_in, same_out = (float(best[i] == best[0]) for i in (1, 2))
    return Heard(float(p[0]), float(p[1]), float(p[2]), same_in, same_out, energy)


def describe_heard(explanation: ExplanationData) -> str:
    """Say in one sentence what the model makes of the sounds `resynthesis` and `complement`.

    It speaks of "this sound", `resynthesis`, and of "the rest".  Where outputs compete it names
    the probability of the class, elsewhere only the score.  Empty where there is no model to ask,
    or no sound.
    """
    if "waveform" not in explanation.asked or "time" not in explanation.relevance:
        return ""
    try:
        if _has_rivals(explanation):
            return _describe_class_heard(explanation)
        return _describe_scores(explanation)
    except DftlrpError as error:
        return f"The model has no answer to these sounds alone: {error}."


def find_probabilities(answers: Real, explanation: ExplanationData) -> Real:
    """Return probabilities (B, classes) from explained outputs (B, classes).

    They are those of the model's own last Sigmoid, if there was one, and else of a Softmax.
    """
    if _has_sigmoid(explanation):
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-answers)))
    raised = np.exp(answers - answers.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def find_silent_reason(explanation: ExplanationData) -> str:
    """Return why nothing can be said about classes in sound; empty where something can."""
    if not isinstance(explanation.target, int) or explanation.target < 0:
        return "the target is no class"
    if explanation.explained.ndim != 1 or len(explanation.explained) < 2:
        return "the output is no list of classes"
    if not explanation.labels and np.array_equal(explanation.explained, explanation.output):
        return "nothing says that the outputs are classes: no labels, no Softmax or Sigmoid"
    return ""


def _has_sigmoid(explanation: ExplanationData) -> bool:
    """Return whether the model's output is the sigmoid of what is explained."""
    z, own = np.asarray(explanation.explained, float), np.asarray(explanation.output, float)
    with np.errstate(over="ignore"):
        return own.shape == z.shape and np.allclose(own, 1 / (1 + np.exp(-z)), atol=1e-4)


def _has_rivals(explanation: ExplanationData) -> bool:
    """Return whether the target is one of several classes of which one is right."""
    return not find_silent_reason(explanation) and not _has_sigmoid(explanation)


def _answer_parts(explanation: ExplanationData, asked: Asked, kept: Real) -> Real:
    """Return the explained output of the recording, the kept part and the rest, (3, classes)."""
    parts = bring_to_level(asked.samples, kept)
    # One by one: a graph for one recording is traced sooner than one for any number.
    found = [np.ravel(asked.answer(part[None])) for part in parts]
    return np.stack([np.asarray(explanation.explained, found[0].dtype), *found])


def bring_to_level(x: Real, kept: Real) -> Real:
    """Return the kept part and the rest, (2, ...), as loud as the whole."""
    return np.stack([_match_level(kept, x), _match_level(x - kept, x)])


def _match_level(part: Real, whole: Real) -> Real:
    """Return a part as loud as the whole; silence stays silence."""
    has, had = np.sqrt((part**2).sum()), np.sqrt((whole**2).sum())
    return np.asarray(part * (had / has) if has > 1e-9 * had else part)


def _describe_class_heard(e: ExplanationData) -> str:
    """Say whether the class is still heard in the kept part, and no longer in the rest."""
    asked = e.find_asked("time")
    answers = _answer_parts(e, asked, keep_relevant(e, asked.samples))
    chosen, name = answers.argmax(axis=-1) == e.target, f"“{e.label}”"
    whole, kept, rest = (
        _format_probability(float(p)) for p in find_probabilities(answers, e)[:, e.target]
    )
    if not chosen[0]:
        return (
            f"The model gives {name} {whole} in the recording, {kept} in this sound and {rest} in "
            "the rest."
        )
    return {
        (True, False): f"The model still hears {name} in this sound ({kept}), and no longer in the "
        f"rest ({rest}).",
        (True, True): f"The model still hears {name} in this sound ({kept}), but in the rest as "
        f"well ({rest}): this sound does not hold all that speaks for it.",
        (False, False): f"The model hears {name} neither in this sound alone ({kept}) nor in the "
        f"rest ({rest}).",
        (False, True): f"The model no longer hears {name} in this sound ({kept}), but still in the "
        f"rest ({rest}): this sound misses what the model uses.",
    }[bool(chosen[1]), bool(chosen[2])]


def _describe_scores(e: ExplanationData) -> str:
    """Say the score of the recording, of the kept part and of the rest."""
    asked = e.find_asked("time")
    x = asked.samples
    parts = bring_to_level(x, keep_relevant(e, x))
    whole, kept, rest = (format_number(float(v)) for v in asked.score(np.stack([x, *parts])))
    what = "lead" if name_seed(e)[0] == "contrast" else "score"
    return (
        f"The {what} of “{e.label}” is {whole} in the recording, {kept} in this sound and {rest} "
        "in the rest."
    )


def _format_probability(p: float) -> str:
    """Round to two digits, but a little not to nothing nor almost all to all."""
    if p < 0.005:
        return "below 0.01"
    return "above 0.99" if p > 0.995 else f"{p:.2f}"
