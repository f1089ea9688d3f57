"""What dftlrp reads in a file's metadata, written and shown.

| key | value |
|---|---|
| `sample_rate` | hertz that the model reads, a number |
| `labels` | names of the classes, a JSON list |
| `frontend` | how a waveform becomes what the model reads, TOML with a table ``[frontend]`` |
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, TensorProto

from dftlrp.core.files import locate, regular, replace_file
from dftlrp.core.types import InputError
from dftlrp.graph.frontend import FrontEnd, prepend
from dftlrp.graph.load import load_graph
from dftlrp.graph.structure import Graph

RATE, LABELS, FRONT_END = KEYS = ("sample_rate", "labels", "frontend")
SHOWN = 10  # labels


@dataclass(frozen=True)
class Annotation:
    """What dftlrp reads in a file's metadata; print it to read it.

    Attributes
    ----------
    model : str
        Path of the file.
    known : dict of str to str
        Value by key, of the keys that dftlrp reads and that are there.
    others : tuple of str
        The other keys.
    """

    model: str
    known: Mapping[str, str]
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.model}: {'' if self.known else 'says nothing that dftlrp reads'}".rstrip()]
        for key, value in self.known.items():
            lines += [f"  {key}: {_shorten_value(key, value)}"]
        if missing := [key for key in KEYS if key not in self.known]:
            lines.append(f"  not there: {', '.join(missing)}")
        if self.others:
            lines.append(f"  of other programs: {', '.join(self.others)}")
        return "\n".join(lines)


def _shorten_value(key: str, value: str) -> str:
    """Return a value on lines that can be read."""
    if key == LABELS:
        try:
            names = json.loads(value)
        except ValueError:
            return "no JSON list, not read"
        more = f", ... ({len(names)} in all)" if len(names) > SHOWN else f" ({len(names)})"
        return ", ".join(map(str, names[:SHOWN])) + more
    return value.strip().replace("\n", "\n    ")


def read_annotation(path: str | os.PathLike[str]) -> Annotation:
    """Return what a file says of itself.

    Raises
    ------
    ModelError, UnsupportedModelError
        As of `dftlrp.graph.load.load_graph`.
    """
    metadata = load_graph(path).metadata
    known = {key: metadata[key] for key in KEYS if metadata.get(key, "").strip()}
    return Annotation(str(path), known, tuple(sorted(metadata.keys() - set(KEYS))))


def annotate(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    rate: float | None = None,
    labels: Sequence[str] | None = None,
    frontend: FrontEnd | None = None,
    force: bool = False,
) -> list[Path]:
    """Write a copy of a model with a rate, labels or a front end in its metadata.

    What is not given stays as it is.  Weights in external data files are copied beside the new
    file, if that lies in another folder.  The file is complete, or not there.

    Parameters
    ----------
    force : bool
        Whether a file that is there is replaced, the model itself included.

    Returns
    -------
    list of Path
        The files that were written, the model first.

    Raises
    ------
    ModelError, InputError
        The model cannot be read, a value does not fit it, or a file is there already.
    """
    path, target = Path(path), locate(out)
    graph = load_graph(path)
    given = _write_values(graph, rate, labels, frontend)
    if not given:
        raise InputError("nothing to write: give a rate, labels or a front end")
    if target.exists() and not force:
        raise InputError(f"{target}: is there already; --force replaces it")
    with regular(path, InputError) as (file, _):
        proto = ModelProto.FromString(file.read())
    kept = [(p.key, p.value) for p in proto.metadata_props if p.key not in given]
    del proto.metadata_props[:]
    for key, value in [*kept, *given.items()]:
        proto.metadata_props.add(key=key, value=value)
    with _copy_external(proto, path, target, force) as copied:
        replace_file(target, proto.SerializeToString())
    return [target, *copied]


def _write_values(
    graph: Graph, rate: float | None, labels: Sequence[str] | None, frontend: FrontEnd | None
) -> dict[str, str]:
    """Return the entries, which fit the model and each other."""
    given = dict[str, str]()
    if rate is not None:
        if not 0 < rate < float("inf"):
            raise InputError(f"rate {rate!r}: a positive number of hertz is needed")
        given[RATE] = f"{rate:.12g}"
    if labels is not None:
        _check_labels(graph, labels)
        given[LABELS] = json.dumps(list(labels), ensure_ascii=False)
    if frontend is not None:
        prepend(graph, frontend)  # refuses one that does not fit
        given[FRONT_END] = frontend.to_text()
        if rate not in {None, frontend.rate}:
            raise InputError(f"rate {rate:g}: the front end reads {frontend.rate:g} Hz")
    return given


def _check_labels(graph: Graph, labels: Sequence[str]) -> None:
    """Refuse labels unless some output has as many numbers, or leaves it open."""
    sizes = [(value.dims or (None,))[-1] for value in graph.outputs.values()]
    if not labels or not {None, len(labels)} & set(sizes):
        raise InputError(f"{len(labels)} labels, but the outputs have {sizes} classes")


@contextmanager
def _copy_external(
    proto: ModelProto, path: Path, target: Path, force: bool
) -> Iterator[list[Path]]:
    """Copy the files of weights into another folder; take them away if what follows fails."""
    tensors = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    names = sorted({e.value for t in tensors for e in t.external_data if e.key == "location"})
    made = list[Path]()
    try:
        for name in names if path.parent.resolve() != target.parent.resolve() else ():
            copy = target.parent / name
            if copy.exists() and not force:
                raise InputError(f"{copy}: weights are there already; --force replaces them")
            _copy_file(path.parent / name, copy)
            made.append(copy)
        yield made
    except BaseException:
        for copy in made:
            with suppress(OSError):
                copy.unlink()
        raise


def _copy_file(source: Path, copy: Path) -> None:
    part = copy.with_name(f".{uuid.uuid4().hex}.part")
    try:
        shutil.copyfile(source, part)
        os.replace(part, copy)
    except OSError as error:
        raise InputError(f"cannot write {str(copy)!r}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is where it belongs, or was never made
            part.unlink()
