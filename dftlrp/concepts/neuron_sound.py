"""What is left of a class and of a neuron in the sound that is played for the neuron.

The sound is the part S (M Y) of a recording that the mask M of the neuron's relevance keeps; the
rest is S ((1 - M) Y), as in `dftlrp.results.masking`.  Both are brought to the level of the
recording, and the model reads them.  Neither number says anything without the other: a mask that
keeps all has the class in its sound, and one that keeps nothing has it in the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dftlrp.attribution.waveform import find_waveform
from dftlrp.concepts.conditions import Concepts
from dftlrp.concepts.study import Study
from dftlrp.core.types import AnyArray, DftlrpError, Real
from dftlrp.engine.model import Model
from dftlrp.engine.settings import Settings
from dftlrp.results.data import ExplanationData
from dftlrp.results.heard import bring_to_level
from dftlrp.results.masking import keep_relevant
from dftlrp.tracing.parts import compute_value


class Survival(NamedTuple):
    """What is left in the sound of a neuron, and in the rest of the recording.

    ``class_in``, ``class_out``: 1 where the largest output is still that of the recording, else 0;
    ``active_in``, ``active_out``: the positive activation of the neuron, summed over positions, as
    a share of that in the recording.  NaN where the model has no answer to a part, or the neuron is
    not active.
    """

    class_in: float
    class_out: float
    active_in: float
    active_out: float


SENTENCES = {
    (1.0, 0.0): "The model gives the same answer for this sound, and no longer for the rest.",
    (1.0, 1.0): "The model gives the same answer for this sound, but for the rest as well.",
    (0.0, 0.0): "The model gives the same answer neither for this sound nor for the rest.",
    (0.0, 1.0): "The model gives another answer for this sound, and the same for the rest.",
}


def describe_survival(found: Survival) -> str:
    """Say in one or two sentences what is left; empty where nothing is known."""
    said = SENTENCES.get((found.class_in, found.class_out), "")
    if np.isnan([found.active_in, found.active_out]).any():
        return said
    kept, rest = (f"{100 * share:.0f} %" for share in (found.active_in, found.active_out))
    own = f"The neuron is {kept} as active in it as in the recording, and {rest} in the rest."
    return f"{said} {own}".strip()


def measure_survival(
    model: Model, study: Study, concepts: Concepts, concept: int, e: ExplanationData
) -> Survival:
    """Return what is left in the sound of a neuron, from the explanation of its relevance."""
    asked = e.find_asked("time")
    parts = bring_to_level(asked.samples, keep_relevant(e, asked.samples))
    best, nothing = int(np.argmax(e.explained)), float("nan")
    try:
        same = [float(int(np.argmax(z)) == best) for z in asked.answer(parts)]
    except DftlrpError:
        same = [nothing, nothing]
    try:
        heard = [asked.samples, *parts]
        whole, *left = _measure_activations(model, study, concepts, concept, heard)
    except DftlrpError:
        whole, left = 0.0, [nothing, nothing]
    shares = [float(a / whole) if whole > 0 else nothing for a in left]
    return Survival(*same, *shares)


def _measure_activations(
    model: Model, study: Study, concepts: Concepts, concept: int, recordings: Sequence[Real]
) -> list[float]:
    """Return the positive activation of a neuron, summed over positions, of each."""
    place = find_waveform(model.plan(study.output, study.bind), recordings[0])
    plain = Settings(study.output, study.bind, study.composite, study.overrides, study.backend)
    values = (compute_value(model, place.to_input(x), plain, concepts.value) for x in recordings)
    each: Iterator[AnyArray] = (concepts.per_concept(value)[0, concept] for value in values)
    return [float(np.maximum(own, 0).sum()) for own in each]
