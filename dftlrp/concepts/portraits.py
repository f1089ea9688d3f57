"""Portraits: the prototypes of a neuron as sounds, arrays and numbers, among these its pictures."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dftlrp.concepts.planes import Plane, pack_plane, pool_plane, unpack_plane
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
from dftlrp.results.saving import write_arrays
from dftlrp.results.sound import find_obstacle, make_sounds

FORMAT = 2  # what a store of portraits holds; another number whenever that changes
NUMBERS, SPECTRUM = "numbers", "spectrum"
FILE, PLANE = "file/", "plane/"


@dataclass(frozen=True)
class Portrait:
    """The prototypes of a neuron, made visible and audible.

    Attributes
    ----------
    neuron : int
    prototypes : list of dict
        ``name``, ``label``, ``value``, ``through`` and ``dissipation`` of each, and what its
        `Survival` says.
    spectrum : array (BANDS,)
        Mean share of relevance by frequency over the prototypes.
    planes : list of Plane
        Of each prototype, the time-frequency domain of its most relevant channel.
    files : dict of str to bytes
        Of each prototype ``1-explanation.npz``, and, if it is audible, ``1-original.wav`` and
        ``1-neuron.wav``.
    """

    neuron: int
    prototypes: list[dict[str, Any]]
    spectrum: Real
    planes: list[Plane]
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
        planes = [unpack_plane(arrays, f"{PLANE}{i}") for i in range(1, len(own) + 1)]
        files = {k.removeprefix(FILE): a.tobytes() for k, a in arrays.items() if FILE in k}
        return Portrait(neuron, own, arrays[SPECTRUM], planes, files)


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
    settings |= {"labels": None if labels is None else list(labels), "format": FORMAT}
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
        return _pack_portrait(made)

    return work


def _pack_portrait(made: Sequence[Prototype]) -> dict[str, AnyArray]:
    """Return prototypes as arrays that a store can hold; files are arrays of bytes."""
    numbers = [
        {
            "name": p.name, "label": p.explanation.label, "value": p.value, "through": p.through,
            "dissipation": p.dissipation, **p.survival._asdict(),
        }
        for p in made
    ]  # fmt: skip
    arrays: dict[str, AnyArray] = {
        NUMBERS: np.frombuffer(json.dumps(numbers).encode(), np.uint8),
        SPECTRUM: mean_spectrum(made)[1],
    }
    for i, p in enumerate(made, 1):
        arrays |= pack_plane(pool_plane(p.explanation), f"{PLANE}{i}")
        for name, data in _make_files(p.explanation).items():
            arrays[f"{FILE}{i}-{name}"] = np.frombuffer(data, np.uint8)
    return arrays


def _make_files(e: Explanation) -> dict[str, bytes]:
    """Return arrays and sounds of a prototype by the ends of their names."""
    files = {"explanation.npz": _encode_arrays(e)}
    if not find_obstacle(e):
        (heard,) = make_sounds([e], ("original", "resynthesis"))
        files["original.wav"] = heard["original"].wav()
        files["neuron.wav"] = heard["resynthesis"].wav()
    return files


def _encode_arrays(e: Explanation) -> bytes:
    file = io.BytesIO()
    write_arrays(e, file)
    return file.getvalue()
