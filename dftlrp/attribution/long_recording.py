"""`explain_recording`: a recording of any length, window by window, and why where it matters."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dftlrp.attribution.asking import HOPS, Asking, Request, prepare
from dftlrp.attribution.attribute import FREE
from dftlrp.attribution.overview import summarise
from dftlrp.attribution.stretches import follow_recording
from dftlrp.attribution.targets import name_place
from dftlrp.attribution.whole import Whole
from dftlrp.attribution.window_scores import Scores, choose_strongest, place_windows
from dftlrp.core.progress import steps
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.composites import Composite
from dftlrp.graph.frontend import FrontEnd
from dftlrp.results import views
from dftlrp.results.explanation import Explanation
from dftlrp.results.timeline import Timeline
from dftlrp.spectral import stft_for
from dftlrp.spectral.checks import as_whole

TOP = 5
ROUNDED = 1e-9  # of a duration: what the end of a stretch may lie beyond it


def explain_recording(
    model: Any,
    signal: str | os.PathLike[str] | AnyArray,
    *,
    top: int | None = TOP,
    window: float | None = None,
    hop: float | None = None,
    start: float = 0.0,
    stop: float | None = None,
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
) -> Timeline:
    """Explain a long recording: ask the model about every window, and why in the strongest.

    Parameters
    ----------
    model, signal, target, rate, seed, composite, overrides, labels, output, bind, domains
        As of `dftlrp.explain`.  With the target ``"argmax"`` each window is asked about its own
        largest output.
    top : int or None
        How many windows are explained: those with the largest scores, no two of which overlap.
        None: every window.
    window : float, optional
        Seconds in a window; only of a model that reads any length, where it is needed.  Of a model
        that keeps a state from chunk to chunk, each of which is asked about: what is explained of
        the recording up to a chunk.
    hop : float, optional
        Seconds from window to window; half a window if not given.
    start, stop : float, optional
        Seconds: what of the recording is asked about; all of it if not given.
    backend, frontend, masks, method, reference, channels
        As of `dftlrp.explain`.

    Returns
    -------
    Timeline

    Raises
    ------
    InputError
        A number is out of range, or the model reads any length and no window is given; and as of
        `dftlrp.explain`.

    Examples
    --------
    >>> import dftlrp, numpy as np
    >>> noise = np.random.default_rng(0).normal(scale=0.01, size=8000 * 5)
    >>> found = dftlrp.explain_recording(dftlrp.embedded("waveform"), noise, rate=8000, top=2)
    >>> len(found.starts), len(found)
    (17, 2)
    """
    asking = prepare(
        model, signal, Request(
            target, rate, seed, composite, overrides or {}, labels, output, bind or {}, domains,
            backend, frontend, masks or {}, method, reference, channels,
        )
    )  # fmt: skip
    if top is not None:
        as_whole(top, "top", 1)
    if asking.stream is not None:
        return _explain_stream(asking, top, window, hop, (start, stop))
    with asking.open() as whole:
        length = asking.count_window(whole, window)
        if length is None:
            raise InputError(
                "the model reads all of a recording at once, as dftlrp.explain does: to go through "
                "it in windows, give window= in seconds"
            )
        starts = _place_windows(whole, length, hop, start, stop)
        scores = asking.listener.score(whole, length, starts)
        chosen = choose_strongest(scores, top or len(starts), length if top else 0)
        explanations = tuple(
            asking.explain(asking.cut(whole, int(starts[k]), length), others=k == chosen[0])
            for k in steps(chosen, "explaining")
        )
        return _make_timeline(asking, whole, scores, explanations)


def _explain_stream(
    asking: Asking, top: int | None, window: float | None, hop: float | None,
    span: tuple[float, float | None],
) -> Timeline:  # fmt: skip
    """Return what a streaming model says of every chunk, and why of the strongest."""
    if hop is not None:
        raise InputError(
            f"{asking.model.path}: it goes from chunk to chunk, so that hop= has no use"
        )
    with asking.open() as whole:
        start, end = _read_span(whole, *span)
        stretches = follow_recording(asking, whole)
        count, stream = stretches.count_chunks(window), stretches.stream
        middles = stretches.followed.starts + stretches.followed.seconds / 2
        asked = np.flatnonzero((start <= middles) & (middles < end))
        if not len(asked):
            raise InputError(f"from {start:g} to {end:g} s no chunk lies in the middle")
        scores = stretches.score(asked)
        chosen = choose_strongest(scores, top or len(asked), count * stream.step if top else 0)
        explanations = tuple(
            stretches.explain(int(asked[k]), count, f"score {scores.scores[k]:.4g}")
            for k in steps(chosen, "explaining")
        )
        return _make_timeline(asking, whole, scores, explanations)


def _read_span(whole: Whole, start: float, stop: float | None) -> tuple[float, float]:
    """Return a stretch of the recording, in seconds."""
    end = whole.seconds if stop is None else stop
    if not 0 <= start < end <= whole.seconds * (1 + ROUNDED):
        raise InputError(f"from {start:g} to {end:g} s: the recording has {whole.seconds:g} s")
    return start, end


def _place_windows(
    whole: Whole, length: int, hop: float | None, start: float, stop: float | None
) -> AnyArray:
    """Return where windows start, in samples."""
    rate, (start, end) = whole.rate or 1.0, _read_span(whole, start, stop)
    if hop is not None and not 0 < hop < math.inf:
        raise InputError(f"hop {hop!r}: a positive number of seconds is needed")
    step = length // HOPS if hop is None else round(hop * rate)
    first, last = round(start * rate), min(round(end * rate), whole.length)
    room = max(whole.length - length, 0)  # so that a short stretch is read with what is beside it
    return np.minimum(place_windows(min(first, room), last, length, max(step, 1)), room)


def _make_timeline(
    asking: Asking, whole: Whole, scores: Scores, explanations: tuple[Explanation, ...]
) -> Timeline:
    rate, labels = whole.rate or 1.0, asking.question.labels
    names = [FREE if t is None else name_place(t, scores.shape, labels)[1] for t in scores.targets]
    return Timeline(
        starts=scores.starts / rate,
        seconds=scores.length / rate,
        scores=scores.scores,
        targets=tuple(names),
        outputs=scores.outputs,
        labels=labels,
        duration=whole.seconds,
        explanations=explanations,
        overview=summarise(whole, stft_for(rate)["n_fft"]),
        name=whole.about.name,
    )
