"""Relevance as a tensor of a framework's own graph: what adapters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dftlrp.core.rules import Rule
from dftlrp.core.types import InputError
from dftlrp.engine.backward import send_back
from dftlrp.engine.composites import Composite
from dftlrp.engine.forward import run_forward
from dftlrp.engine.model import Model
from dftlrp.engine.seeds import Target
from dftlrp.engine.settings import Question, Settings
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Tensor

FLOATS = {"float16", "float32", "float64"}


def relevance_of(
    model: Model,
    x: Any,
    weights: Mapping[str, Tensor],
    backend: Callable[[str], TensorBackend],
    kind: Callable[[Tensor], tuple[str, str]],
    *,
    target: Target,
    composite: str | Composite,
    output: str | None,
    bind: Mapping[str, Any] | None,
    seed: str,
    overrides: Mapping[str, str | Rule] | None,
) -> Any:
    """Relevance of the inputs, with the framework's graph back to inputs and weights.

    Parameters
    ----------
    model, target, composite, output, bind, seed, overrides
        As of `dftlrp.attribute`.
    x : tensor, or dict of str to tensor
        In the shapes the model declares, batch first.
    weights : dict of str to tensor
        By their names in the file, which they stand for.
    backend : callable ``device -> backend``
    kind : callable ``tensor -> (device, dtype)``

    Returns
    -------
    tensor, or dict of str to tensor
        As x.

    Raises
    ------
    InputError
        As `dftlrp.attribute`; a weight that the file does not have, or in another shape; tensors
        of several dtypes or devices.
    UnsupportedModelError
        A layer is merged from a weight whose gradient would be lost.
    """
    signals = dict(x) if isinstance(x, Mapping) else {_only(model, output, bind): x}
    device, dtype = _one({kind(t) for t in (*signals.values(), *weights.values())})
    _refuse_unknown(model, weights)
    bk = backend(device)
    given = {k: bk.framework.wrap(t) for k, t in {**signals, **weights}.items()}
    arrays = {k: bk.framework.read_tensor(t) for k, t in signals.items()}
    settings = Settings(output, bind or {}, composite, overrides or {}, bk, dtype)
    ready = run_forward(model, arrays, settings, given)
    found = send_back(ready, Question(target=target, seed=seed, ledger=False), model.labels)
    flows = {name: found.flows[name].relevance.tensor for name in signals}
    return flows if isinstance(x, Mapping) else next(iter(flows.values()))


def _only(model: Model, output: str | None, bind: Mapping[str, Any] | None) -> str:
    """The name of a model's one signal."""
    names = list(model.plan(output, bind).signals)
    if len(names) != 1:
        raise InputError(f"the model reads {names}: give a dict by input name")
    return names[0]


def _one(kinds: set[tuple[str, str]]) -> tuple[str, str]:
    """The device and the dtype that all tensors have."""
    if len(kinds) > 1:
        several = ", ".join(sorted(" ".join(k) for k in kinds))
        raise InputError(f"inputs and parameters are of several kinds: {several}: make them one")
    ((device, dtype),) = kinds
    if dtype not in FLOATS:
        raise InputError(f"the tensors are of type {dtype}: floats are needed")
    return device, dtype


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
