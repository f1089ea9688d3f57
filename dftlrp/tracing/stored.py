"""Traced graphs kept in a folder, so that the next process need not trace them again.

With ``DFTLRP_CACHE=FOLDER`` in the environment each graph is written to a file whose name is a
digest of all that it was made from: the model's nodes and weights, the question, the shapes, and
the code that traced it.  Whatever changes has another name; where rules or ops were registered from
outside, whose code is not known, nothing is kept.  A file is complete or absent, however many
processes write, and its checksum is verified; one that is damaged is made again.  The folder takes
at most `MOST_BYTES`; the files whose last use is longest ago go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto

from dftlrp.core.disk import PART, write_file
from dftlrp.core.encoding import UnwritableError, decode, encode
from dftlrp.core.ledger import LedgerRow
from dftlrp.core.rule_text import Rule
from dftlrp.core.rules import FUNCTIONS
from dftlrp.core.types import CacheWarning
from dftlrp.engine.auto import Choice
from dftlrp.engine.composites import Layer, LayerTable
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.graph.structure import Body, Node, Value
from dftlrp.ops.registry import EXPANSIONS, OPS
from dftlrp.tracing.accounts import Slot
from dftlrp.tracing.assembly import Traced
from dftlrp.tracing.session import Seen

SWITCH = "DFTLRP_CACHE"
MOST_BYTES = 2**30
SUFFIX = ".graph"
RECORDS = (Node, Body, Value, Layer, LayerTable, Rule, LedgerRow, Slot, Choice)
CODE = ("core", "spectral", "graph", "ops", "engine", "tracing")  # rooms that make a graph
Graph = tuple[Seen, Traced]


class Asked(NamedTuple):
    """What names a graph beside the model: all of it must have a form as bytes."""

    key: Any
    by_default: bool


def find_folder() -> Path | None:
    """Return the folder in which graphs are kept, or None if none is asked for."""
    given = os.environ.get(SWITCH, "")
    try:
        return Path(given).expanduser() if given else None
    except RuntimeError:  # "~name" of nobody here
        _warn(f"{SWITCH}={given}: there is no such home folder; nothing is kept")
        return None


def find_graph(model: Model, plan: Plan, asked: Asked, trace: Callable[[], Graph]) -> Graph:
    """Return a graph from the folder of `find_folder`, or trace it now and keep it there.

    Parameters
    ----------
    plan : Plan
        The plan before the forward pass, which a graph from the folder goes on from.
    trace : callable
        Traces the graph.
    """
    folder = find_folder()
    name = None if folder is None or _is_extended() else _name_entry(model, asked)
    if folder is None or name is None:
        return trace()
    path = folder / f"{name}{SUFFIX}"
    stored = _read_entry(path, plan)
    if stored is None:
        stored = trace()
        _write_entry(path, *stored)
    return stored


def _is_extended() -> bool:
    """Return whether there is a rule or an op that is not of this package."""
    functions = [*FUNCTIONS.values(), *(op.evaluate for op in OPS.values()), *EXPANSIONS.values()]
    functions += [op.linearise for op in OPS.values() if op.linearise is not None]
    return not all(
        str(getattr(f, "__module__", "dftlrp.")).startswith("dftlrp.") for f in functions
    )


# -- names


@dataclass(eq=False)
class _Named:
    """What a model keeps: the digest of its graph, once it was made."""

    digest: list[str] = field(default_factory=list)


def _name_entry(model: Model, asked: Asked) -> str | None:
    """Return the name of an entry; None for what has no form as bytes."""
    known = model.cache.part(_Named).digest
    try:
        if not known:
            known.append(_sum_bytes_of(encode(model.graph)))
        return _sum_bytes_of(encode((_identify_code(), known[0], asked)))
    except UnwritableError:
        return None


def _sum_bytes_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def _identify_code() -> tuple[str, ...]:
    """Return the versions of all that a graph depends on, and a digest of the code itself."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    rooms = sorted(path for room in CODE for path in (root / room).rglob("*.py"))
    for path in (root / "__init__.py", *rooms):  # the first one holds the version
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest(), np.__version__, onnx.__version__


# -- entries


def _read_entry(path: Path, plan: Plan) -> Graph | None:
    """Return the graph in a file; None if there is none, or with a warning if it is damaged."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _warn(f"{path}: cannot read: {error.strerror or error}; the graph is traced again")
        return None
    size = hashlib.sha256().digest_size
    try:
        if _sum_entry(path, data[size:]) != data[:size]:
            raise ValueError
        graph = _restore_graph(data[size:], plan)
    except (ValueError, LookupError, TypeError, DecodeError):
        _warn(f"{path}: the file is damaged; the graph is traced and written again")
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # its last use
    return graph


def _sum_entry(path: Path, data: bytes) -> bytes:
    """Return the checksum of an entry, which another name of its file makes wrong."""
    return hashlib.sha256(path.name.encode() + data).digest()


def _write_entry(path: Path, seen: Seen, traced: Traced) -> None:
    """Write a graph, and remove old ones if the folder has become too large."""
    try:
        data = _write_graph(seen, traced)
    except UnwritableError:  # as a node of a kind of its own may be
        return
    if len(data) > MOST_BYTES:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, _sum_entry(path, data) + data)
        _remove_oldest(path.parent)
    except OSError as error:
        _warn(f"{SWITCH}={path.parent}: cannot write: {error.strerror or error}; nothing is kept")


def _warn(text: str) -> None:
    warnings.warn(text, CacheWarning, stacklevel=2)


def _remove_oldest(folder: Path) -> None:
    """Remove files whose last use is longest ago, until the folder is no larger than it may be."""
    found = list[tuple[float, int, Path]]()
    for path in folder.iterdir():
        if path.suffix == SUFFIX or PART.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= MOST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size


def _write_graph(seen: Seen, traced: Traced) -> bytes:
    """Return a graph and what is known of the model as bytes; the model's own graph is left out."""
    plan = {f.name: getattr(seen.plan, f.name) for f in fields(Plan) if f.name != "graph"}
    made = {f.name: getattr(traced, f.name) for f in fields(Traced) if f.name != "model"}
    return encode((plan, tuple(seen[1:]), made, traced.model.SerializeToString()))


def _restore_graph(data: bytes, plan: Plan) -> Graph:
    """Return what `_write_graph` wrote, for a model whose graph is that of a plan."""
    own, known, made, graph = decode(data, RECORDS)
    seen = Seen(replace(plan, **own), *known)
    return seen, Traced(model=ModelProto.FromString(graph), **made)
