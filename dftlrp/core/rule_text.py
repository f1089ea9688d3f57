"""Rules as data, and as the text that users write: ``"zplus"``, ``"gamma(0.1, split=0)"``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import signature

from dftlrp.core.conventions import CONVENTIONS
from dftlrp.core.names import match_name, suggest
from dftlrp.core.rules import FUNCTIONS, OPTIONS
from dftlrp.core.sharing import Call, Options, Share
from dftlrp.core.types import InputError

# options by name only
SWITCHES = {"bias": (0, 1, 2), "split": (0, 1), "at_zero": (0, 1), "relative": (0, 1)}
TEXT = re.compile(r"\s*(?:(\w+)\.)?(\w+)\s*(?:\((.*)\))?\s*")  # library.name(numbers)


@dataclass(frozen=True)
class Rule:
    """A rule by its name, with numbers that differ from the defaults.

    Raises
    ------
    InputError
        There is no such number, or the rule is not defined for it.
    """

    name: str
    params: tuple[tuple[str, float], ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse names and numbers that the rule does not have."""
        known = list_parameters(self.name)
        if unknown := sorted(dict(self.params).keys() - known):
            raise InputError(
                f"rule {self.name} has no parameter {unknown}: it {_list_as_text(self.name)}"
            )
        _refuse_numbers(self.name, {**known, **dict(self.params)})

    def __call__(self, call: Call) -> Share:
        """Return how the relevance of a layer is shared among its inputs."""
        own = {k: v for k, v in self.params if k not in OPTIONS[self.name]}
        options = {k: v for k, v in self.params if k in OPTIONS[self.name]}
        return FUNCTIONS[self.name](call._replace(options=Options(**options)), **own)

    def with_numbers(self, numbers: Mapping[str, float]) -> Rule:
        """Return the rule with those of the numbers that it takes."""
        own = {k: v for k, v in numbers.items() if k in OPTIONS[self.name]}
        return Rule(self.name, tuple((dict(self.params) | own).items()))

    @property
    def modifies_weights(self) -> bool:
        """Whether it needs weights to modify; a transform has none."""
        return self.name not in {"epsilon", "pass", "gradient"}

    @property
    def on_tangent(self) -> bool:
        """Whether it asks for the true tangent of every layer, not the map relevance uses."""
        return self.name == "gradient"

    def __str__(self) -> str:
        inner = ", ".join(f"{k}={shorten_number(v)}" for k, v in self.params)
        return f"{self.name}({inner})" if inner else self.name


def read_rule(text: str | Rule, /, **params: float) -> Rule:
    """Return a rule from its text.

    Parameters
    ----------
    text : str or Rule
        ``"zplus"``, ``"gamma(0.1)"``, or another library's name as ``"captum.GammaRule(0.1)"``; a
        rule is returned as it is.
    **params : float
        Numbers by name, beside those in the text.

    Raises
    ------
    InputError
        Unknown name or parameter, or a number that the rule is not defined for; the message says
        what there is.
    """
    if isinstance(text, Rule):
        return text
    match = TEXT.fullmatch(str(text))
    library, name = (match[1], match[2]) if match else (None, "")
    known = CONVENTIONS.get(library, {}) if library else dict.fromkeys(FUNCTIONS, name)
    found = match_name(name, known) if match else None
    if match is None or found is None:
        there = list(known or FUNCTIONS)
        alike = suggest(name or text, there)
        raise InputError(f"unknown rule {text!r}: {alike}choose one of {', '.join(there)}")
    base = read_rule(known[found]) if library else Rule(found)
    places = [k for k in list_parameters(base.name) if k not in SWITCHES]
    try:
        given = read_numbers(match[3] or "", places, params)
    except ValueError as error:
        raise InputError(
            f"{error} in rule {text!r}: {base.name} {_list_as_text(base.name)}"
        ) from None
    return Rule(base.name, tuple((dict(base.params) | given).items()))


@cache
def list_parameters(name: str) -> Mapping[str, float]:
    """Return the numbers that a rule takes, with their defaults."""
    _call, *own = signature(FUNCTIONS[name]).parameters.values()
    defaults = Options()
    return {p.name: p.default for p in own} | {k: getattr(defaults, k) for k in OPTIONS[name]}


def _list_as_text(name: str) -> str:
    """Return which numbers a rule takes, as text."""
    known = list(list_parameters(name))
    switches = [k for k in known if k in SWITCHES]
    text = f"takes {[k for k in known if k not in SWITCHES]}"
    return f"{text}, and as switches {switches}" if switches else text


def read_numbers(inner: str, places: list[str], params: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers in brackets, by place or by name, beside those given already.

    Raises
    ------
    ValueError
        A piece is no finite number or has no place, or a name is given twice.
    """
    given = dict(params)
    for position, piece in enumerate(filter(None, (p.strip() for p in inner.split(",")))):
        key, _, value = piece.rpartition("=")
        try:
            key = key.strip() or places[position]
            number = float(value)
        except (ValueError, IndexError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"bad parameter {piece!r}")
        if key in given:
            raise ValueError(f"parameter {key!r} is given twice")
        given[key] = number
    return given


def _refuse_numbers(name: str, p: Mapping[str, float]) -> None:
    """Refuse numbers that a rule is not defined for."""
    for switch, values in SWITCHES.items():
        if p.get(switch, 1) not in values:
            raise InputError(f"rule {name}: {switch} must be one of {values}, not {p[switch]:g}")
    if negative := [k for k in ("epsilon", "gamma", "alpha", "beta") if p.get(k, 0) < 0]:
        raise InputError(f"rule {name}: {negative[0]} must be >= 0, not {p[negative[0]]:g}")
    if name == "alpha_beta" and abs(p["alpha"] - p["beta"] - 1) > 1e-9:
        raise InputError(f"alpha_beta needs alpha - beta = 1, not {p['alpha']:g} - {p['beta']:g}")
    if name == "zbox" and p["low"] > p["high"]:
        raise InputError(f"zbox needs low <= high, not {p['low']:g} and {p['high']:g}")


def shorten_number(number: float) -> str:
    """Return the shortest text that gives the number back."""
    return repr(float(number)).removesuffix(".0")
