"""Pointwise functions: relevance passes unchanged, the tangent is the derivative.

Each op is registered with its function and its derivative.  Both see the backend, x, y = f(x) where
it helps, and the op's parameters; kinks take torch's side (the derivative of Relu at 0 is 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from dftlrp.core.maps import Array, Route, activation, add_up
from dftlrp.ops.common import route_choice
from dftlrp.ops.registry import ANY, At, Inputs, register_route

SOURCE = "Bach et al. 2015"
F = Callable[[At], Array]
POINTWISE: set[str] = set()  # ops that are one function of one value, elementwise


def register_pointwise(
    op: str, f: F, slope: F, homogeneous: bool = False, rectifies: bool = False
) -> None:
    """Register an op that is the function f of one value, with its derivative.

    Parameters
    ----------
    op : str
        Its ONNX name, behind its domain and a dot where it has one.
    f, slope : callable
        Take the node `At` its activations: ``at.x``, ``at.bk`` and, in the derivative, ``at.y``.
    homogeneous : bool
        Whether f(x) = x f'(x).
    rectifies : bool
        Whether f(x) is x or zero.
    """
    POINTWISE.add(op)

    def evaluate(at: At) -> Array:
        at.grant_broadcast()  # also a slope or an exponent
        return f(at)

    @register_route(op, evaluate=evaluate)
    def build(at: At) -> Route:
        """A function of one value: relevance passes unchanged."""
        return activation(at.x, at.y, lambda: slope(at), homogeneous, rectifies)


def _mark_above(at: At, threshold: float = 0.0) -> Array:
    """Return 1 where x > threshold, else 0."""
    return at.bk.step(at.x - threshold if threshold else at.x, strict=True)


def _evaluate_leaky(at: At, alpha: Array) -> Array:
    return at.bk.pos(at.x) + alpha * at.bk.neg(at.x)


def _differentiate_leaky(at: At, alpha: Array) -> Array:
    above = _mark_above(at)
    return above + alpha * (1 - above)


register_pointwise(
    "Relu", lambda at: at.bk.pos(at.x), _mark_above, homogeneous=True, rectifies=True
)
register_pointwise(
    "LeakyRelu",
    lambda at: _evaluate_leaky(at, at.get_attr("alpha", 0.01)),
    lambda at: _differentiate_leaky(at, at.get_attr("alpha", 0.01)),
    homogeneous=True,
)
register_pointwise(
    "PRelu",
    lambda at: _evaluate_leaky(at, at.args[1]),
    lambda at: _differentiate_leaky(at, at.args[1]),
    homogeneous=True,
)
register_pointwise(
    "ThresholdedRelu",
    lambda at: _mark_above(at, at.get_attr("alpha", 1.0)) * at.x,
    lambda at: _mark_above(at, at.get_attr("alpha", 1.0)),
    homogeneous=True,
)
register_pointwise(
    "Abs",
    lambda at: abs(at.x),
    lambda at: _mark_above(at) - at.bk.step(-at.x, strict=True),
    homogeneous=True,
)


def _evaluate_exponential(at: At, alpha: float, scale: float = 1.0, inner: float = 1.0) -> Array:
    """Return ``scale (x+ + alpha (exp(x- / inner) - 1))``, which Elu, Selu and Celu are."""
    low = at.bk.exp(at.bk.neg(at.x) / inner) - 1
    return scale * (at.bk.pos(at.x) + alpha * low)


def _differentiate_exponential(
    at: At, alpha: float, scale: float = 1.0, inner: float = 1.0
) -> Array:
    above = _mark_above(at)
    low = alpha / inner * at.bk.exp(at.bk.neg(at.x) / inner)
    return scale * (above + (1 - above) * low)


def _read_elu(at: At) -> tuple[float, ...]:
    """Return alpha of an Elu; `_read_selu` and `_read_celu` also return scale and inner."""
    return (at.get_attr("alpha", 1.0),)


def _read_selu(at: At) -> tuple[float, ...]:
    alpha, scale = 1.67326319217681884765625, 1.05070102214813232421875
    return at.get_attr("alpha", alpha), at.get_attr("gamma", scale)


def _read_celu(at: At) -> tuple[float, ...]:
    alpha = at.get_attr("alpha", 1.0)
    return alpha, 1.0, alpha


for _op, _params in {"Elu": _read_elu, "Selu": _read_selu, "Celu": _read_celu}.items():
    register_pointwise(
        _op,
        lambda at, p=_params: _evaluate_exponential(at, *p(at)),  # type: ignore[misc]
        lambda at, p=_params: _differentiate_exponential(at, *p(at)),  # type: ignore[misc]
    )


def _evaluate_softplus(at: At) -> Array:
    bk = at.bk
    return bk.pos(at.x) + bk.log(1 + bk.exp(-abs(at.x)))


def _evaluate_hard_sigmoid(at: At, alpha: float, beta: float) -> Array:
    return at.bk.pos(1 - at.bk.pos(1 - alpha * at.x - beta))


def _differentiate_hard_sigmoid(at: At, alpha: float, beta: float) -> Array:
    y = alpha * at.x + beta
    return alpha * at.bk.step(y, strict=True) * at.bk.step(1 - y, strict=True)


def _read_hard_sigmoid(at: At) -> tuple[float, float]:
    return at.get_attr("alpha", 0.2), at.get_attr("beta", 0.5)


def _evaluate_normal_cdf(at: At) -> Array:
    return 0.5 * (1 + at.bk.erf(at.x / math.sqrt(2)))


def _evaluate_gelu_inner(at: At) -> Array:
    return math.sqrt(2 / math.pi) * (at.x + 0.044715 * at.x * at.x * at.x)


def _evaluate_gelu(at: At) -> Array:
    if at.get_attr("approximate", "none") == "tanh":
        return 0.5 * at.x * (1 + at.bk.tanh(_evaluate_gelu_inner(at)))
    return at.x * _evaluate_normal_cdf(at)


def _differentiate_gelu(at: At) -> Array:
    x, bk = at.x, at.bk
    if at.get_attr("approximate", "none") == "tanh":
        t = bk.tanh(_evaluate_gelu_inner(at))
        inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner
    return _evaluate_normal_cdf(at) + x * bk.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _differentiate_mish(at: At) -> Array:
    t = at.bk.tanh(_evaluate_softplus(at))
    return t + at.x * (1 - t * t) * at.bk.sigmoid(at.x)


register_pointwise("Sigmoid", lambda at: at.bk.sigmoid(at.x), lambda at: at.y * (1 - at.y))
register_pointwise("Tanh", lambda at: at.bk.tanh(at.x), lambda at: 1 - at.y * at.y)
register_pointwise("Softplus", _evaluate_softplus, lambda at: at.bk.sigmoid(at.x))
register_pointwise(
    "Softsign",
    lambda at: at.x / (1 + abs(at.x)),
    lambda at: 1 / ((1 + abs(at.x)) * (1 + abs(at.x))),
)
register_pointwise(
    "HardSigmoid",
    lambda at: _evaluate_hard_sigmoid(at, *_read_hard_sigmoid(at)),
    lambda at: _differentiate_hard_sigmoid(at, *_read_hard_sigmoid(at)),
)
register_pointwise(
    "HardSwish",
    lambda at: at.x * _evaluate_hard_sigmoid(at, 1 / 6, 0.5),
    lambda at: (
        _evaluate_hard_sigmoid(at, 1 / 6, 0.5) + at.x * _differentiate_hard_sigmoid(at, 1 / 6, 0.5)
    ),
)
register_pointwise("Gelu", _evaluate_gelu, _differentiate_gelu)
register_pointwise(
    "Mish", lambda at: at.x * at.bk.tanh(_evaluate_softplus(at)), _differentiate_mish
)
register_pointwise(
    "Erf",
    lambda at: at.bk.erf(at.x),
    lambda at: 2 / math.sqrt(math.pi) * at.bk.exp(-at.x * at.x),
)
register_pointwise("Exp", lambda at: at.bk.exp(at.x), lambda at: at.y)
register_pointwise("Log", lambda at: at.bk.log(at.x), lambda at: 1 / at.x)
register_pointwise("Sqrt", lambda at: at.bk.sqrt(at.x), lambda at: 0.5 / at.y)
register_pointwise("Reciprocal", lambda at: 1 / at.x, lambda at: -at.y * at.y)


def _evaluate_pow(at: At) -> Array:
    return np.power(at.x, at.args[1]).astype(at.x.dtype)


def _differentiate_pow(at: At) -> Array:
    exponent = at.args[1]
    return exponent * at.bk.power(at.x, exponent - 1)


register_pointwise("Pow", _evaluate_pow, _differentiate_pow)


def _register_elementary(op: str, f: Callable[..., Array], slope: F) -> None:
    """Register a function that NumPy has and the backend's primitives do not name."""
    register_pointwise(op, lambda at: f(at.x), slope)


