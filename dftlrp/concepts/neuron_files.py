"""The folder that `dftlrp neurons` writes its results to.

::

    report.html      the report
    neurons.npz      statistics of all neurons and classes: moments and top lists
    *.csv            tables of the same numbers and of all checks
    classes/4/       pictures of a class: spectrum, magnitude, map, spread, attribution graph
    neurons/125/     pictures, sounds and arrays of the prototypes of a neuron

The stores from which an interrupted run continues are in the same folder.  No file holds a time,
and each file is complete or absent.  The report is written last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dftlrp.concepts.neuron_figures import draw_class, draw_graph
from dftlrp.concepts.neuron_page import render_page
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.neuron_tables import make_tables
from dftlrp.concepts.portraits import DPI, reduce_colours
from dftlrp.concepts.shards.store import pack_arrays
from dftlrp.core.disk import lock_folder
from dftlrp.core.files import locate, replace_file
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.results.figure import render_figure

CLASSES, NEURONS = "classes", "neurons"


def save_results(found: NeuronsData, folder: str | os.PathLike[str]) -> list[Path]:
    """Write all results; return the report and the tables, the report first.

    Raises
    ------
    InputError
        If the folder cannot be written, or another run is writing there.
    """
    target = locate(folder)
    with lock_folder(target):
        return _write_results(found, target)


def refuse_foreign_folder(folder: str | os.PathLike[str]) -> None:
    """Check that saving replaces nothing but results of `dftlrp neurons`.

    Raises
    ------
    InputError
        If the folder has a subfolder of a name that `save_results` empties, but holds no results.
    """
    target = locate(folder)
    if any((target / own).exists() for own in ("survey", "neurons.npz")):
        return
    for place in (target / CLASSES, target / NEURONS):
        if place.exists():
            raise InputError(f"{place}: is there and would be replaced: choose another folder")


def _write_results(found: NeuronsData, target: Path) -> list[Path]:
    pictures = {c: _draw_pictures(found, c) for c in steps(found.classes, "drawing classes")}
    single = {
        "neurons.npz": pack_arrays(found.survey.statistics.to_arrays()),
        "graphs.json": _encode_graphs(found),
        **{name: text.encode() for name, text in make_tables(found).items()},
    }
    try:
        for group in (CLASSES, NEURONS):  # which may hold results for other classes
            shutil.rmtree(target / group, ignore_errors=True)
        for c, files in pictures.items():
            _write_files(target / CLASSES / str(c), files)
        for n in steps([n for n in found.shown if n in found.portraits], "writing neurons"):
            _write_files(target / NEURONS / str(n), found.portraits[n].files)
        _write_files(target, single)
        _write_files(target, {"report.html": render_page(found, pictures).encode()})
    except OSError as error:
        raise InputError(f"{target}: cannot write results here: {error.strerror}") from None
    return [target / name for name in ("report.html", *single)]


def _draw_pictures(found: NeuronsData, c: int) -> dict[str, bytes]:
    """Return the PNG files of a class by their names."""
    figures = draw_class(found.survey.statistics, c, found.survey.study.rate, found.seconds)
    if c in found.graphs:
        figures["graph"] = draw_graph(found.graphs[c])
    return {
        f"{name}.png": reduce_colours(render_figure(fig, dpi=DPI)) for name, fig in figures.items()
    }


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        replace_file(folder / name, data)


def _encode_graphs(found: NeuronsData) -> bytes:
    """Return the attribution graphs as JSON: nodes and edges of each class."""
    graphs: dict[str, Any] = {
        str(c): {
            "label": found.label(c),
            "nodes": sorted({n for e in edges for n in (e.source, e.target)}),
            "edges": [{"from": e.source, "to": e.target, "weight": e.weight} for e in edges],
        }
        for c, edges in found.graphs.items()
    }
    return json.dumps(graphs, indent=1).encode() + b"\n"
