"""TensorFlow's functions by the names of the backend contract."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from dftlrp.core.types import AnyArray, InputError, Shape
from dftlrp.frameworks.tensors import Framework, refuse_float, sort_slices

from .kernels import Tensor, conv, conv_T, maxpool, maxpool_T, pad_axes, write_slices


def make_framework(device: str) -> Framework:
    """Return TensorFlow's functions on a device.

    Raises
    ------
    InputError
        There is no such device.
    """
    known = [d.name.removeprefix("/device:") for d in tf.config.list_logical_devices()]
    if device not in known:
        others = ", ".join(known)
        raise InputError(f"backend 'tensorflow': no device {device!r}: there are {others}")

    def make_tensor(array: AnyArray, dtype: Any = None) -> Tensor:
        wanted = np.dtype(dtype or array.dtype)
        refuse_float("tensorflow", wanted, on_cpu=device.startswith("CPU"))
        with tf.device(device):
            return tf.constant(np.asarray(array, wanted))

    def place(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: Any, **kwargs: Any) -> Tensor:
            try:
                with tf.device(device):
                    return f(*args, **kwargs)
            except tf.errors.OpError as error:  # behind which op of which device
                raise ValueError(error.message.rpartition("}} ")[2]) from error

        return call

    functions = {name: place(f) for name, f in FUNCTIONS.items()}
    return Framework(
        "tensorflow", make_tensor, lambda x: x.numpy(), find_dtype, (ValueError,), functions,
        tell_rounding=partial(_tell_tf32, device),
    )  # fmt: skip


def _tell_tf32(device: str, dtype: np.dtype[Any]) -> str:
    """Return whether TensorFlow may take TF32 on the device."""
    allowed = tf.config.experimental.tensor_float_32_execution_enabled()
    on_gpu = device.startswith("GPU") and dtype == np.float32
    return "TF32 in products, on devices that have it" if allowed and on_gpu else ""


def find_dtype(x: Tensor) -> np.dtype[Any]:
    """Return the dtype as one of NumPy."""
    dtype: np.dtype[Any] = np.dtype(x.dtype.as_numpy_dtype)
    return dtype


# -- several of one dtype, which TensorFlow leaves to the caller


def _unify(*xs: Any) -> list[Tensor]:
    """Return tensors of one dtype, that of the floats among them; numbers follow the tensors."""
    kinds = [find_dtype(x) if tf.is_tensor(x) else x for x in xs]
    floats = [k for k in kinds if isinstance(k, np.dtype) and k.kind == "f"]
    dtype = np.result_type(*(floats or kinds))
    return [tf.cast(x, dtype) if tf.is_tensor(x) else tf.constant(np.asarray(x, dtype)) for x in xs]


def _take_two(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function of two tensors, one of which may be a number."""
    return lambda a, b: f(*_unify(a, b))


def _where(condition: Any, a: Any, b: Any) -> Tensor:
    return tf.where(tf.cast(condition, tf.bool), *_unify(a, b))


def _concatenate(xs: tuple[Tensor, ...], axis: int = 0) -> Tensor:
    return tf.concat(_unify(*xs), axis)


