"""`explain`: one recording, one target, in every domain."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import Attribution, answer_questions
from dftlrp.attribution.recording import Recording
from dftlrp.attribution.waveform import example_for, like, recording_for, shaped, waveform
from dftlrp.core.ledger import LedgerRow
from dftlrp.core.rules import Rule
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model, as_model, attach_front_end
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import find_class, parse_target
from dftlrp.engine.settings import Question, Settings
from dftlrp.graph.frontend import FrontEnd, find_levels, note_empty_filters
from dftlrp.results import views
from dftlrp.results.data import View
from dftlrp.results.explanation import Explanation
from dftlrp.spectral import stft_for


def explain(
    model: Any,
    signal: str | os.PathLike[str] | AnyArray,
    *,
    target: Any = "argmax",
    rate: float | None = None,
    seed: str = "auto",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    labels: Sequence[str] | None = None,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    domains: Sequence[str] = views.DEFAULT,
    backend: str | None = None,
    frontend: FrontEnd | str | os.PathLike[str] | None = None,
    masks: Mapping[str, AnyArray | None] | None = None,
) -> Explanation:
    """Why this output?  Relevance of one recording in time, frequency and time-frequency.

    Parameters
    ----------
    model : path, Model or object
        An ONNX model that reads a waveform, or what a front end computes from one; or a
        framework's model, which is given the recording as (1, channels, samples) where it does
        not declare what it reads.
    signal : path or array
        A sound file; or floats of shape (N,) or (channels, N), full scale = 1.
    target : int, str, tuple of int, callable, or "argmax"
        Class index, label, index into an output of higher rank, function, or the largest output.
    rate : float, optional
        Hertz.  With an array: the rate it was sampled at.  With a file, which says that itself:
        the rate the model reads, where the model's metadata do not say.
    seed : str
        ``"logit"``, ``"contrast"`` (target minus the mean of the others), ``"contrast:CLASS"``,
        ``"one"``; ``"auto"``: contrast for a classifier, the logit otherwise.
    composite : str or Composite
        A preset, or ``"auto"``; see `dftlrp.attribute`.
    overrides : dict, optional
        Rules by layer; see `dftlrp.engine.composites.make_layer_table`.
    labels : list of str, optional
        Names of the classes; the model's metadata if not given.
    output, bind, backend, masks
        As in `dftlrp.attribute`.
    domains : list of str
        Any of ``"time"``, ``"frequency"``, ``"time-frequency"``, ``"mel"``, and ``"input"``: what
        the model itself reads, behind a front end.
    frontend : FrontEnd or path, optional
        How the waveform becomes what the model reads; if not given, the model's metadata entry
        ``frontend``, or a TOML file of the model's name next to it.

    Returns
    -------
    Explanation

    Raises
    ------
    ModelError, UnsupportedModelError, InputError, NonFiniteError
        One line each that says what is wrong and what to do.

    Notes
    -----
    The relevance moves to the other domains by DFT-LRP (arXiv 2303.06365): exactly, from the
    multiplier, so silence needs no stabiliser.
    """
    chosen = views.choose_domains(domains)
    model = attach_front_end(_model(model, signal, rate), frontend)
    settings = Settings(output, bind or {}, composite, overrides or {}, backend, waveform=True)
    plan = model.plan(settings.output, settings.bind)
    (name, value), shape = waveform(plan, signal)
    recording = recording_for(model, signal, rate, shape)
    names = tuple(map(str, labels)) if labels is not None else model.labels
    question = Question(
        target=_index(target, names, plan),
        seed=_seed(seed, names, plan),
        keep={_reads(plan), find_levels(plan.graph)} - {""},
        masks=masks or {},
    )
    inputs = {name: shaped(recording.samples, value, shape)}
    (result,) = answer_questions(model, inputs, settings, [question])
    if labels is not None and len(names) != result.explained.shape[-1]:
        raise InputError(f"{len(names)} labels for {result.explained.shape[-1]} classes")
    rate = recording.rate or 1.0
    R, m = (like(a, name, recording.samples, shape) for a in (result.relevance, result.multiplier))
    assert R is not None
    start = views.make_waveform(recording.samples, R, m, rate, stft_for(rate))
    shown = views.compute_views(start, chosen, _read(result, plan))
    where, label = _target(result, names)
    return Explanation(
        signal={k: v.signal for k, v in shown.items()},
        relevance={k: v.relevance for k, v in shown.items()},
        axes={k: v.axes for k, v in shown.items()},
        rest={k: v.rest for k, v in shown.items()},
        rate=rate,
        target=where,
        label=label,
        labels=names,
        output=_narrow(_first(result.output, plan)),
        explained=_narrow(_first(result.explained, plan)),
        ledger=result.ledger,
        stft=dict(start.stft),
        notes=(
            *recording.notes,
            *result.notes,
            *_conditions(masks or {}),
            *note_empty_filters(plan.graph),
            *_on_silence(result, plan),
        ),
        provenance={
            **_provenance(model, recording, result, settings.overrides),
            **({"conditions": list(_conditions(masks))} if masks else {}),
        },
    )


def _model(source: Any, signal: Any, rate: float | None) -> Model:
    known = isinstance(source, Model | str | os.PathLike)
    return as_model(source, None if known else example_for(signal, rate))


def _conditions(masks: Mapping[str, AnyArray | None]) -> Iterator[str]:
    """What relevance had to go through."""
    for layer, mask in masks.items():
        if mask is None:
            yield f"only what goes past {layer!r} is shown"
        else:
            parts = f"{np.count_nonzero(mask)} of {np.size(mask)}"
            yield f"only what goes through {parts} channels or places of {layer!r} is shown"


def _read(result: Attribution, plan: Plan) -> View:
    """What the model itself reads, as a domain: the front end lies between it and the others.

    The rest is minus what the front end absorbs, so that it counts here alone.
    """
    value, relevance = (_first(a, plan) for a in result.kept[_reads(plan)])
    taken = [
        row.bias.sum() + row.stabiliser.sum() + row.stopped.sum() for row in _front(result, plan)
    ]
    return View(value, relevance, tuple(map(np.arange, value.shape)), -float(sum(taken)))


def _reads(plan: Plan) -> str:
    """The value that is the model's own input, behind a front end or not."""
    return plan.graph.reads or next(iter(plan.signals))


