"""What of a model's inputs is no recording: states, settings; and how a recording is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dftlrp.attribution.recording import read_header
from dftlrp.core.types import InputError
from dftlrp.engine.model import Model, attach_front_end, find_front_end
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
