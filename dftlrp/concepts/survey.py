"""The survey of a layer: its statistics over a data set, shard by shard, on one machine or many."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import attribute
from dftlrp.attribution.waveform import Shape, recording_for, shaped, waveform
from dftlrp.concepts.layers import Layers, layers_of
from dftlrp.concepts.recordings import Item, Recordings
from dftlrp.concepts.shards import Failure, open_store, run
from dftlrp.concepts.statistics import Statistics, measured
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.engine.auto import choose_composite, choose_seed
from dftlrp.engine.model import Model, behind_front_end, load
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import label_index
from dftlrp.engine.settings import Settings

BATCH = 16  # recordings that are computed together: fixed, since sums of floats depend on it
SAMPLES = 2**18  # in them: of long ones fewer are
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

    @property
    def rules(self) -> dict[str, Any]:
        """Arguments of `layers_of`."""
        return {k: v for k, v in self.settings.items() if k not in {"seed", "backend"}}

    def identity(self, recordings: Recordings) -> dict[str, Any]:
        """All that the results depend on."""
        model = self.loaded()  # with its weights and front end, which may be beside it
        own = asdict(self) | {"model": model.graph.sha256, "frontend": repr(model.frontend)}
        versions = {n: version(n) for n in ("dftlrp", "numpy", "scipy", "onnxruntime")}
        return {**own, "data": recordings.digest, "batch": [BATCH, SHARD], "versions": versions}


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
        As of `dftlrp.concepts.shards.run`.

    Raises
    ------
    InputError
        Before anything is computed: an unknown layer, a folder of another study.  After: no shard
        has a result.
    """
    study, layers = settled(study, recordings.items)
    shards = list(_shards(recordings.items))
    with open_store(folder, study.identity(recordings)) as store:
        failures = run(
            partial(_worker, study), shards, store, workers=workers, scheduler=scheduler,
            progress=f"recordings / {SHARD}",
        )  # fmt: skip
        total, skipped = _merged(store.load(index) for index in sorted(store.done))
    if total is None:
        why = failures[0].reason if failures else skipped[0][1]
        raise InputError(f"no recording could be explained: {why}")
    names = [(recordings.items[n].name, why) for n, why in skipped]
    return Survey(study, recordings, layers, total, (*recordings.skipped, *names), tuple(failures))


def _merged(
    shards: Iterator[Mapping[str, AnyArray]],
) -> tuple[Statistics | None, list[tuple[int, str]]]:
    """Statistics of all shards, one at a time, and what they skipped."""
    total, skipped = None, list[tuple[int, str]]()
    for arrays in shards:
        skipped += map(tuple, json.loads(arrays[SKIPPED].tobytes()))
        if "right" in arrays:
            part = Statistics.stored(arrays)
            total = part if total is None else total + part
    return total, skipped


def settled(study: Study, items: Sequence[Item]) -> tuple[Study, Layers]:
    """What is left to choose, chosen once for all recordings; and the layers, as one shows them.

    The first recording that can be read is explained, so that what is wrong with the question is
    said now.

    Raises
    ------
    InputError
        An unknown layer or rule, a model that cannot be asked so, no recording that can be read.
    """
    model = study.loaded()
    plan = model.plan(study.output, study.bind)
    if study.composite == "auto" and not plan.graph.reads:
        taken = choose_composite(Settings(waveform=True), plan, {}).taken  # as `dftlrp.explain`
        study = replace(study, composite=taken.name)
    samples = _first_read(model, study, items)
    if samples.ndim < 2 or len(samples) != 1:
        raise InputError(f"{study.model}: reads signals without a batch axis: export it with one")
    layers = layers_of(model, samples, **study.rules)
    study = replace(
        study, composite=layers.table.composite, seed=_seed(study, layers, model.labels)
    )
    layers.concepts(study.layer)
    found = attribute(model, samples, keep=[study.layer], target=0, **study.settings)
    if (scores := found.explained.size) != study.classes:
        raise InputError(
            f"the output holds {found.explained.shape[1:]} = {scores} numbers for a recording: "
            f"one score for each of {study.classes} classes is needed (another output, --output?)"
        )
    return study, layers


def _seed(study: Study, layers: Layers, labels: Sequence[str]) -> str:
    """Not auto, and no names."""
    if study.seed == "auto":
        return choose_seed(study.seed, layers.plan, layers.shapes[layers.plan.explained]).taken
    kind, _, versus = study.seed.partition(":")
    return f"{kind}:{label_index(versus, labels, study.classes)}" if versus else kind


