"""The folder that `dftlrp neurons` writes its results to.

::

    report.html      the report
    neurons.npz      statistics of all neurons and classes: moments and top lists
    *.csv            tables of the same numbers and of all checks
    neurons/125/     sounds and arrays of the prototypes of a neuron

and, where figures for print are asked for::

    classes/4/       spectrum, magnitude, map, spread and attribution graph of a class
    neurons/125/     spectrum of a neuron and its prototypes, too

The stores from which an interrupted run continues are in the same folder.  No file holds a time,
and each file is complete or absent.  The report is written last.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.concepts.neuron_figures import draw_class, draw_graph, draw_neuron
from dftlrp.concepts.neuron_page import render_page
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.neuron_tables import make_tables
from dftlrp.concepts.portraits import Portrait
from dftlrp.concepts.shards.store import pack_arrays
from dftlrp.core.disk import lock_folder
from dftlrp.core.files import locate, replace_file
from dftlrp.core.progress import steps
from dftlrp.core.types import InputError
from dftlrp.results.explanation import Explanation
from dftlrp.results.figure import draw_figure, render_figure
from dftlrp.results.words import order_channels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI, COLOURS = 110, 128  # of all figures
CLASSES, NEURONS = "classes", "neurons"


def save_results(
    found: NeuronsData, folder: str | os.PathLike[str], figure: bool = False
) -> list[Path]:
    """Write all results; return the report and the tables, the report first.

    Parameters
    ----------
    figure : bool
        Also draw classes and neurons for print.

    Raises
    ------
    InputError
        If the folder cannot be written, or another run is writing there.
    """
    target = locate(folder)
    with lock_folder(target):
        return _write_results(found, target, figure)


def _write_results(found: NeuronsData, target: Path, figure: bool) -> list[Path]:
    single = {
        "neurons.npz": pack_arrays(found.survey.statistics.to_arrays()),
        "graphs.json": _encode_graphs(found),
        **{name: text.encode() for name, text in make_tables(found).items()},
    }
    try:
        for group in (CLASSES, NEURONS):  # which may hold results for other classes
            shutil.rmtree(target / group, ignore_errors=True)
        for c in steps(found.classes if figure else (), "drawing classes"):
            _write_figures(target / CLASSES / str(c), _draw_class(found, c))
        for n in steps([n for n in found.shown if n in found.portraits], "writing neurons"):
            portrait, place = found.portraits[n], target / NEURONS / str(n)
            _write_files(place, portrait.files)
            if figure:
                _write_figures(place, _draw_portrait(portrait, place, found.survey.study.rate))
        _write_files(target, single)
        _write_files(target, {"report.html": render_page(found).encode()})
    except OSError as error:
        raise InputError(f"{target}: cannot write results here: {error.strerror}") from None
    return [target / name for name in ("report.html", *single)]


def _draw_class(found: NeuronsData, c: int) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a class by their names."""
    study = found.survey.study
    if study.spectra:
        yield from draw_class(found.survey.statistics, c, study.rate, found.seconds).items()
    if c in found.graphs:
        yield "graph", draw_graph(found.graphs[c])


def _draw_portrait(portrait: Portrait, place: Path, rate: float) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a neuron by their names; the arrays of its prototypes are there."""
    yield "spectrum", draw_neuron(portrait.spectrum, rate)
    for i in range(1, len(portrait.prototypes) + 1):
        e = Explanation.load(place / f"{i}-explanation.npz")
        first = order_channels([e])[:1]
        yield f"{i}-picture", draw_figure([e], ["time-frequency"], title=False, channels=first)
        if i == 1:
            yield f"{i}-figure", draw_figure([e], title=False)


def _write_figures(folder: Path, figures: Iterable[tuple[str, Figure]]) -> None:
    for name, figure in figures:
        picture = _reduce_colours(render_figure(figure, dpi=DPI))
        _write_files(folder, {f"{name}.png": picture})


def _reduce_colours(png: bytes) -> bytes:
    """Return a PNG picture with `COLOURS` colours."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
        few.save(out, "PNG", optimize=True)
    return out.getvalue()


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
