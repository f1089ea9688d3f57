"""Pointwise functions: relevance passes unchanged, the tangent is the derivative.

``POINTWISE`` maps an op to (f, f').  Both see the backend, x, y = f(x) where it helps, and the
op's parameters; kinks take torch's side (the derivative of Relu at 0 is 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dftlrp.core.maps import Array, Route, activation, move
from dftlrp.ops.registry import At, route

F = Callable[[At], Array]
POINTWISE: set[str] = set()  # ops that are one function of one value, elementwise


def _pointwise(op: str, f: F, slope: F, homogeneous: bool = False) -> None:
    POINTWISE.add(op)

    def evaluate(at: At) -> Array:
        at.broadcast()  # also a slope or an exponent
        return f(at)

    @route(op, evaluate=evaluate)
    def build(at: At) -> Route:
        """One function of one value: R passes unchanged."""
        return activation(at.x, at.y, lambda: slope(at), homogeneous)


def _above(at: At, threshold: float = 0.0) -> Array:
    """1 where x > threshold."""
    return at.bk.step(at.x - threshold if threshold else at.x, strict=True)


def _leaky(at: At, alpha: Array) -> Array:
    return at.bk.pos(at.x) + alpha * at.bk.neg(at.x)


def _leaky_slope(at: At, alpha: Array) -> Array:
    above = _above(at)
    return above + alpha * (1 - above)


_pointwise("Relu", lambda at: at.bk.pos(at.x), _above, homogeneous=True)
_pointwise(
    "LeakyRelu",
    lambda at: _leaky(at, at.attr("alpha", 0.01)),
    lambda at: _leaky_slope(at, at.attr("alpha", 0.01)),
    homogeneous=True,
)
_pointwise(
    "PRelu",
    lambda at: _leaky(at, at.args[1]),
    lambda at: _leaky_slope(at, at.args[1]),
    homogeneous=True,
)
_pointwise(
    "ThresholdedRelu",
    lambda at: _above(at, at.attr("alpha", 1.0)) * at.x,
    lambda at: _above(at, at.attr("alpha", 1.0)),
    homogeneous=True,
)
_pointwise(
    "Abs",
    lambda at: abs(at.x),
    lambda at: _above(at) - at.bk.step(-at.x, strict=True),
    homogeneous=True,
)


def _exponential(at: At, alpha: float, scale: float = 1.0, inner: float = 1.0) -> Array:
    """``scale (x+ + alpha (exp(x- / inner) - 1))``: Elu, Selu and Celu."""
    low = at.bk.exp(at.bk.neg(at.x) / inner) - 1
    return scale * (at.bk.pos(at.x) + alpha * low)


def _exponential_slope(at: At, alpha: float, scale: float = 1.0, inner: float = 1.0) -> Array:
    above = _above(at)
    low = alpha / inner * at.bk.exp(at.bk.neg(at.x) / inner)
    return scale * (above + (1 - above) * low)


def _elu(at: At) -> tuple[float, ...]:
    return (at.attr("alpha", 1.0),)


def _selu(at: At) -> tuple[float, ...]:
    alpha, scale = 1.67326319217681884765625, 1.05070102214813232421875
    return at.attr("alpha", alpha), at.attr("gamma", scale)


def _celu(at: At) -> tuple[float, ...]:
    alpha = at.attr("alpha", 1.0)
    return alpha, 1.0, alpha


for _op, _params in {"Elu": _elu, "Selu": _selu, "Celu": _celu}.items():
    _pointwise(
        _op,
        lambda at, p=_params: _exponential(at, *p(at)),  # type: ignore[misc]
        lambda at, p=_params: _exponential_slope(at, *p(at)),  # type: ignore[misc]
    )


def _softplus(at: At) -> Array:
    bk = at.bk
    return bk.pos(at.x) + bk.log(1 + bk.exp(-abs(at.x)))


def _hard_sigmoid(at: At, alpha: float, beta: float) -> Array:
    return at.bk.pos(1 - at.bk.pos(1 - alpha * at.x - beta))


def _hard_sigmoid_slope(at: At, alpha: float, beta: float) -> Array:
    y = alpha * at.x + beta
    return alpha * at.bk.step(y, strict=True) * at.bk.step(1 - y, strict=True)


def _hard(at: At) -> tuple[float, float]:
    return at.attr("alpha", 0.2), at.attr("beta", 0.5)


def _normal_cdf(at: At) -> Array:
    return 0.5 * (1 + at.bk.erf(at.x / math.sqrt(2)))


def _gelu_inner(at: At) -> Array:
    return math.sqrt(2 / math.pi) * (at.x + 0.044715 * at.x * at.x * at.x)


def _gelu(at: At) -> Array:
    if at.attr("approximate", "none") == "tanh":
        return 0.5 * at.x * (1 + at.bk.tanh(_gelu_inner(at)))
    return at.x * _normal_cdf(at)


def _gelu_slope(at: At) -> Array:
    x, bk = at.x, at.bk
    if at.attr("approximate", "none") == "tanh":
        t = bk.tanh(_gelu_inner(at))
        inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner
    return _normal_cdf(at) + x * bk.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _mish_slope(at: At) -> Array:
    t = at.bk.tanh(_softplus(at))
    return t + at.x * (1 - t * t) * at.bk.sigmoid(at.x)


_pointwise("Sigmoid", lambda at: at.bk.sigmoid(at.x), lambda at: at.y * (1 - at.y))
_pointwise("Tanh", lambda at: at.bk.tanh(at.x), lambda at: 1 - at.y * at.y)
_pointwise("Softplus", _softplus, lambda at: at.bk.sigmoid(at.x))
_pointwise(
    "Softsign",
    lambda at: at.x / (1 + abs(at.x)),
    lambda at: 1 / ((1 + abs(at.x)) * (1 + abs(at.x))),
)
_pointwise(
    "HardSigmoid",
    lambda at: _hard_sigmoid(at, *_hard(at)),
    lambda at: _hard_sigmoid_slope(at, *_hard(at)),
)
_pointwise(
    "HardSwish",
    lambda at: at.x * _hard_sigmoid(at, 1 / 6, 0.5),
    lambda at: _hard_sigmoid(at, 1 / 6, 0.5) + at.x * _hard_sigmoid_slope(at, 1 / 6, 0.5),
)
_pointwise("Gelu", _gelu, _gelu_slope)
_pointwise("Mish", lambda at: at.x * at.bk.tanh(_softplus(at)), _mish_slope)
_pointwise(
    "Erf",
    lambda at: at.bk.erf(at.x),
    lambda at: 2 / math.sqrt(math.pi) * at.bk.exp(-at.x * at.x),
)
_pointwise("Exp", lambda at: at.bk.exp(at.x), lambda at: at.y)
_pointwise("Log", lambda at: at.bk.log(at.x), lambda at: 1 / at.x)
_pointwise("Sqrt", lambda at: at.bk.sqrt(at.x), lambda at: 0.5 / at.y)
_pointwise("Reciprocal", lambda at: 1 / at.x, lambda at: -at.y * at.y)


def _pow(at: At) -> Array:
    return np.power(at.x, at.args[1]).astype(at.x.dtype)


def _pow_slope(at: At) -> Array:
    exponent = at.args[1]
    return exponent * at.bk.power(at.x, exponent - 1)


_pointwise("Pow", _pow, _pow_slope)


def _elementary(op: str, f: Callable[..., Array], slope: F) -> None:
    """A function that NumPy has and the backend's primitives do not name."""
    _pointwise(op, lambda at: f(at.x), slope)


