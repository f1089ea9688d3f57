"""Laws of what a model is said to hear in the parts of a recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explanations import explanation, two_tones

import dftlrp
from dftlrp.core.types import InputError, NonFiniteError
from dftlrp.results.data import Asked
from dftlrp.results.heard import describe_heard, hear
from dftlrp.results.masking import keep_relevant
from dftlrp.results.report import render

X = two_tones()  # the low tone in the first half supports "seven", the high one opposes it


def seven(size):
    """An explanation of a model that answers "two" with 3, and "seven" with 6 times a size.

    The size is a function of the shares of the level in the first and in the second half.
    """

    def answer(signals):
        low, high = (np.linalg.norm(s, axis=-1) / np.linalg.norm(signals, axis=-1)
                     for s in np.split(signals, 2, axis=-1))  # fmt: skip
        z = np.zeros((len(signals), 10))
        z[:, 2], z[:, 7] = 3.0, 6 * size(low, high)
        return z

    def score(signals):
        return answer(signals)[:, 7]

    z = answer(X[None])[0]
    return explanation(asked={"waveform": Asked(X, score, answer)}, explained=z, output=z)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (lambda low, high: low,
         "still hears “seven” in this sound (0.93), and no longer in the rest (0.06)."),
        (lambda low, high: low + high,
         "still hears “seven” in this sound (0.93), but in the rest as well (0.96): this"),
        (lambda low, high: low * high * 2,
         "hears “seven” neither in this sound alone (0.03) nor in the rest (0.09)."),
        (lambda low, high: high,
         "no longer hears “seven” in this sound (0.03), but still in the rest (0.93): this"),
        (lambda low, high: low / 2,
         "gives “seven” 0.23 in the recording, 0.42 in this sound and 0.04 in the rest."),
    ],
)  # fmt: skip
def test_one_sentence_says_where_the_class_is_still_heard(size, said):
    assert f"The model {said}" in describe_heard(seven(size))


def test_both_parts_are_asked_about_at_the_level_of_the_recording_and_nothing_else_is():
    seen = []
    e = seven(lambda low, high: low)
    asked = e.asked["waveform"]
    spy = Asked(X, asked.score, lambda signals: seen.append(signals) or asked.answer(signals))
    heard = hear(replace(e, asked={"waveform": spy}))
    kept, rest = np.concatenate(seen)  # two passes; the answer to the recording is known
    np.testing.assert_allclose(np.linalg.norm([kept, rest], axis=1), np.linalg.norm(X))
    own = keep_relevant(e, X)
    np.testing.assert_allclose(kept / np.linalg.norm(kept), own / np.linalg.norm(own), atol=1e-12)
    assert (heard.same_in, heard.same_out) == (1, 0)
    assert heard.energy == pytest.approx((own**2).sum() / (X**2).sum())


def test_where_nothing_competes_only_the_score_is_said():
    e = seven(lambda low, high: low)
    told = "“seven” is 4.24 in the recording, 6 in this sound and 0.5"
    for changed in (
        {"target": -1},
        {"labels": ()},
        {"output": 1 / (1 + np.exp(-e.explained))},
    ):
        sentence = describe_heard(replace(e, **changed))
        assert sentence.startswith(f"The score of {told}")
    lead = replace(e, target=-1, provenance={"seed": "contrast"})
    assert describe_heard(lead).startswith("The lead of “seven” is ")


def test_a_part_that_the_model_has_no_answer_to_is_said():
    def fail(signals):
        raise NonFiniteError("the output is nan")

    e = replace(seven(lambda low, high: low), asked={"waveform": Asked(X, fail, fail)})
    assert describe_heard(e) == "The model has no answer to these sounds alone: the output is nan."


def test_without_a_model_nothing_is_said_and_the_page_is_whole():
    assert describe_heard(explanation()) == ""
    assert '<strong class="told"' not in render([explanation()])
    page = render([seven(lambda low, high: low)])
    assert "The model still hears “seven” in this sound (0.93)" in page
    with pytest.raises(InputError, match="loaded from a file and knows no model"):
        hear(explanation())


def test_the_embedded_model_hears_its_class_through_the_mask_and_not_in_the_rest():
    e = dftlrp.explain(
        dftlrp.embedded("waveform"), dftlrp.embedded("clip"), composite="EpsilonGamma",
        reference="silence",
    )  # fmt: skip
    heard = dftlrp.metrics.hear(e)
    assert (heard.same_in, heard.same_out) == (1, 0)
    assert heard.p_in > 0.9 > 0.1 > heard.p_out
    assert describe_heard(e).startswith("The model still hears “seven” in this sound (")
