"""From a Keras model to a model, exported in memory; Keras is imported when one is given.

A graph is taken only if it gives what the model's own call gives: at the example (or at noise), at
other numbers and at another batch size.  What tf2onnx writes otherwise is refused, and so is a
model whose output depends on earlier calls or on chance.  The model is left as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dftlrp.core.types import DftlrpError, InputError, ModelError
from dftlrp.engine.model import Model, from_bytes
from dftlrp.frameworks.exported import Call, find_export_error, refuse_export, silence, word_error

if TYPE_CHECKING:
    from .keras_calls import Inputs

Keras = Any
ADVICE = (
    "build that layer of others, or export the model yourself and give the ONNX file (`dftlrp "
    "check` compares it with the model)"
)


def load(model: Keras, example: Any = None) -> Model:
    """Load a Keras model as a model; its layers carry the Keras layers' names.

    It is exported as it infers (``training=False``).  Nothing is written to disk.  The weights are
    those of now: load again after a training step.

    Parameters
    ----------
    model : keras.Model
        On Keras' TensorFlow backend.
    example : array, or list or dict of arrays, optional
        What it reads, batch first.  It is needed where the model does not declare that, as
        subclasses of ``keras.Model``, or does not run on noise.

    Returns
    -------
    Model
        As of `dftlrp.load`, which takes a Keras model with ``example=``, too.

    Raises
    ------
    InputError
        No example is given and one is needed; the model does not run on it; Keras has another
        backend; tf2onnx is not installed.
    ModelError
        The model decides by numbers of its signals what it does; its output depends on earlier
        calls or on random numbers; tf2onnx writes no graph that computes what it does; also all of
        `dftlrp.load`.

    See Also
    --------
    dftlrp.check : Compares an exported file with its model.
    dftlrp_tensorflow.relevance : Relevance that TensorFlow differentiates.

    Examples
    --------
    >>> import keras
    >>> layers = keras.layers.Conv1D(2, 9), keras.layers.Flatten(), keras.layers.Dense(3)
    >>> network = keras.Sequential([keras.Input((100, 1)), *layers])
    >>> model = dftlrp_tensorflow.load(network)
    >>> dftlrp.attribute(model, np.ones((2, 100, 1)), target=1).relevance.shape
    (2, 100, 1)
    """
    _refuse_other_backends()
    from .keras_calls import call_model, read_inputs

    inputs = read_inputs(model, example)
    calls = call_model(model, inputs)
    with silence():
        return _export(model, inputs, calls)


def _refuse_other_backends() -> None:
    import keras

    if (other := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"Keras computes by {other}: set KERAS_BACKEND=tensorflow, which exports its models"
        )


# -- the export


def _export(model: Keras, inputs: Inputs, calls: dict[str, Call]) -> Model:
    """Return a graph that computes what the model does; of any batch size if one does.

    Raises
    ------
    ModelError
        There is none.
    """
    from .keras_calls import BATCH, EXAMPLE

    errors, without = dict[str, Exception](), {k: c for k, c in calls.items() if k != BATCH}
    attempts = {"tf2onnx": (inputs.specs, calls)} if BATCH in calls else {}
    attempts["tf2onnx for one batch size"] = _fix_batch(inputs.specs, calls[EXAMPLE]), without
    for name, (specs, compared) in attempts.items():
        try:
            return _export_once(model, specs, compared)
        except Exception as error:  # exporters raise what they like
            if all(word_error(error) != word_error(e) for e in errors.values()):
                errors[name] = error
    raise refuse_export(model.name, errors, ADVICE)


def _fix_batch(specs: Any, call: Call) -> Any:
    """Return the specs with the batch size of a call: the model runs on no other, or no graph."""
    import tensorflow as tf
    from keras import tree

    def fix(spec: Any) -> Any:
        return tf.TensorSpec((len(call.inputs[spec.name]), *spec.shape[1:]), spec.dtype, spec.name)

    return tree.map_structure(fix, specs)


def _export_once(model: Keras, specs: Any, calls: dict[str, Call]) -> Model:
    """Return the graph, compared with the model's own calls."""
    from .conversion import convert
    from .keras_calls import EXAMPLE

    proto, layers, single = convert(model, specs)
    data = proto.SerializeToString()
    loaded = from_bytes(data, model.name)
    nodes = (replace(n, names=layers.get(n.output, ())) for n in loaded.graph.nodes)
    loaded = replace(loaded, graph=replace(loaded.graph, nodes=tuple(nodes)))
    for key, own in calls.items():
        call = own._replace(dtype="float32") if single and own.dtype == "float64" else own
        try:
            found = find_export_error(data, loaded, call, by_engine=key == EXAMPLE)
        except DftlrpError as error:
            raise ModelError(f"at {key} its graph does not run: {error}") from error
        if found is not None:
            raise ModelError(f"at {key} its graph is {found}")
    return loaded
