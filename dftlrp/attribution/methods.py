"""The table of methods: what `explain` can compute beside the rules of LRP, by name.

A method is written as a rule is: its name, with numbers in brackets where they are not the
defaults, as in ``"integrated-gradients(steps=64)"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.batches import Arrays, Point
from dftlrp.attribution.games import average_orders, compare_halves, leave_one_out
from dftlrp.attribution.gradients import average_on_the_way, average_over_noise, count_up
from dftlrp.attribution.perturbation import value_views
from dftlrp.core.ledger import Ledger
from dftlrp.core.names import find_name
from dftlrp.core.rule_text import read_numbers, shorten_number
from dftlrp.core.types import InputError, Real
from dftlrp.engine.auto import settle_reference
from dftlrp.engine.backward import Answer
from dftlrp.engine.model import Model
from dftlrp.engine.settings import AUTO, NONE, SILENCE, Question, Settings
from dftlrp.results.data import Asked, View, Waveform
from dftlrp.tracing.answers import answer

LRP, GRADIENT = "lrp", "gradient"
TEXT = re.compile(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*")  # name(numbers)
MOST = 10**6  # points, copies, permutations or masks


class Kind(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    numbers : dict of str to float
        What it takes, with the defaults; whole numbers but for those in `FRACTIONS`.
    run : callable, optional
        From a `Point` and the numbers, in their order, to the answer; None: the answer at the
        point is all.
    by_rules : bool
        Whether it takes the rules of LRP; otherwise its multipliers are gradients.
    compares : bool
        Whether the score is compared with that at a reference.
    value : callable, optional
        Of a method that replaces parts of the recording: from a `Game` and the numbers but for
        ``count``, that of units, to the values of the players.
    """

    numbers: dict[str, float]
    run: Callable[..., Answer] | None = None
    by_rules: bool = False
    compares: bool = True
    value: Callable[..., Real] | None = None


UNITS = {"count": 0.0}  # in one channel; 0: as many as evaluations take
FRACTIONS = ("sigma",)
METHODS = {
    LRP: Kind({"path": 0}, average_on_the_way, by_rules=True),
    GRADIENT: Kind({}),
    "integrated-gradients": Kind({"steps": 32}, average_on_the_way),
    "smoothgrad": Kind({"samples": 32, "sigma": 0.3}, average_over_noise, compares=False),
    "occlusion": Kind(UNITS, value=leave_one_out),
    "shapley": Kind({"orders": 8, **UNITS}, value=average_orders),
    "rise": Kind({"masks": 1000, **UNITS}, value=compare_halves),
}


@dataclass(frozen=True)
class Method:
    """A method by its name, and all of its numbers."""

    name: str = LRP
    numbers: tuple[tuple[str, float], ...] = (("path", 0),)

    @property
    def kind(self) -> Kind:
        """Its row of the table."""
        return METHODS[self.name]

    @property
    def is_single(self) -> bool:
        """Whether one pass back at the input itself is all, so that every layer has an account."""
        return not (self.kind.run or self.kind.value) or dict(self.numbers).get("path") == 0

    def refuse(self, question: Question, reference: bool) -> None:
        """Refuse conditions where a method knows no layers, and a reference where it has none.

        Raises
        ------
        InputError
            There are conditions, or something is asked to be compared with.
        """
        if reference and not self.kind.compares:
            raise InputError(
                f"method {self.name!r} compares with nothing: take another method, or no reference"
            )
        if self.kind.value and question.masks:
            raise InputError(
                f"method {self.name!r} knows no layers, so that relevance cannot go through some: "
                "take a method that has rules or gradients"
            )

    def choose_rules(self, settings: Settings) -> Settings:
        """Return the settings with the rules that the method takes.

        Raises
        ------
        InputError
            Rules are given to a method that has none.
        """
        if self.kind.by_rules:
            return settings
        if settings.composite != AUTO or settings.overrides:
            what = "a composite" if settings.composite != AUTO else "rules of layers"
            raise InputError(f"method {self.name!r} takes no {what}: that belongs to method 'lrp'")
        return replace(settings, composite="Gradient")

    @property
    def arguments(self) -> list[float]:
        """Its numbers in the order of the table, whole ones as integers."""
        return [v if k in FRACTIONS else int(v) for k, v in self.numbers]

    def __str__(self) -> str:
        shown = [f"{k}={shorten_number(v)}" for k, v in self.numbers if v]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


