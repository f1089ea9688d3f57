"""What ``"auto"`` and None stand for: the composite, the seed and the backend that are taken.

Each default that depends on the model or its input is decided here and nowhere else, by one
function from what is known to a `Choice`, which also says why.  To take another default for another
kind of model, add a line to that function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.engine.composites import Composite, find_composite
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, Settings

FAST, REFERENCE = "onnx", "numpy"
T = TypeVar("T")


class Choice(NamedTuple, Generic[T]):
    """What is taken, and why; no reason where it was asked for by name."""

    taken: T
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.taken}, {self.reason}" if self.reason else f"{self.taken}"


FIRST: Choice[str | Backend] = Choice(FAST, "the default")


def choose_composite(
    settings: Settings, plan: Plan, values: Mapping[str, AnyArray]
) -> Choice[Composite]:
    """Return the composite asked for, or the default for this model and input.

    Parameters
    ----------
    values : dict of str to array
        The signals; behind a front end also the value that the model itself reads.

    Raises
    ------
    InputError
        Unknown preset.
    """
    if settings.composite != AUTO:
        return Choice(find_composite(settings.composite))
    name, reason = _default_composite(settings, plan, values)
    return Choice(find_composite(name), reason)


def _default_composite(
    settings: Settings, plan: Plan, values: Mapping[str, AnyArray]
) -> Choice[str]:
    """Return the name of the default composite."""
    if settings.waveform and not plan.graph.reads:
        return Choice("EpsilonAlpha2Beta1", "the default for a waveform")
    read = [values[name] for name in ([plan.graph.reads] if plan.graph.reads else plan.signals)]
    if all(a.min(initial=0) >= 0 and a.any() for a in read):
        return Choice("EpsilonPlus", "the default where the model reads no negative numbers")
    return Choice("EpsilonAlpha2Beta1", "the default where the model reads numbers of both signs")


def choose_seed(asked: str, plan: Plan, shape: Sequence[int]) -> Choice[str]:
    """Return the kind of seed asked for, or the default for this output.

    Parameters
    ----------
    shape : sequence of int
        Of the explained output, batch first.
    """
    if asked != AUTO:
        return Choice(asked)
    dims = plan.graph.outputs[plan.output].dims
    open_end = dims is None or dims[-1:] == (None,)  # such an axis holds frames, not classes
    one_axis = len([n for n in shape[1:] if n != 1]) == 1 and shape[-1] > 1
    if open_end or not one_axis or plan.stripped == "Sigmoid":
        return Choice("logit", "the default where the outputs are not rival classes")
    return Choice("contrast", "the default for a classifier")


def choose_backend(settings: Settings) -> Choice[str | Backend]:
    """Return the backend asked for, or the one to try first."""
    if settings.backend is not None:
        return Choice(settings.backend)
    if settings.dtype is not None and settings.floats != np.float32:
        return Choice(REFERENCE, f"since {FAST} computes in float32")
    return FIRST


def answer_by_backend(
    settings: Settings, answer: Callable[[Settings], T]
) -> tuple[T, Choice[str | Backend]]:
    """Return an answer, and the backend that gave it.

    Where no backend is asked for and the model cannot be traced into a graph, NumPy answers.

    Parameters
    ----------
    answer : callable
        From settings that name a backend to the answer.
    """
    chosen = choose_backend(settings)
    try:
        return answer(replace(settings, backend=chosen.taken)), chosen
    except UnsupportedModelError as error:
        if chosen is not FIRST:
            raise
        reason = f"since {str(error).removesuffix(f': use backend={REFERENCE!r}')}"
        return answer(replace(settings, backend=REFERENCE)), Choice(REFERENCE, reason)
