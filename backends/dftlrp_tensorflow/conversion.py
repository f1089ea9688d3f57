"""From a Keras model to an ONNX graph, by tf2onnx in memory, with the layers' paths.

While the model is traced, each of its layers computes in a name scope that is its path.  So the
nodes that a layer becomes are known by the layer's own name, whatever Keras calls its scopes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
from keras import tree
from onnx import ModelProto, defs

from dftlrp.core.types import InputError, ModelError
from dftlrp.frameworks.exported import word_error

from .keras_calls import name_outputs, word_keras_error
from .keras_layers import Keras, blamed, find_paths, scoped
from .tf_ops import HANDLERS

OPSET = 18
Names = dict[str, tuple[str, ...]]


class Converted(NamedTuple):
    """A graph of ONNX.

    Attributes
    ----------
    proto : ModelProto
        Its outputs have their own names.
    layers : dict of str to tuple of str
        The path of the layer that each value is computed in, by value.
    single : bool
        Whether some op computes in float32, as resizing does whatever it reads.
    """

    proto: ModelProto
    layers: Names
    single: bool


def convert(model: Keras, specs: Any) -> Converted:
    """Return the graph of a model that reads what the specs say.

    Raises
    ------
    InputError
        tf2onnx is not installed.
    ModelError
        The model decides by numbers of its signals what it does, cannot be traced, or holds an op
        that neither tf2onnx nor `tf_ops` writes.
    """
    flat, names = tree.flatten(specs), list[str]()

    def run(*xs: Any) -> Any:
        y = model(tree.pack_sequence_as(specs, xs), training=False)
        names[:] = name_outputs(y, len(tree.flatten(y)))
        return tree.flatten(y)

    with scoped(model), blamed(model) as failed:
        traced = _trace(tf.function(run, autograph=False), flat, failed)
    paths = set(find_paths(model).values())
    proto = _write_onnx(traced, flat, paths)
    _rename_outputs(proto, names)
    made = (t.dtype for op in traced.graph.get_operations() for t in op.outputs)
    return Converted(proto, _find_layers(proto, paths), tf.float32 in made)


def _trace(run: Any, flat: list[Any], failed: list[str]) -> Any:
    """Return the concrete function."""
    try:
        return run.get_concrete_function(*flat)
    except tf.errors.OperatorNotAllowedInGraphError as error:
        where = f" of its layer {failed[0]!r}" if failed else ""
        raise ModelError(
            f"the control flow{where} depends on numbers of the signal, so no one graph explains it"
        ) from error
    except Exception as error:
        where = f" in its layer {failed[0]!r}" if failed else ""
        raise ModelError(f"it cannot be traced{where}: {word_keras_error(error)}") from error


def _write_onnx(traced: Any, flat: list[Any], paths: set[str]) -> ModelProto:
    """Return the ONNX graph of a concrete function.

    `tf2onnx.convert.from_function` does the same, but takes constants that were captured (the
    statistics of a Normalization) for inputs.
    """
    try:
        from tf2onnx import optimizer, tf_loader
        from tf2onnx.tfonnx import process_tf_graph
    except ImportError as error:
        raise InputError("Keras models need tf2onnx: pip install 'dftlrp[tensorflow]'") from error
    inputs = [t.name for t in traced.inputs[: len(flat)]]
    outputs = [t.name for t in traced.outputs]
    try:
        with tf.device("/cpu:0"):
            frozen = tf_loader.from_function(traced, inputs, outputs)
            with tf.Graph().as_default() as graph:
                tf.import_graph_def(frozen, name="")
                made = process_tf_graph(
                    graph, continue_on_error=True, opset=OPSET, input_names=inputs,
                    output_names=outputs, custom_op_handlers=dict(HANDLERS),
                    tensors_to_rename=dict(zip(inputs, (s.name for s in flat), strict=True)),
                )  # fmt: skip
            proto: ModelProto = optimizer.optimize_graph(made).make_model("model")
    except Exception as error:
        raise ModelError(word_error(error)) from error
    if left := {n.op_type: n for n in proto.graph.node if not defs.has(n.op_type, n.domain)}:
        told = (f"{op} (layer {_find_layer(n.name, paths)!r})" for op, n in left.items())
        raise ModelError(f"there are no operators for {', '.join(told)}")
    return proto


# -- names


def _rename_outputs(proto: ModelProto, names: list[str]) -> None:
    new = {value.name: name for value, name in zip(proto.graph.output, names, strict=True)}
    for node in proto.graph.node:
        node.input[:] = [new.get(v, v) for v in node.input]
        node.output[:] = [new.get(v, v) for v in node.output]
    for value in proto.graph.output:
        value.name = new[value.name]


def _find_layers(proto: ModelProto, paths: set[str]) -> Names:
    """Return the path of the layer that each value is computed in, by value.

    What the exporter adds has no scope: it is of the layer that makes the last of what it reads.
    """
    found = Names()
    for node in proto.graph.node:
        path = _find_layer(node.name, paths)
        read = [found[name] for name in node.input if name in found and "/" not in node.name]
        for value in node.output:
            found[value] = (path,) if path else read[-1] if read else ()
    return found


def _find_layer(scope: str, paths: set[str]) -> str:
    """Return the deepest layer that a scope lies in."""
    while scope and scope not in paths:
        scope = scope.rpartition("/")[0]
    return scope
