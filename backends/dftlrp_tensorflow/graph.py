"""Relevance as a tensor that a `tensorflow.GradientTape` differentiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dftlrp.core.rules import Rule
from dftlrp.core.types import InputError
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model
from dftlrp.engine.seeds import Target
from dftlrp.frameworks.differentiable import relevance_of

from .backend import TensorFlowBackend

Tensor = Any


def relevance(
    model: Model,
    x: Tensor | Mapping[str, Tensor],
    target: Target = "argmax",
    composite: str | Composite = "auto",
    *,
    parameters: Mapping[str, Tensor] | None = None,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    overrides: Mapping[str, str | Rule] | None = None,
) -> Any:
    """Relevance of the inputs for a target; a tape around it goes back to inputs and parameters.

    Which target is the largest, and where relevance meets a kink (a ReLU, a winner, a sign), is
    decided by numbers and constant in between, as it is for TensorFlow's own gradients.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
    x : tensor or variable, or dict of str to these
        In the shapes the model declares, batch first; float32 or float64, on any device.
    target, composite, output, bind, seed, overrides
        As of `dftlrp.attribute`.
    parameters : dict of str to tensor or variable
        Weights by their names in the file (``model.graph.constants``), which stand for the
        file's own.

    Returns
    -------
    Tensor, or dict of str to Tensor
        In the shape of the input; a dict where a dict was given.

    Raises
    ------
    InputError
        As `dftlrp.attribute`; within a `tensorflow.function`, where there are no numbers; a
        parameter that the file does not have, or in another shape; tensors of several dtypes or
        devices.
    UnsupportedModelError
        A layer is merged from a parameter whose gradient would be lost.
    """
    import tensorflow as tf

    if not tf.executing_eagerly():
        raise InputError("relevance needs numbers: call it outside of tensorflow.function")
    x, weights = tf.nest.map_structure(tf.convert_to_tensor, (x, dict(parameters or {})))
    return relevance_of(
        model, x, weights, TensorFlowBackend, _kind, target=target, composite=composite,
        output=output, bind=bind, seed=seed, overrides=overrides,
    )  # fmt: skip


def _kind(t: Tensor) -> tuple[str, str]:
    return t.device.rpartition("device:")[2], t.dtype.name
