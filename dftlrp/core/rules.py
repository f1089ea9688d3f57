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
(``docs/rules.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import NamedTuple

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Affine, Array, Arrays
from dftlrp.core.types import InputError

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
    multiplier : array or None
        m with R = y m, where it is known.
    options : Options
    support : Support
        Where R may be other than 0, by y.
    """

    bk: Backend
    op: Affine
    inputs: Arrays
    y: Array
    relevance: Array
    multiplier: Array | None
    options: Options = Options()
    support: Support = Support.ANYWHERE


@dataclass(frozen=True)
class Share:
    """What a rule returns.

    Attributes
    ----------
    relevance : tuple of arrays
        One for each input, in its shape.
    multiplier : tuple of arrays or None
        m with R = x m of each input; None where the rule has none.
    bias, stabiliser : callable ``() -> array``
        What the bias and the stabiliser take of each element of the output; computed only when
        called.
    support : Support, optional
        Where the relevance may be other than 0, by the inputs; not at 0 where there is a
        multiplier.
    """

    relevance: Arrays
    multiplier: Arrays | None
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
        multiplier = None
        if self.multiplier is not None and other.multiplier is not None:
            multiplier = _add_pairs(self.multiplier, other.multiplier)
        return Share(
            _add_pairs(self.relevance, other.relevance),
            multiplier,
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


def _add_pairs(a: Arrays, b: Arrays) -> Arrays:
    return tuple(p + q for p, q in zip(a, b, strict=True))


def _multiply_pairs(a: Arrays, b: Arrays) -> Arrays:
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
        z = _add_terms(terms, bias)
    guard = make_stabiliser(c.bk, z, c.options)
    s = c.relevance / (z + guard)
    back = [t.op.adjoint(s) for t in terms]
    relevance = reduce(
        _add_pairs, (_multiply_pairs(t.inputs, g) for t, g in zip(terms, back, strict=True))
    )
    multiplier = None
    if all(t.masks is not None for t in terms):
        masked = (
            _multiply_pairs(t.masks, g) if t.masks else g for t, g in zip(terms, back, strict=True)
        )
        multiplier = reduce(_add_pairs, masked)
    return Share(
        relevance, multiplier, lambda: 0 * s if bias is None else bias * s, lambda: guard * s
    )


def _add_terms(terms: list[Term], bias: Array | None) -> Array:
    """Return sum A_t x_t + b'."""
    z = reduce(lambda a, b: a + b, (t.op.apply(*t.inputs) for t in terms))
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


def _split_terms(c: Call, f: Modify, g: Modify) -> list[Term]:
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
        Term(on_pos, _multiply_pairs(up, xs), up),
        Term(c.op.map(g), _multiply_pairs(down, xs), down),
    ]


def _modify_bias(c: Call, f: Modify) -> Array | None:
    """Return what stands for the bias in a denominator: f(b), b or nothing."""
    b, option = c.op.bias, c.options.bias
    return None if b is None or not option else b if option == 2 else f(b)


# -- the rules


def epsilon(c: Call) -> Share:
    """z = A x + b.  LRP-0 for epsilon = 0.  (Bach et al. 2015, eq. 58)."""
    b, z = (c.op.bias, c.y) if c.options.bias else (None, None)
    return share(c, [Term(c.op, c.inputs)], b, z)


def zplus(c: Call) -> Share:
    """z = A+ x+ + A- x- + b+: only the parts that supported the output.  (Montavon et al. 2017).

    Without split z = A+ x + b+.
    """
    return share(c, _split_terms(c, c.bk.pos, c.bk.neg), _modify_bias(c, c.bk.pos))