_elementary("Sin", np.sin, lambda at: np.cos(at.x))
_elementary("Cos", np.cos, lambda at: -np.sin(at.x))
_elementary("Tan", np.tan, lambda at: 1 + at.y * at.y)
_elementary("Asin", np.arcsin, lambda at: 1 / np.sqrt(1 - at.x * at.x))
_elementary("Acos", np.arccos, lambda at: -1 / np.sqrt(1 - at.x * at.x))
_elementary("Atan", np.arctan, lambda at: 1 / (1 + at.x * at.x))
_elementary("Sinh", np.sinh, lambda at: np.cosh(at.x))
_elementary("Cosh", np.cosh, lambda at: np.sinh(at.x))
_elementary("Asinh", np.arcsinh, lambda at: 1 / np.sqrt(1 + at.x * at.x))
_elementary("Acosh", np.arccosh, lambda at: 1 / np.sqrt(at.x * at.x - 1))
_elementary("Atanh", np.arctanh, lambda at: 1 / (1 - at.x * at.x))


def _swish_gate(at: At) -> Array:
    return at.bk.sigmoid(at.attr("alpha", 1.0) * at.x)


def _swish_slope(at: At) -> Array:
    gate = _swish_gate(at)
    return gate + at.attr("alpha", 1.0) * at.x * gate * (1 - gate)


