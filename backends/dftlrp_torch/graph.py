"""Relevance as a tensor of torch's own graph, for losses on explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dftlrp.core.rules import Rule
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model
from dftlrp.engine.seeds import Target
from dftlrp.frameworks.differentiable import relevance_of

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
    return relevance_of(
        model, x, parameters or {}, TorchBackend, _kind, target=target, composite=composite,
        output=output, bind=bind, seed=seed, overrides=overrides,
    )  # fmt: skip


def _kind(t: Tensor) -> tuple[str, str]:
    return str(t.device), str(t.dtype).removeprefix("torch.")
