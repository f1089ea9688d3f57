"""`explain`: the relevance of one recording for one target, in every domain."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.attribute import Attribution, make_attribution
from dftlrp.attribution.batches import Point
from dftlrp.attribution.gradients import read_value
from dftlrp.attribution.methods import (
    Method,
    answer_by,
    list_facts_of,
    make_point,
    read_method,
    value_by,
)
from dftlrp.attribution.provenance import collect_provenance, write_notes
from dftlrp.attribution.recording import Recording
from dftlrp.attribution.references import find_references, is_word
from dftlrp.attribution.score import make_asked
from dftlrp.attribution.targets import name_target, resolve_seed, resolve_target
from dftlrp.attribution.waveform import (
    WaveformInput,
    find_waveform,
    make_example,
    read_beside,
    read_signal,
)
from dftlrp.core.ledger import Ledger
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model, as_model, attach_front_end
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, Question, Settings
from dftlrp.graph.frontend import FrontEnd, find_levels
from dftlrp.results import views
from dftlrp.results.data import Asked, View, Waveform
from dftlrp.results.explanation import Explanation
from dftlrp.spectral import stft_for

THREADS = 2  # of onnxruntime on every machine, so that an explanation has the same digits


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
    method: str = "lrp",
    reference: Any = "auto",
    channels: str | Sequence[str] = (),
) -> Explanation:
    """Explain one output of a model for one recording, in time, frequency and other domains.

    Parameters
    ----------
    model : path, Model or object
        An ONNX model that reads a waveform, or what a front end computes from one; or a
        framework's model, which is given the recording as (1, channels, samples) where it does
        not declare what it reads.
    signal : path or array
        A file of sound or of another signal (docs/signals.md lists the formats); or floats of shape
        (N,) or (channels, N), of sound with full scale 1.
    target : int, str, tuple of int, callable, or "argmax"
        Class index, label, index into an output of higher rank, function, or the largest output.
    rate : float, optional
        Hertz.  For an array, or a file that states no rate: the rate at which it was sampled.  For
        a file that does: the rate that the model reads, if the model does not declare it.
    seed : str
        What is explained of the target: ``"logit"`` (its score), ``"contrast"`` (its score minus
        the mean of the others), ``"contrast:CLASS"`` (minus that of one class) or ``"one"`` (one
        unit of relevance); ``"auto"`` is decided by `dftlrp.engine.auto.choose_seed`.
    composite : str or Composite
        A preset of rules, or ``"auto"``, decided by `dftlrp.engine.auto.choose_composite`.
    overrides : dict, optional
        Rules by layer; see `dftlrp.engine.composites.make_layer_table`.
    labels : list of str, optional
        Names of the classes; if not given, those in the model's metadata.
    output, bind, backend, masks
        As in `dftlrp.attribute`.
    domains : list of str
        Any of ``"time"``, ``"frequency"``, ``"time-frequency"``, ``"mel"``, and ``"input"``: what
        the model itself reads, behind a front end.
    frontend : FrontEnd or path, optional
        How the waveform becomes what the model reads; if not given, the model's metadata entry
        ``frontend``, or a TOML file of the model's name in the same folder.
    method : str
        How relevance is computed: ``"lrp"``, by rules; ``"gradient"`` (times the input),
        ``"integrated-gradients"``, ``"smoothgrad"``, ``"lrp(path=8)"``; or, by replacing parts of
        the recording, ``"occlusion"``, ``"shapley"``, ``"rise"``.  Numbers may follow in brackets,
        as in ``"integrated-gradients(steps=64)"``; docs/methods.md has all of them.
    reference : str, path, array or list
        What the score is compared with, so that its difference is explained: ``"silence"``;
        ``"noise"`` with the recording's spectrum; another recording, aligned with this one (*why
        six here and not there?*); several of them, for the mean of the explanations; ``["mean",
        FILE, ...]``, the mean of recordings; ``"none"``: nothing.  ``"auto"``: silence or nothing,
        as of `dftlrp.attribute`.
    channels : str or list of str
        Names of the channels of a file that the model reads, in this order; if not given, all.

    Returns
    -------
    Explanation

    Raises
    ------
    ModelError, UnsupportedModelError, InputError, NonFiniteError
        The message is one line that says what is wrong and what to do.

    Notes
    -----
    Relevance is carried to the other domains by DFT-LRP (arXiv 2303.06365), exactly and from the
    multiplier, so that silence needs no stabiliser.
    """
    chosen, by = views.choose_domains(domains), read_method(method)
    settings = by.choose_rules(Settings(
        output, bind or {}, composite, overrides or {}, backend, waveform=True, threads=THREADS
    ))  # fmt: skip
    wanted = (channels,) if isinstance(channels, str) else tuple(channels)
    bare = _load_model(model, lambda: make_example(signal, rate, wanted))
    model = attach_front_end(bare, frontend)
    plan = model.plan(settings.output, settings.bind)
    read = find_waveform(plan, signal, wanted)
    recording = read_signal(model, signal, rate, read)
    names = tuple(map(str, labels)) if labels is not None else model.labels
    inner = {_find_read_value(plan), find_levels(plan.graph)} - {""}
    question = Question(
        resolve_target(target, names, plan), resolve_seed(seed, names, plan),
        keep=inner, masks=masks or {}, labels=names,
    )  # fmt: skip
    if isinstance(reference, list | tuple) and len(reference) == 1:
        (reference,) = reference
    compared = None if is_word(reference, AUTO) else find_references(
        reference, recording.samples, lambda other: read_beside(model, other, rate, read, recording)
    )  # fmt: skip
    by.refuse(question, compared is not None)
    if is_word(reference, AUTO):
        settings = replace(settings, reference=AUTO)
    case = _Case(by, model, bare, settings, question, recording, read, chosen, plan)
    passes = [case.compare(r) for r in (compared.points if compared else [None])]
    result, shown = _average_results(passes), _average_views(passes)
    if labels is not None and len(names) != result.explained.shape[-1]:
        raise InputError(f"{len(names)} labels for {result.explained.shape[-1]} classes")
    words = compared.words if compared else ""
    facts = list_facts_of(by, passes[0].point, words)
    known = {"reference sha256": compared.sha256} if compared else {}
    result = replace(result, facts=facts | known)
    index, label = name_target(result, names)
    return Explanation(
        signal={k: v.signal for k, v in shown.items()},
        relevance={k: v.relevance for k, v in shown.items()},
        axes={k: v.axes for k, v in shown.items()},
        rest={k: v.rest for k, v in shown.items()},
        rate=recording.rate or 1.0,
        target=index,
        label=label,
        labels=names,
        output=_drop_ones(_take_first(result.output, plan)),
        explained=_drop_ones(_take_first(result.explained, plan)),
        ledger=result.ledger,
        stft=dict(stft_for(recording.rate or 1.0)),
        notes=write_notes(model, recording, question, result),
        provenance=collect_provenance(model, recording, settings, question, result),
        channel_names=recording.channel_names,
        asked=passes[0].asked,
    )


class Pass(NamedTuple):
    """What there is for one reference: the answer, its relevance, that of domains, the scores."""

    point: Point
    result: Attribution
    shown: dict[str, View]
    asked: dict[str, Asked]


@dataclass(frozen=True, eq=False)
class _Case:
    """A recording and what is asked about it, for each reference that it is compared with."""

    by: Method
    model: Model
    bare: Model
    settings: Settings
    question: Question
    recording: Recording
    read: WaveformInput
    domains: Sequence[str]
    plan: Plan

    def compare(self, reference: Real | None) -> Pass:
        """Return the answer at the recording, its relevance, and that in every domain."""
        samples, read, name = self.recording.samples, self.read, _find_read_value(self.plan)
        inputs = {read.name: read.to_input(samples)}
        settings = self.settings
        if reference is not None:
            settings = replace(settings, reference={read.name: read.to_input(reference)})
        point = make_point(self.model, inputs, settings, self.question)
        wanted = views.INPUT in self.domains
        found = answer_by(self.by, point, self.question.keep if wanted else ())
        result = make_attribution(self.question, found, named=True, method=str(self.by))
        first = make_attribution(self.question, point.answer, named=True)  # at the input itself
        seen, c = _view_read_value(first, self.plan), _read_coefficients(first, point)
        scored = {
            "waveform": make_asked(self.model, settings, c, samples, read.to_input),
            "input": make_asked(self.bare, settings, c, seen.signal),
        }
        if self.by.kind.value:
            r = point.reference
            features = _take_first(read_value(point, name, r), self.plan)
            compared = {
                "waveform": (scored["waveform"], read.to_samples(r[read.name])),
                "input": (scored["input"], features),
            }
            wave = self._make_waveform(samples, result)
            shown, ledger = _value_parts(self.by, point, wave, self.domains, seen, compared)
            return Pass(point, replace(result, ledger=ledger), shown, scored)
        reads = _view_read_value(result, self.plan) if wanted else None
        change = samples if reference is None else samples - reference
        shown = views.compute_views(self._make_waveform(change, result), self.domains, reads)
        if reference is not None and reference.any():  # what is drawn is the recording
            own = views.compute_views(self._make_waveform(samples, result), self.domains, reads)
            shown = {k: v._replace(signal=own[k].signal) for k, v in shown.items()}
        return Pass(point, result, shown, scored)

    def _make_waveform(self, samples: Real, result: Attribution) -> Waveform:
        """Return samples with their relevance and, where a rule has one, their multiplier."""
        of_all: Any = (result.relevance, result.multiplier)
        R, m = (a[self.read.name] for a in of_all)
        rate = self.recording.rate or 1.0
        return views.make_waveform(
            samples, self.read.to_samples(R), None if m is None else self.read.to_samples(m),
            rate, stft_for(rate),
        )  # fmt: skip


def _average_results(passes: Sequence[Pass]) -> Attribution:
    """Return the mean of the results for several references."""
    results = [one.result for one in passes]
    if len(results) == 1:
        return results[0]
    ledger = Ledger.average([r.ledger for r in results])
    return replace(results[0], seed=np.mean([r.seed for r in results], axis=0), ledger=ledger)


def _average_views(passes: Sequence[Pass]) -> dict[str, View]:
    """Return the mean relevance in every domain."""
    shown = [one.shown for one in passes]
    if len(shown) == 1:
        return shown[0]
    return {
        name: view._replace(
            relevance=np.mean([v[name].relevance for v in shown], axis=0),
            rest=float(np.mean([v[name].rest for v in shown])),
        )
        for name, view in shown[0].items()
    }


def _read_coefficients(result: Attribution, point: Point) -> Real:
    """Return c of the score that is explained, the sum of c z."""
    if result.seed_kind == "one":
        return np.asarray(result.seed, np.float64).reshape(result.explained.shape)
    return point.coefficients


def _load_model(source: Any, example: Callable[[], Real]) -> Model:
    """Return the model; a framework's own is exported with the signal as its example."""
    known = isinstance(source, Model | str | os.PathLike)
    return as_model(source, None if known else example())