def _front(result: Attribution, plan: Plan) -> list[LedgerRow]:
    return [row for row in result.ledger.rows if row.node in plan.graph.front]


def _on_silence(result: Attribution, plan: Plan) -> tuple[str, ...]:
    """What a front end cannot send on because it sits on silent frames, as a share of all |R|."""
    if not (name := find_levels(plan.graph)):
        return ()
    value, relevance = result.kept[name]
    size = np.abs(relevance)
    silent = ~value.any(axis=tuple(range(2, value.ndim)))
    share = float(size[silent].sum() / max(size.sum(), np.finfo(float).tiny))
    if share < 0.005:
        return ()
    return (
        f"warning: {100 * share:.0f} % of the relevance sits on silent frames and has no sound",
    )


def _first(batch: Real, plan: Plan) -> Real:
    dims = next(iter(plan.signals.values())).dims
    return batch[0] if dims is None or len(dims) > 1 else batch


def _narrow(values: Real) -> Real:
    """Without the axes of length one, where there is one axis of classes only."""
    return values.reshape(-1) if sum(n > 1 for n in values.shape) <= 1 else values


def _target(result: Attribution, labels: tuple[str, ...]) -> tuple[Any, str]:
    """Index and name of the target of the one sample."""
    if result.target is None:
        return -1, "a function of the output"
    place = result.target[0]
    wide = [i for i, n in enumerate(result.explained.shape[-len(place) :]) if n > 1]
    index = place[wide[0]] if len(wide) == 1 else place[0] if len(place) == 1 else place
    last = place[-1] if place else None
    if any(isinstance(p, slice) for p in place):
        return -1, _spelled(place)
    if isinstance(last, int) and last < len(labels):
        return index, labels[last]
    return index, _spelled(place) if len(wide) > 1 else _spelled((index,))


def _spelled(place: Sequence[Any]) -> str:
    """An index as it is given: ``10:20, 3``."""
    parts = (f"{p.start or ''}:{p.stop or ''}" if isinstance(p, slice) else str(p) for p in place)
    return ", ".join(parts)


def _classes(plan: Plan) -> int:
    dims = plan.graph.outputs[plan.output].dims
    return (dims[-1] or 10**9) if dims else 10**9


def _index(target: Any, labels: tuple[str, ...], plan: Plan) -> Any:
    target = parse_target(target)
    named = isinstance(target, str) and target != "argmax"
    return find_class(target, labels, _classes(plan)) if named else target


def _seed(seed: str, labels: tuple[str, ...], plan: Plan) -> str:
    kind, _, versus = seed.partition(":")
    return f"{kind}:{_index(versus, labels, plan)}" if versus else seed


def _provenance(
    model: Model,
    recording: Recording,
    result: Attribution,
    overrides: Mapping[str, str | Rule],
) -> dict[str, Any]:
    return {
        "model": model.path.name,
        "model sha256": model.graph.sha256,
        "recording": recording.name,
        "recording sha256": recording.sha256,
        "composite": result.table.composite,
        "rules": {la.key: la.rule_name for la in result.table.layers if la.rule},
        "overrides": {key: str(to) for key, to in overrides.items()},
        "seed": result.seed_kind,
        "backend": result.backend,
        "dtype": str(result.explained.dtype),
        "versions": {
            **{n: version(n) for n in ("dftlrp", "numpy", "scipy", "onnx", "onnxruntime")},
            "python": platform.python_version(),
        },
    }
