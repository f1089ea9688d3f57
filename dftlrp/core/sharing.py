"""Shares: what rules are made of, and the arithmetic that all of them have in common.

A rule gives a list of terms and a bias, and `share` divides what has arrived by their sum; see
`dftlrp.core.rules` for the formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, reduce
from typing import NamedTuple

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array, Arrays, add_up

Modify = Callable[[Array], Array]  # what a rule does to weights


class Options(NamedTuple):
    """Numerical conventions that rules have in common.

    Attributes
    ----------
    epsilon : float
        Size of the stabiliser.  With 0, what arrives at z = 0 is taken by it (0 / 0 = 0).
    bias : {1, 0, 2}
        What stands for the bias in a denominator: 1 the bias modified as the weights are, 0
        nothing, 2 the bias as it is.
    split : {1, 0}
        1: inputs are split into x+ and x-, each with weights of its own; 0: only the weights are
        modified.
    at_zero : {0, 1}
        1: the stabiliser is added only where z = 0.
    relative : {0, 1}
        1: epsilon is a share of the mean of |z| over the sample, so that relevance does not depend
        on the unit of the signal.
    """

    epsilon: float = 1e-6
    bias: float = 1
    split: float = 1
    at_zero: float = 0
    relative: float = 0


class Support(IntEnum):
    """Where the relevance of a value may be other than 0.

    The value is its difference to the reference where such a one is explained.
    """

    ANYWHERE = 0
    NOT_ZERO = 1  # only where the value is not 0
    POSITIVE = 2  # only where the value is above 0


class Call(NamedTuple):
    """What a rule is given: a map and arrays, and never the name of an op.

    Attributes
    ----------
    bk : Backend
    op : Affine
        The layer's map at the current activations.
    inputs : tuple of arrays
    y : array
        The map's output at the inputs, computed by the same backend in the same dtype.
    relevance : array
        R, in the shape of y.
    multiplier : callable ``() -> array``, or None
        m with R = y m, where it is known; computed only when called.
    options : Options
    support : Support
        Where R may be other than 0, by y.
    """

    bk: Backend
    op: Affine
    inputs: Arrays
    y: Array
    relevance: Array
    multiplier: Callable[[], Array] | None
    options: Options = Options()
    support: Support = Support.ANYWHERE


@dataclass(frozen=True)
class Share:
    """What a rule returns.

    Attributes
    ----------
    relevance : tuple of arrays
        One for each input, in its shape.
    multiplier : callable ``() -> tuple of arrays``, or None
        m with R = x m of each input; None where the rule has none.  Computed only when called, as
        few rules read it.
    bias, stabiliser : callable ``() -> array``
        What the bias and the stabiliser take of each element of the output; computed only when
        called.
    support : Support, optional
        Where the relevance may be other than 0, by the inputs; not at 0 where there is a
        multiplier.
    """

    relevance: Arrays
    multiplier: Callable[[], Arrays] | None
    bias: Callable[[], Array]
    stabiliser: Callable[[], Array]
    support: Support | None = None

    def find_support(self) -> Support:
        """Return where the relevance may be other than 0."""
        if self.support is not None:
            return self.support
        return Support.ANYWHERE if self.multiplier is None else Support.NOT_ZERO

    def __add__(self, other: Share) -> Share:
        """Return the sum of two shares; it has a multiplier if both have one."""
        a, b = self.multiplier, other.multiplier
        return Share(
            add_pairs(self.relevance, other.relevance),
            None if a is None or b is None else lambda: add_pairs(a(), b()),
            lambda: self.bias() + other.bias(),
            lambda: self.stabiliser() + other.stabiliser(),
        )


class Term(NamedTuple):
    """A map A_t on inputs x_t.

    Attributes
    ----------
    op : Affine
    inputs : tuple of arrays
    masks : tuple of arrays or None
        d_t with x_t = d_t x; () stands for ones, None for inputs that are not of that form.
    """

    op: Affine
    inputs: Arrays
    masks: Arrays | None = ()


def add_pairs(a: Arrays, b: Arrays) -> Arrays:
    """Return the sums of arrays, pair by pair."""
    return tuple(p + q for p, q in zip(a, b, strict=True))


def multiply_pairs(a: Arrays, b: Arrays) -> Arrays:
    """Return the products of arrays, pair by pair."""
    return tuple(p * q for p, q in zip(a, b, strict=True))


# -- the arithmetic


def share(c: Call, terms: list[Term], bias: Array | None, z: Array | None = None) -> Share:
    """Return R shared over the terms of one denominator.

    Parameters
    ----------
    c : Call
    terms : list of Term
        (A_t, x_t).
    bias : array or None
        b'.
    z : array, optional
        sum A_t x_t + b', where it is known already.
    """
    if z is None:
        z = add_terms(terms, bias)
    guard = make_stabiliser(c.bk, z, c.options)
    s = c.relevance / (z + guard)
    back = [t.op.adjoint(s) for t in terms]
    relevance = reduce(
        add_pairs, (multiply_pairs(t.inputs, g) for t, g in zip(terms, back, strict=True))
    )

    @cache
    def make_multiplier() -> Arrays:
        masked = (
            multiply_pairs(t.masks, g) if t.masks else g for t, g in zip(terms, back, strict=True)
        )
        return reduce(add_pairs, masked)

    known = all(t.masks is not None for t in terms)
    return Share(
        relevance,
        make_multiplier if known else None,
        lambda: 0 * s if bias is None else bias * s,
        lambda: guard * s,
    )


def add_terms(terms: list[Term], bias: Array | None) -> Array:
    """Return sum A_t x_t + b'."""
    z = add_up(t.op.apply(*t.inputs) for t in terms)
    return z if bias is None else z + bias