_register_elementary("Sin", np.sin, lambda at: np.cos(at.x))
_register_elementary("Cos", np.cos, lambda at: -np.sin(at.x))
_register_elementary("Tan", np.tan, lambda at: 1 + at.y * at.y)
_register_elementary("Asin", np.arcsin, lambda at: 1 / np.sqrt(1 - at.x * at.x))
_register_elementary("Acos", np.arccos, lambda at: -1 / np.sqrt(1 - at.x * at.x))
_register_elementary("Atan", np.arctan, lambda at: 1 / (1 + at.x * at.x))
_register_elementary("Sinh", np.sinh, lambda at: np.cosh(at.x))
_register_elementary("Cosh", np.cosh, lambda at: np.sinh(at.x))
_register_elementary("Asinh", np.arcsinh, lambda at: 1 / np.sqrt(1 + at.x * at.x))
_register_elementary("Acosh", np.arccosh, lambda at: 1 / np.sqrt(at.x * at.x - 1))
_register_elementary("Atanh", np.arctanh, lambda at: 1 / (1 - at.x * at.x))


def _evaluate_swish_gate(at: At) -> Array:
    return at.bk.sigmoid(at.get_attr("alpha", 1.0) * at.x)


def _differentiate_swish(at: At) -> Array:
    gate = _evaluate_swish_gate(at)
    return gate + at.get_attr("alpha", 1.0) * at.x * gate * (1 - gate)


