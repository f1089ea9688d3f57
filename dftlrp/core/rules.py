r"""The rules: how the relevance of a layer's output is shared among its inputs.

A layer is an affine map :math:`y = A x + b`, and relevance R has arrived at its output.  Every
rule but `pass_on` and `gradient` is a sum of shares, each of which has one denominator z:

.. math::
    z = \sum_t A_t x_t + b', \qquad s = R / \mathrm{stab}(z), \qquad
    R_x = \sum_t x_t \odot A_t^T s

A term :math:`(A_t, x_t)` is the map with modified weights on modified inputs, and b' is the
modified bias.  So a rule says which terms and which bias it has, and `share` does the arithmetic.

* The stabiliser keeps z away from zero:
  :math:`\mathrm{stab}(z) = z + \epsilon\,\mathrm{sgn}(z)` with :math:`\mathrm{sgn}(0) = +1`.
  It is absolute, as zennit's is, unless `Options.relative` is set.
* Of the relevance that arrives, :math:`\sum b' s` is absorbed by the bias and
  :math:`\sum (\mathrm{stab}(z) - z) s` by the stabiliser; all the rest goes to the inputs.
* Where :math:`x_t = d_t \odot x` with a mask :math:`d_t` of zeros and ones, the multiplier
  :math:`m = \sum_t d_t \odot A_t^T s` comes for free.  Then :math:`R_x = x \odot m`, also where
  x = 0.

f+ = max(f, 0) and f- = min(f, 0) below; A+ modifies the weights.

Sources: Bach et al. 2015 (epsilon, alpha-beta), Montavon et al. 2017 (z+, z-box, w^2),
Montavon et al. 2019 (gamma), Andeol et al. 2021 (generalised gamma), Lapuschkin et al. 2019
(flat).  The numerical conventions are zennit's; `Options` has those of other libraries
(``docs/reference/rules.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Array
from dftlrp.core.sharing import (
    Call,
    Modify,
    Share,
    Support,
    Term,
    add_terms,
    make_stabiliser,
    modify_bias,
    multiply_pairs,
    share,
    split_terms,
)
from dftlrp.core.types import InputError

#: The rules by their names, as a composite and ``overrides`` know them; each takes a `Call` and its
#: numbers by keyword, and returns a `Share`.
FUNCTIONS: dict[str, Callable[..., Share]] = {}
OPTIONS: dict[str, tuple[str, ...]] = {}  # the fields of `Options` that each rule heeds
F = TypeVar("F", bound=Callable[..., Share])


def register_rule(name: str, *options: str) -> Callable[[F], F]:
    """Register the decorated function as a rule, so that presets and ``overrides`` know its name.

    Parameters
    ----------
    name : str
        What the rule is called.
    *options : str
        The fields of `Options` that the rule heeds: those of `share` are ``"epsilon"``,
        ``"at_zero"`` and ``"relative"``.

    Returns
    -------
    callable
        Takes the function ``f(c, number=default, ...)``, which takes a `Call` and returns a
        `Share`, and returns it as it is.  It refuses another function of a name that is there
        with an InputError, since a model may keep what it computed by that name.

    Examples
    --------
    A rule that takes the weights by their size, whatever their sign:

    >>> from dftlrp.core.sharing import Term, share
    >>> @register_rule("by_weight", "epsilon", "at_zero", "relative")
    ... def share_by_weight(c):
    ...     return share(c, [Term(c.op.map(abs), c.inputs)], None)
    >>> "by_weight" in FUNCTIONS
    True
    >>> del FUNCTIONS["by_weight"], OPTIONS["by_weight"]  # which nothing has used yet
    """

    def register(rule: F) -> F:
        known = getattr(FUNCTIONS.get(name, rule), "__code__", None)
        if known != getattr(rule, "__code__", None):  # the same cell of a notebook may run again
            raise InputError(f"there is a rule {name!r} already: choose another name")
        FUNCTIONS[name], OPTIONS[name] = rule, options
        return rule

    return register


@register_rule("epsilon", "epsilon", "bias", "at_zero", "relative")
def epsilon(c: Call) -> Share:
    """z = A x + b.  LRP-0 for epsilon = 0.  (Bach et al. 2015, eq. 58).

    Where relevance arrives only at y > 0, z is max(y, 0): elsewhere 0 / z = 0 in any case.
    """
    b, z = (c.op.bias, c.y) if c.options.bias else (None, None)
    if z is not None and c.support == Support.POSITIVE and not c.options.relative:
        z = c.bk.pos(z)  # the ReLU behind it; its stabiliser needs no signs
    return share(c, [Term(c.op, c.inputs)], b, z)


@register_rule("zplus", "epsilon", "bias", "split", "at_zero", "relative")
def zplus(c: Call) -> Share:
    """z = A+ x+ + A- x- + b+: only the parts that supported the output.  (Montavon et al. 2017).

    Without split z = A+ x + b+.
    """
    return share(c, split_terms(c, c.bk.pos, c.bk.neg), modify_bias(c, c.bk.pos))


@register_rule("alpha_beta", "epsilon", "bias", "split", "at_zero", "relative")
def alpha_beta(c: Call, alpha: float = 2.0, beta: float = 1.0) -> Share:
    """``alpha`` times the supporting parts minus ``beta`` times the opposing ones.

    Supporting is the z of `zplus`, opposing z = A- x+ + A+ x- + b- (without split A- x + b-).
    (Bach et al. 2015, eq. 60).
    """
    supporting = zplus(c._replace(relevance=alpha * c.relevance))
    if not beta:
        return supporting
    terms, bias = split_terms(c, c.bk.neg, c.bk.pos), modify_bias(c, c.bk.neg)
    return supporting + share(c._replace(relevance=-beta * c.relevance), terms, bias)


@register_rule("gamma", "epsilon", "bias", "split", "at_zero", "relative")
def gamma(c: Call, gamma: float = 0.25) -> Share:
    """Parts that agree in sign with y count 1 + gamma times.  (Andeol et al. 2021).

    For y > 0: z = (A + g A+) x+ + (A + g A-) x- + b + g b+; for y < 0 with A+ and A-, b+ and b-
    swapped; y = 0 drops its relevance, which counts as the stabiliser's.  Without split, whatever
    the sign of y, z = (A + g A+) x + b + g b+ (Montavon et al. 2019).
    """
    bk, options = c.bk, c.options

    def favour_pos(w: Array) -> Array:
        return w + gamma * bk.pos(w)

    def favour_neg(w: Array) -> Array:
        return w + gamma * bk.neg(w)

    def share_part(f: Modify, g: Modify, R: Array) -> Share:
        return share(c._replace(relevance=R), split_terms(c, f, g), modify_bias(c, f))

    if not options.split:
        return share_part(favour_pos, favour_neg, c.relevance)
    if not options.relative and (c.op.bias is None or options.bias == 1):  # y is all that z favours
        if c.support == Support.POSITIVE and all(map(bk.nonneg, c.inputs)):
            terms, bias = split_terms(c, favour_pos, favour_neg), modify_bias(c, favour_pos)
            return share(c, terms, bias, bk.pos(add_terms(terms, bias)))
        return _share_by_magnitude(c, gamma)
    above, below = bk.step(c.y, strict=True), bk.step(-c.y, strict=True)
    both = share_part(favour_pos, favour_neg, above * c.relevance) + share_part(
        favour_neg, favour_pos, below * c.relevance
    )
    nothing = tuple(0 * x for x in c.inputs)
    return both + Share(
        nothing, lambda: nothing, lambda: 0 * c.y, lambda: (1 - above - below) * c.relevance
    )


def _share_by_magnitude(c: Call, gamma: float) -> Share:
    r"""Return what `gamma` does, in half as many products.

    A part a of y counts a + g a where it agrees with y, else a.  Both are (2 + g) times
    a / 2 + k sgn(y) abs(a), with k = g / (4 + 2 g).  That factor cancels, and the sum of all a is
    y:

    .. math::
        z = h \odot y + k\,(|A|\,|x| + |b|), \qquad h = \mathrm{sgn}(y) / 2, \qquad
        u = R / \mathrm{stab}(z), \qquad R_x = x \odot A^T (h \odot u) + |x| \odot k\,|A|^T u
    """
    bk, y = c.bk, c.y
    half = (bk.step(y, strict=True) - bk.step(-y, strict=True)) / 2
    size = c.op.map(lambda w: gamma / (4 + 2 * gamma) * abs(w))
    most = size.forward(*map(abs, c.inputs))
    options = c.options._replace(epsilon=c.options.epsilon / (2 + gamma))
    guard = make_stabiliser(bk, abs(y) / 2 + most, options)
    u = c.relevance / (half * y + (most + guard))  # so a convolution has epsilon as its bias
    s = half * u
    u = u if c.support else 4 * half * s  # nothing where y = 0
    pairs = zip(c.inputs, c.op.adjoint(s), size.adjoint(u), strict=True)
    both = [_weigh_by_sign(bk, *pair) for pair in pairs]
    b, d = c.op.bias, size.bias

    def absorb() -> Array:
        if c.support:  # nothing arrives where y = 0
            return guard * u
        return guard * u + (1 - 4 * half * half) * c.relevance

    return Share(
        tuple(relevance for relevance, _ in both),
        cache(lambda: tuple(make_multiplier() for _, make_multiplier in both)),
        lambda: 0 * u if b is None else b * s + d * u,
        absorb,
    )


def _weigh_by_sign(bk: Backend, x: Array, g: Array, h: Array) -> tuple[Array, Callable[[], Array]]:
    """Return x g + abs(x) h, and what makes its multiplier of x, which is 0 where x is."""

    def step(x: Array) -> Array:
        return bk.step(x, strict=True)

    if bk.nonneg(x):
        return x * (g + h), lambda: step(x) * (g + h)
    return x * g + abs(x) * h, lambda: step(x) * (g + h) + step(-x) * (g - h)


def _share_by_weights(c: Call, f: Modify, bias: Array | None) -> Share:
    """Return the share with z = f(A) 1 + b'."""
    ones = tuple(c.bk.ones_like(x) for x in c.inputs)
    return share(c, [Term(c.op.map(f), ones, None)], bias)