def make_stabiliser(bk: Backend, z: Array, options: Options) -> Array:
    """Return stab(z) - z.

    It is eps sgn(z); or, only where z = 0, eps, or one if eps = 0, which then takes all that
    arrives there.
    """
    eps = options.epsilon
    if eps and options.relative:
        eps = eps * _measure_scale(bk, z)
    if options.epsilon and not options.at_zero:
        return eps if bk.nonneg(z) else 2 * eps * bk.step(z, strict=False) - eps
    return (eps if options.epsilon else 1) * (
        1 - bk.step(z, strict=True) - bk.step(-z, strict=True)
    )


def _measure_scale(bk: Backend, z: Array) -> Array:
    """Return the mean of |z| of each sample, or 1 where all of z is zero."""
    axes = tuple(range(int(z.ndim > 1), z.ndim))
    mean = bk.sum(abs(z), axes, True) / bk.sum(bk.ones_like(z), axes, True)
    return mean + (1 - bk.step(mean, strict=True))  # in brackets: a small mean is lost beside 1


def split_terms(c: Call, f: Modify, g: Modify) -> list[Term]:
    """Return the terms f(A) x+ and g(A) x-, or f(A) x where inputs are not split.

    The second one is left out where x >= 0 is known.
    """
    bk, on_pos, xs = c.bk, c.op.map(f), c.inputs
    if not c.options.split:
        return [Term(on_pos, xs)]
    up = tuple(bk.step(x, strict=True) for x in xs)
    if all(map(bk.nonneg, xs)):
        return [Term(on_pos, xs, up)]
    down = tuple(bk.step(-x, strict=True) for x in xs)
    return [
        Term(on_pos, multiply_pairs(up, xs), up),
        Term(c.op.map(g), multiply_pairs(down, xs), down),
    ]


def modify_bias(c: Call, f: Modify) -> Array | None:
    """Return what stands for the bias in a denominator: f(b), b or nothing."""
    b, option = c.op.bias, c.options.bias
    return None if b is None or not option else b if option == 2 else f(b)


# -- the rules
