"""What ``"auto"`` and None stand for: composite, seed, reference and backend that are taken.

Each default that depends on the model or its input is decided here and nowhere else, by one
function from what is known to a `Choice`, which also says why.  To take another default for another
kind of model, add a line to that function.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.types import (
    AnyArray,
    InputError,
    UnfitReferenceError,
    UnsupportedModelError,
)
from dftlrp.engine.cache import Recent
from dftlrp.engine.composites import Composite, find_composite
from dftlrp.engine.difference import find_moving
from dftlrp.engine.gates import THROUGH
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, NONE, SILENCE, Settings

FAST, REFERENCE = "onnx", "numpy"
GIVEN = "the reference given"
WORDS = (AUTO, NONE, SILENCE)
BARE = (
    "the default where neither a Softmax nor labels say that the outputs compete: if they do, ask "
    "for contrast"
)
PRODUCTS = ("MatMul", "Einsum", "Mul", "Gemm")
T = TypeVar("T")


class Choice(NamedTuple, Generic[T]):
    """What is taken, and why; no reason where it was asked for by name."""

    taken: T
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.taken}, {self.reason}" if self.reason else f"{self.taken}"


FIRST: Choice[str | Backend] = Choice(FAST, "the default")


class Kind(NamedTuple):
    """A kind of model, and what is taken for it.

    Attributes
    ----------
    name : str
        As in "the default for ...".
    composite, reference : str
    figure : str
        What speaks for the composite and the reference, measured: docs/explanation/rightness.md.
    """

    name: str
    composite: str
    reference: str
    figure: str = ""


ATTENTION = Kind(
    "attention on what the model reads", "AttnLRP", NONE,
    "when parts are silenced its gain was 1.06, against silence 0.94",
)  # fmt: skip
TOKENS = Kind("a model that reads whole numbers", "EpsilonGamma", NONE)
OTHERS = Kind(
    "most models", "EpsilonGamma", SILENCE,
    "when parts are silenced, clearly better than loudness in 26 of 37 cases, worse in none",
)  # fmt: skip


def find_kind(plan: Plan) -> Kind:
    """Return the kind of a model, on which its defaults depend.

    docs/explanation/rightness.md has the figures by which they were chosen.
    """
    if not all(value.is_float for value in plan.signals.values()):
        return TOKENS
    return ATTENTION if has_attention(plan) and not has_levels(plan) else OTHERS


def has_levels(plan: Plan) -> bool:
    """Return whether a logarithm of the signal is taken: by a front end, or in the graph."""
    moving = find_moving(plan)
    return any(n.op == "Log" and n.inputs[0] in moving for n in plan.nodes)


def has_attention(plan: Plan) -> bool:
    """Return whether a Softmax inside the model reads a product of two values that move."""
    moving, made = find_moving(plan), {node.output: node for node in plan.nodes}
    inside = [n for n in plan.nodes if n.op == "Softmax" and n.inputs[0] != plan.explained]
    waiting = [n.inputs[0] for n in inside]
    for name in waiting:  # grows while it is walked
        node = made.get(name)
        if node is None or name not in moving:
            continue
        inputs = [i for i in node.inputs if i in moving]
        if node.op in PRODUCTS and len(set(inputs)) == 2:
            return True
        if node.op in THROUGH:
            waiting += [i for i in inputs if i not in waiting]
    return False


def choose_composite(settings: Settings, plan: Plan) -> Choice[Composite]:
    """Return the composite asked for, or the default for this model.

    Raises
    ------
    InputError
        Unknown preset.
    """
    if settings.composite != AUTO:
        return Choice(find_composite(settings.composite))
    kind = find_kind(plan)
    if settings.reference is not None and kind.reference == NONE:
        return Choice(find_composite(OTHERS.composite), "the default against a reference")
    why = f" ({kind.figure})" if kind.figure else ""
    return Choice(find_composite(kind.composite), f"the default for {kind.name}{why}")


def choose_reference(settings: Settings, plan: Plan) -> Choice[str]:
    """Return the reference that ``"auto"`` means: none beside a composite that was asked for."""
    if settings.composite != AUTO:
        return Choice(NONE)
    kind = find_kind(plan)
    return Choice(kind.reference, f"the default for {kind.name}")


def choose_seed(
    asked: str, plan: Plan, shape: Sequence[int], labels: Sequence[str] = ()
) -> Choice[str]:
    """Return the kind of seed asked for, or the default for this output.

    Parameters
    ----------
    shape : sequence of int
        Of the explained output, batch first.
    labels : sequence of str
        Names of the classes, where there are some.
    """
    if asked != AUTO:
        return Choice(asked)
    dims = plan.graph.outputs[plan.output].dims
    open_end = dims is None or dims[-1:] == (None,)  # such an axis holds frames, not classes
    one_axis = len([n for n in shape[1:] if n != 1]) == 1 and shape[-1] > 1
    if open_end or not one_axis or plan.stripped == "Sigmoid":
        return Choice("logit", "the default where the outputs are not rival classes")
    if plan.stripped:
        return Choice("contrast", f"the default for a classifier, which a {plan.stripped} ends")
    if len(labels) == shape[-1]:
        return Choice("contrast", "the default for a classifier, since its outputs have labels")
    return Choice("logit", BARE)


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


def answer_by_reference(
    settings: Settings, plan: Plan, answer: Callable[[Settings], T], unfit: Unfit | None = None
) -> tuple[T, Choice[str]]:
    """Return an answer, and what the input is compared with.

    Where that is left open and silence is no point that this model can be compared at, nothing is.

    Parameters
    ----------
    answer : callable
        From settings whose reference is an array or None to the answer.
    unfit : Unfit, optional
        Remembers why silence is none, where that is so whatever the input is.
    """
    if settings.reference != AUTO:
        return answer(settings), Choice(_tell_reference(settings.reference))
    chosen, plain = choose_reference(settings, plan), replace(settings, reference=None)
    if chosen.taken == NONE:
        return answer(plain), chosen
    reason = unfit.find() if unfit else None
    if reason is None:
        try:
            return answer(replace(settings, reference=find_silence(plan), by_default=True)), chosen
        except UnfitReferenceError as error:
            reason = str(error).removesuffix(": choose another reference")
            if unfit and error.always:
                unfit.keep(reason)
    return answer(plain), Choice(NONE, f"since {reason}")


@dataclass(frozen=True, eq=False)
class Unfit:
    """Why a model cannot be compared with silence, for inputs of some shapes.

    Attributes
    ----------
    known : Recent of str
        What the model keeps of it.
    key : hashable
        Output, settings and shapes.
    """

    known: Recent[str]
    key: Hashable

    def find(self) -> str | None:
        """Return the reason, if it is known."""
        return self.known.get(self.key)

    def keep(self, reason: str) -> None:
        """Remember the reason."""
        self.known.put(self.key, reason)


def find_silence(plan: Plan) -> dict[str, AnyArray]:
    """Return zeros for every signal."""
    return {name: np.zeros(1) for name in plan.signals}


def name_reference(reference: Any, plan: Plan) -> dict[str, AnyArray] | str | None:
    """Return a reference by the name of the signal; ``"auto"`` as it is.

    Raises
    ------
    InputError
        It is an unknown word, or one array for several signals.
    """
    if reference is None or isinstance(reference, Mapping):
        return None if reference is None else dict(reference)
    if isinstance(reference, str):
        if reference not in WORDS:
            told = ", ".join(map(repr, WORDS))
            raise InputError(f"reference {reference!r}: give an array or one of {told}")
        return find_silence(plan) if reference == SILENCE else AUTO if reference == AUTO else None
    if len(plan.signals) != 1:
        names = list(plan.signals)
        raise InputError(f"the model reads {names}: give the reference as a dict by input name")
    try:
        return {next(iter(plan.signals)): np.asarray(reference)}
    except ValueError:  # rows of different lengths
        raise InputError("the reference is no array: give one, or a dict by input name") from None


def settle_reference(
    asked: Mapping[str, AnyArray] | str | None, taken: str, plan: Plan
) -> Mapping[str, AnyArray] | None:
    """Return the reference that was asked for, or the one that ``"auto"`` took."""
    if not isinstance(asked, str):
        return asked
    return find_silence(plan) if taken == SILENCE else None


def _tell_reference(reference: Mapping[str, AnyArray] | str | None) -> str:
    """Return what a reference is in a word."""
    if reference is None:
        return NONE
    silent = not isinstance(reference, str) and not any(map(np.any, reference.values()))
    return SILENCE if silent else GIVEN
