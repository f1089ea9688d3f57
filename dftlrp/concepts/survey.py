"""The survey of a layer: its statistics over a data set, shard by shard, on one machine or many."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.concepts.layers import Layers, layers_of
from dftlrp.concepts.statistics import Statistics, measured, merged
from dftlrp.model import Model, behind_front_end, load
from dftlrp.recordings import Item, Recordings
from dftlrp.shards import Failure, open_store, run
from dftlrp.types import AnyArray, InputError
from dftlrp.waveform import Shape, recording_for, shaped, waveform

BATCH = 16  # recordings that are computed together: fixed, since sums of floats depend on it
SHARD = 64  # recordings of one task
SKIPPED = "skipped"  # of a shard's arrays: numbers and reasons, as JSON in bytes


@dataclass(frozen=True)
class Study:
    """What is asked of a data set: all that a worker needs.

    Attributes
    ----------
    model : str
        Path of an ONNX file.
    layer : str
        As in the layer table.
    rate : float
        Hertz that the model reads.
    classes : int
        Of its output.
    seed, composite, overrides, bind, output, backend
        As of `dftlrp.attribute`; rules as text.
    frontend : str, optional
        Path of its declaration.
    k : int
        Prototypes for each neuron.
    """

    model: str
    layer: str
    rate: float
    classes: int
    seed: str = "logit"
    composite: str = "auto"
    overrides: Mapping[str, str] = field(default_factory=dict)
    bind: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    backend: str | None = None
    frontend: str | None = None
    k: int = 5

    def loaded(self) -> Model:
        """The model, behind its front end."""
        return behind_front_end(load(self.model, rate=self.rate), self.frontend)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `dftlrp.attribute`."""
        keys = ("seed", "composite", "overrides", "bind", "output", "backend")
        return {key: getattr(self, key) for key in keys}

    def identity(self, recordings: Recordings) -> dict[str, Any]:
        """All that the results depend on."""
        own = asdict(self) | {"model": _sha256(self.model)}
        own["frontend"] = self.frontend and _sha256(self.frontend)
        versions = {n: version(n) for n in ("dftlrp", "numpy", "scipy", "onnxruntime")}
        return {**own, "data": recordings.digest, "batch": [BATCH, SHARD], "versions": versions}


def _sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Survey:
    """What a study found.

    Attributes
    ----------
    study : Study
    recordings : Recordings
        Of the data set; numbers of recordings count these.
    layers : Layers
        Of the model.
    statistics : Statistics
    skipped : tuple of (str, str)
        Recordings that could not be used, and why.
    failures : tuple of Failure
        Shards without a result.
    """

    study: Study
    recordings: Recordings
    layers: Layers
    statistics: Statistics
    skipped: tuple[tuple[str, str], ...]
    failures: tuple[Failure, ...]


def survey(
    study: Study,
    recordings: Recordings,
    folder: str | os.PathLike[str],
    *,
    workers: int = 1,
    scheduler: str | None = None,
) -> Survey:
    """Statistics of a layer over all recordings; interrupted, the same call goes on.

    Parameters
    ----------
    folder : path
        Where shards are stored.
    workers, scheduler
        As of `dftlrp.shards.run`.

    Raises
    ------
    InputError
        Before anything is computed: an unknown layer, a folder of another study.  After: no shard
        has a result.
    """
    model = study.loaded()
    layers = _looked_at(model, study, recordings.items)
    layers.concepts(study.layer)
    shards = list(_shards(recordings.items))
    with open_store(folder, study.identity(recordings)) as store:
        failures = run(
            partial(_worker, study), shards, store, workers=workers, scheduler=scheduler,
            progress=f"recordings / {SHARD}",
        )  # fmt: skip
        parts = [store.load(index) for index in sorted(store.done)]
    found = [Statistics.stored(arrays) for arrays in parts if "right" in arrays]
    skipped = [tuple(row) for arrays in parts for row in json.loads(arrays[SKIPPED].tobytes())]
    if not found:
        why = failures[0].reason if failures else skipped[0][1]
        raise InputError(f"no recording could be explained: {why}")
    names = [(recordings.items[n].name, why) for n, why in skipped]
    return Survey(
        study, recordings, layers, merged(found), (*recordings.skipped, *names), tuple(failures)
    )


