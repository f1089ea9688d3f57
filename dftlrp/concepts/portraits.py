"""Portraits: the prototypes of a neuron as pictures, sounds, arrays and numbers."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dftlrp.concepts.neuron_figures import draw_neuron
from dftlrp.concepts.prototypes import (
    Layer,
    Prototype,
    Ranked,
    find_layer,
    make_prototype,
    mean_spectrum,
    rank_recordings,
)
from dftlrp.concepts.shards import Failure, Store, Workers, open_store, run
from dftlrp.concepts.study import Study
from dftlrp.concepts.survey import Survey
from dftlrp.core.types import AnyArray, Real
from dftlrp.results.explanation import Explanation
from dftlrp.results.figure import draw_figure, render_figure
from dftlrp.results.saving import write_arrays
from dftlrp.results.sound import find_obstacle, make_sounds
from dftlrp.results.words import order_channels

DPI, COLOURS = 110, 128  # of all pictures of the report
NUMBERS, SPECTRUM = "numbers", "spectrum"


@dataclass(frozen=True)
class Portrait:
    """The prototypes of a neuron, drawn and made audible.

    Attributes
    ----------
    neuron : int
    prototypes : list of dict
        ``name``, ``label``, ``value``, ``through`` and ``dissipation`` of each, and what its
        `Survival` says.
    spectrum : array (BANDS,)
        Mean share of relevance by frequency over the prototypes.
    files : dict of str to bytes
        ``spectrum.png``; ``1-figure.png``, all domains of the first prototype; and of each
        prototype ``1-picture.png``, its time-frequency domain, ``1-explanation.npz``, and, if it
        is audible, ``1-original.wav`` and ``1-neuron.wav``.
    """

    neuron: int
    prototypes: list[dict[str, Any]]
    spectrum: Real
    files: dict[str, bytes]


@dataclass(frozen=True)
class Portraits:
    """Portraits in a store, each read when it is asked for.

    Attributes
    ----------
    store : Store
    numbers : dict of int to int
        Number of the shard of each neuron.
    """

    store: Store
    numbers: dict[int, int]

    def __contains__(self, neuron: int) -> bool:
        return self.numbers.get(neuron) in self.store.done

    def __getitem__(self, neuron: int) -> Portrait:
        arrays = self.store.load(self.numbers[neuron])
        own = json.loads(arrays.pop(NUMBERS).tobytes())
        spectrum = arrays.pop(SPECTRUM)
        return Portrait(neuron, own, spectrum, {k: a.tobytes() for k, a in arrays.items()})


def make_portraits(
    found: Survey,
    neurons: Sequence[int],
    count: int,
    labels: Sequence[str] | None,
    folder: str | os.PathLike[str],
    workers: Workers,
) -> tuple[Portraits, list[Failure]]:
    """Make portraits of neurons with their prototypes of largest relevance.

    Parameters
    ----------
    count : int
        Number of prototypes of each neuron.
    labels : list of str, optional
        Names of the classes; the model's if not given.
    folder : path
        Where the portraits are stored.  After an interruption the same call continues from them.

    Returns
    -------
    Portraits
    list of Failure
        Neurons without a portrait.
    """
    shards = [(n, tuple(rank_recordings(found, n)[:count])) for n in neurons]
    settings = found.study.identity(found.recordings) | {"neurons": list(neurons), "count": count}
    settings |= {"labels": None if labels is None else list(labels)}
    make = partial(
        _make_portrait_work, found.study, find_layer(found.layers, found.study.layer), labels
    )
    with open_store(folder, settings) as store:
        failures = run(make, shards, store, workers, progress="portraits")
    return Portraits(store, {n: i for i, n in enumerate(neurons)}), failures


Shard = tuple[int, tuple[Ranked, ...]]


def _make_portrait_work(
    study: Study, layer: Layer, labels: Sequence[str] | None
) -> Callable[[Shard], dict[str, AnyArray]]:
    """Return the function with which a worker computes the portrait of a neuron."""
    model = study.loaded()

    def work(shard: Shard) -> dict[str, AnyArray]:
        neuron, rows = shard
        made = [make_prototype(model, study, layer, neuron, row, labels) for row in rows]
        return _pack_portrait(made, study.rate)

    return work


def _pack_portrait(made: Sequence[Prototype], rate: float) -> dict[str, AnyArray]:
    """Return prototypes as arrays that a store can hold; files are arrays of bytes."""
    numbers = [
        {
            "name": p.name, "label": p.explanation.label, "value": p.value, "through": p.through,
            "dissipation": p.dissipation, **p.survival._asdict(),
        }
        for p in made
    ]  # fmt: skip
    mean = mean_spectrum(made)[1]
    files = {"spectrum.png": reduce_colours(render_figure(draw_neuron(mean, rate), dpi=DPI))}
    if made:
        whole = draw_figure([made[0].explanation], title=False)
        files["1-figure.png"] = reduce_colours(render_figure(whole, dpi=DPI))
    for i, p in enumerate(made, 1):
        files |= {f"{i}-{name}": data for name, data in _make_files(p.explanation).items()}
    return {
        NUMBERS: np.frombuffer(json.dumps(numbers).encode(), np.uint8),
        SPECTRUM: mean,
        **{name: np.frombuffer(data, np.uint8) for name, data in files.items()},
    }


def _make_files(e: Explanation) -> dict[str, bytes]:
    """Return picture, arrays and sounds of a prototype by the ends of their names."""
    first = order_channels([e])[:1]
    tiles = draw_figure([e], ["time-frequency"], title=False, channels=first)
    files = {
        "picture.png": reduce_colours(render_figure(tiles, dpi=DPI)),
        "explanation.npz": _encode_arrays(e),
    }
    if not find_obstacle(e):
        (heard,) = make_sounds([e], ("original", "resynthesis"))
        files["original.wav"] = heard["original"].wav()
        files["neuron.wav"] = heard["resynthesis"].wav()
    return files


def _encode_arrays(e: Explanation) -> bytes:
    file = io.BytesIO()
    write_arrays(e, file)
    return file.getvalue()


def reduce_colours(png: bytes) -> bytes:
    """Return a PNG picture with `COLOURS` colours."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
        few.save(out, "PNG", optimize=True)
    return out.getvalue()
