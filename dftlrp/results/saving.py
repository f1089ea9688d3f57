"""Results on disk: complete or not there.

How former results are replaced is in `dftlrp.results.result_folder`.
"""

from __future__ import annotations

import json
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from dftlrp.core.files import locate, regular
from dftlrp.core.ledger import Ledger
from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, InputError
from dftlrp.results.damage import DamageError, check_fields, read_npz
from dftlrp.results.data import ExplanationData
from dftlrp.results.differences import check_comparable, find_first_like, name_in_figure
from dftlrp.results.figure import draw_figure, save_figure
from dftlrp.results.questions import TABLES, write_csv
from dftlrp.results.report import render
from dftlrp.results.result_folder import replace_results
from dftlrp.results.sound import KINDS, Sound, find_obstacle, make_sounds

E = TypeVar("E", bound=ExplanationData)
Files = dict[str, Callable[[Path], object]]  # by name, what writes it

ARRAYS = ("signal", "relevance", "axes")
PLAIN = ("rest", "rate", "target", "label", "labels", "stft", "notes", "provenance",
         "channel_names", "start")  # fmt: skip
TUPLES = ("labels", "notes", "channel_names")
FIGURES = (None, "png", "svg")
FORMAT = 1  # of explanation.npz; docs/reference/formats.md says when it is raised
STORED = "explanation.npz", "1-explanation.npz"  # of a folder; of a long recording the strongest
BROKEN = (
    OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError,
    NotImplementedError, SyntaxError, MemoryError, tokenize.TokenError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def save(
    explanations: Sequence[ExplanationData],
    folder: str | os.PathLike[str],
    figure: str | None = None,
    names: Sequence[str] = (),
) -> list[Path]:
    """Write ``report.html``, ``explanation.npz``, the sounds and the tables; a figure if asked.

    The tables are ``bands.csv`` and ``segments.csv``, see `dftlrp.results.questions.list_rows`.

    Parameters
    ----------
    explanations : list of Explanation
        One, or up to eight to compare.  The files of the second then start with ``versus-``, those
        of the third with ``versus-2-``, and so on; a recording is written once.  Sounds share their
        gains.
    folder : path
        Created if it does not exist; files that no former result wrote are left alone.
    figure : {"png", "svg"}, optional
        Also write ``figure.png`` or ``figure.svg``, see `dftlrp.results.figure.draw_figure`.
    names : list of str, optional
        What the page calls the explanations; default: what tells them apart.

    Returns
    -------
    list of Path
        The files, the report first.

    Raises
    ------
    InputError
        If the folder cannot be written to, another run is writing there, a file of other origin is
        in the way, a domain cannot be drawn, the explanations cannot be compared, or the figure is
        neither PNG nor SVG.
    """
    check_figure(figure)
    check_comparable(explanations)
    files: Files = {"report.html": partial(write_text, text=partial(render, explanations, names))}
    if figure:
        files[f"figure.{figure}"] = partial(write_figure, name_in_figure(explanations, names))
    heard = list_sounds(explanations)
    firsts = find_first_like(explanations)
    for k, (one, kinds) in enumerate(zip(explanations, heard, strict=True)):
        own = list_files(one, kinds, name_prefix(k))
        if firsts[k] != k:
            own.pop(f"{name_prefix(k)}original.wav", None)
        files |= own
    return write_results(files, folder)


def list_sounds(explanations: Sequence[ExplanationData]) -> list[dict[str, Sound]]:
    """Return the sounds of each explanation by kind; none where one of them cannot be heard."""
    if any(map(find_obstacle, explanations)):
        return [{} for _ in explanations]
    return make_sounds(explanations)


def write_results(files: Files, folder: str | os.PathLike[str]) -> list[Path]:
    """Write files, all or none, in place of former results; errors as of `save`."""
    target = locate(folder)
    with replace_results(target) as stage:
        for name in steps(list(files), "writing"):
            files[name](stage / name)
    return [target / name for name in files]


def list_files(one: ExplanationData, heard: Mapping[str, Sound], prefix: str) -> Files:
    """Return the files of one explanation, with a prefix before each name."""
    files: Files = {f"{prefix}explanation.npz": partial(write_arrays, one)}
    for what, row in TABLES.items():
        if row.name in one.relevance:
            files[f"{prefix}{what}.csv"] = partial(write_text, text=partial(write_csv, one, what))
    return files | {f"{prefix}{kind}.wav": sound.save for kind, sound in heard.items()}


def check_figure(figure: str | None) -> None:
    """Raise `InputError` if a figure is neither left out nor PNG nor SVG."""
    if figure not in FIGURES:
        raise InputError(f"figure {figure!r}: a figure is saved as 'png' or 'svg'")


def write_figure(explanations: Sequence[ExplanationData], path: Path) -> None:
    """Draw a figure, and write it in the format of the file's name."""
    save_figure(draw_figure(explanations), path)


def write_text(path: Path, text: Callable[[], str]) -> None:
    """Write a text, as it is, to a file."""
    path.write_text(text(), encoding="utf-8", newline="")


def name_prefix(k: int) -> str:
    """Return what the files of the k-th explanation start with: nothing, versus-, versus-2-."""
    return "" if k == 0 else "versus-" if k == 1 else f"versus-{k}-"


def is_result(name: str) -> bool:
    """Return whether a file of this name comes from `save`."""
    made = {*(f"{kind}.wav" for kind in KINDS), *(f"{what}.csv" for what in TABLES)}
    plain = re.sub(r"^(versus-(\d-)?|\d+-)", "", name)
    whole = {"report.html", "figure.png", "figure.svg", "explanation.npz", "timeline.csv"}
    return plain in {*whole, *made}


def write_arrays(one: ExplanationData, file: Path | IO[bytes]) -> None:
    """Write the arrays of an explanation, as `load` reads them."""
    arrays: dict[str, AnyArray] = {"output": one.output, "explained": one.explained}
    for group in ARRAYS:
        for domain, value in getattr(one, group).items():
            parts = value if isinstance(value, tuple) else (value,)
            for i, part in enumerate(parts):
                arrays[f"{group}/{domain}/{i}"] = part
    ledger = {f"ledger/{k}": v for k, v in one.ledger.to_arrays().items()}
    plain: dict[str, Any] = {k: getattr(one, k) for k in PLAIN}
    text = json.dumps({"format": FORMAT, **plain}, allow_nan=False)
    np.savez_compressed(file, allow_pickle=False, meta=np.array(text), **arrays, **ledger)


def load(path: str | os.PathLike[str], kind: type[E]) -> E:
    """Read an explanation.

    Parameters
    ----------
    path : path
        An ``explanation.npz``, or the folder that holds it; of a long recording, the strongest
        window is read from its folder.
    kind : class
        What to return: `ExplanationData` or a subclass without further fields.

    Raises
    ------
    InputError
        If the file is missing, was not written by `save`, or is of a newer format.
    """
    path = find_stored(path)
    with regular(path, InputError) as (file, size):
        try:
            fields = _parse_arrays(read_npz(file, size))
            check_fields(fields)
        except NewerError as error:
            raise InputError(
                f"{path}: a newer dftlrp wrote it, in format {error}; this one reads up to "
                f"{FORMAT}: pip install -U dftlrp"
            ) from None
        except BROKEN as error:
            why = f" ({error})" if isinstance(error, DamageError) else ""
            raise InputError(f"{path}: not an explanation written by this dftlrp{why}") from None
    return kind(**fields)


class NewerError(Exception):
    """The number of a format that is not known here yet."""


def find_stored(path: str | os.PathLike[str]) -> Path:
    """Return the file that holds an explanation: itself, or in a folder the first of `STORED`."""
    path = locate(path)
    if not os.path.isdir(path):
        return path
    return next((path / f for f in STORED if (path / f).exists()), path / STORED[0])


def _parse_arrays(arrays: dict[str, AnyArray]) -> dict[str, Any]:
    """Return the fields of the explanation that `write_arrays` wrote."""
    meta = json.loads(str(arrays["meta"]))
    written = meta.pop("format", 1)  # a file without a number is of the first format
    if not isinstance(written, int):
        raise ValueError("no number")
    if written > FORMAT:
        raise NewerError(written)
    groups = {group: _collect_group(arrays, group) for group in ARRAYS}
    columns = {k.removeprefix("ledger/"): v for k, v in arrays.items() if k.startswith("ledger/")}
    target = meta.pop("target")
    return {
        "signal": {k: v[0] for k, v in groups["signal"].items()},
        "relevance": {k: v[0] for k, v in groups["relevance"].items()},
        "axes": {k: v[0] if len(v) == 1 else tuple(v) for k, v in groups["axes"].items()},
        "target": tuple(target) if isinstance(target, list) else target,
        "output": arrays["output"],
        "explained": arrays["explained"],
        "ledger": Ledger.from_arrays(columns),
        **{**meta, **{k: tuple(meta[k]) for k in TUPLES if k in meta}},
    }


def _collect_group(arrays: dict[str, AnyArray], group: str) -> dict[str, list[AnyArray]]:
    """Return the arrays called ``group/domain/number`` by domain, in the order of the file."""
    found: dict[str, list[AnyArray]] = {}
    for name, array in arrays.items():
        head, _, tail = name.partition("/")
        if head == group:
            found.setdefault(tail.rpartition("/")[0], []).append(array)
    return found
