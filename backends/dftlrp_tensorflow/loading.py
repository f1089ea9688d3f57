"""From a Keras model to a model, by tf2onnx in memory; Keras is imported when one is given.

While the model is traced, each of its layers computes in a name scope that is its path.  So the
nodes that a layer becomes are known by the layer's own name, whatever Keras calls its scopes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np
from onnx import ModelProto, defs

from dftlrp.core.types import InputError, ModelError
from dftlrp.engine.model import Model, from_bytes

OPSET = 18
Keras = Any


def load(model: Keras, example: Any = None) -> Model:
    """A Keras model as a model; its layers carry the Keras layers' names.

    It is traced as it infers (``training=False``).  Nothing is written to disk.  The weights are
    those of now: load again after a training step.

    Parameters
    ----------
    model : keras.Model
        On Keras' TensorFlow backend.
    example : array, or list or dict of arrays, optional
        What it reads, batch first, if it does not declare that, as subclasses of ``keras.Model``.

    Raises
    ------
    InputError
        It does not declare what it reads, and no example is given; it does not run on that; Keras
        has another backend; tf2onnx is not installed.
    ModelError
        It decides by numbers of its signals what it does, or holds an op that tf2onnx cannot
        export; also all of `dftlrp.load`.
    """
    _refuse_other_backends()
    specs, paths = _declared(model, example), _paths(model)
    with _scoped(paths):
        proto = _exported(model, specs)
    names = _parts(proto, set(paths.values()))
    loaded = from_bytes(proto.SerializeToString(), model.name)
    nodes = (replace(n, names=names.get(n.output, ())) for n in loaded.graph.nodes)
    return replace(loaded, graph=replace(loaded.graph, nodes=tuple(nodes)))


def _refuse_other_backends() -> None:
    import keras

    if (other := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"Keras computes by {other}: set KERAS_BACKEND=tensorflow, which exports its models"
        )


def _declared(model: Keras, example: Any) -> Any:
    """The specs of what the model reads, in the structure that it is called with; any batch."""
    import tensorflow as tf
    from keras import tree

    if declared := getattr(model, "inputs", None):
        specs = [
            tf.TensorSpec(x.shape, x.dtype, _called(x.name, i)) for i, x in enumerate(declared)
        ]
        return tree.pack_sequence_as(getattr(model, "_inputs_struct", declared[0]), specs)
    if example is None:
        raise InputError(
            f"{model.name} does not say what it reads: give an example, batch first: "
            "dftlrp.load(model, example=x)"
        )
    if isinstance(example, Mapping):
        return {name: _spec(x, name) for name, x in example.items()}
    if isinstance(example, list | tuple):
        return [_spec(x, _called("", i)) for i, x in enumerate(example)]
    return _spec(example, "input")


def _spec(x: Any, name: str) -> Any:
    """Of an example; floats in Keras' own dtype."""
    import keras
    import tensorflow as tf

    array = np.asarray(x)
    dtype = array.dtype if array.dtype.kind in "iub" else keras.config.floatx()
    return tf.TensorSpec((None, *array.shape[1:]), dtype, name)


def _called(name: str, place: int) -> str:
    """The name of an input; Keras numbers those that have none through the whole session."""
    own = name and not name.startswith("keras_tensor")
    return name if own else f"input_{place}" if place else "input"


# -- the layers


def _paths(layer: Keras, above: str = "") -> dict[Keras, str]:
    """The path of each layer within the model: names of layers, by slashes."""
    found = dict[Any, str]()
    for part in layer._flatten_layers(include_self=False, recursive=False):
        found |= {part: above + part.name, **_paths(part, f"{above}{part.name}/")}
    return found


@contextmanager
def _scoped(paths: Mapping[Keras, str]) -> Iterator[None]:
    """While it lasts each layer computes in the scope that is its path."""
    with ExitStack() as after:
        for layer, path in paths.items():
            object.__setattr__(layer, "call", _within(path, layer.call))
            after.callback(object.__delattr__, layer, "call")
        yield


def _within(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    @wraps(call)
    def scoped(*args: Any, **kwargs: Any) -> Any:
        with tf.name_scope(f"{path}/"):  # as it is: with a slash it is not made unique
            return call(*args, **kwargs)

    return scoped


def _parts(proto: ModelProto, paths: set[str]) -> dict[str, tuple[str, ...]]:
    """The path of the layer that each value is computed in, by value.

    What the exporter adds has no scope: it is of the layer that makes the last of what it reads.
    """
    found = dict[str, tuple[str, ...]]()
    for node in proto.graph.node:
        path = _path(node.name, paths)
        read = [found[name] for name in node.input if name in found and "/" not in node.name]
        for value in node.output:
            found[value] = (path,) if path else read[-1] if read else ()
    return found


def _path(scope: str, paths: set[str]) -> str:
    """The deepest layer that a scope lies in."""
    while scope and scope not in paths:
        scope = scope.rpartition("/")[0]
    return scope


# -- the export


def _exported(model: Keras, specs: Any) -> ModelProto:
    """The graph, its outputs by their own names."""
    import tensorflow as tf
    from keras import tree

    flat, names = tree.flatten(specs), list[str]()

    def run(*xs: Any) -> Any:
        y = model(tree.pack_sequence_as(specs, xs), training=False)
        names[:] = _names(y, len(tree.flatten(y)))
        return tree.flatten(y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's and tf2onnx' own
        graph = tf.function(run, autograph=False)
        _traced(graph, model.name, flat)
        proto = _converted(graph, model.name, flat)
    _rename_outputs(proto, names)
    return proto


def _names(y: Any, count: int) -> list[str]:
    if isinstance(y, Mapping) and len(y) == count:
        return sorted(map(str, y))
    return [f"output.{i}" for i in range(count)] if count > 1 else ["output"]


def _rename_outputs(proto: ModelProto, names: list[str]) -> None:
    new = {value.name: name for value, name in zip(proto.graph.output, names, strict=True)}
    for node in proto.graph.node:
        node.input[:] = [new.get(v, v) for v in node.input]
        node.output[:] = [new.get(v, v) for v in node.output]
    for value in proto.graph.output:
        value.name = new[value.name]


def _traced(run: Any, name: str, specs: list[Any]) -> None:
    """Refuse what does not run on its inputs."""
    import tensorflow as tf

    try:
        run.get_concrete_function(*specs)
    except tf.errors.OperatorNotAllowedInGraphError as error:
        raise ModelError(
            f"{name}: its control flow depends on numbers of the signal, "
            "so no one graph explains it"
        ) from error
    except Exception as error:
        shapes = ", ".join(f"{s.name} {tuple(s.shape)}" for s in specs)
        raise InputError(f"{name} does not run on {shapes}: {_line(error)}") from error


def _converted(run: Any, name: str, specs: list[Any]) -> ModelProto:
    try:
        import tf2onnx
    except ImportError as error:
        raise InputError("Keras models need tf2onnx: pip install 'dftlrp[tensorflow]'") from error
    try:
        proto: ModelProto = tf2onnx.convert.from_function(run, specs, opset=OPSET)[0]
    except Exception as error:
        raise ModelError(f"{name}: tf2onnx cannot export it: {_line(error)}") from error
    if left := sorted({n.op_type for n in proto.graph.node if not defs.has(n.op_type, n.domain)}):
        raise ModelError(
            f"{name}: tf2onnx cannot export {', '.join(left)}: it left the op as it is"
        )
    return proto


def _line(error: Exception) -> str:
    text = re.sub(r"\x1b\[\d*m", "", f"{type(error).__name__}: {error}")  # Keras writes in bold
    return " ".join(text.split())[:300]
