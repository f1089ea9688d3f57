"""What `dftlrp neurons` leaves in a folder, beside the stores that it goes on from.

::

    report.html      the page
    neurons.npz      statistics of all neurons and classes: moments and top lists
    *.csv            the same and all checks as tables
    classes/4/       pictures of a class: spectrum, magnitude, map, spread, graph
    neurons/125/     pictures, sounds and arrays of a neuron's prototypes

No file holds a time; each is complete or not there.  The report comes last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.concepts.figures import class_figures, graph_figure
from dftlrp.concepts.page import render
from dftlrp.concepts.portraits import DPI, small
from dftlrp.concepts.shards.disk import lock_folder
from dftlrp.concepts.shards.store import packed
from dftlrp.concepts.tables import tables
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.results.figure import image
from dftlrp.results.sound import replace_file

if TYPE_CHECKING:
    from dftlrp.concepts.neurons import Neurons

CLASSES, NEURONS = "classes", "neurons"


def save(found: Neurons, folder: str | os.PathLike[str]) -> list[Path]:
    """Write everything; returns the files that are not of one class or neuron, the report first.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    target = Path(folder)
    with lock_folder(target):
        return _saved(found, target)


def refuse_foreign(folder: str | os.PathLike[str]) -> None:
    """Folders that `save` empties are its own: where no run has been, there may be none.

    Raises
    ------
    InputError
        There is one.
    """
    target = Path(folder)
    if any((target / own).exists() for own in ("survey", "neurons.npz")):
        return
    for place in (target / CLASSES, target / NEURONS):
        if place.exists():
            raise InputError(f"{place}: is there and would be replaced: choose another folder")


def _saved(found: Neurons, target: Path) -> list[Path]:
    pictures = {c: class_pictures(found, c) for c in steps(found.classes, "drawing classes")}
    single = {
        "neurons.npz": packed(found.survey.statistics.arrays()),
        "graphs.json": _graphs(found),
        **{name: text.encode() for name, text in tables(found).items()},
    }
    try:
        for group in (CLASSES, NEURONS):  # may hold those of another question
            shutil.rmtree(target / group, ignore_errors=True)
        for c, files in pictures.items():
            _put(target / CLASSES / str(c), files)
        for n in steps([n for n in found.shown if n in found.portraits], "writing neurons"):
            _put(target / NEURONS / str(n), found.portraits[n].files)
        _put(target, single)
        _put(target, {"report.html": render(found, pictures).encode()})
    except OSError as error:
        raise InputError(f"{target}: cannot write results here: {error.strerror}") from None
    return [target / name for name in ("report.html", *single)]


def class_pictures(found: Neurons, c: int) -> dict[str, bytes]:
    """Pictures of a class, by the name of their file."""
    figures = class_figures(found.survey.statistics, c, found.survey.study.rate, found.seconds)
    if c in found.graphs:
        figures["graph"] = graph_figure(found.graphs[c])
    return {f"{name}.png": small(image(figure, dpi=DPI)) for name, figure in figures.items()}


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        replace_file(folder / name, data)


def _graphs(found: Neurons) -> bytes:
    """Attribution graphs as nodes and edges, by class."""
    graphs: dict[str, Any] = {
        str(c): {
            "label": found.label(c),
            "nodes": sorted({n for e in edges for n in (e.source, e.target)}),
            "edges": [{"from": e.source, "to": e.target, "weight": e.weight} for e in edges],
        }
        for c, edges in found.graphs.items()
    }
    return json.dumps(graphs, indent=1).encode() + b"\n"
