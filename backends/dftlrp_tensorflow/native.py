"""What `dftlrp.check` asks Keras and TensorFlow: what layers give, and gradients by a tape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree

from dftlrp.core.types import AnyArray
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.native import Arrays, Ran

from .backend import BACKEND
from .loading import _paths

DOUBLE = np.dtype(np.float64)
Tensors = dict[str, Any]


def native(source: Any, example: Any = None) -> NativeModel | NativeGraph:
    """A Keras model, or a graph whose ops TensorFlow runs."""
    return NativeGraph(source) if isinstance(source, Model) else NativeModel(source, example)


class NativeModel:
    """A Keras model as it infers, in its own dtype."""

    dtype, backend = "float32", "tensorflow"
    notes: tuple[str, ...] = ()

    def __init__(self, model: Any, example: Any) -> None:
        self.model, self.name = model, f"the Keras model {model.name}"
        given = example if isinstance(example, Mapping) else None
        several = example if isinstance(example, list | tuple) else [example]
        items = given.items() if given else ((str(i), x) for i, x in enumerate(several))
        self.example = {k: np.asarray(x) for k, x in items if x is not None}

    def run(self, inputs: Arrays) -> Ran:
        """The forward pass."""
        parts: Tensors = {}
        with _recorded(self.model, parts):
            outputs = self._called({k: tf.constant(a) for k, a in inputs.items()})
        return Ran(*({k: t.numpy() for k, t in x.items()} for x in (outputs, parts)))

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """By a gradient tape."""
        signals = {k: tf.constant(a) for k, a in inputs.items()}
        return _slopes(signals, lambda: self._called(signals)[output], c)

    def _called(self, inputs: Tensors) -> Tensors:
        own = self.model.dtype
        cast = [tf.cast(t, own) if t.dtype.is_floating else t for t in inputs.values()]
        like = getattr(self.model, "_inputs_struct", None)
        given = cast[0] if len(cast) == 1 else cast
        y = self.model(tree.pack_sequence_as(like, cast) if like is not None else given)
        return {f"output.{i}": t for i, t in enumerate(tree.flatten(y))}


class NativeGraph:
    """The graph's own ops, on TensorFlow's tensors in float64."""

    name, dtype, backend = "its ops run by tensorflow", "float64", "tensorflow"
    example: Arrays = {}  # noqa: RUF012
    notes: tuple[str, ...] = ()

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Arrays) -> Ran:
        """The forward pass."""
        values = {k: BACKEND.read(v) for k, v in self._values(inputs, {}).items()}
        outputs = {k: values[k] for k in self.model.graph.outputs if k in values}
        return Ran(outputs, {k: v for k, v in values.items() if v.dtype.kind == "f"})

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays:
        """By a gradient tape."""
        known = self.model.plan().signals
        signals = {k: tf.constant(a) for k, a in inputs.items() if k in known}

        def z() -> Any:
            wrapped = {k: BACKEND.framework.wrap(t) for k, t in signals.items()}
            return self._values(inputs, wrapped)[output].tensor

        return _slopes(signals, z, c)

    def _values(self, inputs: Arrays, given: Mapping[str, Any]) -> dict[str, Any]:
        known = self.model.plan().signals
        plan = self.model.plan(bind={k: a for k, a in inputs.items() if k not in known})
        constants = self.model.constants(BACKEND, DOUBLE)
        signals = {k: BACKEND.signal(inputs[k]) for k in plan.signals}
        values = evaluate(plan, {**constants, **signals, **given}, BACKEND, DOUBLE).values
        return {k: v for k, v in values.items() if k not in constants}


@contextmanager
def _recorded(model: Any, parts: Tensors) -> Iterator[None]:
    """While it lasts each layer leaves the first tensor that it gives under its path."""
    with ExitStack() as after:
        for layer, path in _paths(model).items():
            object.__setattr__(layer, "call", _leaving(path, layer.call, parts))
            after.callback(object.__delattr__, layer, "call")
        yield


def _leaving(path: str, call: Callable[..., Any], parts: Tensors) -> Callable[..., Any]:
    @wraps(call)
    def leaving(*args: Any, **kwargs: Any) -> Any:
        y = call(*args, **kwargs)
        parts[path] = tree.flatten(y)[0]
        return y

    return leaving


def _slopes(signals: Tensors, z: Callable[[], Any], c: AnyArray) -> Arrays:
    moving = {k: t for k, t in signals.items() if t.dtype.is_floating}
    with tf.GradientTape() as tape:
        tape.watch(list(moving.values()))
        made = z()
        total = tf.reduce_sum(made * tf.cast(c, made.dtype))
    found = tape.gradient(total, moving, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {k: g.numpy() for k, g in found.items()}
