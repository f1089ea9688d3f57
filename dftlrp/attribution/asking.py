"""What is asked of a model about a recording, any stretch of which can then be explained."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from numbers import Real as Number
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.attribute import Attribution, make_attribution
from dftlrp.attribution.batches import Point
from dftlrp.attribution.gradients import read_value
from dftlrp.attribution.input_kind import refuse_features
from dftlrp.attribution.methods import (
    Method,
    answer_by,
    list_facts_of,
    make_point,
    read_method,
    value_by,
)
from dftlrp.attribution.passes import Pass, average_results, average_views
from dftlrp.attribution.provenance import collect_provenance, write_notes
from dftlrp.attribution.rate_check import warn_of_rates
from dftlrp.attribution.read_values import (
    drop_ones,
    find_read_value,
    take_first,
    view_read_value,
)
from dftlrp.attribution.recording import Recording
from dftlrp.attribution.references import References, find_references, is_word
from dftlrp.attribution.score import make_asked
from dftlrp.attribution.streaming import settle_inputs
from dftlrp.attribution.targets import name_target, resolve_seed, resolve_target
from dftlrp.attribution.waveform import (
    WaveformInput,
    find_waveform,
    make_example,
    note_assumptions,
    read_beside,
    read_signal,
    refuse_no_rate,
)
from dftlrp.attribution.whole import Whole, open_whole
from dftlrp.attribution.window_scores import Listener, place_windows
from dftlrp.core.ledger import Ledger
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.composites import Composite
from dftlrp.engine.forward import NOTHING
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, Question, Settings
from dftlrp.graph.frontend import FrontEnd, find_levels
from dftlrp.results import views
from dftlrp.results.data import Asked, View, Waveform
from dftlrp.results.explanation import Explanation
from dftlrp.spectral import stft_for
from dftlrp.tracing.following import Stream

STRONGEST, LOUDEST = "strongest", "loudest"
HOPS = 2  # in a window; with four the ten strongest words of ten minutes are no truer
THREADS = 2  # of onnxruntime on every machine, so that an explanation has the same digits


class Request(NamedTuple):
    """The keyword arguments of `explain` but for ``at`` and ``window``."""

    target: Any = "argmax"
    rate: float | None = None
    seed: str = AUTO
    composite: str | Composite = AUTO
    overrides: Mapping[str, str | Rule] = NOTHING
    labels: Sequence[str] | None = None
    output: str | None = None
    bind: Mapping[str, Any] = NOTHING
    domains: Sequence[str] = views.DEFAULT
    backend: str | None = None
    frontend: FrontEnd | str | os.PathLike[str] | None = None
    masks: Mapping[str, AnyArray | None] = NOTHING
    method: str = "lrp"
    reference: Any = AUTO
    channels: str | Sequence[str] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the channels that are read."""
        return (self.channels,) if isinstance(self.channels, str) else tuple(self.channels)