_pointwise("Swish", lambda at: at.x * _swish_gate(at), _swish_slope)


def _outside(at: At) -> tuple[Array, Array]:
    """1 above lambd, and 1 below -lambd."""
    lambd = at.attr("lambd", 0.5)
    return _above(at, lambd), at.bk.step(-at.x - lambd, strict=True)


def _shrink(at: At) -> Array:
    above, below = _outside(at)
    bias = at.attr("bias", 0.0)
    return (above * (at.x - bias) + below * (at.x + bias)).astype(at.x.dtype)


_pointwise("Shrink", _shrink, lambda at: sum(_outside(at)))

# -- Clip, and Max and Min against constants


def _bounds(at: At) -> tuple[Array, Array]:
    """Numbers, or scalars that may depend on the signal."""

    def bound(position: int, name: str, default: float) -> Array:
        given = at.arg(position)
        return at.attr(name, default) if given is None else at.bk.reshape(given, ())

    return bound(1, "min", -math.inf), bound(2, "max", math.inf)


def _clip_slope(at: At) -> Array:
    low, high = _bounds(at)
    inside = at.bk.ones_like(at.x)
    if not _absent(low):
        inside = inside * at.bk.step(at.x - low, strict=True)
    return inside if _absent(high) else inside * at.bk.step(high - at.x, strict=True)


def _absent(bound: Array) -> bool:
    return isinstance(bound, float) and math.isinf(bound)


POINTWISE.add("Clip")


@route(
    "Clip",
    evaluate=lambda at: np.clip(at.x, *_bounds(at)).astype(at.x.dtype),
    carries=(0, 1, 2),
    together=True,
    frozen=(1, 2),
)
def clip(at: At) -> Route:
    """An activation; the true tangent of bounds that depend on the signal leads to these."""
    if at.live == (0,):
        return activation(at.x, at.y, lambda: _clip_slope(at))
    bk, (low, high) = at.bk, _bounds(at)
    masks = (_clip_slope(at), bk.step(low - at.x, strict=False), bk.step(at.x - high, strict=False))
    mine = [masks[i] for i in at.live]

    def linear(*live: Array) -> Array:
        return bk.expand(sum(m * v for m, v in zip(mine, live, strict=True)), at.y.shape)

    def back(r: Array) -> tuple[Array, ...]:
        return tuple(bk.sum_to(m * r, x) for m, x in zip(mine, at.inputs, strict=True))

    return move(linear, back, linear(*(bk.ones_like(x) for x in at.inputs)))


def _extreme(op: str, sign: float, reduce: Callable[..., Array]) -> None:
    """Max (sign 1) and Min (sign -1): a constant makes an activation, several signals a winner."""

    def evaluate(at: At) -> Array:
        at.broadcast()
        y = at.x
        for other in at.args[1:]:
            y = reduce(y, other)
        return y

    @route(op, evaluate=evaluate, carries=None, together=True)
    def build(at: At) -> Route:
        bk, xs = at.bk, at.inputs
        fixed = [a for i, a in enumerate(at.args) if i not in at.live]
        if fixed and len(xs) == 1 and xs[0].shape == at.y.shape:
            rest = fixed[0]
            for other in fixed[1:]:
                rest = reduce(rest, other)
            zero = bk.nonneg(rest) and bk.nonneg(-rest)
            slope = bk.step(sign * (xs[0] - rest), strict=True)
            return activation(xs[0], at.y, lambda: slope, homogeneous=zero)
        return _winner(at, (*xs, *fixed), sign)


def _winner(at: At, values: tuple[Array, ...], sign: float) -> Route:
    """Each element to the first largest; constants come last and carry nothing."""
    bk, xs, shape = at.bk, at.inputs, at.y.shape
    best, masks = bk.expand(values[0], shape), [bk.ones_like(at.y)]
    for value in values[1:]:
        later = bk.step(sign * (value - best), strict=True)
        best = later * value + (1 - later) * best
        masks = [m * (1 - later) for m in masks] + [later]
    mine = masks[: len(xs)]

    def linear(*live: Array) -> Array:
        return sum(m * v for m, v in zip(mine, live, strict=True))

    def back(r: Array) -> tuple[Array, ...]:
        return tuple(bk.sum_to(m * r, x) for m, x in zip(mine, xs, strict=True))

    covered = None if len(xs) == len(values) else linear(*(bk.ones_like(x) for x in xs))
    return move(linear, back, covered)


_extreme("Max", 1.0, np.maximum)
_extreme("Min", -1.0, np.minimum)