Numbered = tuple[int, str, int]  # a recording: its number, path and class


def _shards(items: Sequence[Item]) -> Iterator[list[Numbered]]:
    rows = iter([(n, str(item.path), item.index) for n, item in enumerate(items)])
    while shard := list(islice(rows, SHARD)):
        yield shard


def _looked_at(model: Model, study: Study, items: Sequence[Item]) -> Layers:
    """The layers, as seen at the first recording that can be read."""
    error = InputError("no recordings")
    for item in items:
        try:
            samples, _ = _read(model, study, str(item.path))
            own = {k: v for k, v in study.settings.items() if k not in {"seed", "backend"}}
            return layers_of(model, samples, **own)
        except InputError as refusal:
            error = refusal
            if not str(refusal).startswith(str(item.path)):
                raise
    raise error


def _read(model: Model, study: Study, path: str) -> tuple[AnyArray, Any]:
    """A recording as the model reads it, (1, ...), and where the waveform lies in it."""
    plan = model.plan(study.output, study.bind)
    (_, value), shape = waveform(plan, path)
    return shaped(recording_for(model, path, study.rate, shape).samples, value, shape), shape


def _together(shape: Shape) -> int:
    """How many recordings are computed together: of a model that reads any length, one."""
    return BATCH if shape.length else 1


def _filled(samples: AnyArray, count: int) -> AnyArray:
    """A whole batch, the last sample again and again: so one graph computes all of them."""
    return samples[np.minimum(np.arange(count), len(samples) - 1)]


def _worker(study: Study) -> Callable[[Sequence[Numbered]], dict[str, AnyArray]]:
    """What a worker does with a shard."""
    return _Worker(study, study.loaded(), {})


@dataclass(frozen=True)
class _Worker:
    """The model in a worker process, and its layers by the shape of what it reads."""

    study: Study
    model: Model
    layers: dict[tuple[int, ...], Layers]

    def __call__(self, rows: Sequence[Numbered]) -> dict[str, AnyArray]:
        """Statistics of a shard; recordings of one length in batches, in their order."""
        skipped: list[tuple[int, str]] = []
        read: dict[tuple[int, ...], list[tuple[Numbered, AnyArray, Any]]] = {}
        for row in rows:
            try:
                samples, shape = _read(self.model, self.study, row[1])
            except InputError as error:
                skipped.append((row[0], str(error)))
                continue
            read.setdefault(samples.shape, []).append((row, samples, shape))
        parts = []
        for alike in read.values():
            count = _together(alike[0][2])
            parts += [self.batch(alike[i : i + count]) for i in range(0, len(alike), count)]
        arrays = merged(parts).arrays() if parts else {}
        return arrays | {SKIPPED: np.frombuffer(json.dumps(skipped).encode(), np.uint8)}

    def batch(self, some: Sequence[tuple[Numbered, AnyArray, Any]]) -> Statistics:
        """Statistics of recordings of one length."""
        rows, samples, shapes = zip(*some, strict=True)
        numbers, _, classes = zip(*rows, strict=True)
        arrays, study = _filled(np.concatenate(samples), _together(shapes[0])), self.study
        if arrays.shape[1:] not in self.layers:
            own = {k: v for k, v in study.settings.items() if k not in {"seed", "backend"}}
            self.layers[arrays.shape[1:]] = layers_of(self.model, arrays, **own)
        return measured(
            self.model, arrays, np.array(classes), np.array(numbers),
            layer=study.layer, layers=self.layers[arrays.shape[1:]], shape=shapes[0],
            count=study.classes, rate=study.rate, k=study.k, settings=study.settings,
        )  # fmt: skip