def prepare(model: Any, signal: Any, request: Request) -> Asking:
    """Return what is asked about a recording, of which no sample has been read yet.

    Raises
    ------
    ModelError, InputError
        As of `explain`, where that is known without the samples.
    """
    by = read_method(request.method)
    settings = by.choose_rules(Settings(
        request.output, request.bind, request.composite, request.overrides, request.backend,
        threads=THREADS,
    ))  # fmt: skip
    loaded = _load_model(model, lambda: make_example(signal, request.rate, request.chosen))
    reading = settle_inputs(
        loaded, signal, request.rate, request.frontend, request.bind, request.output
    )
    whole, settings = reading.model, replace(settings, bind=reading.bound)
    plan = whole.plan(settings.output, settings.bind)
    names = tuple(map(str, request.labels)) if request.labels is not None else whole.labels
    inner = {find_read_value(plan), find_levels(plan.graph)} - {""}
    question = Question(
        resolve_target(request.target, names, plan), resolve_seed(request.seed, names, plan),
        keep=inner, masks=request.masks, labels=names,
    )  # fmt: skip
    read = find_waveform(plan, signal, request.chosen)
    if reading.stream is None:
        refuse_features(whole, read, signal, request.rate)
    return Asking(
        by, whole, reading.bare, settings, question, read,
        views.choose_domains(request.domains), plan, signal, request.rate, request.reference,
        request.labels is not None, reading.words, reading.stream,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Asking:
    """What is asked of a model about a recording, any stretch of which can then be explained.

    Attributes
    ----------
    by : Method
    model, bare : Model
        With its front end, and without.
    settings, question
        As they were asked for.
    read : WaveformInput
    domains : sequence of str
    plan : Plan
    signal : path or array
    rate : float or None
        As given with the signal.
    reference : object
        As given.
    labelled : bool
        Whether the names of the classes were given.
    words : tuple of str
        What of the model's inputs was recognised.
    stream : Stream, optional
        How it is run, if it keeps a state from chunk to chunk.
    """

    by: Method
    model: Model
    bare: Model
    settings: Settings
    question: Question
    read: WaveformInput
    domains: Sequence[str]
    plan: Plan
    signal: Any
    rate: float | None
    reference: Any
    labelled: bool
    words: tuple[str, ...] = ()
    stream: Stream | None = None

    def read_loudest(self) -> Recording:
        """Return the recording as the model reads it; of one that is too long its loudest part."""
        return read_signal(self.model, self.signal, self.rate, self.read)

    def open(self) -> AbstractContextManager[Whole]:
        """Open the recording, of which stretches can be read."""
        refuse_no_rate(self.rate)
        declared = self.model.rate or self.rate
        return open_whole(self.signal, self.read.channels, self.rate, declared, self.read.chosen)

    def count_window(self, whole: Whole, seconds: float | None) -> int | None:
        """Return the samples of a window; None if all of a recording is read at once.

        Raises
        ------
        InputError
            The window is no duration, or the model reads another.
        """
        length, rate = self.read.length, whole.rate or 1.0
        if seconds is None:
            return length
        if not (isinstance(seconds, Number) and 0 < seconds < math.inf):
            raise InputError(f"window {seconds!r}: a positive number of seconds is needed")
        count = max(round(seconds * rate), 1)
        if length not in {None, count}:
            raise InputError(f"window {seconds:g} s: the model reads {length / rate:g} s, always")
        return count

    def cut(self, whole: Whole, start: int, count: int) -> Recording:
        """Return a stretch of the recording, from a sample on."""
        recording = whole.cut(start, count)
        stated = recording.states_rate
        told = note_assumptions(recording, stated, self.model.rate, self.rate)
        return replace(recording, notes=(*recording.notes, *told))

    def explain_window(
        self, whole: Whole, start: int, length: int, others: bool = True
    ) -> Explanation:
        """Return the explanation of a window of a longer recording, which says where it lies."""
        rate = whole.rate or 1.0
        found = self.explain(self.cut(whole, start, length), others)
        place = {"at": (start + length / 2) / rate, "seconds": length / rate}
        return replace(found, provenance={**found.provenance, "window": place})

    @property
    def listener(self) -> Listener:
        """The model, to be asked about windows."""
        return Listener(self.model, self.read, self.plan, self.settings, self.question)

    def find_place(self, whole: Whole, length: int, at: float | str) -> int:
        """Return the first sample of the window that is asked for."""
        last = whole.length - length
        if at == STRONGEST:
            starts = place_windows(0, whole.length, length, max(length // HOPS, 1))
            scores = self.listener.score(whole, length, starts)
            return int(scores.starts[scores.scores.argmax()])
        if not (isinstance(at, Number) and 0 <= at <= whole.seconds):
            raise InputError(
                f"at {at!r}: give seconds from 0 to {whole.seconds:g}, {STRONGEST!r} or {LOUDEST!r}"
            )
        return min(max(round(at * (whole.rate or 1.0) - length / 2), 0), last)

    def explain(self, recording: Recording, others: bool = True) -> Explanation:
        """Return the explanation of a recording, or a stretch of it, as the model reads it.

        ``others`` says whether the model is also asked at other rates, where it declares none.
        """
        compared = self._find_references(recording)
        self.by.refuse(self.question, compared is not None)
        passes = [self._compare(recording, r) for r in (compared.points if compared else [None])]
        result, shown = average_results(passes), average_views(passes)
        names = self.question.labels
        if self.labelled and len(names) != result.explained.shape[-1]:
            raise InputError(f"{len(names)} labels for {result.explained.shape[-1]} classes")
        facts = list_facts_of(self.by, passes[0].point, compared.words if compared else "")
        known = {"reference sha256": compared.sha256} if compared else {}
        result = replace(result, facts=facts | known)
        index, label = name_target(result, names)
        return Explanation(
            signal={k: v.signal for k, v in shown.items()},
            relevance={k: v.relevance for k, v in shown.items()},
            axes={k: views.count_from(recording.start, k, v.axes) for k, v in shown.items()},
            rest={k: v.rest for k, v in shown.items()},
            rate=recording.rate or 1.0,
            target=index,
            label=label,
            labels=names,
            output=drop_ones(take_first(result.output, self.plan)),
            explained=drop_ones(take_first(result.explained, self.plan)),
            ledger=result.ledger,
            stft=dict(stft_for(recording.rate or 1.0)),
            notes=(
                *self.words,
                *write_notes(self.model, recording, self.question, result),
                *(self._warn_of_rates(recording) if others else ()),
            ),
            provenance=collect_provenance(
                self.model, recording, self.settings, self.question, result
            ),
            channel_names=recording.channel_names,
            start=recording.start,
            asked=passes[0].asked,
        )

    def _warn_of_rates(self, recording: Recording) -> Iterator[str]:
        if (self.rate and recording.states_rate) or self.stream or self.model.rate:
            return iter(())
        return warn_of_rates(
            self.model, self.plan, self.read, recording,
            lambda rate: open_whole(
                self.signal, self.read.channels, self.rate, rate, self.read.chosen
            ),
            self.question.labels,
        )  # fmt: skip

    def _find_references(self, recording: Recording) -> References | None:
        """Return what the recording is compared with, or None where the engine decides."""
        reference = self.reference
        if isinstance(reference, list | tuple) and len(reference) == 1:
            (reference,) = reference
        if is_word(reference, AUTO):
            return None
        return find_references(
            reference, recording.samples,
            lambda other: read_beside(self.model, other, self.rate, self.read, recording),
        )  # fmt: skip

    def _compare(self, recording: Recording, reference: Real | None) -> Pass:
        """Return the answer at the recording, its relevance, and that in every domain."""
        samples, read, name = recording.samples, self.read, find_read_value(self.plan)
        inputs = {read.name: read.to_input(samples)}
        settings = self.settings
        if is_word(self.reference, AUTO):
            settings = replace(settings, reference=AUTO)
        if reference is not None:
            settings = replace(settings, reference={read.name: read.to_input(reference)})
        point = make_point(self.model, inputs, settings, self.question)
        wanted = views.INPUT in self.domains
        found = answer_by(self.by, point, self.question.keep if wanted else ())
        result = make_attribution(self.question, found, named=True, method=str(self.by))
        first = make_attribution(self.question, point.answer, named=True)  # at the input itself
        seen, c = view_read_value(first, self.plan), _read_coefficients(first, point)
        scored = {
            "waveform": make_asked(self.model, settings, c, samples, read.to_input),
            "input": make_asked(self.bare, settings, c, seen.signal),
        }
        whole = self._make_waveform(recording, samples, result)
        if self.by.kind.value:
            r = point.reference
            features = take_first(read_value(point, name, r), self.plan)
            compared = {
                "waveform": (scored["waveform"], read.to_samples(r[read.name])),
                "input": (scored["input"], features),
            }
            shown, ledger = _value_parts(self.by, point, whole, self.domains, seen, compared)
            return Pass(point, replace(result, ledger=ledger), shown, scored)
        reads = view_read_value(result, self.plan) if wanted else None
        if reference is None or not reference.any():
            return Pass(point, result, views.compute_views(whole, self.domains, reads), scored)
        change = self._make_waveform(recording, samples - reference, result)
        shown = views.compute_views(change, self.domains, reads)
        own = views.compute_views(whole, self.domains, reads)  # what is drawn is the recording
        shown = {k: v._replace(signal=own[k].signal) for k, v in shown.items()}
        return Pass(point, result, shown, scored)

    def _make_waveform(self, recording: Recording, x: Real, result: Attribution) -> Waveform:
        """Return samples with their relevance and, where a rule has one, their multiplier."""
        of_all: Any = (result.relevance, result.multiplier)
        R, m = (a[self.read.name] for a in of_all)
        rate = recording.rate or 1.0
        return views.make_waveform(
            x, self.read.to_samples(R), None if m is None else self.read.to_samples(m), rate,
            stft_for(rate),
        )  # fmt: skip


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