register_pointwise("Swish", lambda at: at.x * _evaluate_swish_gate(at), _differentiate_swish)


def _mark_outside(at: At) -> tuple[Array, Array]:
    """Return 1 where x > lambd, and 1 where x < -lambd."""
    lambd = at.get_attr("lambd", 0.5)
    return _mark_above(at, lambd), at.bk.step(-at.x - lambd, strict=True)


def _evaluate_shrink(at: At) -> Array:
    above, below = _mark_outside(at)
    bias = at.get_attr("bias", 0.0)
    return (above * (at.x - bias) + below * (at.x + bias)).astype(at.x.dtype)


register_pointwise("Shrink", _evaluate_shrink, lambda at: add_up(_mark_outside(at)))

# -- Clip, and Max and Min against constants


def _read_bounds(at: At) -> tuple[Array, Array]:
    """Return the lower and the upper bound: numbers, or scalars that may depend on the signal."""

    def read(position: int, name: str, default: float) -> Array:
        given = at.get_arg(position)
        return at.get_attr(name, default) if given is None else at.bk.reshape(given, ())

    return read(1, "min", -math.inf), read(2, "max", math.inf)


def _differentiate_clip(at: At) -> Array:
    low, high = _read_bounds(at)
    inside = at.bk.ones_like(at.x)
    if not _is_absent(low):
        inside = inside * at.bk.step(at.x - low, strict=True)
    return inside if _is_absent(high) else inside * at.bk.step(high - at.x, strict=True)


def _is_absent(bound: Array) -> bool:
    return isinstance(bound, float) and math.isinf(bound)


POINTWISE.add("Clip")


@register_route(
    "Clip",
    evaluate=lambda at: np.clip(at.x, *_read_bounds(at)).astype(at.x.dtype),
    inputs=Inputs((0, 1, 2), together=True, frozen=(1, 2)),
)
def clip(at: At) -> Route:
    """An activation; the true tangent of bounds that depend on the signal leads to these."""
    if at.live == (0,):
        low = _read_bounds(at)[0]
        rectifies = not _is_absent(low) and at.bk.nonneg(low) and at.bk.nonneg(-low)
        return activation(at.x, at.y, lambda: _differentiate_clip(at), rectifies=rectifies)
    bk, (low, high) = at.bk, _read_bounds(at)
    below, above = bk.step(low - at.x, strict=False), bk.step(at.x - high, strict=False)
    masks = (_differentiate_clip(at), below, above)
    return route_choice(at, tuple(masks[i] for i in at.live), complete=False)


def _register_extreme(op: str, sign: float, f: Callable[..., Array]) -> None:
    """Register Max (sign 1) or Min (sign -1), reduced by a function of two arrays."""

    def evaluate(at: At) -> Array:
        at.grant_broadcast()
        return reduce(f, at.args)

    @register_route(op, evaluate=evaluate, inputs=ANY)
    def build(at: At) -> Route:
        """With a constant an activation; of several signals the first of the largest takes all."""
        bk, xs = at.bk, at.inputs
        fixed = [a for i, a in enumerate(at.args) if i not in at.live]
        if fixed and len(xs) == 1 and xs[0].shape == at.y.shape:
            rest = reduce(f, fixed)
            zero = bk.nonneg(rest) and bk.nonneg(-rest)
            slope = bk.step(sign * (xs[0] - rest), strict=True)
            return activation(
                xs[0], at.y, lambda: slope, homogeneous=zero, rectifies=zero and sign > 0
            )
        return _route_to_winner(at, (*xs, *fixed), sign)


def _route_to_winner(at: At, values: tuple[Array, ...], sign: float) -> Route:
    """Return the route of each element to the first of the largest values; constants come last."""
    bk, xs, shape = at.bk, at.inputs, at.y.shape
    best, masks = bk.expand(values[0], shape), [bk.ones_like(at.y)]
    for value in values[1:]:
        later = bk.step(sign * (value - best), strict=True)
        best = later * value + (1 - later) * best
        masks = [m * (1 - later) for m in masks] + [later]
    return route_choice(at, tuple(masks[: len(xs)]), complete=len(xs) == len(values))


_register_extreme("Max", 1.0, np.maximum)
_register_extreme("Min", -1.0, np.minimum)
