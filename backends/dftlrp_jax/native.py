"""What `dftlrp.check` asks JAX: a graph's own ops, and gradients by `jax.vjp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dftlrp.core.types import AnyArray
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.native import Arrays
from dftlrp.frameworks.checking.native_graph import NativeGraph

from .backend import BACKEND
from .functions import read_tensor

Tensors = dict[str, Any]


def make_native(model: Model) -> NativeGraph:
    """Return a graph's ops as what `dftlrp.check` compares the graph with."""
    return NativeGraph(model, BACKEND, find_slopes)


def find_slopes(f: Callable[[Tensors], Any], tensors: Tensors, c: AnyArray) -> Arrays:
    """Return the gradient of sum(c * f(tensors)) with respect to each of them."""
    with jax.enable_x64(True):
        z, pull = jax.vjp(f, tensors)
        (found,) = pull(jnp.asarray(c, z.dtype))
    return {k: read_tensor(g) for k, g in found.items()}
