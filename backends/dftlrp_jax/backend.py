"""The backend that computes on JAX's arrays, and relevance that JAX differentiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dftlrp.core.types import InputError
from dftlrp.frameworks.differentiable import make_relevance
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Framework

Tensor = Any


EXAMPLE = """\
>>> import jax
>>> model, x = dftlrp.load("waveform"), jax.random.normal(jax.random.key(0), (1, 1, 8000))
>>> def loss(x):  # on relevance
...     return dftlrp_jax.relevance(model, x, target=7)[..., :4000].sum()
>>> jax.grad(loss)(x).shape
(1, 1, 8000)
"""


class JaxBackend(TensorBackend):
    """The backend on a device as JAX calls it: ``cpu:0``, ``gpu:1``, ``tpu:0``."""

    package, title, device = "jax", "JAX", "cpu:0"

    def read_device(self, text: str) -> str:
        """Return the name of a device with its number."""
        return text if ":" in text else f"{text}:0"

    def make_framework(self) -> Framework:
        """Return JAX's functions; JAX is imported only now."""
        from .functions import make_framework

        return make_framework(self.device)


def _refuse_traced(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Refuse what `jax.jit` traces; what `jax.grad` traces has numbers."""
    import jax

    if any(isinstance(jax.lax.stop_gradient(t), jax.core.Tracer) for t in tensors.values()):
        raise InputError("relevance needs numbers: call it outside of jax.jit")
    return dict(tensors)


def _describe(t: Tensor) -> tuple[str, str]:
    import jax

    (device,) = jax.lax.stop_gradient(t).devices()
    return f"{device.platform}:{device.id}", t.dtype.name


BACKEND = JaxBackend()
relevance = make_relevance(JaxBackend, _describe, _refuse_traced, EXAMPLE)
__test__ = {"relevance": relevance}  # whose example doctest runs
