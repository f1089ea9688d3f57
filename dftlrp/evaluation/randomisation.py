"""Randomisation of weights: an explanation that stays the same does not depend on the model.

Layers lose their weights one group after the other, from the output to the input (cascading), and
the explanation of the same recording for the same target is compared with the original by rank
correlation, with its sign.  Adebayo et al. (2018), "Sanity checks for saliency maps"; in Quantus
``MPRT``.  A relevance is close to its signal by construction, so what it falls to matters more than
how far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import ModelProto, numpy_helper

from dftlrp.attribution.explain import explain
from dftlrp.core.types import InputError
from dftlrp.engine.model import Model, as_model, from_bytes
from dftlrp.evaluation.stability import rank_correlation
from dftlrp.tracing.original import read_original

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")


def randomisation(
    model: Any, signal: Any, *, stages: int = 4, draw: int = 0, **asked: Any
) -> dict[float, float]:
    """Return the rank correlation with the explanation of models that lost weights.

    Parameters
    ----------
    model : path or Model
        An ONNX file.
    signal : path or array
        As of `dftlrp.explain`.
    stages : int
        In how many steps the layers lose their weights.
    draw : int
        Seed of the weights.
    **asked : object
        Arguments of `dftlrp.explain`; of several domains the last counts, and without any it is
        time-frequency.

    Returns
    -------
    dict of float to float
        By the share of the layers that are randomised, from the output; the last is 1.

    Raises
    ------
    InputError
        No file of the model is there, or none of its weights can be found; and as of
        `dftlrp.explain`.

    See Also
    --------
    stability : Whether a change that should not matter does not.

    Notes
    -----
    Adebayo et al. (2018), "Sanity checks for saliency maps"; in Quantus ``MPRT``.

    Examples
    --------
    >>> found = dftlrp.metrics.randomisation("model.onnx", clip, stages=1, domains=["frequency"])
    >>> list(found)
    [1.0]
    """
    domain = [*asked.pop("domains", ["time-frequency"])][-1]
    known = as_model(model)
    first = explain(known, signal, domains=[domain], **asked)
    asked["target"] = first.target
    return {
        share: rank_correlation(
            first.relevance[domain],
            explain(other, signal, domains=[domain], **asked).relevance[domain],
        )
        for share, other in randomise(known, stages, draw)
    }


def randomise(model: Model, stages: int, seed: int = 0) -> Iterator[tuple[float, Model]]:
    """Yield the share of layers without their weights, from the output, and the model.

    Weights and biases are drawn from normal distributions with the mean and the standard deviation
    that they had.

    Raises
    ------
    InputError
        No file of the model is there, or none of its weights can be found.
    """
    proto = read_original(model)
    layers = [] if proto is None else _find_weights(proto)
    if proto is None or not layers:
        raise InputError(f"{model.path}: no weights that can be randomised were found")
    rng = np.random.default_rng(seed)
    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    edges = np.unique(np.round(np.linspace(0, len(layers), stages + 1)[1:]).astype(int))
    done = 0
    for edge in edges[edges > 0]:
        for name in (n for layer in layers[done:edge] for n in layer):
            old = numpy_helper.to_array(held[name])
            new = old.mean() + old.std() * rng.standard_normal(old.shape)
            held[name].CopyFrom(numpy_helper.from_array(new.astype(old.dtype), name))
        done = edge
        changed = from_bytes(proto.SerializeToString(), str(model.path))
        yield float(edge / len(layers)), replace(changed, rate=model.rate)


def _find_weights(proto: ModelProto) -> list[list[str]]:
    """Return the names of the weights of each layer, that of the output first; each name once."""
    floats = {t.name for t in proto.graph.initializer if t.data_type in {1, 10, 11}}
    layers, seen = [], set[str]()
    for node in reversed(proto.graph.node):
        if node.op_type in WEIGHTED:
            own = [n for n in node.input[1:] if n in floats and n not in seen]
            seen.update(own)
            layers += [own] if own else []
    return layers
