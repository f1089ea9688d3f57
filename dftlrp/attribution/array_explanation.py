"""`explain_features`: why, in what a model itself reads, where no recording is behind it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import make_attribution
from dftlrp.attribution.formats.array_files import read_array
from dftlrp.attribution.methods import Method, answer_by, list_facts_of, make_point, read_method
from dftlrp.attribution.score import make_asked
from dftlrp.attribution.targets import name_target, resolve_seed, resolve_target
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.composites import Composite
from dftlrp.engine.forward import check_inputs
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, NONE, SILENCE, Question, Settings
from dftlrp.results.data import Asked
from dftlrp.results.explanation import Explanation
from dftlrp.results.views import INPUT


def explain_features(
    model: Any,
    features: str | os.PathLike[str] | AnyArray,
    *,
    target: Any = "argmax",
    seed: str = "auto",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    labels: Sequence[str] | None = None,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | None = None,
    method: str = "lrp",
    reference: Any = "auto",
) -> Explanation:
    """Explain one output of a model for the features that it reads, in the one domain ``"input"``.

    Parameters
    ----------
    model : path, Model or object
        As of `dftlrp.explain`, but without a front end.
    features : path or array
        What the model reads, with or without a batch axis of one; a file .npy, or .npz or .mat of
        one array.
    target, seed, composite, overrides, labels, output, bind, backend, method
        As of `dftlrp.explain`; methods that replace parts of a recording are refused.
    reference : str, path or array
        ``"auto"``, ``"none"``, ``"silence"`` (zeros), or other features of the same shape.

    Returns
    -------
    Explanation
        Of the one domain ``"input"``, without axes of length one.

    Raises
    ------
    InputError
        The features have another shape than the model reads, or are not finite floats; and as of
        `dftlrp.attribute`.

    See Also
    --------
    explain : From a recording, through a declared front end.
    attribute : Batches of arrays.

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(1, 8000)).astype("float32")
    >>> found = dftlrp.explain_features("waveform", features, target=7)
    >>> found.domains, found.relevance["input"].shape
    (('input',), (8000,))
    """
    known = as_model(model, None)
    by, plan = read_method(method), known.plan(output, bind)
    name = _name_array(known, plan, by)
    array, digest = _take_features(features, plan, name)
    compared = reference
    if not isinstance(reference, str) or reference not in {AUTO, NONE, SILENCE}:
        other, _ = _take_features(reference, plan, name)
        compared = {name: other[None]}
    elif reference != AUTO:
        compared = None if reference == NONE else {name: np.zeros((1, *array.shape))}
    names = tuple(map(str, labels)) if labels is not None else known.labels
    settings = Settings(output, bind or {}, composite, overrides or {}, backend, reference=compared)
    question = Question(
        resolve_target(target, names, plan), resolve_seed(seed, names, plan), labels=names
    )
    found = explain_array(known, array, settings, question, method)
    told = {"model": known.path.name, "model sha256": known.graph.sha256, "features sha256": digest}
    return replace(_drop_ones_of(found), provenance={**told, **found.provenance})


def _drop_ones_of(e: Explanation) -> Explanation:
    """Return an explanation of features without their axes of length one, which nobody can see."""
    full, asked = e.signal[INPUT].shape, e.asked[INPUT]
    kept = tuple(n for n in full if n > 1) or (1,)
    return replace(
        e,
        signal={INPUT: e.signal[INPUT].reshape(kept)},
        relevance={INPUT: e.relevance[INPUT].reshape(kept)},
        axes={INPUT: tuple(map(np.arange, kept))},
        asked={
            INPUT: Asked(
                asked.samples.reshape(kept),
                lambda x: asked.score(x.reshape(-1, *full)),
                lambda x: asked.answer(x.reshape(-1, *full)),
            )
        },
    )


def _name_array(model: Model, plan: Plan, by: Method) -> str:
    if len(plan.signals) != 1 or by.kind.value:
        why = f"method {by.name!r}" if by.kind.value else f"several signals, {list(plan.signals)}"
        raise InputError(f"{model.path}: {why}: only one array can be explained, by multipliers")
    return next(iter(plan.signals))


def _take_features(given: Any, plan: Plan, name: str) -> tuple[Real, str]:
    """Return features without a batch axis, and their hash."""
    what = "the features"
    if isinstance(given, str | os.PathLike):
        what = str(given)
        array = read_array(Path(given))
    else:
        array = np.asarray(given)
    dims = plan.signals[name].dims
    if array.dtype.kind != "f" or not array.size or not np.isfinite(array).all():
        raise InputError(f"{what}: finite floats are needed, not {array.dtype} {array.shape}")
    whole = array if dims is None or array.ndim == len(dims) else array[None]
    if (dims and not plan.signals[name].fits(whole.shape)) or whole.shape[:1] != (1,):
        shown = tuple("any" if d is None else d for d in dims or ())
        raise InputError(f"{what}: shape {array.shape}, but input {name!r} has the shape {shown}")
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return whole[0].astype(np.float64), digest


def explain_array(
    model: Model, array: Real, settings: Settings, question: Question, method: str = "lrp"
) -> Explanation:
    """Return the explanation of an array in the one domain ``"input"``, with its score.

    Parameters
    ----------
    array : array
        What the model reads, without a batch axis: features of a recording, levels, anything.
    settings, question
        As of `dftlrp.attribute`; a reference in the shape of the array, by the signal's name.

    Raises
    ------
    InputError
        The model reads several signals, the method has no multipliers, and as of
        `dftlrp.attribute`.
    """
    by, plan = read_method(method), model.plan(settings.output, settings.bind)
    name = _name_array(model, plan, by)
    chosen = by.choose_rules(settings)
    given = isinstance(chosen.reference, dict)
    by.refuse(question, given)
    inputs = check_inputs(plan, {name: array[None]}, np.dtype(np.float64))
    point = make_point(model, inputs, chosen, question)
    result = make_attribution(question, answer_by(by, point), named=True, method=str(by))
    names = question.labels or model.labels
    index, label = name_target(result, names)
    words = "the one given" if given else ""
    by_name: Any = result.relevance
    return Explanation(
        signal={INPUT: array},
        relevance={INPUT: np.asarray(by_name[name], np.float64)[0]},
        axes={INPUT: tuple(map(np.arange, array.shape))},
        rest={INPUT: 0.0},
        rate=1.0,
        target=index,
        label=label,
        labels=names,
        output=_drop_batch(result.output),
        explained=_drop_batch(result.explained),
        ledger=result.ledger,
        stft={},
        notes=result.notes,
        provenance={
            "method": result.method,
            "composite": result.table.composite,
            "seed": result.seed_kind,
            "backend": result.backend,
            **list_facts_of(by, point, words),
        },
        asked={INPUT: make_asked(model, chosen, point.coefficients, array)},
    )


def _drop_batch(output: Real) -> Real:
    """Return an output without its batch axis; some models give numbers without one."""
    return output[0] if output.ndim > 1 else output
