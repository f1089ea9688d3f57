"""`explain`: one recording, one target, in every domain."""

from __future__ import annotations

import numbers
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from dftlrp import spectral
from dftlrp.attribution import Attribution, attribute
from dftlrp.composites import Composite
from dftlrp.explanation import Axes, Explanation
from dftlrp.graph.graph import Value
from dftlrp.graph.plan import Plan
from dftlrp.model import Model, load
from dftlrp.recording import Recording, fitted, from_array, read_recording, resampled
from dftlrp.rules import Rule
from dftlrp.seeds import label_index
from dftlrp.types import AnyArray, InputError, Real

DOMAINS = ("time", "frequency", "time-frequency")
SILENCE = 1e-4  # of the peak (-80 dB): quieter samples count as silent, see `in_domains`


def explain(
    model: str | os.PathLike[str] | Model,
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
    domains: Sequence[str] = DOMAINS,
    backend: str | None = None,
) -> Explanation:
    """Why this output?  Relevance of one recording in time, frequency and time-frequency.

    Parameters
    ----------
    model : path or Model
        An ONNX model that reads a waveform.
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
        Rules by layer; see `dftlrp.composites.layer_table`.
    labels : list of str, optional
        Names of the classes; the model's metadata if not given.
    output, bind, backend
        As in `dftlrp.attribute`.
    domains : list of str
        Any of ``"time"``, ``"frequency"``, ``"time-frequency"``.

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
    domains = _checked(domains)
    model = model if isinstance(model, Model) else load(model)
    plan = model.plan(output, bind)
    recording = _recording(model, signal, rate)
    (name, value), axis = _waveform(plan)
    length = value.dims[axis] if value.dims else None
    recording = fitted(recording, length) if length else recording
    shape = tuple(len(recording.samples) if i == axis else 1 for i in range(len(value.dims or ())))
    names = tuple(map(str, labels)) if labels is not None else model.labels
    result = attribute(
        model,
        {name: recording.samples.reshape(shape)},
        target=_index(target, names, plan) if target != "argmax" else target,
        output=output,
        bind=bind,
        seed=_seed(seed, names, plan),
        composite=composite,
        overrides=overrides,
        backend=backend,
    )
    if labels is not None and len(names) != result.explained.shape[-1]:
        raise InputError(f"{len(names)} labels for {result.explained.shape[-1]} classes")
    R, m = (_flat(arrays, name) for arrays in (result.relevance, result.multiplier))
    rate = recording.rate or 1.0
    stft = spectral.stft_for(rate)
    assert R is not None
    signals, relevance, axes, rest = in_domains(recording.samples, R, m, rate, domains, stft)
    where, label = _target(result, names)
    return Explanation(
        signal=signals,
        relevance=relevance,
        axes=axes,
        rest=rest,
        rate=rate,
        target=where,
        label=label,
        labels=names,
        output=_first(result.output, plan),
        explained=_first(result.explained, plan),
        ledger=result.ledger,
        stft=stft,
        notes=(*recording.notes, *result.notes),
        provenance=_provenance(model, recording, result, overrides, backend),
    )


def _first(batch: Real, plan: Plan) -> Real:
    dims = next(iter(plan.signals.values())).dims
    return batch[0] if dims is None or len(dims) > 1 else batch


def _target(result: Attribution, labels: tuple[str, ...]) -> tuple[Any, str]:
    """Index and name of the target of the one sample."""
    if result.target is None:
        return -1, "a function of the output"
    place = result.target[0]
    index = place[0] if len(place) == 1 else place
    return index, labels[place[-1]] if place and place[-1] < len(labels) else str(index)


def _checked(domains: Sequence[str]) -> tuple[str, ...]:
    chosen = (domains,) if isinstance(domains, str) else tuple(domains)
    if unknown := [d for d in chosen if d not in DOMAINS]:
        raise InputError(f"unknown domain {unknown[0]!r}: choose among {', '.join(DOMAINS)}")
    if not chosen:
        raise InputError(f"no domain is asked for: choose among {', '.join(DOMAINS)}")
    return tuple(dict.fromkeys(chosen))


def _recording(model: Model, signal: Any, rate: float | None) -> Recording:
    if rate is not None and not (isinstance(rate, numbers.Real) and 0 < rate < float("inf")):
        raise InputError(f"rate {rate!r}: a positive number of hertz is needed")
    file = isinstance(signal, str | os.PathLike)
    recording = read_recording(signal) if file else from_array(signal, rate)
    reads = model.rate or rate or recording.rate
    notes = recording.notes
    if not reads:
        notes += ("no rate is known: 1 Hz is taken, so that seconds are samples",)
    elif not model.rate:
        notes += (f"the model is taken to read {reads:g} Hz",)
    elif file and rate not in {None, model.rate}:
        notes += (f"the model says it reads {reads:g} Hz: the rate given is not used",)
    elif recording.rate is None:
        notes += (f"the signal is taken to be at {reads:g} Hz",)
    if not recording.samples.any():
        notes += ("warning: the recording is silent",)
    recording = replace(recording, notes=notes)
    return resampled(recording, reads) if reads else recording


def _waveform(plan: Plan) -> tuple[tuple[str, Value], int]:
    """The one signal that the plan reads, and its time axis."""
    if len(plan.signals) != 1:
        raise InputError(f"the model reads {list(plan.signals)}: use dftlrp.attribute with a dict")
    (name, value) = next(iter(plan.signals.items()))
    dims = value.dims or ()
    long = [i for i, d in enumerate(dims) if (d is None or d > 1) and (i > 0 or len(dims) == 1)]
    if len(long) != 1:
        shown = tuple("any" if d is None else d for d in dims)
        raise InputError(
            f"input {name!r} of shape {shown} is not a waveform (batch, samples) of one channel: "
            "use dftlrp.attribute for arrays of any shape"
        )
    return (name, value), long[0]


def auto_seed(plan: Plan) -> str:
    """``contrast`` for a classifier (one axis of classes, no Sigmoid), else ``logit``."""
    dims = plan.graph.outputs[plan.output].dims
    several = dims is not None and len(dims) == 2 and (dims[1] or 2) > 1
    return "contrast" if several and plan.stripped != "Sigmoid" else "logit"


def _classes(plan: Plan) -> int:
    dims = plan.graph.outputs[plan.output].dims
    return (dims[-1] or 10**9) if dims else 10**9


def _index(target: Any, labels: tuple[str, ...], plan: Plan) -> Any:
    return label_index(target, labels, _classes(plan)) if isinstance(target, str) else target


def _seed(seed: str, labels: tuple[str, ...], plan: Plan) -> str:
    if seed == "auto":
        return auto_seed(plan)
    kind, _, versus = seed.partition(":")
    return f"{kind}:{_index(versus, labels, plan)}" if versus else seed


def _flat(arrays: Any, name: str) -> Real | None:
    array = arrays[name] if arrays is not None else None
    return None if array is None else np.asarray(array).reshape(-1)


def in_domains(
    x: Real,
    R: Real,
    m: Real | None,
    rate: float,
    domains: Sequence[str],
    stft: Mapping[str, Any],
) -> tuple[dict[str, AnyArray], dict[str, Real], dict[str, Axes], dict[str, float]]:
    """Signal, relevance, axes and rest of each domain, from the waveform's relevance.

    Parameters
    ----------
    x, R : array (N,)
        Signal and relevance in time.
    m : array (N,) or None
        R = x m where known; R / x else.
    rate : float
        Hertz.
    stft : dict
        ``window``, ``n_fft``, ``hop``.

    Notes
    -----
    Relevance on samples that are as good as silent is a part of the rest.  A rule that gives each
    sample its share whatever its size (alpha_beta, flat) has a multiplier R / x without bound there:
    on the ringing that a resampling filter leaves behind a clip, 0.03 % of the relevance made the
    relevance of the spectrum 86 times too large, in parts that cancel.
    """
    silent = np.abs(x) <= SILENCE * np.abs(x).max()
    lost = float(R[silent].sum())
    m = (
        np.divide(R, x, out=np.zeros_like(R), where=~silent)
        if m is None
        else np.where(silent, 0, m)
    )
    signal: dict[str, AnyArray] = {}
    relevance: dict[str, Real] = {}
    axes: dict[str, Axes] = {}
    rest: dict[str, float] = {}
    for domain in domains:
        if domain == "time":
            signal[domain], relevance[domain], rest[domain] = x, R, 0.0
            axes[domain] = np.arange(len(x)) / rate
        elif domain == "frequency":
            moved = spectral.dft_lrp(x, multiplier=m)
            signal[domain], relevance[domain] = moved.spectrum, moved.relevance
            axes[domain], rest[domain] = np.fft.rfftfreq(len(x), 1 / rate), lost + float(moved.rest)
        else:
            tiles = spectral.stft_lrp(x, multiplier=m, **stft)
            signal[domain], relevance[domain] = tiles.spectrum, tiles.relevance
            times = spectral.Stft(len(x), **stft).times / rate
            axes[domain] = (np.fft.rfftfreq(stft["n_fft"], 1 / rate), times)
            rest[domain] = lost + float(tiles.rest)
    return signal, relevance, axes, rest


def _provenance(
    model: Model,
    recording: Recording,
    result: Attribution,
    overrides: Mapping[str, str | Rule] | None,
    backend: str | None,
) -> dict[str, Any]:
    return {
        "model": model.path.name,
        "model sha256": model.graph.sha256,
        "recording": recording.name,
        "recording sha256": recording.sha256,
        "composite": result.table.composite,
        "rules": {la.key: la.rule_name for la in result.table.layers if la.rule},
        "overrides": {key: str(to) for key, to in (overrides or {}).items()},
        "seed": result.seed_kind,
        "backend": backend or "numpy",
        "dtype": str(result.explained.dtype),
        "versions": {
            **{n: version(n) for n in ("dftlrp", "numpy", "scipy", "onnx")},
            "python": platform.python_version(),
        },
    }