def _value_parts(
    method: Method,
    point: Point,
    w: Waveform,
    domains: Sequence[str],
    read: View,
    asked: Mapping[str, tuple[Asked, Real]],
) -> tuple[dict[str, View], Ledger]:
    """Return the domains with what their units are worth, and the account of it.

    Parameters
    ----------
    read : View
        Of what the model itself reads.
    asked : dict of str to (Asked, array)
        Score and reference of the recording, and of what the model reads.
    """
    tiles = ("time-frequency",) if "mel" in domains else ()
    drawn = views.compute_views(w, tuple(dict.fromkeys((*domains, *tiles))), read)
    order = sorted(drawn, key=lambda name: name == "mel")  # which is made of the tiles
    found, ledger = value_by(method, point, w, {d: drawn[d] for d in order}, asked)
    return {d: found[d] for d in domains}, ledger


def _find_read_value(plan: Plan) -> str:
    """Return the value that the model itself reads, behind a front end or not."""
    return plan.graph.reads or next(iter(plan.signals))


def _view_read_value(result: Attribution, plan: Plan) -> View:
    """Return what the model itself reads as a domain.

    Its rest is minus what the front end absorbs, since the other domains lie before that.
    """
    value, relevance = (_take_first(a, plan) for a in result.kept[_find_read_value(plan)])
    axes = tuple(map(np.arange, value.shape))
    if not result.ledger.has_layers:
        arrived = result.ledger.rows[0].to_inputs.sum()
        return View(value, relevance, axes, float(arrived - relevance.sum()))
    front = [row for row in result.ledger.rows if row.node in plan.graph.front]
    kinds = ("bias", "stabiliser", "stopped", "reference")
    absorbed = [getattr(row, kind).sum() for row in front for kind in kinds]
    return View(value, relevance, axes, -float(sum(absorbed)))


def _take_first(batch: Real, plan: Plan) -> Real:
    """Return the first sample of an array that has a batch axis."""
    dims = next(iter(plan.signals.values())).dims
    return batch[0] if dims is None or len(dims) > 1 else batch


def _drop_ones(values: Real) -> Real:
    """Return values with one axis of classes without their axes of length one."""
    return values.reshape(-1) if sum(n > 1 for n in values.shape) <= 1 else values
