"""`neurons`: which neurons of a layer matter for which classes, over a whole data set."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.attribution.input_kind import refuse_features
from dftlrp.attribution.waveform import find_waveform
from dftlrp.concepts.flow import Edge, attribution_graph, layers_below
from dftlrp.concepts.neuron_files import save_results
from dftlrp.concepts.neuron_page import render_page
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.portraits import FORMAT, make_portraits
from dftlrp.concepts.recordings import Recordings, find_recordings
from dftlrp.concepts.shards import Workers, keep_workers
from dftlrp.concepts.study import Study, name_references, read_sample
from dftlrp.concepts.survey import Survey, survey
from dftlrp.concepts.trials import ablations, choose_recordings
from dftlrp.core.disk import lock_folder
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.engine.model import attach_front_end, load
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import find_class
from dftlrp.engine.settings import AUTO
from dftlrp.results.report.cell import frame_page
from dftlrp.results.result_folder import refuse_other_files

KEPT = 10  # prototypes of each neuron at least, so that asking for a few more needs no new survey
DEPTH, WIDTH = 2, 3  # of an attribution graph: layers below, and neurons for each neuron above


@dataclass(frozen=True, eq=False, repr=False)
class Neurons(NeuronsData):
    """Which neurons of a layer matter for which classes, with pictures, sounds and tables.

    `dftlrp.concepts.neuron_results.NeuronsData` describes the attributes.

    See Also
    --------
    neurons : Makes it.

    Examples
    --------
    >>> found = dftlrp.concepts.neurons(
    ...     "model.onnx", "clips", layer="conv6", folder="work", top=1, count=1, spectra=False
    ... )
    >>> found.classes, found.label(7), len(found.strongest(7))
    ((7,), 'seven', 1)
    >>> found.serves(found.strongest(7)[0])[0][0], found.to_dict()["layer"]
    (7, 'conv6')
    >>> found.save("out")[0].name
    'report.html'
    """

    def _repr_html_(self) -> str:
        return frame_page(render_page(self), repr(self))

    def save(self, folder: str | os.PathLike[str], figure: bool = False) -> list[Path]:
        """Write report, tables, arrays and sounds.

        Parameters
        ----------
        folder : path
            Made if it is not there; docs/reference/formats.md describes the files.
        figure : bool
            Also draw classes and neurons for print, as PNG files.

        Returns
        -------
        list of Path
            The report and the tables.

        Raises
        ------
        InputError
            If the folder cannot be written, or another run is writing there.
        """
        return save_results(self, folder, figure)


@dataclass(frozen=True)
class _Request:
    """The checked arguments of `neurons`.

    Attributes
    ----------
    study : Study
    recordings : Recordings
    classes : tuple of int
    top, count : int
        Number of neurons of each class, and of prototypes of each neuron.
    labels : sequence of str or None
        As given.
    names : tuple of str
        Names of the classes, or empty.
    notes : tuple of str
    """

    study: Study
    recordings: Recordings
    classes: tuple[int, ...]
    top: int
    count: int
    labels: Sequence[str] | None
    names: tuple[str, ...]
    notes: tuple[str, ...]


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
    reference: Any = AUTO,
    spectra: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
) -> Neurons:
    """Find the neurons of a layer that matter most for each class, over all recordings.

    Parameters
    ----------
    model : path
        An ONNX file.
    source : path
        A folder of recordings, or a CSV file that lists them.
    layer : str
        A name in the layer table.
    folder : path
        Where intermediate results are stored.  After an interruption the same call continues from
        them.
    classes : list of str or int
        Labels or indices; if not given, all classes that have recordings.
    top, count : int
        Number of neurons of each class, and of prototypes of each neuron.
    pattern, labels, rate
        As of `dftlrp.concepts.recordings.find_recordings`.
    frontend, composite, overrides, seed, output, bind, backend
        As of `dftlrp.explain`; each recording is explained for its own class.
    reference : str, path or list
        What every recording is compared with, as of `dftlrp.explain`: ``"auto"`` (decided by the
        first recording that is not silent), ``"none"``, ``"silence"``, sound files, or ``["mean",
        FILE, ...]``.
    spectra : bool
        Whether relevance is followed back to every recording, for the spectra and maps of the
        classes.  Without them it goes no further than to the layer, which takes a fraction of the
        time.
    workers, scheduler
        As of `dftlrp.concepts.shards.Workers`.

    Returns
    -------
    Neurons
        Statistics, prototypes, effects and graphs; ``save`` writes them.

    Raises
    ------
    InputError
        Before anything is computed, if model, layer, recordings, labels or settings are wrong.

    See Also
    --------
    survey : The statistics alone.
    dftlrp.explain_many : Each recording by itself.

    Notes
    -----
    Achtibat et al. (2023), doi 10.1038/s42256-023-00711-8; relevance instead of activation ranks
    recordings: RelMax.

    Examples
    --------
    >>> found = dftlrp.concepts.neurons(
    ...     "model.onnx", "clips", layer="conv6", folder="work", top=1, count=1, spectra=False
    ... )
    >>> len(found.strongest(7))
    1
    """
    if min(top, count) < 1:
        raise InputError(f"top {top}, prototypes {count}: at least one of each is needed")
    machines = Workers(workers, scheduler)
    refuse_other_files(folder, "neurons")
    known = attach_front_end(load(model), frontend)
    plan = known.plan(output, bind)
    names = tuple(map(str, labels)) if labels is not None else known.labels
    many = _count_classes(plan, names)
    read = find_waveform(plan, None)
    refuse_features(known, read, None)
    recordings = find_recordings(
        source, many, names, pattern=pattern, rate=known.rate or rate,
        channels=read.channels,
    )  # fmt: skip
    study = Study(
        os.fspath(model), layer, recordings.rate, many, seed=seed, composite=composite,
        overrides=overrides or {}, bind=bind or {}, output=output, backend=backend,
        frontend=None if frontend is None else os.fspath(frontend), k=max(count, KEPT),
        reference=name_references(reference), spectra=spectra,
    )  # fmt: skip
    chosen = _choose_classes(classes, recordings, names, many)
    notes = (*_note_ignored_rate(known.rate, rate), *recordings.notes)
    request = _Request(study, recordings, chosen, top, count, labels, names, notes)
    with lock_folder(Path(folder)):
        return _answer_request(request, Path(folder), machines)


def _answer_request(request: _Request, folder: Path, workers: Workers) -> Neurons:
    """Return the results of a checked request; the folder is locked."""
    classes, top, count = request.classes, request.top, request.count
    own: Any = {"workers": workers.count, "scheduler": workers.scheduler}
    with keep_workers():
        found = survey(request.study, request.recordings, folder / "survey", **own)
        gaps = [failure.index for failure in found.failures]  # on which the other stores depend
        place = folder / _name_store("ablation", classes, gaps)
        checks, failed = ablations(found, classes, place, **own)
        support = found.statistics.find_supporting
        shown = list(dict.fromkeys(n for c in classes for n in support(c, top)))
        place = folder / _name_store("portraits", FORMAT, shown, count, request.labels, gaps)
        drawn, lost = make_portraits(found, shown, count, request.labels, place, workers)
    graphs, missing = _make_graphs(found, classes)
    return Neurons(
        found, request.names, classes, top, count, checks, graphs, drawn,
        notes=(*request.notes, *missing), failures=(*found.failures, *failed, *lost),
    )  # fmt: skip


def _name_store(kind: str, *question: Any) -> str:
    """Return the name of a store that holds the answer to one question about a survey."""
    return f"{kind}-{hashlib.sha256(json.dumps(question).encode()).hexdigest()[:12]}"


def _note_ignored_rate(declared: float | None, given: float | None) -> tuple[str, ...]:
    if given in {None, declared} or declared is None:
        return ()
    return (f"the model declares a rate of {declared:g} Hz; the rate given is ignored",)


def _count_classes(plan: Plan, labels: Sequence[str]) -> int:
    """Return the number of classes of the output.

    Raises
    ------
    InputError
        If neither the output nor labels tell it, or the two differ.
    """
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


def _choose_classes(
    classes: Sequence[str | int], recordings: Recordings, labels: Sequence[str], count: int
) -> tuple[int, ...]:
    """Return the indices of the classes asked for, or of all that have recordings."""
    present = {item.index for item in recordings.items}
    asked = [find_class(str(c), labels, count) for c in classes]
    if empty := [str(c) for c, i in zip(classes, asked, strict=True) if i not in present]:
        raise InputError(f"class {empty[0]!r} has no recordings")
    return tuple(dict.fromkeys(asked)) or tuple(sorted(present))


def _make_graphs(found: Survey, classes: Sequence[int]) -> tuple[dict[int, list[Edge]], list[str]]:
    """Return attribution graphs of the strongest neurons, and notes on classes without one."""
    study, model = found.study, found.study.loaded()
    below = layers_below(found.layers, study.layer, DEPTH)
    graphs, missing = dict[int, list[Edge]](), []
    if not below:
        return {}, [f"no layer with weights lies below {study.layer!r}: no attribution graph"]
    strongest = {c: found.statistics.find_supporting(c, 1) for c in classes}
    for c in steps([c for c in classes if strongest[c]], "attribution graphs"):
        start = (study.layer, strongest[c][0])
        try:
            items = choose_recordings(found, c)
            samples = [read_sample(model, study, str(item.path)) for item in items]
            graphs[c] = attribution_graph(
                model, [s.array for s in samples], c, start, below, layers=found.layers,
                width=WIDTH, reference=list(samples[0].references), **study.keywords,
            )  # fmt: skip
        except InputError as error:
            missing.append(f"no attribution graph of class {c}: {error}")
    return graphs, missing
