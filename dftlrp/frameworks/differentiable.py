"""Relevance as a tensor of a framework's own graph, for losses on explanations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Any

from dftlrp.core.rule_text import Rule
from dftlrp.core.types import InputError
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model
from dftlrp.engine.prepared import answer_by_arrays
from dftlrp.engine.seeds import Target
from dftlrp.engine.settings import Question, Settings
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import FLOATS, Tensor

Tensors = Mapping[str, Tensor]


def make_relevance(
    backend: Callable[[str], TensorBackend],
    describe: Callable[[Tensor], tuple[str, str]],
    prepare: Callable[[Tensors], Tensors] = dict,
    example: str = "",
) -> Callable[..., Any]:
    """Return an adapter's function ``relevance``.

    Parameters
    ----------
    backend : callable ``device -> TensorBackend``
    describe : callable ``tensor -> (device, dtype)``
        The names of both.
    prepare : callable ``tensors -> tensors``, optional
        Makes tensors of what users may give, or raises an `InputError`; both are dicts.
    example : str
        Ends the docstring of the function: lines that run with the framework.
    """

    def relevance(
        model: Model,
        x: Tensor | Tensors,
        target: Target = "argmax",
        composite: str | Composite = "auto",
        *,
        parameters: Tensors | None = None,
        output: str | None = None,
        bind: Mapping[str, Any] | None = None,
        seed: str = "logit",
        overrides: Mapping[str, str | Rule] | None = None,
    ) -> Any:
        """Return the relevance of the inputs, which the framework differentiates.

        Gradients go back to the inputs and the parameters, so a loss on relevance can be trained.
        Which target is the largest, and where relevance meets a kink (a ReLU, a winner, a sign),
        is decided by numbers and constant in between, as it is for the framework's own gradients.

        Parameters
        ----------
        model : Model
            From `dftlrp.load`.
        x : tensor, or dict of str to tensor
            In the shapes the model declares, batch first; of floats, on any device.
        target, composite, output, bind, seed, overrides
            As of `dftlrp.attribute`.
        parameters : dict of str to tensor
            Weights by their names in the file (``model.graph.constants``), which stand for the
            file's own.

        Returns
        -------
        tensor, or dict of str to tensor
            In the shape of the input; a dict where a dict was given.

        Raises
        ------
        InputError
            As `dftlrp.attribute`; where a framework compiles and there are no numbers; a parameter
            that the file does not have, or in another shape; tensors of several dtypes or devices.
        UnsupportedModelError
            A layer is merged from a parameter whose gradient would be lost.

        See Also
        --------
        dftlrp.attribute : Relevance as arrays, with the accounts of every layer.
        """
        given = dict(x) if isinstance(x, Mapping) else {_find_signal(model, output, bind): x}
        signals, weights = prepare(given), prepare(parameters or {})
        device, dtype = _find_kind({describe(t) for t in (*signals.values(), *weights.values())})
        _refuse_unknown(model, weights)
        bk = backend(device)
        settings = Settings(output, bind or {}, composite, overrides or {}, bk, dtype)
        question = Question(target=target, seed=seed, ledger=False)
        given, own = (
            {k: bk.framework.wrap(t) for k, t in tensors.items()} for tensors in (signals, weights)
        )
        (answer,) = answer_by_arrays(model, given, settings, [question], own)
        found = {name: answer.flows[name].relevance.tensor for name in signals}
        return found if isinstance(x, Mapping) else next(iter(found.values()))

    relevance.__doc__ = f"{getdoc(relevance)}\n\nExamples\n--------\n{example}"
    return relevance


def _find_signal(model: Model, output: str | None, bind: Mapping[str, Any] | None) -> str:
    """Return the name of a model's one signal."""
    names = list(model.plan(output, bind).signals)
    if len(names) != 1:
        raise InputError(f"the model reads {names}: give a dict by input name")
    return names[0]


def _find_kind(kinds: set[tuple[str, str]]) -> tuple[str, str]:
    """Return the device and the dtype that all tensors have."""
    if len(kinds) > 1:
        several = ", ".join(sorted(" ".join(k) for k in kinds))
        raise InputError(f"inputs and parameters are of several kinds: {several}: make them one")
    ((device, dtype),) = kinds
    if dtype not in FLOATS:
        raise InputError(f"the tensors are of type {dtype}: floats are needed")
    return device, dtype


def _refuse_unknown(model: Model, weights: Tensors) -> None:
    """Refuse weights that the file does not have, or in another shape."""
    known = model.graph.constants
    for name, tensor in weights.items():
        if name not in known:
            raise InputError(f"parameter {name!r}: the file has {', '.join(known)}")
        if known[name].shape != tuple(tensor.shape):
            raise InputError(
                f"parameter {name!r} has shape {tuple(tensor.shape)}, in the file "
                f"{known[name].shape}"
            )
