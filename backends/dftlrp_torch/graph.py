"""Relevance as a tensor of torch's own graph, for losses on explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.attribution import sent_back
from dftlrp.composites import Composite
from dftlrp.forward import Request, run_through
from dftlrp.model import Model
from dftlrp.rules import Rule
from dftlrp.seeds import Target
from dftlrp.types import InputError

from .backend import TorchBackend

if TYPE_CHECKING:
    from torch import Tensor


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
    """Relevance of the inputs for a target, with torch's graph back to inputs and parameters.

    So a loss on it can be trained: ``relevance(...)[..., outside].abs().sum().backward()``.  Which
    target is the largest, and where relevance meets a kink (a ReLU, a winner, a sign), is
    decided by numbers and constant in between, as it is for torch's own gradients.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
    x : Tensor, or dict of str to Tensor
        In the shapes the model declares, batch first; float32 or float64, on any device.
    target, composite, output, bind, seed, overrides
        As of `dftlrp.attribute`.
    parameters : dict of str to Tensor
        Weights by their names in the file (those of the module's ``named_parameters()``, as torch
        exports them), which stand for the file's own.

    Returns
    -------
    Tensor, or dict of str to Tensor
        In the shape of the input; a dict where a dict was given.

    Raises
    ------
    InputError
        As `dftlrp.attribute`; a parameter that the file does not have, or in another shape;
        tensors of several dtypes or devices.
    UnsupportedModelError
        A layer is merged from a parameter whose gradient would be lost.
    """
    signals = dict(x) if isinstance(x, Mapping) else {_only(model, output, bind): x}
    weights = dict(parameters or {})
    bk, dtype = _backend({**signals, **weights})
    _refuse_unknown(model, weights)
    given = {k: bk.framework.wrap(t) for k, t in {**signals, **weights}.items()}
    arrays = {k: t.detach().cpu().numpy() for k, t in signals.items()}
    asked = Request(
        model, arrays, target, output, bind, seed, composite, overrides, False, (), {}
    )  # fmt: skip
    plan = model.plan(output, bind)
    ready = run_through(plan, model, arrays, composite, overrides, bk, dtype, given)
    found = sent_back(asked, ready, bk)
    flows = {name: found.flows[name].relevance.tensor for name in signals}
    return flows if isinstance(x, Mapping) else next(iter(flows.values()))


def _only(model: Model, output: str | None, bind: Mapping[str, Any] | None) -> str:
    """The name of a model's one signal."""
    names = list(model.plan(output, bind).signals)
    if len(names) != 1:
        raise InputError(f"the model reads {names}: give a dict by input name")
    return names[0]


def _backend(tensors: Mapping[str, Tensor]) -> tuple[TorchBackend, np.dtype[Any]]:
    """The backend and the dtype that all tensors have."""
    kinds = {(str(t.device), str(t.dtype).removeprefix("torch.")) for t in tensors.values()}
    if len(kinds) > 1:
        several = ", ".join(sorted(" ".join(k) for k in kinds))
        raise InputError(f"inputs and parameters are of several kinds: {several}: make them one")
    ((device, dtype),) = kinds
    if dtype not in {"float16", "float32", "float64"}:
        raise InputError(f"the tensors are of type {dtype}: floats are needed")
    return TorchBackend(device), np.dtype(dtype)


def _refuse_unknown(model: Model, weights: Mapping[str, Tensor]) -> None:
    known = model.graph.constants
    for name, tensor in weights.items():
        if name not in known:
            raise InputError(f"parameter {name!r}: the file has {', '.join(known)}")
        if known[name].shape != tuple(tensor.shape):
            raise InputError(
                f"parameter {name!r} has shape {tuple(tensor.shape)}, in the file "
                f"{known[name].shape}"
            )
