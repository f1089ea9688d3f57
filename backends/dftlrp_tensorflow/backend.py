"""The backend that computes on TensorFlow's tensors, and relevance with a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dftlrp.core.types import InputError
from dftlrp.frameworks.differentiable import make_relevance
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Framework

Tensor = Any


EXAMPLE = """\
>>> import tensorflow as tf
>>> x = tf.Variable(tf.random.normal((1, 1, 8000)))
>>> with tf.GradientTape() as tape:
...     R = dftlrp_tensorflow.relevance(dftlrp.load("waveform"), x, target=7)
...     loss = tf.reduce_sum(R[..., :4000])  # on relevance
>>> tape.gradient(loss, x).shape == R.shape
True
"""


class TensorFlowBackend(TensorBackend):
    """The backend on a device as TensorFlow calls it: ``/CPU:0``, ``GPU:1``."""

    package, title, device = "tensorflow", "TensorFlow", "CPU:0"

    def read_device(self, text: str) -> str:
        """Return the name of a device without its prefix."""
        return text.removeprefix("/").removeprefix("device:").upper()

    def make_framework(self) -> Framework:
        """Return TensorFlow's functions; TensorFlow is imported only now."""
        from .functions import make_framework

        return make_framework(self.device)


def _convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return variables as tensors, too; refuse what a `tensorflow.function` traces."""
    import tensorflow as tf

    if not tf.executing_eagerly():
        raise InputError("relevance needs numbers: call it outside of tensorflow.function")
    return {name: tf.convert_to_tensor(t) for name, t in tensors.items()}


def _describe(t: Tensor) -> tuple[str, str]:
    return t.device.rpartition("device:")[2], t.dtype.name


BACKEND = TensorFlowBackend()
relevance = make_relevance(TensorFlowBackend, _describe, _convert, EXAMPLE)
__test__ = {"relevance": relevance}  # whose example doctest runs
