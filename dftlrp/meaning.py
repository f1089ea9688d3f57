"""What inputs and outputs of an exported file mean: in words, with units and axes.

An axis is a dict with its ``name`` and, where its places are physical ones, ``unit``, ``start`` and
``step``: place k is at ``start + k step``.
"""

from __future__ import annotations

import math
from typing import Any

from dftlrp.frontend import FrontEnd
from dftlrp.graph.plan import Plan
from dftlrp.model import Model
from dftlrp.spectral import Stft, stft_for
from dftlrp.trace import Traced

MOVED = ("relevance_frequency", "relevance_time_frequency")
Axis = dict[str, Any]
Meaning = dict[str, Any]
Shape = tuple[int, ...]
Shapes = dict[str, Shape]
WORDS = {
    "output": "the model's own output",
    "explained": "what is explained",
    "relevance": "relevance of each sample or element that is read",
    "multiplier": "relevance = value * multiplier",
    "value_input": "what the model itself reads, behind its front end",
    "relevance_input": "relevance of each element that the model itself reads",
    "relevance_frequency": "relevance of frequencies, by DFT-LRP",
    "relevance_time_frequency": "relevance of tiles of frequency and time, by DFT-LRP",
}
EXPLAINED, OWN = "that of 'explained'", "the model's own"


def meanings(traced: Traced, model: Model, plan: Plan) -> dict[str, dict[str, Meaning]]:
    """Of ``inputs`` (the signals) and ``outputs``, by name: ``meaning``, ``unit`` and ``axes``."""
    shapes = {
        info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        for info in (*traced.model.graph.input, *traced.model.graph.output)
    }
    outputs = traced.outputs.items()
    return {
        "inputs": {name: _signal(name, shapes, model) for name in plan.signals},
        "outputs": {name: _output(name, key, shapes, model, plan) for key, name in outputs},
    }


def _signal(name: str, shapes: Shapes, model: Model) -> Meaning:
    axes = _read(name, shapes, model)
    wave = bool(model.rate) and axes[-1]["name"] == "time"
    return {
        "meaning": f"waveform at {model.rate:g} Hz" if wave else "what the model reads",
        "unit": "full scale 1" if wave else OWN,
        "axes": list(axes),
    }


def _output(name: str, key: str, shapes: Shapes, model: Model, plan: Plan) -> Meaning:
    kind, _, value = key.partition(":")
    words = WORDS.get(name) or WORDS[kind]
    value = plan.explained if kind == "explained" else value
    signal = next(iter(plan.signals))
    if name == MOVED[0]:
        axes = (*_wave(shapes[signal], model.rate)[:-1], _bins(shapes[signal][-1], model.rate))
    elif name == MOVED[1]:
        words += f"; STFT {stft_for(model.rate or 1.0)}"
        axes = (*_wave(shapes[signal], model.rate)[:-1], *_tiles(shapes[signal][-1], model.rate))
    elif name.endswith("_input") and model.frontend:
        axes = _laid_out(model.frontend, shapes[signal][-1])
    elif value in plan.signals:
        axes = _read(value, shapes, model)
    else:
        axes = _classes(shapes[name], model.labels)
    unit = {"relevance": EXPLAINED, "multiplier": f"{EXPLAINED} by the signal's"}
    return {
        "meaning": words + (f": {value}" if value else ""),
        "unit": unit.get(kind.partition("_")[0], OWN),
        "axes": list(axes),
    }


def _regular(name: str, unit: str, step: float, start: float = 0.0) -> Axis:
    return {"name": name, "unit": unit, "start": start, "step": step}


def _time(rate: float | None, hop: int = 1, start: float = 0.0) -> Axis:
    rate, unit = (rate, "s") if rate else (1.0, "samples")
    return _regular("time", unit, hop / rate, start / rate)


def _bins(n: int, rate: float | None) -> Axis:
    """Bins of a DFT of n samples."""
    return _regular("frequency", "Hz" if rate else "cycles per sample", (rate or 1.0) / n)


def _tiles(n: int, rate: float | None) -> tuple[Axis, Axis]:
    domain = Stft(n, **stft_for(rate or 1.0))
    return _bins(domain.n_fft, rate), _time(rate, domain.hop, float(domain.times[0]))


def _wave(shape: Shape, rate: float | None) -> tuple[Axis, ...]:
    """Of a waveform (batch, channels, samples), (batch, samples) or (samples,)."""
    lead = ("batch", *["channel"] * (len(shape) - 2)) if len(shape) > 1 else ()
    return (*({"name": name} for name in lead), _time(rate))


def _read(name: str, shapes: Shapes, model: Model) -> tuple[Axis, ...]:
    """Of what the file reads: a waveform, if it has one long axis or other domains were asked."""
    shape = shapes[name]
    wave = math.prod(shape[1:-1]) == 1 or not shapes.keys().isdisjoint(MOVED)
    return _wave(shape, model.rate) if wave else _numbered(shape)


def _numbered(shape: Shape) -> tuple[Axis, ...]:
    return tuple({"name": f"axis {i}" if i else "batch"} for i in range(len(shape)))


def _classes(shape: Shape, labels: tuple[str, ...]) -> tuple[Axis, ...]:
    axes = _numbered(shape)
    if len(shape) > 1 and len(labels) == shape[-1]:
        return (*axes[:-1], {"name": "class"})
    return axes


def _laid_out(fe: FrontEnd, samples: int) -> tuple[Axis, ...]:
    """Of what a front end makes of so many samples."""
    frequency = _bins(fe.size or samples, fe.rate)
    if fe.n_mels or fe.n_mfcc:
        frequency = {"name": "cepstral coefficient" if fe.n_mfcc else "mel filter"}
    time = _time(fe.rate, fe.hop, 0.0 if fe.center else fe.n_fft / 2)
    known = {"frequency": frequency, "time": time}
    return tuple(known.get(str(axis), {"name": str(axis)}) for axis in fe.layout)
