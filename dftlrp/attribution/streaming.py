"""What of a model's inputs is no recording: states, settings; and how a recording is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dftlrp.attribution.recording import read_header
from dftlrp.core.types import InputError
from dftlrp.engine.cache import Recent
from dftlrp.engine.model import Model, attach_front_end, find_front_end, make_key
from dftlrp.graph.frontend import FrontEnd
from dftlrp.tracing.following import Stream
from dftlrp.tracing.recognition import Rates, recognise_inputs


@dataclass(frozen=True, eq=False)
class Reading:
    """How a model reads a recording.

    Attributes
    ----------
    model : Model
        As it reads a waveform: behind its front end and, if it is a streaming one, over chunks.
    bare : Model
        The same without the front end.
    bound : dict of str to value
        Settings, and states that stay at zero.
    words : tuple of str
        What was recognised.
    stream : Stream, optional
        Of a streaming model.
    """

    model: Model
    bare: Model
    bound: Mapping[str, Any]
    words: tuple[str, ...] = ()
    stream: Stream | None = None


def settle_inputs(
    model: Model,
    signal: Any,
    rate: float | None,
    frontend: FrontEnd | str | os.PathLike[str] | None,
    bind: Mapping[str, Any],
    output: str | None,
) -> Reading:
    """Return how a model reads a recording: its states, settings, chunks and front end.

    Raises
    ------
    InputError
        Something of it is not clear; the message says what to give.
    """
    made = find_front_end(model, frontend)
    stated = _find_stated_rate(signal) if isinstance(signal, str | os.PathLike) else None
    declared = made.rate if made else model.rate
    rates = Rates(declared or (rate if stated else None), stated or rate)
    found = recognise_inputs(model, bind, rates, output, made)
    if found.stream is None:
        whole = attach_front_end(model, frontend)
        return Reading(whole, model, found.bound, found.words)
    stream = replace(found.stream, model=replace(model, rate=model.rate or found.rate))
    return Reading(stream.chain(), stream.chain_bare(), found.bound, found.words, stream)


def _find_stated_rate(path: str | os.PathLike[str]) -> float | None:
    """Return the rate of a file; None if it states none, or will be refused."""
    try:
        return read_header(path).rate
    except InputError:
        return None


@dataclass(eq=False)
class Chained:
    """What a model keeps of how it reads one array, by output and settings."""

    known: Recent[Reading] = field(default_factory=lambda: Recent[Reading](4))


def settle_array(
    model: Model, inputs: Any, bind: Mapping[str, Any] | None, output: str | None
) -> Reading:
    """Return how a model reads one array: a streaming one over all of its chunks.

    A model that reads one signal and nothing else, and one that is given its inputs by name, are
    left as they are.

    Raises
    ------
    InputError
        Its states cannot be told, or it is not known at which rate it reads.
    """
    bound = dict(bind or {})
    signals = [name for name in model.graph.signals if name not in bound]
    settings = model.graph.inputs.keys() - model.graph.signals - bound.keys()
    if isinstance(inputs, Mapping) or (len(signals) < 2 and not settings):
        return Reading(model, model, bound)

    def recognise() -> Reading:
        found = recognise_inputs(model, bound, Rates(model.rate), output)
        if found.stream is None:
            return Reading(model, model, found.bound, found.words)
        if model.rate is None and found.rate is not None:
            raise InputError(
                f"{model.path}: say at which rate the array was sampled: "
                f"dftlrp.load(..., rate={found.rate:g})"
            )
        chained = found.stream.chain()
        return Reading(chained, chained, found.bound, found.words, found.stream)

    return model.cache.part(Chained).known.find(make_key(output, bound), recognise)
