r"""The rules: how an affine map shares the relevance of its output among its inputs.

Every rule but `passing` and `gradient` is a sum of *shares*, each with one denominator:

.. math::
    z = \sum_t A_t x_t + b, \qquad s = R / \mathrm{stab}(z), \qquad
    R_i = \sum_t x_t \odot A_t^T s

where the terms :math:`(A_t, x_t)` are the map with modified weights on modified inputs,
and :math:`\mathrm{stab}(z) = z + \epsilon\,\mathrm{sgn}(z)` with :math:`\mathrm{sgn}(0) = +1`
(zennit's convention).  Where :math:`x_t = d_t \odot x` with a 0/1 mask :math:`d_t`, the
*multiplier* :math:`m = \sum_t d_t \odot A_t^T s` comes for free and R = x m, also where x = 0.

Of the relevance that arrives, :math:`\sum b s` is absorbed by the bias and
:math:`\sum (\mathrm{stab}(z) - z) s` by the stabiliser.

Sources: Bach et al. 2015 (epsilon, alpha-beta), Montavon et al. 2017 (z+, z-box, w^2),
Montavon et al. 2019 (gamma), Andeol et al. 2021 (generalised gamma), Lapuschkin et al. 2019
(flat).  Numerical conventions are zennit's; switches give those of others (``docs/rules.md``):
``bias`` 1: f(b), as the weights, 0: none, 2: b as it is, in every denominator; ``split`` 1:
inputs are split by sign, 0: only weights are modified; ``at_zero`` 1: stabilised only at z = 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from inspect import signature
from typing import NamedTuple

from dftlrp.core.backend import Backend
from dftlrp.core.conventions import CONVENTIONS, numbers
from dftlrp.core.maps import Affine, Array, Arrays
from dftlrp.core.types import InputError

Terms = Callable[[], Array]
Weights = Callable[[Array], Array]  # what a rule does to weights
EPSILON = 1e-6
SWITCHES = {"bias": (0, 1, 2), "split": (0, 1), "at_zero": (0, 1)}


class Call(NamedTuple):
    """What a rule sees: never an op, only a map and arrays.

    ``y`` is the map's output at ``inputs``, computed by the same backend in the same dtype;
    ``relevance`` and ``multiplier`` (R = y m; None where unknown) are those of the output.
    """

    bk: Backend
    op: Affine
    inputs: Arrays
    y: Array
    relevance: Array
    multiplier: Array | None


@dataclass(frozen=True)
class Share:
    """What a rule gives back; ``bias`` and ``stabiliser`` are computed only when called."""

    relevance: Arrays
    multiplier: Arrays | None
    bias: Terms
    stabiliser: Terms

    def __add__(self, other: Share) -> Share:
        both = self.multiplier is not None and other.multiplier is not None
        return Share(
            _add(self.relevance, other.relevance),
            _add(self.multiplier, other.multiplier) if both else None,  # type: ignore[arg-type]
            lambda: self.bias() + other.bias(),
            lambda: self.stabiliser() + other.stabiliser(),
        )


class Term(NamedTuple):
    """A map on inputs x_t; ``masks`` d_t says x_t = d_t x.

    () stands for all ones, None for inputs that are not of that form.
    """

    op: Affine
    inputs: Arrays
    masks: Arrays | None = ()


def _add(a: Arrays, b: Arrays) -> Arrays:
    return tuple(p + q for p, q in zip(a, b, strict=True))


def _mul(a: Arrays, b: Arrays) -> Arrays:
    return tuple(p * q for p, q in zip(a, b, strict=True))


def stabiliser(bk: Backend, z: Array, eps: float, at_zero: float = 0) -> Array:
    """eps sgn(z); or where z = 0 only: eps, or for eps = 0 one, which takes what arrives there."""
    if eps and not at_zero:
        return eps if bk.nonneg(z) else 2 * eps * bk.step(z, strict=False) - eps
    return (eps or 1) * (1 - bk.step(z, strict=True) - bk.step(-z, strict=True))


def share(
    bk: Backend,
    terms: list[Term],
    bias: Array | None,
    R: Array,
    eps: float,
    at_zero: float = 0,
    z: Array | None = None,
) -> Share:
    """Share R over the terms of one denominator; ``z`` where it is known already."""
    if z is None:
        z = reduce(lambda a, b: a + b, (t.op.apply(*t.inputs) for t in terms))
        z = z if bias is None else z + bias
    guard = stabiliser(bk, z, eps, at_zero)
    s = R / (z + guard)
    shares = [t.op.adjoint(s) for t in terms]
    relevance = reduce(_add, (_mul(t.inputs, g) for t, g in zip(terms, shares, strict=True)))
    multiplier = None
    if all(t.masks is not None for t in terms):
        masked = (_mul(t.masks, g) if t.masks else g for t, g in zip(terms, shares, strict=True))
        multiplier = reduce(_add, masked)
    return Share(
        relevance, multiplier, lambda: 0 * s if bias is None else bias * s, lambda: guard * s
    )


def _terms(c: Call, f: Weights, g: Weights, split: float) -> list[Term]:
    """``f(A) x+ + g(A) x-``, the second left out where x >= 0 is known; unsplit ``f(A) x``."""
    bk, on_pos, xs = c.bk, c.op.map(f), c.inputs
    if not split:
        return [Term(on_pos, xs)]
    up = tuple(bk.step(x, strict=True) for x in xs)
    if all(map(bk.nonneg, xs)):
        return [Term(on_pos, xs, up)]
    down = tuple(bk.step(-x, strict=True) for x in xs)
    return [Term(on_pos, _mul(up, xs), up), Term(c.op.map(g), _mul(down, xs), down)]


def _bias(c: Call, f: Weights, switch: float) -> Array | None:
    """What stands for the bias in a denominator: f(b), b or nothing."""
    b = c.op.bias
    return None if b is None or not switch else b if switch == 2 else f(b)


def epsilon(c: Call, epsilon: float = EPSILON, *, bias: float = 1, at_zero: float = 0) -> Share:
    """A x + b; the bias absorbs its part.  ``epsilon=0`` is LRP-0."""
    b, z = (c.op.bias, c.y) if bias else (None, None)
    return share(c.bk, [Term(c.op, c.inputs)], b, c.relevance, epsilon, at_zero, z)


def zplus(
    c: Call, epsilon: float = EPSILON, *, bias: float = 1, split: float = 1, at_zero: float = 0
) -> Share:
    """A+ x+ + A- x- + b+: only what speaks for the output.  Without split: A+ x + b+."""
    f, g = c.bk.pos, c.bk.neg
    terms = _terms(c, f, g, split)
    return share(c.bk, terms, _bias(c, f, bias), c.relevance, epsilon, at_zero)


def alpha_beta(
    c: Call,
    alpha: float = 2.0,
    beta: float = 1.0,
    epsilon: float = EPSILON,
    *,
    bias: float = 1,
    split: float = 1,
    at_zero: float = 0,
) -> Share:
    """``alpha`` of what speaks for the output minus ``beta`` of what speaks against it.

    For: zplus.  Against: A- x+ + A+ x- + b-; without split A- x + b-.
    """
    f, g = c.bk.neg, c.bk.pos
    pro = c._replace(relevance=alpha * c.relevance)
    up = zplus(pro, epsilon, bias=bias, split=split, at_zero=at_zero)
    if not beta:
        return up
    R, terms = -beta * c.relevance, _terms(c, f, g, split)
    return up + share(c.bk, terms, _bias(c, f, bias), R, epsilon, at_zero)


def gamma(
    c: Call,
    gamma: float = 0.25,
    epsilon: float = EPSILON,
    *,
    bias: float = 1,
    split: float = 1,
    at_zero: float = 0,
) -> Share:
    """Generalised gamma: what agrees in sign with y counts 1 + gamma; y = 0 drops its relevance.

    For y > 0: (A + g A+) x+ + (A + g A-) x- + b + g b+; for y < 0 with A+, A- and b+, b- swapped.
    Without split the gamma rule of 2019, whatever the sign of y: (A + g A+) x + b + g b+.
    """
    bk = c.bk

    def plus(w: Array) -> Array:
        return w + gamma * bk.pos(w)

    def minus(w: Array) -> Array:
        return w + gamma * bk.neg(w)

    def part(f: Weights, g: Weights, R: Array) -> Share:
        return share(bk, _terms(c, f, g, split), _bias(c, f, bias), R, epsilon, at_zero)

    if not split:
        return part(plus, minus, c.relevance)
    above, below = bk.step(c.y, strict=True), bk.step(-c.y, strict=True)
    both = part(plus, minus, above * c.relevance) + part(minus, plus, below * c.relevance)
    dropped = Share(
        tuple(0 * x for x in c.inputs),
        both.multiplier and tuple(0 * x for x in c.inputs),
        lambda: 0 * c.y,
        lambda: (1 - above - below) * c.relevance,
    )
    return both + dropped


def _weights_only(c: Call, f: Weights, bias: Array | None, eps: float, at_zero: float) -> Share:
    ones = tuple(c.bk.ones_like(x) for x in c.inputs)
    return share(c.bk, [Term(c.op.map(f), ones, None)], bias, c.relevance, eps, at_zero)


def flat(c: Call, epsilon: float = EPSILON, *, at_zero: float = 0) -> Share:
    """Ones for weights and inputs, no bias: an equal share for every input of the window."""
    return _weights_only(c, c.bk.ones_like, None, epsilon, at_zero)


def wsquare(c: Call, epsilon: float = EPSILON, *, bias: float = 1, at_zero: float = 0) -> Share:
    """Squared weights on ones; the bias counts b^2."""

    def square(w: Array) -> Array:
        return w * w

    return _weights_only(c, square, _bias(c, square, bias), epsilon, at_zero)


def zbox(
    c: Call, low: float = -1.0, high: float = 1.0, epsilon: float = EPSILON, *, at_zero: float = 0
) -> Share:
    """A x - A+ low - A- high, for inputs in the box [low, high]; the bias cancels."""
    bk = c.bk
    lows = tuple(low * bk.ones_like(x) for x in c.inputs)
    highs = tuple(high * bk.ones_like(x) for x in c.inputs)
    terms = [
        Term(c.op, c.inputs),
        Term(c.op.map(lambda w: -bk.pos(w)), lows, None),
        Term(c.op.map(lambda w: -bk.neg(w)), highs, None),
    ]
    return share(bk, terms, None, c.relevance, epsilon, at_zero)


def passing(c: Call) -> Share:
    """R unchanged to the one input, which must have the output's shape."""
    if len(c.inputs) != 1 or c.inputs[0].shape != c.relevance.shape:
        raise InputError("rule 'pass' needs one input of the output's shape: choose another rule")
    return Share((c.relevance,), None, lambda: 0 * c.relevance, lambda: 0 * c.relevance)


