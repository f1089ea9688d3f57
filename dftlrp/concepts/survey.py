"""The survey of a layer: its statistics over a data set, computed shard by shard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from dftlrp.attribution.attribute import answer_questions
from dftlrp.concepts.layers import Layers, find_layers
from dftlrp.concepts.recordings import Item, Recordings
from dftlrp.concepts.shards import Failure, Workers, open_store, run
from dftlrp.concepts.statistics import Batch, Statistics, compute_statistics
from dftlrp.concepts.study import SHARD, Sample, Study, count_together, read_sample
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.engine.auto import choose_seed
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import find_class
from dftlrp.engine.settings import AUTO, Question

SKIPPED = "skipped"  # among the arrays of a shard: numbers and reasons, as JSON in bytes


@dataclass(frozen=True, eq=False)
class Survey:
    """The statistics of a layer over a data set.

    Attributes
    ----------
    study : Study
    recordings : Recordings
        Of the data set; the number of a recording is its place here.
    layers : Layers
        Of the model.
    statistics : Statistics
    skipped : tuple of (str, str)
        Recordings that could not be used, and why.
    failures : tuple of Failure
        Shards without a result.

    See Also
    --------
    survey : Makes it.

    Examples
    --------
    >>> len(surveyed.recordings.items), surveyed.study.layer, surveyed.failures
    (2, 'conv6', ())
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
    """Compute the statistics of a layer over all recordings.

    Parameters
    ----------
    study : Study
        What is asked of each recording.
    recordings : Recordings
        From `dftlrp.concepts.recordings.find_recordings`.
    folder : path
        Where shards are stored.  After an interruption the same call continues from them.
    workers, scheduler
        As of `dftlrp.concepts.shards.Workers`.

    Returns
    -------
    Survey
        Statistics, and what could not be used.

    Raises
    ------
    InputError
        Before anything is computed, if the layer is unknown or the folder holds another study;
        afterwards, if no shard has a result.

    See Also
    --------
    neurons : Does it, and all that follows from it.

    Examples
    --------
    >>> from dftlrp.concepts.recordings import find_recordings
    >>> labels = dftlrp.load("model.onnx").labels
    >>> recordings = find_recordings("clips", 10, labels, rate=8000.0, channels=1)
    >>> study = dftlrp.concepts.Study("model.onnx", "conv6", 8000.0, classes=10, spectra=False)
    >>> found = dftlrp.concepts.survey(study, recordings, "work")
    >>> found.statistics.measure("relevance")[0].shape
    (10, 128)
    """
    study, layers = settle_study(study, recordings.items)
    shards = list(_make_shards(recordings.items))
    with open_store(folder, study.identity(recordings)) as store:
        make = partial(_make_survey_work, study)
        machines = Workers(workers, scheduler)
        failures = run(make, shards, store, machines, progress=f"groups of {SHARD} recordings")
        total, skipped = _merge_shards(store.load(index) for index in sorted(store.done))
    if total is None:
        why = failures[0].reason if failures else skipped[0][1]
        raise InputError(f"no recording could be explained: {why}")
    names = [(recordings.items[n].name, why) for n, why in skipped]
    return Survey(study, recordings, layers, total, (*recordings.skipped, *names), tuple(failures))


def _merge_shards(
    shards: Iterator[Mapping[str, AnyArray]],
) -> tuple[Statistics | None, list[tuple[int, str]]]:
    """Return the statistics of all shards, and number and reason of skipped recordings."""
    total, skipped = None, list[tuple[int, str]]()
    for arrays in shards:
        skipped += map(tuple, json.loads(arrays[SKIPPED].tobytes()))
        if "right" in arrays:
            part = Statistics.from_arrays(arrays)
            total = part if total is None else total + part
    return total, skipped


def settle_study(study: Study, items: Sequence[Item]) -> tuple[Study, Layers]:
    """Return the study with composite, reference and seed by name, and the layers of the model.

    They are chosen once for all recordings.  The first recording that can be read and is not silent
    is explained, so that a wrong question is refused at once.

    Raises
    ------
    InputError
        If a layer or a rule is unknown, the model does not fit, or no recording can be read.
    """
    model = study.loaded()
    path, sample = _read_first(model, study, items)
    if sample.array.ndim < 2 or len(sample.array) != 1:
        raise InputError(f"{study.model}: reads signals without a batch axis: export it with one")
    layers = find_layers(model, sample.array, study.settings(sample)[0])
    seed = _settle_seed(study, layers, model.labels)
    layers.concepts(study.layer)  # raises an error if it has none
    question = Question(target=0, seed=seed, keep=[study.layer])
    (found,) = answer_questions(model, sample.array, study.settings(sample)[0], [question])
    taken = (found.facts["reference"],) if study.reference == (AUTO,) else study.reference
    study = replace(study, composite=found.table.composite, reference=taken, seed=seed)
    layers = find_layers(model, sample.array, study.settings(read_sample(model, study, path))[0])
    if (scores := found.explained.size) != study.classes:
        raise InputError(
            f"the output holds {found.explained.shape[1:]} = {scores} numbers for a recording: "
            f"one score for each of {study.classes} classes is needed (another output, --output?)"
        )
    return study, layers