@register_rule("flat", "epsilon", "at_zero", "relative")
def flat(c: Call) -> Share:
    """z = 1 1: an equal share for every input of the window.  (Lapuschkin et al. 2019)."""
    return _share_by_weights(c, c.bk.ones_like, None)


@register_rule("wsquare", "epsilon", "bias", "at_zero", "relative")
def wsquare(c: Call) -> Share:
    """z = A^2 1 + b^2.  (Montavon et al. 2017)."""

    def square(w: Array) -> Array:
        return w * w

    return _share_by_weights(c, square, modify_bias(c, square))


@register_rule("zbox", "epsilon", "at_zero", "relative")
def zbox(c: Call, low: float = -1.0, high: float = 1.0) -> Share:
    """z = A x - A+ low - A- high, for inputs in the box [low, high].  (Montavon et al. 2017).

    The bias cancels.
    """
    bk = c.bk
    lows = tuple(low * bk.ones_like(x) for x in c.inputs)
    highs = tuple(high * bk.ones_like(x) for x in c.inputs)
    terms = [
        Term(c.op, c.inputs),
        Term(c.op.map(lambda w: -bk.pos(w)), lows, None),
        Term(c.op.map(lambda w: -bk.neg(w)), highs, None),
    ]
    return share(c, terms, None)


@register_rule("pass")
def pass_on(c: Call) -> Share:
    """R_x = R.

    Raises
    ------
    InputError
        There are several inputs, or the input is not of the output's shape.
    """
    if len(c.inputs) != 1 or c.inputs[0].shape != c.relevance.shape:
        raise InputError("rule 'pass' needs one input of the output's shape: choose another rule")
    return Share((c.relevance,), None, lambda: 0 * c.relevance, lambda: 0 * c.relevance)


@register_rule("gradient")
def gradient(c: Call) -> Share:
    """R_x = x A^T m with the true tangent A; its bias y - A x absorbs the rest.

    Raises
    ------
    InputError
        The multiplier m of the output is not known.
    """
    if c.multiplier is None:
        raise InputError(
            "rule 'gradient' needs the multiplier of its output: use it for all layers"
        )
    m_y, absorbed = c.multiplier(), 0 if c.op.bias is None else c.op.bias
    m = c.op.adjoint(m_y)
    return Share(multiply_pairs(c.inputs, m), lambda: m, lambda: absorbed * m_y, lambda: 0 * m_y)
