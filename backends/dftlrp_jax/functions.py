"""JAX's functions by the names of the backend contract, most of which are NumPy's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dftlrp.core.backend import NUMPY_FUNCTIONS, Key, Window, slice_taps, window_size
from dftlrp.core.types import AnyArray, InputError, Shape
from dftlrp.frameworks.tensors import Framework, refuse_float

Tensor = Any


def make_framework(name: str) -> Framework:
    """Return JAX's functions on a device.

    Each of them may compute in float64, which JAX allows only where it is told to
    (`jax.enable_x64`), and in the full precision of its dtype; outside of them nothing is changed.

    Raises
    ------
    InputError
        There is no such device.
    """
    device = _find_device(name)

    def place(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @wraps(f)
        def call(*args: Any, **kwargs: Any) -> Tensor:
            precise = jax.default_matmul_precision("highest")
            with jax.enable_x64(True), jax.default_device(device), precise:
                return f(*args, **kwargs)

        return call

    def make_tensor(array: AnyArray, dtype: Any = None) -> Tensor:
        wanted = np.dtype(dtype or array.dtype)
        refuse_float("jax", wanted, on_cpu=device.platform == "cpu")
        return jnp.asarray(array, wanted)

    functions = {key: place(f) for key, f in FUNCTIONS.items()}
    return Framework(
        "jax",
        place(make_tensor),
        read_tensor,
        lambda x: x.dtype,
        (TypeError, ValueError),
        functions,
        tell_rounding=partial(_tell_matmul_precision, name),
    )


def _tell_matmul_precision(device: str, dtype: np.dtype[Any]) -> str:
    """Return what JAX's switch for products of float32 allows on the device."""
    config: Any = jax.config  # its attributes are made as JAX is imported
    exact = config.jax_default_matmul_precision in {"highest", "float32", "F32_F32_F32"}
    if dtype != np.float32 or exact or device.startswith("cpu"):
        return ""
    return f"less in products, as {device.partition(':')[0]} does by itself"


def _find_device(name: str) -> Any:
    platform, _, number = name.partition(":")
    try:
        return jax.devices(platform)[int(number)]
    except (RuntimeError, ValueError, IndexError) as error:
        there = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
        raise InputError(f"backend 'jax': no device {name!r}: there are {there}") from error


def read_tensor(x: Tensor) -> AnyArray:
    """Return the numbers of an array, also while `jax.grad` goes through it."""
    return np.asarray(lax.stop_gradient(x))


# -- places


def _pick(x: Tensor, index: Tensor, fill: float = 0.0) -> Tensor:
    return jnp.append(x.ravel(), jnp.asarray(fill, x.dtype))[index]  # -1 is the last


def _pick_T(r: Tensor, index: Tensor, shape: Shape) -> Tensor:
    size = math.prod(shape)  # one more for what belongs nowhere
    return jnp.zeros(size + 1, r.dtype).at[index].add(r)[:size].reshape(shape)


def _slice_T(r: Tensor, key: Key, shape: Shape) -> Tensor:
    return jnp.zeros(shape, r.dtype).at[key].set(r)


# -- convolutions and max pools


def _conv(x: Tensor, w: Tensor, g: Window) -> Tensor:
    return lax.conv_general_dilated(
        x, w, g.strides, g.pads, rhs_dilation=g.dilations, feature_group_count=g.groups
    )


def _conv_T(r: Tensor, w: Tensor, g: Window, size: Shape) -> Tensor:
    like = jnp.zeros((r.shape[0], w.shape[1] * g.groups, *size), r.dtype)
    return jax.linear_transpose(lambda x: _conv(x, w, g), like)(r)[0]


def _find_winners(x: Tensor, g: Window) -> Tensor:
    """Return the place of each window's winner in the padded, flattened channel of x."""
    counts = window_size(x.shape[2:], g)
    wide = _pad(x, g, -math.inf)
    places = np.arange(math.prod(wide.shape[2:])).reshape(wide.shape[2:])
    taps = np.stack([places[tap] for tap in slice_taps(g, counts)])
    read = wide.reshape((*x.shape[:2], -1))[:, :, taps]  # (B, C, taps, *counts)
    first = jnp.argmax(read, axis=2, keepdims=True)
    return jnp.take_along_axis(jnp.asarray(taps)[None, None], first, axis=2)[:, :, 0]


def _pad(x: Tensor, g: Window, value: float) -> Tensor:
    return jnp.pad(x, ((0, 0), (0, 0), *g.pads), constant_values=value)


def _maxpool(v: Tensor, x: Tensor, g: Window) -> Tensor:
    place = _find_winners(x, g)
    flat = _pad(v, g, 0.0).reshape((*v.shape[:2], -1))
    return jnp.take_along_axis(flat, place.reshape((*v.shape[:2], -1)), 2).reshape(place.shape)


def _maxpool_T(r: Tensor, x: Tensor, g: Window) -> Tensor:
    like = jnp.zeros(x.shape, r.dtype)
    return jax.linear_transpose(lambda v: _maxpool(v, x, g), like)(r)[0]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in NUMPY_FUNCTIONS},
    "argsort": lambda x, axis, kind: jnp.argsort(x, axis),  # always stable
    "getitem": lambda x, key: x[key],
    "astype": lambda x, dtype: x.astype(dtype),
    "pos": jax.nn.relu,
    "neg": lambda x: -jax.nn.relu(-x),
    "step": lambda x, strict: (x > 0 if strict else x >= 0).astype(x.dtype),
    "erf": lax.erf,
    "sigmoid": jax.nn.sigmoid,
    "slice_T": _slice_T,
    "pick": _pick,
    "pick_T": _pick_T,
    "conv": _conv,
    "conv_T": _conv_T,
    "maxpool": _maxpool,
    "maxpool_T": _maxpool_T,
}
