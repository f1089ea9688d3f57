"""`explain`: the relevance of one recording for one target, in every domain."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack, overload

from dftlrp.attribution.asking import LOUDEST, STRONGEST, Asking, Request, prepare
from dftlrp.attribution.stretches import explain_moment
from dftlrp.attribution.targets import resolve_target
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.composites import Composite
from dftlrp.graph.frontend import FrontEnd
from dftlrp.results import views
from dftlrp.results.comparison import Comparison, compare
from dftlrp.results.explanation import Explanation


class Options(TypedDict, total=False):
    """The keyword arguments of `explain` but for ``versus``, for readers of types."""

    target: Any
    rate: float | None
    seed: str
    composite: str | Composite
    overrides: Mapping[str, str | Rule] | None
    labels: Sequence[str] | None
    output: str | None
    bind: Mapping[str, Any] | None
    domains: Sequence[str]
    backend: str | None
    frontend: FrontEnd | str | os.PathLike[str] | None
    masks: Mapping[str, AnyArray | None] | None
    method: str
    reference: Any
    at: float | str
    window: float | None
    channels: str | Sequence[str]


@overload
def explain(
    model: Any,
    signal: str | os.PathLike[str] | AnyArray,
    *,
    versus: None = None,
    **options: Unpack[Options],
) -> Explanation: ...


@overload
def explain(
    model: Any,
    signal: str | os.PathLike[str] | AnyArray,
    *,
    versus: int | str | tuple[int, ...],
    **options: Unpack[Options],
) -> Comparison: ...


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
    at: float | str = STRONGEST,
    window: float | None = None,
    channels: str | Sequence[str] = (),
    versus: Any = None,
) -> Explanation | Comparison:
    """Explain one output of a model for one recording, in time, frequency and other domains.

    Parameters
    ----------
    model : path, Model or object
        An ONNX model that reads a waveform, or what a front end computes from one; or a
        framework's model, which is given the recording as (1, channels, samples) where it does
        not declare what it reads.
    signal : path or array
        A file of sound or of another signal (docs/guides/signals.md lists them); or floats of shape
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
        ``frontend``, or a TOML file of the model's name in the same folder.  ``"none"`` says that
        the model reads the waveform itself, where its input looks like features.
    method : str
        How relevance is computed: ``"lrp"``, by rules; ``"gradient"`` (times the input),
        ``"integrated-gradients"``, ``"smoothgrad"``, ``"lrp(path=8)"``; or, by replacing parts of
        the recording, ``"occlusion"``, ``"shapley"``, ``"rise"``.  Numbers may follow in brackets,
        as in ``"integrated-gradients(steps=64)"``; docs/reference/methods.md has all of them.
    reference : str, path, array or list
        What the score is compared with, so that its difference is explained: ``"silence"``;
        ``"noise"`` with the recording's spectrum; another recording, aligned with this one (*why
        six here and not there?*); several of them, for the mean of the explanations; ``["mean",
        FILE, ...]``, the mean of recordings; ``"none"``: nothing.  ``"auto"``: silence or nothing,
        as of `dftlrp.attribute`.
    at : float, "strongest" or "loudest"
        Which part of a recording is explained that is longer than the model reads: that around so
        many seconds; the window with the largest score, of those half a window apart; or
        the loudest one.  `dftlrp.explain_recording` explains several, along the recording.
        Of a model that keeps a state from chunk to chunk: the chunk at so many seconds, or the one
        where the target is strongest (docs/guides/streams.md).
    window : float, optional
        Seconds that are read of a recording, for a model that reads any length; of a model that
        keeps a state, what is explained of the recording before that chunk.
    channels : str or list of str
        Names of the channels of a file that the model reads, in this order; if not given, all.
    versus : int, str or tuple of int, optional
        A second target, which is explained of the same part, to be shown side by side.

    Returns
    -------
    Explanation or Comparison
        With ``versus`` a Comparison of two explanations.

    Raises
    ------
    ModelError, UnsupportedModelError, InputError, NonFiniteError
        The message is one line that says what is wrong and what to do.

    See Also
    --------
    explain_recording : A recording of any length, window by window.
    explain_many : Folders of recordings.
    attribute : Arrays in batches, without sound and pages.
    compare : Explanations side by side.

    Notes
    -----
    Relevance is carried to the other domains by DFT-LRP (arXiv 2303.06365), exactly and from the
    multiplier, so that silence needs no stabiliser.

    Examples
    --------
    >>> e = dftlrp.explain("waveform", dftlrp.embedded("clip"))
    >>> print(e.table("bands", 1)[0])
    562 to 708 Hz: 5.86 (63 %)

    What speaks for another class, by other rules, in one domain:

    >>> other = dftlrp.explain("waveform", clip, target="one", composite="EpsilonPlus",
    ...                        domains=["frequency"])
    >>> other.label, other.domains
    ('one', ('frequency',))
    """
    asking = prepare(
        model, signal, Request(
            target, rate, seed, composite, overrides or {}, labels, output, bind or {}, domains,
            backend, frontend, masks or {}, method, reference, channels,
        )
    )  # fmt: skip
    first = _explain_part(asking, at, window)
    if versus is None:
        return first
    chosen = resolve_target(versus, asking.question.labels, asking.plan)
    other = replace(asking, question=replace(asking.question, target=chosen))
    place = first.provenance.get("stream") or first.provenance.get("window") or {"at": at}
    second = _explain_part(other, place["at"], window)
    if first.target == second.target:
        raise InputError(f"versus {versus!r} is the same class as the target {first.label!r}")
    return compare(first, second)


def _explain_part(asking: Asking, at: float | str, window: float | None) -> Explanation:
    """Return the explanation of the part of a recording that is asked for."""
    if asking.stream is not None:
        return explain_moment(asking, at, window)
    if at == LOUDEST or (at == STRONGEST and window is None and asking.read.length is None):
        return asking.explain(asking.read_loudest())
    with asking.open() as whole:
        length = asking.count_window(whole, window)
        if length is None:
            raise InputError("the model reads any length: say how much with window=, in seconds")
        if whole.length > length:
            return asking.explain_window(whole, asking.find_place(whole, length, at), length)
    return asking.explain(asking.read_loudest())
