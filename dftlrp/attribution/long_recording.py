"""`explain_recording`: a recording of any length, window by window, and why where it matters."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
        Seconds in a window, of a model that reads any length, where it is needed; of a model that
        keeps a state from chunk to chunk, how much is explained before each chosen chunk.
    hop : float, optional
        Seconds from window to window; half a window if not given.
    start, stop : float, optional
        Seconds: what of the recording is asked about; all of it if not given.
    backend, frontend, masks, method, reference, channels
        As of `dftlrp.explain`.

    Returns
    -------
    Timeline
        A sequence of explanations, the strongest window first, with the scores of all windows.

    Raises
    ------
    InputError
        A number is out of range, or the model reads any length and no window is given; and as of
        `dftlrp.explain`.

    See Also
    --------
    explain : One window.
    explain_many : Many recordings.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(scale=0.01, size=8000 * 5)
    >>> found = dftlrp.explain_recording("waveform", noise, rate=8000, top=2)
    >>> len(found.starts), len(found)
    (9, 2)
    """
    asking = prepare(
        model, signal, Request(
            target, rate, seed, composite, overrides or {}, labels, output, bind or {}, domains,
            backend, frontend, masks or {}, method, reference, channels,
        )
    )  # fmt: skip
    with asking.open() as whole:
        return explain_along(asking, whole, Passage(top, window, hop, start, stop))


class Passage(NamedTuple):
    """Which windows are asked about: the first five arguments of `explain_recording`."""

    top: int | None = TOP
    window: float | None = None
    hop: float | None = None
    start: float = 0.0
    stop: float | None = None


def is_longer(asking: Asking, whole: Whole, window: float | None) -> bool:
    """Return whether a recording is longer than what the model reads at once."""
    if asking.stream is not None:
        return asking.stream.count_chunks(whole.length) > 1
    length = asking.count_window(whole, window)
    return length is not None and whole.length > length


def explain_along(asking: Asking, whole: Whole, asked: Passage) -> Timeline:
    """Return the timeline of a recording; errors as of `explain_recording`."""
    if asked.top is not None:
        as_whole(asked.top, "top", 1)
    if asking.stream is not None:
        return _follow_stream(asking, whole, asked)
    length = asking.count_window(whole, asked.window)
    if length is None:
        raise InputError(
            "the model reads all of a recording at once, as dftlrp.explain does: to go through it "
            "in windows, give window= in seconds"
        )
    starts = _place_windows(whole, length, asked)
    scores = asking.listener.score(whole, length, starts)
    chosen = choose_strongest(scores.scores, starts, asked.top, length)
    explanations = [
        asking.explain_window(whole, int(starts[k]), length, others=k == chosen[0])
        for k in steps(chosen, "explaining")
    ]
    return _make_timeline(asking, whole, scores, chosen, explanations)


def _follow_stream(asking: Asking, whole: Whole, wanted: Passage) -> Timeline:
    """Return what a streaming model says of every chunk, and why of the strongest."""
    if wanted.hop is not None:
        raise InputError(
            f"{asking.model.path}: it goes from chunk to chunk, so that hop= has no use"
        )
    start, end = _find_passage(whole, wanted)
    stretches = follow_recording(asking, whole)
    count, stream = stretches.count_chunks(wanted.window), stretches.stream
    middles = stretches.followed.starts + stretches.followed.seconds / 2
    asked = np.flatnonzero((start <= middles) & (middles < end))
    if not len(asked):
        raise InputError(f"from {start:g} to {end:g} s no chunk lies in the middle")
    scores = stretches.score(asked)
    chosen = choose_strongest(scores.scores, scores.starts, wanted.top, count * stream.step)
    explanations = [
        stretches.explain(int(asked[k]), count, f"score {scores.scores[k]:.4g}")
        for k in steps(chosen, "explaining")
    ]
    return _make_timeline(asking, whole, scores, chosen, explanations)


def _find_passage(whole: Whole, asked: Passage) -> tuple[float, float]:
    """Return the stretch that is asked about, in seconds."""
    start, end = asked.start, whole.seconds if asked.stop is None else asked.stop
    if not 0 <= start < end <= whole.seconds * (1 + ROUNDED):
        raise InputError(f"from {start:g} to {end:g} s: the recording has {whole.seconds:g} s")
    return start, end


def _place_windows(whole: Whole, length: int, asked: Passage) -> AnyArray:
    """Return where windows start, in samples."""
    if asked.hop is not None and not 0 < asked.hop < math.inf:
        raise InputError(f"hop {asked.hop!r}: a positive number of seconds is needed")
    rate = whole.rate or 1.0
    step = length // HOPS if asked.hop is None else round(asked.hop * rate)
    start, end = _find_passage(whole, asked)
    first, last = round(start * rate), min(round(end * rate), whole.length)
    room = max(whole.length - length, 0)  # so that a short stretch is read with what is beside it
    return np.minimum(place_windows(min(first, room), last, length, max(step, 1)), room)


def _make_timeline(
    asking: Asking, whole: Whole, scores: Scores, chosen: list[int],
    explanations: list[Explanation],
) -> Timeline:  # fmt: skip
    """Return what was found, with what there is to see of the recording."""
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
        chosen=tuple(chosen),
        explanations=tuple(explanations),
        overview=summarise(whole, stft_for(rate)["n_fft"]),
        name=whole.about.name,
    )
