"""torch's functions by the names of the backend contract."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dftlrp.core.types import AnyArray, InputError, Shape
from dftlrp.frameworks.tensors import Framework, refuse_float, sort_slices

from .kernels import conv, conv_T, maxpool, maxpool_T, pad_axes
from .precision import tell_rounding

DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    getattr(torch, n): np.dtype(n)
    for n in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
}
TORCH = {ours: theirs for theirs, ours in DTYPES.items()}


def make_framework(device: str) -> Framework:
    """Return torch's functions on a device.

    Raises
    ------
    InputError
        There is no such device.
    """
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"backend 'torch': no device {device!r}: {line}") from error

    def make_tensor(array: AnyArray, dtype: Any = None) -> Tensor:
        wanted = np.dtype(dtype or array.dtype)
        if wanted.kind == "f":
            refuse_float("torch", wanted, on_cpu=place.type == "cpu")
        elif wanted not in TORCH:  # unsigned and long ones
            wanted = np.dtype(np.int64)
        plain = np.ascontiguousarray(array, wanted)
        writable = plain if plain.flags.writeable else plain.copy()
        with make_lasting():
            return torch.from_numpy(writable).reshape(array.shape).to(place)

    return Framework(
        "torch", make_tensor, read_tensor, lambda x: DTYPES[x.dtype], (RuntimeError,), FUNCTIONS,
        make_lasting, partial(tell_rounding, device),
    )  # fmt: skip


@contextmanager
def make_lasting() -> Iterator[None]:
    """Make tensors that may be used elsewhere, also where torch is in inference mode."""
    graph = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(graph):
        yield


def read_tensor(x: Tensor) -> AnyArray:
    """Return the numbers of a tensor, without gradient."""
    array: AnyArray = x.detach().cpu().resolve_neg().numpy()
    return array


def _make_like(x: Any, like: Tensor) -> Tensor:
    """Return a tensor, also of a number, in the dtype and on the device of another one."""
    return x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=like.dtype, device=like.device)


def _take_two(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function of two tensors, one of which may be a number."""

    def call(a: Any, b: Any) -> Tensor:
        like = a if isinstance(a, Tensor) else b
        return f(_make_like(a, like), _make_like(b, like))

    return call


