"""`neurons`: what the classes of a model are made of, over a whole data set."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.attribution.waveform import waveform
from dftlrp.concepts.ablation import Ablation
from dftlrp.concepts.flow import Edge, attribution_graph, layers_below
from dftlrp.concepts.folder import refuse_foreign
from dftlrp.concepts.portraits import Portraits, portraits
from dftlrp.concepts.recordings import Recordings, find_recordings
from dftlrp.concepts.shards import Failure
from dftlrp.concepts.shards.disk import lock_folder
from dftlrp.concepts.survey import Study, Survey, read, survey
from dftlrp.concepts.trials import ablations, some_of
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.engine.model import behind_front_end, load
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import label_index

KEPT = 10  # prototypes of each neuron at least, so that asking for another number is no new survey
DEPTH, WIDTH = 2, 3  # of an attribution graph: layers below, and neurons for each above


@dataclass(frozen=True, eq=False)
class Neurons:
    """Which neurons classes are made of.

    Attributes
    ----------
    survey : Survey
        Statistics of the layer over all recordings.
    labels : tuple of str
        Names of the classes, or empty.
    classes : tuple of int
        Those asked for.
    top, count : int
        Neurons for each class, prototypes for each neuron.
    ablation : dict of int to Ablation
        By class.
    graphs : dict of int to list of Edge
        By class, of its strongest neuron.
    portraits : Portraits
        Of the strongest neurons, by their number.
    notes : tuple of str
        What was taken for granted, and what is missing.
    failures : tuple of Failure
        What has no result.
    """

    survey: Survey
    labels: tuple[str, ...]
    classes: tuple[int, ...]
    top: int
    count: int
    ablation: dict[int, Ablation]
    graphs: dict[int, list[Edge]]
    portraits: Portraits
    notes: tuple[str, ...]
    failures: tuple[Failure, ...]

    def label(self, of_class: int) -> str:
        """Name of a class, or its index."""
        return self.labels[of_class] if self.labels else str(of_class)

    def strongest(self, of_class: int, by: str = "relevance") -> list[int]:
        """A class's neurons with the largest mean of a measure, as far as it is positive."""
        return _strongest(self.survey, of_class, self.top, by)

    @property
    def shown(self) -> list[int]:
        """The strongest neurons of all classes asked for, each once."""
        return list(dict.fromkeys(n for c in self.classes for n in self.strongest(c)))

    @property
    def seconds(self) -> float | None:
        """What the model reads of every recording; None where it reads them as long as they are."""
        length = waveform(self.survey.layers.plan, None)[1].length
        return None if length is None else length / self.survey.study.rate

    def serves(self, neuron: int) -> list[tuple[int, float]]:
        """Classes for which a neuron is relevant in the mean, the first first, and how much."""
        mean = self.survey.statistics.measure("relevance")[0][:, neuron]
        order = np.argsort(-mean, kind="stable")
        return [(int(c), float(mean[c])) for c in order if mean[c] > 0]

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write report, tables, pictures and sounds; see `dftlrp.concepts.folder.save`."""
        from dftlrp.concepts.folder import save

        return save(self, folder)


def neurons(
    model: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    layer: str,
    folder: str | os.PathLike[str],
    classes: Sequence[str | int] = (),
    top: int = 5,
    count: int = 5,
    pattern: str | None = None,
    labels: Sequence[str] | None = None,
    rate: float | None = None,
    frontend: str | os.PathLike[str] | None = None,
    composite: str = "auto",
    overrides: Mapping[str, str] | None = None,
    seed: str = "logit",
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Neurons:
    """Which neurons of a layer matter for each class, over all recordings.

    Parameters
    ----------
    model : path
        An ONNX file.
    source : path
        A folder or a CSV file; with ``pattern``, ``labels`` and ``rate`` as of
        `dftlrp.concepts.recordings.find_recordings`.
    layer : str
        As in the layer table.
    folder : path
        Where results are kept while they come; interrupted, the same call goes on from there.
    classes : list of str or int
        Labels or indices; if not given, all that have recordings.
    top, count : int
        Neurons for each class, prototypes for each neuron.
    frontend, composite, overrides, seed, output, bind, backend
        As of `dftlrp.explain`; each recording is explained for its own class.
    workers, scheduler
        As of `dftlrp.concepts.shards.run`.

    Raises
    ------
    InputError
        Before anything is computed: whatever is wrong with model, layer, recordings, labels or
        settings.
    """
    if min(top, count) < 1:
        raise InputError(f"top {top}, prototypes {count}: at least one of each is needed")
    known = behind_front_end(load(model), frontend)
    plan = known.plan(output, bind)
    names = tuple(map(str, labels)) if labels is not None else known.labels
    many = _classes(plan, names)
    recordings = find_recordings(
        source, many, names, pattern=pattern, rate=known.rate or rate,
        channels=waveform(plan, None)[1].channels,
    )  # fmt: skip
    chosen = _chosen(classes, recordings, names, many)
    study = Study(
        os.fspath(model), layer, recordings.rate, many, seed=seed, composite=composite,
        overrides=overrides or {}, bind=bind or {}, output=output, backend=backend,
        frontend=None if frontend is None else os.fspath(frontend), k=max(count, KEPT),
    )  # fmt: skip
    own = {"workers": workers, "scheduler": scheduler}
    refuse_foreign(folder)
    with lock_folder(Path(folder)):
        found = survey(study, recordings, Path(folder, "survey"), **own)  # type: ignore[arg-type]
        gaps = [f.index for f in found.failures]  # what follows depends on them
        place = Path(folder, _named("ablation", chosen, gaps))
        checks, failed = ablations(found, chosen, place, **own)  # type: ignore[arg-type]
        shown = dict.fromkeys(n for c in chosen for n in _strongest(found, c, top))
        place = Path(folder, _named("portraits", [*shown], count, labels, gaps))
        drawn, lost = portraits(found, list(shown), place, count=count, labels=labels, **own)  # type: ignore[arg-type]
    graphs, missing = _graphs(found, chosen)
    notes = (*_ignored(known.rate, rate), *recordings.notes, *missing)
    failures = (*found.failures, *failed, *lost)
    return Neurons(found, names, chosen, top, count, checks, graphs, drawn, notes, failures)


def _named(what: str, *asked: Any) -> str:
    """A store for each question about one survey."""
    return f"{what}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]}"


def _strongest(found: Survey, of_class: int, top: int, by: str = "relevance") -> list[int]:
    mean = found.statistics.measure(by)[0][of_class]
    return [n for n in found.statistics.strongest(of_class, top, by) if mean[n] > 0]


def _ignored(says: float | None, given: float | None) -> tuple[str, ...]:
    if given in {None, says} or says is None:
        return ()
    return (f"the model says it reads {says:g} Hz: the rate given is not used",)


def _classes(plan: Plan, labels: Sequence[str]) -> int:
    """How many classes the output has."""
    dims = plan.graph.outputs[plan.output].dims or ()
    sizes = [n for n in dims[1:] if n != 1]
    if None in sizes or not dims:
        if not labels:
            raise InputError(
                f"output {plan.output!r} does not say how many classes it has: give their labels"
            )
        return len(labels)
    count = int(np.prod([n for n in sizes if n is not None], dtype=int))
    if labels and len(labels) != count:
        raise InputError(f"{len(labels)} labels for {count} classes")
    return count


def _chosen(
    classes: Sequence[str | int], recordings: Recordings, labels: Sequence[str], count: int
) -> tuple[int, ...]:
    """Indices of classes, all of which have recordings."""
    there = {item.index for item in recordings.items}
    asked = [label_index(str(c), labels, count) for c in classes]
    if empty := [str(c) for c, i in zip(classes, asked, strict=True) if i not in there]:
        raise InputError(f"class {empty[0]!r} has no recordings")
    return tuple(dict.fromkeys(asked)) or tuple(sorted(there))


def _graphs(found: Survey, classes: Sequence[int]) -> tuple[dict[int, list[Edge]], list[str]]:
    """Attribution graphs of the strongest neurons; and which there are not."""
    study, model = found.study, found.study.loaded()
    below = layers_below(found.layers, study.layer, DEPTH)
    graphs, missing = dict[int, list[Edge]](), []
    if not below:
        return {}, [f"no layer with weights lies below {study.layer!r}: no attribution graph"]
    for c in steps([c for c in classes if _strongest(found, c, 1)], "attribution graphs"):
        start = (study.layer, found.statistics.strongest(c, 1)[0])
        try:
            samples = [read(model, study, str(item.path))[0] for item in some_of(found, c)]
            graphs[c] = attribution_graph(
                model, samples, c, start, below, layers=found.layers, width=WIDTH, **study.settings
            )
        except InputError as error:
            missing.append(f"no attribution graph of class {c}: {error}")
    return graphs, missing