def _first_read(model: Model, study: Study, items: Sequence[Item]) -> AnyArray:
    """The first recording that can be read."""
    error = InputError("no recordings")
    for item in items:
        try:
            return read(model, study, str(item.path))[0]
        except InputError as refusal:
            error = refusal
            if not str(refusal).startswith(str(item.path)):
                raise
    raise error


Numbered = tuple[int, str, int]  # a recording: its number, path and class


def _shards(items: Sequence[Item]) -> Iterator[list[Numbered]]:
    rows = iter([(n, str(item.path), item.index) for n, item in enumerate(items)])
    while shard := list(islice(rows, SHARD)):
        yield shard


def read(model: Model, study: Study, path: str) -> tuple[AnyArray, Shape]:
    """A recording as the model reads it, (1, ...), and where the waveform lies in it."""
    plan = model.plan(study.output, study.bind)
    (_, value), shape = waveform(plan, path)
    return shaped(recording_for(model, path, study.rate, shape).samples, value, shape), shape


def together(plan: Plan, shape: Shape) -> int:
    """How many samples are computed together: of a model that reads any length, one."""
    (value,) = plan.signals.values()
    alone = value.dims is not None and value.dims[0] == 1
    if alone or not shape.length:
        return 1
    return max(1, min(BATCH, SAMPLES // (shape.length * shape.channels)))


def _filled(samples: AnyArray, count: int) -> AnyArray:
    """A whole batch, the last sample again and again: so one graph computes all of them."""
    return samples[np.minimum(np.arange(count), len(samples) - 1)]


def _worker(study: Study) -> Callable[[Sequence[Numbered]], dict[str, AnyArray]]:
    """What a worker does with a shard."""
    return _Worker(study, study.loaded(), {})


Read = tuple[Numbered, AnyArray, Shape]


@dataclass(frozen=True)
class _Worker:
    """The model in a worker process, and its layers by the shape of what it reads."""

    study: Study
    model: Model
    layers: dict[tuple[int, ...], Layers]

    def __call__(self, rows: Sequence[Numbered]) -> dict[str, AnyArray]:
        """Statistics of a shard; in batches, in their order."""
        skipped: list[tuple[int, str]] = []
        parts = [p for some in self.batches(rows, skipped) for p in self.tried(some, skipped)]
        arrays = sum(parts[1:], parts[0]).arrays() if parts else {}
        text = json.dumps(sorted(skipped)).encode()
        return arrays | {SKIPPED: np.frombuffer(text, np.uint8)}

    @property
    def plan(self) -> Plan:
        """Of the output that is asked for."""
        return self.model.plan(self.study.output, self.study.bind)

    def batches(
        self, rows: Sequence[Numbered], skipped: list[tuple[int, str]]
    ) -> Iterator[list[Read]]:
        """As many recordings as are computed together, which are of one length then."""
        plan, waiting = self.plan, list[Read]()
        for row in rows:
            try:
                samples, shape = read(self.model, self.study, row[1])
            except InputError as error:
                skipped.append((row[0], str(error).removeprefix(f"{row[1]}: ")))
                continue
            waiting.append((row, samples, shape))
            if len(waiting) == together(plan, shape):
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def tried(self, some: list[Read], skipped: list[tuple[int, str]]) -> list[Statistics]:
        """Statistics of a batch; where one recording is refused, of the others, each alone."""
        try:
            return [self.batch(some)]
        except DftlrpError as error:
            if len(some) == 1:
                skipped.append((some[0][0][0], str(error)))
                return []
            return [part for one in some for part in self.tried([one], skipped)]

    def batch(self, some: Sequence[Read]) -> Statistics:
        """Statistics of recordings of one length."""
        rows, samples, shapes = zip(*some, strict=True)
        numbers, _, classes = zip(*rows, strict=True)
        arrays = _filled(np.concatenate(samples), together(self.plan, shapes[0]))
        study = self.study
        if arrays.shape[1:] not in self.layers:
            self.layers[arrays.shape[1:]] = layers_of(self.model, samples[0], **study.rules)
        return measured(
            self.model, arrays, np.array(classes), np.array(numbers),
            layer=study.layer, layers=self.layers[arrays.shape[1:]], shape=shapes[0],
            count=study.classes, rate=study.rate, k=study.k, settings=study.settings,
        )  # fmt: skip