def _keep_dtype(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function whose result has the dtype of x, also where autocast computes in less."""

    def call(x: Tensor, *others: Any) -> Tensor:
        y = f(x, *others)
        return y if y.dtype == x.dtype else y.to(x.dtype)

    return call


def _step(x: Tensor, strict: bool) -> Tensor:
    """Use the sign, which is ten times as fast as a comparison cast to floats."""
    sign = torch.sign(x.detach())
    return sign.relu_() if strict else sign.add_(1).clamp_(max=1)


def _getitem(x: Tensor, key: Any) -> Tensor:
    """Index as NumPy does; torch itself has no slices that go down."""
    keys = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(k, slice) and (k.step or 1) < 0 for k in keys):
        return x[keys]
    if not all(isinstance(k, slice) for k in keys):
        raise InputError("a slice that goes down beside other indices")
    ups, down = sort_slices(keys, tuple(x.shape))
    return x[ups].flip(down)


def _slice_T(r: Tensor, key: tuple[slice, ...], shape: Shape) -> Tensor:
    ups, down = sort_slices(key, shape)
    out = r.new_zeros(shape)
    out[ups] = r.flip(down) if down else r
    return out


def _pad(x: Tensor, pads: Any, constant_values: float) -> Tensor:
    return pad_axes(x, tuple((int(a), int(b)) for a, b in pads), float(constant_values))


def _pick(x: Tensor, index: Tensor, fill: float = 0.0) -> Tensor:
    found = x.reshape(-1)[index.clamp(min=0)]
    return torch.where(index < 0, fill, found)


def _pick_T(r: Tensor, index: Tensor, shape: Shape) -> Tensor:
    size = math.prod(shape)
    places = torch.where(index < 0, size, index).reshape(-1)  # one more for what belongs nowhere
    sums = r.new_zeros(size + 1).index_add(0, places, r.reshape(-1))
    return sums[:size].reshape(shape)


def _list_axes(x: Tensor, axis: Any) -> Shape:
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(int(a) for a in axis) if isinstance(axis, tuple | list) else (int(axis),)


def _sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    axes = _list_axes(x, axis)
    return x.sum(axes, keepdim=keepdims) if axes else x


def _make_extreme(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
        axes = _list_axes(x, axis)
        if initial is not None and 0 in x.shape:
            x = _sum(x, axes, True) + initial
        y: Tensor = f(x, dim=axes, keepdim=keepdims) if axes else x
        return y

    return call


def _make_arg(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that finds the first of the largest, which torch does not promise."""

    def call(x: Tensor, axis: int, keepdims: bool = False) -> Tensor:
        best = x == f(x, dim=axis, keepdim=True)
        count = torch.arange(x.shape[axis], device=x.device).flip(0)
        shape = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
        return (best * (1 + count.reshape(shape))).argmax(axis, keepdim=keepdims)

    return call


def _where(condition: Any, a: Any, b: Any) -> Tensor:
    like = next(x for x in (a, b, condition) if isinstance(x, Tensor))
    if not isinstance(condition, Tensor):
        condition = torch.as_tensor(condition, device=like.device)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = torch.as_tensor(a, device=like.device)
    return torch.where(condition.bool(), a, b)


def _einsum(equation: str, *xs: Tensor, optimize: Any = None) -> Tensor:
    return _keep_dtype(lambda *given: torch.einsum(equation, *given))(*xs)


def _take(x: Tensor, index: Any, axis: int) -> Tensor:
    places = torch.as_tensor(index, device=x.device)
    places = torch.where(places < 0, places + x.shape[axis], places)
    axis %= x.ndim
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _concatenate(xs: tuple[Tensor, ...], axis: int = 0) -> Tensor:
    like = next(x for x in xs if x.is_floating_point() or x is xs[-1])
    return torch.cat([x.to(like.dtype) for x in xs], axis)


def _clip(x: Tensor, low: Any, high: Any) -> Tensor:
    return torch.clamp(x, low, high) if type(low) is type(high) else _clip_each(x, low, high)


def _clip_each(x: Tensor, low: Any, high: Any) -> Tensor:
    return torch.minimum(torch.maximum(x, _make_like(low, x)), _make_like(high, x))


def _drop_dtype(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor, axis: int, dtype: Any = None) -> Tensor:
        return f(x, axis)

    return call


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # the contract's
    "pos": torch.relu, "neg": lambda x: torch.clamp(x, max=0), "step": _step, "erf": torch.erf,
    "sigmoid": torch.sigmoid, "slice_T": _slice_T, "pick": _pick, "pick_T": _pick_T,
    "conv": _keep_dtype(conv), "conv_T": _keep_dtype(conv_T), "matmul": _keep_dtype(torch.matmul),
    "maxpool": maxpool, "maxpool_T": maxpool_T,
    # the array's
    "getitem": _getitem, "astype": lambda x, dtype: x.to(TORCH[dtype]),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, perm: x.permute(perm),
    # NumPy's
    **{n: getattr(torch, n) for n in (
        "exp", "log", "sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh", "arcsin",
        "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "sign", "floor", "ceil",
        "isfinite", "isnan", "isinf", "isneginf", "negative", "absolute",
    )},
    "rint": torch.round, "round": torch.round,
    # operators take a number as it is, without a tensor on the device for it
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "greater": operator.gt, "greater_equal": operator.ge,
    "less": operator.lt, "less_equal": operator.le, "equal": operator.eq,
    **{n: _take_two(getattr(torch, n)) for n in ("maximum", "minimum", "fmod")},
    "power": torch.pow,
    "sum": _sum, "max": _make_extreme(torch.amax), "min": _make_extreme(torch.amin),
    "argmax": _make_arg(torch.amax), "argmin": _make_arg(torch.amin),
    "where": _where, "einsum": _einsum, "take": _take, "clip": _clip,
    "concatenate": _concatenate, "pad": _pad,
    "cumsum": _drop_dtype(torch.cumsum), "cumprod": _drop_dtype(torch.cumprod),
    "argsort": lambda x, axis, kind: torch.argsort(x, dim=axis, stable=True),
    "flip": lambda x, axis: x.flip((axis,) if isinstance(axis, int) else axis),
    "moveaxis": torch.moveaxis,
    "broadcast_to": lambda x, shape: x.expand(shape),
    "ones_like": torch.ones_like, "zeros_like": torch.zeros_like, "full_like": torch.full_like,
}  # fmt: skip
