"""`explain_array`: an explanation of what a model reads, where there is no recording behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.attribution.attribute import make_attribution
from dftlrp.attribution.methods import answer_by, list_facts_of, make_point, read_method
from dftlrp.attribution.score import make_asked
from dftlrp.attribution.targets import name_target
from dftlrp.core.types import InputError, Real
from dftlrp.engine.forward import check_inputs
from dftlrp.engine.model import Model
from dftlrp.engine.settings import Question, Settings
from dftlrp.results.explanation import Explanation
from dftlrp.results.views import INPUT


def explain_array(
    model: Model, array: Real, settings: Settings, question: Question, method: str = "lrp"
) -> Explanation:
    """Return the explanation of an array in the one domain ``"input"``, with its score.

    Parameters
    ----------
    array : array
        What the model reads, without a batch axis: features of a recording, levels, anything.
    settings, question
        As of `dftlrp.attribute`; a reference in the shape of the array, by the signal's name.

    Raises
    ------
    InputError
        The model reads several signals, the method has no multipliers, and as of
        `dftlrp.attribute`.
    """
    by, plan = read_method(method), model.plan(settings.output, settings.bind)
    if len(plan.signals) != 1 or by.kind.value:
        why = f"method {by.name!r}" if by.kind.value else f"several signals, {list(plan.signals)}"
        raise InputError(f"{model.path}: {why}: only one array can be explained, by multipliers")
    (name,) = plan.signals
    chosen = by.choose_rules(settings)
    given = isinstance(chosen.reference, dict)
    by.refuse(question, given)
    inputs = check_inputs(plan, {name: array[None]}, np.dtype(np.float64))
    point = make_point(model, inputs, chosen, question)
    result = make_attribution(question, answer_by(by, point), named=True, method=str(by))
    index, label = name_target(result, model.labels)
    words = "the one given" if given else ""
    by_name: Any = result.relevance
    return Explanation(
        signal={INPUT: array},
        relevance={INPUT: np.asarray(by_name[name], np.float64)[0]},
        axes={INPUT: tuple(map(np.arange, array.shape))},
        rest={INPUT: 0.0},
        rate=1.0,
        target=index,
        label=label,
        labels=model.labels,
        output=_drop_batch(result.output),
        explained=_drop_batch(result.explained),
        ledger=result.ledger,
        stft={},
        notes=result.notes,
        provenance={"method": result.method, **list_facts_of(by, point, words)},
        asked={INPUT: make_asked(model, chosen, point.coefficients, array)},
    )


def _drop_batch(output: Real) -> Real:
    """Return an output without its batch axis; some models give numbers without one."""
    return output[0] if output.ndim > 1 else output