def _clip(x: Tensor, low: Any, high: Any) -> Tensor:
    for bound, f in ((low, tf.maximum), (high, tf.minimum)):
        x = x if bound is None else _take_two(f)(x, bound)
    return x


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply as NumPy does; TensorFlow itself takes no vectors."""
    a, b = _unify(a, b)
    left, right = len(a.shape) == 1, len(b.shape) == 1
    y = tf.matmul(a[None] if left else a, b[:, None] if right else b)
    y = y[..., 0] if right else y
    return y if not left else y[..., 0] if right else y[..., 0, :]


# -- places


def _slice_T(r: Tensor, key: tuple[slice, ...], shape: Shape) -> Tensor:
    ups, down = sort_slices(key, shape)
    return write_slices(tf.reverse(r, down) if down else r, ups, shape)


def _getitem(x: Tensor, key: Any) -> Tensor:
    """Index by slices and integers, or by one tensor of integers."""
    return _take(x, key, 0) if tf.is_tensor(key) else x[key]


def _pad(x: Tensor, pads: Any, constant_values: float) -> Tensor:
    return pad_axes(x, tuple((int(a), int(b)) for a, b in pads), constant_values)


def _pick(x: Tensor, index: Tensor, fill: float = 0.0) -> Tensor:
    flat = tf.concat([tf.reshape(x, (-1,)), tf.constant([fill], x.dtype)], 0)
    return tf.gather(flat, tf.where(index < 0, tf.size(x, index.dtype), index))


def _pick_T(r: Tensor, index: Tensor, shape: Shape) -> Tensor:
    index = tf.broadcast_to(index, r.shape)  # what is below zero is left out
    return tf.reshape(tf.math.unsorted_segment_sum(r, index, math.prod(shape)), shape)


def _take(x: Tensor, index: Any, axis: int) -> Tensor:
    places = tf.convert_to_tensor(index)
    return tf.gather(x, tf.where(places < 0, places + x.shape[axis], places), axis=axis)


def _moveaxis(x: Tensor, source: Any, destination: Any) -> Tensor:
    like = np.empty(range(len(x.shape)))  # its axes are as long as they are called
    return tf.transpose(x, np.moveaxis(like, source, destination).shape)


def _flip(x: Tensor, axis: Any) -> Tensor:
    return tf.reverse(x, [axis] if isinstance(axis, int) else axis)


# -- along axes


def _sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return tf.reduce_sum(tf.cast(x, tf.int64) if x.dtype == tf.bool else x, axis, keepdims)


def _make_extreme(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
        if initial is not None and 0 in x.shape:
            return tf.reduce_sum(x, axis, keepdims) + initial
        return f(x, axis, keepdims)

    return call


def _make_arg(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that finds the first of the largest, which TensorFlow does not promise."""

    def call(x: Tensor, axis: int, keepdims: bool = False) -> Tensor:
        best = tf.cast(x == f(x, axis, True), tf.int64)
        shape = [-1 if i == axis % len(x.shape) else 1 for i in range(len(x.shape))]
        count = tf.reshape(tf.range(x.shape[axis], 0, -1, tf.int64), shape)
        found = tf.argmax(best * count, axis)
        return tf.expand_dims(found, axis) if keepdims else found

    return call


def _drop_dtype(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, axis, dtype=None: f(x, axis)


def _einsum(equation: str, *xs: Tensor, optimize: Any = None) -> Tensor:
    return tf.einsum(equation, *_unify(*xs))


def _step(x: Tensor, strict: bool) -> Tensor:
    return tf.cast(x > 0 if strict else x >= 0, x.dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # the contract's
    "pos": tf.nn.relu, "neg": lambda x: tf.minimum(x, tf.zeros((), x.dtype)), "step": _step,
    "erf": tf.math.erf, "sigmoid": tf.sigmoid, "slice_T": _slice_T, "pick": _pick,
    "pick_T": _pick_T, "conv": conv, "conv_T": conv_T, "maxpool": maxpool, "maxpool_T": maxpool_T,
    # the array's
    "getitem": _getitem, "astype": tf.cast, "reshape": tf.reshape, "transpose": tf.transpose,
    # NumPy's
    **{n: getattr(tf.math, n) for n in (
        "exp", "log", "sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh", "sign", "floor", "ceil",
        "negative",
    )},
    **{n: getattr(tf.math, n.replace("arc", "a")) for n in (
        "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh",
    )},
    "absolute": tf.abs, "rint": tf.round, "round": tf.round,
    "isfinite": tf.math.is_finite, "isnan": tf.math.is_nan, "isinf": tf.math.is_inf,
    "isneginf": lambda x: tf.equal(x, -math.inf), "matmul": _matmul,
    **{n: _take_two(getattr(tf.math, n)) for n in (
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "greater", "greater_equal",
        "less", "less_equal", "equal",
    )},
    "fmod": _take_two(tf.truncatemod), "power": _take_two(tf.pow),
    "sum": _sum, "max": _make_extreme(tf.reduce_max), "min": _make_extreme(tf.reduce_min),
    "argmax": _make_arg(tf.reduce_max), "argmin": _make_arg(tf.reduce_min),
    "where": _where, "einsum": _einsum, "take": _take, "clip": _clip,
    "concatenate": _concatenate, "pad": _pad,
    "cumsum": _drop_dtype(tf.cumsum), "cumprod": _drop_dtype(tf.math.cumprod),
    "argsort": lambda x, axis, kind: tf.argsort(x, axis, stable=True),
    "flip": _flip, "moveaxis": _moveaxis,
    "broadcast_to": tf.broadcast_to,
    "ones_like": tf.ones_like, "zeros_like": tf.zeros_like,
    "full_like": lambda x, value: tf.fill(x.shape, tf.constant(value, x.dtype)),
}  # fmt: skip