def read_method(text: str | Method) -> Method:
    """Return a method from its text.

    Raises
    ------
    InputError
        There is no such method or number, or the number is out of range.
    """
    if isinstance(text, Method):
        return text
    match = TEXT.fullmatch(str(text))
    name = find_name(match[1] if match else str(text), METHODS, "unknown method")
    if match is None:
        raise InputError(f"unknown method {text!r}: write it as {name}, or as {name}(...)")
    known = METHODS[name].numbers
    takes = f"takes {', '.join(known)}" if known else "takes no numbers"
    try:
        given = read_numbers(match[2] or "", list(known), {})
    except ValueError as error:
        raise InputError(f"{error} in method {text!r}: {name} {takes}") from None
    if unknown := [k for k in given if k not in known]:
        raise InputError(f"method {name} has no {unknown[0]!r}: it {takes}")
    for key, number in given.items():
        _refuse_number(name, key, number)
    return Method(name, tuple((known | given).items()))


def make_point(model: Model, inputs: Arrays, settings: Settings, question: Question) -> Point:
    """Return the answer to a question at an input, from which a method starts."""
    (found,) = answer(model, dict(inputs), settings, [question])
    taken = replace(
        settings, composite=found.composite.taken, backend=found.backend.taken,
        reference=settle_reference(settings.reference, found.reference.taken, found.plan),
    )  # fmt: skip
    return Point(model, inputs, taken, question, found)


def answer_by(method: Method, point: Point, keep: Collection[str] = ()) -> Answer:
    """Return the relevance of the inputs by a method, and that of values to keep.

    Raises
    ------
    InputError
        An input has no points between it and another.
    """
    if method.is_single or not method.kind.run:
        return point.answer
    if whole := [name for name, value in point.plan.signals.items() if not value.is_float]:
        raise InputError(
            f"method {method.name!r} takes points about the input, and {whole[0]!r} holds whole "
            "numbers: take 'lrp' or 'gradient'"
        )
    kept = replace(point, question=replace(point.question, keep=keep))
    return method.kind.run(kept, *method.arguments)


def value_by(
    method: Method,
    point: Point,
    w: Waveform,
    views: dict[str, View],
    asked: Mapping[str, tuple[Asked, Real]],
) -> tuple[dict[str, View], Ledger]:
    """Return domains whose units a method has valued, and the account of the first.

    Parameters
    ----------
    w, views, asked
        As of `dftlrp.attribution.perturbation.value_views`.
    """
    assert method.kind.value is not None
    numbers = dict(zip(dict(method.numbers), method.arguments, strict=True))
    count = numbers.pop("count")
    measure = partial(method.kind.value, **numbers)
    found = value_views(views, w, asked, measure, int(count) or None)
    point.tally.passes += found.passes
    first = next(iter(found.views.values()))
    return found.views, count_up(np.array(found.seed), [first.relevance])


def list_facts_of(method: Method, point: Point, reference: str = "") -> dict[str, Any]:
    """Return what there is to know of a method beside its name.

    ``reference`` is what was asked to be compared with, in words, if there is more to say.
    """
    reference = reference or point.answer.reference.taken
    if method.is_single:
        return {"reference": reference}
    compared = {"reference": SILENCE if reference == NONE else reference}
    told = compared if method.kind.compares else {}
    return {**told, "inputs that the model was run on": point.tally.passes}


def _refuse_number(name: str, key: str, number: float) -> None:
    """Refuse a number that a method is not defined for."""
    if key in FRACTIONS:
        if number <= 0:
            raise InputError(f"method {name}: {key} must be > 0, not {shorten_number(number)}")
    elif number != int(number) or not 1 <= number <= MOST:
        raise InputError(
            f"method {name}: {key} must be a whole number from 1 to {MOST}, "
            f"not {shorten_number(number)}"
        )