def alpha_beta(c: Call, alpha: float = 2.0, beta: float = 1.0) -> Share:
    """``alpha`` times the supporting parts minus ``beta`` times the opposing ones.

    Supporting is the z of `zplus`, opposing z = A- x+ + A+ x- + b- (without split A- x + b-).
    (Bach et al. 2015, eq. 60).
    """
    supporting = zplus(c._replace(relevance=alpha * c.relevance))
    if not beta:
        return supporting
    terms, bias = _split_terms(c, c.bk.neg, c.bk.pos), _modify_bias(c, c.bk.neg)
    return supporting + share(c._replace(relevance=-beta * c.relevance), terms, bias)


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
        return share(c._replace(relevance=R), _split_terms(c, f, g), _modify_bias(c, f))

    if not options.split:
        return share_part(favour_pos, favour_neg, c.relevance)
    if not options.relative and (c.op.bias is None or options.bias == 1):  # y is all that z favours
        if c.support == Support.POSITIVE and all(map(bk.nonneg, c.inputs)):
            terms, bias = _split_terms(c, favour_pos, favour_neg), _modify_bias(c, favour_pos)
            return share(c, terms, bias, bk.pos(_add_terms(terms, bias)))
        return _share_by_magnitude(c, gamma)
    above, below = bk.step(c.y, strict=True), bk.step(-c.y, strict=True)
    both = share_part(favour_pos, favour_neg, above * c.relevance) + share_part(
        favour_neg, favour_pos, below * c.relevance
    )
    nothing = tuple(0 * x for x in c.inputs)
    return both + Share(
        nothing, nothing, lambda: 0 * c.y, lambda: (1 - above - below) * c.relevance
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
    return Share(
        tuple(relevance for relevance, _ in both),
        tuple(multiplier for _, multiplier in both),
        lambda: 0 * u if b is None else b * s + d * u,
        lambda: guard * u + (1 - 4 * half * half) * c.relevance,
    )


def _weigh_by_sign(bk: Backend, x: Array, g: Array, h: Array) -> tuple[Array, Array]:
    """Return x g + abs(x) h, and the multiplier of x that this is; it is 0 where x is."""
    up = bk.step(x, strict=True)
    if bk.nonneg(x):
        return x * (g + h), up * (g + h)
    return x * g + abs(x) * h, up * (g + h) + bk.step(-x, strict=True) * (g - h)


def _share_by_weights(c: Call, f: Modify, bias: Array | None) -> Share:
    """Return the share with z = f(A) 1 + b'."""
    ones = tuple(c.bk.ones_like(x) for x in c.inputs)
    return share(c, [Term(c.op.map(f), ones, None)], bias)


def flat(c: Call) -> Share:
    """z = 1 1: an equal share for every input of the window.  (Lapuschkin et al. 2019)."""
    return _share_by_weights(c, c.bk.ones_like, None)


def wsquare(c: Call) -> Share:
    """z = A^2 1 + b^2.  (Montavon et al. 2017)."""

    def square(w: Array) -> Array:
        return w * w

    return _share_by_weights(c, square, _modify_bias(c, square))


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


def gradient(c: Call) -> Share:
    """R_x = x A^T m with the true tangent A; its bias y - A x absorbs the rest.

    Raises
    ------
    InputError
        The multiplier m of the output is not known.
    """
    m_y, bias = c.multiplier, c.op.bias
    if m_y is None:
        raise InputError(
            "rule 'gradient' needs the multiplier of its output: use it for all layers"
        )
    m = c.op.adjoint(m_y)
    absorbed = 0 if bias is None else bias
    return Share(_multiply_pairs(c.inputs, m), m, lambda: absorbed * m_y, lambda: 0 * m_y)


FUNCTIONS: dict[str, Callable[..., Share]] = {
    "epsilon": epsilon,
    "zplus": zplus,
    "alpha_beta": alpha_beta,
    "gamma": gamma,
    "flat": flat,
    "wsquare": wsquare,
    "zbox": zbox,
    "pass": pass_on,
    "gradient": gradient,
}
OPTIONS: dict[str, tuple[str, ...]] = {  # the fields of `Options` that each rule heeds
    "epsilon": ("epsilon", "bias", "at_zero", "relative"),
    "zplus": ("epsilon", "bias", "split", "at_zero", "relative"),
    "alpha_beta": ("epsilon", "bias", "split", "at_zero", "relative"),
    "gamma": ("epsilon", "bias", "split", "at_zero", "relative"),
    "flat": ("epsilon", "at_zero", "relative"),
    "wsquare": ("epsilon", "bias", "at_zero", "relative"),
    "zbox": ("epsilon", "at_zero", "relative"),
    "pass": (),
    "gradient": (),
}