def gradient(c: Call) -> Share:
    """Gradient x input: m = A^T m_y on the tangent map.

    The tangent's bias y - A x takes the rest.
    """
    m_y = c.multiplier
    if m_y is None:
        raise InputError(
            "rule 'gradient' needs the multiplier of its output: use it for all layers"
        )
    m = c.op.adjoint(m_y)
    bias = c.op.bias
    return Share(
        _mul(c.inputs, m), m, lambda: 0 * m_y if bias is None else bias * m_y, lambda: 0 * m_y
    )


FUNCTIONS: dict[str, Callable[..., Share]] = {
    "epsilon": epsilon,
    "zplus": zplus,
    "alpha_beta": alpha_beta,
    "gamma": gamma,
    "flat": flat,
    "wsquare": wsquare,
    "zbox": zbox,
    "pass": passing,
    "gradient": gradient,
}


def parameters(name: str) -> dict[str, float]:
    """The numbers that a rule takes, with their defaults."""
    _call, *rest = signature(FUNCTIONS[name]).parameters.values()
    return {p.name: p.default for p in rest}


def _takes(name: str) -> str:
    known = list(parameters(name))
    switches = [k for k in known if k in SWITCHES]
    text = f"takes {[k for k in known if k not in SWITCHES]}"
    return f"{text}, and as switches {switches}" if switches else text


