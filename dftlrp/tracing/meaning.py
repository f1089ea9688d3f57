"""What the inputs and outputs of an exported file mean, in words, with units and axes.

An axis is a dict with its ``name`` and, if its places are physical, ``unit``, ``start`` and
``step``: place k is at ``start + k step``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.graph.frontend import FrontEnd
from dftlrp.spectral import Stft, stft_for
from dftlrp.tracing.assembly import Traced

MOVED = ("relevance_frequency", "relevance_time_frequency")
Axis = dict[str, Any]
Meaning = dict[str, Any]
Shape = tuple[int, ...]
WORDS = {
    "output": "the model's own output",
    "explained": "what is explained",
    "change": "by how much what is explained differs from that at the reference",
    "relevance": "relevance of each sample or element that is read",
    "multiplier": "relevance = value * multiplier",
    "value_input": "what the model itself reads, behind its front end",
    "relevance_input": "relevance of each element that the model itself reads",
    "relevance_frequency": "relevance of frequencies, by DFT-LRP",
    "relevance_time_frequency": "relevance of tiles of frequency and time, by DFT-LRP",
}
MASK = {"meaning": "what the relevance of this layer is multiplied by; optional", "unit": "1"}
EXPLAINED, OWN = "that of 'explained'", "the model's own"


class _File(NamedTuple):
    """An exported file: shapes of its inputs and outputs, and the model that it explains."""

    shapes: dict[str, Shape]
    model: Model
    plan: Plan

    @property
    def lead(self) -> int:
        """Number of batch axes: a model of vectors has none."""
        return int(any(len(v.dims or (0, 0)) != 1 for v in self.plan.signals.values()))

    @property
    def length(self) -> int:
        """Samples of the one signal."""
        return self.shapes[next(iter(self.plan.signals))][-1]


def describe_file(traced: Traced, model: Model, plan: Plan) -> dict[str, dict[str, Meaning]]:
    """Return ``meaning``, ``unit`` and ``axes`` of all ``inputs`` and ``outputs``, by name."""
    shapes = {
        info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        for info in (*traced.model.graph.input, *traced.model.graph.output)
    }
    file = _File(shapes, model, plan)
    return {
        "inputs": {name: _describe_signal(name, file) for name in plan.signals}
        | {name: MASK for name in shapes if name.startswith("mask/")},
        "outputs": {
            name: _describe_output(name, key, file) for key, name in traced.outputs.items()
        },
    }


def _describe_signal(name: str, file: _File) -> Meaning:
    wave = bool(file.model.rate) and _is_wave(name, file)
    return {
        "meaning": f"waveform at {file.model.rate:g} Hz" if wave else "what the model reads",
        "unit": "full scale 1" if wave else OWN,
        "axes": list(_find_signal_axes(name, file)),
    }


def _describe_output(name: str, key: str, file: _File) -> Meaning:
    kind, _, value = key.partition(":")
    words = WORDS.get(name) or WORDS[kind]
    if name == MOVED[1]:
        words += f"; STFT {stft_for(file.model.rate or 1.0)}"
    value = file.plan.explained if kind in {"explained", "change"} else value
    units = {"relevance": EXPLAINED, "multiplier": f"{EXPLAINED} by the signal's"}
    return {
        "meaning": words + (f": {value}" if value else ""),
        "unit": units.get(kind.partition("_")[0], OWN),
        "axes": list(_choose_axes(name, value, file)),
    }


def _choose_axes(name: str, value: str, file: _File) -> tuple[Axis, ...]:
    """Return the axes of an output that belongs to a value of the model, or to none."""
    rate = file.model.rate
    if name == MOVED[0]:
        signal = next(iter(file.plan.signals))
        return (*_find_signal_axes(signal, file)[:-1], _make_frequency_axis(file.length, rate))
    if name == MOVED[1]:
        signal = next(iter(file.plan.signals))
        return (*_find_signal_axes(signal, file)[:-1], *_make_tile_axes(file.length, rate))
    if value and value == file.plan.graph.reads and file.model.frontend:
        return _find_front_end_axes(file.model.frontend, file.length)
    return (
        _find_signal_axes(value, file)
        if value in file.plan.signals
        else _find_class_axes(name, file)
    )


def _make_axis(name: str, unit: str, step: float, start: float = 0.0) -> Axis:
    return {"name": name, "unit": unit, "start": start, "step": step}


def _make_time_axis(rate: float | None, hop: int = 1, start: float = 0.0) -> Axis:
    rate, unit = (rate, "s") if rate else (1.0, "samples")
    return _make_axis("time", unit, hop / rate, start / rate)


def _make_frequency_axis(n: int, rate: float | None) -> Axis:
    """Return the axis of the bins of a DFT of n samples."""
    return _make_axis("frequency", "Hz" if rate else "cycles per sample", (rate or 1.0) / n)


def _make_tile_axes(n: int, rate: float | None) -> tuple[Axis, Axis]:
    domain = Stft(n, **stft_for(rate or 1.0))
    return _make_frequency_axis(domain.n_fft, rate), _make_time_axis(
        rate, domain.hop, float(domain.times[0])
    )


def _is_wave(name: str, file: _File) -> bool:
    """Return whether a signal is a waveform.

    It is if its rate is known and only one axis is long, or if it was moved to another domain.
    """
    one_long = bool(file.model.rate) and math.prod(file.shapes[name][file.lead : -1]) == 1
    return one_long or not file.shapes.keys().isdisjoint(MOVED)


def _find_signal_axes(name: str, file: _File) -> tuple[Axis, ...]:
    """Return the axes of a signal: batch, channel and time, as far as it has them; or numbers."""
    shape = file.shapes[name]
    if not _is_wave(name, file):
        return _number_axes(shape, file)
    lead = ("batch", *["channel"] * (len(shape) - 2))[: len(shape) - 1]
    return (*({"name": each} for each in lead), _make_time_axis(file.model.rate))


def _number_axes(shape: Shape, file: _File) -> tuple[Axis, ...]:
    return tuple({"name": "batch" if i < file.lead else f"axis {i}"} for i in range(len(shape)))


def _find_class_axes(name: str, file: _File) -> tuple[Axis, ...]:
    shape = file.shapes[name]
    axes, labels = _number_axes(shape, file), file.model.labels
    named = len(shape) > file.lead and len(labels) == shape[-1]
    return (*axes[:-1], {"name": "class"}) if named else axes


def _find_front_end_axes(fe: FrontEnd, samples: int) -> tuple[Axis, ...]:
    """Return the axes of what a front end makes of so many samples."""
    frequency = _make_frequency_axis(fe.size or samples, fe.rate)
    if fe.n_mels or fe.n_mfcc:
        frequency = {"name": "cepstral coefficient" if fe.n_mfcc else "mel filter"}
    time = _make_time_axis(fe.rate, fe.hop, 0.0 if fe.center else fe.n_fft / 2)
    known = {"frequency": frequency, "time": time}
    return tuple(known.get(str(axis), {"name": str(axis)}) for axis in fe.layout)
