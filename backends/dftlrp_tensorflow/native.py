"""What `dftlrp.check` asks Keras and TensorFlow: what layers give, and gradients by a tape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree

from dftlrp.core.types import AnyArray
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.native import Arrays, Ran
from dftlrp.frameworks.checking.native_graph import NativeGraph

from .backend import BACKEND
from .keras_calls import find_coarsest
from .keras_layers import recorded

Tensors = dict[str, Any]


def make_native(source: Any, example: Any = None) -> NativeModel | NativeGraph:
    """Return a Keras model, or a graph's ops, as what `dftlrp.check` compares a graph with."""
    if isinstance(source, Model):
        return NativeGraph(source, BACKEND, find_slopes)
    return NativeModel(source, example)


def find_slopes(f: Callable[[Tensors], Any], tensors: Tensors, c: AnyArray) -> Arrays:
    """Return the gradient of sum(c * f(tensors)) with respect to each of them, by a tape."""
    with tf.GradientTape() as tape:
        tape.watch(list(tensors.values()))
        z = f(tensors)
        total = tf.reduce_sum(z * tf.cast(c, z.dtype))
    found = tape.gradient(total, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {k: g.numpy() for k, g in found.items()}


class NativeModel:
    """A Keras model as it infers, in its own dtype."""

    backend = "tensorflow"
    notes: tuple[str, ...] = ()

    def __init__(self, model: Any, example: Any) -> None:
        self.model, self.name = model, f"the Keras model {model.name}"
        self.dtype = "float64" if find_coarsest(model) == "float64" else "float32"
        given = example if isinstance(example, Mapping) else None
        several = example if isinstance(example, list | tuple) else [example]
        items = given.items() if given else ((str(i), x) for i, x in enumerate(several))
        self.example = {k: np.asarray(x) for k, x in items if x is not None}

    def run(self, inputs: Arrays) -> Ran:
        """Return what the model and its layers give."""
        with recorded(self.model) as parts:
            outputs = self._call({k: tf.constant(a) for k, a in inputs.items()})
        return Ran(*({k: t.numpy() for k, t in x.items()} for x in (outputs, parts)))

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """Return the gradient of sum(c * output) with respect to each input of floats."""
        given = {k: tf.constant(a) for k, a in inputs.items()}
        signals = {k: t for k, t in given.items() if t.dtype.is_floating}
        return find_slopes(lambda tensors: self._call({**given, **tensors})[output], signals, c)

    def _call(self, inputs: Tensors) -> Tensors:
        own = self.model.dtype
        cast = [tf.cast(t, own) if t.dtype.is_floating else t for t in inputs.values()]
        like = getattr(self.model, "_inputs_struct", None)
        given = cast[0] if len(cast) == 1 else cast
        y = self.model(tree.pack_sequence_as(like, cast) if like is not None else given)
        return {f"output.{i}": t for i, t in enumerate(tree.flatten(y))}
