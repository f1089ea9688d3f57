"""Portraits: a neuron's prototypes as pictures, sounds, arrays and numbers, made in the workers."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dftlrp.concepts.figures import spectrum_figure
from dftlrp.concepts.prototypes import (
    Layer,
    Prototype,
    Ranked,
    layer_of,
    mean_spectrum,
    prototype,
    ranked,
)
from dftlrp.concepts.shards import Failure, Store, open_store, run
from dftlrp.concepts.survey import Study, Survey
from dftlrp.core.types import AnyArray, Real
from dftlrp.results.explanation import Explanation
from dftlrp.results.figure import figure, image
from dftlrp.results.folder import write_arrays
from dftlrp.results.sound import sounds, unheard
from dftlrp.results.words import channel_order

DPI, COLOURS = 110, 128  # of small pictures
NUMBERS, SPECTRUM = "numbers", "spectrum"


@dataclass(frozen=True)
class Portrait:
    """What there is of a neuron.

    Attributes
    ----------
    neuron : int
    prototypes : list of dict
        ``name``, ``label``, ``value``, ``through`` and ``dissipation`` of each.
    spectrum : array (BANDS,)
        Mean share of relevance by frequency over the prototypes.
    files : dict of str to bytes
        ``spectrum.png``; of the first prototype ``1-figure.png``, which shows all domains; and of
        each ``1-picture.png``, over time and frequency, ``1-explanation.npz``, and the sounds
        ``1-original.wav`` and ``1-neuron.wav``, if it can be heard.
    """

    neuron: int
    prototypes: list[dict[str, Any]]
    spectrum: Real
    files: dict[str, bytes]


@dataclass(frozen=True)
class Portraits:
    """Portraits in a store, read one at a time."""

    store: Store
    numbers: dict[int, int]  # of shards, by neuron

    def __contains__(self, neuron: int) -> bool:
        return self.numbers.get(neuron) in self.store.done

    def __getitem__(self, neuron: int) -> Portrait:
        arrays = self.store.load(self.numbers[neuron])
        own = json.loads(arrays.pop(NUMBERS).tobytes())
        spectrum = arrays.pop(SPECTRUM)
        return Portrait(neuron, own, spectrum, {k: a.tobytes() for k, a in arrays.items()})


def portraits(
    found: Survey,
    neurons: Sequence[int],
    folder: str | os.PathLike[str],
    *,
    count: int = 5,
    labels: Sequence[str] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> tuple[Portraits, list[Failure]]:
    """Portraits of neurons, by their prototypes of largest relevance; interrupted, it goes on.

    Parameters
    ----------
    folder : path
        Where they are stored.
    count : int
        Prototypes of each.
    labels : list of str, optional
        Names of the classes; the model's if not given.
    workers, scheduler
        As of `dftlrp.concepts.shards.run`.
    """
    shards = [(n, tuple(ranked(found, n)[:count])) for n in neurons]
    settings = found.study.identity(found.recordings) | {"neurons": list(neurons), "count": count}
    settings |= {"labels": None if labels is None else list(labels)}
    make = partial(_worker, found.study, layer_of(found.layers, found.study.layer), labels)
    with open_store(folder, settings) as store:
        failures = run(
            make, shards, store, workers=workers, scheduler=scheduler, progress="portraits"
        )
    return Portraits(store, {n: i for i, n in enumerate(neurons)}), failures


Shard = tuple[int, tuple[Ranked, ...]]


def _worker(
    study: Study, layer: Layer, labels: Sequence[str] | None
) -> Callable[[Shard], dict[str, AnyArray]]:
    """What a worker does with a neuron."""
    model = study.loaded()

    def work(shard: Shard) -> dict[str, AnyArray]:
        neuron, rows = shard
        made = [prototype(model, study, layer, neuron, row, labels) for row in rows]
        return _arrays(made, study.rate)

    return work


def _arrays(made: Sequence[Prototype], rate: float) -> dict[str, AnyArray]:
    numbers = [
        {
            "name": p.name, "label": p.explanation.label, "value": p.value, "through": p.through,
            "dissipation": p.dissipation,
        }
        for p in made
    ]  # fmt: skip
    mean = mean_spectrum(made)[1]
    files = {"spectrum.png": small(image(spectrum_figure(mean, rate), dpi=DPI))}
    if made:
        whole = figure([made[0].explanation], title=False)
        files["1-figure.png"] = small(image(whole, dpi=DPI))
    for i, p in enumerate(made, 1):
        files |= {f"{i}-{name}": data for name, data in _files(p.explanation).items()}
    packed = {name: np.frombuffer(data, np.uint8) for name, data in files.items()}
    return {
        NUMBERS: np.frombuffer(json.dumps(numbers).encode(), np.uint8),
        SPECTRUM: mean,
        **packed,
    }


def _files(e: Explanation) -> dict[str, bytes]:
    first = channel_order([e])[:1]
    tiles = figure([e], ["time-frequency"], title=False, channels=first)
    files = {
        "picture.png": small(image(tiles, dpi=DPI)),
        "explanation.npz": _npz(e),
    }
    if not unheard(e):
        (heard,) = sounds([e], ("original", "resynthesis"))
        files["original.wav"] = heard["original"].wav()
        files["neuron.wav"] = heard["resynthesis"].wav()
    return files


def _npz(e: Explanation) -> bytes:
    file = io.BytesIO()
    write_arrays(e, file)
    return file.getvalue()


def small(png: bytes) -> bytes:
    """A picture with few colours."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
        few.save(out, "PNG", optimize=True)
    return out.getvalue()
