"""`explain_many`: an explanation of each recording of a folder or a list, one page and one table.

::

    index.html            all recordings: sorted, filtered, with a link to each explanation
    explanations.jsonl    a row for each, `dftlrp.concepts.clip_rows.COLUMNS`
    explanations.csv      the same
    clips/NAME/           an explanation as `dftlrp.Explanation.save` writes it
    rows/                 from which an interrupted run continues

No file holds a time or depends on which worker wrote it when: an interrupted run that is continued
leaves the same bytes as an undisturbed one.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.asking import Asking, Request, prepare
from dftlrp.attribution.explain import explain
from dftlrp.attribution.references import identify_references
from dftlrp.attribution.sources import Source
from dftlrp.concepts.clip_index import render_index
from dftlrp.concepts.clip_rows import (
    ClipRow,
    fill_row,
    make_row,
    start_row,
    write_lines,
    write_table,
)
from dftlrp.concepts.clip_sources import find_clips, find_indices, name_folders
from dftlrp.concepts.explanations import INDEX, Explanations
from dftlrp.concepts.recordings import Recordings
from dftlrp.concepts.shards import Store, Workers, open_store, run
from dftlrp.concepts.shards.store import describe_setting
from dftlrp.core.files import locate
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.core.versions import find_versions
from dftlrp.engine.composites import make_layer_table
from dftlrp.engine.model import Model, find_front_end, load
from dftlrp.engine.settings import AUTO
from dftlrp.results.report.shown import collect_domains
from dftlrp.results.report.thumbnail import draw_thumbnail
from dftlrp.results.result_folder import MANY, ROWS, STORES, refuse_other_files, replace_results
from dftlrp.results.saving import FIGURES

CLIPS, STORE = "clips", STORES[MANY]
OWN = {"model", "signal", "masks"}  # arguments of `explain` that are not common to recordings
PICTURED = ("time-frequency", "input", "mel", "time", "frequency")  # the first there is


class Clip(NamedTuple):
    """What a worker is given of a recording: its path, and its row as far as it is known."""

    path: str
    row: ClipRow


@dataclass(frozen=True)
class Common:
    """What all recordings have in common.

    Attributes
    ----------
    model : str
        Path of an ONNX file.
    folder : str
        Where the results belong, an absolute path.
    asked : dict
        Arguments of `dftlrp.explain`.
    figure : {"png", "svg"}, optional
    verify : bool
        Whether the model is asked again, as of `dftlrp.Explanation.verify`.
    """

    model: str
    folder: str
    asked: Mapping[str, Any]
    figure: str | None = None
    verify: bool = False


def explain_many(
    model: str | os.PathLike[str],
    sources: Source | Sequence[Source],
    *,
    folder: str | os.PathLike[str],
    pattern: str | None = None,
    figure: str | None = None,
    verify: bool = False,
    force: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    **asked: Any,
) -> Explanations:
    """Explain each recording of a folder or a list; write a folder for each, a page and a table.

    Parameters
    ----------
    model : path
        An ONNX file.
    sources : path or list of paths
        Folders, sound files, patterns as ``"day*/*.wav"``, and CSV files with the columns ``file``
        and, if known, ``label``.
    folder : path
        Where everything is written.  After an interruption the same call continues.
    pattern : str, optional
        Where the label of a recording stands, as of `dftlrp.concepts.clip_sources.find_clips`.
    figure : {"png", "svg"}, optional
        Also draw a figure of each for print.
    verify : bool
        Also ask the model what it says without the most relevant parts, and note it.
    force : bool
        Whether the folder may hold other files.  None of them is replaced.
    workers, scheduler
        As of `dftlrp.concepts.shards.Workers`.
    **asked : object
        Arguments of `dftlrp.explain` (``target``, ``labels``, ``rate``, ``composite``, ...), the
        same for all recordings; as text, numbers and lists.

    Returns
    -------
    Explanations
        A sequence: ``found[3]`` reads an explanation, ``found.rows`` is the table.

    Raises
    ------
    InputError
        Before anything is computed, if model, recordings, labels or arguments are wrong, or the
        folder holds other files or results of other arguments; afterwards, if nothing could be
        explained.  Single recordings that cannot be explained are listed instead.

    See Also
    --------
    explain : One recording.
    dftlrp.concepts.neurons : What neurons do, over many recordings.

    Examples
    --------
    >>> found = dftlrp.explain_many("model.onnx", ["clip.wav"], folder="many", target="seven")
    >>> [(row["file"], row["prediction"]) for row in found.rows]
    [('clip.wav', 'seven')]
    """
    path = _find_path(model)
    machines = Workers(workers, scheduler)
    target = locate(folder).absolute()
    refuse_other_files(target, MANY, force)
    common = Common(path, os.fspath(target), _check_arguments(asked, figure), figure, verify)
    bare = load(path)
    front = find_front_end(bare, asked.get("frontend"))
    names = tuple(map(str, asked.get("labels") or bare.labels))
    recordings = find_clips(
        sources, names, pattern=pattern, avoid=target,
        rate=(front.rate if front else bare.rate) or asked.get("rate"),
    )  # fmt: skip
    asking = _try_question(bare, common.asked, recordings)
    dims = asking.plan.graph.outputs[asking.plan.output].dims
    recordings = find_indices(recordings, names, len(names) or (dims[-1] if dims else None))
    folders = [f"{CLIPS}/{name}" for name in name_folders([i.name for i in recordings.items])]
    clips = [
        Clip(os.path.abspath(item.path), start_row(item, place))
        for item, place in zip(recordings.items, folders, strict=True)
    ]
    with open_store(target / STORE, _identify_run(common, asking.model, recordings)) as store:
        _drop_lost(store, target, clips)
        make = partial(make_clip_work, common)
        failed = run(make, clips, store, machines, progress="explaining recordings")
        said = {index: _read_said(store, index) for index in sorted(store.done)}
    retry = {f.index: make_row(**{**clips[f.index].row, "clip": None,
             "error": f"{f.reason}; run it again to retry"}) for f in failed}  # fmt: skip
    skipped = [make_row(file=name, error=why) for name, why in recordings.skipped]
    rows = [row for row, _ in said.values()] + [*retry.values(), *skipped]
    rows.sort(key=lambda row: row["file"])
    found = Explanations.from_rows(target, rows, recordings.notes)
    if not found.rows:
        _remove_traces(target)
        name, why = found.skipped[0]
        raise InputError(f"none of {len(rows)} recordings could be explained; {name}: {why}")
    pictures = {row["file"]: picture for row, picture in said.values()}
    _write_tables(found, rows, pictures, os.path.basename(path))
    return found


def _find_path(model: Any) -> str:
    """Return the path of a model that each worker can load."""
    if not isinstance(model, str | os.PathLike):
        raise InputError("explain_many: give the path of an ONNX file, which each worker loads")
    return os.path.abspath(model)


def _check_arguments(asked: Mapping[str, Any], figure: str | None) -> dict[str, Any]:
    """Return arguments of `explain`; refuse unknown ones, and those that are not the same twice."""
    allowed = sorted(set(inspect.signature(explain).parameters) - OWN)
    for name, value in asked.items():
        if name not in allowed:
            raise InputError(
                f"{name!r} is no argument of explain that recordings share: choose among "
                f"{', '.join(allowed)}"
            )
        if callable(value):
            raise InputError(f"{name}: over several recordings give text or numbers, no function")
    if figure not in FIGURES:
        raise InputError(f"figure {figure!r}: a figure is saved as 'png' or 'svg'")
    return dict(asked)


def _try_question(model: Model, asked: Mapping[str, Any], recordings: Recordings) -> Asking:
    """Return what the first recording that can be asked is asked; raise the error of the first."""
    known = inspect.signature(explain).parameters
    given = {name: asked.get(name, known[name].default) for name in Request._fields}
    given |= {name: given[name] or {} for name in ("overrides", "bind", "masks")}
    errors = []
    for item in recordings.items:
        try:
            asking = prepare(model, os.fspath(item.path), Request(**given))
        except InputError as error:
            errors.append(error)
            continue
        if asking.by.kind.by_rules:
            preset = "EpsilonPlus" if given["composite"] == AUTO else given["composite"]
            make_layer_table(asking.plan, preset, given["overrides"])
        return asking
    raise errors[0]


def _identify_run(common: Common, model: Model, recordings: Recordings) -> dict[str, Any]:
    """Return all that the results depend on, as values that JSON can hold."""
    known = inspect.signature(explain).parameters
    usual = {name: known[name].default for name in known if name not in OWN}
    asked = usual | {k: v for k, v in common.asked.items() if v or usual[k]}  # [] is None
    asked["reference"] = identify_references(asked["reference"])
    return {
        "model": model.graph.sha256,
        "frontend": repr(model.frontend),
        **{k: describe_setting(v) for k, v in asked.items() if k != "frontend"},
        "figure": common.figure,
        "verify": common.verify,
        "data": recordings.digest,
        "versions": find_versions("dftlrp", "numpy", "scipy", "onnxruntime"),
    }


def make_clip_work(common: Common) -> ClipWork:
    """Return the function with which a worker explains recordings; it keeps the model."""
    return ClipWork(common, load(common.model))


@dataclass(frozen=True)
class ClipWork:
    """The model in a worker process."""

    common: Common
    model: Model

    def __call__(self, clip: Clip) -> dict[str, AnyArray]:
        """Write the folder of a recording; return its row as JSON, and its picture as SVG."""
        try:
            one = explain(self.model, clip.path, **self.common.asked)
            if self.common.verify:
                one = replace(one, notes=(*one.notes, f"verified: {one.verify()}"))
        except DftlrpError as error:
            why = str(error).removeprefix(f"{clip.path}: ")
            row, picture = make_row(**{**clip.row, "clip": None, "error": why}), ""
        else:
            one.save(Path(self.common.folder) / clip.row["clip"], self.common.figure)
            row, picture = fill_row(clip.row, one), _draw_small(one)
        return {"row": _pack_text(json.dumps(row)), "picture": _pack_text(picture)}


def _draw_small(one: Any) -> str:
    """Return a small picture of the domain that says most."""
    shown = {s.row.name: s for s in collect_domains([one])}
    return draw_thumbnail(next(shown[name] for name in (*PICTURED, *shown) if name in shown))


def _pack_text(text: str) -> AnyArray:
    return np.frombuffer(text.encode(), np.uint8)


def _read_said(store: Store, index: int) -> tuple[ClipRow, str]:
    """Return row and picture of a recording."""
    arrays = store.load(index)
    row: ClipRow = json.loads(arrays["row"].tobytes())
    return row, arrays["picture"].tobytes().decode()


def _drop_lost(store: Store, target: Path, clips: Sequence[Clip]) -> None:
    """Forget results of which the folder is no longer there, so that they are computed again."""
    for index in sorted(store.done):
        place = target / clips[index].row["clip"]
        whole = all((place / name).is_file() for name in ("report.html", "explanation.npz"))
        if not whole and _read_said(store, index)[0]["error"] is None:
            del store.done[index]


def _remove_traces(target: Path) -> None:
    """Remove the store of a run that explained nothing, so that a corrected call can follow."""
    shutil.rmtree(target / STORE, ignore_errors=True)
    for place in (target / CLIPS, target):
        with suppress(OSError):  # it is not there, or holds something
            place.rmdir()


def _write_tables(
    found: Explanations, rows: Sequence[ClipRow], pictures: Mapping[str, str], model: str
) -> None:
    """Write page and tables; the page last."""
    texts = {
        ROWS: write_lines(rows),
        "explanations.csv": write_table(rows),
        INDEX: render_index(found, rows, pictures, model),
    }
    with replace_results(found.folder) as stage:
        for name, text in texts.items():
            (stage / name).write_text(text, encoding="utf-8", newline="")