def _check(name: str, p: Mapping[str, float]) -> None:
    """Refuse numbers for which a rule is none."""
    for switch, values in SWITCHES.items():
        if p.get(switch, 1) not in values:
            raise InputError(f"rule {name}: {switch} must be one of {values}, not {p[switch]:g}")
    if negative := [k for k in ("epsilon", "gamma", "alpha", "beta") if p.get(k, 0) < 0]:
        raise InputError(f"rule {name}: {negative[0]} must be >= 0, not {p[negative[0]]:g}")
    if name == "alpha_beta" and abs(p["alpha"] - p["beta"] - 1) > 1e-9:
        raise InputError(f"alpha_beta needs alpha - beta = 1, not {p['alpha']:g} - {p['beta']:g}")
    if name == "zbox" and p["low"] > p["high"]:
        raise InputError(f"zbox needs low <= high, not {p['low']:g} and {p['high']:g}")


def _shortest(number: float) -> str:
    """The shortest text that gives the number back."""
    return repr(float(number)).removesuffix(".0")


@dataclass(frozen=True)
class Rule:
    """A rule is data: a name and its numbers."""

    name: str
    params: tuple[tuple[str, float], ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse names and numbers that the rule does not have."""
        known = parameters(self.name)
        if unknown := sorted(dict(self.params).keys() - known):
            raise InputError(f"rule {self.name} has no parameter {unknown}: it {_takes(self.name)}")
        _check(self.name, known | dict(self.params))

    def __call__(self, call: Call) -> Share:
        """The shares of one layer's inputs."""
        return FUNCTIONS[self.name](call, **dict(self.params))

    @property
    def modifies_weights(self) -> bool:
        """Whether it needs weights to modify; a transform has none."""
        return self.name not in {"epsilon", "pass", "gradient"}

    @property
    def on_tangent(self) -> bool:
        """Whether it asks for the true tangent of every layer, not the map relevance uses."""
        return self.name == "gradient"

    def __str__(self) -> str:
        inner = ", ".join(f"{k}={_shortest(v)}" for k, v in self.params)
        return f"{self.name}({inner})" if inner else self.name


def rule(text: str | Rule, /, **params: float) -> Rule:
    """A rule from its text, as ``"zplus"``, ``"gamma(0.1)"`` or ``"captum.GammaRule(0.1)"``.

    Raises
    ------
    InputError
        Unknown name or parameter, and numbers for which a rule is none; says what there is.
    """
    if isinstance(text, Rule):
        return text
    match = re.fullmatch(r"\s*(?:(\w+)\.)?(\w+)\s*(?:\((.*)\))?\s*", str(text))
    library, name = (match[1], match[2]) if match else (None, "")
    there = CONVENTIONS.get(library, {}) if library else dict.fromkeys(FUNCTIONS, name)
    if match is None or name not in there:
        raise InputError(f"unknown rule {text!r}: choose one of {', '.join(there or FUNCTIONS)}")
    base = rule(there[name]) if library else Rule(name)
    places = [k for k in parameters(base.name) if k not in SWITCHES]
    try:
        given = numbers(match[3] or "", places, params)
    except ValueError as error:
        raise InputError(f"{error} in rule {text!r}: {base.name} {_takes(base.name)}") from None
    return Rule(base.name, tuple((dict(base.params) | given).items()))