def _settle_seed(study: Study, layers: Layers, labels: Sequence[str]) -> str:
    """Return the kind of seed, with a class as its index."""
    shape = layers.shapes[layers.plan.explained]
    kind, _, versus = choose_seed(study.seed, layers.plan, shape).taken.partition(":")
    return f"{kind}:{find_class(versus, labels, study.classes)}" if versus else kind


def _read_first(model: Model, study: Study, items: Sequence[Item]) -> tuple[str, Sample]:
    """Return path and samples of the first recording that can be read.

    A silent one is taken only where all are: it says nothing of how the others compare.
    """
    error, silent = InputError("no recordings"), list[tuple[str, Sample]]()
    for item in items:
        try:
            found = str(item.path), read_sample(model, study, str(item.path))
        except InputError as refusal:
            error = refusal
            if not str(refusal).startswith(str(item.path)):
                raise
            continue
        if found[1].array.any():
            return found
        silent.append(found)
    if silent:
        return silent[0]
    raise error


Numbered = tuple[int, str, int]  # a recording: its number, path and class


def _make_shards(items: Sequence[Item]) -> Iterator[list[Numbered]]:
    rows = iter([(n, str(item.path), item.index) for n, item in enumerate(items)])
    while shard := list(islice(rows, SHARD)):
        yield shard


def _make_survey_work(study: Study) -> Callable[[Sequence[Numbered]], dict[str, AnyArray]]:
    """Return the function with which a worker computes a shard."""
    return _SurveyWork(study, study.loaded(), {})


Read = tuple[Numbered, Sample]


@dataclass(frozen=True)
class _SurveyWork:
    """The model in a worker process, and its layers by the shape of a sample."""

    study: Study
    model: Model
    layers: dict[tuple[int, ...], Layers]

    def __call__(self, rows: Sequence[Numbered]) -> dict[str, AnyArray]:
        """Return the statistics of a shard as arrays."""
        skipped: list[tuple[int, str]] = []
        batches = _read_ahead(self.read_batches(rows, skipped))
        parts = [part for batch in batches for part in self.try_batch(batch, skipped)]
        arrays = sum(parts[1:], parts[0]).to_arrays() if parts else {}
        text = json.dumps(sorted(skipped)).encode()
        return arrays | {SKIPPED: np.frombuffer(text, np.uint8)}

    @property
    def plan(self) -> Plan:
        """Plan of the output asked for."""
        return self.model.plan(self.study.output, self.study.bind)

    def read_batches(
        self, rows: Sequence[Numbered], skipped: list[tuple[int, str]]
    ) -> Iterator[list[Read]]:
        """Yield recordings that are computed together; those of one batch have one length."""
        plan, waiting = self.plan, list[Read]()
        for row in rows:
            try:
                sample = read_sample(self.model, self.study, row[1])
            except InputError as error:
                skipped.append((row[0], str(error).removeprefix(f"{row[1]}: ")))
                continue
            waiting.append((row, sample))
            if len(waiting) == count_together(plan, sample.place):
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def try_batch(self, batch: list[Read], skipped: list[tuple[int, str]]) -> list[Statistics]:
        """Return the statistics of a batch; if it is refused, of each recording that is not."""
        try:
            return [self.explain_batch(batch)]
        except DftlrpError as error:
            if len(batch) == 1:
                skipped.append((batch[0][0][0], str(error)))
                return []
            return [part for one in batch for part in self.try_batch([one], skipped)]

    def explain_batch(self, batch: Sequence[Read]) -> Statistics:
        """Return the statistics of recordings of one length."""
        rows, samples = zip(*batch, strict=True)
        numbers, _, classes = zip(*rows, strict=True)
        first, together = samples[0], np.concatenate([s.array for s in samples])
        arrays = _fill_batch(together, count_together(self.plan, first.place))
        if (shape := arrays.shape[1:]) not in self.layers:
            settings = self.study.settings(first)[0]
            self.layers[shape] = find_layers(self.model, first.array, settings)
        ready = Batch(first._replace(array=arrays), np.array(classes), np.array(numbers))
        return compute_statistics(self.model, self.study, self.layers[shape], ready)


def _read_ahead(batches: Iterator[list[Read]]) -> Iterator[list[Read]]:
    """Yield batches, while a thread reads the next one."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = thread.submit(next, batches, None)
            yield batch


def _fill_batch(samples: AnyArray, count: int) -> AnyArray:
    """Repeat the last sample up to a whole batch, so that one graph computes all batches."""
    return samples[np.minimum(np.arange(count), len(samples) - 1)]
